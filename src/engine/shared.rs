//! What the tasks of all hosts share during an apply.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use super::Options;
use super::cancel::{Cancel, Level};
use super::changes::Changes;
use super::events::Events;
use super::link::Links;
use crate::event::Body;
use crate::model::{Failure, HostIndex, PlayIndex, Resource};
use crate::plan::{Agreed, Slot};
use crate::run::{Play, Run};

/// What the tasks of all hosts share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) run: Arc<Run>,
    pub(super) options: Options,
    pub(super) links: Arc<Links>,
    pub(super) events: Events,
    pub(super) cancel: Cancel,
    /// What was agreed on beforehand, if anything was.
    pub(super) agreed: Option<Arc<Agreed>>,
    /// By host: whether the plan leaves it out.
    pub(super) left_out: Vec<bool>,
    /// How far each host of the run has come.
    progress: Vec<watch::Sender<Progress>>,
    /// The steps that another host waits for.
    pub(super) awaited: HashSet<(HostIndex, Position)>,
    /// What has been changed.
    pub(super) changes: Changes,
    /// The playbooks that have begun on some host.
    begun: Mutex<HashSet<PlayIndex>>,
    /// Raised when no host is to start a further step.
    pub(super) stop: watch::Sender<bool>,
    /// What only one host may change at a time.
    pub(super) exclusive: Mutex<HashMap<Resource, Arc<Mutex<()>>>>,
}

/// Up to where a host is done: everything below it is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) play: PlayIndex,
    /// Its handlers run after all its other steps.
    pub(super) handlers: bool,
    /// The step as written, by its position in the playbook.
    pub(super) step: usize,
}

impl Position {
    /// Where a slot stands.
    pub(super) fn of(slot: &Slot) -> Self {
        Self { play: slot.play, handlers: slot.source.is_handler(), step: slot.index }
    }

    /// Before the first step of a playbook.
    pub(super) fn start_of(play: PlayIndex) -> Self {
        Self { play, handlers: false, step: 0 }
    }
}

/// How far a host has come.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    at: Position,
    /// It goes no further in this run.
    ended: bool,
    /// The steps that have failed, or were passed over because of a failure.
    undone: BTreeSet<Position>,
}

impl Progress {
    /// Whether a step is done, once that is decided.
    pub(super) fn is_done(&self, step: Position) -> Option<bool> {
        if self.undone.contains(&step) {
            return Some(false);
        }
        if self.at > step { Some(true) } else { self.ended.then_some(false) }
    }
}

impl Shared {
    pub(super) fn new(
        run: Arc<Run>,
        options: Options,
        links: Arc<Links>,
        events: Events,
        cancel: Cancel,
        left_out: Vec<bool>,
        agreed: Option<Arc<Agreed>>,
    ) -> Self {
        Self {
            options,
            links,
            events,
            cancel,
            progress: run
                .hosts
                .iter()
                .map(|_| {
                    let at = Position::start_of(PlayIndex::default());
                    watch::channel(Progress { at, ended: false, undone: BTreeSet::new() }).0
                })
                .collect(),
            run,
            left_out,
            agreed,
            awaited: HashSet::new(),
            changes: Changes::default(),
            begun: Mutex::default(),
            stop: watch::channel(false).0,
            exclusive: Mutex::default(),
        }
    }

    pub(super) fn stopped(&self) -> bool {
        *self.stop.borrow() || self.cancel.level() > Level::None
    }

    /// Follows how far a host comes.
    pub(super) fn progress(&self, host: HostIndex) -> watch::Receiver<Progress> {
        self.progress[host].subscribe()
    }

    /// A host is done with everything below this position.
    pub(super) fn reached(&self, host: HostIndex, at: Position) {
        self.progress[host].send_modify(|progress| progress.at = at);
    }

    /// A step of a host has failed, or was passed over because of a failure.
    pub(super) fn undone(&self, host: HostIndex, step: Position) {
        self.progress[host].send_modify(|progress| {
            progress.undone.insert(step);
        });
    }

    /// A host does nothing further in this run.
    pub(super) fn ended(&self, host: HostIndex) {
        self.progress[host].send_modify(|progress| progress.ended = true);
    }

    /// Tells that a playbook begins, once, before any event of it.
    pub(super) async fn begin(&self, play: PlayIndex) {
        let mut begun = self.begun.lock().await;
        if begun.insert(play) {
            self.events.send(Body::PlayStarted { play }).await;
        }
    }
}

/// Whether a host begins a playbook as soon as it is done with the one before.
pub(super) fn joins(plays: &[Play], play: PlayIndex) -> bool {
    let Some(before) = play.position().checked_sub(1) else { return false };
    !plays[play].barrier && !plays[play].is_rolling() && !plays[before].is_rolling()
}

/// A failure that says that the run was interrupted.
pub(super) fn interrupted() -> Failure {
    Failure::new("interrupted").hint("run it again: what is done already is left alone")
}
