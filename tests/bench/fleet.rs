//! Ten thousand simulated hosts with twenty steps each through the whole engine: is it linear, how much memory?
//!
//! `cargo bench --bench fleet`. Fails when the time for each host grows with the number of hosts, or when the
//! process needs more than 1.5 GB. Each size runs in a process of its own, so that the peaks are its own.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::exit, reason = "a program of its own")]
#![allow(unreachable_pub, missing_debug_implementations, dead_code, reason = "shared with the tests")]

#[path = "../suite/engine/toy.rs"]
mod toy;

use std::process::Command;
use std::time::Instant;

use toy::{Fleet, want};

const STEPS: usize = 20;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(n) = args.iter().find_map(|a| a.strip_prefix("--hosts=")) {
        one(n.parse().unwrap());
        return;
    }
    println!("{:>8} {:>8} {:>10} {:>14} {:>9}", "hosts", "steps", "seconds", "ms for a host", "peak MB");
    let mut each = Vec::new();
    let mut peak = 0.0f64;
    for hosts in [1000, 2000, 5000, 10_000] {
        let out = Command::new(&args[0]).arg(format!("--hosts={hosts}")).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8(out.stdout).unwrap();
        let mut words = text.split_whitespace().map(|w| w.parse::<f64>().unwrap());
        let (seconds, megabytes) = (words.next().unwrap(), words.next().unwrap());
        each.push(seconds * 1000.0 / f64::from(hosts));
        peak = peak.max(megabytes);
        println!("{hosts:>8} {STEPS:>8} {seconds:>10.2} {:>14.3} {megabytes:>9.0}", each[each.len() - 1]);
    }
    let growth = each[each.len() - 1] / each[0];
    println!("a host among 10000 costs {growth:.2} times one among 1000; peak {peak:.0} MB");
    if growth > 2.0 || peak > 1500.0 {
        println!("FAILED: wanted at most 2.00 times and 1500 MB");
        std::process::exit(1);
    }
}

/// Plans and applies twenty steps, half of which change something, on so many hosts; prints seconds and peak MB.
fn one(hosts: usize) {
    let names: Vec<String> = (0..hosts).map(|n| format!("host-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let keys: Vec<&'static str> = (0..STEPS).map(|n| &*format!("key{n}").leak()).collect();
    let mut fleet = Fleet::new(&names, vec![]).play("p", keys.iter().map(|k| want(k, "1")).collect());
    fleet.options.forks = 200;
    for name in &names {
        fleet.world.with(name, |h| h.keys.extend(keys.iter().step_by(2).map(|k| ((*k).into(), "1".into()))));
    }
    let start = Instant::now();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let seen = runtime.block_on(fleet.apply());
    assert_eq!(seen.summary.total.changed, hosts * STEPS / 2);
    assert_eq!(seen.summary.total.unchanged, hosts * STEPS / 2);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: f64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    println!("{} {}", start.elapsed().as_secs_f64(), kilobytes / 1024.0);
}
