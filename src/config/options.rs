//! What a command asks of loading.

use std::path::PathBuf;

use crate::shard::Shard;

/// What a command was given on its command line.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The inventory file.
    pub inventory: PathBuf,
    /// Playbooks, or folders whose `*.toml` files run in the order of their names.
    pub playbooks: Vec<PathBuf>,
    /// A pattern that narrows the hosts of every playbook.
    pub limit: Option<String>,
    /// Only this part of the hosts; all without it. Not used by [`load_inventory`](fn@super::load_inventory).
    pub shard: Option<Shard>,
    /// Only steps with one of these tags; empty for all.
    pub tags: Vec<String>,
    /// No step with one of these tags.
    pub skip_tags: Vec<String>,
    /// Only the steps with these ids (`ID` or `PLAYBOOK/ID`); empty for all.
    pub step: Vec<String>,
    /// Nothing before the step with this id.
    pub start_at: Option<String>,
    /// Variables, each `NAME=VALUE`; the value is TOML if it can be read as such, text otherwise.
    pub vars: Vec<String>,
    /// `-F` of `ssh`, over all that the inventory says.
    pub ssh_config: Option<PathBuf>,
    /// The hosts of a command without playbooks; every host if there is none. Not used by [`load`](fn@super::load).
    pub hosts_pattern: Option<String>,
    /// What it means when a secret cannot be read.
    pub missing_secrets: MissingSecrets,
}

/// What it means when a secret that a step uses cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MissingSecrets {
    /// Nothing is done: for every command that talks to hosts.
    #[default]
    Error,
    /// A warning, and some text stands in for it: for `check`, which also runs where no secret is.
    Warning,
}
