//! A plan as text: playbook by playbook, step by step, hosts with the same change told once.
//!
//! Entries are merged as they come, so that memory grows with what differs and not with the number of hosts.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write;

use super::reporter::Reporter;
use super::style::{Detail, Look, Tone};
use super::{change, text};
use crate::event::{Body, Counts, Entry, Event, Forecast, Mode, Outcome, PlayInfo, StepRef, Summary};
use crate::harmless;
use crate::model::{Failure, HostName, Place, PlayIndex, StepId};

/// Parts of a list of hosts before "and N more".
const HOSTS: usize = 8;
/// Earlier steps named in a prediction before "and N more".
const PREDICTED: usize = 3;

/// Collects the plan and writes it when it is complete.
pub struct PlanText {
    out: Box<dyn Write + Send>,
    look: Look,
    detail: Detail,
    plan: Plan,
}

impl PlanText {
    /// Writes to `out`: a plan is data.
    pub fn new(out: Box<dyn Write + Send>, look: Look, detail: Detail) -> Self {
        Self { out, look, detail, plan: Plan::default() }
    }
}

impl std::fmt::Debug for PlanText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlanText").field("look", &self.look).finish_non_exhaustive()
    }
}

impl Reporter for PlanText {
    fn event(&mut self, event: &Event) {
        self.plan.take(&event.body, self.detail);
        if let Body::PlanFinished { summary } = &event.body {
            let text = std::mem::take(&mut self.plan).render(summary, self.look, self.detail);
            // Nobody reads on (`| head`): there is nobody to tell either.
            let _ = self.out.write_all(harmless::painted(&text).as_bytes()).and_then(|()| self.out.flush());
        }
    }

    fn finish(self: Box<Self>) {}
}

/// Entries of one step that say the same of several hosts.
#[derive(Debug)]
struct Group {
    play: PlayIndex,
    step: StepId,
    name: String,
    kind: String,
    place: Place,
    handler: bool,
    /// Without what it rests on, which is in `predicted`.
    forecast: Forecast,
    predicted: Vec<Earlier>,
    /// Indices into the inventory.
    hosts: Vec<usize>,
    /// Further steps of a host that cannot work for the very same reason.
    further: HashMap<usize, usize>,
    /// The earliest position at which a host has it: orders the turns of a loop.
    position: usize,
}

/// An earlier step that a prediction rests on; no host means the entry's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Earlier {
    play: PlayIndex,
    step: StepId,
    host: Option<HostName>,
}

#[derive(Debug, Default)]
struct Plan {
    hosts: Vec<HostName>,
    index: HashMap<HostName, usize>,
    plays: Vec<PlayInfo>,
    counts: Vec<Counts>,
    groups: Vec<Group>,
    /// Groups by the hash of what they say.
    by_content: HashMap<u64, Vec<usize>>,
    /// Entries so far, host by host.
    positions: Vec<usize>,
    names: HashMap<(PlayIndex, StepId), String>,
    predicted: usize,
    /// The steps that cannot work, and those that are as described, on whatever number of hosts.
    failed: HashSet<(PlayIndex, StepId)>,
    unchanged: HashSet<(PlayIndex, StepId)>,
    /// By host and the hash of a failure: the first group that tells of it.
    told: HashMap<(usize, u64), usize>,
    unreachable: Vec<(usize, Failure)>,
    left_out: Vec<(usize, Vec<String>)>,
    mode: Option<Mode>,
}

impl Plan {
    fn take(&mut self, body: &Body, detail: Detail) {
        match body {
            Body::RunStarted { hosts, plays, mode, .. } => {
                self.mode = Some(*mode);
                self.hosts.clone_from(hosts);
                self.index = hosts.iter().enumerate().map(|(n, h)| (h.clone(), n)).collect();
                self.positions = vec![0; hosts.len()];
                self.counts = vec![Counts::default(); plays.len()];
                self.plays.clone_from(plays);
            }
            Body::HostUnreachable { host, failure } => {
                if let Some(&host) = self.index.get(host) {
                    self.unreachable.push((host, failure.clone()));
                }
            }
            Body::HostLeftOut { host, reasons, .. } => {
                if let Some(&host) = self.index.get(host) {
                    self.left_out.push((host, reasons.clone()));
                }
            }
            Body::Planned(entry) => self.entry(entry, detail),
            _ => {}
        }
    }

    fn entry(&mut self, entry: &Entry, detail: Detail) {
        let Some(&host) = self.index.get(&entry.at.host) else { return };
        let position = self.positions[host];
        self.positions[host] += 1;
        if let Some(counts) = self.counts.get_mut(entry.at.play.position()) {
            counts.add(entry.forecast.outcome());
        }
        self.names
            .entry((entry.at.play, entry.at.step.clone()))
            .or_insert_with(|| text::clean(&entry.name).into_owned());
        let step = (entry.at.play, entry.at.step.clone());
        match entry.forecast.outcome() {
            Outcome::Failed => self.failed.insert(step),
            Outcome::Unchanged => self.unchanged.insert(step),
            _ => false,
        };
        let (forecast, rests_on) = split(&entry.forecast);
        if matches!(entry.forecast, Forecast::Change { .. }) && !rests_on.is_empty() {
            self.predicted += 1;
        }
        let shown = match forecast.outcome() {
            Outcome::Unchanged | Outcome::Skipped => detail.verbose > 0 || !shows(&forecast).is_empty(),
            Outcome::Unreachable | Outcome::LeftOut => false,
            _ => true,
        };
        if !shown {
            return;
        }
        // A password that `sudo` does not take is wrong for every step: once is enough.
        let failure = match &forecast {
            Forecast::Error { failure } => Some((host, hash_of(failure))),
            _ => None,
        };
        if let Some(group) = failure.and_then(|failure| self.told.get(&failure)) {
            *self.groups[*group].further.entry(host).or_default() += 1;
            return;
        }
        let predicted: Vec<_> = rests_on
            .iter()
            .map(|at| Earlier {
                play: at.play,
                step: at.step.clone(),
                host: (at.host != entry.at.host).then(|| at.host.clone()),
            })
            .collect();
        let mut hasher = DefaultHasher::new();
        (entry.at.play, &entry.at.step, &entry.name, &predicted).hash(&mut hasher);
        hash_of(&forecast).hash(&mut hasher);
        let same = self.by_content.entry(hasher.finish()).or_default();
        let found = same.iter().copied().find(|&g| {
            let group = &self.groups[g];
            group.play == entry.at.play
                && group.step == entry.at.step
                && group.name == entry.name
                && group.predicted == predicted
                && group.forecast == forecast
        });
        if let Some(failure) = failure {
            self.told.insert(failure, found.unwrap_or(self.groups.len()));
        }
        if let Some(group) = found {
            let group = &mut self.groups[group];
            group.hosts.push(host);
            group.position = group.position.min(position);
            return;
        }
        same.push(self.groups.len());
        self.groups.push(Group {
            play: entry.at.play,
            step: entry.at.step.clone(),
            name: entry.name.clone(),
            kind: entry.kind.clone(),
            place: entry.place.clone(),
            handler: entry.handler,
            forecast,
            predicted,
            hosts: vec![host],
            further: HashMap::new(),
            position,
        });
    }

    fn render(mut self, summary: &Summary, look: Look, detail: Detail) -> String {
        for group in &mut self.groups {
            group.hosts.sort_unstable();
        }
        self.groups.sort_by_key(|g| (g.play, g.place.line, g.position, g.hosts[0]));
        if detail.summary {
            self.join();
        }
        self.unreachable.sort_by_key(|(host, _)| *host);
        let mut out = Vec::new();
        if !detail.quiet {
            self.legend(&mut out, look);
        }
        for (play, info) in self.plays.iter().enumerate() {
            let play = PlayIndex::new(play);
            let groups: Vec<_> = self
                .groups
                .iter()
                .filter(|g| g.play == play)
                .filter(|g| !detail.quiet || matches!(g.forecast, Forecast::Error { .. }))
                .collect();
            if groups.is_empty() && (detail.quiet || self.counts[play] == Counts::default()) {
                continue;
            }
            let title = format!("{} ({})", text::clean(&info.title), text::clean(&info.name));
            let counts = play_counts(&self.counts[play]);
            for (n, line) in
                text::wrap(&format!("{title}: {counts}"), look.width, "", "  ").into_iter().enumerate()
            {
                // The title alone is set off, if it did not have to be broken.
                match line.strip_prefix(&title) {
                    Some(rest) if n == 0 => out.push(look.paint(Tone::Strong, &title) + rest),
                    _ => out.push(line),
                }
            }
            out.push(String::new());
            let mut compact = false;
            for group in groups {
                let lines = self.group(group, info, look, detail);
                let one = lines.len() == 1;
                if compact && !one {
                    out.push(String::new());
                }
                compact = one;
                out.extend(lines);
                if !one {
                    out.push(String::new());
                }
            }
            if compact {
                out.push(String::new());
            }
        }
        self.not_reached(&mut out, look, detail);
        self.not_taken(&mut out, look);
        let line = self.result(summary);
        out.extend(text::wrap(&line, look.width, "", "").into_iter().map(|l| look.paint(Tone::Strong, &l)));
        let mut text = out.join("\n");
        text.push('\n');
        text
    }

    /// Makes one of the groups of a step that are told in the same words but for what changes.
    fn join(&mut self) {
        let error = |group: &Group| matches!(group.forecast, Forecast::Error { .. });
        let mut joined: Vec<Group> = Vec::new();
        for group in std::mem::take(&mut self.groups) {
            let alike = |known: &&mut Group| {
                (known.play, &known.step, &known.name) == (group.play, &group.step, &group.name)
                    && mark(&known.forecast).0 == mark(&group.forecast).0
                    && !error(known)
            };
            match joined.iter_mut().find(alike).filter(|_| !error(&group)) {
                Some(known) => {
                    known.hosts.extend(group.hosts);
                    known.hosts.sort_unstable();
                }
                None => joined.push(group),
            }
        }
        self.groups = joined;
    }

    /// What the signs mean, of those in use.
    fn legend(&self, out: &mut Vec<String>, look: Look) {
        let mut used: Vec<char> = self.groups.iter().map(|g| mark(&g.forecast).0).collect();
        if self
            .groups
            .iter()
            .any(|g| matches!(&g.forecast, Forecast::Change { change, .. } if change.disrupts.is_some()))
        {
            used.push('!');
        }
        let words: Vec<_> = [
            ('+', "new"),
            ('~', "changed"),
            ('-', "removed"),
            ('!', "interrupts users"),
            ('?', "not known yet"),
            ('x', "cannot work"),
        ]
        .into_iter()
        .filter(|(sign, _)| used.contains(sign))
        .map(|(sign, word)| format!("{sign} {word}"))
        .collect();
        if !words.is_empty() {
            let lines = text::wrap(&words.join("   "), look.width, "", "");
            out.extend(lines.into_iter().map(|l| look.paint(Tone::Dim, &l)));
            out.push(String::new());
        }
    }

    fn group(&self, group: &Group, play: &PlayInfo, look: Look, detail: Detail) -> Vec<String> {
        let (sign, tone) = mark(&group.forecast);
        let hosts: Vec<_> = group.hosts.iter().map(|h| &self.hosts[*h]).collect();
        let on = on(&hosts, play);
        let name = text::clean(&group.name);
        let shown = shows(&group.forecast);
        let tail = match &group.forecast {
            Forecast::Unchanged { .. } if !shown.is_empty() => String::new(),
            Forecast::Unchanged { reason, .. } => format!(": {}", text::clean(reason)),
            Forecast::Skipped { why } => format!(": skipped, {}", text::clean(why)),
            _ => String::new(),
        };
        let head = format!("  {sign} {name}  {on}{tail}");
        let mut out = Vec::new();
        if look.width.is_none_or(|columns| text::width(&head) <= columns) {
            let paint = |tone, text: &str| look.paint(tone, text);
            out.push(format!(
                "  {} {}  {on}{tail}",
                paint(tone, &sign.to_string()),
                paint(Tone::Strong, &name)
            ));
        } else {
            for line in text::wrap(&name, look.width, &format!("  {sign} "), "    ") {
                out.push(look.paint(Tone::Strong, &line));
            }
            out.extend(text::wrap(&format!("{on}{tail}"), look.width, "    ", "      "));
        }
        if matches!(group.forecast, Forecast::Unchanged { .. } | Forecast::Skipped { .. }) {
            out.extend(text::shown(shown, 6));
            return out;
        }
        if detail.summary && !matches!(group.forecast, Forecast::Error { .. }) {
            return out;
        }
        let what = if group.handler { format!("{}, when notified", group.kind) } else { group.kind.clone() };
        let origin = format!("{what}, {}", group.place);
        out.extend(
            text::wrap(&origin, look.width, "    ", "      ").into_iter().map(|l| look.paint(Tone::Dim, &l)),
        );
        if !group.predicted.is_empty() {
            let words = format!("(predicted: comes with {})", self.rests_on(group));
            out.extend(text::wrap(&words, look.width, "    ", "      "));
        }
        match &group.forecast {
            Forecast::Change { change, .. } => {
                let always = if change.always { " (always runs)" } else { "" };
                let summary = format!("{}{always}", text::clean(&change.summary));
                out.extend(text::wrap(&summary, look.width, "      ", "        "));
                out.extend(change::details(change, 6, look, detail));
            }
            Forecast::Unknown { until } => {
                let words = format!("cannot be said before {}", text::clean(until));
                out.extend(text::wrap(&words, look.width, "      ", "        "));
            }
            Forecast::Error { failure } => {
                out.extend(change::failure(failure, 6, look, detail));
                if let Some(most) = group.further.values().max() {
                    let words = format!("(the same with {})", text::count(*most, "more step"));
                    out.extend(text::wrap(&words, look.width, "      ", "        "));
                }
            }
            Forecast::Unchanged { .. }
            | Forecast::Skipped { .. }
            | Forecast::Unreachable
            | Forecast::LeftOut => {}
        }
        out
    }

    /// `step "NFS server packages" on nfs-01 and step "Share" on the same host`.
    fn rests_on(&self, group: &Group) -> String {
        let own = match group.hosts[..] {
            [host] => self.hosts[host].as_str(),
            _ => "the same host",
        };
        let mut words = text::unique(group.predicted.iter().map(|earlier| {
            let name = self
                .names
                .get(&(earlier.play, earlier.step.clone()))
                .map_or(earlier.step.as_str(), String::as_str);
            format!("step \"{name}\" on {}", earlier.host.as_ref().map_or(own, HostName::as_str))
        }));
        if words.len() > PREDICTED {
            let more = words.len() - PREDICTED;
            words.truncate(PREDICTED);
            words.push(format!("{more} more"));
        }
        match words.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
            _ => words.concat(),
        }
    }

    fn not_reached(&self, out: &mut Vec<String>, look: Look, detail: Detail) {
        if self.unreachable.is_empty() {
            return;
        }
        let title = format!("Unreachable: {}", text::count(self.unreachable.len(), "host"));
        out.push(look.paint(Tone::Strong, &title));
        // Hosts behind one dead gateway fail in the same words.
        let mut said: Vec<(&Failure, Vec<&HostName>)> = Vec::new();
        for (host, failure) in &self.unreachable {
            let name = &self.hosts[*host];
            match said.iter_mut().find(|(f, _)| *f == failure) {
                Some((_, hosts)) => hosts.push(name),
                None => said.push((failure, vec![name])),
            }
        }
        for (failure, hosts) in said {
            out.extend(text::wrap(&text::hosts(&hosts, HOSTS), look.width, "  ", "    "));
            out.extend(change::failure(failure, 4, look, detail));
        }
        out.push(String::new());
    }

    /// The hosts that are left out, and why; those with the same reasons once.
    fn not_taken(&mut self, out: &mut Vec<String>, look: Look) {
        if self.left_out.is_empty() {
            return;
        }
        self.left_out.sort_by_key(|(host, _)| *host);
        let title = format!("Left out: {}", text::count(self.left_out.len(), "host"));
        out.push(look.paint(Tone::Strong, &title));
        let mut said: Vec<(&[String], Vec<&HostName>)> = Vec::new();
        for (host, reasons) in &self.left_out {
            let name = &self.hosts[*host];
            match said.iter_mut().find(|(r, _)| r == reasons) {
                Some((_, hosts)) => hosts.push(name),
                None => said.push((reasons, vec![name])),
            }
        }
        for (reasons, hosts) in said {
            out.extend(text::wrap(&text::hosts(&hosts, HOSTS), look.width, "  ", "    "));
            for reason in reasons {
                let reason = text::clean(reason);
                out.extend(
                    text::wrap(&reason, look.width, "    ", "      ")
                        .iter()
                        .map(|l| look.paint(Tone::Bad, l)),
                );
            }
        }
        out.push(String::new());
    }

    /// The last line of a plan.
    fn result(&self, summary: &Summary) -> String {
        let total = summary.total;
        let hosts = |pick: fn(&Counts) -> usize| {
            text::count(summary.hosts.values().filter(|c| pick(c) > 0).count(), "host")
        };
        let mut rest = Vec::new();
        let to_do = total.would_change + total.unknown + total.failed > 0;
        if total.would_change > 0 {
            let share =
                if self.predicted > 0 { format!(" ({} predicted)", self.predicted) } else { String::new() };
            rest.push(format!("{} to change{share} on {}", total.would_change, hosts(|c| c.would_change)));
        }
        for (n, word) in [
            (total.unknown, "not known yet"),
            (if to_do { total.unchanged } else { 0 }, "unchanged"),
            (total.skipped, "skipped"),
        ] {
            if n > 0 {
                rest.push(format!("{n} {word}"));
            }
        }
        let rest = rest.join(", ");
        let known = total != Counts::default();
        let gone = summary.unreachable.len();
        let mut line = if total.failed > 0 {
            let rest = if rest.is_empty() { rest } else { format!("; {rest}") };
            format!(
                "Plan: {} cannot work on {}{rest}.",
                text::count(self.failed.len(), "step"),
                hosts(|c| c.failed)
            )
        } else if to_do {
            format!("Plan: {rest}.")
        } else if total.unchanged > 0 {
            let n = self.unchanged.len();
            let are = if n == 1 { "is" } else { "are" };
            let rest = if rest.is_empty() { rest } else { format!(", {rest}") };
            format!(
                "Nothing to do: {} {are} as described on {}{rest}.",
                text::count(n, "step"),
                hosts(|c| c.unchanged)
            )
        } else if known {
            format!("Nothing to do: {rest}.")
        } else if gone > 0 && gone == self.hosts.len() {
            return match gone {
                1 => "No plan: the host cannot be reached.".into(),
                n => format!("No plan: none of the {n} hosts can be reached."),
            };
        } else {
            "Nothing to do: no step is for these hosts.".into()
        };
        for (n, word) in [(gone, "unreachable"), (summary.left_out.len(), "left out")] {
            if n > 0 {
                line.extend([" ", &text::count(n, "host"), " ", word, "."]);
            }
        }
        if let Some(why) = summary.blocked.as_ref().filter(|_| self.mode == Some(Mode::Plan)) {
            line.extend([" An apply would change nothing: ", &text::clean(why), "."]);
        }
        line
    }
}

/// Equal values have equal hashes, and others as good as never.
fn hash_of(value: &impl serde::Serialize) -> u64 {
    let mut hasher = DefaultHasher::new();
    serde_json::to_string(value).expect("an event has string keys only").hash(&mut hasher);
    hasher.finish()
}

/// Takes what a forecast rests on out of it.
fn split(forecast: &Forecast) -> (Forecast, &[StepRef]) {
    match forecast {
        Forecast::Change { change, predicted } => {
            (Forecast::Change { change: change.clone(), predicted: Vec::new() }, predicted)
        }
        Forecast::Unchanged { reason, shows, predicted } => {
            let (reason, shows) = (reason.clone(), shows.clone());
            (Forecast::Unchanged { reason, shows, predicted: Vec::new() }, predicted)
        }
        other => (other.clone(), &[]),
    }
}

/// What a step is there to show.
fn shows(forecast: &Forecast) -> &str {
    match forecast {
        Forecast::Unchanged { shows, .. } => shows,
        _ => "",
    }
}

fn mark(forecast: &Forecast) -> (char, Tone) {
    match forecast {
        Forecast::Change { change, .. } => change::symbol(change),
        Forecast::Unchanged { .. } => ('=', Tone::Good),
        Forecast::Skipped { .. } => ('.', Tone::Dim),
        Forecast::Unknown { .. } => ('?', Tone::Warn),
        Forecast::Error { .. } | Forecast::Unreachable | Forecast::LeftOut => ('x', Tone::Bad),
    }
}

/// `on nfs-01`, `on all 38 hosts`, `on 12 hosts: worker-[01:12]`.
fn on(hosts: &[&HostName], play: &PlayInfo) -> String {
    let n = hosts.len();
    if n > 3 && n == play.hosts.len() {
        return format!("on all {n} hosts");
    }
    let list = text::hosts(hosts, HOSTS);
    if n > 3 { format!("on {n} hosts: {list}") } else { format!("on {list}") }
}

fn play_counts(counts: &Counts) -> String {
    let mut parts = Vec::new();
    for (n, word) in [
        (counts.failed, "cannot work"),
        (counts.would_change, "to change"),
        (counts.unknown, "not known yet"),
        (counts.unchanged, "unchanged"),
        (counts.skipped, "skipped"),
    ] {
        if n > 0 {
            parts.push(format!("{n} {word}"));
        }
    }
    if counts.failed + counts.would_change + counts.unknown == 0 {
        parts.insert(0, "nothing to do".into());
    }
    parts.join(", ")
}
