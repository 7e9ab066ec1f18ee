//! Acting: sending the actions of a change in as few frames as can be, and reading what came of them.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::failing::did_not_end;
use super::handlers;
use super::host::HostRun;
use super::link::Asker;
use super::piggyback::Piggyback;
use super::questions::failure_of;
use super::reboot::Boot;
use super::save::save;
use super::sending::{Batch, Begun, result_of};
use super::turn::Turn;
use crate::event::{Body, ChangeView, Outcome, Undo};
use crate::model::{Failure, HostIndex, HostName, SlotIndex, StepId, StepResult};
use crate::probe::Answer;
use crate::step::{Action, Change, Instance, Then, Verdict};
use crate::transport::{Frame, Part, TransportError};

/// Actions that can go in one frame.
struct Group<'a> {
    actions: Vec<&'a Action>,
    /// The same as they may be shown.
    shown: Vec<&'a Action>,
}

impl Group<'_> {
    /// The host that they are for, if it is not the step's own.
    fn host(&self) -> Option<&HostName> {
        self.actions.first()?.host.as_ref()
    }

    /// Whether nothing further has to happen after them.
    fn is_plain(&self) -> bool {
        self.actions.iter().all(|a| a.then == Then::Nothing)
    }

    /// How long the host may be away, if one of them restarts it.
    fn reboots(&self) -> Option<Duration> {
        self.actions.iter().find_map(|a| if let Then::Reboot(bound) = a.then { Some(bound) } else { None })
    }

    /// Where the output of the last one is to be written.
    fn saves(&self) -> Option<&Path> {
        self.actions
            .last()
            .and_then(|a| if let Then::Save(path) = &a.then { Some(path.as_path()) } else { None })
    }
}

/// Actions that did not come to their end.
struct Broken {
    turn: Turn,
    /// An action before that has changed something, or may have.
    changed: bool,
}

impl Broken {
    /// Before anything was sent.
    fn before(turn: Turn) -> Self {
        Self { turn, changed: false }
    }
}

/// In the middle: what has been done is not known.
impl From<Turn> for Broken {
    fn from(turn: Turn) -> Self {
        Self { turn, changed: true }
    }
}

impl HostRun {
    /// Makes a change and verifies it.
    pub(super) async fn act(&mut self, n: SlotIndex, instance: &Instance, change: &Change) -> Turn {
        self.touch(n, instance, change);
        let groups = groups(change);
        let mut along = Piggyback::default();
        let mut last = Answer::default();
        for (g, group) in groups.iter().enumerate() {
            if g + 1 == groups.len() {
                along = self.piggyback(n, instance, group.host(), group.is_plain());
            }
            match self.send(n, instance, group, g == 0, &last, &mut along).await {
                Ok(answer) => last = answer,
                Err(Broken { turn, changed }) => {
                    self.note(instance, change);
                    return self.broken(n, instance, change, turn, g > 0 || changed).await;
                }
            }
        }
        self.note(instance, change);
        let result = StepResult { changed: true, ..result_of(Some(&last)) };
        self.notify(&instance.notify);
        let turn = match self.verify(n, instance, change, along).await {
            // What always runs is run for what it prints.
            Ok(reason) => {
                let printed = result.stdout.clone().filter(|_| change.always);
                let shows = printed.unwrap_or_default();
                Turn { shows, result, ..Turn::new(Outcome::Changed, reason) }
            }
            Err(turn) => turn,
        };
        if instance.handler && turn.outcome == Outcome::Changed {
            let own = self.slots[n].slot.source.id().clone();
            self.pending.retain(|(p, pending)| *p != self.slots[n].slot.play || *pending != own);
            self.cross_out(n, instance, &[own]).await;
        }
        Turn {
            change: Some(ChangeView::from(change)),
            undo: Some(Box::new(undo_of(instance, change))),
            ..turn
        }
    }

    /// The end of a turn whose actions did not come to their end. What was `changed` before that still has to take effect.
    pub(super) async fn broken(
        &mut self,
        n: SlotIndex,
        instance: &Instance,
        change: &Change,
        mut turn: Turn,
        changed: bool,
    ) -> Turn {
        if changed {
            turn.undo = Some(Box::new(undo_of(instance, change)));
            turn.result.changed = true;
            self.notify(&instance.notify);
        } else if !self.unreachable {
            self.cross_out(n, instance, &self.fresh(n, instance)).await;
        }
        Turn { change: Some(ChangeView::from(change)), ..turn }
    }

    /// Sends a group of actions with the questions behind them, whose answers are kept in `along`. Returns the last
    /// action's answer; `before` is that of the action before the group.
    async fn send(
        &mut self,
        n: SlotIndex,
        instance: &Instance,
        group: &Group<'_>,
        first: bool,
        before: &Answer,
        along: &mut Piggyback,
    ) -> Result<Answer, Broken> {
        let mut batch = Batch::default();
        let notes = if first && group.host().is_none() { self.fresh(n, instance) } else { Vec::new() };
        let actions = (&*group.actions, &*group.shown);
        self.add_actions(&mut batch, (n, instance), actions, &notes, before).await.map_err(Broken::before)?;
        let target = self.shared.links.target(self.own, group.host()).ok_or_else(|| {
            let failure = Failure::new("the host that this step acts on is not in the inventory");
            Broken::before(Turn::failed(failure))
        })?;
        let boot = match group.reboots() {
            Some(bound) => Some(self.boot(&instance.privilege, bound).await.map_err(Broken::before)?),
            None => None,
        };
        let start = Instant::now();
        let mut begun = Begun::known(n);
        let sent = (&batch, boot.is_some());
        let exchanged = self.exchange(&instance.privilege, target, sent, &along.probes, &mut begun).await?;
        let mut answers = match (exchanged, boot) {
            (exchanged, Some(boot)) => self.rebooted(n, instance, (exchanged, &boot), target, &batch).await?,
            (Ok(answers), None) => answers,
            (Err(error), None) => {
                return Err(self.not_sent(n, instance, target, &batch, &error).await.into());
            }
        };
        if let Some((turn, part)) = batch.failure(&answers, start.elapsed()) {
            return Err(Broken { turn, changed: batch.acted_before(part) });
        }
        along.answers = answers.split_off(batch.told.len());
        let mut last = answers.pop().unwrap_or_default();
        if let Some(path) = group.saves() {
            let bytes = std::mem::take(&mut last.stdout);
            save(path.to_owned(), bytes).await.map_err(|error| {
                let causes = vec![Failure::from_error(&error).message];
                Turn::failed(Failure {
                    causes,
                    ..Failure::new(format!("failed to write {}", path.display()))
                })
            })?;
        }
        Ok(last)
    }

    /// The answers of a group that restarts its host, when that is there again. The answer may still have come, or the
    /// connection broke off first: both are fine.
    async fn rebooted(
        &mut self,
        n: SlotIndex,
        instance: &Instance,
        (exchanged, boot): (Result<Vec<Answer>, TransportError>, &Boot),
        target: HostIndex,
        batch: &Batch,
    ) -> Result<Vec<Answer>, Turn> {
        let answers = match exchanged {
            Ok(answers) if !answers.iter().all(Answer::ok) => return Ok(answers),
            Ok(answers) => answers,
            Err(TransportError::Unreachable { lost: true, .. }) => {
                vec![Answer::default(); batch.told.len()]
            }
            Err(error) => return Err(self.not_sent(n, instance, target, batch, &error).await),
        };
        self.wait_for_boot(&instance.privilege, boot).await?;
        Ok(answers)
    }

    /// The actions could not be sent, or their answer did not come back.
    async fn not_sent(
        &mut self,
        n: SlotIndex,
        instance: &Instance,
        host: HostIndex,
        batch: &Batch,
        error: &TransportError,
    ) -> Turn {
        match error {
            TransportError::TimedOut { after, part, answers } => {
                let told = part.and_then(|p| batch.told.get(p)).or_else(|| batch.told.get(answers.len()));
                let what = told.map_or("the verification", |told| told.label.as_str());
                Turn::failed(did_not_end(what, *after))
            }
            // The connection broke off in the middle: see what came of it.
            TransportError::Unreachable { lost: true, .. }
                if host == self.own && !self.shared.stopped() && self.ask(&[n]).await.is_ok() =>
            {
                if let Ok(Verdict::Satisfied { reason, .. }) = instance.check(&self.answers).said {
                    self.notify(&instance.notify);
                    let reason = format!("{reason} (the connection broke off and was made again)");
                    return Turn::new(Outcome::Changed, reason);
                }
                Turn::failed(broke_off(error))
            }
            _ => self.lost(host, error),
        }
    }

    /// Crosses out handlers that have run, or are not to, from what is noted on the host.
    async fn cross_out(&self, n: SlotIndex, instance: &Instance, due: &[StepId]) {
        let name = &self.shared.run.plays[self.slots[n].slot.play].name;
        let parts: Vec<_> = due.iter().map(|id| Part::question(handlers::cross_out(name, id))).collect();
        if parts.is_empty() {
            return;
        }
        let bound = self.shared.options.probe_timeout;
        let frame = Frame { privilege: instance.privilege.clone(), parts, timeout: bound };
        let crossed = self.shared.links[self.own].exchange(Asker::Own, frame, &mut |_| {}).await;
        if !crossed.is_ok_and(|answers| answers.iter().all(Answer::ok)) {
            let due = due.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(" and ");
            let message =
                format!("handler {due} could not be crossed out on the host: the next run will run it");
            let host = Some(self.host.name.clone());
            self.shared.events.send(Body::Warning { host, message }).await;
        }
    }
}

/// The failure of a step whose connection broke off, and which does not hold.
pub(super) fn broke_off(error: &TransportError) -> Failure {
    let causes = vec![failure_of(error).message];
    Failure { causes, ..Failure::new("the connection broke off during the step") }
        .hint("run it again: what is done already is left alone")
}

/// The way back from a change.
pub(super) fn undo_of(instance: &Instance, change: &Change) -> Undo {
    Undo {
        inverse: instance.inverse(change),
        privilege: instance.privilege.clone(),
        notify: instance.notify.clone(),
        handler: instance.handler,
    }
}

/// Splits actions into groups that can go in one frame: an action with an after-effect, with borrowed values
/// or for another host goes alone.
fn groups(change: &Change) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let alone = |a: &Action| a.then != Then::Nothing || a.host.is_some() || !a.borrowed.is_empty();
    for (action, shown) in change.actions.iter().zip(&change.shown().actions) {
        match groups.last_mut() {
            Some(group) if !alone(action) && !group.actions.iter().any(|a| alone(a)) => {
                group.actions.push(action);
                group.shown.push(shown);
            }
            _ => groups.push(Group { actions: vec![action], shown: vec![shown] }),
        }
    }
    groups
}
