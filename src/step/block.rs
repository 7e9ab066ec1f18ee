//! `block`: some lines of a text file between two marker lines, there or not.

use std::sync::Arc;

use super::family::edit::{Edit, Edits, edits};
use super::family::existence::Existence;
use super::family::path::Found;
use super::family::text::Lines;
use super::{Context, Invalid, Validate, Verdict};
use crate::probe::CheckError;

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: crate::program::Programs = super::family::edit::PROGRAMS;

edits! {
    /// A marked block in a file.
    pub struct Block {
        content: Option<String>,
        #[serde(default = "marker")]
        marker: String,
    }
}

fn marker() -> String {
    "# {mark} hostwright".to_owned()
}

impl Validate for Block {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = self.mistakes(context);
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

impl Edits for Block {
    const WHAT: &'static str = "a block";

    fn verdict(&self, edit: &Edit<'_>, found: &Found, text: &Arc<[u8]>) -> Result<Verdict, CheckError> {
        let path = edit.path;
        let mut lines = Lines::new(text);
        let (begin, end) = self.markers();
        let now = self.find(&lines, &begin, &end)?;
        if now.is_none() {
            edit.certain(&lines, |line| same(line, &begin) || same(line, &end))?;
        }
        if edit.absent {
            let Some((from, to)) = now else {
                edit.plain(text, [self.marker.as_str()])?;
                return Ok(Verdict::satisfied("no such block"));
            };
            lines.remove(from, to);
            return edit.write(edit.summary(Self::WHAT), found, text, lines.bytes());
        }
        let content = self.content.as_deref().unwrap_or_default();
        let wanted = content.lines().map(str::as_bytes);
        if let Some((from, to)) = now {
            let between = lines.texts().skip(from + 1).take(to - from - 1);
            if between.eq(wanted.clone()) {
                return Ok(Verdict::satisfied(format!("lines {} to {}", from + 1, to + 1)));
            }
            edit.plain(text, [content])?;
            lines.between(from, to, wanted);
            return edit.write(format!("change a block of {path}"), found, text, lines.bytes());
        }
        edit.plain(text, [self.marker.as_str(), content].into_iter().chain(self.anchor.texts()))?;
        let spot = self.anchor.spot(path, &lines)?;
        lines.insert(spot, [begin.as_bytes()].into_iter().chain(wanted).chain([end.as_bytes()]));
        edit.write(edit.summary(Self::WHAT), found, text, lines.bytes())
    }
}

impl Block {
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
