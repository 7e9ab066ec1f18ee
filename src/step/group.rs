//! `group`: a group of users.

use serde::Deserialize;

use super::family::RUN;
use super::family::accounts::{self, ENTRIES};
use super::family::existence::Existence;
use super::{Action, Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::{Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::Programs;

program! {
    /// Asks for a group.
    AskGroup in "group/ask_group.sh" uses [ENTRIES] { name: Word, gid: Number, users: Flag }
}
program! {
    /// Makes a group.
    AddGroup in "group/add_group.sh" uses [RUN] { name: Word, options: List }
}
program! {
    /// Gives a group another number.
    ChangeGroup in "group/change_group.sh" uses [RUN] { name: Word, gid: Number }
}
program! {
    /// Removes a group.
    RemoveGroup in "group/remove_group.sh" uses [RUN] { name: Word }
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs =
    &[&[AskGroup::program, AddGroup::program, ChangeGroup::program, RemoveGroup::program]];

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

/// What the host says of it.
#[derive(Debug, Clone, Default)]
struct Found {
    /// Its number; none where it is not there.
    gid: Option<u32>,
    /// It is in /etc/group.
    local: bool,
    /// The other group that has the wanted number.
    gid_of: Option<String>,
    /// The users whose first group it is.
    first_of: Vec<String>,
}

impl Validate for Group {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid: Vec<_> = accounts::check_name("name", &self.name, "group").into_iter().collect();
        invalid.extend(self.gid.and_then(|gid| accounts::check_number("gid", gid)));
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
        let (there, local) = match (planned, now.gid) {
            (Some(State::Absent), _) | (None, None) => (None, true),
            (Some(State::Value(gid)), _) => (Some(gid.parse().ok()), true),
            (Some(_), _) => (Some(None), true),
            (None, Some(gid)) => (Some(Some(gid)), now.local),
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
            (Existence::Absent, Some(_)) => {
                let stay = |user: &&String| accounts::planned(readings, Kind::User, user) != Some(false);
                let users: Vec<&str> = now.first_of.iter().filter(stay).map(String::as_str).collect();
                if !users.is_empty() {
                    return Err(CheckError::refused(
                        format!("the group {} is the first group of {}", self.name, users.join(", ")),
                        "remove these users before, or give them another `group`".to_owned(),
                    ));
                }
                Ok(Verdict::Drift(
                    Change::new(format!("remove the group {}", self.name))
                        .field("state", "present", Value::Absent)
                        .action(Action::new(
                            format!("remove the group {}", self.name),
                            RemoveGroup { name: &self.name }.script(),
                        ))
                        .expect(here, State::Absent),
                ))
            }
            (Existence::Present, Some(gid)) if !self.differs(there) => {
                Ok(Verdict::satisfied(gid.map_or_else(|| "there".to_owned(), |gid| format!("gid {gid}"))))
            }
            (Existence::Present, before) => {
                if let (Some(gid), Some(other)) = (self.gid, &now.gid_of)
                    && accounts::planned(readings, Kind::Group, other) != Some(false)
                {
                    return Err(CheckError::refused(
                        format!("the number {gid} is taken: it is the group {other}'s"),
                        format!("give {} another `gid`, or remove {other} before", self.name),
                    ));
                }
                let mut change = self.present(before.flatten(), before.is_some(), here);
                if let Some(gid) = self.gid {
                    change = change.expect(Resource::here(Kind::Group, &gid.to_string()), State::Present);
                }
                Ok(Verdict::Drift(change))
            }
        }
    }

    fn inverse(&self, change: &Change) -> Inverse {
        let name = || ("name", self.name.as_str().into());
        if change.was_absent("state") {
            return Inverse::removal("group", "name", &self.name);
        }
        match change.before("gid").and_then(|gid| gid.parse::<i64>().ok()) {
            Some(gid) => Inverse::of("group", [name(), ("gid", gid.into())]),
            None => Inverse::none(format!("what the group {} was before was not kept", self.name)),
        }
    }

    fn provides(&self) -> Vec<Resource> {
        match self.state {
            // Others may call it by its number.
            Existence::Present => [Some(self.name.clone()), self.gid.map(|gid| gid.to_string())]
                .iter()
                .flatten()
                .map(|name| Resource::here(Kind::Group, name))
                .collect(),
            Existence::Absent => Vec::new(),
        }
    }

    fn needs(&self) -> Vec<Resource> {
        vec![Resource::here(Kind::Group, &self.name)]
    }
}

impl Group {
    /// Where it is to go, also the users whose first group it is are asked for.
    fn probe(&self) -> Probe {
        let users = self.state == Existence::Absent;
        Probe::new(AskGroup { name: &self.name, gid: self.gid.map(u64::from), users }.script())
    }

    fn read(&self, readings: &Readings) -> Result<Found, CheckError> {
        let probe = self.probe();
        let answer = readings.of(&probe)?;
        let unreadable = || CheckError::unreadable(&probe, answer, "expected a line of getent");
        let mut found = Found::default();
        let mut said = false;
        for line in answer.text().lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "absent" => said = true,
                "group" => {
                    let gid = rest.split(':').nth(2).and_then(|gid| gid.parse().ok());
                    found.gid = Some(gid.ok_or_else(unreadable)?);
                    said = true;
                }
                "gid-of" => found.gid_of = Some(rest.to_owned()),
                "first-of" => found.first_of.push(rest.to_owned()),
                "local" => found.local = true,
                _ => return Err(unreadable()),
            }
        }
        if said && answer.ok() { Ok(found) } else { Err(unreadable()) }
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
        let state = self.gid.map_or(State::Present, |gid| State::Value(gid.to_string()));
        if there {
            let before = before.map_or(Value::Unknown, |gid| gid.to_string().into());
            let after = self.gid.map_or_else(String::new, |gid| gid.to_string());
            let action = ChangeGroup { name: &self.name, gid: self.gid.map(u64::from) };
            return Change::new(format!("change the number of the group {}", self.name))
                .field("gid", before, after)
                .action(Action::new("change it", action.script()).tells())
                .note("files keep the old number")
                .expect(here, state);
        }
        let mut options: Vec<String> = Vec::new();
        if let Some(gid) = self.gid {
            options.extend(["-g".to_owned(), gid.to_string()]);
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
            .action(Action::new(label, AddGroup { name: &self.name, options: &options }.script()).tells())
            .expect(here, state)
    }
}
