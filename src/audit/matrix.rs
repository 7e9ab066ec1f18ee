//! A report for a terminal: a matrix of steps and hosts, in which hosts with equal verdicts are one column, and what differs
//! below it, once for equal hosts.

use std::collections::BTreeMap;

use super::{Mark, Report, Standing, Verdict};
use crate::model::HostName;
use crate::report::host_list;

/// Columns of hosts at most: further ones are told by their number alone.
const COLUMNS: usize = 26;

/// Hosts in a list before "and N more".
const NAMES: usize = 8;

/// What was found of a step on hosts on which it is the same.
pub(super) struct Details<'a> {
    pub(super) step: usize,
    pub(super) verdict: &'a Verdict,
    pub(super) hosts: Vec<usize>,
}

/// The verdicts with one of these marks, in the order of the steps, each with its hosts.
pub(super) fn details<'a>(report: &'a Report, marks: &[Mark]) -> Vec<Details<'a>> {
    let mut found: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for (h, row) in report.cells.iter().enumerate() {
        for (s, verdict) in row.iter().enumerate().filter_map(|(s, v)| Some((s, (*v)?))) {
            if marks.contains(&report.verdicts[verdict].mark) {
                found.entry((s, verdict)).or_default().push(h);
            }
        }
    }
    let all = found.into_iter();
    all.map(|((step, verdict), hosts)| Details { step, verdict: &report.verdicts[verdict], hosts }).collect()
}

/// Hosts on which every step has the same mark, the most first.
fn columns(report: &Report) -> Vec<(Vec<Option<Mark>>, Vec<usize>)> {
    let mut columns: Vec<(Vec<Option<Mark>>, Vec<usize>)> = Vec::new();
    for (h, row) in report.cells.iter().enumerate() {
        if report.hosts[h].standing == Standing::Unreachable && row.iter().all(Option::is_none) {
            continue;
        }
        let marks: Vec<_> = row.iter().map(|v| v.map(|v| report.verdicts[v].mark)).collect();
        match columns.iter_mut().find(|(known, _)| *known == marks) {
            Some((_, hosts)) => hosts.push(h),
            None => columns.push((marks, vec![h])),
        }
    }
    columns.sort_by_key(|(_, hosts)| (std::cmp::Reverse(hosts.len()), hosts[0]));
    columns
}

/// The matrix, a legend, and in `width` columns as much of the names as there is room for.
pub fn matrix(report: &Report, width: usize) -> Vec<String> {
    let all = columns(report);
    // Each column takes a letter and a blank; names of steps take what is left, but never less than a third.
    let room = (width.saturating_sub(width / 3) / 2).clamp(1, COLUMNS);
    let (shown, more) = all.split_at(all.len().min(room));
    let names = |hosts: &[usize]| {
        let names: Vec<&HostName> = hosts.iter().map(|&h| &report.hosts[h].name).collect();
        host_list(&names, NAMES)
    };
    let letter = |n: usize| char::from(b'A' + u8::try_from(n).unwrap_or(25));
    let mut out = Vec::new();
    for (n, (_, hosts)) in shown.iter().enumerate() {
        let count = if hosts.len() > 1 { format!(" ({} hosts)", hosts.len()) } else { String::new() };
        out.push(format!("{}  {}{count}", letter(n), names(hosts)));
    }
    if !more.is_empty() {
        let hosts: usize = more.iter().map(|(_, hosts)| hosts.len()).sum();
        out.push(format!(
            "   {hosts} more hosts in {} other ways: see below, or a report in a file",
            more.len()
        ));
    }
    out.push(String::new());
    let head: Vec<String> = (0..shown.len()).map(|n| letter(n).to_string()).collect();
    let space = width.saturating_sub(shown.len() * 2 + 1).max(12);
    let mut playbook = "";
    for (s, step) in report.steps.iter().enumerate() {
        if step.playbook != playbook {
            playbook = &step.playbook;
            out.push(format!("{}  {playbook}", head.join(" ")));
        }
        let marks: Vec<String> = (shown.iter())
            .map(|(marks, _)| marks.get(s).copied().flatten().map_or(' ', Mark::letter).to_string())
            .collect();
        let name: String = step.name.chars().take(space).collect();
        out.push(format!("{}    {name}", marks.join(" ")));
    }
    let used: Vec<String> = (Mark::ALL.into_iter().filter(|&mark| report.count(mark) > 0))
        .map(|mark| format!("{} {}", mark.letter(), mark.word()))
        .collect();
    out.push(String::new());
    out.push(used.join("   "));
    out
}
