//! Shards: the hosts of a run in parts, each for a controller of its own. Hosts that need one another are in one part.
//!
//! Which these are is found offline, from what steps say of themselves, so that every controller finds the same. It is the
//! same whatever hosts answer: the way of a run through its shards must not hang on what some of them have found.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{HostIndex, Known, Resource, Scope};
use crate::run::{Play, Resolved, Run, StepSource};
use crate::step::Instance;

/// More shards than this are a mistake in typing.
const MOST: usize = 10_000;

/// One of several parts, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shard {
    /// Which.
    pub number: usize,
    /// Of how many.
    pub of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(n, of)| Some((n.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((number, of)) if (1..=of).contains(&number) && of <= MOST => Ok(Self { number, of }),
            Some((_, of)) if of > MOST => Err(format!("there can be {MOST} shards at most")),
            Some((_, of)) => Err(format!("the shards of {of} are counted from 1 to {of}")),
            None => Err("expected which of how many shards, such as 3/8".into()),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// Hosts that stay together, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tied {
    /// How many hosts.
    pub hosts: usize,
    /// In which shard, counted from 1.
    pub shard: usize,
    /// What ties them, a few reasons at most, each with an example.
    pub why: Vec<String>,
}

/// The hosts of a run in shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The hosts of each shard, in the order of the run. A shard may have none.
    pub shards: Vec<Vec<HostIndex>>,
    /// Groups of hosts that are larger than an even share: they make their shard longer than the others.
    pub tied: Vec<Tied>,
}

/// So many reasons are kept of a group.
const REASONS: usize = 3;

/// Hosts that belong together, as far as is known: each knows another one of its group, up to the first of it.
struct Groups {
    above: Vec<usize>,
    /// By the first host of a group.
    why: BTreeMap<usize, Vec<String>>,
}

impl Groups {
    fn new(hosts: usize) -> Self {
        Self { above: (0..hosts).collect(), why: BTreeMap::new() }
    }

    fn first(&mut self, host: usize) -> usize {
        let mut at = host;
        while self.above[at] != at {
            self.above[at] = self.above[self.above[at]];
            at = self.above[at];
        }
        at
    }

    fn tie(&mut self, a: HostIndex, b: HostIndex, why: impl FnOnce() -> String) {
        let (a, b) = (self.first(a.position()), self.first(b.position()));
        if a == b {
            return;
        }
        let (first, other) = (a.min(b), a.max(b));
        self.above[other] = first;
        let others = self.why.remove(&other).unwrap_or_default();
        let reasons = self.why.entry(first).or_default();
        if reasons.len() < REASONS {
            let why = why();
            if !reasons.contains(&why) {
                reasons.push(why);
            }
        }
        for reason in others {
            if reasons.len() < REASONS && !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
    }

    fn tie_all(&mut self, hosts: &[HostIndex], why: impl Fn() -> String) {
        for pair in hosts.windows(2) {
            self.tie(pair[0], pair[1], &why);
        }
    }
}

/// Splits the hosts of a run into so many shards.
pub fn split(run: &Run, of: usize) -> Split {
    let mut looking = Looking::new(run);
    for play in &run.plays {
        let groups = &mut looking.groups;
        if play.is_rolling() {
            groups.tie_all(&play.hosts, || format!("`{}` goes in batches, or counts failures", play.name));
        } else if play.all_or_nothing {
            groups.tie_all(&play.hosts, || {
                format!("`{}` is applied on all of its hosts or on none", play.name)
            });
        }
        for step in &play.steps {
            looking.at(play, step);
        }
    }
    let Looking { mut groups, shared, .. } = looking;
    shared.tie(&mut groups);
    deal(groups, run.hosts.len(), of)
}

/// What several hosts have in common that is not on one of them.
#[derive(Default)]
struct Shared {
    /// Who provides a resource of the fleet, who else has to do with it, and the step by which that shows first.
    fleet: BTreeMap<Resource, (BTreeSet<HostIndex>, BTreeSet<HostIndex>, String)>,
    /// What one host at a time may change.
    exclusive: BTreeMap<Resource, (BTreeSet<HostIndex>, String)>,
}

impl Shared {
    fn tie(self, groups: &mut Groups) {
        for (resource, (providers, others, step)) in self.fleet {
            if !providers.is_empty() {
                let all: Vec<_> = providers.union(&others).copied().collect();
                groups.tie_all(&all, || format!("{step} has to do with {resource} of the whole fleet"));
            }
        }
        for (resource, (hosts, step)) in self.exclusive {
            let hosts: Vec<_> = hosts.into_iter().collect();
            groups.tie_all(&hosts, || format!("{step} changes {resource} on one host at a time"));
        }
    }
}

/// What is looked through, and what has been found.
struct Looking<'a> {
    run: &'a Run,
    /// By name.
    places: HashMap<&'a str, HostIndex>,
    groups: Groups,
    shared: Shared,
    /// Those that have to do with their own host alone: most, and hosts that are alike share them.
    plain: HashSet<*const Instance>,
    /// What `plain` points to stays there.
    kept: Vec<Arc<Instance>>,
}

impl<'a> Looking<'a> {
    fn new(run: &'a Run) -> Self {
        let places = run.hosts.iter().enumerate().map(|(n, host)| (host.name.as_str(), HostIndex::new(n)));
        Self {
            run,
            places: places.collect(),
            groups: Groups::new(run.hosts.len()),
            shared: Shared::default(),
            plain: HashSet::new(),
            kept: Vec::new(),
        }
    }

    /// Notes what a step says of other hosts.
    fn at(&mut self, play: &Play, source: &Arc<dyn StepSource>) {
        let named = format!("{}/{}", play.name, source.id());
        let mut unknown = Vec::new();
        for &index in &play.hosts {
            let host = &self.run.hosts[index];
            if !source.selects(&host.name) {
                continue;
            }
            match source.resolve(host, &Known::default()) {
                Ok(Resolved::Steps(instances)) => {
                    for instance in instances {
                        if !self.plain.contains(&Arc::as_ptr(&instance))
                            && !self.instance(index, &instance, &named)
                        {
                            self.plain.insert(Arc::as_ptr(&instance));
                            self.kept.push(instance);
                        }
                    }
                }
                Ok(Resolved::Skipped(_)) => {}
                Err(_) => unknown.push(index),
            }
        }
        if AMONG_HOSTS.contains(&source.kind()) {
            self.groups
                .tie_all(&unknown, || format!("what {named} is to do shows only when hosts have answered"));
        }
    }

    /// Returns whether it has to do with more than its own host.
    fn instance(&mut self, own: HostIndex, instance: &Instance, named: &str) -> bool {
        let step = &instance.step;
        let on = &self.run.hosts[own].name;
        let mut further = false;
        for name in step.probes().iter().filter_map(|probe| probe.host.as_ref()) {
            further = true;
            if let Some(asked) = self.place(name.as_str()) {
                self.groups.tie(own, asked, || format!("{named} of {on} asks {name}"));
            }
        }
        let provided =
            step.provides().into_iter().chain(instance.provides.iter().cloned()).map(|r| (r, true));
        let needed = step.needs().into_iter().chain(instance.needs.iter().cloned()).map(|r| (r, false));
        for (resource, provides) in provided.chain(needed).filter(|(r, _)| r.scope != Scope::Here) {
            further = true;
            match &resource.scope {
                Scope::On(name) => {
                    if let Some(there) = self.place(name) {
                        self.groups.tie(own, there, || format!("{named} of {on} has to do with {resource}"));
                    }
                }
                Scope::Here | Scope::Fleet => {
                    let new = || (BTreeSet::new(), BTreeSet::new(), named.to_owned());
                    let entry = self.shared.fleet.entry(resource).or_insert_with(new);
                    if provides {
                        entry.0.insert(own)
                    } else {
                        entry.1.insert(own)
                    };
                }
            }
        }
        if let Some(resource) = step.exclusive() {
            further = true;
            let new = || (BTreeSet::new(), named.to_owned());
            self.shared.exclusive.entry(resource).or_insert_with(new).0.insert(own);
        }
        further
    }

    /// The host of the run with this name or address.
    fn place(&self, name: &str) -> Option<HostIndex> {
        let found = self.run.inventory.find(name).map(|n| &self.run.inventory[n].name)?;
        self.places.get(found.as_str()).copied()
    }
}

/// The kinds whose steps may have to do with other hosts than their own.
pub const AMONG_HOSTS: [&str; 10] = [
    "docker_config",
    "docker_network",
    "docker_secret",
    "docker_service",
    "docker_stack",
    "failover_drill",
    "mount",
    "swarm_join",
    "swarm_node",
    "wait",
];

/// Deals the groups out: the largest first, each to the shard that has least.
fn deal(mut groups: Groups, hosts: usize, of: usize) -> Split {
    let mut members: BTreeMap<usize, Vec<HostIndex>> = BTreeMap::new();
    for host in 0..hosts {
        members.entry(groups.first(host)).or_default().push(HostIndex::new(host));
    }
    let mut sorted: Vec<(usize, Vec<HostIndex>)> = members.into_iter().collect();
    sorted.sort_by_key(|(first, members)| (std::cmp::Reverse(members.len()), *first));
    let mut shards: Vec<Vec<HostIndex>> = vec![Vec::new(); of];
    let mut tied = Vec::new();
    // By how many hosts it has, then by its place.
    let mut lightest: BTreeSet<(usize, usize)> = (0..of).map(|n| (0, n)).collect();
    for (first, members) in sorted {
        let Some((_, n)) = lightest.pop_first() else { break };
        if of > 1 && members.len() > hosts.div_ceil(of) {
            let why = groups.why.remove(&first).unwrap_or_default();
            tied.push(Tied { hosts: members.len(), shard: n + 1, why });
        }
        shards[n].extend(members);
        lightest.insert((shards[n].len(), n));
    }
    for shard in &mut shards {
        shard.sort_unstable();
    }
    Split { shards, tied }
}

impl Run {
    /// The same run on these hosts alone, in their order; its playbooks keep their positions.
    #[must_use]
    pub fn on(&self, hosts: &[HostIndex]) -> Self {
        let place = |host: &HostIndex| hosts.binary_search(host).ok().map(HostIndex::new);
        let of = |play: &Play| Play { hosts: play.hosts.iter().filter_map(place).collect(), ..play.clone() };
        Self {
            hosts: hosts.iter().map(|host| Arc::clone(&self.hosts[*host])).collect(),
            inventory: Arc::clone(&self.inventory),
            plays: self.plays.iter().map(of).collect(),
        }
    }
}
