//! `query`: shows what a command prints, and changes nothing.

use serde::Deserialize;

use super::family::guards::{self, GUARD_TIMEOUT};
use super::{Context, Invalid, Step, Validate, Verdict};
use crate::model::{Kind, Resource, StepResult};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::Programs;

program! {
    /// Asks it.
    AskCommand in "query/ask_command.sh" uses [guards::BOUNDED] { run: Word }
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs = &[&[AskCommand::program]];

/// A command that only looks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    run: String,
}

impl Validate for Query {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let empty = self.run.trim().is_empty();
        empty.then(|| Invalid::new("run", "the command is empty")).into_iter().collect()
    }
}

impl Step for Query {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::new(AskCommand { run: &self.run }.script())]
    }

    /// Whatever the command says is the answer, a failure too: whoever asks how things are wants to see it.
    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let answer = readings.of(&self.probes().remove(0))?;
        let ended = match answer.code {
            0 => String::new(),
            124 | 137 => format!("did not end within {} s", GUARD_TIMEOUT.as_secs()),
            code => format!("exit code {code}"),
        };
        let lines = [answer.text().into_owned(), answer.error_text().into_owned(), ended];
        let shows: Vec<String> = lines.into_iter().filter(|l| !l.is_empty()).collect();
        let result = StepResult {
            code: Some(answer.code),
            stdout: Some(answer.text().into_owned()),
            stderr: Some(answer.error_text().into_owned()),
            ..StepResult::default()
        };
        Ok(Verdict::Satisfied {
            reason: "asked".into(),
            shows: shows.join("\n"),
            result: Some(Box::new(result)),
        })
    }

    fn needs(&self) -> Vec<Resource> {
        vec![Resource::here(Kind::Command, guards::first_word(&self.run))]
    }

    fn opaque(&self) -> bool {
        true
    }
}
