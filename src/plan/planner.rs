//! Walks through a run in its order and says of each step on each host what it will do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::left_out::{Cause, LeftOut, Need, Trouble, choose};
use super::providers::{Providers, Where, locate};
use super::{HostSteps, Plan, Planned, Slot, SlotState, failure_of};
use crate::event::{ChangeView, Forecast, StepRef};
use crate::model::{
    Failure, HostIndex, HostName, Hosts, Kind, OnFailure, Resource, Scope, State, StepId, StepResult,
};
use crate::step::{Change, Checked, Instance, Origin, Verdict};

/// What the user allows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Changes that interrupt users are allowed everywhere.
    pub allow_disruptive: bool,
    /// Nothing is applied when a host is left out.
    pub all_or_nothing: bool,
}

/// Makes the plan. What planned changes will leave is put into the hosts' readings on the way, and taken
/// out again at the end.
///
/// A host that is left out brings nothing. So the walk is made again without those that must be, until no more are
/// found: each one leaves out at least one host, and mostly the first finds none.
pub fn plan(hosts: &mut [HostSteps], options: Options) -> Plan {
    let names = Hosts::new(hosts.iter().map(|h| Arc::clone(&h.host)).collect());
    let order = order(hosts);
    let mut left_out: BTreeMap<usize, LeftOut> = BTreeMap::new();
    // What a host that is left out says of its steps is what the walk said that left it out.
    let mut kept: BTreeMap<usize, Vec<Planned>> = BTreeMap::new();
    // What all hosts would bring if none were left out.
    let mut well: Vec<Vec<Planned>> = Vec::new();
    loop {
        let (mut planned, troubles) = walk(hosts, &order, &names, options, &left_out, &well);
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
    order: &[(usize, usize)],
    names: &Hosts,
    options: Options,
    left_out: &BTreeMap<usize, LeftOut>,
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
        let well = well.get(host).and_then(|slots| slots.get(slot));
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

/// All slots in the order in which their effects come about: by playbook, its handlers last, then by step,
/// then by host.
fn order(hosts: &[HostSteps]) -> Vec<(usize, usize)> {
    let mut order = Vec::with_capacity(hosts.iter().map(|h| h.slots.len()).sum());
    for (host, steps) in hosts.iter().enumerate() {
        for (n, slot) in steps.slots.iter().enumerate() {
            order.push((slot.play, slot.source.is_handler(), slot.index, host, n));
        }
    }
    order.sort_unstable();
    order.into_iter().map(|(_, _, _, host, slot)| (host, slot)).collect()
}

struct Walk<'a> {
    options: Options,
    names: &'a Hosts,
    left_out: &'a BTreeMap<usize, LeftOut>,
    providers: Providers,
    /// What hosts that are left out, and steps that cannot work, would have brought.
    lost: Providers,
    /// What steps of other hosts find there already, which meets a need of the fleet as well.
    present: Providers,
    /// What hosts that cannot be reached may have brought.
    unreached: Providers,
    /// Which step leaves an expected state; `None` for the fleet.
    expected: HashMap<(Option<usize>, Resource), StepRef>,
    /// By host and playbook: the handlers that were notified, and by whom.
    notified: HashMap<(usize, usize), Vec<(StepId, StepRef)>>,
    /// The other hosts on whose planned changes a planned change rests, where there are any.
    rests_on: HashMap<StepRef, BTreeSet<usize>>,
    troubles: Vec<Trouble>,
}

/// What was found out about a step.
struct Judged {
    planned: Planned,
    /// The planned steps whose effects were looked at.
    used: Vec<StepRef>,
    /// What of a host that is left out it cannot do without.
    need: Option<Need>,
}

impl From<Forecast> for Judged {
    fn from(forecast: Forecast) -> Self {
        Self { planned: plain(forecast), used: Vec::new(), need: None }
    }
}

impl Walk<'_> {
    fn slot(&mut self, hosts: &mut [HostSteps], host: usize, n: usize, well: Option<&Planned>) -> Planned {
        let steps = &hosts[host];
        let slot = &steps.slots[n];
        let at = StepRef { play: slot.play, step: slot.id().clone(), host: steps.host.name.clone() };
        if steps.unreachable {
            if let Some(instance) = slot.instance() {
                provide(&mut self.unreached, instance, host, self.names, &at);
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
                provide(&mut self.lost, instance, host, self.names, &at);
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
                    self.handler(steps, host, at.play, slot.source.id(), instance)
                } else {
                    self.step(steps, host, instance)
                };
                self.refuse_disruption(instance, &mut judged.planned);
                judged
            }
        };
        let slot = slot.clone();
        let planned = self.settle(&slot, host, &at, judged);
        if let (Some(change), SlotState::Ready(instance)) = (&planned.change, &slot.state) {
            self.effects(hosts, host, &at, instance, change);
        }
        planned
    }

    /// Says what it means for the host that a step cannot work, or needs what does not come.
    fn settle(&mut self, slot: &Slot, host: usize, at: &StepRef, judged: Judged) -> Planned {
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
                provide(&mut self.lost, instance, host, self.names, at);
            }
            (Forecast::Unchanged { .. }, Some(instance)) if !self.left_out.is_empty() => {
                provide(&mut self.present, instance, host, self.names, at);
            }
            _ => {}
        }
        if !rests_on.is_empty() {
            self.rests_on.insert(at.clone(), rests_on.clone());
        }
        if let Some(cause) = cause.filter(|_| !goes_on) {
            let (at, name) = (at.clone(), slot.name().to_owned());
            let on_failure = slot.on_failure();
            self.troubles.push(Trouble { host, at, name, on_failure, cause, rests_on });
        }
        planned
    }

    /// The position of a host in the run.
    fn position(&self, host: &HostName) -> Option<usize> {
        self.names.named(host.as_str()).map(HostIndex::position)
    }

    /// The other hosts that these steps are of, or rest on.
    fn others(&self, used: &[StepRef], own: usize) -> BTreeSet<usize> {
        let of = |at: &StepRef| self.position(&at.host);
        let further = used.iter().filter_map(|at| self.rests_on.get(at)).flatten().copied();
        used.iter().filter_map(of).chain(further).filter(|host| *host != own).collect()
    }

    fn step(&self, steps: &HostSteps, host: usize, instance: &Instance) -> Judged {
        let Checked { said: verdict, used } = instance.check(&steps.answers);
        let (mut predicted, hidden) = self.leave(used, steps, host);
        let mut used = predicted.clone();
        let mut awaits = Vec::new();
        for need in instance.step.needs().into_iter().chain(instance.needs.iter().cloned()) {
            if let Some(by) = self.providers.of(&need, host, self.names) {
                wait_for(by, steps, &mut awaits);
            }
        }
        let result = StepResult::default();
        let planned = |forecast, change, awaits| Planned { forecast, change, awaits, result };
        if let Some(by) = hidden {
            wait_for(&by, steps, &mut awaits);
            let until = format!("step `{}` has run on {}", by.step, by.host);
            let need = self.need(host, instance, None);
            return Judged { planned: planned(Forecast::Unknown { until }, None, awaits), used, need };
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
                    return Judged {
                        planned: planned(Forecast::Unknown { until }, None, awaits),
                        used,
                        need: None,
                    };
                }
                let forecast = Forecast::Unchanged { reason, shows, predicted };
                let planned = Planned { result, ..planned(forecast, None, awaits) };
                Judged { planned, used, need: None }
            }
            Ok(Verdict::Drift(change)) => {
                let need = self.need(host, instance, Some(&change));
                predicted
                    .extend(awaits.iter().filter(|a| !predicted.contains(a)).cloned().collect::<Vec<_>>());
                let forecast = Forecast::Change { change: ChangeView::from(&change), predicted };
                Judged { planned: planned(forecast, Some(change), awaits), used, need }
            }
            Ok(Verdict::Unknown { until, then, otherwise }) => {
                let mut need = self.need(host, instance, then.as_ref());
                if let Some(by) = self.providers.of_any(&until, host, self.names) {
                    wait_for(by, steps, &mut awaits);
                    if !predicted.contains(by) {
                        predicted.push(by.clone());
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
                let planned = match then {
                    Some(change) => planned(
                        Forecast::Change { change: ChangeView::from(&change), predicted },
                        Some(change),
                        awaits,
                    ),
                    None => planned(
                        Forecast::Unchanged {
                            reason: format!("comes with {until}"),
                            shows: String::new(),
                            predicted,
                        },
                        None,
                        awaits,
                    ),
                };
                Judged { planned, used, need }
            }
            Err(error) => Judged { used, ..Forecast::Error { failure: failure_of(&error) }.into() },
        }
    }

    /// The failure of a step whose need nobody meets; `lost` is the step that would, but cannot work.
    fn met_by_nobody(
        &self,
        until: &Resource,
        otherwise: String,
        own: usize,
        lost: Option<&StepRef>,
    ) -> Failure {
        let hint = match (lost, self.unreached.of_any(until, own, self.names)) {
            (Some(by), _) => format!("step `{}`, which would bring {until}, cannot work", by.step),
            (None, Some(by)) => {
                format!(
                    "step `{}` of {} would bring {until}, but {} is unreachable",
                    by.step, by.host, by.host
                )
            }
            (None, None) => format!("no earlier step brings {until}"),
        };
        Failure::new(otherwise).hint(hint)
    }

    fn is_left_out(&self, by: &StepRef, own: usize) -> bool {
        self.position(&by.host).is_some_and(|n| n != own && self.left_out.contains_key(&n))
    }

    /// What a step that is to do something needs of a host that is left out.
    fn need(&self, host: usize, instance: &Instance, change: Option<&Change>) -> Option<Need> {
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
        host: usize,
        play: usize,
        source: &StepId,
        instance: &Instance,
    ) -> Judged {
        let mut by: Vec<StepRef> = self
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
        let forecast = Forecast::Change { change: ChangeView::from(&change), predicted: by };
        Judged { planned: Planned { change: Some(change), ..plain(forecast) }, used, need }
    }

    /// The steps that leave the states which a check has used, and the one behind which it cannot see.
    fn leave(
        &self,
        used: BTreeSet<Resource>,
        steps: &HostSteps,
        host: usize,
    ) -> (Vec<StepRef>, Option<StepRef>) {
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

    fn effects(
        &mut self,
        hosts: &mut [HostSteps],
        host: usize,
        at: &StepRef,
        instance: &Instance,
        change: &Change,
    ) {
        provide(&mut self.providers, instance, host, self.names, at);
        for (resource, state) in &change.expects {
            match locate(&resource.scope, host, self.names) {
                Where::Host(n) => {
                    let here = Resource { scope: Scope::Here, ..resource.clone() };
                    hosts[n].answers.expect(here.clone(), state.clone());
                    self.expected.insert((Some(n), here), at.clone());
                    // Other hosts of a swarm ask for the engine of this one.
                    if resource.kind == Kind::Docker {
                        let name = hosts[n].host.name.clone();
                        let there = Resource::on(name.as_str(), resource.kind, &resource.name);
                        for other in hosts.iter_mut() {
                            other.answers.expect(there.clone(), state.clone());
                        }
                        self.expected.insert((None, there), at.clone());
                    }
                }
                Where::Fleet => {
                    for other in hosts.iter_mut() {
                        other.answers.expect(resource.clone(), state.clone());
                    }
                    self.expected.insert((None, resource.clone()), at.clone());
                }
                Where::Elsewhere => {}
            }
        }
        for handler in &instance.notify {
            self.notified.entry((host, at.play)).or_default().push((handler.clone(), at.clone()));
        }
    }
}

/// Notes all that a step brings.
fn provide(providers: &mut Providers, instance: &Instance, host: usize, names: &Hosts, by: &StepRef) {
    for resource in instance.step.provides().iter().chain(&instance.provides) {
        providers.add(resource, host, names, by);
    }
}

/// Notes that these steps wait for `by`, unless it is their own host's: its steps run in order anyway.
fn wait_for(by: &StepRef, steps: &HostSteps, awaits: &mut Vec<StepRef>) {
    if by.host != steps.host.name && !awaits.contains(by) {
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
