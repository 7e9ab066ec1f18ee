//! Docker: services against their data, their ports and the nodes that may run them.
//!
//! Reads the tables of the Docker kinds, not their types: whoever writes a kind need not know of lints.

use std::collections::{BTreeMap, BTreeSet};

use super::{Seen, report};
use crate::config::finding::Lint;
use crate::config::offline::Checked;
use crate::config::table::span;
use crate::diagnostic::{Diagnostic, Severity};
use crate::model::HostIndex;
use crate::model::value::{Node, Value};
use crate::step::family::docker::image::Reference;

pub(super) const BIND_NOT_EVERYWHERE: Lint = Lint {
    name: "bind-not-everywhere",
    severity: Severity::Warning,
    doc: "A service binds a path of a share that not every node mounts which may run it. On a node without the share the \
          task is rejected, or starts with an empty directory. Label the nodes that mount it (`swarm_node`) and give \
          the service a constraint, or mount the share on all. That a node is drained helps only until it is not.",
};

pub(super) const BIND_OF_FILE: Lint = Lint {
    name: "bind-of-file",
    severity: Severity::Warning,
    doc: "A single file is bound into a container. Editors and this tool replace a file by a new one; the container goes \
          on with the old one until it is started anew. Use a `docker_config`, or bind the directory.",
};

pub(super) const IMAGE_WITHOUT_TAG: Lint = Lint {
    name: "image-without-tag",
    severity: Severity::Warning,
    doc: "An image without a tag, or with `latest`, is another one from day to day: the next start may bring a new major \
          version that cannot read the old data. Write the version you mean: `redis:7.0.15`.",
};

pub(super) const PORT_CLASH: Lint = Lint {
    name: "port-clash",
    severity: Severity::Error,
    doc: "A service publishes a port on every node that another service, or a container on a node, publishes as well; or two \
          containers of one host do. The second one fails: \"port is already in use\". Services that publish a port on \
          their own nodes alone (`mode = \"host\"`) are kept apart by the scheduler.",
};

pub(super) const REDIS_WITHOUT_PASSWORD: Lint = Lint {
    name: "redis-without-password",
    severity: Severity::Warning,
    doc: "Redis is told `protected-mode no` and no password. A published port is open on every node, past firewalld: \
          everyone who reaches a node may read and write, and run commands through Redis. Give it `requirepass`, in a \
          `docker_secret` that the settings `include`.",
};

pub(super) const SERVICE_ON_DRAINED: Lint = Lint {
    name: "service-on-drained",
    severity: Severity::Warning,
    doc: "A service may run on managers alone, and the managers are drained: a drained node takes no service tasks, so it \
          waits for ever. Use a `docker_container` on the manager, or keep the manager active.",
};

pub(super) const TWO_WRITERS: Lint = Lint {
    name: "two-writers",
    severity: Severity::Error,
    doc: "A service whose data only one process may write runs as several tasks, or starts the new task before the old one \
          has stopped (`start-first`). Redis and databases take no lock on files of a share: two of them spoil the data.",
};

/// Programs that own the files they write.
const SINGLE_WRITERS: [&str; 11] = [
    "redis",
    "valkey",
    "postgres",
    "mysql",
    "mariadb",
    "mongo",
    "influxdb",
    "elasticsearch",
    "portainer-ce",
    "portainer-ee",
    "grafana",
];

/// Where services and the shares that they bind may be.
pub(super) const BOUND: &[&str] = &["docker_service", "mount", "swarm_init", "swarm_join", "swarm_node"];

/// Services, and what says which nodes they may run on.
pub(super) const PLACED: &[&str] = &["docker_service", "swarm_init", "swarm_join", "swarm_node"];

/// What names an image.
pub(super) const OF_IMAGES: &[&str] = &["docker_service", "docker_container", "docker_image"];

/// What publishes ports.
pub(super) const PUBLISHING: &[&str] = &["docker_service", "docker_container"];

/// Where the settings of Redis may stand.
pub(super) const SETTING_REDIS: &[&str] = &["docker_config", "file", "docker_service", "docker_container"];

/// The steps of one kind that bring something.
fn here<'a>(seen: &Seen<'a>, kind: &'static str) -> impl Iterator<Item = &'a Checked> + use<'a> {
    seen.of(kind).filter(|c| is_here(c))
}

fn is_here(checked: &Checked) -> bool {
    text(&checked.node, "state").is_none_or(|(s, _)| s != "absent")
}

fn text<'a>(node: &'a Node, key: &str) -> Option<(&'a str, &'a Node)> {
    match node.entry(key) {
        Some((_, node)) => match &node.value {
            Value::String(text) => Some((text, node)),
            _ => None,
        },
        None => None,
    }
}

fn items<'a>(node: &'a Node, key: &str) -> Vec<&'a Node> {
    match node.entry(key).map(|(_, n)| n) {
        Some(node) => match &node.value {
            Value::Array(items) => items.iter().collect(),
            _ => vec![node],
        },
        None => Vec::new(),
    }
}

fn number(node: Option<&Node>) -> Option<i64> {
    match &node?.value {
        Value::Integer(n) => Some(*n),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Images that are others from day to day.
pub(super) fn without_tag(seen: &Seen<'_>, out: &mut Vec<Diagnostic>) {
    for checked in seen.all().filter(|c| is_here(c)) {
        let key = if checked.instance.kind == "docker_image" { "name" } else { "image" };
        let Some((image, at)) = text(&checked.node, key) else { continue };
        if Reference::parse(image).is_some_and(|r| r.floats()) {
            let found = IMAGE_WITHOUT_TAG
                .at(seen.source(checked), &at.span, format!("{image:?} is another image from day to day"))
                .help("write the version you mean, as in \"redis:7.0.15\"");
            report(out, seen.raw(checked), found);
        }
    }
}

/// Services of which several tasks would write to the same data.
pub(super) fn two_writers(seen: &Seen<'_>, out: &mut Vec<Diagnostic>) {
    for checked in here(seen, "docker_service") {
        let node = &checked.node;
        let Some(reference) = text(node, "image").and_then(|(image, _)| Reference::parse(image)) else {
            continue;
        };
        let program = reference.repository.rsplit('/').next().unwrap_or_default();
        if !SINGLE_WRITERS.contains(&program) {
            continue;
        }
        let keeps = items(node, "mounts").into_iter().any(|mount| {
            let temporary = text(mount, "type").is_some_and(|(t, _)| t == "tmpfs");
            let read_only = mount.entry("read_only").is_some_and(|(_, n)| n.value == Value::Boolean(true));
            let config = text(mount, "target").is_some_and(|(t, _)| t.starts_with("/etc/"));
            !temporary && !read_only && !config
        });
        if !keeps {
            continue;
        }
        let mut wrong = |at: &Node, message: String, help: &str| {
            report(
                out,
                seen.raw(checked),
                TWO_WRITERS.at(seen.source(checked), &at.span, message).help(help),
            );
        };
        if let Some((_, at)) = node.entry("replicas")
            && number(Some(at)).is_some_and(|n| n > 1)
        {
            wrong(
                at,
                format!("several tasks of {program} would write to the same data"),
                "set `replicas = 1`",
            );
        }
        if let Some(("global", at)) = text(node, "mode") {
            wrong(
                at,
                format!("{program} on every node would write to the same data"),
                "leave `mode` out, and set `replicas = 1`",
            );
        }
        for key in ["update", "rollback"] {
            if let Some((_, policy)) = node.entry(key)
                && let Some(("start-first", at)) = text(policy, "order")
            {
                let message =
                    format!("the new {program} would start while the old one still writes to the same data");
                wrong(at, message, "set `order = \"stop-first\"`");
            }
        }
    }
}

/// Hosts that the run has in its swarm, and what it says of their nodes.
fn nodes<'a>(seen: &Seen<'a>) -> BTreeMap<HostIndex, Facts<'a>> {
    let mut nodes: BTreeMap<HostIndex, Facts<'_>> = BTreeMap::new();
    for checked in seen.all().filter(|c| c.instance.kind != "docker_service" && c.instance.kind != "mount") {
        let facts = nodes.entry(checked.index).or_default();
        let role = text(&checked.node, "role").map(|(r, _)| r);
        facts.manager |= checked.instance.kind == "swarm_init" || role == Some("manager");
        if let Some((availability, _)) = text(&checked.node, "availability") {
            facts.drained = availability == "drain";
        }
        if let Some((_, labels)) = checked.node.entry("labels")
            && let Value::Table(entries) = &labels.value
        {
            for (key, value) in entries {
                if let Value::String(value) = &value.value {
                    facts.labels.insert((&key.name, value));
                }
            }
        }
    }
    nodes
}

#[derive(Default)]
struct Facts<'a> {
    manager: bool,
    drained: bool,
    labels: BTreeSet<(&'a str, &'a str)>,
}

/// Whether the constraints keep a service off a node, as far as role and labels tell.
fn kept_off(service: &Node, facts: &Facts<'_>) -> bool {
    items(service, "constraints").into_iter().any(|item| {
        let Value::String(constraint) = &item.value else { return false };
        let (key, value, equal) = match (constraint.split_once("=="), constraint.split_once("!=")) {
            (Some((k, v)), _) => (k.trim(), v.trim(), true),
            (None, Some((k, v))) => (k.trim(), v.trim(), false),
            (None, None) => return false,
        };
        let met = match key.strip_prefix("node.labels.") {
            Some(label) => facts.labels.contains(&(label, value)),
            None if key == "node.role" => (value == "manager") == facts.manager,
            None => return false,
        };
        met != equal
    })
}

/// The paths that a service binds, and where they stand.
fn binds(service: &Checked) -> impl Iterator<Item = (&Node, &str, &Node)> {
    items(&service.node, "mounts").into_iter().filter_map(|mount| {
        let bind = text(mount, "type").is_some_and(|(t, _)| t == "bind");
        let (path, at) = text(mount, "source").filter(|_| bind)?;
        Some((mount, path, at))
    })
}

/// Single files that are bound into a container.
pub(super) fn bind_of_file(seen: &Seen<'_>, out: &mut Vec<Diagnostic>) {
    let name = |p: &str| p.rsplit('/').next().unwrap_or_default().to_owned();
    let is_file = |n: &str| {
        n.rsplit_once('.').is_some_and(|(stem, end)| !stem.is_empty() && !matches!(end, "d" | "sock"))
    };
    for checked in here(seen, "docker_service") {
        for (mount, path, at) in binds(checked) {
            let target = text(mount, "target").map(|(t, _)| name(t)).unwrap_or_default();
            if is_file(&name(path)) && is_file(&target) {
                let found = BIND_OF_FILE
                    .at(seen.source(checked), &at.span, format!("{path} is a single file"))
                    .help("a change of the file does not reach the container: use a `docker_config`, or bind its directory");
                report(out, seen.raw(checked), found);
            }
        }
    }
}

/// Shares that not every node mounts which may run the service.
pub(super) fn bind_not_everywhere(seen: &Seen<'_>, out: &mut Vec<Diagnostic>) {
    let nodes = nodes(seen);
    for checked in here(seen, "docker_service") {
        for (_, path, at) in binds(checked) {
            let below = |share: &str| {
                path == share || path.strip_prefix(share).is_some_and(|rest| rest.starts_with('/'))
            };
            let mounted: BTreeMap<HostIndex, (&Checked, &Node)> = seen
                .of("mount")
                .filter(|c| text(&c.node, "state").is_none_or(|(s, _)| s == "mounted"))
                .filter_map(|c| {
                    text(&c.node, "path").filter(|(p, _)| below(p)).map(|(_, at)| (c.index, (c, at)))
                })
                .collect();
            let Some((with, share)) = mounted.values().next() else { continue };
            let without: Vec<String> = nodes
                .iter()
                .filter(|(host, facts)| !mounted.contains_key(host) && !kept_off(&checked.node, facts))
                .map(|(host, facts)| {
                    format!("{}{}", seen.name(*host), if facts.drained { " (drained)" } else { "" })
                })
                .collect();
            if without.is_empty() {
                continue;
            }
            let message = format!("nodes that may run it do not mount {path}: {}", without.join(", "));
            let found = BIND_NOT_EVERYWHERE
                .at(seen.source(checked), &at.span, message)
                .related(span(seen.source(with), &share.span), "mounted by others here")
                .help(
                    "label the nodes that mount it, and add `constraints = [\"node.labels.storage == nfs\"]`",
                );
            report(out, seen.raw(checked), found);
        }
    }
}

/// Services that only drained nodes may run.
pub(super) fn on_drained(seen: &Seen<'_>, out: &mut Vec<Diagnostic>) {
    for checked in here(seen, "docker_service") {
        let nodes = nodes(seen);
        let Some((_, constraints)) = checked.node.entry("constraints") else { continue };
        let fitting: Vec<_> = nodes.iter().filter(|(_, facts)| !kept_off(&checked.node, facts)).collect();
        if !fitting.is_empty() && fitting.iter().all(|(_, facts)| facts.drained) {
            let names: Vec<String> = fitting.iter().map(|(host, _)| seen.name(**host).to_string()).collect();
            let found = SERVICE_ON_DRAINED
                .at(
                    seen.source(checked),
                    &constraints.span,
                    format!("only drained nodes may run it: {}", names.join(", ")),
                )
                .help("a drained node takes no service tasks: use a `docker_container`, or keep the node active");
            report(out, seen.raw(checked), found);
        }
    }
}

/// Settings of Redis without a password, in a file or as arguments (`--protected-mode no`).
pub(super) fn without_password(seen: &Seen<'_>, out: &mut Vec<Diagnostic>) {
    for checked in seen.all().filter(|c| is_here(c)) {
        let (settings, at) = match (text(&checked.node, "content"), checked.node.entry("args")) {
            (Some((content, at)), _) => (content.to_owned(), at),
            (None, Some((_, at))) => {
                let words = items(&checked.node, "args").into_iter().filter_map(|item| match &item.value {
                    Value::String(word) => Some(word.as_str()),
                    _ => None,
                });
                let args = words.collect::<Vec<_>>().join(" ");
                // A file among them may have the password.
                if args.split_whitespace().any(|word| word.strip_suffix(".conf").is_some()) {
                    continue;
                }
                (args.replace("--", "\n"), at)
            }
            (None, None) => return,
        };
        let words: Vec<Vec<&str>> = settings.lines().map(|l| l.split_whitespace().collect()).collect();
        let says = |key: &str| words.iter().any(|w| w.first() == Some(&key));
        let open = words.iter().any(|w| w.as_slice() == ["protected-mode", "no"]);
        if open && !["requirepass", "aclfile", "user", "include"].iter().any(|key| says(key)) {
            let found = REDIS_WITHOUT_PASSWORD
                .at(
                    seen.source(checked),
                    &at.span,
                    "`protected-mode no` without a password: Redis is open to everyone",
                )
                .help("set `requirepass` in a `docker_secret`, and `include` its file");
            report(out, seen.raw(checked), found);
        }
    }
}

/// A port that a service or container publishes.
struct Published<'a> {
    checked: &'a Checked,
    at: &'a Node,
    port: i64,
    protocol: String,
    place: Place,
}

/// Where it is open.
enum Place {
    /// On every node of the swarm.
    Ingress,
    /// On the nodes that run a task: the scheduler sees to it that they do not meet.
    Host,
    /// On the container's host, at this address; at all of them if it is empty.
    Address(String),
}

impl Published<'_> {
    fn clashes(&self, other: &Self) -> bool {
        let same = |(a, b): (&Checked, &Checked)| {
            a.instance.kind == b.instance.kind
                && text(&a.node, "name").map(|n| n.0) == text(&b.node, "name").map(|n| n.0)
        };
        if (self.port, &self.protocol) != (other.port, &other.protocol) || same((self.checked, other.checked))
        {
            return false;
        }
        match (&self.place, &other.place) {
            (Place::Ingress, _) | (_, Place::Ingress) => true,
            (Place::Address(a), Place::Address(b)) => {
                self.checked.index == other.checked.index && (a == b || a.is_empty() || b.is_empty())
            }
            (Place::Host, _) | (_, Place::Host) => false,
        }
    }
}

fn published(checked: &Checked) -> Vec<Published<'_>> {
    items(&checked.node, "ports").into_iter().filter_map(|at| publishes(checked, at)).collect()
}

fn publishes<'a>(checked: &'a Checked, at: &'a Node) -> Option<Published<'a>> {
    let (port, protocol, place) = match &at.value {
        Value::String(text) => {
            let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
            let front = ports.rsplit_once(':')?.0;
            let (address, port) = front.rsplit_once(':').unwrap_or(("", front));
            let service = checked.instance.kind == "docker_service";
            let place = if service { Place::Ingress } else { Place::Address(address.to_owned()) };
            (port.parse().ok()?, protocol, place)
        }
        Value::Table(_) => {
            let protocol = text(at, "protocol").map_or("tcp", |(p, _)| p);
            let host = text(at, "mode").is_some_and(|(m, _)| m == "host");
            let place = if host { Place::Host } else { Place::Ingress };
            (number(at.entry("published").map(|(_, n)| n))?, protocol, place)
        }
        _ => return None,
    };
    Some(Published { checked, at, port, protocol: protocol.to_owned(), place })
}

/// Ports that are published twice where only one can be.
pub(super) fn port_clash(seen: &Seen<'_>, out: &mut Vec<Diagnostic>) {
    let mut taken: Vec<Published<'_>> = Vec::new();
    for one in seen.all().filter(|c| is_here(c)).flat_map(published) {
        if let Some(other) = taken.iter().find(|other| one.clashes(other)) {
            let name = text(&other.checked.node, "name").map_or("", |(n, _)| n);
            let by = match other.place {
                Place::Ingress => format!("service {name} on every node"),
                Place::Host => format!("service {name} on its nodes"),
                Place::Address(_) => format!("container {name} on {}", other.checked.host.name),
            };
            let found = PORT_CLASH
                .at(
                    seen.source(one.checked),
                    &one.at.span,
                    format!("port {}/{} is published by {by}", one.port, one.protocol),
                )
                .related(span(seen.source(other.checked), &other.at.span), "published here first")
                .help("publish one of them under another port");
            report(out, seen.raw(one.checked), found);
        } else {
            taken.push(one);
        }
    }
}
