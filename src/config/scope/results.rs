//! Results of steps as objects of the template engine: see [`crate::config::results`].

use std::sync::Arc;

use minijinja::value::{Enumerator, Object};
use minijinja::{Error, ErrorKind, Value};

use super::Scope;
use crate::config::results::{Absent, elsewhere};
use crate::model::{PlayIndex, ResultOf, StepResult};

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
    pub play: PlayIndex,
    /// How the template calls it.
    pub prefix: String,
}

impl Object for Steps {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let (name, index, at) = (key.as_str()?, self.scope.index()?, self.scope.at()?);
        let path = format!("{}.{name}", self.prefix);
        let Some(entry) = index.plays.get(self.play.position())?.find(name) else {
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
        let play = self.scope.index().and_then(|i| i.plays.get(self.play.position()));
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
