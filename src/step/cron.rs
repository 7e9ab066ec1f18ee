//! `cron`: a command that runs at set times, as a file of its own in /etc/cron.d.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde::Deserialize;

use super::family::accounts;
use super::family::attributes::Attributes;
use super::family::existence::Existence;
use super::family::path::{self, CONTENT_LIMIT, Depth};
use super::family::put::{self, Backup, Put, Remove, same, show};
use super::{Action, Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::{FileContent, FileKind, FileState, Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::Programs;

mod schedule;

program! {
    /// Asks which cron there is.
    AskCron in "cron/ask_cron.sh"
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs = &[&[AskCron::program], path::PROGRAMS, put::CONTENT];

/// A command that runs at set times.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cron {
    name: String,
    schedule: Option<String>,
    command: Option<String>,
    #[serde(default = "root")]
    user: String,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    state: Existence,
}

fn root() -> String {
    "root".to_owned()
}

impl Validate for Cron {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        // Debian's cron leaves out files with any other character in their names (cron(8)).
        let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || !self.name.chars().all(good) {
            invalid.push(
                Invalid::new("name", format!("{:?} cannot be the name of a file that cron reads", self.name))
                    .help("letters, digits, `-` and `_`"),
            );
        }
        invalid.extend(accounts::check_name("user", &self.user, "user"));
        if self.state == Existence::Absent {
            return invalid;
        }
        match &self.schedule {
            None => invalid.push(Invalid::missing("schedule")),
            Some(schedule) => {
                if let Err(why) = schedule::check(schedule) {
                    invalid.push(Invalid::new("schedule", format!("{schedule:?} {why}")).help(
                        "minute, hour, day of month, month, day of week: \"30 3 * * 1-5\"; or \"@daily\"",
                    ));
                }
            }
        }
        match &self.command {
            None => invalid.push(Invalid::missing("command")),
            Some(command) if command.trim().is_empty() || command.contains(['\n', '\r', '\0']) => {
                invalid.push(Invalid::new("command", "cron wants one line").help("put more into a script"));
            }
            Some(_) => {}
        }
        for (key, value) in &self.env {
            let name = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && key.starts_with(|c: char| !c.is_ascii_digit());
            let both = value.contains('"') && value.contains('\'');
            if matches!(key.as_str(), "LOGNAME" | "USER") {
                invalid.push(Invalid::new(format!("env.{key}"), "cron sets it itself: the `user`"));
            } else if !name || both || value.contains(['\n', '\r', '\0']) {
                let message = "cron takes names of letters, digits and `_`, and values of one line with one kind of quotes";
                invalid.push(Invalid::new(format!("env.{key}"), message));
            }
        }
        invalid
    }
}

impl Step for Cron {
    fn probes(&self) -> Vec<Probe> {
        let file = path::probe(&self.file(), Depth::Content(CONTENT_LIMIT));
        if self.state == Existence::Absent { vec![file] } else { vec![file, daemon()] }
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let file = self.file();
        let now = path::read(readings, &file, Depth::Content(CONTENT_LIMIT))?;
        let here = Resource::here(Kind::Path, &file);
        if !matches!(now.kind, FileKind::Absent | FileKind::File) {
            return Err(CheckError::refused(
                format!("{file} is not a file but a {}", path::word(&now.kind)),
                "move it away by hand".to_owned(),
            ));
        }
        if self.state == Existence::Absent {
            if now.kind == FileKind::Absent {
                return Ok(Verdict::satisfied("not there"));
            }
            let label = format!("remove {file}");
            return Ok(Verdict::Drift(
                Change::new(label.clone())
                    .field("file", show(&now.content), Value::Absent)
                    .action(Action::new(label, put::remove(&file, Remove::File(Backup::Run))).tells())
                    .expect(here, State::Absent),
            ));
        }
        let probe = daemon();
        let answer = readings.of(&probe)?;
        let cron = answer.text();
        let (unit, there, runs) = match (&*cron, answer.ok()) {
            ("crond runs", true) => ("crond.service", true, true),
            ("cron runs", true) => ("cron.service", true, true),
            ("crond", true) => ("crond.service", true, false),
            ("cron", true) => ("cron.service", true, false),
            ("none", true) => ("crond.service", false, false),
            ("none apt", true) => ("cron.service", false, false),
            _ => return Err(CheckError::unreadable(&probe, answer, "expected the name of the daemon")),
        };
        let daemon = if unit == "cron.service" { Daemon::Vixie } else { Daemon::Cronie };
        self.refuse_too_long(daemon)?;
        let content: Arc<[u8]> = self.text(daemon).into_bytes().into();
        let careless = now.kind == FileKind::File && (now.mode & 0o022 != 0 || now.owner != "root");
        let says = same(&now.content, &content) || schedule::same(&now.content, &content);
        let right = now.kind == FileKind::File && says && !careless;
        if right && there {
            let stopped = if runs { "" } else { "; cron itself does not run" };
            return Ok(Verdict::satisfied(format!(
                "{}{stopped}",
                self.schedule.as_deref().unwrap_or_default()
            )));
        }
        let mut change = self.put(&file, &now, &content).expect(
            here,
            State::File(FileState {
                mode: 0o644,
                owner: "root".into(),
                group: "root".into(),
                content: FileContent::Bytes(Arc::clone(&content)),
                ..FileState::fresh(FileKind::File)
            }),
        );
        let unit = Resource::here(Kind::Unit, unit);
        let will_run = matches!(readings.expected(&unit), Some(State::Unit { active: Some(true), .. }));
        if there && !runs && !will_run {
            change = change.note(format!("nothing is run while {} does not", unit.name));
        }
        if there || readings.expected(&unit).is_some_and(|state| *state != State::Absent) {
            return Ok(if right { Verdict::satisfied("as described") } else { Verdict::Drift(change) });
        }
        Ok(Verdict::Unknown {
            until: unit,
            then: (!right).then_some(change),
            otherwise: "cron is not installed, so that nobody would run this".to_owned(),
        })
    }

    fn inverse(&self, change: &Change) -> Inverse {
        Inverse::files(change)
    }

    fn provides(&self) -> Vec<Resource> {
        match self.state {
            Existence::Present => vec![Resource::here(Kind::Path, &self.file())],
            Existence::Absent => Vec::new(),
        }
    }

    fn needs(&self) -> Vec<Resource> {
        let units = ["crond.service", "cron.service"].map(|unit| Resource::here(Kind::Unit, unit));
        let paths = [Resource::here(Kind::Path, &self.file()), Resource::here(Kind::User, &self.user)];
        units.into_iter().chain(paths).collect()
    }
}

fn daemon() -> Probe {
    Probe::new(AskCron.script())
}

impl Cron {
    fn file(&self) -> String {
        format!("/etc/cron.d/{}", self.name)
    }

    fn times(&self) -> String {
        self.schedule.as_deref().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Debian's cron cuts a command without a word (`MAX_COMMAND`; Red Hat's takes 128 KiB).
    fn refuse_too_long(&self, daemon: Daemon) -> Result<(), CheckError> {
        let command = daemon.escape(self.command.as_deref().unwrap_or_default().trim());
        if daemon == Daemon::Vixie && command.len() > 998 {
            return Err(CheckError::refused(
                format!(
                    "the cron of this host cuts a command after 998 bytes, this one has {}",
                    command.len()
                ),
                "put it into a script, with a `file` step".to_owned(),
            ));
        }
        Ok(())
    }

    fn text(&self, daemon: Daemon) -> String {
        let mut text = String::from("# Managed by Hostwright.\n");
        for (key, value) in &self.env {
            let quote = if value.contains('"') { '\'' } else { '"' };
            let _ = writeln!(text, "{key}={quote}{value}{quote}");
        }
        let command = daemon.escape(self.command.as_deref().unwrap_or_default().trim());
        let _ = writeln!(text, "{} {} {command}", self.times(), self.user);
        text
    }

    fn put(&self, file: &str, now: &FileState, content: &Arc<[u8]>) -> Change {
        let label = format!("write {file}");
        let attributes = Attributes::new(Some("0644"), Some("root"), Some("root"));
        let put = Put { make_folders: true, ..Put::new(file, content, &attributes) };
        let before = if now.kind == FileKind::Absent { Value::Absent } else { show(&now.content) };
        let mut change = Change::new(format!("run {} at set times", self.name));
        if !same(&now.content, content) {
            let text = String::from_utf8_lossy(content).into_owned();
            change = change.field("file", before, Value::Content(text));
        }
        // cron passes over a file that others than root could write to.
        if now.kind == FileKind::File {
            change = change.fields(attributes.difference(&mut now.clone(), false));
        }
        change.action(put.action(label))
    }
}

/// Which cron reads the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Daemon {
    /// Red Hat's.
    Cronie,
    /// Debian's.
    Vixie,
}

impl Daemon {
    /// Writes a command so that this cron hands it to the shell as it is.
    ///
    /// In a command a `%` would be a line break (crontab(5)), unless an odd number of backslashes stands before it; the
    /// last of these goes. So does the first of any other two in Debian's cron (its `do_command.c`), not in cronie's. A
    /// `%` that is escaped already, as one writes it in a crontab, stays so.
    fn escape(self, command: &str) -> String {
        let mut out = String::with_capacity(command.len());
        let mut rest = command;
        while let Some(at) = rest.find(['\\', '%']) {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            let backslashes = rest.len() - rest.trim_start_matches('\\').len();
            rest = &rest[backslashes..];
            let percent = rest.starts_with('%');
            let kept = if percent { backslashes - backslashes % 2 } else { backslashes };
            let written = if self == Self::Vixie && kept > 1 { 2 * kept } else { kept };
            out.extend(std::iter::repeat_n('\\', written));
            if percent {
                out.push_str("\\%");
                rest = &rest[1..];
            }
        }
        out.push_str(rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a command as `do_command.c` does: what the shell gets.
    fn read(daemon: Daemon, command: &str) -> String {
        let mut out = String::new();
        let mut escaped = false;
        for c in command.chars() {
            if escaped {
                if c == '%' || (c == '\\' && daemon == Daemon::Vixie) {
                    out.pop();
                }
                out.push(c);
                escaped = false;
                continue;
            }
            if c == '%' {
                out.push_str(" <stdin>");
                break;
            }
            out.push(c);
            escaped = c == '\\';
        }
        out
    }

    #[test]
    fn the_shell_gets_the_command_as_it_is() {
        assert_eq!(Daemon::Cronie.escape(r"date +%F \%H"), r"date +\%F \%H");
        assert_eq!(Daemon::Cronie.escape(r"printf 'a\\%'"), r"printf 'a\\\%'");
        assert_eq!(Daemon::Vixie.escape(r"printf 'a\\%' \n"), r"printf 'a\\\\\%' \n");
        for daemon in [Daemon::Cronie, Daemon::Vixie] {
            for command in [
                "true",
                "%",
                "%%",
                r"\\%",
                r"\\\\%x",
                r"a\\b\\\c\",
                r"\\",
                r"sed 's/\\/%/' | tr '\n' x",
                "ä%ö\\",
            ] {
                assert_eq!(read(daemon, &daemon.escape(command)), command, "{daemon:?}");
            }
            // One that is written as in a crontab.
            assert_eq!(read(daemon, &daemon.escape(r"date +\%F\\\%")), r"date +%F\\%");
        }
    }
}
