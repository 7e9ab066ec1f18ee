//! The plan: what every step will do on every host, from the answers of the hosts and from what
//! earlier steps of the same plan will leave and bring.
//!
//! Pure. The engine fills in [`HostSteps`], and asks for a plan as often as more becomes known.

mod agreed;
mod left_out;
mod planner;
mod providers;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::{Forecast, StepRef};
use crate::model::{Failure, Host, HostIndex, HostName, OnFailure, PlayIndex, ResultOf, StepId, StepResult};
use crate::probe::Answers;
use crate::run::StepSource;
use crate::step::Change;
use crate::step::Instance;

pub use agreed::Agreed;
pub use left_out::{LeftOut, blocked};
pub use planner::{Options, disruption, plan};

/// All steps of one host in the order of the run, with what the host answered.
#[derive(Debug)]
pub struct HostSteps {
    /// The host.
    pub host: Arc<Host>,
    /// Why it cannot be reached, if it cannot.
    pub unreachable: bool,
    /// Its answers.
    pub answers: Answers,
    /// Its steps.
    pub slots: Vec<Slot>,
    /// Handlers that an earlier run was notified of and did not come to run: playbook and handler.
    pub pending: Vec<(PlayIndex, StepId)>,
}

/// One step of one host, or one turn of its loop.
#[derive(Debug, Clone)]
pub struct Slot {
    /// The playbook.
    pub play: PlayIndex,
    /// The position of the step, as written, in its playbook.
    pub index: usize,
    /// The step as written.
    pub source: Arc<dyn StepSource>,
    /// How far it is known.
    pub state: SlotState,
}

/// How far a step of a host is known.
#[derive(Debug, Clone)]
pub enum SlotState {
    /// It does not apply: why.
    Skipped(String),
    /// Its templates use the results of these steps.
    Waits(Vec<ResultOf>),
    /// Its templates cannot be rendered for this host.
    Invalid(Failure),
    /// Rendered.
    Ready(Arc<Instance>),
}

impl Slot {
    /// Its id: the instance's, if it is known.
    pub fn id(&self) -> &StepId {
        match &self.state {
            SlotState::Ready(instance) => &instance.id,
            _ => self.source.id(),
        }
    }

    /// Which step it is, on this host.
    pub fn at(&self, host: &HostName) -> StepRef {
        StepRef { play: self.play, step: self.id().clone(), host: host.clone() }
    }

    /// Its name: rendered, if it is known.
    pub fn name(&self) -> &str {
        match &self.state {
            SlotState::Ready(instance) => &instance.name,
            _ => self.source.name(),
        }
    }

    /// What its failure means.
    pub fn on_failure(&self) -> OnFailure {
        self.instance().map_or_else(|| self.source.on_failure(), |i| i.on_failure)
    }

    /// The instance, if it is known.
    pub fn instance(&self) -> Option<&Instance> {
        match &self.state {
            SlotState::Ready(instance) => Some(instance),
            _ => None,
        }
    }
}

/// What the plan says of one slot.
#[derive(Debug, Clone)]
pub struct Planned {
    /// What will happen, for people.
    pub forecast: Forecast,
    /// The change with its actions: for [`Forecast::Change`].
    pub change: Option<Change>,
    /// Planned steps of other hosts that this one has to wait for.
    pub awaits: Vec<Awaited>,
    /// What templates see of it if it stays unchanged.
    pub result: StepResult,
}

/// A step, as written, of another host: with all turns of its loop, however many they turn out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awaited {
    /// The host.
    pub host: HostIndex,
    /// The playbook.
    pub play: PlayIndex,
    /// The position of the step in its playbook.
    pub index: usize,
}

/// A plan: for each host, in the order given, what each of its slots will do.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// By host, then by slot, as in the [`HostSteps`] that it was made from.
    pub hosts: Vec<Vec<Planned>>,
    /// The hosts to which nothing will be done, and why.
    pub left_out: BTreeMap<HostIndex, LeftOut>,
}

/// Says why a check could not answer.
pub fn failure_of(error: &crate::probe::CheckError) -> Failure {
    use crate::probe::CheckError;
    match error {
        CheckError::Refused { message, hint } => {
            Failure { hint: hint.clone(), ..Failure::new(message.clone()) }.denied_if_said()
        }
        CheckError::Unreadable { question, why, answer } => Failure {
            program: Some(question.clone()),
            output: answer.clone(),
            ..Failure::new(format!("cannot understand the host's answer: {why}"))
        }
        .denied_if_said(),
        CheckError::NotAsked(_) => Failure::new(error.to_string()),
    }
}
