//! Who brings what: the resources that planned changes provide, host by host.

use std::collections::HashMap;

use super::Awaited;
use crate::event::StepRef;
use crate::model::{HostIndex, Hosts, Kind, Resource, Scope};

/// A step of the walk, which others may rest on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Walked {
    pub(super) host: HostIndex,
    /// The position of the step, as written, in its playbook.
    pub(super) index: usize,
    /// How people find it.
    pub(super) at: StepRef,
}

impl Walked {
    /// The step as it is waited for.
    pub(super) fn awaited(&self) -> Awaited {
        Awaited { host: self.host, play: self.at.play, index: self.index }
    }
}

/// The planned providers of a run so far.
#[derive(Debug, Default)]
pub(super) struct Providers {
    by_resource: HashMap<(Option<HostIndex>, Kind, String), Walked>,
    weak: HashMap<(HostIndex, Kind), Walked>,
}

/// Where a resource is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Where {
    /// On this host of the run.
    Host(HostIndex),
    /// In the fleet.
    Fleet,
    /// On a machine that is not in the run.
    Elsewhere,
}

/// Finds the host that a scope means.
pub(super) fn locate(scope: &Scope, own: HostIndex, hosts: &Hosts) -> Where {
    match scope {
        Scope::Here => Where::Host(own),
        Scope::Fleet => Where::Fleet,
        Scope::On(name) => hosts.find(name).map_or(Where::Elsewhere, Where::Host),
    }
}

impl Providers {
    /// Records that the planned step `by` on host `own` will bring `resource`.
    pub(super) fn add(&mut self, resource: &Resource, own: HostIndex, hosts: &Hosts, by: &Walked) {
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
    pub(super) fn of(&self, resource: &Resource, own: HostIndex, hosts: &Hosts) -> Option<&Walked> {
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
    pub(super) fn of_any(&self, resource: &Resource, own: HostIndex, hosts: &Hosts) -> Option<&Walked> {
        self.of(resource, own, hosts).or_else(|| match locate(&resource.scope, own, hosts) {
            Where::Host(host) => self.weak.get(&(host, resource.kind)),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Host, HostName, Login, Place, PlayIndex, StepId};

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
        let [one, two] = [0, 1].map(HostIndex::new);
        let at =
            StepRef { play: PlayIndex::new(0), step: StepId::new("redis"), host: hosts[one].name.clone() };
        let by = Walked { host: one, index: 0, at };
        let mut providers = Providers::default();
        providers.add(&Resource::fleet(Kind::Port, "6379"), one, &hosts, &by);
        for wanted in [Resource::here(Kind::Port, "6379"), Resource::on("10.0.0.2", Kind::Port, "6379")] {
            assert_eq!(providers.of(&wanted, two, &hosts), Some(&by), "{wanted:?}");
        }
        assert_eq!(providers.of(&Resource::here(Kind::Port, "6380"), two, &hosts), None);
        assert_eq!(providers.of(&Resource::here(Kind::Path, "6379"), two, &hosts), None);
    }
}
