//! `fetch`: a file of a host is kept on the controller.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::family::path::{self, Depth, Query};
use super::family::put;
use super::{Action, Change, Context, Invalid, Inverse, Step, Then, Validate, Value, Verdict};
use crate::model::digest::sha256;
use crate::model::{FileContent, FileKind, Kind, Resource};
use crate::probe::{CheckError, Probe, Readings};

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: crate::program::Programs =
    &[super::family::path::PROGRAMS, super::family::put::SENDS];

/// A file that is fetched.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetch {
    path: String,
    dest: String,
    #[serde(default)]
    flat: bool,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    allow_remote: bool,
    /// Where it goes, and what is there when the step is read.
    #[serde(skip)]
    local: (PathBuf, Option<Arc<[u8]>>),
}

/// It is held in memory on its way.
const LIMIT: u64 = 64 << 20;

impl Validate for Fetch {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = path::normalise(&mut self.path, "path");
        if self.dest.is_empty() {
            invalid.push(Invalid::new("dest", "the destination is empty"));
        }
        if self.flat && self.dest.ends_with('/') {
            invalid.push(
                Invalid::new("dest", "with `flat = true` the destination is a file, not a folder")
                    .help("name the file, with the host in it: `dest = \"keys/{{ host.name }}.pub\"`"),
            );
        }
        // A part of it may be what a host has told (`{{ facts.hostname }}`).
        let parts: Vec<&str> = self.dest.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let up = parts.iter().take_while(|part| **part == "..").count();
        if self.dest.contains('\0') || parts[up..].contains(&"..") || (up > 0 && self.dest.starts_with('/')) {
            invalid.push(
                Invalid::new("dest", format!("{:?} has `..` behind its beginning", self.dest))
                    .help("write the path without it, so that it is plain where the copy goes"),
            );
        }
        let dest = if self.flat {
            self.dest.clone()
        } else {
            format!("{}/{}{}", self.dest.trim_end_matches('/'), context.host().name, self.path)
        };
        // A file that cannot be read will be written anew; if that fails as well, it is said then.
        let now = (context.read)(&dest).ok();
        self.local = ((context.locate)(&dest), now);
        invalid
    }
}

impl Step for Fetch {
    fn probes(&self) -> Vec<Probe> {
        vec![self.query().probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let found = self.query().read(readings)?;
        let path = &self.path;
        let (dest, local) = &self.local;
        let shown = dest.display();
        let before = local.as_ref().map_or(Value::Absent, |bytes| digest(&sha256(bytes), bytes.len() as u64));
        let change = |after| {
            // What was read on the controller before cannot tell whether it holds now: it is not asked again.
            let mut change =
                Change::new(format!("fetch {path} to {shown}")).field("local copy", before, after).action(
                    Action::new(format!("fetch {path}"), put::send(path, LIMIT))
                        .timeout(Duration::from_mins(30))
                        .then(Then::Save(dest.clone())),
                );
            change.always = true;
            change
        };
        match (&found.file.kind, &found.file.content) {
            (FileKind::File, content) if local.as_ref().is_some_and(|bytes| put::same(content, bytes)) => {
                Ok(Verdict::satisfied(format!("{shown} is the same")))
            }
            (FileKind::File, FileContent::Digest(_, size)) if *size > LIMIT => Err(CheckError::refused(
                format!("{path} is too large to be fetched: {size} bytes"),
                format!("up to {LIMIT} bytes are; use scp or rsync"),
            )),
            (FileKind::File, FileContent::Digest(sum, size)) => {
                Ok(Verdict::Drift(change(digest(sum, *size))))
            }
            (FileKind::File, FileContent::Bytes(bytes)) => {
                Ok(Verdict::Drift(change(digest(&sha256(bytes), bytes.len() as u64))))
            }
            (FileKind::Absent, _) if self.optional => Ok(Verdict::satisfied(format!("there is no {path}"))),
            (FileKind::Absent, _) | (FileKind::File, FileContent::Unread) => Ok(Verdict::Unknown {
                until: Resource::here(Kind::Path, path),
                then: Some(change(Value::AfterApply)),
                otherwise: format!("there is no file {path}"),
            }),
            (other, _) => {
                Err(CheckError::refused(format!("{path} is not a file but a {}", path::word(other)), None))
            }
        }
    }

    fn inverse(&self, _: &Change) -> Inverse {
        Inverse::none("the copy on the controller stays")
    }

    fn needs(&self) -> Vec<Resource> {
        self.query().needs()
    }
}

impl Fetch {
    fn query(&self) -> Query<'_> {
        Query {
            follow: true,
            allow_remote: self.allow_remote,
            ..Query::new(&self.path, Depth::Digest(LIMIT))
        }
    }
}

fn digest(sum: &str, size: u64) -> Value {
    Value::Binary { sha256: sum.to_owned(), size }
}
