//! `timezone`: the time zone of the host.

use std::sync::Arc;

use serde::Deserialize;

use super::family::attributes::Attributes;
use super::family::put::{self, Put};
use super::{Action, Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::diagnostic::nearest;
use crate::model::{FileKind, FileState, Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::Programs;

program! {
    /// Asks for the time zone.
    AskTimezone in "timezone/ask_timezone.sh" { zone: Word }
}
program! {
    /// Tells systemd of it.
    TellTimezone in "timezone/tell_timezone.sh" { zone: Word }
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs =
    &[&[AskTimezone::program, TellTimezone::program], put::CONTENT, put::LINKS];

const LOCALTIME: &str = "/etc/localtime";
const NAME: &str = "/etc/timezone";
const DATA: &str = "/usr/share/zoneinfo";

/// A time zone.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timezone {
    name: String,
}

impl Validate for Timezone {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+');
        let part = |part: &str| !part.is_empty() && !part.starts_with('-') && part.chars().all(good);
        if self.name.len() > 64 || !self.name.split('/').all(part) {
            return vec![
                Invalid::new("name", format!("{:?} is not the name of a time zone", self.name))
                    .help("such as \"Europe/Berlin\" or \"Etc/UTC\"; `timedatectl list-timezones` shows all"),
            ];
        }
        Vec::new()
    }
}

/// What the host says.
struct Found<'a> {
    /// The zone that it has; empty if that cannot be told.
    now: String,
    /// How it is written down, if not by a link into the data.
    odd: Option<&'static str>,
    /// What /etc/timezone says, if it is there.
    name: Option<&'a str>,
    systemd: bool,
    data: Data<'a>,
}

enum Data<'a> {
    There,
    None,
    Without(Vec<&'a str>),
}

impl Step for Timezone {
    fn probes(&self) -> Vec<Probe> {
        vec![self.probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let probe = self.probe();
        let answer = readings.of(&probe)?;
        let text = answer.text();
        let mut found = Some(&*text)
            .filter(|_| answer.ok())
            .and_then(read)
            .ok_or_else(|| CheckError::unreadable(&probe, answer, "expected /etc/localtime and the zone"))?;
        if let Some(FileState { kind: FileKind::Link(target), .. }) = readings.expected_file(LOCALTIME) {
            (found.now, found.odd) = (zone_of(target).unwrap_or_default(), None);
        }
        let named = found.name.is_none_or(|name| name == self.name);
        if found.now == self.name && named {
            return Ok(Verdict::satisfied(self.name.clone()));
        }
        let change = self.change(&found);
        let zone = Resource::here(Kind::Path, &format!("{DATA}/{}", self.name));
        match found.data {
            Data::There => Ok(Verdict::Drift(change)),
            Data::None => Ok(Verdict::Unknown {
                until: zone,
                then: Some(change),
                otherwise: "the data of time zones is not installed: that is the package tzdata".to_owned(),
            }),
            Data::Without(zones) => {
                // Debian has old names in a package of their own.
                let legacy = Resource::here(Kind::Package, "tzdata-legacy");
                if readings.expected(&legacy).is_some_and(|state| *state != State::Absent) {
                    let otherwise = format!("there is no time zone {}", self.name);
                    return Ok(Verdict::Unknown { until: legacy, then: Some(change), otherwise });
                }
                Err(self.no_such_zone(&zones))
            }
        }
    }

    fn inverse(&self, change: &Change) -> Inverse {
        match change.before("zone").or_else(|| change.before("name in /etc/timezone")) {
            Some(before) if !before.is_empty() && !before.contains(' ') => {
                Inverse::of("timezone", [("name", before.into())])
            }
            _ => Inverse::files(change),
        }
    }

    fn provides(&self) -> Vec<Resource> {
        vec![Resource::here(Kind::Path, LOCALTIME)]
    }

    fn needs(&self) -> Vec<Resource> {
        [&format!("{DATA}/{}", self.name), LOCALTIME, NAME]
            .map(|path| Resource::here(Kind::Path, path))
            .into_iter()
            .chain([Resource::here(Kind::Package, "tzdata-legacy")])
            .collect()
    }
}

impl Timezone {
    fn probe(&self) -> Probe {
        Probe::new(AskTimezone { zone: &self.name }.script())
    }

    fn change(&self, found: &Found<'_>) -> Change {
        let mut change = Change::new(format!("set the time zone {}", self.name));
        if found.now != self.name {
            let target = format!("..{DATA}/{}", self.name);
            let before = match (found.odd, found.now.as_str()) {
                (Some(odd), _) => Value::Text(odd.to_owned()),
                (None, "") => Value::Absent,
                (None, now) => now.into(),
            };
            change = change.field("zone", before, self.name.clone());
            if found.systemd {
                let tell = TellTimezone { zone: &self.name };
                change = change.action(Action::new("tell systemd of the time zone", tell.script()).tells());
            }
            let link = put::link(LOCALTIME, &target, true);
            change = change
                .action(Action::new(format!("link {LOCALTIME}"), link).tells())
                .expect(
                    Resource::here(Kind::Path, LOCALTIME),
                    State::File(FileState::fresh(FileKind::Link(target))),
                )
                .note("what runs already may show the old time until it is started again, cron too");
        }
        if let Some(name) = found.name.filter(|name| *name != self.name) {
            let content: Arc<[u8]> = format!("{}\n", self.name).into_bytes().into();
            let attributes = Attributes::default();
            let put = Put::new(NAME, &content, &attributes);
            change = change
                .field(
                    "name in /etc/timezone",
                    if name.is_empty() { Value::Absent } else { name.into() },
                    self.name.clone(),
                )
                .action(put.action(format!("write {NAME}")));
        }
        change
    }

    fn no_such_zone(&self, zones: &[&str]) -> CheckError {
        let wanted = self.name.to_ascii_lowercase();
        // Most often it is the part before the slash that is missing, or is another one.
        let city = wanted.rsplit('/').next().unwrap_or_default();
        let same_city =
            zones.iter().find(|z| z.to_ascii_lowercase().rsplit('/').next() == Some(city)).copied();
        let near = same_city.or_else(|| nearest(&self.name, zones.iter().copied()));
        let hint = match near {
            Some(near) => format!("did you mean {near}?"),
            None => "`timedatectl list-timezones` shows all;".to_owned(),
        };
        CheckError::refused(
            format!("there is no time zone {}", self.name),
            format!("{hint} old names such as US/Eastern are in the package tzdata-legacy on Debian"),
        )
    }
}

/// The zone that a link to `target` in /etc means.
fn zone_of(target: &str) -> Option<String> {
    let (_, zone) = target.split_once("zoneinfo/")?;
    Some(zone.to_owned())
}

fn read(text: &str) -> Option<Found<'_>> {
    let mut lines = text.lines();
    let (now, odd) = match lines.next()? {
        "none" => (String::new(), None),
        "file" => (String::new(), Some("a file, not a link")),
        line => {
            let target = line.strip_prefix("link ")?;
            match zone_of(target) {
                Some(zone) => (zone, None),
                None => (String::new(), Some("a link to somewhere else")),
            }
        }
    };
    let (mut name, mut systemd) = (None, false);
    loop {
        let line = lines.next()?;
        let data = match line {
            "there" => Data::There,
            "no data" => Data::None,
            "missing" => Data::Without(lines.collect()),
            "systemd" => {
                systemd = true;
                continue;
            }
            _ => {
                name = Some(
                    line.strip_prefix("name").filter(|rest| rest.is_empty() || rest.starts_with(' '))?.trim(),
                );
                continue;
            }
        };
        return Some(Found { now, odd, name, systemd, data });
    }
}
