//! Sending a change: its actions, its verification and the next questions in as few exchanges as can be.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as Cell, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::apply::interrupted;
use super::asking::{failure_of, privilege_of};
use super::changes::Seen;
use super::events::Events;
use super::gather::{insert, target};
use super::handlers;
use super::host::{HostRun, Turn};
use super::link::{Asker, Link};
use super::save::save;
use crate::event::{Body, ChangeView, Outcome, StepRef};
use crate::model::{Failure, Privilege, Secret, StepResult};
use crate::plan::failure_of as check_failure;
use crate::probe::{Answer, Probe};
use crate::sh;
use crate::step::Instance;
use crate::step::{Action, Change, Origin, Payload, Span, Then, Verdict};
use crate::transport::{Apart, Frame, Keep, Output, Part, Runs, TransportError, detach};

/// How long to wait between two tries to reach a host that restarts.
const RECONNECT_PAUSE: Duration = Duration::from_secs(2);

/// Actions that run apart, so far: each has a number of its own in its name.
static TRIES: AtomicU64 = AtomicU64::new(0);

/// How long stopping an action may take: it is asked first.
const STOP: Duration = Duration::from_secs(15);

/// After so long an action that says nothing is told of; then each time after twice as long.
const SILENCE: Duration = Duration::from_secs(30);

/// When an action was last heard of.
struct Heard(Cell<Instant>);

impl Default for Heard {
    fn default() -> Self {
        Self(Cell::new(Instant::now()))
    }
}

impl Heard {
    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells when nothing is heard. It never ends.
    async fn silent(&self, events: &Events, at: &StepRef) {
        let mut next = SILENCE;
        let mut since = self.last();
        loop {
            tokio::time::sleep_until(since + next).await;
            let last = self.last();
            if last == since {
                let for_ms = super::host::millis(last.elapsed());
                events.offer(Body::Silent { at: at.clone(), for_ms });
                next *= 2;
            } else {
                (since, next) = (last, SILENCE);
            }
        }
    }
}

/// What travels with the last actions of a step.
#[derive(Default)]
struct Along {
    /// Questions to the host of the actions, each once.
    probes: Vec<Probe>,
    answers: Vec<Answer>,
    /// The next open slots, and how far the changes had come before the actions.
    later: Vec<(usize, Seen)>,
}

impl Along {
    fn ask(&mut self, probes: impl IntoIterator<Item = Probe>) {
        for probe in probes {
            if !self.probes.contains(&probe) {
                self.probes.push(probe);
            }
        }
    }
}

/// Actions that can go in one frame.
struct Group<'a> {
    actions: Vec<&'a Action>,
    /// The same as they may be shown.
    shown: Vec<&'a Action>,
}

impl HostRun {
    /// Makes a change and verifies it.
    pub(super) async fn act(&mut self, n: usize, instance: &Instance, change: &Change) -> Turn {
        let view = ChangeView::from(change);
        self.touched(n, instance, change);
        let groups = groups(change);
        let mut along = Along::default();
        let mut last = Answer::default();
        for (g, group) in groups.iter().enumerate() {
            if g + 1 == groups.len() {
                along = self.along(n, instance, group);
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
        let result = StepResult {
            changed: true,
            code: Some(last.code),
            stdout: Some(last.text().into_owned()),
            stderr: Some(last.error_text().into_owned()),
            ..StepResult::default()
        };
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

    /// The probes that travel with the last actions: those of the step's own that go to the same host, and where that
    /// is all of them, those of the next steps. Without its own verification the next steps' questions must wait:
    /// they are only good after it.
    fn along(&self, n: usize, instance: &Instance, group: &Group<'_>) -> Along {
        let host = group.actions.first().and_then(|a| a.host.as_ref());
        let later: Vec<_> = self.ask_along(n).into_iter().map(|s| (s, self.others_changes(s))).collect();
        let mut along = Along { later, ..Along::default() };
        if group.actions.iter().any(|a| a.then != Then::Nothing) {
            return along;
        }
        let fits =
            |p: &Probe, of: &Instance| p.host.as_ref() == host && privilege_of(p, of) == instance.privilege;
        let own = instance.step.probes();
        let all = own.iter().all(|p| fits(p, instance));
        along.ask(own.into_iter().filter(|p| fits(p, instance)));
        let more = if all && host.is_none() { along.later.clone() } else { Vec::new() };
        for instance in more.iter().filter_map(|(slot, _)| self.steps.slots[*slot].instance()) {
            let probes = instance.step.probes();
            if probes.iter().all(|p| fits(p, instance)) {
                along.ask(probes);
            }
        }
        along
    }

    /// Sends a group of actions with the probes behind them, whose answers are kept in `along`. Returns the last
    /// action's answer; `before` is that of the action before the group.
    async fn send(
        &mut self,
        n: usize,
        instance: &Instance,
        group: &Group<'_>,
        first: bool,
        before: &Answer,
        along: &mut Along,
    ) -> Result<Answer, Turn> {
        let mut parts = Vec::new();
        let host = group.actions.first().and_then(|a| a.host.clone());
        let play = self.steps.slots[n].play;
        let fresh: Vec<_> =
            instance.notify.iter().filter(|id| !self.is_notified_before(play, id)).cloned().collect();
        if first && host.is_none() && !fresh.is_empty() {
            let name = &self.shared.run.plays[play].name;
            let note = Part { stop_on_failure: true, ..Part::question(handlers::note(name, &fresh)) };
            parts.push((note, "note the handlers that are due".to_owned()));
        }
        for (action, shown) in group.actions.iter().zip(&group.shown) {
            let payload = self.payload(instance, action, before).await?;
            let timeout = instance.timeout.unwrap_or(action.timeout);
            let part = Part {
                script: action.script.clone(),
                payload,
                timeout: Some(timeout),
                stop_on_failure: true,
                stream: matches!(action.then, Then::Nothing),
                shared: None,
                together: None,
                keep: if matches!(action.then, Then::Save(_)) { Keep::CONTENT } else { Keep::ACTION },
                runs: self.runs(n, instance, action, &shown.label),
            };
            parts.push((part, shown.label.clone()));
        }
        let labels: Vec<String> = parts.iter().map(|(_, label)| label.clone()).collect();
        let mut parts: Vec<Part> = parts.into_iter().map(|(part, _)| part).collect();
        parts.extend(along.probes.iter().map(Part::probe));
        let bound =
            parts.iter().filter_map(|p| p.timeout).sum::<Duration>() + self.shared.options.probe_timeout;
        let at = self.at(n);
        if let Some(label) = labels.first() {
            self.shared.events.send(Body::ActionStarted { at: at.clone(), label: label.clone() }).await;
        }
        let position = target(&self.shared.links, self.own, host.as_ref()).ok_or_else(|| {
            Turn::failed(Failure::new("the host that this step acts on is not in the inventory"))
        })?;
        let reboot = group.actions.iter().find_map(|a| match a.then {
            Then::Reboot(bound) => Some(bound),
            _ => None,
        });
        let boot_id = match reboot {
            Some(_) => Some(self.boot_id(&instance.privilege).await.map_err(|e| self.lost(self.own, &e))?),
            None => None,
        };
        let frame = Frame { privilege: instance.privilege.clone(), parts, timeout: bound };
        let events = self.shared.events.clone();
        let mut current = 0;
        let heard = Heard::default();
        let mut output = |line: Output<'_>| {
            if line.part >= labels.len() {
                return;
            }
            heard.now();
            if line.part != current {
                current = line.part;
                events.offer(Body::ActionStarted { at: at.clone(), label: labels[current].clone() });
            }
            let line_text = line.line.to_owned();
            events.offer(Body::Output { at: at.clone(), line: line_text, stderr: line.stderr });
        };
        let link = Arc::clone(&self.shared.links[position]);
        let asker = self.asker(position);
        let apart = frame.parts.iter().any(|p| matches!(p.runs, Runs::Apart(_)));
        let privilege = frame.privilege.clone();
        let exchanged = tokio::select! {
            exchanged = async {
                match reboot {
                    // It is waited for below.
                    Some(_) => link.exchange_once(asker, frame, &mut output).await,
                    None => link.exchange(asker, frame, &mut output).await,
                }
            } => exchanged,
            () = heard.silent(&self.shared.events, &at) => unreachable!("it is never over"),
            () = self.shared.cancel.killed() => {
                if apart {
                    self.stop(&link, privilege).await;
                }
                return Err(Turn::failed(interrupted()));
            }
        };
        let mut answers = match (exchanged, reboot, boot_id) {
            // The answer may still have come, or the connection broke off first: both are fine.
            (Ok(answers), Some(bound), Some(old)) => {
                if answers.iter().all(Answer::ok) {
                    self.wait_for_boot(&instance.privilege, &old, bound).await?;
                }
                answers
            }
            (Err(TransportError::Unreachable { lost: true, .. }), Some(bound), Some(old)) => {
                self.wait_for_boot(&instance.privilege, &old, bound).await?;
                vec![Answer::default(); labels.len()]
            }
            (Err(error), ..) => return Err(self.not_sent(n, instance, position, &labels, &error).await),
            (Ok(answers), ..) => answers,
        };
        if let Some(failed) = answers.iter().take(labels.len()).position(|a| !a.ok()) {
            let noted = labels.len() - group.actions.len();
            let script = failed.checked_sub(noted).map(|a| group.shown[a].script.to_string());
            return Err(Turn {
                result: StepResult {
                    failed: true,
                    code: Some(answers[failed].code),
                    stdout: Some(answers[failed].text().into_owned()),
                    stderr: Some(answers[failed].error_text().into_owned()),
                    ..StepResult::default()
                },
                ..Turn::failed(action_failure(&labels[failed], script, &answers[failed]))
            });
        }
        if answers.len() < labels.len() {
            return Err(Turn::failed(Failure::new("the host answered fewer actions than it was sent")));
        }
        along.answers = answers.split_off(labels.len());
        if let Some(Action { then: Then::Save(path), .. }) = group.actions.last() {
            let bytes = std::mem::take(&mut answers[labels.len() - 1].stdout);
            save(path.clone(), bytes).await.map_err(|error| {
                let failure = Failure::from_error(&error);
                Turn::failed(Failure {
                    causes: vec![failure.message],
                    ..Failure::new(format!("failed to write {}", path.display()))
                })
            })?;
        }
        Ok(answers.pop().unwrap_or_default())
    }

    /// Where an action runs. Each try has a name of its own.
    fn runs(&self, n: usize, instance: &Instance, action: &Action, label: &str) -> Runs {
        if action.span == Span::Quick {
            return Runs::Within;
        }
        let play = &self.shared.run.plays[self.steps.slots[n].play].name;
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

    /// What an action gets on file descriptor 3: the values it borrows, a line each, then its payload.
    async fn payload(
        &self,
        instance: &Instance,
        action: &Action,
        before: &Answer,
    ) -> Result<Option<Payload>, Turn> {
        if action.borrowed.is_empty() {
            return Ok(action.payload.clone());
        }
        let mut bytes = Vec::new();
        for borrowed in &action.borrowed {
            let value = match &borrowed.from {
                Origin::Probe(probe) => self.ask_for(instance, borrowed.what, probe).await?,
                Origin::Printed => before.text().lines().last().unwrap_or_default().to_owned(),
                Origin::Read(reader) => (reader.0)(&before.text()),
            };
            if value.is_empty() {
                let message = format!("the action before did not tell the {}", borrowed.what);
                return Err(Turn::failed(Failure::new(message)));
            }
            if borrowed.secret {
                self.shared.events.learn(&Secret::new(value.clone()));
            }
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(b'\n');
        }
        bytes.extend(action.payload.iter().flat_map(|p| p.0.iter().copied()));
        Ok(Some(Payload(bytes.into())))
    }

    /// Asks for one line of text.
    async fn ask_for(&self, instance: &Instance, what: &str, probe: &Probe) -> Result<String, Turn> {
        let host = probe.host.as_ref();
        let name = host.unwrap_or(&self.steps.host.name).clone();
        let cannot = |output: String, hint: Option<String>| {
            Turn::failed(Failure { output, hint, ..Failure::new(format!("cannot read {what} on {name}")) })
        };
        let Some(position) = target(&self.shared.links, self.own, host) else {
            return Err(cannot("it is not in the inventory".into(), None));
        };
        let privilege = privilege_of(probe, instance);
        let parts = vec![Part::question(probe.script.clone())];
        let frame = Frame { privilege, parts, timeout: self.shared.options.probe_timeout };
        let link = &self.shared.links[position];
        let answer = match link.exchange(self.asker(position), frame, &mut |_| {}).await {
            Ok(mut answers) => answers.pop().unwrap_or_default(),
            Err(error) => {
                let failure = failure_of(&error);
                return Err(cannot(failure.message, failure.hint));
            }
        };
        let value = answer.text().trim_end_matches(['\r', '\n']).to_owned();
        if !answer.ok() || value.is_empty() || value.contains('\n') {
            return Err(cannot(answer.error_text().into_owned(), None));
        }
        Ok(value)
    }

    /// Asks the step's probes again, those that did not come with the actions; returns the reason why it holds. What
    /// the answers tell of later steps is taken in as well.
    async fn verify(
        &mut self,
        n: usize,
        instance: &Instance,
        change: &Change,
        along: Along,
    ) -> Result<String, Turn> {
        for (probe, answer) in along.probes.iter().zip(along.answers) {
            insert(&mut self.steps, n, probe, answer);
        }
        let mut fresh = along.probes;
        if !change.always {
            self.ask_but(&[n], &fresh).await?;
            fresh.extend(instance.step.probes());
        }
        for (later, seen) in along.later {
            let Some(other) = self.steps.slots[later].instance() else { continue };
            if other.privilege == instance.privilege && other.step.probes().iter().all(|p| fresh.contains(p))
            {
                self.answered(later, seen);
            }
        }
        if change.always {
            return Ok(String::new());
        }
        self.steps.readings.set_own_privilege(&instance.privilege);
        match instance.check(&self.steps.readings) {
            Ok(Verdict::Satisfied { reason, .. }) => Ok(reason),
            Ok(Verdict::Drift(still)) => {
                // As people see it: what is secret stays so.
                let ChangeView { summary, fields, .. } = ChangeView::from(&still);
                let causes =
                    if fields.is_empty() { vec![format!("it is still to {summary}")] } else { Vec::new() };
                Err(Turn::failed(
                    Failure {
                        causes,
                        differs: fields,
                        ..Failure::new("did not hold: the actions succeeded, but the host is not as described after them")
                    }
                    .hint("something else on the host may manage the same thing, or it takes effect later: see `retries`"),
                ))
            }
            Ok(Verdict::Unknown { otherwise, .. }) => {
                Err(Turn::failed(Failure { causes: vec![otherwise], ..Failure::new("did not hold") }))
            }
            Err(error) => Err(Turn::failed(check_failure(&error))),
        }
    }

    /// The actions could not be sent, or their answer did not come back.
    async fn not_sent(
        &mut self,
        n: usize,
        instance: &Instance,
        host: usize,
        labels: &[String],
        error: &TransportError,
    ) -> Turn {
        match error {
            TransportError::TimedOut { after, part, answers } => {
                let label = part.and_then(|p| labels.get(p)).or_else(|| labels.get(answers.len()));
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
            TransportError::Unreachable { lost: true, .. } if host == self.own => {
                if !self.shared.stopped() && self.ask(&[n]).await.is_ok() {
                    self.steps.readings.set_own_privilege(&instance.privilege);
                    if let Ok(Verdict::Satisfied { reason, .. }) = instance.check(&self.steps.readings) {
                        self.notify(&instance.notify);
                        let reason = format!("{reason} (the connection broke off and was made again)");
                        return Turn::new(Outcome::Changed, reason);
                    }
                    let failure = failure_of(error);
                    return Turn::failed(
                        Failure {
                            causes: vec![failure.message],
                            ..Failure::new("the connection broke off during the step")
                        }
                        .hint("run it again: what is done already is left alone"),
                    );
                }
                self.lost(host, error)
            }
            _ => self.lost(host, error),
        }
    }

    async fn boot_id(&self, privilege: &Privilege) -> Result<String, TransportError> {
        let parts = vec![Part::question(sh!("cat /proc/sys/kernel/random/boot_id"))];
        let frame = Frame { privilege: privilege.clone(), parts, timeout: Duration::from_secs(15) };
        let answers = self.shared.links[self.own].exchange_once(Asker::Own, frame, &mut |_| {}).await?;
        Ok(answers.first().map(|a| a.text().into_owned()).unwrap_or_default())
    }

    async fn wait_for_boot(&mut self, privilege: &Privilege, old: &str, bound: Duration) -> Result<(), Turn> {
        let deadline = Instant::now() + bound;
        loop {
            self.shared.links[self.own].close().await;
            tokio::select! {
                () = tokio::time::sleep(RECONNECT_PAUSE) => {}
                () = self.shared.cancel.killed() => return Err(Turn::failed(interrupted())),
            }
            let asked = tokio::time::timeout_at(deadline, self.boot_id(privilege)).await;
            match asked {
                Ok(Ok(id)) if !id.is_empty() && id != old => return Ok(()),
                _ if Instant::now() < deadline => {}
                _ => {
                    self.steps.unreachable = true;
                    return Err(Turn::unreachable(
                        Failure::new(format!("did not come back within {} s of its reboot", bound.as_secs()))
                            .hint("look at its console, or raise the step's `timeout`"),
                    ));
                }
            }
        }
    }

    async fn cross_out(&mut self, n: usize, instance: &Instance) {
        let slot = &self.steps.slots[n];
        let (play, id) = (slot.play, slot.source.id().clone());
        let name = Arc::clone(&self.shared.run.plays[play].name);
        self.steps.pending.retain(|(p, pending)| *p != play || *pending != id);
        let parts = vec![Part::question(handlers::cross_out(&name, &id))];
        let bound = self.shared.options.probe_timeout;
        let frame = Frame { privilege: instance.privilege.clone(), parts, timeout: bound };
        let crossed = self.shared.links[self.own].exchange(Asker::Own, frame, &mut |_| {}).await;
        if !crossed.is_ok_and(|answers| answers.iter().all(Answer::ok)) {
            let message =
                format!("handler `{id}` has run, but could not be crossed out: it will run once more");
            let host = Some(self.steps.host.name.clone());
            self.shared.events.send(Body::Warning { host, message }).await;
        }
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
