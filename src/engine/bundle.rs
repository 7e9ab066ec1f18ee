//! Bundles: the changes of several steps that travel in one frame, with their verifications.
//!
//! A step may go along when nothing that goes before it can have touched what its plan rests on, or touches it in a way that
//! the plan has foreseen (`Change::expects`), and when the host itself can tell that what goes before it held
//! (`Action::tells`): the frame stops on the host at the first action that fails.

use std::sync::Arc;

use super::changes::{ReadSet, WriteSet};
use super::host::HostRun;
use super::questions::privilege_of;
use crate::event::Forecast;
use crate::model::{Scope, SlotIndex, State};
use crate::plan::SlotState;
use crate::probe::Probe;
use crate::step::{Action, Change, Instance, Span, Then, Verdict};

/// So many steps travel together at most, and so many bytes of their contents: a frame that is lost is sent again.
pub(super) const MOST: (usize, usize) = (64, 4 << 20);

/// A step with the change that it is to make.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) n: SlotIndex,
    pub(super) instance: Arc<Instance>,
    pub(super) change: Change,
}

/// The steps of a frame, and those between them which only look again at its end.
#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) members: Vec<Member>,
    pub(super) passed: Vec<SlotIndex>,
    /// Those between them which have nothing to do, as they were asked before: that holds for their turn, whatever those do
    /// that come later.
    pub(super) settled: Vec<SlotIndex>,
}

impl Bundle {
    /// Whether nothing goes along with its first step.
    pub(super) fn is_alone(&self) -> bool {
        self.members.len() == 1
    }
}

/// What a step reads, and what its change writes.
#[derive(Debug)]
pub(super) struct Sets {
    pub(super) read: ReadSet,
    pub(super) write: WriteSet,
}

impl Sets {
    pub(super) fn of(member: &Member, run: &HostRun) -> Self {
        let Member { instance, change, .. } = member;
        let links = &run.shared.links;
        Self {
            read: ReadSet::of(instance, run.own, links),
            write: WriteSet::of(instance, change, run.own, links),
        }
    }
}

/// Whether a step can share a frame with others, by what it is to do.
fn can_share(instance: &Instance, change: &Change) -> bool {
    let quick = |a: &Action| {
        let plain = a.host.is_none() && a.borrowed.is_empty();
        plain && a.tells && a.span == Span::Quick && a.then == Then::Nothing
    };
    let own = |p: &Probe| p.host.is_none() && privilege_of(p, instance) == instance.privilege;
    !change.actions.is_empty()
        && change.actions.iter().all(quick)
        && change.disrupts.is_none()
        && !change.always
        && !change.passive
        && change.expects.iter().all(|(resource, _)| resource.scope == Scope::Here)
        && !instance.handler
        && instance.retries == 0
        && instance.until.is_none()
        && instance.step.exclusive().is_none()
        && !instance.step.opaque()
        && instance.step.probes().iter().all(own)
}

/// What a step behind those of a bundle does.
enum Goes {
    /// It makes this change with them.
    Along(Change),
    /// It has nothing to do, which is to be looked at when they are through.
    Looks,
    /// It has nothing to do with them.
    Passes,
    /// It has its turn when it is known what came of them.
    Later,
}

impl HostRun {
    /// Whether a slot may share a frame with others, by what is planned for it.
    pub(super) fn may_share(&self, n: SlotIndex) -> bool {
        let run = &self.slots[n];
        let can = |instance, change: &Option<Change>| change.as_ref().is_some_and(|c| can_share(instance, c));
        run.instance().is_some_and(|i| can(i, &run.planned.change))
            && !self.is_awaited(n)
            && !self.must_wait(n)
    }

    /// The slots behind slot `n` that may share a frame with it once they are asked again, by questions that can travel with
    /// its own.
    pub(super) fn shares_with(&self, n: SlotIndex) -> Vec<SlotIndex> {
        if !self.may_share(n) {
            return Vec::new();
        }
        let privilege = self.slots[n].instance().map(|instance| &instance.privilege);
        let like = |m: &SlotIndex| {
            let fits = |i: &Instance, p: &Probe| p.host.is_none() && Some(&privilege_of(p, i)) == privilege;
            self.slots[*m].instance().is_some_and(|i| i.step.probes().iter().all(|p| fits(i, p)))
        };
        self.later_questions(n).into_iter().filter(like).collect()
    }

    /// The steps that go along with slot `n`, itself included: as many as may, in their order.
    pub(super) fn bundle(&mut self, n: SlotIndex, instance: &Arc<Instance>, change: &Change) -> Bundle {
        let head = Member { n, instance: Arc::clone(instance), change: change.clone() };
        let mut bundle = Bundle { members: vec![head], passed: Vec::new(), settled: Vec::new() };
        if can_share(instance, change) && !self.is_awaited(n) {
            self.expect(change);
            self.fill(&mut bundle);
            self.answers.forget_expected();
        }
        bundle
    }

    /// Adds the steps behind its first one, up to one that has to be asked, or must go alone.
    fn fill(&mut self, bundle: &mut Bundle) {
        let head = bundle.members[0].n;
        let play = self.slots[head].slot.play;
        let mut left = MOST.1;
        // What those read that look again when all is done, or in their turn.
        let mut idle = Vec::new();
        let mut sets = vec![Sets::of(&bundle.members[0], self)];
        for m in (head.position() + 1..self.slots.len()).map(SlotIndex::new) {
            let slot = &self.slots[m].slot;
            if slot.play != play || bundle.members.len() == MOST.0 {
                return;
            }
            let instance = match &slot.state {
                SlotState::Skipped(_) => continue,
                SlotState::Ready(instance) if instance.handler => continue,
                SlotState::Ready(instance) => Arc::clone(instance),
                SlotState::Waits(_) | SlotState::Invalid(_) => return,
            };
            let read = ReadSet::of(&instance, self.own, &self.shared.links);
            match self.goes(&sets, m, (&instance, &read), &bundle.members[0].instance) {
                Goes::Passes if self.is_stale(m, &instance) => idle.push(read),
                Goes::Passes => bundle.settled.push(m),
                Goes::Looks => {
                    idle.push(read);
                    bundle.passed.push(m);
                }
                Goes::Later => return,
                Goes::Along(change) => {
                    let payloads = change.actions.iter().filter_map(|action| action.payload.as_ref());
                    let size = payloads.map(|payload| payload.0.len()).sum();
                    let Some(rest) = left.checked_sub(size) else { return };
                    left = rest;
                    let member = Member { n: m, instance, change };
                    let set = Sets::of(&member, self);
                    // They would see what came after their turn.
                    if idle.iter().any(|read| set.write.touches(read)) {
                        return;
                    }
                    self.expect(&member.change);
                    sets.push(set);
                    bundle.members.push(member);
                    if self.is_awaited(m) {
                        return;
                    }
                }
            }
        }
    }

    /// What slot `m` does behind steps with these sets, the first of which is `head`.
    fn goes(
        &self,
        sets: &[Sets],
        m: SlotIndex,
        (instance, read): (&Instance, &ReadSet),
        head: &Instance,
    ) -> Goes {
        let run = &self.slots[m];
        let known = !run.touched
            && !matches!(run.planned.forecast, Forecast::Unknown { .. })
            && !self.has_changed_elsewhere(m, read);
        let surprised = sets.iter().any(|set| set.write.surprises(read));
        if !known || surprised || self.must_wait(m) || self.missing(m).is_some() {
            return Goes::Later;
        }
        let checked = instance.check(&self.answers);
        let hidden = |resource| self.answers.expected(resource) == Some(&State::Hidden);
        if checked.used.iter().any(hidden) {
            return Goes::Later;
        }
        match checked.said {
            Ok(Verdict::Satisfied { .. }) => {
                let touched = !checked.used.is_empty() || sets.iter().any(|set| set.write.touches(read));
                let unchanged = matches!(run.planned.forecast, Forecast::Unchanged { .. });
                if touched || !unchanged { Goes::Looks } else { Goes::Passes }
            }
            Ok(Verdict::Drift(change))
                if instance.privilege == head.privilege
                    && can_share(instance, &change)
                    && self.moved(m, instance, &change).is_none() =>
            {
                Goes::Along(change)
            }
            Ok(_) | Err(_) => Goes::Later,
        }
    }

    /// Takes what a change will leave for what is there.
    fn expect(&mut self, change: &Change) {
        for (resource, state) in &change.expects {
            self.answers.expect(resource.clone(), state.clone());
        }
    }
}
