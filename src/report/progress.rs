//! What moves while a run goes on: a line for each busy host, and one for all. Pure: state in, lines out.

use std::collections::HashMap;

use super::reporter::{Tally, WorkTime};
use super::style::{Look, Tone};
use super::text;
use crate::event::{Body, Event, Mode, Outcome, PlayInfo, Summary};
use crate::model::{HostName, PlayIndex};

/// Never more host lines than this, however tall the terminal is.
const LINES: usize = 24;
/// Wider lines are hard to follow with the eye.
const WIDE: usize = 120;
/// Lines of the terminal left to what scrolls above.
const ABOVE: usize = 6;

/// What has begun later than that is not told of where nothing moves.
const WHILE_MS: u64 = 10_000;
/// So many things that go on are told of there, each with so many parts of a list of hosts.
const STILL: usize = 4;
const HOSTS: usize = 6;

/// The state of all hosts, folded from events.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    mode: Option<Mode>,
    names: Vec<HostName>,
    index: HashMap<HostName, usize>,
    hosts: Vec<Host>,
    plays: Vec<PlayInfo>,
    play: Option<PlayIndex>,
    /// Hosts that have answered or could not be reached.
    answered: usize,
    /// Entries of the plan, or what the playbooks let expect.
    expected: usize,
    done: usize,
    tally: Tally,
    time: WorkTime,
    /// Nothing moves: before the start, while the user reads the plan, after the end.
    still: bool,
}

#[derive(Debug, Default)]
struct Host {
    busy: Option<Busy>,
    /// Its entries in the plan.
    planned: usize,
    settled: bool,
}

#[derive(Debug)]
struct Busy {
    what: String,
    aside: String,
    since_ms: u64,
    /// When its action was last heard of.
    heard_ms: Option<u64>,
}

/// After so long without a word it is said that there is none.
const SILENCE_MS: u64 = 30_000;

impl Progress {
    pub(crate) fn take(&mut self, event: &Event) {
        self.tally.take(&event.body);
        self.time.take(event);
        match &event.body {
            Body::RunStarted { mode, hosts, plays, .. } => {
                self.mode = Some(*mode);
                self.names.clone_from(hosts);
                self.index = hosts.iter().enumerate().map(|(n, h)| (h.clone(), n)).collect();
                self.hosts = hosts.iter().map(|_| Host::default()).collect();
                self.plays.clone_from(plays);
                self.expected = plays.iter().map(|p| p.steps * p.hosts.len()).sum();
            }
            Body::HostConnecting { host } => {
                let what = match self.mode {
                    Some(Mode::Run) => "running the command",
                    Some(Mode::Facts) => "asking",
                    _ => "connecting",
                };
                self.busy(host, what, event.at_ms);
            }
            Body::HostConnected { host } | Body::HostUnreachable { host, .. } => {
                if matches!(self.mode, Some(Mode::Run | Mode::Facts)) {
                    self.done += 1;
                }
                self.settle(host);
                if let Some(host) = self.host(host) {
                    host.busy = None;
                }
            }
            // Of a host that does nothing, no step will end.
            Body::Planned(entry) if entry.forecast.outcome() == Outcome::Unreachable => {}
            Body::Planned(entry) => {
                self.done += 1;
                if let Some(host) = self.host(&entry.at.host) {
                    host.planned += 1;
                }
            }
            Body::HostLeftOut { host, .. } => {
                let planned = self.host(host).map_or(0, |host| host.planned);
                self.done = self.done.saturating_sub(planned);
            }
            Body::PlanFinished { .. } => {
                self.expected = self.done;
                self.done = 0;
                self.still = true;
            }
            Body::PlayStarted { play } => {
                self.play = Some(*play);
                self.still = false;
            }
            Body::StepStarted { at, name } => {
                self.still = false;
                self.busy(&at.host, name, event.at_ms);
            }
            Body::ActionStarted { at, label, .. } => {
                self.aside(&at.host, label);
                self.heard(&at.host, event.at_ms);
            }
            Body::Output { at, line, .. } => {
                self.aside(&at.host, line);
                self.heard(&at.host, event.at_ms);
            }
            Body::HostLost { host, .. } => {
                self.aside(host, "connection lost, trying again");
                self.quiet(host);
            }
            Body::HostBack { host, .. } => {
                self.aside(host, "connected again");
                self.heard(host, event.at_ms);
            }
            Body::StepRetried { at, failure, .. } => self.aside(&at.host, &failure.message),
            Body::StepFinished(finished) => {
                if !matches!(finished.outcome, Outcome::Unreachable | Outcome::LeftOut) {
                    self.done += 1;
                }
                if let Some(host) = self.host(&finished.at.host) {
                    host.busy = None;
                }
            }
            Body::Said { host, line, .. } => {
                self.aside(host, line);
                self.heard(host, event.at_ms);
            }
            Body::Answered { host, .. } | Body::NotAnswered { host, .. } => {
                self.done += 1;
                if let Some(host) = self.host(host) {
                    host.busy = None;
                }
            }
            Body::RunFinished { .. } => self.still = true,
            Body::Warning { .. } | Body::Silent { .. } => {}
        }
    }

    fn host(&mut self, name: &HostName) -> Option<&mut Host> {
        self.index.get(name).and_then(|n| self.hosts.get_mut(*n))
    }

    fn settle(&mut self, name: &HostName) {
        if let Some(host) = self.host(name)
            && !std::mem::replace(&mut host.settled, true)
        {
            self.answered += 1;
        }
    }

    fn busy(&mut self, host: &HostName, what: &str, since_ms: u64) {
        if let Some(host) = self.host(host) {
            let what = text::clean(what).into_owned();
            host.busy = Some(Busy { what, aside: String::new(), since_ms, heard_ms: None });
        }
    }

    fn aside(&mut self, host: &HostName, words: &str) {
        if let Some(busy) = self.host(host).and_then(|h| h.busy.as_mut()) {
            let words = text::last_state(words);
            if !words.is_empty() {
                // Enough for any terminal, and a bound for a host that prints without line breaks.
                busy.aside = words.chars().take(400).collect();
            }
        }
    }

    fn heard(&mut self, host: &HostName, at_ms: u64) {
        if let Some(busy) = self.host(host).and_then(|h| h.busy.as_mut()) {
            busy.heard_ms = Some(at_ms);
        }
    }

    /// Nothing can be heard of it.
    fn quiet(&mut self, host: &HostName) {
        if let Some(busy) = self.host(host).and_then(|h| h.busy.as_mut()) {
            busy.heard_ms = None;
        }
    }

    /// The lines to draw now, none of them wider than `look.width`.
    pub(crate) fn frame(&self, look: Look, rows: usize, now_ms: u64) -> Vec<String> {
        if self.still || self.mode.is_none() {
            return Vec::new();
        }
        // The last column stays free: some terminals go to the next line when it is written to.
        let columns = look.width.unwrap_or(80).saturating_sub(1).clamp(10, WIDE);
        let busy: Vec<_> = self
            .names
            .iter()
            .zip(&self.hosts)
            .filter_map(|(name, host)| host.busy.as_ref().map(|b| (name, b)))
            .collect();
        let room = rows.saturating_sub(ABOVE).clamp(1, LINES);
        let shown = if busy.len() > room { room.saturating_sub(1).max(1) } else { busy.len() };
        let names = busy[..shown].iter().map(|(n, _)| text::width(n.as_str())).max().unwrap_or(0);
        let names = names.min((columns / 3).max(6));
        let steps = busy[..shown].iter().map(|(_, b)| text::width(&b.what)).max().unwrap_or(0);
        let columns_of = Columns { names, steps, all: columns };
        let mut out: Vec<_> =
            busy[..shown].iter().map(|(n, b)| host_line(n, b, columns_of, look, now_ms)).collect();
        if shown < busy.len() {
            let more = format!("{} {} busy", look.ellipsis(), text::count(busy.len() - shown, "more host"));
            out.push(look.paint(Tone::Dim, &text::cut(&more, columns, look.ellipsis())));
        }
        out.push(self.overall(columns, look, now_ms));
        out
    }

    /// What has been going on for a while, where nothing moves: a line that may be wrapped, or nothing.
    pub(crate) fn still(&self, look: Look, now_ms: u64) -> Vec<String> {
        if self.still {
            return Vec::new();
        }
        // By what they do, those that have done it for longest first.
        let mut groups: Vec<(&str, Vec<&HostName>, u64, u64)> = Vec::new();
        for (name, host) in self.names.iter().zip(&self.hosts) {
            let Some(busy) = &host.busy else { continue };
            let since = now_ms.saturating_sub(busy.since_ms);
            if since < WHILE_MS {
                continue;
            }
            let silent = busy.heard_ms.map_or(0, |heard| now_ms.saturating_sub(heard));
            match groups.iter_mut().find(|(what, ..)| *what == busy.what) {
                Some((_, hosts, longest, quietest)) => {
                    hosts.push(name);
                    (*longest, *quietest) = ((*longest).max(since), (*quietest).max(silent));
                }
                None => groups.push((&busy.what, vec![name], since, silent)),
            }
        }
        if groups.is_empty() {
            return Vec::new();
        }
        groups.sort_by_key(|(_, _, longest, _)| std::cmp::Reverse(*longest));
        let more = groups.len().saturating_sub(STILL);
        let told = groups.iter().take(STILL).map(|(what, hosts, longest, silent)| {
            let silent = if *silent < SILENCE_MS {
                String::new()
            } else {
                format!(", no output for {}", text::duration(*silent))
            };
            format!("{what} on {} ({}{silent})", text::hosts(hosts, HOSTS), text::duration(*longest))
        });
        let mut told: Vec<_> = told.collect();
        if more > 0 {
            told.push(format!("and {more} more"));
        }
        let (_, done, all, unit) = self.counts();
        let words = format!("{} ({done}/{all} {unit})", told.join("; "));
        let lines = text::wrap(&words, look.width, "still running: ", "  ");
        lines.iter().map(|line| look.paint(Tone::Dim, line)).collect()
    }

    /// `NFS server`, `12`, `40`, `done`: what is under way, and how much of it is over.
    fn counts(&self) -> (String, usize, usize, &'static str) {
        let planned = matches!(self.mode, Some(Mode::Apply | Mode::Plan | Mode::Audit));
        if planned && self.done == 0 && self.play.is_none() {
            ("asking".to_owned(), self.answered, self.names.len(), "hosts")
        } else if planned {
            let title =
                self.play.and_then(|n| self.plays.get(n.position())).map_or("planning", |p| p.title.as_str());
            (text::clean(title).into_owned(), self.done, self.expected.max(self.done), "done")
        } else {
            let title = if self.mode == Some(Mode::Run) { "running" } else { "asking" };
            (title.to_owned(), self.done, self.names.len(), "hosts")
        }
    }

    /// `NFS server  ━━━━━━━━━───────────  12/40 done  8 changed  1 failed  0:42`
    fn overall(&self, columns: usize, look: Look, now_ms: u64) -> String {
        let summary: &Summary = &self.tally.summary;
        let (title, done, all, unit) = self.counts();
        let total = summary.total;
        let mut tail = vec![(Tone::Normal, format!("{done}/{all} {unit}"))];
        for (n, word, tone) in [
            (total.failed, "failed", Tone::Bad),
            (summary.unreachable.len(), "unreachable", Tone::Bad),
            (summary.left_out.len(), "left out", Tone::Bad),
            (total.changed, "changed", Tone::Change),
        ] {
            if n > 0 {
                tail.push((tone, format!("{n} {word}")));
            }
        }
        tail.push((Tone::Dim, text::clock(self.time.of(now_ms))));
        let wide = |tail: &[(Tone, String)]| tail.iter().map(|(_, t)| text::width(t) + 2).sum::<usize>();
        // What does not fit goes: first the time, then the lesser counts.
        while tail.len() > 1 && wide(&tail) > columns {
            tail.pop();
        }
        let left = columns.saturating_sub(wide(&tail));
        let bar = match left {
            0..16 => 0,
            16..40 => left / 2,
            _ => 20,
        };
        let title_room = left.saturating_sub(if bar > 0 { bar + 2 } else { 0 });
        let title = text::cut(&title, title_room, look.ellipsis());
        let mut line = look.paint(Tone::Strong, &title);
        let gap = |line: &str| if line.is_empty() { "" } else { "  " };
        if bar > 0 {
            let full = (done * bar).checked_div(all).unwrap_or(0).min(bar);
            let (on, off) = if look.unicode { ("━", "─") } else { ("=", "-") };
            line.push_str(gap(&line));
            line.push_str(&look.paint(Tone::Good, &on.repeat(full)));
            line.push_str(&look.paint(Tone::Dim, &off.repeat(bar - full)));
        }
        for (tone, words) in tail {
            line.push_str(gap(&line));
            line.push_str(&look.paint(tone, &text::cut(&words, columns, "")));
        }
        line
    }
}

/// How the columns of a terminal are shared out.
#[derive(Clone, Copy)]
struct Columns {
    /// The longest host name shown.
    names: usize,
    /// The longest step name shown.
    steps: usize,
    all: usize,
}

/// `nfs-01  NFS server packages  Installing: nfs-utils…    12 s`
fn host_line(name: &HostName, busy: &Busy, columns: Columns, look: Look, now_ms: u64) -> String {
    let Columns { names, steps, all } = columns;
    // As wide as a clock mostly is, so that the columns stand still.
    let elapsed = text::pad_left(&text::clock(now_ms.saturating_sub(busy.since_ms)), 5);
    let name = text::pad(&text::cut(name.as_str(), names, look.ellipsis()), names);
    let room = all.saturating_sub(names + 2 + text::width(&elapsed) + 2);
    // What a step prints is shown where it has some room beside the step's name, which goes first.
    let steps = if room < 40 { room } else { steps.min(room * 3 / 5) };
    let left = room.saturating_sub(steps + 2);
    let mut line = format!("{name}  ");
    let step = text::pad(&text::cut(&busy.what, steps, look.ellipsis()), steps);
    line.push_str(&look.paint(Tone::Strong, &step));
    let mut used = steps;
    if left >= 12 {
        let silent = busy.heard_ms.map_or(0, |heard| now_ms.saturating_sub(heard));
        let aside = if silent < SILENCE_MS {
            text::cut(&busy.aside, left, look.ellipsis())
        } else {
            text::cut(&format!("no output for {}", text::duration(silent)), left, look.ellipsis())
                .into_owned()
                .into()
        };
        line.push_str("  ");
        line.push_str(&look.paint(Tone::Dim, &aside));
        used += 2 + text::width(&aside);
    }
    line.push_str(&" ".repeat((room + 2).saturating_sub(used)));
    line.push_str(&look.paint(Tone::Dim, &elapsed));
    line
}
