//! How a step's turn ends.

use crate::event::{ChangeView, Outcome, Undo, Waited};
use crate::model::{Failure, StepResult};

/// How a step's turn ended.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) outcome: Outcome,
    pub(super) reason: String,
    /// What the step is there to show, unless the plan has shown it.
    pub(super) shows: String,
    pub(super) change: Option<ChangeView>,
    /// The way back from what was done.
    pub(super) undo: Option<Box<Undo>>,
    pub(super) failure: Option<Failure>,
    /// What it waited for before that.
    pub(super) waited: Option<Waited>,
    pub(super) result: StepResult,
}

impl Turn {
    pub(super) fn new(outcome: Outcome, reason: impl Into<String>) -> Self {
        let result = StepResult {
            changed: outcome == Outcome::Changed,
            failed: outcome == Outcome::Failed,
            skipped: matches!(outcome, Outcome::Skipped | Outcome::NotReached),
            ..StepResult::default()
        };
        Self {
            outcome,
            reason: reason.into(),
            shows: String::new(),
            change: None,
            undo: None,
            failure: None,
            waited: None,
            result,
        }
    }

    pub(super) fn failed(failure: Failure) -> Self {
        Self { failure: Some(failure), ..Self::new(Outcome::Failed, "") }
    }

    pub(super) fn unreachable(failure: Failure) -> Self {
        Self { failure: Some(failure), ..Self::new(Outcome::Unreachable, "") }
    }
}
