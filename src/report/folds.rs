//! Steps that end alike on many hosts, told once: held back until all hosts of a step are through, or for a while.

use std::collections::HashMap;

use crate::event::{Finished, Outcome, StepRef};
use crate::model::{HostName, PlayIndex, StepId};

/// Beyond so many hosts equal ends share a line.
const MANY: usize = 8;
/// For how long an end is held back at most, in milliseconds; one that is bad, so that somebody may act.
const HOLD_MS: u64 = 15_000;
const HOLD_BAD_MS: u64 = 2_000;

/// Hosts on which a step ended alike.
#[derive(Debug)]
pub(super) struct Fold {
    /// How it ended on the first of them.
    pub(super) first: Finished,
    /// All of them, in the order in which they came to the end.
    pub(super) hosts: Vec<HostName>,
    /// How long it took: the shortest and the longest, in milliseconds.
    pub(super) took_ms: (u64, u64),
    /// What is said of it: equal for all.
    said: Vec<String>,
    since_ms: u64,
}

/// What is held back.
#[derive(Debug, Default)]
pub(super) struct Folds {
    /// Whether hosts are folded at all.
    active: bool,
    /// Nothing is told before a step is through on all hosts.
    whole: bool,
    /// On how many hosts each step has still to end.
    open: HashMap<(PlayIndex, StepId), usize>,
    held: Vec<Fold>,
}

impl Folds {
    /// For a run with so many hosts. With `whole` a step is told of when it is through on all of them.
    pub(super) fn begin(&mut self, hosts: usize, whole: bool) {
        (self.active, self.whole) = (whole || hosts > MANY, whole);
    }

    pub(super) fn is_active(&self) -> bool {
        self.active
    }

    /// A step will end there.
    pub(super) fn expect(&mut self, at: &StepRef) {
        if self.active {
            *self.open.entry((at.play, at.step.clone())).or_default() += 1;
        }
    }

    /// A step has ended, of which this is said, if anything. Returns what is to be told now.
    pub(super) fn ended(&mut self, finished: &Finished, said: Vec<String>, at_ms: u64) -> Vec<Fold> {
        let (at, took) = (&finished.at, finished.took_ms);
        let alike =
            |fold: &Fold| fold.first.at.play == at.play && fold.first.at.step == at.step && fold.said == said;
        let known = self.held.iter_mut().find(|fold| alike(fold));
        if let Some(fold) = known {
            fold.hosts.push(at.host.clone());
            fold.took_ms = (fold.took_ms.0.min(took), fold.took_ms.1.max(took));
        } else if !said.is_empty() {
            let (first, hosts, took_ms) = (finished.clone(), vec![at.host.clone()], (took, took));
            self.held.push(Fold { first, hosts, took_ms, said, since_ms: at_ms });
        }
        let open = self.open.entry((at.play, at.step.clone())).or_default();
        *open = open.saturating_sub(1);
        if *open > 0 {
            return Vec::new();
        }
        self.take(|fold| fold.first.at.play == at.play && fold.first.at.step == at.step)
    }

    /// What has been held back for long enough when the run's clock shows `now_ms`.
    pub(super) fn overdue(&mut self, now_ms: u64) -> Vec<Fold> {
        let whole = self.whole;
        self.take(|fold| {
            let bad = matches!(fold.first.outcome, Outcome::Failed | Outcome::Unreachable);
            let hold = if bad { HOLD_BAD_MS } else { HOLD_MS };
            (bad || !whole) && now_ms.saturating_sub(fold.since_ms) >= hold
        })
    }

    /// All that is held back.
    pub(super) fn rest(&mut self) -> Vec<Fold> {
        std::mem::take(&mut self.held)
    }

    fn take(&mut self, wanted: impl Fn(&Fold) -> bool) -> Vec<Fold> {
        self.held.extract_if(.., |fold| wanted(fold)).collect()
    }
}
