//! Fields of a difference: what something is, and what it will be.

use serde::{Deserialize, Serialize};

/// One field of a difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name, as the playbook calls it (`mode`, `running`).
    pub name: String,
    /// As it is.
    pub before: Value,
    /// As it will be.
    pub after: Value,
}

/// A value of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// Nothing is there.
    Absent,
    /// Something short.
    Text(String),
    /// The content of a text file, for a unified diff.
    Content(String),
    /// The content of a binary or very large file, by its digest and size in bytes.
    Binary {
        /// SHA-256, lower-case hexadecimal.
        sha256: String,
        /// Size in bytes.
        size: u64,
    },
    /// Known only after the change (an id that a daemon will choose).
    AfterApply,
    /// Not known, for the thing it belongs to is not there yet.
    Unknown,
    /// A secret.
    Masked,
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Absent, Self::Text)
    }
}
