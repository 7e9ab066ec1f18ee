//! `line`: one line of a text file, there or not.

use serde::Deserialize;

use super::family::edit::{Anchor, Edit, Otherwise, Text};
use super::family::existence::Existence;
use super::family::expression::Expression;
use super::family::path;
use super::family::text::{Lines, Spot};
use super::{Context, Invalid, Step, Validate, Verdict};
use crate::model::{Kind, Resource};
use crate::probe::{CheckError, Probe, Readings};

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: crate::program::Programs =
    &[super::family::path::PROGRAMS, super::family::put::PROGRAMS];

/// A line in a file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own in the playbook")]
#[expect(clippy::struct_field_names, reason = "the keys of the playbook")]
pub struct Line {
    path: String,
    line: Option<String>,
    r#match: Option<String>,
    #[serde(default)]
    occurrence: Occurrence,
    after: Option<String>,
    before: Option<String>,
    otherwise: Option<Otherwise>,
    #[serde(default)]
    state: Existence,
    #[serde(default)]
    create: bool,
    #[serde(default = "yes")]
    backup: bool,
    #[serde(default)]
    in_place: bool,
    validate: Option<String>,
    #[serde(default)]
    follow: bool,
    #[serde(default)]
    allow_remote: bool,
    /// A secret went into it.
    #[serde(skip)]
    holds_secret: bool,
    #[serde(skip)]
    matching: Option<Expression>,
    #[serde(skip)]
    anchor: Anchor,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Occurrence {
    First,
    #[default]
    Last,
}

fn yes() -> bool {
    true
}

impl Validate for Line {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        self.holds_secret = (context.holds_secret)();
        let mut invalid = path::normalise(&mut self.path, "path");
        invalid.extend(self.edit().mistakes());
        self.matching = Expression::read("match", self.r#match.as_deref(), &mut invalid);
        self.anchor =
            Anchor::read(self.after.as_deref(), self.before.as_deref(), self.otherwise, &mut invalid);
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

impl Step for Line {
    fn probes(&self) -> Vec<Probe> {
        vec![self.edit().query().probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let absent = self.state == Existence::Absent;
        let edit = self.edit();
        let path = &self.path;
        let verb = if absent { "remove a line from" } else { "put a line into" };
        let (found, text) = match edit.read(readings)? {
            Text::Known(found, text) => (found, text),
            Text::Missing(_) if absent => return Ok(Verdict::satisfied("there is no such file")),
            Text::Missing(_) => return Ok(edit.later(format!("{verb} {path}"), true)),
            Text::Vague(_) => return Ok(edit.later(format!("{verb} {path}"), false)),
        };
        let mut lines = Lines::new(&text);
        let wanted = self.line.as_deref().unwrap_or_default();
        if absent {
            edit.plain(&text, self.r#match.as_deref().into_iter().chain(self.line.as_deref()))?;
            edit.certain(&lines, |line| self.selects(line))?;
            let before = lines.len();
            lines.retain(|line| !self.selects(line));
            let summary = match before - lines.len() {
                0 => return Ok(Verdict::satisfied("no such line")),
                1 => format!("remove a line from {path}"),
                n => format!("remove {n} lines from {path}"),
            };
            return edit.write(summary, &found, &text, lines.bytes());
        }
        let matching = self.matching(&lines);
        let there = lines.texts().position(|line| line == wanted.as_bytes());
        // The one that `match` means counts, or else the line wherever it stands.
        if let Some(n) = matching.or(there)
            && lines.texts().nth(n) == Some(wanted.as_bytes())
        {
            return Ok(Verdict::satisfied(format!("line {}", n + 1)));
        }
        edit.plain(&text, [wanted].into_iter().chain(self.r#match.as_deref()).chain(self.anchor.texts()))?;
        edit.certain(&lines, |line| self.selects(line))?;
        if let Some(n) = matching {
            lines.replace(n, wanted.as_bytes());
            return edit.write(format!("replace line {} of {path}", n + 1), &found, &text, lines.bytes());
        }
        let spot = self.anchor.spot(path, &lines)?;
        let (Spot::Behind(at) | Spot::Before(at)) = spot;
        lines.insert(spot, [wanted.as_bytes()]);
        edit.write(format!("add line {} to {path}", at + 1), &found, &text, lines.bytes())
    }

    fn provides(&self) -> Vec<Resource> {
        if self.state == Existence::Absent {
            return Vec::new();
        }
        vec![Resource::here(Kind::Path, &self.path)]
    }

    fn needs(&self) -> Vec<Resource> {
        self.edit().query().needs()
    }
}

impl Line {
    fn edit(&self) -> Edit<'_> {
        Edit {
            path: &self.path,
            create: self.create && self.state == Existence::Present,
            backup: self.backup,
            in_place: self.in_place,
            follow: self.follow,
            allow_remote: self.allow_remote,
            validate: self.validate.as_deref(),
            secret: self.holds_secret,
        }
    }

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
