//! `docker_secret`: a swarm secret, versioned by its content, which never shows.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::family::docker::versioned::{self, Body, Family, Versioned, Wanted};
use super::family::docker::{Existence, api, objects};
use super::{Context, Invalid, Validate};
use crate::model::Secret;

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: crate::program::Programs =
    &[api::PROGRAMS, objects::PROGRAMS, versioned::PROGRAMS];

/// A secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DockerSecret {
    name: String,
    #[serde(default, deserialize_with = "hidden")]
    content: Option<Secret>,
    source: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    keep: Option<usize>,
    #[serde(default)]
    state: Existence,
    #[serde(skip)]
    wanted: Option<Wanted>,
}

fn hidden<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
}

impl Validate for DockerSecret {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        let body = Body {
            name: &self.name,
            content: self.content.as_ref().map(Secret::expose),
            source: self.source.as_deref(),
            template: None,
            labels: &self.labels,
            keep: self.keep,
            state: self.state,
        };
        let (wanted, invalid) = body.read(Family::Secret, context);
        self.wanted = Some(wanted);
        invalid
    }
}

impl Versioned for DockerSecret {
    fn wanted(&self) -> &Wanted {
        self.wanted.as_ref().expect("set by validate, without which there is no step")
    }
}
