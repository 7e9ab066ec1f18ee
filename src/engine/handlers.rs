//! Handlers that are not lost: a notification is written down on the host before the change is made, and
//! crossed out when the handler has run, so that a run that is cut off in between leaves a trace.

use crate::model::{PlayIndex, StepId};
use crate::probe::{Answer, Probe};
use crate::program;
use crate::program::{Handle, Library};
use crate::shell::Script;

/// Finds where notifications are; see there.
static PENDING: Library = Library::new("handlers/pending.sh", include_str!("handlers/pending.sh"), &[]);

program! {
    /// Asks which handlers are due.
    AskPending in "handlers/ask_pending.sh" uses [PENDING]
}
program! {
    /// Notes handlers down.
    NotePending in "handlers/note_pending.sh" uses [PENDING] { handlers: List }
}
program! {
    /// Crosses one out.
    CrossOut in "handlers/cross_out.sh" uses [PENDING] { handler: Word }
}

/// What keeps notifications on a host.
pub const PROGRAMS: &[Handle] = &[AskPending::program, NotePending::program, CrossOut::program];

/// Asks which handlers are pending.
pub(super) fn probe() -> Probe {
    Probe::new(AskPending.script())
}

/// Reads the answer to [`probe`]: those that belong to a playbook of the run.
pub(super) fn parse(answer: &Answer, plays: &[crate::run::Play]) -> Vec<(PlayIndex, StepId)> {
    let text = answer.text();
    text.lines()
        .filter_map(|line| {
            let (play, id) = line.split_once('@')?;
            let play = plays.iter().position(|p| &*p.name == play)?;
            Some((PlayIndex::new(play), StepId::new(id)))
        })
        .collect()
}

/// Writes down that these handlers of a playbook are due.
pub(super) fn note(play: &str, handlers: &[StepId]) -> Script {
    let names: Vec<_> = handlers.iter().map(|id| format!("{play}@{id}")).collect();
    NotePending { handlers: &names }.script()
}

/// Crosses a handler out.
pub(super) fn cross_out(play: &str, handler: &StepId) -> Script {
    CrossOut { handler: &format!("{play}@{handler}") }.script()
}
