//! What the Docker kinds share: the engine's API, what it says of swarms and nodes, versioned objects.

use crate::model::{Resource, State};
use crate::probe::Readings;
use crate::step::{Invalid, Verdict};

pub mod api;
pub mod daemon_json;
pub mod image;
pub mod install;
pub mod objects;
pub mod spec;
pub mod subnet;
pub mod swarm;
pub mod versioned;

pub use super::existence::Existence;

/// The verdict on a thing that an earlier step of the plan has brought (`made`) or taken away, as `wanted`.
pub fn foreseen(readings: &Readings, resource: &Resource, wanted: Existence, made: &str) -> Option<Verdict> {
    let word = match (readings.expected(resource)?, wanted) {
        (State::Present, Existence::Present) => made,
        (State::Absent, Existence::Absent) => "removed",
        _ => return None,
    };
    Some(Verdict::satisfied(format!("{word} by an earlier step")))
}

/// A mistake, unless `name` is one that the engine takes for an object: letters, digits, `_`, `.` and `-`, the first
/// a letter or digit.
pub fn good_name(path: &str, name: &str) -> Option<Invalid> {
    let good = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    (!good).then(|| {
        Invalid::new(path, format!("{name:?} is no name for Docker"))
            .help("use letters, digits, `_`, `.` and `-`, and start with a letter or digit")
    })
}
