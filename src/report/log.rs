//! The lines that stay: what ended how on which host, failures, warnings. The same on a pipe and above bars.
//!
//! What came of steps is data, all else tells of the way there: each line says to which stream it belongs.

use std::collections::HashMap;

use super::answers::Answers;
use super::folds::{Fold, Folds};
use super::style::{Detail, Look, Tone};
use super::{change, recap, text};
use crate::event::{Body, Event, Finished, Mode, Outcome, PlayInfo};
use crate::model::{Failure, HostName, PlayIndex};

/// Host names longer than this do not push the column to the right.
const HOST: usize = 24;
/// Parts of a list of hosts before "and N more".
const HOSTS: usize = 8;
/// Columns of the outcome: `unchanged`.
const OUTCOME: usize = 9;

/// Where a line belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output: what came of it.
    Out,
    /// Standard error: what goes on meanwhile.
    Err,
}

/// A line that is ready to be printed.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) to: Stream,
    pub(crate) text: String,
}

/// What the places can show to which lines go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Looks {
    pub(crate) out: Look,
    pub(crate) err: Look,
}

/// Turns events into lines.
#[derive(Debug)]
pub(crate) struct Log {
    looks: Looks,
    detail: Detail,
    mode: Mode,
    plays: Vec<PlayInfo>,
    /// Columns of the host names.
    hosts: usize,
    /// The playbook that has begun last, if nothing has been said of it.
    begun: Option<PlayIndex>,
    /// The playbooks that have a heading, in the order of these.
    headed: Vec<PlayIndex>,
    recap: recap::Recap,
    /// The plan has been shown.
    planned: bool,
    applied: bool,
    /// The plan goes where whoever reads this does not see it.
    plan_elsewhere: bool,
    folds: Folds,
    answers: Answers,
}

/// Of whom a line tells.
struct Who<'a> {
    /// In the column of the hosts; empty to find out whether the same is said of others.
    label: &'a str,
    /// Behind the name of the step.
    on: &'a str,
    took: &'a str,
}

impl Log {
    pub(crate) fn new(looks: Looks, detail: Detail) -> Self {
        Self {
            looks,
            detail,
            mode: Mode::Apply,
            plays: Vec::new(),
            hosts: 0,
            begun: None,
            headed: Vec::new(),
            recap: recap::Recap::default(),
            planned: false,
            applied: false,
            plan_elsewhere: false,
            folds: Folds::default(),
            answers: Answers::default(),
        }
    }

    /// Tells of the plan what must be known before it is applied.
    pub(crate) fn plan_is_elsewhere(&mut self) {
        self.plan_elsewhere = true;
    }

    /// Tells of equal answers of several hosts together.
    pub(crate) fn answers_in_blocks(&mut self) {
        self.answers.in_blocks();
    }

    /// The places have this many columns now.
    pub(crate) fn set_width(&mut self, out: Option<usize>, err: Option<usize>) {
        (self.looks.out.width, self.looks.err.width) = (out, err);
    }

    /// The lines that `event` gives.
    pub(crate) fn lines(&mut self, event: &Event) -> Vec<Line> {
        self.recap.take(event);
        let mut out = self.answers.lines(&event.body, self.looks, self.detail);
        out.extend(self.results(event));
        let said = self.said(event);
        if !said.is_empty() && !self.detail.quiet && out.is_empty() {
            out.extend(self.heading(play_of(&event.body).or(self.begun)));
        }
        out.extend(said.into_iter().map(|text| Line { to: Stream::Err, text }));
        out
    }

    /// What has been held back for long enough.
    pub(crate) fn tick(&mut self, now_ms: u64) -> Vec<Line> {
        let folds = self.folds.overdue(now_ms);
        self.folded(folds)
    }

    /// What is still held back: no more events will come.
    pub(crate) fn rest(&mut self) -> Vec<Line> {
        let folds = self.folds.rest();
        self.folded(folds)
    }

    /// What came of it.
    fn results(&mut self, event: &Event) -> Vec<Line> {
        let lines = match &event.body {
            Body::RunStarted { mode, hosts, plays, .. } => {
                self.mode = *mode;
                self.plays.clone_from(plays);
                self.folds.begin(hosts.len(), self.detail.summary);
                let names = hosts.iter().map(|h| text::width(h.as_str())).filter(|w| *w <= HOST);
                let all = if self.folds.is_active() { text::width(&all(hosts.len())) } else { 0 };
                self.hosts = names.chain([all]).max().unwrap_or(0);
                Vec::new()
            }
            Body::PlayStarted { play } => {
                self.applied = true;
                self.begun = Some(*play);
                Vec::new()
            }
            Body::Planned(entry) => {
                self.folds.expect(&entry.at);
                Vec::new()
            }
            Body::PlanFinished { .. } => {
                self.planned = true;
                Vec::new()
            }
            // Those that could not be reached before are listed in the plan.
            Body::HostUnreachable { host, failure } if self.planned => self.unreachable(host, failure),
            Body::StepFinished(finished) if self.folds.is_active() => {
                let said = self.finished(finished, &Who { label: "", on: "", took: "" });
                let folds = self.folds.ended(finished, said, event.at_ms);
                return self.folded(folds);
            }
            Body::StepFinished(finished) => {
                let took = text::duration(finished.took_ms);
                self.finished(finished, &Who { label: finished.at.host.as_str(), on: "", took: &took })
            }
            // Without an apply the plan has said it all.
            Body::RunFinished { summary, .. } if self.mode == Mode::Apply && self.applied => {
                let mut out = self.rest();
                let recap = self.recap.render(summary, self.looks.out, self.detail);
                out.extend(recap.into_iter().map(|text| Line { to: Stream::Out, text }));
                return out;
            }
            _ => Vec::new(),
        };
        self.headed(play_of(&event.body), lines)
    }

    /// Lines of results, the heading of their playbook first.
    fn headed(&mut self, play: Option<PlayIndex>, lines: Vec<String>) -> Vec<Line> {
        let mut out = Vec::new();
        if !lines.is_empty() && !self.detail.quiet {
            out.extend(self.heading(play.or(self.begun)));
        }
        out.extend(lines.into_iter().map(|text| Line { to: Stream::Out, text }));
        out
    }

    /// Hosts on which a step ended alike, in the order of the inventory.
    fn folded(&mut self, folds: Vec<Fold>) -> Vec<Line> {
        let mut out = Vec::new();
        for mut fold in folds {
            let play = fold.first.at.play;
            let hosts = self.plays.get(play.position()).map_or(&[][..], |play| &play.hosts);
            let order: HashMap<_, _> = hosts.iter().enumerate().map(|(n, host)| (host, n)).collect();
            fold.hosts.sort_by_key(|host| order.get(host));
            let (least, most) = (text::duration(fold.took_ms.0), text::duration(fold.took_ms.1));
            let took = if least == most { most } else { format!("{least} to {most}") };
            let names: Vec<_> = fold.hosts.iter().collect();
            let (label, on) = match names[..] {
                [one] => (one.to_string(), String::new()),
                _ if names.len() == hosts.len() => (all(names.len()), String::new()),
                _ => (text::count(names.len(), "host"), format!("on {}", text::hosts(&names, HOSTS))),
            };
            let lines = self.finished(&fold.first, &Who { label: &label, on: &on, took: &took });
            out.extend(self.headed(Some(play), lines));
        }
        out
    }

    /// What goes on.
    fn said(&self, event: &Event) -> Vec<String> {
        match &event.body {
            Body::HostLeftOut { host, reasons, .. } if self.plan_elsewhere && self.mode == Mode::Apply => {
                self.line(self.looks.err, host.as_str(), "left out", Tone::Bad, &reasons.join("\n"))
            }
            Body::HostLost { host, message } => {
                let words = format!("{message}; connecting again");
                self.line(self.looks.err, host.as_str(), "lost", Tone::Warn, &words)
            }
            Body::HostBack { host, away_ms } if !self.detail.quiet => {
                let words = format!("after {}", text::duration(*away_ms));
                self.line(self.looks.err, host.as_str(), "back", Tone::Good, &words)
            }
            Body::Warning { host, message } => self.warning(host.as_ref(), message),
            Body::StepRetried { at, left, failure } if !self.detail.quiet && !self.detail.summary => {
                let left = text::count_of(*left, "try", "tries");
                let words = format!("{} ({left} left){}", failure.message, self.elsewhere(at.play));
                self.line(self.looks.err, at.host.as_str(), "retry", Tone::Warn, &words)
            }
            Body::ActionStarted { at, label, program } if self.detail.verbose > 1 => {
                let mut lines = self.aside(&at.host, '>', label);
                if !program.is_empty() {
                    lines.extend(self.aside(&at.host, '$', program));
                }
                lines
            }
            Body::Output { at, line, .. } if self.detail.verbose > 1 => self.aside(&at.host, '|', line),
            _ => Vec::new(),
        }
    }

    /// `NFS server (10-nfs-server)`, before the first line of a playbook.
    fn heading(&mut self, of: Option<PlayIndex>) -> Vec<Line> {
        let Some(n) = of.filter(|n| !self.headed.contains(n)) else { return Vec::new() };
        let Some(play) = self.plays.get(n.position()) else { return Vec::new() };
        self.headed.push(n);
        self.begun = self.begun.filter(|begun| *begun != n);
        let title = format!("{} ({})", text::clean(&play.title), text::clean(&play.name));
        let look = self.looks.out;
        let title = text::wrap(&title, look.width, "", "  ");
        let title = title.iter().map(|line| look.paint(Tone::Strong, line));
        std::iter::once(String::new()).chain(title).map(|text| Line { to: Stream::Out, text }).collect()
    }

    /// `  [10-nfs-server]`, for a line below the heading of another playbook that has begun meanwhile.
    fn elsewhere(&self, play: PlayIndex) -> String {
        match self.plays.get(play.position()) {
            Some(info) if self.headed.contains(&play) && self.headed.last() != Some(&play) => {
                format!("  [{}]", text::clean(&info.name))
            }
            _ => String::new(),
        }
    }

    fn finished(&self, finished: &Finished, who: &Who<'_>) -> Vec<String> {
        let (word, tone) = outcome(finished.outcome);
        let bad = matches!(finished.outcome, Outcome::Failed | Outcome::Unreachable);
        let shown = match finished.outcome {
            // The host has been reported already.
            Outcome::Unreachable | Outcome::LeftOut => false,
            Outcome::Unchanged | Outcome::Skipped | Outcome::NotReached => {
                self.detail.verbose > 0 || (!finished.shows.is_empty() && !self.detail.quiet)
            }
            _ => !self.detail.quiet || bad,
        };
        if !shown {
            return Vec::new();
        }
        let mut words = text::clean(&finished.name).into_owned();
        if !finished.reason.is_empty() {
            words = format!("{words}: {}", text::clean(&finished.reason));
        }
        if !who.on.is_empty() {
            words.extend(["  ", who.on]);
        }
        if !matches!(finished.outcome, Outcome::Skipped | Outcome::NotReached | Outcome::Unchanged) {
            // Not to be broken within.
            let took = who.took.replace(' ', "\u{a0}");
            words = format!("{words}  ({took})");
        }
        if !who.label.is_empty() {
            words.push_str(&self.elsewhere(finished.at.play));
        }
        let look = self.looks.out;
        let mut out = self.line(look, who.label, word, tone, &words);
        let indent = self.indent();
        out.extend(text::shown(&finished.shows, indent));
        if let Some(change) = &finished.change
            && !self.detail.quiet
        {
            // Where the one action has failed, the failure names it.
            let named = finished.failure.as_ref().is_some_and(|f| f.code.is_some())
                && change.actions.len() == 1
                && change.actions[0] == change.summary;
            if bad && !named {
                let was = format!("was to {}", text::clean(&change.summary));
                out.extend(text::wrap(&was, look.width, &" ".repeat(indent), &" ".repeat(indent + 2)));
            }
            if self.detail.diff && !self.detail.summary {
                out.extend(change::details(change, indent, look, self.detail));
            }
        }
        if let Some(failure) = &finished.failure {
            out.extend(change::failure(failure, indent, look, self.detail));
        }
        if bad {
            let place = format!("{}at {}", " ".repeat(indent), finished.place);
            out.push(look.paint(Tone::Dim, &place));
        }
        out
    }

    fn unreachable(&self, host: &HostName, failure: &Failure) -> Vec<String> {
        let look = self.looks.out;
        let mut out = self.line(look, host.as_str(), "unreachable", Tone::Bad, "");
        out.extend(change::failure(failure, self.indent(), look, self.detail));
        out
    }

    fn warning(&self, host: Option<&HostName>, message: &str) -> Vec<String> {
        if self.detail.quiet {
            return Vec::new();
        }
        let look = self.looks.err;
        match host {
            Some(host) => self.line(look, host.as_str(), "warning", Tone::Warn, message),
            None => text::wrap(&text::clean(message), look.width, "warning: ", "  ")
                .iter()
                .map(|l| look.paint(Tone::Warn, l))
                .collect(),
        }
    }

    /// `nfs-01  changed    NFS server packages`: broken lines go on below the words.
    fn line(&self, look: Look, who: &str, word: &str, tone: Tone, words: &str) -> Vec<String> {
        let host = text::pad(who, self.hosts);
        let head = format!("{host}  {}  ", text::pad(word, OUTCOME));
        let narrow = look.width.is_some_and(|columns| columns < text::width(&head) + 24);
        let rest = " ".repeat(if narrow { 4 } else { text::width(&head) });
        let words: Vec<_> = words.lines().map(text::clean).collect();
        let lines = text::wrap(&words.join("\n"), look.width, &head, &rest);
        let plain = format!("{host}  {word}");
        lines
            .into_iter()
            .map(|line| line.replace('\u{a0}', " "))
            .map(|line| match line.strip_prefix(&plain) {
                Some(rest) => format!("{host}  {}{rest}", look.paint(tone, word)),
                None => line,
            })
            .collect()
    }

    fn aside(&self, host: &HostName, mark: char, words: &str) -> Vec<String> {
        let head = format!("{}  {mark} ", text::pad(host.as_str(), self.hosts));
        let look = self.looks.err;
        let rest = " ".repeat(text::width(&head));
        text::wrap(&text::last_state(words), look.width, &head, &rest)
            .iter()
            .map(|l| look.paint(Tone::Dim, l))
            .collect()
    }

    /// Details stand below the outcome, or where the terminal is narrow, further left.
    fn indent(&self) -> usize {
        match self.looks.out.width {
            Some(columns) if columns < 60 => 4,
            _ => self.hosts + 2,
        }
    }
}

/// All hosts of a playbook, in the column of the hosts.
fn all(hosts: usize) -> String {
    format!("all {}", text::count(hosts, "host"))
}

/// The playbook that an event tells of.
fn play_of(body: &Body) -> Option<PlayIndex> {
    match body {
        Body::StepFinished(finished) => Some(finished.at.play),
        Body::StepRetried { at, .. } | Body::ActionStarted { at, .. } | Body::Output { at, .. } => {
            Some(at.play)
        }
        _ => None,
    }
}

/// The word for an outcome, as everywhere.
pub(crate) fn outcome(outcome: Outcome) -> (&'static str, Tone) {
    match outcome {
        Outcome::Unchanged => ("unchanged", Tone::Good),
        Outcome::Changed => ("changed", Tone::Change),
        Outcome::WouldChange => ("would change", Tone::Change),
        Outcome::Unknown => ("unknown", Tone::Warn),
        Outcome::Skipped => ("skipped", Tone::Dim),
        Outcome::NotReached => ("not reached", Tone::Dim),
        Outcome::Failed => ("failed", Tone::Bad),
        Outcome::Unreachable => ("unreachable", Tone::Bad),
        Outcome::LeftOut => ("left out", Tone::Bad),
    }
}
