//! `block`: some lines of a text file between two marker lines, there or not.

use serde::Deserialize;

use super::family::edit::{Anchor, Edit, Otherwise, Text};
use super::family::existence::Existence;
use super::family::path;
use super::family::text::Lines;
use super::{Context, Invalid, Step, Validate, Verdict};
use crate::model::{Kind, Resource};
use crate::probe::{CheckError, Probe, Readings};

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: crate::program::Programs =
    &[super::family::path::PROGRAMS, super::family::put::PROGRAMS];

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
    anchor: Anchor,
}

fn yes() -> bool {
    true
}

fn marker() -> String {
    "# {mark} hostwright".to_owned()
}

impl Validate for Block {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        self.holds_secret = (context.holds_secret)();
        let mut invalid = path::normalise(&mut self.path, "path");
        invalid.extend(self.edit().mistakes());
        self.anchor =
            Anchor::read(self.after.as_deref(), self.before.as_deref(), self.otherwise, &mut invalid);
        if !self.marker.contains("{mark}") {
            invalid.push(
                Invalid::new("marker", "`{mark}` is missing in it")
                    .help("it becomes BEGIN and END: `marker = \"# {mark} cluster hosts\"`"),
            );
        } else if self.marker.contains(['\n', '\r', '\0']) {
            invalid.push(Invalid::new("marker", "a marker is one line of text"));
        }
        match (&self.content, self.state) {
            (None, Existence::Present) => invalid.push(Invalid::missing("content")),
            (Some(text), _) => {
                let (begin, end) = self.markers();
                let is_marker = |line: &str| [&begin, &end].iter().any(|m| same(line.as_bytes(), m));
                if text.lines().any(is_marker) {
                    invalid.push(Invalid::new("content", "a line of it is the marker"));
                } else if text.lines().any(|l| l.contains('\r')) {
                    invalid.push(
                        Invalid::new("content", "a carriage return in it ends no line").help(
                            "write the lines with plain line feeds; they get the line ends of the file",
                        ),
                    );
                } else if text.contains('\0') {
                    invalid.push(Invalid::new("content", "lines of text cannot hold a NUL byte"));
                }
            }
            _ => {}
        }
        invalid
    }
}

/// Whether a line is this marker. Editors leave or take blanks, and carriage returns, at the end of a line.
fn same(line: &[u8], marker: &str) -> bool {
    line.trim_ascii_end() == marker.as_bytes().trim_ascii_end()
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
        if now.is_none() {
            edit.certain(&lines, |line| same(line, &begin) || same(line, &end))?;
        }
        if absent {
            let Some((from, to)) = now else {
                edit.plain(&text, [self.marker.as_str()])?;
                return Ok(Verdict::satisfied("no such block"));
            };
            lines.remove(from, to);
            return edit.write(format!("{verb} {path}"), &found, &text, lines.bytes());
        }
        let content = self.content.as_deref().unwrap_or_default();
        let wanted = content.lines().map(str::as_bytes);
        if let Some((from, to)) = now {
            let between = lines.texts().skip(from + 1).take(to - from - 1);
            if between.eq(wanted.clone()) {
                return Ok(Verdict::satisfied(format!("lines {} to {}", from + 1, to + 1)));
            }
            edit.plain(&text, [content])?;
            lines.between(from, to, wanted);
            return edit.write(format!("change a block of {path}"), &found, &text, lines.bytes());
        }
        edit.plain(&text, [self.marker.as_str(), content].into_iter().chain(self.anchor.texts()))?;
        let spot = self.anchor.spot(path, &lines)?;
        lines.insert(spot, [begin.as_bytes()].into_iter().chain(wanted).chain([end.as_bytes()]));
        edit.write(format!("{verb} {path}"), &found, &text, lines.bytes())
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
            secret: self.holds_secret,
        }
    }

    fn markers(&self) -> (String, String) {
        (self.marker.replace("{mark}", "BEGIN"), self.marker.replace("{mark}", "END"))
    }

    /// The lines of the two markers. Anything but one pair in order is not touched: what is in between
    /// could be somebody's own.
    fn find(&self, lines: &Lines<'_>, begin: &str, end: &str) -> Result<Option<(usize, usize)>, CheckError> {
        let all = |marker: &str| -> Vec<usize> {
            lines.texts().enumerate().filter(|(_, l)| same(l, marker)).map(|(n, _)| n).collect()
        };
        let refuse = |message: String| {
            Err(CheckError::refused(message, "put them right by hand, or choose another `marker`".to_owned()))
        };
        match (all(begin).as_slice(), all(end).as_slice()) {
            ([], []) => {
                // Somebody has moved the block in, with an editor that indents.
                let moved = |line: &[u8]| {
                    [begin, end].iter().any(|marker| same(line.trim_ascii_start(), marker.trim_ascii_start()))
                };
                match lines.texts().position(moved) {
                    None => Ok(None),
                    Some(n) => refuse(format!(
                        "line {} of {} is a marker, but indented in another way than `{begin}`",
                        n + 1,
                        self.path
                    )),
                }
            }
            ([from], [to]) if from < to => Ok(Some((*from, *to))),
            (from, to) => refuse(format!(
                "the markers in {} are not one pair: {} of `{begin}`{}, {} of `{end}`{}",
                self.path,
                from.len(),
                positions(from),
                to.len(),
                positions(to)
            )),
        }
    }
}

/// ` (line 3)`.
fn positions(lines: &[usize]) -> String {
    let numbers: Vec<_> = lines.iter().take(5).map(|n| (n + 1).to_string()).collect();
    let more = if lines.len() > numbers.len() { " ..." } else { "" };
    match lines {
        [] => String::new(),
        [_] => format!(" (line {})", numbers[0]),
        _ => format!(" (lines {}{more})", numbers.join(", ")),
    }
}
