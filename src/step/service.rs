//! `service`: a systemd unit that runs, and starts at boot, or does not.

use serde::Deserialize;

use super::family::systemd::{self, UnitFiles, UnitState, unit_name};
use super::{Action, Change, Context, Invalid, Step, Validate, Value, Verdict};
use crate::model::{Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::sh;

/// A systemd unit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    name: String,
    running: Option<bool>,
    enabled: Option<bool>,
    state: Option<Once>,
}

/// What a handler does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Once {
    Restarted,
    Reloaded,
}

impl Validate for Service {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.@:\\".contains(c);
        if self.name.is_empty() || !self.name.chars().all(good) {
            invalid.push(Invalid::new("name", format!("{:?} is not the name of a unit", self.name)));
        }
        if self.state.is_some() && self.running == Some(false) {
            invalid.push(Invalid::new("running", "a unit cannot be restarted and stopped at once"));
        }
        self.name = unit_name(&self.name);
        if self.running.is_none() && self.enabled.is_none() && self.state.is_none() {
            (self.running, self.enabled) = (Some(true), Some(true));
        }
        if self.state.is_some() && self.running.is_none() {
            self.running = Some(true);
        }
        invalid
    }
}

impl Step for Service {
    fn probes(&self) -> Vec<Probe> {
        vec![systemd::probe(&self.name)]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let now = systemd::read(readings, &self.name)?;
        if now.load == "masked" {
            if self.running != Some(true) && self.enabled != Some(true) {
                return Ok(Verdict::satisfied("masked"));
            }
            return Err(CheckError::refused(
                format!("unit {} is masked", self.name),
                format!(
                    "somebody has switched it off for good; to undo that: systemctl unmask {}",
                    self.name
                ),
            ));
        }
        if now.is_absent() {
            return Ok(self.absent(&now));
        }
        let change = self.change(&now);
        if change.fields.is_empty() {
            return Ok(Verdict::satisfied(now.words()));
        }
        Ok(Verdict::Drift(change))
    }

    fn provides(&self) -> Vec<Resource> {
        vec![self.unit()]
    }

    fn needs(&self) -> Vec<Resource> {
        vec![Resource::here(Kind::Path, &systemd::unit_file(&self.name))]
    }

    fn on_notify(&self, readings: &Readings) -> Result<Option<Change>, CheckError> {
        let now = systemd::read(readings, &self.name)?;
        if now.is_absent() {
            return Err(CheckError::refused(format!("unit {} not found", self.name), None));
        }
        let (verb, summary) = match self.state {
            Some(Once::Reloaded) => ("reload-or-restart", format!("reload {}", self.name)),
            Some(Once::Restarted) => ("restart", format!("restart {}", self.name)),
            None => return Ok(None),
        };
        let action = Action::new(summary.clone(), systemd::act(verb, &self.name, UnitFiles::Unknown));
        Ok(Some(Change::new(summary).action(action)))
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl Service {
    fn unit(&self) -> Resource {
        Resource::here(Kind::Unit, &self.name)
    }

    fn absent(&self, now: &UnitState) -> Verdict {
        if self.running != Some(true) && self.enabled != Some(true) {
            return Verdict::satisfied("there is no such unit");
        }
        // Debian's packages enable and start their units (Debian Policy 9.3.3.1); the others leave that to presets,
        // which start nothing.
        let comes_started = now.debian;
        Verdict::Unknown {
            until: self.unit(),
            then: (!comes_started).then(|| self.change(&UnitState::fresh())),
            otherwise: format!("unit {} not found", self.name),
        }
    }

    fn change(&self, now: &UnitState) -> Change {
        let fresh = now.is_absent() || now.load == "fresh";
        let mut change = Change::default();
        let mut verbs = Vec::new();
        let mut files = UnitFiles::Unknown;
        if let Some(enabled) = self.enabled
            && now.enabled() != Some(enabled)
        {
            let before = if fresh { Value::Unknown } else { now.file.clone().into() };
            change = change.field("enabled", before, if enabled { "enabled" } else { "disabled" }).action(
                Action::new(
                    format!("{} {}", if enabled { "enable" } else { "disable" }, self.name),
                    if enabled {
                        sh!("systemctl enable -- {}", self.name)
                    } else {
                        sh!("systemctl disable -- {}", self.name)
                    },
                ),
            );
            verbs.push(if enabled { "enable" } else { "disable" });
            if enabled {
                files = UnitFiles::Fresh;
            }
        }
        match self.running {
            Some(true) if !now.runs() => {
                let (verb, before) = if now.active == "active" && now.hollow {
                    ("restart", Value::from("active, but without threads"))
                } else if fresh {
                    ("start", Value::Unknown)
                } else {
                    ("start", now.active.clone().into())
                };
                change = change.field("running", before, "active").action(Action::new(
                    format!("{verb} {}", self.name),
                    systemd::act(verb, &self.name, files),
                ));
                verbs.push(verb);
            }
            Some(false) if now.is_up() => {
                let mut units = vec![self.name.clone()];
                // The socket would start it again.
                units.extend(now.socket_active.then(|| systemd::socket_of(&self.name)));
                change = change
                    .field("running", now.active.clone(), "inactive")
                    .action(Action::new(format!("stop {}", self.name), sh!("systemctl stop -- {}", units)));
                verbs.push("stop");
            }
            _ => {}
        }
        change.summary = format!("{} {}", verbs.join(" and "), self.name);
        change.expect(self.unit(), State::Unit { active: self.running, enabled: self.enabled })
    }
}
