//! Waiting for steps of other hosts, and for the end of the run.

use super::host::HostRun;
use super::shared::Position;
use crate::model::{HostIndex, SlotIndex};

impl HostRun {
    /// Whether other hosts are not yet so far as a slot needs them.
    pub(super) fn must_wait(&self, n: SlotIndex) -> bool {
        self.awaited(n).any(|(host, wanted)| *self.shared.progress[host].borrow() <= wanted)
    }

    /// Waits until they are, or until the run is stopped.
    pub(super) async fn wait_for_others(&self, n: SlotIndex) {
        for (host, wanted) in self.awaited(n) {
            let mut progress = self.shared.progress[host].subscribe();
            tokio::select! {
                _ = progress.wait_for(|position| *position > wanted) => {}
                () = self.stopping() => return,
            }
        }
    }

    /// The hosts that a slot waits for, and up to where.
    fn awaited(&self, n: SlotIndex) -> impl Iterator<Item = (HostIndex, Position)> {
        let run = &self.slots[n];
        let own = Position { handlers: false, ..run.position() };
        let awaited = run.planned.awaits.iter();
        // Hosts of a later batch have not started: waiting for them would never end.
        awaited
            .map(|step| (step.host, Position { play: step.play, handlers: false, step: step.index }))
            .filter(move |(_, wanted)| *wanted < own)
    }

    /// Waits until nothing further is to begin.
    pub(super) async fn stopping(&self) {
        let mut stop = self.shared.stop.subscribe();
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.shared.cancel.killed() => {}
        }
    }
}
