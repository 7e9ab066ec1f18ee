//! A step of a playbook as it stands on one host: its kind's part, and what every step has.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Step, Veil};
use crate::model::{OnFailure, Place, Privilege, Resource, StepId, StepResult};
use crate::probe::CheckError;

/// A step rendered for one host, ready to be asked and applied.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Its id; with `each`, `id[item]`.
    pub id: StepId,
    /// Its name, rendered.
    pub name: String,
    /// The kind, as its key in the playbook.
    pub kind: &'static str,
    /// Where it is written.
    pub place: Place,
    /// The step itself. For a verdict ask [`Instance::check`], which also tells what may be shown of it.
    pub step: Arc<dyn Step>,
    /// How it is shown, if secrets went into it.
    pub veil: Option<Arc<Veil>>,
    /// Whose rights its probes and actions have.
    pub privilege: Privilege,
    /// Bound of each action; the kind's own default where it is `None`.
    pub timeout: Option<Duration>,
    /// How many more times to try when the action fails or does not hold.
    pub retries: u32,
    /// Pause between tries.
    pub retry_delay: Duration,
    /// What must become true before the step counts as done; tried `retries` times.
    pub until: Option<Arc<dyn Condition>>,
    /// Ids of handlers to run when this step changed something.
    pub notify: Vec<StepId>,
    /// It runs only when notified.
    pub handler: bool,
    /// What a failure means for the host and the run.
    pub on_failure: OnFailure,
    /// Changes that interrupt users are allowed.
    pub disruptive: bool,
    /// What it further provides, as the playbook says (`provides = ["unit:redis"]`).
    pub provides: Vec<Resource>,
    /// What it further needs, as the playbook says.
    pub needs: Vec<Resource>,
}

/// An expression over the result of a try: the `until` of a step. Whoever reads playbooks makes it.
pub trait Condition: fmt::Debug + Send + Sync {
    /// The expression as it is written.
    fn text(&self) -> &str;

    /// Whether it is true of this result.
    ///
    /// # Errors
    /// What is wrong with the expression, a lower-case fragment: a key that `result` does not have, for example.
    fn holds(&self, result: &StepResult) -> Result<bool, String>;
}

/// What a step says of the answers of its host.
#[derive(Debug)]
pub struct Checked<T> {
    /// What it says.
    pub said: Result<T, CheckError>,
    /// The states that earlier steps of the plan are expected to leave and that it looked at: it is predicted if there
    /// are any.
    pub used: BTreeSet<Resource>,
}
