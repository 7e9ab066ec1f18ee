//! `check`: inventory and playbooks, without a host.

use serde_json::{Value, json};

use super::args::{Check, Format};
use super::exit::Exit;
use super::settings::{self, Display};
use super::{common, output};
use crate::config::{MissingSecrets, Options};
use crate::diagnostic::{Diagnostic, Severity, Span};
use crate::harmless;
use crate::run::Run;

pub(super) fn check(args: &Check, display: &Display) -> Exit {
    // A check also runs where no secret is.
    let wanted = Options {
        missing_secrets: MissingSecrets::Warning,
        ..settings::of_playbooks(&args.inventory, &args.selection)
    };
    if display.format == Format::Json {
        return as_json(&wanted);
    }
    let (run, _) = match common::load(&wanted, display) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    if !display.detail.quiet {
        let of = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        let (plays, hosts) = (of(run.plays.len(), "playbook"), of(run.hosts.len(), "host"));
        output::message(&format!("Good: {plays} with {} for {hosts}.", of(steps(&run), "step")));
    }
    Exit::Done
}

fn steps(run: &Run) -> usize {
    run.plays.iter().map(|p| p.steps.len()).sum()
}

/// What was found, a line each, and then what it comes to: `explain events` tells of it.
fn as_json(wanted: &Options) -> Exit {
    let (diagnostics, run) = match common::read(wanted) {
        Ok(loaded) => (loaded.diagnostics, loaded.run),
        Err(missing) => (vec![missing], None),
    };
    let of = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    let errors = of(Severity::Error);
    let run = run.filter(|_| errors == 0);
    let mut end = json!({ "event": "checked", "errors": errors, "warnings": of(Severity::Warning) });
    if let Some(run) = &run {
        end["playbooks"] = run.plays.len().into();
        end["steps"] = steps(run).into();
        end["hosts"] = run.hosts.len().into();
    }
    let lines = diagnostics.iter().map(line).chain([end]).map(|line| harmless::json(&line) + "\n");
    output::data(&lines.collect::<String>());
    if run.is_some() { Exit::Done } else { Exit::Usage }
}

fn line(diagnostic: &Diagnostic) -> Value {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut line = json!({ "event": "diagnostic", "severity": severity, "message": diagnostic.message });
    if let Some(span) = &diagnostic.span {
        place(&mut line, span);
    }
    if let Some(lint) = diagnostic.lint {
        line["lint"] = lint.into();
    }
    if !diagnostic.label.is_empty() {
        line["label"] = diagnostic.label.as_str().into();
    }
    if !diagnostic.help.is_empty() {
        line["help"] = diagnostic.help.clone().into();
    }
    if !diagnostic.related.is_empty() {
        let related = diagnostic.related.iter().map(|(span, text)| {
            let mut related = json!({ "message": text });
            place(&mut related, span);
            related
        });
        line["related"] = related.collect();
    }
    line
}

fn place(line: &mut Value, span: &Span) {
    let (start, end) = (span.source.place(span.range.start), span.source.place(span.range.end));
    line["file"] = (*start.file).into();
    line["line"] = start.line.into();
    line["column"] = start.column.into();
    line["end_line"] = end.line.into();
    line["end_column"] = end.column.into();
}
