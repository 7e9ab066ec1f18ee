//! systemd units: what there is to know of one, and starting it so that a failure says why.

use crate::model::{Kind, Resource, State};
use crate::probe::{Answer, CheckError, Probe, Readings};
use crate::program;
use crate::program::{Handle, Library};
use crate::shell::Script;
use crate::step::Action;

/// Asks the journal; see there.
static HAS_RUN: Library = Library::new("systemd/has_run.sh", include_str!("systemd/has_run.sh"), &[]);

program! {
    /// Asks for a unit.
    AskUnit in "systemd/ask_unit.sh" uses [super::ESCAPE, HAS_RUN] { unit: Word }
}
program! {
    /// Starts, restarts or reloads a unit.
    StartUnit in "systemd/start_unit.sh" uses [super::RUN, HAS_RUN] { unit: Word, verb: Word, fresh: Flag }
}
program! {
    /// Stops units.
    StopUnits in "systemd/stop_units.sh" uses [super::RUN] { units: List }
}
program! {
    /// Lets a unit start at boot.
    EnableUnit in "systemd/enable_unit.sh" uses [super::RUN] { unit: Word }
}
program! {
    /// Lets a unit no longer start at boot.
    DisableUnit in "systemd/disable_unit.sh" uses [super::RUN] { unit: Word, runtime: Flag }
}
program! {
    /// Makes systemd read its files anew.
    ReadUnitFiles in "systemd/read_unit_files.sh" uses [super::RUN]
}

/// What asks about units, and works on them.
pub const PROGRAMS: &[Handle] = &[
    AskUnit::program,
    StartUnit::program,
    StopUnits::program,
    EnableUnit::program,
    DisableUnit::program,
    ReadUnitFiles::program,
];

/// What systemd says of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that systemd or the kernel says")]
pub struct UnitState {
    /// `Id`: its own name, where it was asked for by an alias.
    pub id: String,
    /// `LoadState`: `loaded`, `not-found`, `masked`, `bad-setting`, `error`.
    pub load: String,
    /// `LoadError`, where it cannot be loaded.
    pub load_error: String,
    /// `ActiveState`: `active`, `inactive`, `failed`.
    pub active: String,
    /// `SubState`: `running`, `exited`.
    pub sub: String,
    /// `UnitFileState`: `enabled`, `disabled`, `static`; empty where there is no file.
    pub file: String,
    /// It is to run to its end and leaves nothing that stays (`Type=oneshot` without `RemainAfterExit=`).
    pub runs_to_its_end: bool,
    /// Its last run since boot came to its end with success.
    pub has_run: bool,
    /// `SourcePath`: what a generator has made it from.
    pub source: String,
    /// Who starts it at boot: `WantedBy`, `RequiredBy` and their like.
    pub starters: Vec<String>,
    /// The units that start it on their occasions.
    pub triggers: Vec<Trigger>,
    /// The units that would get this name as their alias when they are enabled, where no unit has it.
    pub namesakes: Vec<UnitState>,
    /// Its file was changed after systemd has read it.
    pub stale: bool,
    /// It is said to be active but does nothing (`nfs-server` without threads).
    pub hollow: bool,
    /// Packages come from apt here: they start their units themselves.
    pub debian: bool,
}

/// A socket, path or timer that starts a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trigger {
    /// Its name.
    pub id: String,
    /// It is active.
    pub active: bool,
    /// It starts at boot.
    pub enabled: bool,
}

impl Trigger {
    /// Whether the unit does its work as soon as there is some: not at set times.
    pub fn on_demand(&self) -> bool {
        self.id.rsplit('.').next() != Some("timer")
    }
}

/// Whether a unit starts at boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boot {
    /// It does.
    Enabled,
    /// It does not.
    Disabled,
    /// Only until the next boot.
    Runtime,
    /// It cannot be said of itself (`static`, `indirect`, `generated`): others start it, or nobody does.
    Others(bool),
}

/// The types of units (systemd(1)).
const SUFFIXES: [&str; 11] = [
    ".service",
    ".socket",
    ".timer",
    ".mount",
    ".target",
    ".path",
    ".slice",
    ".automount",
    ".swap",
    ".scope",
    ".device",
];

/// The full name of a unit: `.service` is added where no type is given.
pub fn unit_name(name: &str) -> String {
    if SUFFIXES.iter().any(|s| name.ends_with(s)) { name.to_owned() } else { format!("{name}.service") }
}

/// Where an administrator's own unit file lies.
pub fn unit_file(unit: &str) -> String {
    format!("/etc/systemd/system/{unit}")
}

/// Asks for a unit, what triggers it, and where there is no such unit for those that have it as their alias.
pub fn probe(unit: &str) -> Probe {
    Probe::new(AskUnit { unit }.script())
}

/// Reads the answer to [`probe`], or what an earlier step of the plan leaves.
pub fn read(readings: &Readings, unit: &str) -> Result<UnitState, CheckError> {
    let probe = probe(unit);
    let answer = readings.of(&probe)?;
    refuse_silence(unit, answer)?;
    let mut now = parse(unit, answer).ok_or_else(|| {
        CheckError::unreadable(
            &probe,
            answer,
            "expected LoadState, ActiveState and UnitFileState of the unit",
        )
    })?;
    // A name that a single unit would have once it is enabled is meant for it.
    if now.is_absent() && now.namesakes.len() == 1 {
        now = UnitState { debian: now.debian, ..now.namesakes.remove(0) };
    }
    let own = readings.expected(&Resource::here(Kind::Unit, unit));
    let expected = if own.is_none() && now.id != unit && !now.id.is_empty() {
        readings.expected(&Resource::here(Kind::Unit, &now.id))
    } else {
        own
    };
    match expected {
        Some(State::Unit { active, enabled }) => {
            if now.is_absent() {
                now = UnitState { load: "loaded".into(), ..UnitState::fresh() };
            }
            if let Some(active) = active {
                now.active = if *active { "active" } else { "inactive" }.into();
                now.hollow = false;
                now.has_run = *active && now.runs_to_its_end;
                if !active {
                    now.triggers.iter_mut().filter(|t| t.on_demand()).for_each(|t| t.active = false);
                }
            }
            if let Some(enabled) = enabled {
                now.file = if *enabled { "enabled" } else { "disabled" }.into();
            }
        }
        // Its file will be written by an earlier step.
        _ if now.is_absent() && readings.expected_file(&unit_file(unit)).is_some() => {
            now = UnitState { load: "loaded".into(), file: "disabled".into(), ..UnitState::fresh() };
        }
        _ if now.is_broken() && readings.expected_file(&unit_file(unit)).is_some() => now.stale = true,
        _ => {}
    }
    Ok(now)
}

/// The host has no systemd, but `first` as its first process.
pub fn none(first: &str, hint: &str) -> CheckError {
    let first = if first.is_empty() { String::new() } else { format!(": its first process is `{first}`") };
    CheckError::refused(format!("this host has no systemd{first}"), hint.to_owned())
}

/// Says in a sentence why systemd has said nothing.
fn refuse_silence(unit: &str, answer: &Answer) -> Result<(), CheckError> {
    match answer.code {
        9 => {
            let said = answer.text();
            let first = said.lines().last().unwrap_or_default();
            Err(none(first, "use a `command` step with a guard for its own service manager"))
        }
        _ if answer.is_cut_off() => Err(CheckError::refused(
            format!("systemd does not answer: `systemctl show {unit}` did not end within 20 s"),
            "look at the load and the journal of the host".to_owned(),
        )),
        0 => Ok(()),
        _ if answer.error_text().is_empty() => Ok(()),
        _ => {
            let said = answer.error_text();
            let said = said.lines().last().unwrap_or_default().to_owned();
            Err(CheckError::refused(format!("systemctl cannot say how {unit} stands: {said}"), None))
        }
    }
}

fn parse(unit: &str, answer: &Answer) -> Option<UnitState> {
    let text = answer.text();
    let mut blocks = Vec::new();
    let mut namesakes_from = usize::MAX;
    let (mut debian, mut threads, mut ran) = (false, None, false);
    for block in text.split("\n\n") {
        let mut state = UnitState { id: unit.to_owned(), ..UnitState::default() };
        let (mut oneshot, mut remains, mut ended, mut success) = (false, false, false, true);
        for (key, value) in block.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "Debian" => debian = true,
                "Threads" => threads = value.parse::<u32>().ok(),
                "Ran" => ran = true,
                "Namesakes" => namesakes_from = blocks.len(),
                "Id" => value.clone_into(&mut state.id),
                "LoadState" => value.clone_into(&mut state.load),
                // `NAME "MESSAGE"`.
                "LoadError" => {
                    let said = value.split_once('"').map_or(value, |(_, said)| said);
                    said.trim_end_matches('"').trim().clone_into(&mut state.load_error);
                }
                "ActiveState" => value.clone_into(&mut state.active),
                "SubState" => value.clone_into(&mut state.sub),
                "UnitFileState" => value.clone_into(&mut state.file),
                "Type" => oneshot = value == "oneshot",
                "RemainAfterExit" => remains = value == "yes",
                "Result" => success = value == "success",
                "ExecMainExitTimestampMonotonic" => ended = !matches!(value, "" | "0"),
                "SourcePath" => value.clone_into(&mut state.source),
                "NeedDaemonReload" => state.stale = value == "yes",
                "WantedBy" | "RequiredBy" | "UpheldBy" | "BoundBy" => {
                    state.starters.extend(value.split_whitespace().map(str::to_owned));
                }
                "Names" if value.split_whitespace().any(|n| n == "default.target") => {
                    state.starters.push("default.target".to_owned());
                }
                _ => {}
            }
        }
        state.runs_to_its_end = oneshot && !remains;
        state.has_run = state.runs_to_its_end && success && ended;
        if !state.load.is_empty() || !state.active.is_empty() {
            blocks.push(state);
        }
    }
    let mut blocks = blocks.into_iter();
    let mut now = blocks.next()?;
    for (n, state) in blocks.enumerate() {
        if n + 1 >= namesakes_from {
            if state.load == "loaded" {
                now.namesakes.push(state);
            }
        } else if state.load != "not-found" {
            let enabled = matches!(state.boot(), Boot::Enabled | Boot::Runtime | Boot::Others(true));
            now.triggers.push(Trigger { active: state.active == "active", enabled, id: state.id });
        }
    }
    now.debian = debian;
    now.hollow = threads == Some(0);
    now.has_run |= ran && now.runs_to_its_end;
    (answer.ok() && !now.load.is_empty() && !now.active.is_empty()).then_some(now)
}

impl UnitState {
    /// A unit of which nothing is known but that it will be there.
    pub fn fresh() -> Self {
        Self { load: "fresh".into(), active: "inactive".into(), file: "disabled".into(), ..Self::default() }
    }

    /// No such unit, and nothing of it runs.
    pub fn is_absent(&self) -> bool {
        self.is_gone() && !self.is_up()
    }

    /// There is no file of it, though it may still run.
    pub fn is_gone(&self) -> bool {
        self.load == "not-found"
    }

    /// Its file cannot be read as a unit.
    pub fn is_broken(&self) -> bool {
        matches!(self.load.as_str(), "bad-setting" | "error")
    }

    /// Whether it starts at boot.
    pub fn boot(&self) -> Boot {
        match self.file.as_str() {
            "enabled" | "alias" => Boot::Enabled,
            "enabled-runtime" => Boot::Runtime,
            // A file that is linked into the search path is found there, and no more.
            "disabled" | "masked" | "masked-runtime" | "linked" | "linked-runtime" => Boot::Disabled,
            _ if self.load == "fresh" || self.load == "masked" => Boot::Disabled,
            _ => Boot::Others(!self.starters.is_empty() || self.triggers.iter().any(|t| t.enabled)),
        }
    }

    /// Whether `systemctl enable` and `disable` do something although its own file says nothing of it: they pass on
    /// to the units of `Also=`, or to the tool for init scripts.
    pub fn passes_on(&self) -> bool {
        self.file == "indirect" || self.source.contains("/init.d/")
    }

    /// It does its work, has done it, or will when somebody asks for it.
    pub fn runs(&self) -> bool {
        match self.active.as_str() {
            "active" | "reloading" | "refreshing" => !self.hollow,
            "activating" => self.runs_to_its_end && self.sub.starts_with("start"),
            "inactive" => self.waits() || self.has_run,
            _ => false,
        }
    }

    fn waits(&self) -> bool {
        self.triggers.iter().any(|t| t.active && t.on_demand())
    }

    /// It, or what would start it on demand, is up.
    pub fn is_up(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "refreshing" | "activating" | "deactivating")
            || self.waits()
    }

    /// How it stands, in a few words.
    pub fn words(&self) -> String {
        let file = match (self.file.as_str(), self.load.as_str()) {
            ("", "not-found") => "its unit file is gone",
            ("", _) => "no unit file",
            (file, _) => file,
        };
        format!("{}, {file}", self.activity())
    }

    /// What it does, in a few words.
    pub fn activity(&self) -> String {
        match (self.active.as_str(), self.sub.as_str()) {
            ("inactive", _) if self.waits() => {
                let by = self.triggers.iter().find(|t| t.active && t.on_demand());
                let what = by.and_then(|t| t.id.rsplit('.').next()).unwrap_or_default();
                format!("waiting on its {what}")
            }
            ("inactive", _) if self.has_run => "has run to its end".to_owned(),
            ("inactive", _) if self.runs_to_its_end => "not run since boot".to_owned(),
            ("active", _) if self.hollow => "active, but without threads".to_owned(),
            (active, sub) if sub.is_empty() || active == sub || active == "inactive" => active.to_owned(),
            (active, sub) => format!("{active} ({sub})"),
        }
    }
}

/// What systemd knows of the unit files by the time of a [`start`].
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
pub fn start(verb: &'static str, unit: &str, files: UnitFiles) -> Script {
    StartUnit { unit, verb, fresh: files == UnitFiles::Fresh }.script()
}

/// Stops units.
pub fn stop(units: &[String]) -> Script {
    StopUnits { units }.script()
}

/// Lets a unit start at boot.
pub fn enable(unit: &str) -> Script {
    EnableUnit { unit }.script()
}

/// Lets a unit no longer start at boot, or where it was to start until the next boot alone, not that either.
pub fn disable(unit: &str, runtime: bool) -> Script {
    DisableUnit { unit, runtime }.script()
}

/// Makes systemd, where it runs, read the files of units anew, and those that it makes units from.
pub fn read_unit_files() -> Action {
    Action::new("make systemd read its files", ReadUnitFiles.script())
}
