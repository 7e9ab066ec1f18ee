//! The actions that make, change, remove and wait for a service.

use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value as Json, json};

use super::Live;
use super::params::RegistryAuth;
use crate::program;
use crate::program::{Handle, Library};
use crate::step::family::RUN;
use crate::step::family::docker::api::{self, API};
use crate::step::family::docker::json::{at, items, text_at};
use crate::step::{Action, Borrowed, Origin, Payload, Reader};

/// Makes requests with credentials; see there.
static REQUEST: Library = Library::new("request.sh", include_str!("request.sh"), &[&API]);

/// Looks at tasks; see there.
static TASKS: Library = Library::new("tasks.sh", include_str!("tasks.sh"), &[&API]);

program! {
    /// Asks a registry for an image.
    AskRegistry in "ask_registry.sh" uses [REQUEST] { image: Word }
}
program! {
    /// Makes a service.
    CreateService in "create_service.sh" uses [REQUEST] { resolved: Flag }
}
program! {
    /// Changes a service.
    UpdateService in "update_service.sh" uses [REQUEST, RUN] { id: Word, version: Number, resolved: Flag }
}
program! {
    /// Removes a service.
    RemoveService in "remove_service.sh" uses [API] { id: Word, seconds: Number }
}
program! {
    /// Waits for a service.
    WaitForService in "wait_for_service.sh" uses [TASKS, RUN] {
        id: Word, wanted: Number, hold: Number, updated: Flag, rolls_back: Flag, seconds: Number
    }
}

/// What acts on services.
pub(super) const PROGRAMS: &[Handle] = &[
    AskRegistry::program,
    CreateService::program,
    UpdateService::program,
    RemoveService::program,
    WaitForService::program,
];

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

/// Asks for the digest of an image, for the action that follows.
pub(super) fn look_up(image: &str, auth: Option<&RegistryAuth>) -> Action {
    Action::new(format!("look up the digest of {image}"), AskRegistry { image }.script())
        .payload(payload(&[&auth_header(auth)]))
        .timeout(Duration::from_mins(1))
}

/// What [`look_up`] found out.
fn found() -> Borrowed {
    Borrowed { what: "digest", from: Origin::Read(Reader(digest_and_platforms)), secret: false }
}

/// The digest of an image and its platforms, as the programs want them; `-` where its registry told none.
fn digest_and_platforms(distribution: &str) -> String {
    let found: Json = serde_json::from_str(distribution).unwrap_or_default();
    let digest = text_at(&found, "Descriptor/digest");
    let platforms: Vec<String> = items(at(&found, "Platforms")).map(api::ascii).collect();
    let digest = if digest.is_empty() || digest.contains(char::is_whitespace) { "-" } else { digest };
    format!("{digest} {}", platforms.join(","))
}

/// Makes the service; what was looked up right before goes in where it is `resolved`.
pub(super) fn create(name: &str, spec: &Json, resolved: bool, auth: Option<&RegistryAuth>) -> Action {
    let action = Action::new(format!("create service {name}"), CreateService { resolved }.script())
        .lasting()
        .payload(payload(&[&auth_header(auth), &api::ascii(spec)]))
        .timeout(Duration::from_mins(3));
    if resolved { action.borrow(found()) } else { action }
}

/// Gives the service another specification, unless somebody else has done so since it was seen.
pub(super) fn update(
    name: &str,
    live: &Live,
    spec: &Json,
    resolved: bool,
    auth: Option<&RegistryAuth>,
) -> Action {
    let script = UpdateService { id: &live.id, version: Some(live.version), resolved }.script();
    let action = Action::new(format!("update service {name}"), script)
        .lasting()
        .payload(payload(&[&auth_header(auth), &live.text, &api::ascii(spec)]))
        .timeout(Duration::from_mins(3));
    if resolved { action.borrow(found()) } else { action }
}

/// Removes the service and waits until its containers are gone.
pub(super) fn remove(name: &str, id: &str, grace: Duration) -> Action {
    let bound = grace.as_secs() + 60;
    let script = RemoveService { id, seconds: Some(bound) }.script();
    Action::new(format!("remove service {name}"), script).timeout(Duration::from_secs(bound + 90)).lasting()
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

/// Waits until the service runs as wanted.
pub(super) fn wait(name: &str, id: &str, goal: Goal) -> Action {
    let Goal { replicas: wanted, hold, deadline, updated, rolls_back } = goal;
    let (hold, seconds) = (Some(hold.as_secs()), Some(deadline.as_secs()));
    let script = WaitForService { id, wanted, hold, updated, rolls_back, seconds }.script();
    Action::new(format!("wait until {name} runs"), script)
        .timeout(deadline + Duration::from_mins(2))
        .lasting()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sh;
    use crate::shell::Script;

    /// What `hw_look` makes of tasks as `docker service ps` lists them.
    fn looked(tasks: &[&str], old: &str) -> String {
        let script = sh!(
            r#"{}hw_call() { echo '[]'; }
hw_ps() { printf '%s\n' {}; }
id=s hw_old={}
hw_look && echo "$hw_running/$hw_desired most $hw_most: $hw_why; pending: $hw_pending; failed:$hw_failed""#,
            Script::new().raw(TASKS.text.lean()),
            tasks.join("\n"),
            old
        );
        let out = std::process::Command::new("sh").args(["-c", &script.render()]).output().unwrap();
        assert!(out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim_end().to_owned()
    }

    #[test]
    fn tasks_are_counted_by_what_is_wanted_of_them_and_how_they_are() {
        assert_eq!(looked(&[], ""), "0/0 most 0: ; pending: ; failed:");
        let exit = r#"task: non-zero exit (1): "no"! a|b|c"#;
        let failed = |id: &str| format!(r#"{id}|Shutdown|Failed 3 seconds ago|w1|"{exit}""#);
        let tasks = [
            "a|Running|Running 2 minutes ago|w1|",
            "b|Running|Starting 1 second ago|w1|",
            r#"c|Running|Pending 9 seconds ago||"no suitable node (1 node not available)""#,
            &failed("d"),
            &failed("e"),
            r#"f|Shutdown|Rejected 5 seconds ago|w1|"no such image""#,
            "g|Shutdown|Running 2 minutes ago|w1|",
        ];
        let rest = "pending: no suitable node (1 node not available); failed: d e f";
        assert_eq!(looked(&tasks, ""), format!("1/3 most 2: {exit}; {rest}"));
        assert_eq!(looked(&tasks, " d e"), format!("1/3 most 1: no such image; {rest}"));
    }

    /// What is told of a service whose tasks fail for `why`, when a task of it was on this node or not.
    fn given_up(why: &str, here: bool) -> String {
        let source = WaitForService::program().text.lean();
        let from = source.find("hw_give_up() {").unwrap();
        let to = from + source[from..].find("\n}\n").unwrap() + 3;
        let here = if here { "echo c1" } else { ":" };
        let script = sh!(
            r#"timeout() { shift 3; "$@"; }
docker() { case $1 in ps) {} ;; inspect) echo 'exit code 1: connection refused' ;; esac; }
hw_ps() { :; }
id=s hw_why={}
{}hw_give_up 'its tasks fail'"#,
            Script::new().raw(here),
            why,
            Script::new().raw(&source[from..to])
        );
        let out = std::process::Command::new("sh").args(["-c", &script.render()]).output().unwrap();
        assert_eq!(out.status.code(), Some(1));
        String::from_utf8(out.stderr).unwrap()
    }

    #[test]
    fn digest_and_platforms_are_read_from_what_a_registry_tells() {
        let told = r#"{"Descriptor":{"digest":"sha256:0a"},"Platforms":[{"OS":"linux"},{"OS":"é"}]}"#;
        assert_eq!(digest_and_platforms(told), r#"sha256:0a {"OS":"linux"},{"OS":"\u00e9"}"#);
        assert_eq!(digest_and_platforms(r#"{"Descriptor":{},"Platforms":null}"#), "- ");
        assert_eq!(digest_and_platforms(""), "- ");
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
