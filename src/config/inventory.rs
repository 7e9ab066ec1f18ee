//! `inventory.toml`: hosts, groups, their variables and how to log in.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::address;
use super::ansible;
use super::becomes::{becomes, wrong_user};
use super::environment::Environment;
use super::finding::Lint;
use super::fleet::{Fleet, Group, RawGroup, RawHost, Settings};
use super::groups::{self, HostNames, Resolved};
use super::layer::Layer;
use super::pattern::Names;
use super::range;
use super::secret::in_folder;
use super::table::{Silence, Table, silence, span, suggest_beside};
use crate::diagnostic::{Diagnostic, Severity, Source, nearest};
use crate::model::value::{Key, Node, Value, duration};
use crate::model::{Host, HostIndex, HostName, Hosts, Login};

/// What cannot be an address. Kinds check the addresses in their own tables.
pub(super) const ADDRESS_INVALID: Lint = Lint {
    name: "address-invalid",
    severity: Severity::Error,
    doc: "The address of a host in the inventory cannot be one: `192.168.158.1434` has a digit too many. It would \
          be taken for a host name that does not exist.",
};

/// Two names of the inventory for one machine.
pub(super) const SAME_ADDRESS: Lint = Lint {
    name: "same-address",
    severity: Severity::Warning,
    doc: "Two hosts of the inventory have the same address and port: they are one machine under two names. Both \
          would be worked on at the same time and get in each other's way. Mostly one address is misspelled.",
};

/// Hosts that an inventory may have, so that a slip in a range is no long wait.
const MOST: usize = 100_000;

struct Reader<'a> {
    source: &'a Arc<Source>,
    folder: &'a Path,
    environment: &'a dyn Environment,
}

/// Tables of an inventory.
pub(crate) const TOP: [&str; 3] = ["defaults", "hosts", "groups"];

/// Keys of the defaults.
pub(crate) const DEFAULTS_KEYS: [&str; 9] =
    ["port", "user", "ssh_config", "ssh_options", "keep", "become", "forks", "vars", "silence"];

/// Keys of a host.
pub(crate) const HOST_KEYS: [&str; 10] = [
    "address",
    "port",
    "user",
    "ssh_config",
    "ssh_options",
    "keep",
    "become",
    "connection",
    "vars",
    "silence",
];

/// Keys of a group.
pub(crate) const GROUP_KEYS: [&str; 10] =
    ["hosts", "children", "port", "user", "ssh_config", "ssh_options", "keep", "become", "vars", "silence"];

/// Reads an inventory.
pub(super) fn parse(
    source: &Arc<Source>,
    folder: &Path,
    root: &Node,
    environment: &dyn Environment,
    out: &mut Vec<Diagnostic>,
) -> Fleet {
    let reader = Reader { source, folder, environment };
    let Some(mut table) = Table::new(source, root, out) else { return Fleet::default() };
    let defaults = table.take("defaults");
    let hosts = table.named("hosts");
    let groups = table.named("groups");
    let hosts_missing = table.rest().is_empty() && root.entry("hosts").is_none_or(|(_, n)| is_empty(n));
    table.reads(&TOP);
    reader.unknown_tables(table);
    if hosts_missing {
        out.push(
            Diagnostic::error(span(source, &(0..0)), "the inventory has no hosts")
                .help("write `[hosts.NAME]` with `address = \"...\"` for each host"),
        );
    }

    let mut forks = None;
    let mut silence = Vec::new();
    let (default_settings, default_layer) = match defaults {
        Some((_, node)) => reader.defaults(node, &mut forks, &mut silence, out),
        None => (Settings::default(), Arc::default()),
    };
    let raw_hosts = reader.hosts(hosts, out);
    let raw_groups = reader.groups(groups, out);
    let names = HostNames::new(&raw_hosts);
    reader.names_of_both(&raw_groups, &raw_hosts, &names, out);
    let Resolved { counting, members, above } = groups::resolve(source, &raw_groups, &names, out);

    let written =
        raw_groups.iter().flat_map(|g| &g.silence).chain(raw_hosts.iter().flat_map(|h| &*h.silence));
    let silenced_anywhere = silence.iter().chain(written).cloned().collect();
    let mut fleet = Fleet { forks, silenced: silenced_anywhere, ..Fleet::default() };
    let mut all = Vec::with_capacity(raw_hosts.len());
    // Host by host its groups, those that count most last.
    let mut of_host: Vec<Vec<usize>> = vec![Vec::new(); raw_hosts.len()];
    for &group in &counting {
        for &host in &members[group] {
            of_host[host.position()].push(group);
        }
    }
    let silenced = |host: HostIndex, lint: &str| {
        let host = host.position();
        let groups = of_host[host].iter().flat_map(|g| &raw_groups[*g].silence);
        silence.iter().chain(groups).chain(&*raw_hosts[host].silence).any(|s| s.lint == lint)
    };
    reader.same_machine(&raw_hosts, &default_settings, &silenced, out);
    groups::siblings(source, &raw_groups, &raw_hosts, &of_host, &above, &silenced, out);
    // Hosts of the same groups have the same variables but for their own.
    let mut shared: HashMap<Vec<*const Layer>, Arc<serde_json::Map<String, serde_json::Value>>> =
        HashMap::new();
    for (position, host) in raw_hosts.into_iter().enumerate() {
        let mut settings = default_settings.clone();
        let mut layers = vec![Arc::clone(&default_layer)];
        for &group in &of_host[position] {
            settings = raw_groups[group].settings.clone().over(&settings);
            layers.push(Arc::clone(&raw_groups[group].layer));
        }
        settings = host.settings.over(&settings);
        layers.push(host.layer);
        layers.retain(|l| !l.is_empty());
        let vars = shared.entry(layers.iter().map(Arc::as_ptr).collect()).or_insert_with(|| {
            let mut vars = serde_json::Map::new();
            for layer in &layers {
                layer.add_to(&mut vars);
            }
            Arc::new(vars)
        });
        fleet.becomes.0.push(settings.becomes);
        all.push(Arc::new(Host {
            login: Login {
                port: settings.port,
                user: settings.user,
                ssh_config: settings.ssh_config,
                ssh_options: settings.ssh_options,
                keep: settings.keep,
                ..host.login
            },
            name: host.name,
            groups: of_host[position].iter().map(|g| raw_groups[*g].key.name.as_str().into()).collect(),
            vars: Arc::clone(vars),
            place: source.place(host.key_start),
        }));
        fleet.layers.0.push(layers);
    }
    fleet.groups = raw_groups
        .iter()
        .zip(members)
        .map(|(group, hosts)| Group {
            name: group.key.name.as_str().into(),
            hosts: hosts.into_iter().collect(),
        })
        .collect();
    fleet.hosts = Arc::new(Hosts::new(all));
    fleet
}

impl Reader<'_> {
    fn defaults(
        &self,
        node: &Node,
        forks: &mut Option<usize>,
        silenced: &mut Vec<Silence>,
        out: &mut Vec<Diagnostic>,
    ) -> (Settings, Arc<Layer>) {
        let Some(mut table) = Table::new(self.source, node, out) else { return Default::default() };
        let settings = self.settings(&mut table);
        *silenced = silence(self.source, &mut table);
        *forks = table.number("forks", 1, 10_000).and_then(|n| usize::try_from(n).ok());
        let layer = self.vars(&mut table);
        table.reads(&DEFAULTS_KEYS);
        table.finish();
        (settings, layer)
    }

    fn settings(&self, table: &mut Table<'_, '_>) -> Settings {
        let ssh_options = table.texts("ssh_options");
        for (option, node) in &ssh_options {
            if !option.contains('=') {
                let diagnostic = Diagnostic::error(
                    span(self.source, &node.span),
                    format!("{option:?} is not an option of ssh"),
                );
                table
                    .out()
                    .push(diagnostic.help("write it as \"Key=value\", for example \"ProxyJump=bastion\""));
            }
        }
        Settings {
            port: table.number("port", 1, 65_535).and_then(|n| u16::try_from(n).ok()),
            user: table.text("user").map(|(user, node)| {
                if let Some(wrong) = wrong_user(user) {
                    let at = span(self.source, &node.span);
                    table
                        .out()
                        .push(Diagnostic::error(at, wrong.message).help(wrong.help.unwrap_or_default()));
                }
                user.to_owned()
            }),
            ssh_config: table
                .text("ssh_config")
                .map(|(path, _)| in_folder(self.folder, path, self.environment)),
            ssh_options: ssh_options.into_iter().map(|(option, _)| option.to_owned()).collect(),
            keep: self.keep(table),
            becomes: becomes(self.source, table),
        }
    }

    fn keep(&self, table: &mut Table<'_, '_>) -> Option<Duration> {
        let (_, node) = table.take("keep")?;
        match duration(node) {
            Ok(keep) => Some(keep),
            Err(error) => {
                let mistake = Diagnostic::error(span(self.source, &node.span), error.message);
                table
                    .out()
                    .push(mistake.help("for example \"10m\"; \"0s\" closes connections at the end of a run"));
                None
            }
        }
    }

    fn vars(&self, table: &mut Table<'_, '_>) -> Arc<Layer> {
        match table.take("vars") {
            Some((_, node)) => Arc::new(Layer::new(self.source, self.folder, node, table.out())),
            None => Arc::default(),
        }
    }

    fn hosts(&self, entries: &[(Key, Node)], out: &mut Vec<Diagnostic>) -> Vec<RawHost> {
        let mut hosts: Vec<RawHost> = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (key, node) in entries {
            let Some(mut table) = Table::new(self.source, node, out) else { continue };
            if self.dotted("hosts", key, &table) {
                let dotted = self.dotted_name("hosts", key, node);
                table.out().push(dotted);
                continue;
            }
            let settings = self.settings(&mut table);
            let address = table.text("address");
            let connection = table.text("connection");
            let layer = self.vars(&mut table);
            let silence = Arc::new(silence(self.source, &mut table));
            table.reads(&HOST_KEYS);
            self.finish(table);
            let local = match connection {
                Some(("local", _)) => true,
                None | Some(("ssh", _)) => false,
                Some((other, node)) => {
                    let message = format!("{other:?} is not a way to connect");
                    out.push(
                        Diagnostic::error(span(self.source, &node.span), message)
                            .help("`connection` is \"ssh\" (the default) or \"local\""),
                    );
                    false
                }
            };
            let fail = |range, message: String| Diagnostic::error(span(self.source, range), message);
            if let Some(ip) =
                address::without_brackets(&key.name).or(key.name.contains(':').then_some(&*key.name))
                && address::check_host(ip).is_ok()
            {
                let message = format!("{:?} is an address; a host has a name as well", key.name);
                out.push(
                    fail(&key.span, message)
                        .help(format!("write `[hosts.NAME]`, and below it `address = \"{ip}\"`")),
                );
                continue;
            }
            let names = match range::expand(&key.name) {
                Ok(names) => names,
                Err(message) => {
                    out.push(fail(&key.span, message));
                    continue;
                }
            };
            let mut addresses = names.clone();
            let address_span = address.map_or(&key.span, |(_, n)| &n.span).clone();
            if let Some((text, node)) = address {
                let expanded = match address::without_brackets(text) {
                    Some(ip) => Ok(vec![ip.to_owned()]),
                    // `[fd00::1]:22` is no range either; what is wrong with it is told below.
                    None if text.starts_with('[') && text.matches(':').count() > 2 => {
                        Ok(vec![text.to_owned()])
                    }
                    None => range::expand(text),
                };
                match expanded {
                    Ok(expanded) if expanded.len() == names.len() => addresses = expanded,
                    Ok(expanded) => {
                        let message = format!(
                            "{} names, but {} addresses",
                            names.len(),
                            if expanded.len() == 1 { "one".to_owned() } else { expanded.len().to_string() }
                        );
                        out.push(
                            fail(&node.span, message)
                                .label("gives each name its address in turn")
                                .related(span(self.source, &key.span), format!("{} names", names.len()))
                                .help(
                                    "give the address a range as long as that of the name: \"10.0.0.[1:20]\"",
                                ),
                        );
                        continue;
                    }
                    Err(message) => {
                        out.push(fail(&node.span, message));
                        continue;
                    }
                }
            }
            if hosts.len() + names.len() > MOST {
                let message = format!("the inventory has more than {MOST} hosts");
                out.push(fail(&key.span, message).label("with these"));
                return hosts;
            }
            for (name, address) in names.into_iter().zip(addresses) {
                let name = match HostName::new(&name) {
                    Ok(name) => name,
                    Err(error) => {
                        out.push(fail(&key.span, error.to_string()));
                        break;
                    }
                };
                if name.as_str() == "all" {
                    out.push(
                        fail(&key.span, "`all` is the group of every host and cannot name one".into())
                            .help("give the host another name"),
                    );
                    continue;
                }
                if let Some(first) = seen.insert(name.as_str().to_owned(), key.span.start) {
                    out.push(
                        fail(&key.span, format!("the host {name} is there twice"))
                            .label("again")
                            .related(span(self.source, &(first..first + 1)), "first here"),
                    );
                    continue;
                }
                if let Err(wrong) = address::check_host(&address) {
                    let mut diagnostic = ADDRESS_INVALID.at(self.source, &address_span, wrong.message);
                    diagnostic.help.extend(wrong.help);
                    out.push(diagnostic);
                }
                let login = Login { address, local, ..Login::default() };
                hosts.push(RawHost {
                    name,
                    login,
                    settings: settings.clone(),
                    layer: Arc::clone(&layer),
                    key_start: key.span.start,
                    address_span: address_span.clone(),
                    silence: Arc::clone(&silence),
                });
            }
        }
        hosts
    }

    fn groups<'a>(&self, entries: &'a [(Key, Node)], out: &mut Vec<Diagnostic>) -> Vec<RawGroup<'a>> {
        let mut groups = Vec::new();
        for (key, node) in entries {
            if key.name == "all" || HostName::new(&key.name).is_err() {
                let message = if key.name == "all" {
                    "`all` is the group of every host and cannot be defined".to_owned()
                } else {
                    format!("{:?} is not a group name", key.name)
                };
                out.push(Diagnostic::error(span(self.source, &key.span), message).help(
                    "use letters, digits, `-`, `_` and `.`; variables for every host go to [defaults.vars]",
                ));
                continue;
            }
            let Some(mut table) = Table::new(self.source, node, out) else { continue };
            if self.dotted("groups", key, &table) {
                let dotted = self.dotted_name("groups", key, node);
                table.out().push(dotted);
                continue;
            }
            let settings = self.settings(&mut table);
            let layer = self.vars(&mut table);
            let members = table.texts("hosts");
            let children = table.texts("children");
            let silence = silence(self.source, &mut table);
            table.reads(&GROUP_KEYS);
            self.finish(table);
            groups.push(RawGroup { key, node, members, children, settings, layer, silence });
        }
        groups
    }

    /// `[hosts.web.example.com]` is a table in a table in a table: the dots were meant to be part of the name.
    fn dotted(&self, what: &str, key: &Key, table: &Table<'_, '_>) -> bool {
        let written = self.source.text.get(..key.span.start).unwrap_or_default();
        let header = written.trim_end().ends_with(&format!("[{what}."));
        let keys = if what == "hosts" { &HOST_KEYS[..] } else { &GROUP_KEYS[..] };
        let only = match table.rest().as_slice() {
            [(inner, node)] if !keys.contains(&inner.name.as_str()) => {
                matches!(node.value, Value::Table(_))
                    && self.source.text.get(key.span.end..=key.span.end) == Some(".")
            }
            _ => false,
        };
        header && only
    }

    fn dotted_name(&self, what: &str, key: &Key, node: &Node) -> Diagnostic {
        let mut names = vec![key.name.as_str()];
        let (mut inner, mut end) = (node, key.span.end);
        while let Value::Table(entries) = &inner.value
            && let [(key, next)] = entries.as_slice()
            && matches!(next.value, Value::Table(_))
            && self.source.text.get(end..=end) == Some(".")
        {
            names.push(&key.name);
            (inner, end) = (next, key.span.end);
        }
        let name = names.join(".");
        let message = format!("a name with dots stands in quotes: `{name}`");
        Diagnostic::error(span(self.source, &(key.span.start..end)), message)
            .help(format!("write `[{what}.\"{name}\"]`"))
    }

    /// `[web]` in place of `[groups.web]`.
    fn unknown_tables(&self, mut table: Table<'_, '_>) {
        let rest: Vec<_> =
            table.rest().into_iter().map(|(k, n)| (k.clone(), matches!(n.value, Value::Table(_)))).collect();
        for (key, is_table) in rest {
            let message = format!("unknown key `{}`", key.name);
            let mut found = Diagnostic::error(span(self.source, &key.span), message).label("not known here");
            let near = nearest(&key.name, TOP);
            found.help.extend(match near {
                Some(near) => Some(format!("did you mean `{near}`?")),
                None if is_table => {
                    let name = &key.name;
                    Some(format!("a group is written `[groups.{name}]`, a host `[hosts.{name}]`"))
                }
                None => suggest_beside(table.out(), &key.name, TOP),
            });
            table.out().push(found);
        }
    }

    /// Reports what nobody asked for, with Ansible's words explained.
    fn finish(&self, mut table: Table<'_, '_>) {
        let rest: Vec<_> = table.rest().into_iter().map(|(k, _)| k.clone()).collect();
        let known = table.known().to_vec();
        for key in rest {
            let found =
                Diagnostic::error(span(self.source, &key.span), format!("unknown key `{}`", key.name));
            let mut found = found.label("not known here");
            found.help.extend(
                ansible::word(ansible::At::Variable, &key.name)
                    .or_else(|| suggest_beside(table.out(), &key.name, known.iter().copied())),
            );
            table.out().push(found);
        }
    }

    /// A name that is both would mean one or the other, as the case may be: `--limit web` another host than meant.
    fn names_of_both(
        &self,
        groups: &[RawGroup<'_>],
        hosts: &[RawHost],
        names: &HostNames<'_>,
        out: &mut Vec<Diagnostic>,
    ) {
        for group in groups {
            let Some(host) = names.host(&group.key.name).map(HostIndex::position) else { continue };
            let message = format!("`{}` is the name of a host and of a group", group.key.name);
            out.push(
                Diagnostic::error(span(self.source, &group.key.span), message)
                    .label("the group")
                    .related(
                        span(self.source, &(hosts[host].key_start..hosts[host].key_start + 1)),
                        "the host",
                    )
                    .help("give one of them another name: a pattern could mean either"),
            );
        }
    }

    /// Two hosts with one address and port are one machine: work on them would collide.
    fn same_machine(
        &self,
        hosts: &[RawHost],
        defaults: &Settings,
        silenced: &dyn Fn(HostIndex, &str) -> bool,
        out: &mut Vec<Diagnostic>,
    ) {
        let mut seen: HashMap<(&str, Option<u16>), (HostIndex, &RawHost)> = HashMap::new();
        for (position, host) in hosts.iter().enumerate().filter(|(_, h)| !h.login.local) {
            let position = HostIndex::new(position);
            let port = host.settings.port.or(defaults.port);
            if let Some((other, first)) = seen.insert((&host.login.address, port), (position, host)) {
                let name = SAME_ADDRESS.name;
                if silenced(position, name) || silenced(other, name) {
                    continue;
                }
                out.push(
                    SAME_ADDRESS.at(
                        self.source,
                        &host.address_span,
                        format!("{} and {} have the same address and port", first.name, host.name),
                    )
                    .label(format!("{} is {}", host.name, host.login.address))
                    .related(span(self.source, &first.address_span), format!("so is {}", first.name))
                    .help("two names for one machine are worked on at the same time and get in each other's way"),
                );
            }
        }
    }
}

fn is_empty(node: &Node) -> bool {
    matches!(&node.value, Value::Table(entries) if entries.is_empty())
}
