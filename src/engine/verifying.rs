//! Verifying a change: the step's questions once more, which must find it as described.

use super::changes::Version;
use super::host::HostRun;
use super::piggyback::Piggyback;
use super::turn::Turn;
use crate::event::{ChangeView, Forecast};
use crate::model::{Failure, Privilege, SlotIndex};
use crate::plan::failure_of as check_failure;
use crate::step::{Change, Instance, Verdict};

impl HostRun {
    /// Asks the step's probes again, those that did not come with the actions; returns the reason why it holds. What
    /// the answers tell of later steps is taken in as well.
    pub(super) async fn verify(
        &mut self,
        n: SlotIndex,
        instance: &Instance,
        change: &Change,
        along: Piggyback,
    ) -> Result<String, Turn> {
        self.take_in_all(n, &along);
        let mut fresh = along.probes.clone();
        if !change.always {
            self.ask_all(&[n], &[], &fresh).await?;
            fresh.extend(instance.step.probes());
        }
        self.pass_on(Piggyback { probes: fresh, ..along }, &instance.privilege);
        if change.always { Ok(String::new()) } else { self.holds(instance) }
    }

    /// Takes in what came along with actions of slot `n`.
    pub(super) fn take_in_all(&mut self, n: SlotIndex, along: &Piggyback) {
        for (probe, answer) in along.probes.iter().zip(&along.answers) {
            self.take_in(n, probe, answer.clone());
        }
    }

    /// Tells the later steps that their questions have been answered, as far as all of them were.
    pub(super) fn pass_on(&mut self, along: Piggyback, privilege: &Privilege) {
        for (later, seen) in along.later {
            let Some(other) = self.slots[later].instance() else { continue };
            let answered = other.step.probes().iter().all(|p| along.probes.contains(p));
            if answered && other.privilege == *privilege {
                self.answered(later, seen);
            }
        }
    }

    /// Why a step is as described, after its actions.
    pub(super) fn holds(&self, instance: &Instance) -> Result<String, Turn> {
        match instance.check(&self.answers).said {
            Ok(Verdict::Satisfied { reason, .. }) => Ok(reason),
            Ok(Verdict::Drift(still)) => Err(Turn::failed(did_not_hold(&still))),
            Ok(Verdict::Unknown { otherwise, .. }) => {
                Err(Turn::failed(Failure { causes: vec![otherwise], ..Failure::new("did not hold") }))
            }
            Err(error) => Err(Turn::failed(check_failure(&error))),
        }
    }

    /// The probes of a slot have been answered, when the changes elsewhere had come so far.
    fn answered(&mut self, n: SlotIndex, seen: Version) {
        let run = &mut self.slots[n];
        run.seen = seen;
        run.stale = false;
        run.touched = false;
        // What was predicted has been asked by now.
        if let Forecast::Change { predicted, .. } | Forecast::Unchanged { predicted, .. } =
            &mut run.planned.forecast
        {
            predicted.clear();
        }
        // A step that the plan left alone: what it says now counts.
        let left_alone = matches!(run.planned.forecast, Forecast::Unchanged { .. });
        let Some(instance) = run.slot.instance().filter(|_| left_alone) else { return };
        run.planned.forecast = match instance.check(&self.answers).said {
            Ok(Verdict::Satisfied { reason, shows, result }) => {
                run.planned.result = result.map(|r| *r).unwrap_or_default();
                Forecast::Unchanged { reason, shows, predicted: Vec::new() }
            }
            Ok(Verdict::Drift(change)) => {
                Forecast::Change { change: ChangeView::from(&change), predicted: Vec::new() }
            }
            Ok(Verdict::Unknown { otherwise, .. }) => Forecast::Error { failure: Failure::new(otherwise) },
            Err(error) => Forecast::Error { failure: check_failure(&error) },
        };
    }
}

/// The failure of a step whose actions succeeded and which is to be changed still.
fn did_not_hold(still: &Change) -> Failure {
    // As people see it: what is secret stays so.
    let ChangeView { summary, fields, .. } = ChangeView::from(still);
    let causes = if fields.is_empty() { vec![format!("it is still to {summary}")] } else { Vec::new() };
    let message = "did not hold: the actions succeeded, but the host is not as described after them";
    Failure { causes, differs: fields, ..Failure::new(message) }
        .hint("something else on the host may manage the same thing, or it takes effect later: see `retries`")
}
