//! A change within a text file: what `line` and `block` share.
//!
//! The content is read whole, changed here, and put back whole; so a plan shows the very difference, and what
//! earlier steps of the plan will write is edited in turn.

use std::sync::Arc;

use serde::Deserialize;

use super::attributes::Attributes;
use super::expression::Expression;
use super::path::{self, CONTENT_LIMIT, Depth, Found, Query};
use super::put::{self, Put};
use super::text::{self, Lines, Spot};
use crate::model::{FileContent, FileKind, FileState, Kind, Resource, State};
use crate::probe::{CheckError, Readings};
use crate::program::Programs;
use crate::step::{Change, Invalid, Value, Verdict};

/// What runs on hosts for the kinds that edit a file.
pub(in crate::step) const PROGRAMS: Programs = &[path::PROGRAMS, put::CONTENT, put::ATTRIBUTES];

/// A kind that edits a text file: what is its own.
pub trait Edits {
    /// What is put into the file: `a line`.
    const WHAT: &'static str;

    /// The verdict on what is in the file.
    fn verdict(&self, edit: &Edit<'_>, found: &Found, text: &Arc<[u8]>) -> Result<Verdict, CheckError>;
}

/// Makes the type of a kind that edits a file, of its own keys and those that all of these kinds have. A macro, for what
/// serde flattens loses its place in the playbook.
macro_rules! edits {
    ($(#[$meta:meta])* pub struct $type:ident { $($(#[$own:meta])* $key:ident: $sort:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $type {
            path: String,
            $($(#[$own])* $key: $sort,)+
            after: Option<String>,
            before: Option<String>,
            otherwise: Option<$crate::step::family::edit::Otherwise>,
            #[serde(default)]
            state: $crate::step::family::existence::Existence,
            #[serde(default)]
            create: bool,
            #[serde(default = "crate::step::family::edit::yes")]
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
            anchor: $crate::step::family::edit::Anchor,
        }

        impl $type {
            /// Returns the mistakes in the keys that all of these kinds have.
            fn mistakes(&mut self, context: &$crate::step::Context<'_>) -> Vec<$crate::step::Invalid> {
                use $crate::step::family::{edit, path};
                self.holds_secret = (context.holds_secret)();
                let mut invalid = path::normalise(&mut self.path, "path");
                invalid.extend(edit::check_validate(self.validate.as_deref()));
                let (after, before) = (self.after.as_deref(), self.before.as_deref());
                self.anchor = edit::Anchor::read(after, before, self.otherwise, &mut invalid);
                invalid
            }

            fn edit(&self) -> $crate::step::family::edit::Edit<'_> {
                let absent = self.state == $crate::step::family::existence::Existence::Absent;
                $crate::step::family::edit::Edit {
                    path: &self.path,
                    absent,
                    create: self.create && !absent,
                    backup: self.backup,
                    in_place: self.in_place,
                    follow: self.follow,
                    allow_remote: self.allow_remote,
                    validate: self.validate.as_deref(),
                    secret: self.holds_secret,
                }
            }
        }

        impl $crate::step::Step for $type {
            fn probes(&self) -> Vec<$crate::probe::Probe> {
                vec![self.edit().query().probe()]
            }

            fn check(
                &self,
                readings: &$crate::probe::Readings,
            ) -> Result<$crate::step::Verdict, $crate::probe::CheckError> {
                self.edit().check(self, readings)
            }

            fn inverse(&self, change: &$crate::step::Change) -> $crate::step::Inverse {
                $crate::step::Inverse::files(change)
            }

            fn provides(&self) -> Vec<$crate::model::Resource> {
                self.edit().provides()
            }

            fn needs(&self) -> Vec<$crate::model::Resource> {
                self.edit().query().needs()
            }
        }
    };
}
pub(in crate::step) use edits;

/// What `backup` is where nothing is said.
pub(in crate::step) fn yes() -> bool {
    true
}

/// Returns the mistake in `validate`, if there is one.
pub(in crate::step) fn check_validate(command: Option<&str>) -> Option<Invalid> {
    let command = command.filter(|c| !c.contains("%s"))?;
    Some(
        Invalid::new("validate", format!("`%s` is missing in {command:?}"))
            .help("it stands for the new file: `validate = \"sshd -t -f %s\"`"),
    )
}

/// The file that is edited, and how.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own in the playbook")]
pub struct Edit<'a> {
    /// Absolute path.
    pub path: &'a str,
    /// Something is to be taken out of it.
    pub absent: bool,
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
enum Text {
    /// This; empty if the file is still to be made.
    Known(Box<Found>, Arc<[u8]>),
    /// There is no file, and the step must not make one.
    Missing,
    /// An earlier planned step puts something there, and it is not known what.
    Vague,
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

    /// The verdict of a kind on the file.
    pub fn check<T: Edits>(&self, kind: &T, readings: &Readings) -> Result<Verdict, CheckError> {
        match self.read(readings)? {
            Text::Known(found, text) => kind.verdict(self, &found, &text),
            Text::Missing if self.absent => Ok(Verdict::satisfied("there is no such file")),
            Text::Missing => Ok(self.later(self.summary(T::WHAT), true)),
            Text::Vague => Ok(self.later(self.summary(T::WHAT), false)),
        }
    }

    /// What is done, in words.
    pub fn summary(&self, what: &str) -> String {
        let (verb, into) = if self.absent { ("remove", "from") } else { ("put", "into") };
        format!("{verb} {what} {into} {}", self.path)
    }

    /// The file, unless something is to be taken out of it.
    pub fn provides(&self) -> Vec<Resource> {
        if self.absent { Vec::new() } else { vec![Resource::here(Kind::Path, self.path)] }
    }

    /// Reads the content.
    fn read(&self, readings: &Readings) -> Result<Text, CheckError> {
        let found = self.query().read(readings)?;
        if found.vague {
            return Ok(Text::Vague);
        }
        match (&found.file.kind, &found.file.content) {
            (FileKind::Absent, _) if self.create => Ok(Text::Known(Box::new(found), Arc::from(&b""[..]))),
            (FileKind::Absent, _) => Ok(Text::Missing),
            (FileKind::File, FileContent::Bytes(bytes)) => {
                let bytes = Arc::clone(bytes);
                self.editable(&bytes)?;
                Ok(Text::Known(Box::new(found), bytes))
            }
            (FileKind::File, FileContent::Digest(_, size)) => Err(CheckError::refused(
                format!("{} is too large to be edited: {size} bytes", self.path),
                format!("files up to {CONTENT_LIMIT} bytes are; send a whole one with a `file` step"),
            )),
            (FileKind::File, FileContent::Unread) => Ok(Text::Vague),
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
    fn later(&self, summary: String, missing: bool) -> Verdict {
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
