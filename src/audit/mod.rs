//! The report of a run: every step on every host with its verdict, and who looked when, from where, at what.
//!
//! It is folded from the journal of a run, so that an audit and an apply of last month have one in the same way. Texts and
//! changes that are equal on many hosts are kept once.

mod compare;
mod csv;
mod files;
mod junit;
mod markdown;
mod matrix;
mod merge;
mod page;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::event::{Body, ChangeView, Event, Finished, Forecast, Outcome, StepRef};
use crate::journal::Header;
use crate::model::{Failure, HostName, Place, PlayIndex, StepId};

pub use compare::Comparison;
pub use files::{Format, FormatError, can_write};
pub use matrix::matrix;
pub use merge::{MergeError, Merged, merge};

/// Version of the form of a report. It is raised when a reader of the old form would go wrong.
pub const VERSION: u32 = 1;

/// What was found, by whom, when and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`VERSION`].
    pub report: u32,
    /// Who looked, when, from where, with which version, at which files.
    pub made: Header,
    /// The hosts in inventory order.
    pub hosts: Vec<HostLine>,
    /// The steps in the order of the run.
    pub steps: Vec<StepLine>,
    /// What was said of steps, each once.
    pub verdicts: Vec<Verdict>,
    /// By host, then by step: which verdict, as an index into `verdicts`; `None` where the step is not for the host.
    pub cells: Vec<Vec<Option<usize>>>,
    /// By host: when its steps had their turns, in that order. Only an apply has turns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<Vec<Time>>,
    /// How often each mark was given.
    pub counts: BTreeMap<Mark, usize>,
    /// What it comes to beside an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<Comparison>,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostLine {
    /// Its name.
    pub name: HostName,
    /// Whether it could be asked.
    pub standing: Standing,
    /// Why not, a lower-case fragment.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// Whether a host could be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It was.
    Asked,
    /// It was not reached, or lost.
    Unreachable,
    /// The run left it out.
    LeftOut,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepLine {
    /// Its playbook.
    pub playbook: String,
    /// Its id.
    pub id: StepId,
    /// Its name, as it is on the first host that has it.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Where it is written.
    pub place: Place,
}

/// When a step had its turn on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Time {
    /// Which, by its position.
    pub step: usize,
    /// Milliseconds since the start of the run.
    pub began_ms: u64,
    /// Until its end, in milliseconds, with what it waited.
    pub took_ms: u64,
    /// For how long it waited for steps of other hosts, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waited_ms: u64,
    /// Those steps, `ID of HOST`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waited_for: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// What was found of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// In a word.
    pub mark: Mark,
    /// How that shows, or why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What differs, or was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeView>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The earlier steps on whose result it rests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub predicted: Vec<String>,
}

/// A verdict in a word, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// It is as described.
    Conforms,
    /// It does not apply.
    Skipped,
    /// It was changed, and is as described now.
    Changed,
    /// It would differ once an earlier step has run, or cannot be known before.
    Predicted,
    /// It is not as described.
    Drift,
    /// The run stopped before it.
    NotReached,
    /// Its host is left out.
    LeftOut,
    /// Its host could not be reached.
    Unreachable,
    /// It could not be looked at: the rights were missing, or the answer made no sense.
    Unseen,
    /// It was tried and failed.
    Failed,
}

impl Mark {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Conforms,
        Self::Skipped,
        Self::Changed,
        Self::Predicted,
        Self::Drift,
        Self::NotReached,
        Self::LeftOut,
        Self::Unreachable,
        Self::Unseen,
        Self::Failed,
    ];

    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Conforms => "conforms",
            Self::Skipped => "skipped",
            Self::Changed => "changed",
            Self::Predicted => "predicted",
            Self::Drift => "drift",
            Self::NotReached => "not reached",
            Self::LeftOut => "left out",
            Self::Unreachable => "unreachable",
            Self::Unseen => "not seen",
            Self::Failed => "failed",
        }
    }

    /// A letter that needs no colour.
    pub fn letter(self) -> char {
        match self {
            Self::Conforms => '=',
            Self::Skipped => '-',
            Self::Changed => '+',
            Self::Predicted => '?',
            Self::Drift => '~',
            Self::NotReached => '.',
            Self::LeftOut => 'o',
            Self::Unreachable => '!',
            Self::Unseen => 'x',
            Self::Failed => 'X',
        }
    }
}

/// What is being folded.
#[derive(Default)]
struct Fold {
    playbooks: Vec<String>,
    hosts: Vec<HostLine>,
    host_index: HashMap<HostName, usize>,
    steps: Vec<StepLine>,
    step_index: HashMap<(PlayIndex, StepId), usize>,
    verdicts: Vec<Verdict>,
    /// By their serialised form.
    verdict_index: HashMap<String, usize>,
    /// By host.
    cells: Vec<Vec<Option<usize>>>,
    /// The host and step of those that only the plan has told of so far.
    only_planned: BTreeSet<(usize, usize)>,
    /// By host.
    times: Vec<Vec<Time>>,
    /// When those started that have not ended, in milliseconds since the start of the run.
    started: HashMap<StepRef, u64>,
    /// An apply told how steps ended.
    applied: bool,
}

impl Report {
    /// The report of a run from its journal.
    pub fn new(made: Header, events: &[Event]) -> Self {
        let mut fold = Fold::default();
        for event in events {
            fold.take(event);
        }
        if fold.applied {
            // A loop that waited for results has become its turns.
            for (host, step) in std::mem::take(&mut fold.only_planned) {
                fold.cells[host][step] = None;
            }
        }
        let mut counts = BTreeMap::new();
        for &cell in fold.cells.iter().flatten().flatten() {
            *counts.entry(fold.verdicts[cell].mark).or_default() += 1;
        }
        let steps = fold.steps.len();
        fold.cells.iter_mut().for_each(|row| row.resize(steps, None));
        let Fold { hosts, steps, verdicts, cells, mut times, .. } = fold;
        if times.iter().all(Vec::is_empty) {
            times.clear();
        }
        Self { report: VERSION, made, hosts, steps, verdicts, cells, times, counts, compared: None }
    }

    /// The verdict on a step of a host, by their positions.
    pub fn verdict(&self, host: usize, step: usize) -> Option<&Verdict> {
        self.verdicts.get((*self.cells.get(host)?.get(step)?)?)
    }

    /// How often a mark was given.
    pub fn count(&self, mark: Mark) -> usize {
        self.counts.get(&mark).copied().unwrap_or_default()
    }

    /// How often a step could not be seen because rights were missing.
    pub fn denied(&self) -> usize {
        let denied = |&&cell: &&usize| self.verdicts[cell].failure.as_ref().is_some_and(|f| f.denied);
        self.cells.iter().flatten().flatten().filter(denied).count()
    }

    /// What is not as described, or could not be seen, once for hosts on which it is the same: the mark, the hosts by their
    /// positions, the step and the verdict.
    pub fn findings(&self) -> Vec<(Mark, Vec<usize>, &StepLine, &Verdict)> {
        let marks = [Mark::Predicted, Mark::Drift, Mark::Unseen, Mark::Failed];
        let found = matrix::details(self, &marks).into_iter();
        found.map(|d| (d.verdict.mark, d.hosts, &self.steps[d.step], d.verdict)).collect()
    }

    /// The hosts on which all is as described, as far as it applies.
    pub fn conforming(&self) -> usize {
        let fine = |n: &usize| {
            let verdicts = self.cells[*n].iter().flatten().map(|&v| self.verdicts[v].mark);
            self.hosts[*n].standing == Standing::Asked
                && verdicts.max().is_none_or(|worst| worst <= Mark::Changed)
        };
        (0..self.hosts.len()).filter(fine).count()
    }
}

impl Fold {
    fn take(&mut self, event: &Event) {
        match &event.body {
            Body::RunStarted { hosts, plays, .. } => {
                // Two of one name in different folders are told apart by their order.
                for play in plays {
                    let same = self.playbooks.iter().filter(|name| **name == play.name).count();
                    let name = &play.name;
                    self.playbooks.push(if same == 0 {
                        name.clone()
                    } else {
                        format!("{name} ({})", same + 1)
                    });
                }
                for name in hosts {
                    self.host_index.insert(name.clone(), self.hosts.len());
                    self.hosts.push(HostLine {
                        name: name.clone(),
                        standing: Standing::Asked,
                        why: String::new(),
                    });
                }
                self.cells = vec![Vec::new(); self.hosts.len()];
                self.times = vec![Vec::new(); self.hosts.len()];
            }
            Body::HostUnreachable { host, failure } => {
                self.stands(host, Standing::Unreachable, failure.message.clone());
            }
            Body::HostLeftOut { host, reasons, .. } => {
                self.stands(host, Standing::LeftOut, reasons.join("; "));
            }
            Body::Planned(entry) => {
                let verdict = of_forecast(&entry.forecast, &entry.at);
                let place = entry.place.clone();
                let cell = self.put(&entry.at, &entry.name, &entry.kind, place, verdict);
                self.only_planned.extend(cell);
            }
            Body::StepStarted { at, .. } => {
                self.started.insert(at.clone(), event.at_ms);
            }
            Body::StepFinished(finished) => {
                let Finished { at, name, kind, place, .. } = finished;
                let cell = self.put(at, name, kind, place.clone(), of_finished(finished));
                if let Some((host, step)) = cell {
                    self.only_planned.remove(&(host, step));
                    // One that shared a frame with others is told of when all of them are through.
                    let started = self.started.remove(at).unwrap_or(event.at_ms);
                    self.times[host].extend(time(step, (started, event.at_ms), finished));
                }
                self.applied = true;
            }
            _ => {}
        }
    }

    fn stands(&mut self, host: &HostName, standing: Standing, why: String) {
        if let Some(&n) = self.host_index.get(host) {
            self.hosts[n] = HostLine { name: host.clone(), standing, why };
        }
    }

    /// Notes a verdict; of two on the same step the later one counts. Returns where it stands.
    fn put(
        &mut self,
        at: &StepRef,
        name: &str,
        kind: &str,
        place: Place,
        verdict: Verdict,
    ) -> Option<(usize, usize)> {
        let &host = self.host_index.get(&at.host)?;
        let step = *self.step_index.entry((at.play, at.step.clone())).or_insert_with(|| {
            let playbook = self.playbooks.get(at.play.position()).cloned().unwrap_or_default();
            let (name, kind) = (name.to_owned(), kind.to_owned());
            self.steps.push(StepLine { playbook, id: at.step.clone(), name, kind, place });
            self.steps.len() - 1
        });
        let key = serde_json::to_string(&verdict).expect("a verdict is made of strings and numbers");
        let verdict = *self.verdict_index.entry(key).or_insert_with(|| {
            self.verdicts.push(verdict);
            self.verdicts.len() - 1
        });
        let row = &mut self.cells[host];
        row.resize(row.len().max(step + 1), None);
        row[step] = Some(verdict);
        Some((host, step))
    }
}

/// When a step had its turn; `None` if it had none.
fn time(step: usize, (started_ms, at_ms): (u64, u64), finished: &Finished) -> Option<Time> {
    let had = !matches!(
        finished.outcome,
        Outcome::NotReached | Outcome::LeftOut | Outcome::Skipped | Outcome::Unreachable
    );
    let waited = finished.waited.clone().unwrap_or_default();
    had.then(|| Time {
        step,
        // What it waited before it started counts too.
        began_ms: at_ms.saturating_sub(finished.took_ms).min(started_ms),
        took_ms: finished.took_ms,
        waited_ms: waited.ms,
        waited_for: waited.steps.iter().map(|at| format!("{} of {}", at.step, at.host)).collect(),
    })
}

fn plain(mark: Mark, reason: &str) -> Verdict {
    Verdict { mark, reason: reason.to_owned(), change: None, failure: None, predicted: Vec::new() }
}

fn of_forecast(forecast: &Forecast, at: &StepRef) -> Verdict {
    let steps = |predicted: &[StepRef]| -> Vec<String> {
        let word = |by: &StepRef| {
            if by.host == at.host { by.step.to_string() } else { format!("{} of {}", by.step, by.host) }
        };
        predicted.iter().map(word).collect()
    };
    match forecast {
        Forecast::Unchanged { reason, predicted, .. } => {
            Verdict { predicted: steps(predicted), ..plain(Mark::Conforms, reason) }
        }
        Forecast::Change { change, predicted } => {
            let mark = if predicted.is_empty() { Mark::Drift } else { Mark::Predicted };
            let verdict = plain(mark, &change.summary);
            Verdict { change: Some(change.clone()), predicted: steps(predicted), ..verdict }
        }
        Forecast::Unknown { until } => plain(Mark::Predicted, &format!("not known until {until}")),
        Forecast::Skipped { why } => plain(Mark::Skipped, why),
        Forecast::Error { failure } => {
            let reason = if failure.denied {
                format!("rights are missing: {}", failure.message)
            } else {
                failure.message.clone()
            };
            Verdict { failure: Some(failure.clone()), ..plain(Mark::Unseen, &reason) }
        }
        Forecast::Unreachable => plain(Mark::Unreachable, "its host was not reached"),
        Forecast::LeftOut => plain(Mark::LeftOut, "its host is left out"),
    }
}

fn of_finished(finished: &Finished) -> Verdict {
    let mark = match finished.outcome {
        Outcome::Unchanged => Mark::Conforms,
        Outcome::Changed => Mark::Changed,
        Outcome::WouldChange => Mark::Drift,
        Outcome::Unknown => Mark::Predicted,
        Outcome::Skipped => Mark::Skipped,
        Outcome::NotReached => Mark::NotReached,
        Outcome::Failed => Mark::Failed,
        Outcome::Unreachable => Mark::Unreachable,
        Outcome::LeftOut => Mark::LeftOut,
    };
    let failure = finished.failure.clone();
    let reason = failure.as_ref().map_or(&finished.reason, |failure| &failure.message);
    Verdict { change: finished.change.clone(), failure: failure.clone(), ..plain(mark, reason) }
}
