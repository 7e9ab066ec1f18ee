//! `directory`: a directory with its mode and owner, or none.

use serde::Deserialize;

use super::family::path::{self, Depth};
use super::{Action, Change, Context, Invalid, Step, Validate, Verdict};
use crate::model::{FileContent, FileKind, FileState, Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::sh;

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
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Existence {
    #[default]
    Present,
    Absent,
}

impl Validate for Directory {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        if !self.path.starts_with('/') {
            invalid.push(Invalid::new("path", format!("{:?} is not an absolute path", self.path)));
        }
        if self.path.len() > 1 {
            self.path.truncate(self.path.trim_end_matches('/').len().max(1));
        }
        if let Some(mode) = &self.mode
            && path::parse_mode(mode).is_none()
        {
            invalid.push(
                Invalid::new("mode", format!("{mode:?} is not a mode")).help("write it in octal: \"0755\""),
            );
        }
        invalid
    }
}

impl Step for Directory {
    fn probes(&self) -> Vec<Probe> {
        vec![path::probe(&self.path, Depth::Attributes)]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let now = path::read(readings, &self.path, Depth::Attributes)?;
        let here = Resource::here(Kind::Path, &self.path);
        match (self.state, &now.kind) {
            (Existence::Absent, FileKind::Absent) => Ok(Verdict::satisfied("not there")),
            (Existence::Absent, FileKind::Directory) => {
                let script =
                    if self.purge { sh!("rm -rf -- {}", self.path) } else { sh!("rmdir -- {}", self.path) };
                let summary =
                    if self.purge { "remove with all its content" } else { "remove (must be empty)" };
                Ok(Verdict::Drift(
                    Change::new(format!("{summary}: {}", self.path))
                        .field("state", "present", super::Value::Absent)
                        .action(Action::new(format!("remove {}", self.path), script))
                        .expect(here, State::Absent),
                ))
            }
            (_, FileKind::Absent | FileKind::Directory) => Ok(self.present(&now, here)),
            (_, other) => Err(CheckError::refused(
                format!("{} is not a directory but a {}", self.path, word(other)),
                "move it away by hand: it may hold data".to_owned(),
            )),
        }
    }

    fn provides(&self) -> Vec<Resource> {
        vec![Resource::here(Kind::Path, &self.path)]
    }

    fn needs(&self) -> Vec<Resource> {
        let user = self.owner.iter().map(|name| Resource::here(Kind::User, name));
        let group = self.group.iter().map(|name| Resource::here(Kind::Group, name));
        user.chain(group).collect()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl Directory {
    fn present(&self, now: &FileState, here: Resource) -> Verdict {
        let mut change = Change::new(format!("set mode and owner of {}", self.path));
        let mut after = now.clone();
        if now.kind == FileKind::Absent {
            change = Change::new(format!("make {}", self.path))
                .field("state", super::Value::Absent, "present")
                .action(Action::new(format!("make {}", self.path), sh!("mkdir -p -- {}", self.path)));
            after = FileState {
                kind: FileKind::Directory,
                mode: 0o755,
                owner: "root".into(),
                group: "root".into(),
                content: FileContent::Unread,
            };
        }
        let fresh = now.kind == FileKind::Absent;
        if let Some(mode) = self.mode.as_deref().and_then(path::parse_mode)
            && (fresh || now.mode != mode)
        {
            let before = if fresh { super::Value::Absent } else { format!("{:04o}", now.mode).into() };
            let text = format!("{mode:04o}");
            change = change
                .field("mode", before, text.clone())
                .action(Action::new("set its mode", sh!("chmod -- {} {}", text, self.path)));
            after.mode = mode;
        }
        for (name, wanted, actual) in
            [("owner", &self.owner, &mut after.owner), ("group", &self.group, &mut after.group)]
        {
            let Some(wanted) = wanted else { continue };
            if !fresh && actual == wanted {
                continue;
            }
            let before = if fresh { super::Value::Absent } else { actual.clone().into() };
            let spec = if name == "owner" { wanted.clone() } else { format!(":{wanted}") };
            change = change
                .field(name, before, wanted.clone())
                .action(Action::new(format!("set its {name}"), sh!("chown -- {} {}", spec, self.path)));
            actual.clone_from(wanted);
        }
        if change.fields.is_empty() {
            return Verdict::satisfied(format!("{:04o} {}:{}", now.mode, now.owner, now.group));
        }
        Verdict::Drift(change.expect(here, State::File(after)))
    }
}

fn word(kind: &FileKind) -> &str {
    match kind {
        FileKind::Absent => "missing path",
        FileKind::File => "file",
        FileKind::Directory => "directory",
        FileKind::Link(_) => "symbolic link",
        FileKind::Other(words) => words,
    }
}
