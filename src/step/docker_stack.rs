//! `docker_stack`: the services of a compose file, deployed by `docker stack deploy`.
//!
//! What a compose file comes to is known to the command line of Docker alone. So what was deployed is remembered in the
//! swarm itself: a config beside the stack, removed with it, carries the digest of the file and that of the services
//! as they were right after the deployment.

use std::time::Duration;

use serde::Deserialize;

use super::family::RUN;
use super::family::docker::swarm::{self, LocalState, Own};
use super::family::docker::{Existence, api, good_name};
use super::family::put::Sources;
use super::{Action, Change, Context, Invalid, Inverse, Payload, Step, Validate, Value, Verdict};
use crate::model::digest::sha256;
use crate::model::value::duration;
use crate::model::{Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::{Library, Programs};
use crate::sh;
use crate::shell::Script;

/// Digests the services of a stack; see there.
static SERVICES: Library =
    Library::new("docker_stack/services.sh", include_str!("docker_stack/services.sh"), &[]);

program! {
    /// Asks for a stack.
    AskStack in "docker_stack/ask_stack.sh" uses [SERVICES] { name: Word, marker: Word }
}
program! {
    /// Remembers what was deployed.
    RememberStack in "docker_stack/remember_stack.sh" uses [SERVICES, RUN] { name: Word, marker: Word, file: Word }
}
program! {
    /// Waits for a stack.
    WaitForStack in "docker_stack/wait_for_stack.sh" uses [RUN] { name: Word, seconds: Number }
}
program! {
    /// Removes a stack.
    RemoveStack in "docker_stack/remove_stack.sh" uses [RUN] { name: Word, marker: Word }
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs = &[
    api::PROGRAMS,
    &[AskStack::program, RememberStack::program, WaitForStack::program, RemoveStack::program],
];

/// A stack.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DockerStack {
    name: String,
    content: Option<String>,
    source: Option<String>,
    template: Option<String>,
    #[serde(default)]
    prune: bool,
    #[serde(default)]
    resolve_image: ResolveImage,
    #[serde(default = "five_minutes", deserialize_with = "duration")]
    converge_timeout: Duration,
    #[serde(default)]
    state: Existence,
    /// The compose file.
    #[serde(skip)]
    compose: String,
}

/// When digests of images are looked up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ResolveImage {
    /// At every deployment.
    Always,
    /// Where the image of a service changes; every deployment else may replace its tasks.
    #[default]
    Changed,
    /// By no means.
    Never,
}

fn five_minutes() -> Duration {
    Duration::from_mins(5)
}

impl Validate for DockerStack {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        let mut invalid: Vec<Invalid> = good_name("name", &self.name).into_iter().collect();
        let sources = Sources {
            content: self.content.as_deref(),
            source: self.source.as_deref(),
            template: self.template.as_deref(),
        };
        let given = sources.given().len();
        if self.state == Existence::Absent {
            if given > 0 {
                invalid.push(Invalid::new("", "a stack that is to go wants no compose file"));
            }
            return invalid;
        }
        if given != 1 {
            invalid.push(Invalid::new("", "exactly one of `content`, `source` and `template` is wanted"));
            return invalid;
        }
        let bytes = match sources.read(context) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(why) => return vec![why],
        };
        match String::from_utf8(bytes.to_vec()) {
            Ok(text) if !text.lines().any(|l| l.trim_end().starts_with("services:")) => {
                invalid.push(Invalid::new("", "the compose file has no `services:`"));
            }
            Ok(text) => self.compose = text,
            Err(_) => {
                let name = self.source.as_deref().unwrap_or_default();
                invalid.push(Invalid::new("source", format!("{name} is not UTF-8 text")));
            }
        }
        invalid
    }
}

/// What the manager says of the stack.
#[derive(Debug, Default)]
struct Seen {
    /// Digests of the file and of the services, as the last deployment left them.
    file: String,
    services: String,
    /// Digest of the services today.
    today: String,
    /// Name and `1/1` of each service.
    running: Vec<(String, String)>,
}

impl Step for DockerStack {
    fn probes(&self) -> Vec<Probe> {
        vec![swarm::info_probe(), self.probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let absent = self.state == Existence::Absent;
        let resource = self.resource();
        match readings.expected(&resource) {
            Some(State::Absent) if absent => return Ok(Verdict::satisfied("removed by an earlier step")),
            Some(State::Value(digest)) if !absent && *digest == self.digest() => {
                return Ok(Verdict::satisfied("deployed by an earlier step"));
            }
            _ => {}
        }
        let otherwise = match swarm::info(readings)? {
            Own::Up(info) if info.swarm.control_available => None,
            Own::Up(info) if info.swarm.local_node_state == LocalState::Active => {
                return Err(CheckError::refused(
                    "this host is a worker: a stack is deployed on a manager",
                    "narrow the step's `hosts` to one manager".to_owned(),
                ));
            }
            Own::Up(_) | Own::Coming => Some("this host is in no swarm".to_owned()),
            Own::Missing(why) => Some(why),
        };
        if let Some(otherwise) = otherwise {
            if absent {
                return Ok(Verdict::satisfied("no swarm, so no stack"));
            }
            let change = self.deployment(None);
            return Ok(if swarm::swarm_is_coming(readings) {
                Verdict::Drift(change)
            } else {
                Verdict::Unknown { until: swarm::swarm(), then: Some(change), otherwise }
            });
        }
        let seen = self.read(readings)?;
        if absent {
            return Ok(if seen.running.is_empty() && seen.file.is_empty() {
                Verdict::satisfied("not there")
            } else {
                Verdict::Drift(self.removal(&seen))
            });
        }
        if seen.running.is_empty() || seen.file != self.digest() || seen.services != seen.today {
            return Ok(Verdict::Drift(self.deployment(Some(&seen))));
        }
        let short: Vec<String> = seen
            .running
            .iter()
            .filter(|(_, count)| count.split_once('/').is_none_or(|(n, wanted)| n != wanted))
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        if short.is_empty() {
            let services = match seen.running.len() {
                1 => "its service runs".to_owned(),
                n => format!("its {n} services run"),
            };
            return Ok(Verdict::satisfied(services));
        }
        Ok(Verdict::Drift(
            Change::new(format!("wait until stack {} runs", self.name))
                .field("running", short.join(", "), "all")
                .action(
                    Action::new(format!("wait until {} runs", self.name), self.wait())
                        .timeout(self.bound())
                        .lasting(),
                ),
        ))
    }

    fn inverse(&self, change: &Change) -> Inverse {
        if change.was_absent("compose file") {
            return Inverse::removal("docker_stack", "name", &self.name)
                .stays(format!("volumes of the stack {} stay", self.name));
        }
        Inverse::none(format!("what the stack {} was before was not kept", self.name))
    }

    fn provides(&self) -> Vec<Resource> {
        match self.state {
            Existence::Present => vec![self.resource(), Resource::fleet(Kind::Service, "*")],
            Existence::Absent => vec![Resource::fleet(Kind::End, "containers")],
        }
    }

    fn needs(&self) -> Vec<Resource> {
        vec![
            api::engine_of(None),
            swarm::swarm(),
            Resource::fleet(Kind::Network, "*"),
            Resource::fleet(Kind::Config, "*"),
            Resource::fleet(Kind::Secret, "*"),
        ]
    }
}

impl DockerStack {
    fn resource(&self) -> Resource {
        Resource::fleet(Kind::Service, &format!("stack {}", self.name))
    }

    fn digest(&self) -> String {
        sha256(self.compose.as_bytes())
    }

    /// The config that remembers; `docker stack rm` removes it, for it has the stack's label.
    fn marker(&self) -> String {
        format!("{}_hostwright", self.name)
    }

    fn probe(&self) -> Probe {
        Probe::new(AskStack { name: &self.name, marker: &self.marker() }.script())
    }

    fn read(&self, readings: &Readings) -> Result<Seen, CheckError> {
        let probe = self.probe();
        let answer = readings.of(&probe)?;
        let mut seen = Seen::default();
        for line in answer.text().lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["marker", file, services, ..] => {
                    seen.file = String::from(*file);
                    seen.services = String::from(*services);
                }
                // Where there is no marker, the format of nothing is an empty line.
                ["marker", ..] | [] => {}
                ["today", digest] => seen.today = String::from(*digest),
                ["service", name, count, ..] => seen.running.push(((*name).to_owned(), (*count).to_owned())),
                _ => return Err(CheckError::unreadable(&probe, answer, "expected lines on a stack")),
            }
        }
        if answer.code != 0 || seen.today.is_empty() {
            return Err(CheckError::unreadable(&probe, answer, "expected lines on a stack"));
        }
        Ok(seen)
    }

    fn bound(&self) -> Duration {
        self.converge_timeout + Duration::from_mins(2)
    }

    fn deployment(&self, seen: Option<&Seen>) -> Change {
        let name = &self.name;
        let old = seen.filter(|s| !s.running.is_empty());
        let mut change =
            Change::new(format!("{} stack {name}", if old.is_some() { "update" } else { "deploy" }));
        let digest = self.digest();
        let short = |d: &str| d.get(..12).unwrap_or(d).to_owned();
        match old {
            None => change = change.field("compose file", Value::Absent, short(&digest)),
            Some(seen) => {
                if seen.file != digest {
                    let before =
                        if seen.file.is_empty() { Value::Unknown } else { Value::Text(short(&seen.file)) };
                    change = change.field("compose file", before, short(&digest));
                }
                if seen.services != seen.today && !seen.services.is_empty() {
                    change = change.field(
                        "services",
                        "changed since they were deployed",
                        "as in the compose file",
                    );
                }
                change =
                    change.note("Docker may replace tasks of services that do not change (moby/moby#31115)");
            }
        }
        if self.prune && old.is_some() {
            change = change.note("services that the compose file does not name are removed");
        }
        let resolve = match self.resolve_image {
            ResolveImage::Always => "always",
            ResolveImage::Changed => "changed",
            ResolveImage::Never => "never",
        };
        let mut flags = vec!["--resolve-image", resolve];
        if self.prune {
            flags.push("--prune");
        }
        let deploy = sh!("cat <&3 | docker stack deploy {} --compose-file - {}", flags, name);
        let remember = RememberStack { name, marker: &self.marker(), file: &digest }.script();
        change
            .action(
                Action::new(format!("deploy {name}"), deploy)
                    .lasting()
                    .payload(Payload(self.compose.as_bytes().into()))
                    .timeout(Duration::from_mins(5)),
            )
            .action(
                Action::new(format!("wait until {name} runs"), self.wait()).timeout(self.bound()).lasting(),
            )
            .action(Action::new("remember what was deployed", remember))
            .expect(self.resource(), State::Value(digest))
    }

    fn wait(&self) -> Script {
        WaitForStack { name: &self.name, seconds: Some(self.converge_timeout.as_secs()) }.script()
    }

    fn removal(&self, seen: &Seen) -> Change {
        let name = &self.name;
        let services: Vec<_> = seen.running.iter().map(|(name, _)| name.as_str()).collect();
        let script = RemoveStack { name, marker: &self.marker() }.script();
        Change::new(format!("remove stack {name}"))
            .field("services", services.join(", "), Value::Absent)
            .action(Action::new(format!("remove {name}"), script).timeout(Duration::from_mins(5)).lasting())
            .note("its volumes stay")
            .expect(self.resource(), State::Absent)
    }
}
