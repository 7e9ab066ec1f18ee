//! The lab and the binary under test, as a user drives them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// The inventory of the lab's four hosts.
pub const INVENTORY: &str = "tests/lab/inventory.toml";
/// What the inventory's passwords contain; it must never be printed.
pub const PASSWORD: &str = "correct-horse-battery";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn script() -> PathBuf {
    root().join("tests/lab/lab")
}

/// The lab's own command, for those that a step runs: these see nothing of our environment, which says what lab it is.
pub fn lab_script() -> String {
    let ours = |(name, value): (String, String)| {
        let ours = name.starts_with("LAB_") || matches!(name.as_str(), "XDG_CACHE_HOME" | "HOME");
        ours.then(|| format!("{name}={value}"))
    };
    let settings: Vec<String> = std::env::vars().filter_map(ours).collect();
    format!("env {} {}", settings.join(" "), script().display())
}

/// Whether the lab can be used here.
pub fn available() -> Result<(), String> {
    let id = Command::new("id").arg("-u").output().map_err(|e| e.to_string())?;
    if id.stdout != b"0\n" {
        return Err("the lab needs root".into());
    }
    let built = Command::new(script()).arg("is-built").stderr(Stdio::null()).status();
    if built.is_ok_and(|s| s.success()) {
        Ok(())
    } else {
        Err("nothing is built yet: run tests/lab/lab build".into())
    }
}

/// Runs a command of the lab, which must succeed.
pub fn lab(args: &[&str]) -> String {
    let out = Command::new(script()).args(args).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success(),
        "lab {args:?}: {}\n{text}{}",
        out.status,
        String::from_utf8_lossy(&out.stderr)
    );
    text
}

/// Runs a shell command on a host by plain ssh, as a user checks what was done.
pub fn on(host: &str, command: &str) -> String {
    lab(&["ssh", host, command]).trim_end().to_owned()
}

/// Brings a program to a host.
pub fn bring(host: &str, program: &str, path: &str) {
    let file = std::fs::File::open(program).unwrap();
    let command = format!("cat >{path} && chmod 755 {path}");
    let status = Command::new(script()).args(["ssh", host, &command]).stdin(file).status().unwrap();
    assert!(status.success(), "cannot bring {program} to {host}");
}

/// What a run of the binary came to.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Its events.
    pub fn events(&self) -> Vec<Value> {
        self.stdout.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
    }

    /// The plan: `(playbook, step, host)` and what is forecast (`change`, `unchanged`, `skipped` ...).
    pub fn planned(&self) -> Vec<(String, String)> {
        self.events()
            .iter()
            .filter(|e| e["event"] == "planned")
            .map(|e| (key(e), e["forecast"]["forecast"].as_str().unwrap().to_owned()))
            .collect()
    }

    /// The steps that the plan would change, as `host step`.
    pub fn to_change(&self) -> Vec<String> {
        let mut changes: Vec<_> =
            self.planned().into_iter().filter(|(_, f)| f == "change").map(|(key, _)| key).collect();
        changes.sort();
        changes
    }

    /// How the steps ended: `(playbook, step, host)` and the outcome.
    pub fn finished(&self) -> Vec<(String, String)> {
        self.events()
            .iter()
            .filter(|e| e["event"] == "step_finished")
            .map(|e| (key(e), e["outcome"].as_str().unwrap().to_owned()))
            .collect()
    }

    /// The steps that were changed, as `host step`.
    pub fn changed(&self) -> Vec<String> {
        let mut changes: Vec<_> =
            self.finished().into_iter().filter(|(_, o)| o == "changed").map(|(key, _)| key).collect();
        changes.sort();
        changes
    }

    /// Asserts that nothing was changed, showing what was.
    #[track_caller]
    pub fn changes_nothing(&self) {
        let of = |e: &&serde_json::Value| e["event"] == "step_finished" && e["outcome"] == "changed";
        let changed: Vec<String> = self.events().iter().filter(of).map(ToString::to_string).collect();
        assert!(changed.is_empty(), "{changed:#?}");
    }

    /// Asserts the exit code, showing all output if it is another.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\nstdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Asserts that what was printed contains `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        let all = format!("{}{}", self.stdout, self.stderr);
        assert!(all.contains(text), "{text:?} is not in:\n{all}");
        self
    }

    /// Asserts that what was printed does not contain `text`.
    #[track_caller]
    pub fn never_says(self, text: &str) -> Self {
        let all = format!("{}{}", self.stdout, self.stderr);
        assert!(!all.contains(text), "{text:?} is in:\n{all}");
        self
    }
}

fn key(event: &Value) -> String {
    let word = |name: &str| event[name].as_str().unwrap().to_owned();
    format!("{} {}", word("host"), word("step"))
}

/// Waits until `true`, and panics after some minutes: a lab on a busy machine is slow.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..240 {
        if holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    panic!("this never came about: {what}");
}

/// Runs the binary inside the lab's network with the lab's inventory.
pub fn hostwright(args: &[&str]) -> Ran {
    with_inventory(INVENTORY, args)
}

/// As [`hostwright`], with events on standard output.
pub fn json(args: &[&str]) -> Ran {
    let mut all = args.to_vec();
    all.extend(["--format", "json"]);
    hostwright(&all)
}

/// As [`hostwright`], with another inventory.
pub fn with_inventory(inventory: &str, args: &[&str]) -> Ran {
    start(inventory, args).ended()
}

/// As [`with_inventory`], with another configuration of ssh.
pub fn with_ssh_config(config: &str, inventory: &str, args: &[&str]) -> Ran {
    started(config, inventory, args).ended()
}

/// Where the runs of this lab are recorded: another lab may be at work at the same time.
fn state() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("e2e-{}", std::process::id()))
}

/// Runs the binary inside the lab's network, with these words alone.
pub fn alone(args: &[&str]) -> Ran {
    running(Command::new(script()).args(["exec", env!("CARGO_BIN_EXE_hostwright")]).args(args)).ended()
}

/// A run of the binary that goes on.
pub struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What it has printed so far.
    seen: String,
}

/// Starts what [`with_inventory`] runs.
pub fn start(inventory: &str, args: &[&str]) -> Running {
    started(lab(&["ssh-config"]).trim(), inventory, args)
}

fn started(config: &str, inventory: &str, args: &[&str]) -> Running {
    let mut command = Command::new(script());
    command.args(["exec", env!("CARGO_BIN_EXE_hostwright")]).args(args).args(["-i", inventory]);
    if args[0] != "check" {
        command.args(["--ssh-config", config]);
    }
    running(&mut command)
}

fn running(command: &mut Command) -> Running {
    command.env("XDG_STATE_HOME", state());
    // As users have it: what an earlier run has left is taken over.
    command.env_remove("HOSTWRIGHT_KEEP");
    command.env("REDIS_PASSWORD", PASSWORD).env("PORTAINER_PASSWORD", format!("staple-{PASSWORD}"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.current_dir(root()).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    Running { child, stdout, seen: String::new() }
}

impl Running {
    /// Presses Ctrl-C, and gives the program time to see it before the next.
    pub fn interrupt(&self) {
        // `lab exec` becomes the program, so that it has the id of the child.
        let status = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
        std::thread::sleep(std::time::Duration::from_secs(1));
    }

    /// Reads its events until one is as wanted; `false` if it ends before.
    pub fn reaches(&mut self, wanted: impl Fn(&Value) -> bool) -> bool {
        loop {
            let start = self.seen.len();
            if self.stdout.read_line(&mut self.seen).unwrap() == 0 {
                return false;
            }
            if wanted(&serde_json::from_str(&self.seen[start..]).unwrap()) {
                return true;
            }
        }
    }

    /// Kills it, so that it can do nothing any more.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Ran {
        let mut stderr = self.child.stderr.take().unwrap();
        // Both at the same time: either may be more than a pipe holds.
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            stderr.read_to_end(&mut text).unwrap();
            String::from_utf8_lossy(&text).into_owned()
        });
        let mut rest = Vec::new();
        self.stdout.read_to_end(&mut rest).unwrap();
        Ran {
            code: self.child.wait().unwrap().code().unwrap_or(-1),
            stdout: self.seen + &String::from_utf8_lossy(&rest),
            stderr: errors.join().unwrap(),
        }
    }
}

/// A playbook or inventory that is only needed here.
pub fn temporary(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// Asserts that each step of the plan ended as was forecast: the plan told the truth.
#[track_caller]
pub fn same(plan: &Ran, apply: &Ran) {
    let mut differences = Vec::new();
    let ended = apply.finished();
    for (step, forecast) in plan.planned() {
        let wanted = match forecast.as_str() {
            "change" => "changed",
            "unchanged" => "unchanged",
            "skipped" => "skipped",
            other => panic!("{step}: the plan says {other}"),
        };
        match ended.iter().find(|(s, _)| *s == step) {
            Some((_, outcome)) if outcome == wanted => {}
            Some((_, outcome)) => differences.push(format!("{step}: planned {forecast}, but {outcome}")),
            None => differences.push(format!("{step}: planned {forecast}, but it never ended")),
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
}

/// Runs a command where the hosts can be reached: whether it succeeded, and what it printed.
pub fn inside(command: &[&str]) -> (bool, String) {
    let out = Command::new(script()).arg("exec").args(command).stdin(Stdio::null()).output().unwrap();
    (out.status.success(), String::from_utf8_lossy(&out.stdout).into_owned())
}
