//! `swarm_join`: a host becomes a worker or manager of our swarm, and of no other.

use std::time::Duration;

use serde::Deserialize;

use super::family::docker::api;
use super::family::docker::swarm::{
    self, Availability, Info, LocalState, Manager, ManagerHost, Node, NodeState, Own, Role,
};
use super::{Action, Borrowed, Change, Context, Invalid, Inverse, Origin, Step, Validate, Value, Verdict};
use crate::model::{HostName, Kind, Resource};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::Programs;
use crate::shell::Script;

program! {
    /// Asks for a join token.
    AskJoinToken in "swarm_join/ask_join_token.sh" { role: Word }
}
program! {
    /// Joins.
    JoinSwarm in "swarm_join/join_swarm.sh" uses [api::API, swarm::ACTIVE] { request: Word }
}
program! {
    /// Sees the node as ready.
    WaitNodeReady in "swarm_join/wait_node_ready.sh" { manager: Flag }
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs =
    &[&[AskJoinToken::program, JoinSwarm::program, WaitNodeReady::program], swarm::PROGRAMS, api::PROGRAMS];

/// A member of a swarm.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwarmJoin {
    manager: String,
    role: Option<Role>,
    advertise_addr: Option<String>,
    listen_addr: Option<String>,
    data_path_addr: Option<String>,
    #[serde(default)]
    availability: Availability,
    #[serde(default)]
    force_leave: bool,
    #[serde(default)]
    remove_stale: bool,
    #[serde(skip)]
    surroundings: Option<Surroundings>,
}

#[derive(Debug, Clone)]
struct Surroundings {
    host: HostName,
    manager: ManagerHost,
    hosts: Vec<swarm::Address>,
}

impl SwarmJoin {
    /// Where other nodes reach this one, without a port: an address or the name of an interface.
    pub fn advertises(&self) -> Option<&str> {
        self.advertise_addr.as_deref().map(swarm::without_port)
    }
}

impl Validate for SwarmJoin {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        match ManagerHost::find(Some(&self.manager), context) {
            Ok(manager) if manager.own => invalid.push(
                Invalid::new("manager", format!("{} would join itself", manager.name))
                    .help("leave this host out of the step's `hosts` (`workers:!manager-01`)"),
            ),
            Ok(manager) => {
                self.surroundings = Some(Surroundings {
                    host: context.host().name.clone(),
                    manager,
                    hosts: swarm::addresses(context),
                });
            }
            Err(e) => invalid.push(e),
        }
        invalid.extend(swarm::complete_address(&mut self.advertise_addr, context));
        invalid.extend(swarm::check_addresses(self.listen_addr.as_deref(), self.data_path_addr.as_deref()));
        invalid
    }
}

impl Step for SwarmJoin {
    fn probes(&self) -> Vec<Probe> {
        vec![swarm::info_probe(), swarm::manager_probe(self.manager())]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let own = swarm::info(readings)?;
        swarm::refuse_live_restore(readings, &own)?;
        let manager = swarm::manager(readings, self.manager())?;
        let nodes = match &manager {
            Manager::Up { nodes, .. } => nodes.as_slice(),
            _ => &[],
        };
        let info = match &own {
            Own::Missing(why) => {
                let change = self.join(readings, &manager, nodes, None);
                return Ok(api::until_engine(None, why.clone(), Some(change)));
            }
            Own::Coming => None,
            Own::Up(info) => Some(info),
        };
        let verdict = match info {
            None => Verdict::Drift(self.join(readings, &manager, nodes, None)),
            Some(info) => self.member(readings, info, &manager, nodes)?,
        };
        // What is to be done is known, but it cannot be done before there is a swarm.
        Ok(match (verdict, manager) {
            (Verdict::Drift(change), Manager::Missing(why, until)) => {
                Verdict::Unknown { until, then: Some(change), otherwise: why }
            }
            (verdict, _) => verdict,
        })
    }

    fn inverse(&self, _: &Change) -> Inverse {
        Inverse::none("the node stays in its swarm: `swarm_node = { state = \"absent\" }` takes it out")
    }

    fn provides(&self) -> Vec<Resource> {
        vec![swarm::node(self.host())]
    }

    fn needs(&self) -> Vec<Resource> {
        let manager = self.manager();
        vec![
            api::engine_of(None),
            api::engine_of(Some(&manager.name)),
            swarm::swarm(),
            swarm::node(manager.name.as_str()),
            Resource::on(manager.name.as_str(), Kind::Port, "2377"),
        ]
    }

    /// Managers that join at the same time can leave the swarm without a quorum.
    fn exclusive(&self) -> Option<Resource> {
        (self.wanted_role() == Role::Manager).then(swarm::swarm)
    }
}

impl SwarmJoin {
    fn surroundings(&self) -> &Surroundings {
        self.surroundings.as_ref().expect("set by validate, without which there is no step")
    }

    fn manager(&self) -> &ManagerHost {
        &self.surroundings().manager
    }

    fn host(&self) -> &str {
        self.surroundings().host.as_str()
    }

    fn wanted_role(&self) -> Role {
        self.role.unwrap_or_default()
    }

    /// The verdict on an engine that answers.
    fn member(
        &self,
        readings: &Readings,
        info: &Info,
        manager: &Manager,
        nodes: &[Node],
    ) -> Result<Verdict, CheckError> {
        let own = &info.swarm;
        let name = &self.manager().name;
        let again = |was| Ok(Verdict::Drift(self.join(readings, manager, nodes, Some((was, info)))));
        let hint = "set `force_leave = true` to make it leave, and join as a new node: its containers of the swarm end";
        let node = nodes.iter().find(|n| n.id == own.node_id);
        let refused =
            || Err(CheckError::refused(swarm::stranger(own, nodes, name.as_str()), hint.to_owned()));
        match own.local_node_state {
            LocalState::Inactive => match NodeState::expected(readings, self.host()) {
                Some(Some(_)) => Ok(Verdict::satisfied("joined by an earlier step")),
                _ => Ok(Verdict::Drift(self.join(readings, manager, nodes, None))),
            },
            // An engine that starts is pending for some seconds: to make a member leave then would be rash.
            LocalState::Pending if node.is_some() => Ok(Verdict::Drift(self.wait("it is a member, and starts"))),
            LocalState::Pending | LocalState::Error if self.force_leave => again("half joined"),
            // It never was a member: there is nothing that it could lose.
            LocalState::Error if own.node_id.is_empty() => again("half joined"),
            // It had joined once: what the manager does not know will not become active.
            LocalState::Pending if !own.node_id.is_empty() && matches!(manager, Manager::Up { .. }) => refused(),
            LocalState::Pending => Ok(Verdict::Drift(self.wait(&format!(
                "a join through {} is under way; should it not come to an end, `force_leave = true` starts anew",
                swarm::peers(own)
            )))),
            LocalState::Error if node.is_some() => Err(CheckError::refused(
                format!("a member, but in error: {}", swarm::or_unknown(&own.error)),
                "look at `journalctl -u docker`; `force_leave = true` makes it leave, and join as a new node".to_owned(),
            )),
            LocalState::Error => Err(CheckError::refused(
                format!("half joined, in error: {}", swarm::or_unknown(&own.error)),
                "`docker swarm leave` cures a half join; `force_leave = true` does that, then joins"
                    .to_owned(),
            )),
            LocalState::Locked => Err(CheckError::refused(
                "a manager of a locked swarm",
                "run `docker swarm unlock` on it".to_owned(),
            )),
            LocalState::Active => match (node, manager) {
                (Some(node), _) => self.known(node, info, nodes),
                (None, _) if self.force_leave => again("in another swarm"),
                (None, Manager::Up { .. }) => refused(),
                (None, _) => Err(CheckError::refused(
                    format!("in another swarm, that of {}; {name} is in none yet", swarm::peers(own)),
                    hint.to_owned(),
                )),
            },
        }
    }

    /// The verdict on a node that our manager knows.
    fn known(&self, node: &Node, info: &Info, nodes: &[Node]) -> Result<Verdict, CheckError> {
        let name = &self.manager().name;
        if node.status.state != "ready" {
            let why = if node.status.message.is_empty() { "" } else { ": " };
            return Err(CheckError::refused(
                format!(
                    "a member, but {name} sees node {} as {}{why}{}",
                    node.id, node.status.state, node.status.message
                ),
                "joining again would not help; a new leader hears of its nodes within some seconds: ask again, then look \
                 at the network (2377/tcp, 7946/tcp+udp, 4789/udp), the clocks and `journalctl -u docker` of both"
                    .to_owned(),
            ));
        }
        if let Some(status) = &node.manager_status
            && status.reachability == "unreachable"
        {
            return Err(CheckError::refused(
                format!("a manager, but {name} cannot reach it at {}", status.addr),
                "look at the network (2377/tcp) and `journalctl -u docker` of both".to_owned(),
            ));
        }
        if let Some(role) = self.role
            && role != node.spec.role
        {
            return Err(CheckError::refused(
                format!("a member, but as {}, not as {}", node.spec.role.word(), role.word()),
                format!(
                    "leave `role` out here, and change it with a step `swarm_node` with `role = \"{}\"`",
                    role.word()
                ),
            ));
        }
        let mut reason =
            format!("{}, node {}, ready at {}", node.spec.role.word(), node.id, node.status.addr);
        if self.advertise_addr.as_deref().is_some_and(|a| {
            let wanted = swarm::without_port(a);
            swarm::is_ip(wanted) && wanted != info.swarm.node_addr && !info.swarm.node_addr.is_empty()
        }) {
            return Err(CheckError::refused(
                format!(
                    "it advertises {}, not {}; this cannot be changed in place",
                    info.swarm.node_addr,
                    self.advertise_addr.as_deref().unwrap_or_default()
                ),
                "describe it as it is, or remove the node (`swarm_node` with `state = \"absent\"`) and join it anew"
                    .to_owned(),
            ));
        }
        let twins = nodes.iter().filter(|n| n.description.hostname == node.description.hostname).count();
        if twins > 1 {
            reason = format!("{reason}; {twins} nodes are called {}", node.description.hostname);
        }
        Ok(Verdict::satisfied(reason))
    }

    fn join(
        &self,
        readings: &Readings,
        manager: &Manager,
        nodes: &[Node],
        leave: Option<(&'static str, &Info)>,
    ) -> Change {
        let address = self.advertise_addr.as_deref().unwrap_or_default();
        let role = self.wanted_role();
        let at = &self.manager().name;
        let remote = match manager {
            Manager::Up { info, .. } => swarm::own_remote_addr(&info.swarm),
            _ => None,
        }
        .unwrap_or_else(|| swarm::with_port(&self.manager().address, 2377));
        let mut change = Change::new(format!("join the swarm of {at} as {}", role.word()));
        if let Some((was, info)) = leave {
            change.summary = format!("leave (it is {was}), and join the swarm of {at} as {}", role.word());
            // One that never was a member has no tasks.
            change.disrupts = left_behind(info).filter(|_| !info.swarm.node_id.is_empty());
            change = change.action(swarm::leave("leave"));
        }
        change = change
            .field("swarm", leave.map_or("inactive", |(was, _)| was), format!("active, of {remote}"))
            .field("role", Value::Absent, role.word())
            .field("advertise_addr", Value::Absent, address)
            .field("node id", Value::Absent, Value::AfterApply);
        if self.availability != Availability::Active {
            change = change.field("availability", Value::Absent, self.availability.word());
        }
        let ready = WaitNodeReady { manager: role == Role::Manager };
        change = self
            .stale(change, nodes)
            .action(
                Action::new(format!("join through {remote}"), self.join_script(&remote))
                    .lasting()
                    .borrow(join_token(self.manager(), role))
                    .timeout(Duration::from_mins(4)),
            )
            .action(
                Action::new("see the node ready", ready.script())
                    .on(at.clone())
                    .borrow(swarm::joined_node_id())
                    .timeout(Duration::from_mins(2)),
            );
        if role == Role::Manager {
            let stay: Vec<Node> =
                nodes.iter().filter(|n| !(self.remove_stale && self.was(n))).cloned().collect();
            let hosts = &self.surroundings().hosts;
            let others = swarm::managers_beside(readings, &stay, self.host(), "", hosts);
            change.notes.extend(swarm::quorum_note(others + 1));
        }
        change.expect(swarm::node(self.host()), self.joined().state())
    }

    /// The node as it will have joined.
    fn joined(&self) -> NodeState {
        NodeState { role: self.wanted_role(), availability: self.availability, ..NodeState::default() }
    }

    /// The change for an engine that is on its way into the swarm.
    fn wait(&self, note: &str) -> Change {
        swarm::wait_change().note(note).expect(swarm::node(self.host()), self.joined().state())
    }

    fn address(&self) -> &str {
        swarm::without_port(self.advertise_addr.as_deref().unwrap_or_default())
    }

    /// Whether this host was that node before.
    fn was(&self, node: &Node) -> bool {
        node.is_stale(self.address())
    }

    /// What to do of nodes that this host was before. A lost manager must go before another one comes: each counts
    /// for the quorum.
    fn stale(&self, mut change: Change, nodes: &[Node]) -> Change {
        for node in nodes.iter().filter(|n| n.status.addr == self.address()) {
            let old = format!("stale {} {}", node.spec.role.word(), node.id);
            let state = node.status.state.as_str();
            if self.remove_stale && self.was(node) {
                change = change.field(old, state, Value::Absent).action(swarm::remove(
                    self.manager(),
                    &node.id,
                    node.spec.role,
                ));
            } else {
                change = change.note(format!(
                    "{old} ({state}) of the same address stays on the list; `remove_stale = true` removes it{}",
                    if self.was(node) { "" } else { " once it is seen as down" }
                ));
            }
        }
        change
    }

    fn join_script(&self, remote: &str) -> Script {
        let request = serde_json::json!({
            "ListenAddr": self.listen_addr.as_deref().unwrap_or("0.0.0.0:2377"),
            "AdvertiseAddr": self.advertise_addr.as_deref().unwrap_or_default(),
            "DataPathAddr": self.data_path_addr.as_deref().unwrap_or_default(),
            "RemoteAddrs": [remote],
            "Availability": self.availability.word(),
        });
        JoinSwarm { request: &api::ascii(&request) }.script()
    }
}

/// What ends when a host leaves the swarm that it is in.
fn left_behind(info: &Info) -> Option<String> {
    let swarm = &info.swarm;
    match (swarm.control_available, info.containers_running) {
        (true, _) if swarm.managers < 2 => Some(
            "the swarm that it leaves has no other manager: its services, configs and secrets are lost"
                .into(),
        ),
        (true, _) => Some(format!("the swarm that it leaves loses one of its {} managers", swarm.managers)),
        (false, 0) => None,
        (false, n) => Some(format!("its service tasks end ({} on this host)", swarm::containers_run(n))),
    }
}

fn join_token(manager: &ManagerHost, role: Role) -> Borrowed {
    let what = match role {
        Role::Worker => "worker join token",
        Role::Manager => "manager join token",
    };
    let ask = AskJoinToken { role: role.word() };
    Borrowed { what, from: Origin::Probe(Probe::new(ask.script()).on(manager.name.clone())), secret: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const TOKEN: &str =
        "SWMTKN-1-0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefg-hijklmnopqrstuvwxyz012345";

    /// Joins through a `docker` that writes down how it was called, and answers with `status`.
    fn join(status: &str) -> (bool, String, String, String) {
        let step: SwarmJoin = serde_json::from_str(
            r#"{ "manager": "manager-01", "advertise_addr": "192.168.158.145", "availability": "drain" }"#,
        )
        .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("token"), format!("{TOKEN}\n")).unwrap();
        std::fs::write(at("response"), format!("HTTP/1.0 {status}")).unwrap();
        std::fs::write(
            at("docker"),
            "#!/bin/sh\ncd \"${0%/*}\"\ntr '\\0' ' ' </proc/$$/cmdline >>argv\necho >>argv\n\
             case $1 in\ninfo) echo 'active|n|' ;;\n\
             *) { timeout 1 cat; } >request; cat response ;;\nesac\n",
        )
        .unwrap();
        std::fs::set_permissions(at("docker"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let script = format!("exec 3<token\n{}", step.join_script("192.168.158.144:2377").render());
        let out = std::process::Command::new("sh")
            .args(["-c", &script])
            .current_dir(dir.path())
            .env("PATH", format!("{}:/usr/bin:/bin", dir.path().display()))
            .output()
            .unwrap();
        let read = |name: &str| std::fs::read_to_string(at(name)).unwrap_or_default();
        let said = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
        (out.status.success(), said, read("argv"), read("request"))
    }

    #[test]
    fn the_token_goes_to_the_engine_on_standard_input_and_nowhere_else() {
        let (joined, said, argv, request) = join("200 OK\r\n\r\n");
        assert!(joined, "{said}");
        assert!(argv.contains("system dial-stdio") && !argv.contains("SWMTKN"), "{argv}");
        assert_eq!(said, "n\n", "its node id");
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": "192.168.158.145", "DataPathAddr": "",
                "RemoteAddrs": ["192.168.158.144:2377"], "Availability": "drain", "JoinToken": TOKEN,
            })
        );
    }

    #[test]
    fn a_refusal_fails_and_a_slow_join_does_not() {
        let refusal = "500 Error\r\n\r\n{\"message\":\"invalid join token\"}\n";
        let (joined, said, ..) = join(refusal);
        assert_eq!((joined, said.trim_end()), (false, "Docker engine: invalid join token (status 500)"));
        let slow = "503 Error\r\n\r\n{\"message\":\"Timeout was reached before node joined.\"}\n";
        assert!(join(slow).0);
    }
}
