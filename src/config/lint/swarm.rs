//! Swarms: what a single step cannot see of the others.

use std::collections::BTreeSet;

use super::{Seen, report};
use crate::config::finding::Lint;
use crate::config::offline::Checked;
use crate::config::table::span;
use crate::diagnostic::{Diagnostic, Severity};
use crate::model::value::Value;

pub(super) const SEVERAL_SWARMS: Lint = Lint {
    name: "several-swarms",
    severity: Severity::Warning,
    doc: "Several hosts make a swarm with `swarm_init`: each of them gets a swarm of its own. Of one swarm only the first \
          manager makes it; the others join it with `swarm_join` and `role = \"manager\"`. Silence this where the fleet \
          is to have several swarms.",
};

/// Hosts that each make a swarm of their own.
pub(super) fn several(seen: &Seen<'_>, out: &mut Vec<Diagnostic>) {
    let makes = |c: &&Checked| {
        let absent = |v: &Value| matches!(v, Value::String(s) if s == "absent");
        !c.node.entry("state").is_some_and(|(_, n)| absent(&n.value))
    };
    let mut all = seen.all().filter(makes);
    let Some(first) = all.next() else { return };
    let others: Vec<_> = all.filter(|c| c.index != first.index).collect();
    let Some(second) = others.first() else { return };
    let names: Vec<&str> = [first]
        .iter()
        .chain(&others)
        .map(|c| c.host.name.as_str())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let [own, other] = [first, *second].map(|c| (seen.source(c), seen.raw(c)));
    let mut found = SEVERAL_SWARMS
        .at(
            other.0,
            &second.node.span,
            format!("{} each make a swarm of their own", names.join(", ")),
        )
        .help("let one host make it, and the others join with `swarm_join = { manager = ..., role = \"manager\" }`");
    if (first.play, first.step) != (second.play, second.step) {
        found = found.related(span(own.0, &first.node.span), "the first one is made here");
    }
    report(out, other.1, found);
}
