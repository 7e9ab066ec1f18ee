//! `restore`: a path is what it was before a run.

use base64::Engine as _;
use serde::Deserialize;

use super::family::path;
use super::family::put::{self, Backup, PUT};
use super::{Action, Change, Context, Field, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::{FileKind, FileState, Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::{Library, Programs};

/// Reads what a run has kept; see there.
static KEPT: Library = Library::new("restore/kept.sh", include_str!("restore/kept.sh"), &[&PUT]);

program! {
    /// Asks what a run has kept of a path.
    AskKept in "restore/ask_kept.sh" uses [KEPT] { path: Word, follow: Flag, run: Word, name: Word, limit: Number }
}
program! {
    /// Makes of a path what it was.
    pub(in crate::step) RestorePath in "restore/restore_path.sh" uses [KEPT] {
        path: Word, follow: Flag, temporary: Word, run: Word, name: Word, target: Word, in_place: Flag, backup: Word
    }
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs = &[&[AskKept::program, RestorePath::program]];

/// Content of up to so many bytes is shown.
const LIMIT: u64 = 64 << 10;

/// A path, and a run that has changed it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    path: String,
    run: String,
    #[serde(default)]
    follow: bool,
    #[serde(default)]
    in_place: bool,
}

/// What the host says.
#[derive(Debug, Default)]
struct Found {
    /// As the manifest has it.
    before: String,
    now: String,
    stands: String,
    /// Mode, owner and group.
    file: Option<[String; 3]>,
    kept: Option<[String; 3]>,
    old: Option<Vec<u8>>,
    new: Option<Vec<u8>>,
}

/// What a host knows of a path in a run.
enum Known {
    /// It knows nothing of the run.
    Nothing,
    /// The run has not touched it.
    Untouched,
    /// This.
    Of(Box<Found>),
}

impl Validate for Restore {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = path::normalise(&mut self.path, "path");
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if self.run.is_empty() || self.run.starts_with('.') || !self.run.chars().all(plain) {
            invalid.push(
                Invalid::new("run", format!("{:?} is no id of a run", self.run))
                    .help("`hostwright history --format json` has them whole"),
            );
        }
        invalid
    }
}

impl Step for Restore {
    fn probes(&self) -> Vec<Probe> {
        vec![self.probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let Self { path, run, .. } = self;
        let here = Resource::here(Kind::Path, path);
        let found = match self.read(readings)? {
            Known::Of(found) => found,
            Known::Untouched => {
                return Ok(Verdict::satisfied(format!("run {run} has not changed it")));
            }
            Known::Nothing => {
                return Err(CheckError::refused(
                    format!("this host knows nothing of run {run}, nor what {path} was before it"),
                    "backups go after 90 days, or 50 runs".to_owned(),
                ));
            }
        };
        let (kind, file) = self.wanted(&found)?;
        match found.stands.as_str() {
            "back" => return Ok(Verdict::satisfied(format!("as before run {run}"))),
            "ours" => {}
            _ => {
                return Err(CheckError::refused(
                    format!(
                        "{path} has been changed since run {run}: it is neither as before nor as the run left it"
                    ),
                    format!(
                        "look at both; what was before is in the folder backups/{run} as {}",
                        self.name()
                    ),
                ));
            }
        }
        let restore = RestorePath {
            path,
            follow: self.follow,
            temporary: &put::temporary(path),
            run,
            name: &self.name(),
            target: if let FileKind::Link(target) = &kind { target } else { "" },
            in_place: self.in_place,
            backup: Backup::Run.word(),
        };
        let label = format!("put back {path}");
        let change = Change::new(match kind {
            FileKind::Absent => format!("remove {path}, which run {run} has made"),
            _ => format!("make {path} what it was before run {run}"),
        })
        .fields(fields(&found))
        .action(Action::new(label, restore.script()).tells());
        Ok(Verdict::Drift(
            change.expect(here, if kind == FileKind::Absent { State::Absent } else { State::File(file) }),
        ))
    }

    fn inverse(&self, change: &Change) -> Inverse {
        Inverse::files(change)
    }

    fn provides(&self) -> Vec<Resource> {
        Vec::new()
    }

    fn needs(&self) -> Vec<Resource> {
        vec![Resource::here(Kind::Path, &self.path)]
    }
}

impl Restore {
    /// How folders of runs call the path.
    fn name(&self) -> String {
        put::temporary(&self.path).trim_start_matches(".hw-").to_owned()
    }

    fn probe(&self) -> Probe {
        let Self { path, follow, run, .. } = self;
        Probe::new(AskKept { path, follow: *follow, run, name: &self.name(), limit: Some(LIMIT) }.script())
    }

    fn read(&self, readings: &Readings) -> Result<Known, CheckError> {
        let probe = self.probe();
        let answer = readings.of(&probe)?;
        let unreadable =
            || CheckError::unreadable(&probe, answer, "expected what a run has kept of the path");
        if !answer.ok() {
            return Err(unreadable());
        }
        let decode = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).ok();
        let three = |text: &str| -> Option<[String; 3]> {
            text.split(' ').map(str::to_owned).collect::<Vec<_>>().try_into().ok()
        };
        let mut found = Found::default();
        for line in answer.text().lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "none" => return Ok(Known::Nothing),
                "untouched" => return Ok(Known::Untouched),
                "before" => rest.clone_into(&mut found.before),
                "now" => rest.clone_into(&mut found.now),
                "stands" => rest.clone_into(&mut found.stands),
                "file" => found.file = Some(three(rest).ok_or_else(unreadable)?),
                "kept" => found.kept = Some(three(rest).ok_or_else(unreadable)?),
                "old" => found.old = Some(decode(rest).ok_or_else(unreadable)?),
                "new" => found.new = Some(decode(rest).ok_or_else(unreadable)?),
                _ => return Err(unreadable()),
            }
        }
        if !matches!(found.stands.as_str(), "back" | "ours" | "changed") || found.before.is_empty() {
            return Err(unreadable());
        }
        Ok(Known::Of(Box::new(found)))
    }

    /// What the path is to be.
    fn wanted(&self, found: &Found) -> Result<(FileKind, FileState), CheckError> {
        let refused = |why: String| CheckError::refused(why, "make it again by hand".to_owned());
        let path = &self.path;
        if found.before == "absent" {
            return Ok((FileKind::Absent, FileState::absent()));
        }
        if let Some(target) = found.before.strip_prefix("link ") {
            let kind = FileKind::Link(unescape(target));
            return Ok((kind.clone(), FileState::fresh(kind)));
        }
        let Some(mode) =
            found.before.strip_prefix("file ").and_then(|mode| u32::from_str_radix(mode, 8).ok())
        else {
            return Err(refused(format!("{path} was neither a file nor a link before run {}", self.run)));
        };
        let Some([_, owner, group]) = &found.kept else {
            return Err(refused(format!("the backup of {path} is gone from the folder of run {}", self.run)));
        };
        let file = FileState {
            mode,
            owner: owner.clone(),
            group: group.clone(),
            ..FileState::fresh(FileKind::File)
        };
        Ok((FileKind::File, file))
    }
}

/// What differs.
fn fields(found: &Found) -> Vec<Field> {
    let field = |name: &str, before: Value, after: Value| Field { name: name.into(), before, after };
    let word = |state: &str| match state.split(' ').next() {
        Some("absent") => Value::Absent,
        Some("link") => Value::Text(format!("link to {}", unescape(state.trim_start_matches("link ")))),
        Some("file") => Value::Text("file".into()),
        _ => Value::Text(state.to_owned()),
    };
    let is_file = |state: &str| state.split(' ').next() == Some("file");
    let mut fields = Vec::new();
    if !(is_file(&found.now) && is_file(&found.before)) {
        fields.push(field("state", word(&found.now), word(&found.before)));
    }
    let content = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(put::show_bytes);
    let (new, old) = (content(&found.new), content(&found.old));
    match (is_file(&found.now), is_file(&found.before)) {
        (true, true) if new != old || new.is_none() => fields.push(field(
            "content",
            new.unwrap_or_else(|| "as the run left it".into()),
            old.unwrap_or_else(|| "as before".into()),
        )),
        (true, false) => fields.extend(new.map(|new| field("content", new, Value::Absent))),
        (false, true) => fields.extend(old.map(|old| field("content", Value::Absent, old))),
        _ => {}
    }
    if let (Some(file), Some(kept)) = (&found.file, &found.kept) {
        let before = found.before.strip_prefix("file ").unwrap_or_default();
        let four = |mode: &str| format!("{mode:0>4}");
        let pairs = [
            ("mode", four(&file[0]), four(before)),
            ("owner", file[1].clone(), kept[1].clone()),
            ("group", file[2].clone(), kept[2].clone()),
        ];
        fields.extend(
            pairs
                .into_iter()
                .filter(|(_, now, then)| now != then)
                .map(|(name, now, then)| field(name, now.into(), then.into())),
        );
    }
    fields
}

/// A text as manifests have it: backslash, tab and line break are `\\`, `\t` and `\n`.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, rest.clone().next()) {
            ('\\', Some('\\' | 't' | 'n')) => {
                out.push(match rest.next() {
                    Some('t') => '\t',
                    Some('n') => '\n',
                    _ => '\\',
                });
            }
            _ => out.push(c),
        }
    }
    out
}
