//! A run: which hosts, which playbooks in which order, and the seam through which the engine gets
//! the steps of one host once it knows enough of that host to render their templates.

use std::fmt;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::model::{Host, HostIndex, HostName, Hosts, Known, OnFailure, Place, ResultOf, StepId};
use crate::step::Instance;

/// Everything that a command is to do, checked and resolved as far as it can be offline.
#[derive(Debug, Clone)]
pub struct Run {
    /// The selected hosts in inventory order. [`Play::hosts`] are indices into this list.
    pub hosts: Vec<Arc<Host>>,
    /// Every host of the inventory, selected or not, for steps that name another host.
    pub inventory: Arc<Hosts>,
    /// The playbooks in the order in which they run; each is a barrier.
    pub plays: Vec<Play>,
}

/// One playbook on its hosts.
#[derive(Debug, Clone)]
pub struct Play {
    /// Its file name without folder and ending (`10-nfs-server`).
    pub name: Arc<str>,
    /// Its title.
    pub title: String,
    /// The file.
    pub file: Arc<str>,
    /// Its hosts, as indices into [`Run::hosts`], ascending.
    pub hosts: Vec<HostIndex>,
    /// Whether its hosts wait until the playbooks before are done on all hosts. Without, a host begins when it is done
    /// with them itself; never for one that is [`Play::is_rolling`], nor right behind one.
    pub barrier: bool,
    /// Sizes of the rolling batches, the last one repeated; empty for all at once.
    pub serial: Vec<Batch>,
    /// Stop the run when more than this many hosts have failed in a batch.
    pub max_failures: Option<Batch>,
    /// Nothing at all is applied when one of its hosts is left out.
    pub all_or_nothing: bool,
    /// Its steps in order, handlers included.
    pub steps: Vec<Arc<dyn StepSource>>,
}

impl Play {
    /// Whether its hosts are counted: it goes in batches, or stops the run when too many fail.
    pub fn is_rolling(&self) -> bool {
        !self.serial.is_empty() || self.max_failures.is_some()
    }

    /// Its hosts in the batches in which they go, one after the other.
    pub fn batches(&self) -> Vec<&[HostIndex]> {
        let mut rest = self.hosts.as_slice();
        let mut sizes = self.serial.iter().map(|size| size.of(self.hosts.len()).max(1));
        let mut size = sizes.next().unwrap_or(rest.len());
        let mut batches = Vec::new();
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(size.min(rest.len()));
            batches.push(batch);
            rest = later;
            size = sizes.next().unwrap_or(size);
        }
        batches
    }

    /// How many hosts of a batch may fail, if it says.
    pub fn allowed_failures(&self) -> Option<usize> {
        self.max_failures.map(|allowed| match allowed {
            Batch::Hosts(n) => n,
            Batch::Percent(p) => self.hosts.len() * usize::from(p) / 100,
        })
    }
}

/// A number of hosts, or a share of a play's hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batch {
    /// So many hosts.
    Hosts(usize),
    /// So many per cent of the play's hosts, rounded up.
    Percent(u8),
}

impl Batch {
    /// The number of hosts, of `all`, at least 1 for a batch of a share.
    pub fn of(self, all: usize) -> usize {
        match self {
            Self::Hosts(n) => n,
            Self::Percent(p) => (all * usize::from(p)).div_ceil(100).max(1),
        }
    }
}

/// One `[[step]]` as written, not yet rendered for a host.
pub trait StepSource: fmt::Debug + Send + Sync {
    /// Its id (without a loop's `[item]`).
    fn id(&self) -> &StepId;
    /// Its name as written, templates unrendered.
    fn name(&self) -> &str;
    /// The kind, as its key in the playbook (`nfs_export`).
    fn kind(&self) -> &'static str;
    /// Where it is written.
    fn place(&self) -> &Place;
    /// Whether it runs only when notified.
    fn is_handler(&self) -> bool;
    /// Its tags, those of its playbook included.
    fn tags(&self) -> &[String] {
        &[]
    }
    /// What its failure means, as far as that is written plainly: for a step that cannot be rendered.
    fn on_failure(&self) -> OnFailure {
        OnFailure::default()
    }
    /// Whether it is meant for this host (the step's own `hosts`, `--step`, tags, `--start-at`).
    fn selects(&self, host: &HostName) -> bool;
    /// Whether its templates use `facts`, so that it cannot be rendered before they are known.
    fn needs_facts(&self) -> bool;
    /// The steps whose results (`steps.ID`) its templates use.
    fn needs_results(&self) -> &[ResultOf];
    /// Renders it for `host`: a loop gives several instances, a false `when` none.
    fn resolve(&self, host: &Host, known: &Known) -> Result<Resolved, ResolveError>;
}

/// What rendering a step for a host came to.
#[derive(Debug, Clone)]
pub enum Resolved {
    /// Its `when` is false, or its loop is empty: why, in a few words.
    Skipped(String),
    /// The step, once for each turn of its loop.
    Steps(Vec<Arc<Instance>>),
}

/// A template could not be rendered for a host, or what came out is not valid.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .0.first().map_or("cannot resolve the step", |d| d.message.as_str()))]
pub struct ResolveError(pub Vec<Diagnostic>);
