//! `swarm_node`: role, availability and labels of the node that a host is, or its removal.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::family::docker::swarm::{
    self, Availability, LocalState, Manager, ManagerHost, Node, NodeSpec, NodeState, Own, Role,
};
use super::family::docker::{Existence, api};
use super::{Action, Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::{HostName, Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::Programs;

program! {
    /// Updates it.
    UpdateNode in "swarm_node/update_node.sh" uses [api::API] { node: Word, flags: List, path: Word, spec: Word }
}
program! {
    /// Sees nothing run on it.
    WaitNodeDrained in "swarm_node/wait_node_drained.sh" { node: Word }
}
program! {
    /// Sees it in its role.
    WaitRole in "swarm_node/wait_role.sh" { role: Word }
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs =
    &[&[UpdateNode::program, WaitNodeDrained::program, WaitRole::program], swarm::PROGRAMS, api::PROGRAMS];

/// A node of a swarm.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwarmNode {
    manager: Option<String>,
    role: Option<Role>,
    availability: Option<Availability>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    labels_absent: Vec<String>,
    #[serde(default)]
    state: Existence,
    #[serde(default)]
    force: bool,
    #[serde(skip)]
    surroundings: Option<Surroundings>,
}

#[derive(Debug, Clone)]
struct Surroundings {
    host: HostName,
    address: String,
    manager: ManagerHost,
    hosts: Vec<swarm::Address>,
}

impl Validate for SwarmNode {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        match ManagerHost::find(self.manager.as_deref(), context) {
            Ok(manager) if manager.own && self.state == Existence::Absent => invalid.push(
                Invalid::new("manager", "a node cannot remove itself: name another host that is a manager")
                    .help("the last manager of a swarm leaves with `swarm_init = { state = \"absent\" }`"),
            ),
            Ok(manager) if manager.own && self.role == Some(Role::Worker) => invalid.push(
                Invalid::new("manager", "a worker cannot ask itself: name another host that is a manager")
                    .help("only managers know and change roles"),
            ),
            Ok(manager) => {
                self.surroundings = Some(Surroundings {
                    host: context.host().name.clone(),
                    address: context.host().login.address.clone(),
                    manager,
                    hosts: swarm::addresses(context),
                });
            }
            Err(e) => invalid.push(e),
        }
        for (n, key) in self.labels_absent.iter().enumerate() {
            if self.labels.contains_key(key) {
                invalid.push(Invalid::new(
                    format!("labels_absent[{n}]"),
                    format!("the label {key:?} is in `labels` as well"),
                ));
            }
        }
        for key in self.labels.keys().chain(&self.labels_absent) {
            if key.is_empty() || key.contains(['=', ' ', '\n']) {
                invalid.push(Invalid::new("labels", format!("{key:?} is no key of a label")));
            }
        }
        if self.force && self.state == Existence::Present {
            invalid.push(Invalid::new("force", "only goes with `state = \"absent\"`"));
        }
        let says_something = self.role.is_some()
            || self.availability.is_some()
            || !self.labels.is_empty()
            || !self.labels_absent.is_empty();
        if self.state == Existence::Absent && says_something {
            invalid.push(Invalid::new("state", "a node that is to go has no role, availability or labels"));
        } else if self.state == Existence::Present && !says_something {
            invalid.push(
                Invalid::new("", "nothing is said of the node")
                    .help("add `role`, `availability` or `labels`"),
            );
        }
        invalid
    }
}

impl Step for SwarmNode {
    fn probes(&self) -> Vec<Probe> {
        vec![swarm::info_probe(), swarm::manager_probe(self.manager())]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let own = swarm::info(readings)?;
        let manager = swarm::manager(readings, self.manager())?;
        match self.state {
            Existence::Present => self.present(readings, &own, &manager),
            Existence::Absent => self.absent(readings, &own, &manager),
        }
    }

    fn inverse(&self, change: &Change) -> Inverse {
        let text = |key: &'static str| change.before(key).map(|before| (key, before.into()));
        let label = |field: &crate::model::field::Field| field.name.strip_prefix("label ").map(str::to_owned);
        let (mut labels, mut gone) = (toml::Table::new(), Vec::new());
        for field in &change.fields {
            match (label(field), &field.before) {
                (Some(key), Value::Text(before)) => {
                    labels.insert(key, before.as_str().into());
                }
                (Some(key), Value::Absent) => gone.push(key),
                _ => {}
            }
        }
        if change.fields.iter().all(|field| field.before == Value::Unknown) {
            return Inverse::none("the node had just joined: what it was is not known");
        }
        let mut back: Vec<_> = text("role").into_iter().chain(text("availability")).collect();
        back.extend((!labels.is_empty()).then(|| ("labels", labels.into())));
        back.extend((!gone.is_empty()).then(|| ("labels_absent", gone.into())));
        if back.is_empty() {
            return Inverse::none("a node that has left its swarm joins again by `swarm_join`");
        }
        let manager = self.manager.as_deref().map(|manager| ("manager", manager.into()));
        Inverse::of("swarm_node", manager.into_iter().chain(back))
    }

    fn provides(&self) -> Vec<Resource> {
        match self.state {
            Existence::Absent => vec![Resource::here(Kind::End, "containers")],
            Existence::Present => self.labels.iter().map(|(k, v)| label(k, v)).collect(),
        }
    }

    fn needs(&self) -> Vec<Resource> {
        let manager = self.manager();
        let mut needs = vec![
            api::engine_of(None),
            api::engine_of((!manager.own).then_some(&manager.name)),
            swarm::swarm(),
            swarm::node(manager.name.as_str()),
            swarm::node(self.host()),
        ];
        needs.dedup();
        needs
    }

    /// Two managers that step down at the same time can leave the swarm without a quorum.
    fn exclusive(&self) -> Option<Resource> {
        (self.role.is_some() || self.state == Existence::Absent).then(swarm::swarm)
    }
}

fn label(key: &str, value: &str) -> Resource {
    Resource::fleet(Kind::NodeLabel, &format!("{key}={value}"))
}

impl SwarmNode {
    fn surroundings(&self) -> &Surroundings {
        self.surroundings.as_ref().expect("set by validate, without which there is no step")
    }

    fn manager(&self) -> &ManagerHost {
        &self.surroundings().manager
    }

    fn host(&self) -> &str {
        self.surroundings().host.as_str()
    }

    fn present(&self, readings: &Readings, own: &Own, manager: &Manager) -> Result<Verdict, CheckError> {
        let nodes = match manager {
            Manager::Up { nodes, .. } => nodes.as_slice(),
            _ => &[],
        };
        let expected = NodeState::expected(readings, self.host());
        let not_yet = |why: String| {
            let fresh = NodeState { role: self.role.unwrap_or_default(), ..NodeState::default() };
            let then = self.change(readings, &fresh, own, nodes, true);
            let then = Some(then?).filter(|c| !c.fields.is_empty());
            Ok(Verdict::Unknown { until: swarm::node(self.host()), then, otherwise: why })
        };
        let now = match (own, expected) {
            (_, Some(Some(node))) => node,
            (_, Some(None)) => return not_yet("an earlier step takes the node out of the swarm".into()),
            (Own::Missing(why), None) => return not_yet(why.clone()),
            (Own::Coming, None) => return not_yet("this host is in no swarm".into()),
            (Own::Up(info), None) => {
                let name = &self.manager().name;
                match (info.swarm.local_node_state, manager) {
                    (LocalState::Inactive, _) => return not_yet("this host is in no swarm".into()),
                    (LocalState::Pending, _) => {
                        return not_yet("this host has not joined a swarm yet".into());
                    }
                    (LocalState::Error | LocalState::Locked, _) => {
                        return Err(CheckError::refused(
                            format!(
                                "this host cannot work in its swarm: {}",
                                swarm::or_unknown(&info.swarm.error)
                            ),
                            "look at `docker info` and `journalctl -u docker`".to_owned(),
                        ));
                    }
                    (LocalState::Active, Manager::Missing(why, until)) => {
                        return Ok(Verdict::Unknown {
                            until: until.clone(),
                            then: None,
                            otherwise: why.clone(),
                        });
                    }
                    (LocalState::Active, _) => {
                        let Some(node) = nodes.iter().find(|n| n.id == info.swarm.node_id) else {
                            return Err(CheckError::refused(
                                swarm::stranger(&info.swarm, nodes, name.as_str()),
                                "see `force_leave` of `swarm_join`".to_owned(),
                            ));
                        };
                        if self.role.is_some_and(|r| r != node.spec.role) && node.status.state != "ready" {
                            return Err(CheckError::refused(
                                format!("{name} sees it as {}: its role is left alone", node.status.state),
                                "look at the network (2377/tcp) and `journalctl -u docker` of both first"
                                    .to_owned(),
                            ));
                        }
                        // The role that it has, not the one that it is to take.
                        let role = if info.swarm.control_available { Role::Manager } else { Role::Worker };
                        NodeState { role, ..NodeState::from(&node.spec) }
                    }
                }
            }
        };
        let change = self.change(readings, &now, own, nodes, false)?;
        if change.fields.is_empty() {
            let mut words = vec![now.role.word().to_owned(), now.availability.word().to_owned()];
            words.extend(self.labels.iter().map(|(k, v)| format!("{k}={v}")));
            return Ok(Verdict::satisfied(words.join(", ")));
        }
        Ok(Verdict::Drift(change))
    }

    /// What must be done of a node that stands so; no fields if nothing.
    fn change(
        &self,
        readings: &Readings,
        now: &NodeState,
        own: &Own,
        nodes: &[Node],
        fresh: bool,
    ) -> Result<Change, CheckError> {
        let (running, own_id) = match own {
            Own::Up(info) => (info.containers_running, info.swarm.node_id.as_str()),
            _ => (0, ""),
        };
        let before = |text: &str| if fresh { Value::Unknown } else { Value::from(text) };
        let mut change = Change::new("");
        let mut after = now.clone();
        let mut flags = Vec::<String>::new();
        let mut words = Vec::new();
        let mut turned = None;
        if let Some(role) = self.role.filter(|r| *r != now.role) {
            let others = self.other_managers(readings, nodes, own_id);
            if role == Role::Worker && others == 0 && !nodes.is_empty() {
                return Err(CheckError::refused(
                    "the only manager cannot become a worker",
                    "make another node a manager first".to_owned(),
                ));
            }
            let then = others + usize::from(role == Role::Manager);
            change.notes.extend(swarm::quorum_note(then).filter(|_| !nodes.is_empty()));
            change = change.field("role", before(now.role.word()), role.word());
            flags.extend(["--role".to_owned(), role.word().to_owned()]);
            words.push(if role == Role::Manager { "promote" } else { "demote" }.to_owned());
            turned = Some(role);
            after.role = role;
        }
        let mut drains = false;
        if let Some(availability) = self.availability.filter(|a| *a != now.availability) {
            change = change.field("availability", before(now.availability.word()), availability.word());
            flags.extend(["--availability".to_owned(), availability.word().to_owned()]);
            words.push(match availability {
                Availability::Active => "make active".to_owned(),
                Availability::Pause => "pause".to_owned(),
                Availability::Drain => "drain".to_owned(),
            });
            after.availability = availability;
            drains = availability == Availability::Drain;
            if drains && running > 0 {
                change.disrupts = Some(format!(
                    "moves the service tasks off this node ({} here); a task without a replica is \
                     away until it runs elsewhere",
                    swarm::containers_run(running)
                ));
            }
        }
        for (key, value) in &self.labels {
            let old = now.labels.get(key);
            if old == Some(value) {
                continue;
            }
            let shown = old.map_or(if fresh { Value::Unknown } else { Value::Absent }, |v| v.as_str().into());
            change = change
                .field(format!("label {key}"), shown, value.as_str())
                .expect(label(key, value), State::Present);
            if let Some(old) = old {
                change = change.expect(label(key, old), State::Absent);
            }
            flags.extend(["--label-add".to_owned(), format!("{key}={value}")]);
            words.push(format!("label {key}={value}"));
            after.labels.insert(key.clone(), value.clone());
        }
        for key in &self.labels_absent {
            // Removing a label that is not there is an error of the command.
            let Some(old) = after.labels.remove(key) else { continue };
            change = change
                .field(format!("label {key}"), old.as_str(), Value::Absent)
                .expect(label(key, &old), State::Absent);
            flags.extend(["--label-rm".to_owned(), key.clone()]);
            words.push(format!("remove label {key}"));
        }
        if change.fields.is_empty() {
            return Ok(change);
        }
        change.summary = words.join(", ");
        // A role that it is still to take stays what is wanted of it.
        let seen = nodes.iter().find(|n| n.id == own_id).map(|node| {
            let role = turned.unwrap_or(node.spec.role);
            (node, NodeState { role, ..after.clone() })
        });
        change = change.action(self.manager().act(update("update the node", own_id, seen, &flags)));
        change.actions.extend(turned.map(see_role));
        if drains {
            change = change.action(self.manager().act(see_drained(own_id)));
        }
        Ok(change.expect(swarm::node(self.host()), after.state()))
    }

    fn absent(&self, readings: &Readings, own: &Own, manager: &Manager) -> Result<Verdict, CheckError> {
        let nodes = match manager {
            Manager::Up { nodes, .. } => nodes.as_slice(),
            _ => &[],
        };
        let info = match own {
            Own::Up(info) if info.swarm.local_node_state != LocalState::Inactive => info,
            _ => return Ok(self.clear_stale(own, nodes)),
        };
        if NodeState::expected(readings, self.host()) == Some(None) {
            return Ok(Verdict::satisfied("taken out of the swarm by an earlier step"));
        }
        let state = &info.swarm;
        let node = nodes.iter().find(|n| n.id == state.node_id);
        // A join that got stuck, or a node that was removed: it only has to leave.
        let ours = node.is_some() || state.node_id.is_empty() || swarm::follows(state, nodes);
        if !ours && !self.force {
            return Err(CheckError::refused(
                swarm::stranger(state, nodes, self.manager().name.as_str()),
                "set `force = true` to make it leave whatever swarm it is in".to_owned(),
            ));
        }
        let mut change = Change::new("leave the swarm, and be removed from it").field(
            "swarm",
            match node {
                Some(_) => "active",
                None if !ours => "another",
                None if state.node_id.is_empty() => "half joined",
                None => "removed",
            },
            Value::Absent,
        );
        if info.containers_running > 0 {
            change.disrupts = Some(format!(
                "its service tasks move or end ({} on this host)",
                swarm::containers_run(info.containers_running)
            ));
        }
        if let Some(node) = node {
            let others = self.other_managers(readings, nodes, &node.id);
            change = change.field(format!("node {}", node.id), node.status.state.clone(), Value::Absent);
            if node.spec.role == Role::Manager {
                if others == 0 {
                    return Err(CheckError::refused(
                        "the only manager cannot be removed from its swarm",
                        "end the swarm with `swarm_init = { state = \"absent\" }`".to_owned(),
                    ));
                }
                change.notes.extend(swarm::quorum_note(others));
                let flags = ["--role".to_owned(), "worker".to_owned()];
                change = change
                    .action(update("demote it", &node.id, None, &flags).on(self.manager().name.clone()))
                    .action(see_role(Role::Worker));
            }
            if node.spec.availability != Availability::Drain && node.status.state == "ready" {
                let flags = ["--availability".to_owned(), "drain".to_owned()];
                for action in [update("drain it", &node.id, None, &flags), see_drained(&node.id)] {
                    change = change.action(action.on(self.manager().name.clone()));
                }
            }
        }
        change = change.action(swarm::leave("leave the swarm"));
        if let Some(node) = node {
            change = change.action(swarm::remove(self.manager(), &node.id, Role::Worker));
        }
        Ok(Verdict::Drift(change.expect(swarm::node(self.host()), State::Absent)))
    }

    fn other_managers(&self, readings: &Readings, nodes: &[Node], own_id: &str) -> usize {
        swarm::managers_beside(readings, nodes, self.host(), own_id, &self.surroundings().hosts)
    }

    /// The host is in no swarm; the manager may still list what it was.
    fn clear_stale(&self, own: &Own, nodes: &[Node]) -> Verdict {
        let address = &self.surroundings().address;
        // An engine that does not answer may be a member as soon as it does.
        let left = |n: &&Node| matches!(own, Own::Up(_)) || n.status.state == "down";
        let stale: Vec<_> = nodes.iter().filter(|n| n.is_stale(address)).filter(left).collect();
        if stale.is_empty() {
            return Verdict::satisfied("in no swarm");
        }
        let mut change = Change::new("remove what the manager still lists of this host");
        for node in stale {
            change = change
                .field(
                    format!("{} {}", node.spec.role.word(), node.id),
                    node.status.state.clone(),
                    Value::Absent,
                )
                .action(swarm::remove(self.manager(), &node.id, node.spec.role));
        }
        Verdict::Drift(change.expect(swarm::node(self.host()), State::Absent))
    }
}

/// Updates the node with this id, or the one that is this engine's. Where it was `seen`, and how it is to be is known,
/// that is said at once.
fn update(label: &str, id: &str, seen: Option<(&Node, NodeState)>, flags: &[String]) -> Action {
    let (path, spec) = seen.map_or_else(Default::default, |(node, after)| {
        let NodeState { role, availability, labels } = after;
        let spec = NodeSpec { role, availability, labels, rest: node.spec.rest.clone() };
        let path = format!("/nodes/{}/update?version={}", node.id, node.version.index);
        (path, api::ascii(&serde_json::json!(spec)))
    });
    let update = UpdateNode { node: id, flags, path: &path, spec: &spec };
    swarm::on_node(Action::new(label, update.script()), id).timeout(Duration::from_mins(3))
}

/// Waits until the node itself has taken its new role.
fn see_role(role: Role) -> Action {
    let wait = WaitRole { role: role.word() };
    Action::new(format!("see it as {}", role.word()), wait.script()).timeout(Duration::from_mins(2))
}

/// Waits until nothing of the swarm runs on the node.
fn see_drained(id: &str) -> Action {
    let wait = WaitNodeDrained { node: id };
    swarm::on_node(Action::new("wait until no task is left on it", wait.script()), id)
        .timeout(Duration::from_mins(4))
}
