//! `line`: one line of a text file, there or not.

use std::sync::Arc;

use serde::Deserialize;

use super::family::edit::{Edit, Edits, edits};
use super::family::existence::Existence;
use super::family::expression::Expression;
use super::family::path::Found;
use super::family::text::{Lines, Spot};
use super::{Context, Invalid, Validate, Verdict};
use crate::probe::CheckError;

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: crate::program::Programs = super::family::edit::PROGRAMS;

edits! {
    /// A line in a file.
    #[expect(clippy::struct_field_names, reason = "the keys of the playbook")]
    pub struct Line {
        line: Option<String>,
        r#match: Option<String>,
        #[serde(default)]
        occurrence: Occurrence,
        #[serde(skip)]
        matching: Option<Expression>,
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Occurrence {
    First,
    #[default]
    Last,
}

impl Validate for Line {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = self.mistakes(context);
        self.matching = Expression::read("match", self.r#match.as_deref(), &mut invalid);
        match (&self.line, self.state) {
            (None, Existence::Present) => invalid.push(Invalid::missing("line")),
            (None, Existence::Absent) if self.r#match.is_none() => {
                invalid.push(Invalid::new("", "which line? give `line` or `match`"));
            }
            (Some(line), _) if line.contains(['\n', '\r']) => {
                invalid.push(
                    Invalid::new("line", "a line cannot hold a line break")
                        .help("several lines are a `block`"),
                );
            }
            (Some(line), _) if line.contains('\0') => {
                invalid.push(Invalid::new("line", "a line of text cannot hold a NUL byte"));
            }
            (Some(line), _) if line.is_empty() => {
                invalid.push(
                    Invalid::new("line", "`line` is empty, and so any blank line of the file")
                        .help("is it a variable without a value?"),
                );
            }
            (Some(line), Existence::Present)
                if self.matching.as_ref().is_some_and(|m| !m.is_match(line.as_bytes())) =>
            {
                invalid.push(Invalid::new("match", "`match` does not match `line` itself").help(
                    "otherwise the next run could not tell the line; e.g. '^#?\\s*Port\\b' for \"Port 22\"",
                ));
            }
            _ => {}
        }
        invalid
    }
}

impl Edits for Line {
    const WHAT: &'static str = "a line";

    fn verdict(&self, edit: &Edit<'_>, found: &Found, text: &Arc<[u8]>) -> Result<Verdict, CheckError> {
        let path = edit.path;
        let mut lines = Lines::new(text);
        let wanted = self.line.as_deref().unwrap_or_default();
        if edit.absent {
            edit.plain(text, self.r#match.as_deref().into_iter().chain(self.line.as_deref()))?;
            edit.certain(&lines, |line| self.selects(line))?;
            let before = lines.len();
            lines.retain(|line| !self.selects(line));
            let summary = match before - lines.len() {
                0 => return Ok(Verdict::satisfied("no such line")),
                1 => format!("remove a line from {path}"),
                n => format!("remove {n} lines from {path}"),
            };
            return edit.write(summary, found, text, lines.bytes());
        }
        let matching = self.matching(&lines);
        let there = lines.texts().position(|line| line == wanted.as_bytes());
        // The one that `match` means counts, or else the line wherever it stands.
        if let Some(n) = matching.or(there)
            && lines.texts().nth(n) == Some(wanted.as_bytes())
        {
            return Ok(Verdict::satisfied(format!("line {}", n + 1)));
        }
        edit.plain(text, [wanted].into_iter().chain(self.r#match.as_deref()).chain(self.anchor.texts()))?;
        edit.certain(&lines, |line| self.selects(line))?;
        if let Some(n) = matching {
            lines.replace(n, wanted.as_bytes());
            return edit.write(format!("replace line {} of {path}", n + 1), found, text, lines.bytes());
        }
        let spot = self.anchor.spot(path, &lines)?;
        let (Spot::Behind(at) | Spot::Before(at)) = spot;
        lines.insert(spot, [wanted.as_bytes()]);
        edit.write(format!("add line {} to {path}", at + 1), found, text, lines.bytes())
    }
}

impl Line {
    fn selects(&self, line: &[u8]) -> bool {
        self.matching.as_ref().is_some_and(|expression| expression.is_match(line))
            || self.line.as_deref().is_some_and(|l| l.as_bytes() == line)
    }

    /// The line that `match` means.
    fn matching(&self, lines: &Lines<'_>) -> Option<usize> {
        let expression = self.matching.as_ref()?;
        match self.occurrence {
            Occurrence::First => lines.texts().position(|l| expression.is_match(l)),
            Occurrence::Last => lines.texts().rposition(|l| expression.is_match(l)),
        }
    }
}
