//! `wait`: until a port is open, a page answers, a path is there, or a command succeeds.

use std::time::Duration;

use serde::Deserialize;

use super::family::existence::Existence;
use super::family::guards;
use super::family::path;
use super::{Action, Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::value;
use crate::model::{Kind, Resource};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::{Library, Programs};

/// Looks whether it has come about; see there.
static LOOK: Library = Library::new("wait/look.sh", include_str!("wait/look.sh"), &[&guards::BOUNDED]);

program! {
    /// Looks once.
    AskLook in "wait/ask_look.sh" uses [LOOK] {
        port: Number, address: Word, url: Word, status: Number, contains: Word, insecure: Flag, path: Word,
        command: Word, absent: Flag
    }
}
program! {
    /// Looks again and again.
    WaitUntil in "wait/wait_until.sh" uses [LOOK] {
        port: Number, address: Word, url: Word, status: Number, contains: Word, insecure: Flag, path: Word,
        command: Word, absent: Flag, seconds: Number, interval: Number
    }
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs = &[&[AskLook::program, WaitUntil::program]];

/// What is waited for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    port: Option<u16>,
    address: Option<String>,
    http: Option<String>,
    status: Option<u16>,
    contains: Option<String>,
    #[serde(default)]
    insecure: bool,
    path: Option<String>,
    command: Option<String>,
    #[serde(default)]
    state: Existence,
    #[serde(default = "five_minutes", deserialize_with = "value::duration")]
    timeout: Duration,
    #[serde(default = "two_seconds", deserialize_with = "value::duration")]
    interval: Duration,
}

fn five_minutes() -> Duration {
    Duration::from_mins(5)
}

fn two_seconds() -> Duration {
    Duration::from_secs(2)
}

/// Bound of one look, in seconds; the program has it.
const LOOK_SECONDS: u64 = 10;

impl Validate for Wait {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        let given = [
            ("port", self.port.is_some()),
            ("http", self.http.is_some()),
            ("path", self.path.is_some()),
            ("command", self.command.is_some()),
        ];
        let given: Vec<_> = given.iter().filter(|(_, set)| *set).map(|(key, _)| *key).collect();
        match given.as_slice() {
            [] => invalid.push(Invalid::new("", "wait for what? give `port`, `http`, `path` or `command`")),
            [_] => {}
            [first, second, ..] => {
                invalid.push(
                    Invalid::new(*second, format!("`{first}` and `{second}` exclude each other"))
                        .help("write two steps"),
                );
            }
        }
        let belongs = [
            ("address", self.address.is_some(), "port"),
            ("status", self.status.is_some(), "http"),
            ("contains", self.contains.is_some(), "http"),
            ("insecure", self.insecure, "http"),
        ];
        for (key, set, to) in belongs {
            if set && !given.contains(&to) {
                invalid.push(Invalid::new(key, format!("`{key}` goes with `{to}` alone")));
            }
        }
        if self.port == Some(0) {
            invalid.push(Invalid::new("port", "ports go from 1 to 65535"));
        }
        if let Some(url) =
            self.http.as_deref().filter(|u| !u.starts_with("http://") && !u.starts_with("https://"))
        {
            invalid.push(Invalid::new("http", format!("{url:?} does not begin with http:// or https://")));
        }
        let host = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
        if let Some(address) = self.address.as_deref().filter(|a| a.is_empty() || !a.chars().all(host)) {
            invalid
                .push(Invalid::new("address", format!("{address:?} is neither a host name nor an address")));
        }
        if let Some(path) = &mut self.path {
            invalid.extend(path::normalise(path, "path"));
        }
        if self.state == Existence::Absent && self.http.is_some() {
            invalid.push(
                Invalid::new("state", "`http` is waited for, not against").help("wait for the port to close"),
            );
        }
        if self.interval < Duration::from_secs(1) {
            invalid.push(Invalid::new("interval", "at least one second"));
        }
        invalid
    }
}

impl Step for Wait {
    fn probes(&self) -> Vec<Probe> {
        vec![self.probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let probe = self.probe();
        let answer = readings.of(&probe)?;
        let text = answer.text();
        let what = self.what();
        if !answer.ok() {
            return Err(CheckError::unreadable(&probe, answer, "expected `yes` or `no WHY`"));
        }
        if text == "yes" {
            return Ok(Verdict::satisfied(what));
        }
        let tools = text.strip_prefix("tool ");
        let Some(why) = text.strip_prefix("no ").or(tools.map(|_| "not known")) else {
            return Err(CheckError::unreadable(&probe, answer, "expected `yes` or `no WHY`"));
        };
        let look = self.look();
        let program = WaitUntil {
            port: look.port,
            address: look.address,
            url: look.url,
            status: look.status,
            contains: look.contains,
            insecure: look.insecure,
            path: look.path,
            command: look.command,
            absent: look.absent,
            seconds: Some(self.timeout.as_secs()),
            interval: Some(self.interval.as_secs()),
        };
        // One look may still be under way when the time is up.
        let bound = self.timeout + Duration::from_secs(2 * LOOK_SECONDS + 30);
        let action = Action::new(format!("wait until {what}"), program.script()).timeout(bound);
        let mut change = Change::new(format!("wait until {what}"))
            .field("now", why.to_owned(), Value::Text(what.clone()))
            .action(action);
        change.passive = true;
        Ok(match tools {
            None => Verdict::Drift(change),
            Some(tools) => Verdict::Unknown {
                until: Resource::here(Kind::Command, tools.split(',').next().unwrap_or_default()),
                then: Some(change),
                otherwise: format!("cannot look whether {what}: none of {tools} is installed"),
            },
        })
    }

    fn inverse(&self, _: &Change) -> Inverse {
        Inverse::nothing()
    }

    fn provides(&self) -> Vec<Resource> {
        if self.state == Existence::Absent {
            return Vec::new();
        }
        let port = self.port.filter(|_| self.address.is_none());
        let port = port.map(|port| Resource::here(Kind::Port, &port.to_string()));
        port.into_iter().chain(self.path.as_ref().map(|path| Resource::here(Kind::Path, path))).collect()
    }

    fn needs(&self) -> Vec<Resource> {
        let mut needs = self.provides();
        if let (Some(port), Some(address), Existence::Present) = (self.port, &self.address, self.state) {
            needs.push(Resource::on(address, Kind::Port, &port.to_string()));
        }
        needs.extend(self.command.as_deref().map(|c| Resource::here(Kind::Command, guards::first_word(c))));
        needs
    }

    /// What it waits for comes about by itself.
    fn opaque(&self) -> bool {
        true
    }
}

impl Wait {
    /// What will hold, as a clause.
    fn what(&self) -> String {
        let gone = self.state == Existence::Absent;
        if let Some(port) = self.port {
            let at = self.address.as_ref().map(|a| format!(" of {a}")).unwrap_or_default();
            return format!("port {port}{at} is {}", if gone { "closed" } else { "open" });
        }
        if let Some(url) = &self.http {
            let holds = self.contains.as_ref().map(|c| format!(" and {c:?}")).unwrap_or_default();
            return format!("{url} answers {}{holds}", self.status.unwrap_or(200));
        }
        if let Some(path) = &self.path {
            return format!("{path} is {}", if gone { "gone" } else { "there" });
        }
        let command = guards::brief(self.command.as_deref().unwrap_or_default().trim());
        format!("`{command}` {}", if gone { "fails" } else { "succeeds" })
    }

    fn probe(&self) -> Probe {
        Probe::new(self.look().script())
    }

    fn look(&self) -> AskLook<'_> {
        let page = self.http.is_some();
        AskLook {
            port: self.port.map(u64::from),
            address: self.address.as_deref().unwrap_or_default(),
            url: self.http.as_deref().unwrap_or_default(),
            status: page.then(|| self.status.unwrap_or(200).into()),
            contains: self.contains.as_deref().unwrap_or_default(),
            insecure: self.insecure,
            path: self.path.as_deref().unwrap_or_default(),
            command: self.command.as_deref().unwrap_or_default(),
            absent: self.state == Existence::Absent,
        }
    }
}
