//! The end of an apply: host by host how often each outcome came up, what failed, and one line for all.

use std::collections::{HashMap, HashSet};

use super::reporter::WorkTime;
use super::style::{Detail, Look, Tone};
use super::text;
use crate::event::{Body, Counts, Event, Finished, Outcome, Summary};
use crate::model::{HostName, PlayIndex, StepId};

/// Up to so many hosts have a line each; of more, those with equal counts share one.
const SINGLE: usize = 24;
/// Columns that a host's name gets at least, or the table becomes a list.
const NAME: usize = 12;
/// Failed steps listed again at the end.
const FAILURES: usize = 20;
/// Parts of a list of hosts before "and N more".
const HOSTS: usize = 6;

/// Remembers what the end will have to say.
#[derive(Debug, Default)]
pub(crate) struct Recap {
    hosts: Vec<HostName>,
    /// Each with the hosts on which the same step failed in the same way.
    failures: Vec<(Finished, Vec<HostName>)>,
    /// Failed steps that are in `failures`, and all.
    told: usize,
    failed: usize,
    /// The steps that failed, and those that are as described, on whatever number of hosts.
    failed_steps: HashSet<(PlayIndex, StepId)>,
    unchanged_steps: HashSet<(PlayIndex, StepId)>,
    unreachable: HashMap<HostName, String>,
    left_out: HashMap<HostName, String>,
    time: WorkTime,
    at_ms: u64,
}

impl Recap {
    pub(crate) fn take(&mut self, event: &Event) {
        self.time.take(event);
        self.at_ms = self.time.of(event.at_ms);
        if let Body::StepFinished(finished) = &event.body {
            let step = (finished.at.play, finished.at.step.clone());
            match finished.outcome {
                Outcome::Failed => self.failed_steps.insert(step),
                Outcome::Unchanged => self.unchanged_steps.insert(step),
                _ => false,
            };
        }
        match &event.body {
            Body::RunStarted { hosts, .. } => self.hosts.clone_from(hosts),
            Body::HostUnreachable { host, failure } => {
                self.unreachable.insert(host.clone(), failure.message.clone());
            }
            Body::HostLeftOut { host, reasons, .. } => {
                self.left_out.insert(host.clone(), reasons.first().cloned().unwrap_or_default());
            }
            Body::StepFinished(finished) if finished.outcome == Outcome::Failed => {
                self.failed += 1;
                let at = &finished.at;
                let alike = |f: &Finished| {
                    f.at.play == at.play && f.at.step == at.step && f.failure == finished.failure
                };
                if let Some(known) = self.failures.iter().position(|(f, _)| alike(f)) {
                    self.failures[known].1.push(at.host.clone());
                    self.told += 1;
                } else if self.failures.len() < FAILURES {
                    self.failures.push((finished.clone(), vec![at.host.clone()]));
                    self.told += 1;
                }
            }
            _ => {}
        }
    }

    pub(crate) fn render(&self, summary: &Summary, look: Look, detail: Detail) -> Vec<String> {
        let mut out = Vec::new();
        let Summary { total, unreachable, left_out, interrupted, .. } = summary;
        let whole = unreachable.is_empty() && left_out.is_empty() && total.not_reached == 0 && !interrupted;
        let calm = total.changed + total.failed == 0 && whole;
        if !detail.quiet && (!calm || detail.verbose > 0) {
            out.push(String::new());
            self.table(summary, look, &mut out);
        }
        // With one failure its full report is still on the screen.
        if self.failed > 1 && !detail.quiet {
            self.list_failures(look, &mut out);
        }
        if !detail.quiet {
            out.push(String::new());
        }
        let tone = if total.failed == 0 && whole { Tone::Good } else { Tone::Bad };
        let line = self.result(summary);
        out.extend(text::wrap(&line, look.width, "", "").iter().map(|l| look.paint(tone, l)));
        out
    }

    fn table(&self, summary: &Summary, look: Look, out: &mut Vec<String>) {
        let mut rows: Vec<Row<'_>> = Vec::new();
        for host in &self.hosts {
            let standing = self.standing(host, summary);
            let equal = rows.iter_mut().find(|(_, known)| self.hosts.len() > SINGLE && *known == standing);
            match equal {
                Some((hosts, _)) => hosts.push(host),
                None => rows.push((vec![host], standing)),
            }
        }
        let columns: Vec<_> = COLUMNS.into_iter().filter(|(_, _, pick)| pick(&summary.total) > 0).collect();
        let labels: Vec<_> = rows
            .iter()
            .map(|(hosts, _)| match hosts.len() {
                1 => hosts[0].to_string(),
                n => format!("{n} hosts: {}", text::hosts(hosts, HOSTS)),
            })
            .collect();
        let numbers: usize = columns.iter().map(|(word, ..)| word.len() + 2).sum();
        if look.width.is_some_and(|w| w < numbers + NAME) {
            return list(&labels, &rows, &columns, look, out);
        }
        let room = look.width.map_or(60, |w| w.saturating_sub(numbers)).clamp(8, 60);
        let names = labels.iter().map(|l| text::width(l)).max().unwrap_or(0).clamp(4, room);
        let mut head = text::pad("host", names);
        for (word, ..) in &columns {
            head.extend(["  ", word]);
        }
        out.push(look.paint(Tone::Dim, &head));
        for (label, (_, standing)) in labels.iter().zip(&rows) {
            let label = text::pad(&text::cut(label, names, look.ellipsis()), names);
            let counts = match standing {
                Standing::Counts(counts) => counts,
                Standing::Words(tone, words) => {
                    let room = look.width.map_or(usize::MAX, |w| w.saturating_sub(names + 2));
                    let words = text::cut(words, room, look.ellipsis());
                    out.push(format!("{label}  {}", look.paint(*tone, &words)));
                    continue;
                }
            };
            let mut line = label;
            for (word, tone, pick) in &columns {
                let n = pick(counts);
                let tone = if n == 0 { Tone::Dim } else { *tone };
                line.push_str("  ");
                line.push_str(&look.paint(tone, &text::pad_left(&n.to_string(), word.len())));
            }
            out.push(line);
        }
    }

    /// How a host came off: a row of zeros would not tell one that was never begun from one with nothing to do.
    fn standing(&self, host: &HostName, summary: &Summary) -> Standing {
        let with = |word: &str, why: Option<&String>| {
            let why = why.map(|w| format!(": {}", text::clean(w))).unwrap_or_default();
            Standing::Words(Tone::Bad, format!("{word}{why}"))
        };
        if summary.unreachable.contains(host) {
            return with("unreachable", self.unreachable.get(host));
        }
        if let Some(why) = self.left_out.get(host) {
            return with("left out", Some(why));
        }
        let counts = summary.hosts.get(host).copied().unwrap_or_default();
        match (counts.ended() - counts.not_reached, counts.not_reached) {
            (0, 0) => Standing::Words(Tone::Dim, "no step is for it".into()),
            (0, n) => Standing::Words(Tone::Warn, format!("not reached: {}", text::count(n, "step"))),
            _ => Standing::Counts(counts),
        }
    }

    fn list_failures(&self, look: Look, out: &mut Vec<String>) {
        out.push(String::new());
        out.push(look.paint(Tone::Strong, "Failures:"));
        // In inventory order, as everywhere; each host's own in the order in which they happened.
        let order: HashMap<_, _> = self.hosts.iter().enumerate().map(|(n, h)| (h, n)).collect();
        let mut failures: Vec<_> = self.failures.iter().collect();
        failures.sort_by_key(|(_, hosts)| hosts.iter().map(|host| order.get(host)).min());
        for (f, hosts) in failures {
            let mut hosts: Vec<_> = hosts.iter().collect();
            hosts.sort_by_key(|host| order.get(host));
            let why = f.failure.as_ref().map_or_else(String::new, |w| {
                let code = w.code.map_or_else(String::new, |code| format!(", exit code {code}"));
                let fields: Vec<_> = w.differs.iter().map(|field| text::clean(&field.name)).collect();
                let fields =
                    if fields.is_empty() { String::new() } else { format!(" ({})", fields.join(", ")) };
                format!(": {}{code}{fields}", text::clean(&w.message))
            });
            let hosts = text::hosts(&hosts, HOSTS);
            let words = format!("{hosts}  {} ({}){why}", text::clean(&f.name), f.place);
            out.extend(text::wrap(&words, look.width, "  ", "      "));
        }
        if self.failed > self.told {
            out.push(format!("  and {} more", self.failed - self.told));
        }
    }

    /// `Done: 12 changed on 4 hosts, 30 unchanged, in 1 min 12 s.`
    fn result(&self, summary: &Summary) -> String {
        let total = summary.total;
        let hosts = |pick: fn(&Counts) -> usize| {
            text::count(summary.hosts.values().filter(|c| pick(c) > 0).count(), "host")
        };
        let mut parts = Vec::new();
        if total.changed > 0 {
            parts.push(format!("{} changed on {}", total.changed, hosts(|c| c.changed)));
        }
        for (n, word) in [(total.unchanged, "unchanged"), (total.skipped, "skipped")] {
            if n > 0 {
                parts.push(format!("{n} {word}"));
            }
        }
        if total.not_reached > 0 {
            parts.push(format!("{} not reached on {}", total.not_reached, hosts(|c| c.not_reached)));
        }
        let rest = parts.join(", ");
        let took = text::duration(self.at_ms);
        let failed =
            || format!("{} on {}", text::count(self.failed_steps.len(), "step"), hosts(|c| c.failed));
        let mut line = if summary.interrupted {
            let failed = if total.failed > 0 { format!("{} failed", failed()) } else { String::new() };
            let said: Vec<_> = [failed, rest].into_iter().filter(|words| !words.is_empty()).collect();
            format!(
                "Interrupted: {}",
                if said.is_empty() { "nothing was done".into() } else { said.join(", ") }
            )
        } else if total.failed > 0 {
            let rest = if rest.is_empty() { rest } else { format!("; {rest}") };
            format!("Failed: {}{rest}", failed())
        } else if total.not_reached > 0 {
            format!("Stopped: {rest}")
        } else if total.changed > 0 {
            format!("Done: {rest}")
        } else if total.unchanged > 0 {
            let skipped =
                if total.skipped > 0 { format!(", {} skipped", total.skipped) } else { String::new() };
            let n = self.unchanged_steps.len();
            let are = if n == 1 { "is" } else { "are" };
            let steps = text::count(n, "step");
            format!("Nothing to do: {steps} {are} as described on {}{skipped}", hosts(|c| c.unchanged))
        } else {
            "Nothing was done".into()
        };
        line.extend([" (", &took, ")."]);
        if !summary.away.is_empty() {
            let times: u32 = summary.away.values().map(|a| a.times).sum();
            let longest = summary.away.values().map(|a| a.away_ms).max().unwrap_or_default();
            let hosts = text::count(summary.away.len(), "host");
            let times = text::count_of(times, "connection was", "connections were");
            let longest = text::duration(longest);
            line.extend([
                " ",
                &times,
                " lost on ",
                &hosts,
                " and made again (away for up to ",
                &longest,
                ").",
            ]);
        }
        for (list, word) in [(&summary.unreachable, "unreachable"), (&summary.left_out, "left out")] {
            if !list.is_empty() {
                line.extend([" ", &text::count(list.len(), "host"), " ", word, "."]);
            }
        }
        line
    }
}

/// The table where it has no room: a line, or as many as it takes, for each host.
fn list(labels: &[String], rows: &[Row<'_>], columns: &[Column], look: Look, out: &mut Vec<String>) {
    for (label, (_, standing)) in labels.iter().zip(rows) {
        let words = match standing {
            Standing::Words(_, words) => words.clone(),
            Standing::Counts(counts) => {
                let parts = columns.iter().map(|(word, _, pick)| (pick(counts), word));
                let parts: Vec<_> =
                    parts.filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
                parts.join(", ")
            }
        };
        out.extend(text::wrap(&format!("{label}  {words}"), look.width, "", "    "));
    }
}

/// Hosts that came off alike.
type Row<'a> = (Vec<&'a HostName>, Standing);

/// How a host came off.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    Counts(Counts),
    /// There is nothing to count: why.
    Words(Tone, String),
}

type Column = (&'static str, Tone, fn(&Counts) -> usize);

const COLUMNS: [Column; 5] = [
    ("changed", Tone::Change, |c| c.changed),
    ("unchanged", Tone::Good, |c| c.unchanged),
    ("skipped", Tone::Normal, |c| c.skipped),
    ("not reached", Tone::Warn, |c| c.not_reached),
    ("failed", Tone::Bad, |c| c.failed),
];
