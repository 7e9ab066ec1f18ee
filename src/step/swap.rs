//! `swap`: a file that the kernel swaps to.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::family::attributes::{self, Attributes};
use super::family::existence::Existence;
use super::family::path::{self, CONTENT_LIMIT, Depth, FAR, Query, SHARED_NETWORK};
use super::family::put::{self, Backup, PUT, Put, Remove, WAY};
use super::family::text::{Lines, Spot};
use super::family::{RUN, ssh_folder, systemd};
use super::{Action, Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::{FileContent, FileKind, FileState, Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::Programs;

program! {
    /// Asks how it stands with a swap file.
    AskSwap in "swap/ask_swap.sh" uses [FAR, WAY] { path: Word }
}
program! {
    /// Makes a swap file.
    MakeSwap in "swap/make_swap.sh" uses [PUT, RUN] { path: Word, temporary: Word, size: Number, used: Flag }
}
program! {
    /// Uses it.
    UseSwap in "swap/use_swap.sh" uses [RUN] { path: Word, priority: Word, again: Flag }
}
program! {
    /// Uses it no longer.
    EndSwap in "swap/end_swap.sh" uses [RUN] { path: Word }
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs = &[
    &[AskSwap::program, MakeSwap::program, UseSwap::program, EndSwap::program],
    path::PROGRAMS,
    put::CONTENT,
    put::ATTRIBUTES,
    systemd::PROGRAMS,
];

const FSTAB: &str = "/etc/fstab";

/// Zeros for some GB are written, or what is swapped out goes back into memory.
const TIMEOUT: Duration = Duration::from_mins(30);

/// A swap file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Swap {
    path: String,
    size: Option<String>,
    priority: Option<i32>,
    #[serde(default)]
    state: Existence,
    /// `size` in bytes.
    #[serde(skip)]
    bytes: u64,
}

impl Validate for Swap {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = path::normalise(&mut self.path, "path");
        // fstab(5) and /proc/swaps would want them escaped, and systemd makes a unit's name of it.
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        if invalid.is_empty() && (self.path == "/" || !self.path.chars().all(plain)) {
            invalid.push(
                Invalid::new("path", format!("{:?} is no path for a swap file", self.path))
                    .help("letters, digits, `.`, `_` and `-`: \"/swapfile\""),
            );
        }
        match (self.size.as_deref().map(bytes), self.state) {
            (None, Existence::Present) => invalid.push(Invalid::missing("size")),
            (Some(_), Existence::Absent) => {
                invalid.push(Invalid::new("size", "`size` has no meaning with `state = \"absent\"`"));
            }
            (Some(None), _) => invalid.push(
                Invalid::new(
                    "size",
                    format!("{:?} is not the size of a swap file", self.size.as_deref().unwrap_or_default()),
                )
                .help("a whole number with M, G or T, 1M at least: \"2G\" is 2 * 1024 MB"),
            ),
            (Some(Some(bytes)), _) => self.bytes = bytes,
            (None, Existence::Absent) => {}
        }
        match (self.priority, self.state) {
            (Some(_), Existence::Absent) => {
                invalid.push(Invalid::new("priority", "`priority` has no meaning with `state = \"absent\"`"));
            }
            (Some(priority), _) if !(0..=32767).contains(&priority) => {
                invalid.push(Invalid::new("priority", "a priority is a number from 0 to 32767 (swapon(2))"));
            }
            _ => {}
        }
        invalid
    }
}

/// `512M`, `2G`, `1T`, with `iB` or `B` behind it or not.
fn bytes(text: &str) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    let unit: u64 = match unit.trim_start() {
        "M" | "MB" | "MiB" => 1 << 20,
        "G" | "GB" | "GiB" => 1 << 30,
        "T" | "TB" | "TiB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit).filter(|bytes| *bytes > 0 && *bytes < 1 << 50)
}

/// A size for people.
fn words(bytes: u64) -> String {
    match bytes {
        b if b % (1 << 30) == 0 => format!("{}G", b >> 30),
        b if b % (1 << 20) == 0 => format!("{}M", b >> 20),
        b => format!("{b} bytes"),
    }
}

/// How it stands with the file.
#[derive(Debug, Default)]
struct Now {
    /// Its priority, if the kernel swaps to it.
    used: Option<i32>,
    /// The file system that it is on.
    fs: String,
    /// Whether it has the mark of swap space, if it is there.
    signed: Option<bool>,
}

impl Step for Swap {
    fn probes(&self) -> Vec<Probe> {
        vec![self.query().probe(), self.probe(), path::probe(FSTAB, Depth::Content(CONTENT_LIMIT))]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let found = self.query().read(readings)?;
        let mut now = self.now(readings)?;
        let here = Resource::here(Kind::Path, &self.path);
        let file = &found.file;
        match &file.kind {
            FileKind::Absent => now.signed = None,
            FileKind::File if now.signed == Some(false) && now.used.is_none() => {
                return Err(CheckError::refused(
                    format!("{} is there, and is no swap file", self.path),
                    "give another `path`, or remove that file by hand: it may hold data".to_owned(),
                ));
            }
            FileKind::File => {}
            other => {
                return Err(CheckError::refused(
                    format!("{} is not a file but a {}", self.path, path::word(other)),
                    "this kind is for swap files; a partition is swapped to by a line of /etc/fstab"
                        .to_owned(),
                ));
            }
        }
        let fstab = Query::new(FSTAB, Depth::Content(CONTENT_LIMIT)).read(readings)?;
        let text = ssh_folder::content(FSTAB, &fstab)?;
        let after: Arc<[u8]> = self.fstab(&text).into();
        let size = match &file.content {
            FileContent::Digest(_, size) => Some(*size),
            FileContent::Bytes(bytes) => Some(bytes.len() as u64),
            FileContent::Unread => None,
        };
        let change = if self.state == Existence::Absent {
            let Some(change) = self.removal(file, &now, size, text != after) else {
                return Ok(Verdict::satisfied("not there"));
            };
            change.expect(here, State::Absent)
        } else {
            self.refuse(&now)?;
            let change = self.addition(file, &now, size);
            let state = FileState {
                mode: 0o600,
                content: FileContent::Digest(String::new(), self.bytes),
                ..FileState::fresh(FileKind::File)
            };
            if change.actions.is_empty() { change } else { change.expect(here, State::File(state)) }
        };
        let change = if text == after { change } else { written(change, &fstab.file, &text, &after) };
        if change.actions.is_empty() {
            let priority = now.used.map(|p| format!(", priority {p}")).unwrap_or_default();
            return Ok(Verdict::satisfied(format!("{}{priority}", words(self.bytes))));
        }
        Ok(found.drift(&self.path, change, false))
    }

    fn inverse(&self, change: &Change) -> Inverse {
        if change.was_absent("size") {
            return Inverse::removal("swap", "path", &self.path);
        }
        let size = change.before("size");
        let priority = change.before("priority").and_then(|p| p.parse::<i64>().ok());
        let again = |size: &str| {
            let keys = [("path", self.path.as_str().into()), ("size", size.into())];
            let priority = priority.filter(|p| *p >= 0).map(|p| ("priority", p.into()));
            Inverse::of("swap", keys.into_iter().chain(priority))
        };
        match (size, priority, self.size.as_deref()) {
            (Some(size), _, _) if bytes(size).is_some() => again(size),
            (Some(size), _, _) => {
                Inverse::none(format!("{} had {size}, which is no size that can be wanted", self.path))
            }
            (None, Some(0..), Some(size)) => again(size),
            (None, Some(_), Some(_)) => {
                Inverse::none("the priority that the kernel chose cannot be asked for")
            }
            (None, _, _) if change.before("used") == Some("no") => {
                Inverse::none(format!("{} stays in use", self.path))
            }
            _ => Inverse::files(change).and(attributes::inverse("file", &self.path, false, change)),
        }
    }

    fn provides(&self) -> Vec<Resource> {
        match self.state {
            Existence::Present => vec![Resource::here(Kind::Path, &self.path)],
            Existence::Absent => Vec::new(),
        }
    }

    fn needs(&self) -> Vec<Resource> {
        let mut needs = self.query().needs();
        needs.push(Resource::here(Kind::Path, FSTAB));
        needs
    }
}

impl Swap {
    fn query(&self) -> Query<'_> {
        Query::new(&self.path, Depth::Digest(0))
    }

    fn probe(&self) -> Probe {
        Probe::new(AskSwap { path: &self.path }.script()).sharing(SHARED_NETWORK)
    }

    fn now(&self, readings: &Readings) -> Result<Now, CheckError> {
        let probe = self.probe();
        let answer = readings.of(&probe)?;
        let unreadable =
            || CheckError::unreadable(&probe, answer, "expected whether it is used, and by what mark");
        if answer.code == 3 {
            return Err(CheckError::refused(
                format!("cannot read {}: {}", self.path, answer.error_text()),
                "give the step the rights to read it, with `become = true`".to_owned(),
            ));
        }
        let mut now = Now::default();
        for line in answer.text().lines() {
            match line.split(' ').collect::<Vec<_>>().as_slice() {
                ["used", _, priority] => now.used = Some(priority.parse().map_err(|_| unreadable())?),
                ["fs", fs @ ..] => now.fs = fs.join(" "),
                ["signed"] => now.signed = Some(true),
                ["plain"] => now.signed = Some(false),
                _ => return Err(unreadable()),
            }
        }
        if answer.ok() { Ok(now) } else { Err(unreadable()) }
    }

    /// There are file systems on which no file can be swapped to (swapon(8)).
    fn refuse(&self, now: &Now) -> Result<(), CheckError> {
        if matches!(now.fs.as_str(), "tmpfs" | "ramfs" | "zfs" | "overlayfs" | "squashfs" | "nfs" | "fuseblk")
        {
            return Err(CheckError::refused(
                format!("{} is on {}, where the kernel cannot swap to a file", self.path, now.fs),
                "put it on ext4, xfs or btrfs".to_owned(),
            ));
        }
        Ok(())
    }

    fn addition(&self, file: &FileState, now: &Now, size: Option<u64>) -> Change {
        let there = file.kind == FileKind::File;
        let mut change = Change::new(format!("swap to {} ({})", self.path, words(self.bytes)));
        let makes = !there || size != Some(self.bytes);
        if makes {
            let before = size.filter(|_| there).map_or(Value::Absent, |size| words(size).into());
            let make = MakeSwap {
                path: &self.path,
                temporary: &put::temporary(&self.path),
                size: Some(self.bytes),
                used: now.used.is_some(),
            };
            change = change
                .field("size", before, words(self.bytes))
                .action(Action::new(format!("make {}", self.path), make.script()).timeout(TIMEOUT).lasting());
            if now.used.is_some() {
                change = change
                    .note("what is swapped out goes back into memory meanwhile, which must have room for it");
            }
            match now.fs.as_str() {
                "btrfs" => {
                    change = change.note(
                        "on btrfs no snapshot can be made of the subvolume of a swap file while it is used, and it must be on one device",
                    );
                }
                "xfs" | "ext2/ext3" | "" => {}
                fs => {
                    change = change
                        .note(format!("whether the kernel swaps to a file on {fs} shows when it is tried"));
                }
            }
        } else {
            let wanted = Attributes::new(Some("0600"), Some("root"), None);
            let mut state = file.clone();
            let fields = wanted.difference(&mut state, false);
            if let Some(action) = wanted.action(&self.path, false, &fields, &state) {
                change = change.fields(fields).action(action);
            }
        }
        let other = self.priority.is_some_and(|p| now.used.is_some_and(|used| used != p));
        if makes || now.used.is_none() || other {
            if !makes && now.used.is_none() {
                change = change.field("used", "no", "yes");
            }
            if let Some(priority) = self.priority {
                let before = now.used.map_or(Value::Absent, |p| p.to_string().into());
                change = change.field("priority", before, priority.to_string());
            }
            let priority = self.priority.map(|p| p.to_string()).unwrap_or_default();
            let again = other && !makes;
            let start = UseSwap { path: &self.path, priority: &priority, again };
            change = change.action(
                Action::new(format!("swap to {}", self.path), start.script()).timeout(TIMEOUT).lasting(),
            );
        }
        change
    }

    fn removal(&self, file: &FileState, now: &Now, size: Option<u64>, listed: bool) -> Option<Change> {
        let there = file.kind == FileKind::File;
        if !there && now.used.is_none() && !listed {
            return None;
        }
        let mut change = Change::new(format!("no longer swap to {}", self.path));
        if let Some(priority) = now.used {
            let end = EndSwap { path: &self.path };
            change = change
                .field("used", "yes", "no")
                .field("priority", priority.to_string(), Value::Absent)
                .action(
                    Action::new(format!("stop swapping to {}", self.path), end.script())
                        .timeout(TIMEOUT)
                        .lasting(),
                )
                .note("what is swapped out goes back into memory, which must have room for it");
        }
        if there {
            let remove = put::remove(&self.path, Remove::File(Backup::No));
            change = change
                .field("size", size.map_or(Value::Unknown, |size| words(size).into()), Value::Absent)
                .action(Action::new(format!("remove {}", self.path), remove));
        }
        Some(change)
    }

    /// What /etc/fstab has to be.
    fn fstab(&self, text: &[u8]) -> Vec<u8> {
        let mut lines = Lines::new(text);
        let is = |line: &[u8]| swaps_to(line, &self.path);
        if self.state == Existence::Absent {
            lines.retain(|line| !is(line));
            return lines.bytes();
        }
        let options = self.priority.map_or_else(|| "defaults".to_owned(), |p| format!("pri={p}"));
        let wanted = format!("{} none swap {options} 0 0", self.path);
        let first = lines.texts().position(is);
        match first {
            None => {
                let end = lines.len();
                lines.insert(Spot::Behind(end), [wanted.as_bytes()]);
            }
            Some(n) => {
                if !self.says_so(lines.texts().nth(n).unwrap_or_default()) {
                    lines.replace(n, wanted.as_bytes());
                }
                let more: Vec<usize> =
                    (n + 1..lines.len()).filter(|m| is(lines.texts().nth(*m).unwrap_or_default())).collect();
                for m in more.into_iter().rev() {
                    lines.remove(m, m);
                }
            }
        }
        lines.bytes()
    }

    /// Whether a line of it lets the file be swapped to at boot, with the priority that is wanted.
    fn says_so(&self, line: &[u8]) -> bool {
        let options = fields(line).nth(3).unwrap_or_default();
        let options: Vec<&[u8]> = options.split(|b| *b == b',').collect();
        let wanted = self.priority.map(|p| format!("pri={p}"));
        !options.contains(&&b"noauto"[..]) && wanted.is_none_or(|wanted| options.contains(&wanted.as_bytes()))
    }
}

/// The fields of a line of fstab(5).
fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|b| matches!(b, b' ' | b'\t')).filter(|field| !field.is_empty())
}

fn swaps_to(line: &[u8], path: &str) -> bool {
    let mut fields = fields(line);
    fields.next() == Some(path.as_bytes()) && fields.nth(1) == Some(b"swap")
}

/// Adds a new text of /etc/fstab, and that systemd reads it, which makes a unit of each of its lines.
fn written(change: Change, now: &FileState, before: &[u8], after: &Arc<[u8]>) -> Change {
    let fresh = now.kind == FileKind::Absent;
    let mut state = if fresh { FileState::fresh(FileKind::File) } else { now.clone() };
    let attributes = Attributes::default();
    let put = Put { made_from: Some(now), mode: Some(state.mode), ..Put::new(FSTAB, after, &attributes) };
    state.content = FileContent::Bytes(Arc::clone(after));
    let shown = if fresh { Value::Absent } else { put::show_bytes(before) };
    change
        .field(FSTAB, shown, put::show_bytes(after))
        .action(put.action(format!("write {FSTAB}")))
        .action(systemd::read_unit_files())
        .expect(Resource::here(Kind::Path, FSTAB), State::File(state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_numbers_of_megabytes() {
        assert_eq!(bytes("2G"), Some(2 << 30));
        assert_eq!(bytes("512MiB"), Some(512 << 20));
        for text in ["", "2", "G", "2g", "1.5G", "0M", "-1G", "99999999999999T"] {
            assert_eq!(bytes(text), None, "{text}");
        }
        assert_eq!(
            (words(2 << 30), words(1536 << 20), words(5)),
            ("2G".into(), "1536M".into(), "5 bytes".into())
        );
    }
}
