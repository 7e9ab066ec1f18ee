//! `user`: a user of the host.

use serde::Deserialize;

use super::family::RUN;
use super::family::accounts::{self, ENTRIES, GroupName};
use super::family::existence::Existence;
use super::family::path::{FAR, SHARED_NETWORK};
use super::{Action, Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::value::one_or_many;
use crate::model::{Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::{Library, Programs};

/// Runs tools that fail where the user is busy; see there.
static BUSY: Library = Library::new("user/busy.sh", include_str!("user/busy.sh"), &[&RUN]);

program! {
    /// Asks for a user and for the groups that he is to be in.
    AskUser in "user/ask_user.sh" uses [ENTRIES] { name: Word, uid: Number, groups: List }
}
program! {
    /// Asks whether he has a home.
    AskHome in "user/ask_home.sh" uses [FAR, ENTRIES] { name: Word, home: Word }
}
program! {
    /// Makes a user.
    AddUser in "user/add_user.sh" uses [RUN] { name: Word, options: List, own_group: Flag }
}
program! {
    /// Changes a user.
    ChangeUser in "user/change_user.sh" uses [BUSY] { name: Word, options: List }
}
program! {
    /// Removes a user.
    RemoveUser in "user/remove_user.sh" uses [BUSY] { name: Word, purge: Flag }
}
program! {
    /// Makes the home of a user who is there.
    MakeHome in "user/make_home.sh" uses [RUN] { name: Word }
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs = &[&[
    AskUser::program,
    AskHome::program,
    AddUser::program,
    ChangeUser::program,
    RemoveUser::program,
    MakeHome::program,
]];

/// A user.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    name: String,
    uid: Option<u32>,
    group: Option<GroupName>,
    #[serde(default, deserialize_with = "one_or_many")]
    groups: Vec<GroupName>,
    #[serde(default)]
    exact_groups: bool,
    shell: Option<String>,
    home: Option<String>,
    create_home: Option<bool>,
    comment: Option<String>,
    #[serde(default)]
    system: bool,
    #[serde(default)]
    state: Existence,
    #[serde(default)]
    purge: bool,
}

/// A user as the host knows him.
#[derive(Debug, Clone, Default)]
struct Account {
    uid: u32,
    comment: String,
    home: String,
    shell: String,
    group: Member,
    /// All of them, the first one too.
    groups: Vec<Member>,
    local: bool,
}

/// A group that he is in: two names may have one number, and then they are one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Member {
    gid: u32,
    name: String,
}

/// What the host says of the user and of the groups that he is to be in.
#[derive(Debug, Clone, Default)]
struct Found {
    account: Option<Account>,
    missing_groups: Vec<String>,
    /// The wanted groups that are there.
    known: Vec<Member>,
    /// A group of his own name is there.
    own_group: bool,
    /// Whose the wanted number is.
    uid_of: Option<String>,
    home: Home,
}

/// His home, where it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Home {
    #[default]
    Unknown,
    There,
    Missing,
}

impl Found {
    /// Whether `wanted`, a name or a number, is this group.
    fn is(&self, wanted: &str, group: &Member) -> bool {
        let number = wanted.parse().ok().or_else(|| {
            let known = self.known.iter().chain(self.account.iter().flat_map(|a| &a.groups));
            known.filter(|k| k.name == wanted).map(|k| k.gid).next()
        });
        number.map_or(wanted == group.name, |gid: u32| gid == group.gid)
    }
}

impl Validate for User {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid: Vec<_> = accounts::check_name("name", &self.name, "user").into_iter().collect();
        invalid.extend(self.uid.and_then(|uid| accounts::check_number("uid", uid)));
        invalid.extend(self.group.as_ref().and_then(|g| g.check("group")));
        for (n, group) in self.groups.iter().enumerate() {
            invalid.extend(group.check(&format!("groups[{n}]")));
        }
        for (key, path) in [("shell", &self.shell), ("home", &self.home)] {
            if let Some(path) = path
                && (!path.starts_with('/') || path.contains([':', '\n']))
            {
                invalid.push(Invalid::new(key, format!("{path:?} is not an absolute path")));
            }
        }
        if self.comment.as_ref().is_some_and(|c| c.contains([':', '\n'])) {
            invalid.push(Invalid::new("comment", "a colon or a line break would end it"));
        }
        if self.state == Existence::Absent && self.name == "root" {
            invalid.push(Invalid::new("state", "no host can do without root"));
        }
        if self.state == Existence::Present && self.purge {
            invalid.push(Invalid::new("purge", "this needs `state = \"absent\"`"));
        }
        invalid
    }
}

impl Step for User {
    fn probes(&self) -> Vec<Probe> {
        let home = self.asks_home().then(|| self.home_probe());
        std::iter::once(self.probe()).chain(home).collect()
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let mut found = self.read(readings)?;
        found.own_group |= accounts::planned(readings, Kind::Group, &self.name) == Some(true);
        let here = Resource::here(Kind::User, &self.name);
        let planned = accounts::planned(readings, Kind::User, &self.name);
        let account = if planned == Some(false) { None } else { found.account.as_ref() };
        if self.state == Existence::Absent {
            return match account {
                None if planned != Some(true) => Ok(Verdict::satisfied("not there")),
                Some(account) if !account.local => Err(self.elsewhere()),
                _ => Ok(Verdict::Drift(self.removal(here))),
            };
        }
        // An earlier step makes him, and all that it says of him is not known here.
        if account.is_none() && planned == Some(true) {
            return Ok(Verdict::satisfied("made by an earlier step"));
        }
        let change =
            account.map_or_else(|| Some(self.addition(&found)), |account| self.alteration(account, &found));
        let Some(change) = change else {
            let account = account.expect("an addition is always a change");
            let groups: Vec<_> = account.groups.iter().map(|g| g.name.as_str()).collect();
            return Ok(Verdict::satisfied(format!("uid {}, groups {}", account.uid, groups.join(", "))));
        };
        if account.is_some_and(|a| !a.local) {
            return Err(self.elsewhere());
        }
        self.refuse_taken(account, &found, readings)?;
        let change = change.expect(here, State::Present);
        let missing =
            found.missing_groups.iter().find(|g| accounts::planned(readings, Kind::Group, g) != Some(true));
        Ok(match missing {
            Some(group) => Verdict::Unknown {
                until: Resource::here(Kind::Group, group),
                then: Some(change),
                otherwise: format!("there is no group {group}"),
            },
            None => Verdict::Drift(change),
        })
    }

    fn inverse(&self, change: &Change) -> Inverse {
        let name = || ("name", self.name.as_str().into());
        if change.was_absent("state") {
            return Inverse::removal("user", "name", &self.name)
                .stays(format!("a home that {} has got stays", self.name));
        }
        if self.state == Existence::Absent {
            return Inverse::none(format!("what the user {} was before was not kept", self.name));
        }
        let text = |key: &'static str| change.before(key).map(|before| (key, before.into()));
        let uid = change.before("uid").and_then(|uid| uid.parse::<i64>().ok()).map(|uid| ("uid", uid.into()));
        let groups = change.before("groups").map(|before| {
            let groups: Vec<&str> = before.split(',').filter(|group| !group.is_empty()).collect();
            [("groups", groups.into()), ("exact_groups", true.into())]
        });
        let back: Vec<_> = [uid, text("group"), text("shell"), text("home"), text("comment")]
            .into_iter()
            .flatten()
            .chain(groups.into_iter().flatten())
            .collect();
        let made_home = change.was_absent("create_home");
        let inverse = if back.is_empty() {
            Inverse::nothing()
        } else {
            Inverse::of("user", [name()].into_iter().chain(back))
        };
        if made_home { inverse.stays(format!("the home of {} stays", self.name)) } else { inverse }
    }

    fn provides(&self) -> Vec<Resource> {
        if self.state == Existence::Absent {
            return Vec::new();
        }
        let mut provides = vec![Resource::here(Kind::User, &self.name)];
        // useradd makes a group of the same name where none is given (login.defs(5), USERGROUPS_ENAB).
        if self.group.is_none() {
            provides.push(Resource::here(Kind::Group, &self.name));
        }
        provides
    }

    fn needs(&self) -> Vec<Resource> {
        let groups = self.group.iter().chain(&self.groups).map(|g| Resource::here(Kind::Group, g.as_str()));
        groups.chain([Resource::here(Kind::User, &self.name)]).collect()
    }
}

impl User {
    fn probe(&self) -> Probe {
        let mut groups: Vec<String> = self.group.iter().chain(&self.groups).map(|g| g.0.clone()).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.extend(self.group.is_none().then(|| self.name.clone()));
        Probe::new(AskUser { name: &self.name, uid: self.uid.map(u64::from), groups: &groups }.script())
    }

    fn asks_home(&self) -> bool {
        self.state == Existence::Present && self.create_home == Some(true)
    }

    /// A question of its own: the mounts that it looks at are found out once for all that want to know.
    fn home_probe(&self) -> Probe {
        let home = self.home.as_deref().unwrap_or_default();
        Probe::new(AskHome { name: &self.name, home }.script()).sharing(SHARED_NETWORK)
    }

    fn read(&self, readings: &Readings) -> Result<Found, CheckError> {
        let probe = self.probe();
        let answer = readings.of(&probe)?;
        let unreadable = || CheckError::unreadable(&probe, answer, "expected lines of getent and id");
        let mut found = Found::default();
        let mut said = false;
        for line in answer.text().lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match (word, &mut found.account) {
                ("known", _) => {
                    let (gid, name) = rest.split_once(' ').ok_or_else(unreadable)?;
                    let gid = gid.parse().map_err(|_| unreadable())?;
                    found.known.push(Member { gid, name: name.to_owned() });
                }
                ("uid-of", _) => found.uid_of = Some(rest.to_owned()),
                ("absent", _) => said = true,
                ("user", account) => *account = Some(passwd(rest).ok_or_else(unreadable)?),
                ("id", Some(account)) => {
                    (account.group, account.groups) = memberships(rest).ok_or_else(unreadable)?;
                    said = true;
                }
                ("local", Some(account)) => account.local = true,
                _ => return Err(unreadable()),
            }
        }
        if !said || !answer.ok() {
            return Err(unreadable());
        }
        if self.asks_home() {
            let probe = self.home_probe();
            let answer = readings.of(&probe)?;
            found.home = match (&*answer.text(), answer.ok()) {
                ("there", true) => Home::There,
                ("missing", true) => Home::Missing,
                ("unknown" | "", true) => Home::Unknown,
                _ => return Err(CheckError::unreadable(&probe, answer, "expected whether he has a home")),
            };
        }
        found.own_group = found.known.iter().any(|k| k.name == self.name);
        for group in self.group.iter().chain(&self.groups).map(GroupName::as_str) {
            let there = found.known.iter().any(|k| k.name == group || group.parse() == Ok(k.gid));
            if !there && !found.missing_groups.iter().any(|m| m == group) {
                found.missing_groups.push(group.to_owned());
            }
        }
        Ok(found)
    }

    /// The number is another user's: `useradd` would fail, and `usermod` too.
    fn refuse_taken(
        &self,
        account: Option<&Account>,
        found: &Found,
        readings: &Readings,
    ) -> Result<(), CheckError> {
        let (Some(uid), Some(other)) = (self.uid, &found.uid_of) else { return Ok(()) };
        let keeps = account.is_some_and(|a| a.uid == uid);
        if keeps || *other == self.name || accounts::planned(readings, Kind::User, other) == Some(false) {
            return Ok(());
        }
        Err(CheckError::refused(
            format!("the number {uid} is taken: it is the user {other}'s"),
            format!("give {} another `uid`, or remove {other} before", self.name),
        ))
    }

    fn elsewhere(&self) -> CheckError {
        CheckError::refused(
            format!("the user {} is not in /etc/passwd: he comes from a directory service", self.name),
            "change him there".to_owned(),
        )
    }

    fn removal(&self, here: Resource) -> Change {
        let label = if self.purge {
            format!("remove the user {} with his home", self.name)
        } else {
            format!("remove the user {}", self.name)
        };
        let remove = RemoveUser { name: &self.name, purge: self.purge };
        Change::new(label.clone())
            .field("state", "present", Value::Absent)
            .action(Action::new(label, remove.script()))
            .expect(here, State::Absent)
    }

    fn addition(&self, found: &Found) -> Change {
        let label = format!("make the user {}", self.name);
        let mut change = Change::new(label.clone()).field("state", Value::Absent, "present");
        // A daemon needs no home, a person does.
        let create = self.create_home.unwrap_or(!self.system || self.home.is_some());
        let mut options = vec![if create { "-m" } else { "-M" }.to_owned()];
        if self.system {
            options.push("-r".to_owned());
        }
        for (field, option, value) in self.wanted() {
            options.extend([option.to_owned(), value.clone()]);
            change = change.field(field, Value::Absent, value);
        }
        if !self.groups.is_empty() {
            let list = self.list();
            change = change.field("groups", Value::Absent, list.clone());
            options.extend(["-G".to_owned(), list]);
        }
        // A group of his name may be there, then it is his.
        if self.group.is_none() && found.own_group {
            change = change.field("group", Value::Absent, format!("{} (is there)", self.name));
        }
        change = change.field("create_home", Value::Absent, if create { "true" } else { "false" });
        let add = AddUser { name: &self.name, options: &options, own_group: self.group.is_none() };
        change.action(Action::new(label, add.script()).tells())
    }

    fn wanted(&self) -> Vec<(&'static str, &'static str, String)> {
        [
            ("uid", "-u", self.uid.map(|uid| uid.to_string())),
            ("group", "-g", self.group.as_ref().map(|g| g.0.clone())),
            ("shell", "-s", self.shell.clone()),
            ("home", "-d", self.home.clone()),
            ("comment", "-c", self.comment.clone()),
        ]
        .into_iter()
        .filter_map(|(field, option, value)| value.map(|value| (field, option, value)))
        .collect()
    }

    fn list(&self) -> String {
        self.groups.iter().map(GroupName::as_str).collect::<Vec<_>>().join(",")
    }

    fn alteration(&self, account: &Account, found: &Found) -> Option<Change> {
        let label = format!("change the user {}", self.name);
        let mut change = Change::new(label.clone());
        let mut options: Vec<String> = Vec::new();
        for (field, option, value) in self.wanted() {
            let (before, same) = match field {
                "uid" => (account.uid.to_string(), account.uid.to_string() == value),
                "group" => (account.group.name.clone(), found.is(&value, &account.group)),
                // An empty one is the shell of sh(1) (passwd(5)).
                "shell" => (
                    account.shell.clone(),
                    account.shell == value || (account.shell.is_empty() && value == "/bin/sh"),
                ),
                "home" => (account.home.clone(), path(&account.home) == path(&value)),
                _ => (account.comment.clone(), account.comment == value),
            };
            if same {
                continue;
            }
            match field {
                "uid" => change = change.note("files outside of the home keep the old number"),
                "home" => change = change.note("the content of the old home stays where it is"),
                _ => {}
            }
            options.extend([option.to_owned(), value.clone()]);
            change = change.field(field, before, value);
        }
        change = self.alter_groups(account, found, change, &mut options);
        if !options.is_empty() {
            let alter = ChangeUser { name: &self.name, options: &options };
            change = change.action(Action::new(label, alter.script()).tells());
        }
        if self.create_home == Some(true) && found.home == Home::Missing {
            let home = self.home.as_ref().unwrap_or(&account.home);
            change = change
                .field("create_home", Value::Absent, home.clone())
                .action(Action::new(format!("make the home {home}"), MakeHome { name: &self.name }.script()));
        }
        (!change.actions.is_empty()).then_some(change)
    }

    /// Groups are compared as sets, by their numbers.
    fn alter_groups(
        &self,
        account: &Account,
        found: &Found,
        change: Change,
        options: &mut Vec<String>,
    ) -> Change {
        let first = |group: &Member| match &self.group {
            Some(wanted) => found.is(wanted.as_str(), group),
            None => *group == account.group,
        };
        let have: Vec<&Member> =
            account.groups.iter().filter(|g| g.gid != account.group.gid && !first(g)).collect();
        let is_first = |wanted: &str| match &self.group {
            Some(group) => wanted == group.as_str(),
            None => found.is(wanted, &account.group),
        };
        let wanted: Vec<&str> = self.groups.iter().map(GroupName::as_str).filter(|g| !is_first(g)).collect();
        let lacks: Vec<&str> =
            wanted.iter().copied().filter(|w| !have.iter().any(|h| found.is(w, h))).collect();
        let more = self.exact_groups && have.iter().any(|h| !wanted.iter().any(|w| found.is(w, h)));
        if lacks.is_empty() && !more {
            return change;
        }
        let before: Vec<&str> = have.iter().map(|h| h.name.as_str()).collect();
        let after: Vec<&str> =
            if self.exact_groups { wanted } else { before.iter().copied().chain(lacks).collect() };
        if !self.exact_groups {
            options.push("-a".to_owned());
        }
        options.extend(["-G".to_owned(), self.list()]);
        change
            .field("groups", before.join(","), after.join(","))
            .note("who is logged in as this user gets the groups at the next login")
    }
}

/// Reads an entry of passwd(5).
fn passwd(entry: &str) -> Option<Account> {
    let fields: Vec<&str> = entry.split(':').collect();
    let [_, _, uid, gid, comment, home, shell] = fields.as_slice() else { return None };
    Some(Account {
        uid: uid.parse().ok()?,
        comment: (*comment).to_owned(),
        home: (*home).to_owned(),
        shell: (*shell).to_owned(),
        group: Member { gid: gid.parse().ok()?, name: (*gid).to_owned() },
        ..Account::default()
    })
}

/// Reads what id(1) prints: `uid=1001(anna) gid=1001(anna) groups=1001(anna),4(domain users)`. A number without a
/// name has no group any more.
fn memberships(text: &str) -> Option<(Member, Vec<Member>)> {
    let member = |text: &str| {
        let (gid, name) =
            text.split_once('(').map_or((text, text), |(gid, name)| (gid, name.trim_end_matches(')')));
        Some(Member { gid: gid.parse().ok()?, name: name.to_owned() })
    };
    let (_, rest) = text.split_once(" gid=")?;
    let (first, groups) = rest.split_once(" groups=").unwrap_or((rest, ""));
    let groups = groups.split(',').filter(|g| !g.is_empty()).map(member).collect::<Option<_>>()?;
    Some((member(first)?, groups))
}

/// A path without a slash at its end.
fn path(text: &str) -> &str {
    text.trim_end_matches('/')
}
