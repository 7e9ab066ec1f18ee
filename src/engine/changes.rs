//! What this apply has changed so far, so that whoever asked before knows whether to ask again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::link::Links;
use crate::model::{HostIndex, Kind, Resource, Scope};
use crate::step::{Change, Instance};

/// Where a change shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Place {
    /// On this host.
    Host(HostIndex),
    /// In the fleet as a whole.
    Fleet,
}

impl Place {
    /// Where a step of the host `own` finds what has this scope; `None` if that is no host of ours.
    fn of(scope: &Scope, own: HostIndex, links: &Links) -> Option<Self> {
        match scope {
            Scope::Here => Some(Self::Host(own)),
            Scope::Fleet => Some(Self::Fleet),
            Scope::On(name) => links.find(name).map(Self::Host),
        }
    }
}

/// How far the changes of some places had come: their version. A slot remembers the one that its answers have seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Version(Vec<(Place, usize)>);

/// What the answers of a step rest on.
#[derive(Debug)]
pub(super) struct ReadSet {
    resources: Vec<Resource>,
    /// The hosts that it asks beside its own.
    asks: Vec<HostIndex>,
    /// It rests on more than it says.
    opaque: bool,
}

impl ReadSet {
    /// That of a step of the host `own`.
    pub(super) fn of(instance: &Instance, own: HostIndex, links: &Links) -> Self {
        let mut resources = instance.step.provides();
        resources.extend(instance.step.needs());
        let mut resources = without_way(resources);
        resources.extend(instance.needs.iter().cloned());
        let probes = instance.step.probes();
        let asks = probes.iter().filter_map(|p| links.target(own, Some(p.host.as_ref()?))).collect();
        Self { resources, asks, opaque: instance.step.looks_anywhere() }
    }

    /// Whether one of these, on the same host or in the fleet, is read.
    fn rests_on(&self, written: &[Resource]) -> bool {
        let touched = |r: &Resource| written.iter().any(|w| w.scope == r.scope && same(w, r));
        self.resources.iter().any(touched)
    }
}

/// What a change may make different.
#[derive(Debug)]
pub(super) struct WriteSet {
    resources: Vec<Resource>,
    /// The hosts on which it acts beside its own.
    on: Vec<HostIndex>,
    /// How many of the resources, the last ones, are in a state then that the change foresees.
    foreseen: usize,
    /// It may make anything different: on these hosts, on its own, and in the fleet.
    opaque: bool,
}

impl WriteSet {
    /// That of a change of a step of the host `own`.
    pub(super) fn of(instance: &Instance, change: &Change, own: HostIndex, links: &Links) -> Self {
        let mut resources = without_way(instance.step.provides());
        resources.extend(instance.provides.iter().cloned());
        resources.retain(|resource| change.expects.iter().all(|(expected, _)| expected != resource));
        resources.extend(change.expects.iter().map(|(resource, _)| resource.clone()));
        let on = change.actions.iter().filter_map(|a| links.target(own, Some(a.host.as_ref()?))).collect();
        Self { resources, on, foreseen: change.expects.len(), opaque: instance.step.opaque() }
    }

    /// Whether it may make answers different that another step of the same host has read.
    pub(super) fn touches(&self, read: &ReadSet) -> bool {
        self.opaque || read.opaque || read.rests_on(&self.resources)
    }

    /// The same, in a way that the change does not foresee.
    pub(super) fn surprises(&self, read: &ReadSet) -> bool {
        self.opaque || read.opaque || read.rests_on(&self.resources[..self.resources.len() - self.foreseen])
    }
}

/// A change as far as it shows in one place.
#[derive(Debug)]
struct Touch {
    /// The host whose step made it.
    by: HostIndex,
    /// What it may have made different; `None` where nobody knows.
    what: Option<Vec<Resource>>,
}

/// The changes of all hosts, in their order for each place.
#[derive(Debug, Default)]
pub(super) struct Changes(Mutex<HashMap<Place, Vec<Touch>>>);

impl Changes {
    fn logs(&self) -> MutexGuard<'_, HashMap<Place, Vec<Touch>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a step of the host `by` has made a change, or tried to.
    pub(super) fn note(&self, by: HostIndex, write: &WriteSet, links: &Links) {
        let mut touched: BTreeMap<Place, Option<Vec<Resource>>> = BTreeMap::new();
        if write.opaque {
            let hosts = write.on.iter().copied().chain([by]).map(Place::Host);
            touched.extend(hosts.chain([Place::Fleet]).map(|place| (place, None)));
        }
        for resource in &write.resources {
            if let Some(place) = Place::of(&resource.scope, by, links)
                && let Some(known) = touched.entry(place).or_insert_with(|| Some(Vec::new()))
            {
                known.push(resource.clone());
            }
        }
        let mut logs = self.logs();
        for (place, what) in touched {
            logs.entry(place).or_default().push(Touch { by, what });
        }
    }

    /// The version of the places, its own host aside, on which the answers of a step of the host `own` rest.
    pub(super) fn version(&self, own: HostIndex, read: &ReadSet, links: &Links) -> Version {
        let places: BTreeSet<Place> = (read.resources.iter())
            .filter_map(|r| Place::of(&r.scope, own, links))
            .chain(read.asks.iter().copied().map(Place::Host))
            .filter(|place| *place != Place::Host(own))
            .collect();
        if places.is_empty() {
            return Version::default();
        }
        let logs = self.logs();
        Version(places.into_iter().map(|place| (place, logs.get(&place).map_or(0, Vec::len))).collect())
    }

    /// Whether another host has changed, since `seen`, what a step of the host `own` rests on: what it reads, or if it
    /// does not say all of that, anything.
    pub(super) fn since(&self, seen: &Version, own: HostIndex, read: &ReadSet, links: &Links) -> bool {
        let now = self.version(own, read, links);
        if *seen == now {
            return false;
        }
        let logs = self.logs();
        now.0.iter().any(|(place, _)| {
            let from = seen.0.iter().find(|(p, _)| p == place).map_or(0, |(_, n)| *n);
            let later = logs.get(place).and_then(|log| log.get(from..)).unwrap_or_default();
            let here = |r: &&Resource| Place::of(&r.scope, own, links) == Some(*place);
            later.iter().filter(|touch| touch.by != own).any(|touch| match &touch.what {
                Some(what) if !read.opaque => {
                    read.resources.iter().filter(here).any(|r| what.iter().any(|t| same(t, r)))
                }
                _ => true,
            })
        })
    }
}

/// The resources of a step without the folders on the way to its path: of them it only wants that they are there, which
/// the path tells as well. Those that a change makes are among what it expects.
fn without_way(mut resources: Vec<Resource>) -> Vec<Resource> {
    let paths: Vec<_> = resources.iter().filter(|r| r.kind == Kind::Path).cloned().collect();
    let on_the_way = |r: &Resource| {
        let further =
            |path: &Resource| path.scope == r.scope && path.name != r.name && below(&path.name, &r.name);
        r.kind == Kind::Path && &*r.name != "*" && paths.iter().any(further)
    };
    resources.retain(|resource| !on_the_way(resource));
    resources
}

/// Whether a change of `touched` can change what is said of `relied`, where both are in one place.
fn same(touched: &Resource, relied: &Resource) -> bool {
    if touched.kind == Kind::Path && relied.kind == Kind::Path {
        // A directory and what is below it.
        return below(&touched.name, &relied.name) || below(&relied.name, &touched.name);
    }
    touched.kind == relied.kind
        && (touched.name == relied.name || &*touched.name == "*" || &*relied.name == "*")
}

fn below(path: &str, folder: &str) -> bool {
    folder == "*" || path == folder || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}
