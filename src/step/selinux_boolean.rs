//! `selinux_boolean`: a switch of the SELinux policy, now and at boot.

use std::time::Duration;

use serde::Deserialize;

use super::family::RUN;
use super::{Action, Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::{Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::Programs;

program! {
    /// Asks for a boolean, now and as stored.
    AskSelinuxBoolean in "selinux_boolean/ask_selinux_boolean.sh" { name: Word }
}
program! {
    /// Sets a boolean, now and at boot.
    SetSelinuxBoolean in "selinux_boolean/set_selinux_boolean.sh" uses [RUN] { name: Word, value: Word }
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs = &[&[AskSelinuxBoolean::program, SetSelinuxBoolean::program]];

/// `setsebool -P` builds the whole policy anew, which takes a minute on a small machine.
const TIMEOUT: Duration = Duration::from_mins(10);

/// A switch of the SELinux policy.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelinuxBoolean {
    name: String,
    on: bool,
}

impl Validate for SelinuxBoolean {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if self.name.is_empty() || self.name.starts_with('-') || !self.name.chars().all(good) {
            return vec![Invalid::new(
                "name",
                format!("{:?} is not the name of an SELinux boolean", self.name),
            )];
        }
        Vec::new()
    }
}

impl Step for SelinuxBoolean {
    fn probes(&self) -> Vec<Probe> {
        vec![self.probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let probe = self.probe();
        let answer = readings.of(&probe)?;
        let text = answer.text();
        let word = |on: bool| if on { "on" } else { "off" };
        let parse = |digit: &str| match digit {
            "1" => Some(true),
            "0" => Some(false),
            _ => None,
        };
        let (now, stored) = match text.split(' ').collect::<Vec<_>>().as_slice() {
            _ if !answer.ok() => (None, None),
            ["disabled"] => return Ok(Verdict::satisfied("SELinux is disabled")),
            ["missing"] => return Ok(self.comes_later()),
            ["now", now, "stored", "unknown"] => (parse(now), Some(None)),
            ["now", now, "stored", "default"] => (parse(now), Some(Some(None))),
            ["now", now, "stored", stored] => (parse(now), parse(stored).map(|s| Some(Some(s)))),
            _ => (None, None),
        };
        let (Some(now), Some(stored)) = (now, stored) else {
            return Err(CheckError::unreadable(&probe, answer, "expected the boolean now and as stored"));
        };
        if readings.expected(&self.path()) == Some(&State::Value(word(self.on).into())) {
            return Ok(Verdict::satisfied(word(self.on)));
        }
        let lasts = match stored {
            Some(Some(stored)) => stored == self.on,
            Some(None) => false,
            // Nobody but `semanage` can say, which takes a second at each check.
            None => true,
        };
        if now == self.on && lasts {
            return Ok(Verdict::satisfied(word(self.on)));
        }
        let mut change = self.change();
        if now != self.on {
            change = change.field("now", word(now), word(self.on));
        }
        if !lasts {
            let before = stored.flatten().map_or("as the policy has it", word);
            change = change.field("at boot", before, word(self.on));
        }
        Ok(Verdict::Drift(change))
    }

    fn inverse(&self, change: &Change) -> Inverse {
        match change.before("at boot").or_else(|| change.before("now")) {
            Some(before @ ("on" | "off")) => Inverse::of(
                "selinux_boolean",
                [("name", self.name.as_str().into()), ("on", (before == "on").into())],
            ),
            _ => Inverse::none(format!("what {} was before is not known", self.name)),
        }
    }

    fn provides(&self) -> Vec<Resource> {
        vec![self.path()]
    }

    fn needs(&self) -> Vec<Resource> {
        vec![self.path()]
    }
}

impl SelinuxBoolean {
    fn path(&self) -> Resource {
        Resource::here(Kind::Path, &format!("/sys/fs/selinux/booleans/{}", self.name))
    }

    fn probe(&self) -> Probe {
        Probe::new(AskSelinuxBoolean { name: &self.name }.script())
    }

    fn change(&self) -> Change {
        let word = if self.on { "on" } else { "off" };
        let label = format!("switch {} {word} for good", self.name);
        let set = SetSelinuxBoolean { name: &self.name, value: word };
        let action = Action::new(label.clone(), set.script()).timeout(TIMEOUT).lasting();
        Change::new(label)
            .action(action)
            .note("builds the policy anew, which may take a minute")
            .expect(self.path(), State::Value(word.into()))
    }

    fn comes_later(&self) -> Verdict {
        let word = if self.on { "on" } else { "off" };
        Verdict::Unknown {
            until: self.path(),
            then: Some(self.change().field("now", Value::Unknown, word).field(
                "at boot",
                Value::Unknown,
                word,
            )),
            otherwise: format!("the policy of this host has no boolean {}", self.name),
        }
    }
}
