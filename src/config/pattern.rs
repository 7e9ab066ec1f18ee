//! Ansible's patterns: which hosts are meant (`workers:&dc1:!node-3`, `web*`, `managers[0]`).
//!
//! As in Ansible, whatever the order in which they are written, unions count first, then intersections, then
//! exclusions. The result is always in inventory order.

use std::collections::BTreeSet;

use crate::diagnostic::{MANY, listed, nearest};
use crate::model::HostIndex;

/// What patterns select from: hosts in inventory order, groups with the positions of their hosts.
pub(super) trait Names {
    /// The names of all hosts in inventory order.
    fn hosts(&self) -> Vec<&str>;
    /// The groups, each with the positions of its hosts, ascending.
    fn groups(&self) -> Vec<(&str, &[HostIndex])>;
    /// The position of the host with this name.
    fn host(&self, name: &str) -> Option<HostIndex> {
        self.hosts().iter().position(|h| *h == name).map(HostIndex::new)
    }
    /// What a name may be of, for messages.
    fn what(&self) -> &'static str {
        "host or group"
    }
    /// The positions of the hosts of the group with this name.
    fn group(&self, name: &str) -> Option<&[HostIndex]> {
        self.groups().into_iter().find(|(group, _)| *group == name).map(|(_, hosts)| hosts)
    }
}

/// A pattern that selects nothing for it names what is not there, or cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The part at fault, by its byte range in the pattern.
    pub range: std::ops::Range<usize>,
}

/// Returns the positions of the hosts that `pattern` selects, ascending. Where many mistakes were `told` already, no
/// near names are looked for.
pub(super) fn select(pattern: &str, names: &dyn Names, told: usize) -> Result<Vec<HostIndex>, Vec<Wrong>> {
    let (mut union, mut intersections, mut excluded) = (None, Vec::new(), BTreeSet::new());
    let mut wrong = Vec::new();
    for (at, term) in terms(pattern) {
        // A text with more than that is none that a person wrote.
        if wrong.len() > MANY {
            break;
        }
        let (sign, name) = match term.as_bytes() {
            [b'&' | b'!', ..] => (term.as_bytes()[0], term[1..].trim()),
            _ => (b' ', term),
        };
        let hosts = match one(name, names, told + wrong.len()) {
            Ok(hosts) => hosts,
            Err((message, help)) => {
                wrong.push(Wrong { message, help, range: at..at + term.len() });
                continue;
            }
        };
        match sign {
            b'&' => intersections.push(hosts),
            b'!' => excluded.extend(hosts),
            _ => union.get_or_insert_with(BTreeSet::new).extend(hosts),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    if pattern.trim().is_empty() {
        let message = "the pattern is empty".to_owned();
        return Err(vec![Wrong {
            message,
            help: Some("`all` means every host".into()),
            range: 0..pattern.len(),
        }]);
    }
    // `!node-3` alone means all but node-3.
    let mut selected = union.unwrap_or_else(|| every(names).collect());
    for other in intersections {
        selected.retain(|h| other.contains(h));
    }
    selected.retain(|h| !excluded.contains(h));
    Ok(selected.into_iter().collect())
}

/// Splits at `,` and `:`, but not within `[1:3]` or an IPv6 address, which has two colons or more without
/// a sign between.
fn terms(pattern: &str) -> Vec<(usize, &str)> {
    let mut out = Vec::new();
    let (mut start, mut depth) = (0, 0usize);
    let mut push = |from: usize, to: usize| {
        let term = &pattern[from..to];
        let trimmed = term.trim();
        if !trimmed.is_empty() {
            out.push((from + (term.len() - term.trim_start().len()), trimmed));
        }
    };
    for (i, c) in pattern.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ',' | ':' if depth == 0 => {
                push(start, i);
                start = i + 1;
            }
            _ => {}
        }
    }
    push(start, pattern.len());
    out
}

type Refusal = (String, Option<String>);

fn one(term: &str, names: &dyn Names, told: usize) -> Result<BTreeSet<HostIndex>, Refusal> {
    if term.starts_with('~') {
        return Err((
            "regular expressions are not supported in patterns".into(),
            Some("use a glob such as `web*`, or a group".into()),
        ));
    }
    let (name, subscript) = match term.strip_suffix(']').and_then(|t| t.rsplit_once('[')) {
        // `node[ab]*`, a glob with a set, does not end in a bracket; `node-[01:03]` is tried as a range below.
        Some((name, inner)) if !name.is_empty() => (name, Some(inner)),
        _ => (term, None),
    };
    if let Some(inner) = subscript {
        if let Some(found) = exact(name, names) {
            return subscripted(&found, inner, term).map(|hosts| hosts.into_iter().collect());
        }
        if let Ok(expanded) = super::range::expand(term) {
            return expanded.iter().try_fold(BTreeSet::new(), |mut all, name| {
                all.extend(exact(name, names).ok_or_else(|| unknown(name, names, told))?);
                Ok(all)
            });
        }
        return Err(unknown(name, names, told));
    }
    if let Some(found) = exact(name, names) {
        return Ok(found.into_iter().collect());
    }
    if !name.contains(['*', '?']) {
        return Err(unknown(name, names, told));
    }
    let mut found: BTreeSet<_> = names
        .hosts()
        .iter()
        .enumerate()
        .filter(|(_, h)| glob(name, h))
        .map(|(i, _)| HostIndex::new(i))
        .collect();
    for (group, hosts) in names.groups() {
        if glob(name, group) {
            found.extend(hosts);
        }
    }
    if found.is_empty() {
        return Err((format!("no {} matches `{name}`", names.what()), None));
    }
    Ok(found)
}

fn exact(name: &str, names: &dyn Names) -> Option<Vec<HostIndex>> {
    if matches!(name, "all" | "*") {
        return Some(every(names).collect());
    }
    match names.group(name) {
        Some(hosts) => Some(hosts.to_vec()),
        None => names.host(name).map(|i| vec![i]),
    }
}

fn every(names: &dyn Names) -> impl Iterator<Item = HostIndex> + use<> {
    (0..names.hosts().len()).map(HostIndex::new)
}

fn unknown(name: &str, names: &dyn Names, told: usize) -> Refusal {
    let message = format!("no {} `{name:.100}` in the inventory", names.what());
    if told > MANY {
        return (message, None);
    }
    let hosts = names.hosts();
    let groups = names.groups();
    let known: Vec<&str> = groups.iter().map(|(g, _)| *g).chain(hosts.iter().copied()).collect();
    let near = nearest(name, known.iter().copied());
    let help = match near {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if groups.is_empty() => None,
        None => Some(format!("groups of the inventory: {}", listed(groups.iter().map(|(g, _)| *g)))),
    };
    (message, help)
}

/// `[0]`, `[-1]`, `[1:3]` (both ends included, as Ansible has it), `[1:]`.
fn subscripted(hosts: &[HostIndex], inner: &str, term: &str) -> Result<Vec<HostIndex>, Refusal> {
    let wrong = || (format!("`{term}`: [{inner}] is not a subscript such as [0], [-1] or [1:3]"), None);
    let number = |s: &str| s.trim().parse::<i64>().map_err(|_| wrong());
    let count = i64::try_from(hosts.len()).unwrap_or(i64::MAX);
    let at = |n: i64| if n < 0 { n + count } else { n };
    let (from, to) = match inner.split_once(':') {
        None => {
            let n = at(number(inner)?);
            if !(0..count).contains(&n) {
                return Err((format!("`{term}`: there are only {count} hosts"), None));
            }
            (n, n)
        }
        Some((from, to)) => {
            let from = if from.trim().is_empty() { 0 } else { at(number(from)?) };
            let to = if to.trim().is_empty() { count - 1 } else { at(number(to)?) };
            (from.max(0), to.min(count - 1))
        }
    };
    let in_range = |(i, _): &(usize, &HostIndex)| i64::try_from(*i).is_ok_and(|i| (from..=to).contains(&i));
    Ok(hosts.iter().enumerate().filter(in_range).map(|(_, h)| *h).collect())
}

/// Matches `*` (any text) and `?` (one character), without backtracking into exponential time.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sample;

    impl Names for Sample {
        fn hosts(&self) -> Vec<&str> {
            vec!["nfs-01", "manager-01", "worker-01", "worker-02", "worker-03"]
        }
        fn groups(&self) -> Vec<(&str, &[HostIndex])> {
            const fn at(n: usize) -> HostIndex {
                HostIndex::new(n)
            }
            vec![
                ("managers", &[const { at(1) }]),
                ("workers", &[const { at(2) }, const { at(3) }, const { at(4) }]),
                ("dc1", &[const { at(0) }, const { at(2) }, const { at(3) }]),
                ("none", &[]),
            ]
        }
    }

    fn names(pattern: &str) -> String {
        match select(pattern, &Sample, 0) {
            Ok(hosts) => hosts.iter().map(|h| Sample.hosts()[h.position()]).collect::<Vec<_>>().join(" "),
            Err(wrong) => {
                let text = |w: &Wrong| {
                    let help = w.help.as_ref().map(|h| format!(" ({h})")).unwrap_or_default();
                    format!("{:?}: {}{help}", &pattern[w.range.clone()], w.message)
                };
                wrong.iter().map(text).collect::<Vec<_>>().join("; ")
            }
        }
    }

    #[test]
    fn selects_as_ansible_does_in_inventory_order() {
        for (pattern, hosts) in [
            ("all", "nfs-01 manager-01 worker-01 worker-02 worker-03"),
            ("*", "nfs-01 manager-01 worker-01 worker-02 worker-03"),
            ("worker-02,nfs-01", "nfs-01 worker-02"),
            ("workers:managers", "manager-01 worker-01 worker-02 worker-03"),
            ("workers:&dc1", "worker-01 worker-02"),
            ("!worker-02:workers", "worker-01 worker-03"),
            ("workers:&dc1:!worker-01", "worker-02"),
            ("!workers", "nfs-01 manager-01"),
            ("worker-*", "worker-01 worker-02 worker-03"),
            ("*-01", "nfs-01 manager-01 worker-01"),
            ("m*", "manager-01"),
            ("worker-0?,!worker-03", "worker-01 worker-02"),
            ("workers[0]", "worker-01"),
            ("workers[-1]", "worker-03"),
            ("workers[1:2]", "worker-02 worker-03"),
            ("workers[1:]", "worker-02 worker-03"),
            ("worker-[01:02]", "worker-01 worker-02"),
            ("all[0]", "nfs-01"),
            ("none", ""),
            (" workers , nfs-01 ", "nfs-01 worker-01 worker-02 worker-03"),
        ] {
            assert_eq!(names(pattern), hosts, "{pattern}");
        }
    }

    #[test]
    fn names_that_are_not_there_are_mistakes() {
        for (pattern, message) in [
            ("workrs", r#""workrs": no host or group `workrs` in the inventory (did you mean `workers`?)"#),
            (
                "workers:!wroker-03",
                r#""!wroker-03": no host or group `wroker-03` in the inventory (did you mean `worker-03`?)"#,
            ),
            ("web*", r#""web*": no host or group matches `web*`"#),
            ("workers[3]", r#""workers[3]": `workers[3]`: there are only 3 hosts"#),
            (
                "workers[x]",
                r#""workers[x]": `workers[x]`: [x] is not a subscript such as [0], [-1] or [1:3]"#,
            ),
            ("", r#""": the pattern is empty (`all` means every host)"#),
        ] {
            assert_eq!(names(pattern), message, "{pattern}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(pattern in "[a-z0-9:,!&~*?\\[\\]é -]{0,30}") {
            let _ = select(&pattern, &Sample, 0);
        }
    }
}
