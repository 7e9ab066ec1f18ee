//! `directory`: a directory with its mode and owner, or none.

use serde::Deserialize;

use super::family::attributes::{self, Attributes};
use super::family::existence::Existence;
use super::family::path::{self, Depth, Found, Query};
use super::family::put::{self, Remove};
use super::{Action, Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::{FileKind, FileState, Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: crate::program::Programs =
    &[super::family::path::PROGRAMS, super::family::put::DIRECTORIES, super::family::put::ATTRIBUTES];

/// A directory.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    path: String,
    mode: Option<String>,
    owner: Option<String>,
    group: Option<String>,
    #[serde(default)]
    state: Existence,
    #[serde(default)]
    purge: bool,
    #[serde(default)]
    follow: bool,
    #[serde(default)]
    allow_remote: bool,
}

/// A system cannot do without these; `purge` on one is a slip of the hand.
const KEEP: [&str; 21] = [
    "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/media", "/mnt", "/opt", "/proc",
    "/root", "/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/var", "/var/lib",
];

impl Validate for Directory {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = path::normalise(&mut self.path, "path");
        invalid.extend(Attributes::validate(
            self.mode.as_deref(),
            self.owner.as_deref(),
            self.group.as_deref(),
        ));
        if self.state == Existence::Absent {
            if KEEP.contains(&self.path.as_str()) {
                invalid.push(Invalid::new("path", format!("{} belongs to the system", self.path)));
            }
            for (key, set) in [
                ("mode", self.mode.is_some()),
                ("owner", self.owner.is_some()),
                ("group", self.group.is_some()),
            ] {
                if set {
                    invalid
                        .push(Invalid::new(key, format!("`{key}` has no meaning with `state = \"absent\"`")));
                }
            }
        } else if self.purge {
            invalid.push(
                Invalid::new("purge", "`purge` goes with `state = \"absent\"` alone")
                    .help("to empty a directory, remove it in one step and make it in the next"),
            );
        }
        invalid
    }
}

impl Step for Directory {
    fn probes(&self) -> Vec<Probe> {
        vec![self.query().probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let found = self.query().read(readings)?;
        match (self.state, &found.file.kind) {
            (Existence::Absent, FileKind::Absent) => Ok(Verdict::satisfied("not there")),
            (Existence::Absent, FileKind::Directory) => self.remove(&found, readings),
            (_, FileKind::Absent | FileKind::Directory) => Ok(self.present(&found)),
            (_, other) => Err(CheckError::refused(
                format!("{} is not a directory but a {}", self.path, path::word(other)),
                match other {
                    FileKind::Link(target) => {
                        format!("it points to {target}: set `follow = true` if that is meant")
                    }
                    _ => "move it away by hand: it may hold data".to_owned(),
                },
            )),
        }
    }

    fn inverse(&self, change: &Change) -> Inverse {
        if self.purge {
            return Inverse::none(format!("what was in {} is lost", self.path));
        }
        if self.state == Existence::Absent {
            return Inverse::of("directory", [("path", self.path.as_str().into())])
                .stays(format!("mode and owner of {} were not kept", self.path));
        }
        if change.was_absent("state") {
            return Inverse::removal("directory", "path", &self.path);
        }
        attributes::inverse("directory", &self.path, self.follow, change)
    }

    fn provides(&self) -> Vec<Resource> {
        if self.state == Existence::Absent {
            return Vec::new();
        }
        let parents = path::parents(&self.path).filter(|p| *p != "/");
        std::iter::once(&*self.path).chain(parents).map(|p| Resource::here(Kind::Path, p)).collect()
    }

    fn needs(&self) -> Vec<Resource> {
        self.query().needs()
    }
}

impl Directory {
    fn query(&self) -> Query<'_> {
        let depth = match (self.state, self.purge) {
            (Existence::Absent, false) => Depth::Entries,
            _ => Depth::Attributes,
        };
        Query {
            follow: self.follow,
            allow_remote: self.allow_remote,
            owner: self.owner.as_deref(),
            group: self.group.as_deref(),
            ..Query::new(&self.path, depth)
        }
    }

    fn present(&self, found: &Found) -> Verdict {
        let now = &found.file;
        let here = Resource::here(Kind::Path, &self.path);
        let wanted = Attributes::new(self.mode.as_deref(), self.owner.as_deref(), self.group.as_deref());
        if now.kind == FileKind::Directory {
            let mut after = now.clone();
            let fields = wanted.difference(&mut after, false);
            if fields.is_empty() {
                let reason = format!("{} {}:{}", path::octal(now.mode), now.owner, now.group);
                return Verdict::satisfied(reason);
            }
            let action = wanted.action(&self.path, self.follow, &fields, &after);
            let change = Change::new(action.as_ref().map_or_else(String::new, |a| a.label.clone()))
                .fields(fields)
                .actions(action)
                .expect(here, State::File(after));
            return found.drift(&self.path, change, true);
        }
        let mut after = FileState::fresh(FileKind::Directory);
        let fields = wanted.difference(&mut after, true);
        let make = put::directory(&self.path, self.follow, &wanted, Some(after.mode));
        let mut change = Change::new(format!("make {}", self.path))
            .field("state", Value::Absent, "present")
            .action(Action::new(format!("make {}", self.path), make).tells())
            .fields(fields);
        for parent in found.missing_parents.iter().rev() {
            let folder = State::File(FileState::fresh(FileKind::Directory));
            change = change.expect(Resource::here(Kind::Path, parent), folder);
        }
        found.drift(&self.path, change.expect(here, State::File(after)), true)
    }

    fn remove(&self, found: &Found, readings: &Readings) -> Result<Verdict, CheckError> {
        let path = &self.path;
        let stays = |name: &&String| {
            let inside = Resource::here(Kind::Path, &format!("{path}/{name}"));
            readings.peek_expected(&inside).is_none_or(|_| readings.expected(&inside) != Some(&State::Absent))
        };
        let left: Vec<&String> = found.entries.iter().filter(stays).collect();
        if let Some(first) = left.first() {
            let more = if left.len() > 1 { format!(" and {} more", left.len() - 1) } else { String::new() };
            return Err(CheckError::refused(
                format!("{path} is not empty: it holds {first}{more}"),
                "remove that first, or set `purge = true` to remove it with all its content".to_owned(),
            ));
        }
        let (summary, what) = if self.purge {
            ("remove with all its content", Remove::All)
        } else {
            ("remove (it is empty)", Remove::Empty)
        };
        let script = put::remove(path, what);
        Ok(Verdict::Drift(
            Change::new(format!("{summary}: {path}"))
                .field("state", "present", Value::Absent)
                .action(Action::new(format!("remove {path}"), script).tells())
                .expect(Resource::here(Kind::Path, path), State::Absent),
        ))
    }
}
