//! Docker: services against their data, their ports and the nodes that may run them.
//!
//! Reads the tables of the Docker kinds, not their types: whoever writes a kind need not know of lints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Lint, report};
use crate::config::offline::{Checked, Resolved};
use crate::config::playbook::RawStep;
use crate::config::table::span;
use crate::diagnostic::{Diagnostic, Severity, Source};
use crate::model::HostName;
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

/// Checks all Docker steps of a run.
pub(super) fn check(run: &Resolved<'_>, out: &mut Vec<Diagnostic>) {
    let here = |c: &&Checked| text(&c.node, "state").is_none_or(|(s, _)| s != "absent");
    let of = |kind: &'static str| run.instances.iter().filter(move |c| c.instance.kind == kind).filter(here);
    for checked in of("docker_service").chain(of("docker_container")).chain(of("docker_image")) {
        untagged(run, checked, out);
    }
    for checked in of("docker_service") {
        two_writers(run, checked, out);
        binds(run, checked, out);
        drained(run, checked, out);
    }
    for checked in
        of("docker_config").chain(of("file")).chain(of("docker_service")).chain(of("docker_container"))
    {
        no_password(run, checked, out);
    }
    ports(run, of("docker_service").chain(of("docker_container")), out);
}

fn source<'a>(run: &Resolved<'a>, checked: &Checked) -> &'a Arc<Source> {
    &run.plays[checked.play].1.source
}

fn raw<'a>(run: &Resolved<'a>, checked: &Checked) -> &'a RawStep {
    &run.plays[checked.play].2[checked.step].raw
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

fn untagged(run: &Resolved<'_>, checked: &Checked, out: &mut Vec<Diagnostic>) {
    let key = if checked.instance.kind == "docker_image" { "name" } else { "image" };
    let Some((image, at)) = text(&checked.node, key) else { return };
    if Reference::parse(image).is_some_and(|r| r.floats()) {
        let found = IMAGE_WITHOUT_TAG
            .at(source(run, checked), &at.span, format!("{image:?} is another image from day to day"))
            .help("write the version you mean, as in \"redis:7.0.15\"");
        report(out, raw(run, checked), found);
    }
}

fn two_writers(run: &Resolved<'_>, checked: &Checked, out: &mut Vec<Diagnostic>) {
    let node = &checked.node;
    let Some(reference) = text(node, "image").and_then(|(image, _)| Reference::parse(image)) else { return };
    let program = reference.repository.rsplit('/').next().unwrap_or_default();
    if !SINGLE_WRITERS.contains(&program) {
        return;
    }
    let keeps = items(node, "mounts").into_iter().any(|mount| {
        let temporary = text(mount, "type").is_some_and(|(t, _)| t == "tmpfs");
        let read_only = mount.entry("read_only").is_some_and(|(_, n)| n.value == Value::Boolean(true));
        let config = text(mount, "target").is_some_and(|(t, _)| t.starts_with("/etc/"));
        !temporary && !read_only && !config
    });
    if !keeps {
        return;
    }
    let mut wrong = |at: &Node, message: String, help: &str| {
        report(out, raw(run, checked), TWO_WRITERS.at(source(run, checked), &at.span, message).help(help));
    };
    if let Some((_, at)) = node.entry("replicas")
        && number(Some(at)).is_some_and(|n| n > 1)
    {
        wrong(at, format!("several tasks of {program} would write to the same data"), "set `replicas = 1`");
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

/// Hosts that the run has in its swarm, and what it says of their nodes.
fn nodes<'a>(run: &'a Resolved<'_>) -> BTreeMap<&'a HostName, Facts<'a>> {
    let mut nodes: BTreeMap<&HostName, Facts<'_>> = BTreeMap::new();
    for checked in &run.instances {
        if !matches!(checked.instance.kind, "swarm_init" | "swarm_join" | "swarm_node") {
            continue;
        }
        let facts = nodes.entry(&checked.host.name).or_default();
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

fn binds(run: &Resolved<'_>, checked: &Checked, out: &mut Vec<Diagnostic>) {
    let nodes = nodes(run);
    for mount in items(&checked.node, "mounts") {
        let bind = text(mount, "type").is_some_and(|(t, _)| t == "bind");
        let Some((path, at)) = text(mount, "source").filter(|_| bind) else { continue };
        let name = |p: &str| p.rsplit('/').next().unwrap_or_default().to_owned();
        let is_file = |n: &str| {
            n.rsplit_once('.').is_some_and(|(stem, end)| !stem.is_empty() && !matches!(end, "d" | "sock"))
        };
        let target = text(mount, "target").map(|(t, _)| name(t)).unwrap_or_default();
        if is_file(&name(path)) && is_file(&target) {
            let found = BIND_OF_FILE
                .at(source(run, checked), &at.span, format!("{path} is a single file"))
                .help("a change of the file does not reach the container: use a `docker_config`, or bind its directory");
            report(out, raw(run, checked), found);
        }
        let below =
            |share: &str| path == share || path.strip_prefix(share).is_some_and(|rest| rest.starts_with('/'));
        let mounted: BTreeMap<&HostName, (&Checked, &Node)> = run
            .instances
            .iter()
            .filter(|c| c.instance.kind == "mount")
            .filter(|c| text(&c.node, "state").is_none_or(|(s, _)| s == "mounted"))
            .filter_map(|c| {
                text(&c.node, "path").filter(|(p, _)| below(p)).map(|(_, at)| (&c.host.name, (c, at)))
            })
            .collect();
        let Some((with, share)) = mounted.values().next() else { continue };
        let without: Vec<String> = nodes
            .iter()
            .filter(|(name, facts)| !mounted.contains_key(*name) && !kept_off(&checked.node, facts))
            .map(|(name, facts)| if facts.drained { format!("{name} (drained)") } else { name.to_string() })
            .collect();
        if without.is_empty() {
            continue;
        }
        let message = format!("nodes that may run it do not mount {path}: {}", without.join(", "));
        let found = BIND_NOT_EVERYWHERE
            .at(source(run, checked), &at.span, message)
            .related(span(source(run, with), &share.span), "mounted by others here")
            .help("label the nodes that mount it, and add `constraints = [\"node.labels.storage == nfs\"]`");
        report(out, raw(run, checked), found);
    }
}

fn drained(run: &Resolved<'_>, checked: &Checked, out: &mut Vec<Diagnostic>) {
    let nodes = nodes(run);
    let Some((_, constraints)) = checked.node.entry("constraints") else { return };
    let fitting: Vec<_> = nodes.iter().filter(|(_, facts)| !kept_off(&checked.node, facts)).collect();
    if !fitting.is_empty() && fitting.iter().all(|(_, facts)| facts.drained) {
        let names: Vec<String> = fitting.iter().map(|(name, _)| name.to_string()).collect();
        let found = SERVICE_ON_DRAINED
            .at(
                source(run, checked),
                &constraints.span,
                format!("only drained nodes may run it: {}", names.join(", ")),
            )
            .help("a drained node takes no service tasks: use a `docker_container`, or keep the node active");
        report(out, raw(run, checked), found);
    }
}

/// Settings of Redis in a file, or as arguments (`--protected-mode no`).
fn no_password(run: &Resolved<'_>, checked: &Checked, out: &mut Vec<Diagnostic>) {
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
                return;
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
                source(run, checked),
                &at.span,
                "`protected-mode no` without a password: Redis is open to everyone",
            )
            .help("set `requirepass` in a `docker_secret`, and `include` its file");
        report(out, raw(run, checked), found);
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
                self.checked.host.name == other.checked.host.name && (a == b || a.is_empty() || b.is_empty())
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

fn ports<'a>(run: &Resolved<'_>, all: impl Iterator<Item = &'a Checked>, out: &mut Vec<Diagnostic>) {
    let mut seen: Vec<Published<'_>> = Vec::new();
    for one in all.flat_map(published) {
        if let Some(other) = seen.iter().find(|other| one.clashes(other)) {
            let name = text(&other.checked.node, "name").map_or("", |(n, _)| n);
            let by = match other.place {
                Place::Ingress => format!("service {name} on every node"),
                Place::Host => format!("service {name} on its nodes"),
                Place::Address(_) => format!("container {name} on {}", other.checked.host.name),
            };
            let found = PORT_CLASH
                .at(
                    source(run, one.checked),
                    &one.at.span,
                    format!("port {}/{} is published by {by}", one.port, one.protocol),
                )
                .related(span(source(run, other.checked), &other.at.span), "published here first")
                .help("publish one of them under another port");
            report(out, raw(run, one.checked), found);
        } else {
            seen.push(one);
        }
    }
}
