//! Walks through a run in its order and says of each step on each host what it will do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::left_out::{Cause, LeftOut, Need, Trouble, choose};
use super::providers::{Providers, Walked, Where, locate};
use super::{HostSteps, Plan, Planned, Slot, SlotState, failure_of};
use crate::event::{ChangeView, Forecast, StepRef};
use crate::model::{
    Failure, HostIndex, HostName, Hosts, Kind, OnFailure, PlayIndex, Resource, Scope, SlotIndex, State,
    StepId, StepResult,
};
use crate::run::Play;
use crate::step::{Change, Checked, Instance, Origin, Verdict};

/// What the user allows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Changes that interrupt users are allowed everywhere.
    pub allow_disruptive: bool,
    /// Nothing is applied when a host is left out.
    pub all_or_nothing: bool,
    /// A step that cannot work is told, and its host is judged nevertheless: nothing is to be applied.
    pub only_looks: bool,
}

/// Makes the plan, without the hosts that are `refused`. What planned changes will leave is put into the hosts' readings on the way, and taken
/// out again at the end.
///
/// A host that is left out brings nothing. So the walk is made again without those that must be, until no more are
/// found: each one leaves out at least one host, and mostly the first finds none.
pub fn plan(
    hosts: &mut [HostSteps],
    plays: &[Play],
    refused: BTreeMap<HostIndex, LeftOut>,
    options: Options,
) -> Plan {
    let names = Hosts::new(hosts.iter().map(|h| Arc::clone(&h.host)).collect());
    let order = order(hosts, plays);
    let mut left_out = refused;
    // What a host that is left out says of its steps is what the walk said that left it out.
    let mut kept: BTreeMap<HostIndex, Vec<Planned>> = BTreeMap::new();
    // What all hosts would bring if none were left out.
    let mut well: Vec<Vec<Planned>> = Vec::new();
    if !left_out.is_empty() {
        well = walk(hosts, &order, &names, options, &BTreeMap::new(), &well).0;
    }
    loop {
        let (mut planned, troubles) = walk(hosts, &order, &names, options, &left_out, &well);
        if options.only_looks {
            return Plan { hosts: planned, left_out };
        }
        let chosen = choose(&troubles, &mut left_out);
        if chosen.is_empty() {
            for (host, slots) in kept {
                planned[host] = slots;
            }
            return Plan { hosts: planned, left_out };
        }
        for host in chosen {
            kept.insert(host, planned[host].iter().map(left_out_of).collect());
        }
        if well.is_empty() {
            well = planned;
        }
    }
}

/// A step of a host that is left out: it says if it cannot work itself, and nothing else.
fn left_out_of(planned: &Planned) -> Planned {
    let forecast = match &planned.forecast {
        error @ Forecast::Error { .. } => error.clone(),
        _ => Forecast::LeftOut,
    };
    plain(forecast)
}

/// Goes through all slots once, without the hosts that are `left_out`; `well` is what was planned when none was.
fn walk(
    hosts: &mut [HostSteps],
    order: &[(HostIndex, SlotIndex)],
    names: &Hosts,
    options: Options,
    left_out: &BTreeMap<HostIndex, LeftOut>,
    well: &[Vec<Planned>],
) -> (Vec<Vec<Planned>>, Vec<Trouble>) {
    let mut planned: Vec<Vec<Option<Planned>>> = hosts.iter().map(|h| vec![None; h.slots.len()]).collect();
    let mut walk = Walk {
        options,
        names,
        left_out,
        providers: Providers::default(),
        lost: Providers::default(),
        present: Providers::default(),
        unreached: Providers::default(),
        expected: HashMap::new(),
        notified: HashMap::new(),
        rests_on: HashMap::new(),
        troubles: Vec::new(),
    };
    for &(host, slot) in order {
        let well = well.get(host.position()).and_then(|slots| slots.get(slot.position()));
        planned[host][slot] = Some(walk.slot(hosts, host, slot, well));
    }
    let troubles = walk.troubles;
    for host in hosts.iter_mut() {
        host.answers.forget_expected();
    }
    let complete = |slots: Vec<Option<Planned>>| {
        // The order goes through every slot; an empty one would be a bug that shows as an error in the plan.
        let missing = || plain(Forecast::Error { failure: Failure::new("the planner left the step out") });
        slots.into_iter().map(|s| s.unwrap_or_else(missing)).collect()
    };
    (planned.into_iter().map(complete).collect(), troubles)
}

/// A forecast without a change.
fn plain(forecast: Forecast) -> Planned {
    Planned { forecast, change: None, awaits: Vec::new(), result: StepResult::default() }
}

/// A step that does not apply.
fn skipped(why: String) -> Judged {
    let result = StepResult { skipped: true, ..StepResult::default() };
    let planned = Planned { result, ..plain(Forecast::Skipped { why }) };
    Judged { planned, used: Vec::new(), need: None }
}

/// All slots in the order in which their effects come about: by playbook, then by batch, its handlers last, then by
/// step, then by host.
fn order(hosts: &[HostSteps], plays: &[Play]) -> Vec<(HostIndex, SlotIndex)> {
    let batches: Vec<_> = plays.iter().map(Play::batches).collect();
    let batch_of = |play: PlayIndex, host: HostIndex| {
        batches[play.position()].iter().position(|batch| batch.binary_search(&host).is_ok())
    };
    let mut order = Vec::with_capacity(hosts.iter().map(|h| h.slots.len()).sum());
    for (host, steps) in hosts.iter().enumerate() {
        for (n, slot) in steps.slots.iter().enumerate() {
            let (host, n) = (HostIndex::new(host), SlotIndex::new(n));
            let batch = batch_of(slot.play, host);
            order.push((slot.play, batch, slot.source.is_handler(), slot.index, host, n));
        }
    }
    order.sort_unstable();
    order.into_iter().map(|(.., host, slot)| (host, slot)).collect()
}

struct Walk<'a> {
    options: Options,
    names: &'a Hosts,
    left_out: &'a BTreeMap<HostIndex, LeftOut>,
    providers: Providers,
    /// What hosts that are left out, and steps that cannot work, would have brought.
    lost: Providers,
    /// What steps of other hosts find there already, which meets a need of the fleet as well.
    present: Providers,
    /// What hosts that cannot be reached may have brought.
    unreached: Providers,
    /// Which step leaves an expected state; `None` for the fleet.
    expected: HashMap<(Option<HostIndex>, Resource), Walked>,
    /// By host and playbook: the handlers that were notified, and by whom.
    notified: HashMap<(HostIndex, PlayIndex), Vec<(StepId, Walked)>>,
    /// The other hosts on whose planned changes a planned change rests, where there are any.
    rests_on: HashMap<Walked, BTreeSet<HostIndex>>,
    troubles: Vec<Trouble>,
}

/// What was found out about a step.
struct Judged {
    planned: Planned,
    /// The planned steps whose effects were looked at.
    used: Vec<Walked>,
    /// What of a host that is left out it cannot do without.
    need: Option<Need>,
}

impl Judged {
    fn new(forecast: Forecast, used: Vec<Walked>, awaits: &[Walked]) -> Self {
        let awaits = awaits.iter().map(Walked::awaited).collect();
        Self { planned: Planned { awaits, ..plain(forecast) }, used, need: None }
    }
}

impl From<Forecast> for Judged {
    fn from(forecast: Forecast) -> Self {
        Self { planned: plain(forecast), used: Vec::new(), need: None }
    }
}

impl Walk<'_> {
    fn slot(
        &mut self,
        hosts: &mut [HostSteps],
        host: HostIndex,
        n: SlotIndex,
        well: Option<&Planned>,
    ) -> Planned {
        let steps = &hosts[host];
        let slot = &steps.slots[n];
        let at = StepRef { play: slot.play, step: slot.id().clone(), host: steps.host.name.clone() };
        let this = Walked { host, index: slot.index, at };
        if steps.unreachable {
            if let Some(instance) = slot.instance() {
                provide(&mut self.unreached, instance, host, self.names, &this);
            }
            return plain(Forecast::Unreachable);
        }
        if self.left_out.contains_key(&host) {
            let brings = |w: &Planned| {
                matches!(
                    w.forecast,
                    Forecast::Change { .. } | Forecast::Error { .. } | Forecast::Unknown { .. }
                )
            };
            if let Some(instance) = slot.instance().filter(|_| well.is_some_and(brings)) {
                provide(&mut self.lost, instance, host, self.names, &this);
            }
            return plain(Forecast::LeftOut);
        }
        let judged = match &slot.state {
            SlotState::Skipped(why) => skipped(why.clone()),
            SlotState::Invalid(failure) => Forecast::Error { failure: failure.clone() }.into(),
            SlotState::Waits(on) => {
                let names: Vec<_> = on.iter().map(|of| format!("`{}`", of.step)).collect();
                Forecast::Unknown { until: format!("step {} has run", names.join(" and ")) }.into()
            }
            SlotState::Ready(instance) => {
                let mut judged = if instance.handler {
                    self.handler(steps, host, slot.play, slot.source.id(), instance)
                } else {
                    self.step(steps, host, instance)
                };
                self.refuse_disruption(instance, &mut judged.planned);
                judged
            }
        };
        let slot = slot.clone();
        let planned = self.settle(&slot, &this, judged);
        match (&planned.change, &planned.forecast, &slot.state) {
            (Some(change), _, SlotState::Ready(instance)) => self.effects(hosts, &this, instance, change),
            // It may bring what it is there for: who needs that has to wait for it.
            (None, Forecast::Unknown { .. }, SlotState::Ready(instance)) => {
                provide(&mut self.providers, instance, host, self.names, &this);
            }
            _ => {}
        }
        planned
    }

    /// Says what it means for the host that a step cannot work, or needs what does not come.
    fn settle(&mut self, slot: &Slot, this: &Walked, judged: Judged) -> Planned {
        let host = this.host;
        let Judged { mut planned, used, need } = judged;
        let rests_on = self.others(&used, host);
        let goes_on = slot.on_failure() == OnFailure::Continue;
        if let Some(need) = &need
            && goes_on
        {
            planned = plain(Forecast::Error { failure: Failure::new(need.words()) });
        }
        let cause = match (&planned.forecast, need) {
            (Forecast::Error { failure }, None) => Some(Cause::Cannot(failure.message.clone())),
            (_, need) => need.map(Cause::Needs),
        };
        match (&planned.forecast, slot.instance()) {
            (Forecast::Error { .. }, Some(instance)) => {
                provide(&mut self.lost, instance, host, self.names, this);
            }
            (Forecast::Unchanged { .. }, Some(instance)) if !self.left_out.is_empty() => {
                provide(&mut self.present, instance, host, self.names, this);
            }
            _ => {}
        }
        if !rests_on.is_empty() {
            self.rests_on.insert(this.clone(), rests_on.clone());
        }
        if let Some(cause) = cause.filter(|_| !goes_on) {
            let (at, name) = (this.at.clone(), slot.name().to_owned());
            let on_failure = slot.on_failure();
            self.troubles.push(Trouble { host, at, name, on_failure, cause, rests_on });
        }
        planned
    }

    /// The position of a host in the run.
    fn position(&self, host: &HostName) -> Option<HostIndex> {
        self.names.named(host.as_str())
    }

    /// The other hosts that these steps are of, or rest on.
    fn others(&self, used: &[Walked], own: HostIndex) -> BTreeSet<HostIndex> {
        let further = used.iter().filter_map(|by| self.rests_on.get(by)).flatten().copied();
        used.iter().map(|by| by.host).chain(further).filter(|host| *host != own).collect()
    }

    fn step(&self, steps: &HostSteps, host: HostIndex, instance: &Instance) -> Judged {
        let Checked { said: verdict, used } = instance.check(&steps.answers);
        let (used, hidden) = self.leave(used, steps, host);
        let mut awaits = Vec::new();
        for need in instance.step.needs().into_iter().chain(instance.needs.iter().cloned()) {
            if let Some(by) = self.providers.of(&need, host, self.names) {
                wait_for(by, host, &mut awaits);
            }
        }
        if let Some(by) = hidden {
            wait_for(&by, host, &mut awaits);
            let until = format!("step `{}` has run on {}", by.at.step, by.at.host);
            let need = self.need(host, instance, None);
            return Judged { need, ..Judged::new(Forecast::Unknown { until }, used, &awaits) };
        }
        match verdict {
            Ok(Verdict::Satisfied { reason, shows, result }) => {
                let result = result.map(|r| *r).unwrap_or_default();
                // Only an answer that was asked for has a code. One that is not yet as wanted is asked for again.
                let again = instance
                    .until
                    .as_ref()
                    .filter(|until| result.code.is_some() && until.holds(&result) != Ok(true));
                if let Some(until) = again {
                    let until = format!("`{}` is true", until.text());
                    return Judged::new(Forecast::Unknown { until }, used, &awaits);
                }
                let forecast = Forecast::Unchanged { reason, shows, predicted: refs(&used) };
                let mut judged = Judged::new(forecast, used, &awaits);
                judged.planned.result = result;
                judged
            }
            Ok(Verdict::Drift(change)) => {
                let need = self.need(host, instance, Some(&change));
                let predicted = refs(used.iter().chain(awaits.iter().filter(|by| !used.contains(by))));
                let forecast = Forecast::Change { change: ChangeView::from(&change), predicted };
                let mut judged = Judged::new(forecast, used, &awaits);
                judged.planned.change = Some(change);
                Judged { need, ..judged }
            }
            Ok(Verdict::Unknown { until, then, otherwise }) => {
                self.unknown(host, instance, (until, then, otherwise), used, awaits)
            }
            Err(error) => Judged { used, ..Forecast::Error { failure: failure_of(&error) }.into() },
        }
    }

    /// A step that cannot be judged until something is there: fine if an earlier step brings that.
    fn unknown(
        &self,
        host: HostIndex,
        instance: &Instance,
        (until, then, otherwise): (Resource, Option<Change>, String),
        mut used: Vec<Walked>,
        mut awaits: Vec<Walked>,
    ) -> Judged {
        let mut need = self.need(host, instance, then.as_ref());
        if let Some(by) = self.providers.of_any(&until, host, self.names) {
            wait_for(by, host, &mut awaits);
            if !used.contains(by) {
                used.push(by.clone());
            }
        } else {
            let lost = self.lost.of_any(&until, host, self.names);
            let gone = lost.filter(|by| self.is_left_out(by, host));
            need = gone.map(|by| Need::resource(&until, by)).or(need);
            if need.is_none() {
                let failure = self.met_by_nobody(&until, otherwise, host, lost);
                used.extend(lost.cloned());
                return Judged { used, ..Forecast::Error { failure }.into() };
            }
        }
        let predicted = refs(&used);
        let forecast = if let Some(change) = &then {
            Forecast::Change { change: ChangeView::from(change), predicted }
        } else {
            let reason = format!("comes with {until}");
            Forecast::Unchanged { reason, shows: String::new(), predicted }
        };
        let mut judged = Judged::new(forecast, used, &awaits);
        judged.planned.change = then;
        Judged { need, ..judged }
    }

    /// The failure of a step whose need nobody meets; `lost` is the step that would, but cannot work.
    fn met_by_nobody(
        &self,
        until: &Resource,
        otherwise: String,
        own: HostIndex,
        lost: Option<&Walked>,
    ) -> Failure {
        let hint = match (lost, self.unreached.of_any(until, own, self.names)) {
            (Some(by), _) => format!("step `{}`, which would bring {until}, cannot work", by.at.step),
            (None, Some(by)) => {
                format!(
                    "step `{}` of {} would bring {until}, but {} is unreachable",
                    by.at.step, by.at.host, by.at.host
                )
            }
            (None, None) => format!("no earlier step brings {until}"),
        };
        Failure::new(otherwise).hint(hint)
    }

    fn is_left_out(&self, by: &Walked, own: HostIndex) -> bool {
        by.host != own && self.left_out.contains_key(&by.host)
    }

    /// What a step that is to do something needs of a host that is left out.
    fn need(&self, host: HostIndex, instance: &Instance, change: Option<&Change>) -> Option<Need> {
        if self.left_out.is_empty() {
            return None;
        }
        for need in instance.step.needs().iter().chain(&instance.needs) {
            if self.providers.of(need, host, self.names).is_none()
                && self.present.of(need, host, self.names).is_none()
                && let Some(by) = self.lost.of(need, host, self.names).filter(|by| self.is_left_out(by, host))
            {
                return Some(Need::resource(need, by));
            }
        }
        let out = |name: &&HostName| self.position(name).is_some_and(|n| self.left_out.contains_key(&n));
        for action in change.iter().flat_map(|change| &change.actions) {
            for borrowed in &action.borrowed {
                if let Origin::Probe(probe) = &borrowed.from
                    && let Some(of) = probe.host.as_ref().filter(out)
                {
                    return Some(Need::value(borrowed.what, of));
                }
            }
            if let Some(on) = action.host.as_ref().filter(out) {
                return Some(Need::action(on));
            }
        }
        let probes = instance.step.probes();
        probes.iter().find_map(|probe| probe.host.as_ref().filter(out)).map(Need::answer)
    }

    fn handler(
        &mut self,
        steps: &HostSteps,
        host: HostIndex,
        play: PlayIndex,
        source: &StepId,
        instance: &Instance,
    ) -> Judged {
        let mut by: Vec<Walked> = self
            .notified
            .get(&(host, play))
            .into_iter()
            .flatten()
            .filter(|(id, _)| id == source)
            .map(|(_, by)| by.clone())
            .collect();
        by.dedup();
        let left_over = steps.pending.iter().any(|(p, id)| *p == play && id == source);
        if by.is_empty() && !left_over {
            return skipped("not notified".into());
        }
        let Checked { said, used } = instance.on_notify(&steps.answers);
        let mut change = match said {
            Ok(Some(change)) => change,
            Ok(None) => {
                let failure = Failure::new(format!("a `{}` step cannot be a handler", instance.kind));
                return Judged { used: by, ..Forecast::Error { failure }.into() };
            }
            // What it would act on comes with an earlier step: then it will run after that one.
            Err(error) => match instance.check(&steps.answers).said {
                Ok(Verdict::Unknown { until, then, .. })
                    if self.providers.of_any(&until, host, self.names).is_some() =>
                {
                    then.unwrap_or_else(|| Change::new(instance.name.clone()))
                }
                _ => return Judged { used: by, ..Forecast::Error { failure: failure_of(&error) }.into() },
            },
        };
        let need = self.need(host, instance, Some(&change));
        let mut used = self.leave(used, steps, host).0;
        used.extend(by.iter().cloned());
        if by.is_empty() {
            change = change.note("an earlier run ended before it");
        }
        let forecast = Forecast::Change { change: ChangeView::from(&change), predicted: refs(&by) };
        Judged { planned: Planned { change: Some(change), ..plain(forecast) }, used, need }
    }

    /// The steps that leave the states which a check has used, and the one behind which it cannot see.
    fn leave(
        &self,
        used: BTreeSet<Resource>,
        steps: &HostSteps,
        host: HostIndex,
    ) -> (Vec<Walked>, Option<Walked>) {
        let (mut by, mut hidden) = (Vec::new(), None);
        for resource in used {
            let hides = steps.answers.expected(&resource) == Some(&State::Hidden);
            let key = if resource.scope == Scope::Here { (Some(host), resource) } else { (None, resource) };
            let Some(step) = self.expected.get(&key) else { continue };
            if hides {
                hidden.get_or_insert_with(|| step.clone());
            }
            if !by.contains(step) {
                by.push(step.clone());
            }
        }
        (by, hidden)
    }

    fn refuse_disruption(&self, instance: &Instance, planned: &mut Planned) {
        if let Some(why) = disruption(instance, planned.change.as_ref(), self.options) {
            planned.forecast = Forecast::Error { failure: why };
            planned.change = None;
        }
    }

    fn effects(&mut self, hosts: &mut [HostSteps], this: &Walked, instance: &Instance, change: &Change) {
        let host = this.host;
        provide(&mut self.providers, instance, host, self.names, this);
        for (resource, state) in &change.expects {
            match locate(&resource.scope, host, self.names) {
                Where::Host(n) => {
                    let here = Resource { scope: Scope::Here, ..resource.clone() };
                    hosts[n].answers.expect(here.clone(), state.clone());
                    self.expected.insert((Some(n), here), this.clone());
                    // Other hosts of a swarm ask for the engine of this one.
                    if resource.kind == Kind::Docker {
                        let name = hosts[n].host.name.clone();
                        let there = Resource::on(name.as_str(), resource.kind, &resource.name);
                        for other in hosts.iter_mut() {
                            other.answers.expect(there.clone(), state.clone());
                        }
                        self.expected.insert((None, there), this.clone());
                    }
                }
                Where::Fleet => {
                    for other in hosts.iter_mut() {
                        other.answers.expect(resource.clone(), state.clone());
                    }
                    self.expected.insert((None, resource.clone()), this.clone());
                }
                Where::Elsewhere => {}
            }
        }
        for handler in &instance.notify {
            self.notified.entry((host, this.at.play)).or_default().push((handler.clone(), this.clone()));
        }
    }
}

/// Notes all that a step brings.
fn provide(providers: &mut Providers, instance: &Instance, host: HostIndex, names: &Hosts, by: &Walked) {
    for resource in instance.step.provides().iter().chain(&instance.provides) {
        providers.add(resource, host, names, by);
    }
}

/// The steps as people find them.
fn refs<'a>(steps: impl IntoIterator<Item = &'a Walked>) -> Vec<StepRef> {
    steps.into_iter().map(|step| step.at.clone()).collect()
}

/// Notes that these steps wait for `by`, unless it is their own host's: its steps run in order anyway.
fn wait_for(by: &Walked, own: HostIndex, awaits: &mut Vec<Walked>) {
    if by.host != own && !awaits.contains(by) {
        awaits.push(by.clone());
    }
}

/// Why `change` must not be made, if it interrupts users and nobody allowed that.
pub fn disruption(instance: &Instance, change: Option<&Change>, options: Options) -> Option<Failure> {
    let change = change?.shown();
    let why = change.disrupts.as_ref()?;
    (!instance.disruptive && !options.allow_disruptive).then(|| {
        Failure::new(format!("held back: to {} interrupts users: {why}", change.summary))
            .hint("if that is wanted, set `disruptive = true` on the step or give --allow-disruptive")
    })
}
