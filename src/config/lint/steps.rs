//! Ids and handlers.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::report;
use crate::config::finding::Lint;
use crate::config::playbook::{Playbook, RawStep};
use crate::config::table::{span, suggest_beside};
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

/// Ids and `register` names that are given twice.
pub(super) fn duplicate_id(playbook: &Playbook, out: &mut Vec<Diagnostic>) {
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
}

/// Steps that notify what is no handler.
pub(super) fn notify_without_handler(playbook: &Playbook, out: &mut Vec<Diagnostic>) {
    let ids: HashMap<&str, bool> = playbook.steps.iter().map(|s| (s.id.as_str(), s.handler)).collect();
    for step in &playbook.steps {
        for (id, range) in &step.notify {
            if ids.get(id.as_str()) == Some(&true) {
                continue;
            }
            let mut found =
                NOTIFY_WITHOUT_HANDLER.at(&playbook.source, range, format!("no handler has the id `{id}`"));
            found.help.extend(if ids.contains_key(id.as_str()) {
                Some(format!("the step `{id}` is no handler: give it `handler = true`"))
            } else {
                suggest_beside(out, id, handlers(playbook).map(|h| h.id.as_str()))
            });
            report(out, step, found);
        }
    }
}

/// Handlers that nobody notifies.
pub(super) fn unnotified_handler(playbook: &Playbook, out: &mut Vec<Diagnostic>) {
    let notified: HashSet<&str> =
        playbook.steps.iter().flat_map(|s| s.notify.iter().map(|(id, _)| id.as_str())).collect();
    for handler in handlers(playbook) {
        if !notified.contains(handler.id.as_str()) {
            let message = format!("no step notifies the handler `{}`", handler.id);
            let found = UNNOTIFIED_HANDLER
                .at(&playbook.source, &handler.head, message)
                .label("never runs")
                .help(format!("add `notify = \"{}\"` to the step after which it is to run", handler.id));
            report(out, handler, found);
        }
    }
}

fn handlers(playbook: &Playbook) -> impl Iterator<Item = &RawStep> {
    playbook.steps.iter().filter(|s| s.handler)
}
