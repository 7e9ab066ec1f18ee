//! firewalld: what a zone lets in at the moment and by its permanent configuration, and how that is changed.
//!
//! `firewall-cmd` starts Python each time: few calls, and one question for all `firewall` steps of a zone. Nothing
//! here reloads firewalld: that drops what was opened at runtime alone, and with it what Docker put there.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use crate::model::{Kind, Resource};
use crate::probe::{Answer, CheckError, Probe, Readings};
use crate::sh;
use crate::shell::Script;

/// Something that a zone can let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A service that firewalld knows by name.
    Service(String),
    /// A port or range of ports, and its protocol.
    Port(u16, u16, String),
    /// An IP protocol.
    Protocol(String),
    /// A rule of the rich language (firewalld.richlanguage(5)).
    Rule(String),
}

/// Which zone is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// The one with this name.
    Zone(&'a str),
    /// The one of the interface with this address (or name, that is looked up on the host); the default zone if none
    /// has it, or its interface is in no zone.
    Address(&'a str),
    /// The default zone.
    Default,
}

/// One of firewalld's two configurations, and the tool to change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What is in force now.
    Runtime,
    /// What will be after a restart or reload.
    Permanent,
    /// The permanent one while firewalld does not run.
    Offline,
}

/// firewalld as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It is not installed.
    Absent {
        /// Packages come from apt here: they start their units themselves.
        debian: bool,
    },
    /// It does not run; its permanent configuration stands on both sides, if it could be read.
    Stopped(Result<Listing, CheckError>),
    /// It runs.
    Running(Listing),
}

/// A zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Its name.
    pub zone: String,
    /// What it lets in now.
    pub runtime: Opened,
    /// What it will let in after a restart.
    pub permanent: Opened,
    /// All services that firewalld knows on that host.
    pub known_services: BTreeSet<String>,
}

/// What a zone lets in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened(Vec<Item>);

/// Services that older releases of firewalld do not know, or know by less, and what they stand for: the same as in
/// the service files that firewalld ships.
const SERVICES: &[(&str, &[&str])] = &[
    ("docker-swarm", &["2377/tcp", "7946/tcp", "7946/udp", "4789/udp", "esp"]),
    ("docker-registry", &["5000/tcp"]),
    ("nfs", &["2049/tcp"]),
    ("nfs3", &["2049/tcp", "2049/udp"]),
    ("mountd", &["20048/tcp", "20048/udp"]),
    ("rpc-bind", &["111/tcp", "111/udp"]),
    ("redis", &["6379/tcp"]),
    ("redis-sentinel", &["26379/tcp"]),
    ("http", &["80/tcp"]),
    ("https", &["443/tcp"]),
    ("http3", &["443/udp"]),
    ("prometheus", &["9090/tcp"]),
    ("grafana", &["3000/tcp"]),
];

impl Item {
    /// Reads an element of the list under `key`; the error is what is wrong and what to do.
    pub fn read(key: &str, text: &str) -> Result<Self, (String, Option<String>)> {
        let name = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
        let named = !text.is_empty() && text.chars().all(name);
        match key {
            "services" if named => Ok(Self::Service(text.into())),
            "services" if Self::port(text).is_some() => Err((
                format!("{text:?} is a port, not the name of a service"),
                Some(format!("write `ports = [{text:?}]`")),
            )),
            "services" => Err((format!("{text:?} is not the name of a service"), None)),
            "ports" => Self::port(text).ok_or_else(|| {
                (
                    format!("{text:?} is not a port with its protocol"),
                    Some("write it as \"6379/tcp\" or \"8000-8010/udp\"".into()),
                )
            }),
            "protocols" if named => Ok(Self::Protocol(text.into())),
            "protocols" => Err((format!("{text:?} is not the name of an IP protocol"), None)),
            _ if text.trim_start().starts_with("rule") && !text.contains(['\n', '\r']) => {
                Ok(Self::Rule(text.trim().into()))
            }
            _ => Err((
                format!("{text:?} is not a rich rule"),
                Some("it begins with `rule`: see firewalld.richlanguage(5)".into()),
            )),
        }
    }

    fn port(text: &str) -> Option<Self> {
        let (ports, protocol) = text.split_once('/')?;
        if !["tcp", "udp", "sctp", "dccp"].contains(&protocol) {
            return None;
        }
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last && first > 0).then(|| Self::Port(first, last, protocol.into()))
    }

    /// Its name among the resources of the host, its zone left out.
    pub fn name(&self) -> String {
        match self {
            Self::Service(name) => format!("service {name}"),
            Self::Port(..) => format!("port {self}"),
            Self::Protocol(name) => format!("protocol {name}"),
            Self::Rule(rule) => normal(rule).join(" "),
        }
    }

    /// Whether sshd on `port` can be reached through it.
    pub fn lets_ssh_in(&self, port: u16) -> bool {
        match self {
            Self::Service(name) => name == "ssh",
            Self::Port(first, last, protocol) => protocol == "tcp" && (*first..=*last).contains(&port),
            Self::Protocol(name) => name == "tcp",
            Self::Rule(_) => false,
        }
    }

    fn option(&self) -> &'static str {
        match self {
            Self::Service(_) => "service",
            Self::Port(..) => "port",
            Self::Protocol(_) => "protocol",
            Self::Rule(_) => "rich-rule",
        }
    }

    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Rule(a), Self::Rule(b)) => normal(a) == normal(b),
            _ => self == other,
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) | Self::Rule(name) => f.write_str(name),
            Self::Protocol(name) => write!(f, "protocol {name}"),
            Self::Port(first, last, protocol) if first == last => write!(f, "{first}/{protocol}"),
            Self::Port(first, last, protocol) => write!(f, "{first}-{last}/{protocol}"),
        }
    }
}

/// A rule in parts that can be compared: firewalld prints it with its own quotes and its own order of attributes.
fn normal(rule: &str) -> Vec<String> {
    let mut parts: Vec<Vec<String>> = Vec::new();
    let mut words: Vec<String> = vec![String::new()];
    let mut quote = None;
    for c in rule.chars() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, c) if c.is_whitespace() => words.push(String::new()),
            _ => words.last_mut().expect("one is there from the start").push(c),
        }
    }
    for word in words.into_iter().filter(|w| !w.is_empty()) {
        let belongs = word.contains('=') || ["not", "limit"].contains(&word.to_lowercase().as_str());
        match parts.last_mut() {
            Some(part) if belongs => part.push(word),
            _ => parts.push(vec![word]),
        }
    }
    parts
        .into_iter()
        .map(|mut part| {
            // The order of attributes of one element means nothing, but those of a limit stay behind it.
            let end = part.iter().position(|w| w == "limit").unwrap_or(part.len());
            part[1..end.max(1)].sort();
            part.join(" ")
        })
        .collect()
}

impl Opened {
    /// Whether `item` is among it, in a wider range of ports too.
    pub fn has(&self, item: &Item) -> bool {
        self.0.iter().any(|open| match (open, item) {
            (Item::Port(first, last, p), Item::Port(a, b, q)) => p == q && first <= a && b <= last,
            _ => open.same(item),
        })
    }
}

impl Side {
    /// It as a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Runtime => "runtime",
            Self::Permanent | Self::Offline => "permanent",
        }
    }
}

/// The unit of the daemon.
pub fn unit() -> Resource {
    Resource::here(Kind::Unit, "firewalld.service")
}

/// That `zone` lets `item` in; the zone is empty where it is not known yet.
pub fn resource(item: &Item, zone: &str) -> Resource {
    Resource::here(Kind::Firewall, &format!("{zone}/{}", item.name()))
}

/// What stands for a service that firewalld does not know.
pub fn ports_of(service: &str) -> Option<Vec<Item>> {
    let (_, ports) = SERVICES.iter().find(|(name, _)| *name == service)?;
    Some(ports.iter().map(|p| Item::port(p).unwrap_or_else(|| Item::Protocol((*p).into()))).collect())
}

/// What firewalld lets in when it has just been installed, in the default zone of all distributions.
pub fn comes_open(item: &Item) -> bool {
    matches!(item, Item::Service(name) if name == "ssh" || name == "dhcpv6-client")
}

/// Sets `$hw_z` to the zone, empty for the default one. `$hw_t` is the tool to ask.
fn zone(place: &Place<'_>) -> Script {
    let address = match place {
        Place::Zone(zone) => return sh!("hw_z={}\n", zone),
        Place::Default => return Script::new().raw("hw_z=\n"),
        Place::Address(address) => address,
    };
    let look_up = if address.parse::<IpAddr>().is_ok() {
        sh!("hw_a={}", address)
    } else {
        sh!(r#"hw_a=$(timeout 5 getent ahosts {} | { read -r a b; echo "$a"; })"#, address)
    };
    // Its own name leads to the loopback interface on some hosts, and that says nothing.
    sh!(
        r#"{}
hw_i=; hw_z=
if [ -n "$hw_a" ] && command -v ip >/dev/null; then
  hw_i=$(ip -o addr show to "$hw_a" | { read -r n i b; echo "${i%%@*}"; })
fi
case $hw_i in ''|lo) ;; *) hw_z=$(timeout 60 "$hw_t" --get-zone-of-interface="$hw_i" 2>/dev/null) || hw_z= ;; esac
"#,
        look_up
    )
}

/// Asks for a zone: at most three calls of `firewall-cmd`, two where the zone is named.
///
/// The answer is `absent` or `absent debian`; or `runtime CODE`, the listing, `permanent CODE`, the listing, and a line
/// `services` with all known names, which are the names of files (firewalld.service(5)). Where firewalld does
/// not run `firewall-cmd` ends with 252 (firewall-cmd(1)), and the files are asked.
pub fn probe(place: &Place<'_>) -> Probe {
    Probe::new(sh!(
        r#"if ! command -v firewall-cmd >/dev/null; then
  if command -v apt-get >/dev/null; then echo absent debian; else echo absent; fi
  exit 0
fi
hw_t=firewall-cmd
{}hw_o=$(timeout 60 firewall-cmd ${hw_z:+--zone="$hw_z"} --list-all); hw_c=$?
printf 'runtime %s\n%s\n' "$hw_c" "$hw_o"
case $hw_c in
  0) while read -r hw_z hw_r && [ -z "$hw_z" ]; do :; done <<HW_END
$hw_o
HW_END
    hw_o=$(timeout 60 firewall-cmd --permanent --zone="$hw_z" --list-all); hw_c=$? ;;
  252)
    hw_t=firewall-offline-cmd
    {}hw_o=$(timeout 60 firewall-offline-cmd ${hw_z:+--zone="$hw_z"} --list-all); hw_c=$? ;;
  *) exit 0 ;;
esac
printf 'permanent %s\n%s\nservices' "$hw_c" "$hw_o"
for hw_f in /usr/lib/firewalld/services/*.xml /etc/firewalld/services/*.xml; do
  hw_f=${hw_f##*/}; printf ' %s' "${hw_f%.xml}"
done
echo"#,
        zone(place),
        zone(place)
    ))
}

/// Reads the answer to [`probe`].
pub fn read(readings: &Readings, place: &Place<'_>) -> Result<Found, CheckError> {
    let probe = probe(place);
    let answer = readings.of(&probe)?;
    let text = answer.text();
    match &*text {
        "absent" => return Ok(Found::Absent { debian: false }),
        "absent debian" => return Ok(Found::Absent { debian: true }),
        _ => {}
    }
    let unreadable = || {
        CheckError::unreadable(
            &probe,
            answer,
            "expected what firewalld lists of the zone, now and permanently",
        )
    };
    let mut sections = Sections::default();
    for line in text.lines() {
        sections.line(line);
    }
    if !answer.ok() {
        return Err(unreadable());
    }
    let permanent = || match sections.permanent.as_ref() {
        None => Err(unreadable()),
        Some((0, lines)) => listing(lines).ok_or_else(unreadable),
        Some((code, _)) => Err(refusal(*code, place, answer).unwrap_or_else(unreadable)),
    };
    let services = sections.services.split_whitespace().map(str::to_owned).collect();
    match &sections.runtime {
        Some((0, lines)) => {
            let (zone, runtime) = listing(lines).ok_or_else(unreadable)?;
            let (_, permanent) = permanent()?;
            Ok(Found::Running(Listing { zone, runtime, permanent, known_services: services }))
        }
        Some((252, _)) => Ok(Found::Stopped(permanent().map(|(zone, opened)| Listing {
            zone,
            runtime: opened.clone(),
            permanent: opened,
            known_services: services,
        }))),
        Some((code, _)) => Err(refusal(*code, place, answer).unwrap_or_else(unreadable)),
        None => Err(unreadable()),
    }
}

#[derive(Default)]
struct Sections<'a> {
    runtime: Option<(i32, Vec<&'a str>)>,
    permanent: Option<(i32, Vec<&'a str>)>,
    services: &'a str,
}

impl<'a> Sections<'a> {
    fn line(&mut self, line: &'a str) {
        let head = |word: &str| line.strip_prefix(word).and_then(|code| code.parse().ok());
        if let (Some(code), None) = (head("runtime "), &self.runtime) {
            self.runtime = Some((code, Vec::new()));
        } else if let (Some(code), None) = (head("permanent "), &self.permanent) {
            self.permanent = Some((code, Vec::new()));
        } else if let Some(services) = line.strip_prefix("services").filter(|_| self.permanent.is_some()) {
            self.services = services;
        } else if let Some((_, lines)) = self.permanent.as_mut().or(self.runtime.as_mut()) {
            lines.push(line);
        }
    }
}

/// Reads the output of `--list-all`: the name of the zone, then indented `key: values`, rich rules each on a line of
/// its own.
fn listing(lines: &[&str]) -> Option<(String, Opened)> {
    let mut lines = lines.iter().skip_while(|l| l.trim().is_empty());
    let zone = lines.next().filter(|l| !l.starts_with([' ', '\t']))?.split_whitespace().next()?;
    let mut opened = Vec::new();
    let mut seen = false;
    for line in lines {
        let line = line.trim();
        if line.starts_with("rule ") {
            opened.push(Item::Rule(line.into()));
            continue;
        }
        let Some((key, values)) = line.split_once(':') else { continue };
        let values = values.split_whitespace().map(str::to_owned);
        match key {
            "services" => {
                seen = true;
                opened.extend(values.map(Item::Service));
            }
            "ports" => opened.extend(values.filter_map(|v| Item::port(&v))),
            "protocols" => opened.extend(values.map(Item::Protocol)),
            _ => {}
        }
    }
    seen.then(|| (zone.to_owned(), Opened(opened)))
}

/// What a code of `firewall-cmd` means (firewall-cmd(1), "exit codes").
fn refusal(code: i32, place: &Place<'_>, answer: &Answer) -> Option<CheckError> {
    let (message, hint) = match (code, place) {
        (112, Place::Zone(zone)) => (
            format!("there is no firewalld zone {zone}"),
            "firewall-cmd --get-zones lists them; one that was only added permanently counts from the next start",
        ),
        (253, _) => ("not allowed to ask firewalld".to_owned(), "set `become = true`"),
        (251, _) => (
            "firewalld runs, but could not set up its rules".to_owned(),
            "see why with: journalctl -u firewalld",
        ),
        (124 | 137, _) => (
            "firewalld does not answer within 60 s".to_owned(),
            "see what it does with: journalctl -u firewalld",
        ),
        _ if answer.error_text().contains("root") => {
            ("not allowed to read the configuration of firewalld".to_owned(), "set `become = true`")
        }
        _ => return None,
    };
    Some(CheckError::refused(message, hint.to_owned()))
}

/// Lets `items` in, or no more. One call for each kind of item, for `firewall-cmd` does not take several kinds at
/// once; and it ends with 0 when any item of a call went well, so what it says is looked through.
pub fn act(place: &Place<'_>, items: &[Item], add: bool, side: Side) -> Script {
    let tool = if side == Side::Offline { "firewall-offline-cmd" } else { "firewall-cmd" };
    let mut calls = Script::new();
    let mut option = "";
    let mut rest = items;
    while let Some(first) = rest.first() {
        option = if option == first.option() { option } else { first.option() };
        let n = rest.iter().take_while(|i| i.option() == option).count();
        let words: Vec<String> = rest[..n]
            .iter()
            .map(|i| {
                let value = if let Item::Protocol(name) = i { name.clone() } else { i.to_string() };
                format!("--{}-{option}={value}", if add { "add" } else { "remove" })
            })
            .collect();
        calls = calls.script(&sh!("hw_do {}\n", words));
        rest = &rest[n..];
    }
    let permanent = Script::new().raw(if side == Side::Permanent { " --permanent" } else { "" });
    sh!(
        r#"hw_t={}
{}hw_do() {
  hw_o=$(timeout 120 "$hw_t"{} ${hw_z:+--zone="$hw_z"} "$@" 2>&1) || { hw_c=$?; printf '%s\n' "$hw_o" >&2; exit "$hw_c"; }
  case $hw_o in *INVALID_*|*COMMAND_FAILED*) printf '%s\n' "$hw_o" >&2; exit 1 ;; esac
}
{}"#,
        tool,
        zone(place),
        permanent,
        calls
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_the_same_however_they_are_quoted() {
        let ours = "rule source address=10.0.0.0/8 family='ipv4' port protocol=tcp port=80 log prefix=\"a b\" limit value=1/m accept";
        let theirs = r#"rule family="ipv4" source address="10.0.0.0/8" port port="80" protocol="tcp" log prefix="a b" limit value="1/m" accept"#;
        // The family belongs to the rule, wherever it stands right after it.
        assert_ne!(normal(ours), normal(theirs));
        let ours = ours.replace(
            "rule source address=10.0.0.0/8 family='ipv4'",
            "rule family='ipv4' source address=10.0.0.0/8",
        );
        assert_eq!(normal(&ours), normal(theirs));
        assert_ne!(normal(&ours), normal(&theirs.replace("10.0.0.0", "10.0.0.1")));
        assert_ne!(normal("rule source not address=a drop"), normal("rule source address=a drop"));
    }

    #[test]
    fn a_range_lets_its_ports_in() {
        let open = Opened(vec![Item::port("8000-8010/tcp").unwrap(), Item::port("53/udp").unwrap()]);
        for (port, is) in
            [("8005/tcp", true), ("8000-8010/tcp", true), ("8005/udp", false), ("8010-8011/tcp", false)]
        {
            assert_eq!(open.has(&Item::port(port).unwrap()), is, "{port}");
        }
        for wrong in ["6379", "0/tcp", "70000/tcp", "9-8/tcp", "80/http", ""] {
            assert_eq!(Item::port(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_service_of_the_table_has_ports() {
        for (service, ports) in SERVICES {
            assert_eq!(ports_of(service).unwrap().len(), ports.len());
        }
    }
}
