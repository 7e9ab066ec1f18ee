//! `sysctl`: a parameter of the running kernel, now and at boot.

use serde::Deserialize;

use super::family::config_file;
use super::family::existence::Existence;
use super::{Action, Change, Context, Invalid, Step, Validate, Value, Verdict};
use crate::model::{Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::sh;

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
            Ok(words(text))
        }
    }
    deserializer.deserialize_any(Visitor).map(Some)
}

/// The kernel puts tabs between the numbers of a value.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
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
            (Existence::Present, None) => invalid.push(Invalid::new("", "the key `value` is missing")),
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
        vec![self.probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let probe = self.probe();
        let answer = readings.of(&probe)?;
        let text = answer.text();
        let mut now = None;
        let mut file = None;
        let mut other = None;
        for line in text.lines() {
            if let Some(value) = line.strip_prefix("now ") {
                now = Some(Some(words(value)));
            } else if line == "missing" {
                now = Some(None);
            } else if let Some(line) = line.strip_prefix("file ") {
                file = Some(line.to_owned());
            } else if let Some(set) = line.strip_prefix("later ") {
                other = Some(set.to_owned());
            } else if line == "now" {
                now = Some(Some(String::new()));
            } else {
                return Err(CheckError::unreadable(
                    &probe,
                    answer,
                    "expected the parameter now and its files",
                ));
            }
        }
        let Some(now) = now.filter(|_| answer.ok()) else {
            return Err(CheckError::unreadable(&probe, answer, "expected the parameter now and its files"));
        };
        let here = Resource::here(Kind::Sysctl, &self.name);
        let mut stored = file.as_deref().and_then(|line| Some(words(line.split_once('=')?.1)));
        let mut now = now;
        match readings.expected(&here) {
            Some(State::Value(value)) => (now, stored) = (Some(value.clone()), Some(value.clone())),
            Some(State::Absent) => stored = None,
            _ => {}
        }
        let Some(wanted) = self.value.as_ref() else {
            return Ok(self.absent(stored, file.is_some(), here));
        };
        if let Some((by, value)) = other.as_deref().and_then(|set| set.split_once(' '))
            && words(value) != *wanted
        {
            return Err(CheckError::refused(
                format!("{by} sets {} = {} at boot, after any file of ours", self.name, words(value)),
                "take that line out with a `line` step, or by hand".to_owned(),
            ));
        }
        let change = self.change(now.as_deref(), stored.as_deref(), wanted, here.clone());
        if now.is_none() {
            return Ok(Verdict::Unknown {
                until: here,
                then: Some(change),
                otherwise: format!(
                    "this kernel has no parameter {}: perhaps a module that brings it is not loaded",
                    self.name
                ),
            });
        }
        if change.fields.is_empty() {
            return Ok(Verdict::satisfied(format!("{} = {wanted}", self.name)));
        }
        Ok(Verdict::Drift(change))
    }

    fn provides(&self) -> Vec<Resource> {
        vec![Resource::here(Kind::Sysctl, &self.name), Resource::here(Kind::Path, &self.file())]
    }

    fn needs(&self) -> Vec<Resource> {
        self.provides()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl Sysctl {
    /// The path below /proc/sys. As in sysctl.d(5), the first separator tells which one separates: in
    /// `net/ipv4/conf/eth0.100/forwarding` dots are part of a name, in `net.ipv4.conf.eth0/100.forwarding` slashes
    /// stand for such dots.
    fn path(&self) -> String {
        let path = if self.name.find(['.', '/']).is_some_and(|at| self.name.as_bytes()[at] == b'/') {
            self.name.clone()
        } else {
            let swap = |c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            };
            self.name.chars().map(swap).collect()
        };
        format!("/proc/sys/{path}")
    }

    fn file(&self) -> String {
        format!("/etc/sysctl.d/90-hostwright-{}.conf", self.name.replace('/', "-"))
    }

    /// Asks the kernel, and the files that are read at boot (sysctl.d(5)): ours, and those that are read after it.
    fn probe(&self) -> Probe {
        Probe::new(sh!(
            r#"if [ -e {} ]; then hw_v=$(cat {}) || exit 3; echo now $hw_v; else echo missing; fi
hw_f={}; hw_n={}
if [ -e "$hw_f" ]; then
  echo "file $(awk '/^[^#;]/ { print; exit }' "$hw_f")"
fi
set --
for hw_o in /usr/lib/sysctl.d/*.conf /usr/local/lib/sysctl.d/*.conf /run/sysctl.d/*.conf /etc/sysctl.d/*.conf /etc/sysctl.conf; do
  [ -f "$hw_o" ] && [ -r "$hw_o" ] && [ "$hw_o" != "$hw_f" ] && set -- "$@" "$hw_o"
done
[ $# -eq 0 ] || awk -v n="$hw_n" -v ours="$hw_f" '
  function base(f) { sub(/.*\//, "", f); return f }
  FNR == 1 { after = (base(FILENAME) > base(ours) || FILENAME == "/etc/sysctl.conf") }
  after && /^[ \t]*[^#; \t]/ {
    at = index($0, "="); if (!at) next
    key = substr($0, 1, at - 1); value = substr($0, at + 1)
    gsub(/[ \t]/, "", key); sub(/^-/, "", key)
    other = key; gsub(/\//, ".", other)
    if (key == n || other == n) { file = FILENAME; last = value }
  }
  END { if (file != "") print "later " file " " last }' "$@"
exit 0"#,
            self.path(),
            self.path(),
            self.file(),
            self.name
        ))
    }

    fn text(&self, value: &str) -> String {
        format!("# Managed by Hostwright.\n{} = {value}\n", self.name)
    }

    fn change(&self, now: Option<&str>, stored: Option<&str>, wanted: &str, here: Resource) -> Change {
        let mut change = Change::new(format!("set {} = {wanted}", self.name));
        if now != Some(wanted) {
            let before = now.map_or(Value::Unknown, Value::from);
            // Not through sysctl(8), which a small host may lack.
            change = change.field("now", before, wanted).action(Action::new(
                format!("set {} in the running kernel", self.name),
                sh!("printf '%s\\n' {} >{}", wanted, self.path()),
            ));
        }
        if stored != Some(wanted) {
            change = change
                .field("at boot", stored.map_or(Value::Absent, Value::from), wanted)
                .action(config_file::replace(&self.file(), &self.text(wanted)));
        }
        change.expect(here, State::Value(wanted.to_owned()))
    }

    fn absent(&self, stored: Option<String>, there: bool, here: Resource) -> Verdict {
        if stored.is_none() && !there {
            return Verdict::satisfied("not set at boot by us");
        }
        Verdict::Drift(
            Change::new(format!("no longer set {} at boot", self.name))
                .field("at boot", stored, Value::Absent)
                .action(config_file::remove(&self.file()))
                .note("the running kernel keeps its value until the next boot")
                .expect(here, State::Absent),
        )
    }
}
