//! What this apply has changed so far, so that whoever asked before knows whether to ask again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::link::Link;
use crate::model::{Kind, Resource, Scope};

/// Where a change shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Place {
    /// On the host at this position.
    Host(usize),
    /// In the fleet as a whole.
    Fleet,
}

impl Place {
    /// Where a step of the host `own` finds what has this scope; `None` if that is no host of ours.
    fn of(scope: &Scope, own: usize, links: &[Arc<Link>]) -> Option<Self> {
        match scope {
            Scope::Here => Some(Self::Host(own)),
            Scope::Fleet => Some(Self::Fleet),
            Scope::On(name) => links
                .iter()
                .position(|l| l.host.name.as_str() == &**name || l.host.login.address == **name)
                .map(Self::Host),
        }
    }
}

/// How far the changes of some places had come.
pub(super) type Seen = Vec<(Place, usize)>;

/// A change as far as it shows in one place.
#[derive(Debug)]
struct Touch {
    /// The host whose step made it.
    by: usize,
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

    /// Notes that a step of the host `by` has changed these resources. Where it is `opaque`, it may have changed anything: on
    /// its host, on those `at` which it acts, and in the fleet.
    pub(super) fn note(
        &self,
        by: usize,
        resources: &[Resource],
        opaque: bool,
        at: &[usize],
        links: &[Arc<Link>],
    ) {
        let mut touched: BTreeMap<Place, Option<Vec<Resource>>> = BTreeMap::new();
        if opaque {
            let hosts = at.iter().copied().chain([by]).map(Place::Host);
            touched.extend(hosts.chain([Place::Fleet]).map(|place| (place, None)));
        }
        for resource in resources {
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

    /// How far the changes have come in the places, its own host aside, where a step finds these resources, and on the
    /// hosts that it asks.
    pub(super) fn now(
        &self,
        own: usize,
        resources: &[Resource],
        asks: &[usize],
        links: &[Arc<Link>],
    ) -> Seen {
        let places: BTreeSet<Place> = resources
            .iter()
            .filter_map(|r| Place::of(&r.scope, own, links))
            .chain(asks.iter().copied().map(Place::Host))
            .filter(|place| *place != Place::Host(own))
            .collect();
        if places.is_empty() {
            return Seen::new();
        }
        let logs = self.logs();
        places.into_iter().map(|place| (place, logs.get(&place).map_or(0, Vec::len))).collect()
    }

    /// Whether another host has changed, between `seen` and `now`, what a step of the host `own` relies on: these
    /// resources, or if it does not say, anything.
    pub(super) fn between(
        &self,
        seen: &Seen,
        now: &Seen,
        own: usize,
        relied: Option<&[Resource]>,
        links: &[Arc<Link>],
    ) -> bool {
        if seen == now {
            return false;
        }
        let logs = self.logs();
        now.iter().any(|(place, _)| {
            let from = seen.iter().find(|(p, _)| p == place).map_or(0, |(_, n)| *n);
            let since = logs.get(place).and_then(|log| log.get(from..)).unwrap_or_default();
            let here = |r: &&Resource| Place::of(&r.scope, own, links) == Some(*place);
            since.iter().filter(|touch| touch.by != own).any(|touch| match (&touch.what, relied) {
                (Some(what), Some(relied)) => {
                    relied.iter().filter(here).any(|r| what.iter().any(|t| same(t, r)))
                }
                _ => true,
            })
        })
    }
}

/// Whether a change of `touched` can change what is said of `relied`.
pub(super) fn overlaps(touched: &Resource, relied: &Resource) -> bool {
    touched.scope == relied.scope && same(touched, relied)
}

/// The same for two resources that are in one place.
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
