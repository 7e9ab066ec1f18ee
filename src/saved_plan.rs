//! A plan in a file, so that exactly it can be applied later. No secret is in it: it holds what displays see, and says which
//! secrets an apply will need.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::event::{Body, Entry, Event};
use crate::journal::Header;
use crate::whole_file;

/// Version of the form of a saved plan. It is raised when a reader of the old form would go wrong.
pub const VERSION: u32 = 1;

/// So large a saved plan may be, in bytes: thousands of hosts with differences of files.
const LARGEST: u64 = 1 << 30;

/// A plan as it was shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedPlan {
    /// [`VERSION`].
    pub saved_plan: u32,
    /// Who made it, when and of what: as in the journal of that run.
    pub made: Header,
    /// The secrets that were read for it, and will be for its apply: where each comes from.
    pub needs: Vec<String>,
    /// Its lines.
    pub entries: Vec<Entry>,
}

/// Why a file is no saved plan that can be used.
#[derive(Debug, thiserror::Error)]
pub enum SavedPlanError {
    /// It cannot be read or written.
    #[error("{}: {error}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is not one.
    #[error("{} is not a saved plan: {why}", .path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl SavedPlan {
    /// A plan from its events, once it is complete.
    pub fn new(made: Header, needs: Vec<String>, events: Vec<Event>) -> Option<Self> {
        events.iter().any(|event| matches!(event.body, Body::PlanFinished { .. })).then_some(())?;
        let entries = events.into_iter().filter_map(|event| match event.body {
            Body::Planned(entry) => Some(entry),
            _ => None,
        });
        Some(Self { saved_plan: VERSION, made, needs, entries: entries.collect() })
    }

    /// Whether a file is meant to be one: a playbook cannot begin with a brace.
    pub fn is_one(path: &Path) -> bool {
        let mut start = Vec::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(64).read_to_end(&mut start));
        read.is_ok() && start.trim_ascii_start().first() == Some(&b'{')
    }

    /// Reads one.
    pub fn read(path: &Path) -> Result<Self, SavedPlanError> {
        let io = |error| SavedPlanError::Io { path: path.to_owned(), error };
        let malformed = |why: String| SavedPlanError::Malformed { path: path.to_owned(), why };
        if std::fs::metadata(path).map_err(io)?.len() > LARGEST {
            return Err(malformed(format!("it is larger than {} MB", LARGEST >> 20)));
        }
        let text = std::fs::read_to_string(path).map_err(io)?;
        let version = |text: &str| {
            let value: serde_json::Value = serde_json::from_str(text).ok()?;
            value.get("saved_plan")?.as_u64()
        };
        match serde_json::from_str::<Self>(&text) {
            Ok(plan) if plan.saved_plan == VERSION => Ok(plan),
            _ if version(&text).is_some_and(|v| v != u64::from(VERSION)) => {
                Err(malformed("it is of another version of Hostwright: make the plan anew".into()))
            }
            Ok(_) => Err(malformed("it has no version".into())),
            Err(error) => Err(malformed(error.to_string())),
        }
    }

    /// Writes it, all of it or nothing, for its owner alone.
    pub fn write(&self, path: &Path) -> Result<(), SavedPlanError> {
        let io = |error| SavedPlanError::Io { path: path.to_owned(), error };
        let text = serde_json::to_string(self).map_err(|error| io(io::Error::other(error)))? + "\n";
        whole_file::write(path, text.as_bytes(), None).map_err(io)
    }
}
