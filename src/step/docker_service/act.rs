//! The scripts that make, change, remove and wait for a service.

use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value as Json, json};

use super::params::RegistryAuth;
use super::wanted::{DIGEST_MARK, PLATFORMS_MARK};
use crate::sh;
use crate::shell::Script;
use crate::step::family::docker::api;
use crate::step::{Action, Payload};

/// `X-Registry-Auth`: URL-safe base64 of JSON (Engine API, "Authentication"); empty without credentials.
fn auth_header(auth: Option<&RegistryAuth>) -> String {
    auth.map_or_else(String::new, |a| {
        let credentials = json!({ "username": a.username, "password": a.password });
        base64::engine::general_purpose::URL_SAFE.encode(credentials.to_string())
    })
}

fn payload(lines: &[&str]) -> Payload {
    Payload(lines.iter().fold(String::new(), |text, line| text + line + "\n").into_bytes().into())
}

/// Reads the credentials and defines `hw_post SECONDS PATH JSON` and `hw_look_up IMAGE`.
///
/// The second one puts the digest and the platforms of the image, as the registry has them, in the place of their
/// marks in `$hw_body`, as `docker service create` does: all nodes then run the same image, and nodes of other
/// platforms get no task. Without an answer of the registry each node looks for itself.
fn preamble() -> Script {
    sh!(
        r#"{}IFS= read -r hw_auth <&3
hw_request() {
  if [ -n "$hw_auth" ]; then
    printf '%s %s HTTP/1.0\r\nHost: docker\r\nX-Registry-Auth: %s\r\nContent-Type: application/json\r\nContent-Length: %s\r\n\r\n%s' \
      "$2" "$3" "$hw_auth" "${#4}" "$4" | hw_send "$1"
  else
    hw_call "$1" "$2" "$3" "$4"
  fi
}
hw_look_up() {
  hw_digest='' hw_platforms=''
  if hw_found=$(hw_request 30 GET "/distribution/$1/json" ''); then
    case $hw_found in *'"digest":"'*) hw_digest=${hw_found#*'"digest":"'} hw_digest=@${hw_digest%%'"'*} ;; esac
    case $hw_found in *'"Platforms":['*) hw_platforms=${hw_found#*'"Platforms":['} hw_platforms=${hw_platforms%']'*} ;; esac
  else
    echo "no registry told the digest of $1: each node looks for it itself, and they may find different images" >&2
  fi
  hw_body=${hw_body%%{}*}$hw_digest${hw_body#*{}}
  hw_body=${hw_body%%{}*}$hw_platforms${hw_body#*{}}
}
"#,
        api::functions(),
        DIGEST_MARK,
        DIGEST_MARK,
        Script::new().arg(&format!("\"{PLATFORMS_MARK}\"")),
        Script::new().arg(&format!("\"{PLATFORMS_MARK}\"")),
    )
}

fn look_up(image: Option<&str>) -> Script {
    image.map_or_else(Script::new, |image| sh!("hw_look_up {}\n", image))
}

/// Makes the service; `resolve` names the image whose digest is to be looked up first.
pub(super) fn create(name: &str, spec: &Json, resolve: Option<&str>, auth: Option<&RegistryAuth>) -> Action {
    let script = sh!(
        r#"{}IFS= read -r hw_body <&3
{}hw_request 60 POST /services/create "$hw_body" >/dev/null"#,
        preamble(),
        look_up(resolve)
    );
    Action::new(format!("create service {name}"), script)
        .payload(payload(&[&auth_header(auth), &api::ascii(spec)]))
        .timeout(Duration::from_mins(3))
}

/// Gives the service another specification.
///
/// The engine takes it only with the version that it has at that moment, and counts it up for its own notes as well
/// (the state of an update). So the version is asked for anew, and the specification that was seen must still
/// be there, letter by letter: nobody's change is overwritten unseen.
pub(super) fn update(
    name: &str,
    id: &str,
    seen: &str,
    spec: &Json,
    resolve: Option<&str>,
    auth: Option<&RegistryAuth>,
) -> Action {
    let script = sh!(
        r#"{}IFS= read -r hw_seen <&3
IFS= read -r hw_body <&3
{}hw_try=1
while :; do
  hw_now=$(hw_call 20 GET /services/{}) || exit 1
  case ${hw_now#*'"Spec":'} in
    "$hw_seen"*) ;;
    *) echo 'somebody changed the service after it was looked at: run this again to see what is to be done now' >&2
       exit 1 ;;
  esac
  hw_version=${hw_now#*'"Version":{"Index":'}
  hw_version=${hw_version%%[!0-9]*}
  hw_said=$(hw_request 60 POST "/services/"{}"/update?version=$hw_version" "$hw_body" 2>&1) && exit 0
  case $hw_said in *'out of sequence'*) ;; *) break ;; esac
  [ "$hw_try" -lt 5 ] || break
  hw_try=$((hw_try + 1))
  sleep 1
done
printf '%s\n' "$hw_said" >&2
exit 1"#,
        preamble(),
        look_up(resolve),
        id,
        id
    );
    Action::new(format!("update service {name}"), script)
        .payload(payload(&[&auth_header(auth), seen, &api::ascii(spec)]))
        .timeout(Duration::from_mins(3))
}

/// Removes the service and waits until the nodes have removed its containers: that comes later by itself, and what
/// they hold (a mount, a port) is in use until then.
pub(super) fn remove(name: &str, id: &str, grace: Duration) -> Action {
    let bound = grace.as_secs() + 60;
    let script = sh!(
        r#"{}hw_said=$(timeout -k 5 60 docker service rm {} 2>&1) || case $hw_said in
  *'o such service'*|*'not found'*) ;;
  *) printf '%s\n' "$hw_said" >&2; exit 1 ;;
esac
hw_end=$(($(date +%s) + {}))
while hw_tasks=$(hw_call 20 GET /tasks) || exit 1; do
  case $hw_tasks in *'"ServiceID":"'{}'"'*) ;; *) exit 0 ;; esac
  [ "$(date +%s)" -lt "$hw_end" ] || break
  sleep 1
done
echo 'the service is gone, but not all of its containers: a node that is down keeps its own until it is back' >&2
exit 1"#,
        api::functions(),
        id,
        bound,
        id
    );
    Action::new(format!("remove service {name}"), script).timeout(Duration::from_secs(bound + 90))
}

/// What to wait for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goal {
    /// Tasks that are to run; `None` for one on each node that fits.
    pub(super) replicas: Option<u64>,
    /// How long all must have been running.
    pub(super) hold: Duration,
    /// For how long to wait.
    pub(super) deadline: Duration,
    /// The service was changed just now: an update that is rolled back is a failure.
    pub(super) updated: bool,
    /// A failed update is rolled back by the swarm: it has the last word on failing tasks.
    pub(super) rolls_back: bool,
}

/// Defines `hw_look`, which asks for the tasks of the service `$hw_id`. Of those that are to run it counts all as
/// `hw_desired`, and those that do as `hw_running`; `hw_most` is how often tasks failed of the same reason, `hw_why`;
/// `hw_pending` is why one has no node. `hw_failed` are the ids of all tasks that failed, of which those in `hw_old` do
/// not count.
///
/// `docker service ps` would tell the same in words, but keeps a small host busy that is to start the task. A text
/// within the engine's JSON has its quotes escaped, and objects that follow one another with an id are tasks alone.
fn look() -> Script {
    Script::new().raw(
        r#"hw_look() {
  hw_raw=$(hw_call 20 GET "/tasks?filters=%7B%22service%22%3A%7B%22$hw_id%22%3Atrue%7D%7D") || return
  hw_seen=$(printf '%s\n' "$hw_raw" | awk -v old="$hw_old " '
    function text(json, key,  at) {
      at = index(json, "\"" key "\":\"")
      if (at == 0) return ""
      json = substr(json, at + length(key) + 4)
      gsub(/\\"/, "\001", json)
      json = substr(json, 1, index(json, "\"") - 1)
      gsub(/\001/, "\"", json)
      return json
    }
    {
      n = split($0, tasks, /},[{]"ID":"/)
      for (i = 1; i <= n; i++) {
        task = tasks[i]
        sub(/^\[[{]"ID":"/, "", task)
        id = substr(task, 1, index(task, "\"") - 1)
        status = substr(task, index(task, "\"Status\":{"))
        state = text(status, "State")
        why = text(status, "Err")
        if (text(status, "DesiredState") == "running") {
          desired++
          if (state == "running") running++
          if (state == "pending" && why != "") stuck = why
        }
        if (why == "" || state == "pending") continue
        failed = failed " " id
        if (!index(old, " " id " ") && ++count[why] > most) { most = count[why]; reason = why }
      }
    }
    END { printf "%d %d %d %s\n%s\n%s\n", running, desired, most, reason, stuck, failed }')
  { read -r hw_running hw_desired hw_most hw_why; read -r hw_pending || :; IFS= read -r hw_failed || :; } <<HW
$hw_seen
HW
}
"#,
    )
}

/// Waits until the service runs as wanted.
///
/// `docker service update` without `--detach` waits for ever when nothing can be scheduled, and calls a finished
/// rollback a success (docker/cli, `command/service/progress`). This gives up at once when tasks fail three times in
/// the same way or no node has fitted for 20 s, and shows why.
pub(super) fn wait(name: &str, id: &str, goal: Goal) -> Action {
    let Goal { replicas, hold, deadline, updated, rolls_back } = goal;
    let wanted = replicas.map_or_else(|| "global".to_owned(), |n| n.to_string());
    let script = sh!(
        r#"{}hw_id={} hw_wanted={} hw_hold={} hw_updated={} hw_rolls_back={}
hw_end=$(($(date +%s) + {})) hw_since='' hw_stuck='' hw_last='' hw_update=''
hw_ps() {
  timeout -k 2 20 docker service ps --no-trunc \
    --format '{{.ID}}|{{.DesiredState}}|{{.CurrentState}}|{{.Node}}|{{.Error}}' "$hw_id"
}
hw_give_up() {
  printf '%s\n' "$1" >&2
  hw_ps | awk -F'|' '
    $5 != "" && ++seen[$5] == 1 && ++n <= 5 { printf "task on %s: %s: %s\n", ($4 == "" ? "no node" : $4), $3, $5 }' >&2
  hw_log=$(timeout -k 2 10 docker service logs --raw --tail 20 "$hw_id" 2>&1 | tail -n 20)
  [ -z "$hw_log" ] || printf 'the last lines of its log:\n%s\n' "$hw_log" >&2
  case $hw_why in *unhealthy*)
    hw_log=$(for hw_c in $(timeout -k 2 10 docker ps -aq --filter "label=com.docker.swarm.service.id=$hw_id" | head -n 2); do
      timeout -k 2 10 docker inspect -f {} "$hw_c"
    done 2>/dev/null | tail -n 8)
    printf 'what its health check said last:\n%s\n' \
      "${hw_log:-(no task of it was on this node: \`docker inspect\` tells on the others)}" >&2 ;;
  esac
  exit 1
}
{}hw_old=''
hw_look || exit 1
hw_old=$hw_failed
while :; do
  # A service that was not changed has no update to ask for.
  if [ "$hw_updated" = 1 ]; then
    hw_service=$(hw_call 20 GET "/services/$hw_id") || exit 1
    hw_field "$hw_service" UpdateStatus Message
    hw_message=$hw_value
    hw_field "$hw_service" UpdateStatus State
    hw_update=$hw_value
    case $hw_update in
      paused|rollback_paused) hw_give_up "the update came to a halt: $hw_update $hw_message" ;;
      rollback_completed) hw_give_up "the update failed and was rolled back: $hw_message" ;;
    esac
  fi
  hw_look || exit 1
  hw_goal=$hw_wanted
  [ "$hw_goal" != global ] || hw_goal=$hw_desired
  hw_now=$(date +%s)
  if [ "$hw_running/$hw_goal" != "$hw_last" ]; then
    hw_last=$hw_running/$hw_goal
    echo "$hw_running of $hw_goal running"
  fi
  hw_busy=0
  case $hw_update in updating|rollback_started) hw_busy=1 ;; esac
  if [ "$hw_busy" = 0 ] && [ "$hw_running" -ge "$hw_goal" ] && [ "$hw_desired" -le "$hw_goal" ]; then
    [ "$hw_update" != completed ] || exit 0
    [ -n "$hw_since" ] || hw_since=$hw_now
    [ "$((hw_now - hw_since))" -lt "$hw_hold" ] || exit 0
  else
    hw_since=''
  fi
  if [ "$hw_most" -ge 3 ] && [ "$hw_rolls_back$hw_busy" != 11 ]; then
    hw_give_up "its tasks fail again and again: $hw_why"
  fi
  if [ -z "$hw_pending" ]; then
    hw_stuck=''
  else
    [ -n "$hw_stuck" ] || hw_stuck=$hw_now
    [ "$((hw_now - hw_stuck))" -lt 20 ] || hw_give_up "no node can run it: $hw_pending"
  fi
  [ "$hw_now" -lt "$hw_end" ] || hw_give_up "$hw_running of $hw_goal tasks run after {} s"
  sleep 1
done"#,
        api::functions(),
        id,
        wanted,
        hold.as_secs(),
        u64::from(updated),
        u64::from(rolls_back),
        deadline.as_secs(),
        api::HEALTH_LOG,
        look(),
        deadline.as_secs()
    );
    Action::new(format!("wait until {name} runs"), script).timeout(deadline + Duration::from_mins(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A task as engine 20.10 tells it, shortened.
    fn task(id: &str, desired: &str, state: &str, why: &str) -> String {
        format!(
            r#"{{"ID":"{id}","Spec":{{"Env":["X={{\"Status\":{{\"State\":\"failed\""],"Secrets":[{{"N":1}},{{"N":2}}]}},"Slot":1,"Status":{{"Timestamp":"T","State":"{state}","Message":"m","Err":{},"ContainerStatus":{{}}}},"DesiredState":"{desired}","NetworksAttachments":[{{"Network":{{"ID":"net"}}}}]}}"#,
            serde_json::json!(why)
        )
    }

    /// What `hw_look` makes of these tasks.
    fn looked(tasks: &[String], old: &str) -> String {
        let answer = format!("[{}]", tasks.join(","));
        let script = sh!(
            r#"{}hw_call() { printf '%s\n' {}; }
hw_id=s hw_old={}
hw_look && echo "$hw_running/$hw_desired most $hw_most: $hw_why; pending: $hw_pending; failed:$hw_failed""#,
            look(),
            answer,
            old
        );
        let out = std::process::Command::new("sh").args(["-c", &script.render()]).output().unwrap();
        assert!(out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim_end().to_owned()
    }

    #[test]
    fn tasks_are_counted_by_what_is_wanted_of_them_and_how_they_are() {
        assert_eq!(looked(&[], ""), "0/0 most 0: ; pending: ; failed:");
        let exit = r#"task: non-zero exit (1): "no"! {"State":"running"}"#;
        let tasks = [
            task("a", "running", "running", ""),
            task("b", "running", "starting", ""),
            task("c", "running", "pending", "no suitable node (1 node not available)"),
            task("d", "shutdown", "failed", exit),
            task("e", "shutdown", "failed", exit),
            task("f", "shutdown", "rejected", "no such image"),
            task("g", "shutdown", "running", ""),
        ];
        let rest = "pending: no suitable node (1 node not available); failed: d e f";
        assert_eq!(looked(&tasks, ""), format!("1/3 most 2: {exit}; {rest}"));
        assert_eq!(looked(&tasks, " d e"), format!("1/3 most 1: no such image; {rest}"));
    }

    /// What is told of a service whose tasks fail for `why`, when a task of it was on this node or not.
    fn given_up(why: &str, here: bool) -> String {
        let goal = Goal {
            replicas: Some(1),
            hold: Duration::ZERO,
            deadline: Duration::ZERO,
            updated: false,
            rolls_back: false,
        };
        let script = wait("web", "s", goal).script.render();
        let from = script.find("hw_give_up() {").unwrap();
        let to = from + script[from..].find("\n}\n").unwrap() + 3;
        let here = if here { "echo c1" } else { ":" };
        let script = sh!(
            r#"timeout() { shift 3; "$@"; }
docker() { case $1 in ps) {} ;; inspect) echo 'exit code 1: connection refused' ;; esac; }
hw_ps() { :; }
hw_id=s hw_why={}
{}hw_give_up 'its tasks fail'"#,
            Script::new().raw(here),
            why,
            Script::new().user_code(&script[from..to])
        );
        let out = std::process::Command::new("sh").args(["-c", &script.render()]).output().unwrap();
        assert_eq!(out.status.code(), Some(1));
        String::from_utf8(out.stderr).unwrap()
    }

    #[test]
    fn a_health_check_that_fails_is_heard() {
        assert_eq!(given_up("task: non-zero exit (1)", true), "its tasks fail\n");
        let unhealthy = "task: non-zero exit (137): dockerexec: unhealthy container";
        assert_eq!(
            given_up(unhealthy, true),
            "its tasks fail\nwhat its health check said last:\nexit code 1: connection refused\n"
        );
        assert!(given_up(unhealthy, false).contains("no task of it was on this node"));
    }
}
