//! `block`: some lines of a text file between two marker lines, there or not.

use regex::bytes::Regex;
use serde::Deserialize;

use super::family::edit::{self, Edit, Lines, Text};
use super::family::existence::Existence;
use super::family::path;
use super::{Context, Invalid, Step, Validate, Verdict};
use crate::model::{Kind, Resource};
use crate::probe::{CheckError, Probe, Readings};

/// A marked block in a file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own in the playbook")]
pub struct Block {
    path: String,
    content: Option<String>,
    #[serde(default = "marker")]
    marker: String,
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
    place: (Option<Regex>, Option<Regex>),
}

fn yes() -> bool {
    true
}

fn marker() -> String {
    "# {mark} hostwright".to_owned()
}

impl Validate for Block {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = path::normalise(&mut self.path, "path");
        invalid.extend(self.edit().mistakes());
        self.place = (
            edit::regex("after", self.after.as_deref(), &mut invalid),
            edit::regex("before", self.before.as_deref(), &mut invalid),
        );
        if self.after.is_some() && self.before.is_some() {
            invalid.push(Invalid::new("before", "`after` and `before` exclude each other"));
        }
        if !self.marker.contains("{mark}") {
            invalid.push(
                Invalid::new("marker", "`{mark}` is missing in it")
                    .help("it becomes BEGIN and END: `marker = \"# {mark} cluster hosts\"`"),
            );
        } else if self.marker.contains(['\n', '\r']) {
            invalid.push(Invalid::new("marker", "a marker is one line"));
        }
        match (&self.content, self.state) {
            (None, Existence::Present) => invalid.push(Invalid::new("", "the key `content` is missing")),
            (Some(content), _) => {
                let (begin, end) = self.markers();
                if content.lines().any(|l| l == begin || l == end) {
                    invalid.push(Invalid::new("content", "a line of it is the marker"));
                }
            }
            _ => {}
        }
        invalid
    }
}

impl Step for Block {
    fn probes(&self) -> Vec<Probe> {
        vec![self.edit().query().probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let absent = self.state == Existence::Absent;
        let edit = self.edit();
        let path = &self.path;
        let verb = if absent { "remove a block from" } else { "put a block into" };
        let (found, text) = match edit.read(readings)? {
            Text::Known(found, text) => (found, text),
            Text::Missing(_) if absent => return Ok(Verdict::satisfied("there is no such file")),
            Text::Missing(_) => return Ok(edit.later(format!("{verb} {path}"), true)),
            Text::Vague(_) => return Ok(edit.later(format!("{verb} {path}"), false)),
        };
        let mut lines = Lines::new(&text);
        let (begin, end) = self.markers();
        let now = self.find(&lines, &begin, &end)?;
        if absent {
            let Some((from, to)) = now else { return Ok(Verdict::satisfied("no such block")) };
            lines.lines.drain(from..=to);
            return Ok(edit.write(format!("{verb} {path}"), &found, &text, lines.join(false)));
        }
        let mut wanted = vec![begin.as_bytes()];
        wanted.extend(self.content.as_deref().unwrap_or_default().lines().map(str::as_bytes));
        wanted.push(end.as_bytes());
        if let Some((from, to)) = now {
            if lines.lines[from..=to] == wanted[..] {
                return Ok(Verdict::satisfied(format!("lines {} to {}", from + 1, to + 1)));
            }
            lines.lines.splice(from..=to, wanted);
            return Ok(edit.write(format!("change a block of {path}"), &found, &text, lines.join(true)));
        }
        let at = lines
            .place(self.place.0.as_ref(), self.place.1.as_ref())
            .map_err(|regex| edit::no_anchor(path, regex))?;
        lines.lines.splice(at..at, wanted);
        Ok(edit.write(format!("{verb} {path}"), &found, &text, lines.join(true)))
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

impl Block {
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

    fn markers(&self) -> (String, String) {
        (self.marker.replace("{mark}", "BEGIN"), self.marker.replace("{mark}", "END"))
    }

    /// The lines of the two markers. Anything but one pair in order is not touched: what is in between
    /// could be somebody's own.
    fn find(&self, lines: &Lines<'_>, begin: &str, end: &str) -> Result<Option<(usize, usize)>, CheckError> {
        let all = |marker: &str| -> Vec<usize> {
            (0..lines.lines.len()).filter(|n| lines.lines[*n] == marker.as_bytes()).collect()
        };
        match (all(begin).as_slice(), all(end).as_slice()) {
            ([], []) => Ok(None),
            ([from], [to]) if from < to => Ok(Some((*from, *to))),
            (from, to) => Err(CheckError::refused(
                format!(
                    "the markers in {} are not one pair: {} of `{begin}`, {} of `{end}`",
                    self.path,
                    from.len(),
                    to.len()
                ),
                "put them right by hand, or choose another `marker`".to_owned(),
            )),
        }
    }
}
