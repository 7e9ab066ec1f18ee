//! `script`: a script of the controller that runs on the host when its guards say so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::family::guards::{self, Guards, Occasion};
use super::family::put;
use super::{Action, Change, Context, Invalid, Inverse, Payload, Role, Step, Validate, Value, Verdict};
use crate::model::Resource;
use crate::model::digest::sha256;
use crate::model::value::one_or_many;
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::Programs;
use crate::shell::quote;

program! {
    /// Runs it.
    RunScript in "script/run_script.sh" runs users uses [guards::GUARDED] {
        interpreter: List, arguments: List, sum: Word, environment: List, folder: Word, ok_codes: Word, only_if: Word
    }
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs = &[&[RunScript::program], guards::PROGRAMS];

/// A script.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    source: Option<String>,
    template: Option<String>,
    content: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    interpreter: Vec<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    creates: Vec<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    removes: Vec<String>,
    unless: Option<String>,
    only_if: Option<String>,
    #[serde(default)]
    always: bool,
    chdir: Option<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    ok_codes: Vec<u32>,
    #[serde(default)]
    disrupts: Option<String>,
    #[serde(skip)]
    guards: Guards,
    #[serde(skip)]
    bytes: Option<Arc<[u8]>>,
}

/// As of `command`.
const TIMEOUT: Duration = Duration::from_mins(30);

impl Validate for Script {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        self.guards = Guards {
            creates: self.creates.clone(),
            removes: self.removes.clone(),
            unless: self.unless.clone(),
            only_if: self.only_if.clone(),
            always: self.always,
            chdir: self.chdir.clone(),
            env: self.env.clone(),
        };
        let mut invalid = self.guards.validate();
        if let Some(code) = self.ok_codes.iter().find(|c| **c > 255) {
            invalid.push(Invalid::new("ok_codes", format!("{code} is no exit code: they go from 0 to 255")));
        }
        let sources = put::Sources {
            content: self.content.as_deref(),
            source: self.source.as_deref(),
            template: self.template.as_deref(),
        };
        match sources.read(context) {
            Ok(None) => {
                invalid.push(Invalid::new("", "which script? give `source`, `template` or `content`"));
            }
            Ok(bytes) => self.bytes = bytes,
            Err(error) => invalid.push(error),
        }
        if let Some(bytes) = self.bytes.as_ref().filter(|_| self.interpreter.is_empty()) {
            match shebang(bytes) {
                Ok(words) => self.interpreter = words,
                Err(why) => invalid.push(Invalid::new("", why).help("name its `interpreter`")),
            }
        }
        invalid
    }
}

impl Step for Script {
    fn probes(&self) -> Vec<Probe> {
        self.guards.probe().into_iter().collect()
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        self.guards.check(readings, self.change(Occasion::Judged))
    }

    fn inverse(&self, _: &Change) -> Inverse {
        Inverse::none("what a script did has no way back")
    }

    fn provides(&self) -> Vec<Resource> {
        self.guards.provides()
    }

    fn needs(&self) -> Vec<Resource> {
        self.guards.needs()
    }

    fn opaque(&self) -> bool {
        true
    }

    fn looks_anywhere(&self) -> bool {
        self.guards.look_anywhere()
    }

    fn on_notify(&self, _: &Readings) -> Result<Option<Change>, CheckError> {
        Ok(Some(Change { always: true, ..self.change(Occasion::Notified) }))
    }

    fn misplaced(&self, _: Role) -> Option<Invalid> {
        None
    }
}

impl Script {
    fn change(&self, occasion: Occasion) -> Change {
        let bytes = self.bytes.clone().unwrap_or_else(|| Arc::from(&b""[..]));
        let name = self.source.as_ref().or(self.template.as_ref()).map_or_else(
            || guards::brief(self.content.as_deref().unwrap_or_default().trim()),
            |path| path.rsplit('/').next().unwrap_or_default().to_owned(),
        );
        let program = RunScript {
            interpreter: &self.interpreter,
            arguments: &self.args,
            sum: &sha256(&bytes),
            environment: &self.guards.environment(),
            folder: self.guards.folder(),
            ok_codes: &guards::ok_codes(&self.ok_codes),
            only_if: self.guards.only_if_of(occasion),
        };
        let label = format!("run the script {name}");
        let action = Action::new(label.clone(), program.script())
            .timeout(TIMEOUT)
            .payload(Payload(Arc::clone(&bytes)));
        let action = if self.guards.tell_when_done() { action.lasting() } else { action.once() };
        let mut change =
            Change::new(label).field("script", Value::Absent, put::show_bytes(&bytes)).action(action);
        if !self.args.is_empty() {
            change = change.field(
                "args",
                Value::Absent,
                self.args.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "),
            );
        }
        change.disrupts.clone_from(&self.disrupts);
        change
    }
}

/// The interpreter that a script's first line names, or `sh`. Linux passes all that follows the program as
/// one argument (execve(2)).
fn shebang(bytes: &[u8]) -> Result<Vec<String>, String> {
    // Without this, what is meant for another interpreter would run by `sh`.
    if [&b"\xef\xbb\xbf"[..], b"\xff\xfe", b"\xfe\xff"].iter().any(|mark| bytes.starts_with(mark)) {
        return Err("it begins with a byte order mark, as on Windows".to_owned());
    }
    let Some(rest) = bytes.strip_prefix(b"#!") else {
        return if bytes.starts_with(b"\x7fELF") {
            Err("this is a program, no script".to_owned())
        } else {
            Ok(vec!["sh".to_owned()])
        };
    };
    let line = rest.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| "its first line is no text".to_owned())?;
    if line.ends_with('\r') {
        return Err("its lines end in CR LF, as on Windows".to_owned());
    }
    let line = line.trim();
    let (program, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    if program.is_empty() {
        return Err("its first line names no interpreter".to_owned());
    }
    let argument = argument.trim();
    Ok([program, argument].iter().filter(|w| !w.is_empty()).map(|w| (*w).to_owned()).collect())
}
