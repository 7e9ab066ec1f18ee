//! The second part of a run: playbook after playbook, batch after batch, the hosts of a batch side by side.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use tokio::sync::{Mutex, Semaphore, watch};
use tokio::task::JoinSet;

use super::cancel::Level;
use super::changes::Changes;
use super::host::HostRun;
use super::{Engine, Options};
use crate::event::{Body, Summary};
use crate::model::{Failure, Resource};
use crate::plan::{HostSteps, Planned};
use crate::run::{Play, Run};

/// What the tasks of all hosts share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) run: Arc<Run>,
    pub(super) options: Options,
    pub(super) links: Arc<Vec<Arc<super::link::Link>>>,
    pub(super) events: super::events::Events,
    pub(super) cancel: super::Cancel,
    /// By host: whether the plan leaves it out.
    pub(super) left_out: Vec<bool>,
    /// How far each host of the run has come.
    pub(super) progress: Vec<watch::Sender<Position>>,
    /// What has been changed.
    pub(super) changes: Changes,
    /// The playbooks that have begun on some host.
    begun: Mutex<HashSet<usize>>,
    /// Raised when no host is to start a further step.
    pub(super) stop: watch::Sender<bool>,
    /// What only one host may change at a time.
    pub(super) exclusive: Mutex<HashMap<Resource, Arc<Mutex<()>>>>,
}

/// Up to where a host is done: playbook, its handlers or not, step. Everything below it is finished.
pub(super) type Position = (usize, bool, usize);

/// The position of a host that does nothing further in this run.
pub(super) const DONE: Position = (usize::MAX, true, usize::MAX);

impl Shared {
    pub(super) fn stopped(&self) -> bool {
        *self.stop.borrow() || self.cancel.level() > Level::None
    }

    /// Tells that a playbook begins, once, before any event of it.
    async fn begin(&self, play: usize) {
        let mut begun = self.begun.lock().await;
        if begun.insert(play) {
            self.events.send(Body::PlayStarted { play }).await;
        }
    }
}

impl Engine {
    /// Applies the plan, unless it is blocked. Playbooks are barriers, unless they say otherwise; a host that failed does no
    /// further one, and one that is left out none at all.
    pub async fn apply(&mut self) -> Summary {
        if self.summary.blocked.is_some() {
            return self.summary.clone();
        }
        self.summary.restart();
        for link in self.links.iter() {
            link.survive(self.options.reconnect, self.events.clone());
        }
        let plan = std::mem::take(&mut self.plan);
        let mut hosts: Vec<Option<HostRun>> = Vec::with_capacity(self.hosts.len());
        let shared = Arc::new(Shared {
            run: Arc::clone(&self.run),
            options: self.options.clone(),
            links: Arc::clone(&self.links),
            events: self.events.clone(),
            cancel: self.cancel.clone(),
            left_out: (0..self.hosts.len()).map(|n| plan.left_out.contains_key(&n)).collect(),
            progress: self.hosts.iter().map(|_| watch::channel((0, false, 0)).0).collect(),
            changes: Changes::default(),
            begun: Mutex::default(),
            stop: watch::channel(false).0,
            exclusive: Mutex::default(),
        });
        let steps: Vec<(HostSteps, Vec<Planned>)> =
            std::mem::take(&mut self.hosts).into_iter().zip(plan.hosts).collect();
        for (n, (steps, planned)) in steps.into_iter().enumerate() {
            if steps.unreachable || shared.left_out[n] {
                shared.progress[n].send_replace(DONE);
            }
            let facts = self.facts.get(&n).cloned().unwrap_or_default();
            hosts.push(Some(HostRun::new(Arc::clone(&shared), n, steps, planned, facts)));
        }
        for plays in sections(&self.run.plays) {
            if shared.stopped() {
                break;
            }
            self.section(&shared, &mut hosts, plays).await;
        }
        for (host, left_out) in hosts.into_iter().zip(&shared.left_out) {
            let Some(host) = host else { continue };
            let (steps, mut counts) = host.into_parts();
            if !steps.unreachable && !left_out {
                counts.not_reached += steps.slots.len().saturating_sub(counts.ended());
            }
            self.summary.hosts.insert(steps.host.name.clone(), counts);
            self.hosts.push(steps);
        }
        self.summary.total = self.summary.hosts.values().copied().sum();
        self.summary.unreachable = self.unreachable();
        self.summary.clone()
    }

    /// Takes each host through these playbooks: through one in batches, or through several on its own.
    async fn section(&self, shared: &Arc<Shared>, hosts: &mut [Option<HostRun>], plays: Range<usize>) {
        let forks = Arc::new(Semaphore::new(self.options.forks.max(1)));
        let play = &self.run.plays[plays.start];
        let all: Vec<usize> = (self.run.plays[plays.clone()].iter().flat_map(|p| &p.hosts))
            .copied()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let batches = if play.is_rolling() { play.batches() } else { vec![all.as_slice()] };
        for batch in batches {
            if shared.stopped() {
                return;
            }
            let mut tasks = JoinSet::new();
            let mut running = 0;
            for &position in batch {
                let Some(mut host) = hosts[position].take_if(|h| h.is_usable()) else { continue };
                running += 1;
                let (forks, shared, plays) = (Arc::clone(&forks), Arc::clone(shared), plays.clone());
                tasks.spawn(async move {
                    for n in plays {
                        let play = &shared.run.plays[n];
                        if play.hosts.binary_search(&position).is_ok()
                            && host.is_usable()
                            && !shared.stopped()
                        {
                            shared.begin(n).await;
                            host.play(n, Arc::clone(&forks)).await;
                        }
                    }
                    (position, host)
                });
            }
            let mut failed = 0;
            while let Some(joined) = tasks.join_next().await {
                let (position, host) = joined.expect("a host's task does not panic");
                failed += usize::from(!host.is_usable());
                hosts[position] = Some(host);
            }
            // Who is left out has not become as described, which is what `max_failures` counts. It was not tried
            // either: that all who were tried have failed is told without it.
            let left_out = batch.iter().filter(|&&n| shared.left_out[n]).count();
            let too_many =
                play.allowed_failures().is_some_and(|allowed| failed > 0 && failed + left_out > allowed);
            if too_many || (failed > 0 && failed == running && !play.serial.is_empty()) {
                let aside = if left_out > 0 { format!(", {left_out} left out") } else { String::new() };
                let message =
                    format!("stopped: {failed} of {running} hosts failed in `{}`{aside}", play.name);
                self.events.send(Body::Warning { host: None, message }).await;
                shared.stop.send_replace(true);
                return;
            }
        }
    }
}

/// Whether a host begins a playbook as soon as it is done with the one before.
pub(super) fn joins(plays: &[Play], n: usize) -> bool {
    n > 0 && !plays[n].barrier && !plays[n].is_rolling() && !plays[n - 1].is_rolling()
}

/// The playbooks that a host goes through without waiting for the others in between.
fn sections(plays: &[Play]) -> Vec<Range<usize>> {
    let mut sections: Vec<Range<usize>> = Vec::new();
    for n in 0..plays.len() {
        match sections.last_mut() {
            Some(section) if joins(plays, n) => section.end = n + 1,
            _ => sections.push(n..n + 1),
        }
    }
    sections
}

/// A failure that says that the run was interrupted.
pub(super) fn interrupted() -> Failure {
    Failure::new("interrupted").hint("run it again: what is done already is left alone")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Batch;

    fn play(serial: Vec<Batch>) -> Play {
        Play {
            name: "p".into(),
            title: "p".into(),
            file: "p.toml".into(),
            hosts: (0..10).collect(),
            barrier: true,
            serial,
            max_failures: None,
            all_or_nothing: false,
            steps: Vec::new(),
        }
    }

    #[test]
    fn a_playbook_without_a_barrier_joins_the_one_before_unless_hosts_are_counted() {
        let free = || Play { barrier: false, ..play(vec![]) };
        let rolling = || Play { barrier: false, ..play(vec![Batch::Hosts(1)]) };
        let counted = || Play { max_failures: Some(Batch::Hosts(1)), ..free() };
        assert_eq!(sections(&[free(), free(), play(vec![]), free()]), [0..2, 2..4]);
        assert_eq!(sections(&[free(), rolling(), free(), free()]), [0..1, 1..2, 2..4]);
        assert_eq!(sections(&[free(), counted(), free()]), [0..1, 1..2, 2..3]);
        assert!(sections(&[]).is_empty());
    }

    #[test]
    fn the_last_size_of_serial_is_repeated() {
        let sizes = |p: &Play| p.batches().iter().map(|b| b.len()).collect::<Vec<_>>();
        assert_eq!(sizes(&play(vec![])), [10]);
        assert_eq!(sizes(&play(vec![Batch::Hosts(1), Batch::Percent(35)])), [1, 4, 4, 1]);
        assert_eq!(sizes(&play(vec![Batch::Hosts(0)])), [1; 10]);
    }
}
