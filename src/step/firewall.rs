//! `firewall`: what firewalld lets in, now and after its next start.

mod zones;

use std::net::IpAddr;

use serde::Deserialize;

use self::zones::{Daemon, Firewall as Found, Item, Zone, port_range};
use super::{Action, Change, Context, Invalid, Step, Validate, Value, Verdict};
use crate::model::value::one_or_many;
use crate::model::{Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::sh;
use crate::shell::Script;

/// The unit that must run for rules to count.
const UNIT: &str = "firewalld.service";

/// What the service `docker-swarm` stands for; firewalld before 0.4.4 has no definition of it.
const SWARM_PORTS: [&str; 4] = ["2377/tcp", "7946/tcp", "7946/udp", "4789/udp"];

/// What firewalld lets in.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Firewall {
    #[serde(deserialize_with = "one_or_many")]
    services: Vec<String>,
    #[serde(deserialize_with = "one_or_many")]
    ports: Vec<String>,
    #[serde(deserialize_with = "one_or_many")]
    protocols: Vec<String>,
    #[serde(deserialize_with = "one_or_many")]
    rich_rules: Vec<String>,
    zone: Option<String>,
    address: Option<String>,
    state: Existence,
    when_stopped: WhenStopped,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Existence {
    #[default]
    Present,
    Absent,
}

/// What to do on a host where firewalld does not run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WhenStopped {
    /// Nothing: nothing is closed there.
    #[default]
    Skip,
    /// Write it down for the day when it is started.
    Offline,
    /// Fail.
    Fail,
}

/// Where a change is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum World {
    /// In the running firewall and in its files.
    Both,
    /// In its files, while it does not run.
    Files,
}

impl Validate for Firewall {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        let name = |text: &str| {
            !text.is_empty()
                && !text.starts_with('-')
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        for (key, list) in [("services", &self.services), ("protocols", &self.protocols)] {
            for (n, text) in list.iter().enumerate().filter(|(_, text)| !name(text)) {
                invalid.push(Invalid::new(
                    format!("{key}[{n}]"),
                    format!("{text:?} is not a name that firewalld takes"),
                ));
            }
        }
        for (n, port) in self.ports.iter().enumerate().filter(|(_, port)| port_range(port).is_none()) {
            invalid.push(
                Invalid::new(format!("ports[{n}]"), format!("{port:?} is not a port with its protocol"))
                    .help("as in \"2049/tcp\" or \"7946-7950/udp\""),
            );
        }
        for (n, rule) in self.rich_rules.iter().enumerate() {
            if !rule.starts_with("rule ") || rule.contains('\n') {
                invalid.push(
                    Invalid::new(
                        format!("rich_rules[{n}]"),
                        "a rich rule starts with `rule` and is one line",
                    )
                    .help("see firewalld.richlanguage(5)"),
                );
            }
        }
        if self.zone.as_ref().is_some_and(|zone| !name(zone)) {
            invalid.push(Invalid::new("zone", "this is not the name of a zone"));
        }
        if self.zone.is_some() && self.address.is_some() {
            invalid.push(Invalid::new("address", "the zone is given already").help("leave one of both out"));
        }
        if self.address.as_ref().is_some_and(|a| a.parse::<IpAddr>().is_err()) {
            invalid.push(Invalid::new("address", "this is not an IP address"));
        }
        if self.items(&[]).is_empty() {
            invalid.push(Invalid::new(
                "",
                "nothing is named: write `services`, `ports`, `protocols` or `rich_rules`",
            ));
        }
        if self.zone.is_none() && self.address.is_none() {
            let login = &context.host.login;
            self.address = login.address.parse::<IpAddr>().ok().map(|address| address.to_string());
        }
        invalid
    }
}

impl Step for Firewall {
    fn probes(&self) -> Vec<Probe> {
        vec![self.probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let probe = self.probe();
        let found = zones::read(&probe, readings.of(&probe)?)?;
        let will_run = match readings.expected(&Resource::here(Kind::Unit, UNIT)) {
            Some(State::Unit { active: Some(active), .. }) => Some(*active),
            _ if found.started_by_package && found.daemon == Daemon::Absent => readings
                .expected(&Resource::here(Kind::Package, "firewalld"))
                .map(|state| *state != State::Absent),
            _ => None,
        };
        let runs = will_run.unwrap_or(found.daemon == Daemon::Running);
        let how = if found.daemon == Daemon::Absent { "not installed" } else { "not running" };
        let world = match (runs, self.when_stopped) {
            (true, _) => World::Both,
            (false, WhenStopped::Skip) => {
                return Ok(Verdict::satisfied(format!("firewalld is {how}: it closes nothing")));
            }
            (false, _) if found.daemon == Daemon::Absent => {
                let later = if self.when_stopped == WhenStopped::Fail { World::Both } else { World::Files };
                let zone = self.zone.as_deref().unwrap_or("public");
                let change = self.change(&found, zone, later, &self.items(&[]), &[]);
                return Ok(Verdict::Unknown {
                    until: Resource::here(Kind::Unit, UNIT),
                    then: Some(change),
                    otherwise: "firewalld is not installed".to_owned(),
                });
            }
            (false, WhenStopped::Fail) => {
                return Err(CheckError::refused(
                    "firewalld is not running",
                    "start it with a `service` step before, or choose `when_stopped = \"skip\"` or `\"offline\"`"
                        .to_owned(),
                ));
            }
            (false, WhenStopped::Offline) => World::Files,
        };
        self.compare(&found, world)
    }

    fn needs(&self) -> Vec<Resource> {
        vec![
            Resource::here(Kind::Unit, UNIT),
            Resource::here(Kind::Package, "firewalld"),
            Resource::here(Kind::Command, "firewall-cmd"),
        ]
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl Firewall {
    fn probe(&self) -> Probe {
        zones::probe(self.address.as_deref().unwrap_or_default(), &self.services)
    }

    /// What is to be let in; `unknown`: the services that firewalld has no definition of.
    fn items(&self, unknown: &[&str]) -> Vec<Item> {
        let swarm = |name: &str| name == "docker-swarm" && unknown.contains(&name);
        let services = self.services.iter().filter(|name| !swarm(name)).cloned().map(Item::Service);
        let mut items: Vec<Item> = services
            .chain(self.ports.iter().cloned().map(Item::Port))
            .chain(self.protocols.iter().cloned().map(Item::Protocol))
            .chain(self.rich_rules.iter().cloned().map(Item::Rule))
            .collect();
        if self.services.iter().any(|name| swarm(name)) {
            items.extend(SWARM_PORTS.map(|port| Item::Port(port.to_owned())));
            items.push(Item::Protocol("esp".into()));
        }
        let mut seen = std::collections::BTreeSet::new();
        items.retain(|item| seen.insert(item.clone()));
        items
    }

    fn compare(&self, found: &Found, world: World) -> Result<Verdict, CheckError> {
        let unknown: Vec<&str> = found.unknown_services.iter().map(String::as_str).collect();
        if let Some(name) = unknown.iter().find(|name| **name != "docker-swarm")
            && self.state == Existence::Present
        {
            return Err(CheckError::refused(
                format!("firewalld does not know a service {name}"),
                "name its ports instead: firewall-cmd --get-services lists the known ones".to_owned(),
            ));
        }
        let zone = self.zone_name(found, world);
        let present = self.state == Existence::Present;
        let items: Vec<Item> = self
            .items(&unknown)
            .into_iter()
            // What it does not know is not open either.
            .filter(|item| present || !unknown.contains(&item.parts().1))
            .collect();
        let has = |zones: &std::collections::BTreeMap<String, Zone>, item: &Item| {
            zones.get(&zone).is_some_and(|z| z.has(item))
        };
        let known = found.daemon != Daemon::Absent;
        if known && !found.permanent.contains_key(&zone) && !found.runtime.contains_key(&zone) {
            return Err(CheckError::refused(
                format!("firewalld has no zone {zone}"),
                format!("it has: {}", found.permanent.keys().cloned().collect::<Vec<_>>().join(", ")),
            ));
        }
        let mut differs = Vec::new();
        let mut before = Vec::new();
        for item in &items {
            let permanent = has(&found.permanent, item);
            // What does not run yet starts with what is in its files.
            let now = if found.daemon == Daemon::Running { has(&found.runtime, item) } else { permanent };
            if (now, permanent) == (present, present) || (world == World::Files && permanent == present) {
                continue;
            }
            differs.push(item.clone());
            before.push(match (now, permanent) {
                (true, true) => "open",
                (true, false) => "open until the next reload",
                (false, true) => "open after the next reload",
                (false, false) => "closed",
            });
        }
        if differs.is_empty() {
            let list: Vec<&str> = items.iter().map(|item| item.parts().1).collect();
            let state = if present { "open" } else { "closed" };
            return Ok(Verdict::satisfied(format!("{state} in zone {zone}: {}", list.join(", "))));
        }
        Ok(Verdict::Drift(self.change(found, &zone, world, &differs, &before)))
    }

    /// The zone of the interface that has the address, for another zone's rules would never be looked at.
    fn zone_name(&self, found: &Found, world: World) -> String {
        if let Some(zone) = &self.zone {
            return zone.clone();
        }
        let zones = if world == World::Both && found.daemon == Daemon::Running {
            &found.runtime
        } else {
            &found.permanent
        };
        found
            .interface
            .as_ref()
            .and_then(|interface| zones.iter().find(|(_, zone)| zone.has_interface(interface)))
            .map_or_else(|| found.default_zone.clone(), |(name, _)| name.clone())
    }

    fn change(&self, found: &Found, zone: &str, world: World, items: &[Item], before: &[&str]) -> Change {
        let present = self.state == Existence::Present;
        let (verb, after) = if present { ("open", "open") } else { ("close", "closed") };
        let list: Vec<&str> = items.iter().map(|item| item.parts().1).collect();
        let summary = format!("{verb} {} in zone {zone}", list.join(", "));
        let mut change = Change::new(summary.clone());
        for (n, item) in items.iter().enumerate() {
            let (what, value) = item.parts();
            let before = match before.get(n) {
                Some(before) if found.daemon != Daemon::Absent => Value::from(*before),
                _ => Value::Unknown,
            };
            let name =
                if matches!(item, Item::Rule(_)) { value.to_owned() } else { format!("{what} {value}") };
            change = change.field(name, before, after);
        }
        if world == World::Files {
            change = change.note("firewalld does not run: this counts from its next start");
        }
        change.action(Action::new(summary, self.script(zone, world, items)))
    }

    /// Sets both worlds one by one: `firewall-cmd --reload` would throw away what Docker put into the running one.
    fn script(&self, zone: &str, world: World, items: &[Item]) -> Script {
        let verb = if self.state == Existence::Present { "add" } else { "remove" };
        let zone = format!("--zone={zone}");
        let mut script = sh!("set -e\n");
        let worlds: &[Script] = match world {
            World::Both => &[sh!("firewall-cmd --permanent"), sh!("firewall-cmd")],
            World::Files => &[sh!("firewall-offline-cmd")],
        };
        for command in worlds {
            for what in ["service", "port", "protocol", "rich-rule"] {
                let options: Vec<String> = items
                    .iter()
                    .map(Item::parts)
                    .filter(|(kind, _)| *kind == what)
                    .map(|(kind, value)| format!("--{verb}-{kind}={value}"))
                    .collect();
                if !options.is_empty() {
                    script = script.script(&sh!("{} {} {}\n", command, zone, options));
                }
            }
        }
        script
    }
}
