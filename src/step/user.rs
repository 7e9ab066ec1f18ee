//! `user`: a user of the host.

use serde::Deserialize;

use super::family::accounts;
use super::family::existence::Existence;
use super::{Action, Change, Context, Invalid, Step, Validate, Value, Verdict};
use crate::model::value::one_or_many;
use crate::model::{Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::sh;
use crate::shell::Script;

/// A user.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    name: String,
    uid: Option<u32>,
    group: Option<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    groups: Vec<String>,
    #[serde(default)]
    exact_groups: bool,
    shell: Option<String>,
    home: Option<String>,
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
    group: String,
    groups: Vec<String>,
    local: bool,
}

/// What the host says of the user and of the groups that he is to be in.
#[derive(Debug, Clone, Default)]
struct Found {
    account: Option<Account>,
    missing_groups: Vec<String>,
}

impl Validate for User {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid: Vec<_> = accounts::check_name("name", &self.name, "user").into_iter().collect();
        invalid.extend(self.group.as_ref().and_then(|g| accounts::check_name("group", g, "group")));
        for (n, group) in self.groups.iter().enumerate() {
            invalid.extend(accounts::check_name(&format!("groups[{n}]"), group, "group"));
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
        vec![self.probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let found = self.read(readings)?;
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
        let change = account.map_or_else(|| Some(self.addition()), |account| self.alteration(account));
        let Some(change) = change else {
            let account = account.expect("an addition is always a change");
            let groups = account.groups.join(", ");
            return Ok(Verdict::satisfied(format!("uid {}, groups {groups}", account.uid)));
        };
        if account.is_some_and(|a| !a.local) {
            return Err(self.elsewhere());
        }
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
        let groups = self.group.iter().chain(&self.groups).map(|g| Resource::here(Kind::Group, g));
        groups.chain([Resource::here(Kind::User, &self.name)]).collect()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl User {
    /// Asks the name service, which may be a directory far away (getent(1): 2 where there is none, id(1)).
    fn probe(&self) -> Probe {
        let mut wanted: Vec<&str> = self.group.iter().chain(&self.groups).map(String::as_str).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let groups = if wanted.is_empty() {
            Script::new()
        } else {
            sh!(
                r#"hw_all=$(timeout 10 getent group -- {}); hw_rc=$?; [ $hw_rc -eq 0 ] || [ $hw_rc -eq 2 ] || exit 3
for hw_g in {}; do
  case "$hw_nl$hw_all" in *"$hw_nl$hw_g:"*) ;; *) echo "no group $hw_g" ;; esac
done
"#,
                wanted,
                wanted
            )
        };
        Probe::new(sh!(
            r#"hw_u={}; hw_nl='
'
{}hw_e=$(timeout 10 getent passwd -- "$hw_u"); hw_rc=$?
[ $hw_rc -ne 2 ] || { echo absent; exit 0; }
[ $hw_rc -eq 0 ] || exit 3
echo "user $hw_e"
echo "group $(timeout 10 id -gn -- "$hw_u")"
echo "groups $(timeout 10 id -Gn -- "$hw_u")"
while IFS=: read -r hw_n hw_rest; do [ "$hw_n" != "$hw_u" ] || echo local; done </etc/passwd"#,
            self.name,
            groups
        ))
    }

    fn read(&self, readings: &Readings) -> Result<Found, CheckError> {
        let probe = self.probe();
        let answer = readings.of(&probe)?;
        let unreadable = || CheckError::unreadable(&probe, answer, "expected lines of getent and id");
        let mut found = Found::default();
        let mut said = false;
        for line in answer.text().lines() {
            if let Some(group) = line.strip_prefix("no group ") {
                found.missing_groups.push(group.to_owned());
            } else if line == "absent" {
                said = true;
            } else if let Some(entry) = line.strip_prefix("user ") {
                let fields: Vec<&str> = entry.split(':').collect();
                let [_, _, uid, _, comment, home, shell] = fields.as_slice() else {
                    return Err(unreadable());
                };
                found.account = Some(Account {
                    uid: uid.parse().map_err(|_| unreadable())?,
                    comment: (*comment).to_owned(),
                    home: (*home).to_owned(),
                    shell: (*shell).to_owned(),
                    ..Account::default()
                });
            } else {
                let Some(account) = &mut found.account else { return Err(unreadable()) };
                if line == "local" {
                    account.local = true;
                } else if let Some(group) = line.strip_prefix("group ") {
                    group.clone_into(&mut account.group);
                } else if let Some(groups) = line.strip_prefix("groups ") {
                    account.groups = groups.split(' ').map(str::to_owned).collect();
                    said = true;
                } else {
                    return Err(unreadable());
                }
            }
        }
        if said && answer.ok() { Ok(found) } else { Err(unreadable()) }
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
        let options: &[&str] = if self.purge { &["-r"] } else { &[] };
        Change::new(label.clone())
            .field("state", "present", Value::Absent)
            .action(Action::new(
                label,
                sh!(
                    "if getent passwd -- {} >/dev/null; then userdel {} -- {}; fi",
                    self.name,
                    options.to_vec(),
                    self.name
                ),
            ))
            .expect(here, State::Absent)
    }

    fn addition(&self) -> Change {
        let label = format!("make the user {}", self.name);
        let mut change = Change::new(label.clone()).field("state", Value::Absent, "present");
        // A daemon needs no home, a person does.
        let home = if self.system && self.home.is_none() { "-M" } else { "-m" };
        let mut options = vec![home.to_owned()];
        if self.system {
            options.push("-r".to_owned());
        }
        for (field, option, value) in self.wanted() {
            options.extend([option.to_owned(), value.clone()]);
            change = change.field(field, Value::Absent, value);
        }
        if !self.groups.is_empty() {
            let list = self.groups.join(",");
            change = change.field("groups", Value::Absent, list.clone());
            options.extend(["-G".to_owned(), list]);
        }
        let script = sh!("getent passwd -- {} >/dev/null || useradd {} -- {}", self.name, options, self.name);
        change.action(Action::new(label, script))
    }

    fn wanted(&self) -> Vec<(&'static str, &'static str, String)> {
        [
            ("uid", "-u", self.uid.map(|uid| uid.to_string())),
            ("group", "-g", self.group.clone()),
            ("shell", "-s", self.shell.clone()),
            ("home", "-d", self.home.clone()),
            ("comment", "-c", self.comment.clone()),
        ]
        .into_iter()
        .filter_map(|(field, option, value)| value.map(|value| (field, option, value)))
        .collect()
    }

    fn alteration(&self, account: &Account) -> Option<Change> {
        let label = format!("change the user {}", self.name);
        let mut change = Change::new(label.clone());
        let mut options: Vec<String> = Vec::new();
        for (field, option, value) in self.wanted() {
            let before = match field {
                "uid" => account.uid.to_string(),
                "group" => account.group.clone(),
                "shell" => account.shell.clone(),
                "home" => account.home.clone(),
                _ => account.comment.clone(),
            };
            if before == value {
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
        let primary = self.group.as_ref().unwrap_or(&account.group);
        let have: Vec<&String> =
            account.groups.iter().filter(|g| *g != &account.group && *g != primary).collect();
        let lacks = self.groups.iter().any(|g| g != primary && !have.contains(&g));
        let more = self.exact_groups && have.iter().any(|g| !self.groups.contains(g));
        if lacks || more {
            let mut after: Vec<&String> = self.groups.iter().collect();
            if !self.exact_groups {
                after = have.iter().copied().chain(after.into_iter().filter(|g| !have.contains(g))).collect();
            }
            let list = |groups: &[&String]| groups.iter().map(|g| g.as_str()).collect::<Vec<_>>().join(",");
            if !self.exact_groups {
                options.push("-a".to_owned());
            }
            let given = if self.exact_groups { list(&after) } else { self.groups.join(",") };
            options.extend(["-G".to_owned(), given]);
            change = change
                .field("groups", list(&have), list(&after))
                .note("who is logged in as this user gets the groups at the next login");
        }
        (!options.is_empty())
            .then(|| change.action(Action::new(label, sh!("usermod {} -- {}", options, self.name))))
    }
}
