//! What is made and removed by its name: images, networks, volumes, configs, secrets.

use std::time::Duration;

use super::api::{API, ascii};
use crate::program;
use crate::program::Handle;
use crate::step::Action;

program! {
    /// Makes a network or a volume.
    MakeDockerObject in "make_docker_object.sh" uses [API] { what: Word, body: Word }
}
program! {
    /// Removes objects of one sort.
    RemoveDockerObjects in "remove_docker_objects.sh" { what: Word, names: List, wait: Number, keep_used: Flag }
}

/// What makes and removes objects.
pub const PROGRAMS: &[Handle] = &[MakeDockerObject::program, RemoveDockerObjects::program];

/// What is in use still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Used {
    /// Is an error.
    Fails,
    /// Is let go by what uses it, in some seconds: a service that has just gone.
    Waits,
    /// Stays.
    Stays,
}

/// Makes one; `what` is the word of the API (`networks`).
pub fn make(label: String, what: &str, body: &serde_json::Value) -> Action {
    let script = MakeDockerObject { what, body: &ascii(body) }.script();
    Action::new(label, script).timeout(Duration::from_mins(2))
}

/// Removes those with these names or ids; `what` is the word of the command line (`network`).
pub fn remove(label: String, what: &str, names: &[String], used: Used) -> Action {
    let wait = (used == Used::Waits).then_some(45);
    let script = RemoveDockerObjects { what, names, wait, keep_used: used == Used::Stays }.script();
    Action::new(label, script).timeout(Duration::from_mins(if names.len() > 1 { 3 } else { 2 }))
}
