//! Acting for several steps at once: one frame with the actions and the verifications of a bundle.

use std::ops::Range;
use std::time::Duration;

use tokio::time::Instant;

use super::acting::{broke_off, undo_of};
use super::bundle::{Bundle, Member, Sets};
use super::failing::{Work, did_not_end};
use super::host::HostRun;
use super::piggyback::Piggyback;
use super::questions::privilege_of;
use super::sending::{Batch, Begun, result_of};
use super::turn::Turn;
use crate::event::{Body, ChangeView, Outcome};
use crate::model::{SlotIndex, StepResult};
use crate::probe::{Answer, Probe};
use crate::step::Instance;
use crate::transport::TransportError;

/// What is known after the exchange.
#[derive(Debug, Default)]
struct Came {
    answers: Vec<Answer>,
    /// So many steps have done all that they were to do.
    acted: usize,
    /// How the turn of the next one ends, and whether it has changed something.
    broken: Option<(Turn, bool)>,
    /// The questions at the end are answered.
    verified: bool,
}

impl HostRun {
    /// Makes the changes of all in it, and verifies them. Returns the end of the turn of the first; the others find theirs
    /// when it comes.
    pub(super) async fn act_together(&mut self, bundle: &Bundle) -> Turn {
        let members = &bundle.members;
        for member in members {
            self.touch(member.n, &member.instance, &member.change);
        }
        let (batch, places) = match self.frame(bundle).await {
            Ok(made) => made,
            Err(turn) => return turn,
        };
        let mut along = self.questions_at_the_end(bundle, &places);
        let first = &members[0];
        let mut begun = Begun::known(first.n);
        let start = Instant::now();
        let sent = (&batch, false);
        let privilege = &first.instance.privilege;
        let came = match self.exchange(privilege, self.own, sent, &along.probes, &mut begun).await {
            Ok(Ok(answers)) => read(&batch, members, answers, start),
            Ok(Err(TransportError::TimedOut { after, part, answers })) => {
                let part = part.unwrap_or(answers.len());
                timed_out(&batch, members, answers, part, after)
            }
            Ok(Err(error)) => {
                let turn = self.cut_off(members, &error).await;
                self.tell_begun(members, &begun).await;
                return turn;
            }
            Err(turn) => {
                for member in members {
                    self.note(&member.instance, &member.change);
                }
                return turn;
            }
        };
        if came.verified {
            along.answers = came.answers[batch.parts.len()..].to_vec();
        }
        let turns = self.judge(bundle, &batch, &places, came, along).await;
        self.tell_begun(members, &begun).await;
        self.settle(bundle, &turns);
        self.hand_out(members, turns, &begun)
    }

    /// The actions of all, and before those that touch what an earlier one has made, its verification. Says where in the
    /// frame that is.
    async fn frame(&self, bundle: &Bundle) -> Result<(Batch, Vec<Option<Range<usize>>>), Turn> {
        let members = &bundle.members;
        let sets: Vec<_> = members.iter().map(|member| Sets::of(member, self)).collect();
        let mut batch = Batch::default();
        let mut places: Vec<Option<Range<usize>>> = vec![None; members.len()];
        let mut noted = Vec::new();
        for (k, member) in members.iter().enumerate() {
            for (earlier, place) in places.iter_mut().enumerate().take(k) {
                if place.is_none() && sets[k].write.touches(&sets[earlier].read) {
                    let from = batch.parts.len();
                    for probe in members[earlier].instance.step.probes() {
                        batch.ask(members[earlier].n, &probe);
                    }
                    *place = Some(from..batch.parts.len());
                }
            }
            let mut fresh = self.fresh(member.n, &member.instance);
            fresh.retain(|id| !noted.contains(id));
            noted.extend(fresh.iter().cloned());
            let [actions, shown] =
                [&member.change, member.change.shown()].map(|c| c.actions.iter().collect::<Vec<_>>());
            let of = (member.n, &*member.instance);
            self.add_actions(&mut batch, of, (&actions, &shown), &fresh, &Answer::default()).await?;
        }
        Ok((batch, places))
    }

    /// What is asked when all is done: how those are which nobody has looked at, and what the steps behind want to know.
    fn questions_at_the_end(&self, bundle: &Bundle, places: &[Option<Range<usize>>]) -> Piggyback {
        let mut along = Piggyback::default();
        for (member, _) in bundle.members.iter().zip(places).filter(|(_, place)| place.is_none()) {
            along.ask(member.instance.step.probes());
        }
        if let Some(last) = bundle.members.last() {
            let passed = bundle.passed.iter().map(|&n| (n, self.version(n)));
            let behind = self.piggyback(last.n, &last.instance, None, true);
            along.later = passed.chain(behind.later).collect();
            let probes = bundle.passed.iter().filter_map(|&n| self.slots[n].instance());
            let fits = |i: &&Instance| {
                let own = |p: &Probe| p.host.is_none() && privilege_of(p, i) == last.instance.privilege;
                i.step.probes().iter().all(own)
            };
            along.ask(probes.filter(fits).flat_map(|i| i.step.probes()));
            along.ask(behind.probes);
        }
        along
    }

    /// How the turn of each ends, as far as it had one.
    async fn judge(
        &mut self,
        bundle: &Bundle,
        batch: &Batch,
        places: &[Option<Range<usize>>],
        came: Came,
        along: Piggyback,
    ) -> Vec<Option<Turn>> {
        let members = &bundle.members;
        let mut turns: Vec<Option<Turn>> = members.iter().map(|_| None).collect();
        let results: Vec<StepResult> = members
            .iter()
            .map(|member| result_of(last_act(batch, member).and_then(|n| came.answers.get(n))))
            .collect();
        let mut open = Vec::new();
        for (k, member) in members.iter().enumerate().take(came.acted) {
            self.note(&member.instance, &member.change);
            self.notify(&member.instance.notify);
            let answered = places[k].clone().and_then(|place| came.answers.get(place));
            let Some(answers) = answered else {
                open.push(k);
                continue;
            };
            for (probe, answer) in member.instance.step.probes().iter().zip(answers) {
                self.take_in(member.n, probe, answer.clone());
            }
            turns[k] = Some(self.judged(member, &results[k]));
        }
        if came.verified {
            self.take_in_all(members[0].n, &along);
        } else if !open.is_empty() {
            let slots: Vec<_> = open.iter().map(|&k| members[k].n).collect();
            if let Err(turn) = self.ask(&slots).await {
                turns[open[0]] = Some(turn);
                open.clear();
            }
        }
        for k in open {
            turns[k] = Some(self.judged(&members[k], &results[k]));
        }
        if let Some((turn, changed)) = came.broken {
            let Member { n, instance, change } = &members[came.acted];
            turns[came.acted] = Some(self.broken(*n, instance, change, turn, changed).await);
        }
        if came.verified {
            self.pass_on(along, &members[0].instance.privilege);
        }
        turns
    }

    /// How the turn of a step ends whose actions have succeeded, by what its host answers now.
    fn judged(&mut self, member: &Member, result: &StepResult) -> Turn {
        let Member { instance, change, .. } = member;
        let turn = match self.holds(instance) {
            Ok(reason) => {
                let result = StepResult { changed: true, ..result.clone() };
                Turn { result, ..Turn::new(Outcome::Changed, reason) }
            }
            Err(turn) => turn,
        };
        Turn {
            change: Some(ChangeView::from(change)),
            undo: Some(Box::new(undo_of(instance, change))),
            ..turn
        }
    }

    /// The connection broke off in the middle, for good or for a while: see what came of it. Those that hold are done; the
    /// first that does not has failed, and none behind it had its turn.
    async fn cut_off(&mut self, members: &[Member], error: &TransportError) -> Turn {
        for member in members {
            self.note(&member.instance, &member.change);
        }
        let slots: Vec<_> = members.iter().map(|member| member.n).collect();
        let lost = matches!(error, TransportError::Unreachable { lost: true, .. });
        if !lost || self.shared.stopped() || self.ask(&slots).await.is_err() {
            return self.lost(self.own, error);
        }
        let mut first = None;
        for member in members {
            let mut turn = self.judged(member, &StepResult::default());
            let held = turn.outcome == Outcome::Changed;
            if held {
                self.notify(&member.instance.notify);
                turn.reason += " (the connection broke off and was made again)";
            } else {
                turn = Turn { change: turn.change, ..Turn::failed(broke_off(error)) };
            }
            if first.is_none() {
                first = Some(turn);
            } else {
                self.slots[member.n].turn = Some(turn);
            }
            if !held {
                break;
            }
        }
        first.unwrap_or_else(|| self.lost(self.own, error))
    }

    /// Tells that steps have begun which could not be told of at once.
    async fn tell_begun(&self, members: &[Member], begun: &Begun) {
        for member in members {
            if matches!(begun.of(member.n), Some((_, false))) {
                let started = Body::StepStarted { at: self.at(member.n), name: member.instance.name.clone() };
                self.shared.events.send(started).await;
            }
        }
    }

    /// Keeps that those have nothing to do which stand before one that has acted.
    fn settle(&mut self, bundle: &Bundle, turns: &[Option<Turn>]) {
        let acted = bundle.members.iter().zip(turns).filter(|(_, turn)| turn.is_some());
        let Some(last) = acted.map(|(member, _)| member.n).max() else { return };
        for &n in bundle.settled.iter().filter(|n| **n < last) {
            self.slots[n].turn = self.left_alone(n);
        }
    }

    /// Keeps the ends of the turns for when they come, but for the first, which is now.
    fn hand_out(&mut self, members: &[Member], turns: Vec<Option<Turn>>, begun: &Begun) -> Turn {
        let mut ends = members.iter().skip(1).filter_map(|m| Some(begun.of(m.n)?.0));
        let mut first = Turn::new(Outcome::NotReached, "");
        for (k, (member, turn)) in members.iter().zip(turns).enumerate() {
            let end = ends.next().unwrap_or_else(Instant::now);
            let Some(turn) = turn else { continue };
            self.slots[member.n].took =
                begun.of(member.n).map(|(start, _)| end.saturating_duration_since(start));
            if k == 0 {
                first = turn;
            } else {
                self.slots[member.n].turn = Some(turn);
            }
        }
        first
    }
}

/// What came of a frame whose answers are there.
fn read(batch: &Batch, members: &[Member], answers: Vec<Answer>, start: Instant) -> Came {
    let Some((turn, part)) = batch.failure(&answers, start.elapsed()) else {
        let verified = answers.len() >= batch.parts.len();
        return Came { answers, acted: members.len(), broken: None, verified };
    };
    let acted = position(members, batch.told[part].slot);
    Came { answers, acted, broken: Some((turn, batch.acted_before(part))), verified: false }
}

/// What came of a frame that was stopped at its bound, in this part.
fn timed_out(batch: &Batch, members: &[Member], answers: Vec<Answer>, part: usize, after: Duration) -> Came {
    if let Some(told) = batch.told.get(part).filter(|told| told.work != Work::Ask) {
        let broken = Some((Turn::failed(did_not_end(&told.label, after)), true));
        return Came { answers, acted: position(members, told.slot), broken, verified: false };
    }
    let acted = members.iter().take_while(|m| last_act(batch, m).is_some_and(|n| n < part)).count();
    Came { answers, acted, broken: None, verified: false }
}

/// Which of the members a slot is.
fn position(members: &[Member], slot: SlotIndex) -> usize {
    members.iter().position(|member| member.n == slot).unwrap_or_default()
}

/// Where in the frame the last action of a member is.
fn last_act(batch: &Batch, member: &Member) -> Option<usize> {
    batch.told.iter().rposition(|told| told.slot == member.n && told.work == Work::Act)
}
