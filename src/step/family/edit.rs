//! A change within a text file: what `line` and `block` share.
//!
//! The content is read whole, changed here, and put back whole; so a plan shows the very difference, and what
//! earlier steps of the plan will write is edited in turn.

use std::sync::Arc;

use regex::bytes::Regex;

use super::attributes::Attributes;
use super::path::{self, CONTENT_LIMIT, Depth, Found, Query};
use super::put::{self, Put};
use crate::model::{FileContent, FileKind, FileState, Kind, Resource, State};
use crate::probe::{CheckError, Readings};
use crate::step::{Change, Invalid, Value, Verdict};

/// The file that is edited, and how.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own in the playbook")]
pub struct Edit<'a> {
    /// Absolute path.
    pub path: &'a str,
    /// Make the file if it is not there.
    pub create: bool,
    /// As in [`Put`].
    pub backup: bool,
    /// As in [`Put`].
    pub in_place: bool,
    /// As in [`Put`].
    pub follow: bool,
    /// As in [`Query`].
    pub allow_remote: bool,
    /// As in [`Put`].
    pub validate: Option<&'a str>,
}

/// What there is to edit.
#[derive(Debug, Clone)]
pub enum Text {
    /// This; empty if the file is still to be made.
    Known(Found, Arc<[u8]>),
    /// There is no file, and the step must not make one.
    Missing(Found),
    /// An earlier planned step puts something there, and it is not known what.
    Vague(Found),
}

impl Edit<'_> {
    /// The question that is asked.
    pub fn query(&self) -> Query<'_> {
        Query {
            follow: self.follow,
            allow_remote: self.allow_remote,
            ..Query::new(self.path, Depth::Content(CONTENT_LIMIT))
        }
    }

    /// Returns the mistakes in what the user wrote.
    pub fn mistakes(&self) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        if let Some(command) = self.validate.filter(|c| !c.contains("%s")) {
            invalid.push(
                Invalid::new("validate", format!("`%s` is missing in {command:?}"))
                    .help("it stands for the new file: `validate = \"sshd -t -f %s\"`"),
            );
        }
        invalid
    }

    /// Reads the content.
    pub fn read(&self, readings: &Readings) -> Result<Text, CheckError> {
        let found = self.query().read(readings)?;
        if found.vague {
            return Ok(Text::Vague(found));
        }
        match (&found.file.kind, &found.file.content) {
            (FileKind::Absent, _) if self.create => Ok(Text::Known(found, Arc::from(&b""[..]))),
            (FileKind::Absent, _) => Ok(Text::Missing(found)),
            (FileKind::File, FileContent::Bytes(bytes)) => {
                let bytes = Arc::clone(bytes);
                Ok(Text::Known(found, bytes))
            }
            (FileKind::File, FileContent::Digest(_, size)) => Err(CheckError::refused(
                format!("{} is too large to be edited: {size} bytes", self.path),
                format!("files up to {CONTENT_LIMIT} bytes are; send a whole one with a `file` step"),
            )),
            (FileKind::File, FileContent::Unread) => Ok(Text::Vague(found)),
            (FileKind::Link(target), _) => Err(CheckError::refused(
                format!("{} is a symbolic link to {target}", self.path),
                "set `follow = true` to edit what it points to".to_owned(),
            )),
            (other, _) => Err(CheckError::refused(
                format!("{} is not a file but a {}", self.path, path::word(other)),
                None,
            )),
        }
    }

    /// The verdict that the content has to become `after`.
    pub fn write(&self, summary: String, found: &Found, before: &Arc<[u8]>, after: Vec<u8>) -> Verdict {
        let after: Arc<[u8]> = after.into();
        let fresh = found.file.kind == FileKind::Absent;
        let mut file = if fresh { FileState::fresh(FileKind::File) } else { found.file.clone() };
        let attributes = Attributes::default();
        let put = Put {
            mode: Some(file.mode),
            backup: self.backup.into(),
            in_place: self.in_place,
            follow: self.follow,
            validate: self.validate.map(|command| (command, command)),
            made_from: Some(&found.file),
            ..Put::new(self.path, &after, &attributes)
        };
        let action = put.action(format!("write {}", self.path));
        file.content = FileContent::Bytes(Arc::clone(&after));
        let shown = if fresh { Value::Absent } else { put::show_bytes(before) };
        let change = Change::new(summary)
            .field("content", shown, put::show_bytes(&after))
            .action(action)
            .expect(Resource::here(Kind::Path, self.path), State::File(file));
        found.drift(self.path, change, false)
    }

    /// The verdict that something will be written once the file is there and can be read.
    pub fn later(&self, summary: String, missing: bool) -> Verdict {
        Verdict::Unknown {
            until: Resource::here(Kind::Path, self.path),
            then: Some(Change::new(summary).field("content", Value::Unknown, Value::AfterApply)),
            otherwise: if missing {
                format!("there is no file {}; with `create = true` this step makes it", self.path)
            } else {
                format!("what will be in {} is not known", self.path)
            },
        }
    }
}

/// Lines of a file, without their ends, and what ends them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines<'a> {
    /// The lines, without `\n` or `\r\n`.
    pub lines: Vec<&'a [u8]>,
    end: &'static [u8],
    ended: bool,
}

impl<'a> Lines<'a> {
    /// Takes a text apart. Where all of its lines end in `\r\n`, new ones do as well.
    pub fn new(text: &'a [u8]) -> Self {
        let ended = text.is_empty() || text.ends_with(b"\n");
        let mut lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
        let whole = lines.len() - 1;
        // Only where all lines have it; otherwise a `\r` is a part of its line, and stays.
        let windows = whole > 0 && lines[..whole].iter().all(|l| l.ends_with(b"\r"));
        if ended {
            lines.pop();
        }
        if windows {
            for line in &mut lines {
                *line = line.strip_suffix(b"\r").unwrap_or(line);
            }
        }
        Self { lines, end: if windows { b"\r\n" } else { b"\n" }, ended }
    }

    /// Puts the text together again. A line that is new gets a line end, be it the last one.
    pub fn join(&self, ended: bool) -> Vec<u8> {
        let mut text = self.lines.join(self.end);
        if !self.lines.is_empty() && (ended || self.ended) {
            text.extend(self.end);
        }
        text
    }

    /// The position of a new line: after the last that matches `after`, before the first that matches
    /// `before`, or the end. `Err` is the expression that matches nothing.
    pub fn place<'r>(&self, after: Option<&'r Regex>, before: Option<&'r Regex>) -> Result<usize, &'r Regex> {
        match (after, before) {
            (Some(after), _) => {
                self.lines.iter().rposition(|l| after.is_match(l)).map(|n| n + 1).ok_or(after)
            }
            (None, Some(before)) => self.lines.iter().position(|l| before.is_match(l)).ok_or(before),
            (None, None) => Ok(self.lines.len()),
        }
    }
}

/// The error that a line to stand beside is not there.
pub fn no_anchor(path: &str, wanted: &Regex) -> CheckError {
    CheckError::refused(
        format!("no line of {path} matches `{wanted}`, so there is no place to put it"),
        "correct `after` or `before`; without them it goes to the end".to_owned(),
    )
}

/// Reads a regular expression of the user.
pub fn regex(key: &str, text: Option<&str>, invalid: &mut Vec<Invalid>) -> Option<Regex> {
    let text = text?;
    match Regex::new(text) {
        Ok(regex) => Some(regex),
        Err(error) => {
            // The first lines of the error draw the expression; the last says what is wrong.
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            invalid.push(
                Invalid::new(key, format!("not a regular expression: {why}"))
                    .help("in TOML, write it in single quotes: '^#?Port\\b'"),
            );
            None
        }
    }
}
