//! `sysctl`: a parameter of the running kernel, now and at boot.

use serde::Deserialize;

use super::family::config_file;
use super::family::existence::Existence;
use super::family::sysctl_d::{self, Boot, Setting};
use super::family::{path, put};
use super::{Action, Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::{Kind, Resource, Secret, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::Programs;
use crate::sh;

program! {
    /// Sets a parameter of the running kernel.
    SetSysctl in "sysctl/set_sysctl.sh" { name: Word, key: Word, value: Hidden }
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs =
    &[&[SetSysctl::program], sysctl_d::PROGRAMS, path::PROGRAMS, put::CONTENT];

/// A kernel parameter.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sysctl {
    name: String,
    #[serde(default, deserialize_with = "number_or_text")]
    value: Option<String>,
    #[serde(default)]
    state: Existence,
}

/// Reads `1` and `"1"` alike, blanks made equal.
fn number_or_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct Visitor;
    impl serde::de::Visitor<'_> for Visitor {
        type Value = String;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a number or a string")
        }
        fn visit_i64<E>(self, number: i64) -> Result<String, E> {
            Ok(number.to_string())
        }
        fn visit_str<E>(self, text: &str) -> Result<String, E> {
            Ok(sysctl_d::words(text))
        }
    }
    deserializer.deserialize_any(Visitor).map(Some)
}

impl Validate for Sysctl {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        let good = |c: char| c.is_ascii_alphanumeric() || "-_./@:".contains(c);
        let parts = self.name.split(['.', '/']).all(|part| !part.is_empty());
        if !parts || !self.name.contains(['.', '/']) || !self.name.chars().all(good) {
            invalid.push(
                Invalid::new("name", format!("{:?} is not the name of a kernel parameter", self.name))
                    .help("as in: vm.overcommit_memory"),
            );
        }
        match (self.state, &self.value) {
            (Existence::Present, None) => invalid.push(Invalid::missing("value")),
            (Existence::Present, Some(value)) if value.is_empty() => {
                invalid.push(Invalid::new("value", "it is empty"));
            }
            (Existence::Absent, Some(_)) => {
                invalid.push(Invalid::new("value", "what is not to be set at boot has no value here"));
            }
            _ => {}
        }
        invalid
    }
}

impl Step for Sysctl {
    fn probes(&self) -> Vec<Probe> {
        vec![self.probe(), sysctl_d::probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let (key, here, file) = (self.key(), self.here(), self.file());
        let boot = Boot::read(readings)?.expected(readings, &key);
        let mut now = self.now(readings)?;
        let mut boot = match readings.expected(&here) {
            Some(State::Value(value)) => {
                now = Now::Is(value.clone());
                boot.with(&file, &self.text(value))
            }
            Some(State::Absent) => boot.with(&file, ""),
            _ => boot,
        };
        let ours = boot.setting_in(&file, &key);
        let Some(wanted) = self.value.as_ref() else {
            return Ok(self.absent(ours, here));
        };
        if let Some(closed) = boot.closed() {
            return Err(CheckError::refused(
                format!("cannot read {closed}, which may set {} at boot", self.name),
                "give the step the rights to read it, with `become = true`".to_owned(),
            ));
        }
        if let Some(target) = boot.link(&file) {
            return Err(CheckError::refused(
                format!("{file} is a symbolic link to {target}, and belongs to this step"),
                "somebody has masked it: remove the link, or the step".to_owned(),
            ));
        }
        let before = boot.setting(&key);
        let holds = |set: &Setting| set.value.as_ref().is_some_and(|v| sysctl_d::same(&key, wanted, v));
        let stored = ours.as_ref().is_some_and(holds);
        if !stored {
            boot = boot.with(&file, &self.text(wanted));
        }
        if let Some(set) = boot.setting(&key).filter(|set| !holds(set)) {
            return Err(self.overridden(&set, boot.link(&set.file)));
        }
        let change = self.change(&now, before.as_ref(), stored, wanted, here.clone());
        let change = match boot.only_by_hand(&key).filter(|v| !sysctl_d::same(&key, wanted, v)) {
            Some(value) => change.note(format!(
                "{} sets {} = {value}: that is not read at boot here, but by `sysctl --system` and `sysctl -p`",
                sysctl_d::MAIN,
                self.name
            )),
            None => change,
        };
        if let Now::Missing = now {
            return Ok(Verdict::Unknown {
                until: here,
                then: Some(change),
                otherwise: format!(
                    "this kernel has no parameter {}: perhaps a module that brings it is not loaded",
                    self.name
                ),
            });
        }
        if !change.fields.is_empty() {
            return Ok(Verdict::Drift(change));
        }
        Ok(Verdict::satisfied(match now {
            _ if self.secret() => format!("{} is set", self.name),
            Now::Is(shown) if shown != *wanted => format!("{} = {wanted}, shown as {shown}", self.name),
            _ => format!("{} = {wanted}", self.name),
        }))
    }

    fn inverse(&self, change: &Change) -> Inverse {
        let files = Inverse::files(change);
        let Some(before) = change.before("now") else { return files };
        let key = self.key();
        let order =
            vec!["sysctl".to_owned(), "-w".to_owned(), format!("{}={before}", sysctl_d::dotted(&key))];
        let unless = sh!("[ \"$(tr '\\t' ' ' <{})\" = {} ]", format!("/proc/sys/{key}"), before);
        files.step("command", [("run", order.into()), ("unless", unless.to_string().into())])
    }

    fn provides(&self) -> Vec<Resource> {
        vec![self.here(), Resource::here(Kind::Path, &self.file())]
    }

    fn needs(&self) -> Vec<Resource> {
        std::iter::once(self.here()).chain(sysctl_d::needs()).collect()
    }
}

/// What the running kernel says of a parameter.
enum Now {
    /// It has no such parameter.
    Missing,
    /// It has one without a value (a secret that nobody has set).
    Unset,
    /// This, blanks made equal.
    Is(String),
}

impl Sysctl {
    /// The path below /proc/sys.
    fn key(&self) -> String {
        sysctl_d::path_of(&self.name)
    }

    /// The parameter, by its name with dots, however the step writes it.
    fn here(&self) -> Resource {
        Resource::here(Kind::Sysctl, &sysctl_d::dotted(&self.key()))
    }

    fn file(&self) -> String {
        let name = sysctl_d::dotted(&self.key()).replace('/', "-");
        format!("{}/90-hostwright-{name}.conf", sysctl_d::FOLDERS[0])
    }

    /// Asks the kernel: the value as it shows it, or code 9 where there is none. Not by `read`, which in some shells takes
    /// one byte at a time, of which the kernel gives but the first.
    fn probe(&self) -> Probe {
        let path = format!("/proc/sys/{}", self.key());
        Probe::new(sh!("[ -e {} ] || exit 9\ncat {}", path, path))
    }

    fn now(&self, readings: &Readings) -> Result<Now, CheckError> {
        let probe = self.probe();
        let answer = readings.of(&probe)?;
        match answer.code {
            0 => Ok(Now::Is(sysctl_d::words(&answer.text()))),
            9 => Ok(Now::Missing),
            _ if answer.error_text().contains("Input/output error") => Ok(Now::Unset),
            _ if answer.error_text().contains("ermission denied") => Err(CheckError::refused(
                format!("not allowed to read {}", self.name),
                "set `become = true`; what root cannot read either is an order to the kernel, not a setting: \
                 that is for a `command`"
                    .to_owned(),
            )),
            _ => Err(CheckError::unreadable(&probe, answer, "expected the value of the parameter")),
        }
    }

    /// Whether it is a key, which nobody needs to see: the kernel shows it in another form than it was written in.
    fn secret(&self) -> bool {
        self.name.ends_with("stable_secret") || self.name.ends_with("tcp_fastopen_key")
    }

    fn text(&self, value: &str) -> String {
        format!("# Managed by Hostwright.\n{} = {value}\n", self.name)
    }

    /// The error that another file has the last word.
    fn overridden(&self, by: &Setting, link: Option<&str>) -> CheckError {
        let Setting { value, file, line } = by;
        let led = link.map(|target| format!(", a link to {target},")).unwrap_or_default();
        let what = match value {
            Some(value) => format!("sets {} = {}", self.name, sysctl_d::words(value)),
            None => format!("keeps {} from being set", self.name),
        };
        let hint = if file.starts_with("/etc/") {
            "take that line out with a `line` step, or by hand".to_owned()
        } else {
            let name = file.rsplit('/').next().unwrap_or_default();
            format!("a file /etc/sysctl.d/{name} is read in place of it: make one without that line")
        };
        CheckError::refused(format!("{file}{led} line {line} {what} at boot, after any file of ours"), hint)
    }

    /// `boot` is what is set at boot now, `stored` whether our file says what is wanted.
    fn change(
        &self,
        now: &Now,
        boot: Option<&Setting>,
        stored: bool,
        wanted: &str,
        here: Resource,
    ) -> Change {
        let mut change = Change::new(if self.secret() {
            format!("set {}", self.name)
        } else {
            format!("set {} = {wanted}", self.name)
        });
        let shown = |value: Value| match value {
            Value::Text(_) if self.secret() => Value::Masked,
            value => value,
        };
        let before = match now {
            Now::Is(value) if sysctl_d::same(&self.key(), wanted, value) => None,
            Now::Is(value) => Some(Value::from(value.as_str())),
            Now::Unset => Some(Value::Absent),
            Now::Missing => Some(Value::Unknown),
        };
        if let Some(before) = before {
            let value = if self.secret() {
                program::Value::Secret(Secret::new(wanted.to_owned()))
            } else {
                program::Value::Plain(wanted.to_owned())
            };
            let set = SetSysctl { name: &self.name, key: &self.key(), value };
            change = change.field("now", shown(before), shown(wanted.into())).action(
                Action::new(format!("set {} in the running kernel", self.name), set.script()).tells(),
            );
        }
        if !stored {
            let file = self.file();
            let before = boot.map_or(Value::Absent, |set| {
                let value =
                    set.value.as_deref().map_or_else(|| "(kept from being set)".to_owned(), sysctl_d::words);
                Value::Text(if set.file == file { value } else { format!("{value} by {}", set.file) })
            });
            change = change
                .field("at boot", shown(before), shown(wanted.into()))
                .action(config_file::replace(&file, self.text(wanted)));
        }
        change.expect(here, State::Value(wanted.to_owned()))
    }

    fn absent(&self, ours: Option<Setting>, here: Resource) -> Verdict {
        let Some(ours) = ours else {
            return Verdict::satisfied("not set at boot by us");
        };
        Verdict::Drift(
            Change::new(format!("no longer set {} at boot", self.name))
                .field("at boot", ours.value.as_deref().map(sysctl_d::words), Value::Absent)
                .action(config_file::remove(&self.file()))
                .note("the running kernel keeps its value until the next boot")
                .expect(here, State::Absent),
        )
    }
}
