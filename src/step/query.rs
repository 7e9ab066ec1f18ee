//! `query`: shows what a command prints, and changes nothing.

use serde::Deserialize;
use unicode_width::UnicodeWidthStr as _;

use super::family::expression::Expression;
use super::family::guards::{self, GUARD_TIMEOUT};
use super::{Change, Context, Invalid, Inverse, Step, Validate, Verdict};
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
    /// Headings: what is printed is a table, with a tab between two cells.
    #[serde(default)]
    columns: Vec<String>,
    /// A row that has this is marked.
    #[serde(default)]
    wrong: Option<String>,
    #[serde(skip)]
    marking: Option<Expression>,
}

impl Query {
    /// What is shown of what the command printed.
    fn told(&self, text: &str) -> String {
        let marks = self.marking.is_some();
        let rows: Vec<(bool, Vec<&str>)> = text
            .lines()
            .map(|line| {
                let cells = if self.columns.is_empty() {
                    vec![line]
                } else {
                    line.splitn(self.columns.len(), '\t').map(str::trim).collect()
                };
                (self.marking.as_ref().is_some_and(|marking| marking.is_match(line.as_bytes())), cells)
            })
            .collect();
        let head = (!self.columns.is_empty() && !rows.is_empty())
            .then(|| (false, self.columns.iter().map(String::as_str).collect()));
        let rows: Vec<_> = head.into_iter().chain(rows).collect();
        // A line that is no row is shown as it is.
        let is_row = |cells: &[&str]| cells.len() > 1;
        let width = |column: usize| {
            let cells =
                rows.iter().filter(|(_, cells)| is_row(cells)).filter_map(|(_, cells)| cells.get(column));
            cells.map(|cell| cell.width()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let lines = rows.iter().map(|(is_wrong, cells)| {
            let mut line = match (marks, is_wrong) {
                (false, _) => String::new(),
                (true, true) => "x ".to_owned(),
                (true, false) => "  ".to_owned(),
            };
            for (n, cell) in cells.iter().enumerate() {
                line.push_str(cell);
                if n + 1 < cells.len() {
                    line.push_str(&" ".repeat(widths[n] + 2 - cell.width()));
                }
            }
            line.trim_end().to_owned()
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Validate for Query {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        if self.run.trim().is_empty() {
            invalid.push(Invalid::new("run", "the command is empty"));
        }
        self.marking = Expression::read("wrong", self.wrong.as_deref(), &mut invalid);
        invalid
    }
}

impl Step for Query {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::new(AskCommand { run: &self.run }.script())]
    }

    /// Whatever the command says is the answer, a failure too: whoever asks how things are wants to see it.
    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let answer = readings.of(&self.probes().remove(0))?;
        // What the command printed is all on standard output.
        let late = answer.is_cut_off() && answer.error_text() == "late";
        let ended = match answer.code {
            0 => String::new(),
            _ if late => format!("did not end within {} s", GUARD_TIMEOUT.as_secs()),
            code => format!("exit code {code}"),
        };
        let told = if late { String::new() } else { answer.error_text().into_owned() };
        let lines = [self.told(&answer.text()), told, ended];
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

    fn inverse(&self, _: &Change) -> Inverse {
        Inverse::nothing()
    }

    fn needs(&self) -> Vec<Resource> {
        vec![Resource::here(Kind::Command, guards::first_word(&self.run))]
    }

    fn opaque(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_line_up_and_wrong_ones_are_marked() {
        let columns = ["NODE", "STATE", "LABELS"].map(str::to_owned).to_vec();
        let marking = Expression::read("wrong", Some("Down|\\b0/"), &mut Vec::new());
        let query = Query { run: "x".into(), columns, wrong: None, marking };
        let printed = "worker-01\tReady\tstorage:nfs a:b\n文\tDown\t\nno row\n";
        let told =
            "  NODE       STATE  LABELS\n  worker-01  Ready  storage:nfs a:b\nx 文         Down\n  no row";
        assert_eq!(query.told(printed), told);
        assert_eq!(query.told(""), "");
        let plain = Query { run: "x".into(), columns: Vec::new(), wrong: None, marking: None };
        assert_eq!(plain.told("  a\n\nb"), "  a\n\nb");
    }
}
