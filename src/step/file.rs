//! `file`: a regular file with its content, mode and owner, or none.

use std::sync::Arc;

use serde::Deserialize;

use super::family::attributes::{self, Attributes};
use super::family::existence::Existence;
use super::family::path::{self, Depth, Found, Query};
use super::family::put::{self, Put, Remove};
use super::{Action, Change, Context, Field, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::digest::sha256;
use crate::model::{FileContent, FileKind, FileState, Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: crate::program::Programs =
    &[super::family::path::PROGRAMS, super::family::put::CONTENT, super::family::put::ATTRIBUTES];

/// A file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own in the playbook")]
pub struct File {
    path: String,
    content: Option<String>,
    source: Option<String>,
    template: Option<String>,
    mode: Option<String>,
    owner: Option<String>,
    group: Option<String>,
    #[serde(default)]
    state: Existence,
    backup: Option<bool>,
    #[serde(default)]
    in_place: bool,
    validate: Option<String>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    follow: bool,
    #[serde(default)]
    allow_remote: bool,
    #[serde(default = "yes")]
    diff: bool,
    /// All of the wanted content, wherever it came from; `None` leaves what is there.
    #[serde(skip)]
    bytes: Option<Arc<[u8]>>,
    /// A secret went into it.
    #[serde(skip)]
    holds_secret: bool,
}

fn yes() -> bool {
    true
}

impl Validate for File {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = path::normalise(&mut self.path, "path");
        invalid.extend(Attributes::validate(
            self.mode.as_deref(),
            self.owner.as_deref(),
            self.group.as_deref(),
        ));
        let sources = put::Sources {
            content: self.content.as_deref(),
            source: self.source.as_deref(),
            template: self.template.as_deref(),
        };
        if self.state == Existence::Absent {
            let attributes = [("mode", &self.mode), ("owner", &self.owner), ("group", &self.group)];
            let set = attributes.iter().filter(|(_, v)| v.is_some()).map(|(k, _)| *k);
            for key in sources.given().into_iter().chain(set) {
                invalid.push(Invalid::new(key, format!("`{key}` has no meaning with `state = \"absent\"`")));
            }
        }
        if let Some(command) = self.validate.as_deref().filter(|c| !c.contains("%s")) {
            invalid.push(
                Invalid::new("validate", format!("`%s` is missing in {command:?}"))
                    .help("it stands for the new file: `validate = \"visudo -cf %s\"`"),
            );
        }
        if self.force && self.follow {
            invalid.push(
                Invalid::new("force", "`force` and `follow` exclude each other")
                    .help("`force` replaces a symbolic link, `follow` writes what it points to"),
            );
        }
        let read = sources.read(context);
        match read {
            Ok(bytes) => self.bytes = bytes,
            Err(error) => invalid.push(error),
        }
        self.holds_secret = (context.holds_secret)();
        invalid
    }
}

impl Step for File {
    fn probes(&self) -> Vec<Probe> {
        vec![self.query().probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let found = self.query().read(readings)?;
        if self.state == Existence::Absent {
            return self.absent(&found);
        }
        match &found.file.kind {
            FileKind::File | FileKind::Absent => {}
            FileKind::Link(target) if found.vague || self.force => {
                return Ok(self.present(&found, Some(format!("symbolic link to {target}"))));
            }
            FileKind::Link(target) => {
                return Err(CheckError::refused(
                    format!("{} is a symbolic link to {target}", self.path),
                    "set `follow = true` to write what it points to, or `force = true` to replace the link"
                        .to_owned(),
                ));
            }
            FileKind::Other(what) if self.force && matches!(&**what, "fifo" | "socket") => {
                return Ok(self.present(&found, Some(what.clone())));
            }
            other => {
                return Err(CheckError::refused(
                    format!("{} is not a file but a {}", self.path, path::word(other)),
                    "move it away by hand: it may hold data".to_owned(),
                ));
            }
        }
        Ok(self.present(&found, None))
    }

    fn inverse(&self, change: &Change) -> Inverse {
        Inverse::files(change).and(attributes::inverse("file", &self.path, self.follow, change))
    }

    fn provides(&self) -> Vec<Resource> {
        if self.state == Existence::Absent {
            return Vec::new();
        }
        vec![Resource::here(Kind::Path, &self.path)]
    }

    fn needs(&self) -> Vec<Resource> {
        self.query().needs()
    }
}

impl File {
    fn query(&self) -> Query<'_> {
        let depth = match (&self.bytes, self.diff) {
            (None, _) => Depth::Attributes,
            (Some(bytes), true) => Depth::Differing(sha256(bytes), bytes.len() as u64),
            (Some(bytes), false) => Depth::Digest(bytes.len() as u64),
        };
        let depth = if self.state == Existence::Absent { Depth::Attributes } else { depth };
        Query {
            follow: self.follow && self.state == Existence::Present,
            allow_remote: self.allow_remote,
            owner: self.owner.as_deref(),
            group: self.group.as_deref(),
            ..Query::new(&self.path, depth)
        }
    }

    /// `in_the_way`: what is there instead of a file, and will be replaced.
    fn present(&self, found: &Found, in_the_way: Option<String>) -> Verdict {
        let now = &found.file;
        let wanted = Attributes::new(self.mode.as_deref(), self.owner.as_deref(), self.group.as_deref());
        let fresh = now.kind != FileKind::File;
        let mut after = if fresh { FileState::fresh(FileKind::File) } else { now.clone() };
        let mut fields = Vec::new();
        if let Some(what) = in_the_way {
            fields.push(Field { name: "state".into(), before: what.into(), after: "file".into() });
        }
        let empty: Arc<[u8]> = Arc::from(&b""[..]);
        let bytes = match &self.bytes {
            Some(bytes) if fresh || !put::same(&now.content, bytes) => Some(bytes),
            None if fresh => Some(&empty),
            _ => None,
        };
        if let Some(bytes) = bytes {
            let (before, shown) = if self.diff {
                (if fresh { Value::Absent } else { put::show(&now.content) }, put::show_bytes(bytes))
            } else {
                (if fresh { Value::Absent } else { Value::Masked }, Value::Masked)
            };
            fields.push(Field { name: "content".into(), before, after: shown });
        }
        fields.extend(wanted.difference(&mut after, fresh));
        if fields.is_empty() {
            let reason = match &now.content {
                // Of a short secret that would tell enough to guess it.
                FileContent::Digest(sum, size) if self.diff && !self.holds_secret => format!(
                    "{size} bytes, sha256 {}, {} {}:{}",
                    &sum[..12],
                    path::octal(now.mode),
                    now.owner,
                    now.group
                ),
                _ => format!("{} {}:{}", path::octal(now.mode), now.owner, now.group),
            };
            return Verdict::satisfied(reason);
        }
        let change = if let Some(bytes) = bytes {
            after.content = FileContent::Bytes(Arc::clone(bytes));
            let verb = if fresh { "make" } else { "change the content of" };
            let put = Put {
                mode: Some(after.mode),
                backup: self.backup.unwrap_or(true).into(),
                in_place: self.in_place,
                follow: self.follow,
                force: self.force,
                validate: self.validate.as_deref().map(|command| (command, command)),
                secret: !self.diff || self.holds_secret,
                ..Put::new(&self.path, bytes, &wanted)
            };
            let action = put.action(format!("write {}", self.path));
            Change::new(format!("{verb} {}", self.path)).action(action)
        } else {
            let action = wanted.action(&self.path, self.follow, &fields, &after);
            let summary = action.as_ref().map_or_else(String::new, |a| a.label.clone());
            Change::new(summary).actions(action)
        };
        let here = Resource::here(Kind::Path, &self.path);
        found.drift(&self.path, change.fields(fields).expect(here, State::File(after)), false)
    }

    fn absent(&self, found: &Found) -> Result<Verdict, CheckError> {
        let before = match &found.file.kind {
            FileKind::Absent => return Ok(Verdict::satisfied("not there")),
            FileKind::Directory => {
                return Err(CheckError::refused(
                    format!("{} is not a file but a directory", self.path),
                    "remove it with a `directory` step".to_owned(),
                ));
            }
            other => path::word(other).to_owned(),
        };
        let script = put::remove(&self.path, Remove::File(self.backup.unwrap_or(true).into()));
        Ok(Verdict::Drift(
            Change::new(format!("remove {}", self.path))
                .field("state", before, Value::Absent)
                .action(Action::new(format!("remove {}", self.path), script).tells())
                .expect(Resource::here(Kind::Path, &self.path), State::Absent),
        ))
    }
}
