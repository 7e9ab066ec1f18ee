//! What two reports of the same playbooks come to: what has drifted since, what was mended, what is new.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::{Mark, Report, StepLine};
use crate::model::HostName;

/// What has become of an earlier report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// The run that the earlier report is of.
    pub with: String,
    /// When that was.
    pub made: String,
    /// What was as described, and is not any more.
    pub drifted: Vec<Point>,
    /// What was not as described, and is now.
    pub mended: Vec<Point>,
    /// What could not be seen, and is not as described.
    #[serde(default)]
    pub found: Vec<Point>,
    /// What could be seen, and cannot be any more.
    pub unseen: Vec<Point>,
    /// The steps that the earlier report did not have, by playbook and id.
    pub new_steps: Vec<String>,
    /// The steps that only the earlier report has.
    pub gone_steps: Vec<String>,
    /// The hosts that the earlier report did not have.
    pub new_hosts: Vec<HostName>,
    /// The hosts that only the earlier report has.
    pub gone_hosts: Vec<HostName>,
}

/// A step on a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Point {
    /// The host.
    pub host: HostName,
    /// The playbook and the step's id, `PLAYBOOK/ID`.
    pub step: String,
}

/// What became of steps on hosts.
pub(super) struct Index<'a> {
    points: HashMap<(&'a HostName, &'a str), &'static str>,
    new_hosts: BTreeSet<&'a HostName>,
    new_steps: BTreeSet<&'a str>,
}

impl Index<'_> {
    /// In a word; empty where nothing has changed.
    pub(super) fn word(&self, host: &HostName, step: &StepLine) -> &'static str {
        let key = key(step);
        if self.new_hosts.contains(host) {
            "new host"
        } else if self.new_steps.contains(key.as_str()) {
            "new step"
        } else {
            self.points.get(&(host, key.as_str())).copied().unwrap_or_default()
        }
    }
}

/// Whether a mark says that something is as described, that it is not, or neither.
fn sound(mark: Mark) -> Option<bool> {
    match mark {
        Mark::Conforms | Mark::Changed | Mark::Skipped => Some(true),
        Mark::Drift | Mark::Failed => Some(false),
        // What rests on other steps says nothing by itself.
        Mark::Predicted | Mark::NotReached | Mark::LeftOut | Mark::Unreachable | Mark::Unseen => None,
    }
}

fn key(step: &StepLine) -> String {
    format!("{}/{}", step.playbook, step.id)
}

impl Comparison {
    /// Compares a report with an earlier one.
    pub fn new(now: &Report, then: &Report) -> Self {
        let marks = |report: &Report| -> HashMap<Point, Mark> {
            let mut marks = HashMap::new();
            for (h, host) in report.hosts.iter().enumerate() {
                for (s, step) in report.steps.iter().enumerate() {
                    if let Some(verdict) = report.verdict(h, s) {
                        marks.insert(Point { host: host.name.clone(), step: key(step) }, verdict.mark);
                    }
                }
            }
            marks
        };
        let old = marks(then);
        let mut out = Self {
            with: then.made.run.clone(),
            made: then.made.started.strftime("%Y-%m-%d %H:%M %Z").to_string(),
            ..Self::default()
        };
        // In an order that does not change from one to the next.
        let new: BTreeMap<Point, Mark> = marks(now).into_iter().collect();
        for (point, mark) in new {
            let Some(before) = old.get(&point) else { continue };
            match (sound(*before), sound(mark)) {
                (Some(true), Some(false)) => out.drifted.push(point),
                (Some(false), Some(true)) => out.mended.push(point),
                (None, Some(false)) => out.found.push(point),
                (Some(_), None) if mark != Mark::Predicted => out.unseen.push(point),
                _ => {}
            }
        }
        let steps = |report: &Report| report.steps.iter().map(key).collect::<BTreeSet<_>>();
        let hosts = |report: &Report| report.hosts.iter().map(|h| h.name.clone()).collect::<BTreeSet<_>>();
        let ([s, t], [h, i]) = ([steps(now), steps(then)], [hosts(now), hosts(then)]);
        out.new_steps = s.difference(&t).cloned().collect();
        out.gone_steps = t.difference(&s).cloned().collect();
        out.new_hosts = h.difference(&i).cloned().collect();
        out.gone_hosts = i.difference(&h).cloned().collect();
        out
    }

    /// Its lists of points, each with its word.
    fn lists(&self) -> [(&'static str, &Vec<Point>); 4] {
        [
            ("drifted", &self.drifted),
            ("mended", &self.mended),
            ("found, and not seen before", &self.found),
            ("not seen any more", &self.unseen),
        ]
    }

    /// What became of steps on hosts, to be looked up.
    pub(super) fn index(&self) -> Index<'_> {
        let mut points = HashMap::new();
        for (word, list) in self.lists() {
            points.extend(list.iter().map(|point| ((&point.host, point.step.as_str()), word)));
        }
        Index {
            points,
            new_hosts: self.new_hosts.iter().collect(),
            new_steps: self.new_steps.iter().map(String::as_str).collect(),
        }
    }

    /// A line for each kind of change that there is.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("Since {} (run {}):", self.made, self.with)];
        for (word, points) in self.lists() {
            let mut by_step: BTreeMap<&str, Vec<&HostName>> = BTreeMap::new();
            for point in points {
                by_step.entry(&point.step).or_default().push(&point.host);
            }
            for (step, hosts) in by_step {
                lines.push(format!("  {word}: {step} on {}", crate::report::host_list(&hosts, 6)));
            }
        }
        let names = |hosts: &[HostName]| crate::report::host_list(&hosts.iter().collect::<Vec<_>>(), 6);
        for (word, list) in [("new step", &self.new_steps), ("step gone", &self.gone_steps)] {
            lines.extend(list.iter().map(|step| format!("  {word}: {step}")));
        }
        for (word, list) in [("new hosts", &self.new_hosts), ("hosts gone", &self.gone_hosts)] {
            if !list.is_empty() {
                lines.push(format!("  {word}: {}", names(list)));
            }
        }
        if lines.len() == 1 {
            lines.push("  nothing has changed".to_owned());
        }
        lines
    }
}
