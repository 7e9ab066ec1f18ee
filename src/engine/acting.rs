//! Acting: sending the actions of a change in as few frames as can be, and reading what came of them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::failing::{Told, action_failure, did_not_end, is_word};
use super::handlers;
use super::host::HostRun;
use super::link::{Asker, Link};
use super::piggyback::Piggyback;
use super::questions::failure_of;
use super::reboot::Boot;
use super::save::save;
use super::shared::interrupted;
use super::silence::Heard;
use super::turn::Turn;
use crate::event::{Body, ChangeView, Outcome, StepRef, Undo};
use crate::model::{Failure, HostIndex, HostName, Privilege, SlotIndex, StepId, StepResult};
use crate::probe::Answer;
use crate::step::{Action, Change, Instance, Span, Then, Verdict};
use crate::transport::detach::{self, Once};
use crate::transport::{Apart, Frame, Keep, Output, Part, Runs, TransportError};

/// Actions that run apart, so far: each has a number of its own in its name.
static TRIES: AtomicU64 = AtomicU64::new(0);

/// How long stopping an action may take: it is asked first.
const STOP: Duration = Duration::from_secs(15);

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

/// A group on its way: the parts of its frame that act, each with its label.
#[derive(Default)]
struct Batch {
    parts: Vec<Part>,
    told: Vec<Told>,
    /// Parts before those of the actions.
    notes: usize,
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
        let view = ChangeView::from(change);
        let undo = Some(Box::new(Undo {
            inverse: instance.inverse(change),
            privilege: instance.privilege.clone(),
            notify: instance.notify.clone(),
            handler: instance.handler,
        }));
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
                Err(Broken { mut turn, changed }) => {
                    self.note(instance, change);
                    // What was done before the failure still has to take effect.
                    if g > 0 || changed {
                        turn.undo = undo;
                        turn.result.changed = true;
                        self.notify(&instance.notify);
                    } else if !self.unreachable {
                        self.cross_out(n, instance, &self.fresh(n, instance)).await;
                    }
                    return Turn { change: Some(view), ..turn };
                }
            }
        }
        self.note(instance, change);
        let result = StepResult { changed: true, ..result_of(&last) };
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
        Turn { change: Some(view), undo, ..turn }
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
        let batch = self.batch(n, instance, group, first, before).await.map_err(Broken::before)?;
        let target = self.shared.links.target(self.own, group.host()).ok_or_else(|| {
            let failure = Failure::new("the host that this step acts on is not in the inventory");
            Broken::before(Turn::failed(failure))
        })?;
        let boot = match group.reboots() {
            Some(bound) => Some(self.boot(&instance.privilege, bound).await.map_err(Broken::before)?),
            None => None,
        };
        let start = Instant::now();
        let exchanged = self.exchange(n, instance, target, (&batch, boot.is_some()), along).await?;
        let mut answers = match (exchanged, boot) {
            (exchanged, Some(boot)) => self.rebooted(n, instance, (exchanged, &boot), target, &batch).await?,
            (Ok(answers), None) => answers,
            (Err(error), None) => {
                return Err(self.not_sent(n, instance, target, &batch, &error).await.into());
            }
        };
        batch.failure(&answers, start.elapsed())?;
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

    /// The parts of a group. Before the first action the handlers that it will make due are noted on the host, so that
    /// they are not lost with the controller.
    async fn batch(
        &self,
        n: SlotIndex,
        instance: &Instance,
        group: &Group<'_>,
        first: bool,
        before: &Answer,
    ) -> Result<Batch, Turn> {
        let mut batch = Batch::default();
        let play = self.slots[n].slot.play;
        let fresh = self.fresh(n, instance);
        if first && group.host().is_none() && !fresh.is_empty() {
            let note = handlers::note(&self.shared.run.plays[play].name, &fresh);
            batch.told.push(Told::new("note the handlers that are due", &note));
            batch.parts.push(Part { stop_on_failure: true, ..Part::question(note) });
            batch.notes = 1;
        }
        for (action, shown) in group.actions.iter().zip(&group.shown) {
            batch.parts.push(Part {
                script: action.script.clone(),
                payload: self.payload(instance, action, before).await?,
                timeout: Some(instance.timeout.unwrap_or(action.timeout)),
                stop_on_failure: true,
                stream: matches!(action.then, Then::Nothing),
                shared: None,
                together: None,
                keep: if matches!(action.then, Then::Save(_)) { Keep::CONTENT } else { Keep::ACTION },
                runs: self.runs(n, instance, action, &shown.label),
            });
            batch.told.push(Told::new(&shown.label, &shown.script));
        }
        Ok(batch)
    }

    /// The handlers that a change makes due which are not so yet.
    fn fresh(&self, n: SlotIndex, instance: &Instance) -> Vec<StepId> {
        let play = self.slots[n].slot.play;
        instance.notify.iter().filter(|id| !self.is_due(play, id)).cloned().collect()
    }

    /// One exchange, told as it goes on. The outer error is that the run was stopped meanwhile.
    async fn exchange(
        &self,
        n: SlotIndex,
        instance: &Instance,
        target: HostIndex,
        (batch, reboots): (&Batch, bool),
        along: &Piggyback,
    ) -> Result<Result<Vec<Answer>, TransportError>, Turn> {
        let mut parts = batch.parts.clone();
        parts.extend(along.probes.iter().map(Part::probe));
        let timeout =
            parts.iter().filter_map(|p| p.timeout).sum::<Duration>() + self.shared.options.probe_timeout;
        let frame = Frame { privilege: instance.privilege.clone(), parts, timeout };
        let at = self.at(n);
        // Our own notes are no actions.
        let mut current = batch.notes;
        if let Some(begins) = batch.begins(current, &at) {
            self.shared.events.send(begins).await;
        }
        let events = self.shared.events.clone();
        let heard = Heard::default();
        let mut output = |output: Output<'_>| {
            let part = output.part();
            let Some(told) = batch.told.get(part) else { return };
            heard.now();
            if part > current {
                current = part;
                batch.begins(part, &at).into_iter().for_each(|begins| events.offer(begins));
            }
            if let Output::Line { line, stderr, .. } = output
                && !(stderr && told.ours && is_word(line))
            {
                events.offer(Body::Output { at: at.clone(), line: line.to_owned(), stderr });
            }
        };
        let link = Arc::clone(&self.shared.links[target]);
        let asker = self.asker(target);
        let apart = frame.parts.iter().any(|part| matches!(part.runs, Runs::Apart(_)));
        let exchange = async {
            if reboots {
                // It is waited for elsewhere.
                link.exchange_once(asker, frame, &mut output).await
            } else {
                link.exchange(asker, frame, &mut output).await
            }
        };
        tokio::select! {
            exchanged = exchange => Ok(exchanged),
            never = heard.tell_silence(&self.shared.events, &at) => match never {},
            () = self.shared.cancel.killed() => {
                if apart {
                    self.stop(&link, instance.privilege.clone()).await;
                }
                Err(Turn::failed(interrupted()))
            }
        }
    }

    /// Where an action runs. Each try has a name of its own.
    fn runs(&self, n: SlotIndex, instance: &Instance, action: &Action, label: &str) -> Runs {
        if action.span == Span::Quick {
            return Runs::Within;
        }
        let play = &self.shared.run.plays[self.slots[n].slot.play].name;
        let once = match action.span {
            // It is due because of what this run has changed: what came of an earlier one came before that.
            Span::Once if instance.handler && self.has_notified(&instance.id) => Once::InRun,
            Span::Once => Once::Ever,
            Span::Quick | Span::Lasting => Once::No,
        };
        let tries = TRIES.fetch_add(1, Ordering::Relaxed);
        Runs::Apart(Apart {
            action: format!("{tries}-{play}-{}", instance.id),
            step: format!("{play}/{}", instance.id),
            about: label.to_owned(),
            once,
            since: None,
        })
    }

    /// Stops what runs on a host apart from our session. What cannot be stopped in time goes on to its end.
    async fn stop(&self, link: &Link, privilege: Privilege) {
        let frame = Frame { privilege, parts: vec![detach::stop(None)], timeout: STOP };
        let _ = tokio::time::timeout(STOP, link.exchange(Asker::Guest, frame, &mut |_| {})).await;
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
                let causes = vec![failure_of(error).message];
                let failure = Failure::new("the connection broke off during the step");
                Turn::failed(
                    Failure { causes, ..failure }.hint("run it again: what is done already is left alone"),
                )
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

impl Batch {
    /// Tells that a part begins.
    fn begins(&self, part: usize, at: &StepRef) -> Option<Body> {
        let Told { label, program, .. } = self.told.get(part)?;
        Some(Body::ActionStarted { at: at.clone(), label: label.clone(), program: program.clone() })
    }

    /// The end of the turn if one of the actions failed, or was not answered.
    fn failure(&self, answers: &[Answer], took: Duration) -> Result<(), Broken> {
        let acted = answers.iter().take(self.told.len());
        if let Some((n, answer)) = acted.enumerate().find(|(_, answer)| !answer.ok()) {
            let bound = self.parts[n].timeout.filter(|bound| took >= *bound);
            let failure = action_failure(&self.told[n], answer, bound);
            let result = StepResult { failed: true, ..result_of(answer) };
            let turn = Turn { result, ..Turn::failed(failure) };
            return Err(Broken { turn, changed: n > self.notes });
        }
        if answers.len() < self.told.len() {
            let failure = Failure::new("the host answered fewer actions than it was sent");
            return Err(Turn::failed(failure).into());
        }
        Ok(())
    }
}

/// What templates see of an action.
fn result_of(answer: &Answer) -> StepResult {
    StepResult {
        code: Some(answer.code),
        stdout: Some(answer.text().into_owned()),
        stderr: Some(answer.error_text().into_owned()),
        ..StepResult::default()
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
