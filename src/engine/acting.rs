//! Acting: sending the actions of a change in as few frames as can be, and reading what came of them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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
use crate::event::{Body, ChangeView, Outcome};
use crate::model::{Failure, HostIndex, HostName, Privilege, SlotIndex, StepResult};
use crate::probe::Answer;
use crate::step::{Action, Change, Instance, Span, Then, Verdict};
use crate::transport::{Apart, Frame, Keep, Output, Part, Runs, TransportError, detach};

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
struct Batch {
    parts: Vec<Part>,
    labels: Vec<String>,
    /// Parts before those of the actions.
    notes: usize,
}

impl HostRun {
    /// Makes a change and verifies it.
    pub(super) async fn act(&mut self, n: SlotIndex, instance: &Instance, change: &Change) -> Turn {
        let view = ChangeView::from(change);
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
                Err(turn) => {
                    self.note(instance, change);
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
            self.cross_out(n, instance).await;
        }
        Turn { change: Some(view), ..turn }
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
    ) -> Result<Answer, Turn> {
        let batch = self.batch(n, instance, group, first, before).await?;
        let target = self.shared.links.target(self.own, group.host()).ok_or_else(|| {
            Turn::failed(Failure::new("the host that this step acts on is not in the inventory"))
        })?;
        let boot = match group.reboots() {
            Some(bound) => Some(self.boot(&instance.privilege, bound).await?),
            None => None,
        };
        let exchanged = self.exchange(n, instance, target, (&batch, boot.is_some()), along).await?;
        let mut answers = match (exchanged, boot) {
            (exchanged, Some(boot)) => self.rebooted(n, instance, (exchanged, &boot), target, &batch).await?,
            (Ok(answers), None) => answers,
            (Err(error), None) => return Err(self.not_sent(n, instance, target, &batch, &error).await),
        };
        batch.failure(group, &answers)?;
        along.answers = answers.split_off(batch.labels.len());
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
        let mut batch = Batch { parts: Vec::new(), labels: Vec::new(), notes: 0 };
        let play = self.slots[n].slot.play;
        let fresh: Vec<_> = instance.notify.iter().filter(|id| !self.is_due(play, id)).cloned().collect();
        if first && group.host().is_none() && !fresh.is_empty() {
            let note = handlers::note(&self.shared.run.plays[play].name, &fresh);
            batch.parts.push(Part { stop_on_failure: true, ..Part::question(note) });
            batch.labels.push("note the handlers that are due".to_owned());
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
            batch.labels.push(shown.label.clone());
        }
        Ok(batch)
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
        if let Some(label) = batch.labels.first() {
            self.shared.events.send(Body::ActionStarted { at: at.clone(), label: label.clone() }).await;
        }
        let events = self.shared.events.clone();
        let mut current = 0;
        let heard = Heard::default();
        let mut output = |line: Output<'_>| {
            let Some(label) = batch.labels.get(line.part) else { return };
            heard.now();
            if line.part != current {
                current = line.part;
                events.offer(Body::ActionStarted { at: at.clone(), label: label.clone() });
            }
            let text = line.line.to_owned();
            events.offer(Body::Output { at: at.clone(), line: text, stderr: line.stderr });
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
        let tries = TRIES.fetch_add(1, Ordering::Relaxed);
        Runs::Apart(Apart {
            action: format!("{tries}-{play}-{}", instance.id),
            step: format!("{play}/{}", instance.id),
            about: label.to_owned(),
            once: action.span == Span::Once,
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
                vec![Answer::default(); batch.labels.len()]
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
                let label =
                    part.and_then(|p| batch.labels.get(p)).or_else(|| batch.labels.get(answers.len()));
                let what = label.map_or("the verification", String::as_str);
                Turn::failed(
                    Failure::new(format!(
                        "`{what}` did not end within {} s and was stopped",
                        after.as_secs()
                    ))
                    .hint("raise the step's `timeout`, or see on the host what it waits for"),
                )
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

    /// Crosses out a handler that has run from what is noted on the host.
    async fn cross_out(&mut self, n: SlotIndex, instance: &Instance) {
        let slot = &self.slots[n].slot;
        let (play, id) = (slot.play, slot.source.id().clone());
        let name = Arc::clone(&self.shared.run.plays[play].name);
        self.pending.retain(|(p, pending)| *p != play || *pending != id);
        let parts = vec![Part::question(handlers::cross_out(&name, &id))];
        let bound = self.shared.options.probe_timeout;
        let frame = Frame { privilege: instance.privilege.clone(), parts, timeout: bound };
        let crossed = self.shared.links[self.own].exchange(Asker::Own, frame, &mut |_| {}).await;
        if !crossed.is_ok_and(|answers| answers.iter().all(Answer::ok)) {
            let message =
                format!("handler `{id}` has run, but could not be crossed out: it will run once more");
            let host = Some(self.host.name.clone());
            self.shared.events.send(Body::Warning { host, message }).await;
        }
    }
}

impl Batch {
    /// The end of the turn if one of the actions failed, or was not answered.
    fn failure(&self, group: &Group<'_>, answers: &[Answer]) -> Result<(), Turn> {
        let acted = answers.iter().take(self.labels.len());
        if let Some((n, answer)) = acted.enumerate().find(|(_, answer)| !answer.ok()) {
            let script = n.checked_sub(self.notes).map(|a| group.shown[a].script.to_string());
            let failure = action_failure(&self.labels[n], script, answer);
            let result = StepResult { failed: true, ..result_of(answer) };
            return Err(Turn { result, ..Turn::failed(failure) });
        }
        if answers.len() < self.labels.len() {
            return Err(Turn::failed(Failure::new("the host answered fewer actions than it was sent")));
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

/// How much of what a failed action printed is kept.
const OUTPUT_LINES: usize = 20;

fn action_failure(label: &str, script: Option<String>, answer: &Answer) -> Failure {
    let mut lines: Vec<String> = Vec::new();
    for bytes in [&answer.stdout, &answer.stderr] {
        lines.extend(String::from_utf8_lossy(bytes).lines().map(str::to_owned));
    }
    // An action may end what it says with what to do.
    let hint = lines.iter().rev().find_map(|l| l.strip_prefix("hint: ").map(str::to_owned));
    lines.retain(|l| !l.starts_with("hint: ") && !l.trim().is_empty());
    // `hw_run` of run.sh ends with what failed.
    let command = lines.last().and_then(|l| l.strip_prefix("command: ")).map(str::to_owned);
    if command.is_some() {
        lines.pop();
    }
    let start = lines.len().saturating_sub(OUTPUT_LINES);
    let message = match answer.code {
        124 | 137 => format!("`{label}` did not end in time and was stopped"),
        127 => format!("`{label}` failed: a program it needs is not there"),
        // The code is told beside it.
        _ => format!("`{label}` failed"),
    };
    Failure {
        message,
        causes: Vec::new(),
        command,
        program: script,
        code: Some(answer.code),
        output: lines[start..].join("\n"),
        differs: Vec::new(),
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_of_the_host_that_failed() {
        let said = "Job failed.\ncommand: not the last line\nhint: see the journal\ncommand: systemctl start nfs-server\n";
        let answer = Answer { code: 1, stdout: Vec::new(), stderr: said.into() };
        let failure =
            action_failure("start nfs-server", Some("start_unit.sh unit=nfs-server".into()), &answer);
        assert_eq!(failure.command.as_deref(), Some("systemctl start nfs-server"));
        assert_eq!(failure.program.as_deref(), Some("start_unit.sh unit=nfs-server"));
        assert_eq!(failure.output, "Job failed.\ncommand: not the last line");
        assert_eq!(failure.hint.as_deref(), Some("see the journal"));
    }
}
