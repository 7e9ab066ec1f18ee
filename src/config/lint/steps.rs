//! Ids and handlers.

use std::collections::BTreeMap;

use super::{Lint, report};
use crate::config::playbook::Playbook;
use crate::config::table::{span, suggest};
use crate::diagnostic::{Diagnostic, Severity};

pub(super) const DUPLICATE_ID: Lint = Lint {
    name: "duplicate-id",
    severity: Severity::Error,
    doc: "Two steps of a playbook have the same `id`. `--step`, `notify` and `steps.ID` could mean either. \
          Give each its own, or leave `id` out: one is made from the name.",
};

pub(super) const NOTIFY_WITHOUT_HANDLER: Lint = Lint {
    name: "notify-without-handler",
    severity: Severity::Error,
    doc: "A step notifies what is not the id of a handler in the same playbook, so that nothing would happen. \
          A handler is a step with `handler = true`; `notify` names its `id`.",
};

pub(super) const UNNOTIFIED_HANDLER: Lint = Lint {
    name: "unnotified-handler",
    severity: Severity::Warning,
    doc: "A step has `handler = true`, but no step of the playbook notifies it, so that it never runs. \
          Add `notify = \"ID\"` to a step, or take `handler` away.",
};

/// Checks one playbook as written.
pub(super) fn check(playbook: &Playbook, out: &mut Vec<Diagnostic>) {
    let source = &playbook.source;
    let mut first = BTreeMap::new();
    for step in &playbook.steps {
        for (id, range) in step.given_id.iter().chain(&step.register) {
            match first.get(id.as_str()) {
                // An id and a `register` of the same step may well be the same.
                Some((other, _)) if std::ptr::eq(*other, step) => {}
                Some((_, earlier)) => {
                    let found = DUPLICATE_ID
                        .at(source, range, format!("the id `{id}` is taken"))
                        .label("again")
                        .related(span(source, earlier), "first here");
                    report(out, step, found);
                }
                None => {
                    first.insert(id.as_str(), (step, range.clone()));
                }
            }
        }
    }
    let handlers = || playbook.steps.iter().filter(|s| s.handler);
    for step in &playbook.steps {
        for (id, range) in &step.notify {
            if handlers().any(|h| h.id == *id) {
                continue;
            }
            let mut found = NOTIFY_WITHOUT_HANDLER.at(source, range, format!("no handler has the id `{id}`"));
            found.help.extend(if playbook.steps.iter().any(|s| s.id == *id) {
                Some(format!("the step `{id}` is no handler: give it `handler = true`"))
            } else {
                suggest(id, handlers().map(|h| h.id.as_str()))
            });
            report(out, step, found);
        }
    }
    for handler in handlers() {
        let notified = playbook.steps.iter().any(|s| s.notify.iter().any(|(id, _)| *id == handler.id));
        if !notified {
            let message = format!("no step notifies the handler `{}`", handler.id);
            let found = UNNOTIFIED_HANDLER
                .at(source, &handler.head, message)
                .label("never runs")
                .help(format!("add `notify = \"{}\"` to the step after which it is to run", handler.id));
            report(out, handler, found);
        }
    }
}
