//! How `command` and `script` know whether they have to run.

use std::collections::BTreeMap;
use std::time::Duration;

use super::path;
use crate::model::{FileKind, Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::{Handle, Library};
use crate::step::{Change, Invalid, Verdict};

/// Runs code of the user in a shell of its own; see there.
pub static BOUNDED: Library = Library::new("guards/bounded.sh", include_str!("guards/bounded.sh"), &[]);

/// Sets where code of the user runs, and with what; see there.
static SURROUNDINGS: Library =
    Library::new("guards/surroundings.sh", include_str!("guards/surroundings.sh"), &[]);

/// Runs what guards allow; see there.
pub static GUARDED: Library =
    Library::new("guards/guarded.sh", include_str!("guards/guarded.sh"), &[&BOUNDED, &SURROUNDINGS]);

program! {
    /// Asks the guards.
    AskGuards in "guards/ask_guards.sh" uses [path::NETWORK, BOUNDED, SURROUNDINGS] {
        creates: List, removes: List, environment: List, folder: Word, unless: Word, only_if: Word
    }
}

/// What guards are asked by.
pub const PROGRAMS: &[Handle] = &[AskGuards::program];

/// A guard that takes longer is stopped, and the check fails. The program bounds it.
pub const GUARD_TIMEOUT: Duration = Duration::from_mins(1);

/// What `ask_guards.sh` tells of a guard that did not end in that time: no exit code is it.
const LATE: i32 = 256;

/// What tells whether a command has to run, and where and with what it runs.
#[derive(Debug, Clone, Default)]
pub struct Guards {
    /// It is done when all of these paths are there.
    pub creates: Vec<String>,
    /// It is done when none of these paths is there.
    pub removes: Vec<String>,
    /// It is done when this command succeeds.
    pub unless: Option<String>,
    /// It is done when this command fails.
    pub only_if: Option<String>,
    /// It runs at every apply.
    pub always: bool,
    /// Where guards and command run.
    pub chdir: Option<String>,
    /// What is in their environment.
    pub env: BTreeMap<String, String>,
}

impl Guards {
    /// Returns the mistakes in what the user wrote, and completes it.
    pub fn validate(&mut self) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        for (key, paths) in [("creates", &mut self.creates), ("removes", &mut self.removes)] {
            for (n, path) in paths.iter_mut().enumerate() {
                invalid.extend(path::normalise(path, &format!("{key}[{n}]")));
            }
        }
        if let Some(dir) = &mut self.chdir {
            invalid.extend(path::normalise(dir, "chdir"));
        }
        let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        for key in self.env.keys() {
            if key.is_empty() || key.starts_with(|c: char| c.is_ascii_digit()) || !key.chars().all(name) {
                let message = format!("{key:?} cannot be the name of an environment variable");
                invalid.push(Invalid::new(format!("env.{key}"), message));
            }
        }
        if self.always && (!self.creates.is_empty() || !self.removes.is_empty() || self.unless.is_some()) {
            invalid.push(
                Invalid::new("always", "`always = true` and a guard exclude each other")
                    .help("leave `always` out: the guard says when it runs"),
            );
        }
        for (key, code) in [("unless", &self.unless), ("only_if", &self.only_if)] {
            if code.as_ref().is_some_and(|c| c.trim().is_empty()) {
                invalid.push(Invalid::new(key, "the command is empty"));
            }
        }
        invalid
    }

    /// Whether nothing says when it has to run: then it is good for a handler alone.
    pub fn is_empty(&self) -> bool {
        self.creates.is_empty()
            && self.removes.is_empty()
            && self.unless.is_none()
            && self.only_if.is_none()
            && !self.always
    }

    /// Whether they are asked by commands, of which nobody knows what they look at.
    pub fn look_anywhere(&self) -> bool {
        self.unless.is_some() || self.only_if.is_some()
    }

    /// Whether it shows afterwards that it was done, so that nobody does it a second time.
    pub fn tell_when_done(&self) -> bool {
        !self.creates.is_empty() || !self.removes.is_empty() || self.unless.is_some()
    }

    /// What is in the environment of guards and command, `NAME=VALUE` each.
    pub fn environment(&self) -> Vec<String> {
        self.env.iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    /// Where guards and command run; empty for wherever they are.
    pub fn folder(&self) -> &str {
        self.chdir.as_deref().unwrap_or_default()
    }

    /// The question, if there is one.
    pub fn probe(&self) -> Option<Probe> {
        let runs = self.unless.is_some() || self.only_if.is_some();
        if !runs && self.creates.is_empty() && self.removes.is_empty() {
            return None;
        }
        let ask = AskGuards {
            creates: &self.creates,
            removes: &self.removes,
            environment: if runs { &self.environment() } else { &[] },
            folder: if runs { self.folder() } else { "" },
            unless: self.unless.as_deref().unwrap_or_default(),
            only_if: self.only_if.as_deref().unwrap_or_default(),
        };
        Some(Probe::new(ask.script()).sharing(path::SHARED_NETWORK))
    }

    fn paths(&self) -> impl Iterator<Item = (&'static str, &String)> {
        self.creates.iter().map(|p| ("creates", p)).chain(self.removes.iter().map(|p| ("removes", p)))
    }

    /// The verdict, `change` being what is done when it has to run.
    pub fn check(&self, readings: &Readings, mut change: Change) -> Result<Verdict, CheckError> {
        if self.is_empty() {
            return Err(CheckError::refused(
                "nothing says how to know whether it has to run",
                "give `creates`, `removes`, `unless` or `only_if`; or `always = true`; or make it a handler"
                    .to_owned(),
            ));
        }
        change.always = self.always;
        for path in &self.creates {
            change = change.expect(Resource::here(Kind::Path, path), State::Present);
        }
        for path in &self.removes {
            change = change.expect(Resource::here(Kind::Path, path), State::Absent);
        }
        let Some(probe) = self.probe() else { return Ok(Verdict::Drift(change)) };
        let answer = readings.of(&probe)?;
        let text = answer.text();
        let unreadable = || CheckError::unreadable(&probe, answer, "expected the exit code of each guard");
        if !answer.ok() {
            return Err(unreadable());
        }
        let mut codes = Vec::new();
        for line in text.lines() {
            let code =
                line.split_once(' ').and_then(|(guard, code)| Some((guard, code.parse::<i32>().ok()?)));
            codes.push(code.ok_or_else(unreadable)?);
        }
        let mut codes = codes.into_iter().peekable();
        let mut there = Vec::new();
        for (guard, path) in self.paths() {
            let now = match codes.next() {
                Some((name, code)) if name == guard && code < 2 => code == 0,
                // No `test` ends so by itself.
                Some((name, 124 | 137)) if name == guard => {
                    return Err(CheckError::refused(
                        format!("{path} does not answer: its file system hangs"),
                        "see whether its server is up".to_owned(),
                    ));
                }
                _ => return Err(unreadable()),
            };
            there.push(match readings.expected(&Resource::here(Kind::Path, path)) {
                None => now,
                Some(State::Absent) => false,
                Some(State::File(file)) => file.kind != FileKind::Absent,
                Some(_) => true,
            });
        }
        let (creates, removes) = there.split_at(self.creates.len());
        if !creates.is_empty() && creates.iter().all(|t| *t) {
            return Ok(Verdict::satisfied(format!("{} is there", self.creates.join(", "))));
        }
        if !removes.is_empty() && removes.iter().all(|t| !*t) {
            return Ok(Verdict::satisfied(format!("{} is not there", self.removes.join(", "))));
        }
        for (guard, code) in [("unless", &self.unless), ("only_if", &self.only_if)] {
            let Some(code) = code else { continue };
            let understood = codes.next_if(|(name, _)| *name == "read").is_some();
            match codes.next() {
                Some(("chdir", 1)) => {
                    let dir = self.chdir.as_deref().unwrap_or_default();
                    return Ok(Verdict::Unknown {
                        until: Resource::here(Kind::Path, dir),
                        otherwise: format!("there is no directory {dir} for `chdir`"),
                        then: Some(change),
                    });
                }
                Some((name, rc)) if name == guard => match (guard, rc) {
                    (_, LATE) => {
                        return Err(CheckError::refused(
                            format!("`{guard}` did not end within {} s", GUARD_TIMEOUT.as_secs()),
                            "make it quick: it is asked at every plan".to_owned(),
                        ));
                    }
                    (_, 127) => {
                        let command = first_word(code);
                        return Ok(Verdict::Unknown {
                            until: Resource::here(Kind::Command, command),
                            otherwise: format!(
                                "`{guard}` cannot be asked: {}",
                                last_line(&answer.error_text())
                            ),
                            then: Some(change),
                        });
                    }
                    (_, 126) => {
                        return Err(CheckError::refused(
                            format!("`{guard}` cannot be run: {}", last_line(&answer.error_text())),
                            "see whether it is executable, and for whom".to_owned(),
                        ));
                    }
                    // A mistake in it must not pass for "nothing to do".
                    ("only_if", rc) if rc != 0 && !understood => {
                        return Err(CheckError::refused(
                            format!(
                                "the shell does not understand `only_if`: {}",
                                last_line(&answer.error_text())
                            ),
                            "try it with `sh -n`".to_owned(),
                        ));
                    }
                    ("unless", 0) => {
                        return Ok(Verdict::satisfied(format!("`{}` succeeds", brief(code.trim()))));
                    }
                    ("only_if", rc) if rc != 0 => {
                        return Ok(Verdict::satisfied(format!(
                            "`{}` fails (exit code {rc})",
                            brief(code.trim())
                        )));
                    }
                    _ => {}
                },
                _ => return Err(unreadable()),
            }
        }
        Ok(Verdict::Drift(change))
    }

    /// What exists once it has run.
    pub fn provides(&self) -> Vec<Resource> {
        self.creates.iter().map(|p| Resource::here(Kind::Path, p)).collect()
    }

    /// What the guards rely on.
    pub fn needs(&self) -> Vec<Resource> {
        let paths = self.paths().map(|(_, p)| p).chain(&self.chdir);
        let mut needs: Vec<_> = paths.map(|p| Resource::here(Kind::Path, p)).collect();
        for code in self.unless.iter().chain(&self.only_if) {
            needs.push(Resource::here(Kind::Command, first_word(code)));
        }
        needs
    }

    /// What holds a notified handler back: the notice is the reason to run, `only_if` alone can still say no.
    pub fn only_if_of(&self, occasion: Occasion) -> &str {
        match occasion {
            Occasion::Notified => self.only_if.as_deref().unwrap_or_default(),
            Occasion::Judged => "",
        }
    }
}

/// Why something is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// Its guards were asked.
    Judged,
    /// It is a handler, and was notified.
    Notified,
}

/// The exit codes that are good, as programs take them; empty for 0 alone.
pub fn ok_codes(codes: &[u32]) -> String {
    let codes: Vec<String> = codes.iter().map(u32::to_string).collect();
    if codes == ["0"] { String::new() } else { codes.join(" ") }
}

/// The program that code begins with, as far as one can tell.
pub fn first_word(code: &str) -> &str {
    let assigns =
        |w: &&str| w.contains('=') || matches!(*w, "!" | "{" | "(" | "sudo" | "exec" | "test" | "[");
    let word = code.split_whitespace().find(|w| !assigns(w)).unwrap_or_default();
    word.rsplit('/').next().unwrap_or_default()
}

fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or("command not found").to_owned()
}

/// The first line of code, shortened, for a label.
pub fn brief(code: &str) -> String {
    let line = code.lines().next().unwrap_or_default();
    if line.chars().count() <= 60 && line.len() == code.len() {
        return line.to_owned();
    }
    format!("{} ...", line.chars().take(57).collect::<String>().trim_end())
}
