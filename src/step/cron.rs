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
use super::{Action, Change, Context, Invalid, Step, Validate, Value, Verdict};
use crate::model::{FileContent, FileKind, FileState, Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::sh;

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
            None => invalid.push(Invalid::new("", "the key `schedule` is missing")),
            Some(schedule) => {
                if let Err(why) = check_schedule(schedule) {
                    invalid.push(Invalid::new("schedule", format!("{schedule:?} {why}")).help(
                        "minute, hour, day of month, month, day of week: \"30 3 * * 1-5\"; or \"@daily\"",
                    ));
                }
            }
        }
        match &self.command {
            None => invalid.push(Invalid::new("", "the key `command` is missing")),
            Some(command) if command.trim().is_empty() || command.contains('\n') => {
                invalid.push(Invalid::new("command", "cron wants one line").help("put more into a script"));
            }
            Some(_) => {}
        }
        for (key, value) in &self.env {
            let name = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && key.starts_with(|c: char| !c.is_ascii_digit());
            if !name || value.contains(['\n', '"']) {
                let message =
                    "cron takes names of letters, digits and `_`, and values without quotes in one line";
                invalid.push(Invalid::new(format!("env.{key}"), message));
            }
        }
        invalid
    }
}

/// Checks the times as crontab(5) has them.
fn check_schedule(schedule: &str) -> Result<(), String> {
    const NAMED: [&str; 8] =
        ["@reboot", "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
    const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    const FIELDS: [(&str, u32, u32, &[&str]); 5] = [
        ("minute", 0, 59, &[]),
        ("hour", 0, 23, &[]),
        ("day of month", 1, 31, &[]),
        ("month", 1, 12, &MONTHS),
        ("day of week", 0, 7, &DAYS),
    ];
    if schedule.starts_with('@') {
        return if NAMED.contains(&schedule) { Ok(()) } else { Err("is no time that cron knows".into()) };
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.len() != 5 {
        return Err(format!("has {} fields, not 5", fields.len()));
    }
    for (field, (what, low, high, names)) in fields.into_iter().zip(FIELDS) {
        let number = |text: &str| {
            let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
            let number =
                named.map_or_else(|| text.parse().ok(), |at| u32::try_from(at).ok().map(|n| n + low));
            number.filter(|n| (low..=high).contains(n))
        };
        for part in field.split(',') {
            let (range, every) =
                part.split_once('/').map_or((part, None), |(range, every)| (range, Some(every)));
            let range_good = range == "*"
                || range.split_once('-').map_or_else(
                    || number(range).is_some(),
                    |(from, to)| number(from).zip(number(to)).is_some_and(|(from, to)| from <= to),
                );
            let every_good = every.is_none_or(|n| n.parse::<u32>().is_ok_and(|n| (1..=high).contains(&n)));
            if !range_good || !every_good {
                return Err(format!("has a {what} that is not one: {part:?}"));
            }
        }
    }
    Ok(())
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
                    .action(Action::new(label, put::remove(&file, Remove::File(Backup::No))))
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
        let content: Arc<[u8]> = self.text().into_bytes().into();
        let careless = now.kind == FileKind::File && (now.mode & 0o022 != 0 || now.owner != "root");
        let right = now.kind == FileKind::File && same(&now.content, &content) && !careless;
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

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// Asks which cron there is: both write /run/crond.pid while they run (cron(8)).
fn daemon() -> Probe {
    Probe::new(sh!(r#"if command -v crond >/dev/null; then hw_c=crond
elif command -v cron >/dev/null; then hw_c=cron
elif command -v apt-get >/dev/null && ! command -v dnf >/dev/null; then echo none apt; exit 0
else echo none; exit 0; fi
hw_p=
if [ -e /run/crond.pid ]; then read -r hw_p </run/crond.pid; fi
if [ "$hw_p" ] && [ -d "/proc/$hw_p" ]; then echo "$hw_c runs"; else echo "$hw_c"; fi"#))
}

impl Cron {
    fn file(&self) -> String {
        format!("/etc/cron.d/{}", self.name)
    }

    fn times(&self) -> String {
        self.schedule.as_deref().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn text(&self) -> String {
        let mut text = String::from("# Managed by Hostwright.\n");
        for (key, value) in &self.env {
            let _ = writeln!(text, "{key}=\"{value}\"");
        }
        let command = escape(self.command.as_deref().unwrap_or_default().trim());
        let _ = writeln!(text, "{} {} {command}", self.times(), self.user);
        text
    }

    /// No backup beside it: cron would run that, too.
    fn put(&self, file: &str, now: &FileState, content: &Arc<[u8]>) -> Change {
        let label = format!("write {file}");
        let attributes = Attributes::new(Some("0644"), Some("root"), Some("root"));
        let put = Put { backup: Backup::No, make_folders: true, ..Put::new(file, content, &attributes) };
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

/// In a command a `%` would be a line break (crontab(5)).
fn escape(command: &str) -> String {
    let mut out = String::with_capacity(command.len());
    let mut last = ' ';
    for c in command.chars() {
        if c == '%' && last != '\\' {
            out.push('\\');
        }
        out.push(c);
        last = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_as_cron_does() {
        for good in ["* * * * *", "*/5 0-23/2 1,15 jan-mar mon-fri", "0 3 * * 7", "@daily", "30  3\t* * Sun"]
        {
            assert_eq!(check_schedule(good), Ok(()), "{good}");
        }
        for bad in [
            "* * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "@often",
            "a * * * *",
        ] {
            assert!(check_schedule(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_per_cent_sign_stays_one() {
        assert_eq!(escape(r"date +%F \%H"), r"date +\%F \%H");
    }
}
