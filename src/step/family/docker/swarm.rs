//! What an engine says of itself, its swarm and the nodes in it.
//!
//! The fields are those of the engine's API (docs.docker.com, Engine API 1.41). The daemon leaves out what is
//! empty, so that every field has a default.

mod act;
mod address;
mod words;

use serde::{Deserialize, Serialize};

use super::api::{self, Engine};
use super::json::null_is_default;
use crate::model::{HostName, Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::step::{Action, Borrowed, Context, Invalid, Origin};
pub use act::{ACTIVE, PROGRAMS, leave, remove, wait_change};
pub use address::{check_addresses, complete_address, is_ip, with_port, without_port};
pub use words::{containers_run, follows, no_quorum, or_unknown, peers, quorum_note, stranger};

/// `GET /info`, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Info {
    /// What the host calls itself.
    #[serde(default)]
    pub name: String,
    /// The engine's version.
    pub server_version: String,
    /// Containers that run.
    #[serde(default)]
    pub containers_running: u64,
    /// `live-restore` is on, which a swarm does not get on with.
    #[serde(default)]
    pub live_restore_enabled: bool,
    /// The swarm, seen from this engine.
    pub swarm: Swarm,
}

/// `Swarm` of [`Info`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Swarm {
    /// The engine's own node id; empty if it is in no swarm.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// The address that it advertises.
    #[serde(default)]
    pub node_addr: String,
    /// Where it stands.
    pub local_node_state: LocalState,
    /// Whether it is a manager.
    pub control_available: bool,
    /// What went wrong.
    #[serde(default)]
    pub error: String,
    /// The managers that it knows.
    #[serde(default, deserialize_with = "null_is_default")]
    pub remote_managers: Vec<Peer>,
    /// Number of nodes; managers only.
    #[serde(default)]
    pub nodes: u64,
    /// Number of managers; managers only.
    #[serde(default)]
    pub managers: u64,
    /// The swarm itself; managers only.
    #[serde(default)]
    pub cluster: Option<Cluster>,
}

/// Where an engine stands with its swarm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LocalState {
    /// In no swarm. An engine that says nothing is in none.
    #[default]
    #[serde(alias = "")]
    Inactive,
    /// On its way into one.
    Pending,
    /// In one.
    Active,
    /// In one, but cannot work.
    Error,
    /// A manager that waits for its unlock key after a restart.
    Locked,
}

/// A manager as a node knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Peer {
    /// Its node id.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// Its address, with port.
    pub addr: String,
}

/// A swarm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Cluster {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// The networks from which overlay subnets are taken.
    #[serde(default, deserialize_with = "null_is_default")]
    pub default_addr_pool: Vec<String>,
    /// Prefix length of those subnets.
    #[serde(default)]
    pub subnet_size: u32,
    /// UDP port of the overlay traffic.
    #[serde(default)]
    pub data_path_port: u32,
}

/// A node as a manager lists it (`GET /nodes`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Node {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// What an update must name, so that it does not undo another one.
    #[serde(default)]
    pub version: Version,
    /// What is wanted of it.
    pub spec: NodeSpec,
    /// What it is.
    #[serde(default)]
    pub description: Description,
    /// How it is.
    pub status: Status,
    /// Managers only.
    #[serde(default)]
    pub manager_status: Option<ManagerStatus>,
}

/// `Version` of a [`Node`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Version {
    /// Another one after each change.
    pub index: u64,
}

/// `Spec` of a [`Node`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeSpec {
    /// Its role.
    pub role: Role,
    /// Whether it takes tasks.
    pub availability: Availability,
    /// Its labels.
    #[serde(default, deserialize_with = "null_is_default")]
    pub labels: std::collections::BTreeMap<String, String>,
    /// What else there is (`Name`).
    #[serde(flatten)]
    pub rest: serde_json::Map<String, serde_json::Value>,
}

/// `Description` of a [`Node`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Description {
    /// Host name; several nodes may have the same.
    pub hostname: String,
}

/// `Status` of a [`Node`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Status {
    /// `ready`, `down`, `unknown` or `disconnected`.
    pub state: String,
    /// Why.
    #[serde(default)]
    pub message: String,
    /// Where the manager sees it.
    #[serde(default)]
    pub addr: String,
}

/// `ManagerStatus` of a [`Node`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ManagerStatus {
    /// It leads.
    pub leader: bool,
    /// `reachable`, `unreachable` or `unknown`.
    pub reachability: String,
    /// Address with port.
    pub addr: String,
}

/// The part of a node in its swarm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Runs tasks.
    #[default]
    Worker,
    /// Runs tasks and takes part in decisions.
    Manager,
}

/// Whether a node takes tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Availability {
    /// It does.
    #[default]
    Active,
    /// It keeps those that it has and takes no more.
    Pause,
    /// It has none.
    Drain,
}

impl Role {
    /// The word of the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Manager => "manager",
        }
    }
}

impl Availability {
    /// The word of the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pause => "pause",
            Self::Drain => "drain",
        }
    }
}

/// Asks the host's own engine for [`Info`].
pub fn info_probe() -> Probe {
    api::get(&["/info"])
}

/// An engine's own view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Own {
    /// It answered.
    Up(Box<Info>),
    /// An earlier step brings it; it will be in no swarm.
    Coming,
    /// It is not there: why.
    Missing(String),
}

/// Reads the answer to [`info_probe`].
pub fn info(readings: &Readings) -> Result<Own, CheckError> {
    let probe = info_probe();
    Ok(match api::read(readings, &probe)? {
        Engine::Up(responses) => Own::Up(Box::new(first(&responses).json(&probe, readings)?)),
        Engine::Coming => Own::Coming,
        Engine::Missing(why) => Own::Missing(why),
    })
}

/// The first response; [`api::read`] never gives an empty list.
fn first(responses: &[api::Response]) -> &api::Response {
    responses.first().expect("an engine that is up gave a response")
}

/// Asks a manager for itself and all nodes.
pub fn manager_probe(manager: &ManagerHost) -> Probe {
    let probe = api::get(&["/info", "/nodes"]);
    if manager.own { probe } else { probe.on(manager.name.clone()) }
}

/// The host on which a step asks and acts as a manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagerHost {
    /// Its inventory name.
    pub name: HostName,
    /// Its address in the inventory.
    pub address: String,
    /// It is the step's own host.
    pub own: bool,
}

impl ManagerHost {
    /// Finds the host that `name` names; the step's own where it is `None`.
    pub fn find(name: Option<&str>, context: &Context<'_>) -> Result<Self, Invalid> {
        let host = match name {
            None => context.host(),
            Some(name) => context.find_host(name).map(|h| &**h).ok_or_else(|| {
                let near = crate::diagnostic::nearest(name, context.host_names().map(HostName::as_str));
                let help = near.map_or_else(
                    || "name a host of the inventory that is a manager".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                Invalid::new("manager", format!("no host {name:?} in the inventory")).help(help)
            })?,
        };
        Ok(Self {
            name: host.name.clone(),
            address: host.login.address.clone(),
            own: host.name == context.host().name,
        })
    }

    /// Runs `action` there.
    pub fn act(&self, action: Action) -> Action {
        if self.own { action } else { action.on(self.name.clone()) }
    }
}

/// A manager's view of its swarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manager {
    /// It manages a swarm.
    Up {
        /// The manager itself.
        info: Box<Info>,
        /// All nodes.
        nodes: Vec<Node>,
    },
    /// An earlier step of the plan makes the swarm.
    Coming,
    /// It is no manager, or not reached: why, and the resource that would help.
    Missing(String, Resource),
}

/// The swarm as a resource.
pub fn swarm() -> Resource {
    Resource::fleet(Kind::Swarm, "swarm")
}

/// A node as a resource, by the inventory name of its host.
pub fn node(host: &str) -> Resource {
    Resource::fleet(Kind::Node, host)
}

/// Whether an earlier step of the plan makes the swarm.
pub fn swarm_is_coming(readings: &Readings) -> bool {
    !matches!(readings.expected(&swarm()), None | Some(State::Absent))
}

/// Reads the answer to [`manager_probe`].
pub fn manager(readings: &Readings, manager: &ManagerHost) -> Result<Manager, CheckError> {
    let probe = manager_probe(manager);
    let host = &manager.name;
    let why = match api::read(readings, &probe)? {
        Engine::Up(responses) => {
            let info: Info = first(&responses).json(&probe, readings)?;
            match (info.swarm.local_node_state, responses.get(1)) {
                (LocalState::Active, Some(nodes)) if info.swarm.control_available => {
                    // A manager without a quorum answers 500 or 503 here.
                    if nodes.status != 200 {
                        return Err(no_quorum(host.as_str(), &info.swarm, &nodes.message()));
                    }
                    let nodes = nodes.json(&probe, readings)?;
                    return Ok(Manager::Up { info: Box::new(info), nodes });
                }
                (LocalState::Active, _) => {
                    return Err(CheckError::refused(
                        format!("{host} is a worker of a swarm, not a manager"),
                        "name a manager in `manager`".to_owned(),
                    ));
                }
                (LocalState::Inactive, _) => format!("{host} is in no swarm"),
                (LocalState::Locked, _) => {
                    return Err(CheckError::refused(
                        format!("the swarm of {host} is locked"),
                        format!("run `docker swarm unlock` on {host}"),
                    ));
                }
                (LocalState::Pending | LocalState::Error, _) => {
                    return Err(CheckError::refused(
                        format!("{host} cannot work in its swarm: {}", or_unknown(&info.swarm.error)),
                        "look at `docker info` and `journalctl -u docker` there".to_owned(),
                    ));
                }
            }
        }
        Engine::Coming => format!("{host} is in no swarm"),
        Engine::Missing(why) => why,
    };
    if swarm_is_coming(readings) { Ok(Manager::Coming) } else { Ok(Manager::Missing(why, swarm())) }
}

/// The id of the node that an engine has just become, the last that its join printed.
pub fn joined_node_id() -> Borrowed {
    Borrowed { what: "node id", from: Origin::Printed, secret: false }
}

/// How an action on a manager knows which node this engine is: `own_id`, or where that is empty, for it is not known yet,
/// a borrowed value.
pub fn on_node(action: Action, own_id: &str) -> Action {
    if own_id.is_empty() { action.borrow(act::node_id()) } else { action }
}

impl Node {
    /// Whether it is what a host at `address`, which is in no swarm now, once was, so that it can be removed.
    ///
    /// A manager must be seen as gone: to demote one that is up, somebody else's with the same address, does harm.
    pub fn is_stale(&self, address: &str) -> bool {
        let gone = |m: &ManagerStatus| self.status.state == "down" || m.reachability == "unreachable";
        self.status.addr == address && self.manager_status.as_ref().is_none_or(gone)
    }
}

/// What a plan expects of a node: the state of its [`Kind::Node`] resource, as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Its role.
    pub role: Role,
    /// Whether it takes tasks.
    pub availability: Availability,
    /// Its labels.
    pub labels: std::collections::BTreeMap<String, String>,
}

impl NodeState {
    /// The state that a change leaves.
    pub fn state(&self) -> State {
        State::Value(serde_json::json!(self).to_string())
    }

    /// What an earlier step of the plan will leave of the node of this host; `Some(None)` for nothing.
    pub fn expected(readings: &Readings, host: &str) -> Option<Option<Self>> {
        Some(match readings.expected(&node(host))? {
            State::Absent => None,
            State::Value(json) => Some(serde_json::from_str(json).unwrap_or_default()),
            _ => Some(Self::default()),
        })
    }
}

/// A host of the inventory by its name and address.
pub type Address = (HostName, String);

/// The addresses of all hosts of the inventory.
pub fn addresses(context: &Context<'_>) -> Vec<Address> {
    let hosts = context.host_names().filter_map(|name| context.find_host(name.as_str()));
    hosts.map(|h| (h.name.clone(), h.login.address.clone())).collect()
}

/// How many managers there will be after the earlier steps of the plan, beside `host` with the node id `own_id`.
///
/// Of another host a step does not know the node id: its address tells which node it is.
pub fn managers_beside(
    readings: &Readings,
    nodes: &[Node],
    host: &str,
    own_id: &str,
    hosts: &[Address],
) -> usize {
    let expected = |name: &HostName| NodeState::expected(readings, name.as_str());
    let others = || hosts.iter().filter(|(name, _)| name.as_str() != host);
    let listed = nodes.iter().filter(|node| node.id != own_id).filter(|node| {
        let planned = others().find(|(_, address)| *address == node.status.addr);
        match planned.and_then(|(name, _)| expected(name)) {
            Some(state) => state.is_some_and(|s| s.role == Role::Manager),
            None => node.spec.role == Role::Manager,
        }
    });
    let coming = others().filter(|(name, address)| {
        !nodes.iter().any(|n| n.status.addr == *address)
            && matches!(expected(name), Some(Some(s)) if s.role == Role::Manager)
    });
    listed.count() + coming.count()
}

impl From<&NodeSpec> for NodeState {
    fn from(spec: &NodeSpec) -> Self {
        Self { role: spec.role, availability: spec.availability, labels: spec.labels.clone() }
    }
}

/// Refuses an engine with `live-restore`: it does not get on with a swarm (the daemon says so at the join, or at
/// its next start).
pub fn refuse_live_restore(readings: &Readings, own: &Own) -> Result<(), CheckError> {
    let on = match readings.expected(&api::engine_of(None)) {
        Some(State::Value(value)) => value == LIVE_RESTORE,
        _ => matches!(own, Own::Up(info) if info.live_restore_enabled),
    };
    if on {
        return Err(CheckError::refused(
            "the engine has `live-restore` on, which does not get on with a swarm",
            "set `live-restore = false` in the `daemon` table of `docker_engine`".to_owned(),
        ));
    }
    Ok(())
}

/// The state of an engine that will have `live-restore` on.
pub const LIVE_RESTORE: &str = "live-restore";

/// The address with port under which a manager can be joined.
pub fn own_remote_addr(swarm: &Swarm) -> Option<String> {
    let listed = swarm.remote_managers.iter().find(|p| p.node_id == swarm.node_id).map(|p| p.addr.clone());
    listed.or_else(|| (!swarm.node_addr.is_empty()).then(|| with_port(&swarm.node_addr, 2377)))
}
