//! `failover_drill`: breaks a Redis service on purpose and measures until its data is read back through every node.
//!
//! A container is stopped where it runs, a node is drained on a manager, its power is cut from wherever the power can
//! be switched.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value as Json;

use super::family::docker::api::{self, Engine};
use super::family::docker::good_name;
use super::family::docker::json::at;
use super::family::docker::swarm::{self, Availability, Info, ManagerHost, Node, without_port};
use super::{Change, Context, Invalid, Inverse, Step, Validate, Verdict};
use crate::model::value::{duration, one_or_many};
use crate::model::{HostName, Kind, Resource};
use crate::probe::{CheckError, Probe, Readings};
use crate::program::Programs;

mod act;

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs = &[act::PROGRAMS, api::PROGRAMS];

/// A drill.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailoverDrill {
    service: String,
    #[serde(default = "redis_port")]
    port: u16,
    password: Option<String>,
    #[serde(default = "harmless", deserialize_with = "one_or_many")]
    modes: Vec<Mode>,
    power: Option<Power>,
    #[serde(default = "three_minutes", deserialize_with = "duration")]
    deadline: Duration,
    #[serde(default = "default_key")]
    key: String,
    #[serde(skip)]
    manager: Option<ManagerHost>,
    #[serde(skip)]
    power_host: Option<HostName>,
    /// Inventory names by address.
    #[serde(skip)]
    hosts: BTreeMap<String, HostName>,
}

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// The container is stopped.
    Stop,
    /// The node that runs it is drained.
    Drain,
    /// The node that runs it loses its power.
    Power,
}

impl Mode {
    fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Drain => "drain",
            Self::Power => "power",
        }
    }
}

/// How a node's power is switched: commands with `$NODE`, its name in the inventory, and `$ADDRESS`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Power {
    host: String,
    off: String,
    on: String,
}

fn redis_port() -> u16 {
    6379
}

fn harmless() -> Vec<Mode> {
    vec![Mode::Stop, Mode::Drain]
}

fn three_minutes() -> Duration {
    Duration::from_mins(3)
}

fn default_key() -> String {
    "hostwright:drill".into()
}

impl Validate for FailoverDrill {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        let mut invalid: Vec<Invalid> = good_name("service", &self.service).into_iter().collect();
        match ManagerHost::find(None, context) {
            Ok(manager) => self.manager = Some(manager),
            Err(why) => invalid.push(why),
        }
        self.hosts = context.inventory.iter().map(|h| (h.login.address.clone(), h.name.clone())).collect();
        self.modes.sort_unstable();
        self.modes.dedup();
        if self.modes.is_empty() {
            invalid.push(
                Invalid::new("modes", "nothing to break")
                    .help("name some of \"stop\", \"drain\" and \"power\""),
            );
        }
        if self.port == 0 {
            invalid.push(Invalid::new("port", "0 is no port"));
        }
        if self.password.as_deref().is_some_and(|p| p.contains(['\n', '\r'])) {
            invalid.push(Invalid::new("password", "a password with a line break cannot be sent"));
        }
        if self.key.is_empty() || !self.key.chars().all(|c| c.is_ascii_alphanumeric() || ":_.-".contains(c)) {
            invalid.push(Invalid::new("key", "use letters, digits, `:`, `_`, `.` and `-`"));
        }
        match (&self.power, self.modes.contains(&Mode::Power)) {
            (None, true) => invalid.push(
                Invalid::new("modes", "\"power\" wants to know how the power is switched")
                    .help("give `power = { host = \"HOST\", off = \"COMMAND\", on = \"COMMAND\" }`; the commands find the node in $NODE"),
            ),
            (Some(_), false) => {
                invalid.push(Invalid::new("power", "`power` is given, but `modes` does not name \"power\""));
            }
            (Some(power), true) => match ManagerHost::find(Some(&power.host), context) {
                Ok(host) => self.power_host = Some(host.name),
                Err(why) => invalid.push(Invalid { path: "power.host".into(), ..why }),
            },
            (None, false) => {}
        }
        invalid
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Task {
    #[serde(rename = "NodeID")]
    node_id: String,
    desired_state: String,
    status: TaskStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct TaskStatus {
    state: String,
}

impl Step for FailoverDrill {
    fn probes(&self) -> Vec<Probe> {
        vec![self.probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let probe = self.probe();
        let resource = Resource::fleet(Kind::Service, &self.service);
        let unknown = |otherwise: String| Verdict::Unknown {
            until: resource.clone(),
            then: Some(self.change(&Found::default())),
            otherwise,
        };
        let responses = match api::read(readings, &probe)? {
            Engine::Up(responses) => responses,
            Engine::Coming => return Ok(unknown("there is no swarm".into())),
            Engine::Missing(why) => return Ok(unknown(why)),
        };
        let [info, service, tasks, nodes] = responses.as_slice() else {
            return Err(CheckError::unreadable(&probe, readings.of(&probe)?, "expected four responses"));
        };
        let info: Info = info.json(&probe, readings)?;
        if !info.swarm.control_available {
            return Ok(unknown("this host is no manager of a swarm".into()));
        }
        if service.status == 404 {
            return Ok(unknown(format!("there is no service {}", self.service)));
        }
        let service: Json = service.json(&probe, readings)?;
        let tasks: Vec<Task> = tasks.json(&probe, readings)?;
        let nodes: Vec<Node> = nodes.json(&probe, readings)?;
        let found = self.find(&service, &tasks, &nodes)?;
        Ok(Verdict::Drift(self.change(&found)))
    }

    fn inverse(&self, _: &Change) -> Inverse {
        Inverse::nothing()
    }

    fn needs(&self) -> Vec<Resource> {
        vec![api::engine_of(None), swarm::swarm(), Resource::fleet(Kind::Service, &self.service)]
    }
}

/// Where things are.
#[derive(Debug, Default)]
struct Found {
    /// The host that runs the task.
    host: Option<HostName>,
    /// Its name, for people.
    at: String,
    /// The addresses of all nodes that are up.
    addresses: Vec<String>,
}

impl FailoverDrill {
    fn probe(&self) -> Probe {
        api::get(&[
            "/info".to_owned(),
            format!("/services/{}", self.service),
            format!("/tasks?filters=%7B%22service%22%3A%5B%22{}%22%5D%7D", self.service),
            "/nodes".to_owned(),
        ])
    }

    fn find(&self, service: &Json, tasks: &[Task], nodes: &[Node]) -> Result<Found, CheckError> {
        let name = &self.service;
        let refuse = |message: String, hint: &str| Err(CheckError::refused(message, hint.to_owned()));
        let ports = at(service, "Spec/EndpointSpec/Ports").as_array();
        let published = ports.into_iter().flatten().any(|p| {
            p["PublishedPort"].as_u64() == Some(self.port.into()) && p["PublishMode"].as_str() != Some("host")
        });
        if !published {
            return refuse(
                format!("service {name} does not publish port {} on every node", self.port),
                "set `port` to the published one",
            );
        }
        let running: Vec<&Task> =
            tasks.iter().filter(|t| t.desired_state == "running" && t.status.state == "running").collect();
        let [task] = running.as_slice() else {
            return refuse(
                format!("service {name} has {} running tasks: a drill wants exactly one", running.len()),
                "look at `docker service ps` first",
            );
        };
        let up: Vec<&Node> = nodes.iter().filter(|n| n.status.state == "ready").collect();
        let Some(node) = up.iter().find(|n| n.id == task.node_id) else {
            return refuse(format!("the node that runs {name} is not up"), "look at `docker node ls` first");
        };
        let constraints = at(service, "Spec/TaskTemplate/Placement/Constraints");
        let fits = |n: &&&Node| n.spec.availability == Availability::Active && fits(n, constraints);
        let eligible = up.iter().filter(fits).count();
        if eligible < 2 && self.modes.iter().any(|m| *m != Mode::Stop) {
            return refuse(
                format!("{name} has no other node to go to: {eligible} active node fits its constraints"),
                "drill with `modes = [\"stop\"]`, or make another node fit",
            );
        }
        let address = node_address(node);
        let host = self.hosts.get(&address).cloned();
        if host.is_none() && self.modes.contains(&Mode::Stop) {
            return refuse(
                format!("the node that runs {name} ({address}) is no host of the inventory"),
                "add it, or leave \"stop\" out of `modes`",
            );
        }
        let at = host.as_ref().map_or_else(|| address.clone(), ToString::to_string);
        Ok(Found { host, at, addresses: up.iter().map(|n| node_address(n)).collect() })
    }

    fn change(&self, found: &Found) -> Change {
        let name = &self.service;
        let words: Vec<_> = self.modes.iter().map(|m| m.word()).collect();
        let mut change = Change::new(format!("drill the failover of {name}: {}", words.join(", ")));
        change.always = true;
        let each =
            if words.len() == 1 { String::new() } else { format!(" in each of {} stages", words.len()) };
        change.disrupts = Some(format!("{name} is down for some ten seconds{each}"));
        if !found.at.is_empty() {
            change = change.note(format!("{name} runs on {}", found.at));
        }
        for mode in &self.modes {
            let action = match mode {
                Mode::Stop => self.stop(found),
                Mode::Drain => self.drain(found),
                Mode::Power => self.cut_power(found),
            };
            change = change.action(action).action(self.settle());
        }
        change.action(self.report(found))
    }
}

/// Where a node is reached; a manager may know itself as 0.0.0.0 (moby/moby#27728).
fn node_address(node: &Node) -> String {
    match (&node.manager_status, node.status.addr.as_str()) {
        (Some(manager), "" | "0.0.0.0") => without_port(&manager.addr).to_owned(),
        (_, address) => address.to_owned(),
    }
}

/// Whether a node fits, as far as labels, role and id decide; other constraints are taken to be met.
fn fits(node: &Node, constraints: &Json) -> bool {
    constraints.as_array().into_iter().flatten().filter_map(Json::as_str).all(|constraint| {
        let (key, equal, value) = match (constraint.split_once("=="), constraint.split_once("!=")) {
            (Some((key, value)), _) => (key.trim(), true, value.trim()),
            (None, Some((key, value))) => (key.trim(), false, value.trim()),
            (None, None) => return true,
        };
        let actual = match key {
            "node.role" => node.spec.role.word(),
            "node.id" => &node.id,
            "node.hostname" => &node.description.hostname,
            _ => match key.strip_prefix("node.labels.") {
                Some(label) => node.spec.labels.get(label).map_or("", String::as_str),
                None => return true,
            },
        };
        (actual == value) == equal
    })
}
