//! Runs over real ssh, against one `ssh host 'sh -s' < script` for each host that asks and does the same.
//!
//! `cargo bench --bench ssh`, as root; `-- fresh` measures only what has that word in its name. Fails when a ratio is above
//! what is wanted, when the binary needs more than 30 MB at 50 hosts, or asks a host more often than it should. Both sides use
//! the same options of ssh and open as many connections at once. What is measured alternates (ABC, CBA, ...), and a ratio is
//! the median of those within the rounds: so other work on the machine hits all of them alike.

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

const MOST_HOSTS: usize = 50;
const FORKS: usize = 20;
const MOST_MEMORY: f64 = 30.0;
/// In which `/proc/PID/stat` counts, for a second (`USER_HZ`, 100 on all that Linux runs on but Alpha).
const TICKS: f64 = 100.0;

/// What is compared: the first is the measure.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    /// `script`, `plan` or `apply`.
    command: &'static str,
    /// Over a connection that is open already.
    open: bool,
    /// The most that is wanted of its ratio.
    most: f64,
}

/// A table of measurements.
struct Table {
    name: &'static str,
    /// Hosts that nothing was done to yet, each time.
    fresh: bool,
    config: &'static str,
    ways: &'static [Way],
    /// Hosts, and how far away they are.
    rows: &'static [(usize, u64)],
}

const fn way(name: &'static str, command: &'static str, open: bool, most: f64) -> Way {
    Way { name, command, open, most }
}

const ROWS: &[(usize, u64)] = &[(1, 0), (10, 0), (50, 0), (10, 20), (10, 100)];

const TABLES: &[Table] = &[
    Table {
        name: "nothing to do",
        fresh: false,
        config: "ssh_config",
        ways: &[
            way("script", "script", false, 1.0),
            way("plan", "plan", false, 1.15),
            way("apply", "apply", false, 1.15),
        ],
        rows: ROWS,
    },
    Table {
        name: "nothing to do, KexAlgorithms=curve25519-sha256",
        fresh: false,
        config: "ssh_config.fast",
        ways: &[way("script", "script", false, 1.0), way("plan", "plan", false, 1.3)],
        rows: &[(1, 0), (10, 0), (50, 0)],
    },
    Table {
        name: "nothing to do, connections open",
        fresh: false,
        config: "ssh_config.open",
        ways: &[
            way("script", "script", true, 1.0),
            way("plan", "plan", true, 1.25),
            way("apply", "apply", true, 1.25),
        ],
        rows: ROWS,
    },
    Table {
        name: "fresh hosts",
        fresh: true,
        config: "ssh_config",
        ways: &[
            way("script", "script", false, 1.0),
            way("plan", "plan", false, 1.15),
            way("apply", "apply", false, 1.3),
        ],
        rows: ROWS,
    },
];

fn main() {
    assert!(rustix::process::geteuid().is_root(), "the benchmark logs in to this machine: run it as root");
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let fleet = Fleet::start(MOST_HOSTS);
    let (first, _) = fleet.exchanges(MOST_HOSTS, steps::COUNT - 4);
    let (second, unchanged) = fleet.exchanges(MOST_HOSTS, 0);
    println!("Exchanges with a host: {first} when it is fresh, {second} when there is nothing to do");
    assert!(first <= 5 && second == 1 && unchanged == MOST_HOSTS * steps::COUNT);
    sees_what_differs(&fleet);

    println!("{} steps, {FORKS} connections at once, {}", steps::COUNT, machine());
    let mut missed = Vec::new();
    for table in TABLES {
        if !wanted.is_empty() && !wanted.iter().any(|word| table.name.contains(word.as_str())) {
            continue;
        }
        println!("\n{}", table.name);
        println!(
            "{:>5} {:>6}  {:<8} {:>8} {:>7} {:>7} {:>12} {:>12} {:>12}",
            "hosts", "ms", "", "seconds", "ratio", "wanted", "CPU s/host", "host CPU s", "own CPU s"
        );
        for &(size, away) in table.rows {
            missed.extend(compare(&fleet, table, size, away));
        }
    }
    let peak = fleet.peak("plan", MOST_HOSTS);
    println!("\nThe process itself had {peak:.1} MB at {MOST_HOSTS} hosts at most.");
    if peak > MOST_MEMORY {
        missed.push(format!("{MOST_MEMORY} MB"));
    }
    if !missed.is_empty() {
        println!("\nMISSED: {}", missed.join("; "));
        drop(fleet);
        std::process::exit(1);
    }
}

/// Measures all ways of a table at this size; prints a line for each. Returns what is above what is wanted.
fn compare(fleet: &Fleet, table: &Table, size: usize, away: u64) -> Vec<String> {
    let rounds = if size == 1 { 11 } else { 5 };
    let mut runs: BTreeMap<&str, Vec<Run>> = BTreeMap::new();
    let mut order = table.ways.to_vec();
    if table.fresh {
        fleet.freshen(size);
    }
    // Opens what is to be open, and shows that there is nothing to do.
    if !table.fresh {
        for way in table.ways {
            fleet.go(way, table, size, away);
        }
    }
    for _ in 0..rounds {
        for way in &order {
            if table.fresh {
                fleet.freshen(size);
            }
            runs.entry(way.name).or_default().push(fleet.go(way, table, size, away));
        }
        order.reverse();
    }
    if table.fresh {
        // For the tables behind it.
        fleet.go(&way("apply", "apply", false, 1.0), table, size, away);
    }
    let hosts = f64::from(u32::try_from(size).unwrap());
    let mut missed = Vec::new();
    for way in table.ways {
        let seconds = |run: &Run| run.wall.as_secs_f64();
        let runs_of = &runs[way.name];
        let ratio =
            median(runs_of.iter().zip(&runs[table.ways[0].name]).map(|(a, b)| seconds(a) / seconds(b)));
        let each = |of: fn(&Run) -> f64| median(runs_of.iter().map(of)) / hosts;
        println!(
            "{size:>5} {away:>6}  {:<8} {:>8.2} {ratio:>7.2} {:>7.2} {:>12.3} {:>12.3} {:>12.2}",
            way.name,
            median(runs_of.iter().map(seconds)),
            way.most,
            each(|run| run.cpu),
            each(|run| run.host_cpu),
            median(runs_of.iter().map(|run| run.own_cpu)),
        );
        if ratio > way.most + 0.005 {
            missed.push(format!("{}, {} at {size} hosts, {away} ms: {ratio:.2}", table.name, way.name));
        }
    }
    missed
}

/// One measured run.
struct Run {
    wall: Duration,
    /// Processor seconds on the controller: the process itself and the `ssh`s that it waited for.
    cpu: f64,
    /// Of these, the process itself.
    own_cpu: f64,
    /// Processor seconds of everything else on the machine: the hosts, where nothing else is at work.
    host_cpu: f64,
    code: Option<i32>,
    printed: String,
}

impl Fleet {
    /// One run of what is compared, which must do all that there is to do.
    fn go(&self, way: &Way, table: &Table, size: usize, away: u64) -> Run {
        if way.command == "script" {
            return self.by_hand(size, away, table.config, if table.fresh { "mend" } else { "ask" });
        }
        let run = self.hostwright(way, size, away, table.config);
        let code = if table.fresh && way.command == "plan" { 2 } else { 0 };
        assert_eq!(run.code, Some(code), "{}:\n{}", way.name, run.printed);
        run
    }

    /// The binary on the first `size` hosts.
    fn hostwright(&self, way: &Way, size: usize, away: u64, config: &str) -> Run {
        let (before, machine) = (waited_for(), busy());
        let start = Instant::now();
        let child = self.start_hostwright(way, size, away, config);
        let pid = Pid::from_child(&child);
        // Not reaped yet, so that what it used can still be read.
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        let wall = start.elapsed();
        let own_cpu = times(&format!("/proc/{pid}/stat"))[0];
        let output = child.wait_with_output().unwrap();
        let cpu = waited_for() - before;
        Run {
            wall,
            cpu,
            own_cpu,
            host_cpu: busy() - machine - cpu,
            code: output.status.code(),
            printed: printed(&output),
        }
    }

    fn start_hostwright(&self, way: &Way, size: usize, away: u64, config: &str) -> std::process::Child {
        let mut hostwright = Command::new(env!("CARGO_BIN_EXE_hostwright"));
        hostwright.arg(way.command).arg("-i").arg(self.path(&format!("inventory-{size}-{away}.toml")));
        // It has a place of its own for what is open.
        let config = if way.open { "ssh_config" } else { config };
        hostwright.arg("--ssh-config").arg(self.path(config)).args(["--forks", &FORKS.to_string()]);
        hostwright
            .args(["--keep", if way.open { "60" } else { "0" }])
            .env("XDG_RUNTIME_DIR", self.path("runtime"));
        if way.command == "apply" {
            hostwright.arg("--yes");
        }
        hostwright.arg(self.path("playbook.toml"));
        let pipe = || fs::File::create(self.path("printed")).unwrap();
        hostwright.stdin(Stdio::null()).stdout(pipe()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The scripts on the first `size` hosts, each over a connection of its own.
    fn by_hand(&self, size: usize, away: u64, config: &str, script: &str) -> Run {
        let (before, machine) = (waited_for(), busy());
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
                        let text = printed(&self.script(n, away, config, script));
                        let right = text.matches("ok ").count() + text.matches("done ").count();
                        assert_eq!(right, steps::COUNT, "{text}");
                    }
                });
            }
        });
        let wall = start.elapsed();
        let cpu = waited_for() - before;
        let host_cpu = busy() - machine - cpu;
        Run { wall, cpu, own_cpu: 0.0, host_cpu, code: Some(0), printed: String::new() }
    }

    fn script(&self, n: usize, away: u64, config: &str, script: &str) -> Output {
        Command::new("ssh")
            .arg("-T")
            .arg("-F")
            .arg(self.path(config))
            .args(["-p", &self.port(n, away).to_string(), "127.0.0.1", "sh -s"])
            .stdin(fs::File::open(self.path(&format!("{script}-{n}.sh"))).unwrap())
            // A master that stays keeps it open.
            .stderr(Stdio::null())
            .output()
            .unwrap()
    }

    /// The most memory that the process itself had, in MB; taken in a run of its own, for looking takes time.
    fn peak(&self, command: &'static str, size: usize) -> f64 {
        let mut child = self.start_hostwright(&way("", command, false, 1.0), size, 0, "ssh_config");
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

    /// The exchanges of an apply with the host that needed most of them, as the engine counts them, and how many steps were
    /// left alone. On each host so many steps are to be changed.
    fn exchanges(&self, size: usize, changed: usize) -> (u64, usize) {
        let options = hostwright::config::Options {
            inventory: self.path(&format!("inventory-{size}-0.toml")),
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
            assert_eq!(summary.total.changed, size * changed);
            (exchanges.into_iter().max().unwrap_or_default(), summary.total.unchanged)
        })
    }
}

/// A script that looks away, or a plan that does, would be quick: one difference of each sort must be seen by both.
fn sees_what_differs(fleet: &Fleet) {
    let base = fleet.base(0);
    let plan = |codes: &[i32]| {
        let run = fleet.hostwright(&way("", "plan", false, 1.0), 1, 0, "ssh_config");
        assert!(run.code.is_some_and(|code| codes.contains(&code)), "{:?}\n{}", run.code, run.printed);
        printed(&fleet.script(0, 0, "ssh_config", "ask")).matches("differs ").count()
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

/// Processor seconds that the whole machine was busy (proc(5): user, nice, system, irq, softirq).
fn busy() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap();
    let words = text.lines().next().unwrap().split_whitespace().skip(1);
    let ticks: Vec<f64> = words.map(|word| word.parse().unwrap()).collect();
    [0, 1, 2, 5, 6].iter().map(|&n| ticks[n]).sum::<f64>() / TICKS
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
