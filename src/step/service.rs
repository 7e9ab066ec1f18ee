//! `service`: a systemd unit that runs, and starts at boot, or does not.

use serde::Deserialize;

use super::family::systemd::{self, Boot, UnitFiles, UnitState, unit_name};
use super::{Action, Change, Context, Invalid, Inverse, Role, Step, Validate, Value, Verdict};
use crate::model::{Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: crate::program::Programs = &[systemd::PROGRAMS];

/// A systemd unit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    name: String,
    running: Option<bool>,
    enabled: Option<bool>,
    state: Option<Once>,
    #[serde(default)]
    always: bool,
}

/// What a handler does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Once {
    Restarted,
    Reloaded,
    /// A word of other tools that has a key of its own here: the word, and the way on.
    Other(&'static str, &'static str),
}

/// What other tools call `state`, and what to write.
const OTHER_WORDS: [(&str, &str); 8] = [
    ("started", "write `running = true`"),
    ("running", "write `running = true`"),
    ("stopped", "write `running = false`"),
    ("enabled", "write `enabled = true`"),
    ("disabled", "write `enabled = false`"),
    (
        "present",
        "a unit comes with a `package` or `systemd_unit` step; `running` and `enabled` say how it is to be",
    ),
    (
        "absent",
        "write `running = false, enabled = false`; its file goes with a `package` or `systemd_unit` step",
    ),
    ("masked", "`systemd_unit = { name = ..., masked = true }` masks it"),
];

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "restarted" => Ok(Self::Restarted),
            "reloaded" => Ok(Self::Reloaded),
            _ => OTHER_WORDS
                .iter()
                .find(|(word, _)| *word == text)
                .map(|(word, way)| Self::Other(word, way))
                .ok_or_else(|| serde::de::Error::unknown_variant(&text, &["restarted", "reloaded"])),
        }
    }
}

impl Validate for Service {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.@:\\".contains(c);
        if self.name.is_empty() || !self.name.chars().all(good) {
            invalid.push(Invalid::new("name", format!("{:?} is not the name of a unit", self.name)));
        } else if unit_name(&self.name).contains("@.") {
            invalid.push(
                Invalid::new("name", format!("{:?} is a template: only its instances run", self.name)).help(
                    format!(
                        "name the instance: \"{}@NAME\"",
                        self.name.split('@').next().unwrap_or_default()
                    ),
                ),
            );
        }
        if self.state.is_some() && self.running == Some(false) {
            invalid.push(Invalid::new("running", "a unit cannot be restarted and stopped at once"));
        }
        if self.always && self.state.is_none() {
            invalid.push(
                Invalid::new("always", "what is to be done at every apply?")
                    .help("add `state = \"restarted\"` or `state = \"reloaded\"`"),
            );
        }
        self.name = unit_name(&self.name);
        if self.running.is_none() && self.enabled.is_none() && self.state.is_none() {
            (self.running, self.enabled) = (Some(true), Some(true));
        }
        if self.state.is_some() && self.running.is_none() {
            self.running = Some(true);
        }
        invalid
    }
}

impl Step for Service {
    fn probes(&self) -> Vec<Probe> {
        vec![systemd::probe(&self.name)]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let now = systemd::read(readings, &self.name)?;
        if let Some(verdict) = self.namesakes(&now)? {
            return Ok(verdict);
        }
        if self.wants_it() {
            self.refuse_unusable(&now)?;
        }
        if now.is_absent() {
            return self.absent(&now);
        }
        if now.is_gone() && self.enabled == Some(true) {
            return self.absent(&now);
        }
        if self.always {
            return Ok(Verdict::Drift(self.again(&now)?));
        }
        let change = self.change(&now)?;
        if change.fields.is_empty() {
            return Ok(Verdict::satisfied(self.with_name(&now, now.words())));
        }
        Ok(Verdict::Drift(change))
    }

    fn inverse(&self, change: &Change) -> Inverse {
        let name = || ("name", self.name.as_str().into());
        if change.always {
            // What is restarted for a change is restarted for the way back.
            let state = if self.state == Some(Once::Reloaded) { "reloaded" } else { "restarted" };
            return Inverse::of("service", [name(), ("state", state.into())]);
        }
        let running = change.before("running").map(|before| ("running", before.starts_with("active").into()));
        let enabled =
            change.before("enabled").map(|before| ("enabled", before.starts_with("enabled").into()));
        let back: Vec<_> = running.into_iter().chain(enabled).collect();
        if back.is_empty() {
            return Inverse::none(format!("how {} was before is not known", self.name));
        }
        Inverse::of("service", [name()].into_iter().chain(back))
    }

    fn provides(&self) -> Vec<Resource> {
        vec![self.unit()]
    }

    fn needs(&self) -> Vec<Resource> {
        vec![Resource::here(Kind::Path, &systemd::unit_file(&self.name))]
    }

    fn on_notify(&self, readings: &Readings) -> Result<Option<Change>, CheckError> {
        if self.state.is_none() {
            return Ok(None);
        }
        let now = systemd::read(readings, &self.name)?;
        self.namesakes(&now)?;
        self.refuse_unusable(&now)?;
        if now.is_absent() {
            return Err(CheckError::refused(format!("unit {} not found", self.name), None));
        }
        let mut change = self.again(&now)?;
        change.always = false;
        Ok(Some(change))
    }

    fn misplaced(&self, role: Role) -> Option<Invalid> {
        if let Some(Once::Other(word, way)) = self.state {
            let message = format!("`state = {word:?}` is not what a service takes");
            let help = format!("{way}; `state` is for handlers: \"restarted\" or \"reloaded\"");
            return Some(Invalid::new("state", message).help(help));
        }
        match (role, self.state) {
            (Role::Handler, None) => Some(
                Invalid::new("", "this handler does not say what to do")
                    .help("add `state = \"restarted\"` or `state = \"reloaded\"`"),
            ),
            (Role::InOrder, Some(once)) if !self.always => {
                let (message, verb) = match once {
                    Once::Reloaded => {
                        ("only a handler reloads a unit: here it would never happen", "reloads")
                    }
                    _ => ("only a handler restarts a unit: here it would never happen", "restarts"),
                };
                Some(Invalid::new("state", message).help(format!(
                    "`running = true` keeps it running; `handler = true` with an `id` {verb} it after a step that \
                     changed something and says `notify = \"ID\"`; `always = true` {verb} it at every apply"
                )))
            }
            _ => None,
        }
    }
}

impl Service {
    fn unit(&self) -> Resource {
        Resource::here(Kind::Unit, &self.name)
    }

    /// It is to run or to be enabled.
    fn wants_it(&self) -> bool {
        self.running == Some(true) || self.enabled == Some(true)
    }

    /// The unit's own name: what acts on an alias may take that away first (`disable`), or is refused (`enable`).
    fn id<'a>(&'a self, now: &'a UnitState) -> &'a str {
        if now.id.is_empty() { &self.name } else { &now.id }
    }

    fn with_name(&self, now: &UnitState, words: String) -> String {
        if self.id(now) == self.name { words } else { format!("{}: {words}", now.id) }
    }

    /// Several units have the name as their alias, and none of them is enabled and so has it.
    fn namesakes(&self, now: &UnitState) -> Result<Option<Verdict>, CheckError> {
        if !now.is_absent() || now.namesakes.len() < 2 {
            return Ok(None);
        }
        if !self.wants_it() && !now.namesakes.iter().any(UnitState::is_up) {
            return Ok(Some(Verdict::satisfied("no unit has this name")));
        }
        let names: Vec<_> = now.namesakes.iter().map(|n| n.id.as_str()).collect();
        Err(CheckError::refused(
            format!("no unit is called {}, but it is an alias of several", self.name),
            format!("name the one that is meant: {}", names.join(", ")),
        ))
    }

    fn refuse_unusable(&self, now: &UnitState) -> Result<(), CheckError> {
        let id = self.id(now);
        if now.load == "masked" {
            return Err(CheckError::refused(
                format!("unit {id} is masked"),
                format!("somebody has switched it off for good; to undo that: systemctl unmask {id}"),
            ));
        }
        if now.is_broken() && !now.stale {
            let why = if now.load_error.is_empty() { &now.load } else { &now.load_error };
            return Err(CheckError::refused(
                format!("systemd cannot read the file of {id}: {why}"),
                format!("systemd-analyze verify {id}"),
            ));
        }
        Ok(())
    }

    fn absent(&self, now: &UnitState) -> Result<Verdict, CheckError> {
        if !self.wants_it() {
            return Ok(Verdict::satisfied("there is no such unit"));
        }
        // Debian's packages enable and start their units (Debian Policy 9.3.3.1); the others leave that to presets,
        // which start nothing.
        let comes_started = now.debian && !self.always;
        let otherwise = if now.is_up() {
            format!("unit {} still runs, but its file is gone, so that nothing can be enabled", self.name)
        } else {
            format!("unit {} not found", self.name)
        };
        let fresh = UnitState::fresh();
        let then = if self.always { self.again(&fresh) } else { self.change(&fresh) }?;
        Ok(Verdict::Unknown { until: self.unit(), then: (!comes_started).then_some(then), otherwise })
    }

    /// What a handler does, and what `always = true` does at every apply.
    fn again(&self, now: &UnitState) -> Result<Change, CheckError> {
        let id = self.id(now);
        let (verb, word, done) = match self.state {
            Some(Once::Reloaded) => ("reload-or-restart", "reload", "reloaded"),
            _ => ("restart", "restart", "restarted"),
        };
        let mut change = Change::default();
        let mut verbs = Vec::new();
        let files = self.switch(now, &mut change, &mut verbs)?;
        verbs.push(word);
        let before = if now.load == "fresh" { Value::Unknown } else { now.activity().into() };
        change = change
            .field("state", before, done)
            .action(Action::new(format!("{word} {id}"), systemd::start(verb, id, files)).lasting());
        change.always = true;
        Ok(self.told(now, change, &verbs))
    }

    /// A unit by its full name that is to stand so.
    pub(super) fn switching(unit: &str, running: Option<bool>, enabled: Option<bool>) -> Self {
        Self { name: unit.to_owned(), running, enabled, state: None, always: false }
    }

    /// What starts, stops, enables or disables it: no fields if nothing does.
    pub(super) fn switched(&self, now: &UnitState) -> Result<Change, CheckError> {
        self.change(now)
    }

    fn change(&self, now: &UnitState) -> Result<Change, CheckError> {
        let id = self.id(now);
        let fresh = now.load == "fresh";
        let mut change = Change::default();
        let mut verbs = Vec::new();
        if self.running == Some(false) && now.is_up() {
            let mut units = vec![id.to_owned()];
            // What waits for work would start it again.
            units.extend(now.triggers.iter().filter(|t| t.active && t.on_demand()).map(|t| t.id.clone()));
            change = change
                .field("running", now.activity(), "inactive")
                .action(Action::new(format!("stop {id}"), systemd::stop(&units)).lasting());
            verbs.push("stop");
            for timer in now.triggers.iter().filter(|t| t.active && !t.on_demand()) {
                change = change.note(format!("{} will start it again at its time", timer.id));
            }
        }
        let files = self.switch(now, &mut change, &mut verbs)?;
        if self.running == Some(true) && !now.runs() {
            let verb = if now.active == "active" { "restart" } else { "start" };
            let before = if fresh { Value::Unknown } else { now.activity().into() };
            let after = if now.runs_to_its_end { "has run to its end" } else { "active" };
            change = change
                .field("running", before, after)
                .action(Action::new(format!("{verb} {id}"), systemd::start(verb, id, files)).lasting());
            verbs.push(verb);
        }
        Ok(self.told(now, change, &verbs))
    }

    /// Adds what makes it start at boot, or not; returns what systemd then knows of the unit files.
    fn switch(
        &self,
        now: &UnitState,
        change: &mut Change,
        verbs: &mut Vec<&'static str>,
    ) -> Result<UnitFiles, CheckError> {
        let id = self.id(now);
        let (Some(wanted), false) = (self.enabled, now.is_gone()) else { return Ok(UnitFiles::Unknown) };
        match (wanted, now.boot()) {
            (true, Boot::Enabled | Boot::Others(true)) | (false, Boot::Disabled | Boot::Others(false)) => {
                return Ok(UnitFiles::Unknown);
            }
            // Its file has gone, and systemd has not looked since: there is nothing that could start at boot.
            (false, Boot::Others(_)) if now.file == "bad" && now.stale => return Ok(UnitFiles::Unknown),
            (_, Boot::Others(_)) if !now.passes_on() => return Err(self.not_to_be_switched(now, wanted)),
            _ => {}
        }
        let (verb, after, script) = if wanted {
            ("enable", "enabled", systemd::enable(id))
        } else {
            ("disable", "disabled", systemd::disable(id, now.boot() == Boot::Runtime))
        };
        let before = if now.load == "fresh" { Value::Unknown } else { now.file.clone().into() };
        *change = std::mem::take(change)
            .field("enabled", before, after)
            .action(Action::new(format!("{verb} {id}"), script).lasting());
        verbs.push(verb);
        Ok(if wanted { UnitFiles::Fresh } else { UnitFiles::Unknown })
    }

    /// `systemctl enable` and `disable` would do nothing, and say good.
    fn not_to_be_switched(&self, now: &UnitState, wanted: bool) -> CheckError {
        let id = self.id(now);
        let file = if now.file.is_empty() { "without a file of its own" } else { &now.file };
        let source =
            if now.source.is_empty() { String::new() } else { format!(", made from {}", now.source) };
        if wanted {
            return CheckError::refused(
                format!("nothing starts {id} at boot, and it cannot be enabled: it is {file}{source}"),
                "leave `enabled` out, or give it a drop-in with `[Install]` and `WantedBy=multi-user.target`"
                    .to_owned(),
            );
        }
        let mut by = now.starters.clone();
        by.extend(now.triggers.iter().filter(|t| t.enabled).map(|t| t.id.clone()));
        CheckError::refused(
            format!("{id} cannot be disabled: it is {file}{source}, and is started by {}", by.join(", ")),
            format!("disable what starts it, or mask it (systemctl mask {id}); or leave `enabled` out"),
        )
    }

    fn told(&self, now: &UnitState, mut change: Change, verbs: &[&str]) -> Change {
        let id = self.id(now);
        change.summary = format!("{} {id}", verbs.join(" and "));
        let state = State::Unit { active: self.running, enabled: self.enabled };
        if id != self.name {
            change = change
                .note(format!("{} is another name of {id}", self.name))
                .expect(Resource::here(Kind::Unit, id), state.clone());
        }
        change.expect(self.unit(), state)
    }
}
