//! `history`, `show` and `resume`: what the journals tell, and going on with a run that has not come to its end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::{self, Cli, Command, Format};
use super::exit::Exit;
use super::output;
use super::recording::Invocation;
use super::settings::Display;
use super::{adhoc, apply, audit, start, trust, undo};
use crate::audit::{Merged, Report, merge};
use crate::event::{Body, Counts, Event, Mode, Outcome, StepRef};
use crate::harmless;
use crate::journal::{Ended, Entry, Header, JournalError, Recorded, State, Store};
use crate::model::MASK;
use crate::report::{Detail, Json, Plain, PlanText, Reporter, Sink, host_list, table};

/// Hosts and playbooks in a cell before "and N more".
const NAMES: usize = 2;

/// The columns of `history`.
const HEAD: [&str; 10] =
    ["run", "when", "who", "what", "result", "changed", "failed", "took", "hosts", "playbooks"];

/// The columns that a narrow terminal has no room for.
const WIDE_ONLY: [usize; 3] = [6, 7, 8];

/// A terminal with fewer columns is narrow.
const WIDE: usize = 120;

fn complain(error: &JournalError) -> Exit {
    output::complain(&error.to_string(), "")
}

/// `history`.
pub(super) fn history(args: &args::History, display: &Display) -> Exit {
    let store = match Store::of_user() {
        Ok(store) => store,
        Err(error) => return complain(&error),
    };
    let entries = match store.entries() {
        Ok(entries) => entries,
        Err(error) => return complain(&error),
    };
    let since = args.since.and_then(|ago| jiff::Timestamp::now().checked_sub(ago).ok());
    let fits = |entry: &Entry| {
        let header = &entry.header;
        args.host.as_ref().is_none_or(|host| header.hosts.iter().any(|h| h.as_str() == host))
            && args.playbook.as_ref().is_none_or(|name| {
                let name = Path::new(name).file_stem().unwrap_or_default().to_string_lossy();
                header.playbooks.iter().any(|p| *p == name)
            })
            && args.state.is_none_or(|state| state == state_of(entry))
            && since.is_none_or(|since| header.started.timestamp() >= since)
    };
    let entries: Vec<Entry> = entries.filter(fits).take(args.limit).collect();
    if display.format == Format::Json {
        output::data(&entries.iter().map(|entry| harmless::json(&json(entry)) + "\n").collect::<String>());
        return Exit::Done;
    }
    if entries.is_empty() {
        output::message("No run is on record that fits.");
        return Exit::Done;
    }
    let narrow = display.out.width.is_some_and(|columns| columns < WIDE);
    let kept = |n: &usize| !narrow || !WIDE_ONLY.contains(n);
    let some = |cells: Vec<String>| -> Vec<String> {
        cells.into_iter().enumerate().filter(|(n, _)| kept(n)).map(|(_, cell)| cell).collect()
    };
    let rows: Vec<Vec<String>> = entries.iter().map(|entry| some(row(entry))).collect();
    let head: Vec<&str> = HEAD.iter().enumerate().filter(|(n, _)| kept(n)).map(|(_, title)| *title).collect();
    output::data(&(table(&head, &rows, display.out).join("\n") + "\n"));
    Exit::Done
}

/// The word for how a run stands.
fn state_of(entry: &Entry) -> args::RunState {
    match entry.state {
        State::Running => args::RunState::Running,
        State::Killed => args::RunState::Killed,
        State::Ended(Ended { exit, applied }) => match exit {
            0 | 2 => args::RunState::Ok,
            130 if !applied && entry.summary.as_ref().is_some_and(|s| !s.interrupted) => {
                args::RunState::Declined
            }
            130 => args::RunState::Interrupted,
            4 => args::RunState::Unreachable,
            5 => args::RunState::Locked,
            _ => args::RunState::Failed,
        },
    }
}

/// What a user types of an id: the part behind the time, which is told beside it.
fn short(run: &str) -> &str {
    run.split_once("Z-").map_or(run, |(_, rest)| rest)
}

fn row(entry: &Entry) -> Vec<String> {
    let header = &entry.header;
    let counts = entry.summary.as_ref().map_or_else(Counts::default, |s| s.total);
    let changes =
        if matches!(header.mode, Mode::Plan | Mode::Audit) { counts.would_change } else { counts.changed };
    let known = |n: usize| entry.summary.as_ref().map_or_else(|| "?".to_owned(), |_| n.to_string());
    let hosts: Vec<_> = header.hosts.iter().collect();
    let playbooks = match header.playbooks.as_slice() {
        [] => "-".to_owned(),
        [one] => one.clone(),
        [first, .., last] => format!("{first} .. {last}"),
    };
    vec![
        short(&header.run).to_owned(),
        header.started.strftime("%Y-%m-%d %H:%M").to_string(),
        header.user.clone(),
        if header.undoes.is_some() { "undo" } else { mode(header.mode) }.to_owned(),
        state_of(entry).word().to_owned(),
        known(changes),
        known(counts.failed),
        time(entry.took),
        host_list(&hosts, NAMES),
        playbooks,
    ]
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Plan => "plan",
        Mode::Audit => "audit",
        Mode::Apply => "apply",
        Mode::Run => "run",
        Mode::Facts => "facts",
    }
}

/// `4 s`, `1 min 40 s`, `2 h 5 min`.
pub(super) fn time(took: Duration) -> String {
    let seconds = took.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

fn json(entry: &Entry) -> serde_json::Value {
    serde_json::json!({
        "header": entry.header,
        "state": state_of(entry).word(),
        "summary": entry.summary,
        "took_ms": u64::try_from(entry.took.as_millis()).unwrap_or(u64::MAX),
    })
}

/// `show`.
pub(super) fn show(args: &args::Show, display: &Display) -> Exit {
    let run = match args.runs.as_slice() {
        [run] if !is_report(run) => run,
        several => return show_together(several, &args.reports, display),
    };
    let (entry, state) = match find(run) {
        Ok(entry) => {
            let state = state_of(&entry);
            (entry, state)
        }
        Err(error) => return complain(&error),
    };
    if let Err(exit) = audit::ready_to_write(&args.reports) {
        return exit;
    }
    let took = entry.took;
    let recorded = match entry.read() {
        Ok(recorded) => recorded,
        Err(error) => return complain(&error),
    };
    let report = Report::new(recorded.header.clone(), &recorded.events);
    if let Err(exit) = audit::write(&report, &args.reports, display) {
        return exit;
    }
    if display.format == Format::Json {
        output::data(&(harmless::json(&recorded.header) + "\n"));
        replay(&recorded.events, Box::new(Json::new(Box::new(std::io::stdout()))));
        return Exit::Done;
    }
    output::data(&about(&recorded.header, state, took));
    if matches!(recorded.header.mode, Mode::Run | Mode::Facts) {
        adhoc::replay(&recorded.events, display);
        return Exit::Done;
    }
    if recorded.header.mode == Mode::Audit {
        output::data(&audit::text(&report, display));
        return Exit::Done;
    }
    let stdout = || Sink::stdout(display.out);
    let lines = |detail: Detail| Box::new(Plain::new(stdout(), stdout(), detail));
    let applied = recorded.events.iter().any(|event| matches!(event.body, Body::PlayStarted { .. }));
    if !applied {
        let plan = PlanText::new(Box::new(std::io::stdout()), display.out, display.plan_detail());
        replay(&recorded.events, Box::new(plan));
        return Exit::Done;
    }
    let failed = |event: &Event| {
        matches!(&event.body, Body::StepFinished(f) if f.outcome == Outcome::Failed)
            || matches!(event.body, Body::HostUnreachable { .. })
    };
    let detail = display.apply_detail();
    if recorded.events.iter().any(failed) && !detail.quiet {
        output::data("\nWhat failed\n");
        let first = |event: &&Event| failed(event) || matches!(event.body, Body::RunStarted { .. });
        let events: Vec<Event> = recorded.events.iter().filter(first).cloned().collect();
        replay(&events, lines(Detail { quiet: true, ..detail }));
        output::data("\nAll of it\n");
    }
    replay(&recorded.events, lines(detail));
    let open = open_steps(&recorded);
    if !open.is_empty() {
        let mut text = "\nBegun, and no end of it on record:\n".to_owned();
        for (at, name) in open {
            let _ = writeln!(text, "  {}: {}", at.host, harmless::line(&name));
        }
        output::data(&text);
    }
    Exit::Done
}

/// A run by its id, or by the file of its journal.
fn find(run: &str) -> Result<Entry, JournalError> {
    if run.contains('/') { Entry::of_file(Path::new(run)) } else { Store::of_user()?.find(run) }
}

/// Whether this is the file of a report.
fn is_report(run: &str) -> bool {
    run.contains('/') && Path::new(run).extension().is_some_and(|ending| ending == "json")
}

/// `show` of several runs, which are of one thing on different hosts.
fn show_together(runs: &[String], files: &[PathBuf], display: &Display) -> Exit {
    if let Err(exit) = audit::ready_to_write(files) {
        return exit;
    }
    let mut reports = Vec::new();
    for run in runs {
        let read = if is_report(run) {
            Report::read(Path::new(run)).map_err(|error| error.to_string())
        } else {
            let recorded = find(run).and_then(Entry::read).map_err(|error| error.to_string());
            recorded.map(|recorded| Report::new(recorded.header, &recorded.events))
        };
        match read {
            Ok(report) => reports.push(report),
            Err(why) => return output::complain(&why, ""),
        }
    }
    let Merged { report, missing } = match merge(reports) {
        Ok(merged) => merged,
        Err(error) => {
            let hint = "give the runs of all shards of one command, each once";
            return output::complain(&error.to_string(), hint);
        }
    };
    if let Err(exit) = audit::write(&report, files, display) {
        return exit;
    }
    if display.format == Format::Json {
        output::data(&(harmless::json(&report) + "\n"));
    } else {
        output::data(&audit::text(&report, display));
    }
    if !missing.is_empty() {
        let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
        output::message(&format!("warning: there is nothing of shard {}", missing.join(", ")));
    }
    Exit::Done
}

fn replay(events: &[Event], mut reporter: Box<dyn Reporter>) {
    for event in events {
        reporter.event(event);
    }
    reporter.finish();
}

/// Steps that have started and not finished.
fn open_steps(recorded: &Recorded) -> BTreeMap<StepRef, String> {
    let mut open = BTreeMap::new();
    for event in &recorded.events {
        match &event.body {
            Body::StepStarted { at, name } => {
                open.insert(at.clone(), name.clone());
            }
            Body::StepFinished(finished) => {
                open.remove(&finished.at);
            }
            _ => {}
        }
    }
    open
}

/// What a person wants to know first of a run.
fn about(header: &Header, state: args::RunState, took: Duration) -> String {
    let mut lines = vec![
        ("run", format!("{} ({})", header.run, state.explained())),
        ("when", format!("{}, {}", header.started.strftime("%Y-%m-%d %H:%M:%S %Z"), time(took))),
        ("who", format!("{} on {}, in {}", header.user, header.controller, header.folder)),
        ("command", format!("hostwright {}", header.arguments.join(" "))),
    ];
    if let Some(revision) = &header.revision {
        let dirty = if revision.dirty { ", with changes that are not committed" } else { "" };
        lines.push(("revision", format!("{}{dirty}", revision.commit)));
    }
    if let Some(shard) = header.shard {
        lines.push(("shard", shard.to_string()));
    }
    if let Some(resumes) = &header.resumes {
        lines.push(("resumes", resumes.clone()));
    }
    if let Some(undoes) = &header.undoes {
        lines.push(("undoes", undoes.clone()));
    }
    if let Some(digest) = &header.saved_plan {
        lines.push(("plan", format!("saved, sha256 {digest}")));
    }
    let line = |(word, text): (&str, String)| format!("{word:<9}{}\n", harmless::line(&text));
    lines.into_iter().map(line).collect()
}

/// `resume`.
pub(super) fn resume(args: &args::Resume, display: &Display) -> Exit {
    let entry = match found(args) {
        Ok(entry) => entry,
        Err(exit) => return exit,
    };
    let Header { run, folder, arguments, files, mode, .. } = &entry.header;
    let refuse =
        |why: &str, hint: &str| output::complain(&format!("run {run} cannot be resumed: {why}"), hint);
    match entry.state {
        State::Running => return refuse("it is still going on", "wait for its end, or interrupt it there"),
        _ if *mode != Mode::Apply => return refuse("it changed nothing", "only an apply can be resumed"),
        State::Ended(Ended { exit: 0, .. }) => return refuse("it has done all of it", "see `history`"),
        _ => {}
    }
    if arguments.iter().any(|argument| argument.contains(MASK)) {
        return refuse("a secret was on its command line", "give that command again");
    }
    let command = Cli::recorded(arguments);
    if let Err(error) = std::env::set_current_dir(folder) {
        return refuse(&format!("{folder}: {error}"), "it was called in that folder");
    }
    let invocation = Invocation {
        arguments: arguments.clone(),
        resumes: Some(run.clone()),
        undoes: None,
        expected: (!args.accept_changes).then(|| files.clone()),
        saved: None,
    };
    if !display.detail.quiet {
        output::message(&format!("Resuming run {run}: what is done already is asked again and left alone."));
    }
    match command {
        Some(Command::Apply(mut apply)) => {
            apply.yes |= args.yes;
            start::wait(apply::apply(&apply, display, &invocation))
        }
        Some(Command::Undo(mut undo)) => {
            undo.yes |= args.yes;
            start::wait(undo::undo(&undo, display, &invocation))
        }
        Some(Command::Trust(mut trust)) => {
            trust.yes |= args.yes;
            start::wait(trust::trust(&trust, display, &invocation))
        }
        _ => {
            let why = "this version of Hostwright does not know its command line";
            refuse(why, "give that command again")
        }
    }
}

/// The run that is meant: without one, the last apply that has not done all of it.
fn found(args: &args::Resume) -> Result<Entry, Exit> {
    let store = Store::of_user().map_err(|e| complain(&e))?;
    if let Some(run) = &args.run {
        return store.find(run).map_err(|e| complain(&e));
    }
    let mut entries = store.entries().map_err(|e| complain(&e))?;
    let last = entries.find(|entry| entry.header.mode == Mode::Apply);
    match last {
        Some(entry) if entry.is_unfinished() => Ok(entry),
        Some(entry) => {
            let what = format!(
                "there is nothing to resume: the last apply, {}, has done all of it",
                entry.header.run
            );
            Err(output::complain(&what, "name another run; `history` lists them"))
        }
        None => Err(output::complain("there is nothing to resume: no apply is on record", "")),
    }
}

/// The files that are not as they were: each with a word on how.
pub(super) fn changes(then: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    let gone = then.keys().filter(|file| !now.contains_key(*file)).map(|file| format!("{file} is gone"));
    let new = now.keys().filter(|file| !then.contains_key(*file)).map(|file| format!("{file} is new"));
    let other = now.iter().filter(|(file, digest)| then.get(*file).is_some_and(|old| old != *digest));
    gone.chain(new).chain(other.map(|(file, _)| format!("{file} has changed"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_is_named() {
        let files = |files: &[(&str, &str)]| {
            files.iter().map(|(name, digest)| ((*name).to_owned(), (*digest).to_owned())).collect()
        };
        let then: BTreeMap<_, _> = files(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let now = files(&[("a", "1"), ("b", "4"), ("d", "5")]);
        assert_eq!(changes(&then, &now), ["c is gone", "d is new", "b has changed"]);
        assert!(changes(&then, &then).is_empty());
    }

    #[test]
    fn times_are_short() {
        let of = |seconds| time(Duration::from_secs(seconds));
        assert_eq!([of(4), of(100), of(7500)], ["4 s", "1 min 40 s", "2 h 5 min"]);
    }
}
