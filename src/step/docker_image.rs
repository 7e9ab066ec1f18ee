//! `docker_image`: an image on a host, pulled before it is needed.

use std::ops::ControlFlow;
use std::time::Duration;

use serde::Deserialize;

use super::family::docker::Existence;
use super::family::docker::api;
use super::family::docker::image::Reference;
use super::family::docker::json::null_is_default;
use super::family::docker::objects::{self, Used};
use super::family::docker::opening::Thing;
use super::{Action, Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::{Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::sh;

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: crate::program::Programs = &[api::PROGRAMS, objects::PROGRAMS];

/// An image.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DockerImage {
    name: String,
    platform: Option<String>,
    #[serde(default)]
    state: Existence,
}

/// `GET /images/json`, as far as it matters here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    id: String,
    #[serde(default, deserialize_with = "null_is_default")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    repo_digests: Vec<String>,
}

impl Validate for DockerImage {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        if let Some(platform) = self.platform.as_deref().filter(|p| !p.contains('/')) {
            return vec![
                Invalid::new("platform", format!("{platform:?} is not a platform"))
                    .help("write it as \"linux/amd64\""),
            ];
        }
        match Reference::parse(&self.name) {
            Some(_) => Vec::new(),
            None => vec![
                Invalid::new("name", format!("{:?} is not a reference of an image", self.name))
                    .help("write it as \"redis:7.0.15\", \"host:5000/path/name:tag\" or \"name@sha256:...\""),
            ],
        }
    }
}

impl Step for DockerImage {
    fn probes(&self) -> Vec<Probe> {
        vec![api::get(&["/images/json"])]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let thing = Thing {
            probe: &api::get(&["/images/json"]),
            resource: self.resource(),
            wanted: self.state,
            what: "image",
            made: "pulled",
        };
        let images: Vec<Image> = match thing.list(readings, || self.pull())? {
            ControlFlow::Break(verdict) => return Ok(verdict),
            ControlFlow::Continue(images) => images,
        };
        let wanted = self.reference();
        let found = images.iter().find(|image| {
            image.repo_tags.iter().chain(&image.repo_digests).any(|name| wanted.is_met_by(name))
        });
        Ok(match (self.state, found) {
            (Existence::Present, Some(image)) => Verdict::satisfied(format!("there: {}", short(&image.id))),
            (Existence::Present, None) => Verdict::Drift(self.pull()),
            (Existence::Absent, None) => Verdict::satisfied("not there"),
            (Existence::Absent, Some(image)) => Verdict::Drift(
                Change::new(format!("remove image {}", self.name))
                    .field("image", short(&image.id), Value::Absent)
                    .action(objects::remove(
                        format!("remove image {}", self.name),
                        "image",
                        std::slice::from_ref(&self.name),
                        Used::Fails,
                    ))
                    .expect(self.resource(), State::Absent),
            ),
        })
    }

    /// A service on another host may still run of it when its turn comes; an image harms nobody.
    fn inverse(&self, change: &Change) -> Inverse {
        let name = &self.name;
        Inverse::none(if change.was_absent("image") {
            format!("the image {name} stays: `docker image rm {name}` removes it")
        } else {
            format!("the image {name} is pulled again when it is needed")
        })
    }

    fn provides(&self) -> Vec<Resource> {
        match self.state {
            Existence::Present => vec![self.resource()],
            Existence::Absent => Vec::new(),
        }
    }

    fn needs(&self) -> Vec<Resource> {
        vec![api::engine_of(None)]
    }
}

/// Time for a pull; the step's `timeout` sets another one.
const PULL: Duration = Duration::from_mins(30);

impl DockerImage {
    fn resource(&self) -> Resource {
        Resource::here(Kind::Image, &self.name)
    }

    fn reference(&self) -> Reference {
        Reference::parse(&self.name).expect("validate has read it")
    }

    fn pull(&self) -> Change {
        let reference = self.reference();
        let platform = self.platform.iter().flat_map(|p| ["--platform", p]);
        let words: Vec<_> = platform.chain([self.name.as_str()]).collect();
        let script = sh!("docker pull {}", words);
        let mut change = Change::new(format!("pull image {}", self.name))
            .field("image", Value::Absent, self.name.as_str())
            .action(Action::new(format!("pull {}", self.name), script).timeout(PULL).lasting())
            .expect(self.resource(), State::Present);
        if reference.floats() {
            change = change.note(
                "the tag is not pinned: hosts that pull at different times may get different images, and an image that is \
                 there is not pulled again",
            );
        }
        change
    }
}

/// An image's id as people see it.
fn short(id: &str) -> String {
    id.strip_prefix("sha256:").unwrap_or(id).chars().take(12).collect()
}
