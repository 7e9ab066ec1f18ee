//! Piggybacked questions: what travels with the last actions of a step, so that it costs no exchange of its own.

use super::bundle::MOST;
use super::changes::Version;
use super::host::HostRun;
use super::questions::privilege_of;
use super::shared::joins;
use crate::event::Forecast;
use crate::model::{HostName, PlayIndex, SlotIndex};
use crate::plan::SlotState;
use crate::probe::{Answer, Probe};
use crate::step::Instance;

/// What travels with the last actions of a step.
#[derive(Debug, Default)]
pub(super) struct Piggyback {
    /// Questions to the host of the actions, each once.
    pub(super) probes: Vec<Probe>,
    /// Their answers, when the actions have succeeded.
    pub(super) answers: Vec<Answer>,
    /// The next slots that want to know, and how far the changes had come before the actions.
    pub(super) later: Vec<(SlotIndex, Version)>,
}

impl Piggyback {
    pub(super) fn ask(&mut self, probes: impl IntoIterator<Item = Probe>) {
        for probe in probes {
            if !self.probes.contains(&probe) {
                self.probes.push(probe);
            }
        }
    }
}

impl HostRun {
    /// The questions that travel with the last actions of slot `n`, which are for `host` and `plain`, that is without
    /// after-effects: those of the step's own that go to the same host, and where that is all of them, those of the
    /// next steps. Without its own verification the next steps' questions must wait: they are only good after it.
    pub(super) fn piggyback(
        &self,
        n: SlotIndex,
        instance: &Instance,
        host: Option<&HostName>,
        plain: bool,
    ) -> Piggyback {
        let later: Vec<_> = self.later_questions(n).into_iter().map(|s| (s, self.version(s))).collect();
        let mut along = Piggyback { later, ..Piggyback::default() };
        if !plain {
            return along;
        }
        let fits =
            |p: &Probe, of: &Instance| p.host.as_ref() == host && privilege_of(p, of) == instance.privilege;
        let own = instance.step.probes();
        let all = own.iter().all(|p| fits(p, instance));
        along.ask(own.into_iter().filter(|p| fits(p, instance)));
        let more = if all && host.is_none() { along.later.clone() } else { Vec::new() };
        for instance in more.iter().filter_map(|(slot, _)| self.slots[*slot].instance()) {
            let probes = instance.step.probes();
            if probes.iter().all(|p| fits(p, instance)) {
                along.ask(probes);
            }
        }
        along
    }

    /// The slots behind slot `n` that want to be asked again: up to the next that is open, and as far behind it as steps may
    /// share a frame with it; none that waits for other hosts.
    pub(super) fn later_questions(&self, n: SlotIndex) -> Vec<SlotIndex> {
        let play = self.slots[n].slot.play.position();
        let mut later = Vec::new();
        for n in (n.position() + 1..self.slots.len()).map(SlotIndex::new) {
            let run = &self.slots[n];
            let mut plays = (play + 1..=run.slot.play.position()).map(PlayIndex::new);
            if plays.any(|next| !joins(&self.shared.run.plays, next)) {
                break;
            }
            if matches!(run.slot.state, SlotState::Skipped(_)) {
                continue;
            }
            let Some(instance) = run.instance() else { break };
            if instance.handler {
                continue;
            }
            if !self.must_wait(n) && self.is_stale(n, instance) {
                later.push(n);
            }
            let open = !matches!(run.planned.forecast, Forecast::Unchanged { .. });
            if open && !self.may_share(n) || later.len() == MOST.0 {
                break;
            }
        }
        later
    }
}
