//! `reboot`: the host restarts when it needs to.

use std::time::Duration;

use serde::Deserialize;

use super::{Action, Change, Context, Invalid, Inverse, Role, Step, Then, Validate, Value, Verdict};
use crate::model::value;
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::Programs;

program! {
    /// Asks whether it is needed.
    AskReboot in "reboot/ask_reboot.sh"
}
program! {
    /// Restarts the host.
    RestartHost in "reboot/restart_host.sh"
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs = &[&[AskReboot::program, RestartHost::program]];

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

    fn inverse(&self, _: &Change) -> Inverse {
        Inverse::nothing()
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
        let action =
            Action::new("restart the host", RestartHost.script()).lasting().then(Then::Reboot(self.timeout));
        let mut change = Change::new("restart the host")
            .field("restart", Value::Absent, reason.to_owned())
            .action(action.timeout(Duration::from_secs(30)));
        change.disrupts = Some("restarts the host: all that runs on it stops".into());
        change
    }
}

fn probe() -> Probe {
    Probe::new(AskReboot.script())
}
