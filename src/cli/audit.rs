//! `audit`: what is not as described, in a form that can be handed on. No action is sent.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::args::{self, Format as Shown};
use super::exit::Exit;
use super::interrupt::Interrupts;
use super::recording::{Invocation, Recording};
use super::settings::{self, Display};
use super::{common, output, plan};
use crate::audit::{self, Comparison, Mark, Report, Standing, matrix};
use crate::event::{Event, Mode};
use crate::model::HostName;
use crate::report::{All, Driver, Reporter, change_lines, failure_lines, host_list};
use crate::transport::Locking;

/// Hosts in a list before "and N more".
const NAMES: usize = 8;

/// A terminal of unknown width is that wide.
const WIDTH: usize = 100;

/// Keeps all events.
struct Listener(Arc<Mutex<Vec<Event>>>);

impl Reporter for Listener {
    fn event(&mut self, event: &Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
    }

    fn finish(self: Box<Self>) {}
}

pub(super) async fn audit(
    args: &args::Audit,
    display: &Display,
    invocation: &Invocation,
) -> std::io::Result<Exit> {
    let old = match ready_to_write(&args.reports).and_then(|()| earlier(args.compare.as_ref())) {
        Ok(old) => old,
        Err(exit) => return Ok(exit),
    };
    let plan = &args.plan;
    let wanted = settings::of_playbooks(&plan.inventory, &plan.selection);
    let mut ready = match common::prepare(wanted, &plan.connection, Locking::Look, display) {
        Ok(ready) => ready.allow_disruptive(true),
        Err(exit) => return Ok(exit),
    };
    ready.options.leaves_out = false;
    let (events, shown) = mpsc::channel(plan::EVENTS);
    let interrupts = Interrupts::listen(Some(events.clone()))?;
    let kept = Arc::new(Mutex::new(Vec::new()));
    let reporter: Box<dyn Reporter> =
        Box::new(All(vec![Box::new(Listener(Arc::clone(&kept))), output::progress(display)]));
    let (recording, reporter) = Recording::begin(&ready, Mode::Audit, invocation, &events, reporter);
    let driver = Driver::start(reporter, shown);
    plan::make(ready, Mode::Audit, events, &interrupts).await;
    let interrupted = interrupts.happened();
    drop(interrupts);
    driver.finish().await;
    let events = std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner));
    let exit = if interrupted {
        Exit::Interrupted
    } else {
        let mut report = Report::new(recording.header().clone(), &events);
        report.compared = old.map(|old| Comparison::new(&report, &old));
        if display.format != Shown::Json {
            output::data(&text(&report, display));
        }
        match write(&report, &args.reports, display) {
            Ok(()) => verdict(&report, &args.fail_on),
            Err(exit) => exit,
        }
    };
    recording.end(exit, false);
    Ok(exit)
}

/// Whether each file names a format and can be written, before anything is asked.
pub(super) fn ready_to_write(files: &[PathBuf]) -> Result<(), Exit> {
    files.iter().try_for_each(|file| match audit::can_write(file) {
        Ok(()) => Ok(()),
        Err(error @ audit::FormatError::Ending(_)) => Err(output::complain(&error.to_string(), "")),
        Err(error) => {
            let hint = "nothing was asked; name a file in a folder that is there and yours";
            Err(output::complain(&format!("the report cannot be written: {error}"), hint))
        }
    })
}

fn earlier(file: Option<&PathBuf>) -> Result<Option<Report>, Exit> {
    file.map(|file| Report::read(file)).transpose().map_err(|error| {
        output::complain(
            &error.to_string(),
            "give one that --report has written to a file that ends in .json",
        )
    })
}

/// Writes the reports.
pub(super) fn write(report: &Report, files: &[PathBuf], display: &Display) -> Result<(), Exit> {
    for file in files {
        report.write(file).map_err(|error| output::complain(&format!("no report: {error}"), ""))?;
        if !display.detail.quiet {
            output::message(&format!("Report: {}", file.display()));
        }
    }
    Ok(())
}

/// The exit code: of what was found, the worst that is to count. What nobody could see may be anything, so it comes first;
/// an unreachable host hides no drift.
fn verdict(report: &Report, fail_on: &[args::FailOn]) -> Exit {
    let found = |mark: Mark| report.count(mark) > 0;
    let counts = |what: args::FailOn| fail_on.contains(&what);
    let away = report.hosts.iter().any(|host| host.standing == Standing::Unreachable);
    match () {
        () if counts(args::FailOn::Unseen) && found(Mark::Unseen) => Exit::Failed,
        () if counts(args::FailOn::Drift) && found(Mark::Drift) => Exit::Differs,
        () if counts(args::FailOn::Predicted) && found(Mark::Predicted) => Exit::Differs,
        () if counts(args::FailOn::Unreachable) && away => Exit::Unreachable,
        () => Exit::Done,
    }
}

/// The report for a terminal.
pub(super) fn text(report: &Report, display: &Display) -> String {
    if report.hosts.is_empty() {
        return "Audit: there are no hosts here.\n".into();
    }
    let width = display.out.width.unwrap_or(WIDTH);
    let mut lines = Vec::new();
    if !display.detail.quiet {
        lines.extend(matrix(report, width));
        lines.push(String::new());
    }
    for (mark, hosts, step, verdict) in report.findings() {
        let names: Vec<&HostName> = hosts.iter().map(|&h| &report.hosts[h].name).collect();
        lines.push(format!("{} {}  on {}", mark.letter(), step.name, host_list(&names, NAMES)));
        let place = format!("    {}, {}:{}", step.kind, step.place.file, step.place.line);
        // A failure says it itself.
        lines.push(if verdict.failure.is_some() { place } else { format!("{place}: {}", verdict.reason) });
        if let Some(change) = verdict.change.as_ref().filter(|_| !display.detail.summary) {
            lines.extend(change_lines(change, 4, display.out, display.plan_detail()));
        }
        if let Some(failure) = &verdict.failure {
            lines.extend(failure_lines(failure, 4, display.out, display.plan_detail()));
        }
        lines.push(String::new());
    }
    let away: Vec<_> = report.hosts.iter().filter(|host| host.standing == Standing::Unreachable).collect();
    for host in &away {
        lines.push(format!("! {}: {}", host.name, host.why));
    }
    if let Some(compared) = &report.compared {
        lines.push(String::new());
        lines.extend(compared.lines());
        lines.push(String::new());
    }
    let counts = Mark::ALL.into_iter().filter(|&mark| report.count(mark) > 0);
    let denied = report.denied();
    let denied = if denied > 0 { format!(" ({denied} for missing rights)") } else { String::new() };
    let why = |mark: Mark| if mark == Mark::Unseen { &*denied } else { "" };
    let counts: Vec<_> =
        counts.map(|mark| format!("{} {}{}", report.count(mark), mark.word(), why(mark))).collect();
    let unreachable = match away.len() {
        0 => String::new(),
        1 => ", 1 host unreachable".to_owned(),
        n => format!(", {n} hosts unreachable"),
    };
    lines.push(format!(
        "Audit: {} of {} hosts are as described{unreachable}. Steps: {}.",
        report.conforming(),
        report.hosts.len(),
        counts.join(", ")
    ));
    lines.join("\n") + "\n"
}
