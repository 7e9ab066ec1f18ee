//! The scripts that make, start, remove and wait for a container.
//!
//! What is a question, or done in a moment, goes to the engine's API: the `docker` command takes several times as long
//! to start on a small host. It pulls, for it knows the credentials of registries, and it stops, which has no bound.

use std::time::Duration;

use serde_json::Value as Json;

use crate::sh;
use crate::shell::Script;
use crate::step::family::docker::api;
use crate::step::{Action, Payload};

/// Pulls `image` unless it is there.
pub(super) fn pull(image: &str) -> Action {
    let script = sh!(
        "{}hw_call 60 GET /images/{}/json >/dev/null 2>&1 || docker pull -q {} >/dev/null",
        api::functions(),
        image,
        image
    );
    Action::new(format!("pull {image}"), script).timeout(Duration::from_mins(30))
}

/// Makes the new container beside the old one, so that a mistake shows before the old one is stopped; puts the
/// old one back if the new one does not start. Where there is no old one, it has its name from the beginning.
pub(super) fn make(name: &str, body: &Json) -> Action {
    let script = sh!(
        r#"{}hw_name={} hw_fresh={} hw_old={}
{}IFS= read -r hw_body <&3
# One question for all three: the filter takes a part of a name. A quote within a text of the answer is escaped.
hw_list=$(hw_call 60 GET "/containers/json?all=1&filters=%7B%22name%22%3A%7B%22$hw_name%22%3Atrue%7D%7D") || exit 1
hw_names=''
while case $hw_list in *'"Names":['*) ;; *) false ;; esac; do
  hw_list=${hw_list#*'"Names":['}
  hw_names=$hw_names,${hw_list%%']'*},
done
hw_there() { case $hw_names in *,'"/'"$1"'"',*) ;; *) return 1 ;; esac; }
hw_is=''
! hw_there "$hw_name" || hw_is=1
# What an earlier try left behind.
if hw_there "$hw_old"; then
  if [ -n "$hw_is" ]; then hw_remove "$hw_old" || exit 1; else hw_rename "$hw_old" "$hw_name" || exit 1; fi
  hw_is=1
fi
! hw_there "$hw_fresh" || hw_remove "$hw_fresh" || exit 1
[ -n "$hw_is" ] || hw_fresh=$hw_name
hw_made=$(hw_call 60 POST "/containers/create?name=$hw_fresh" "$hw_body") || exit 1
hw_field "$hw_made" Id
hw_id=$hw_value
if [ -n "$hw_is" ]; then
  docker stop "$hw_name" >/dev/null && hw_rename "$hw_name" "$hw_old" || exit 1
fi
{ [ -z "$hw_is" ] || hw_rename "$hw_id" "$hw_name"; } && hw_start "$hw_id" && exit 0
hw_remove "$hw_id" || :
if [ -n "$hw_is" ]; then
  hw_rename "$hw_old" "$hw_name" && hw_start "$hw_name" && echo 'the old container runs again' >&2
fi
exit 1"#,
        api::functions(),
        name,
        format!("{name}.hostwright-new"),
        old(name),
        verbs()
    );
    Action::new(format!("create and start {name}"), script)
        .payload(Payload(format!("{}\n", api::ascii(body)).into_bytes().into()))
}

/// Starts a container that is there.
pub(super) fn start(name: &str) -> Action {
    Action::new(format!("start {name}"), sh!("{}{}hw_start {}", api::functions(), verbs(), name))
}

/// Waits until it has been running for a second, and is healthy if it knows what that is. Then the one that it replaced
/// is removed; if it does not stay up, that one is put back.
///
/// The engine's own word is taken for it: two answers, a second apart, that tell of the same start. One that ended and
/// was restarted in between has another `StartedAt` and a greater `RestartCount`.
pub(super) fn wait(name: &str, bound: Duration) -> Action {
    let script = sh!(
        r#"{}hw_name={} hw_old={} hw_end=$(($(date +%s) + {})) hw_before=''
{}while :; do
  hw_json=$(hw_call 20 GET "/containers/$hw_name/json") || exit 1
  hw_field "$hw_json" State Status
  hw_status=$hw_value
  hw_field "$hw_json" State StartedAt
  hw_started=$hw_value
  hw_field "$hw_json" State Health Status
  hw_health=$hw_value
  hw_field "$hw_json" RestartCount
  hw_count=${hw_value%%[!0-9]*}
  hw_run=''
  [ "$hw_status" != running ] || hw_run="$hw_started $hw_count"
  if [ -n "$hw_run" ] && [ "$hw_run" = "$hw_before" ]; then
    case $hw_health in starting|unhealthy) ;; *) break ;; esac
  fi
  hw_before=$hw_run
  if [ "$(date +%s)" -ge "$hw_end" ]; then
    docker logs --tail 20 "$hw_name" >&2
    if [ -n "$hw_health" ]; then
      echo 'what its health check said last:' >&2
      docker inspect -f {} "$hw_name" | tail -n 8 >&2
    fi
    echo "the container does not stay up: $hw_status${hw_health:+, $hw_health}, restarts: $hw_count" >&2
    if hw_call 20 GET "/containers/$hw_old/json" >/dev/null 2>&1; then
      hw_remove "$hw_name" && hw_rename "$hw_old" "$hw_name" && hw_start "$hw_name" &&
        echo 'the old container runs again' >&2
    fi
    exit 1
  fi
  sleep 1
done
hw_remove "$hw_old" >/dev/null 2>&1 || :"#,
        api::functions(),
        name,
        old(name),
        bound.as_secs(),
        verbs(),
        api::HEALTH_LOG
    );
    Action::new(format!("wait until {name} runs"), script).timeout(bound + Duration::from_mins(1))
}

/// Stops it, in its own time, and removes it.
pub(super) fn remove(name: &str) -> Action {
    let script = sh!(
        r#"{}{}docker stop {} >/dev/null 2>&1 || :
hw_said=$(hw_remove {} 2>&1) || case $hw_said in
  *'(status 404)') ;;
  *) printf '%s\n' "$hw_said" >&2; exit 1 ;;
esac"#,
        api::functions(),
        verbs(),
        name,
        name
    );
    Action::new(format!("remove {name}"), script)
}

/// What a container is called that was set aside.
fn old(name: &str) -> String {
    format!("{name}.hostwright-old")
}

/// `hw_start`, `hw_rename` and `hw_remove`; after [`api::functions`].
fn verbs() -> Script {
    Script::new().raw(
        r#"hw_start() { hw_call 180 POST "/containers/$1/start" >/dev/null; }
hw_rename() { hw_call 60 POST "/containers/$1/rename?name=$2" >/dev/null; }
hw_remove() { hw_call 120 DELETE "/containers/$1?force=1" >/dev/null; }
"#,
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// An engine that answers `GET /containers/web/json` with one line of `states` after the other, the last one again
    /// and again, and writes down what else it is asked to do; the old container is there if `old` is.
    const CURL: &str = r#"#!/bin/sh
cd "${0%/*}"
method=GET
while [ $# -gt 1 ]; do [ "$1" != -X ] || method=$2; shift; done
path=${1#http://docker}
say() { printf 'HTTP/1.0 %s\r\n\r\n%s' "$1" "$2"; }
case "$method $path" in
  'GET /containers/web/json')
    read -r line <states
    if [ "$(wc -l <states)" -gt 1 ]; then sed -i 1d states; fi
    say '200 OK' "$line" ;;
  'GET /containers/json?'*) say '200 OK' "$(cat list)" ;;
  'GET /containers/web.hostwright-old/json')
    if [ -e old ]; then say '200 OK' '{}'; else say '404 Not Found' '{"message":"No such container"}'; fi ;;
  *)
    echo "$method $path" >>done
    if grep -qxF "$method $path" refuses; then say '500 Error' '{"message":"no room"}'; else
    case $path in
      */create'?'*) say '201 Created' '{"Id":"c0ffee","Warnings":[]}' ;;
      *) say '204 No Content' '' ;;
    esac; fi ;;
esac
"#;

    /// Runs `action` beside that engine; its clock goes on by a second with each look, and it does not really sleep.
    /// Returns the exit code, what it said on standard error, and what was done.
    fn run(action: &Action, states: &str, list: &str, old: bool, refuses: &str) -> (i32, String, String) {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let _engine = std::os::unix::net::UnixListener::bind(at("docker.sock")).unwrap();
        for (name, text) in [
            ("curl", CURL),
            (
                "docker",
                "#!/bin/sh\ncase $1 in inspect) echo connection refused; exit ;; esac\necho \"docker $*\" >>\"${0%/*}/done\"\n",
            ),
            ("sleep", "#!/bin/sh\n"),
            ("date", "#!/bin/sh\necho >>\"${0%/*}/clock\"\nwc -l <\"${0%/*}/clock\"\n"),
        ] {
            std::fs::write(at(name), text).unwrap();
            std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        for (name, text) in [("states", states), ("list", list), ("refuses", refuses), ("done", "")] {
            std::fs::write(at(name), text).unwrap();
        }
        std::fs::write(at("body"), "{}\n").unwrap();
        if old {
            std::fs::write(at("old"), "").unwrap();
        }
        let script =
            action.script.render().replace("/var/run/docker.sock", at("docker.sock").to_str().unwrap());
        let out = std::process::Command::new("sh")
            .args(["-c", &format!("exec 3<{}\n{script}", at("body").display())])
            .env("PATH", format!("{}:/usr/bin:/bin", dir.path().display()))
            .output()
            .unwrap();
        let said = String::from_utf8(out.stderr).unwrap();
        (out.status.code().unwrap(), said, std::fs::read_to_string(at("done")).unwrap())
    }

    /// A state as engine 20.10 tells it, shortened, with a variable and an argument that look like one.
    fn state(status: &str, started: &str, health: &str, restarts: u32) -> String {
        let health = if health.is_empty() {
            String::new()
        } else {
            format!(r#","Health":{{"Status":"{health}","FailingStreak":0,"Log":[]}}"#)
        };
        format!(
            r#"{{"Id":"1","Args":["\"State\":{{\"Status\":\"dead\""],"State":{{"Status":"{status}","Error":"","StartedAt":"{started}","FinishedAt":"0001"{health}}},"Name":"/web","RestartCount":{restarts},"Config":{{"Env":["H=\"Health\":{{\"Status\":\"starting\""],"Healthcheck":{{}}}}}}"#
        ) + "\n"
    }

    fn watch(states: &[String], old: bool) -> (i32, String, String) {
        run(&wait("web", Duration::from_secs(10)), &states.concat(), "[]", old, "")
    }

    #[test]
    fn two_answers_that_tell_of_the_same_start_are_enough() {
        let up = state("running", "T1", "", 0);
        let removed = "DELETE /containers/web.hostwright-old?force=1\n";
        assert_eq!(watch(std::slice::from_ref(&up), false), (0, String::new(), removed.into()));
        // Restarted once in between: counted from there.
        let again = state("running", "T2", "", 1);
        assert_eq!(watch(&[up, state("restarting", "T1", "", 1), again], false).0, 0);
    }

    #[test]
    fn a_container_that_is_restarted_again_and_again_is_found() {
        let (up, down) = (|n| state("running", &format!("T{n}"), "", n), |n| state("restarting", "T", "", n));
        let (code, said, done) = watch(&[up(0), down(1), up(1), down(2)], false);
        assert_eq!(
            (code, said.as_str(), done.as_str()),
            (1, "the container does not stay up: restarting, restarts: 2\n", "docker logs --tail 20 web\n")
        );
        // It runs whenever it is looked at, but each time it is another start.
        let starts: Vec<_> = (0..20).map(up).collect();
        assert_eq!(watch(&starts, false).0, 1);
        let renamed: Vec<_> = (0..20).map(|n| state("running", &format!("T{n}"), "", 0)).collect();
        assert_eq!(watch(&renamed, false).0, 1);
        assert_eq!(watch(&[up(0), state("exited", "T0", "", 0)], false).0, 1);
        assert_eq!(watch(&[up(0), state("paused", "T0", "", 0)], false).0, 1);
    }

    #[test]
    fn a_health_check_is_waited_for() {
        let health = |word| state("running", "T1", word, 0);
        assert_eq!(watch(&[health("starting"), health("starting"), health("healthy")], false).0, 0);
        let (code, said, _) = watch(&[health("starting"), health("unhealthy")], false);
        assert_eq!(
            (code, said.as_str()),
            (
                1,
                "what its health check said last:\nconnection refused\n\
                 the container does not stay up: running, unhealthy, restarts: 0\n"
            )
        );
    }

    #[test]
    fn the_old_container_is_put_back_when_the_new_one_does_not_stay_up() {
        let (code, said, done) = watch(&[state("exited", "T1", "", 0)], true);
        assert_eq!(code, 1);
        assert!(said.ends_with("the old container runs again\n"), "{said}");
        assert_eq!(
            done,
            "docker logs --tail 20 web\nDELETE /containers/web?force=1\n\
             POST /containers/web.hostwright-old/rename?name=web\nPOST /containers/web/start\n"
        );
    }

    fn made(list: &str, refuses: &str) -> (i32, String, String) {
        run(&make("web", &serde_json::json!({})), "", list, false, refuses)
    }

    #[test]
    fn a_first_container_is_made_and_started_and_nothing_else() {
        // `/web` is there as a command and a label, and others have it in their names.
        let list = r#"[{"Id":"1","Names":["/web2"],"Command":"/web","Labels":{"Names":"[\"/web\"","x":"/web"}},{"Id":"2","Names":["/my-web"]}]"#;
        let want = "POST /containers/create?name=web\nPOST /containers/c0ffee/start\n";
        assert_eq!(made(list, ""), (0, String::new(), want.into()));
        let (code, said, done) = made("[]", "POST /containers/c0ffee/start\n");
        assert_eq!((code, said.as_str()), (1, "Docker engine: no room (status 500)\n"));
        assert_eq!(done, format!("{want}DELETE /containers/c0ffee?force=1\n"));
    }

    #[test]
    fn a_container_is_replaced_and_put_back_when_the_new_one_does_not_start() {
        let list = r#"[{"Id":"1","Names":["/other/alias","/web"]}]"#;
        let want = "POST /containers/create?name=web.hostwright-new\ndocker stop web\n\
            POST /containers/web/rename?name=web.hostwright-old\nPOST /containers/c0ffee/rename?name=web\n";
        assert_eq!(made(list, ""), (0, String::new(), format!("{want}POST /containers/c0ffee/start\n")));
        let back = "DELETE /containers/c0ffee?force=1\nPOST /containers/web.hostwright-old/rename?name=web\n\
            POST /containers/web/start\n";
        let (code, said, done) = made(list, "POST /containers/c0ffee/start\n");
        assert_eq!(code, 1);
        assert!(said.ends_with("the old container runs again\n"), "{said}");
        assert_eq!(done, format!("{want}POST /containers/c0ffee/start\n{back}"));
        let (_, _, done) = made(list, "POST /containers/c0ffee/rename?name=web\n");
        assert_eq!(done, format!("{want}{back}"));
    }

    #[test]
    fn what_an_earlier_try_left_behind_is_used_or_removed() {
        let list =
            r#"[{"Names":["/web.hostwright-new"]},{"Names":["/web.hostwright-old"]},{"Names":["/web"]}]"#;
        let (_, _, done) = made(list, "");
        assert!(
            done.starts_with(
                "DELETE /containers/web.hostwright-old?force=1\n\
                 DELETE /containers/web.hostwright-new?force=1\nPOST /containers/create?name=web.hostwright-new\n"
            ),
            "{done}"
        );
        let (_, _, done) = made(r#"[{"Names":["/web.hostwright-old"]}]"#, "");
        assert!(
            done.starts_with(
                "POST /containers/web.hostwright-old/rename?name=web\n\
                 POST /containers/create?name=web.hostwright-new\ndocker stop web\n"
            ),
            "{done}"
        );
    }
}
