//! Hosts in their order, and the one rule by which a name or an address means one of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::{Deref, Index};
use std::sync::Arc;

use super::{Host, HostIndex};

/// The hosts of an inventory or of a run. Whoever holds a text that means a host asks here once, and holds its
/// [`HostIndex`] from then on.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    all: Vec<Arc<Host>>,
    names: HashMap<String, HostIndex>,
    addresses: HashMap<String, HostIndex>,
    ips: HashMap<IpAddr, HostIndex>,
}

impl Hosts {
    /// Takes hosts in their order.
    pub fn new(hosts: Vec<Arc<Host>>) -> Self {
        let mut found = Self::default();
        for (n, host) in hosts.iter().enumerate() {
            let index = HostIndex::new(n);
            let address = &host.login.address;
            found.names.entry(host.name.to_string()).or_insert(index);
            found.addresses.entry(address.clone()).or_insert(index);
            if let Some(ip) = ip(address) {
                found.ips.entry(ip).or_insert(index);
            }
        }
        Self { all: hosts, ..found }
    }

    /// The host with this name, or else the first one with this address, however an IP address is written.
    pub fn find(&self, called: &str) -> Option<HostIndex> {
        let by_ip = || self.ips.get(&ip(called)?);
        self.names.get(called).or_else(|| self.addresses.get(called)).or_else(by_ip).copied()
    }

    /// The host with this name.
    pub fn named(&self, name: &str) -> Option<HostIndex> {
        self.names.get(name).copied()
    }

    /// The index of each, in their order.
    pub fn indices(&self) -> impl Iterator<Item = HostIndex> + use<> {
        (0..self.all.len()).map(HostIndex::new)
    }
}

fn ip(text: &str) -> Option<IpAddr> {
    text.trim_matches(['[', ']']).parse().ok()
}

impl Deref for Hosts {
    type Target = [Arc<Host>];

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl Index<HostIndex> for Hosts {
    type Output = Arc<Host>;

    fn index(&self, index: HostIndex) -> &Self::Output {
        &self.all[index.position()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{HostName, Login, Place};

    #[test]
    fn a_name_counts_before_an_address() {
        let host = |name: &str, address: &str| {
            Arc::new(Host {
                name: HostName::new(name).unwrap(),
                login: Login { address: address.into(), ..Login::default() },
                groups: Vec::new(),
                vars: Arc::default(),
                place: Place { file: "inventory.toml".into(), line: 1, column: 1 },
            })
        };
        let hosts =
            Hosts::new(vec![host("a", "b"), host("b", "10.0.0.2"), host("c", "fd00::1"), host("d", "b")]);
        for (called, position) in [("a", 0), ("b", 1), ("10.0.0.2", 1), ("fd00:0::1", 2), ("[fd00::1]", 2)] {
            assert_eq!(hosts.find(called), Some(HostIndex::new(position)), "{called}");
        }
        assert_eq!(hosts.find("10.0.0.3"), None);
        assert_eq!(hosts.named("10.0.0.2"), None);
    }
}
