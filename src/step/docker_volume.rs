//! `docker_volume`: a named volume of one host's engine.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::Deserialize;

use super::family::docker::api;
use super::family::docker::json::null_is_default;
use super::family::docker::objects::{self, Used};
use super::family::docker::opening::Thing;
use super::family::docker::{Existence, good_name};
use super::{Action, Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::{Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: crate::program::Programs = &[api::PROGRAMS, objects::PROGRAMS];

/// A volume.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DockerVolume {
    name: String,
    #[serde(default = "local")]
    driver: String,
    nfs: Option<Nfs>,
    #[serde(default)]
    options: BTreeMap<String, String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    recreate: bool,
    #[serde(default)]
    state: Existence,
    #[serde(default)]
    purge: bool,
}

/// A directory of an NFS server, which the engine mounts when a container first uses the volume.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nfs {
    server: String,
    path: String,
    #[serde(default = "nfs_options")]
    options: String,
}

fn local() -> String {
    "local".into()
}

fn nfs_options() -> String {
    "vers=4.1,proto=tcp,hard".into()
}

/// `GET /volumes`, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volumes {
    #[serde(deserialize_with = "null_is_default")]
    volumes: Vec<Volume>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    name: String,
    driver: String,
    #[serde(default, deserialize_with = "null_is_default")]
    options: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "null_is_default")]
    labels: BTreeMap<String, String>,
}

impl Volume {
    /// Removing the volume leaves its data alone: they lie in a device, a bind-mounted directory or on a server.
    fn keeps_data_elsewhere(&self) -> bool {
        self.driver == "local"
            && self.options.contains_key("device")
            && self.options.get("type").is_none_or(|t| t != "tmpfs")
    }
}

impl Validate for DockerVolume {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        invalid.extend(good_name("name", &self.name));
        if let Some(nfs) = &self.nfs {
            let server =
                context.find_host(&nfs.server).map_or(nfs.server.as_str(), |h| h.login.address.as_str());
            if server.is_empty() || server.contains([',', ' ']) {
                invalid.push(Invalid::new("nfs.server", format!("{:?} is no server", nfs.server)));
            }
            if !nfs.path.starts_with('/') || nfs.path.contains([',', '\n']) {
                invalid.push(Invalid::new("nfs.path", format!("{:?} is not an absolute path", nfs.path)));
            }
            if nfs.options.split(',').any(|o| o.starts_with("addr=")) {
                invalid.push(Invalid::new("nfs.options", "`addr` comes from `server`"));
            }
            if nfs.options.split(',').any(|o| o == "soft") {
                invalid.push(
                    Invalid::new("nfs.options", "`soft` loses writes when the server is slow")
                        .help("use `hard`: writers wait until the server is back"),
                );
            }
            if self.driver != "local" {
                invalid.push(Invalid::new("driver", "`nfs` is a feature of the driver `local`"));
            }
            for key in ["type", "device", "o"] {
                if self.options.contains_key(key) {
                    invalid.push(Invalid::new(
                        format!("options.{key}"),
                        format!("`{key}` comes from `nfs`, write one of them"),
                    ));
                }
            }
            if invalid.is_empty() {
                self.options.insert("type".into(), "nfs".into());
                self.options.insert("device".into(), format!(":{}", nfs.path));
                self.options.insert(
                    "o".into(),
                    format!("addr={server},{}", nfs.options).trim_end_matches(',').into(),
                );
            }
        }
        if self.purge && self.state == Existence::Present && !self.recreate {
            invalid.push(
                Invalid::new("purge", "`purge` is said of a volume that is to stay")
                    .help("it goes with `state = \"absent\"` or `recreate = true`"),
            );
        }
        invalid
    }
}

impl Step for DockerVolume {
    fn probes(&self) -> Vec<Probe> {
        vec![api::get(&["/volumes"])]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let thing = Thing {
            probe: &api::get(&["/volumes"]),
            resource: self.resource(),
            wanted: self.state,
            what: "volume",
            made: "made",
        };
        let volumes: Volumes = match thing.list(readings, || self.create())? {
            ControlFlow::Break(verdict) => return Ok(verdict),
            ControlFlow::Continue(volumes) => volumes,
        };
        let found = volumes.volumes.iter().find(|v| v.name == self.name);
        match (self.state, found) {
            (Existence::Absent, None) => Ok(Verdict::satisfied("not there")),
            (Existence::Absent, Some(volume)) => {
                self.refuse_loss(volume)?;
                let kept = volume.keeps_data_elsewhere();
                let change = Change::new(format!("remove volume {}", self.name))
                    .field("state", "present", Value::Absent)
                    .note(if kept { "its data stay where they lie" } else { "its data are lost" })
                    .action(self.remove())
                    .expect(self.resource(), State::Absent);
                Ok(Verdict::Drift(change))
            }
            (Existence::Present, None) => Ok(Verdict::Drift(self.create())),
            (Existence::Present, Some(volume)) => self.compare(volume),
        }
    }

    fn inverse(&self, change: &Change) -> Inverse {
        Inverse::none(if change.was_absent("state") {
            format!("the volume {} stays: it may hold data", self.name)
        } else {
            format!("what the volume {} was before is lost", self.name)
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

/// The options of a mount mean the same in any order, and a slash at the end of a device says nothing.
fn same(word: &str, key: &str, wanted: &str, now: &str) -> bool {
    let sorted = |list: &str| {
        let mut options: Vec<String> = list.split(',').map(str::to_owned).collect();
        options.sort();
        options
    };
    match (word, key) {
        ("option", "o") => sorted(wanted) == sorted(now),
        ("option", "device") => {
            let bare = |d: &str| if d.len() > 1 { d.trim_end_matches('/').to_owned() } else { d.to_owned() };
            bare(wanted) == bare(now)
        }
        _ => wanted == now,
    }
}

impl DockerVolume {
    fn resource(&self) -> Resource {
        Resource::here(Kind::Volume, &self.name)
    }

    fn refuse_loss(&self, volume: &Volume) -> Result<(), CheckError> {
        if self.purge || volume.keeps_data_elsewhere() {
            return Ok(());
        }
        Err(CheckError::refused(
            format!("volume {} holds its data itself: they would be lost", self.name),
            "save them first, then set `purge = true`".to_owned(),
        ))
    }

    fn create(&self) -> Change {
        let body = serde_json::json!({
            "Name": self.name,
            "Driver": self.driver,
            "DriverOpts": self.options,
            "Labels": self.labels,
        });
        let mut change = Change::new(format!("make volume {}", self.name))
            .field("state", Value::Absent, "present")
            .field("driver", Value::Absent, self.driver.as_str());
        for (word, map) in [("option", &self.options), ("label", &self.labels)] {
            for (key, value) in map {
                change = change.field(format!("{word} {key}"), Value::Absent, value.as_str());
            }
        }
        change
            .action(objects::make(format!("make volume {}", self.name), "volumes", &body))
            .expect(self.resource(), State::Present)
    }

    fn remove(&self) -> Action {
        let label = format!("remove volume {}", self.name);
        objects::remove(label, "volume", std::slice::from_ref(&self.name), Used::Waits)
    }

    /// Nothing of a volume can be changed in place, and the engine does not say when it is asked to.
    fn compare(&self, volume: &Volume) -> Result<Verdict, CheckError> {
        let mut differs: Vec<(String, Option<String>, String)> = Vec::new();
        if volume.driver != self.driver {
            differs.push(("driver".into(), Some(volume.driver.clone()), self.driver.clone()));
        }
        for (word, wanted, actual) in
            [("option", &self.options, &volume.options), ("label", &self.labels, &volume.labels)]
        {
            for (key, value) in wanted {
                if !actual.get(key).is_some_and(|now| same(word, key, value, now)) {
                    differs.push((format!("{word} {key}"), actual.get(key).cloned(), value.clone()));
                }
            }
        }
        if differs.is_empty() {
            let device = volume.options.get("device").map(|d| format!(", {d}")).unwrap_or_default();
            return Ok(Verdict::satisfied(format!("{} volume{device}", volume.driver)));
        }
        if !self.recreate {
            let list: Vec<_> = differs
                .iter()
                .map(|(n, a, w)| {
                    format!("{n} is {}, not {w:?}", a.as_ref().map_or("not set".into(), |a| format!("{a:?}")))
                })
                .collect();
            return Err(CheckError::refused(
                format!("volume {} differs, and cannot be changed in place: {}", self.name, list.join("; ")),
                "`recreate = true` removes it and makes it anew, once no container has it; where it holds data itself, \
                 that wants `purge = true` too"
                    .to_owned(),
            ));
        }
        self.refuse_loss(volume)?;
        let create = self.create();
        let mut change = Change::new(format!("remove volume {} and make it anew", self.name));
        for (name, before, after) in differs {
            change = change.field(name, before, after);
        }
        change.disrupts = Some("containers that have the volume must be removed first, or this fails".into());
        if !volume.keeps_data_elsewhere() {
            change = change.note("its data are lost");
        }
        change = change.action(self.remove());
        change.actions.extend(create.actions);
        change.expects = create.expects;
        Ok(Verdict::Drift(change))
    }
}
