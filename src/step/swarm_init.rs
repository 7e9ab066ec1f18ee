//! `swarm_init`: the first manager of a swarm, or its end.

use std::time::Duration;

use serde::Deserialize;

use super::family::docker::swarm::{self, Availability, LocalState, NodeState, Own, Role};
use super::family::docker::{Existence, api, subnet};
use super::{Action, Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::{HostName, Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::Programs;

program! {
    /// Makes the swarm.
    InitSwarm in "swarm_init/init_swarm.sh" uses [api::API] { request: Word }
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs = &[&[InitSwarm::program], swarm::PROGRAMS, api::PROGRAMS];

/// A swarm, on its first manager.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwarmInit {
    advertise_addr: Option<String>,
    listen_addr: Option<String>,
    data_path_addr: Option<String>,
    data_path_port: Option<u16>,
    #[serde(default)]
    default_addr_pool: Vec<String>,
    subnet_size: Option<u8>,
    #[serde(default)]
    availability: Availability,
    #[serde(default)]
    state: Existence,
    #[serde(default)]
    force: bool,
    #[serde(skip)]
    host: Option<HostName>,
    /// Every host that may be a node, for what earlier steps leave of it.
    #[serde(skip)]
    hosts: Vec<HostName>,
}

impl SwarmInit {
    /// Where other nodes reach this one, without a port: an address or the name of an interface.
    pub fn advertises(&self) -> Option<&str> {
        self.advertise_addr.as_deref().map(swarm::without_port)
    }
}

impl Validate for SwarmInit {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        self.host = Some(context.host().name.clone());
        self.hosts = context.host_names().cloned().collect();
        let mut invalid = Vec::new();
        if self.state == Existence::Present {
            invalid.extend(swarm::complete_address(&mut self.advertise_addr, context));
        }
        invalid.extend(swarm::check_addresses(self.listen_addr.as_deref(), self.data_path_addr.as_deref()));
        let subnet = self.subnet_size.unwrap_or(24);
        for (n, pool) in self.default_addr_pool.iter().enumerate() {
            let at = format!("default_addr_pool[{n}]");
            let bits = pool.split_once('/').and_then(|(net, bits)| {
                net.parse::<std::net::Ipv4Addr>().ok()?;
                bits.parse::<u8>().ok().filter(|b| *b <= 32)
            });
            match bits {
                None => invalid.push(
                    Invalid::new(at, format!("{pool:?} is not a subnet"))
                        .help("write it as \"10.20.0.0/16\""),
                ),
                Some(bits) if bits > subnet => invalid.push(
                    Invalid::new(at, format!("{pool} is smaller than one overlay network (/{subnet})"))
                        .help("give a larger one, or a greater `subnet_size`"),
                ),
                Some(_) => {}
            }
        }
        if self.force && self.state == Existence::Present {
            invalid.push(Invalid::new("force", "only goes with `state = \"absent\"`"));
        }
        if self.subnet_size.is_some_and(|n| !(8..=29).contains(&n)) {
            invalid.push(Invalid::new("subnet_size", "a prefix length from 8 to 29 is wanted"));
        }
        if self.data_path_port.is_some_and(|port| !(1024..=49151).contains(&port)) {
            invalid.push(Invalid::new("data_path_port", "Docker takes ports from 1024 to 49151"));
        }
        invalid
    }
}

impl Step for SwarmInit {
    fn probes(&self) -> Vec<Probe> {
        vec![swarm::info_probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let own = swarm::info(readings)?;
        if self.state == Existence::Absent {
            return self.absent(readings, &own);
        }
        swarm::refuse_live_restore(readings, &own)?;
        let info = match own {
            Own::Missing(why) => return Ok(api::until_engine(None, why, Some(self.init()))),
            Own::Coming => return Ok(Verdict::Drift(self.init())),
            Own::Up(info) => info,
        };
        let state = &info.swarm;
        match state.local_node_state {
            LocalState::Inactive if swarm::swarm_is_coming(readings) && self.comes_here(readings) => {
                Ok(Verdict::satisfied("made by an earlier step"))
            }
            LocalState::Inactive => Ok(Verdict::Drift(self.init())),
            // Without a quorum a manager knows nothing of its swarm.
            LocalState::Active if state.control_available && !state.error.is_empty() => {
                Err(swarm::no_quorum(self.host_name(), state, &state.error))
            }
            LocalState::Active if state.control_available => self.compare(&info),
            LocalState::Active => Err(CheckError::refused(
                format!("this host is a worker of a swarm already, that of {}", swarm::peers(state)),
                "make it leave first: `docker swarm leave`, or `swarm_node` with `state = \"absent\"`"
                    .to_owned(),
            )),
            LocalState::Pending => {
                Ok(Verdict::Drift(swarm::wait_change().expect(swarm::swarm(), State::Present)))
            }
            LocalState::Error => Err(CheckError::refused(
                format!("the swarm of this host is in error: {}", swarm::or_unknown(&state.error)),
                "look at `journalctl -u docker`; often a certificate ran out or the other managers are down"
                    .to_owned(),
            )),
            LocalState::Locked => Err(CheckError::refused(
                "the swarm of this host is locked",
                "run `docker swarm unlock` on it, with the key from `docker swarm unlock-key`".to_owned(),
            )),
        }
    }

    fn inverse(&self, _: &Change) -> Inverse {
        Inverse::none("the swarm stays: `swarm_init = { state = \"absent\" }` ends it")
    }

    fn provides(&self) -> Vec<Resource> {
        match self.state {
            Existence::Present => vec![swarm::swarm(), swarm::node(self.host_name())],
            Existence::Absent => vec![Resource::here(Kind::End, "containers")],
        }
    }

    fn needs(&self) -> Vec<Resource> {
        let mut needs = vec![api::engine_of(None)];
        if self.state == Existence::Absent {
            needs.extend(
                self.hosts.iter().filter(|h| Some(*h) != self.host.as_ref()).map(|h| swarm::node(h.as_str())),
            );
        }
        needs
    }
}

impl SwarmInit {
    fn host_name(&self) -> &str {
        self.host.as_ref().map_or("", HostName::as_str)
    }

    fn comes_here(&self, readings: &Readings) -> bool {
        matches!(NodeState::expected(readings, self.host_name()), Some(Some(node)) if node.role == Role::Manager)
    }

    fn init(&self) -> Change {
        let address = self.advertise_addr.as_deref().unwrap_or_default();
        let body = serde_json::json!({
            "ListenAddr": self.listen_addr.as_deref().unwrap_or("0.0.0.0:2377"),
            "AdvertiseAddr": address,
            "DataPathAddr": self.data_path_addr.as_deref().unwrap_or_default(),
            "DataPathPort": self.data_path_port.unwrap_or_default(),
            "DefaultAddrPool": self.default_addr_pool,
            "SubnetSize": self.subnet_size.unwrap_or(24),
            "ForceNewCluster": false,
            "Availability": self.availability.word(),
            "Spec": {},
        });
        let script = InitSwarm { request: &api::ascii(&body) }.script();
        let mut change = Change::new(format!("init a swarm, advertise {address}"))
            .field("swarm", "inactive", "active")
            .field("advertise_addr", Value::Absent, address)
            .field("cluster id", Value::Absent, Value::AfterApply);
        if !self.default_addr_pool.is_empty() {
            change = change.field("default_addr_pool", Value::Absent, self.default_addr_pool.join(", "));
        }
        if self.availability != Availability::Active {
            change = change.field("availability", Value::Absent, self.availability.word());
        }
        let node = NodeState { role: Role::Manager, availability: self.availability, ..NodeState::default() };
        change
            .note("address pool, subnet size and data path port cannot be changed later")
            .action(Action::new("init the swarm", script).timeout(Duration::from_mins(2)).lasting())
            .expect(swarm::swarm(), State::Present)
            .expect(swarm::node(self.host_name()), node.state())
    }

    /// Compares what was set when the swarm was made: nothing of it can be changed in place.
    fn compare(&self, info: &swarm::Info) -> Result<Verdict, CheckError> {
        let state = &info.swarm;
        let cluster = state.cluster.clone().unwrap_or_default();
        let mut differs = Vec::new();
        if let Some(wanted) = self.advertise_addr.as_deref().filter(|a| swarm::is_ip(swarm::without_port(a)))
            && subnet::canonical(swarm::without_port(wanted)) != subnet::canonical(&state.node_addr)
        {
            differs.push(format!("advertise_addr is {}, not {wanted}", state.node_addr));
        }
        let pools = |list: &[String]| list.iter().map(|p| subnet::canonical(p)).collect::<Vec<_>>();
        if !self.default_addr_pool.is_empty()
            && pools(&self.default_addr_pool) != pools(&cluster.default_addr_pool)
        {
            let actual = cluster.default_addr_pool.join(", ");
            differs.push(format!(
                "default_addr_pool is {}, not {}",
                if actual.is_empty() { "Docker's own" } else { &actual },
                self.default_addr_pool.join(", ")
            ));
        }
        if let Some(wanted) = self.subnet_size
            && u32::from(wanted) != cluster.subnet_size
        {
            differs.push(format!("subnet_size is {}, not {wanted}", cluster.subnet_size));
        }
        if let Some(wanted) = self.data_path_port
            && u32::from(wanted) != cluster.data_path_port
        {
            differs.push(format!("data_path_port is {}, not {wanted}", cluster.data_path_port));
        }
        if differs.is_empty() {
            return Ok(Verdict::satisfied(format!(
                "manager of swarm {}, advertises {}",
                cluster.id, state.node_addr
            )));
        }
        Err(CheckError::refused(
            format!(
                "the swarm was made otherwise, and this cannot be changed in place: {}",
                differs.join("; ")
            ),
            "describe it as it is, or take the swarm down (`state = \"absent\"`) and make it anew".to_owned(),
        ))
    }

    fn absent(&self, readings: &Readings, own: &Own) -> Result<Verdict, CheckError> {
        let info = match own {
            Own::Missing(_) | Own::Coming => return Ok(Verdict::satisfied("no engine, so no swarm")),
            Own::Up(info) => info,
        };
        let state = &info.swarm;
        if state.local_node_state == LocalState::Inactive
            || matches!(readings.expected(&swarm::swarm()), Some(State::Absent))
        {
            return Ok(Verdict::satisfied("in no swarm"));
        }
        let leaving = self.hosts.iter().filter(|h| {
            Some(*h) != self.host.as_ref() && NodeState::expected(readings, h.as_str()) == Some(None)
        });
        // Without a quorum the engine does not say how many nodes there are.
        let nodes = state.nodes.max(state.remote_managers.len() as u64);
        let others = nodes.saturating_sub(1).saturating_sub(leaving.count() as u64);
        if state.control_available && others > 0 && !self.force {
            return Err(CheckError::refused(
                if others == 1 {
                    "another node is still in the swarm".to_owned()
                } else {
                    format!("{others} other nodes are still in the swarm")
                },
                "remove them first (`swarm_node` with `state = \"absent\"`), or set `force = true`"
                    .to_owned(),
            ));
        }
        let mut change = Change::new("leave, and so end, the swarm")
            .field("swarm", "active", Value::Absent)
            .note("its services, configs, secrets and overlay networks go with it; volumes stay")
            .action(swarm::leave("leave the swarm"))
            .expect(swarm::swarm(), State::Absent)
            .expect(swarm::node(self.host_name()), State::Absent);
        if info.containers_running > 0 {
            change.disrupts = Some(format!(
                "ends all services: {} on this host alone",
                swarm::containers_run(info.containers_running)
            ));
        }
        Ok(Verdict::Drift(change))
    }
}
