//! One host's way through a playbook: step after step, asking again only what may have changed.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::asking::{Questions, Replies, Ticket, failure_of, privilege_of};
use super::cancel::Level;
use super::changes::{Seen, overlaps};
use super::gather::{insert, target};
use super::link::Asker;
use super::resolve;
use super::shared::{DONE, Position, Shared, interrupted, joins};
use crate::event::{Body, ChangeView, Counts, Finished, Forecast, Outcome, StepRef};
use crate::model::{Failure, HostName, Known, OnFailure, PlayIndex, Resource, ResultOf, StepId, StepResult};
use crate::plan::{self, HostSteps, Planned, SlotState, failure_of as check_failure};
use crate::probe::Probe;
use crate::step::Instance;
use crate::step::{Change, Origin, Verdict};
use crate::transport::TransportError;

/// A host during an apply.
#[derive(Debug)]
pub(super) struct HostRun {
    pub(super) shared: Arc<Shared>,
    pub(super) own: usize,
    pub(super) steps: HostSteps,
    planned: Vec<Planned>,
    /// Slots whose answers may no longer hold.
    stale: HashSet<usize>,
    /// By slot: how far the changes elsewhere had come when it was asked.
    seen: Vec<Seen>,
    facts: serde_json::Value,
    /// Results of the steps so far, of all playbooks.
    results: BTreeMap<ResultOf, StepResult>,
    notified: Vec<StepId>,
    counts: Counts,
    failed: bool,
}

/// How a step's turn ended.
pub(super) struct Turn {
    pub(super) outcome: Outcome,
    pub(super) reason: String,
    /// What the step is there to show, unless the plan has shown it.
    pub(super) shows: String,
    pub(super) change: Option<ChangeView>,
    pub(super) failure: Option<Failure>,
    pub(super) result: StepResult,
}

impl Turn {
    pub(super) fn new(outcome: Outcome, reason: impl Into<String>) -> Self {
        let result = StepResult {
            changed: outcome == Outcome::Changed,
            failed: outcome == Outcome::Failed,
            skipped: matches!(outcome, Outcome::Skipped | Outcome::NotReached),
            ..StepResult::default()
        };
        Self { outcome, reason: reason.into(), shows: String::new(), change: None, failure: None, result }
    }

    pub(super) fn failed(failure: Failure) -> Self {
        Self { failure: Some(failure), ..Self::new(Outcome::Failed, "") }
    }

    pub(super) fn unreachable(failure: Failure) -> Self {
        Self { failure: Some(failure), ..Self::new(Outcome::Unreachable, "") }
    }
}

impl HostRun {
    pub(super) fn new(
        shared: Arc<Shared>,
        own: usize,
        steps: HostSteps,
        planned: Vec<Planned>,
        facts: serde_json::Value,
    ) -> Self {
        let seen = vec![Seen::new(); steps.slots.len()];
        Self {
            shared,
            own,
            steps,
            planned,
            stale: HashSet::new(),
            seen,
            facts,
            results: BTreeMap::new(),
            notified: Vec::new(),
            counts: Counts::default(),
            failed: false,
        }
    }

    /// Whether it may go on with further playbooks.
    pub(super) fn is_usable(&self) -> bool {
        !self.failed && !self.steps.unreachable && !self.shared.left_out[self.own]
    }

    pub(super) fn into_parts(self) -> (HostSteps, Counts) {
        (self.steps, self.counts)
    }

    /// Goes through one playbook.
    pub(super) async fn play(&mut self, play: usize, forks: Arc<Semaphore>) {
        let mut permit = forks.clone().acquire_owned().await.ok();
        self.notified.clear();
        let mut n = self.steps.slots.iter().position(|s| s.play == play).unwrap_or(self.steps.slots.len());
        let mut halted = false;
        while n < self.steps.slots.len() && self.steps.slots[n].play == play {
            if self.steps.slots[n].source.is_handler() {
                n += 1;
                continue;
            }
            self.reached((play, false, self.steps.slots[n].index));
            if halted || self.shared.stopped() {
                let why = if halted { "an earlier step failed" } else { "the run was stopped" };
                self.report(n, Turn::new(Outcome::NotReached, why), Instant::now()).await;
                n += 1;
                continue;
            }
            self.resolve_waiting(n);
            let start = Instant::now();
            // A host that waits for another one must not keep a place that the other one may need.
            if self.must_wait(n) {
                drop(permit.take());
                self.wait_for_others(n).await;
                permit = forks.clone().acquire_owned().await.ok();
            }
            let turn = self.step(n).await;
            halted |= self.report(n, turn, start).await;
            if self.steps.unreachable {
                break;
            }
            n += 1;
        }
        // Also after a failure: what was changed still has to take effect.
        self.handlers(play).await;
        self.failed |= halted;
        if self.is_usable() {
            self.reached((play + 1, false, 0));
        } else {
            self.reached(DONE);
        }
        drop(permit);
    }

    fn reached(&self, position: Position) {
        self.shared.progress[self.own].send_replace(position);
    }

    async fn handlers(&mut self, play: usize) {
        let handlers: Vec<usize> = (0..self.steps.slots.len())
            .filter(|&n| self.steps.slots[n].play == play && self.steps.slots[n].source.is_handler())
            .collect();
        for n in handlers {
            if self.steps.unreachable {
                return;
            }
            self.reached((play, true, self.steps.slots[n].index));
            let id = self.steps.slots[n].source.id().clone();
            let due = self.notified.contains(&id)
                || self.steps.pending.iter().any(|(p, pending)| *p == play && *pending == id);
            let start = Instant::now();
            let turn = if !due {
                Turn::new(Outcome::Skipped, "not notified")
            } else if self.shared.cancel.level() > Level::None {
                Turn::new(Outcome::NotReached, "interrupted: it stays due for the next run")
            } else {
                self.step(n).await
            };
            self.failed |= self.report(n, turn, start).await;
        }
    }

    /// Renders a step that waited for results, now that they are there.
    fn resolve_waiting(&mut self, n: usize) {
        let slot = &self.steps.slots[n];
        if !matches!(slot.state, SlotState::Waits(_)) {
            return;
        }
        let known = Known { facts: self.facts.clone(), results: self.results.clone() };
        let slots = resolve::resolve(slot.play, slot.index, &slot.source, &self.steps.host, &known);
        let added = slots.len();
        let planned = self.planned[n].clone();
        self.steps.slots.splice(n..=n, slots);
        self.planned.splice(n..=n, std::iter::repeat_n(planned, added));
        self.seen.splice(n..=n, std::iter::repeat_n(Seen::new(), added));
        let moved = self.stale.iter().filter(|s| **s > n).copied().collect::<Vec<_>>();
        for s in moved.iter().rev() {
            self.stale.remove(s);
        }
        self.stale.extend(moved.iter().map(|s| s + added - 1));
        self.stale.extend(n..n + added);
    }

    fn must_wait(&self, n: usize) -> bool {
        self.awaited(n).any(|(host, wanted)| *self.shared.progress[host].borrow() <= wanted)
    }

    async fn wait_for_others(&self, n: usize) {
        for (host, wanted) in self.awaited(n) {
            let mut progress = self.shared.progress[host].subscribe();
            tokio::select! {
                _ = progress.wait_for(|position| *position > wanted) => {}
                () = self.stopping() => return,
            }
        }
    }

    /// The hosts that a slot waits for, and up to where.
    fn awaited(&self, n: usize) -> impl Iterator<Item = (usize, Position)> {
        let slot = &self.steps.slots[n];
        let own = (slot.play, false, slot.index);
        let of = |by: &StepRef| {
            let host = self.shared.run.hosts.iter().position(|h| h.name == by.host)?;
            let index = self.shared.run.plays[by.play].steps.iter().position(|s| {
                let turn = by.step.as_str().strip_prefix(s.id().as_str());
                turn.is_some_and(|turn| turn.is_empty() || turn.starts_with('['))
            })?;
            Some((host, (by.play, false, index)))
        };
        // Hosts of a later batch have not started: waiting for them would never end.
        self.planned[n].awaits.iter().filter_map(of).filter(move |(_, wanted)| *wanted < own)
    }

    async fn stopping(&self) {
        let mut stop = self.shared.stop.subscribe();
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.shared.cancel.killed() => {}
        }
    }

    /// One step's turn, with its retries.
    async fn step(&mut self, n: usize) -> Turn {
        let instance = match &self.steps.slots[n].state {
            SlotState::Ready(instance) => (**instance).clone(),
            SlotState::Skipped(why) => return Turn::new(Outcome::Skipped, why.clone()),
            SlotState::Invalid(failure) => return Turn::failed(failure.clone()),
            SlotState::Waits(_) => return Turn::failed(Failure::new("its results are not known")),
        };
        let fresh_enough = !self.is_stale(n, &instance);
        if fresh_enough
            && !instance.handler
            && let Forecast::Unchanged { reason, predicted, .. } = &self.planned[n].forecast
            && predicted.is_empty()
        {
            let result = self.planned[n].result.clone();
            return Turn { result, ..Turn::new(Outcome::Unchanged, reason.clone()) };
        }
        let at = self.at(n);
        self.shared.events.send(Body::StepStarted { at: at.clone(), name: instance.name.clone() }).await;
        let mut left = instance.retries;
        let mut asked = fresh_enough;
        loop {
            let turn = self.try_step(n, &instance, asked).await;
            asked = false;
            let again = match &turn.failure {
                Some(failure) if turn.outcome == Outcome::Failed => Some(failure.clone()),
                None => until_failure(&instance, &turn.result),
                Some(_) => None,
            };
            let Some(failure) = again else { return turn };
            if left == 0 || self.shared.stopped() {
                // What it printed is there for the steps that go on.
                let result = StepResult { failed: true, ..turn.result };
                return Turn { change: turn.change, result, ..Turn::failed(failure) };
            }
            self.shared.events.send(Body::StepRetried { at: at.clone(), left, failure }).await;
            left -= 1;
            tokio::select! {
                () = tokio::time::sleep(instance.retry_delay) => {}
                () = self.stopping() => {}
            }
        }
    }

    async fn try_step(&mut self, n: usize, instance: &Instance, asked: bool) -> Turn {
        let lock = match instance.step.exclusive() {
            Some(resource) => {
                let lock = Arc::clone(self.shared.exclusive.lock().await.entry(resource).or_default());
                Some(lock.lock_owned().await)
            }
            None => None,
        };
        // Another host may have changed what this one saw before it got the lock.
        if (!asked || lock.is_some())
            && let Err(turn) = self.ask(&[n]).await
        {
            return turn;
        }
        let change = if instance.handler {
            match instance.on_notify(&self.steps.answers).said {
                Ok(Some(change)) => change,
                Ok(None) => {
                    return Turn::failed(Failure::new(format!(
                        "a `{}` step cannot be a handler",
                        instance.kind
                    )));
                }
                Err(error) => return Turn::failed(check_failure(&error)),
            }
        } else {
            match instance.check(&self.steps.answers).said {
                Ok(Verdict::Satisfied { reason, shows, result }) => {
                    // It was not so when the plan was made: what it waits for has come about since.
                    let came = self.planned[n].change.as_ref().filter(|c| c.passive).map(ChangeView::from);
                    let outcome = if came.is_some() { Outcome::Changed } else { Outcome::Unchanged };
                    let mut turn = Turn { change: came, shows, ..Turn::new(outcome, reason) };
                    if let Some(result) = result {
                        turn.result = StepResult { changed: turn.result.changed, ..*result };
                    }
                    return turn;
                }
                Ok(Verdict::Drift(change)) => change,
                Ok(Verdict::Unknown { otherwise, until, .. }) => {
                    return Turn::failed(
                        Failure::new(otherwise).hint(format!("no step has brought {until}")),
                    );
                }
                Err(error) => return Turn::failed(check_failure(&error)),
            }
        };
        let options = self.shared.options.planning();
        if let Some(failure) = plan::disruption(instance, Some(&change), options) {
            return Turn::failed(failure);
        }
        if let Some(failure) = self.acts_on_left_out(&change) {
            return Turn::failed(failure);
        }
        let turn = self.act(n, instance, &change).await;
        drop(lock);
        turn
    }

    /// Why a change must not be made, if it acts on a host that is left out, or borrows from it: the plan did not see it
    /// coming, or the host of the step would be left out too.
    fn acts_on_left_out(&self, change: &Change) -> Option<Failure> {
        let hosts = change.actions.iter().flat_map(|action| {
            let lenders = action.borrowed.iter().filter_map(|borrowed| match &borrowed.from {
                Origin::Probe(probe) => probe.host.as_ref(),
                Origin::Printed | Origin::Read(_) => None,
            });
            action.host.iter().chain(lenders)
        });
        let out = |host: &&HostName| {
            let position = self.shared.run.hosts.iter().position(|h| h.name == **host);
            position.is_some_and(|n| n != self.own && self.shared.left_out[n])
        };
        let host = { hosts }.find(out)?;
        Some(Failure::new(format!(
            "to {} it has to act on {host}, which is left out",
            change.shown().summary
        )))
    }

    /// Asks the probes of these slots anew.
    pub(super) async fn ask(&mut self, slots: &[usize]) -> Result<(), Turn> {
        self.ask_but(slots, &[]).await
    }

    /// Asks the probes of these slots anew, but for those that have just been answered.
    pub(super) async fn ask_but(&mut self, slots: &[usize], fresh: &[Probe]) -> Result<(), Turn> {
        let mut questions: Vec<(usize, Questions)> = Vec::new();
        let mut tickets: Vec<(usize, usize, Probe, Ticket)> = Vec::new();
        for &n in slots {
            let Some(instance) = self.steps.slots[n].instance() else { continue };
            for probe in instance.step.probes() {
                let Some(host) = target(&self.shared.links, self.own, probe.host.as_ref()) else { continue };
                if fresh.contains(&probe) {
                    continue;
                }
                let group = questions.iter().position(|(h, _)| *h == host).unwrap_or_else(|| {
                    questions.push((host, Questions::default()));
                    questions.len() - 1
                });
                let ticket = questions[group].1.add(&probe, privilege_of(&probe, instance));
                tickets.push((n, group, probe, ticket));
            }
        }
        for &n in slots {
            self.seen[n] = self.others_changes(n);
            self.stale.remove(&n);
        }
        let replies = self.replies(questions).await?;
        for (n, group, probe, ticket) in tickets {
            match replies[group].of(ticket) {
                Ok(answer) => insert(&mut self.steps, n, &probe, answer.clone()),
                Err(failure) => return Err(Turn::failed(failure.clone())),
            }
        }
        Ok(())
    }

    /// Asks several hosts at once.
    async fn replies(&mut self, questions: Vec<(usize, Questions)>) -> Result<Vec<Replies>, Turn> {
        let bound = self.shared.options.probe_timeout;
        let mut hosts = Vec::with_capacity(questions.len());
        let mut asking = JoinSet::new();
        for (n, (host, questions)) in questions.into_iter().enumerate() {
            let link = Arc::clone(&self.shared.links[host]);
            hosts.push(host);
            let asker = self.asker(host);
            asking.spawn(async move { (n, questions.ask(&link, asker, bound).await) });
        }
        let mut replies = tokio::select! {
            replies = asking.join_all() => replies,
            () = self.shared.cancel.killed() => return Err(Turn::failed(interrupted())),
        };
        replies.sort_by_key(|(n, _)| *n);
        let lost = |(n, asked): (usize, Result<Replies, TransportError>)| {
            asked.map_err(|error| self.lost(hosts[n], &error))
        };
        replies.into_iter().map(lost).collect()
    }

    /// As whom this task talks to a host.
    pub(super) fn asker(&self, host: usize) -> Asker {
        if host == self.own { Asker::Own } else { Asker::Guest }
    }

    /// What it means that a host did not answer.
    pub(super) fn lost(&mut self, host: usize, error: &TransportError) -> Turn {
        let failure = failure_of(error);
        if host == self.own && matches!(error, TransportError::Unreachable { .. }) {
            self.steps.unreachable = true;
            return Turn::unreachable(failure);
        }
        if host == self.own {
            return Turn::failed(failure);
        }
        let name = &self.shared.links[host].host.name;
        Turn::failed(Failure {
            causes: vec![failure.message],
            hint: failure.hint,
            ..Failure::new(format!("{name}, which this step has to ask, did not answer"))
        })
    }

    fn is_stale(&self, n: usize, instance: &Instance) -> bool {
        let predicted = match &self.planned[n].forecast {
            Forecast::Change { predicted, .. } => !predicted.is_empty() && !instance.handler,
            Forecast::Unchanged { predicted, .. } => !predicted.is_empty(),
            _ => true,
        };
        predicted || self.stale.contains(&n) || self.changed_elsewhere(n)
    }

    /// How far the changes have come that a slot's answers, beside those of its own host, may rest on.
    pub(super) fn others_changes(&self, n: usize) -> Seen {
        self.steps.slots[n].instance().map_or_else(Seen::new, |i| self.changes_of(i, &relied(i)))
    }

    fn changes_of(&self, instance: &Instance, relied: &[Resource]) -> Seen {
        let asks: Vec<usize> = (instance.step.probes().iter())
            .filter_map(|p| target(&self.shared.links, self.own, Some(p.host.as_ref()?)))
            .collect();
        self.shared.changes.now(self.own, relied, &asks, &self.shared.links)
    }

    /// Whether another host, or the fleet, may no longer be as a slot saw it.
    fn changed_elsewhere(&self, n: usize) -> bool {
        let Some(instance) = self.steps.slots[n].instance() else { return false };
        let relied = relied(instance);
        let now = self.changes_of(instance, &relied);
        let says = (!instance.step.opaque()).then_some(relied.as_slice());
        let Shared { changes, links, .. } = &*self.shared;
        changes.between(&self.seen[n], &now, self.own, says, links)
    }

    /// Notes a change for the other hosts, when it has been made, or tried.
    pub(super) fn note(&self, instance: &Instance, change: &Change) {
        let Shared { changes, links, .. } = &*self.shared;
        let on = change.actions.iter().filter_map(|a| target(links, self.own, Some(a.host.as_ref()?)));
        changes.note(
            self.own,
            &touched(instance, change),
            instance.step.opaque(),
            &on.collect::<Vec<_>>(),
            links,
        );
    }

    /// Marks the later slots whose answers the change of slot `n` may have made wrong.
    pub(super) fn touched(&mut self, n: usize, instance: &Instance, change: &Change) {
        let touched = touched(instance, change);
        let opaque = instance.step.opaque();
        for (later, slot) in self.steps.slots.iter().enumerate().skip(n + 1) {
            let Some(other) = slot.instance() else { continue };
            // What a command does nobody knows, and what its guards look at neither.
            let open = matches!(self.planned[later].forecast, Forecast::Change { .. });
            if opaque
                || other.step.opaque()
                || open
                || relied(other).iter().any(|r| touched.iter().any(|t| overlaps(t, r)))
            {
                self.stale.insert(later);
            }
        }
    }

    /// The slots whose questions travel with the actions of slot `n`: up to the next one that is open, or that waits for
    /// other hosts.
    pub(super) fn ask_along(&self, n: usize) -> Vec<usize> {
        let play = self.steps.slots[n].play;
        let mut along = Vec::new();
        for later in n + 1..self.steps.slots.len() {
            let slot = &self.steps.slots[later];
            if (play + 1..=slot.play).any(|next| !joins(&self.shared.run.plays, next)) {
                break;
            }
            if matches!(slot.state, SlotState::Skipped(_)) {
                continue;
            }
            let Some(instance) = slot.instance() else { break };
            if slot.source.is_handler() {
                continue;
            }
            if !self.must_wait(later) && self.is_stale(later, instance) {
                along.push(later);
            }
            if !matches!(self.planned[later].forecast, Forecast::Unchanged { .. }) {
                break;
            }
        }
        along
    }

    /// The probes of a slot have been answered, when the changes elsewhere had come so far.
    pub(super) fn answered(&mut self, n: usize, seen: Seen) {
        self.seen[n] = seen;
        self.stale.remove(&n);
        // What was predicted has been asked by now.
        if let Forecast::Change { predicted, .. } | Forecast::Unchanged { predicted, .. } =
            &mut self.planned[n].forecast
        {
            predicted.clear();
        }
        if matches!(self.planned[n].forecast, Forecast::Unchanged { .. }) {
            self.recheck(n);
        }
    }

    /// A step that the plan left alone has been asked again: what it says now counts.
    fn recheck(&mut self, n: usize) {
        let Some(instance) = self.steps.slots[n].instance() else { return };
        self.planned[n].forecast = match instance.check(&self.steps.answers).said {
            Ok(Verdict::Satisfied { reason, shows, result }) => {
                self.planned[n].result = result.map(|r| *r).unwrap_or_default();
                Forecast::Unchanged { reason, shows, predicted: Vec::new() }
            }
            Ok(Verdict::Drift(change)) => {
                Forecast::Change { change: ChangeView::from(&change), predicted: Vec::new() }
            }
            Ok(Verdict::Unknown { otherwise, .. }) => Forecast::Error { failure: Failure::new(otherwise) },
            Err(error) => Forecast::Error { failure: check_failure(&error) },
        };
    }

    pub(super) fn at(&self, n: usize) -> StepRef {
        let slot = &self.steps.slots[n];
        StepRef { play: slot.play, step: slot.id().clone(), host: self.steps.host.name.clone() }
    }

    pub(super) fn notify(&mut self, handlers: &[StepId]) {
        for id in handlers {
            if !self.notified.contains(id) {
                self.notified.push(id.clone());
            }
        }
    }

    pub(super) fn is_notified_before(&self, play: usize, id: &StepId) -> bool {
        self.notified.contains(id) || self.steps.pending.iter().any(|(p, i)| *p == play && i == id)
    }

    /// Sends how a step ended, keeps its result, and returns whether the host must stop.
    async fn report(&mut self, n: usize, turn: Turn, start: Instant) -> bool {
        let slot = &self.steps.slots[n];
        let finished = Finished {
            at: self.at(n),
            name: slot.name().to_owned(),
            kind: slot.source.kind().to_owned(),
            place: slot.source.place().clone(),
            outcome: turn.outcome,
            reason: turn.reason,
            shows: turn.shows,
            change: turn.change,
            failure: turn.failure,
            took_ms: millis(start.elapsed()),
        };
        self.counts.add(turn.outcome);
        self.keep_result(n, &turn.result);
        let slot = &self.steps.slots[n];
        let on_failure = slot.on_failure();
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
    fn keep_result(&mut self, n: usize, result: &StepResult) {
        let slot = &self.steps.slots[n];
        let of = ResultOf { play: PlayIndex::new(slot.play), step: slot.source.id().clone() };
        let before = self.results.get(&of);
        let (changed, failed) = before.map_or((false, false), |b| (b.changed, b.failed));
        let result = StepResult {
            changed: changed || result.changed,
            failed: failed || result.failed,
            ..result.clone()
        };
        self.results.insert(of, result);
    }
}

/// What a change may make different, as far as its step says.
fn touched(instance: &Instance, change: &Change) -> Vec<Resource> {
    let mut touched = instance.step.provides();
    touched.extend(instance.provides.iter().cloned());
    touched.extend(change.expects.iter().map(|(resource, _)| resource.clone()));
    touched
}

/// What a step's answers are about, as far as it says.
fn relied(instance: &Instance) -> Vec<Resource> {
    let mut relied = instance.step.needs();
    relied.extend(instance.needs.iter().cloned());
    relied.extend(instance.step.provides());
    relied
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Why the step does not count as done yet, if its `until` says so. A try that ran nothing has no result to look at: the
/// step was as described.
fn until_failure(instance: &Instance, result: &StepResult) -> Option<Failure> {
    let until = instance.until.as_ref().filter(|_| result.code.is_some())?;
    let text = until.text();
    match until.holds(result) {
        Ok(true) => None,
        Ok(false) => Some(Failure {
            output: result.stdout.clone().unwrap_or_default(),
            ..Failure::new(format!("`until = {text:?}` is not true yet"))
        }),
        Err(error) => Some(Failure::new(format!("cannot evaluate `until = {text:?}`: {error}"))),
    }
}
