//! A run with nothing to do over real ssh, against one `ssh host 'sh -s' < script` for each host that asks the same.
//!
//! `cargo bench --bench ssh`, as root. Fails when the binary takes more than 1.5 times as long as the script, needs
//! more than 30 MB at 50 hosts, or asks a host more than twice. Both use the same options of ssh and open as many
//! connections at once. What is measured alternates (ABC, CBA, ...), and a ratio is the median of those within the
//! rounds: so other work on the machine hits all of them alike.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::exit, reason = "a program of its own")]
#![allow(unreachable_pub, missing_debug_implementations, reason = "a program of its own")]

#[path = "ssh/servers.rs"]
mod servers;
#[path = "ssh/steps.rs"]
mod steps;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hostwright::engine::{Cancel, Engine};
use hostwright::transport::{Settings, System};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use servers::Fleet;

const SIZES: [usize; 3] = [1, 10, 50];
const FORKS: usize = 20;
const MOST_TIME: f64 = 1.5;
const MOST_MEMORY: f64 = 30.0;
const MOST_EXCHANGES: u64 = 2;
/// In which `/proc/PID/stat` counts, for a second (`USER_HZ`, 100 on all that Linux runs on but Alpha).
const TICKS: f64 = 100.0;

fn main() {
    assert!(rustix::process::geteuid().is_root(), "the benchmark logs in to this machine: run it as root");
    let fleet = Fleet::start(SIZES[SIZES.len() - 1]);
    let first = fleet.hostwright("apply", SIZES[SIZES.len() - 1], "ssh_config");
    assert_eq!(first.code, Some(0), "{}", first.printed);
    sees_what_differs(&fleet);

    println!("Nothing to do, {} steps, {FORKS} connections at once, {}", steps::COUNT, machine());
    let mut failed = false;
    for config in ["ssh_config", "ssh_config.fast"] {
        let what = if config == "ssh_config" { "ssh as it is" } else { "KexAlgorithms=curve25519-sha256" };
        println!("\n{what}");
        println!(
            "{:>5}  {:<8} {:>8} {:>7} {:>12} {:>12} {:>8} {:>9}",
            "hosts", "", "seconds", "ratio", "CPU s/host", "own CPU s", "peak MB", "exchanges"
        );
        for size in SIZES {
            failed |= !compare(&fleet, size, config);
        }
    }
    if failed {
        println!(
            "\nFAILED: wanted at most {MOST_TIME} times, {MOST_MEMORY} MB and {MOST_EXCHANGES} exchanges"
        );
        drop(fleet);
        std::process::exit(1);
    }
}

/// Measures the script, a plan and an apply at this size; prints a line for each. Returns whether all is well.
fn compare(fleet: &Fleet, size: usize, config: &str) -> bool {
    let rounds = if size == 1 { 11 } else { 5 };
    let mut runs: BTreeMap<&str, Vec<Run>> = BTreeMap::new();
    let mut order = ["script", "plan", "apply"];
    for _ in 0..rounds {
        for what in order {
            let run = if what == "script" {
                fleet.by_hand(size, config)
            } else {
                let run = fleet.hostwright(what, size, config);
                assert_eq!(run.code, Some(0), "there must be nothing to do:\n{}", run.printed);
                run
            };
            runs.entry(what).or_default().push(run);
        }
        order.reverse();
    }
    let mut well = true;
    for what in ["script", "plan", "apply"] {
        let seconds = |run: &Run| run.wall.as_secs_f64();
        let ratio = median(runs[what].iter().zip(&runs["script"]).map(|(a, b)| seconds(a) / seconds(b)));
        let cpu = median(runs[what].iter().map(|run| run.cpu)) / f64::from(u32::try_from(size).unwrap());
        print!(
            "{size:>5}  {what:<8} {:>8.2} {ratio:>7.2} {cpu:>12.3}",
            median(runs[what].iter().map(seconds))
        );
        if what == "script" {
            println!();
            continue;
        }
        let own = median(runs[what].iter().map(|run| run.own_cpu));
        let (peak, exchanges) = (fleet.peak(what, size, config), fleet.exchanges(size));
        println!(" {own:>12.2} {peak:>8.1} {exchanges:>9}");
        well &= ratio <= MOST_TIME && peak <= MOST_MEMORY && exchanges <= MOST_EXCHANGES;
    }
    well
}

/// One measured run.
struct Run {
    wall: Duration,
    /// Processor seconds on the controller: the process itself and the `ssh`s that it waited for.
    cpu: f64,
    /// Of these, the process itself.
    own_cpu: f64,
    code: Option<i32>,
    printed: String,
}

impl Fleet {
    /// The binary on the first `size` hosts.
    fn hostwright(&self, command: &str, size: usize, config: &str) -> Run {
        let before = waited_for();
        let start = Instant::now();
        let child = self.start_hostwright(command, size, config);
        let pid = Pid::from_child(&child);
        // Not reaped yet, so that what it used can still be read.
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        let wall = start.elapsed();
        let own_cpu = times(&format!("/proc/{pid}/stat"))[0];
        let output = child.wait_with_output().unwrap();
        Run {
            wall,
            cpu: waited_for() - before,
            own_cpu,
            code: output.status.code(),
            printed: printed(&output),
        }
    }

    fn start_hostwright(&self, command: &str, size: usize, config: &str) -> std::process::Child {
        let mut hostwright = Command::new(env!("CARGO_BIN_EXE_hostwright"));
        hostwright.arg(command).arg("-i").arg(self.path(&format!("inventory-{size}.toml")));
        hostwright.arg("--ssh-config").arg(self.path(config)).args(["--forks", &FORKS.to_string()]);
        if command == "apply" {
            hostwright.arg("--yes");
        }
        hostwright.arg(self.path("playbook.toml"));
        let pipe = || fs::File::create(self.path("printed")).unwrap();
        hostwright.stdin(Stdio::null()).stdout(pipe()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The scripts on the first `size` hosts, each over a connection of its own.
    fn by_hand(&self, size: usize, config: &str) -> Run {
        let before = waited_for();
        let start = Instant::now();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..FORKS.min(size) {
                scope.spawn(|| {
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= size {
                            break;
                        }
                        let text = printed(&self.script(n, config));
                        assert_eq!(text.matches("ok ").count(), steps::COUNT, "{text}");
                    }
                });
            }
        });
        let wall = start.elapsed();
        Run { wall, cpu: waited_for() - before, own_cpu: 0.0, code: Some(0), printed: String::new() }
    }

    fn script(&self, n: usize, config: &str) -> Output {
        Command::new("ssh")
            .arg("-T")
            .arg("-F")
            .arg(self.path(config))
            .args(["-p", &self.port(n).to_string(), "127.0.0.1", "sh -s"])
            .stdin(fs::File::open(self.path(&format!("by-hand-{n}.sh"))).unwrap())
            .output()
            .unwrap()
    }

    /// The most memory that the process itself had, in MB; taken in a run of its own, for looking takes time.
    fn peak(&self, command: &str, size: usize, config: &str) -> f64 {
        let mut child = self.start_hostwright(command, size, config);
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0.0f64;
        while child.try_wait().unwrap().is_none() {
            let text = fs::read_to_string(&status).unwrap_or_default();
            if let Some(line) = text.lines().find_map(|l| l.strip_prefix("VmHWM:")) {
                peak = peak.max(line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(peak > 0.0, "the process was never seen");
        peak
    }

    /// The exchanges with the host that needed most of them, as the engine counts them.
    fn exchanges(&self, size: usize) -> u64 {
        let options = hostwright::config::Options {
            inventory: self.path(&format!("inventory-{size}.toml")),
            playbooks: vec![self.path("playbook.toml")],
            ssh_config: Some(self.path("ssh_config")),
            ..Default::default()
        };
        let environment: Arc<dyn hostwright::config::Environment> =
            Arc::new(hostwright::cli::environment::Controller);
        let loaded = hostwright::config::load(&options, &environment);
        let run = loaded.run.expect("the binary reads the same files");
        let (events, mut shown) = tokio::sync::mpsc::channel(1024);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async move {
            tokio::spawn(async move { while shown.recv().await.is_some() {} });
            let connector = Arc::new(System::new(Settings { run_id: "bench".into(), ..Settings::default() }));
            let mode = hostwright::event::Mode::Apply;
            let options = hostwright::engine::Options::default();
            let (_trigger, cancel) = Cancel::new();
            let mut engine =
                Engine::new(run, mode, options, connector, loaded.redactor, events, cancel).await;
            engine.gather().await;
            engine.plan().await;
            engine.apply().await;
            let exchanges = engine.exchanges().await;
            let summary = engine.finish().await;
            assert_eq!(summary.total.unchanged, size * steps::COUNT);
            exchanges.into_iter().max().unwrap_or_default()
        })
    }
}

/// A script that looks away, or a plan that does, would be quick: one difference of each sort must be seen by both.
fn sees_what_differs(fleet: &Fleet) {
    let base = fleet.base(0);
    let plan = |codes: &[i32]| {
        let run = fleet.hostwright("plan", 1, "ssh_config");
        assert!(run.code.is_some_and(|code| codes.contains(&code)), "{:?}\n{}", run.code, run.printed);
        printed(&fleet.script(0, "ssh_config")).matches("differs ").count()
    };
    assert_eq!(plan(&[0]), 0);
    for path in ["etc/motd", "srv/blob", "etc/hosts", "srv/unpacked"] {
        let (path, kept) = (base.join(path), base.join("kept"));
        fs::copy(&path, &kept).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(bytes.len() / 2);
        if bytes.is_empty() {
            fs::remove_file(&path).unwrap();
        } else {
            fs::write(&path, bytes).unwrap();
        }
        assert!(plan(&[2, 1]) > 0, "{}", path.display());
        // Mode and owner stay what they were.
        fs::copy(&kept, &path).unwrap();
        fs::remove_file(&kept).unwrap();
    }
    assert_eq!(plan(&[0]), 0);
}

/// Processor seconds of the children that were waited for, theirs included.
fn waited_for() -> f64 {
    times("/proc/self/stat")[1]
}

/// Of a process: its own processor seconds, and those of the children that it waited for (proc(5)).
fn times(stat: &str) -> [f64; 2] {
    let text = fs::read_to_string(stat).unwrap();
    // The name in brackets may hold blanks.
    let words: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let tick = |n: usize| words[n].parse::<f64>().unwrap() / TICKS;
    [tick(11) + tick(12), tick(13) + tick(14)]
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn printed(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat()
}

fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let version = Command::new("ssh").arg("-V").output().unwrap();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    format!("{processors} processors with a load of {load}, {}", printed(&version).trim())
}
