//! `inventory.toml`: hosts, groups, their variables and how to log in.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::address;
use super::environment::Environment;
use super::layer::Layer;
use super::lint;
use super::pattern::{self, Names};
use super::range;
use super::secret::in_folder;
use super::table::{Table, span, suggest};
use crate::diagnostic::{Diagnostic, Source};
use crate::model::value::{Key, Node};
use crate::model::{Host, HostName, Login};

/// The hosts and groups of an inventory, with the variables of each host, lowest precedence first.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    /// All hosts in the order in which they are written.
    pub hosts: Arc<Vec<Arc<Host>>>,
    /// Their positions.
    pub index: HashMap<HostName, usize>,
    /// Host by host: defaults, groups (parents first), the host itself.
    pub layers: Vec<Vec<Arc<Layer>>>,
    /// Host by host: as whom steps act unless playbook or step say otherwise.
    pub becomes: Vec<Option<Becomes>>,
    /// The groups in the order in which they are written.
    pub groups: Vec<Group>,
    /// How many hosts to work on at once, if the inventory says.
    pub forks: Option<usize>,
}

/// A group with everything below it.
#[derive(Debug)]
pub(super) struct Group {
    /// Its name.
    pub name: Arc<str>,
    /// Its hosts and those of its children, ascending.
    pub hosts: Vec<usize>,
}

/// As whom a step acts on its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Becomes {
    /// The user who logged in.
    Login,
    /// This one.
    User(Arc<str>),
}

impl Names for Fleet {
    fn hosts(&self) -> Vec<&str> {
        self.hosts.iter().map(|h| h.name.as_str()).collect()
    }
    fn groups(&self) -> Vec<(&str, &[usize])> {
        self.groups.iter().map(|g| (&*g.name, g.hosts.as_slice())).collect()
    }
}

/// Connection settings that defaults, groups and hosts may all have.
#[derive(Debug, Clone, Default)]
struct Settings {
    port: Option<u16>,
    user: Option<String>,
    ssh_config: Option<PathBuf>,
    /// The first one counts for `ssh`, so higher precedence stands first.
    ssh_options: Vec<String>,
    becomes: Option<Becomes>,
}

impl Settings {
    fn over(mut self, lower: &Self) -> Self {
        self.port = self.port.or(lower.port);
        self.user = self.user.or_else(|| lower.user.clone());
        self.ssh_config = self.ssh_config.or_else(|| lower.ssh_config.clone());
        self.becomes = self.becomes.or_else(|| lower.becomes.clone());
        self.ssh_options.extend(lower.ssh_options.iter().cloned());
        self
    }
}

struct RawGroup<'a> {
    key: &'a Key,
    members: Vec<(&'a str, &'a Node)>,
    children: Vec<(&'a str, &'a Node)>,
    settings: Settings,
    layer: Arc<Layer>,
}

struct RawHost {
    name: HostName,
    login: Login,
    settings: Settings,
    layer: Arc<Layer>,
    key_start: usize,
    address_span: std::ops::Range<usize>,
}

struct Reader<'a> {
    source: &'a Arc<Source>,
    folder: &'a Path,
    environment: &'a dyn Environment,
}

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
    let hosts_missing = table.rest().is_empty() && hosts.is_empty();
    table.finish();
    if hosts_missing {
        out.push(
            Diagnostic::error(span(source, &(0..0)), "the inventory has no hosts")
                .help("write `[hosts.NAME]` with `address = \"...\"` for each host"),
        );
    }

    let mut forks = None;
    let (default_settings, default_layer) = match defaults {
        Some((_, node)) => reader.defaults(node, &mut forks, out),
        None => (Settings::default(), Arc::default()),
    };
    let raw_hosts = reader.hosts(hosts, out);
    let raw_groups = reader.groups(groups, out);
    let names: Vec<&str> = raw_hosts.iter().map(|h| h.name.as_str()).collect();
    let (parents_first, members) = reader.resolve_groups(&raw_groups, &names, out);
    reader.same_machine(&raw_hosts, &default_settings, out);

    let mut fleet = Fleet { forks, ..Fleet::default() };
    let mut all = Vec::with_capacity(raw_hosts.len());
    // Host by host its groups, parents first.
    let mut of_host: Vec<Vec<usize>> = vec![Vec::new(); raw_hosts.len()];
    for &group in &parents_first {
        for &host in &members[group] {
            of_host[host].push(group);
        }
    }
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
        let mut vars = serde_json::Map::new();
        for layer in &layers {
            layer.add_to(&mut vars);
        }
        fleet.becomes.push(settings.becomes);
        fleet.index.insert(host.name.clone(), position);
        all.push(Arc::new(Host {
            login: Login {
                port: settings.port,
                user: settings.user,
                ssh_config: settings.ssh_config,
                ssh_options: settings.ssh_options,
                ..host.login
            },
            name: host.name,
            groups: of_host[position].iter().map(|g| raw_groups[*g].key.name.as_str().into()).collect(),
            vars: Arc::new(vars),
            place: source.place(host.key_start),
        }));
        fleet.layers.push(layers);
    }
    fleet.groups = raw_groups
        .iter()
        .zip(members)
        .map(|(group, hosts)| Group {
            name: group.key.name.as_str().into(),
            hosts: hosts.into_iter().collect(),
        })
        .collect();
    fleet.hosts = Arc::new(all);
    fleet
}

impl Reader<'_> {
    fn defaults(
        &self,
        node: &Node,
        forks: &mut Option<usize>,
        out: &mut Vec<Diagnostic>,
    ) -> (Settings, Arc<Layer>) {
        let Some(mut table) = Table::new(self.source, node, out) else { return Default::default() };
        let settings = self.settings(&mut table);
        *forks = table.number("forks", 1, 10_000).and_then(|n| usize::try_from(n).ok());
        let layer = self.vars(&mut table);
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
            user: table.text("user").map(|(user, _)| user.to_owned()),
            ssh_config: table
                .text("ssh_config")
                .map(|(path, _)| in_folder(self.folder, path, self.environment)),
            ssh_options: ssh_options.into_iter().map(|(option, _)| option.to_owned()).collect(),
            becomes: becomes(self.source, table),
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
            let settings = self.settings(&mut table);
            let address = table.text("address");
            let connection = table.text("connection");
            let layer = self.vars(&mut table);
            table.finish();
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
                match range::expand(text) {
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
            for (name, address) in names.into_iter().zip(addresses) {
                let name = match HostName::new(&name) {
                    Ok(name) => name,
                    Err(error) => {
                        out.push(fail(&key.span, error.to_string()));
                        break;
                    }
                };
                if let Some(first) = seen.insert(name.as_str().to_owned(), key.span.start) {
                    out.push(
                        fail(&key.span, format!("the host {name} is there twice"))
                            .label("again")
                            .related(span(self.source, &(first..first + 1)), "first here"),
                    );
                    continue;
                }
                if let Err(wrong) = address::check_host(&address) {
                    let mut diagnostic = lint::ADDRESS_INVALID.at(self.source, &address_span, wrong.message);
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
            let settings = self.settings(&mut table);
            let layer = self.vars(&mut table);
            let members = table.texts("hosts");
            let children = table.texts("children");
            table.finish();
            groups.push(RawGroup { key, members, children, settings, layer });
        }
        groups
    }

    /// Returns the groups in an order with parents before children, and the hosts of each group.
    fn resolve_groups(
        &self,
        groups: &[RawGroup<'_>],
        hosts: &[&str],
        out: &mut Vec<Diagnostic>,
    ) -> (Vec<usize>, Vec<BTreeSet<usize>>) {
        let position: HashMap<&str, usize> =
            groups.iter().enumerate().map(|(i, g)| (g.key.name.as_str(), i)).collect();
        let mut children: Vec<Vec<usize>> = Vec::new();
        for group in groups {
            let mut known = Vec::new();
            for (name, node) in &group.children {
                if let Some(child) = position.get(name) {
                    known.push(*child);
                    continue;
                }
                let mut diagnostic = Diagnostic::error(
                    span(self.source, &node.span),
                    format!("no group `{name}` in the inventory"),
                );
                diagnostic.help.extend(if hosts.contains(name) {
                    Some(format!("`{name}` is a host: hosts go to `hosts`"))
                } else {
                    suggest(name, position_names(groups))
                });
                out.push(diagnostic);
            }
            children.push(known);
        }
        let mut walk = Walk {
            children: &children,
            state: vec![State::New; groups.len()],
            order: Vec::new(),
            cycle: None,
        };
        for group in (0..groups.len()).rev() {
            walk.visit(group, &mut Vec::new());
        }
        let (order, cycle) = (walk.order, walk.cycle);
        if let Some(cycle) = cycle {
            let names: Vec<_> = cycle.iter().map(|g| groups[*g].key.name.as_str()).collect();
            let first = cycle[0];
            out.push(
                Diagnostic::error(
                    span(self.source, &groups[first].key.span),
                    format!("the groups {} contain one another", names.join(" > ")),
                )
                .label("is its own child")
                .help("take one of them out of `children`"),
            );
        }
        // Children come first in `order`; their hosts are complete when their parents are reached.
        let mut members: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); groups.len()];
        // Names within `hosts` may be patterns over hosts and over the groups that are complete already.
        for &group in &order {
            let mut set: BTreeSet<usize> = BTreeSet::new();
            for child in &children[group] {
                set.extend(members[*child].iter().copied());
            }
            for (text, node) in &groups[group].members {
                self.member(text, node, hosts, &position, &mut set, out);
            }
            members[group] = set;
        }
        (order.into_iter().rev().collect(), members)
    }

    fn member(
        &self,
        text: &str,
        node: &Node,
        hosts: &[&str],
        groups: &HashMap<&str, usize>,
        set: &mut BTreeSet<usize>,
        out: &mut Vec<Diagnostic>,
    ) {
        struct HostsOnly<'a>(&'a [&'a str]);
        impl Names for HostsOnly<'_> {
            fn hosts(&self) -> Vec<&str> {
                self.0.to_vec()
            }
            fn groups(&self) -> Vec<(&str, &[usize])> {
                Vec::new()
            }
        }
        let wrongs = match pattern::select(text, &HostsOnly(hosts)) {
            Ok(found) => return set.extend(found),
            Err(wrongs) => wrongs,
        };
        for wrong in wrongs {
            let mut diagnostic = Diagnostic::error(
                span(self.source, &super::document::within(self.source, node, &wrong.range)),
                wrong.message.replace("host or group", "host"),
            );
            diagnostic.help.extend(if groups.contains_key(text) {
                Some(format!("`{text}` is a group: groups go to `children`"))
            } else {
                wrong.help
            });
            out.push(diagnostic);
        }
    }

    /// Two hosts with one address and port are one machine: work on them would collide.
    fn same_machine(&self, hosts: &[RawHost], defaults: &Settings, out: &mut Vec<Diagnostic>) {
        let mut seen: HashMap<(&str, Option<u16>), &RawHost> = HashMap::new();
        for host in hosts.iter().filter(|h| !h.login.local) {
            let port = host.settings.port.or(defaults.port);
            if let Some(first) = seen.insert((&host.login.address, port), host) {
                out.push(
                    lint::SAME_ADDRESS.at(
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

fn position_names<'a>(groups: &'a [RawGroup<'_>]) -> impl Iterator<Item = &'a str> {
    groups.iter().map(|g| g.key.name.as_str())
}

/// `become = true`, `become = "postgres"`.
pub(super) fn becomes(source: &Arc<Source>, table: &mut Table<'_, '_>) -> Option<Becomes> {
    use crate::model::value::Value;
    let (_, node) = table.take("become")?;
    let becomes = becomes_of(node);
    if becomes.is_none() {
        let mut diagnostic = super::table::mismatch(source, node, "`true`, `false` or the name of a user");
        if let Value::String(_) = node.value {
            diagnostic.message = "the user's name is empty".into();
        }
        table.out().push(diagnostic);
    }
    becomes
}

/// What a value of `become` means.
pub(super) fn becomes_of(node: &Node) -> Option<Becomes> {
    use crate::model::value::Value;
    match &node.value {
        Value::Boolean(true) => Some(Becomes::User("root".into())),
        Value::Boolean(false) => Some(Becomes::Login),
        Value::String(user) if !user.is_empty() => Some(Becomes::User(user.as_str().into())),
        _ => None,
    }
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    Open,
    Done,
}

/// Depth first over the groups; `order` has children before parents.
struct Walk<'a> {
    children: &'a [Vec<usize>],
    state: Vec<State>,
    order: Vec<usize>,
    cycle: Option<Vec<usize>>,
}

impl Walk<'_> {
    fn visit(&mut self, group: usize, path: &mut Vec<usize>) {
        match self.state[group] {
            State::Done => return,
            State::Open => {
                let start = path.iter().position(|g| *g == group).unwrap_or(0);
                let mut cycle = path[start..].to_vec();
                cycle.push(group);
                self.cycle.get_or_insert(cycle);
                return;
            }
            State::New => {}
        }
        self.state[group] = State::Open;
        path.push(group);
        // The last child first: reversed at the end, siblings stand in the order in which they are written.
        for &child in self.children[group].iter().rev() {
            self.visit(child, path);
        }
        path.pop();
        self.state[group] = State::Done;
        self.order.push(group);
    }
}
