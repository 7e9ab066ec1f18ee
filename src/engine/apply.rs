//! The second part of a run: playbook after playbook, batch after batch, the hosts of a batch side by side.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Engine;
use super::host::HostRun;
use super::shared::{Shared, joins};
use super::{meeting, waiting};
use crate::event::{Body, Summary};
use crate::model::{HostIndex, PlayIndex};
use crate::plan::{HostSteps, Planned};
use crate::run::Play;

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
        let left_out =
            (0..self.hosts.len()).map(|n| plan.left_out.contains_key(&HostIndex::new(n))).collect();
        let awaited = plan.hosts.iter().flatten().flat_map(|planned| &planned.awaits);
        let awaited = awaited.map(|step| (step.host, waiting::position(step))).collect();
        let mut shared = Shared::new(
            Arc::clone(&self.run),
            self.options.clone(),
            Arc::clone(&self.links),
            self.events.clone(),
            self.cancel.clone(),
            left_out,
            self.agreed.clone(),
        );
        shared.awaited = awaited;
        let shared = Arc::new(shared);
        let steps: Vec<(HostSteps, Vec<Planned>)> =
            std::mem::take(&mut self.hosts).into_iter().zip(plan.hosts).collect();
        let reached: Vec<bool> = steps.iter().map(|(steps, _)| !steps.unreachable).collect();
        for (n, (steps, planned)) in steps.into_iter().enumerate() {
            let n = HostIndex::new(n);
            if steps.unreachable || shared.left_out[n] {
                shared.ended(n);
            }
            let facts = self.facts.get(&n).cloned().unwrap_or_default();
            hosts.push(Some(HostRun::new(Arc::clone(&shared), n, steps, planned, facts)));
        }
        for (barrier, plays) in sections(&self.run.plays).into_iter().enumerate() {
            if let Some((meeting, bound)) = self.options.meeting.as_ref().filter(|_| barrier > 0)
                && !meeting::wait(&**meeting, barrier, *bound, &shared).await
            {
                shared.stop.send_replace(true);
            }
            if shared.stopped() {
                break;
            }
            self.section(&shared, &mut hosts, plays).await;
        }
        for (mut host, reached) in hosts.into_iter().flatten().zip(reached) {
            host.pass_over(reached).await;
            let (steps, counts) = host.into_parts();
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
        let all: Vec<HostIndex> = (self.run.plays[plays.clone()].iter().flat_map(|p| &p.hosts))
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
                    for play in plays.map(PlayIndex::new) {
                        let hosts = &shared.run.plays[play].hosts;
                        if hosts.binary_search(&position).is_ok() && host.is_usable() && !shared.stopped() {
                            shared.begin(play).await;
                            host.play(play, Arc::clone(&forks)).await;
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

/// How many times the hosts of a run wait for each other between playbooks.
pub fn barriers(plays: &[Play]) -> usize {
    sections(plays).len().saturating_sub(1)
}

/// The playbooks that a host goes through without waiting for the others in between.
fn sections(plays: &[Play]) -> Vec<Range<usize>> {
    let mut sections: Vec<Range<usize>> = Vec::new();
    for n in 0..plays.len() {
        match sections.last_mut() {
            Some(section) if joins(plays, PlayIndex::new(n)) => section.end = n + 1,
            _ => sections.push(n..n + 1),
        }
    }
    sections
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
            hosts: (0..10).map(HostIndex::new).collect(),
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
