//! Newtypes for names that must not be mixed, and the place in a file where something was written.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A name is empty or has a character that it may not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is not a {what}: use letters, digits, `-`, `_` and `.`, and start with a letter or a digit"
)]
pub struct NameError {
    /// The name as it was written.
    pub name: String,
    /// What it was meant to name: `host name`, `group name`.
    pub what: &'static str,
}

/// The name of a host in the inventory. It need not be the name that the host calls itself.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostName(Arc<str>);

impl HostName {
    /// Takes `name` if it may name a host: letters, digits, `-`, `_`, `.`, the first a letter or digit.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let good = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if good { Ok(Self(name.into())) } else { Err(NameError { name: name.into(), what: "host name" }) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for HostName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Names one step of one playbook within a run: the step's `id`, or one made from its position.
///
/// With `each`, every turn of the loop has an id of its own (`users[anna]`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(Arc<str>);

impl StepId {
    /// Takes `id` as it is; the playbook's parser has checked its form.
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Where something was written: file, line and column, both counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The file's path as the user gave it.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Whose rights a probe or an action has on the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Privilege {
    /// The user who logged in.
    Login,
    /// Another user, through `sudo`; `root` for `become = true`. Asking for the user who logged in
    /// anyway costs nothing: the transport notices.
    Become(Arc<str>),
}

impl Privilege {
    /// The rights of `root`.
    pub fn root() -> Self {
        Self::Become("root".into())
    }
}
