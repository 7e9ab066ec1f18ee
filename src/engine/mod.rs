//! Asks the hosts, makes the plan, applies it: one task for each host, few exchanges, one event stream.
//!
//! The order is: [`Engine::gather`] (all probes of all steps of a host in one exchange),
//! [`Engine::plan`] (pure), then [`Engine::apply`], which sends the plan's actions and asks again only
//! what they may have changed. Nothing here prints.

mod acting;
mod acting_together;
mod adhoc;
mod apply;
mod asking;
mod borrowing;
mod bundle;
mod cancel;
mod changes;
mod deciding;
mod events;
mod failing;
mod gather;
mod handlers;
mod host;
mod link;
mod locks;
mod meeting;
mod piggyback;
mod questions;
mod reboot;
mod reconnect;
mod resolve;
mod save;
mod sending;
mod shared;
mod silence;
mod turn;
mod verifying;
mod waiting;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::event::{Body, Entry, Event, Forecast, Mode, PlayInfo, Summary, VERSION};
use crate::model::{HostIndex, Redactor};
use crate::plan::{self, Agreed, HostSteps, LeftOut, Plan};
use crate::run::Run;
use crate::transport::Connector;

pub use adhoc::{Answered, Held, PerHost, Way, command, facts, runs};
pub use apply::barriers;
pub use cancel::{Cancel, Level, Trigger};
pub use events::Events;
use events::millis;
pub use handlers::PROGRAMS;
use link::Links;
pub use locks::Refused;
pub use meeting::{Meeting, Standing};
use shared::Position;

/// Settings of a run, resolved.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many hosts are worked on at once.
    pub forks: usize,
    /// Changes that interrupt users are allowed everywhere.
    pub allow_disruptive: bool,
    /// Nothing is applied when a host is left out.
    pub all_or_nothing: bool,
    /// A host with a step that cannot work is left out. Without, all of its steps are judged, and nothing can be applied.
    pub leaves_out: bool,
    /// Bound of one exchange of probes on a host.
    pub probe_timeout: Duration,
    /// For how long a host that is lost in the middle of something is tried again.
    pub reconnect: Duration,
    /// How many sessions may stay open between the plan and the apply.
    pub keep_open: usize,
    /// Where this controller meets others at barriers, and for how long it waits there for them.
    pub meeting: Option<(Arc<dyn Meeting>, Duration)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            forks: 20,
            allow_disruptive: false,
            all_or_nothing: false,
            leaves_out: true,
            probe_timeout: Duration::from_mins(1),
            reconnect: Duration::from_mins(5),
            keep_open: 256,
            meeting: None,
        }
    }
}

impl Options {
    /// What of it the plan is made with.
    fn planning(&self) -> plan::Options {
        plan::Options {
            allow_disruptive: self.allow_disruptive,
            all_or_nothing: self.all_or_nothing,
            only_looks: !self.leaves_out,
        }
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
    /// What was agreed on beforehand, if anything was.
    agreed: Option<Arc<Agreed>>,
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
            agreed: None,
            locks: false,
            facts: HashMap::new(),
        }
    }

    /// Makes the plan from what is known, asking once more where a step waits for the result of another
    /// one that has nothing to do. Sends it as events in the order of playbook, step and host.
    pub async fn plan(&mut self) -> Summary {
        let options = self.options.planning();
        let mut refused = BTreeMap::new();
        loop {
            self.plan = plan::plan(&mut self.hosts, &self.run.plays, refused.clone(), options);
            if self.resolve_waiting().await {
                continue;
            }
            let moved = self.moved();
            if moved.is_empty() {
                break;
            }
            refused.extend(moved);
        }
        let mut entries = Vec::new();
        for (host, planned) in self.hosts.iter().zip(&self.plan.hosts) {
            for (slot, planned) in host.slots.iter().zip(planned) {
                let at = slot.at(&host.host.name);
                let entry = Entry {
                    at,
                    name: slot.name().to_owned(),
                    kind: slot.source.kind().to_owned(),
                    place: slot.source.place().clone(),
                    handler: slot.source.is_handler(),
                    forecast: planned.forecast.clone(),
                };
                entries.push((Position::of(slot), entry));
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

    /// Nothing is to be done but what these lines of an earlier plan say.
    pub fn keep_to(&mut self, agreed: Agreed) {
        self.agreed = Some(Arc::new(agreed));
    }

    /// The hosts whose plan is not what was agreed on. One that is left out anyway is not looked at.
    fn moved(&self) -> BTreeMap<HostIndex, LeftOut> {
        let Some(agreed) = &self.agreed else { return BTreeMap::new() };
        let mut moved = BTreeMap::new();
        for (n, (host, planned)) in self.hosts.iter().zip(&self.plan.hosts).enumerate() {
            let n = HostIndex::new(n);
            if host.unreachable || self.plan.left_out.contains_key(&n) {
                continue;
            }
            let how = host.slots.iter().zip(planned).filter_map(|(slot, planned)| {
                let at = slot.at(&host.host.name);
                let how = agreed.moved(&at, slot.name(), &self.events.shown(planned.forecast.clone()))?;
                Some((at, how))
            });
            let how: Vec<_> = how.collect();
            if !how.is_empty() {
                moved.insert(n, LeftOut::moved(how));
            }
        }
        moved
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
        self.summary.unreachable = self.unreachable();
        for link in self.links.iter().map(Arc::clone) {
            let is_there = !self.summary.unreachable.contains(&link.host.name);
            closing.spawn(async move { link.finish(is_there).await });
        }
        closing.join_all().await;
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
