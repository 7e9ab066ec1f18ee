//! `line`: one line of a text file, there or not.

use regex::bytes::Regex;
use serde::Deserialize;

use super::family::edit::{self, Edit, Lines, Text};
use super::family::existence::Existence;
use super::family::path;
use super::{Context, Invalid, Step, Validate, Verdict};
use crate::model::{Kind, Resource};
use crate::probe::{CheckError, Probe, Readings};

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
    #[serde(skip)]
    expressions: Expressions,
}

#[derive(Debug, Clone, Default)]
struct Expressions {
    matching: Option<Regex>,
    after: Option<Regex>,
    before: Option<Regex>,
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
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = path::normalise(&mut self.path, "path");
        invalid.extend(self.edit().mistakes());
        self.expressions = Expressions {
            matching: edit::regex("match", self.r#match.as_deref(), &mut invalid),
            after: edit::regex("after", self.after.as_deref(), &mut invalid),
            before: edit::regex("before", self.before.as_deref(), &mut invalid),
        };
        match (&self.line, self.state) {
            (None, Existence::Present) => invalid.push(Invalid::new("", "the key `line` is missing")),
            (None, Existence::Absent) if self.r#match.is_none() => {
                invalid.push(Invalid::new("", "which line? give `line` or `match`"));
            }
            (Some(line), _) if line.contains(['\n', '\r']) => {
                invalid.push(
                    Invalid::new("line", "a line cannot hold a line break")
                        .help("several lines are a `block`"),
                );
            }
            (Some(line), Existence::Present)
                if self.expressions.matching.as_ref().is_some_and(|m| !m.is_match(line.as_bytes())) =>
            {
                invalid.push(Invalid::new("match", "`match` does not match `line` itself").help(
                    "otherwise the next run could not tell the line; e.g. '^#?\\s*Port\\b' for \"Port 22\"",
                ));
            }
            _ => {}
        }
        if self.after.is_some() && self.before.is_some() {
            invalid.push(Invalid::new("before", "`after` and `before` exclude each other"));
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
        let wanted = self.line.as_deref().unwrap_or_default().as_bytes();
        if absent {
            let before = lines.lines.len();
            lines.lines.retain(|l| !self.selects(l));
            let n = before - lines.lines.len();
            return Ok(match n {
                0 => Verdict::satisfied("no such line"),
                1 => edit.write(format!("remove a line from {path}"), &found, &text, lines.join(false)),
                n => edit.write(format!("remove {n} lines from {path}"), &found, &text, lines.join(false)),
            });
        }
        if let Some(n) = self.matching(&lines) {
            if lines.lines[n] == wanted {
                return Ok(Verdict::satisfied(format!("line {}", n + 1)));
            }
            lines.lines[n] = wanted;
            return Ok(edit.write(
                format!("replace line {} of {path}", n + 1),
                &found,
                &text,
                lines.join(false),
            ));
        }
        if let Some(n) = lines.lines.iter().position(|l| *l == wanted) {
            return Ok(Verdict::satisfied(format!("line {}", n + 1)));
        }
        let at = lines
            .place(self.expressions.after.as_ref(), self.expressions.before.as_ref())
            .map_err(|regex| edit::no_anchor(path, regex))?;
        lines.lines.insert(at, wanted);
        Ok(edit.write(format!("add line {} to {path}", at + 1), &found, &text, lines.join(true)))
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

    fn as_any(&self) -> &dyn std::any::Any {
        self
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
        }
    }

    fn selects(&self, line: &[u8]) -> bool {
        match &self.expressions.matching {
            Some(regex) => regex.is_match(line),
            None => self.line.as_deref().is_some_and(|l| l.as_bytes() == line),
        }
    }

    /// The line that `match` means.
    fn matching(&self, lines: &Lines<'_>) -> Option<usize> {
        let regex = self.expressions.matching.as_ref()?;
        match self.occurrence {
            Occurrence::First => lines.lines.iter().position(|l| regex.is_match(l)),
            Occurrence::Last => lines.lines.iter().rposition(|l| regex.is_match(l)),
        }
    }
}
