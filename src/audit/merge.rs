//! One report of several, each of a part of the hosts.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use super::{Report, StepLine, Time, VERSION, Verdict};
use crate::journal::Header;
use crate::shard::Shard;

/// Why reports do not go together, a fragment for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// They are not about the same.
    #[error("run {0} and run {1} do not go together: {2}")]
    Differ(String, String, &'static str),
    /// A host is in two of them.
    #[error("run {0} and run {1} are both about {2}")]
    Twice(String, String, String),
}

/// Reports in one, and which shards are not there.
#[derive(Debug)]
pub struct Merged {
    /// The report.
    pub report: Report,
    /// The shards that are missing.
    pub missing: Vec<Shard>,
}

/// Puts the reports of shards together, or those of one thing on different hosts.
///
/// # Errors
/// They are about different things, or a host is in two of them.
pub fn merge(mut reports: Vec<Report>) -> Result<Merged, MergeError> {
    reports.sort_by(|a, b| (a.made.shard, &a.made.started).cmp(&(b.made.shard, &b.made.started)));
    let mut rest = reports.into_iter();
    let Some(first) = rest.next() else {
        unreachable!("whoever merges has at least one");
    };
    let mut seen: HashMap<String, String> =
        first.hosts.iter().map(|host| (host.name.to_string(), first.made.run.clone())).collect();
    let mut here: BTreeSet<Option<Shard>> = [first.made.shard].into();
    let (mut whole, mut runs) = (first, 1);
    for next in rest {
        goes_with(&whole.made, &next.made)?;
        for host in &next.hosts {
            if let Some(other) = seen.insert(host.name.to_string(), next.made.run.clone()) {
                return Err(MergeError::Twice(other, next.made.run.clone(), host.name.to_string()));
            }
        }
        here.insert(next.made.shard);
        runs += 1;
        add(&mut whole, next);
    }
    sort_hosts(&mut whole);
    let all = whole.made.shard.map_or(0, |shard| shard.of);
    let of = |number| Shard { number, of: all };
    let missing = (1..=all).map(of).filter(|shard| !here.contains(&Some(*shard))).collect();
    if runs > 1 {
        whole.made.run = format!("{} and {} more", whole.made.run, runs - 1);
        whole.made.shard = None;
    }
    Ok(Merged { report: Report { compared: None, report: VERSION, ..whole }, missing })
}

/// Whether two runs are of one thing.
fn goes_with(a: &Header, b: &Header) -> Result<(), MergeError> {
    let differ = |why| Err(MergeError::Differ(a.run.clone(), b.run.clone(), why));
    match () {
        () if a.mode != b.mode => differ("one is a plan or an audit, the other something else"),
        () if a.playbooks != b.playbooks => differ("they are of different playbooks"),
        () if a.files != b.files => {
            differ("inventory, playbooks or files of one are others than those of the other")
        }
        () if a.shard.map(|s| s.of) != b.shard.map(|s| s.of) => {
            differ("their hosts were split in different ways")
        }
        () => Ok(()),
    }
}

/// Adds what another report has.
fn add(whole: &mut Report, other: Report) {
    let places = add_steps(&mut whole.steps, &mut whole.cells, &mut whole.times, other.steps);
    let form = |verdict: &Verdict| serde_json::to_string(verdict).unwrap_or_default();
    let mut known: HashMap<String, usize> =
        whole.verdicts.iter().enumerate().map(|(n, verdict)| (form(verdict), n)).collect();
    let mut verdicts = Vec::new();
    for verdict in other.verdicts {
        let next = known.len();
        let place = *known.entry(form(&verdict)).or_insert(next);
        if place == whole.verdicts.len() {
            whole.verdicts.push(verdict);
        }
        verdicts.push(place);
    }
    let timed = !whole.times.is_empty() || !other.times.is_empty();
    whole.times.resize(if timed { whole.hosts.len() } else { 0 }, Vec::new());
    for row in other.cells {
        let mut cells = vec![None; whole.steps.len()];
        for (step, cell) in row.into_iter().enumerate() {
            cells[places[step]] = cell.map(|n| verdicts[n]);
        }
        whole.cells.push(cells);
    }
    for times in other.times {
        whole.times.push(times.into_iter().map(|time| Time { step: places[time.step], ..time }).collect());
    }
    whole.hosts.extend(other.hosts);
    whole.times.resize(if timed { whole.hosts.len() } else { 0 }, Vec::new());
    whole.made.hosts.extend(other.made.hosts);
    whole.made.started = whole.made.started.clone().min(other.made.started);
    for (mark, count) in other.counts {
        *whole.counts.entry(mark).or_default() += count;
    }
}

/// Adds the steps that are not there yet, each behind the one that it stands behind; returns where each is then.
fn add_steps(
    steps: &mut Vec<StepLine>,
    cells: &mut [Vec<Option<usize>>],
    times: &mut [Vec<Time>],
    more: Vec<StepLine>,
) -> Vec<usize> {
    let same = |a: &StepLine, b: &StepLine| (&a.playbook, &a.id) == (&b.playbook, &b.id);
    let mut places: Vec<usize> = Vec::new();
    for step in more {
        let place = steps.iter().position(|known| same(known, &step)).unwrap_or_else(|| {
            let place = places.last().map_or(0, |last| last + 1);
            steps.insert(place, step);
            for row in &mut *cells {
                row.insert(place, None);
            }
            let moved = times.iter_mut().flatten().map(|time| &mut time.step).chain(&mut places);
            moved.filter(|at| **at >= place).for_each(|at| *at += 1);
            place
        });
        places.push(place);
    }
    places
}

/// In the order of their names: that of the inventory is not known any more.
fn sort_hosts(whole: &mut Report) {
    let mut order: Vec<usize> = (0..whole.hosts.len()).collect();
    order.sort_by(|a, b| by_name(whole.hosts[*a].name.as_str(), whole.hosts[*b].name.as_str()));
    whole.hosts = order.iter().map(|n| whole.hosts[*n].clone()).collect();
    whole.cells = order.iter().map(|n| std::mem::take(&mut whole.cells[*n])).collect();
    if !whole.times.is_empty() {
        whole.times = order.iter().map(|n| std::mem::take(&mut whole.times[*n])).collect();
    }
    whole.made.hosts.sort_by(|a, b| by_name(a.as_str(), b.as_str()));
}

/// Numbers by their value: `node-9` comes before `node-10`.
fn by_name(one: &str, other: &str) -> Ordering {
    pieces(one).cmp(pieces(other)).then_with(|| one.cmp(other))
}

/// Runs of digits as numbers, by their length and digits, and all else as it is.
fn pieces(name: &str) -> impl Iterator<Item = (usize, &str)> {
    let characters: Vec<(usize, char)> = name.char_indices().collect();
    let mut at = 0;
    let lengths: Vec<usize> = characters
        .chunk_by(|before, behind| before.1.is_ascii_digit() == behind.1.is_ascii_digit())
        .map(|run| run.iter().map(|(_, character)| character.len_utf8()).sum())
        .collect();
    lengths.into_iter().map(move |length| {
        let piece = &name[at..at + length];
        at += length;
        if piece.starts_with(|c: char| c.is_ascii_digit()) {
            let number = piece.trim_start_matches('0');
            (number.len(), number)
        } else {
            (usize::MAX, piece)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_by_their_numbers() {
        let mut names = ["node-10", "node-9", "a", "node", "node-09", "node-010b"];
        names.sort_by(|a, b| by_name(a, b));
        assert_eq!(names, ["a", "node", "node-09", "node-9", "node-10", "node-010b"]);
    }
}
