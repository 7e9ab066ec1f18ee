//! How many programs and processes a step costs its host, for each kind that can run on this machine.
//!
//! Counted by `strace` over a real `apply` on this machine: the kernel reports each exec and each fork of everything
//! that descends from the shell of a frame, so the numbers are exact and nothing else on the machine is in them.
//! A counter of the whole machine (`processes` in /proc/stat) would count others too, and programs put in front of the
//! real ones would not see forks. Nothing is timed.
//!
//! `tests/processes/counts.txt` holds the numbers. More than written there fails: it may not grow. Fewer fails too, for
//! the better number has to be written down: `UPDATE_CASES=1` does it.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::cli::Sandbox;
use super::machine;
use super::real_files::can_mount;

/// A kind of step: two steps of it, `@` stands for a folder, and what is there before them.
struct Kind {
    name: &'static str,
    before: &'static str,
    steps: [&'static str; 2],
}

const fn kind(name: &'static str, before: &'static str, steps: [&'static str; 2]) -> Kind {
    Kind { name, before, steps }
}

const KINDS: [Kind; 13] = [
    kind(
        "file, new",
        "",
        [
            r#"file = { path = "@/a", content = "new\n", mode = "0640", owner = "root" }"#,
            r#"file = { path = "@/b", content = "new\n", mode = "0644", owner = "root" }"#,
        ],
    ),
    kind(
        "file, other content",
        "echo old >a; echo old >b",
        [
            r#"file = { path = "@/a", content = "other\n" }"#,
            r#"file = { path = "@/b", content = "other\n" }"#,
        ],
    ),
    kind(
        "file, other mode",
        "echo old >a; echo old >b",
        [r#"file = { path = "@/a", mode = "0600" }"#, r#"file = { path = "@/b", mode = "0600" }"#],
    ),
    kind(
        "file, 40 KB of no text",
        "head -c 40000 /dev/zero >blob; echo old >a; echo old >b",
        [r#"file = { path = "@/a", source = "blob" }"#, r#"file = { path = "@/b", source = "blob" }"#],
    ),
    kind(
        "file, absent",
        "echo old >a; echo old >b",
        [r#"file = { path = "@/a", state = "absent" }"#, r#"file = { path = "@/b", state = "absent" }"#],
    ),
    kind(
        "directory",
        "",
        [
            r#"directory = { path = "@/a", mode = "0750", owner = "root" }"#,
            r#"directory = { path = "@/b", mode = "0750", owner = "root" }"#,
        ],
    ),
    kind(
        "link",
        "",
        [r#"link = { path = "@/a", target = "x" }"#, r#"link = { path = "@/b", target = "x" }"#],
    ),
    kind(
        "line",
        "echo old >a; echo old >b",
        [r#"line = { path = "@/a", line = "new" }"#, r#"line = { path = "@/b", line = "new" }"#],
    ),
    kind(
        "block",
        "echo old >a; echo old >b",
        [r#"block = { path = "@/a", content = "new" }"#, r#"block = { path = "@/b", content = "new" }"#],
    ),
    kind(
        "command, creates",
        "",
        [
            r#"command = { run = "sleep 0.4; : >@/a", creates = "@/a" }"#,
            r#"command = { run = "sleep 0.4; : >@/b", creates = "@/b" }"#,
        ],
    ),
    kind(
        "command, unless",
        "",
        [
            r#"command = { run = "sleep 0.4; : >@/a", unless = "[ -e @/a ]" }"#,
            r#"command = { run = "sleep 0.4; : >@/b", unless = "[ -e @/b ]" }"#,
        ],
    ),
    kind("user", "", [r#"user = "daemon""#, r#"user = "bin""#]),
    kind("group", "", [r#"group = "daemon""#, r#"group = "bin""#]),
];

/// Where the files of the steps are on the host: on the file system of its backups, as on most hosts.
const DATA: &str = "/var/lib/hostwright/data";

/// What one frame cost.
#[derive(Default, Clone)]
struct Cost {
    /// The programs that were started, by name.
    programs: Vec<String>,
    /// The processes that were made.
    forks: usize,
}

impl Cost {
    fn told(&self) -> String {
        format!("{}/{}", self.programs.len(), self.forks)
    }
}

/// The costs of the frames in the log of `strace -f`, in their order. A frame begins with what bounds it, and has all
/// that descends from that. A `sleep` is not counted: what waits for the last output of an action is mostly, but not
/// always, told that it has come before it has started one.
fn frames(log: &str) -> Vec<Cost> {
    let lines: Vec<(&str, &str)> = log.lines().filter_map(|line| line.split_once(' ')).collect();
    let (mut parents, mut begun) = (BTreeMap::new(), HashMap::new());
    let mut execs = Vec::new();
    for &(pid, text) in &lines {
        let text = text.trim_start();
        let call = match text.strip_prefix("<... ") {
            Some(_) => begun.remove(pid).unwrap_or_default(),
            None if text.ends_with("<unfinished ...>") => {
                begun.insert(pid, text);
                continue;
            }
            None => text,
        };
        let Some((_, result)) = text.rsplit_once("= ") else { continue };
        if call.starts_with("execve(") {
            if result == "0" {
                execs.push((pid, call));
            }
        } else if result.bytes().all(|b| b.is_ascii_digit()) && !call.contains("CLONE_THREAD") {
            parents.insert(result, pid);
        }
    }
    let roots: Vec<&str> = execs
        .iter()
        .filter(|(_, call)| call.contains("\"timeout\", \"-k\", \"5\"") && call.contains("\"IFS="))
        .map(|(pid, _)| *pid)
        .collect();
    let frame_of = |pid: &str| {
        let mut at = Some(pid);
        while let Some(pid) = at {
            if let Some(n) = roots.iter().position(|root| *root == pid) {
                return Some(n);
            }
            at = parents.get(pid).copied();
        }
        None
    };
    let mut costs = vec![Cost::default(); roots.len()];
    for (pid, call) in execs {
        if let Some(n) = frame_of(pid) {
            let path = call.split('"').nth(1).unwrap_or_default();
            costs[n].programs.push(path.rsplit('/').next().unwrap_or(path).to_owned());
        }
    }
    for pid in parents.keys() {
        if let Some(n) = frame_of(pid) {
            costs[n].forks += 1;
        }
    }
    for cost in &mut costs {
        let all = cost.programs.len();
        cost.programs.retain(|name| name != "sleep");
        cost.forks -= all - cost.programs.len();
    }
    costs
}

/// What an `apply` of these steps cost, frame by frame.
fn apply(sandbox: &Sandbox, steps: &[&str]) -> Vec<Cost> {
    let mut text = "hosts = \"here\"\n".to_owned();
    for step in steps {
        write!(text, "[[step]]\n{}\n", step.replace('@', DATA)).unwrap();
    }
    sandbox.write("site.toml", &text);
    let inner = sandbox.command(&["apply", "--yes", "--limit", "here", "site.toml"]);
    let log = sandbox.path().join("log");
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-q",
        "-s",
        "64",
        "-e",
        "trace=execve,fork,vfork,clone,clone3",
        "-e",
        "signal=none",
        "-o",
    ]);
    command.arg(&log).arg(inner.get_program()).args(inner.get_args()).current_dir(sandbox.path());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let out = command.stdin(Stdio::null()).output().unwrap();
    assert!(out.status.success(), "{steps:?}: {out:?}");
    frames(&std::fs::read_to_string(log).unwrap())
}

/// A host with what is there before the steps of a kind.
fn prepared(kind: &Kind) -> Sandbox {
    let sandbox = Sandbox::new();
    let data = sandbox.host_state().join("data");
    std::fs::create_dir_all(&data).unwrap();
    let prepared = Command::new("sh").args(["-c", kind.before]).current_dir(&data).status().unwrap();
    assert!(prepared.success());
    if let Ok(blob) = std::fs::read(data.join("blob")) {
        std::fs::write(sandbox.path().join("blob"), blob).unwrap();
    }
    sandbox
}

/// A line for a kind: programs/processes of the frame with the first change of a run, and what the next one costs, which
/// mostly shares that frame, each with its verification; of the frame where one step has nothing to do, and what a second
/// such step adds to that.
fn line(kind: &Kind) -> String {
    let first = apply(&prepared(kind), &kind.steps[..1]);
    let sandbox = prepared(kind);
    let changed = apply(&sandbox, &kind.steps);
    let one = apply(&sandbox, &kind.steps[..1]);
    let two = apply(&sandbox, &kind.steps);
    assert_eq!((one.len(), two.len()), (1, 1), "{}: there is nothing to do", kind.name);
    if std::env::var_os("PROCESSES").is_some() {
        for (n, cost) in first.iter().chain(&changed).chain(&two).enumerate() {
            eprintln!("{} {n}: {} {}", kind.name, cost.told(), cost.programs.join(" "));
        }
    }
    // The process that would start a `sleep` is there or not, too.
    let is_command = kind.name.starts_with("command");
    let told = |(programs, forks): (usize, usize)| {
        if is_command { programs.to_string() } else { format!("{programs}/{forks}") }
    };
    let of = |cost: &Cost| (cost.programs.len(), cost.forks);
    let more = |with: &Cost, without: &Cost| {
        (with.programs.len() - without.programs.len(), with.forks - without.forks)
    };
    // What runs on its own has a frame of its own.
    let next = match (first.get(1), changed.get(1), changed.get(2)) {
        (_, Some(_), Some(next)) if changed.len() > first.len() => told(of(next)),
        (Some(first), Some(both), _) => told(more(both, first)),
        _ => "-".to_owned(),
    };
    let first = first.get(1).map_or("-".to_owned(), |cost| told(of(cost)));
    let (further, one) = (more(&two[0], &one[0]), one[0].told());
    format!(
        "{:<24} {first:>8} {next:>8} {one:>10} {:>8}\n",
        kind.name,
        format!("{}/{}", further.0, further.1)
    )
}

#[test]
fn a_step_costs_its_host_as_many_programs_and_processes_as_written_down() {
    let traces = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    if !can_mount() || !traces.as_ref().is_ok_and(|out| out.status.success()) {
        assert!(
            std::env::var_os("CI").is_none(),
            "this wants root and strace, which tests/setup installs: {traces:?}"
        );
        eprintln!("skipped: this wants root and strace: {traces:?}");
        return;
    }
    let _machine = machine::alone();
    let only = std::env::var("PROCESSES").unwrap_or_default();
    let mut table = format!(
        "{:<24} {:>8} {:>8} {:>10} {:>8}\n",
        "programs/processes", "first", "next", "unchanged", "further"
    );
    for kind in KINDS.iter().filter(|kind| kind.name.starts_with(&only)) {
        table.push_str(&line(kind));
    }
    eprintln!("{table}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/processes/counts.txt");
    if std::env::var_os("UPDATE_CASES").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    if only.is_empty() {
        assert_eq!(written, table, "more may not be; fewer is to be written down: UPDATE_CASES=1");
    }
}
