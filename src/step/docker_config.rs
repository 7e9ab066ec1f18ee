//! `docker_config`: a swarm config, versioned by its content.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::family::docker::versioned::{self, Body, Family, Versioned, Wanted};
use super::family::docker::{Existence, api, objects};
use super::{Context, Invalid, Validate};

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: crate::program::Programs =
    &[api::PROGRAMS, objects::PROGRAMS, versioned::PROGRAMS];

/// A config.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DockerConfig {
    name: String,
    content: Option<String>,
    source: Option<String>,
    template: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    keep: Option<usize>,
    #[serde(default)]
    state: Existence,
    #[serde(skip)]
    wanted: Option<Wanted>,
}

impl Validate for DockerConfig {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        let body = Body {
            name: &self.name,
            content: self.content.as_deref(),
            source: self.source.as_deref(),
            template: self.template.as_deref(),
            labels: &self.labels,
            keep: self.keep,
            state: self.state,
        };
        let (wanted, invalid) = body.read(Family::Config, context);
        self.wanted = Some(wanted);
        invalid
    }
}

impl Versioned for DockerConfig {
    fn wanted(&self) -> &Wanted {
        self.wanted.as_ref().expect("set by validate, without which there is no step")
    }
}
