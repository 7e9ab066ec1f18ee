//! The fleet: the hosts and groups of an inventory, as written and as resolved.

use std::ops::Index;
use std::path::PathBuf;
use std::sync::Arc;

use super::becomes::Becomes;
use super::layer::Layer;
use super::pattern::Names;
use super::table::Silence;
use crate::model::value::{Key, Node};
use crate::model::{HostIndex, HostName, Hosts, Login};

/// The hosts and groups of an inventory, with the variables of each host, lowest precedence first.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    /// All hosts in the order in which they are written.
    pub hosts: Arc<Hosts>,
    /// Host by host: defaults, groups (parents first), the host itself.
    pub layers: ByHost<Vec<Arc<Layer>>>,
    /// Host by host: as whom steps act unless playbook or step say otherwise.
    pub becomes: ByHost<Option<Becomes>>,
    /// The groups in the order in which they are written.
    pub groups: Vec<Group>,
    /// How many hosts to work on at once, if the inventory says.
    pub forks: Option<usize>,
    /// The lints that are silenced anywhere in it.
    pub silenced: Vec<Silence>,
}

/// Something for each host of the inventory.
#[derive(Debug)]
pub(super) struct ByHost<T>(pub Vec<T>);

impl<T> Default for ByHost<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Index<HostIndex> for ByHost<T> {
    type Output = T;

    fn index(&self, host: HostIndex) -> &T {
        &self.0[host.position()]
    }
}

/// A group with everything below it.
#[derive(Debug)]
pub(super) struct Group {
    /// Its name.
    pub name: Arc<str>,
    /// Its hosts and those of its children, ascending.
    pub hosts: Vec<HostIndex>,
}

impl Names for Fleet {
    fn hosts(&self) -> Vec<&str> {
        self.hosts.iter().map(|h| h.name.as_str()).collect()
    }
    fn groups(&self) -> Vec<(&str, &[HostIndex])> {
        self.groups.iter().map(|g| (&*g.name, g.hosts.as_slice())).collect()
    }
    fn host(&self, name: &str) -> Option<HostIndex> {
        self.hosts.named(name)
    }
}

/// What templates see of a host.
pub(crate) const HOST_NAMES: [&str; 8] =
    ["name", "address", "port", "user", "local", "groups", "become", "vars"];

/// Connection settings that defaults, groups and hosts may all have.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub(super) port: Option<u16>,
    pub(super) user: Option<String>,
    pub(super) ssh_config: Option<PathBuf>,
    /// The first one counts for `ssh`, so higher precedence stands first.
    pub(super) ssh_options: Vec<String>,
    pub(super) keep: Option<std::time::Duration>,
    pub(super) becomes: Option<Becomes>,
}

impl Settings {
    /// Whether the key is set.
    pub(super) fn has(&self, key: &str) -> bool {
        match key {
            "port" => self.port.is_some(),
            "user" => self.user.is_some(),
            "ssh_config" => self.ssh_config.is_some(),
            "keep" => self.keep.is_some(),
            "become" => self.becomes.is_some(),
            _ => false,
        }
    }

    pub(super) fn over(mut self, lower: &Self) -> Self {
        self.port = self.port.or(lower.port);
        self.user = self.user.or_else(|| lower.user.clone());
        self.ssh_config = self.ssh_config.or_else(|| lower.ssh_config.clone());
        self.keep = self.keep.or(lower.keep);
        self.becomes = self.becomes.or_else(|| lower.becomes.clone());
        self.ssh_options.extend(lower.ssh_options.iter().cloned());
        self
    }
}

/// A group as written.
pub(super) struct RawGroup<'a> {
    pub(super) key: &'a Key,
    pub(super) node: &'a Node,
    pub(super) members: Vec<(&'a str, &'a Node)>,
    pub(super) children: Vec<(&'a str, &'a Node)>,
    pub(super) settings: Settings,
    pub(super) layer: Arc<Layer>,
    pub(super) silence: Vec<Silence>,
}

/// A host as written.
pub(super) struct RawHost {
    pub(super) name: HostName,
    pub(super) login: Login,
    pub(super) settings: Settings,
    pub(super) layer: Arc<Layer>,
    pub(super) key_start: usize,
    pub(super) address_span: std::ops::Range<usize>,
    pub(super) silence: Arc<Vec<Silence>>,
}
