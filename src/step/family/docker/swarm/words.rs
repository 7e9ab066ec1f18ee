//! What is said of a swarm by more than one kind.

use super::{Node, Swarm};
use crate::probe::CheckError;

/// `error`, or words in its place where the engine gives none.
pub fn or_unknown(error: &str) -> &str {
    if error.is_empty() { "the engine does not say why" } else { error }
}

/// `1 container runs`, `3 containers run`.
pub fn containers_run(n: u64) -> String {
    if n == 1 { "1 container runs".into() } else { format!("{n} containers run") }
}

/// The managers that an engine believes in, as text.
pub fn peers(swarm: &Swarm) -> String {
    let mut addresses: Vec<_> = swarm.remote_managers.iter().map(|p| p.addr.as_str()).collect();
    addresses.sort_unstable();
    match addresses.as_slice() {
        [] => "unknown managers".into(),
        [one] => format!("manager {one}"),
        all => format!("managers {}", all.join(", ")),
    }
}

/// Whether an engine believes in managers that are among `nodes`.
pub fn follows(swarm: &Swarm, nodes: &[Node]) -> bool {
    swarm.remote_managers.iter().any(|peer| nodes.iter().any(|node| node.id == peer.node_id))
}

/// What to say of an engine whose node id our manager, which is `manager`, does not know: whether it was removed
/// from our swarm, for it follows managers of ours, or is in another one.
pub fn stranger(swarm: &Swarm, nodes: &[Node], manager: &str) -> String {
    let id = if swarm.node_id.is_empty() { "(none)" } else { &swarm.node_id };
    if follows(swarm, nodes) {
        format!(
            "removed from the swarm of {manager}, but has not left it: its node id {id} is on the list no more"
        )
    } else {
        format!("in another swarm, that of {}: {manager} does not know its node id {id}", peers(swarm))
    }
}

/// The error of a manager, which is `host`, whose swarm decides nothing.
pub fn no_quorum(host: &str, swarm: &Swarm, said: &str) -> CheckError {
    let said = said.rsplit_once(" desc = ").map_or(said, |(_, text)| text);
    CheckError::refused(
        format!("{host} is a manager, but its swarm has no quorum: {said}"),
        format!(
            "bring more than half of its managers up ({}); after an election it answers again in some seconds; \
             managers that are gone for good: `docker swarm init --force-new-cluster` on the one whose data is to live",
            peers(swarm)
        ),
    )
}

/// What to say of a number of managers, if something is to be said.
pub fn quorum_note(managers: usize) -> Option<String> {
    let quorum = managers / 2 + 1;
    let lost = match managers.saturating_sub(quorum) {
        0 => "none".to_owned(),
        n => n.to_string(),
    };
    match managers {
        0 => None,
        1 => Some("one manager: while it is down, nothing in the swarm is changed or moved".into()),
        n if n % 2 == 0 => Some(format!(
            "then {n} managers, an even number: {quorum} of them must be up, so it stands the loss of {lost}, no more than \
             with {}",
            n - 1
        )),
        n => Some(format!("then {n} managers: {quorum} of them must be up, so it stands the loss of {lost}")),
    }
}
