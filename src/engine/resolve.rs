//! From steps as written to the slots of a host.

use serde_json::Value;

use crate::diagnostic::Diagnostic;
use crate::model::{Failure, Host, HostIndex, Known, PlayIndex};
use crate::plan::{Slot, SlotState};
use crate::run::{ResolveError, Resolved, Run, StepSource};

/// Renders one step for a host: one slot, or one for each turn of its loop.
pub(super) fn resolve(
    play: PlayIndex,
    index: usize,
    source: &std::sync::Arc<dyn StepSource>,
    host: &Host,
    known: &Known,
) -> Vec<Slot> {
    let slot = |state| Slot { play, index, source: std::sync::Arc::clone(source), state };
    match source.resolve(host, known) {
        Ok(Resolved::Skipped(why)) => vec![slot(SlotState::Skipped(why))],
        Ok(Resolved::Steps(instances)) if instances.is_empty() => {
            vec![slot(SlotState::Skipped("its loop has no turns".into()))]
        }
        Ok(Resolved::Steps(instances)) => {
            instances.into_iter().map(|instance| slot(SlotState::Ready(instance))).collect()
        }
        Err(error) => vec![slot(SlotState::Invalid(failure(&error)))],
    }
}

/// Renders all steps of a host. `None` when a step needs facts that are not there.
pub(super) fn slots(run: &Run, position: HostIndex, facts: Option<&Value>) -> Option<Vec<Slot>> {
    let host = &run.hosts[position];
    let known = Known { facts: facts.cloned().unwrap_or_default(), ..Known::default() };
    let mut slots = Vec::new();
    for (n, play) in run.plays.iter().enumerate() {
        let n = PlayIndex::new(n);
        if play.hosts.binary_search(&position).is_err() {
            continue;
        }
        for (index, source) in play.steps.iter().enumerate() {
            if !source.selects(&host.name) {
                continue;
            }
            let waits = source.needs_results();
            if !waits.is_empty() {
                let state = SlotState::Waits(waits.to_vec());
                slots.push(Slot { play: n, index, source: std::sync::Arc::clone(source), state });
            } else if source.needs_facts() && facts.is_none() {
                return None;
            } else {
                slots.extend(resolve(n, index, source, host, &known));
            }
        }
    }
    Some(slots)
}

/// Whether any step that waits for results uses facts as well.
pub(super) fn wants_facts(run: &Run, position: HostIndex) -> bool {
    let host = &run.hosts[position];
    run.plays
        .iter()
        .filter(|play| play.hosts.binary_search(&position).is_ok())
        .flat_map(|play| &play.steps)
        .any(|source| source.needs_facts() && source.selects(&host.name))
}

fn failure(error: &ResolveError) -> Failure {
    let mut failure = Failure::new(error.to_string());
    if let Some(Diagnostic { help, label, .. }) = error.0.first() {
        failure.hint = help.first().cloned();
        if !label.is_empty() {
            failure.causes.push(label.clone());
        }
    }
    failure.causes.extend(error.0.iter().skip(1).map(|d| d.message.clone()));
    failure
}
