//! A failover drill that is interrupted: what it has broken is put right, however long that takes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hostwright::model::Privilege;
use hostwright::probe::{Answer, Answers};
use hostwright::step::{Change, Verdict};

use super::real_files::{Bench, PATH};

/// The shells that hosts have as `sh`.
const SHELLS: [&str; 3] = ["dash", "bash", "busybox sh"];

/// Answers as Redis does, with the one value that it is given, and once it is `lost` not at all: a silent one lets who
/// asks wait.
fn redis(lost: std::path::PathBuf, silent: bool) -> u16 {
    let listener = std::net::TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut value, mut unanswered) = (String::new(), Vec::new());
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            while let Some(count) = lines.next() {
                let count = count[1..].parse::<usize>().unwrap();
                let words: Vec<String> = lines.by_ref().take(2 * count).skip(1).step_by(2).collect();
                let said = match words[0].as_str() {
                    _ if lost.exists() && silent => {
                        unanswered.push(stream);
                        break;
                    }
                    _ if lost.exists() => break,
                    "AUTH" if words[1] == "hunter2hunter2" => "+OK\r\n".to_owned(),
                    "SET" => {
                        value.clone_from(&words[2]);
                        "+OK\r\n".to_owned()
                    }
                    "GET" => format!("${}\r\n{value}\r\n", value.len()),
                    _ => "-ERR\r\n".to_owned(),
                };
                let _ = stream.write_all(said.as_bytes());
            }
        }
    });
    port
}

/// The drill of a service that publishes `port`, as its manager is.
fn drill(host: &Bench, port: u16, keys: &str) -> Change {
    let step = host.step(&format!(
        r#"failover_drill = {{ service = "redis", port = {port}, password = "hunter2hunter2", {keys} }}"#
    ));
    let node = |id: &str, address: &str| {
        format!(
            r#"{{"ID":"{id}","Spec":{{"Role":"worker","Availability":"active"}},"Status":{{"State":"ready","Addr":"{address}"}}}}"#
        )
    };
    let bodies = [
        r#"{"ServerVersion":"29.0.0","Swarm":{"LocalNodeState":"active","NodeID":"n1","ControlAvailable":true}}"#.to_owned(),
        format!(r#"{{"Spec":{{"EndpointSpec":{{"Ports":[{{"PublishedPort":{port}}}]}}}}}}"#),
        r#"[{"NodeID":"n1","DesiredState":"running","Status":{"State":"running"}}]"#.to_owned(),
        format!("[{},{}]", node("n1", "127.0.0.1"), node("n2", "127.0.0.2")),
    ];
    let said = bodies.iter().fold(String::new(), |text, body| {
        format!("{text}HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    });
    let mut answers = Answers::default();
    answers.insert(&step.probes()[0], &Privilege::Login, Answer::new(0, &said));
    match step.check(&answers.seen_with(&Privilege::Login)) {
        Ok(Verdict::Drift(change)) => change,
        other => panic!("{other:?}"),
    }
}

fn tool(host: &Bench, name: &str, body: &str) {
    std::fs::create_dir_all(host.at("tools")).unwrap();
    let path = host.at("tools").join(name);
    std::fs::write(&path, format!("#!/bin/sh\ncd '{}' || exit 9\n{body}\n", host.at("").display())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn until(what: &str, there: impl Fn() -> bool) {
    let start = Instant::now();
    while !there() {
        assert!(start.elapsed() < Duration::from_mins(1), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs the first action as a frame does, and stops it as an interrupted run does: by SIGTERM to all of it, and soon
/// after that by SIGKILL.
fn interrupt(shell: &str, host: &Bench, change: &Change, payload: &str) {
    let file = host.write("payload", payload);
    let script = change.actions[0].script.render();
    let text = format!("trap 'exit 143' TERM\n(\n{script}\n) 3<'{}' 0</dev/null", file.display());
    let mut frame = Command::new("timeout")
        .args(["-k", "1", "300"])
        .args(shell.split(' '))
        .arg(host.write("text", text))
        .env_clear()
        .env("LC_ALL", "C")
        .env("PATH", format!("{}:{PATH}", host.at("tools").display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("it is broken", || host.at("lost").exists());
    let group = frame.id().to_string();
    host.write("frame", &group);
    assert!(Command::new("kill").args(["-TERM", &group]).status().unwrap().success());
    frame.wait().unwrap();
}

/// Waits until all of the frame has been killed, and then some.
const SLOW: &str =
    r#"while kill -0 "$(cat frame 2>/dev/null || echo $$)" 2>/dev/null; do sleep 0.1; done; sleep 0.3"#;

/// A `docker` of which `node update` to drain does `breaks`, and back does `mends`.
fn docker(host: &Bench, breaks: &str, mends: &str) {
    let body = format!(
        r#"case $* in
  "service ps "*) echo t1 ;;
  "inspect --type task"*) echo n1 ;;
  "node inspect "*) echo pause ;;
  "node ps "*) ;;
  "node update --availability drain n1") {breaks} ;;
  "node update --availability pause n1") {mends} ;;
  *) exit 9 ;;
esac"#
    );
    tool(host, "docker", &body);
}

#[test]
fn a_drained_node_is_put_right_when_the_run_is_stopped() {
    for shell in SHELLS {
        let host = Bench::new(shell);
        let change = drill(&host, redis(host.at("lost"), false), r#"modes = ["drain"]"#);
        // The first try fails when nothing of the frame is left.
        let mends = format!("{SLOW}; [ -e tried ] || {{ : >tried; exit 1; }}; echo pause >mended");
        docker(&host, ": >lost", &mends);
        interrupt(shell, &host, &change, "hunter2hunter2\n");
        until("the node is what it was", || host.at("mended").exists());
    }
}

#[test]
fn a_node_is_put_right_when_the_run_is_stopped_while_it_is_drained() {
    for shell in SHELLS {
        let host = Bench::new(shell);
        let change = drill(&host, redis(host.at("lost"), false), r#"modes = ["drain"]"#);
        docker(&host, &format!(": >lost; {SLOW}"), "echo pause >mended");
        interrupt(shell, &host, &change, "hunter2hunter2\n");
        until("the node is what it was", || host.at("mended").exists());
    }
}

#[test]
fn a_node_is_put_right_when_the_stage_has_to_be_killed() {
    for shell in SHELLS {
        let host = Bench::new(shell);
        // To ask in vain takes longer than the stage is given to end.
        let change = drill(&host, redis(host.at("lost"), true), r#"modes = ["drain"]"#);
        docker(&host, ": >lost", "echo pause >mended");
        interrupt(shell, &host, &change, "hunter2hunter2\n");
        until("the node is what it was", || host.at("mended").exists());
    }
}

#[test]
fn power_is_switched_on_again_when_the_run_is_stopped() {
    for shell in SHELLS {
        let host = Bench::new(shell);
        let keys = r#"modes = ["power"], power = { host = "worker-01", off = "switch off $NODE", on = "echo switching; switch on $NODE # s3cr3tw0rd" }"#;
        let change = drill(&host, redis(host.at("lost"), false), keys);
        let on =
            format!(r#"grep -l -a '[s]3cr3tw0rd' /proc/[0-9]*/cmdline >seen; {SLOW}; echo "$*" >mended"#);
        tool(&host, "switch", &format!("case $1 in off) : >lost ;; on) {on} ;; esac"));
        interrupt(shell, &host, &change, "127.0.0.1\nhunter2hunter2\n");
        until("the power is on", || host.at("mended").exists());
        assert_eq!(host.read("mended"), "on worker-01\n");
        assert_eq!(host.read("seen"), "", "the command is in an argument list");
    }
}
