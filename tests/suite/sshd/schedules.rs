//! Random schedules of what goes wrong: controllers that are killed, connections that are cut, hosts that stall, disks that
//! are full, two applies at once. Whatever it was, the next apply comes to an end, and nothing is left.
//!
//! `SCHEDULES=200 cargo test --test suite -- schedules` tries so many; `SCHEDULES_SEED` begins elsewhere.

use std::fmt::Write as _;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::apart::signal;
use super::server::Server;
use crate::fuzz::{Random, number};

/// As long as a schedule lasts, in milliseconds; an apply that nothing disturbs takes less.
const LENGTH: usize = 1500;

/// Two hosts, each with a lock and a small disk of its own, and playbooks for them.
struct Fleet {
    servers: [Server; 2],
    folder: tempfile::TempDir,
    counts: [String; 2],
}

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The controller is killed.
    Kill,
    /// The connections of a host are cut.
    Cut(usize),
    /// A host stalls for so many milliseconds.
    Stall(usize, u64),
    /// Another apply begins.
    Second,
}

/// What an apply runs into from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disk {
    Fine,
    /// The disk of a host is full.
    FullThere(usize),
    /// The controller cannot write its journal.
    FullHere,
}

impl Fleet {
    fn new() -> Option<Self> {
        let own = "for f in /run/hostwright /var/lib/hostwright; do mkdir -p $f && mount -t tmpfs tmpfs $f; done && \
                   mkdir -p \"$1/disk\" && mount -t tmpfs -o size=256k tmpfs \"$1/disk\"";
        let servers = [Server::start_with_mounts(own, "")?, Server::start_with_mounts(own, "")?];
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
        let mut inventory = String::new();
        for (name, server) in ["a", "b"].iter().zip(&servers) {
            let config = server.path("ssh_config").display().to_string();
            let disk = server.path("disk").display().to_string();
            writeln!(inventory, "[hosts.{name}]\naddress = \"127.0.0.1\"\nport = {}", server.port).unwrap();
            writeln!(inventory, "ssh_config = {config:?}\nvars = {{ disk = {disk:?} }}").unwrap();
        }
        write("inventory.toml", inventory);
        std::fs::create_dir(folder.path().join("sockets")).unwrap();
        let head = "title = \"T\"\nhosts = \"*\"\nsilence = { \"always-runs\" = \"it is what is counted\" }\n[[step]]\n";
        // On the disk of the controller, which is never full: what happened has to be known.
        let count = format!("echo x >>{}/count-{{{{ host.name }}}}; sleep 0.3", folder.path().display());
        write(
            "count.toml",
            format!("{head}name = \"Count\"\ncommand = {{ run = \"{count}\", always = true }}\n"),
        );
        let big = "0123456789abcdef\\n".repeat(400);
        write(
            "state.toml",
            format!(
                "{head}name = \"State\"\nfile = {{ path = \"{{{{ vars.disk }}}}/state\", content = \"{big}\" }}\nnotify = \"told\"\n\
                 [[step]]\nname = \"Lines\"\nline = {{ path = \"{{{{ vars.disk }}}}/lines\", line = \"one\", create = true }}\n\
                 [[step]]\nid = \"told\"\nhandler = true\ncommand = {{ run = \"touch {{{{ vars.disk }}}}/told\" }}\n"
            ),
        );
        let counts = ["a", "b"].map(|name| folder.path().join(format!("count-{name}")).display().to_string());
        Some(Self { servers, folder, counts })
    }

    fn command(&self, line: &[&str], full: bool) -> Command {
        // No file that it writes may be larger, and the journal is the only one that would be: as on a full disk.
        let limit = if full { "trap '' XFSZ; ulimit -f 4;" } else { "" };
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{limit} exec \"$@\""), "sh", env!("CARGO_BIN_EXE_hostwright")]);
        command.args(line).current_dir(self.folder.path()).env_remove("HOSTWRIGHT_INVENTORY");
        command.env("XDG_RUNTIME_DIR", self.folder.path().join("sockets"));
        command.env("XDG_STATE_HOME", self.folder.path().join("records"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn apply(&self, disk: Disk) -> Child {
        let line = ["apply", "count.toml", "state.toml", "--yes", "--lock-wait", "2m", "--reconnect", "30s"];
        self.command(&line, disk == Disk::FullHere).spawn().unwrap()
    }

    fn run(&self, line: &[&str]) -> (Option<i32>, String) {
        ended(self.command(line, false).spawn().unwrap())
    }

    /// As it was before the first run.
    fn fresh(&self) {
        for server in &self.servers {
            Self::there(server, "rm -f \"$1\"/*");
        }
        for count in &self.counts {
            let _ = std::fs::remove_file(count);
        }
    }

    /// Runs a command where a server has its mounts.
    fn there(server: &Server, command: &str) {
        let pid = server.pid().to_string();
        let disk = server.path("disk");
        let status = Command::new("nsenter")
            .args(["-t", &pid, "-m", "sh", "-c", command, "sh"])
            .arg(disk)
            .stderr(Stdio::null())
            .status();
        assert!(status.is_ok(), "nsenter (util-linux) is needed");
    }

    fn counted(&self, host: usize) -> usize {
        std::fs::read_to_string(&self.counts[host]).unwrap_or_default().lines().count()
    }
}

fn ended(child: Child) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

/// What is to go wrong, and when, in milliseconds.
fn schedule(random: &mut Random) -> (Disk, Vec<(usize, Fault)>) {
    let disk = match random.below(6) {
        0 => Disk::FullThere(random.below(2)),
        1 => Disk::FullHere,
        _ => Disk::Fine,
    };
    let mut faults: Vec<_> = (0..=random.below(3))
        .map(|_| {
            let fault = match random.below(7) {
                0..=2 => Fault::Kill,
                3 | 4 => Fault::Cut(random.below(2)),
                5 => Fault::Stall(random.below(2), 100 + random.next() % 400),
                _ => Fault::Second,
            };
            (random.below(LENGTH), fault)
        })
        .collect();
    faults.sort_by_key(|(at, _)| *at);
    (disk, faults)
}

/// How often each fault came about.
#[derive(Debug, Default)]
struct Tally {
    kills: usize,
    cuts: usize,
    stalls: usize,
    seconds: usize,
    full: usize,
}

/// Lets a schedule happen. Returns what all applies printed.
fn disturbed(fleet: &Fleet, disk: Disk, faults: &[(usize, Fault)], tally: &mut Tally) -> Vec<String> {
    if let Disk::FullThere(host) = disk {
        Fleet::there(&fleet.servers[host], "head -c 1M /dev/zero >\"$1/full\"");
    }
    tally.full += usize::from(disk != Disk::Fine);
    let start = Instant::now();
    let mut running = vec![fleet.apply(disk)];
    for (at, fault) in faults {
        std::thread::sleep(Duration::from_millis(*at as u64).saturating_sub(start.elapsed()));
        match *fault {
            Fault::Kill => {
                for child in &mut running {
                    tally.kills += usize::from(child.try_wait().unwrap().is_none());
                    child.kill().unwrap();
                }
            }
            Fault::Cut(host) => {
                tally.cuts += 1;
                signal(&fleet.servers[host], Signal::KILL);
            }
            Fault::Stall(host, for_ms) => {
                tally.stalls += 1;
                signal(&fleet.servers[host], Signal::STOP);
                std::thread::sleep(Duration::from_millis(for_ms));
                signal(&fleet.servers[host], Signal::CONT);
            }
            Fault::Second => {
                tally.seconds += 1;
                running.push(fleet.apply(Disk::Fine));
            }
        }
    }
    let said = running.into_iter().map(|child| ended(child).1).collect();
    if let Disk::FullThere(host) = disk {
        Fleet::there(&fleet.servers[host], "rm -f \"$1/full\"");
    }
    said
}

#[test]
fn whatever_goes_wrong_the_next_apply_comes_to_an_end_and_nothing_is_left() {
    let Some(fleet) = Fleet::new() else { return };
    let mut random = Random(number("SCHEDULES_SEED").unwrap_or(0x9E37_79B9_7F4A_7C15) | 1);
    let schedules = number("SCHEDULES").unwrap_or(8);
    let mut tally = Tally::default();
    for n in 0..schedules {
        let seed = random.0;
        let (disk, faults) = schedule(&mut random);
        let about = format!("schedule {n}, SCHEDULES_SEED={seed}: {disk:?}, {faults:?}");
        fleet.fresh();
        let mut said = disturbed(&fleet, disk, &faults, &mut tally);
        let (code, last) = ended(fleet.apply(Disk::Fine));
        let kills = faults.iter().any(|(_, fault)| matches!(fault, Fault::Kill));
        if disk == Disk::FullHere && !kills {
            assert!(said[0].contains("the journal is not written any more"), "{about}: {said:#?}");
        }
        said.push(last);
        assert_eq!(code, Some(0), "{about}: {said:#?}");

        // It converges: what is to be a state is one, and no handler is due.
        let (code, plan) = fleet.run(&["plan", "state.toml"]);
        assert_eq!(code, Some(0), "{about}: {plan}{said:#?}");
        // What must not run twice ran at most as often as an apply was told that it did, and one that was cut off before it
        // could tell: its result is for the next one.
        for (host, name) in ["a", "b"].iter().enumerate() {
            let word = format!("{name}  changed    Count");
            let told = said.iter().filter(|text| text.contains(&word)).count();
            let counted = fleet.counted(host);
            assert!(
                (1..=told).contains(&counted),
                "{about}: {name} counts {counted}, told {told}: {said:#?}"
            );
        }
        // Nobody holds or runs anything, here or there.
        let (_, runs) = fleet.run(&["runs", "--on", "*"]);
        assert!(runs.contains("No run holds any of these hosts"), "{about}: {runs}");
        let (_, left) = fleet.run(&["run", "*", "--", "ls -A /run/hostwright/runs 2>/dev/null; true"]);
        assert!(!left.contains("Z-"), "{about}: {left}");
        let sockets: Vec<_> = std::fs::read_dir(fleet.folder.path().join("sockets")).unwrap().collect();
        assert!(sockets.is_empty(), "{about}: {sockets:?}");
    }
    // Who was killed is on record as such, and nobody else.
    let (_, killed) = fleet.run(&["history", "--state", "killed", "--limit", "100000", "--format", "json"]);
    // A journal that could not be written to its end says no more than one of a controller that was killed.
    let most = tally.kills + tally.full;
    assert!(killed.lines().count() <= most, "{} killed, {tally:?}", killed.lines().count());
    crate::figures::tell(&format!(
        "{schedules} schedules, {tally:?}: each time the next apply came to an end, and nothing was left"
    ));
}
