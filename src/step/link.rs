//! `link`: a symbolic link, or none.

use serde::Deserialize;

use super::family::existence::Existence;
use super::family::path::{self, Depth, Query};
use super::family::put::{self, Remove};
use super::{Action, Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::{FileKind, FileState, Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: crate::program::Programs =
    &[super::family::path::PROGRAMS, super::family::put::LINKS];

/// A symbolic link.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    path: String,
    target: Option<String>,
    #[serde(default)]
    state: Existence,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    allow_remote: bool,
}

impl Validate for Link {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = path::normalise(&mut self.path, "path");
        match (self.state, self.target.as_deref()) {
            (Existence::Present, None) => invalid.push(Invalid::missing("target")),
            (Existence::Present, Some("")) => invalid.push(Invalid::new("target", "the target is empty")),
            (Existence::Present, Some(target)) if target == self.path => {
                invalid.push(Invalid::new("target", "the link would point to itself"));
            }
            _ => {}
        }
        invalid
    }
}

impl Step for Link {
    fn probes(&self) -> Vec<Probe> {
        vec![self.query().probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let found = self.query().read(readings)?;
        let path = &self.path;
        let here = Resource::here(Kind::Path, path);
        if self.state == Existence::Absent {
            return match &found.file.kind {
                FileKind::Absent => Ok(Verdict::satisfied("not there")),
                FileKind::Link(target) => Ok(Verdict::Drift(
                    Change::new(format!("remove the link {path}"))
                        .field("target", target.clone(), Value::Absent)
                        .action(
                            Action::new(format!("remove {path}"), put::remove(path, Remove::Link)).tells(),
                        )
                        .expect(here, State::Absent),
                )),
                other => Err(self.in_the_way(other)),
            };
        }
        let wanted = self.target.as_deref().unwrap_or_default();
        let (field, before) = match &found.file.kind {
            FileKind::Link(target) if target == wanted => {
                return Ok(Verdict::satisfied(format!("points to {target}")));
            }
            FileKind::Link(target) => ("target", Value::Text(target.clone())),
            FileKind::Absent => ("target", Value::Absent),
            FileKind::File if self.force => ("state", Value::Text("file".into())),
            other => return Err(self.in_the_way(other)),
        };
        let after = if field == "state" { format!("link to {wanted}") } else { wanted.to_owned() };
        let script = put::link(path, wanted, field == "state");
        let file = FileState::fresh(FileKind::Link(wanted.to_owned()));
        let change = Change::new(format!("link {path} to {wanted}"))
            .field(field, before, after)
            .action(Action::new(format!("link {path}"), script).tells())
            .expect(here, State::File(file));
        Ok(found.drift(path, change, false))
    }

    fn inverse(&self, change: &Change) -> Inverse {
        Inverse::files(change)
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

impl Link {
    fn query(&self) -> Query<'_> {
        Query { allow_remote: self.allow_remote, ..Query::new(&self.path, Depth::Attributes) }
    }

    fn in_the_way(&self, kind: &FileKind) -> CheckError {
        let hint = match (kind, self.state) {
            (FileKind::File, Existence::Present) => {
                "set `force = true` to replace it; it is kept as a backup"
            }
            (FileKind::File, Existence::Absent) => "remove it with a `file` step",
            _ => "move it away by hand: it may hold data",
        };
        CheckError::refused(
            format!("{} is not a symbolic link but a {}", self.path, path::word(kind)),
            hint.to_owned(),
        )
    }
}
