//! A step's turn: left alone, or checked, acted on and verified, again and again as its retries allow.

use std::sync::Arc;

use super::host::HostRun;
use super::turn::Turn;
use crate::event::{Body, ChangeView, Forecast, Outcome};
use crate::model::{Failure, HostName, SlotIndex, StepResult};
use crate::plan::{self, SlotState, failure_of as check_failure};
use crate::step::{Change, Instance, Origin, Verdict};

impl HostRun {
    /// One step's turn, with its retries.
    pub(super) async fn step(&mut self, n: SlotIndex) -> Turn {
        let instance = match &self.slots[n].slot.state {
            SlotState::Ready(instance) => Arc::clone(instance),
            SlotState::Skipped(why) => return Turn::new(Outcome::Skipped, why.clone()),
            SlotState::Invalid(failure) => return Turn::failed(failure.clone()),
            SlotState::Waits(_) => return Turn::failed(Failure::new("its results are not known")),
        };
        let fresh_enough = !self.is_stale(n, &instance);
        if fresh_enough
            && !instance.handler
            && let Some(turn) = self.left_alone(n)
        {
            return turn;
        }
        let at = self.at(n);
        self.shared.events.send(Body::StepStarted { at: at.clone(), name: instance.name.clone() }).await;
        let mut left = instance.retries;
        let (mut asked, mut first) = (fresh_enough, true);
        loop {
            let turn = self.try_step(n, &instance, asked, first).await;
            (asked, first) = (false, false);
            let again = match &turn.failure {
                Some(failure) if turn.outcome == Outcome::Failed => Some(failure.clone()),
                None => until_failure(&instance, &turn.result),
                Some(_) => None,
            };
            let Some(failure) = again else { return turn };
            if left == 0 || self.shared.stopped() || self.missing(n).is_some() {
                return gives_up(turn, failure);
            }
            self.shared
                .events
                .send(Body::StepRetried { at: at.clone(), left, failure: failure.clone() })
                .await;
            left -= 1;
            tokio::select! {
                () = tokio::time::sleep(instance.retry_delay) => {}
                () = self.stopping() => return gives_up(turn, failure),
            }
        }
    }

    /// The turn of a step that has nothing to do, by its plan.
    pub(super) fn left_alone(&self, n: SlotIndex) -> Option<Turn> {
        let planned = &self.slots[n].planned;
        let Forecast::Unchanged { reason, predicted, .. } = &planned.forecast else { return None };
        let turn = Turn { result: planned.result.clone(), ..Turn::new(Outcome::Unchanged, reason.clone()) };
        predicted.is_empty().then_some(turn)
    }

    async fn try_step(&mut self, n: SlotIndex, instance: &Arc<Instance>, asked: bool, first: bool) -> Turn {
        let lock = match instance.step.exclusive() {
            Some(resource) => {
                let lock = Arc::clone(self.shared.exclusive.lock().await.entry(resource).or_default());
                Some(lock.lock_owned().await)
            }
            None => None,
        };
        // Another host may have changed what this one saw before it got the lock.
        if (!asked || lock.is_some())
            && let Err(turn) = self.ask_all(&[n], &self.shares_with(n), &[]).await
        {
            return turn;
        }
        let change = match self.change_of(n, instance) {
            Ok(change) => change,
            Err(turn) => return *turn,
        };
        let options = self.shared.options.planning();
        let refused = plan::disruption(instance, Some(&change), options);
        // What a try has done is not there for the next one to do.
        let moved = if first { self.moved(n, instance, &change) } else { None };
        let refused =
            refused.or_else(|| self.acts_on_left_out(&change)).or_else(|| self.missing(n)).or(moved);
        if let Some(failure) = refused {
            return Turn::failed(failure);
        }
        let bundle = self.bundle(n, instance, &change);
        let turn = if bundle.is_alone() {
            self.act(n, instance, &change).await
        } else {
            self.act_together(&bundle).await
        };
        drop(lock);
        turn
    }

    /// What is to be done at a step, by what its host has answered; the end of its turn if that is nothing, or if it
    /// cannot be said.
    fn change_of(&self, n: SlotIndex, instance: &Instance) -> Result<Change, Box<Turn>> {
        if instance.handler {
            return match instance.on_notify(&self.answers).said {
                Ok(Some(change)) => Ok(change),
                Ok(None) => {
                    let message = format!("a `{}` step cannot be a handler", instance.kind);
                    Err(Turn::failed(Failure::new(message)))
                }
                Err(error) => Err(Turn::failed(check_failure(&error))),
            }
            .map_err(Box::new);
        }
        let ended = match instance.check(&self.answers).said {
            Ok(Verdict::Drift(change)) => return Ok(change),
            Ok(Verdict::Satisfied { reason, shows, result }) => {
                // It was not so when the plan was made: what it waits for has come about since.
                let came = self.slots[n].planned.change.as_ref().filter(|c| c.passive).map(ChangeView::from);
                let outcome = if came.is_some() { Outcome::Changed } else { Outcome::Unchanged };
                let mut turn = Turn { change: came, shows, ..Turn::new(outcome, reason) };
                if let Some(result) = result {
                    turn.result = StepResult { changed: turn.result.changed, ..*result };
                }
                turn
            }
            Ok(Verdict::Unknown { otherwise, until, .. }) => {
                Turn::failed(Failure::new(otherwise).hint(format!("no step has brought {until}")))
            }
            Err(error) => Turn::failed(check_failure(&error)),
        };
        Err(Box::new(ended))
    }

    /// Why a change must not be made, if it is not what was agreed on beforehand.
    pub(super) fn moved(&self, n: SlotIndex, instance: &Instance, change: &Change) -> Option<Failure> {
        let agreed = self.shared.agreed.as_ref().filter(|_| !instance.handler)?;
        let forecast = Forecast::Change { change: ChangeView::from(change), predicted: Vec::new() };
        let moved = agreed.moved_at_turn(&self.at(n), &instance.name, &self.shared.events.shown(forecast))?;
        Some(
            Failure::new(format!("not done, for it is not what was planned: {moved}"))
                .hint("make a new plan"),
        )
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
        let Self { shared, own, .. } = self;
        let out = |host: &&HostName| {
            let other = shared.links.target(*own, Some(host)).filter(|other| other != own);
            other.is_some_and(|n| shared.left_out.get(n.position()) == Some(&true))
        };
        let host = { hosts }.find(out)?;
        Some(Failure::new(format!(
            "to {} it has to act on {host}, which is left out",
            change.shown().summary
        )))
    }
}

/// The end of a turn that is not tried again. What it printed is there for the steps that go on.
fn gives_up(turn: Turn, failure: Failure) -> Turn {
    let result = StepResult { failed: true, ..turn.result };
    Turn { change: turn.change, undo: turn.undo, result, ..Turn::failed(failure) }
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
