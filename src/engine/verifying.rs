//! Verifying a change: the step's questions once more, which must find it as described.

use super::changes::Version;
use super::host::HostRun;
use super::piggyback::Piggyback;
use super::turn::Turn;
use crate::event::{ChangeView, Forecast};
use crate::model::{Failure, SlotIndex};
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
        for (probe, answer) in along.probes.iter().zip(along.answers) {
            self.take_in(n, probe, answer);
        }
        let mut fresh = along.probes;
        if !change.always {
            self.ask_but(&[n], &fresh).await?;
            fresh.extend(instance.step.probes());
        }
        for (later, seen) in along.later {
            let Some(other) = self.slots[later].instance() else { continue };
            if other.privilege == instance.privilege && other.step.probes().iter().all(|p| fresh.contains(p))
            {
                self.answered(later, seen);
            }
        }
        if change.always {
            return Ok(String::new());
        }
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
