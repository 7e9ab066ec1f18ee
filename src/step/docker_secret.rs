//! `docker_secret`: a swarm secret, versioned by its content, which never shows.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::family::docker::Existence;
use super::family::docker::versioned::{Content, Family, Versioned, Wanted};
use super::{Context, Invalid, Validate};
use crate::model::Secret;

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: crate::program::Programs = &[super::family::docker::api::PROGRAMS];

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
        let given = usize::from(self.content.is_some()) + usize::from(self.source.is_some());
        let wanted = usize::from(self.state == Existence::Present);
        if given != wanted {
            let message = if wanted == 1 {
                "exactly one of `content` and `source` is wanted"
            } else {
                "a secret that is to go has no content"
            };
            return vec![Invalid::new("", message)];
        }
        let mut invalid = Vec::new();
        let mut data = self.content.clone();
        if let Some(path) = &self.source {
            match (context.read)(path) {
                Ok(bytes) => match String::from_utf8(bytes.to_vec()) {
                    Ok(text) => data = Some(Secret::new(text)),
                    Err(_) => invalid.push(Invalid::new("source", format!("{path} is not UTF-8 text"))),
                },
                Err(why) => invalid.push(Invalid::new("source", format!("cannot read {path}: {why}"))),
            }
        }
        let wanted = Wanted {
            family: Family::Secret,
            name: self.name.clone(),
            content: data.map_or(Content::None, Content::Hidden),
            labels: self.labels.clone(),
            keep: self.keep,
            state: self.state,
        };
        if invalid.is_empty() {
            invalid = wanted.validate();
        }
        self.wanted = Some(wanted);
        invalid
    }
}

impl Versioned for DockerSecret {
    fn wanted(&self) -> &Wanted {
        self.wanted.as_ref().expect("set by validate, without which there is no step")
    }
}
