//! firewalld: what a zone lets in at the moment and by its permanent configuration, and how that is changed.
//!
//! `firewall-cmd` starts Python each time: few calls, and one question for all `firewall` steps of a zone. Nothing
//! here reloads firewalld: that drops what was opened at runtime alone, and with it what Docker put there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::rich_rule;
use crate::model::{Kind, Resource};
use crate::probe::{Answer, CheckError, Probe, Readings};
use crate::program;
use crate::program::{Handle, Library};
use crate::shell::Script;

/// Finds a zone by an address; see there.
static ZONE: Library = Library::new("firewalld/zone.sh", include_str!("firewalld/zone.sh"), &[]);

program! {
    /// Asks what a zone lets in.
    AskZone in "firewalld/ask_zone.sh" uses [ZONE] {
        zone: Word, address: Word, rules: List, absent: Flag, offline: Flag
    }
}
program! {
    /// Changes what a zone lets in.
    ChangeZone in "firewalld/change_zone.sh" uses [ZONE] {
        side: Word, zone: Word, address: Word, options: List, cuts: List
    }
}

/// What asks about zones, and changes them.
pub const PROGRAMS: &[Handle] = &[AskZone::program, ChangeZone::program];

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

impl<'a> Place<'a> {
    /// Its name, and the address that stands for it; one of them is empty, and for the default zone both are.
    fn names(&self) -> (&'a str, &'a str) {
        match *self {
            Self::Zone(zone) => (zone, ""),
            Self::Address(address) => ("", address),
            Self::Default => ("", ""),
        }
    }
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
pub struct Opened {
    items: Vec<Item>,
    /// Rich rules of the step that are not listed word by word, and whether firewalld says that they are there.
    said: BTreeMap<String, bool>,
}

/// IP protocols by name, as in /etc/protocols: a zone may list either.
const PROTOCOLS: &[(&str, u8)] = &[
    ("icmp", 1),
    ("igmp", 2),
    ("ipencap", 4),
    ("tcp", 6),
    ("egp", 8),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6", 41),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("eigrp", 88),
    ("ospf", 89),
    ("pim", 103),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", 132),
    ("udplite", 136),
];

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
            "protocols" if text.parse::<u64>().is_ok_and(|n| n > 255) => {
                Err((format!("{text:?} is not the number of an IP protocol"), None))
            }
            "protocols" if named => Ok(Self::Protocol(text.into())),
            "protocols" => Err((format!("{text:?} is not the name of an IP protocol"), None)),
            _ if text.trim_start().starts_with("rule") && !text.contains(char::is_control) => {
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
        let protocol = protocol.to_ascii_lowercase();
        if !["tcp", "udp", "sctp", "dccp"].contains(&&*protocol) {
            return None;
        }
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last && first > 0).then_some(Self::Port(first, last, protocol))
    }

    /// Its name among the resources of the host, its zone left out.
    pub fn name(&self) -> String {
        match self {
            Self::Service(name) => format!("service {name}"),
            Self::Port(..) => format!("port {self}"),
            Self::Protocol(name) => format!("protocol {name}"),
            Self::Rule(rule) => rich_rule::canonical(rule).unwrap_or_else(|| rule.clone()),
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

    /// Whether it is `other`, in another spelling.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Rule(_), Self::Rule(_)) => self.name() == other.name(),
            (Self::Protocol(a), Self::Protocol(b)) => {
                let number = |name: &str| {
                    let known = PROTOCOLS.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
                    known.map(|(_, number)| *number).or_else(|| name.parse().ok())
                };
                a == b || number(a).is_some_and(|a| number(b) == Some(a))
            }
            _ => self == other,
        }
    }

    /// What of it, as it is listed, is also in `item`: of a range the part, and which range.
    pub fn shared_with(&self, item: &Self) -> String {
        match (self, item) {
            (Self::Port(a, b, protocol), Self::Port(first, last, _)) if a < first || b > last => {
                let part = Self::Port(*a.max(first), *b.min(last), protocol.clone());
                format!("{part} of {self}")
            }
            _ => self.to_string(),
        }
    }

    /// As an option of `firewall-cmd`.
    fn to_option(&self, add: bool) -> String {
        let value = if let Self::Protocol(name) = self { name.clone() } else { self.to_string() };
        format!("--{}-{}={value}", if add { "add" } else { "remove" }, self.option())
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

/// The keys of a `firewall` step with these items.
pub fn keys(items: &[&Item]) -> impl Iterator<Item = (&'static str, toml::Value)> {
    let of =
        |pick: fn(&Item) -> Option<String>| -> Vec<String> { items.iter().filter_map(|i| pick(i)).collect() };
    let lists = [
        ("services", of(|item| if let Item::Service(name) = item { Some(name.clone()) } else { None })),
        ("ports", of(|item| matches!(item, Item::Port(..)).then(|| item.to_string()))),
        ("protocols", of(|item| if let Item::Protocol(name) = item { Some(name.clone()) } else { None })),
        ("rich_rules", of(|item| if let Item::Rule(rule) = item { Some(rule.clone()) } else { None })),
    ];
    lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(key, list)| (key, list.into()))
}

impl Opened {
    /// Whether all of `item` is among it, in wider ranges of ports too.
    pub fn has(&self, item: &Item) -> bool {
        let Item::Port(first, last, protocol) = item else { return self.touches(item) };
        let ranges = self.items.iter().filter_map(|open| match open {
            Item::Port(a, b, p) if p == protocol => Some((*a, *b)),
            _ => None,
        });
        let mut ranges: Vec<(u16, u16)> = ranges.collect();
        ranges.sort_unstable();
        let mut next = u32::from(*first);
        for (a, b) in ranges {
            if u32::from(a) <= next {
                next = next.max(u32::from(b) + 1);
            }
        }
        next > u32::from(*last)
    }

    /// Whether anything of `item` is among it.
    pub fn touches(&self, item: &Item) -> bool {
        if let Item::Rule(rule) = item
            && let Some(said) = self.said.get(rule)
        {
            return *said;
        }
        self.parts_of(item).next().is_some()
    }

    /// What it lists of `item`, in its own words.
    pub fn parts_of(&self, item: &Item) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |open| match (open, item) {
            (Item::Port(a, b, p), Item::Port(first, last, q)) => p == q && a <= last && first <= b,
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

/// Rich rules, about which firewalld is asked where it does not list them word by word.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules<'a> {
    /// As the user wrote them.
    pub rules: &'a [&'a str],
    /// They are to be gone: a zone without any rule has none of them, whatever they mean.
    pub absent: bool,
    /// Ask also where firewalld does not run.
    pub offline: bool,
}

/// Asks for a zone.
pub fn probe(place: &Place<'_>, rules: Rules<'_>) -> Probe {
    let (zone, address) = place.names();
    let listed = |rule: &&str| [(*rule).to_owned(), rich_rule::canonical(rule).unwrap_or_default()];
    let all: Vec<String> = rules.rules.iter().flat_map(listed).collect();
    let any = !all.is_empty();
    let (absent, offline) = (any && rules.absent, any && rules.offline);
    Probe::new(AskZone { zone, address, rules: &all, absent, offline }.script())
}

/// Reads the answer to [`probe`].
pub fn read(readings: &Readings, place: &Place<'_>, rules: Rules<'_>) -> Result<Found, CheckError> {
    let probe = probe(place, rules);
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
    let list = |lines: &[&str]| match listing(lines) {
        None => Err(unreadable()),
        Some(Err((rule, words))) => Err(CheckError::refused(
            format!("firewalld does not take the rich rule `{rule}`: {words}"),
            "see firewalld.richlanguage(5)".to_owned(),
        )),
        Some(Ok(listing)) => Ok(listing),
    };
    let permanent = || match sections.permanent.as_ref() {
        None => Err(unreadable()),
        Some((0, lines)) => list(lines),
        Some((code, _)) => Err(refusal(*code, place, answer).unwrap_or_else(unreadable)),
    };
    let services = sections.services.split_whitespace().map(str::to_owned).collect();
    match &sections.runtime {
        Some((0, lines)) => {
            let (zone, runtime) = list(lines)?;
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
/// its own; and what is said of rules. The error is a rule and what is wrong with it.
fn listing(lines: &[&str]) -> Option<Result<(String, Opened), (String, String)>> {
    let mut lines = lines.iter().skip_while(|l| l.trim().is_empty());
    let zone = lines.next().filter(|l| !l.starts_with([' ', '\t']))?.split_whitespace().next()?;
    let mut opened = Vec::new();
    let mut said = BTreeMap::new();
    let mut seen = false;
    for line in lines {
        if let Some((answer, rule)) = line.strip_prefix('?').and_then(|l| l.split_once('\t')) {
            let there = match answer {
                "yes" => true,
                "no" => false,
                "" => return Some(Err((rule.to_owned(), "no answer within 60 s".to_owned()))),
                words => {
                    return Some(Err((rule.to_owned(), words.trim_start_matches("Error: ").to_owned())));
                }
            };
            said.insert(rule.to_owned(), there);
            continue;
        }
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
    seen.then(|| Ok((zone.to_owned(), Opened { items: opened, said })))
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
        _ if answer.is_cut_off() => (
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

/// Lets `items` in, or no more.
///
/// What goes is named as `now` lists it, for `firewall-cmd` removes only that; of a listed range the part that goes is cut
/// out.
pub fn act(place: &Place<'_>, items: &[Item], add: bool, side: Side, now: Option<&Opened>) -> Script {
    let (mut options, mut cuts) = (Vec::new(), Vec::new());
    for item in items {
        let listed: Vec<&Item> = now.filter(|_| !add).into_iter().flat_map(|o| o.parts_of(item)).collect();
        if listed.is_empty() {
            options.push(item.to_option(add));
        }
        for there in listed {
            let (Item::Port(a, b, protocol), Item::Port(first, last, _)) = (there, item) else {
                options.push(there.to_option(add));
                continue;
            };
            let mut rest = Vec::new();
            if a < first {
                rest.push(Item::Port(*a, first - 1, protocol.clone()));
            }
            if b > last {
                rest.push(Item::Port(last + 1, *b, protocol.clone()));
            }
            if rest.is_empty() {
                options.push(there.to_option(add));
                continue;
            }
            let middle = Item::Port(*a.max(first), *b.min(last), protocol.clone());
            cuts.extend([middle.to_option(false), there.to_option(false)]);
            cuts.extend(rest.iter().map(|i| i.to_option(true)));
        }
    }
    let (zone, address) = place.names();
    let side = if side == Side::Offline { "offline" } else { side.word() };
    ChangeZone { side, zone, address, options: &options, cuts: &cuts }.script()
}

#[cfg(test)]
mod tests;
