//! The first part of every run: connect, ask for facts where templates need them, then all probes of all
//! steps in one exchange for each privilege.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::link::{Asker, Link};
use super::questions::{Questions, Replies, Ticket, failure_of, privilege_of};
use super::{Engine, handlers, resolve};
use crate::event::{Body, Forecast};
use crate::model::{Failure, HostIndex, Known, Privilege, SlotIndex};
use crate::plan::{HostSteps, Slot, SlotState};
use crate::preflight::{self, Sighting};
use crate::probe::{Answers, Probe};
use crate::sh;
use crate::transport::TransportError;

/// A question of one host's step, and where its answer will be.
#[derive(Debug)]
struct Asked {
    /// The host whose step asks.
    by: HostIndex,
    slot: SlotIndex,
    probe: Probe,
    ticket: Ticket,
}

/// What is asked at once, by the host that is asked.
#[derive(Debug, Default)]
struct Round {
    questions: BTreeMap<HostIndex, Questions>,
    asked: HashMap<HostIndex, Vec<Asked>>,
    /// The questions for handlers that are due.
    pending: HashMap<HostIndex, Vec<Ticket>>,
    /// Those for facts.
    sights: HashMap<HostIndex, Ticket>,
}

impl Round {
    fn of(&mut self, host: HostIndex) -> &mut Questions {
        self.questions.entry(host).or_default()
    }
}

/// A host that was asked: what it replied and when it was asked, and when the reply was there. Times in milliseconds
/// since 1970.
type Asking = (HostIndex, Result<(Replies, i64), TransportError>, i64);

impl Engine {
    /// Asks all hosts everything that the plan needs.
    pub async fn gather(&mut self) {
        let facts = self.ask_facts().await;
        let run = Arc::clone(&self.run);
        self.hosts = Vec::with_capacity(run.hosts.len());
        for (n, host) in run.hosts.iter().enumerate() {
            let n = HostIndex::new(n);
            let (facts, unreachable) = match &facts[n] {
                Some(Ok(facts)) => (Some(facts), false),
                Some(Err(())) => (None, true),
                None => (None, false),
            };
            if let Some(facts) = facts {
                self.facts.insert(n, facts.clone());
            }
            let missing = Value::Object(serde_json::Map::new());
            // An unreachable host's steps are still listed: rendered as far as they can be without facts.
            let slots = resolve::slots(&run, n, facts)
                .or_else(|| resolve::slots(&run, n, Some(&missing)))
                .unwrap_or_default();
            self.hosts.push(HostSteps {
                host: Arc::clone(host),
                unreachable,
                answers: Answers::default(),
                slots,
                pending: Vec::new(),
            });
        }
        let of = |(h, steps): (usize, &HostSteps)| {
            (0..steps.slots.len()).map(move |s| (HostIndex::new(h), SlotIndex::new(s)))
        };
        let all: Vec<_> = self.hosts.iter().enumerate().flat_map(of).collect();
        let seen = self.ask_slots(&all, true).await;
        for message in preflight::warnings(&seen) {
            self.events.send(Body::Warning { host: None, message }).await;
        }
    }

    /// Facts of the hosts whose templates need them; `Some(Err)` where the host cannot be reached.
    async fn ask_facts(&mut self) -> Vec<Option<Result<Value, ()>>> {
        let mut facts: Vec<Option<Result<Value, ()>>> = vec![None; self.run.hosts.len()];
        let mut tasks = JoinSet::new();
        let forks = Arc::new(Semaphore::new(self.options.forks.max(1)));
        for n in (0..self.run.hosts.len()).map(HostIndex::new) {
            if resolve::slots(&self.run, n, None).is_some() && !resolve::wants_facts(&self.run, n) {
                continue;
            }
            let (link, forks, events) = (Arc::clone(&self.links[n]), Arc::clone(&forks), self.events.clone());
            let (bound, cancel) = (self.options.probe_timeout, self.cancel.clone());
            tasks.spawn(async move {
                let _permit = forks.acquire_owned().await;
                events.send(Body::HostConnecting { host: link.host.name.clone() }).await;
                let mut questions = Questions::default();
                let probe = crate::facts::probe();
                let ticket = questions.add(&probe, Privilege::Login);
                let replies = tokio::select! {
                    replies = questions.ask(&link, Asker::Own, bound) => replies,
                    () = cancel.killed() => Err(TransportError::interrupted()),
                };
                let result = match replies {
                    Ok(replies) => {
                        events.send(Body::HostConnected { host: link.host.name.clone() }).await;
                        let answer = replies.of(ticket).clone();
                        answer.and_then(|a| crate::facts::parse(&a).map_err(|e| crate::plan::failure_of(&e)))
                    }
                    Err(error) => Err(failure_of(&error)),
                };
                (n, result)
            });
        }
        while let Some(joined) = tasks.join_next().await {
            let Ok((n, result)) = joined else { continue };
            facts[n] = Some(match result {
                Ok(facts) => Ok(serde_json::to_value(facts).expect("facts are strings and numbers")),
                Err(failure) => {
                    // Who has its lock is told of apart.
                    if !self.links[n].is_refused() {
                        let host = self.run.hosts[n].name.clone();
                        self.events.send(Body::HostUnreachable { host, failure }).await;
                    }
                    Err(())
                }
            });
        }
        facts
    }

    /// Asks the probes of these slots. The first time, hosts that are to be in a swarm are asked for their facts in the
    /// same exchange; returns those that told them, in inventory order.
    async fn ask_slots(&mut self, slots: &[(HostIndex, SlotIndex)], first: bool) -> Vec<Sighting> {
        let mut round = self.round(slots, first);
        let mut seen: Vec<(HostIndex, Sighting)> = Vec::new();
        let mut tasks = self.ask_hosts(std::mem::take(&mut round.questions), first);
        while let Some(joined) = tasks.join_next().await {
            let Ok((target, replies, answered_ms)) = joined else { continue };
            let asked = round.asked.remove(&target).unwrap_or_default();
            match replies {
                Ok((replies, asked_ms)) => {
                    // Who does not tell is not warned of.
                    if let Some(Ok(answer)) = round.sights.get(&target).map(|&ticket| replies.of(ticket))
                        && let Ok(facts) = crate::facts::parse(answer)
                    {
                        let sighting = Sighting::new(&self.hosts[target], facts, asked_ms, answered_ms);
                        seen.push((target, sighting));
                    }
                    for ticket in round.pending.remove(&target).unwrap_or_default() {
                        if let Ok(answer) = replies.of(ticket) {
                            let found = handlers::parse(answer, &self.run.plays);
                            self.hosts[target].pending.extend(found);
                        }
                    }
                    self.take_in(asked, &replies);
                }
                Err(error) => self.not_answered(target, asked, &error).await,
            }
        }
        seen.sort_by_key(|(n, _)| *n);
        seen.into_iter().map(|(_, sighting)| sighting).collect()
    }

    /// What to ask which host for these slots.
    fn round(&self, slots: &[(HostIndex, SlotIndex)], first: bool) -> Round {
        let mut round = Round::default();
        for &(by, slot) in slots {
            let Some(instance) = self.hosts[by].slots[slot].instance() else { continue };
            if self.hosts[by].unreachable {
                continue;
            }
            for probe in instance.step.probes() {
                let Some(target) = self.links.target(by, probe.host.as_ref()) else { continue };
                let ticket = round.of(target).add(&probe, privilege_of(&probe, instance));
                round.asked.entry(target).or_default().push(Asked { by, slot, probe, ticket });
            }
            if first && instance.handler {
                let ticket = round.of(by).add(&handlers::probe(), instance.privilege.clone());
                round.pending.entry(by).or_default().push(ticket);
            }
        }
        for n in self.indices().filter(|_| first) {
            let host = &self.hosts[n];
            // A host with nothing to ask still has to be there.
            if !host.unreachable && !host.slots.is_empty() {
                round.of(n);
            }
            // Also where there is nothing to ask with these rights: it must not turn out under way that it is locked.
            for privilege in self.privileges(n).into_iter().filter(|_| self.locks && !host.unreachable) {
                let questions = round.of(n);
                if !questions.has(&privilege) {
                    questions.add(&Probe::new(sh!("true")), privilege);
                }
            }
            if in_swarm(host)
                && let Some(ticket) =
                    round.questions.get_mut(&n).and_then(|q| q.add_beside(&crate::facts::probe()))
            {
                round.sights.insert(n, ticket);
            }
        }
        round
    }

    /// Asks these hosts side by side, as many at once as the user allows; a host that is asked the `first` time is told
    /// of.
    fn ask_hosts(&self, questions: BTreeMap<HostIndex, Questions>, first: bool) -> JoinSet<Asking> {
        let mut tasks = JoinSet::new();
        let forks = Arc::new(Semaphore::new(self.options.forks.max(1)));
        let keep = self.run.hosts.len() <= self.options.keep_open;
        for (n, questions) in questions {
            let (link, forks, events) = (Arc::clone(&self.links[n]), Arc::clone(&forks), self.events.clone());
            let (bound, cancel) = (self.options.probe_timeout, self.cancel.clone());
            let own = n.position() < self.hosts.len();
            tasks.spawn(async move {
                let _permit = forks.acquire_owned().await;
                let first = first && own;
                if first {
                    events.send(Body::HostConnecting { host: link.host.name.clone() }).await;
                }
                let replies = tokio::select! {
                    replies = ask(&link, &questions, bound) => replies,
                    () = cancel.killed() => Err(TransportError::interrupted()),
                };
                let answered_ms = now_ms();
                if first && replies.is_ok() {
                    events.send(Body::HostConnected { host: link.host.name.clone() }).await;
                }
                if !keep {
                    link.close().await;
                }
                (n, replies, answered_ms)
            });
        }
        tasks
    }

    fn take_in(&mut self, asked: Vec<Asked>, replies: &Replies) {
        for Asked { by, slot, probe, ticket } in asked {
            let host = &mut self.hosts[by];
            match replies.of(ticket) {
                Ok(answer) => {
                    if let Some(instance) = host.slots[slot].instance() {
                        host.answers.insert(&probe, &instance.privilege, answer.clone());
                    }
                }
                Err(failure) => host.slots[slot].state = SlotState::Invalid(failure.clone()),
            }
        }
    }

    /// A host did not answer: its own steps are unreachable, those of others that asked it fail.
    async fn not_answered(&mut self, target: HostIndex, asked: Vec<Asked>, error: &TransportError) {
        let host = self.links[target].host.name.clone();
        let failure = failure_of(error);
        for Asked { by, slot, .. } in asked {
            if by != target {
                let failure = Failure {
                    causes: vec![failure.message.clone()],
                    ..Failure::new(format!("{host}, which this step has to ask, is unreachable"))
                };
                self.hosts[by].slots[slot].state = SlotState::Invalid(failure);
            }
        }
        if let Some(own) = self.hosts.get_mut(target.position()) {
            own.unreachable = true;
            self.events.send(Body::HostUnreachable { host, failure }).await;
        }
    }

    /// Renders and asks the steps that waited for results which the plan now says will not change.
    /// Returns whether there were any; the plan has to be made anew then.
    pub(super) async fn resolve_waiting(&mut self) -> bool {
        let mut fresh = Vec::new();
        for host in self.indices() {
            let settled: Vec<_> =
                (0..self.hosts[host].slots.len()).map(|n| self.settled(host, SlotIndex::new(n))).collect();
            let mut slots = Vec::with_capacity(settled.len());
            for (slot, settled) in std::mem::take(&mut self.hosts[host].slots).into_iter().zip(settled) {
                match settled {
                    Some(turns) => {
                        let begin = slots.len();
                        slots.extend(turns);
                        fresh.extend((begin..slots.len()).map(|n| (host, SlotIndex::new(n))));
                    }
                    None => slots.push(slot),
                }
            }
            self.hosts[host].slots = slots;
        }
        self.ask_slots(&fresh, false).await;
        !fresh.is_empty()
    }

    /// The rendered form of a waiting slot, if all that it waits for is known not to change.
    fn settled(&self, host: HostIndex, slot: SlotIndex) -> Option<Vec<Slot>> {
        let steps = &self.hosts[host];
        let waiting = &steps.slots[slot];
        let SlotState::Waits(on) = &waiting.state else { return None };
        let mut known = Known::default();
        for of in on {
            for (other, planned) in steps.slots.iter().zip(&self.plan.hosts[host]) {
                if other.play != of.play || *other.source.id() != of.step {
                    continue;
                }
                match &planned.forecast {
                    Forecast::Unchanged { predicted, .. } if predicted.is_empty() => {}
                    Forecast::Skipped { .. } => {}
                    _ => return None,
                }
                known.results.insert(of.clone(), planned.result.clone());
            }
        }
        if waiting.source.needs_facts() {
            known.facts = self.facts.get(&host)?.clone();
        }
        Some(resolve::resolve(waiting.play, waiting.index, &waiting.source, &steps.host, &known))
    }

    /// The hosts of the run.
    fn indices(&self) -> impl Iterator<Item = HostIndex> + use<> {
        (0..self.hosts.len()).map(HostIndex::new)
    }
}

/// Asks, and says since when: connecting takes its time, and the clock of the host is looked at after it.
async fn ask(
    link: &Link,
    questions: &Questions,
    bound: std::time::Duration,
) -> Result<(Replies, i64), TransportError> {
    link.connect().await?;
    let asked_ms = now_ms();
    Ok((questions.ask(link, Asker::Own, bound).await?, asked_ms))
}

/// Whether any step of a swarm is meant for the host.
fn in_swarm(host: &HostSteps) -> bool {
    let applies = |slot: &Slot| !matches!(slot.state, SlotState::Skipped(_));
    !host.unreachable && host.slots.iter().any(|s| preflight::concerns(s.source.kind()) && applies(s))
}

/// The controller's clock, in milliseconds since 1970.
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}
