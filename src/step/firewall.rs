//! `firewall`: services, ports, protocols and rich rules that a firewalld zone lets in, now and after a restart.

use std::net::IpAddr;

use serde::Deserialize;

use super::family::existence::Existence;
use super::family::firewalld::{self, Found, Item, Listing, Opened, Place, Rules, Side};
use super::{Action, Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::diagnostic::nearest;
use crate::model::{Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: crate::program::Programs = &[firewalld::PROGRAMS];

const BOTH: [Side; 2] = [Side::Runtime, Side::Permanent];

/// What a zone lets in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firewall {
    #[serde(default)]
    services: Vec<String>,
    #[serde(default)]
    ports: Vec<String>,
    #[serde(default)]
    protocols: Vec<String>,
    #[serde(default)]
    rich_rules: Vec<String>,
    zone: Option<String>,
    address: Option<String>,
    #[serde(default)]
    state: Existence,
    #[serde(default)]
    when_stopped: WhenStopped,
    /// What the keys ask for.
    #[serde(skip)]
    items: Vec<Item>,
    /// Where sshd of the host listens, as the inventory knows it.
    #[serde(skip)]
    ssh_port: u16,
}

/// What to do where firewalld does not run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WhenStopped {
    /// Nothing: it filters nothing.
    #[default]
    Skip,
    /// Change its permanent configuration.
    Offline,
    /// That is an error.
    Fail,
}

impl Validate for Firewall {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        let mut items = Vec::new();
        let lists = [
            ("services", &self.services),
            ("ports", &self.ports),
            ("protocols", &self.protocols),
            ("rich_rules", &self.rich_rules),
        ];
        for (key, list) in lists {
            for (n, text) in list.iter().enumerate() {
                match Item::read(key, text) {
                    Ok(item) if items.iter().any(|i: &Item| i.same(&item)) => {}
                    Ok(item) => items.push(item),
                    Err((message, help)) => {
                        let mistake = Invalid::new(format!("{key}[{n}]"), message);
                        invalid.push(if let Some(help) = help { mistake.help(help) } else { mistake });
                    }
                }
            }
        }
        if items.is_empty() && invalid.is_empty() {
            invalid.push(
                Invalid::new("", "it names nothing to let in")
                    .help("give `services`, `ports`, `protocols` or `rich_rules`"),
            );
        }
        self.items = items;
        if let Some(zone) = &self.zone {
            let good = |c: char| c.is_ascii_alphanumeric() || "_-/".contains(c);
            if zone.is_empty() || !zone.chars().all(good) {
                invalid.push(Invalid::new("zone", format!("{zone:?} is not the name of a zone")));
            }
            if self.address.is_some() {
                invalid.push(
                    Invalid::new("address", "`zone` and `address` exclude each other")
                        .help("an address stands for the zone of the interface that has it"),
                );
            }
        }
        match &self.address {
            Some(address) if address.parse::<IpAddr>().is_err() => {
                invalid.push(Invalid::new("address", format!("{address:?} is not an IP address")));
            }
            None => self.address = Some(context.host().login.address.clone()),
            Some(_) => {}
        }
        self.ssh_port = context.host().login.port.unwrap_or(22);
        invalid
    }
}

impl Step for Firewall {
    fn probes(&self) -> Vec<Probe> {
        self.asking(|place, rules| vec![firewalld::probe(place, rules)])
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let found = self.asking(|place, rules| firewalld::read(readings, place, rules))?;
        let unit = firewalld::unit();
        let planned = match readings.expected(&unit) {
            Some(State::Unit { active, .. }) => *active,
            _ => None,
        };
        let (word, until) = match &found {
            Found::Running(now) if planned != Some(false) => return self.running(readings, now),
            Found::Running(_) => ("firewalld will not be running", unit),
            // What is in force right after its start is the permanent configuration.
            Found::Stopped(Ok(now)) if planned == Some(true) => return self.running(readings, now),
            _ if planned == Some(true) || package_starts_it(readings, &found) => {
                return Ok(self.later(readings, &BOTH));
            }
            Found::Absent { .. } => {
                ("firewalld is not installed", Resource::here(Kind::Command, "firewall-cmd"))
            }
            Found::Stopped(_) => ("firewalld is not running", unit),
        };
        let then = match (self.when_stopped, found) {
            (WhenStopped::Skip, _) => {
                return Ok(Verdict::satisfied(format!("{word}: it filters nothing")));
            }
            (WhenStopped::Offline, Found::Stopped(Ok(now)) | Found::Running(now)) => {
                return self.stopped(readings, &now);
            }
            (WhenStopped::Offline, Found::Stopped(Err(error))) => return Err(error),
            (WhenStopped::Offline, Found::Absent { .. }) => self.later(readings, &[Side::Offline]),
            (WhenStopped::Fail, _) => self.later(readings, &BOTH),
        };
        let then = if let Verdict::Drift(change) = then { Some(change) } else { None };
        Ok(Verdict::Unknown { until, then, otherwise: word.to_owned() })
    }

    fn inverse(&self, change: &Change) -> Inverse {
        let before: Vec<&str> = [Side::Runtime, Side::Permanent, Side::Offline]
            .iter()
            .filter_map(|side| change.before(side.word()))
            .flat_map(|items| items.split(", "))
            .collect();
        let was_open = |item: &&Item| before.contains(&item.to_string().as_str());
        // What was let in before stays so, and what was closed is let in again if it was listed word by word.
        let (open, closed): (Vec<&Item>, Vec<&Item>) = self.items.iter().partition(was_open);
        let (back, state) = if self.wanted() { (closed, "absent") } else { (open, "present") };
        if back.is_empty() {
            return Inverse::none("what was closed was a part of something wider");
        }
        let mut keys = vec![("state", state.into())];
        keys.extend(self.zone.as_deref().map(|zone| ("zone", zone.into())));
        keys.extend(firewalld::keys(&back));
        Inverse::of("firewall", keys)
    }

    fn provides(&self) -> Vec<Resource> {
        self.items.iter().map(|item| Resource::here(Kind::Firewall, &item.name())).collect()
    }

    fn needs(&self) -> Vec<Resource> {
        let mut needs = vec![
            firewalld::unit(),
            Resource::here(Kind::Command, "firewall-cmd"),
            Resource::here(Kind::Package, "firewalld"),
        ];
        needs.extend(self.provides());
        needs
    }
}

impl Firewall {
    fn place(&self) -> Place<'_> {
        match (&self.zone, &self.address) {
            (Some(zone), _) => Place::Zone(zone),
            (None, Some(address)) => Place::Address(address),
            (None, None) => Place::Default,
        }
    }

    /// Calls `with` with what is asked.
    fn asking<T>(&self, with: impl FnOnce(&Place<'_>, Rules<'_>) -> T) -> T {
        let rules = self.items.iter().filter_map(|item| match item {
            Item::Rule(rule) => Some(rule.as_str()),
            _ => None,
        });
        let rules: Vec<&str> = rules.collect();
        let offline = self.when_stopped == WhenStopped::Offline;
        with(&self.place(), Rules { rules: &rules, absent: !self.wanted(), offline })
    }

    fn wanted(&self) -> bool {
        self.state == Existence::Present
    }

    /// Its own items, with ports in place of a service that firewalld does not know.
    fn known_items(&self, now: &Listing) -> Result<(Vec<Item>, Vec<String>), CheckError> {
        let mut items = Vec::new();
        let mut notes = Vec::new();
        for item in &self.items {
            let Item::Service(name) = item else {
                items.push(item.clone());
                continue;
            };
            if now.known_services.contains(name) {
                items.push(item.clone());
                continue;
            }
            if let Some(instead) = firewalld::ports_of(name) {
                let words: Vec<String> = instead.iter().map(Item::to_string).collect();
                notes.push(format!(
                    "firewalld does not know the service {name} here: {} instead",
                    words.join(", ")
                ));
                items.extend(instead);
            } else if self.wanted() {
                let near = nearest(name, &now.known_services).map_or_else(
                    || {
                        "name its ports in `ports`; the services are listed by firewall-cmd --get-services"
                            .to_owned()
                    },
                    |near| format!("did you mean `{near}`? otherwise name its ports in `ports`"),
                );
                return Err(CheckError::refused(format!("firewalld does not know the service {name}"), near));
            }
        }
        let mut unique: Vec<Item> = Vec::new();
        for item in items {
            if !unique.contains(&item) {
                unique.push(item);
            }
        }
        Ok((unique, notes))
    }

    fn running(&self, readings: &Readings, now: &Listing) -> Result<Verdict, CheckError> {
        let (items, notes) = self.known_items(now)?;
        let expected = |item: &Item| self.expected(readings, item, &now.zone);
        let runtime = self.differing(&items, Some(&now.runtime), expected);
        let permanent = self.differing(&items, Some(&now.permanent), expected);
        let either: Vec<Item> = items
            .iter()
            .filter(|i| runtime.differing.contains(i) || permanent.differing.contains(i))
            .cloned()
            .collect();
        if either.is_empty() {
            return Ok(self.satisfied(&items, &now.zone));
        }
        let only = match (runtime.differing.is_empty(), permanent.differing.is_empty()) {
            (true, _) => ", for the next start too",
            (_, true) => ", right now too",
            _ => "",
        };
        let change = Change::new(format!("{} in zone {}{only}", self.verb(&either), now.zone));
        let change = self.act(Change { notes, ..change }, runtime, Side::Runtime, &now.zone, &now.runtime);
        let change = self.act(change, permanent, Side::Permanent, &now.zone, &now.permanent);
        Ok(Verdict::Drift(self.finish(change, &items, &now.zone)))
    }

    /// firewalld does not run and shall not: its files are changed.
    fn stopped(&self, readings: &Readings, now: &Listing) -> Result<Verdict, CheckError> {
        let (items, notes) = self.known_items(now)?;
        let expected = |item: &Item| self.expected(readings, item, &now.zone);
        let permanent = self.differing(&items, Some(&now.permanent), expected);
        if permanent.differing.is_empty() {
            return Ok(self.satisfied(&items, &now.zone));
        }
        let change = Change::new(format!("{} in zone {}", self.verb(&permanent.differing), now.zone));
        let change = Change { notes, ..change }.note("firewalld does not run: it counts from its next start");
        let change = self.act(change, permanent, Side::Offline, &now.zone, &now.permanent);
        Ok(Verdict::Drift(self.finish(change, &items, &now.zone)))
    }

    fn act(&self, change: Change, difference: Difference, side: Side, zone: &str, now: &Opened) -> Change {
        let Difference { differing, before, after } = difference;
        if differing.is_empty() {
            return change;
        }
        change.field(side.word(), before, after).action(Action::new(
            format!("{} in zone {zone} ({})", self.verb(&differing), side.word()),
            firewalld::act(&Place::Zone(zone), &differing, self.wanted(), side, Some(now)),
        ))
    }

    /// firewalld will be there by then, as it comes.
    fn later(&self, readings: &Readings, sides: &[Side]) -> Verdict {
        let place = self.place();
        let zone = self.zone.clone().unwrap_or_default();
        let has =
            |item: &Item| self.expected(readings, item, &zone).or_else(|| Some(firewalld::comes_open(item)));
        let differing = self.differing(&self.items, None, has).differing;
        if differing.is_empty() {
            return self.satisfied(&self.items, &zone);
        }
        let of_zone = if zone.is_empty() { String::new() } else { format!(" in zone {zone}") };
        let summary = format!("{}{of_zone}", self.verb(&differing));
        let after = if self.wanted() { Value::Text(join(&self.items)) } else { Value::Absent };
        let mut change = Change::new(&summary);
        for side in sides {
            change = change.field(side.word(), Value::Unknown, after.clone()).action(Action::new(
                format!("{summary} ({})", side.word()),
                firewalld::act(&place, &differing, self.wanted(), *side, None),
            ));
        }
        Verdict::Drift(self.finish(change, &self.items, &zone))
    }

    fn finish(&self, mut change: Change, items: &[Item], zone: &str) -> Change {
        if !self.wanted() && items.iter().any(|i| i.lets_ssh_in(self.ssh_port)) {
            change.disrupts = Some("closes the door to ssh: the host may be out of reach after it".into());
        }
        let state = if self.wanted() { State::Present } else { State::Absent };
        for item in items {
            change = change.expect(firewalld::resource(item, zone), state.clone());
        }
        change
    }

    /// Whether an earlier step of the plan leaves `item` let in.
    fn expected(&self, readings: &Readings, item: &Item, zone: &str) -> Option<bool> {
        let in_zone = readings.expected(&firewalld::resource(item, zone));
        let state = match in_zone {
            None if self.zone.is_none() => readings.expected(&firewalld::resource(item, "")),
            state => state,
        };
        match state {
            Some(State::Present) => Some(true),
            Some(State::Absent) => Some(false),
            _ => None,
        }
    }

    /// What has to be changed of `items`, where an earlier step leaves them as `expected`, or else they are as in `now`.
    /// What is to be let in must be there whole; of what is to be gone, nothing.
    fn differing(
        &self,
        items: &[Item],
        now: Option<&Opened>,
        expected: impl Fn(&Item) -> Option<bool>,
    ) -> Difference {
        let wanted = self.wanted();
        let is = |now: &Opened, item: &Item| if wanted { now.has(item) } else { now.touches(item) };
        let open = |item: &Item| expected(item).unwrap_or_else(|| now.is_some_and(|now| is(now, item)));
        let (open, closed): (Vec<Item>, Vec<Item>) = items.iter().cloned().partition(open);
        let listed = |item: &Item| -> Vec<String> {
            let parts = now.filter(|_| !wanted).into_iter().flat_map(|now| now.parts_of(item));
            let parts: Vec<String> = parts.map(|there| there.shared_with(item)).collect();
            if parts.is_empty() { vec![item.to_string()] } else { parts }
        };
        let before: Vec<String> = open.iter().flat_map(listed).collect();
        let before = if before.is_empty() { Value::Absent } else { Value::Text(before.join(", ")) };
        let after = if wanted { Value::Text(join(items)) } else { Value::Absent };
        Difference { differing: if wanted { closed } else { open }, before, after }
    }

    fn satisfied(&self, items: &[Item], zone: &str) -> Verdict {
        let mut reason = if self.wanted() { "open".to_owned() } else { "closed".to_owned() };
        if !zone.is_empty() {
            reason = format!("{reason} in zone {zone}");
        }
        if !items.is_empty() {
            reason = format!("{reason}: {}", join(items));
        }
        Verdict::satisfied(reason)
    }

    fn verb(&self, items: &[Item]) -> String {
        format!("{} {}", if self.wanted() { "open" } else { "close" }, join(items))
    }
}

/// The items as one of the two configurations has them.
struct Difference {
    /// What has to be changed.
    differing: Vec<Item>,
    before: Value,
    after: Value,
}

fn join(items: &[Item]) -> String {
    items.iter().map(Item::to_string).collect::<Vec<_>>().join(", ")
}

/// A package of Debian starts what it brings (Debian Policy 9.3.3.1).
fn package_starts_it(readings: &Readings, found: &Found) -> bool {
    let package = Resource::here(Kind::Package, "firewalld");
    matches!(found, Found::Absent { debian: true }) && readings.expected(&package) == Some(&State::Present)
}
