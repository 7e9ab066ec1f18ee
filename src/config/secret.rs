//! Secrets in variables: where they come from, and reading each of them at most once.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::environment::Environment;
use crate::model::value::{Node, Value};
use crate::model::{Redactor, Secret};

/// The environment variable that names the identity file for age-encrypted secrets.
pub const AGE_IDENTITY: &str = "HOSTWRIGHT_AGE_IDENTITY";

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

/// Reads secrets, each at most once, and tells the redactor.
#[derive(Debug)]
pub(super) struct SecretStore {
    environment: Arc<dyn Environment>,
    redactor: Redactor,
    read: Mutex<HashMap<(PathBuf, SecretSource), Result<Secret, Unread>>>,
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
    /// A store that reads through `environment` and tells `redactor`.
    pub(super) fn new(environment: Arc<dyn Environment>, redactor: Redactor) -> Self {
        Self { environment, redactor, read: Mutex::default() }
    }

    /// Returns the secret; relative paths are meant from `folder`.
    pub(super) fn get(&self, source: &SecretSource, folder: &Path) -> Result<Secret, Unread> {
        let key = (folder.to_owned(), source.clone());
        // Held while a command runs: the same command must not run (and ask for a passphrase) twice.
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = read.get(&key) {
            return known.clone();
        }
        let secret = self.fetch(source, folder);
        if let Ok(secret) = &secret {
            self.redactor.add(secret);
        }
        read.insert(key, secret.clone());
        secret
    }

    /// Reads the secrets in `node` that can be read without asking anybody: variables of the environment and files.
    /// A command may want a passphrase, and is left until a step needs it. What cannot be read is told then, too.
    pub(super) fn foresee(&self, node: &Node, folder: &Path) {
        match source(node) {
            Some(SecretSource::Env(text) | SecretSource::File(text))
                if super::template::is_template(&text) => {}
            Some(from @ (SecretSource::Env(_) | SecretSource::File(_) | SecretSource::Age(..))) => {
                let _ = self.get(&from, folder);
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

    fn fetch(&self, source: &SecretSource, folder: &Path) -> Result<Secret, Unread> {
        let unread = |message: String, help: &str| Unread { message, help: help.into() };
        let read = |path: &str, help: &str| {
            let path = in_folder(folder, path, &*self.environment);
            self.environment
                .read(&path)
                .map_err(|e| unread(format!("cannot read {}: {e}", path.display()), help))
        };
        let bytes = match source {
            SecretSource::Env(name) => {
                let value = self.environment.variable(name).ok_or_else(|| {
                    unread(format!("the environment variable {name} is not set"), "set it before the command")
                })?;
                return Ok(Secret::new(value));
            }
            SecretSource::File(path) => read(path, "make the file, or point the secret elsewhere")?,
            SecretSource::Command(words) => self.environment.output(words, folder).map_err(|e| {
                unread(format!("`{}` failed: {e}", words.join(" ")), "run it by hand to see why")
            })?,
            SecretSource::Age(path, identity) => {
                let from_variable = || self.environment.variable(AGE_IDENTITY);
                let identity = identity.clone().or_else(from_variable).ok_or_else(|| {
                    let help = format!("write `identity = \"FILE\"` beside `age`, or set {AGE_IDENTITY}");
                    unread(format!("no identity is known that could decrypt {path}"), &help)
                })?;
                let encrypted = read(path, "make it with `age -r RECIPIENT -o FILE`")?;
                let identity_text = read(&identity, "make one with `age-keygen -o FILE`")?;
                decrypt(&encrypted, &identity_text).map_err(|e| {
                    unread(format!("cannot decrypt {path}: {e}"), "is it the right identity file?")
                })?
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
}

/// `path` from `folder`; `~/` is the home directory.
pub(super) fn in_folder(folder: &Path, path: &str, environment: &dyn Environment) -> PathBuf {
    match (path.strip_prefix("~/"), environment.variable("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => folder.join(path),
    }
}

fn decrypt(encrypted: &[u8], identities: &[u8]) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(identities).map_err(|_| "the identity file is not text")?;
    let identities = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
        .map(|l| {
            l.parse::<age::x25519::Identity>()
                .map_err(|_| "the identity file holds more than AGE-SECRET-KEY lines")
        })
        .collect::<Result<Vec<_>, _>>()?;
    let decryptor =
        age::Decryptor::new(age::armor::ArmoredReader::new(encrypted)).map_err(|e| e.to_string())?;
    let mut reader =
        decryptor.decrypt(identities.iter().map(|i| i as &dyn age::Identity)).map_err(|e| e.to_string())?;
    let mut plain = Vec::new();
    reader.read_to_end(&mut plain).map_err(|e| e.to_string())?;
    Ok(plain)
}
