//! Walks through a run in its order and says of each step on each host what it will do.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::providers::{Providers, Where, locate};
use super::{HostSteps, Plan, Planned, SlotState, failure_of};
use crate::event::{ChangeView, Forecast, StepRef};
use crate::model::{Failure, Host, Instance, Kind, Resource, Scope, State, StepId, StepResult};
use crate::step::{Change, Verdict};

/// What the user allows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Changes that interrupt users are allowed everywhere.
    pub allow_disruptive: bool,
}

/// Makes the plan. What planned changes will leave is put into the hosts' readings on the way, and taken
/// out again at the end.
pub fn plan(hosts: &mut [HostSteps], options: Options) -> Plan {
    let inventory: Vec<Arc<Host>> = hosts.iter().map(|h| Arc::clone(&h.host)).collect();
    let mut planned: Vec<Vec<Option<Planned>>> = hosts.iter().map(|h| vec![None; h.slots.len()]).collect();
    let mut walk = Walk {
        options,
        names: inventory.iter().map(|h| &**h).collect(),
        providers: Providers::default(),
        expected: HashMap::new(),
        notified: HashMap::new(),
    };
    for (host, slot) in order(hosts) {
        planned[host][slot] = Some(walk.slot(hosts, host, slot));
    }
    for host in hosts.iter_mut() {
        host.readings.clear_expected();
    }
    let complete = |slots: Vec<Option<Planned>>| {
        // The order goes through every slot; an empty one would be a bug that shows as an error in the plan.
        let missing = || Planned {
            forecast: Forecast::Error { failure: Failure::new("the planner left the step out") },
            change: None,
            awaits: Vec::new(),
            result: StepResult::default(),
        };
        slots.into_iter().map(|s| s.unwrap_or_else(missing)).collect()
    };
    Plan { hosts: planned.into_iter().map(complete).collect() }
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
    names: Vec<&'a Host>,
    providers: Providers,
    /// Which step leaves an expected state; `None` for the fleet.
    expected: HashMap<(Option<usize>, Resource), StepRef>,
    /// By host and playbook: the handlers that were notified, and by whom.
    notified: HashMap<(usize, usize), Vec<(StepId, StepRef)>>,
}

impl Walk<'_> {
    fn slot(&mut self, hosts: &mut [HostSteps], host: usize, n: usize) -> Planned {
        let steps = &hosts[host];
        let slot = &steps.slots[n];
        let plain =
            |forecast| Planned { forecast, change: None, awaits: Vec::new(), result: StepResult::default() };
        if steps.unreachable {
            return plain(Forecast::Unreachable);
        }
        match &slot.state {
            SlotState::Skipped(why) => Planned {
                result: StepResult { skipped: true, ..StepResult::default() },
                ..plain(Forecast::Skipped { why: why.clone() })
            },
            SlotState::Invalid(failure) => plain(Forecast::Error { failure: failure.clone() }),
            SlotState::Waits(on) => {
                let names: Vec<_> = on.iter().map(|of| format!("`{}`", of.step)).collect();
                plain(Forecast::Unknown { until: format!("step {} has run", names.join(" and ")) })
            }
            SlotState::Ready(instance) => {
                let at =
                    StepRef { play: slot.play, step: instance.id.clone(), host: steps.host.name.clone() };
                let source = slot.source.id().clone();
                let instance = (**instance).clone();
                let mut planned = if instance.handler {
                    self.handler(&hosts[host], host, at.play, &source, &instance)
                } else {
                    self.step(&hosts[host], host, &instance)
                };
                self.refuse_disruption(&instance, &mut planned);
                if let Some(change) = &planned.change {
                    self.effects(hosts, host, &at, &instance, change);
                }
                planned
            }
        }
    }

    fn step(&mut self, steps: &HostSteps, host: usize, instance: &Instance) -> Planned {
        steps.readings.take_used();
        steps.readings.set_own_privilege(&instance.privilege);
        let verdict = instance.check(&steps.readings);
        let (mut predicted, hidden) = self.used(steps, host);
        let mut awaits = Vec::new();
        for need in instance.step.needs().into_iter().chain(instance.needs.iter().cloned()) {
            if let Some(by) = self.providers.of(&need, host, &self.names) {
                wait_for(by, steps, &mut awaits);
            }
        }
        let result = StepResult::default();
        let planned = |forecast, change, awaits| Planned { forecast, change, awaits, result };
        if let Some(by) = hidden {
            wait_for(&by, steps, &mut awaits);
            let until = format!("step `{}` has run on {}", by.step, by.host);
            return planned(Forecast::Unknown { until }, None, awaits);
        }
        match verdict {
            Ok(Verdict::Satisfied { reason, shows, result }) => Planned {
                result: result.map(|r| *r).unwrap_or_default(),
                ..planned(Forecast::Unchanged { reason, shows, predicted }, None, awaits)
            },
            Ok(Verdict::Drift(change)) => {
                predicted
                    .extend(awaits.iter().filter(|a| !predicted.contains(a)).cloned().collect::<Vec<_>>());
                planned(
                    Forecast::Change { change: ChangeView::from(&change), predicted },
                    Some(change),
                    awaits,
                )
            }
            Ok(Verdict::Unknown { until, then, otherwise }) => {
                let Some(by) = self.providers.of_any(&until, host, &self.names).cloned() else {
                    let failure = Failure::new(otherwise).hint(format!("no earlier step brings {until}"));
                    return planned(Forecast::Error { failure }, None, Vec::new());
                };
                wait_for(&by, steps, &mut awaits);
                if !predicted.contains(&by) {
                    predicted.push(by);
                }
                match then {
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
                }
            }
            Err(error) => planned(Forecast::Error { failure: failure_of(&error) }, None, Vec::new()),
        }
    }

    fn handler(
        &mut self,
        steps: &HostSteps,
        host: usize,
        play: usize,
        source: &StepId,
        instance: &Instance,
    ) -> Planned {
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
        let result = StepResult::default();
        let planned = |forecast, change| Planned { forecast, change, awaits: Vec::new(), result };
        if by.is_empty() && !left_over {
            let result = StepResult { skipped: true, ..StepResult::default() };
            let why = "not notified".into();
            return Planned { result, ..planned(Forecast::Skipped { why }, None) };
        }
        steps.readings.take_used();
        steps.readings.set_own_privilege(&instance.privilege);
        let mut change = match instance.on_notify(&steps.readings) {
            Ok(Some(change)) => change,
            Ok(None) => {
                let failure = Failure::new(format!("a `{}` step cannot be a handler", instance.kind));
                return planned(Forecast::Error { failure }, None);
            }
            // What it would act on comes with an earlier step: then it will run after that one.
            Err(error) => match instance.check(&steps.readings) {
                Ok(Verdict::Unknown { until, then, .. })
                    if self.providers.of_any(&until, host, &self.names).is_some() =>
                {
                    then.unwrap_or_else(|| Change::new(instance.name.clone()))
                }
                _ => return planned(Forecast::Error { failure: failure_of(&error) }, None),
            },
        };
        if by.is_empty() {
            change = change.note("an earlier run ended before it");
        }
        planned(Forecast::Change { change: ChangeView::from(&change), predicted: by }, Some(change))
    }

    /// The steps that leave the states which the last check used, and the one behind which it cannot see.
    fn used(&self, steps: &HostSteps, host: usize) -> (Vec<StepRef>, Option<StepRef>) {
        let used: BTreeSet<Resource> = steps.readings.take_used();
        let (mut by, mut hidden) = (Vec::new(), None);
        for resource in used {
            let hides = steps.readings.peek_expected(&resource) == Some(&State::Hidden);
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
        for resource in instance.step.provides().iter().chain(&instance.provides) {
            self.providers.add(resource, host, &self.names, at);
        }
        for (resource, state) in &change.expects {
            match locate(&resource.scope, host, &self.names) {
                Where::Host(n) => {
                    let here = Resource { scope: Scope::Here, ..resource.clone() };
                    hosts[n].readings.expect(here.clone(), state.clone());
                    self.expected.insert((Some(n), here), at.clone());
                    // Other hosts of a swarm ask for the engine of this one.
                    if resource.kind == Kind::Docker {
                        let name = hosts[n].host.name.clone();
                        let there = Resource::on(name.as_str(), resource.kind, &resource.name);
                        for other in hosts.iter_mut() {
                            other.readings.expect(there.clone(), state.clone());
                        }
                        self.expected.insert((None, there), at.clone());
                    }
                }
                Where::Fleet => {
                    for other in hosts.iter_mut() {
                        other.readings.expect(resource.clone(), state.clone());
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
