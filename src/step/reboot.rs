//! `reboot`: the host restarts when it needs to.

use std::time::Duration;

use serde::Deserialize;

use super::{Action, Change, Context, Invalid, Role, Step, Then, Validate, Value, Verdict};
use crate::model::value;
use crate::probe::{CheckError, Probe, Readings};
use crate::sh;

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: crate::program::Programs = &[];

/// A restart of the host.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reboot {
    #[serde(default)]
    when: When,
    #[serde(default = "ten_minutes", deserialize_with = "value::duration")]
    timeout: Duration,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum When {
    #[default]
    Needed,
    Always,
}

fn ten_minutes() -> Duration {
    Duration::from_mins(10)
}

impl Validate for Reboot {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        if self.timeout < Duration::from_secs(30) {
            return vec![
                Invalid::new("timeout", "no host is back so soon")
                    .help("a virtual machine takes a minute, a server up to ten"),
            ];
        }
        Vec::new()
    }
}

impl Step for Reboot {
    fn probes(&self) -> Vec<Probe> {
        if self.when == When::Always { Vec::new() } else { vec![probe()] }
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        if self.when == When::Always {
            let mut change = self.change("always");
            change.always = true;
            return Ok(Verdict::Drift(change));
        }
        let probe = probe();
        let answer = readings.of(&probe)?;
        let text = answer.text();
        let mut reasons = Vec::new();
        let mut asked = false;
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("needed", reason)) => reasons.push(reason),
                _ if line == "asked" => asked = true,
                _ => {
                    return Err(CheckError::unreadable(
                        &probe,
                        answer,
                        "expected `needed REASON` or `asked`",
                    ));
                }
            }
        }
        if !asked || !answer.ok() {
            return Err(CheckError::unreadable(&probe, answer, "expected `asked` at the end"));
        }
        if reasons.is_empty() {
            return Ok(Verdict::satisfied("not needed"));
        }
        Ok(Verdict::Drift(self.change(&reasons.join("; "))))
    }

    /// A kernel or library that a step brings changes the answer, and no step says so.
    fn opaque(&self) -> bool {
        true
    }

    fn on_notify(&self, _: &Readings) -> Result<Option<Change>, CheckError> {
        let mut change = self.change("notified");
        change.always = true;
        Ok(Some(change))
    }

    fn misplaced(&self, _: Role) -> Option<Invalid> {
        None
    }
}

impl Reboot {
    fn change(&self, reason: &str) -> Change {
        // The answer has to be on its way before the connection goes: a timer of systemd does it two seconds
        // later and outlives this session; without systemd a process of its own session does.
        let script = sh!(r#"if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null &&
  systemd-run --quiet --on-active=2 --timer-property=AccuracySec=100ms systemctl reboot; then exit 0; fi
command -v setsid >/dev/null || { echo "neither systemd-run nor setsid is there" >&2; exit 1; }
setsid sh -c 'sleep 2; systemctl reboot || shutdown -r now || reboot' </dev/null >/dev/null 2>&1 3<&- &
"#);
        let action = Action::new("restart the host", script).then(Then::Reboot(self.timeout));
        let mut change = Change::new("restart the host")
            .field("restart", Value::Absent, reason.to_owned())
            .action(action.timeout(Duration::from_secs(30)));
        change.disrupts = Some("restarts the host: all that runs on it stops".into());
        change
    }
}

/// Asks whether a restart is needed.
///
/// Debian's packages leave a file (`/var/run/reboot-required`); `needs-restarting -r` of yum-utils exits with 1
/// when a core library or the kernel was replaced since boot; `grubby --default-kernel` names the kernel that
/// the next boot takes, and where there is no grubby the newest in `/boot` is taken.
fn probe() -> Probe {
    Probe::new(sh!(r#"if [ -e /var/run/reboot-required ]; then
  hw_p=; [ ! -r /var/run/reboot-required.pkgs ] || hw_p=$(sort -u /var/run/reboot-required.pkgs | tr '\n' ' ')
  echo "needed packages ask for it${hw_p:+: $hw_p}"
fi
hw_run=$(uname -r); hw_next=
if command -v grubby >/dev/null; then hw_next=$(timeout 20 grubby --default-kernel 2>/dev/null)
else hw_next=$(ls /boot/vmlinuz-* 2>/dev/null | sort -V | tail -n 1); fi
hw_next=${hw_next##*/vmlinuz-}
if [ -n "$hw_next" ] && [ "$hw_next" != "$hw_run" ] && [ -d "/lib/modules/$hw_next" ]; then
  echo "needed kernel $hw_next is installed, $hw_run is running"
fi
if command -v needs-restarting >/dev/null; then
  timeout 60 needs-restarting -r >/dev/null 2>&1; [ $? != 1 ] || echo "needed needs-restarting: core libraries or services were updated"
fi
echo asked"#))
}
