//! What the tasks of all hosts share during an apply.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use super::Options;
use super::cancel::{Cancel, Level};
use super::changes::Changes;
use super::events::Events;
use super::link::Link;
use crate::event::Body;
use crate::model::{Failure, Resource};
use crate::run::{Play, Run};

/// What the tasks of all hosts share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) run: Arc<Run>,
    pub(super) options: Options,
    pub(super) links: Arc<Vec<Arc<Link>>>,
    pub(super) events: Events,
    pub(super) cancel: Cancel,
    /// By host: whether the plan leaves it out.
    pub(super) left_out: Vec<bool>,
    /// How far each host of the run has come.
    pub(super) progress: Vec<watch::Sender<Position>>,
    /// What has been changed.
    pub(super) changes: Changes,
    /// The playbooks that have begun on some host.
    begun: Mutex<HashSet<usize>>,
    /// Raised when no host is to start a further step.
    pub(super) stop: watch::Sender<bool>,
    /// What only one host may change at a time.
    pub(super) exclusive: Mutex<HashMap<Resource, Arc<Mutex<()>>>>,
}

/// Up to where a host is done: playbook, its handlers or not, step. Everything below it is finished.
pub(super) type Position = (usize, bool, usize);

/// The position of a host that does nothing further in this run.
pub(super) const DONE: Position = (usize::MAX, true, usize::MAX);

impl Shared {
    pub(super) fn new(
        run: Arc<Run>,
        options: Options,
        links: Arc<Vec<Arc<Link>>>,
        events: Events,
        cancel: Cancel,
        left_out: Vec<bool>,
    ) -> Self {
        Self {
            options,
            links,
            events,
            cancel,
            progress: run.hosts.iter().map(|_| watch::channel((0, false, 0)).0).collect(),
            run,
            left_out,
            changes: Changes::default(),
            begun: Mutex::default(),
            stop: watch::channel(false).0,
            exclusive: Mutex::default(),
        }
    }

    pub(super) fn stopped(&self) -> bool {
        *self.stop.borrow() || self.cancel.level() > Level::None
    }

    /// Tells that a playbook begins, once, before any event of it.
    pub(super) async fn begin(&self, play: usize) {
        let mut begun = self.begun.lock().await;
        if begun.insert(play) {
            self.events.send(Body::PlayStarted { play }).await;
        }
    }
}

/// Whether a host begins a playbook as soon as it is done with the one before.
pub(super) fn joins(plays: &[Play], n: usize) -> bool {
    n > 0 && !plays[n].barrier && !plays[n].is_rolling() && !plays[n - 1].is_rolling()
}

/// A failure that says that the run was interrupted.
pub(super) fn interrupted() -> Failure {
    Failure::new("interrupted").hint("run it again: what is done already is left alone")
}
