//! `docker_config`: a swarm config, versioned by its content.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::family::docker::Existence;
use super::family::docker::versioned::{Content, Family, Versioned, Wanted};
use super::{Context, Invalid, Validate};

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: crate::program::Programs = &[super::family::docker::api::PROGRAMS];

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
        let mut invalid = Vec::new();
        let given = [&self.content, &self.source, &self.template].iter().filter(|g| g.is_some()).count();
        let wanted = usize::from(self.state == Existence::Present);
        if given != wanted {
            let message = if wanted == 1 {
                "exactly one of `content`, `source` and `template` is wanted"
            } else {
                "a config that is to go has no content"
            };
            return vec![Invalid::new("", message)];
        }
        let mut read = |key: &str, path: &str| {
            (context.read)(path)
                .map_err(|why| invalid.push(Invalid::new(key, format!("cannot read {path}: {why}"))))
                .ok()
        };
        let mut data = Content::None;
        if let Some(text) = &self.content {
            data = Content::Plain(text.as_bytes().into());
        } else if let Some(path) = &self.source {
            data = read("source", path).map_or(Content::None, Content::Plain);
        } else if let Some(path) = &self.template
            && let Some(bytes) = read("template", path)
        {
            let rendered = std::str::from_utf8(&bytes)
                .map_err(|_| format!("{path} is not UTF-8 text"))
                .and_then(|text| (context.render)(path, text));
            match rendered {
                Ok(text) => data = Content::Plain(text.as_bytes().into()),
                Err(why) => invalid.push(Invalid::new("template", why)),
            }
        }
        let wanted = Wanted {
            family: Family::Config,
            name: self.name.clone(),
            content: data,
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

impl Versioned for DockerConfig {
    fn wanted(&self) -> &Wanted {
        self.wanted.as_ref().expect("set by validate, without which there is no step")
    }
}
