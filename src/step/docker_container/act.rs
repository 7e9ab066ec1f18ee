//! The actions that make, start, remove and wait for a container.
//!
//! What is done in a moment goes to the engine's API: the `docker` command takes several times as long to start on a small
//! host. It pulls, for it knows the credentials of registries, and it stops, which has no bound.

use std::time::Duration;

use serde_json::Value as Json;

use crate::program;
use crate::program::{Handle, Library};
use crate::step::family::RUN;
use crate::step::family::docker::api::{self, API};
use crate::step::{Action, Payload};

/// What is done to a container in a moment; see there.
static CONTAINER: Library = Library::new("container.sh", include_str!("container.sh"), &[&API]);

program! {
    /// Pulls an image.
    PullMissingImage in "pull_missing_image.sh" uses [API, RUN] { image: Word }
}
program! {
    /// Makes and starts a container.
    MakeContainer in "make_container.sh" uses [CONTAINER, RUN] { name: Word, fresh: Word, old: Word }
}
program! {
    /// Starts a container.
    StartContainer in "start_container.sh" uses [CONTAINER] { name: Word }
}
program! {
    /// Removes a container.
    RemoveContainer in "remove_container.sh" uses [CONTAINER] { name: Word }
}
program! {
    /// Waits for a container.
    WaitForContainer in "wait_for_container.sh" uses [CONTAINER, RUN] { name: Word, old: Word, seconds: Number }
}

/// What acts on containers.
pub(super) const PROGRAMS: &[Handle] = &[
    PullMissingImage::program,
    MakeContainer::program,
    StartContainer::program,
    RemoveContainer::program,
    WaitForContainer::program,
];

/// Pulls `image` unless it is there.
pub(super) fn pull(image: &str) -> Action {
    Action::new(format!("pull {image}"), PullMissingImage { image }.script())
        .timeout(Duration::from_mins(30))
        .lasting()
}

/// Makes and starts the container, in the place of an old one.
pub(super) fn make(name: &str, body: &Json) -> Action {
    let fresh = &format!("{name}.hostwright-new");
    let script = MakeContainer { name, fresh, old: &old(name) }.script();
    Action::new(format!("create and start {name}"), script)
        .lasting()
        .payload(Payload(format!("{}\n", api::ascii(body)).into_bytes().into()))
}

/// Starts a container that is there.
pub(super) fn start(name: &str) -> Action {
    Action::new(format!("start {name}"), StartContainer { name }.script()).lasting()
}

/// Waits until it runs, and ends what it replaced.
pub(super) fn wait(name: &str, bound: Duration) -> Action {
    let script = WaitForContainer { name, old: &old(name), seconds: Some(bound.as_secs()) }.script();
    Action::new(format!("wait until {name} runs"), script).timeout(bound + Duration::from_mins(1)).lasting()
}

/// Stops it, in its own time, and removes it.
pub(super) fn remove(name: &str) -> Action {
    Action::new(format!("remove {name}"), RemoveContainer { name }.script()).lasting()
}

/// What a container is called that was set aside.
fn old(name: &str) -> String {
    format!("{name}.hostwright-old")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// An engine that has the containers in `names`, and writes down what else it is asked to do; the old container is
    /// there if `old` is. What it `refuses`, it refuses once.
    const CURL: &str = r#"#!/bin/sh
cd "${0%/*}"
method=GET
while [ $# -gt 1 ]; do [ "$1" != -X ] || method=$2; shift; done
path=${1#http://docker}
say() { printf 'HTTP/1.0 %s\r\n\r\n%s' "$1" "$2"; }
case "$method $path" in
  'GET /containers/json?'*) if [ -s names ]; then say '200 OK' '[{"Id":"1"}]'; else say '200 OK' '[]'; fi ;;
  'GET /containers/web.hostwright-old/json')
    if [ -e old ]; then say '200 OK' '{}'; else say '404 Not Found' '{"message":"No such container"}'; fi ;;
  *)
    echo "$method $path" >>done
    if grep -qxF "$method $path" refuses; then : >refuses; say '500 Error' '{"message":"no room"}'; else
    case $path in
      */create'?'*) say '201 Created' '{"Id":"c0ffee","Warnings":[]}' ;;
      *) say '204 No Content' '' ;;
    esac; fi ;;
esac
"#;

    /// Its command line: a container is in one of `states` after the other, the last one again and again.
    const DOCKER: &str = r#"#!/bin/sh
cd "${0%/*}"
case $1 in
  container)
    read -r line <states
    if [ "$(wc -l <states)" -gt 1 ]; then sed -i 1d states; fi
    echo "$line" ;;
  ps) cat names ;;
  inspect) echo connection refused ;;
  *) echo "docker $*" >>done ;;
esac
"#;

    /// Runs `action` beside that engine; its clock goes on by a second with each look, and it does not really sleep.
    /// Returns the exit code, what it said on standard error, and what was done.
    fn run(action: &Action, states: &str, names: &str, old: bool, refuses: &str) -> (i32, String, String) {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let _engine = std::os::unix::net::UnixListener::bind(at("docker.sock")).unwrap();
        for (name, text) in [
            ("curl", CURL),
            ("docker", DOCKER),
            ("sleep", "#!/bin/sh\n"),
            ("date", "#!/bin/sh\necho >>\"${0%/*}/clock\"\nwc -l <\"${0%/*}/clock\"\n"),
        ] {
            std::fs::write(at(name), text).unwrap();
            std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        for (name, text) in [("states", states), ("names", names), ("refuses", refuses), ("done", "")] {
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

    fn state(status: &str, started: &str, health: &str, restarts: u32) -> String {
        format!("{status} {started} {restarts} {health}\n")
    }

    fn watch(states: &[String], old: bool) -> (i32, String, String) {
        run(&wait("web", Duration::from_secs(10)), &states.concat(), "", old, "")
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

    fn made(names: &str, refuses: &str) -> (i32, String, String) {
        run(&make("web", &serde_json::json!({})), "", names, false, refuses)
    }

    #[test]
    fn a_first_container_is_made_and_started_and_nothing_else() {
        // Others have its name in theirs.
        let names = "web2,my-web\nmy-web\n";
        let want = "POST /containers/create?name=web\nPOST /containers/web/start\n";
        assert_eq!(made(names, ""), (0, String::new(), want.into()));
        assert_eq!(made("", ""), (0, String::new(), want.into()));
        let (code, said, done) = made("", "POST /containers/web/start\n");
        assert_eq!((code, said.as_str()), (1, "Docker engine: no room (status 500)\n"));
        assert_eq!(done, format!("{want}DELETE /containers/web?force=1\n"));
    }

    #[test]
    fn a_container_is_replaced_and_put_back_when_the_new_one_does_not_start() {
        let names = "other/alias,web\n";
        let want = "POST /containers/create?name=web.hostwright-new\ndocker stop web\n\
            POST /containers/web/rename?name=web.hostwright-old\nPOST /containers/web.hostwright-new/rename?name=web\n";
        assert_eq!(made(names, ""), (0, String::new(), format!("{want}POST /containers/web/start\n")));
        let back = "DELETE /containers/web?force=1\nPOST /containers/web.hostwright-old/rename?name=web\n\
            POST /containers/web/start\n";
        let (code, said, done) = made(names, "POST /containers/web/start\n");
        assert_eq!(code, 1);
        assert!(said.ends_with("the old container runs again\n"), "{said}");
        assert_eq!(done, format!("{want}POST /containers/web/start\n{back}"));
        let (_, _, done) = made(names, "POST /containers/web.hostwright-new/rename?name=web\n");
        assert_eq!(done, format!("{want}{}", back.replace("web?force", "web.hostwright-new?force")));
    }

    #[test]
    fn what_an_earlier_try_left_behind_is_used_or_removed() {
        let names = "web.hostwright-new\nweb.hostwright-old\nweb\n";
        let (_, _, done) = made(names, "");
        assert!(
            done.starts_with(
                "DELETE /containers/web.hostwright-old?force=1\n\
                 DELETE /containers/web.hostwright-new?force=1\nPOST /containers/create?name=web.hostwright-new\n"
            ),
            "{done}"
        );
        let (_, _, done) = made("web.hostwright-old\n", "");
        assert!(
            done.starts_with(
                "POST /containers/web.hostwright-old/rename?name=web\n\
                 POST /containers/create?name=web.hostwright-new\ndocker stop web\n"
            ),
            "{done}"
        );
    }
}
