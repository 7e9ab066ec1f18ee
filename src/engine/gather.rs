//! The first part of every run: connect, ask for facts where templates need them, then all probes of all
//! steps in one exchange for each privilege.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::asking::{Questions, Replies, Ticket, failure_of, privilege_of};
use super::link::{Asker, Link};
use super::{Engine, handlers, resolve};
use crate::event::{Body, Forecast};
use crate::model::{Failure, HostName, Known, Privilege};
use crate::plan::{HostSteps, Slot, SlotState};
use crate::preflight::{self, Sighting};
use crate::probe::{Answer, Probe, Readings};
use crate::sh;
use crate::transport::TransportError;

/// A question of one host's step, and where its answer will be.
#[derive(Debug)]
struct Asked {
    /// The host whose step asks.
    by: usize,
    /// Its slot.
    slot: usize,
    probe: Probe,
    ticket: Ticket,
}

impl Engine {
    /// Asks all hosts everything that the plan needs.
    pub async fn gather(&mut self) {
        let facts = self.ask_facts().await;
        let run = Arc::clone(&self.run);
        self.hosts = Vec::with_capacity(run.hosts.len());
        for (n, host) in run.hosts.iter().enumerate() {
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
                readings: Readings::default(),
                slots,
                pending: Vec::new(),
            });
        }
        let all: Vec<(usize, usize)> =
            (0..self.hosts.len()).flat_map(|h| (0..self.hosts[h].slots.len()).map(move |s| (h, s))).collect();
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
        for n in 0..self.run.hosts.len() {
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
                    () = cancel.killed() => Err(interrupted()),
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

    /// Asks the probes of these slots: `(host, slot)`. The first time, hosts that are to be in a swarm are asked
    /// for their facts in the same exchange; returns those that told them, in inventory order.
    async fn ask_slots(&mut self, slots: &[(usize, usize)], first: bool) -> Vec<Sighting> {
        let mut questions: HashMap<usize, Questions> = HashMap::new();
        let mut asked: HashMap<usize, Vec<Asked>> = HashMap::new();
        let mut pending: HashMap<usize, Vec<Ticket>> = HashMap::new();
        for &(by, slot) in slots {
            let Some(instance) = self.hosts[by].slots[slot].instance() else { continue };
            if self.hosts[by].unreachable {
                continue;
            }
            for probe in instance.step.probes() {
                let Some(target) = self.target(by, probe.host.as_ref()) else { continue };
                let ticket = questions.entry(target).or_default().add(&probe, privilege_of(&probe, instance));
                asked.entry(target).or_default().push(Asked { by, slot, probe, ticket });
            }
            if first && instance.handler {
                let ticket =
                    questions.entry(by).or_default().add(&handlers::probe(), instance.privilege.clone());
                pending.entry(by).or_default().push(ticket);
            }
        }
        if first {
            // A host with nothing to ask still has to be there.
            for n in 0..self.hosts.len() {
                if !self.hosts[n].unreachable && !self.hosts[n].slots.is_empty() {
                    questions.entry(n).or_default();
                }
            }
        }
        if first && self.locks {
            // Also where there is nothing to ask with these rights: it must not turn out under way that it is locked.
            for n in (0..self.hosts.len()).filter(|&n| !self.hosts[n].unreachable) {
                for privilege in self.privileges(n) {
                    let questions = questions.entry(n).or_default();
                    if !questions.has(&privilege) {
                        questions.add(&Probe::new(sh!("true")), privilege);
                    }
                }
            }
        }
        let mut sights: HashMap<usize, Ticket> = HashMap::new();
        for n in (0..self.hosts.len()).filter(|&n| first && in_swarm(&self.hosts[n])) {
            if let Some(ticket) = questions.get_mut(&n).and_then(|q| q.add_beside(&crate::facts::probe())) {
                sights.insert(n, ticket);
            }
        }
        let mut tasks = JoinSet::new();
        let forks = Arc::new(Semaphore::new(self.options.forks.max(1)));
        let keep = self.run.hosts.len() <= self.options.keep_open;
        let mut targets: Vec<(usize, Questions)> = questions.into_iter().collect();
        targets.sort_by_key(|(n, _)| *n);
        for (n, questions) in targets {
            let (link, forks, events) = (Arc::clone(&self.links[n]), Arc::clone(&forks), self.events.clone());
            let (bound, cancel) = (self.options.probe_timeout, self.cancel.clone());
            let own = n < self.hosts.len();
            tasks.spawn(async move {
                let _permit = forks.acquire_owned().await;
                let first = first && own;
                if first {
                    events.send(Body::HostConnecting { host: link.host.name.clone() }).await;
                }
                let replies = tokio::select! {
                    replies = ask(&link, &questions, bound) => replies,
                    () = cancel.killed() => Err(interrupted()),
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
        let mut seen: Vec<(usize, Sighting)> = Vec::new();
        while let Some(joined) = tasks.join_next().await {
            let Ok((target, replies, answered_ms)) = joined else { continue };
            let asked = asked.remove(&target).unwrap_or_default();
            match replies {
                Ok((replies, asked_ms)) => {
                    // Who does not tell is not warned of.
                    if let Some(Ok(answer)) = sights.get(&target).map(|&ticket| replies.of(ticket))
                        && let Ok(facts) = crate::facts::parse(answer)
                    {
                        let sighting = Sighting::new(&self.hosts[target], facts, asked_ms, answered_ms);
                        seen.push((target, sighting));
                    }
                    for ticket in pending.remove(&target).unwrap_or_default() {
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

    fn take_in(&mut self, asked: Vec<Asked>, replies: &Replies) {
        for Asked { by, slot, probe, ticket } in asked {
            let host = &mut self.hosts[by];
            match replies.of(ticket) {
                Ok(answer) => insert(host, slot, &probe, answer.clone()),
                Err(failure) => host.slots[slot].state = SlotState::Invalid(failure.clone()),
            }
        }
    }

    /// A host did not answer: its own steps are unreachable, those of others that asked it fail.
    async fn not_answered(&mut self, target: usize, asked: Vec<Asked>, error: &TransportError) {
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
        if let Some(own) = self.hosts.get_mut(target) {
            own.unreachable = true;
            self.events.send(Body::HostUnreachable { host, failure }).await;
        }
    }

    /// Renders and asks the steps that waited for results which the plan now says will not change.
    /// Returns whether there were any.
    pub(super) async fn resolve_waiting(&mut self) -> bool {
        let mut fresh = Vec::new();
        for h in 0..self.hosts.len() {
            let mut s = 0;
            while s < self.hosts[h].slots.len() {
                if let Some(slots) = self.settled(h, s) {
                    let added = slots.len();
                    let placeholder = self.plan.hosts[h][s].clone();
                    self.hosts[h].slots.splice(s..=s, slots);
                    self.plan.hosts[h].splice(s..=s, std::iter::repeat_n(placeholder, added));
                    fresh.extend((s..s + added).map(|n| (h, n)));
                    s += added;
                } else {
                    s += 1;
                }
            }
        }
        if fresh.is_empty() {
            return false;
        }
        self.ask_slots(&fresh, false).await;
        true
    }

    /// The rendered form of a waiting slot, if all that it waits for is known not to change.
    fn settled(&self, host: usize, slot: usize) -> Option<Vec<Slot>> {
        let steps = &self.hosts[host];
        let waiting = &steps.slots[slot];
        let SlotState::Waits(on) = &waiting.state else { return None };
        let mut known = Known::default();
        for of in on {
            for (other, planned) in steps.slots.iter().zip(&self.plan.hosts[host]) {
                if other.play != of.play.position() || *other.source.id() != of.step {
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

    /// The host that a probe asks.
    pub(super) fn target(&self, own: usize, host: Option<&HostName>) -> Option<usize> {
        target(&self.links, own, host)
    }
}

/// The position of the host that a probe asks. `None` if it is not among the hosts of the run: then the
/// probe stays unanswered, and the step says so.
pub(super) fn target(links: &[Arc<Link>], own: usize, host: Option<&HostName>) -> Option<usize> {
    match host {
        None => Some(own),
        Some(name) => links.iter().position(|l| l.host.name == *name),
    }
}

/// Puts an answer where the step of a slot will look for it.
pub(super) fn insert(host: &mut HostSteps, slot: usize, probe: &Probe, answer: Answer) {
    if let Some(instance) = host.slots[slot].instance() {
        host.readings.set_own_privilege(&instance.privilege);
    }
    host.readings.insert(probe, answer);
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

fn interrupted() -> TransportError {
    TransportError::Unreachable { message: "interrupted".into(), hint: None, lost: false }
}
