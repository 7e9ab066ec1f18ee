//! What is done to a swarm by more than one kind.

use std::time::Duration;

use super::{ManagerHost, Role};
use crate::probe::Probe;
use crate::program;
use crate::program::{Handle, Library};
use crate::step::family::RUN;
use crate::step::{Action, Borrowed, Change, Origin};

/// Waits until the engine is active in its swarm; see there.
pub static ACTIVE: Library = Library::new("active.sh", include_str!("active.sh"), &[]);

program! {
    /// Waits until it is active, and tells its node id.
    AskNodeId in "ask_node_id.sh" uses [ACTIVE] { seconds: Number }
}
program! {
    /// Leaves the swarm.
    LeaveSwarm in "leave_swarm.sh"
}
program! {
    /// Removes a node.
    RemoveNode in "remove_node.sh" uses [RUN] { node: Word, manager: Flag }
}

/// What runs on hosts for more than one kind.
pub const PROGRAMS: &[Handle] = &[AskNodeId::program, LeaveSwarm::program, RemoveNode::program];

/// Leaves the swarm.
pub fn leave(label: &str) -> Action {
    Action::new(label, LeaveSwarm.script()).timeout(Duration::from_mins(3)).lasting()
}

/// The change for an engine that is on its way into a swarm.
pub fn wait_change() -> Change {
    let wait = AskNodeId { seconds: Some(60) };
    Change::new("wait until the engine is active in its swarm")
        .field("swarm", "pending", "active")
        .action(Action::new("wait for the swarm", wait.script()).timeout(Duration::from_mins(2)))
}

/// Which node of its swarm the engine is.
pub(super) fn node_id() -> Borrowed {
    let ask = AskNodeId { seconds: Some(40) };
    Borrowed { what: "node id", from: Origin::Probe(Probe::new(ask.script())), secret: false }
}

/// Removes a node that has left, once the manager has noticed; one that is gone already is fine.
pub fn remove(manager: &ManagerHost, id: &str, role: Role) -> Action {
    let remove = RemoveNode { node: id, manager: role == Role::Manager };
    let action = Action::new(format!("remove node {id}"), remove.script());
    manager.act(action.timeout(Duration::from_mins(3)))
}
