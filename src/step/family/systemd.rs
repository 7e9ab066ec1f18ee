//! systemd units: what there is to know of one, and starting it so that a failure says why.

use crate::model::{Kind, Resource, State};
use crate::probe::{Answer, CheckError, Probe, Readings};
use crate::sh;
use crate::shell::Script;

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
///
/// `systemctl show` prints `Key=Value` lines in an order of its own, a blank line between units, leaves out keys that
/// it does not know, and ends with 0 for a unit that is not there (systemctl(1)). A unit that nobody refers to is
/// forgotten once it has run to its end, so that only the journal knows (message ids: `SD_MESSAGE_UNIT_STARTED`).
/// `nfs-server` is active even with no threads at all, so these are read from the kernel (nfsd(7)).
pub fn probe(unit: &str) -> Probe {
    let threads = if unit == "nfs-server.service" {
        sh!("if read -r hw_n </proc/fs/nfsd/threads; then echo \"Threads=$hw_n\"; fi 2>/dev/null\n")
    } else {
        Script::new()
    };
    let kind = unit.rsplit('.').next().unwrap_or_default();
    let alias = format!(
        "^[[:blank:]]*Alias[[:blank:]]*=(.*[[:blank:]])?{}([[:blank:]]|$)",
        unit.replace('\\', "\\\\").replace('.', "[.]")
    );
    Probe::new(sh!(
        r#"# sd_booted(3)
[ -d /run/systemd/system ] && command -v systemctl >/dev/null || { cat /proc/1/comm; exit 9; }
if command -v apt-get >/dev/null; then echo Debian=yes; fi
{}{}hw_show() {
  timeout 20 systemctl show -p Id -p Names -p LoadState -p LoadError -p ActiveState -p SubState -p UnitFileState \
    -p Type -p RemainAfterExit -p Result -p ExecMainExitTimestampMonotonic -p SourcePath -p NeedDaemonReload \
    -p WantedBy -p RequiredBy -p UpheldBy -p BoundBy -p TriggeredBy -- "$@"
}
hw_nl='
'
hw_s=$(hw_show {}) || exit
printf '%s\n' "$hw_s"
case $hw_s in *Type=oneshot*)
  case $hw_s in *RemainAfterExit=yes*) ;; *ActiveState=inactive*)
    case $hw_s in *ExecMainExitTimestampMonotonic=[1-9]*) ;; *)
      hw_id=${hw_s##*"$hw_nl"Id=}; hw_id=${hw_id#Id=}; hw_id=${hw_id%%"$hw_nl"*}
      u=$hw_id
      ! hw_has_run || echo Ran=yes ;;
    esac ;;
  esac ;;
esac
case $hw_s in *"TriggeredBy="[!"$hw_nl"]*)
  hw_t=${hw_s##*TriggeredBy=}; hw_t=${hw_t%%"$hw_nl"*}
  echo; hw_show $hw_t ;;
esac
case $hw_s in *LoadState=not-found*)
  hw_c=
  for hw_f in $(timeout 10 grep -lsE {} /etc/systemd/system/*.{} /run/systemd/system/*.{} /usr/local/lib/systemd/system/*.{} /usr/lib/systemd/system/*.{} /lib/systemd/system/*.{}); do
    hw_f=${hw_f##*/}
    case $hw_f in *@.*) continue ;; esac
    case " $hw_c " in *" $hw_f "*) ;; *) hw_c="$hw_c $hw_f" ;; esac
  done
  if [ "$hw_c" ]; then echo; echo Namesakes=; echo; hw_show $hw_c; fi ;;
esac"#,
        threads,
        has_run_once(),
        unit,
        alias,
        kind,
        kind,
        kind,
        kind,
        kind
    ))
}

/// A function that says whether `$u` was run since boot, to its end and with success, by the journal's last word on a
/// start of it. Where a condition has kept it from running, that has no invocation (before systemd 232 no entry at all).
fn has_run_once() -> Script {
    sh!(r#"hw_has_run() {
  hw_j=$(timeout 10 journalctl -q -b -n 1 -o export MESSAGE_ID=39f53479d3a045ac8e11786248231fbf "UNIT=$u" 2>/dev/null)
  case $hw_j in *INVOCATION_ID=[0-9a-f]*) return 0 ;; ""|*INVOCATION_ID=*) return 1 ;; esac
}
"#)
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
        124 | 137 => Err(CheckError::refused(
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

/// What systemd knows of the unit files by the time of an [`act`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitFiles {
    /// The action before has made it read them. `systemctl enable` does, also where nothing is left to enable; not for
    /// an init script, but such a unit counts as enabled.
    Fresh,
    /// Perhaps less than the disk: it is asked.
    Unknown,
}

/// Makes systemd read its files if they have changed.
///
/// `NeedDaemonReload` says so of a file that systemd has read, but not of a drop-in in a folder that is new: it has
/// a list of the folders of its own (systemd 252, `unit_find_dropin_paths`). So the drop-ins on the disk are looked
/// up in `DropInPaths`: the first of a name wins (systemd.unit(5)); an empty one, or a link to /dev/null, counts for
/// none.
const RELOAD: &str = r#"hw_now=$(systemctl show -p NeedDaemonReload -p Names -p DropInPaths -- "$u")
hw_of() { case $hw_now in *"$1="*) hw_v=${hw_now##*"$1="}; echo "${hw_v%%
*}" ;; esac; }
hw_stale() {
  case $hw_now in *NeedDaemonReload=yes*) return 0 ;; esac
  hw_read=" $(hw_of DropInPaths) " hw_seen=' '
  for hw_d in /etc/systemd/system /run/systemd/system /usr/local/lib/systemd/system /usr/lib/systemd/system; do
    for hw_n in $(hw_of Names) "${u%%@*}@.${u##*.}"; do
      for hw_f in "$hw_d/$hw_n.d"/*.conf; do
        [ -e "$hw_f" ] || continue
        case $hw_seen in *" ${hw_f##*/} "*) continue ;; esac
        hw_seen="$hw_seen${hw_f##*/} "
        [ -s "$hw_f" ] || continue
        case $hw_read in *" $hw_f "*) ;; *) return 0 ;; esac
      done
    done
  done
  return 1
}
if hw_stale; then systemctl daemon-reload; fi
"#;

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
        UnitFiles::Unknown => RELOAD,
    });
    sh!(
        r#"u={}
hw_say() { echo "$u: $1" >&2; journalctl -u "$u" -n 20 --no-pager -o cat >&2; exit 1; }
{}{}{} || hw_say "did not start"
n=0
while :; do
  hw_now=$(systemctl show -p Type -p ActiveState -p SubState -p ConditionResult -p ConditionTimestampMonotonic -p TriggeredBy -- "$u")
  case $hw_now in
  *ActiveState=failed*) hw_say "failed right after its start" ;;
  *SubState=auto-restart*) hw_say "ended right after its start, and systemd starts it again and again" ;;
  *ActiveState=inactive*)
    # One that nobody refers to is forgotten at its end, with all that was known of it.
    case $hw_now in
    *Type=oneshot*ConditionTimestampMonotonic=0*)
      hw_has_run || hw_say "was not run: does a condition of its unit not hold?" ;;
    *ConditionTimestampMonotonic=[1-9]*) case $hw_now in *ConditionResult=no*) hw_say "was not started: a condition of its unit does not hold" ;; esac ;;
    esac
    case $hw_now in
    *Type=oneshot*|*TriggeredBy=*.socket*|*TriggeredBy=*.path*) ;;
    *Type=*) hw_say "does not run any more right after its start; what is meant to end has Type=oneshot, and what a timer starts is kept by its timer" ;;
    esac ;;
  esac
  # A unit that tells when it is ready has said so by now; another one may still fall over.
  case $hw_now in *Type=simple*|*Type=exec*|*Type=idle*) ;; *) break ;; esac
  n=$((n + 1))
  [ $n -lt 4 ] || break
  sleep 0.5
done"#,
        unit,
        has_run_once(),
        reload,
        start
    )
}
