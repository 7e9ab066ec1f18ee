//! Asking anew during an apply: which answers no longer hold, and one exchange with each host that has to be asked.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::changes::{ReadSet, Version, WriteSet};
use super::host::HostRun;
use super::link::Asker;
use super::questions::{Questions, Replies, Ticket, failure_of, privilege_of};
use super::shared::{Shared, interrupted};
use super::turn::Turn;
use crate::event::Forecast;
use crate::model::{Failure, HostIndex, SlotIndex};
use crate::probe::Probe;
use crate::step::{Change, Instance};
use crate::transport::TransportError;

impl HostRun {
    /// Asks the probes of a slot anew, and of those that come with it.
    pub(super) async fn ask(&mut self, slots: &[SlotIndex]) -> Result<(), Turn> {
        self.ask_all(slots, &[], &[]).await
    }

    /// Asks the probes of these slots anew, but for those that have just been answered. Those that `may` be asked along are
    /// no failure when they cannot.
    pub(super) async fn ask_all(
        &mut self,
        slots: &[SlotIndex],
        may: &[SlotIndex],
        fresh: &[Probe],
    ) -> Result<(), Turn> {
        let mut questions: Vec<(HostIndex, Questions)> = Vec::new();
        let mut tickets: Vec<(SlotIndex, usize, Probe, Ticket)> = Vec::new();
        for &n in slots.iter().chain(may) {
            let Some(instance) = self.slots[n].instance() else { continue };
            for probe in instance.step.probes() {
                let Some(host) = self.shared.links.target(self.own, probe.host.as_ref()) else { continue };
                if fresh.contains(&probe) {
                    continue;
                }
                let group = questions.iter().position(|(h, _)| *h == host).unwrap_or_else(|| {
                    questions.push((host, Questions::default()));
                    questions.len() - 1
                });
                let ticket = questions[group].1.add(&probe, privilege_of(&probe, instance));
                tickets.push((n, group, probe, ticket));
            }
        }
        for &n in slots.iter().chain(may) {
            self.slots[n].seen = self.version(n);
            self.slots[n].stale = false;
            self.slots[n].touched = false;
        }
        let replies = self.replies(questions).await?;
        for (n, group, probe, ticket) in tickets {
            match replies[group].of(ticket) {
                Ok(answer) => self.take_in(n, &probe, answer.clone()),
                Err(failure) if slots.contains(&n) => return Err(Turn::failed(failure.clone())),
                Err(_) => {
                    self.slots[n].stale = true;
                    self.slots[n].touched = true;
                }
            }
        }
        Ok(())
    }

    /// Asks several hosts at once.
    async fn replies(&mut self, questions: Vec<(HostIndex, Questions)>) -> Result<Vec<Replies>, Turn> {
        let bound = self.shared.options.probe_timeout;
        let mut hosts = Vec::with_capacity(questions.len());
        let mut asking = JoinSet::new();
        for (n, (host, questions)) in questions.into_iter().enumerate() {
            let link = Arc::clone(&self.shared.links[host]);
            hosts.push(host);
            let asker = self.asker(host);
            asking.spawn(async move { (n, questions.ask(&link, asker, bound).await) });
        }
        let mut replies = tokio::select! {
            replies = asking.join_all() => replies,
            () = self.shared.cancel.killed() => return Err(Turn::failed(interrupted())),
        };
        replies.sort_by_key(|(n, _)| *n);
        let lost = |(n, asked): (usize, Result<Replies, TransportError>)| {
            asked.map_err(|error| self.lost(hosts[n], &error))
        };
        replies.into_iter().map(lost).collect()
    }

    /// As whom this task talks to a host.
    pub(super) fn asker(&self, host: HostIndex) -> Asker {
        if host == self.own { Asker::Own } else { Asker::Guest }
    }

    /// What it means that a host did not answer.
    pub(super) fn lost(&mut self, host: HostIndex, error: &TransportError) -> Turn {
        let failure = failure_of(error);
        if host == self.own && matches!(error, TransportError::Unreachable { .. }) {
            self.unreachable = true;
            return Turn::unreachable(failure);
        }
        if host == self.own {
            return Turn::failed(failure);
        }
        let name = &self.shared.links[host].host.name;
        Turn::failed(Failure {
            causes: vec![failure.message],
            hint: failure.hint,
            ..Failure::new(format!("{name}, which this step has to ask, did not answer"))
        })
    }

    /// Whether a slot's answers may no longer hold: the plan only predicted them, or something that they rest on has
    /// been changed, on this host or elsewhere.
    pub(super) fn is_stale(&self, n: SlotIndex, instance: &Instance) -> bool {
        let run = &self.slots[n];
        let predicted = match &run.planned.forecast {
            Forecast::Change { predicted, .. } => !predicted.is_empty() && !instance.handler,
            Forecast::Unchanged { predicted, .. } => !predicted.is_empty(),
            _ => true,
        };
        predicted
            || run.stale
            || self.has_changed_elsewhere(n, &ReadSet::of(instance, self.own, &self.shared.links))
    }

    /// Whether another host has changed, since a slot was asked, what it reads.
    pub(super) fn has_changed_elsewhere(&self, n: SlotIndex, read: &ReadSet) -> bool {
        let Shared { changes, links, .. } = &*self.shared;
        changes.since(&self.slots[n].seen, self.own, read, links)
    }

    /// How far the changes have come that a slot's answers, beside those of its own host, may rest on.
    pub(super) fn version(&self, n: SlotIndex) -> Version {
        let Shared { changes, links, .. } = &*self.shared;
        let version = |i: &Instance| changes.version(self.own, &ReadSet::of(i, self.own, links), links);
        self.slots[n].instance().map_or_else(Version::default, version)
    }

    /// Notes a change for the other hosts, when it has been made, or tried.
    pub(super) fn note(&self, instance: &Instance, change: &Change) {
        let Shared { changes, links, .. } = &*self.shared;
        changes.note(self.own, &WriteSet::of(instance, change, self.own, links), links);
    }

    /// Marks the later slots whose answers the change of slot `n` may make wrong.
    pub(super) fn touch(&mut self, n: SlotIndex, instance: &Instance, change: &Change) {
        let links = &self.shared.links;
        let write = WriteSet::of(instance, change, self.own, links);
        for later in self.slots.iter_mut().skip(n.position() + 1) {
            let Some(other) = later.slot.instance() else { continue };
            // What will act looks again: its actions rest on more than what its step reads.
            let acts = matches!(later.planned.forecast, Forecast::Change { .. });
            let touched = write.touches(&ReadSet::of(other, self.own, links));
            later.touched |= touched;
            later.stale |= acts || touched;
        }
    }
}
