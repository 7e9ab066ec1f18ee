//! The key `state` of a kind that ensures that something is there, or that it is not.

use serde::Deserialize;

/// Whether the thing is to be there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Existence {
    /// It is there, as described.
    #[default]
    Present,
    /// It is not there.
    Absent,
}
