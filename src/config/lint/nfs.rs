//! NFS: exports against the hosts that mount them, and the traps of `exports(5)`.
//!
//! Reads the tables of `nfs_export` and `mount`, not their types: whoever writes a kind need not know of lints.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use super::{Seen, report};
use crate::config::address::Network;
use crate::config::finding::Lint;
use crate::config::offline::Checked;
use crate::config::pattern::glob;
use crate::config::table::span;
use crate::diagnostic::{Diagnostic, Severity};
use crate::model::value::{Node, Value};
use crate::model::{Host, HostIndex, Hosts};
use crate::step::family::exports;

pub(super) const EXPORT_LEAVES_OUT_CLIENT: Lint = Lint {
    name: "export-leaves-out-client",
    severity: Severity::Error,
    doc: "A host of the run mounts a directory whose export does not let it in: `mount` would fail with \
          \"access denied by server\". Add the host's address or network to `clients`. \
          `\"{{ host.address | network(24) }}\"` makes the network from an address.",
};

pub(super) const MOUNT_WITHOUT_EXPORT: Lint = Lint {
    name: "mount-without-export",
    severity: Severity::Warning,
    doc: "A mount's server is in the run and exports directories there, but not this one. Mostly the path is \
          misspelled at one of the two places.",
};

pub(super) const EXPORT_WORLD_WRITABLE: Lint = Lint {
    name: "export-world-writable",
    severity: Severity::Warning,
    doc: "Everyone who reaches the server may write to the export. Name the network of the clients, or \
          export it `ro`.",
};

pub(super) const EXPORT_HOST_BITS: Lint = Lint {
    name: "export-host-bits",
    severity: Severity::Warning,
    doc: "A client is written as a network, but with the address of a host: `192.168.158.143/24` lets in all of \
          `192.168.158.0/24`, not one machine. Write the network's own address, or `/32` for one host.",
};

pub(super) const NO_ROOT_SQUASH: Lint = Lint {
    name: "no-root-squash",
    severity: Severity::Warning,
    doc: "With `no_root_squash`, root of every client is root on the exported files, and may leave programs \
          there that make anyone root. Give the data to the user who needs it and keep `root_squash`.",
};

/// A client of an export.
struct Client {
    spec: String,
    options: Vec<String>,
    at: Range<usize>,
}

/// An export of one host.
struct Export<'a> {
    of: &'a Checked,
    path: String,
    clients: Vec<Client>,
    clients_at: Range<usize>,
}

/// A mount of one host.
struct Mount<'a> {
    of: &'a Checked,
    /// The server, if it is a host of the inventory.
    server: Option<HostIndex>,
    path: String,
    at: Range<usize>,
}

fn exports<'a>(seen: &Seen<'a>) -> Vec<Export<'a>> {
    seen.of("nfs_export").filter_map(export).collect()
}

fn mounts<'a>(seen: &Seen<'a>) -> Vec<Mount<'a>> {
    seen.of("mount").filter_map(|checked| mount(checked, &seen.run.world.fleet.hosts)).collect()
}

/// Reports each client of an export of which `wrong` says what is wrong, and what to do.
fn each_client(
    seen: &Seen<'_>,
    lint: &Lint,
    out: &mut Vec<Diagnostic>,
    wrong: impl Fn(&Export<'_>, &Client) -> Option<(String, String)>,
) {
    for export in exports(seen) {
        for client in &export.clients {
            if let Some((message, help)) = wrong(&export, client) {
                let found = lint.at(seen.source(export.of), &client.at, message).help(help);
                report(out, seen.raw(export.of), found);
            }
        }
    }
}

impl Client {
    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|o| o == option)
    }
}

/// Exports to which everyone may write.
pub(super) fn world_writable(seen: &Seen<'_>, out: &mut Vec<Diagnostic>) {
    each_client(seen, &EXPORT_WORLD_WRITABLE, out, |export, client| {
        let world = client.spec == "*" || Network::parse(&client.spec).is_some_and(|n| n.prefix == 0);
        let help = "name the clients' network, or export with the option `ro`";
        (world && client.has("rw")).then(|| (format!("everyone may write to {}", export.path), help.into()))
    });
}

/// Exports in which root of the clients is root.
pub(super) fn no_root_squash(seen: &Seen<'_>, out: &mut Vec<Diagnostic>) {
    each_client(seen, &NO_ROOT_SQUASH, out, |export, client| {
        let message = || format!("root of {} is root in {}", client.spec, export.path);
        let help = "use `root_squash` and give the directory to the user who writes to it";
        client.has("no_root_squash").then(|| (message(), help.into()))
    });
}

/// Networks that are written with the address of a host.
pub(super) fn host_bits(seen: &Seen<'_>, out: &mut Vec<Diagnostic>) {
    each_client(seen, &EXPORT_HOST_BITS, out, |_, client| {
        let network = Network::parse(&client.spec).filter(|n| n.address != n.base())?;
        let message = format!("{} is the network {}, not one host", client.spec, network.canonical());
        let help = format!(
            "write \"{}\" for the network, \"{}\" for the host",
            network.canonical(),
            network.address
        );
        Some((message, help))
    });
}

/// Hosts that mount an export which does not let them in.
pub(super) fn leaves_out_client(seen: &Seen<'_>, out: &mut Vec<Diagnostic>) {
    let (exports, mounts) = (exports(seen), mounts(seen));
    for export in &exports {
        let concerned = |m: &&Mount<'_>| {
            m.of.index != export.of.index
                && m.server == Some(export.of.index)
                && covers(&export.path, &m.path)
                // Another export of the server may let it in.
                && !exports.iter().any(|other| {
                    other.of.index == export.of.index
                        && covers(&other.path, &m.path)
                        && (lets_in(other, &m.of.host) || other.path.len() > export.path.len())
                })
        };
        let refused: Vec<&Mount<'_>> = mounts.iter().filter(concerned).collect();
        let Some(first) = refused.first() else { continue };
        let mut told = BTreeSet::new();
        let hosts: Vec<&Arc<Host>> =
            refused.iter().map(|m| &m.of.host).filter(|h| told.insert(h.name.clone())).collect();
        let shown: Vec<String> =
            hosts.iter().take(4).map(|h| format!("{} ({})", h.name, h.login.address)).collect();
        let more = hosts.len().saturating_sub(shown.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let list = shown.join(", ");
        let message = format!("the export of {} leaves out hosts that mount it: {list}{more}", export.path);
        let addresses: BTreeSet<String> = hosts
            .iter()
            .filter_map(|h| h.login.address.parse::<IpAddr>().ok())
            .map(|address| {
                let prefix = if address.is_ipv4() { 24 } else { 64 };
                Network { address, prefix }.canonical().to_string()
            })
            .collect();
        let help = match addresses.len() {
            0 => "add their names to `clients`".to_owned(),
            _ => format!(
                "add their network to `clients`, for example {}",
                addresses.iter().map(|a| format!("{a:?}")).collect::<Vec<_>>().join(", ")
            ),
        };
        let specs: Vec<&str> = export.clients.iter().map(|c| c.spec.as_str()).collect();
        let found = EXPORT_LEAVES_OUT_CLIENT
            .at(seen.source(export.of), &export.clients_at, message)
            .label(format!("lets in {}", if specs.is_empty() { "nobody".into() } else { specs.join(", ") }))
            .related(span(seen.source(first.of), &first.at), "mounted here")
            .help(help);
        report(out, seen.raw(export.of), found);
    }
}

/// Mounts of what their server does not export.
pub(super) fn without_export(seen: &Seen<'_>, out: &mut Vec<Diagnostic>) {
    let (run, exports, mounts) = (seen.run, exports(seen), mounts(seen));
    let mut by_server: BTreeMap<HostIndex, Vec<&Export<'_>>> = BTreeMap::new();
    for export in &exports {
        by_server.entry(export.of.index).or_default().push(export);
    }
    for mount in &mounts {
        let Some((server, its)) = mount.server.and_then(|server| Some((server, by_server.get(&server)?)))
        else {
            continue;
        };
        // Without an export in the run, or with one that is not known yet, nothing can be said. With
        // `fsid=0` paths are counted from another root.
        let root_moved = its
            .iter()
            .any(|e| e.clients.iter().any(|c| c.options.iter().any(|o| o == "fsid=0" || o == "fsid=root")));
        let unresolved = run.plays.iter().enumerate().any(|(p, (_, _, steps))| {
            steps.iter().enumerate().any(|(s, step)| {
                // Asked last: there may be as many as hosts.
                let known = || {
                    run.instances.iter().any(|c| c.play.position() == p && c.step == s && c.index == server)
                };
                step.raw.kind.name == "nfs_export"
                    && (step.needs_facts || !step.needs_results.is_empty())
                    && step.hosts.contains(&server)
                    && !known()
            })
        });
        if root_moved || unresolved || its.iter().any(|e| covers(&e.path, &mount.path)) {
            continue;
        }
        let paths: Vec<String> = its.iter().map(|e| e.path.clone()).collect();
        let message = format!("{} does not export {}", run.world.fleet.hosts[server].name, mount.path);
        let mut found = MOUNT_WITHOUT_EXPORT
            .at(seen.source(mount.of), &mount.at, message)
            .related(span(seen.source(its[0].of), &its[0].of.node.span_at("path")), "this is exported");
        found.help.extend(crate::config::table::suggest(&mount.path, paths.iter().map(String::as_str)));
        report(out, seen.raw(mount.of), found);
    }
}

/// Whether an export of `exported` makes `path` mountable: it is the path, or lies above it.
fn covers(exported: &str, path: &str) -> bool {
    exported == path
        || exported == "/"
        || path.strip_prefix(exported).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether the export may let the host in: only what is certain counts as a no.
fn lets_in(export: &Export<'_>, host: &Host) -> bool {
    export.clients.iter().any(|client| admits(&client.spec, host) != Some(false))
}

/// Whether a client specification means the host; `None` where only the server's resolver knows.
fn admits(spec: &str, host: &Host) -> Option<bool> {
    let own = [host.name.as_str(), host.login.address.as_str()];
    if own.iter().any(|n| glob(&spec.to_ascii_lowercase(), &n.to_ascii_lowercase())) {
        return Some(true);
    }
    exports::admits(spec, host.login.address.parse().ok()?)
}

fn text<'a>(node: &'a Node, key: &str) -> Option<(&'a str, &'a Node)> {
    match node.entry(key)?.1 {
        node @ Node { value: Value::String(text), .. } => Some((text, node)),
        _ => None,
    }
}

fn texts(node: Option<&Node>) -> Option<Vec<String>> {
    match &node?.value {
        Value::String(text) => Some(text.split(',').map(|t| t.trim().to_owned()).collect()),
        Value::Array(items) => Some(items.iter().flat_map(|n| texts(Some(n)).unwrap_or_default()).collect()),
        _ => None,
    }
}

fn absent(node: &Node) -> bool {
    text(node, "state").is_some_and(|(state, _)| matches!(state, "absent" | "unmounted"))
}

fn trimmed(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() }
}

fn export(checked: &Checked) -> Option<Export<'_>> {
    let node = &checked.node;
    let (path, _) = text(node, "path").filter(|_| !absent(node))?;
    // As `exports(5)` and the kind: writable unless it says otherwise.
    let common = texts(node.entry("options").map(|(_, n)| n)).unwrap_or_else(|| vec!["rw".to_owned()]);
    let listed = node.entry("clients").map(|(_, n)| n);
    let mut clients = Vec::new();
    let items: Vec<&Node> = match listed.map(|n| &n.value) {
        Some(Value::Array(items)) => items.iter().collect(),
        Some(_) => listed.into_iter().collect(),
        None => Vec::new(),
    };
    for item in items {
        let (spec, options) = match &item.value {
            Value::String(spec) => (spec.as_str(), None),
            Value::Table(_) => match text(item, "spec") {
                Some((spec, _)) => (spec, texts(item.entry("options").map(|(_, n)| n))),
                None => continue,
            },
            _ => continue,
        };
        let options = options.unwrap_or_else(|| common.clone());
        clients.push(Client { spec: spec.to_owned(), options, at: item.span.clone() });
    }
    let clients_at = listed.map_or_else(|| node.span.clone(), |n| n.span.clone());
    Some(Export { of: checked, path: trimmed(path), clients, clients_at })
}

fn mount<'a>(checked: &'a Checked, hosts: &Hosts) -> Option<Mount<'a>> {
    let node = &checked.node;
    let (from, at) = text(node, "source").filter(|_| !absent(node))?;
    let nfs = text(node, "fstype").is_none_or(|(t, _)| t.is_empty() || t.starts_with("nfs"));
    let (server, path) = from.split_once(":/").filter(|_| nfs)?;
    let server = hosts.find(server);
    Some(Mount { of: checked, server, path: trimmed(&format!("/{path}")), at: at.span.clone() })
}
