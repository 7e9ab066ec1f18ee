//! Asks the hosts, makes the plan, applies it: one task for each host, few exchanges, one event stream.
//!
//! The order is: [`Engine::gather`] (all probes of all steps of a host in one exchange),
//! [`Engine::plan`] (pure), then [`Engine::apply`], which sends the plan's actions and asks again only
//! what they may have changed. Nothing here prints.

mod acting;
mod adhoc;
mod apply;
mod asking;
mod borrowing;
mod cancel;
mod changes;
mod deciding;
mod events;
mod gather;
mod handlers;
mod host;
mod link;
mod locks;
mod piggyback;
mod questions;
mod reboot;
mod reconnect;
mod resolve;
mod save;
mod shared;
mod silence;
mod turn;
mod verifying;
mod waiting;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::event::{Body, Entry, Event, Forecast, Mode, PlayInfo, StepRef, Summary, VERSION};
use crate::model::{HostIndex, Redactor};
use crate::plan::{self, HostSteps, Plan};
use crate::run::Run;
use crate::transport::Connector;

pub use adhoc::{Answered, Held, PerHost, command, facts, runs};
pub use cancel::{Cancel, Level, Trigger};
use events::{Events, millis};
pub use handlers::PROGRAMS;
use link::Links;
pub use locks::Refused;

/// Settings of a run, resolved.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many hosts are worked on at once.
    pub forks: usize,
    /// Changes that interrupt users are allowed everywhere.
    pub allow_disruptive: bool,
    /// Nothing is applied when a host is left out.
    pub all_or_nothing: bool,
    /// Bound of one exchange of probes on a host.
    pub probe_timeout: Duration,
    /// For how long a host that is lost in the middle of something is tried again.
    pub reconnect: Duration,
    /// How many sessions may stay open between the plan and the apply.
    pub keep_open: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            forks: 20,
            allow_disruptive: false,
            all_or_nothing: false,
            probe_timeout: Duration::from_mins(1),
            reconnect: Duration::from_mins(5),
            keep_open: 256,
        }
    }
}

impl Options {
    /// What of it the plan is made with.
    fn planning(&self) -> plan::Options {
        plan::Options { allow_disruptive: self.allow_disruptive, all_or_nothing: self.all_or_nothing }
    }
}

/// A run under way.
#[derive(Debug)]
pub struct Engine {
    run: Arc<Run>,
    options: Options,
    links: Arc<Links>,
    hosts: Vec<HostSteps>,
    plan: Plan,
    events: Events,
    cancel: Cancel,
    summary: Summary,
    /// Hosts are locked when they are asked.
    locks: bool,
    /// Where they were asked for.
    facts: HashMap<HostIndex, serde_json::Value>,
}

impl Engine {
    /// Starts a run: nothing is asked yet. The first event is sent.
    pub async fn new(
        run: Run,
        mode: Mode,
        options: Options,
        connector: Arc<dyn Connector>,
        redactor: Redactor,
        events: mpsc::Sender<Event>,
        cancel: Cancel,
    ) -> Self {
        let links = Links::new(&run, &connector);
        let events = Events::new(events, redactor);
        let hosts = run.hosts.iter().map(|h| h.name.clone()).collect();
        let plays = run.plays.iter().map(|play| PlayInfo {
            name: play.name.to_string(),
            title: play.title.clone(),
            hosts: play.hosts.iter().map(|&h| run.hosts[h].name.clone()).collect(),
            steps: play.steps.len(),
        });
        let started = Body::RunStarted { version: VERSION, mode, hosts, plays: plays.collect() };
        let mut summary = Summary::default();
        summary.fold(&started);
        events.send(started).await;
        Self {
            run: Arc::new(run),
            options,
            links: Arc::new(links),
            hosts: Vec::new(),
            plan: Plan::default(),
            events,
            cancel,
            summary,
            locks: false,
            facts: HashMap::new(),
        }
    }

    /// Makes the plan from what is known, asking once more where a step waits for the result of another
    /// one that has nothing to do. Sends it as events in the order of playbook, step and host.
    pub async fn plan(&mut self) -> Summary {
        let options = self.options.planning();
        loop {
            self.plan = plan::plan(&mut self.hosts, options);
            if !self.resolve_waiting().await {
                break;
            }
        }
        let mut entries = Vec::new();
        for (host, planned) in self.hosts.iter().zip(&self.plan.hosts) {
            for (slot, planned) in host.slots.iter().zip(planned) {
                let at = StepRef { play: slot.play, step: slot.id().clone(), host: host.host.name.clone() };
                let entry = Entry {
                    at,
                    name: slot.name().to_owned(),
                    kind: slot.source.kind().to_owned(),
                    place: slot.source.place().clone(),
                    handler: slot.source.is_handler(),
                    forecast: planned.forecast.clone(),
                };
                entries.push(((slot.play, slot.source.is_handler(), slot.index), entry));
            }
        }
        // Stable: hosts stay in inventory order within a step.
        entries.sort_by_key(|(order, _)| *order);
        self.summary.restart();
        for (_, entry) in entries {
            let body = Body::Planned(entry);
            self.summary.fold(&body);
            self.events.send(body).await;
        }
        self.summary.left_out.clear();
        for (&host, out) in &self.plan.left_out {
            let body = Body::HostLeftOut {
                host: self.hosts[host].host.name.clone(),
                reasons: out.reasons.clone(),
                steps: out.steps.clone(),
                needs: out.needs.clone(),
            };
            self.summary.fold(&body);
            self.events.send(body).await;
        }
        self.summary.unreachable = self.unreachable();
        self.summary.blocked = plan::blocked(&self.plan, &self.hosts, &self.run.plays, options);
        self.events.send(Body::PlanFinished { summary: self.summary.clone() }).await;
        self.summary.clone()
    }

    /// Whether the plan has anything to change, or anything that is not known yet, and nothing forbids it.
    pub fn has_changes(&self) -> bool {
        let open =
            |p: &plan::Planned| matches!(p.forecast, Forecast::Change { .. } | Forecast::Unknown { .. });
        self.summary.blocked.is_none() && self.plan.hosts.iter().flatten().any(open)
    }

    /// Sends the last event, closes all sessions, and returns what the run came to.
    pub async fn finish(mut self) -> Summary {
        // All at once: each waits for its host.
        let mut closing = tokio::task::JoinSet::new();
        for link in self.links.iter().map(Arc::clone) {
            closing.spawn(async move { link.close().await });
        }
        closing.join_all().await;
        self.summary.unreachable = self.unreachable();
        let away = self.links.iter().map(|link| (link.host.name.clone(), link.away()));
        self.summary.away = (away.filter(|(_, away)| away.times > 0))
            .map(|(host, away)| (host, crate::event::Away { times: away.times, away_ms: millis(away.time) }))
            .collect();
        self.summary.interrupted = self.cancel.level() > Level::None;
        let names = self.run.hosts.iter().map(|h| h.name.clone());
        let exchanges = names.zip(self.exchanges().await).collect();
        self.events.send(Body::RunFinished { summary: self.summary.clone(), exchanges }).await;
        self.summary
    }

    /// The number of exchanges with each host so far, in inventory order.
    pub async fn exchanges(&self) -> Vec<u64> {
        let mut counts = Vec::new();
        for link in self.links.iter() {
            counts.push(link.exchanges().await);
        }
        counts
    }

    fn unreachable(&self) -> Vec<crate::model::HostName> {
        self.hosts.iter().filter(|h| h.unreachable).map(|h| h.host.name.clone()).collect()
    }
}
