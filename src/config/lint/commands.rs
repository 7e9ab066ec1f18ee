//! Commands of the user's own, of which hostwright knows only what the step says.

use super::{Seen, report};
use crate::config::finding::Lint;
use crate::config::offline::Resolved;
use crate::config::playbook::{Playbook, RawStep};
use crate::diagnostic::{Diagnostic, Severity};
use crate::model::value::{Node, Value};

pub(super) const UNGUARDED_COMMAND: Lint = Lint {
    name: "unguarded-command",
    severity: Severity::Error,
    doc: "A `command` or `script` does not say how to know whether it has to run, so that no plan could tell \
          and no second run would be quiet. Give it `creates`, `removes`, `unless` or `only_if`; \
          `always = true` if it really has to run every time.",
};

pub(super) const ALWAYS_RUNS: Lint = Lint {
    name: "always-runs",
    severity: Severity::Warning,
    doc: "A `command`, `script` or `service` with `always = true` runs at every apply: the playbook never comes to \
          \"nothing to do\". A handler may do so. Else prefer `creates`, `removes`, `unless` or `only_if`.",
};

pub(super) const SECRET_IN_COMMAND: Lint = Lint {
    name: "secret-in-command",
    severity: Severity::Warning,
    doc: "The value of a secret stands in a command or in the arguments of a script. While it runs, every user \
          of the host can read it in the process list. Hand it over on standard input (`stdin`), in the \
          environment (`env`), or in a file that only its owner can read.",
};

/// How a command may say whether it has to run.
const GUARDS: [&str; 4] = ["creates", "removes", "unless", "only_if"];

fn is_command(step: &RawStep) -> bool {
    matches!(step.kind.name, "command" | "script")
}

/// Whether it is to run at every apply, if it says so. A template is left to the run.
fn always(step: &RawStep) -> Option<&Node> {
    let (_, node) = step.body.entry("always")?;
    (!matches!(node.value, Value::Boolean(false))).then_some(node)
}

/// Commands that do not say whether they have to run.
pub(super) fn unguarded(playbook: &Playbook, out: &mut Vec<Diagnostic>) {
    for step in playbook.steps.iter().filter(|s| is_command(s) && !s.handler) {
        let guarded = GUARDS.iter().any(|g| step.body.entry(g).is_some());
        if guarded || always(step).is_some() {
            continue;
        }
        let message = format!("nothing tells whether this {} has to run", step.kind.name);
        let found = UNGUARDED_COMMAND
            .at(&playbook.source, &step.kind_span, message)
            .help("add `creates = \"/path\"`, `removes`, `unless = \"test ...\"` or `only_if`")
            .help("add `always = true` if it has to run at every apply");
        report(out, step, found);
    }
}

/// Steps that run at every apply.
pub(super) fn always_runs(playbook: &Playbook, out: &mut Vec<Diagnostic>) {
    let may = |step: &&RawStep| !step.handler && (is_command(step) || step.kind.name == "service");
    for step in playbook.steps.iter().filter(may) {
        let Some(node) = always(step) else { continue };
        let help = if is_command(step) {
            "a guard such as `creates` or `unless` lets a second run do nothing"
        } else {
            "a handler (`handler = true`) does so only after a change"
        };
        let found = ALWAYS_RUNS
            .at(&playbook.source, &node.span, format!("this {} runs at every apply", step.kind.name))
            .help(help)
            .help("where it is right: `silence = { \"always-runs\" = \"why\" }`");
        report(out, step, found);
    }
}

/// Commands that show a secret in the list of processes, as they will run.
pub(super) fn shows_secret(seen: &Seen<'_>, out: &mut Vec<Diagnostic>) {
    for checked in seen.all() {
        let step = seen.raw(checked);
        for key in ["run", "args", "chdir", "creates", "removes", "unless", "only_if"] {
            let Some((_, node)) = checked.node.entry(key) else { continue };
            if let Some(at) = find_secret(seen.run, node) {
                let found = SECRET_IN_COMMAND
                    .at(seen.source(checked), &at.span, "a secret shows in the process list of the host")
                    .label(format!("in `{key}`"))
                    .help(if is_command(step) {
                        "hand it over with `stdin` or `env`"
                    } else {
                        "let the command read it from a file of the host"
                    });
                report(out, step, found);
            }
        }
    }
}

fn find_secret<'a>(run: &Resolved<'_>, node: &'a Node) -> Option<&'a Node> {
    match &node.value {
        Value::String(text) => run.world.secrets.holds_one(text).then_some(node),
        Value::Array(items) => items.iter().find_map(|n| find_secret(run, n)),
        Value::Table(entries) => entries.iter().find_map(|(_, n)| find_secret(run, n)),
        _ => None,
    }
}
