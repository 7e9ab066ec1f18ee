//! `group`: a group of users.

use serde::Deserialize;

use super::family::accounts;
use super::family::existence::Existence;
use super::{Action, Change, Context, Invalid, Step, Validate, Value, Verdict};
use crate::model::{Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::sh;

/// A group.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    name: String,
    gid: Option<u32>,
    #[serde(default)]
    system: bool,
    #[serde(default)]
    state: Existence,
}

impl Validate for Group {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid: Vec<_> = accounts::check_name("name", &self.name, "group").into_iter().collect();
        if self.state == Existence::Absent && (self.name == "root" || self.gid == Some(0)) {
            invalid.push(Invalid::new("state", "no host can do without the group root"));
        }
        invalid
    }
}

impl Step for Group {
    fn probes(&self) -> Vec<Probe> {
        vec![self.probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let now = self.read(readings)?;
        let here = Resource::here(Kind::Group, &self.name);
        let planned = readings.expected(&here);
        let (there, local) = match (planned, &now) {
            (Some(State::Absent), _) | (None, None) => (None, true),
            (Some(State::Value(gid)), _) => (Some(gid.parse().ok()), true),
            (Some(_), _) => (Some(None), true),
            (None, Some((gid, local))) => (Some(Some(*gid)), *local),
        };
        match (self.state, there) {
            (Existence::Absent, None) => Ok(Verdict::satisfied("not there")),
            (_, Some(_)) if !local && (self.state == Existence::Absent || self.differs(there)) => {
                Err(CheckError::refused(
                    format!(
                        "the group {} is not in /etc/group: it comes from a directory service",
                        self.name
                    ),
                    "change it there".to_owned(),
                ))
            }
            (Existence::Absent, Some(_)) => Ok(Verdict::Drift(
                Change::new(format!("remove the group {}", self.name))
                    .field("state", "present", Value::Absent)
                    .action(Action::new(
                        format!("remove the group {}", self.name),
                        sh!("if getent group {} >/dev/null; then groupdel -- {}; fi", self.name, self.name),
                    ))
                    .expect(here, State::Absent),
            )),
            (Existence::Present, Some(gid)) if !self.differs(there) => {
                Ok(Verdict::satisfied(gid.map_or_else(|| "there".to_owned(), |gid| format!("gid {gid}"))))
            }
            (Existence::Present, before) => {
                Ok(Verdict::Drift(self.present(before.flatten(), before.is_some(), here)))
            }
        }
    }

    fn provides(&self) -> Vec<Resource> {
        match self.state {
            Existence::Present => vec![Resource::here(Kind::Group, &self.name)],
            Existence::Absent => Vec::new(),
        }
    }

    fn needs(&self) -> Vec<Resource> {
        vec![Resource::here(Kind::Group, &self.name)]
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl Group {
    /// Asks the name service, which may be a directory far away, for the group (getent(1): 2 where there is none).
    fn probe(&self) -> Probe {
        Probe::new(sh!(
            r#"hw_e=$(timeout 10 getent group -- {}); hw_rc=$?
[ $hw_rc -ne 2 ] || { echo absent; exit 0; }
[ $hw_rc -eq 0 ] || exit 3
echo "group $hw_e"
while IFS=: read -r hw_n hw_rest; do [ "$hw_n" != {} ] || echo local; done </etc/group"#,
            self.name,
            self.name
        ))
    }

    fn read(&self, readings: &Readings) -> Result<Option<(u32, bool)>, CheckError> {
        let probe = self.probe();
        let answer = readings.of(&probe)?;
        let text = answer.text();
        if answer.ok() && text == "absent" {
            return Ok(None);
        }
        let line = text.lines().next().and_then(|l| l.strip_prefix("group ")).filter(|_| answer.ok());
        let gid = line.and_then(|l| l.split(':').nth(2)?.parse().ok());
        gid.map(|gid| Some((gid, text.lines().any(|l| l == "local"))))
            .ok_or_else(|| CheckError::unreadable(&probe, answer, "expected a line of getent"))
    }

    #[expect(clippy::option_option, reason = "not there, there with an unknown number, there with a number")]
    fn differs(&self, there: Option<Option<u32>>) -> bool {
        match (there, self.gid) {
            (None, _) => true,
            (Some(Some(now)), Some(wanted)) => now != wanted,
            (Some(_), _) => false,
        }
    }

    fn present(&self, before: Option<u32>, there: bool, here: Resource) -> Change {
        let mut options: Vec<String> = Vec::new();
        if let Some(gid) = self.gid {
            options.extend(["-g".to_owned(), gid.to_string()]);
        }
        let state = self.gid.map_or(State::Present, |gid| State::Value(gid.to_string()));
        if there {
            let before = before.map_or(Value::Unknown, |gid| gid.to_string().into());
            let after = self.gid.map_or_else(String::new, |gid| gid.to_string());
            return Change::new(format!("change the number of the group {}", self.name))
                .field("gid", before, after)
                .action(Action::new("change it", sh!("groupmod {} -- {}", options, self.name)))
                .note("files keep the old number")
                .expect(here, state);
        }
        if self.system {
            options.push("-r".to_owned());
        }
        let label = format!("make the group {}", self.name);
        let mut change = Change::new(label.clone()).field("state", Value::Absent, "present");
        if let Some(gid) = self.gid {
            change = change.field("gid", Value::Absent, gid.to_string());
        }
        change
            .action(Action::new(
                label,
                sh!("getent group -- {} >/dev/null || groupadd {} -- {}", self.name, options, self.name),
            ))
            .expect(here, state)
    }
}
