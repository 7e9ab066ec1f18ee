//! The first line of a journal.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jiff::ZonedDateTime;
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::event::Mode;
use crate::model::HostName;
use crate::shard::Shard;

/// Version of the form of a journal. It is raised when a reader of the old form would go wrong.
pub const VERSION: u32 = 1;

/// Who began what, when and from where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`VERSION`].
    pub journal: u32,
    /// The version of Hostwright.
    pub hostwright: String,
    /// The id of the run.
    pub run: String,
    /// What is done.
    pub mode: Mode,
    /// When it began, by the controller's clock. The time zone is kept as an offset alone: a machine without a time zone
    /// database can read that as well.
    #[serde(deserialize_with = "read_time")]
    pub started: ZonedDateTime,
    /// The user on the controller; `anna as root` behind `sudo`.
    pub user: String,
    /// The controller's host name.
    pub controller: String,
    /// The folder in which it was called.
    pub folder: String,
    /// The command line behind the program's name, secrets masked.
    pub arguments: Vec<String>,
    /// Its hosts in inventory order.
    pub hosts: Vec<HostName>,
    /// Its playbooks in their order.
    pub playbooks: Vec<String>,
    /// By file: SHA-256 of the inventory, the playbooks, and the files that these read. Not of files that hold secrets.
    pub files: BTreeMap<String, String>,
    /// What the folder of the first playbook is at, if it is under git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// The run that it goes on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumes: Option<String>,
    /// The run that it undoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<String>,
    /// Which part of the hosts it was about, if only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// The SHA-256 of the saved plan that it kept to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_plan: Option<String>,
}

/// A state of a folder that is under git.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// The commit.
    pub commit: String,
    /// Whether files there differ from it.
    pub dirty: bool,
}

/// A `git` that is asked for longer than this is not waited for: it only adds to the record.
const GIT: Duration = Duration::from_secs(2);

impl Revision {
    /// Looks at a folder; `None` where there is no git, or no repository that it trusts.
    pub fn of(folder: &Path) -> Option<Self> {
        let commit = git(folder, &["rev-parse", "HEAD"])?.trim().to_owned();
        let dirty = !git(folder, &["status", "--porcelain", "--", "."])?.trim().is_empty();
        (!commit.is_empty()).then_some(Self { commit, dirty })
    }
}

/// What `git` prints; `None` if it fails or takes too long.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut child = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["--no-optional-locks"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut out = child.stdout.take()?;
    let reader = std::thread::spawn(move || std::io::read_to_string(&mut out));
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return reader.join().ok()?.ok(),
            Ok(None) if start.elapsed() < GIT => std::thread::sleep(Duration::from_millis(2)),
            Ok(Some(_)) => return None,
            _ => {
                // It may have ended by itself meanwhile.
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

/// Reads a time. Of one with a zone that is not known here, the offset counts.
fn read_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ZonedDateTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().or_else(|error| {
        let time = text.split_once('[').map_or(&*text, |(time, _)| time);
        // `Z`, or a sign, hours and minutes.
        let offset =
            time.strip_suffix('Z').map_or_else(|| time.get(time.len().saturating_sub(6)..), |_| Some("UTC"));
        let offset = offset.unwrap_or_default();
        format!("{time}[{offset}]").parse().map_err(|_| de::Error::custom(error))
    })
}

impl Header {
    /// The time now.
    pub fn now() -> ZonedDateTime {
        let now = ZonedDateTime::now();
        let zone = if now.offset() == Offset::UTC { TimeZone::UTC } else { TimeZone::fixed(now.offset()) };
        now.with_time_zone(zone)
    }

    /// The user on this controller, by the account database; `sudo` says who that is really.
    pub fn user() -> String {
        let uid = rustix::process::getuid().as_raw();
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let name = users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        });
        let name = name.unwrap_or_else(|| uid.to_string());
        match std::env::var("SUDO_USER") {
            Ok(behind) if !behind.is_empty() && behind != name => format!("{behind} as {name}"),
            _ => name,
        }
    }

    /// The name of this controller.
    pub fn controller() -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Started(#[serde(deserialize_with = "read_time")] ZonedDateTime);

    /// A machine without a time zone database has no name for its zone, and knows no other's.
    #[test]
    fn a_time_is_read_whatever_its_zone_is_called() {
        let read =
            |text: &str| serde_json::from_value::<Started>(text.into()).map(|s| s.0.timestamp().as_second());
        let expected = "2026-11-27T03:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second();
        for text in [
            "2026-11-27T04:00:00+01:00[Europe/Berlin]",
            "2026-11-27T04:00:00+01:00[Mars/Olympus]",
            "2026-11-27T03:00:00+00:00[Etc/Unknown]",
            "2026-11-27T03:00:00.0+00:00[UTC]",
            "2026-11-27T04:00:00+01:00[+01:00]",
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
        assert!(read("yesterday").is_err());
        assert!(read("").is_err());
    }

    #[test]
    fn the_zone_of_a_time_is_an_offset() {
        let written = Header::now().to_string();
        let zone = written.split_once('[').unwrap().1;
        assert!(zone == "UTC]" || zone.starts_with(['+', '-']), "{written}");
    }
}
