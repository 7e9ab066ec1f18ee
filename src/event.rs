//! The one ordered stream of what happens in a run, and the fold over it that all displays share.
//!
//! The engine sends events and never prints; reporters fold events and never decide. State events are never
//! dropped; [`Body::Output`] and [`Body::Said`] may be. Serialised, one event is one JSON object on a line; [`VERSION`] is in the
//! first one and is raised when a reader of the old form would go wrong.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::field::Field;
use crate::model::{Failure, HostName, Place, PlayIndex, Privilege, StepId};
use crate::step::{Change, Inverse};

/// Version of the serialised form.
pub const VERSION: u32 = 1;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds since the run started.
    pub at_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub body: Body,
}

/// What a command does with the playbooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Shows what would change.
    Plan,
    /// Shows what is not as described.
    Audit,
    /// Changes it.
    Apply,
    /// Runs one command on each host.
    Run,
    /// Asks for facts.
    Facts,
}

/// Which step of which playbook on which host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StepRef {
    /// The playbook, by its position in the run, from 0.
    pub play: PlayIndex,
    /// The step.
    pub step: StepId,
    /// The host.
    pub host: HostName,
}

/// What a reporter must know of a playbook before it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayInfo {
    /// File name without folder and ending.
    pub name: String,
    /// Title.
    pub title: String,
    /// Its hosts in inventory order.
    pub hosts: Vec<HostName>,
    /// Number of steps as written.
    pub steps: usize,
}

/// The kinds of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "the ends of steps, which are the large ones, are most of all events"
)]
pub enum Body {
    /// The first event of every run.
    RunStarted {
        /// [`VERSION`].
        version: u32,
        /// What is done.
        mode: Mode,
        /// All hosts of the run in inventory order.
        hosts: Vec<HostName>,
        /// The playbooks in the order in which they run.
        plays: Vec<PlayInfo>,
    },
    /// A connection is being made.
    HostConnecting {
        /// The host.
        host: HostName,
    },
    /// The host answers.
    HostConnected {
        /// The host.
        host: HostName,
    },
    /// The host could not be reached, or was lost.
    HostUnreachable {
        /// The host.
        host: HostName,
        /// Why.
        failure: Failure,
    },
    /// The connection broke off while something was under way. It is being made again.
    HostLost {
        /// The host.
        host: HostName,
        /// Why, a lower-case fragment.
        message: String,
    },
    /// A lost connection was made again, and what was under way goes on.
    HostBack {
        /// The host.
        host: HostName,
        /// For how long it was away, in milliseconds.
        away_ms: u64,
    },
    /// Something that the user should know of a host, or of the run.
    Warning {
        /// The host, if it is about one.
        host: Option<HostName>,
        /// What, a lower-case fragment.
        message: String,
    },
    /// A step's place in the plan.
    Planned(Entry),
    /// The plan leaves a host out, whole: no action will be sent to it. It comes after its [`Body::Planned`].
    HostLeftOut {
        /// The host.
        host: HostName,
        /// Why, each a lower-case fragment, the first first.
        reasons: Vec<String>,
        /// Its steps that say so.
        steps: Vec<StepRef>,
        /// The hosts that are left out as well, and would have brought what it needs.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        needs: Vec<HostName>,
    },
    /// The plan is complete.
    PlanFinished {
        /// What it comes to.
        summary: Summary,
    },
    /// A playbook starts.
    PlayStarted {
        /// Its position, from 0.
        play: PlayIndex,
    },
    /// A step starts on a host.
    StepStarted {
        /// Which.
        #[serde(flatten)]
        at: StepRef,
        /// Its name.
        name: String,
    },
    /// An action of the running step starts.
    ActionStarted {
        /// Which.
        #[serde(flatten)]
        at: StepRef,
        /// What it does.
        label: String,
        /// What runs on the host: the program with its variables, or the command.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        program: String,
    },
    /// A line that the running action printed. May be dropped.
    Output {
        /// Which.
        #[serde(flatten)]
        at: StepRef,
        /// The line.
        line: String,
        /// Whether it came on standard error.
        stderr: bool,
    },
    /// The running action has printed nothing for so long.
    Silent {
        /// Which.
        #[serde(flatten)]
        at: StepRef,
        /// How long, in milliseconds.
        for_ms: u64,
    },
    /// A try failed and will be made again.
    StepRetried {
        /// Which.
        #[serde(flatten)]
        at: StepRef,
        /// How many tries are left.
        left: u32,
        /// Why it failed.
        failure: Failure,
    },
    /// A step ended on a host.
    StepFinished(Finished),
    /// The command of `run` printed a line. May be dropped: [`Body::Answered`] has them all.
    Said {
        /// The host.
        host: HostName,
        /// Whether it came on standard error.
        stderr: bool,
        /// The how manieth on that stream, from 0.
        number: usize,
        /// The line.
        line: String,
    },
    /// A host that was reached did not answer.
    NotAnswered {
        /// The host.
        host: HostName,
        /// Why.
        failure: Failure,
    },
    /// A command of `run`, or the facts of `facts`, came back.
    Answered {
        /// The host.
        host: HostName,
        /// Exit code.
        code: i32,
        /// Standard output, lossily decoded.
        stdout: String,
        /// Standard error, lossily decoded.
        stderr: String,
    },
    /// The last event of every run.
    RunFinished {
        /// What it came to.
        summary: Summary,
        /// By host: how often it was asked or told something, each a round trip.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        exchanges: BTreeMap<HostName, u64>,
    },
}

/// One line of a plan: one step on one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Which.
    #[serde(flatten)]
    pub at: StepRef,
    /// The step's name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Where it is written.
    pub place: Place,
    /// It runs only when notified.
    #[serde(default)]
    pub handler: bool,
    /// What will happen.
    pub forecast: Forecast,
}

/// What a plan says of a step on a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "forecast", rename_all = "snake_case")]
pub enum Forecast {
    /// Nothing to do.
    Unchanged {
        /// How that shows.
        reason: String,
        /// What the step is there to show: lines of text.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        shows: String,
        /// If it rests on what earlier steps will leave: those.
        #[serde(default)]
        predicted: Vec<StepRef>,
    },
    /// It will change.
    Change {
        /// What.
        change: ChangeView,
        /// If it rests on what earlier steps will leave or bring: those.
        #[serde(default)]
        predicted: Vec<StepRef>,
    },
    /// It cannot be said before another step has run (its template uses that step's output).
    Unknown {
        /// Until when, in words.
        until: String,
    },
    /// It does not apply to this host.
    Skipped {
        /// Why.
        why: String,
    },
    /// It cannot work: why. The plan fails.
    Error {
        /// Why.
        failure: Failure,
    },
    /// The host cannot be reached.
    Unreachable,
    /// The host is left out: [`Body::HostLeftOut`] says why.
    LeftOut,
}

/// What people see of a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangeView {
    /// What will be done.
    pub summary: String,
    /// Before and after, field by field.
    pub fields: Vec<Field>,
    /// The actions' labels.
    pub actions: Vec<String>,
    /// What each of them runs on the host: a program with its variables, or a command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<String>,
    /// Whom it interrupts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disrupts: Option<String>,
    /// What else to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// It runs at every apply.
    #[serde(default)]
    pub always: bool,
}

impl From<&Change> for ChangeView {
    fn from(change: &Change) -> Self {
        let change = change.shown();
        Self {
            summary: change.summary.clone(),
            fields: change.fields.clone(),
            actions: change.actions.iter().map(|a| a.label.clone()).collect(),
            programs: change.actions.iter().map(|a| a.script.to_string()).collect(),
            disrupts: change.disrupts.clone(),
            notes: change.notes.clone(),
            always: change.always,
        }
    }
}

/// How a step ended on a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// Which.
    #[serde(flatten)]
    pub at: StepRef,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Where it is written.
    pub place: Place,
    /// How it ended.
    pub outcome: Outcome,
    /// For unchanged and skipped: why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What the step is there to show: lines of text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shows: String,
    /// For changed and failed: what was to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeView>,
    /// The way back from what was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Box<Undo>>,
    /// For failed and unreachable: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// How long it took, in milliseconds, with what it waited.
    pub took_ms: u64,
    /// What it waited for before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited: Option<Waited>,
}

/// A step waited for steps of other hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waited {
    /// For how long, in milliseconds.
    pub ms: u64,
    /// For which.
    pub steps: Vec<StepRef>,
}

/// The way back from a step that has changed something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// The steps that go it, and what has no way back.
    #[serde(flatten)]
    pub inverse: Inverse,
    /// Whose rights the step had.
    pub privilege: Privilege,
    /// The handlers that it notifies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<StepId>,
    /// It is a handler.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub handler: bool,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was as described.
    Unchanged,
    /// It was changed, and the change holds.
    Changed,
    /// A plan: it would be changed.
    WouldChange,
    /// A plan: cannot be said yet.
    Unknown,
    /// It does not apply.
    Skipped,
    /// The host, or the run, stopped before it.
    NotReached,
    /// It failed.
    Failed,
    /// The host could not be reached.
    Unreachable,
    /// Its host is left out.
    LeftOut,
}

/// How often each outcome came up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// See [`Outcome::Unchanged`].
    pub unchanged: usize,
    /// See [`Outcome::Changed`].
    pub changed: usize,
    /// See [`Outcome::WouldChange`].
    pub would_change: usize,
    /// See [`Outcome::Unknown`].
    pub unknown: usize,
    /// See [`Outcome::Skipped`].
    pub skipped: usize,
    /// See [`Outcome::NotReached`]; at the end of an apply, those whose turn never came as well.
    #[serde(skip_serializing_if = "is_zero")]
    pub not_reached: usize,
    /// See [`Outcome::Failed`].
    pub failed: usize,
}

/// Whether nothing was counted.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl Counts {
    /// How many steps came to an end, or were passed over.
    pub fn ended(&self) -> usize {
        self.unchanged + self.changed + self.skipped + self.not_reached + self.failed
    }

    /// Counts one outcome. A host that is unreachable or left out is counted as such, not its steps.
    pub fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Unchanged => self.unchanged += 1,
            Outcome::Changed => self.changed += 1,
            Outcome::WouldChange => self.would_change += 1,
            Outcome::Unknown => self.unknown += 1,
            Outcome::Skipped => self.skipped += 1,
            Outcome::NotReached => self.not_reached += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::Unreachable | Outcome::LeftOut => {}
        }
    }
}

/// What a run came to: the fold over its events.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Over all hosts.
    pub total: Counts,
    /// Host by host.
    pub hosts: BTreeMap<HostName, Counts>,
    /// The hosts that could not be reached, in inventory order.
    pub unreachable: Vec<HostName>,
    /// The hosts that the plan leaves out, in inventory order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<HostName>,
    /// Why an apply does nothing at all, if the hosts left out forbid it: a lower-case fragment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<String>,
    /// The user interrupted it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// The hosts that were away for a while, in the middle of something.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub away: BTreeMap<HostName, Away>,
}

/// How often a host was away, and for how long altogether.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Away {
    /// How often.
    pub times: u32,
    /// For how long, in milliseconds.
    pub away_ms: u64,
}

impl Summary {
    /// Takes in one event.
    pub fn fold(&mut self, body: &Body) {
        let (host, outcome) = match body {
            Body::RunStarted { hosts, .. } => {
                self.hosts = hosts.iter().map(|h| (h.clone(), Counts::default())).collect();
                return;
            }
            Body::HostUnreachable { host, .. } => {
                if !self.unreachable.contains(host) {
                    self.unreachable.push(host.clone());
                }
                return;
            }
            Body::HostBack { host, away_ms } => {
                let away = self.away.entry(host.clone()).or_default();
                away.times += 1;
                away.away_ms += away_ms;
                return;
            }
            Body::HostLeftOut { host, .. } => {
                self.left_out.push(host.clone());
                return;
            }
            // Who made it knows what no event told: what was not reached, and why.
            Body::PlanFinished { summary } | Body::RunFinished { summary, .. } => {
                self.clone_from(summary);
                return;
            }
            Body::Planned(entry) => (&entry.at.host, entry.forecast.outcome()),
            Body::StepFinished(finished) => (&finished.at.host, finished.outcome),
            _ => return,
        };
        self.total.add(outcome);
        self.hosts.entry(host.clone()).or_default().add(outcome);
    }

    /// Puts the counts back to zero, for the apply that follows a plan; hosts that are unreachable or left out stay.
    pub fn restart(&mut self) {
        self.total = Counts::default();
        self.hosts.values_mut().for_each(|c| *c = Counts::default());
    }
}

impl Forecast {
    /// The outcome that a plan reports for it.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Unchanged { .. } => Outcome::Unchanged,
            Self::Change { .. } => Outcome::WouldChange,
            Self::Unknown { .. } => Outcome::Unknown,
            Self::Skipped { .. } => Outcome::Skipped,
            Self::Error { .. } => Outcome::Failed,
            Self::Unreachable => Outcome::Unreachable,
            Self::LeftOut => Outcome::LeftOut,
        }
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |a, b| Self {
            unchanged: a.unchanged + b.unchanged,
            changed: a.changed + b.changed,
            would_change: a.would_change + b.would_change,
            unknown: a.unknown + b.unknown,
            skipped: a.skipped + b.skipped,
            not_reached: a.not_reached + b.not_reached,
            failed: a.failed + b.failed,
        })
    }
}
