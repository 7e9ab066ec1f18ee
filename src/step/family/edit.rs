//! A change within a text file: what `line` and `block` share.
//!
//! The content is read whole, changed here, and put back whole; so a plan shows the very difference, and what
//! earlier steps of the plan will write is edited in turn.

use std::sync::Arc;

use serde::Deserialize;

use super::attributes::Attributes;
use super::expression::Expression;
use super::path::{self, CONTENT_LIMIT, Depth, Found, Query};
use super::put::Put;
use super::text::{self, Lines, Spot};
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
    /// As in [`Put`].
    pub secret: bool,
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
                self.editable(&bytes)?;
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

    fn editable(&self, bytes: &[u8]) -> Result<(), CheckError> {
        let Some(obstacle) = text::obstacle(bytes) else { return Ok(()) };
        Err(CheckError::refused(
            format!("{} {obstacle}: such a file is not edited line by line", self.path),
            "convert it to UTF-8 with line feeds first, or send the whole of it with a `file` step"
                .to_owned(),
        ))
    }

    /// Refuses to look for `texts`, or to write them, in a file whose encoding is not known: only plain ASCII is the
    /// same in all that are left.
    pub fn plain<'t>(
        &self,
        bytes: &[u8],
        texts: impl IntoIterator<Item = &'t str>,
    ) -> Result<(), CheckError> {
        let mut letters = texts.into_iter().flat_map(str::chars);
        let Some(letter) = letters.find(|c| !c.is_ascii()) else { return Ok(()) };
        if std::str::from_utf8(bytes).is_ok() {
            return Ok(());
        }
        Err(CheckError::refused(
            format!("{} is not UTF-8, so it is not known how `{letter}` is written in it", self.path),
            "in a file of another encoding only plain ASCII can be edited; convert it to UTF-8 first"
                .to_owned(),
        ))
    }

    /// Refuses to go on where a line that is `meant` may be one of several that a carriage return ends.
    pub fn certain(&self, lines: &Lines<'_>, meant: impl Fn(&[u8]) -> bool) -> Result<(), CheckError> {
        let dubious =
            |line: &[u8]| line.contains(&b'\r') && (meant(line) || line.split(|b| *b == b'\r').any(&meant));
        let Some(n) = lines.texts().position(dubious) else { return Ok(()) };
        Err(CheckError::refused(
            format!(
                "line {} of {} has a carriage return in it, so it may be several lines; it was not touched",
                n + 1,
                self.path
            ),
            "put its line ends right by hand".to_owned(),
        ))
    }

    /// The verdict that the content has to become `after`.
    pub fn write(
        &self,
        summary: String,
        found: &Found,
        before: &Arc<[u8]>,
        after: Vec<u8>,
    ) -> Result<Verdict, CheckError> {
        // What would be left must be readable by the next run.
        self.editable(&after)?;
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
            secret: self.secret,
            made_from: Some(&found.file),
            ..Put::new(self.path, &after, &attributes)
        };
        let action = put.action(format!("write {}", self.path));
        file.content = FileContent::Bytes(Arc::clone(&after));
        let (old, odd) = text::readable(before);
        let shown = if fresh { Value::Absent } else { Value::Content(old) };
        let mut change = Change::new(summary)
            .field("content", shown, Value::Content(text::readable(&after).0))
            .action(action)
            .expect(Resource::here(Kind::Path, self.path), State::File(file));
        if odd > 0 {
            change = change.note("bytes that are not UTF-8 text are shown as \\xNN; they stay as they are");
        }
        Ok(found.drift(self.path, change, false))
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

/// Where a new line goes if no line matches the one it is to stand beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// Behind all lines.
    End,
    /// Before all lines.
    Start,
}

/// Where new lines go: the keys `after`, `before` and `otherwise`.
#[derive(Debug, Clone, Default)]
pub struct Anchor {
    after: Option<Expression>,
    before: Option<Expression>,
    otherwise: Option<Otherwise>,
}

impl Anchor {
    /// Reads the keys.
    pub fn read(
        after: Option<&str>,
        before: Option<&str>,
        otherwise: Option<Otherwise>,
        invalid: &mut Vec<Invalid>,
    ) -> Self {
        if after.is_some() && before.is_some() {
            invalid.push(Invalid::new("before", "`after` and `before` exclude each other"));
        }
        if otherwise.is_some() && after.is_none() && before.is_none() {
            invalid.push(
                Invalid::new("otherwise", "`otherwise` needs `after` or `before`").help(
                    "it says where a new line goes if none matches them; without them it goes to the end",
                ),
            );
        }
        Self {
            after: Expression::read("after", after, invalid),
            before: Expression::read("before", before, invalid),
            otherwise,
        }
    }

    /// The place of new lines: behind the last that matches `after`, before the first that matches `before`,
    /// or the end.
    pub fn spot(&self, path: &str, lines: &Lines<'_>) -> Result<Spot, CheckError> {
        let (wanted, spot) = match (&self.after, &self.before) {
            (Some(after), _) => {
                (after, lines.texts().rposition(|l| after.is_match(l)).map(|n| Spot::Behind(n + 1)))
            }
            (None, Some(before)) => {
                (before, lines.texts().position(|l| before.is_match(l)).map(Spot::Before))
            }
            (None, None) => return Ok(Spot::Behind(lines.len())),
        };
        match (spot, self.otherwise) {
            (Some(spot), _) => Ok(spot),
            (None, Some(Otherwise::End)) => Ok(Spot::Behind(lines.len())),
            (None, Some(Otherwise::Start)) => Ok(Spot::Before(0)),
            (None, None) => Err(CheckError::refused(
                format!("no line of {path} matches `{}`, so there is no place to put it", wanted.as_str()),
                "correct `after` or `before`; or set `otherwise = \"end\"`, then it goes to the end where no line matches"
                    .to_owned(),
            )),
        }
    }

    /// The texts of its expressions.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        [&self.after, &self.before].into_iter().flatten().map(Expression::as_str)
    }
}
