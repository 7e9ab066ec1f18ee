//! `hostname`: what the host calls itself, now and at boot.

use std::sync::Arc;

use serde::Deserialize;

use super::family::attributes::Attributes;
use super::family::put::{self, Put};
use super::{Action, Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::Programs;

program! {
    /// Asks for the name.
    AskHostname in "hostname/ask_hostname.sh"
}
program! {
    /// Gives the running host its name.
    SetHostname in "hostname/set_hostname.sh" { name: Word }
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs = &[&[AskHostname::program, SetHostname::program], put::CONTENT];

/// The name of a host.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hostname {
    name: String,
}

impl Validate for Hostname {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let label = |part: &str| {
            (1..=63).contains(&part.len())
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        };
        // HOST_NAME_MAX of Linux is 64 (hostname(7)).
        if self.name.len() > 64 || !self.name.split('.').all(label) {
            return vec![
                Invalid::new("name", format!("{:?} is not a host name", self.name))
                    .help("letters, digits and `-`, parts of at most 63 with a dot between, 64 in all"),
            ];
        }
        Vec::new()
    }
}

impl Step for Hostname {
    fn probes(&self) -> Vec<Probe> {
        vec![probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let probe = probe();
        let answer = readings.of(&probe)?;
        let text = answer.text();
        let line = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)).map(str::trim);
        let (Some(now), Some(boot), true) = (line("now "), line("boot "), answer.ok()) else {
            return Err(CheckError::unreadable(&probe, answer, "expected the name now and at boot"));
        };
        if now == self.name && boot == self.name {
            return Ok(Verdict::satisfied(self.name.clone()));
        }
        let mut change = Change::new(format!("call the host {}", self.name));
        if now != self.name {
            change = change.field("now", now, self.name.clone());
        }
        if boot != self.name {
            let before = if boot.is_empty() { Value::Absent } else { boot.into() };
            change = change.field("at boot", before, self.name.clone());
        }
        if line("docker").is_some() {
            change = change.note("a swarm shows the new name once Docker is restarted");
        }
        if line("cloud-init").is_some() {
            change = change
                .note("cloud-init may put the old name back at boot, unless /etc/cloud/cloud.cfg has `preserve_hostname: true`");
        }
        if boot != self.name {
            let content: Arc<[u8]> = format!("{}\n", self.name).into_bytes().into();
            let attributes = Attributes::default();
            let put = Put { follow: true, ..Put::new("/etc/hostname", &content, &attributes) };
            change = change.action(put.action("write /etc/hostname"));
        }
        let set = SetHostname { name: &self.name };
        Ok(Verdict::Drift(
            change.action(Action::new(format!("call the host {}", self.name), set.script()).tells()),
        ))
    }

    fn inverse(&self, change: &Change) -> Inverse {
        match change.before("at boot").or_else(|| change.before("now")) {
            Some(before) => Inverse::of("hostname", [("name", before.into())]),
            None => Inverse::none("the host had no name before"),
        }
    }
}

fn probe() -> Probe {
    Probe::new(AskHostname.script())
}
