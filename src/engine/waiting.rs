//! Waiting for steps of other hosts, and for the end of the run.

use super::host::HostRun;
use super::shared::Position;
use crate::event::StepRef;
use crate::model::{Failure, SlotIndex};
use crate::plan::Awaited;

impl HostRun {
    /// Whether other hosts are not yet so far as a slot needs them.
    pub(super) fn must_wait(&self, n: SlotIndex) -> bool {
        self.awaited(n).any(|step| self.is_done(step).is_none())
    }

    /// Waits until they are, or until the run is stopped. Returns what it has waited for.
    pub(super) async fn wait_for_others(&self, n: SlotIndex) -> Vec<StepRef> {
        let awaited: Vec<&Awaited> = self.awaited(n).filter(|step| self.is_done(step).is_none()).collect();
        for step in &awaited {
            let mut progress = self.shared.progress(step.host);
            tokio::select! {
                _ = progress.wait_for(|progress| progress.is_done(position(step)).is_some()) => {}
                () = self.stopping() => break,
            }
        }
        let named = |step: &&Awaited| StepRef {
            play: step.play,
            step: self.shared.run.plays[step.play].steps[step.index].id().clone(),
            host: self.shared.run.hosts[step.host].name.clone(),
        };
        awaited.iter().map(named).collect()
    }

    /// Why a slot cannot do what it is to do, if a step of another host that it needs did not come about.
    pub(super) fn missing(&self, n: SlotIndex) -> Option<Failure> {
        let step = self.awaited(n).find(|step| self.is_done(step) == Some(false))?;
        let host = &self.shared.run.hosts[step.host].name;
        let id = self.shared.run.plays[step.play].steps[step.index].id();
        let message = format!("needs step `{id}` of {host}, which has failed or was not reached");
        Some(Failure::new(message).hint(format!("see first why it did not come about on {host}")))
    }

    /// Whether a step of another host is done, once that is decided.
    fn is_done(&self, step: &Awaited) -> Option<bool> {
        self.shared.progress(step.host).borrow().is_done(position(step))
    }

    /// The steps of other hosts that a slot waits for. All are before it in the order of the run, so nobody waits in a
    /// circle.
    fn awaited(&self, n: SlotIndex) -> impl Iterator<Item = &Awaited> {
        self.slots[n].planned.awaits.iter()
    }

    /// Whether another host waits for a slot of this one: it must not wait for what goes along with it.
    pub(super) fn is_awaited(&self, n: SlotIndex) -> bool {
        self.shared.awaited.contains(&(self.own, self.slots[n].position()))
    }

    /// Waits until nothing further is to begin.
    pub(super) async fn stopping(&self) {
        let mut stop = self.shared.stop.subscribe();
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.shared.cancel.interrupted() => {}
        }
    }
}

/// Where a step stands in the order of the run.
pub(super) fn position(step: &Awaited) -> Position {
    Position { play: step.play, handlers: false, step: step.index }
}
