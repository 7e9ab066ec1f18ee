//! What is known of a host before any step: its system, addresses, tools and clock.

use serde::Serialize;

use crate::probe::{Answer, CheckError, Probe};
use crate::program;
use crate::program::Handle;

program! {
    /// Asks for the facts.
    AskFacts in "facts/ask_facts.sh"
}

/// What asks for facts.
pub const PROGRAMS: &[Handle] = &[AskFacts::program];

/// Facts of a host, as templates see them (`facts.os.id`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The operating system, from `/etc/os-release` (os-release(5)).
    pub os: Os,
    /// Machine, as `uname -m` says: `x86_64`.
    pub arch: String,
    /// Kernel release, as `uname -r` says.
    pub kernel: String,
    /// The name that the host calls itself.
    pub hostname: String,
    /// `/etc/machine-id`; equal on two hosts when one is a clone of the other.
    pub machine_id: String,
    /// All addresses with their interfaces, loopback left out.
    pub addresses: Vec<Address>,
    /// `enforcing`, `permissive`, `disabled`, or empty where there is no SELinux.
    pub selinux: String,
    /// `dnf`, `yum`, `apt`, or empty.
    pub package_manager: String,
    /// Whether systemd runs the host.
    pub systemd: bool,
    /// Memory in MiB.
    pub memory_mb: u64,
    /// Number of processors.
    pub cpus: u64,
    /// The user who logged in.
    pub user: String,
    /// The home directory of that user.
    pub home: String,
    /// Seconds since 1970 on the host's clock.
    pub time: i64,
}

/// The operating system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Os {
    /// `centos`, `debian`.
    pub id: String,
    /// `9`, `12`.
    pub version: String,
    /// The number before the first dot of the version.
    pub major: String,
    /// `rhel` or `debian` for the families that are known, the id otherwise.
    pub family: String,
    /// The name for people.
    pub name: String,
}

/// An address of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Address {
    /// Interface.
    pub interface: String,
    /// The address without its prefix.
    pub address: String,
    /// The prefix length.
    pub prefix: u8,
}

/// Facts of no host: every key that templates may name is in it.
pub fn sample() -> serde_json::Value {
    let facts = Facts { addresses: vec![Address::default()], ..Facts::default() };
    serde_json::to_value(facts).unwrap_or_default()
}

/// The question.
pub fn probe() -> Probe {
    Probe::new(AskFacts.script())
}

/// Reads the answer to [`probe`].
pub fn parse(answer: &Answer) -> Result<Facts, CheckError> {
    let text = answer.text();
    let mut facts = Facts::default();
    let mut like = "";
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        match key {
            "os.id" => facts.os.id = value.into(),
            "os.version" => facts.os.version = value.into(),
            "os.name" => facts.os.name = value.into(),
            "os.like" => like = value,
            "hostname" => facts.hostname = value.into(),
            "kernel" => facts.kernel = value.into(),
            "arch" => facts.arch = value.into(),
            "machine_id" => facts.machine_id = value.into(),
            "package_manager" => facts.package_manager = value.into(),
            "systemd" => facts.systemd = true,
            "selinux" => facts.selinux = value.to_lowercase(),
            "memory" => facts.memory_mb = value.parse::<u64>().unwrap_or(0) / 1024,
            "cpus" => facts.cpus = value.parse().unwrap_or(0),
            "user" => facts.user = value.into(),
            "home" => facts.home = value.into(),
            "time" => facts.time = value.parse().unwrap_or(0),
            "address" => facts.addresses.extend(parse_address(value)),
            _ => {}
        }
    }
    let words = || std::iter::once(facts.os.id.as_str()).chain(like.split_whitespace());
    facts.os.family = if words().any(|w| matches!(w, "rhel" | "centos" | "fedora")) {
        "rhel".into()
    } else if words().any(|w| w == "debian" || w == "ubuntu") {
        "debian".into()
    } else {
        facts.os.id.clone()
    };
    facts.os.major = facts.os.version.split('.').next().unwrap_or_default().into();
    if facts.user.is_empty() || facts.time == 0 {
        return Err(CheckError::unreadable(&probe(), answer, "expected the host's facts"));
    }
    Ok(facts)
}

fn parse_address(value: &str) -> Option<Address> {
    let (interface, rest) = value.split_once(' ')?;
    let (address, prefix) = rest.split_once('/')?;
    (interface != "lo").then(|| Address {
        interface: interface.split('@').next().unwrap_or(interface).into(),
        address: address.into(),
        prefix: prefix.parse().unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_machine() {
        let out = std::process::Command::new("sh").arg("-c").arg(probe().script.render()).output().unwrap();
        let facts = parse(&Answer { code: 0, stdout: out.stdout, stderr: out.stderr }).unwrap();
        assert!(!facts.os.id.is_empty() && facts.cpus > 0 && facts.memory_mb > 0, "{facts:?}");
    }

    #[test]
    fn reads_a_centos_and_refuses_nonsense() {
        let text = "os.id=centos\nos.version=9\nos.like=rhel fedora\nuser=root\ntime=1700000000\n\
                    address=lo 127.0.0.1/8\naddress=eth0@if3 10.0.0.5/24\n";
        let facts = parse(&Answer::new(0, text)).unwrap();
        assert_eq!((facts.os.family.as_str(), facts.os.major.as_str()), ("rhel", "9"));
        assert_eq!(facts.addresses.len(), 1);
        assert_eq!(facts.addresses[0].interface, "eth0");
        assert!(parse(&Answer::new(0, "Welcome!\n")).is_err());
    }
}
