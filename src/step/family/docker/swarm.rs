//! What an engine says of itself, its swarm and the nodes in it.
//!
//! The fields are those of the engine's API (docs.docker.com, Engine API 1.41). The daemon leaves out what is
//! empty, so that every field has a default.

use serde::{Deserialize, Serialize};

use super::api::{self, Engine};
use crate::model::{HostName, Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::sh;
use crate::shell::Script;
use crate::step::{Action, Borrowed, Change, Context, Invalid};

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

/// `Spec` of a [`Node`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeSpec {
    /// Its role.
    pub role: Role,
    /// Whether it takes tasks.
    pub availability: Availability,
    /// Its labels.
    #[serde(default, deserialize_with = "null_is_default")]
    pub labels: std::collections::BTreeMap<String, String>,
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

/// Go writes an empty list or map as `null`.
pub fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
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
            None => context.host,
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
            own: host.name == context.host.name,
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
                        return Err(CheckError::refused(
                            format!("{host} manages a swarm that cannot answer: {}", nodes.message()),
                            "see `docker node ls` there: more than half of the managers must be up"
                                .to_owned(),
                        ));
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

/// `error`, or words in its place where the engine gives none.
pub fn or_unknown(error: &str) -> &str {
    if error.is_empty() { "the engine does not say why" } else { error }
}

/// The managers that an engine believes in, as text.
pub fn peers(swarm: &Swarm) -> String {
    let mut addresses: Vec<_> = swarm.remote_managers.iter().map(|p| p.addr.as_str()).collect();
    addresses.sort_unstable();
    if addresses.is_empty() { "unknown managers".into() } else { format!("manager {}", addresses.join(", ")) }
}

/// The id of the node that an engine is, for an action on a manager. Not known before it has joined.
pub fn own_node_id() -> Borrowed {
    Borrowed {
        what: "node id",
        from: Probe::new(sh!(
            r#"{}hw_info=$(hw_call 10 GET /info) || exit 1
hw_id=${hw_info#*'"NodeID":"'}
printf '%s\n' "${hw_id%%'"'*}""#,
            api::functions()
        )),
        secret: false,
    }
}

/// `Ok` if `address` is an IP address (without port).
pub fn is_ip(address: &str) -> bool {
    address.parse::<std::net::IpAddr>().is_ok()
}

/// `address` with `port`, as the API wants it: IPv6 in brackets.
pub fn with_port(address: &str, port: u16) -> String {
    if address.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
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

impl From<&NodeSpec> for NodeState {
    fn from(spec: &NodeSpec) -> Self {
        Self { role: spec.role, availability: spec.availability, labels: spec.labels.clone() }
    }
}

/// What to say of a number of managers, if something is to be said.
pub fn quorum_note(managers: usize) -> Option<String> {
    let quorum = managers / 2 + 1;
    match managers {
        0 => None,
        1 => Some("one manager: while it is down, nothing in the swarm is changed or moved".into()),
        n if n % 2 == 0 => Some(format!(
            "{n} managers: an even number stands the loss of no more managers than {} do ({quorum} must be up)",
            n - 1
        )),
        n => Some(format!("{n} managers: {quorum} of them must be up")),
    }
}

/// `address` without its port, if it has one.
pub fn without_port(address: &str) -> &str {
    if let Some(rest) = address.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match address.split_once(':') {
        Some((host, port)) if !port.contains(':') => host,
        _ => address,
    }
}

/// Sets an address to advertise that was left out to the host's own in the inventory.
///
/// The daemon takes an IP address or the name of an interface, each with or without a port; it does not look
/// up names of hosts.
pub fn complete_address(advertise: &mut Option<String>, context: &Context<'_>) -> Option<Invalid> {
    let help = "give an IP address or the name of an interface that the other nodes reach";
    if advertise.is_none() {
        let address = &context.host.login.address;
        if !is_ip(address) {
            return Some(
                Invalid::new(
                    "",
                    format!("`advertise_addr` is missing, and {address:?} is not an IP address"),
                )
                .help(help),
            );
        }
        *advertise = Some(address.clone());
    }
    let address = advertise.as_deref().unwrap_or_default();
    let host = without_port(address);
    let unusable = host.is_empty()
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_unspecified() || ip.is_multicast());
    unusable.then(|| {
        Invalid::new("advertise_addr", format!("{address:?} is no address that others can reach")).help(help)
    })
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

/// Leaves the swarm, whatever the node is in it, and waits until the engine is out of it.
pub fn leave_script() -> Script {
    sh!(r#"hw_said=$(timeout -k 5 120 docker swarm leave --force 2>&1) || case $hw_said in
  *'not part of a swarm'*) ;;
  *) printf '%s\n' "$hw_said" >&2; exit 1 ;;
esac
hw_end=$(($(date +%s) + 40))
while hw_state=$(timeout -k 2 10 docker info --format '{{.Swarm.LocalNodeState}}') && [ "$hw_state" != inactive ]; do
  [ "$(date +%s)" -lt "$hw_end" ] || { echo "the engine is still $hw_state in its swarm" >&2; exit 1; }
  sleep 1
done"#)
}

/// Waits until the engine is active in its swarm, for so many seconds; after [`api::functions`].
pub fn wait_active(seconds: u32) -> Script {
    sh!(
        r#"hw_end=$(($(date +%s) + {}))
while :; do
  hw_info=$(hw_call 10 GET /info)
  hw_state=${hw_info#*'"LocalNodeState":"'}
  hw_state=${hw_state%%'"'*}
  case $hw_state in
    active) exit 0 ;;
    locked) echo 'the swarm is locked: it wants its unlock key' >&2; exit 1 ;;
    error) break ;;
  esac
  [ "$(date +%s)" -lt "$hw_end" ] || break
  sleep 1
done
hw_said=${hw_info#*'"LocalNodeState":"'} hw_said=${hw_said#*'"Error":"'}
hw_state="$hw_state ${hw_said%%'"'*}"
echo "the engine did not become active in the swarm: $hw_state" >&2
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
        .action(Action::new("wait for the swarm", script).timeout(std::time::Duration::from_mins(2)))
}

/// The address with port under which a manager can be joined.
pub fn own_remote_addr(swarm: &Swarm) -> Option<String> {
    let listed = swarm.remote_managers.iter().find(|p| p.node_id == swarm.node_id).map(|p| p.addr.clone());
    listed.or_else(|| (!swarm.node_addr.is_empty()).then(|| with_port(&swarm.node_addr, 2377)))
}

/// Removes a node that has left, once the manager has noticed; one that is gone already is fine.
pub fn remove_script(id: &str) -> Script {
    sh!(
        r#"hw_end=$(($(date +%s) + 90))
while :; do
  hw_said=$(timeout -k 2 20 docker node rm {} 2>&1) && exit 0
  case $hw_said in
    *'not found'*|*'o such node'*) exit 0 ;;
    *'is not down'*) ;;
    *) break ;;
  esac
  [ "$(date +%s)" -lt "$hw_end" ] || break
  sleep 2
done
printf '%s\n' "$hw_said" >&2
exit 1"#,
        id
    )
}
