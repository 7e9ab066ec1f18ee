//! What firewalld says of its zones.

use std::collections::{BTreeMap, BTreeSet};

use crate::probe::{Answer, CheckError, Probe};
use crate::sh;

/// A zone, as `firewall-cmd --list-all` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Zone {
    values: BTreeMap<String, Vec<String>>,
    rules: Vec<String>,
}

/// How firewalld stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Daemon {
    Running,
    Stopped,
    /// Not installed.
    Absent,
}

/// The answer to [`probe`].
#[derive(Debug, Clone)]
pub(super) struct Firewall {
    pub(super) daemon: Daemon,
    /// Packages of this host start their units when they are installed.
    pub(super) started_by_package: bool,
    /// The zones as they are now; empty unless it runs.
    pub(super) runtime: BTreeMap<String, Zone>,
    /// The zones as they will be after its next start.
    pub(super) permanent: BTreeMap<String, Zone>,
    /// The interface that has the address.
    pub(super) interface: Option<String>,
    pub(super) default_zone: String,
    /// Services that it has no definition of.
    pub(super) unknown_services: BTreeSet<String>,
}

/// Asks for all zones, now and permanent: two starts of a slow program, however much is to be looked up.
///
/// Codes of firewall-cmd(1): 252 where firewalld does not run, 253 without the rights. A stopped one is read through
/// `firewall-offline-cmd`, which looks at the files.
pub(super) fn probe(address: &str, services: &[String]) -> Probe {
    Probe::new(sh!(
        r#"command -v firewall-cmd >/dev/null || {
  echo "daemon absent"
  if command -v apt-get >/dev/null && ! command -v dnf >/dev/null && ! [ -e /usr/sbin/policy-rc.d ]; then echo started-by-package; fi
  exit 0
}
hw_a={}; hw_z=public
if [ "$hw_a" ]; then
  ip -o addr show 2>/dev/null | awk -v a="$hw_a" '{ split($4, x, "/"); if (x[1] == a) { print "interface " $2; exit } }'
fi
if [ -r /etc/firewalld/firewalld.conf ]; then
  while IFS='=' read -r hw_k hw_v; do
    [ "$hw_k" != DefaultZone ] || hw_z=$hw_v
  done </etc/firewalld/firewalld.conf
fi
echo "default $hw_z"
for hw_s in {}; do
  [ -e "/usr/lib/firewalld/services/$hw_s.xml" ] || [ -e "/etc/firewalld/services/$hw_s.xml" ] || echo "unknown $hw_s"
done
hw_now=$(timeout 60 firewall-cmd --list-all-zones 2>&1); hw_rc=$?
case $hw_rc in
  0) echo "daemon running"; echo runtime; printf '%s\n' "$hw_now"
     echo permanent; timeout 60 firewall-cmd --permanent --list-all-zones || exit 3 ;;
  252) echo "daemon stopped"; echo permanent; timeout 60 firewall-offline-cmd --list-all-zones || exit 3 ;;
  *) printf '%s\n' "$hw_now" >&2; exit 3 ;;
esac"#,
        address,
        services.to_vec()
    ))
}

/// Reads the answer to [`probe`].
pub(super) fn read(probe: &Probe, answer: &Answer) -> Result<Firewall, CheckError> {
    let unreadable = |why: &str| CheckError::unreadable(probe, answer, why);
    let mut found = Firewall {
        daemon: Daemon::Absent,
        started_by_package: false,
        runtime: BTreeMap::new(),
        permanent: BTreeMap::new(),
        interface: None,
        default_zone: "public".into(),
        unknown_services: BTreeSet::new(),
    };
    let mut said = false;
    // First what was said of the host, then the zones, of one world or of both.
    let mut part = "";
    let mut zone = String::new();
    let text = answer.text();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        match line.split_once(' ') {
            _ if line == "runtime" || line == "permanent" => part = line,
            Some(("daemon", how)) if part.is_empty() => {
                said = true;
                found.daemon = match how {
                    "running" => Daemon::Running,
                    "stopped" => Daemon::Stopped,
                    "absent" => Daemon::Absent,
                    _ => return Err(unreadable("expected the state of firewalld")),
                };
            }
            Some(("interface", name)) if part.is_empty() => found.interface = Some(name.to_owned()),
            Some(("default", name)) if part.is_empty() => name.clone_into(&mut found.default_zone),
            Some(("unknown", name)) if part.is_empty() => {
                found.unknown_services.insert(name.to_owned());
            }
            _ if line == "started-by-package" => found.started_by_package = true,
            _ => {
                let zones = match part {
                    "runtime" => &mut found.runtime,
                    "permanent" => &mut found.permanent,
                    _ => return Err(unreadable("expected zones")),
                };
                if !line.starts_with([' ', '\t']) {
                    line.split(' ').next().unwrap_or_default().clone_into(&mut zone);
                    zones.insert(zone.clone(), Zone::default());
                    continue;
                }
                let Some(zone) = zones.get_mut(&zone) else { return Err(unreadable("expected a zone")) };
                zone.take(line);
            }
        }
    }
    let complete = match found.daemon {
        Daemon::Absent => true,
        Daemon::Stopped => !found.permanent.is_empty(),
        Daemon::Running => !found.permanent.is_empty() && !found.runtime.is_empty(),
    };
    if !answer.ok() || !said || !complete {
        return Err(unreadable("expected the state of firewalld and its zones"));
    }
    Ok(found)
}

impl Zone {
    fn take(&mut self, line: &str) {
        let line = line.trim();
        if line.starts_with("rule ") {
            self.rules.push(plain(line));
        } else if let Some((key, values)) = line.split_once(':') {
            self.values.insert(key.to_owned(), values.split_whitespace().map(str::to_owned).collect());
        }
    }

    fn list(&self, key: &str) -> &[String] {
        self.values.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether an interface belongs to it.
    pub(super) fn has_interface(&self, interface: &str) -> bool {
        self.list("interfaces").iter().any(|i| i == interface)
    }

    /// Whether it lets `item` in.
    pub(super) fn has(&self, item: &Item) -> bool {
        match item {
            Item::Service(name) => self.list("services").contains(name),
            Item::Protocol(name) => self.list("protocols").contains(name),
            Item::Rule(rule) => self.rules.contains(&plain(rule)),
            // Newer versions show ports that touch each other as one range.
            Item::Port(port) => {
                let Some(wanted) = port_range(port) else { return false };
                self.list("ports")
                    .iter()
                    .filter_map(|p| port_range(p))
                    .any(|(low, high, protocol)| protocol == wanted.2 && low <= wanted.0 && wanted.1 <= high)
            }
        }
    }
}

/// A rule without its quotes, which firewalld sets in its own way.
fn plain(rule: &str) -> String {
    rule.replace(['"', '\''], "").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reads `2049/tcp` or `7946-7950/udp`.
pub(super) fn port_range(text: &str) -> Option<(u16, u16, &str)> {
    let (ports, protocol) = text.split_once('/')?;
    let (low, high) = ports.split_once('-').unwrap_or((ports, ports));
    let (low, high) = (low.parse().ok().filter(|n| *n > 0)?, high.parse().ok()?);
    (low <= high && matches!(protocol, "tcp" | "udp" | "sctp" | "dccp")).then_some((low, high, protocol))
}

/// Something that a zone lets in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    Service(String),
    Port(String),
    Protocol(String),
    Rule(String),
}

impl Item {
    /// What it is, and its value.
    pub(super) fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Service(value) => ("service", value),
            Self::Port(value) => ("port", value),
            Self::Protocol(value) => ("protocol", value),
            Self::Rule(value) => ("rich-rule", value),
        }
    }
}
