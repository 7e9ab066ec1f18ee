//! The scripts of a drill: each stage is one action on one host, so that one clock measures it and one `trap` puts
//! things right again, whatever ends the script.

use std::time::Duration;

use super::{FailoverDrill, Found, Mode};
use crate::model::HostName;
use crate::probe::Probe;
use crate::sh;
use crate::shell::Script;
use crate::step::{Action, Borrowed, Origin, Payload};

impl FailoverDrill {
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

    pub(super) fn stop(&self, found: &Found) -> Action {
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
    pub(super) fn drain(&self, found: &Found) -> Action {
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

    pub(super) fn cut_power(&self, found: &Found) -> Action {
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
                from: Origin::Probe(self.running_address().on(manager)),
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

    /// `hw_addr_of NODE`: where a node is reached, as [`super::node_address`] has it.
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
    pub(super) fn settle(&self) -> Action {
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
    pub(super) fn report(&self, found: &Found) -> Action {
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
            let from = Origin::Probe(Probe::new(sh!("cat {}", file)).on(host));
            action = action.borrow(Borrowed { what: "result of a stage", from, secret: false });
        }
        action
    }
}
