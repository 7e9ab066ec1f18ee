//! Users and groups: what `user` and `group` share.

use crate::model::{Kind, Resource, State};
use crate::probe::Readings;
use crate::step::Invalid;

/// Checks a name as useradd(8) and groupadd(8) take it.
pub fn check_name(key: &str, name: &str, what: &str) -> Option<Invalid> {
    let first = name.chars().next();
    let good = first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.$".contains(c))
        && name.len() <= 32;
    (!good).then(|| Invalid::new(key, format!("{name:?} is not the name of a {what}")))
}

/// Whether an earlier step of the plan makes (or removes) it; `None` where none does.
pub fn planned(readings: &Readings, kind: Kind, name: &str) -> Option<bool> {
    readings.expected(&Resource::here(kind, name)).map(|state| *state != State::Absent)
}
