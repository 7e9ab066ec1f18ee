//! A host of the inventory, with everything resolved.

use std::sync::Arc;

use super::{HostName, Place};

/// A host as the inventory describes it.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name in the inventory.
    pub name: HostName,
    /// How to reach it.
    pub login: Login,
    /// The groups it is in, parents before children, in inventory order; `all` is not listed.
    pub groups: Vec<Arc<str>>,
    /// Its variables after inventory precedence (defaults, groups, host), as JSON.
    pub vars: Arc<serde_json::Map<String, serde_json::Value>>,
    /// Where it is defined.
    pub place: Place,
}

/// How to reach a host. What is `None` is left to `ssh` and its configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// Address or name to connect to; the inventory name when none is given.
    pub address: String,
    /// Port of its sshd.
    pub port: Option<u16>,
    /// User to log in as.
    pub user: Option<String>,
    /// `-F` of `ssh`.
    pub ssh_config: Option<std::path::PathBuf>,
    /// Each as `Key=Value`, for `-o` of `ssh`.
    pub ssh_options: Vec<String>,
    /// For how long a connection stays for later runs, if the inventory says; zero for not at all.
    pub keep: Option<std::time::Duration>,
    /// Run on the controller itself, without `ssh`.
    pub local: bool,
}
