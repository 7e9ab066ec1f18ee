//! `systemd_unit`: a file of a systemd unit, a drop-in of one, or a unit that is masked.

use std::sync::Arc;

use serde::Deserialize;

use super::family::attributes::{self, Attributes};
use super::family::existence::Existence;
use super::family::path::{self, CONTENT_LIMIT, Depth, Found, Query};
use super::family::put::{self, Backup, Put, Remove, same};
use super::family::systemd::{self, UnitState, unit_file, unit_name};
use super::service::Service;
use super::{Action, Change, Context, Field, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::{FileContent, FileKind, FileState, Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program::Programs;

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs =
    &[systemd::PROGRAMS, path::PROGRAMS, put::CONTENT, put::ATTRIBUTES, put::LINKS];

/// A unit that leads here is masked (systemd.unit(5)).
const NOTHING: &str = "/dev/null";

/// A file of systemd.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemdUnit {
    name: String,
    content: Option<String>,
    source: Option<String>,
    template: Option<String>,
    dropin: Option<String>,
    enabled: Option<bool>,
    running: Option<bool>,
    masked: Option<bool>,
    #[serde(default)]
    state: Existence,
    /// All of the wanted content, wherever it came from.
    #[serde(skip)]
    bytes: Option<Arc<[u8]>>,
    /// A secret went into it.
    #[serde(skip)]
    holds_secret: bool,
}

impl Validate for SystemdUnit {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.@:\\".contains(c);
        if self.name.is_empty() || self.name.starts_with(['.', '-']) || !self.name.chars().all(good) {
            invalid.push(Invalid::new("name", format!("{:?} is not the name of a unit", self.name)));
        }
        self.name = unit_name(&self.name);
        if let Some(dropin) = &mut self.dropin {
            if dropin.is_empty() || dropin.starts_with('.') || !dropin.chars().all(good) {
                invalid
                    .push(Invalid::new("dropin", format!("{dropin:?} is not the name of a drop-in")).help(
                    "such as \"limits.conf\": systemd reads those of one unit in the order of their names",
                ));
            } else if std::path::Path::new(dropin.as_str()).extension().is_none_or(|end| end != "conf") {
                dropin.push_str(".conf");
            }
        }
        let sources = put::Sources {
            content: self.content.as_deref(),
            source: self.source.as_deref(),
            template: self.template.as_deref(),
        };
        let given = sources.given();
        let switches = [("enabled", self.enabled), ("running", self.running), ("masked", self.masked)];
        if self.state == Existence::Absent {
            let set = switches.iter().filter(|(_, value)| value.is_some()).map(|(key, _)| *key);
            for key in given.iter().copied().chain(set) {
                invalid.push(Invalid::new(key, format!("`{key}` has no meaning with `state = \"absent\"`")));
            }
        } else if self.masked == Some(true) {
            let on = switches[..2].iter().filter(|(_, value)| *value == Some(true)).map(|(key, _)| *key);
            for key in given.iter().copied().chain(on).chain(self.dropin.as_ref().map(|_| "dropin")) {
                invalid.push(Invalid::new(key, format!("a masked unit has no `{key}`")));
            }
        } else if given.is_empty() && (self.masked.is_none() || self.dropin.is_some()) {
            invalid.push(Invalid::missing("content").help(
                "or `source`, or `template`; a unit that a package brings is started and enabled by `service`",
            ));
        }
        match sources.read(context) {
            Ok(bytes) => self.bytes = bytes,
            Err(error) => invalid.push(error),
        }
        if let (Some(bytes), [key, ..]) = (&self.bytes, given.as_slice()) {
            invalid.extend(self.mistake(key, bytes, self.enabled));
        }
        if self.name.contains("@.") && (self.enabled.is_some() || self.running.is_some()) {
            let key = if self.enabled.is_some() { "enabled" } else { "running" };
            invalid.push(
                Invalid::new(key, format!("{} is a template: only its instances run", self.name))
                    .help("leave it out here, and name an instance in a `service` step"),
            );
        }
        self.holds_secret = (context.holds_secret)();
        invalid
    }
}

impl SystemdUnit {
    /// What is wrong with a content, as far as it can be told without systemd.
    fn mistake(&self, key: &str, bytes: &[u8], enabled: Option<bool>) -> Option<Invalid> {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Some(Invalid::new(key, "a unit is text in UTF-8"));
        };
        let lines = || text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with(['#', ';']));
        match lines().next() {
            None => return Some(Invalid::new(key, "there is nothing in this unit")),
            Some(first) if !(first.starts_with('[') && first.ends_with(']')) => {
                return Some(
                    Invalid::new(key, format!("a unit begins with a section, not with {first:?}"))
                        .help("[Unit], [Service], [Timer] (systemd.unit(5))"),
                );
            }
            Some(_) => {}
        }
        if enabled == Some(true) && self.dropin.is_none() && !lines().any(|l| l == "[Install]") {
            return Some(
                Invalid::new("enabled", "this unit cannot be enabled: it has no section [Install]")
                    .help("add [Install] with WantedBy=multi-user.target, or timers.target for a timer"),
            );
        }
        None
    }

    fn file(&self) -> String {
        match &self.dropin {
            Some(dropin) => format!("/etc/systemd/system/{}.d/{dropin}", self.name),
            None => unit_file(&self.name),
        }
    }

    /// The file, in words.
    fn what(&self) -> String {
        match &self.dropin {
            Some(dropin) => format!("the drop-in {dropin} of {}", self.name),
            None => format!("the unit {}", self.name),
        }
    }

    fn wanted(&self) -> Attributes {
        // Everybody may look at units, and systemd warns of one that is not to be seen.
        Attributes::new(Some(if self.holds_secret { "0600" } else { "0644" }), Some("root"), Some("root"))
    }

    fn switch(&self) -> Option<Service> {
        (self.enabled.is_some() || self.running.is_some())
            .then(|| Service::switching(&self.name, self.running, self.enabled))
    }
}

impl Step for SystemdUnit {
    fn probes(&self) -> Vec<Probe> {
        vec![path::probe(&self.file(), Depth::Content(CONTENT_LIMIT)), systemd::probe(&self.name)]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let file = self.file();
        let found = Query::new(&file, Depth::Content(CONTENT_LIMIT)).read(readings)?;
        let unit = systemd::read(readings, &self.name)?;
        let masks = matches!(&found.file.kind, FileKind::Link(target) if target == NOTHING);
        match &found.file.kind {
            FileKind::Absent | FileKind::File => {}
            FileKind::Link(_) if masks => {}
            other => {
                return Err(CheckError::refused(
                    format!("{file} is not a file but a {}", path::word(other)),
                    "see who put it there: `systemctl link` and an alias make such links".to_owned(),
                ));
            }
        }
        if self.state == Existence::Absent {
            return self.absent(&file, &found, &unit);
        }
        if self.masked == Some(true) {
            return self.mask(&file, &found, masks, &unit);
        }
        if masks && self.masked.is_none() {
            return Err(CheckError::refused(
                format!("unit {} is masked", self.name),
                "somebody has switched it off for good; `masked = false` undoes that".to_owned(),
            ));
        }
        let mut change = Change::new(String::new());
        let mut words = Vec::new();
        if masks {
            change = change.field("masked", "yes", "no");
        }
        let written = match &self.bytes {
            Some(bytes) => self.write(&file, &found, masks, bytes, &mut change),
            None if masks => {
                words.push(format!("unmask {}", self.name));
                let remove = put::remove(&file, Remove::Link);
                change.actions.push(Action::new(format!("unmask {}", self.name), remove).tells());
                change.expects.push((Resource::here(Kind::Path, &file), State::Absent));
                true
            }
            None => false,
        };
        let rewritten = change.fields.iter().any(|f| f.name == "content");
        if written && self.bytes.is_some() {
            words.push(format!(
                "{} {}",
                if rewritten { "write" } else { "set mode or owner of" },
                self.what()
            ));
        }
        if written || unit.stale {
            if !written {
                words.push(format!("read {} anew", self.what()));
                change = change.field("read by systemd", "an older file", "this file");
            }
            change.actions.push(systemd::read_unit_files());
        } else if self.bytes.is_some() && unit.is_broken() && self.dropin.is_none() {
            let why = if unit.load_error.is_empty() { &unit.load } else { &unit.load_error };
            return Err(CheckError::refused(
                format!("systemd cannot read {}: {why}", self.what()),
                format!("systemd-analyze verify {file}"),
            ));
        }
        let writes_anew = rewritten && found.file.kind == FileKind::File;
        let restarts = self.running == Some(true) && !unit.runs();
        if writes_anew && unit.is_up() && !restarts {
            change = change
                .note(format!("{} goes on as it was until it is restarted: `notify` does that", self.name));
        }
        let fresh =
            self.bytes.is_some() && self.dropin.is_none() && (masks || unit.is_absent() || unit.is_broken());
        let state = State::Unit { active: self.running, enabled: self.enabled };
        let here = Resource::here(Kind::Unit, &self.name);
        if let Some(service) = self.switch() {
            if unit.is_absent() && !fresh {
                return Ok(Verdict::Unknown {
                    until: here,
                    then: Some(Change { summary: words.join(", "), ..change }),
                    otherwise: format!("unit {} not found", self.name),
                });
            }
            let from = if fresh {
                UnitState {
                    load: "loaded".into(),
                    active: "inactive".into(),
                    file: "disabled".into(),
                    ..UnitState::default()
                }
            } else {
                unit.clone()
            };
            let part = service.switched(&from)?;
            if !part.fields.is_empty() {
                words.push(part.summary);
                change.fields.extend(part.fields);
                change.actions.extend(part.actions);
                change.notes.extend(part.notes);
            }
        }
        if change.actions.is_empty() {
            return Ok(Verdict::satisfied(self.reason(&unit)));
        }
        change.summary = words.join(", ");
        if self.dropin.is_none() || self.switch().is_some() {
            change = change.expect(here, state);
        }
        Ok(found.drift(&file, change, true))
    }

    fn inverse(&self, change: &Change) -> Inverse {
        let mut keys: Vec<(&'static str, toml::Value)> = vec![("name", self.name.as_str().into())];
        keys.extend(self.dropin.as_deref().map(|dropin| ("dropin", dropin.into())));
        let before = |name: &str| change.fields.iter().find(|f| f.name == name).map(|f| &f.before);
        let on = |name: &str, word: &str| change.before(name).map(|before| before.starts_with(word));
        let text = match before("content") {
            Some(Value::Absent) => {
                let masked = [("name", self.name.as_str().into()), ("masked", true.into())];
                keys.push(("state", "absent".into()));
                let removed = Inverse::of("systemd_unit", keys);
                return if before("masked").is_some() {
                    removed.step("systemd_unit", masked)
                } else if self.dropin.is_some() {
                    // The drop-in alone goes: how the unit stood is put back beside it.
                    removed.and(self.back(change))
                } else {
                    removed
                };
            }
            Some(Value::Content(text))
                if self.mistake("content", text.as_bytes(), on("enabled", "enabled")).is_none() =>
            {
                Some(text.clone())
            }
            Some(_) => return Inverse::files(change).and(self.back(change)),
            None => None,
        };
        match (before("masked"), text) {
            (Some(Value::Text(word)), _) => {
                keys.push(("masked", (word == "yes").into()));
                if word == "yes" {
                    return Inverse::of("systemd_unit", keys);
                }
                let inverse = Inverse::of("systemd_unit", keys);
                inverse.and(self.back(change))
            }
            (_, Some(text)) => {
                keys.push(("content", text.into()));
                keys.extend(on("running", "active").map(|on| ("running", on.into())));
                keys.extend(on("enabled", "enabled").map(|on| ("enabled", on.into())));
                Inverse::of("systemd_unit", keys)
            }
            (_, None) => attributes::inverse("file", &self.file(), false, change).and(self.back(change)),
        }
    }

    fn provides(&self) -> Vec<Resource> {
        if self.state == Existence::Absent {
            return Vec::new();
        }
        let file = Resource::here(Kind::Path, &self.file());
        if self.dropin.is_some() { vec![file] } else { vec![file, Resource::here(Kind::Unit, &self.name)] }
    }

    fn needs(&self) -> Vec<Resource> {
        let mut needs = Query::new(&self.file(), Depth::Content(CONTENT_LIMIT)).needs();
        needs.push(Resource::here(Kind::Unit, &self.name));
        needs
    }
}

impl SystemdUnit {
    fn reason(&self, unit: &UnitState) -> String {
        match (&self.dropin, self.bytes.is_some()) {
            (Some(dropin), _) if self.switch().is_none() => format!("{dropin} is as described"),
            (_, false) => "not masked".to_owned(),
            _ => unit.words(),
        }
    }

    /// Adds that the file is written, or gets its owner and mode; returns whether there is something to do.
    fn write(&self, file: &str, found: &Found, masks: bool, bytes: &Arc<[u8]>, change: &mut Change) -> bool {
        let now = &found.file;
        let fresh = now.kind != FileKind::File;
        let wanted = self.wanted();
        let mut state = if fresh { FileState::fresh(FileKind::File) } else { now.clone() };
        let fields = wanted.difference(&mut state, fresh);
        let differs = fresh || !same(&now.content, bytes);
        if differs {
            let put = Put {
                mode: Some(state.mode),
                make_folders: true,
                force: masks,
                secret: self.holds_secret,
                made_from: (!masks).then_some(now),
                ..Put::new(file, bytes, &wanted)
            };
            let before = if fresh { Value::Absent } else { put::show(&now.content) };
            change.fields.push(Field { name: "content".into(), before, after: put::show_bytes(bytes) });
            change.actions.push(put.action(format!("write {file}")));
            state.content = FileContent::Bytes(Arc::clone(bytes));
        } else {
            let Some(action) = wanted.action(file, false, &fields, &state) else { return false };
            change.actions.push(action);
        }
        if !fresh {
            change.fields.extend(fields);
        }
        change.expects.push((Resource::here(Kind::Path, file), State::File(state)));
        true
    }

    fn absent(&self, file: &str, found: &Found, unit: &UnitState) -> Result<Verdict, CheckError> {
        let masks = matches!(found.file.kind, FileKind::Link(_));
        if found.file.kind == FileKind::Absent {
            return Ok(Verdict::satisfied("not there"));
        }
        if masks {
            return Err(CheckError::refused(
                format!("unit {} is masked, which is no file that could go", self.name),
                "`masked = false` undoes that".to_owned(),
            ));
        }
        let label = format!("remove {}", self.what());
        let mut change = Change::new(label.clone());
        // What runs would go on without its file, and its links would stay.
        if self.dropin.is_none() && !unit.is_gone() && !unit.is_broken() {
            let starts = matches!(unit.boot(), systemd::Boot::Enabled | systemd::Boot::Runtime);
            let part = Service::switching(&self.name, Some(false), starts.then_some(false)).switched(unit)?;
            if !part.fields.is_empty() {
                change.summary = format!("{} and {label}", part.summary);
            }
            change = change.fields(part.fields).actions(part.actions);
            change.notes.extend(part.notes);
        } else if self.dropin.is_some() && unit.is_up() {
            change = change
                .note(format!("{} goes on as it was until it is restarted: `notify` does that", self.name));
        }
        let remove = put::remove(file, Remove::File(Backup::Run));
        let change = change
            .field("content", put::show(&found.file.content), Value::Absent)
            .action(Action::new(format!("remove {file}"), remove).tells())
            .action(systemd::read_unit_files())
            .expect(Resource::here(Kind::Path, file), State::Absent);
        Ok(Verdict::Drift(if self.dropin.is_some() {
            change
        } else {
            change.expect(Resource::here(Kind::Unit, &self.name), State::Absent)
        }))
    }

    fn mask(&self, file: &str, found: &Found, masks: bool, unit: &UnitState) -> Result<Verdict, CheckError> {
        if found.file.kind == FileKind::File {
            return Err(CheckError::refused(
                format!("{file} is there, so that {} cannot be masked", self.name),
                "remove it before, with a `systemd_unit` step with `state = \"absent\"`".to_owned(),
            ));
        }
        let mut change = Change::new(String::new());
        let mut words = Vec::new();
        if self.running == Some(false) || self.enabled == Some(false) {
            let enabled = self.enabled.filter(|_| !masks);
            let part = Service::switching(&self.name, self.running, enabled).switched(unit)?;
            if !part.fields.is_empty() && !unit.is_absent() {
                words.push(part.summary);
                change = change.fields(part.fields).actions(part.actions);
            }
        }
        if !masks {
            words.push(format!("mask {}", self.name));
            if unit.is_up() && self.running.is_none() {
                change = change.note(format!("{} runs on; with `running = false` it is stopped", self.name));
            }
            let state = FileState::fresh(FileKind::Link(NOTHING.to_owned()));
            change = change
                .field("masked", "no", "yes")
                .action(Action::new(format!("mask {}", self.name), put::link(file, NOTHING, false)).tells())
                .action(systemd::read_unit_files())
                .expect(Resource::here(Kind::Path, file), State::File(state));
        }
        if change.actions.is_empty() {
            return Ok(Verdict::satisfied(if unit.is_up() { "masked, but it runs" } else { "masked" }));
        }
        change.summary = words.join(", ");
        let state = State::Unit { active: self.running, enabled: Some(false) };
        Ok(Verdict::Drift(change.expect(Resource::here(Kind::Unit, &self.name), state)))
    }

    /// The way back of what `enabled` and `running` did.
    fn back(&self, change: &Change) -> Inverse {
        let running = change.before("running").map(|before| ("running", before.starts_with("active").into()));
        let enabled =
            change.before("enabled").map(|before| ("enabled", before.starts_with("enabled").into()));
        let back: Vec<_> = running.into_iter().chain(enabled).collect();
        if back.is_empty() {
            return Inverse::nothing();
        }
        Inverse::of("service", [("name", self.name.as_str().into())].into_iter().chain(back))
    }
}
