//! One host's way through a playbook: its steps one after the other, then its handlers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::cancel::Level;
use super::changes::Version;
use super::events::millis;
use super::resolve;
use super::shared::{Position, Shared};
use super::turn::Turn;
use crate::event::{Body, Counts, Finished, Outcome, StepRef, Waited};
use crate::model::{Host, HostIndex, Known, OnFailure, PlayIndex, ResultOf, SlotIndex, StepId, StepResult};
use crate::plan::{HostSteps, Planned, Slot, SlotState};
use crate::probe::{Answer, Answers, Probe};
use crate::step::Instance;

/// A host during an apply. What it does at a step is in modules of their own: deciding, asking, acting, verifying and
/// waiting.
#[derive(Debug)]
pub(super) struct HostRun {
    pub(super) shared: Arc<Shared>,
    pub(super) own: HostIndex,
    pub(super) host: Arc<Host>,
    pub(super) unreachable: bool,
    /// What it has answered; nothing is expected any more.
    pub(super) answers: Answers,
    /// Its slots, in the order in which their turns come. A slot that waited for results becomes several when it is
    /// rendered with a loop: never before the slots whose turn has been.
    pub(super) slots: Vec<SlotRun>,
    /// Handlers that an earlier run was notified of and did not come to run.
    pub(super) pending: Vec<(PlayIndex, StepId)>,
    /// Handlers that this playbook's steps have notified.
    notified: Vec<StepId>,
    facts: serde_json::Value,
    /// Results of the steps so far, of all playbooks.
    results: BTreeMap<ResultOf, StepResult>,
    counts: Counts,
    failed: bool,
}

/// A slot during an apply: everything that is known of it.
#[derive(Debug)]
pub(super) struct SlotRun {
    pub(super) slot: Slot,
    /// What the plan says, and where it left the step alone, what a later question made of that.
    pub(super) planned: Planned,
    /// A change of its own host may have made its answers wrong, or what its actions rest on beside them.
    pub(super) stale: bool,
    /// A change of its own host may have made its answers wrong, by what it reads.
    pub(super) touched: bool,
    /// How far the changes of other hosts had come when it was asked.
    pub(super) seen: Version,
    /// How its turn ended, if it went along with an earlier one.
    pub(super) turn: Option<Turn>,
    /// How long it took, where that is not since its turn came.
    pub(super) took: Option<Duration>,
    /// It was told how it ended.
    ended: bool,
}

impl SlotRun {
    fn new(slot: Slot, planned: Planned) -> Self {
        Self {
            slot,
            planned,
            stale: false,
            touched: false,
            seen: Version::default(),
            turn: None,
            took: None,
            ended: false,
        }
    }

    pub(super) fn instance(&self) -> Option<&Instance> {
        self.slot.instance()
    }

    fn is_handler(&self) -> bool {
        self.slot.source.is_handler()
    }

    /// Where it stands in the order of the run.
    pub(super) fn position(&self) -> Position {
        Position::of(&self.slot)
    }
}

/// Why a step was not reached that nothing on its host stands against.
const STOPPED: &str = "the run was stopped";

impl HostRun {
    pub(super) fn new(
        shared: Arc<Shared>,
        own: HostIndex,
        steps: HostSteps,
        planned: Vec<Planned>,
        facts: serde_json::Value,
    ) -> Self {
        let slots = steps.slots.into_iter().zip(planned);
        Self {
            shared,
            own,
            host: steps.host,
            unreachable: steps.unreachable,
            answers: steps.answers,
            slots: slots.map(|(slot, planned)| SlotRun::new(slot, planned)).collect(),
            pending: steps.pending,
            notified: Vec::new(),
            facts,
            results: BTreeMap::new(),
            counts: Counts::default(),
            failed: false,
        }
    }

    /// Whether it may go on with further playbooks.
    pub(super) fn is_usable(&self) -> bool {
        !self.failed && !self.unreachable && !self.shared.left_out[self.own]
    }

    /// What became of it.
    pub(super) fn into_parts(self) -> (HostSteps, Counts) {
        let steps = HostSteps {
            host: self.host,
            unreachable: self.unreachable,
            answers: self.answers,
            slots: self.slots.into_iter().map(|run| run.slot).collect(),
            pending: self.pending,
        };
        (steps, self.counts)
    }

    /// Goes through one playbook.
    pub(super) async fn play(&mut self, play: PlayIndex, forks: Arc<Semaphore>) {
        let mut permit = forks.clone().acquire_owned().await.ok();
        self.notified.clear();
        let mut halted = false;
        let mut next = self.find(0, play, false);
        while let Some(n) = next.filter(|_| !self.unreachable) {
            self.reached(self.slots[n].position());
            let start = Instant::now();
            if let Some(turn) = self.slots[n].turn.take() {
                halted |= self.report(n, turn, start).await;
                next = self.find(n.position() + 1, play, false);
                continue;
            }
            let stands = !halted && !self.shared.stopped();
            if stands {
                self.resolve_waiting(n);
            }
            // A host that waits for another one must not keep a place that the other one may need.
            let waited = if stands && self.must_wait(n) {
                drop(permit.take());
                let steps = self.wait_for_others(n).await;
                permit = forks.clone().acquire_owned().await.ok();
                Some(Waited { ms: millis(start.elapsed()), steps })
            } else {
                None
            };
            let turn = if halted {
                Turn::new(Outcome::NotReached, "an earlier step failed")
            } else if self.shared.stopped() {
                Turn::new(Outcome::NotReached, STOPPED)
            } else {
                self.step(n).await
            };
            halted |= self.report(n, Turn { waited, ..turn }, start).await;
            next = self.find(n.position() + 1, play, false);
        }
        // Also after a failure: what was changed still has to take effect.
        self.handlers(play).await;
        self.failed |= halted;
        if self.is_usable() {
            self.reached(Position::start_of(PlayIndex::new(play.position() + 1)));
        } else {
            self.shared.ended(self.own);
        }
        drop(permit);
    }

    /// Tells of the steps that had no turn, at the end of the run: each step ends once.
    pub(super) async fn pass_over(&mut self, reachable: bool) {
        let (outcome, why) = match () {
            () if !reachable => (Outcome::Unreachable, "its host was not reached"),
            () if self.shared.left_out[self.own] => (Outcome::LeftOut, "its host is left out"),
            () if self.unreachable => (Outcome::NotReached, "its host was lost"),
            () if self.failed => (Outcome::NotReached, "an earlier playbook failed on this host"),
            () => (Outcome::NotReached, STOPPED),
        };
        for n in (0..self.slots.len()).map(SlotIndex::new) {
            if !self.slots[n].ended {
                let turn = self.slots[n].turn.take().unwrap_or_else(|| Turn::new(outcome, why));
                self.report(n, turn, Instant::now()).await;
            }
        }
    }

    /// The first slot of a playbook from a position on, among its handlers or among its other steps.
    fn find(&self, from: usize, play: PlayIndex, handler: bool) -> Option<SlotIndex> {
        let is_it = |run: &SlotRun| run.slot.play == play && run.is_handler() == handler;
        (from..self.slots.len()).map(SlotIndex::new).find(|&n| is_it(&self.slots[n]))
    }

    fn reached(&self, position: Position) {
        self.shared.reached(self.own, position);
    }

    async fn handlers(&mut self, play: PlayIndex) {
        let mut next = self.find(0, play, true);
        while let Some(n) = next.filter(|_| !self.unreachable) {
            self.reached(self.slots[n].position());
            let start = Instant::now();
            let turn = if !self.is_due(play, self.slots[n].slot.source.id()) {
                Turn::new(Outcome::Skipped, "not notified")
            } else if self.shared.cancel.level() > Level::None {
                Turn::new(Outcome::NotReached, "interrupted: it stays due for the next run")
            } else {
                self.resolve_waiting(n);
                self.step(n).await
            };
            self.failed |= self.report(n, turn, start).await;
            next = self.find(n.position() + 1, play, true);
        }
    }

    /// Whether a handler is to run: this run or an earlier one has notified it.
    pub(super) fn is_due(&self, play: PlayIndex, id: &StepId) -> bool {
        self.notified.contains(id) || self.pending.iter().any(|(p, i)| *p == play && i == id)
    }

    /// Whether what this run has changed has notified a handler.
    pub(super) fn has_notified(&self, id: &StepId) -> bool {
        self.notified.contains(id)
    }

    /// Notes that handlers are to run.
    pub(super) fn notify(&mut self, handlers: &[StepId]) {
        for id in handlers {
            if !self.notified.contains(id) {
                self.notified.push(id.clone());
            }
        }
    }

    /// Renders a step that waited for results, now that they are there. Nothing is known of what comes of it.
    fn resolve_waiting(&mut self, n: SlotIndex) {
        let run = &self.slots[n];
        if !matches!(run.slot.state, SlotState::Waits(_)) {
            return;
        }
        let known = Known { facts: self.facts.clone(), results: self.results.clone() };
        let slots = resolve::resolve(run.slot.play, run.slot.index, &run.slot.source, &self.host, &known);
        let planned = run.planned.clone();
        let turns = slots.into_iter().map(|slot| SlotRun {
            stale: true,
            touched: true,
            ..SlotRun::new(slot, planned.clone())
        });
        self.slots.splice(n.position()..=n.position(), turns);
    }

    /// Puts an answer where the step of a slot will look for it.
    pub(super) fn take_in(&mut self, n: SlotIndex, probe: &Probe, answer: Answer) {
        if let Some(instance) = self.slots[n].instance() {
            self.answers.insert(probe, &instance.privilege, answer);
        }
    }

    pub(super) fn at(&self, n: SlotIndex) -> StepRef {
        self.slots[n].slot.at(&self.host.name)
    }

    /// Sends how a step ended, keeps its result, and returns whether the host must stop.
    async fn report(&mut self, n: SlotIndex, turn: Turn, start: Instant) -> bool {
        self.slots[n].ended = true;
        if matches!(turn.outcome, Outcome::Failed | Outcome::NotReached | Outcome::Unreachable) {
            self.shared.undone(self.own, self.slots[n].position());
        }
        let slot = &self.slots[n].slot;
        let on_failure = slot.on_failure();
        let of = ResultOf { play: slot.play, step: slot.source.id().clone() };
        let finished = Finished {
            at: self.at(n),
            name: slot.name().to_owned(),
            kind: slot.source.kind().to_owned(),
            place: slot.source.place().clone(),
            outcome: turn.outcome,
            reason: turn.reason,
            shows: turn.shows,
            change: turn.change,
            undo: turn.undo.filter(|undo| !undo.inverse.is_empty()),
            failure: turn.failure,
            took_ms: millis(self.slots[n].took.unwrap_or_else(|| start.elapsed())),
            waited: turn.waited,
        };
        self.counts.add(turn.outcome);
        self.keep_result(of, turn.result);
        if let (Outcome::Unreachable, Some(failure)) = (turn.outcome, &finished.failure) {
            let lost = Body::HostUnreachable { host: finished.at.host.clone(), failure: failure.clone() };
            self.shared.events.send(lost).await;
        }
        self.shared.events.send(Body::StepFinished(finished)).await;
        match (turn.outcome, on_failure) {
            (Outcome::Failed, OnFailure::Stop) => true,
            (Outcome::Failed, OnFailure::StopAll) => {
                self.shared.stop.send_replace(true);
                true
            }
            _ => false,
        }
    }

    /// Turns of a loop share one result: changed if any was.
    fn keep_result(&mut self, of: ResultOf, result: StepResult) {
        let (changed, failed) = self.results.get(&of).map_or((false, false), |b| (b.changed, b.failed));
        let result =
            StepResult { changed: changed || result.changed, failed: failed || result.failed, ..result };
        self.results.insert(of, result);
    }
}
