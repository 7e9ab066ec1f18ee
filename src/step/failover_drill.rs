//! `failover_drill`: breaks a Redis service on purpose and measures until its data is read back through every node.
//!
//! Each stage is one action on one host, so that one clock measures it and one `trap` puts things right again,
//! whatever ends the script: a container is stopped where it runs, a node is drained on a manager, its power is cut
//! from wherever the power can be switched.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value as Json;

use super::family::docker::api::{self, Engine};
use super::family::docker::good_name;
use super::family::docker::spec::at;
use super::family::docker::swarm::{self, Availability, Info, ManagerHost, Node, without_port};
use super::{Action, Borrowed, Change, Context, Invalid, Payload, Step, Validate, Verdict};
use crate::model::value::{duration, one_or_many};
use crate::model::{HostName, Kind, Resource};
use crate::probe::{CheckError, Probe, Readings};
use crate::sh;
use crate::shell::Script;

/// A drill.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailoverDrill {
    service: String,
    #[serde(default = "redis_port")]
    port: u16,
    password: Option<String>,
    #[serde(default = "harmless", deserialize_with = "one_or_many")]
    modes: Vec<Mode>,
    power: Option<Power>,
    #[serde(default = "three_minutes", deserialize_with = "duration")]
    deadline: Duration,
    #[serde(default = "default_key")]
    key: String,
    #[serde(skip)]
    manager: Option<ManagerHost>,
    #[serde(skip)]
    power_host: Option<HostName>,
    /// Inventory names by address.
    #[serde(skip)]
    hosts: BTreeMap<String, HostName>,
}

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// The container is stopped.
    Stop,
    /// The node that runs it is drained.
    Drain,
    /// The node that runs it loses its power.
    Power,
}

impl Mode {
    fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Drain => "drain",
            Self::Power => "power",
        }
    }
}

/// How a node's power is switched: commands with `$NODE`, its name in the inventory, and `$ADDRESS`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Power {
    host: String,
    off: String,
    on: String,
}

fn redis_port() -> u16 {
    6379
}

fn harmless() -> Vec<Mode> {
    vec![Mode::Stop, Mode::Drain]
}

fn three_minutes() -> Duration {
    Duration::from_mins(3)
}

fn default_key() -> String {
    "hostwright:drill".into()
}

impl Validate for FailoverDrill {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        let mut invalid: Vec<Invalid> = good_name("service", &self.service).into_iter().collect();
        match ManagerHost::find(None, context) {
            Ok(manager) => self.manager = Some(manager),
            Err(why) => invalid.push(why),
        }
        self.hosts = context.inventory.iter().map(|h| (h.login.address.clone(), h.name.clone())).collect();
        self.modes.sort_unstable();
        self.modes.dedup();
        if self.modes.is_empty() {
            invalid.push(
                Invalid::new("modes", "nothing to break")
                    .help("name some of \"stop\", \"drain\" and \"power\""),
            );
        }
        if self.port == 0 {
            invalid.push(Invalid::new("port", "0 is no port"));
        }
        if self.password.as_deref().is_some_and(|p| p.contains(['\n', '\r'])) {
            invalid.push(Invalid::new("password", "a password with a line break cannot be sent"));
        }
        if self.key.is_empty() || !self.key.chars().all(|c| c.is_ascii_alphanumeric() || ":_.-".contains(c)) {
            invalid.push(Invalid::new("key", "use letters, digits, `:`, `_`, `.` and `-`"));
        }
        match (&self.power, self.modes.contains(&Mode::Power)) {
            (None, true) => invalid.push(
                Invalid::new("modes", "\"power\" wants to know how the power is switched")
                    .help("give `power = { host = \"HOST\", off = \"COMMAND\", on = \"COMMAND\" }`; the commands find the node in $NODE"),
            ),
            (Some(_), false) => {
                invalid.push(Invalid::new("power", "`power` is given, but `modes` does not name \"power\""));
            }
            (Some(power), true) => match ManagerHost::find(Some(&power.host), context) {
                Ok(host) => self.power_host = Some(host.name),
                Err(why) => invalid.push(Invalid { path: "power.host".into(), ..why }),
            },
            (None, false) => {}
        }
        invalid
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Task {
    #[serde(rename = "NodeID")]
    node_id: String,
    desired_state: String,
    status: TaskStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct TaskStatus {
    state: String,
}

impl Step for FailoverDrill {
    fn probes(&self) -> Vec<Probe> {
        vec![self.probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let probe = self.probe();
        let resource = Resource::fleet(Kind::Service, &self.service);
        let unknown = |otherwise: String| Verdict::Unknown {
            until: resource.clone(),
            then: Some(self.change(&Found::default())),
            otherwise,
        };
        let responses = match api::read(readings, &probe)? {
            Engine::Up(responses) => responses,
            Engine::Coming => return Ok(unknown("there is no swarm".into())),
            Engine::Missing(why) => return Ok(unknown(why)),
        };
        let [info, service, tasks, nodes] = responses.as_slice() else {
            return Err(CheckError::unreadable(&probe, readings.of(&probe)?, "expected four responses"));
        };
        let info: Info = info.json(&probe, readings)?;
        if !info.swarm.control_available {
            return Ok(unknown("this host is no manager of a swarm".into()));
        }
        if service.status == 404 {
            return Ok(unknown(format!("there is no service {}", self.service)));
        }
        let service: Json = service.json(&probe, readings)?;
        let tasks: Vec<Task> = tasks.json(&probe, readings)?;
        let nodes: Vec<Node> = nodes.json(&probe, readings)?;
        let found = self.find(&service, &tasks, &nodes)?;
        Ok(Verdict::Drift(self.change(&found)))
    }

    fn needs(&self) -> Vec<Resource> {
        vec![api::engine_of(None), swarm::swarm(), Resource::fleet(Kind::Service, &self.service)]
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// Where things are.
#[derive(Debug, Default)]
struct Found {
    /// The host that runs the task.
    host: Option<HostName>,
    /// Its name, for people.
    at: String,
    /// The addresses of all nodes that are up.
    addresses: Vec<String>,
}

impl FailoverDrill {
    fn probe(&self) -> Probe {
        api::get(&[
            "/info".to_owned(),
            format!("/services/{}", self.service),
            format!("/tasks?filters=%7B%22service%22%3A%5B%22{}%22%5D%7D", self.service),
            "/nodes".to_owned(),
        ])
    }

    fn find(&self, service: &Json, tasks: &[Task], nodes: &[Node]) -> Result<Found, CheckError> {
        let name = &self.service;
        let refuse = |message: String, hint: &str| Err(CheckError::refused(message, hint.to_owned()));
        let ports = at(service, "Spec/EndpointSpec/Ports").as_array();
        let published = ports.into_iter().flatten().any(|p| {
            p["PublishedPort"].as_u64() == Some(self.port.into()) && p["PublishMode"].as_str() != Some("host")
        });
        if !published {
            return refuse(
                format!("service {name} does not publish port {} on every node", self.port),
                "set `port` to the published one",
            );
        }
        let running: Vec<&Task> =
            tasks.iter().filter(|t| t.desired_state == "running" && t.status.state == "running").collect();
        let [task] = running.as_slice() else {
            return refuse(
                format!("service {name} has {} running tasks: a drill wants exactly one", running.len()),
                "look at `docker service ps` first",
            );
        };
        let up: Vec<&Node> = nodes.iter().filter(|n| n.status.state == "ready").collect();
        let Some(node) = up.iter().find(|n| n.id == task.node_id) else {
            return refuse(format!("the node that runs {name} is not up"), "look at `docker node ls` first");
        };
        let constraints = at(service, "Spec/TaskTemplate/Placement/Constraints");
        let fits = |n: &&&Node| n.spec.availability == Availability::Active && fits(n, constraints);
        let eligible = up.iter().filter(fits).count();
        if eligible < 2 && self.modes.iter().any(|m| *m != Mode::Stop) {
            return refuse(
                format!("{name} has no other node to go to: {eligible} active node fits its constraints"),
                "drill with `modes = [\"stop\"]`, or make another node fit",
            );
        }
        let address = node_address(node);
        let host = self.hosts.get(&address).cloned();
        if host.is_none() && self.modes.contains(&Mode::Stop) {
            return refuse(
                format!("the node that runs {name} ({address}) is no host of the inventory"),
                "add it, or leave \"stop\" out of `modes`",
            );
        }
        let at = host.as_ref().map_or_else(|| address.clone(), ToString::to_string);
        Ok(Found { host, at, addresses: up.iter().map(|n| node_address(n)).collect() })
    }

    fn change(&self, found: &Found) -> Change {
        let name = &self.service;
        let words: Vec<_> = self.modes.iter().map(|m| m.word()).collect();
        let mut change = Change::new(format!("drill the failover of {name}: {}", words.join(", ")));
        change.always = true;
        let each =
            if words.len() == 1 { String::new() } else { format!(" in each of {} stages", words.len()) };
        change.disrupts = Some(format!("{name} is down for some ten seconds{each}"));
        if !found.at.is_empty() {
            change = change.note(format!("{name} runs on {}", found.at));
        }
        for mode in &self.modes {
            let action = match mode {
                Mode::Stop => self.stop(found),
                Mode::Drain => self.drain(found),
                Mode::Power => self.cut_power(found),
            };
            change = change.action(action).action(self.settle());
        }
        change.action(self.report(found))
    }

    fn payload(&self) -> Payload {
        Payload(format!("{}\n", self.password.as_deref().unwrap_or_default()).into_bytes().into())
    }

    /// A stage: `$hw_break` is made of `breaking`, `$hw_mend` of `mending`; the latter runs at every exit.
    fn stage(
        &self,
        mode: Mode,
        found: &Found,
        setting: &Script,
        breaking: &Script,
        mending: &Script,
    ) -> Script {
        sh!(
            r#"command -v bash >/dev/null || { echo 'a drill wants bash on this host, for its /dev/tcp' >&2; exit 1; }
hw_service={} hw_stage={} hw_port={} hw_key={} hw_seconds={} hw_nodes={}
{}
IFS= read -r hw_password <&3 || :
# One question to one node, in the protocol of Redis (RESP 2). The password comes on standard input.
hw_client='
exec 5<>"/dev/tcp/$1/$2" || exit 1
IFS= read -r hw_password
say() { printf "*%d\r\n" "$#"; for word; do printf "\$%d\r\n%s\r\n" "${#word}" "$word"; done; }
answer() { IFS= read -r line <&5 || exit 1; line=${line%$(printf "\r")}; }
shift 2
{ [ -z "$hw_password" ] || say AUTH "$hw_password"; say "$@"; } >&5
if [ -n "$hw_password" ]; then answer; case $line in +OK) ;; *) echo "$line"; exit 2 ;; esac; fi
answer
case $line in \$-1) exit 3 ;; \$*) answer; echo "$line" ;; -*) echo "$line"; exit 2 ;; *) echo "$line" ;; esac'
hw_ask() {
  hw_node=$1
  shift
  printf '%s\n' "$hw_password" | timeout -k 1 3 bash -c "$hw_client" drill "$hw_node" "$hw_port" "$@" 2>/dev/null
}
hw_clock() { IFS=' ' read -r hw_up hw_idle </proc/uptime; echo "${hw_up%.*}"; }
# The same until there is an answer: the service or a node may have started just now. A wrong password stays wrong.
hw_insist() {
  hw_since=$(hw_clock)
  until hw_said=$(hw_ask "$@"); do
    case $hw_said in *NOAUTH*|*WRONGPASS*) return 1 ;; esac
    [ "$(($(hw_clock) - hw_since))" -lt "$hw_seconds" ] || return 1
    sleep 1
  done
}
hw_mend() {
  trap '' HUP INT TERM
  {}
}
IFS= read -r hw_nonce </proc/sys/kernel/random/uuid
hw_first=''
for hw_one in $hw_nodes; do hw_first=$hw_one; break; done
hw_insist "$hw_first" SET "$hw_key" "$hw_nonce" || {
  echo "$hw_first:$hw_port does not take the value: ${hw_said:-no answer}" >&2; exit 1; }
for hw_one in $hw_nodes; do
  hw_insist "$hw_one" GET "$hw_key" && [ "$hw_said" = "$hw_nonce" ] || {
    echo "$hw_one:$hw_port does not give the value back before anything is broken: ${hw_said:-no answer}" >&2; exit 1; }
done
trap hw_mend EXIT
trap 'exit 130' HUP INT TERM
hw_start=$(hw_clock) hw_gone='' hw_any='' hw_open=$hw_nodes
{}
echo "$hw_stage: done after $(($(hw_clock) - hw_start)) s, waiting for the value"
while [ -n "$hw_open" ]; do
  hw_left=''
  for hw_one in $hw_open; do
    if [ "$(hw_ask "$hw_one" GET "$hw_key")" = "$hw_nonce" ] && [ -n "$hw_gone$hw_settled" ]; then
      hw_took=$(($(hw_clock) - hw_start))
      [ -n "$hw_any" ] || hw_any=$hw_took
      echo "$hw_stage: $hw_one gives the value back after $hw_took s"
    else
      hw_gone=1
      hw_left="$hw_left $hw_one"
    fi
  done
  hw_open=$hw_left
  [ -n "$hw_open" ] || break
  [ "$(($(hw_clock) - hw_start))" -lt "$hw_seconds" ] || {
    echo "$hw_stage: not given back after $hw_seconds s through:$hw_open" >&2; exit 1; }
  sleep 0.5
done
hw_line="$hw_stage: the value came back after $hw_any s, through all nodes after $hw_took s"
echo "$hw_line"
umask 077
echo "$hw_line" >"/run/hostwright-drill-$hw_service-$hw_stage""#,
            self.service,
            mode.word(),
            u32::from(self.port),
            self.key,
            self.deadline.as_secs(),
            found.addresses.join(" "),
            setting,
            mending,
            breaking
        )
    }

    fn bound(&self) -> Duration {
        self.deadline + Duration::from_mins(3)
    }

    fn stop(&self, found: &Found) -> Action {
        let script = self.stage(
            Mode::Stop,
            found,
            &sh!(
                r#"hw_settled=1
hw_old=$(docker ps -q --filter label=com.docker.swarm.service.name={})
[ -n "$hw_old" ] || { echo 'its container is not on this host any more: run this again' >&2; exit 1; }"#,
                self.service
            ),
            &sh!("docker stop $hw_old >/dev/null || exit 1"),
            &sh!(":"),
        );
        let action = Action::new(format!("stop the container of {}", self.service), script)
            .payload(self.payload())
            .timeout(self.bound());
        match &found.host {
            Some(host) if !self.is_manager(host) => action.on(host.clone()),
            _ => action,
        }
    }

    fn is_manager(&self, host: &HostName) -> bool {
        self.manager.as_ref().is_some_and(|m| m.name == *host)
    }

    /// The node is put back to what it was, not made active blindly.
    fn drain(&self, found: &Found) -> Action {
        let script = self.stage(
            Mode::Drain,
            found,
            &sh!(
                r#"hw_settled=''
hw_task=$(timeout -k 2 20 docker service ps -q --no-trunc --filter desired-state=running {} | head -n 1)
hw_id=$(timeout -k 2 20 docker inspect --type task --format '{{.NodeID}}' "$hw_task") || exit 1
hw_was=$(timeout -k 2 20 docker node inspect --format '{{.Spec.Availability}}' "$hw_id") || exit 1"#,
                self.service
            ),
            &sh!(
                r#"timeout -k 2 30 docker node update --availability drain "$hw_id" >/dev/null || exit 1
# Until its container has stopped, which is later than the manager's wish: the old one would still answer.
while timeout -k 2 20 docker node ps --format '{{.Name}}|{{.CurrentState}}' "$hw_id" | grep -q -E {}; do
  [ "$(($(hw_clock) - hw_start))" -lt "$hw_seconds" ] || break
  sleep 0.5
done
hw_settled=1"#,
                format!(
                    r"(^|[ _]){}\.[^|]*\|(Assigned|Accepted|Preparing|Ready|Starting|Running)",
                    self.service.replace('.', r"\.")
                )
            ),
            &sh!(r#"for hw_try in 1 2 3 4 5; do
    timeout -k 2 30 docker node update --availability "$hw_was" "$hw_id" >/dev/null && return 0
    sleep 1
  done
  echo "the node could not be made $hw_was again: docker node update --availability $hw_was $hw_id" >&2"#),
        );
        Action::new(format!("drain the node that runs {}", self.service), script)
            .payload(self.payload())
            .timeout(self.bound())
    }

    fn cut_power(&self, found: &Found) -> Action {
        let (off, on, host) = match (&self.power, &self.power_host) {
            (Some(power), Some(host)) => (power.off.as_str(), power.on.as_str(), host.clone()),
            _ => unreachable!("validate refuses the mode without its commands"),
        };
        let mut names = Script::new();
        for (address, name) in &self.hosts {
            names = names.script(&sh!("{}) NODE={} ;;\n", address, name.as_str()));
        }
        let setting = sh!(
            r#"hw_settled=''
IFS= read -r ADDRESS <&3
NODE=''
case $ADDRESS in
{}esac
[ -n "$NODE" ] || { echo "the node $ADDRESS is no host of the inventory" >&2; exit 1; }
export NODE ADDRESS
hw_rest=''
for hw_one in $hw_nodes; do [ "$hw_one" = "$ADDRESS" ] || hw_rest="$hw_rest $hw_one"; done
hw_nodes=$hw_rest"#,
            names
        );
        let breaking = sh!(
            "echo \"power: off for $NODE\"\n( {}\n) || exit 1\nhw_settled=1",
            Script::new().user_code(off)
        );
        let mending = sh!(
            "echo \"power: on for $NODE\"\n  ( {}\n  ) || echo \"the power of $NODE could not be switched on again\" >&2",
            Script::new().user_code(on)
        );
        let script = self.stage(Mode::Power, found, &setting, &breaking, &mending);
        let manager = self.manager.as_ref().expect("set by validate").name.clone();
        Action::new(format!("cut the power of the node that runs {}", self.service), script)
            .on(host)
            .borrow(Borrowed {
                what: "address of the node",
                from: self.running_address().on(manager),
                secret: false,
            })
            .payload(self.payload())
            .timeout(self.bound())
    }

    /// The address of the node that runs the task, as the manager sees it.
    fn running_address(&self) -> Probe {
        Probe::new(sh!(
            r#"{}hw_task=$(timeout -k 2 20 docker service ps -q --no-trunc --filter desired-state=running {} | head -n 1)
hw_id=$(timeout -k 2 20 docker inspect --type task --format '{{.NodeID}}' "$hw_task") || exit 1
hw_role=$(timeout -k 2 20 docker node inspect --format '{{.Spec.Role}}' "$hw_id")
if [ "$hw_role" = manager ] && [ "$(timeout -k 2 20 docker info --format '{{.Swarm.Managers}}')" = 1 ]; then
  echo 'it is the only manager, without which nothing is started elsewhere: drain it, and drill again' >&2
  exit 1
fi
hw_addr_of "$hw_id""#,
            Self::address(),
            self.service
        ))
    }

    /// `hw_addr_of NODE`: where a node is reached, as [`node_address`] has it.
    fn address() -> Script {
        Script::new().raw(
            r#"hw_addr_of() {
  hw_found=$(timeout -k 2 20 docker node inspect \
    --format '{{with .ManagerStatus}}{{.Addr}}{{else}}{{.Status.Addr}}:0{{end}}' "$1" 2>/dev/null) || return 1
  hw_found=${hw_found%:*} hw_found=${hw_found#[}
  echo "${hw_found%]}"
}
"#,
        )
    }

    /// `hw_node_of TASK`: the inventory name of the node that has the task. Host names of nodes may be equal.
    fn whereabouts(&self) -> Script {
        let mut names = Script::new();
        for (address, name) in &self.hosts {
            names = names.script(&sh!("    {}) echo {} ;;\n", address, name.as_str()));
        }
        sh!(
            r#"hw_node_of() {
  hw_id=$(timeout -k 2 20 docker inspect --type task --format '{{.NodeID}}' "$1") || return 0
  [ -n "$hw_id" ] || { echo 'no node'; return 0; }
  hw_addr=$(hw_addr_of "$hw_id") || hw_addr=$hw_id
  case $hw_addr in
{}    *) echo "$hw_addr" ;;
  esac
}
{}"#,
            names,
            Self::address()
        )
    }

    /// Before the next stage, all nodes are up and the service runs.
    fn settle(&self) -> Action {
        let script = sh!(
            r#"{}hw_end=$(($(date +%s) + {}))
while :; do
  hw_down=$(timeout -k 2 20 docker node ls --format '{{.Status}} {{.Hostname}} {{.ID}}' | grep -v '^Ready' || :)
  hw_runs=$(timeout -k 2 20 docker service ps --filter desired-state=running --format '{{.CurrentState}}' {} | grep -c '^Running' || :)
  [ -n "$hw_down" ] || [ "$hw_runs" = 0 ] || break
  [ "$(date +%s)" -lt "$hw_end" ] || { echo "not all is up again: ${hw_down:-the service does not run}" >&2; exit 1; }
  sleep 1
done
for hw_task in $(timeout -k 2 20 docker service ps -q --no-trunc --filter desired-state=running {}); do
  echo "now on $(hw_node_of "$hw_task")"
done"#,
            self.whereabouts(),
            self.deadline.as_secs(),
            self.service,
            self.service
        );
        Action::new("wait until all nodes are up", script).timeout(self.bound())
    }

    /// The last output of the step is the report.
    fn report(&self, found: &Found) -> Action {
        let manager = &self.manager.as_ref().expect("set by validate").name;
        let mut action = Action::new(
            "report",
            sh!(
                r#"{}cat <&3
echo 'where it ran, the newest first:'
timeout -k 2 20 docker service ps --no-trunc --format '{{.ID}} {{.CurrentState}} {{.Error}}' {} | head -n {} |
  while read -r hw_task hw_state; do
    echo "  $(hw_node_of "$hw_task"): $hw_state"
  done"#,
                self.whereabouts(),
                self.service,
                (2 * self.modes.len() + 2).to_string()
            ),
        );
        for mode in &self.modes {
            let file = format!("/run/hostwright-drill-{}-{}", self.service, mode.word());
            let host = match mode {
                Mode::Stop => found.host.clone().unwrap_or_else(|| manager.clone()),
                Mode::Drain => manager.clone(),
                Mode::Power => self.power_host.clone().unwrap_or_else(|| manager.clone()),
            };
            let from = Probe::new(sh!("cat {}", file)).on(host);
            action = action.borrow(Borrowed { what: "result of a stage", from, secret: false });
        }
        action
    }
}

/// Where a node is reached; a manager may know itself as 0.0.0.0 (moby/moby#27728).
fn node_address(node: &Node) -> String {
    match (&node.manager_status, node.status.addr.as_str()) {
        (Some(manager), "" | "0.0.0.0") => without_port(&manager.addr).to_owned(),
        (_, address) => address.to_owned(),
    }
}

/// Whether a node fits, as far as labels, role and id decide; other constraints are taken to be met.
fn fits(node: &Node, constraints: &Json) -> bool {
    constraints.as_array().into_iter().flatten().filter_map(Json::as_str).all(|constraint| {
        let (key, equal, value) = match (constraint.split_once("=="), constraint.split_once("!=")) {
            (Some((key, value)), _) => (key.trim(), true, value.trim()),
            (None, Some((key, value))) => (key.trim(), false, value.trim()),
            (None, None) => return true,
        };
        let actual = match key {
            "node.role" => node.spec.role.word(),
            "node.id" => &node.id,
            "node.hostname" => &node.description.hostname,
            _ => match key.strip_prefix("node.labels.") {
                Some(label) => node.spec.labels.get(label).map_or("", String::as_str),
                None => return true,
            },
        };
        (actual == value) == equal
    })
}
