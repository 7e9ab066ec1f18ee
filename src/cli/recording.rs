//! The journal of a run as the commands begin and end it. Without one the run goes on, with a warning.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::common::Ready;
use super::exit::Exit;
use super::output;
use crate::config::Environment;
use crate::event::{Body, Event, Mode};
use crate::journal::{Ended, Header, Keep, Revision, Store, VERSION};
use crate::model::Secret;
use crate::model::digest::sha256;
use crate::report::{All, Reporter};
use crate::saved_plan::SavedPlan;

/// Which command line a run was begun with.
#[derive(Debug, Clone, Default)]
pub(super) struct Invocation {
    /// What stands behind the program's name.
    pub(super) arguments: Vec<String>,
    /// The run that it goes on with.
    pub(super) resumes: Option<String>,
    /// The run that it undoes.
    pub(super) undoes: Option<String>,
    /// The digests that its files must have: they are refused otherwise.
    pub(super) expected: Option<BTreeMap<String, String>>,
    /// The plan that it is to keep to, and its SHA-256.
    pub(super) saved: Option<(Arc<SavedPlan>, String)>,
}

/// A journal that has begun, or none.
#[derive(Debug)]
pub(super) struct Recording {
    header: Header,
    begun: Option<(Store, String)>,
}

impl Recording {
    /// Begins the journal and lets it take part in what `reporter` sees. What goes wrong with it later is told through
    /// `events`.
    pub(super) fn begin(
        ready: &Ready,
        mode: Mode,
        invocation: &Invocation,
        events: &mpsc::Sender<Event>,
        reporter: Box<dyn Reporter>,
    ) -> (Self, Box<dyn Reporter>) {
        // The run ends when all senders are gone: this one must not count.
        let events = events.downgrade();
        let failed = move |error: &std::io::Error| {
            let message = format!("the journal is not written any more: {error}; the run goes on without");
            if let Some(events) = events.upgrade() {
                // Where there is no room the display does not keep up either.
                let _ = events.try_send(Event { at_ms: 0, body: Body::Warning { host: None, message } });
            } else {
                output::message(&format!("warning: {message}"));
            }
        };
        let header = header(ready, mode, invocation);
        let store = Store::of_user();
        match store.and_then(|store| Ok((store.begin(&header, keep(), failed)?, store))) {
            Ok((writer, store)) => {
                let reporter: Box<dyn Reporter> = Box::new(All(vec![Box::new(writer), reporter]));
                let begun = Some((store, header.run.clone()));
                (Self { header, begun }, reporter)
            }
            Err(error) => {
                output::message(&format!("warning: there will be no journal of this run: {error}"));
                (Self { header, begun: None }, reporter)
            }
        }
    }

    /// Who began what, when and from where.
    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// Writes how the run ended.
    pub(super) fn end(self, exit: Exit, applied: bool) {
        let Some((store, run)) = self.begun else { return };
        if let Err(error) = store.end(&run, Ended { exit: exit as u8, applied }) {
            output::message(&format!("warning: the journal does not say how the run ended: {error}"));
        }
    }
}

/// How long journals are kept: `HOSTWRIGHT_KEEP_RUNS` and `HOSTWRIGHT_KEEP_DAYS`.
fn keep() -> Keep {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.trim().parse::<u64>().ok());
    let usual = Keep::default();
    let runs = number("HOSTWRIGHT_KEEP_RUNS").and_then(|n| usize::try_from(n).ok());
    Keep { runs: runs.unwrap_or(usual.runs), days: number("HOSTWRIGHT_KEEP_DAYS").unwrap_or(usual.days) }
}

pub(super) fn header(ready: &Ready, mode: Mode, invocation: &Invocation) -> Header {
    let redact = |text: &String| ready.redactor.redact(text);
    let first = ready.run.plays.first().map(|play| PathBuf::from(&*play.file));
    Header {
        journal: VERSION,
        hostwright: env!("CARGO_PKG_VERSION").into(),
        run: ready.id.clone(),
        mode,
        started: Header::now(),
        user: Header::user(),
        controller: Header::controller(),
        folder: std::env::current_dir().unwrap_or_default().display().to_string(),
        arguments: invocation.arguments.iter().map(redact).collect(),
        hosts: ready.run.hosts.iter().map(|host| host.name.clone()).collect(),
        playbooks: ready.run.plays.iter().map(|play| play.name.to_string()).collect(),
        files: ready.files.clone(),
        revision: first.and_then(|file| Revision::of(file.parent().unwrap_or(Path::new(".")))),
        resumes: invocation.resumes.clone(),
        undoes: invocation.undoes.clone(),
        shard: ready.shard,
        saved_plan: invocation.saved.as_ref().map(|(_, digest)| digest.clone()),
    }
}

/// How a file that a value came from is told.
const FILE: &str = "file ";

/// An environment that remembers the digests of the files that playbooks send or render. Files of secrets are read in
/// another way, and are not among them.
#[derive(Debug)]
pub(super) struct Digests {
    environment: Arc<dyn Environment>,
    files: Mutex<BTreeMap<String, String>>,
    /// What else was read: variables, files, what commands printed.
    others: Mutex<BTreeSet<String>>,
}

impl Digests {
    pub(super) fn new(environment: Arc<dyn Environment>) -> Self {
        Self { environment, files: Mutex::default(), others: Mutex::default() }
    }

    /// Remembers a file.
    pub(super) fn add(&self, path: &str, content: &[u8]) {
        let digest = sha256(content);
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), digest);
    }

    /// Where values came from that are no part of the files, secrets above all.
    pub(super) fn needs(&self) -> Vec<String> {
        let files = self.all();
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let is_other = |what: &&String| what.strip_prefix(FILE).is_none_or(|path| !files.contains_key(path));
        others.iter().filter(is_other).cloned().collect()
    }

    fn read_other(&self, what: String) {
        self.others.lock().unwrap_or_else(PoisonError::into_inner).insert(what);
    }

    /// All so far.
    pub(super) fn all(&self) -> BTreeMap<String, String> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Environment for Digests {
    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        let content = self.environment.read(path)?;
        self.add(&path.display().to_string(), &content);
        Ok(content)
    }

    fn read_at_most(&self, path: &Path, most: u64) -> Result<Vec<u8>, String> {
        let content = self.environment.read_at_most(path, most)?;
        self.read_other(format!("{FILE}{}", path.display()));
        Ok(content)
    }

    fn list(&self, path: &Path) -> Result<Option<Vec<String>>, String> {
        self.environment.list(path)
    }

    fn variable(&self, name: &str) -> Option<String> {
        let value = self.environment.variable(name)?;
        if name != "HOME" {
            self.read_other(format!("environment variable {name}"));
        }
        Some(value)
    }

    fn output(&self, command: &[String], folder: &Path) -> Result<Vec<u8>, String> {
        self.read_other(format!("command {}", command.join(" ")));
        self.environment.output(command, folder)
    }

    fn passphrase(&self, key: &str) -> Result<Secret, String> {
        self.environment.passphrase(key)
    }
}
