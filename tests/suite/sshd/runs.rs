//! Whole runs: controllers that are killed, connections that are cut, two of them at once.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::machine;

use super::apart::cut;
use super::server::Server;

/// A server, an inventory of it, and a playbook of one command that must not run twice.
struct Site {
    server: Server,
    _machine: std::fs::File,
}

impl Site {
    fn new(seconds: &str) -> Option<Self> {
        let server = Server::start("", false)?;
        let site = Self { server, _machine: machine::alone() };
        let at = |name: &str| site.server.path(name).display().to_string();
        let inventory = format!(
            "[defaults]\nssh_config = \"{}\"\n[hosts.h]\naddress = \"127.0.0.1\"\nport = {}\n",
            at("ssh_config"),
            site.server.port
        );
        std::fs::create_dir(at("sockets")).unwrap();
        site.write("inventory.toml", &inventory);
        let run = format!("echo x >>{}; sleep {seconds}; echo over", at("counted"));
        let step = format!("[[step]]\nname = \"Count\"\ncommand = {{ run = \"{run}\", always = true }}\n");
        let after = format!("[[step]]\nfile = {{ path = \"{}\", content = \"after\\n\" }}\n", at("after"));
        site.write("site.toml", &format!("title = \"Site\"\nhosts = \"all\"\n{step}{after}"));
        Some(site)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.server.path(name), text).unwrap();
    }

    /// What stands beside the control sockets, and how many masters listen there.
    fn sockets(&self) -> (Vec<String>, usize) {
        let folder = self.server.path("sockets");
        let names =
            std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let of_folder = |process: &std::fs::DirEntry| {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(folder.to_str().unwrap())
        };
        let masters = std::fs::read_dir("/proc").unwrap().flatten().filter(of_folder).count();
        (names.collect(), masters)
    }

    fn counted(&self) -> String {
        std::fs::read_to_string(self.server.path("counted")).unwrap_or_default()
    }

    fn start(&self, line: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_hostwright"))
            .args(line)
            .current_dir(self.server.folder.path())
            .env_remove("HOSTWRIGHT_INVENTORY")
            .env("XDG_RUNTIME_DIR", self.server.path("sockets"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// An apply that has come to the middle of its command.
    fn in_the_middle(&self) -> Child {
        let child = self.start(&["apply", "site.toml", "--yes"]);
        let start = Instant::now();
        while self.counted() != "x\n" {
            assert!(start.elapsed() < Duration::from_secs(15), "{:?}", ended(child));
            std::thread::sleep(Duration::from_millis(10));
        }
        child
    }

    fn run(&self, line: &[&str]) -> (Option<i32>, String) {
        ended(self.start(line))
    }
}

pub(super) fn ended(child: Child) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let said = [stdout, stderr].concat();
    (status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn a_killed_controller_leaves_an_action_that_ends_and_is_not_done_twice() {
    let Some(site) = Site::new("3.23") else { return };
    let mut first = site.in_the_middle();
    first.kill().unwrap();
    first.wait().unwrap();
    let (left, masters) = site.sockets();
    assert_eq!((left.len(), masters), (1, 1), "{left:?}");
    let (code, said) = site.run(&["apply", "site.toml", "--yes", "-vv"]);
    // It has cleared away what the other one has left, and itself.
    assert_eq!(site.sockets(), (Vec::new(), 0));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("whose controller is gone; waiting until this has ended: run echo x"), "{said}");
    assert!(said.contains("over") && said.contains("2 changed"), "{said}");
    assert_eq!(site.counted(), "x\n", "{said}");
    // Its result has been taken: what always runs, runs.
    let (code, said) = site.run(&["apply", "site.toml", "--yes"]);
    assert_eq!((code, site.counted().as_str()), (Some(0), "x\nx\n"), "{said}");
    let (code, said) = site.run(&["runs", "--on", "h"]);
    assert_eq!(code, Some(0));
    assert!(said.contains("No run holds any of these hosts"), "{said}");
}

#[test]
fn a_cut_connection_is_made_again_and_nothing_is_lost() {
    let Some(site) = Site::new("1.24") else { return };
    let apply = site.in_the_middle();
    cut(&site.server);
    let (code, said) = ended(apply);
    assert_eq!(code, Some(0), "{said}");
    for part in ["h  lost ", "h  back ", "2 changed", "1 connection was lost on 1 host and made again"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(site.counted(), "x\n", "{said}");
}

#[test]
fn two_at_once_do_not_meet() {
    let Some(site) = Site::new("14.25") else { return };
    let first = site.in_the_middle();
    let (code, said) = site.run(&["apply", "site.toml", "--yes", "--limit", "h"]);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("Nothing was changed: another run holds the lock."), "{said}");
    assert!(said.contains("h: an apply of ") && said.contains("playbooks site.toml"), "{said}");
    let (_, said) = site.run(&["plan", "site.toml"]);
    assert!(said.contains("locked by an apply of "), "{said}");
    let (code, said) = site.run(&["run", "h", "--", "echo in"]);
    assert!(code == Some(0) && said.contains("locked by an apply of ") && said.contains("in\n"), "{said}");
    let (code, said) = site.run(&["apply", "site.toml", "--yes", "--lock-wait", "60s"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("waiting for it"), "{said}");
    assert_eq!(ended(first).0, Some(0));
    assert_eq!(site.counted(), "x\nx\n");
}

#[test]
fn what_does_not_end_can_be_stopped() {
    let Some(site) = Site::new("65.3") else { return };
    let mut first = site.in_the_middle();
    first.kill().unwrap();
    first.wait().unwrap();
    let (code, said) = site.run(&["runs", "--on", "h", "--format", "json"]);
    assert_eq!(code, Some(0), "{said}");
    let line: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert_eq!(line["actions"][0]["state"], "running", "{said}");
    let run = line["actions"][0]["run"].as_str().unwrap();
    let (code, said) = site.run(&["runs", "--on", "h", "--stop", run]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("ended, code 143"), "{said}");
    assert_eq!(super::running("sleep 65.3"), 0);
    // Who has the lock next clears it away.
    let file = format!("file = {{ path = \"{}\", content = \"\" }}\n", site.server.path("other").display());
    site.write("other.toml", &format!("title = \"Other\"\nhosts = \"all\"\n[[step]]\n{file}"));
    assert_eq!(site.run(&["apply", "other.toml", "--yes"]).0, Some(0));
    let (_, said) = site.run(&["runs", "--on", "h"]);
    assert!(said.contains("No run holds any of these hosts"), "{said}");
    assert_eq!(site.counted(), "x\n", "{said}");
}

/// At how many points of a run something goes wrong; `HW_POINTS` sets another number.
fn points() -> u32 {
    std::env::var("HW_POINTS").ok().and_then(|n| n.parse().ok()).unwrap_or(6)
}

impl Site {
    /// As it was before the first run.
    fn fresh(&self) {
        for name in ["counted", "after"] {
            let _ = std::fs::remove_file(self.server.path(name));
        }
    }

    /// How long an undisturbed apply takes.
    fn measured(&self) -> Duration {
        let start = Instant::now();
        assert_eq!(self.run(&["apply", "site.toml", "--yes"]).0, Some(0));
        start.elapsed()
    }
}

#[test]
fn a_controller_may_be_killed_at_any_point() {
    let Some(site) = Site::new("0.31") else { return };
    let (whole, points) = (site.measured(), points());
    let mut taken_up = 0;
    for n in 0..points {
        site.fresh();
        let mut first = site.start(&["apply", "site.toml", "--yes"]);
        std::thread::sleep(whole * n / points);
        let begun = site.counted() == "x\n";
        first.kill().unwrap();
        let (_, before) = ended(first);
        let (code, said) = site.run(&["apply", "site.toml", "--yes"]);
        assert_eq!(code, Some(0), "point {n}: {before}{said}");
        // Its result was told, and then it began to run anew.
        let told = before.contains("changed    Count");
        assert!(site.counted() == "x\n" || (told && site.counted() == "x\nx\n"), "point {n}: {before}{said}");
        taken_up += u32::from(begun && site.counted() == "x\n");
        assert!(site.server.path("after").exists());
        let (_, said) = site.run(&["runs", "--on", "h"]);
        assert!(said.contains("No run holds any of these hosts"), "point {n}: {said}");
    }
    crate::figures::tell(&format!(
        "killed at {points} points, {taken_up} times with the action under way: nothing twice, nothing left"
    ));
}

#[test]
fn a_connection_may_be_cut_at_any_point() {
    let Some(site) = Site::new("0.32") else { return };
    let (whole, points) = (site.measured(), points());
    let mut again = 0;
    for n in 0..points {
        site.fresh();
        let apply = site.start(&["apply", "site.toml", "--yes"]);
        std::thread::sleep(whole * n / points);
        cut(&site.server);
        let (code, said) = ended(apply);
        let counted = site.counted();
        // Before anything was changed, a host that goes away is unreachable.
        let early = code == Some(4) && counted.is_empty();
        assert!(early || (code == Some(0) && counted == "x\n"), "point {n}: {code:?} {counted:?} {said}");
        again += u32::from(said.contains("and made again"));
    }
    crate::figures::tell(&format!(
        "cut at {points} points, {again} times in the middle of an apply: all went on"
    ));
}

/// Two hosts, each with a lock of its own.
#[test]
fn applies_that_overlap_get_all_locks_or_none() {
    let own = "mkdir -p /run/hostwright; mount -t tmpfs tmpfs /run/hostwright";
    let Some(a) = Server::start_with_mounts(own, "") else { return };
    let Some(b) = Server::start_with_mounts(own, "") else { return };
    let folder = tempfile::tempdir().unwrap();
    let host = |name: &str, server: &Server| {
        let config = server.path("ssh_config");
        format!("[hosts.{name}]\naddress = \"127.0.0.1\"\nport = {}\nssh_config = {config:?}\n", server.port)
    };
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write("ab.toml", host("a", &a) + &host("b", &b));
    write("ba.toml", host("b", &b) + &host("a", &a));
    let log = folder.path().join("log").display().to_string();
    let run = format!("echo in >>{log}; sleep 0.2; echo out >>{log}");
    let step = |hosts: &str| {
        format!(
            "title = \"T\"\nhosts = \"{hosts}\"\n[[step]]\ncommand = {{ run = \"{run}\", always = true }}\n"
        )
    };
    write("one.toml", step("a"));
    write("two.toml", step("b"));
    let start = |inventory: &str, wait: &str| {
        Command::new(env!("CARGO_BIN_EXE_hostwright"))
            .args(["apply", "one.toml", "two.toml", "--yes", "-i", inventory, "--lock-wait", wait])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    for _ in 0..points().min(20) {
        let _ = std::fs::remove_file(&log);
        let both = [start("ab.toml", "5m"), start("ba.toml", "5m")].map(ended);
        for (code, said) in &both {
            assert_eq!(*code, Some(0), "{both:?} {said}");
        }
        // Each in its turn, whole.
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "in\nout\n".repeat(4));
    }
}
