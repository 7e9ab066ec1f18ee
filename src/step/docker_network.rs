//! `docker_network`: a network of one host's engine, or an overlay of the swarm.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::Deserialize;

use super::family::docker::api;
use super::family::docker::json::null_is_default;
use super::family::docker::objects::{self, Used};
use super::family::docker::opening::Thing;
use super::family::docker::swarm::{self, LocalState, Own};
use super::family::docker::{Existence, good_name, subnet};
use super::{Action, Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::{Kind, Resource, Scope, State};
use crate::probe::{CheckError, Probe, Readings};

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: crate::program::Programs = &[api::PROGRAMS, objects::PROGRAMS];

/// A network.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DockerNetwork {
    name: String,
    #[serde(default = "bridge")]
    driver: String,
    subnet: Option<String>,
    gateway: Option<String>,
    ip_range: Option<String>,
    attachable: Option<bool>,
    internal: Option<bool>,
    ipv6: Option<bool>,
    encrypted: Option<bool>,
    #[serde(default)]
    options: BTreeMap<String, String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    recreate: bool,
    #[serde(default)]
    state: Existence,
}

fn bridge() -> String {
    "bridge".into()
}

/// `GET /networks`, as far as it matters here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Network {
    name: String,
    id: String,
    driver: String,
    #[serde(default)]
    attachable: bool,
    #[serde(default)]
    internal: bool,
    #[serde(default, rename = "EnableIPv6")]
    enable_ipv6: bool,
    #[serde(default, rename = "IPAM")]
    ipam: Ipam,
    #[serde(default, deserialize_with = "null_is_default")]
    options: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "null_is_default")]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Ipam {
    #[serde(deserialize_with = "null_is_default")]
    config: Vec<IpamConfig>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct IpamConfig {
    subnet: String,
    gateway: String,
    #[serde(rename = "IPRange")]
    ip_range: String,
}

impl Validate for DockerNetwork {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        invalid.extend(good_name("name", &self.name));
        if matches!(self.name.as_str(), "bridge" | "host" | "none" | "ingress" | "docker_gwbridge") {
            invalid.push(Invalid::new("name", format!("{:?} is a network of the engine's own", self.name)));
        }
        for (key, value) in [("subnet", &self.subnet), ("ip_range", &self.ip_range)] {
            let Some(value) = value else { continue };
            let good = value.split_once('/').is_some_and(|(net, bits)| {
                let most = if net.contains(':') { 128 } else { 32 };
                swarm::is_ip(net) && bits.parse::<u8>().is_ok_and(|b| b <= most)
            });
            if !good {
                invalid.push(
                    Invalid::new(key, format!("{value:?} is not a subnet"))
                        .help("write it as \"10.20.0.0/24\""),
                );
            } else if let Some(net) = subnet::without_host(value) {
                invalid.push(
                    Invalid::new(key, format!("{value:?} has an address within its subnet"))
                        .help(format!("write {net:?}")),
                );
            }
        }
        if let Some(gateway) = self.gateway.as_deref().filter(|g| !swarm::is_ip(g)) {
            invalid.push(Invalid::new("gateway", format!("{gateway:?} is not an IP address")));
        }
        if self.subnet.is_none() && (self.gateway.is_some() || self.ip_range.is_some()) {
            invalid.push(Invalid::new("", "`gateway` and `ip_range` want a `subnet`"));
        }
        if self.encrypted.is_some() && !self.is_overlay() {
            invalid.push(Invalid::new("encrypted", "only an overlay network can be encrypted"));
        }
        invalid
    }
}

impl Step for DockerNetwork {
    fn probes(&self) -> Vec<Probe> {
        let networks = api::get(&["/networks"]);
        if self.is_overlay() { vec![networks, swarm::info_probe()] } else { vec![networks] }
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let thing = Thing {
            probe: &api::get(&["/networks"]),
            resource: self.resource(),
            wanted: self.state,
            what: "network",
            made: "made",
        };
        let networks: Vec<Network> = match thing.list(readings, || self.create())? {
            ControlFlow::Break(verdict) => return Ok(verdict),
            ControlFlow::Continue(networks) => networks,
        };
        let found: Vec<_> = networks.iter().filter(|n| n.name == self.name).collect();
        if self.state == Existence::Present
            && let Some(verdict) = self.without_swarm(readings)?
        {
            return Ok(verdict);
        }
        match (self.state, found.as_slice()) {
            (Existence::Absent, []) => Ok(Verdict::satisfied("not there")),
            (Existence::Absent, found) => {
                let mut change = Change::new(format!("remove network {}", self.name))
                    .field("state", "present", Value::Absent)
                    .expect(self.resource(), State::Absent);
                for network in found {
                    change = change.action(remove(network));
                }
                Ok(Verdict::Drift(change))
            }
            (Existence::Present, []) => Ok(Verdict::Drift(self.create())),
            (Existence::Present, [network]) => self.compare(network),
            (Existence::Present, several) => Err(CheckError::refused(
                format!("{} networks are called {}", several.len(), self.name),
                format!("remove all but one by id: {}", {
                    let ids: Vec<_> = several.iter().map(|n| n.id.as_str()).collect();
                    ids.join(", ")
                }),
            )),
        }
    }

    fn inverse(&self, change: &Change) -> Inverse {
        if change.was_absent("state") {
            return Inverse::removal("docker_network", "name", &self.name);
        }
        Inverse::none(format!("what the network {} was before was not kept", self.name))
    }

    fn provides(&self) -> Vec<Resource> {
        match self.state {
            Existence::Present => vec![self.resource()],
            Existence::Absent => Vec::new(),
        }
    }

    fn needs(&self) -> Vec<Resource> {
        let mut needs = vec![api::engine_of(None)];
        if self.is_overlay() {
            needs.push(swarm::swarm());
        }
        needs
    }
}

impl DockerNetwork {
    fn is_overlay(&self) -> bool {
        self.driver == "overlay"
    }

    /// An overlay belongs to the swarm, anything else to the host.
    fn resource(&self) -> Resource {
        let scope = if self.is_overlay() { Scope::Fleet } else { Scope::Here };
        Resource { scope, kind: Kind::Network, name: self.name.as_str().into() }
    }

    /// The verdict on an overlay where this host is no manager.
    fn without_swarm(&self, readings: &Readings) -> Result<Option<Verdict>, CheckError> {
        if !self.is_overlay() {
            return Ok(None);
        }
        let why = match swarm::info(readings)? {
            Own::Up(info) if info.swarm.control_available => return Ok(None),
            Own::Up(info) if info.swarm.local_node_state == LocalState::Active => {
                return Err(CheckError::refused(
                    "this host is a worker: overlay networks are made on a manager",
                    "narrow the step's `hosts` to one manager".to_owned(),
                ));
            }
            _ => "this host is in no swarm",
        };
        if swarm::swarm_is_coming(readings) {
            return Ok(None);
        }
        let then = Some(self.create());
        Ok(Some(Verdict::Unknown { until: swarm::swarm(), then, otherwise: why.into() }))
    }

    fn options(&self) -> BTreeMap<String, String> {
        let mut options = self.options.clone();
        if self.encrypted == Some(true) {
            options.insert("encrypted".into(), String::new());
        }
        options
    }

    /// What is said of it, by the names that a plan shows.
    fn wanted(&self) -> Vec<(String, String)> {
        let text = [("subnet", &self.subnet), ("gateway", &self.gateway), ("ip_range", &self.ip_range)];
        let flags = [
            ("attachable", self.attachable),
            ("internal", self.internal),
            ("ipv6", self.ipv6),
            ("encrypted", self.encrypted),
        ];
        let mut wanted: Vec<_> =
            text.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?))).collect();
        wanted.extend(flags.into_iter().filter_map(|(key, flag)| Some((key.to_owned(), flag?.to_string()))));
        for (word, map) in [("option", &self.options), ("label", &self.labels)] {
            wanted.extend(map.iter().map(|(key, value)| (format!("{word} {key}"), value.clone())));
        }
        wanted
    }

    fn create(&self) -> Change {
        let mut ipam = serde_json::Map::new();
        for (key, value) in
            [("Subnet", &self.subnet), ("IPRange", &self.ip_range), ("Gateway", &self.gateway)]
        {
            if let Some(value) = value {
                ipam.insert(key.into(), value.as_str().into());
            }
        }
        let config = if ipam.is_empty() { Vec::new() } else { vec![serde_json::Value::Object(ipam)] };
        let body = serde_json::json!({
            "Name": self.name,
            "CheckDuplicate": true,
            "Driver": self.driver,
            "Attachable": self.attachable.unwrap_or_default(),
            "Internal": self.internal.unwrap_or_default(),
            "EnableIPv6": self.ipv6.unwrap_or_default(),
            "IPAM": { "Driver": "default", "Config": config },
            "Options": self.options(),
            "Labels": self.labels,
        });
        let mut change = Change::new(format!("make {} network {}", self.driver, self.name))
            .field("state", Value::Absent, "present")
            .field("driver", Value::Absent, self.driver.as_str());
        for (key, value) in self.wanted() {
            change = change.field(key, Value::Absent, value);
        }
        change
            .action(objects::make(format!("make network {}", self.name), "networks", &body))
            .expect(self.resource(), State::Present)
    }

    /// Nothing of a network can be changed in place.
    fn compare(&self, network: &Network) -> Result<Verdict, CheckError> {
        let mut differs: Vec<(String, String, String)> = Vec::new();
        let mut compare = |name: &str, wanted: &str, actual: &str| {
            let same = match name {
                "subnet" | "gateway" | "ip_range" => subnet::canonical(wanted) == subnet::canonical(actual),
                _ => wanted == actual,
            };
            if !same {
                differs.push((name.into(), actual.into(), wanted.into()));
            }
        };
        compare("driver", &self.driver, &network.driver);
        let own = self.subnet.as_deref().map(subnet::canonical);
        let ipam = network.ipam.config.iter().find(|c| Some(subnet::canonical(&c.subnet)) == own);
        let ipam = ipam.or_else(|| network.ipam.config.first()).cloned().unwrap_or_default();
        let flag = |b: bool| if b { "true" } else { "false" };
        for (key, wanted) in self.wanted() {
            let actual = match key.as_str() {
                "subnet" => &ipam.subnet,
                "gateway" => &ipam.gateway,
                "ip_range" => &ipam.ip_range,
                "attachable" => flag(network.attachable),
                "internal" => flag(network.internal),
                "ipv6" => flag(network.enable_ipv6),
                "encrypted" => flag(network.options.contains_key("encrypted")),
                key => {
                    let of = |word: &str, map: &BTreeMap<String, String>| {
                        map.get(key.strip_prefix(word)?).cloned()
                    };
                    &of("option ", &network.options)
                        .or_else(|| of("label ", &network.labels))
                        .unwrap_or_default()
                }
            };
            compare(&key, &wanted, actual);
        }
        if differs.is_empty() {
            return Ok(Verdict::satisfied(
                format!("{} network {}", network.driver, ipam.subnet).trim_end().to_owned(),
            ));
        }
        if !self.recreate {
            let list: Vec<_> = differs.iter().map(|(n, a, w)| format!("{n} is {a:?}, not {w:?}")).collect();
            return Err(CheckError::refused(
                format!("network {} differs, and cannot be changed in place: {}", self.name, list.join("; ")),
                "`recreate = true` removes it and makes it anew, once nothing is connected to it".to_owned(),
            ));
        }
        let create = self.create();
        let mut change = Change::new(format!("remove network {} and make it anew", self.name));
        for (name, before, after) in differs {
            change = change.field(name, before, after);
        }
        change.disrupts =
            Some("what is connected to the network must be stopped first, or this fails".into());
        change = change.action(remove(network));
        change.actions.extend(create.actions);
        change.expects = create.expects;
        Ok(Verdict::Drift(change))
    }
}

/// Removes a network by id.
fn remove(network: &Network) -> Action {
    let label = format!("remove network {}", network.name);
    objects::remove(label, "network", std::slice::from_ref(&network.id), Used::Waits)
}
