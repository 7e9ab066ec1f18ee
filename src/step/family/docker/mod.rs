//! What the Docker kinds share: the engine's API, what it says of swarms and nodes, versioned objects.

use crate::step::Invalid;

pub mod api;
pub mod daemon_json;
pub mod image;
pub mod install;
pub mod json;
pub mod objects;
pub mod opening;
pub mod spec;
pub mod subnet;
pub mod swarm;
pub mod versioned;

pub use super::existence::Existence;

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
