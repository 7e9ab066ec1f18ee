//! Groups of an inventory: who is in them, and whose variables count.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::document::within;
use super::finding::Lint;
use super::fleet::{RawGroup, RawHost};
use super::pattern::{self, Names};
use super::table::{span, suggest_beside};
use crate::diagnostic::{Diagnostic, Severity, Source};
use crate::model::HostIndex;
use crate::model::value::{Key, Node};

/// Two groups side by side that set the same.
pub(super) const SIBLING_GROUPS: Lint = Lint {
    name: "sibling-groups",
    severity: Severity::Warning,
    doc: "Two groups of a host set the same variable or setting to different values, and neither is above the other. \
          The rule is: a child counts more than its parents; of groups that lie equally deep, the one that is \
          written later in the inventory counts, whatever the order in which a parent lists them. Whoever reads \
          the inventory will hardly think of it: set the variable for the host, or in a group that is a child of \
          both, or silence the lint in one of the groups.",
};

/// What became of the groups as written.
pub(super) struct Resolved {
    /// The groups in the order in which their variables count, the last one most.
    pub(super) counting: Vec<usize>,
    /// The hosts of each group, those of its children included.
    pub(super) members: Vec<BTreeSet<HostIndex>>,
    /// The groups above each.
    pub(super) above: Vec<BTreeSet<usize>>,
}

/// Finds out who is in which group.
///
/// A group that lies deeper comes later, and so counts more: a child more than its parents. Of two that lie
/// equally deep, the one that is written later counts more. How a parent lists its children plays no part.
pub(super) fn resolve(
    source: &Arc<Source>,
    groups: &[RawGroup<'_>],
    hosts: &HostNames<'_>,
    out: &mut Vec<Diagnostic>,
) -> Resolved {
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
            let mut diagnostic =
                Diagnostic::error(span(source, &node.span), format!("no group `{name}` in the inventory"));
            diagnostic.help.extend(if hosts.host(name).is_some() {
                Some(format!("`{name}` is a host: hosts go to `hosts`"))
            } else {
                suggest_beside(out, name, position_names(groups))
            });
            out.push(diagnostic);
        }
        known.sort_unstable();
        known.dedup();
        children.push(known);
    }
    let (order, cycle) = children_first(&children);
    if let Some(cycle) = cycle {
        let names: Vec<_> = cycle.iter().map(|g| groups[*g].key.name.as_str()).collect();
        let first = cycle[0];
        out.push(
            Diagnostic::error(
                span(source, &groups[first].key.span),
                format!("the groups {} contain one another", listed_way(&names)),
            )
            .label("is its own child")
            .help("take one of them out of `children`"),
        );
        // Nothing is to be known of them before that is put right, but for names that are not there.
        for (text, node) in groups.iter().flat_map(|g| &g.members) {
            member(source, text, node, hosts, &position, &mut BTreeSet::new(), out);
        }
        let (members, above) = (vec![BTreeSet::new(); groups.len()], vec![BTreeSet::new(); groups.len()]);
        return Resolved { counting: Vec::new(), members, above };
    }
    // Their hosts are complete when their parents are reached.
    let mut members: Vec<BTreeSet<HostIndex>> = vec![BTreeSet::new(); groups.len()];
    for &group in &order {
        let mut set: BTreeSet<HostIndex> = BTreeSet::new();
        for child in &children[group] {
            set.extend(members[*child].iter().copied());
        }
        for (text, node) in &groups[group].members {
            member(source, text, node, hosts, &position, &mut set, out);
        }
        members[group] = set;
    }
    let mut depth = vec![0usize; groups.len()];
    let mut above: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); groups.len()];
    for &group in order.iter().rev() {
        for &child in &children[group] {
            depth[child] = depth[child].max(depth[group] + 1);
            let mut of_child = std::mem::take(&mut above[child]);
            of_child.extend(above[group].iter().copied());
            of_child.insert(group);
            above[child] = of_child;
        }
    }
    let mut counting: Vec<usize> = (0..groups.len()).collect();
    counting.sort_by_key(|g| (depth[*g], *g));
    Resolved { counting, members, above }
}

fn member(
    source: &Arc<Source>,
    text: &str,
    node: &Node,
    hosts: &HostNames<'_>,
    groups: &HashMap<&str, usize>,
    set: &mut BTreeSet<HostIndex>,
    out: &mut Vec<Diagnostic>,
) {
    let wrongs = match pattern::select(text, hosts, out.len()) {
        Ok(found) => return set.extend(found),
        Err(wrongs) => wrongs,
    };
    for wrong in wrongs {
        let mut diagnostic =
            Diagnostic::error(span(source, &within(source, node, &wrong.range)), wrong.message);
        diagnostic.help.extend(if groups.contains_key(text) {
            Some(format!("`{text}` is a group: groups go to `children`"))
        } else {
            wrong.help
        });
        out.push(diagnostic);
    }
}

fn position_names<'a>(groups: &'a [RawGroup<'_>]) -> impl Iterator<Item = &'a str> {
    groups.iter().map(|g| g.key.name.as_str())
}

/// Warns of groups of one host of which none is above the other, and that set the same: one of them counts by a
/// rule that few people know.
pub(super) fn siblings(
    source: &Arc<Source>,
    groups: &[RawGroup<'_>],
    hosts: &[RawHost],
    of_host: &[Vec<usize>],
    above: &[BTreeSet<usize>],
    silenced: &dyn Fn(HostIndex, &str) -> bool,
    out: &mut Vec<Diagnostic>,
) {
    // Most hosts have the same groups as others.
    let mut known: HashMap<&[usize], Vec<Clash<'_>>> = HashMap::new();
    let mut found: BTreeMap<(usize, usize), (Clash<'_>, usize, usize)> = BTreeMap::new();
    for (position, (host, mine)) in hosts.iter().zip(of_host).enumerate() {
        let clashes = known.entry(mine).or_insert_with(|| clashes(groups, mine, above));
        if clashes.is_empty() || silenced(HostIndex::new(position), SIBLING_GROUPS.name) {
            continue;
        }
        for clash in clashes {
            let own = if clash.is_variable {
                host.layer.find(&clash.loser.0.name).is_some()
            } else {
                host.settings.has(&clash.loser.0.name)
            };
            if !own {
                let at = (clash.loser.0.span.start, clash.winner.0.span.start);
                found.entry(at).or_insert((*clash, position, 0)).2 += 1;
            }
        }
    }
    for (clash, first, count) in found.into_values() {
        let what = if clash.is_variable { "the variable" } else { "the setting" };
        let name = &clash.loser.0.name;
        let (loser, winner) = (&groups[clash.loser.1].key.name, &groups[clash.winner.1].key.name);
        let on = match count {
            1 => hosts[first].name.to_string(),
            n => format!("{} and {} more", hosts[first].name, n - 1),
        };
        let message = format!("the groups {loser} and {winner} both set {what} `{name}` for {on}");
        out.push(
            SIBLING_GROUPS
                .at(source, &clash.loser.0.span, message)
                .label(format!("{loser} sets it"))
                .related(span(source, &clash.winner.0.span), format!("{winner} sets it as well, and counts"))
                .help(
                    "a child counts more than its parents, and of groups side by side the one that is written \
                     last. Set it for the host, or in a group that is a child of both",
                ),
        );
    }
}

/// Two groups that set the same for one host.
#[derive(Clone, Copy)]
struct Clash<'a> {
    is_variable: bool,
    loser: (&'a Key, usize),
    winner: (&'a Key, usize),
}

/// What a group sets: key, value, and the group.
type Setter<'a> = (&'a Key, &'a Node, usize);

fn clashes<'a>(groups: &'a [RawGroup<'_>], mine: &[usize], above: &[BTreeSet<usize>]) -> Vec<Clash<'a>> {
    // By what is set: all who set it, the one that counts last.
    let mut setters: BTreeMap<(bool, &str), Vec<Setter<'a>>> = BTreeMap::new();
    for &group in mine {
        for (key, node) in &groups[group].layer.vars {
            setters.entry((true, &key.name)).or_default().push((key, node, group));
        }
        for name in ["port", "user", "ssh_config", "become"] {
            if let Some((key, node)) = groups[group].node.entry(name) {
                setters.entry((false, name)).or_default().push((key, node, group));
            }
        }
    }
    let mut out = Vec::new();
    for ((is_variable, _), all) in setters {
        let Some(((winner, value, by), others)) = all.split_last() else { continue };
        for (loser, other, of) in others {
            if !above[*by].contains(of) && other.to_json() != value.to_json() {
                out.push(Clash { is_variable, loser: (loser, *of), winner: (winner, *by) });
            }
        }
    }
    out
}

/// Returns the groups with children before parents, or a circle among them.
fn children_first(children: &[Vec<usize>]) -> (Vec<usize>, Option<Vec<usize>>) {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let mut state = vec![State::New; children.len()];
    let mut order = Vec::new();
    for start in 0..children.len() {
        // A stack of its own: a thousand groups, each the child of the one before, are no reason to run out.
        let mut way: Vec<(usize, usize)> = vec![(start, 0)];
        if state[start] == State::Done {
            continue;
        }
        state[start] = State::Open;
        while let Some((group, next)) = way.last_mut() {
            let group = *group;
            let Some(&child) = children[group].get(*next) else {
                state[group] = State::Done;
                order.push(group);
                way.pop();
                continue;
            };
            *next += 1;
            match state[child] {
                State::Done => {}
                State::New => {
                    state[child] = State::Open;
                    way.push((child, 0));
                }
                State::Open => {
                    let from = way.iter().position(|(g, _)| *g == child).unwrap_or(0);
                    let circle = way[from..].iter().map(|(g, _)| *g).chain([child]).collect();
                    return (order, Some(circle));
                }
            }
        }
    }
    (order, None)
}

/// `a > b > c`, its middle left out where it is long.
fn listed_way(names: &[&str]) -> String {
    match names {
        [first @ .., last] if first.len() > 10 => format!("{} > ... > {last}", first[..10].join(" > ")),
        _ => names.join(" > "),
    }
}

/// The names of all hosts, for the patterns in groups.
pub(super) struct HostNames<'a> {
    names: Vec<&'a str>,
    index: HashMap<&'a str, HostIndex>,
}

impl<'a> HostNames<'a> {
    pub(super) fn new(hosts: &'a [RawHost]) -> Self {
        let names: Vec<&str> = hosts.iter().map(|h| h.name.as_str()).collect();
        let index = names.iter().enumerate().map(|(i, n)| (*n, HostIndex::new(i))).collect();
        Self { names, index }
    }
}

impl Names for HostNames<'_> {
    fn hosts(&self) -> Vec<&str> {
        self.names.clone()
    }
    fn groups(&self) -> Vec<(&str, &[HostIndex])> {
        Vec::new()
    }
    fn host(&self, name: &str) -> Option<HostIndex> {
        self.index.get(name).copied()
    }
    fn what(&self) -> &'static str {
        "host"
    }
    fn group(&self, _: &str) -> Option<&[HostIndex]> {
        None
    }
}
