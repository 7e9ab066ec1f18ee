//! Handlers that are not lost: a notification is written down on the host before the change is made, and
//! crossed out when the handler has run, so that a run that is cut off in between leaves a trace.

use crate::model::StepId;
use crate::probe::{Answer, Probe};
use crate::sh;
use crate::shell::Script;

/// Where notifications are written down: below `/var/lib` for `root`, in the user's state directory else.
fn folder() -> Script {
    sh!(
        r#"if [ "$(id -u)" = 0 ]; then d=/var/lib/hostwright/pending; else d="${XDG_STATE_HOME:-$HOME/.local/state}/hostwright/pending"; fi"#
    )
}

/// Asks which handlers are pending.
pub(super) fn probe() -> Probe {
    Probe::new(sh!("{}\nfor f in \"$d\"/*; do if [ -e \"$f\" ]; then echo \"${f##*/}\"; fi; done", folder()))
}

/// Reads the answer to [`probe`]: those that belong to a playbook of the run, by its position.
pub(super) fn parse(answer: &Answer, plays: &[crate::run::Play]) -> Vec<(usize, StepId)> {
    let text = answer.text();
    text.lines()
        .filter_map(|line| {
            let (play, id) = line.split_once('@')?;
            let play = plays.iter().position(|p| &*p.name == play)?;
            Some((play, StepId::new(id)))
        })
        .collect()
}

/// Writes down that these handlers of a playbook are due.
pub(super) fn note(play: &str, handlers: &[StepId]) -> Script {
    let names: Vec<_> = handlers.iter().map(|id| format!("{play}@{id}")).collect();
    sh!("{}\nmkdir -p -- \"$d\" && cd \"$d\" && for f in {}; do : >\"$f\" || exit 1; done", folder(), names)
}

/// Crosses a handler out.
pub(super) fn cross_out(play: &str, handler: &StepId) -> Script {
    sh!("{}\nrm -f -- \"$d\"/{}", folder(), format!("{play}@{handler}"))
}
