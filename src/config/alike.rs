//! Hosts that are alike: a step that looks at nothing but variables which mean the same on two hosts is rendered once for both.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::becomes::Becomes;
use super::layer::Layer;
use super::scope::World;
use crate::model::HostIndex;

/// So many kinds of hosts are kept for a step. Where each host has its own values there is nothing to share.
const MOST: usize = 8;

/// What a step came to, by the kind of host.
#[derive(Debug)]
pub(super) struct Alike<T>(Mutex<Vec<Entry<T>>>);

impl<T> Default for Alike<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

#[derive(Debug)]
struct Entry<T> {
    /// Each variable that was looked at, with the layers of the inventory that define it.
    variables: Vec<(String, Vec<Arc<Layer>>)>,
    /// As whom the host's steps act, if the inventory says.
    becomes: Option<Becomes>,
    came_to: Arc<T>,
}

impl<T> Alike<T> {
    fn entries(&self) -> MutexGuard<'_, Vec<Entry<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the step came to on a host like this one.
    pub(super) fn find(&self, world: &World, host: HostIndex) -> Option<Arc<T>> {
        let alike = |entry: &&Entry<T>| {
            let same = |(name, layers): &(String, Vec<Arc<Layer>>)| {
                let mut own = definitions(world, host, name);
                layers.iter().all(|layer| own.next().is_some_and(|own| Arc::ptr_eq(own, layer)))
                    && own.next().is_none()
            };
            entry.becomes == world.fleet.becomes[host] && entry.variables.iter().all(same)
        };
        self.entries().iter().find(alike).map(|entry| Arc::clone(&entry.came_to))
    }

    /// Keeps what it came to on this host, where it looked at these variables and at nothing else that differs from host
    /// to host.
    pub(super) fn keep(&self, world: &World, host: HostIndex, variables: BTreeSet<String>, came_to: &Arc<T>) {
        let mut entries = self.entries();
        if entries.len() == MOST {
            return;
        }
        let layers = |name: String| {
            let layers = definitions(world, host, &name).cloned().collect();
            (name, layers)
        };
        entries.push(Entry {
            variables: variables.into_iter().map(layers).collect(),
            becomes: world.fleet.becomes[host].clone(),
            came_to: Arc::clone(came_to),
        });
    }
}

/// The layers of the inventory that define a variable for a host.
fn definitions<'a>(world: &'a World, host: HostIndex, name: &'a str) -> impl Iterator<Item = &'a Arc<Layer>> {
    world.fleet.layers[host].iter().filter(move |layer| layer.find(name).is_some())
}
