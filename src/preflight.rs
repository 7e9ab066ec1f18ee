//! What is wrong with a fleet before it becomes a swarm: nothing that stops a run, but what people look for long
//! afterwards. Equal host names, clones of one machine, clocks that differ, hosts behind NAT.
//!
//! Pure: from the facts of the hosts and the controller's clock to a list of warnings.

use std::any::Any;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::facts::Facts;
use crate::model::Host;
use crate::plan::{HostSteps, SlotState};
use crate::step::swarm_init::SwarmInit;
use crate::step::swarm_join::SwarmJoin;

/// Clocks may differ by this much, in milliseconds.
const CLOCKS_MS: i64 = 30_000;

/// So many hosts are named in a line.
const NAMED: usize = 5;

/// What is known of a host, and when it was asked.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// The host.
    pub host: Arc<Host>,
    /// What it says of itself.
    pub facts: Facts,
    /// When it was asked, in milliseconds since 1970 on the controller's clock.
    pub asked_ms: i64,
    /// When its answer was there, on the same clock.
    pub answered_ms: i64,
    /// A step gives its host name anew.
    pub renamed: bool,
    /// A step advertises another address than the one in the inventory.
    pub advertises_other: bool,
}

impl Sighting {
    /// A host as its facts show it, with what its steps say of its name and address.
    pub fn new(steps: &HostSteps, facts: Facts, asked_ms: i64, answered_ms: i64) -> Self {
        let address = &steps.host.login.address;
        let applies = |kind: &str| {
            steps.slots.iter().any(|s| s.source.kind() == kind && !matches!(s.state, SlotState::Skipped(_)))
        };
        let advertised = steps.slots.iter().filter_map(|slot| {
            let step: &dyn Any = &*slot.instance()?.step;
            (step.downcast_ref::<SwarmInit>().and_then(SwarmInit::advertises))
                .or_else(|| step.downcast_ref::<SwarmJoin>().and_then(SwarmJoin::advertises))
        });
        Self {
            host: Arc::clone(&steps.host),
            facts,
            asked_ms,
            answered_ms,
            renamed: applies("hostname"),
            advertises_other: advertised.into_iter().any(|a| a != address),
        }
    }

    fn name(&self) -> &str {
        self.host.name.as_str()
    }

    /// The machine id, where it is one.
    fn machine_id(&self) -> Option<&str> {
        let id = self.facts.machine_id.as_str();
        (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(id)
    }

    /// Its addresses in a fixed order.
    fn addresses(&self) -> Vec<&str> {
        let mut all: Vec<_> = self.facts.addresses.iter().map(|a| a.address.as_str()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// How far its clock is ahead of the controller's: at least and at most.
    ///
    /// It looked at its clock at some moment between question and answer, and said whole seconds only.
    fn ahead_ms(&self) -> (i64, i64) {
        let time = self.facts.time.saturating_mul(1000);
        let late = self.answered_ms.max(self.asked_ms);
        (time.saturating_sub(late), time.saturating_add(1000).saturating_sub(self.asked_ms))
    }
}

/// Whether a step of this kind makes a swarm, so that it is worth looking.
pub fn concerns(kind: &str) -> bool {
    matches!(kind, "swarm_init" | "swarm_join" | "swarm_node")
}

/// Returns what the user should know of these hosts, as lower-case fragments.
pub fn warnings(seen: &[Sighting]) -> Vec<String> {
    let mut out = Vec::new();
    let machines = machines(seen, &mut out);
    names(&machines, &mut out);
    clocks(seen, &mut out);
    addresses(seen, &mut out);
    out
}

/// Warns of clones and of machines with several names; returns one sighting of each machine.
fn machines<'a>(seen: &'a [Sighting], out: &mut Vec<String>) -> Vec<&'a Sighting> {
    let mut distinct: Vec<(&Sighting, Vec<&str>)> = Vec::new();
    for sighting in seen {
        let same = |first: &Sighting| {
            sighting.machine_id().is_some()
                && first.machine_id() == sighting.machine_id()
                && !first.facts.addresses.is_empty()
                && first.addresses() == sighting.addresses()
        };
        match distinct.iter_mut().find(|(first, _)| same(first)) {
            Some((_, names)) => names.push(sighting.name()),
            None => distinct.push((sighting, vec![sighting.name()])),
        }
    }
    for (_, names) in distinct.iter().filter(|(_, names)| names.len() > 1) {
        out.push(format!(
            "{} are one machine, by its machine id and addresses: leave one of them in the inventory",
            list(names)
        ));
    }
    let distinct: Vec<&Sighting> = distinct.into_iter().map(|(first, _)| first).collect();
    for (_, clones) in equal(&distinct, |s| s.machine_id().map(str::to_lowercase)) {
        out.push(format!(
            "{} have the same machine id, as clones have: on the clones remove /etc/machine-id and run \
             systemd-machine-id-setup",
            list(&clones)
        ));
    }
    distinct
}

/// Warns of equal host names.
fn names(seen: &[&Sighting], out: &mut Vec<String>) {
    let key = |s: &Sighting| {
        let name = &s.facts.hostname;
        (!name.is_empty() && !s.renamed).then(|| name.to_lowercase())
    };
    for (name, hosts) in equal(seen, key) {
        out.push(format!(
            "{} all call themselves {name:?}: lists of nodes become unreadable; give each its own name with a \
             `hostname` step",
            list(&hosts)
        ));
    }
}

/// The hosts that have a key in common with another one, by their names, in the order of the first of each.
fn equal<'a>(
    seen: &[&'a Sighting],
    key: impl Fn(&Sighting) -> Option<String>,
) -> Vec<(String, Vec<&'a str>)> {
    let mut position = BTreeMap::new();
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for sighting in seen {
        let Some(key) = key(sighting) else { continue };
        let n = *position.entry(key.clone()).or_insert(groups.len());
        match groups.get_mut(n) {
            Some((_, names)) => names.push(sighting.name()),
            None => groups.push((key, vec![sighting.name()])),
        }
    }
    groups.retain(|(_, names)| names.len() > 1);
    groups
}

/// Warns of clocks that are far from the median of the fleet. Of two middle ones, the one nearer to the
/// controller's is the measure; so of two hosts the other one is named. One host alone is measured by the
/// controller.
fn clocks(seen: &[Sighting], out: &mut Vec<String>) {
    let mid = |(low, high): (i64, i64)| low.saturating_add(high.saturating_sub(low) / 2);
    let mut sorted: Vec<&Sighting> = seen.iter().collect();
    sorted.sort_by_key(|s| mid(s.ahead_ms()));
    let middle = match sorted.as_slice() {
        [] | [_] => None,
        all => [all[(all.len() - 1) / 2], all[all.len() / 2]]
            .into_iter()
            .min_by_key(|s| mid(s.ahead_ms()).unsigned_abs()),
    };
    let (low, high) = middle.map_or((0, 0), Sighting::ahead_ms);
    let measure = match (middle, seen.len()) {
        (None, _) => "the controller",
        (Some(other), 2) => other.name(),
        _ => "the others",
    };
    let off: Vec<String> = seen
        .iter()
        .filter_map(|s| {
            let own = s.ahead_ms();
            // What is certain, whenever between question and answer the clocks were looked at.
            let (certain, word) = if own.0 > high {
                (own.0.saturating_sub(high), "ahead of")
            } else {
                (low.saturating_sub(own.1), "behind")
            };
            let about = mid(own).saturating_sub(mid((low, high))).unsigned_abs().saturating_add(500) / 1000;
            (certain > CLOCKS_MS).then(|| format!("{} is about {about} s {word} {measure}", s.name()))
        })
        .collect();
    if !off.is_empty() {
        let off: Vec<&str> = off.iter().map(String::as_str).collect();
        out.push(format!(
            "clocks differ: {}; certificates of a swarm depend on them: let chronyd or systemd-timesyncd set them",
            list(&off)
        ));
    }
}

/// Warns of hosts that do not have the address under which the inventory knows them.
fn addresses(seen: &[Sighting], out: &mut Vec<String>) {
    let missing: Vec<String> = seen
        .iter()
        .filter(|s| !s.host.login.local && !s.advertises_other && !s.facts.addresses.is_empty())
        .filter_map(|s| {
            let address = s.host.login.address.trim_matches(['[', ']']);
            let ip: IpAddr = address.split('%').next()?.parse().ok()?;
            let own = s.facts.addresses.iter().any(|a| a.address.parse() == Ok(ip));
            (!own && !ip.is_loopback() && !ip.is_unspecified()).then(|| format!("{} ({address})", s.name()))
        })
        .collect();
    if !missing.is_empty() {
        let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
        out.push(format!(
            "the inventory address is on no interface of {}, as behind NAT: a swarm needs an explicit \
             `advertise_addr` there",
            list(&missing)
        ));
    }
}

/// `a, b and c`; a long list is cut.
fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [name] => (*name).to_owned(),
        _ if names.len() > NAMED => {
            format!("{} and {} more", names[..NAMED].join(", "), names.len() - NAMED)
        }
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Address;
    use crate::model::{HostName, Login, Place};

    /// The moment at which all are asked.
    const NOW_S: i64 = 1_700_000_000;

    /// Host `n` of a fleet in which all is well.
    fn host(n: u8) -> Sighting {
        let address = format!("10.0.0.{n}");
        let host = Host {
            name: HostName::new(&format!("n{n}")).unwrap(),
            login: Login { address: address.clone(), ..Login::default() },
            groups: Vec::new(),
            vars: Arc::default(),
            place: Place { file: "inventory.toml".into(), line: 1, column: 1 },
        };
        let facts = Facts {
            hostname: format!("n{n}"),
            machine_id: format!("{n:032x}"),
            addresses: vec![Address { interface: "eth0".into(), address, prefix: 24 }],
            time: NOW_S,
            ..Facts::default()
        };
        let (asked_ms, answered_ms) = (NOW_S * 1000, NOW_S * 1000 + 200);
        Sighting {
            host: Arc::new(host),
            facts,
            asked_ms,
            answered_ms,
            renamed: false,
            advertises_other: false,
        }
    }

    fn fleet(hosts: u8) -> Vec<Sighting> {
        (1..=hosts).map(host).collect()
    }

    fn at_address(sighting: &mut Sighting, address: &str) {
        Arc::make_mut(&mut sighting.host).login.address = address.into();
    }

    #[test]
    fn a_good_fleet_gives_no_warning() {
        for hosts in [0, 1, 2, 3, 30] {
            assert!(warnings(&fleet(hosts)).is_empty(), "{hosts}");
        }
    }

    #[test]
    fn facts_that_say_nothing_give_no_warning() {
        let mut seen = fleet(3);
        for s in &mut seen {
            (s.facts.hostname, s.facts.machine_id) = (String::new(), "uninitialized".into());
            s.facts.addresses.clear();
        }
        assert!(warnings(&seen).is_empty());
    }

    #[test]
    fn equal_host_names_are_one_line() {
        let mut seen = fleet(4);
        (seen[1].facts.hostname, seen[3].facts.hostname) = ("centos".into(), "CentOS".into());
        assert_eq!(
            warnings(&seen),
            [
                "n2 and n4 all call themselves \"centos\": lists of nodes become unreadable; give each its own name \
              with a `hostname` step"
            ]
        );
        seen[1].renamed = true;
        assert!(warnings(&seen).is_empty(), "this run is about to name one anew");
    }

    #[test]
    fn long_lists_are_cut() {
        let mut seen = fleet(12);
        for s in &mut seen {
            s.facts.hostname = "localhost".into();
        }
        let warnings = warnings(&seen);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].starts_with("n1, n2, n3, n4, n5 and 7 more all call"), "{warnings:?}");
    }

    #[test]
    fn clones_are_told_from_one_machine_with_two_names() {
        let mut seen = fleet(4);
        seen[2].facts.machine_id = seen[0].facts.machine_id.clone();
        // The same machine as `n2`, by another address in the inventory.
        seen[3].facts = seen[1].facts.clone();
        at_address(&mut seen[3], "n2.example");
        assert_eq!(
            warnings(&seen),
            [
                "n2 and n4 are one machine, by its machine id and addresses: leave one of them in the inventory",
                "n1 and n3 have the same machine id, as clones have: on the clones remove /etc/machine-id and run \
                 systemd-machine-id-setup"
            ]
        );
    }

    #[test]
    fn clocks_are_measured_by_the_median() {
        let mut seen = fleet(5);
        // The controller is the one that is wrong.
        for s in &mut seen {
            s.facts.time += 500;
        }
        assert!(warnings(&seen).is_empty());
        seen[1].facts.time -= 95;
        seen[4].facts.time += 40;
        seen[0].facts.time += 29;
        let warnings = warnings(&seen);
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].starts_with(
                "clocks differ: n2 is about 95 s behind the others and n5 is about 40 s ahead of the others;"
            ),
            "{warnings:?}"
        );
    }

    #[test]
    fn of_two_clocks_the_one_nearer_to_the_controller_is_right() {
        let mut seen = fleet(2);
        seen[0].facts.time -= 60;
        assert!(warnings(&seen)[0].starts_with("clocks differ: n1 is about 60 s behind n2;"));
        seen.truncate(1);
        assert!(warnings(&seen)[0].starts_with("clocks differ: n1 is about 60 s behind the controller;"));
    }

    #[test]
    fn answers_at_different_times_and_slow_ones_are_no_difference() {
        let mut seen = fleet(3);
        // Asked later: its clock went on meanwhile.
        seen[1].facts.time += 300;
        seen[1].asked_ms += 300_000;
        seen[1].answered_ms += 300_000;
        // It may have looked at its clock at any time within this minute.
        seen[2].answered_ms += 60_000;
        seen[2].facts.time += 60;
        assert!(warnings(&seen).is_empty());
        seen[0].facts.time = i64::MAX;
        seen[1].facts.time = i64::MIN;
        assert_eq!(warnings(&seen).len(), 1, "nonsense does no harm");
    }

    #[test]
    fn an_address_on_no_interface_is_told() {
        let mut seen = fleet(5);
        at_address(&mut seen[0], "203.0.113.7");
        at_address(&mut seen[1], "127.0.0.1");
        at_address(&mut seen[2], "n3.example");
        at_address(&mut seen[3], "203.0.113.8");
        seen[3].advertises_other = true;
        at_address(&mut seen[4], "2001:db8::5");
        let six = Address { interface: "eth0".into(), address: "2001:db8:0::5".into(), prefix: 64 };
        seen[4].facts.addresses.push(six);
        assert_eq!(
            warnings(&seen),
            [
                "the inventory address is on no interface of n1 (203.0.113.7), as behind NAT: a swarm needs an \
              explicit `advertise_addr` there"
            ]
        );
    }
}
