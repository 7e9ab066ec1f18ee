//! Sending actions: the parts of a frame, and what is told while they run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::failing::{Told, Work, action_failure, is_word};
use super::handlers;
use super::host::HostRun;
use super::link::{Asker, Link};
use super::shared::interrupted;
use super::silence::Heard;
use super::turn::Turn;
use crate::event::{Body, StepRef};
use crate::model::{Failure, HostIndex, Privilege, SlotIndex, StepId, StepResult};
use crate::probe::{Answer, Probe};
use crate::step::{Action, Instance, Span, Then};
use crate::transport::detach::{self, Once};
use crate::transport::{Apart, Frame, Keep, Output, Part, Runs, TransportError};

/// Actions that run apart, so far: each has a number of its own in its name.
static TRIES: AtomicU64 = AtomicU64::new(0);

/// How long stopping an action may take: it is asked first.
const STOP: Duration = Duration::from_secs(15);

/// The parts of a frame, each with what people are told of it.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) parts: Vec<Part>,
    pub(super) told: Vec<Told>,
}

/// When the steps of a frame began, and whether that was told.
#[derive(Debug, Default)]
pub(super) struct Begun(BTreeMap<SlotIndex, (Instant, bool)>);

impl Begun {
    /// A step that has begun, which is known.
    pub(super) fn known(slot: SlotIndex) -> Self {
        Self(BTreeMap::from([(slot, (Instant::now(), true))]))
    }

    /// When a step began, and whether that was told; `None` if it did not.
    pub(super) fn of(&self, slot: SlotIndex) -> Option<(Instant, bool)> {
        self.0.get(&slot).copied()
    }
}

impl Batch {
    /// Adds what a step does.
    fn add(&mut self, part: Part, told: Told) {
        self.parts.push(part);
        self.told.push(told);
    }

    /// Adds a question of a step.
    pub(super) fn ask(&mut self, slot: SlotIndex, probe: &Probe) {
        self.add(Part::probe(probe), Told::question(slot));
    }

    /// The first part that acts and did not succeed, or was not answered.
    fn failed(&self, answers: &[Answer]) -> Option<usize> {
        let failed = |n: usize| answers.get(n).is_none_or(|answer| !answer.ok());
        (0..self.told.len()).find(|&n| self.told[n].work != Work::Ask && failed(n))
    }

    /// The part that failed, or was not answered, and the end of the turn of its step.
    pub(super) fn failure(&self, answers: &[Answer], took: Duration) -> Option<(Turn, usize)> {
        let part = self.failed(answers)?;
        let Some(answer) = answers.get(part) else {
            let failure = Failure::new("the host answered fewer actions than it was sent");
            return Some((Turn::failed(failure), part));
        };
        let bound = self.parts[part].timeout.filter(|bound| took >= *bound);
        let result = StepResult { failed: true, ..result_of(Some(answer)) };
        let failure = action_failure(&self.told[part], answer, bound);
        Some((Turn { result, ..Turn::failed(failure) }, part))
    }

    /// Whether an action of the same step stands before a part: it may have changed something.
    pub(super) fn acted_before(&self, part: usize) -> bool {
        let slot = self.told.get(part).map(|told| told.slot);
        self.told[..part.min(self.told.len())]
            .iter()
            .any(|told| Some(told.slot) == slot && told.work == Work::Act)
    }
}

impl HostRun {
    /// Adds the actions of a step to a frame. If it is to note handlers first, they are noted on the host before that, so
    /// that they are not lost with the controller. `shown` are the actions as people may see them.
    pub(super) async fn add_actions(
        &self,
        batch: &mut Batch,
        (n, instance): (SlotIndex, &Instance),
        (actions, shown): (&[&Action], &[&Action]),
        notes: &[StepId],
        before: &Answer,
    ) -> Result<(), Turn> {
        if !notes.is_empty() {
            let play = self.slots[n].slot.play;
            let note = handlers::note(&self.shared.run.plays[play].name, notes);
            let told = Told { work: Work::Note, ..Told::action(n, "note the handlers that are due", &note) };
            batch.add(Part { stop_on_failure: true, ..Part::question(note) }, told);
        }
        for (action, shown) in actions.iter().zip(shown) {
            let part = Part {
                script: action.script.clone(),
                payload: self.payload(instance, action, before).await?,
                timeout: Some(instance.timeout.unwrap_or(action.timeout)),
                stop_on_failure: true,
                stream: matches!(action.then, Then::Nothing),
                shared: None,
                together: None,
                ahead: None,
                keep: if matches!(action.then, Then::Save(_)) { Keep::CONTENT } else { Keep::ACTION },
                runs: self.runs(n, instance, action, &shown.label),
            };
            batch.add(part, Told::action(n, &shown.label, &shown.script));
        }
        Ok(())
    }

    /// The handlers that a change makes due which are not so yet.
    pub(super) fn fresh(&self, n: SlotIndex, instance: &Instance) -> Vec<StepId> {
        let play = self.slots[n].slot.play;
        instance.notify.iter().filter(|id| !self.is_due(play, id)).cloned().collect()
    }

    /// One exchange, told as it goes on: the batch, and behind it the questions. The outer error is that the run was
    /// stopped meanwhile.
    pub(super) async fn exchange(
        &self,
        privilege: &Privilege,
        target: HostIndex,
        (batch, reboots): (&Batch, bool),
        probes: &[Probe],
        begun: &mut Begun,
    ) -> Result<Result<Vec<Answer>, TransportError>, Turn> {
        let mut parts = batch.parts.clone();
        parts.extend(probes.iter().map(Part::probe));
        let timeout =
            parts.iter().filter_map(|p| p.timeout).sum::<Duration>() + self.shared.options.probe_timeout;
        let frame = Frame { privilege: privilege.clone(), parts, timeout };
        let steps: BTreeMap<SlotIndex, (StepRef, &str)> =
            batch.told.iter().map(|t| (t.slot, (self.at(t.slot), self.slots[t.slot].slot.name()))).collect();
        // The first one is told when it is sent.
        let mut current = batch.told.iter().position(|told| told.work == Work::Act).unwrap_or_default();
        if let Some(told) = batch.told.get(current) {
            self.shared.events.send(told.begins(&steps[&told.slot].0)).await;
        }
        let events = self.shared.events.clone();
        let heard = Heard::default();
        let mut output = |output: Output<'_>| {
            let part = output.part();
            let Some(told) = batch.told.get(part) else { return };
            heard.now();
            let (at, name) = &steps[&told.slot];
            if part > current {
                current = part;
                begun.0.entry(told.slot).or_insert_with(|| {
                    let started = Body::StepStarted { at: at.clone(), name: (*name).to_owned() };
                    (Instant::now(), events.offer(started))
                });
                if told.work == Work::Act {
                    events.offer(told.begins(at));
                }
            }
            if let Output::Line { line, stderr, .. } = output
                && told.work != Work::Ask
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
        let silent = batch.told.first().map(|told| &steps[&told.slot].0);
        let silence = async {
            match silent {
                Some(at) => match heard.tell_silence(&self.shared.events, at).await {},
                None => std::future::pending::<()>().await,
            }
        };
        tokio::select! {
            exchanged = exchange => Ok(exchanged),
            () = silence => unreachable!("it never ends"),
            () = self.shared.cancel.killed() => {
                if apart {
                    self.stop(&link, privilege.clone()).await;
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
}

/// What templates see of an action.
pub(super) fn result_of(answer: Option<&Answer>) -> StepResult {
    let Some(answer) = answer else { return StepResult::default() };
    StepResult {
        code: Some(answer.code),
        stdout: Some(answer.text().into_owned()),
        stderr: Some(answer.error_text().into_owned()),
        ..StepResult::default()
    }
}
