//! Secrets in variables: where they come from, and reading each of them at most once.

use std::cell::Cell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use super::environment::Environment;
use super::table::{describe, span};
use crate::diagnostic::{Diagnostic, Source, nearest};
use crate::model::value::{Key, Node, Value};
use crate::model::{Redactor, Secret};
use crate::secret_file::{Ask, Keyring, LARGEST, USUAL};

/// The environment variable that names the identity file for age-encrypted secrets.
pub const AGE_IDENTITY: &str = "HOSTWRIGHT_AGE_IDENTITY";

/// Bytes that a file may have which is encrypted: armor makes a third more of it.
const LARGEST_SEALED: u64 = 2 * LARGEST;

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum SecretSource {
    /// An environment variable of the controller.
    Env(String),
    /// A file of the controller.
    File(String),
    /// What a command on the controller prints.
    Command(Vec<String>),
    /// A file encrypted with age, and the file with the identity that opens it.
    Age(String, Option<String>),
}

/// The source that a table names, if it has exactly the form of one.
pub(super) fn source(node: &Node) -> Option<SecretSource> {
    let Value::Table(entries) = &node.value else { return None };
    let text = |key: &str| match &node.entry(key)?.1.value {
        Value::String(text) => Some(text.clone()),
        _ => None,
    };
    match entries.as_slice() {
        [(key, value)] => match (key.name.as_str(), &value.value) {
            ("env", Value::String(name)) => Some(SecretSource::Env(name.clone())),
            ("file", Value::String(path)) => Some(SecretSource::File(path.clone())),
            ("age", Value::String(path)) => Some(SecretSource::Age(path.clone(), None)),
            ("command", Value::Array(words)) if !words.is_empty() => words
                .iter()
                .map(|w| if let Value::String(word) = &w.value { Some(word.clone()) } else { None })
                .collect::<Option<_>>()
                .map(SecretSource::Command),
            _ => None,
        },
        [_, _] => Some(SecretSource::Age(text("age")?, Some(text("identity")?))),
        _ => None,
    }
}

/// Where a secret may come from, and what may stand beside `age`.
pub(crate) const KEYS: [&str; 5] = ["env", "file", "command", "age", "identity"];

/// What is taken for a key of a secret that does not exist, although it is none of [`KEYS`] misspelled.
const OPTIONS: [&str; 12] = [
    "default", "optional", "required", "trim", "strip", "encoding", "decode", "base64", "chdir", "shell",
    "timeout", "args",
];

/// Reports tables that were meant to say where a secret comes from and would be taken for plain values: with two
/// sources, a misspelled key, or a value that cannot be one.
pub(super) fn mistakes(origin: &Arc<Source>, node: &Node, out: &mut Vec<Diagnostic>) {
    let entries = match &node.value {
        Value::Array(items) => return items.iter().for_each(|item| mistakes(origin, item, out)),
        Value::Table(entries) => entries,
        _ => return,
    };
    if source(node).is_some() {
        return;
    }
    match mistaken(entries) {
        Some((at, message, help)) => {
            out.push(Diagnostic::error(span(origin, &at), message).help(help));
        }
        None => entries.iter().for_each(|(_, inner)| mistakes(origin, inner, out)),
    }
}

fn mistaken(entries: &[(Key, Node)]) -> Option<(Range<usize>, String, String)> {
    let help = "a secret is { env = \"NAME\" }, { file = \"PATH\" }, { command = [\"PROGRAM\", \"ARGUMENT\"] } or \
                { age = \"FILE\", identity = \"FILE\" }";
    let sources: Vec<_> = entries.iter().filter(|(k, _)| KEYS[..4].contains(&k.name.as_str())).collect();
    let others: Vec<_> = entries.iter().filter(|(k, _)| !KEYS.contains(&k.name.as_str())).collect();
    let near = |name: &str| nearest(name, KEYS);
    let meant = |(key, _): &&(Key, Node)| near(&key.name).is_some() || OPTIONS.contains(&key.name.as_str());
    // A value that only a secret has: `{ env = "DB_PASSWORD", x = 1 }`, but not `{ env = "production", x = 1 }`.
    let telling = sources.iter().any(|(key, node)| match (&*key.name, &node.value) {
        ("env", Value::String(name)) => {
            name.len() > 2 && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        }
        ("age", Value::String(path)) => Path::new(path).extension().is_some_and(|e| e == "age"),
        _ => false,
    });
    if let [wrong, ..] = others.as_slice() {
        if sources.is_empty() || !(telling || others.iter().all(meant)) {
            return None;
        }
        let wrong = others.iter().find(|o| meant(o)).unwrap_or(wrong);
        let help = near(&wrong.0.name)
            .map_or_else(|| help.to_owned(), |near| format!("did you mean `{near}`? {help}"));
        return Some((wrong.0.span.clone(), format!("a secret has no key `{}`", wrong.0.name), help));
    }
    match sources.as_slice() {
        [] if entries.is_empty() => None,
        [] => Some((entries[0].0.span.clone(), "`identity` stands beside `age`".into(), help.into())),
        [_, (second, _), ..] => Some((
            second.span.clone(),
            "a secret comes from one place, this one from two".into(),
            help.into(),
        )),
        [(key, value)] if entries.len() == 1 => {
            let wanted = match key.name.as_str() {
                "command" => "the program and its arguments, as an array of texts",
                "env" => "the name of a variable, as text",
                _ => "the path of a file, as text",
            };
            Some((value.span.clone(), format!("expected {wanted}, found {}", describe(value)), help.into()))
        }
        [(key, _)] if key.name != "age" => {
            let at = entries.iter().find(|(k, _)| k.name == "identity").map_or(&key.span, |(k, _)| &k.span);
            Some((at.clone(), "`identity` stands beside `age` alone".into(), help.into()))
        }
        [(_, value)] => {
            Some((value.span.clone(), "`age` and `identity` are paths of files, as text".into(), help.into()))
        }
    }
}

/// Reads secrets, each at most once, and tells the redactor.
#[derive(Debug)]
pub(super) struct SecretStore {
    environment: Arc<dyn Environment>,
    redactor: Redactor,
    read: Mutex<HashMap<(PathBuf, SecretSource), Result<Secret, Unread>>>,
    /// By the files that the identities are in: who has told a passphrase is not asked again.
    keyrings: Mutex<HashMap<Vec<PathBuf>, Keyring>>,
    may_ask: bool,
}

/// A secret could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unread {
    /// Why.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl SecretStore {
    /// A store that reads through `environment` and tells `redactor`. `may_ask`: already when secrets are foreseen.
    pub(super) fn new(environment: Arc<dyn Environment>, redactor: Redactor, may_ask: bool) -> Self {
        Self { environment, redactor, read: Mutex::default(), keyrings: Mutex::default(), may_ask }
    }

    /// Returns the secret; relative paths are meant from `folder`.
    pub(super) fn get(&self, source: &SecretSource, folder: &Path) -> Result<Secret, Unread> {
        self.look(source, folder, true)
    }

    fn look(&self, source: &SecretSource, folder: &Path, may_ask: bool) -> Result<Secret, Unread> {
        let key = (folder.to_owned(), source.clone());
        // Held while a command runs: the same command must not run (and ask for a passphrase) twice.
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = read.get(&key) {
            return known.clone();
        }
        let unasked = Cell::new(false);
        let ask = |key: &str| {
            unasked.set(!may_ask);
            may_ask.then(|| self.environment.passphrase(key))
        };
        let secret = self.fetch(source, folder, &ask);
        if let Ok(secret) = &secret {
            self.redactor.add(secret);
        }
        if !unasked.get() {
            read.insert(key, secret.clone());
        }
        secret
    }

    /// Reads the secrets in `node` that can be read without asking anybody: variables of the environment and files.
    /// A command may want a passphrase, and is left until a step needs it. What cannot be read is told then, too.
    pub(super) fn foresee(&self, node: &Node, folder: &Path) {
        match source(node) {
            Some(SecretSource::Env(text) | SecretSource::File(text))
                if super::template::is_template(&text) => {}
            Some(from @ (SecretSource::Env(_) | SecretSource::File(_) | SecretSource::Age(..))) => {
                let _ = self.look(&from, folder, self.may_ask);
            }
            Some(SecretSource::Command(_)) => {}
            None => match &node.value {
                Value::Array(items) => items.iter().for_each(|item| self.foresee(item, folder)),
                Value::Table(entries) => entries.iter().for_each(|(_, node)| self.foresee(node, folder)),
                _ => {}
            },
        }
    }

    /// Tells the redactor what a secret became.
    pub(super) fn learn(&self, value: &Secret) {
        self.redactor.add_derived(value);
    }

    /// Whether one of the secrets read so far stands in `text`, in plain or encoded form.
    pub(super) fn holds_one(&self, text: &str) -> bool {
        self.redactor.finds_one_in(text)
    }

    fn fetch(&self, source: &SecretSource, folder: &Path, ask: Ask<'_>) -> Result<Secret, Unread> {
        let unread = |message: String, help: &str| Unread { message, help: help.into() };
        let read = |path: &str, most: u64, help: &str| {
            let path = in_folder(folder, path, &*self.environment);
            self.environment
                .read_at_most(&path, most)
                .map_err(|e| unread(format!("cannot read {}: {e}", path.display()), help))
        };
        let bytes = match source {
            SecretSource::Env(name) => {
                let value = self.environment.variable(name).ok_or_else(|| {
                    unread(format!("the environment variable {name} is not set"), "set it before the command")
                })?;
                return Ok(Secret::new(value));
            }
            SecretSource::File(path) => read(path, LARGEST, "make the file, or point the secret elsewhere")?,
            SecretSource::Command(words) => self.environment.output(words, folder).map_err(|e| {
                unread(format!("`{}` failed: {e}", words.join(" ")), "run it by hand to see why")
            })?,
            SecretSource::Age(path, identity) => {
                let identities = self.identities(path, identity.as_deref(), folder)?;
                let encrypted = read(path, LARGEST_SEALED, "make it with `hostwright secret new FILE`")?;
                let mut keyrings = self.keyrings.lock().unwrap_or_else(PoisonError::into_inner);
                let keyring = match keyrings.entry(identities.clone()) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(place) => place.insert(self.keyring(&identities)?),
                };
                let plain = keyring.open(&encrypted, ask);
                plain.map_err(|e| unread(format!("cannot decrypt {path}: {e}"), e.hint()))?.to_vec()
            }
        };
        let text = String::from_utf8(bytes).map_err(|_| {
            unread("the secret is not UTF-8 text".into(), "encode it, for example with base64")
        })?;
        let text = text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t));
        if text.is_empty() {
            return Err(unread("the secret is empty".into(), "an empty secret is taken for a mistake"));
        }
        Ok(Secret::new(text.to_owned()))
    }

    /// The files with identities: the one that is named, or else the usual ones that are there.
    fn identities(&self, file: &str, named: Option<&str>, folder: &Path) -> Result<Vec<PathBuf>, Unread> {
        let from_variable = || self.environment.variable(AGE_IDENTITY);
        if let Some(named) = named.map(str::to_owned).or_else(from_variable) {
            return Ok(vec![in_folder(folder, &named, &*self.environment)]);
        }
        let home = self.environment.variable("HOME").unwrap_or_default();
        let usual = USUAL.iter().map(|name| Path::new(&home).join(name));
        let found: Vec<_> =
            usual.filter(|path| self.environment.read_at_most(path, LARGEST).is_ok()).collect();
        if home.is_empty() || found.is_empty() {
            return Err(Unread {
                message: format!(
                    "no identity is known that could decrypt {file}: there is neither ~/.ssh/id_ed25519 nor ~/.ssh/id_rsa"
                ),
                help: format!("write `identity = \"FILE\"` beside `age`, or set {AGE_IDENTITY}"),
            });
        }
        Ok(found)
    }

    fn keyring(&self, identities: &[PathBuf]) -> Result<Keyring, Unread> {
        let mut keyring = Keyring::default();
        for path in identities {
            let name = path.display().to_string();
            let help = "name a private key of ssh, or make an identity with `age-keygen -o FILE`";
            let unread = |message: String| Unread { message, help: help.into() };
            let text = self.environment.read_at_most(path, LARGEST);
            let text = Zeroizing::new(text.map_err(|e| unread(format!("cannot read {name}: {e}")))?);
            match keyring.add(&name, &text) {
                // Of the usual ones, one that does not serve keeps no other from serving.
                Err(_) if identities.len() > 1 => {}
                added => added.map_err(|e| unread(format!("cannot use {name}: {e}")))?,
            }
        }
        Ok(keyring)
    }
}

/// `path` from `folder`; `~/` is the home directory.
pub(super) fn in_folder(folder: &Path, path: &str, environment: &dyn Environment) -> PathBuf {
    match (path.strip_prefix("~/"), environment.variable("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => folder.join(path),
    }
}
