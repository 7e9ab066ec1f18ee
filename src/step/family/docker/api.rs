//! The engine's HTTP API, spoken to from a shell: questions are answered as raw HTTP and parsed here, actions
//! send their request on standard input of a process, so that a secret in it shows in no process list.
//!
//! Paths carry no API version: the daemon then takes its newest. A version written here would lock out either
//! old engines or new ones (Engine 29 refuses API versions before 1.44).

use httparse::Status;
use serde::de::DeserializeOwned;

use crate::model::{HostName, Kind, Resource, State};
use crate::probe::{Answer, CheckError, Probe, Readings, Together};
use crate::program;
use crate::program::{Handle, Library};
use crate::shell::Script;
use crate::step::{Change, Verdict};

program! {
    /// Asks the engine for paths.
    AskEngine in "ask_engine.sh" { paths: List, bounded: Flag }
}

/// What asks an engine.
pub const PROGRAMS: &[Handle] = &[AskEngine::program];

/// Speaks to an engine in an action; see there.
pub static API: Library = Library::new("api.sh", include_str!("api.sh"), &[]);

/// Asks the engine for each of `paths` (`/info`), over one connection.
pub fn get<P: AsRef<str>>(paths: &[P]) -> Probe {
    let items: Vec<String> = paths.iter().map(|path| path.as_ref().to_owned()).collect();
    let script = AskEngine { paths: &items, bounded: false }.script();
    Probe::new(script).together(Together { kind: "Docker engine", items, ask: get_bounded, cut })
}

/// The same for many paths, each of which may be slow: all of them take no longer than one.
fn get_bounded(paths: &[String]) -> Script {
    AskEngine { paths, bounded: true }.script()
}

/// The responses that are whole, and what is left: where `curl` failed, from its first error message on. It goes on with
/// the next path after one, so that what came of a response may look whole by what follows it.
fn cut(answer: &Answer) -> (Vec<&[u8]>, &[u8]) {
    let (said, error) = (answer.stdout.as_slice(), b"curl: (");
    let failed = if answer.ok() { None } else { said.windows(error.len()).position(|bytes| bytes == error) };
    let (good, left) = said.split_at(failed.unwrap_or(said.len()));
    let (mut whole, mut rest) = (Vec::new(), good);
    while let Some((_, after)) = next(rest) {
        let (this, later) = rest.split_at(rest.len() - after.len());
        whole.push(this);
        rest = later;
    }
    (whole, if failed.is_some() { left } else { rest })
}

/// What a host said to [`get`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// The engine answered, once for each path.
    Up(Vec<Response>),
    /// It is not there, but an earlier step of the plan brings it: fresh, and empty.
    Coming,
    /// It is not there, and why.
    Missing(String),
}

/// An HTTP response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Body, transfer encoding undone.
    pub body: Vec<u8>,
    /// What the engine calls itself: `Docker/20.10.24 (linux)`; empty if it does not say.
    pub server: String,
}

/// The engine of a host as a resource; `None` for the step's own host.
pub fn engine_of(host: Option<&HostName>) -> Resource {
    host.map_or_else(
        || Resource::here(Kind::Docker, "engine"),
        |host| Resource::on(host.as_str(), Kind::Docker, "engine"),
    )
}

/// Reads the answer to [`get`].
pub fn read(readings: &Readings, probe: &Probe) -> Result<Engine, CheckError> {
    let answer = readings.of(probe)?;
    let missing = match classify(probe, answer)? {
        Engine::Missing(why) => why,
        up => return Ok(up),
    };
    match readings.expected(&engine_of(probe.host.as_ref())) {
        Some(State::Absent) | None => Ok(Engine::Missing(match &probe.host {
            Some(host) => format!("{missing} on {host}"),
            None => missing,
        })),
        Some(_) => Ok(Engine::Coming),
    }
}

fn classify(probe: &Probe, answer: &Answer) -> Result<Engine, CheckError> {
    let first = answer.text();
    let first = first.lines().next().unwrap_or_default();
    let said = answer.error_text();
    match first {
        "hw: absent" => return Ok(Engine::Missing("docker is not installed".into())),
        "hw: denied" => return Err(denied()),
        _ if first.starts_with("hw: stopped") => {
            return Ok(Engine::Missing("the Docker engine is not running".into()));
        }
        _ => {}
    }
    if let Some(responses) = parse(&answer.stdout).filter(|r| !r.is_empty()) {
        return Ok(Engine::Up(responses));
    }
    if said.contains("permission denied") {
        return Err(denied());
    }
    // 52 and 56: systemd took the connection for an engine that then failed to start.
    let cannot_connect = ["curl: (7)", "curl: (52)", "curl: (56)"].iter().any(|c| first.starts_with(c))
        || said.contains("connection reset by peer")
        || said.contains("failed to open the raw stream connection")
        || said.contains("unable to open a raw stream connection");
    if cannot_connect {
        return Ok(Engine::Missing("the Docker engine does not answer".into()));
    }
    if answer.code == 124 || first.starts_with("curl: (28)") {
        // systemd's socket takes connections long before an engine with many containers answers.
        if answer.text().trim_end().ends_with("hw: starting") {
            return Ok(Engine::Missing("the Docker engine is still starting".into()));
        }
        return Err(CheckError::refused(
            "the Docker engine did not answer within 20 s",
            "look at `journalctl -u docker`; a manager is slow while its swarm has no leader: bring more than half of \
             the managers up, or ask again in a minute; a hung engine needs a restart by hand"
                .to_owned(),
        ));
    }
    Err(CheckError::unreadable(probe, answer, "expected HTTP responses of the Docker engine"))
}

fn denied() -> CheckError {
    CheckError::refused(
        "no permission to talk to the Docker engine (/var/run/docker.sock)",
        "set `become = true`, on the step or on the playbook".to_owned(),
    )
}

impl Response {
    /// Reads the body of a success.
    pub fn json<T: DeserializeOwned>(&self, probe: &Probe, readings: &Readings) -> Result<T, CheckError> {
        let answer = readings.of(probe)?;
        if self.status != 200 {
            return Err(CheckError::unreadable(
                probe,
                answer,
                format!("expected status 200, got {}: {}", self.status, self.message()),
            ));
        }
        serde_json::from_slice(&self.body)
            .map_err(|e| CheckError::unreadable(probe, answer, format!("expected the engine's JSON: {e}")))
    }

    /// What the engine says of a failure.
    pub fn message(&self) -> String {
        serde_json::from_slice::<serde_json::Value>(&self.body)
            .ok()
            .and_then(|v| v.get("message")?.as_str().map(str::to_owned))
            .unwrap_or_else(|| String::from_utf8_lossy(&self.body).trim().to_owned())
    }
}

/// Refuses what older engines than `major` do not know: they would take it and forget it without a word.
pub fn since(major: u32, what: &str, responses: &[Response]) -> Result<(), CheckError> {
    let Some(version) = responses.first().and_then(|r| r.server.strip_prefix("Docker/")) else {
        return Ok(());
    };
    let version = version.split(' ').next().unwrap_or_default();
    match version.split('.').next().and_then(|n| n.parse::<u32>().ok()) {
        Some(n) if n < major => Err(CheckError::refused(
            format!("{what} wants Docker Engine {major} or later, and this is {version}"),
            format!("leave {what} out, or give `docker_engine` a newer `version`"),
        )),
        _ => Ok(()),
    }
}

/// Splits raw HTTP responses that came one after the other. `None` if it is not HTTP, or is cut off.
fn parse(bytes: &[u8]) -> Option<Vec<Response>> {
    let mut rest = bytes;
    let mut responses = Vec::new();
    while !rest.is_empty() {
        let (response, after) = next(rest)?;
        responses.push(response);
        rest = after;
    }
    Some(responses)
}

/// The first response, and what follows it.
fn next(bytes: &[u8]) -> Option<(Response, &[u8])> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let Ok(Status::Complete(length)) = head.parse(bytes) else { return None };
    let (status, after) = (head.code?, &bytes[length..]);
    let header = |name: &str| {
        let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok().map(str::trim)
    };
    let (body, after) = if header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        unchunk(after)?
    } else if let Some(length) = header("content-length") {
        let length = length.parse().ok()?;
        (after.get(..length)?.to_vec(), &after[length..])
    } else {
        (after.to_vec(), &[][..])
    };
    let server = header("server").unwrap_or_default().to_owned();
    Some((Response { status, body, server }, after))
}

/// The body that came in chunks, and what follows it.
fn unchunk(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let Ok(Status::Complete((begin, size))) = httparse::parse_chunk_size(rest) else { return None };
        rest = &rest[begin..];
        if size == 0 {
            let mut trailers = [httparse::EMPTY_HEADER; 16];
            let Ok(Status::Complete((end, _))) = httparse::parse_headers(rest, &mut trailers) else {
                return None;
            };
            return Some((body, &rest[end..]));
        }
        let (chunk, after) = rest.split_at_checked(usize::try_from(size).ok()?)?;
        body.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n")?;
    }
}

/// The verdict of a step that cannot be judged before the engine of `host` is there.
pub fn until_engine(host: Option<&HostName>, otherwise: String, then: Option<Change>) -> Verdict {
    Verdict::Unknown { until: engine_of(host), then, otherwise }
}

/// JSON in which everything beyond ASCII is escaped, as `hw_call` of [`API`] wants it.
pub fn ascii(value: &serde_json::Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut units = [0; 2];
            out.extend(c.encode_utf16(&mut units).iter().map(|u| format!("\\u{u:04x}")));
        }
    }
    out
}

/// A whole request, for a payload that goes through `hw_send` of [`API`].
pub fn request(method: &str, path: &str, body: &serde_json::Value) -> String {
    let body = body.to_string();
    format!(
        "{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Engine 20.10.24, shortened: a chunked answer, then one with a length, pipelined.
    const RAW: &str = "HTTP/1.1 200 OK\r\nServer: Docker/20.10.24 (linux)\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\n{\"ID\"\r\n6;x=1\r\n:\"a\r\"}\r\n0\r\n\r\nHTTP/1.1 503 Service Unavailable\r\n\
        Content-Length: 51\r\nConnection: close\r\n\r\n{\"message\":\"This node is not a swarm \\\"manager\\\".\"}\n";

    #[test]
    fn splits_and_unchunks_pipelined_responses() {
        let responses = parse(RAW.trim_end().as_bytes()).unwrap();
        assert_eq!(responses.len(), 2);
        let server = "Docker/20.10.24 (linux)".to_owned();
        assert_eq!(responses[0], Response { status: 200, body: b"{\"ID\":\"a\r\"}".to_vec(), server });
        assert_eq!(responses[1].status, 503);
        assert_eq!(responses[1].message(), "This node is not a swarm \"manager\".");
    }

    #[test]
    fn each_of_many_questions_gets_its_own_responses() {
        let whole = RAW.trim_end();
        let (first, second) = whole.split_at(whole.find("HTTP/1.1 503").unwrap());
        let cuts = |code, said: &str| {
            let answer = Answer::new(code, said);
            let (responses, left) = cut(&answer);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (responses.into_iter().map(text).collect::<Vec<_>>(), text(left))
        };
        assert_eq!(cuts(0, whole), (vec![first.to_owned(), second.to_owned()], String::new()));
        // The second took too long; curl goes on with the third.
        let partly = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{";
        let late = format!("curl: (28) late\n{whole}");
        assert_eq!(cuts(28, &format!("{first}{partly}{late}")), (vec![first.to_owned()], late));
        // A body that has such words in it.
        let body = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n\"curl: (7) x\"";
        assert_eq!(cuts(0, body), (vec![body.to_owned()], String::new()));
        assert_eq!(cuts(0, "hw: absent\n"), (Vec::new(), "hw: absent\n".to_owned()));
    }

    #[test]
    fn what_is_cut_off_at_any_byte_is_no_response() {
        let whole = RAW.trim_end();
        let first = whole.find("HTTP/1.1 503").unwrap();
        for end in (1..whole.len()).filter(|n| *n != first) {
            assert_eq!(parse(&whole.as_bytes()[..end]), None, "{:?}", &whole[..end]);
        }
        assert_eq!(parse(b"nonsense\r\n\r\n"), None);
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx"), None);
    }

    /// The functions of [`API`], with `script` behind them.
    fn with_functions(script: &'static str) -> String {
        Script::new().raw(API.text.lean()).raw(script).render()
    }

    /// Runs `script` after the functions, with a `docker` that prints `response` for any request.
    fn act(script: &'static str, response: &str) -> (i32, String, String, String) {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("docker");
        let request = dir.path().join("request");
        std::fs::write(dir.path().join("response"), response).unwrap();
        std::fs::write(
            &bin,
            "#!/bin/sh\n[ \"$*\" = 'system dial-stdio' ] || exit 9\ncd \"${0%/*}\"\n\
             { timeout 1 cat; } >request\ncat response\n",
        )
        .unwrap();
        std::fs::set_permissions(&bin, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", dir.path().display());
        let out = std::process::Command::new("sh")
            .arg("-c")
            .arg(with_functions(script).replace("/var/run/docker.sock", "/no/docker.sock"))
            .env("PATH", path)
            .output()
            .unwrap();
        (
            out.status.code().unwrap(),
            String::from_utf8(out.stdout).unwrap(),
            String::from_utf8(out.stderr).unwrap(),
            std::fs::read_to_string(request).unwrap_or_default(),
        )
    }

    #[test]
    fn an_action_sends_a_request_and_reads_the_answer() {
        let (code, out, err, request) = act(
            r#"hw_call 10 POST /swarm/join '{"a":1}'"#,
            "HTTP/1.0 200 OK\r\nServer: Docker\r\n\r\n\"body\"\r\n\nmore",
        );
        assert_eq!((code, out.as_str(), err.as_str()), (0, "\"body\"\r\n\nmore", ""));
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("POST /swarm/join HTTP/1.0\r\n") && head.ends_with("Content-Length: 7"),
            "{head}"
        );
        assert_eq!(body, "{\"a\":1}");
    }

    /// Runs `script` after the functions, on a host with the engine's socket, a `curl` that does `curl`, and a `docker`
    /// that is not to be started unless `docker` is given. Returns what was printed, and what `curl` was called with.
    fn act_with_curl(script: &'static str, curl: &str, docker: &str) -> (String, String) {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("docker.sock");
        let _engine = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (name, does) in [("curl", curl), ("docker", docker)] {
            let path = dir.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\ncd \"${{0%/*}}\"\n{does}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let text = with_functions(script).replace("/var/run/docker.sock", socket.to_str().unwrap());
        let out = std::process::Command::new("sh")
            .args(["-c", &text])
            .env("PATH", format!("{}:/usr/bin:/bin", dir.path().display()))
            .output()
            .unwrap();
        let printed = [out.stdout, out.stderr].map(|t| String::from_utf8(t).unwrap()).concat();
        (printed, std::fs::read_to_string(dir.path().join("called")).unwrap_or_default())
    }

    #[test]
    fn an_action_calls_through_curl_with_the_body_on_standard_input() {
        let curl = r#"{ echo "$*"; cat; } >called; printf 'HTTP/1.0 200 OK\r\nServer: Docker\r\n\r\nbody'"#;
        let call = r#"hw_call 10 POST /swarm/join '{"a":1}'"#;
        let (printed, called) = act_with_curl(call, curl, "exit 9");
        assert_eq!(printed, "body\n");
        let (arguments, body) = called.split_once('\n').unwrap();
        assert!(
            arguments.contains("-X POST") && arguments.ends_with("http://docker/swarm/join"),
            "{arguments}"
        );
        assert!(!arguments.contains('{'), "{arguments}");
        assert_eq!(body, "{\"a\":1}");
        let (_, called) = act_with_curl("hw_call 10 GET /info", curl, "exit 9");
        assert!(!called.contains("--data"), "{called}");
        let refuses = r"printf 'HTTP/1.0 404 Not Found\r\n\r\n{\x22message\x22:\x22no such node\x22}'"
            .replace(r"\x22", "\"");
        let (printed, _) = act_with_curl("hw_call 10 GET /nodes/n", &refuses, "exit 9");
        assert_eq!(printed, "Docker engine: no such node (status 404)\n");
        let (printed, _) =
            act_with_curl("hw_call 10 GET /info", "echo 'curl: (7) refused' >&2; exit 7", "exit 9");
        assert_eq!(printed, "the Docker engine did not answer: curl: (7) refused\n");
    }

    /// curl of CentOS 7 does not know `--unix-socket`.
    #[test]
    fn an_action_calls_through_the_cli_where_curl_is_too_old() {
        let docker = r"{ timeout 1 cat; } >called; printf 'HTTP/1.0 200 OK\r\n\r\nbody'";
        let call = r#"hw_call 10 POST /swarm/join '{"a":1}'"#;
        let old = "echo 'curl: option --unix-socket: is unknown' >&2; exit 2";
        let (printed, called) = act_with_curl(call, old, docker);
        assert_eq!(printed, "body");
        assert!(
            called.starts_with("POST /swarm/join HTTP/1.0\r\n") && called.ends_with("{\"a\":1}"),
            "{called}"
        );
    }

    #[test]
    fn an_action_shows_what_the_engine_says_of_a_failure() {
        let (code, out, err, _) = act(
            "hw_call 10 DELETE /x",
            "HTTP/1.0 503 Service Unavailable\r\nContent-Length: 31\r\n\r\n{\"message\":\"is \\\"in\\\" use\"}\n",
        );
        assert_eq!((code, out.as_str()), (1, ""));
        assert_eq!(err, "Docker engine: is \\\"in\\\" use (status 503)\n");
        let (code, _, err, _) = act("hw_call 10 GET /x", "");
        assert_eq!((code, err.as_str()), (1, "the Docker engine did not answer\n"));
    }
}
