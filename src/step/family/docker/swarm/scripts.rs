//! What is done to a swarm by more than one kind.

use std::time::Duration;

use super::super::api;
use super::{ManagerHost, Role};
use crate::sh;
use crate::shell::Script;
use crate::step::{Action, Change};

/// Leaves the swarm, whatever the node is in it, and waits until the engine is out of it.
pub fn leave_script() -> Script {
    sh!(r#"hw_said=$(timeout -k 5 120 docker swarm leave --force 2>&1) || case $hw_said in
  *'not part of a swarm'*) ;;
  *) printf '%s\n' "$hw_said" >&2; exit 1 ;;
esac
hw_end=$(($(date +%s) + 40))
until hw_state=$(timeout -k 2 20 docker info --format '{{.Swarm.LocalNodeState}}') && [ "$hw_state" = inactive ]; do
  [ "$(date +%s)" -lt "$hw_end" ] || { echo "the engine is still $hw_state in its swarm" >&2; exit 1; }
  sleep 1
done"#)
}

/// Waits until the engine is active in its swarm, for so many seconds, and prints its node id; after
/// [`api::functions`].
pub fn wait_active(seconds: u32) -> Script {
    sh!(
        r#"hw_end=$(($(date +%s) + {}))
while :; do
  hw_info=$(hw_call 10 GET /info)
  hw_field "$hw_info" Swarm NodeID
  hw_id=$hw_value
  hw_field "$hw_info" Swarm LocalNodeState
  hw_state=$hw_value
  case $hw_state:$hw_id in
    active:?*) printf '%s\n' "$hw_id"; exit 0 ;;
    locked:*) echo 'the swarm is locked: it wants its unlock key' >&2; exit 1 ;;
    error:*) break ;;
  esac
  [ "$(date +%s)" -lt "$hw_end" ] || break
  sleep 1
done
[ "$hw_state" != active ] || { echo 'the engine is active in its swarm, but does not tell its node id' >&2; exit 1; }
hw_field "$hw_info" Swarm Error
echo "the engine did not become active in the swarm: $hw_state $hw_value" >&2
echo 'are ports 2377/tcp, 7946/tcp+udp and 4789/udp open between the nodes, and the clocks right?' >&2
exit 1"#,
        seconds
    )
}

/// The change for an engine that is on its way into a swarm.
pub fn wait_change() -> Change {
    let script = sh!("{}{}", api::functions(), wait_active(60));
    Change::new("wait until the engine is active in its swarm")
        .field("swarm", "pending", "active")
        .action(Action::new("wait for the swarm", script).timeout(Duration::from_mins(2)))
}

/// Removes a node that has left, once the manager has noticed; one that is gone already is fine. A manager that was
/// lost must be demoted first.
pub fn remove(manager: &ManagerHost, id: &str, role: Role) -> Action {
    let demote = if role == Role::Manager {
        sh!("timeout -k 2 30 docker node update --role worker {} >/dev/null || exit 1\n", id)
    } else {
        Script::new()
    };
    let script = sh!(
        r#"{}hw_end=$(($(date +%s) + 90))
while :; do
  hw_said=$(timeout -k 2 20 docker node rm {} 2>&1) && exit 0
  case $hw_said in
    *'not found'*|*'o such node'*) exit 0 ;;
    *'is not down'*|*'member of the raft cluster'*) ;;
    *) break ;;
  esac
  [ "$(date +%s)" -lt "$hw_end" ] || break
  sleep 2
done
printf '%s\n' "$hw_said" >&2
exit 1"#,
        demote,
        id
    );
    manager.act(Action::new(format!("remove node {id}"), script).timeout(Duration::from_mins(3)))
}
