//! The lines that stay: what ended how on which host, failures, warnings. The same on a pipe and above bars.

use super::style::{Detail, Look, Tone};
use super::{change, recap, text};
use crate::event::{Body, Event, Finished, Mode, Outcome, PlayInfo};
use crate::model::{Failure, HostName, PlayIndex};

/// Host names longer than this do not push the column to the right.
const HOST: usize = 24;
/// Columns of the outcome: `unchanged`.
const OUTCOME: usize = 9;

/// Turns events into lines.
#[derive(Debug)]
pub(crate) struct Log {
    look: Look,
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
}

impl Log {
    pub(crate) fn new(look: Look, detail: Detail) -> Self {
        Self {
            look,
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
        }
    }

    /// Tells of the plan what must be known before it is applied.
    pub(crate) fn plan_is_elsewhere(&mut self) {
        self.plan_elsewhere = true;
    }

    /// The terminal has this many columns now.
    pub(crate) fn set_width(&mut self, columns: Option<usize>) {
        self.look.width = columns;
    }

    /// The lines that `event` gives, ready to be printed.
    pub(crate) fn lines(&mut self, event: &Event) -> Vec<String> {
        self.recap.take(event);
        let lines = match &event.body {
            Body::RunStarted { mode, hosts, plays, .. } => {
                self.mode = *mode;
                self.plays.clone_from(plays);
                self.hosts =
                    hosts.iter().map(|h| text::width(h.as_str())).filter(|w| *w <= HOST).max().unwrap_or(0);
                Vec::new()
            }
            Body::PlayStarted { play } => {
                self.applied = true;
                self.begun = Some(*play);
                Vec::new()
            }
            Body::PlanFinished { .. } => {
                self.planned = true;
                Vec::new()
            }
            // Those that could not be reached before are listed in the plan.
            Body::HostUnreachable { host, failure } if self.planned => self.unreachable(host, failure),
            Body::HostLeftOut { host, reasons, .. } if self.plan_elsewhere && self.mode == Mode::Apply => {
                self.line(host, "left out", Tone::Bad, &reasons.join("\n"))
            }
            Body::HostLost { host, message } => {
                self.line(host, "lost", Tone::Warn, &format!("{message}; connecting again"))
            }
            Body::HostBack { host, away_ms } if !self.detail.quiet => {
                self.line(host, "back", Tone::Good, &format!("after {}", text::duration(*away_ms)))
            }
            Body::Silent { at, for_ms } if !self.detail.quiet => {
                let words = format!("no output for {}{}", text::duration(*for_ms), self.elsewhere(at.play));
                self.line(&at.host, "waiting", Tone::Dim, &words)
            }
            Body::Warning { host, message } => self.warning(host.as_ref(), message),
            Body::StepFinished(finished) => self.finished(finished),
            Body::StepRetried { at, left, failure } if !self.detail.quiet => {
                let left = text::count_of(*left, "try", "tries");
                let words = format!("{} ({left} left){}", failure.message, self.elsewhere(at.play));
                self.line(&at.host, "retry", Tone::Warn, &words)
            }
            Body::ActionStarted { at, label } if self.detail.verbose > 1 => self.aside(&at.host, '>', label),
            Body::Output { at, line, .. } if self.detail.verbose > 1 => self.aside(&at.host, '|', line),
            // Without an apply the plan has said it all.
            Body::RunFinished { summary, .. } if self.mode == Mode::Apply && self.applied => {
                return self.recap.render(summary, self.look, self.detail);
            }
            _ => Vec::new(),
        };
        if lines.is_empty() || self.detail.quiet {
            return lines;
        }
        let mut out = self.heading(play_of(&event.body).or(self.begun));
        out.extend(lines);
        out
    }

    /// `NFS server (10-nfs-server)`, before the first line of a playbook.
    fn heading(&mut self, of: Option<PlayIndex>) -> Vec<String> {
        let Some(n) = of.filter(|n| !self.headed.contains(n)) else { return Vec::new() };
        let Some(play) = self.plays.get(n.position()) else { return Vec::new() };
        self.headed.push(n);
        self.begun = self.begun.filter(|begun| *begun != n);
        let title = format!("{} ({})", text::clean(&play.title), text::clean(&play.name));
        let mut out = vec![String::new()];
        out.extend(
            text::wrap(&title, self.look.width, "", "  ").iter().map(|l| self.look.paint(Tone::Strong, l)),
        );
        out
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

    fn finished(&self, finished: &Finished) -> Vec<String> {
        let (word, tone) = outcome(finished.outcome);
        let bad = matches!(finished.outcome, Outcome::Failed | Outcome::Unreachable);
        let shown = match finished.outcome {
            // The host has been reported already.
            Outcome::Unreachable => false,
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
        if !matches!(finished.outcome, Outcome::Skipped | Outcome::NotReached | Outcome::Unchanged) {
            // Not to be broken within.
            let took = text::duration(finished.took_ms).replace(' ', "\u{a0}");
            words = format!("{words}  ({took})");
        }
        words.push_str(&self.elsewhere(finished.at.play));
        let mut out = self.line(&finished.at.host, word, tone, &words);
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
                out.extend(text::wrap(&was, self.look.width, &" ".repeat(indent), &" ".repeat(indent + 2)));
            }
            if self.detail.diff {
                out.extend(change::details(change, indent, self.look, self.detail));
            }
        }
        if let Some(failure) = &finished.failure {
            out.extend(change::failure(failure, indent, self.look, self.detail));
        }
        if bad {
            let place = format!("{}at {}", " ".repeat(indent), finished.place);
            out.push(self.look.paint(Tone::Dim, &place));
        }
        out
    }

    fn unreachable(&self, host: &HostName, failure: &Failure) -> Vec<String> {
        let mut out = self.line(host, "unreachable", Tone::Bad, "");
        out.extend(change::failure(failure, self.indent(), self.look, self.detail));
        out
    }

    fn warning(&self, host: Option<&HostName>, message: &str) -> Vec<String> {
        if self.detail.quiet {
            return Vec::new();
        }
        match host {
            Some(host) => self.line(host, "warning", Tone::Warn, message),
            None => text::wrap(&text::clean(message), self.look.width, "warning: ", "  ")
                .iter()
                .map(|l| self.look.paint(Tone::Warn, l))
                .collect(),
        }
    }

    /// `nfs-01  changed    NFS server packages`: broken lines go on below the words.
    fn line(&self, host: &HostName, word: &str, tone: Tone, words: &str) -> Vec<String> {
        let host = text::pad(host.as_str(), self.hosts);
        let head = format!("{host}  {}  ", text::pad(word, OUTCOME));
        let narrow = self.look.width.is_some_and(|columns| columns < text::width(&head) + 24);
        let rest = " ".repeat(if narrow { 4 } else { text::width(&head) });
        let words: Vec<_> = words.lines().map(text::clean).collect();
        let lines = text::wrap(&words.join("\n"), self.look.width, &head, &rest);
        let plain = format!("{host}  {word}");
        lines
            .into_iter()
            .map(|line| line.replace('\u{a0}', " "))
            .map(|line| match line.strip_prefix(&plain) {
                Some(rest) => format!("{host}  {}{rest}", self.look.paint(tone, word)),
                None => line,
            })
            .collect()
    }

    fn aside(&self, host: &HostName, mark: char, words: &str) -> Vec<String> {
        let head = format!("{}  {mark} ", text::pad(host.as_str(), self.hosts));
        let rest = " ".repeat(text::width(&head));
        text::wrap(&text::last_state(words), self.look.width, &head, &rest)
            .iter()
            .map(|l| self.look.paint(Tone::Dim, l))
            .collect()
    }

    /// Details stand below the outcome, or where the terminal is narrow, further left.
    fn indent(&self) -> usize {
        match self.look.width {
            Some(columns) if columns < 60 => 4,
            _ => self.hosts + 2,
        }
    }
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
