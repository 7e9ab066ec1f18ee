//! Results of steps as templates see them: `steps.ID` of the same playbook, `playbooks.NAME.steps.ID` of another.
//!
//! A result is there, or comes before the template's step has its turn, or cannot be there on this host. Then the
//! name is undefined, and whoever uses it without asking (`is defined`) is told why.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minijinja::value::{Enumerator, Object};
use minijinja::{Error, ErrorKind, Value};

use super::scope::Scope;
use crate::model::{ResultOf, StepId, StepResult};

/// The steps of a run by the names under which templates may ask for their results.
#[derive(Debug, Default)]
pub(super) struct StepIndex {
    /// The playbooks in the order in which they run.
    pub plays: Vec<PlayIndex>,
}

/// The steps of one playbook.
#[derive(Debug)]
pub(super) struct PlayIndex {
    /// The playbook's name.
    pub name: Arc<str>,
    /// Id or `register` name, to the step.
    pub names: BTreeMap<String, StepEntry>,
}

/// One step that templates may ask for.
#[derive(Debug, Clone)]
pub(super) struct StepEntry {
    /// Its id.
    pub id: StepId,
    /// Its place in its playbook.
    pub index: usize,
    /// Whether it runs at the end of its playbook.
    pub handler: bool,
    /// The hosts that it is written for, by position in the inventory.
    pub meant: Arc<BTreeSet<usize>>,
    /// Those of them on which it runs in this run.
    pub hosts: Arc<BTreeSet<usize>>,
}

/// The place in the run of the step whose template asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    /// The playbook, by its position in the run.
    pub play: usize,
    /// The step, by its position in the playbook.
    pub index: usize,
    /// Whether it is a handler.
    pub handler: bool,
}

/// Why there is nothing where a template looks, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Absent {
    /// Why, if it is more than that the name is not known.
    pub why: Option<String>,
    /// What to do.
    pub help: String,
}

const ASK: &str = "where it may be missing, ask first: `when = \"steps.ID is defined and ...\"`, or `{% if steps.ID is defined %}`";
const LATER: &str = "move that step up, or use its result further down";
const HANDLER: &str = "only handlers behind it can use its result";
const OWN: &str = "`until` knows it as `result`";

impl Absent {
    fn new(why: impl Into<String>, help: impl Into<String>) -> Self {
        Self { why: Some(why.into()), help: help.into() }
    }

    /// In a text that is the same for all hosts.
    pub(super) fn for_all() -> Self {
        Self::new("a title is one for all hosts", "results are there in the steps alone")
    }
}

/// Where a step of this name is, for one who looks in the wrong playbook.
pub(super) fn elsewhere(index: &StepIndex, name: &str) -> Option<String> {
    let play = index.plays.iter().rfind(|p| p.find(name).is_some())?;
    Some(format!("it is a step of playbook `{0}`: write `playbooks[\"{0}\"].steps.{name}`", play.name))
}

impl PlayIndex {
    /// Finds a step by id or register name; `_` may stand for `-`.
    pub(super) fn find(&self, name: &str) -> Option<&StepEntry> {
        self.names.get(name).or_else(|| self.names.get(&name.replace('_', "-")))
    }
}

impl StepIndex {
    /// Finds a playbook by its name; `_` may stand for `-`, and the number at its front may be left out.
    ///
    /// Of several with one name it is the nearest before `before`.
    pub(super) fn play(&self, name: &str, before: usize) -> Option<usize> {
        let plain = |name: &str| name.replace('_', "-");
        let bare = |name: &str| {
            let name = plain(name);
            name.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches('-').to_owned()
        };
        let fits: [&dyn Fn(&str) -> bool; 3] =
            [&|n| n == name, &|n| plain(n) == plain(name), &|n| bare(n) == plain(name)];
        fits.into_iter().find_map(|fits| {
            let mut found = (0..self.plays.len()).filter(|n| fits(&self.plays[*n].name));
            found.clone().rfind(|n| *n < before).or_else(|| found.next())
        })
    }

    /// Why there can be no result of `entry` when the step at `at` is rendered for `host`, if there cannot.
    ///
    /// It is there later, or never.
    pub(super) fn absent(
        &self,
        play: usize,
        entry: &StepEntry,
        at: At,
        host: usize,
        host_name: &str,
    ) -> Option<Absent> {
        let of = if play == at.play {
            format!("step `{}`", entry.id)
        } else {
            format!("step `{}` of playbook `{}`", entry.id, self.plays[play].name)
        };
        let later = (play, entry.handler, entry.index) >= (at.play, at.handler, at.index);
        if later && (play, entry.index) == (at.play, at.index) {
            Some(Absent::new("it is the step's own result, which is not there yet", OWN))
        } else if later && entry.handler && play == at.play {
            Some(Absent::new(format!("{of} is a handler: it runs at the end of the playbook"), HANDLER))
        } else if later {
            Some(Absent::new(format!("{of} runs later than this one"), LATER))
        } else if !entry.meant.contains(&host) {
            Some(Absent::new(format!("{of} is not for {host_name}"), ASK))
        } else if !entry.hosts.contains(&host) {
            Some(Absent::new(format!("{of} is not selected in this run"), ASK))
        } else {
            None
        }
    }
}

fn texts(names: impl IntoIterator<Item = String>) -> Enumerator {
    Enumerator::Values(names.into_iter().map(Value::from).collect())
}

/// `playbooks`.
#[derive(Debug)]
pub(super) struct Playbooks(pub Scope);

impl Object for Playbooks {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let at = self.0.at()?;
        let Some(play) = self.0.index()?.play(name, at.play) else {
            let why = format!("no playbook of this run is called `{name}`");
            let help =
                "name it on the command line before this one, or ask first: `playbooks.NAME is defined`";
            self.0.is_absent(format!("playbooks.{name}"), Absent::new(why, help));
            return None;
        };
        let steps = Value::from_object(Steps {
            scope: self.0.clone(),
            play,
            prefix: format!("playbooks.{name}.steps"),
        });
        Some(Value::from_pairs([("steps", steps)]))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        texts(self.0.index().into_iter().flat_map(|i| i.plays.iter().map(|p| p.name.to_string())))
    }
}

/// `steps` of one playbook.
#[derive(Debug)]
pub(super) struct Steps {
    pub scope: Scope,
    /// The playbook, by its position in the run.
    pub play: usize,
    /// How the template calls it.
    pub prefix: String,
}

impl Object for Steps {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let (name, index, at) = (key.as_str()?, self.scope.index()?, self.scope.at()?);
        let path = format!("{}.{name}", self.prefix);
        let Some(entry) = index.plays.get(self.play)?.find(name) else {
            if let Some(help) = elsewhere(index, name) {
                self.scope.is_absent(path, Absent { why: None, help });
            }
            return None;
        };
        let of = ResultOf { play: self.play, step: entry.id.clone() };
        if let Some(result) = self.scope.result(&of) {
            return Some(Value::from_object(StepValue {
                scope: self.scope.clone(),
                result: result.clone(),
                path,
            }));
        }
        let (host, host_name) = self.scope.host();
        if let Some(why) = index.absent(self.play, entry, at, host, host_name) {
            self.scope.is_absent(path, why);
            return None;
        }
        self.scope.want_result(of);
        Some(Value::from(Error::new(ErrorKind::InvalidOperation, "the step has not run yet")))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let play = self.scope.index().and_then(|i| i.plays.get(self.play));
        texts(play.into_iter().flat_map(|p| p.names.keys().cloned()))
    }
}

/// The result of one step.
#[derive(Debug)]
struct StepValue {
    scope: Scope,
    result: StepResult,
    path: String,
}

impl Object for StepValue {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let StepResult { changed, failed, skipped, code, stdout, stderr } = &self.result;
        let name = key.as_str()?;
        let value = match name {
            "changed" => return Some((*changed).into()),
            "failed" => return Some((*failed).into()),
            "skipped" => return Some((*skipped).into()),
            "code" => code.map(Value::from),
            "stdout" => stdout.as_deref().map(Value::from),
            "stderr" => stderr.as_deref().map(Value::from),
            _ => return None,
        };
        if value.is_none() {
            let why = if *skipped {
                "the step was skipped on this host"
            } else {
                "the step ran nothing on this host"
            };
            let help = format!(
                "where it may be missing: `{}.{name} | default(...)`, or ask `.skipped` and `.changed`",
                self.path
            );
            self.scope.is_absent(format!("{}.{name}", self.path), Absent::new(why, help));
        }
        value
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let names = ["changed", "failed", "skipped", "code", "stdout", "stderr"];
        Enumerator::Values(names.into_iter().map(Value::from).collect())
    }
}
