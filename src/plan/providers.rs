//! Who brings what: the resources that planned changes provide, host by host.

use std::collections::HashMap;

use crate::event::StepRef;
use crate::model::{Hosts, Kind, Resource, Scope};

/// The planned providers of a run so far. Hosts are positions in the run.
#[derive(Debug, Default)]
pub(super) struct Providers {
    by_resource: HashMap<(Option<usize>, Kind, String), StepRef>,
    weak: HashMap<(usize, Kind), StepRef>,
}

/// Where a resource is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Where {
    /// On this host of the run.
    Host(usize),
    /// In the fleet.
    Fleet,
    /// On a machine that is not in the run.
    Elsewhere,
}

/// Finds the host that a scope means.
pub(super) fn locate(scope: &Scope, own: usize, hosts: &Hosts) -> Where {
    match scope {
        Scope::Here => Where::Host(own),
        Scope::Fleet => Where::Fleet,
        Scope::On(name) => hosts.find(name).map_or(Where::Elsewhere, |host| Where::Host(host.position())),
    }
}

impl Providers {
    /// Records that the planned step `by` on host `own` will bring `resource`.
    pub(super) fn add(&mut self, resource: &Resource, own: usize, hosts: &Hosts, by: &StepRef) {
        let host = match locate(&resource.scope, own, hosts) {
            Where::Host(host) => Some(host),
            Where::Fleet => None,
            Where::Elsewhere => return,
        };
        match (&*resource.name, host) {
            ("*", Some(host)) => {
                self.weak.insert((host, resource.kind), by.clone());
            }
            (name, host) => {
                self.by_resource.insert((host, resource.kind, name.to_owned()), by.clone());
            }
        }
    }

    /// The planned step that will certainly bring `resource`.
    pub(super) fn of(&self, resource: &Resource, own: usize, hosts: &Hosts) -> Option<&StepRef> {
        let host = match locate(&resource.scope, own, hosts) {
            Where::Host(host) => Some(host),
            Where::Fleet => None,
            Where::Elsewhere => return None,
        };
        // What ends containers of the fleet ends those of each host; a port that a swarm publishes is open on each.
        let of = |host| self.by_resource.get(&(host, resource.kind, resource.name.to_string()));
        of(host).or_else(|| of(None).filter(|_| matches!(resource.kind, Kind::End | Kind::Port)))
    }

    /// The planned step that will bring `resource`, or may: a package brings units nobody listed.
    pub(super) fn of_any(&self, resource: &Resource, own: usize, hosts: &Hosts) -> Option<&StepRef> {
        self.of(resource, own, hosts).or_else(|| match locate(&resource.scope, own, hosts) {
            Where::Host(host) => self.weak.get(&(host, resource.kind)),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Host, HostIndex, HostName, Login, Place, StepId};

    fn host(n: u8) -> Host {
        Host {
            name: HostName::new(&format!("n{n}")).unwrap(),
            login: Login { address: format!("10.0.0.{n}"), ..Login::default() },
            groups: Vec::new(),
            vars: std::sync::Arc::default(),
            place: Place { file: "inventory.toml".into(), line: 1, column: 1 },
        }
    }

    #[test]
    fn a_port_of_the_swarm_is_open_on_every_host() {
        let hosts = Hosts::new(vec![host(1).into(), host(2).into()]);
        let by = StepRef { play: 0, step: StepId::new("redis"), host: hosts[HostIndex::new(0)].name.clone() };
        let mut providers = Providers::default();
        providers.add(&Resource::fleet(Kind::Port, "6379"), 0, &hosts, &by);
        for wanted in [Resource::here(Kind::Port, "6379"), Resource::on("10.0.0.2", Kind::Port, "6379")] {
            assert_eq!(providers.of(&wanted, 1, &hosts), Some(&by), "{wanted:?}");
        }
        assert_eq!(providers.of(&Resource::here(Kind::Port, "6380"), 1, &hosts), None);
        assert_eq!(providers.of(&Resource::here(Kind::Path, "6379"), 1, &hosts), None);
    }
}
