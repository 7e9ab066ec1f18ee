//! What is known of the steps that have run, and what a failure of one is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::field::Field;
use super::{PlayIndex, StepId};

/// What is known of a host when a step is rendered.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Its facts, as templates see them; null before they were asked for.
    pub facts: serde_json::Value,
    /// Results of the steps that ran already, in this playbook or one before it.
    pub results: BTreeMap<ResultOf, StepResult>,
}

/// The step that a result is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResultOf {
    /// Its playbook, by its position in the run.
    pub play: PlayIndex,
    /// Its id, without a loop's `[item]`.
    pub step: StepId,
}

/// What a finished step leaves behind for templates (`steps.ID.changed`, `.stdout` ...).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepResult {
    /// It changed something.
    pub changed: bool,
    /// It failed (and `on_failure` let the host go on).
    pub failed: bool,
    /// It was skipped.
    pub skipped: bool,
    /// Exit code of its last action, or of what a `query` asked; `None` if nothing was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// Standard output of its last action, or of what a `query` asked, without the final line break; `None` if nothing
    /// was run: that is no empty text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    /// Standard error of its last action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
}

/// What the failure of a step means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The host does no further step; others go on.
    #[default]
    Stop,
    /// The host goes on with its next step.
    Continue,
    /// No host starts a further step.
    StopAll,
}

/// Why a step failed on a host; serialised with its causes flattened to text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong, a lower-case fragment.
    pub message: String,
    /// Its causes, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// The command of the host that failed, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// What was sent: a program with its values, secrets masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The exit code of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The end of what the command printed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// What is still not as described after the change: as it was found, and as it should be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<Field>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The rights for it are missing on the host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub denied: bool,
}

/// What the C library says where rights are missing (`EACCES`, `EPERM`: strerror(3), in the C locale, in which all is run),
/// and Docker's client of its socket.
const DENIED: [&str; 3] = ["Permission denied", "Operation not permitted", "permission denied"];

impl Failure {
    /// A failure of which only the message is known.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            causes: Vec::new(),
            command: None,
            program: None,
            code: None,
            output: String::new(),
            differs: Vec::new(),
            hint: None,
            denied: false,
        }
    }

    /// Notes whether rights are missing, by what the host has said.
    #[must_use]
    pub fn denied_if_said(mut self) -> Self {
        let says = |text: &str| DENIED.iter().any(|words| text.contains(words));
        self.denied = says(&self.message) || says(&self.output);
        self
    }

    /// Takes the message and the chain of sources of `error`.
    pub fn from_error(error: &dyn std::error::Error) -> Self {
        let causes = std::iter::successors(error.source(), |e| e.source()).map(ToString::to_string).collect();
        Self { causes, ..Self::new(error.to_string()) }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
