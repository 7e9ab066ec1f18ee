//! `command`: a command that runs when its guards say so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::family::guards::{self, Guards, Occasion};
use super::{Action, Change, Context, Invalid, Inverse, Payload, Role, Step, Validate, Value, Verdict};
use crate::model::value::one_or_many;
use crate::model::{Kind, Resource};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::Programs;
use crate::shell::quote;

program! {
    /// Runs it.
    RunCommand in "command/run_command.sh" runs users uses [guards::GUARDED] {
        run: Word, stdin: Flag, environment: List, folder: Word, ok_codes: Word, only_if: Word
    }
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs = &[&[RunCommand::program], guards::PROGRAMS];

/// A command.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    run: Run,
    #[serde(default, deserialize_with = "one_or_many")]
    creates: Vec<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    removes: Vec<String>,
    unless: Option<String>,
    only_if: Option<String>,
    #[serde(default)]
    always: bool,
    chdir: Option<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    stdin: Option<String>,
    #[serde(default)]
    ok_codes: Vec<u32>,
    #[serde(default)]
    disrupts: Option<String>,
    #[serde(skip)]
    guards: Guards,
}

/// Code for the shell, or a program and its arguments.
#[derive(Debug, Clone)]
enum Run {
    Shell(String),
    Words(Vec<String>),
}

impl<'de> Deserialize<'de> for Run {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ShellOrWords;
        impl<'de> Visitor<'de> for ShellOrWords {
            type Value = Run;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string for the shell, or an array of the program and its arguments")
            }
            fn visit_str<E>(self, text: &str) -> Result<Run, E> {
                Ok(Run::Shell(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Run, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = seq.next_element()? {
                    words.push(word);
                }
                Ok(Run::Words(words))
            }
        }
        deserializer.deserialize_any(ShellOrWords)
    }
}

/// A command may well take longer than a file; `timeout` of the step sets it.
const TIMEOUT: Duration = Duration::from_mins(30);

impl Validate for Command {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        self.guards = Guards {
            creates: self.creates.clone(),
            removes: self.removes.clone(),
            unless: self.unless.clone(),
            only_if: self.only_if.clone(),
            always: self.always,
            chdir: self.chdir.clone(),
            env: self.env.clone(),
        };
        let mut invalid = self.guards.validate();
        let empty = match &self.run {
            Run::Shell(code) => code.trim().is_empty(),
            Run::Words(words) => words.first().is_none_or(String::is_empty),
        };
        if empty {
            invalid.push(Invalid::new("run", "the command is empty"));
        }
        if let Some(code) = self.ok_codes.iter().find(|c| **c > 255) {
            invalid.push(Invalid::new("ok_codes", format!("{code} is no exit code: they go from 0 to 255")));
        }
        invalid
    }
}

impl Step for Command {
    fn probes(&self) -> Vec<Probe> {
        self.guards.probe().into_iter().collect()
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        self.guards.check(readings, self.change(Occasion::Judged))
    }

    fn inverse(&self, _: &Change) -> Inverse {
        Inverse::none("what a command did has no way back")
    }

    fn provides(&self) -> Vec<Resource> {
        self.guards.provides()
    }

    fn needs(&self) -> Vec<Resource> {
        let mut needs = self.guards.needs();
        needs.push(Resource::here(Kind::Command, self.program()));
        needs
    }

    fn opaque(&self) -> bool {
        true
    }

    fn looks_anywhere(&self) -> bool {
        self.guards.look_anywhere()
    }

    fn on_notify(&self, _: &Readings) -> Result<Option<Change>, CheckError> {
        Ok(Some(Change { always: true, ..self.change(Occasion::Notified) }))
    }

    fn misplaced(&self, _: Role) -> Option<Invalid> {
        None
    }
}

impl Command {
    fn program(&self) -> &str {
        match &self.run {
            Run::Shell(code) => guards::first_word(code),
            Run::Words(words) => words.first().map_or("", |w| w.rsplit('/').next().unwrap_or_default()),
        }
    }

    fn change(&self, occasion: Occasion) -> Change {
        let run = match &self.run {
            Run::Shell(code) => code.clone(),
            Run::Words(words) => words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "),
        };
        let shown = run.trim().to_owned();
        let label = format!("run {}", guards::brief(&shown));
        let program = RunCommand {
            run: &run,
            stdin: self.stdin.is_some(),
            environment: &self.guards.environment(),
            folder: self.guards.folder(),
            ok_codes: &guards::ok_codes(&self.ok_codes),
            only_if: self.guards.only_if_of(occasion),
        };
        let mut action = Action::new(label.clone(), program.script()).timeout(TIMEOUT);
        action = if self.guards.tell_when_done() { action.lasting() } else { action.once() };
        if let Some(text) = &self.stdin {
            action = action.payload(Payload(Arc::from(text.as_bytes())));
        }
        let mut change = Change::new(label).field("run", Value::Absent, shown).action(action);
        change.disrupts.clone_from(&self.disrupts);
        change
    }
}
