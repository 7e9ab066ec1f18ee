//! The first line of a journal.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::event::Mode;
use crate::model::HostName;

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
    /// When it began, with the controller's time zone.
    pub started: jiff::ZonedDateTime,
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

impl Header {
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
