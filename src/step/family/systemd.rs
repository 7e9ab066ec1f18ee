//! systemd units: one question, and starting them so that a failure says why.

use crate::model::{Kind, Resource, State};
use crate::probe::{Answer, CheckError, Probe, Readings};
use crate::sh;
use crate::shell::Script;

/// What systemd says of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitState {
    /// `LoadState`: `loaded`, `not-found`, `masked`.
    pub load: String,
    /// `ActiveState`: `active`, `inactive`, `failed`.
    pub active: String,
    /// `SubState`: `running`, `exited`.
    pub sub: String,
    /// `UnitFileState`: `enabled`, `disabled`, `static`; empty where there is no file.
    pub file: String,
    /// The socket of the same name is active: the service starts when somebody connects.
    pub socket_active: bool,
    /// It is said to be active but does nothing (`nfs-server` without threads).
    pub hollow: bool,
    /// Packages come from apt here: they start their units themselves.
    pub debian: bool,
}

const SUFFIXES: [&str; 7] = [".service", ".socket", ".timer", ".mount", ".target", ".path", ".slice"];

/// The full name of a unit: `.service` is added where no type is given.
pub fn unit_name(name: &str) -> String {
    if SUFFIXES.iter().any(|s| name.ends_with(s)) { name.to_owned() } else { format!("{name}.service") }
}

/// Where an administrator's own unit file lies.
pub fn unit_file(unit: &str) -> String {
    format!("/etc/systemd/system/{unit}")
}

/// The socket that may start a service.
pub fn socket_of(unit: &str) -> String {
    format!("{}.socket", unit.trim_end_matches(".service"))
}

/// Asks for a unit and its socket. `systemctl show` prints `Key=Value` lines, a blank line between units, and ends
/// with 0 for a unit that is not there (systemctl(1)); `nfs-server` is active even with no threads at all, so
/// these are read from the kernel (nfsd(7)).
pub fn probe(unit: &str) -> Probe {
    let threads = if unit == "nfs-server.service" {
        sh!("if read -r hw_n </proc/fs/nfsd/threads; then echo \"Threads=$hw_n\"; fi 2>/dev/null")
    } else {
        Script::new()
    };
    Probe::new(sh!(
        "command -v systemctl >/dev/null || exit 9\nif command -v apt-get >/dev/null; then echo Debian=yes; fi\n{}\n\
         timeout 20 systemctl show -p Id -p LoadState -p ActiveState -p SubState -p UnitFileState -- {} {}",
        threads,
        unit,
        socket_of(unit)
    ))
}

/// Reads the answer to [`probe`], or what an earlier step of the plan leaves.
pub fn read(readings: &Readings, unit: &str) -> Result<UnitState, CheckError> {
    let probe = probe(unit);
    let answer = readings.of(&probe)?;
    if answer.code == 9 {
        return Err(CheckError::refused(
            "this host is not run by systemd",
            "use a `command` step with a guard for its own service manager".to_owned(),
        ));
    }
    let mut now = parse(unit, answer).ok_or_else(|| {
        CheckError::unreadable(
            &probe,
            answer,
            "expected LoadState, ActiveState and UnitFileState of the unit",
        )
    })?;
    match readings.expected(&Resource::here(Kind::Unit, unit)) {
        Some(State::Unit { active, enabled }) => {
            if now.is_absent() {
                now = UnitState { load: "loaded".into(), ..UnitState::fresh() };
            }
            if let Some(active) = active {
                now.active = if *active { "active" } else { "inactive" }.into();
                now.hollow = false;
                now.socket_active &= active;
            }
            if let Some(enabled) = enabled {
                now.file = if *enabled { "enabled" } else { "disabled" }.into();
            }
        }
        // Its file will be written by an earlier step.
        _ if now.is_absent() && readings.expected_file(&unit_file(unit)).is_some() => {
            now = UnitState { load: "loaded".into(), file: "disabled".into(), ..UnitState::fresh() };
        }
        _ => {}
    }
    Ok(now)
}

fn parse(unit: &str, answer: &Answer) -> Option<UnitState> {
    let text = answer.text();
    let mut now = UnitState::default();
    let mut threads = None;
    let mut socket = false;
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        match key {
            "Id" => socket = value.ends_with(".socket") && !unit.ends_with(".socket"),
            "Debian" => now.debian = true,
            "Threads" => threads = value.parse::<u32>().ok(),
            "ActiveState" if socket => now.socket_active = value == "active",
            "LoadState" if !socket => now.load = value.into(),
            "ActiveState" => now.active = value.into(),
            "SubState" if !socket => now.sub = value.into(),
            "UnitFileState" if !socket => now.file = value.into(),
            _ => {}
        }
    }
    now.hollow = threads == Some(0);
    (answer.ok() && !now.load.is_empty() && !now.active.is_empty()).then_some(now)
}

impl UnitState {
    /// A unit of which nothing is known but that it will be there.
    pub fn fresh() -> Self {
        Self { load: "fresh".into(), active: "inactive".into(), file: "disabled".into(), ..Self::default() }
    }

    /// No such unit.
    pub fn is_absent(&self) -> bool {
        self.load == "not-found"
    }

    /// Whether it starts at boot; `None` for `enabled-runtime`, which is neither.
    pub fn enabled(&self) -> Option<bool> {
        match self.file.as_str() {
            "enabled" | "alias" => Some(true),
            "disabled" | "masked" => Some(false),
            "enabled-runtime" | "linked-runtime" | "masked-runtime" => None,
            // `static`, `indirect`, `generated`, or no file of its own: others start it, there is nothing to enable.
            _ if self.load == "fresh" => Some(false),
            _ => Some(true),
        }
    }

    /// It does its work, or will when somebody connects.
    pub fn runs(&self) -> bool {
        (matches!(self.active.as_str(), "active" | "reloading") && !self.hollow)
            || (self.active == "inactive" && self.socket_active)
    }

    /// It, or the socket that would start it, is up.
    pub fn is_up(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "activating") || self.socket_active
    }

    /// How it stands, in a few words.
    pub fn words(&self) -> String {
        let file = if self.file.is_empty() { "no unit file" } else { &self.file };
        let active = match (self.active.as_str(), self.sub.as_str()) {
            ("inactive", _) if self.socket_active => "waiting on its socket".to_owned(),
            (active, "") => active.to_owned(),
            (active, sub) => format!("{active} ({sub})"),
        };
        format!("{active}, {file}")
    }
}

/// What systemd knows of the unit files by the time of an [`act`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitFiles {
    /// The action before has made it read them. `systemctl enable` does, also where nothing is left to enable; not for
    /// an init script, but such a unit counts as enabled.
    Fresh,
    /// Perhaps less than the disk: it is asked.
    Unknown,
}

/// Starts, restarts or reloads a unit and watches whether it stays up; where it does not, the end of its journal is
/// on standard error.
pub fn act(verb: &'static str, unit: &str, files: UnitFiles) -> Script {
    let start = match verb {
        "restart" => sh!("systemctl restart -- \"$u\""),
        "reload-or-restart" => sh!("systemctl reload-or-restart -- \"$u\""),
        _ => sh!("systemctl start -- \"$u\""),
    };
    let reload = Script::new().raw(match files {
        UnitFiles::Fresh => "",
        UnitFiles::Unknown => {
            "case $(systemctl show -p NeedDaemonReload -- \"$u\") in *=yes) systemctl daemon-reload ;; esac\n"
        }
    });
    sh!(
        r#"u={}
hw_say() { echo "$u: $1" >&2; journalctl -u "$u" -n 20 --no-pager -o cat >&2; exit 1; }
{}{} || hw_say "did not start"
hw_now=$(systemctl show -p Type -p ActiveState -- "$u")
# A unit that tells when it is ready has said so by now; another one may still fall over.
case $hw_now in *Type=simple*|*Type=exec*|*Type=idle*) n=4 ;; *) n=1 ;; esac
while :; do
  case $hw_now in *ActiveState=failed*) hw_say "failed right after its start" ;; esac
  n=$((n - 1))
  [ $n -gt 0 ] || break
  sleep 0.5
  hw_now=$(systemctl show -p ActiveState -- "$u")
done"#,
        unit,
        reload,
        start
    )
}
