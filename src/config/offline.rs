//! The offline check: every step on every host it is for, as far as it goes without asking a host.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::finding::merge;
use super::misspelt;
use super::resolve::{Attempt, PlayScope, SourceStep};
use super::results::elsewhere;
use super::scope::World;
use super::table::{span, suggest};
use super::template::Uses;
use crate::diagnostic::{Diagnostic, Identity};
use crate::model::value::{Node, Value};
use crate::model::{Host, HostIndex, Known, PlayIndex, ResultOf};
use crate::step::Instance;

/// A step of a run that could be resolved offline on one host.
#[derive(Debug)]
pub(super) struct Checked {
    /// The playbook, by its position.
    pub play: PlayIndex,
    /// The step, by its position in the playbook.
    pub step: usize,
    /// The host, by its position in the inventory.
    pub index: HostIndex,
    /// The host.
    pub host: Arc<Host>,
    /// The instance.
    pub instance: Arc<Instance>,
    /// The kind's table, rendered.
    pub node: Arc<Node>,
}

/// Everything lints look at.
#[derive(Debug)]
pub(super) struct Resolved<'a> {
    /// The run's surroundings.
    pub world: &'a Arc<World>,
    /// The playbooks: their hosts, their texts, their steps.
    pub plays: &'a [(BTreeSet<HostIndex>, Arc<PlayScope>, Vec<SourceStep>)],
    /// Every instance that could be resolved of the kinds that lints look at, in the order of the run, then of
    /// the inventory.
    pub instances: Vec<Checked>,
}

/// Resolves all steps for all their hosts, reports all mistakes, and notes what each step must wait for.
///
/// Instances are kept of the kinds that `looks_at` names.
pub(super) fn check<'a>(
    world: &'a Arc<World>,
    plays: &'a mut [(BTreeSet<HostIndex>, Arc<PlayScope>, Vec<SourceStep>)],
    looks_at: &dyn Fn(&str) -> bool,
    out: &mut Vec<Diagnostic>,
) -> Resolved<'a> {
    let mut instances = Vec::new();
    for (play, (_, scope, steps)) in plays.iter_mut().enumerate() {
        for (position, step) in steps.iter_mut().enumerate() {
            let mut found = Found::default();
            let (mut facts, mut results) = statically(world, scope, step, out);
            for &host in step.hosts.iter() {
                let attempt = step.attempt(host, &Known::default());
                facts |= attempt.facts_wanted;
                results.extend(attempt.results_wanted.iter().cloned());
                found.take(&world.fleet.hosts[host], &attempt);
                if !looks_at(step.raw.kind.name) {
                    continue;
                }
                for (instance, node) in attempt.instances.iter().cloned() {
                    let (index, host) = (host, Arc::clone(&world.fleet.hosts[host]));
                    let play = PlayIndex::new(play);
                    instances.push(Checked { play, step: position, index, host, instance, node });
                }
            }
            step.needs_facts = facts;
            step.needs_results = results.into_iter().collect();
            found.report(out);
            until(scope, step, out);
        }
    }
    Resolved { world, plays, instances }
}

/// What the templates of a step use of facts and results, its variables followed; unknown steps are reported.
fn statically(
    world: &World,
    play: &PlayScope,
    step: &SourceStep,
    out: &mut Vec<Diagnostic>,
) -> (bool, BTreeSet<ResultOf>) {
    let (mut uses, mut fresh) = (Uses::default(), Vec::new());
    let raw = &step.raw;
    for node in raw.name.iter().chain(&raw.each).chain([&raw.common, &raw.body]) {
        misspelt::gather(&world.fleet, &play.source, node, false, (&mut uses, &mut fresh), out);
    }
    for node in &raw.when {
        if let Value::String(text) = &node.value {
            let expression = !super::template::is_template(text);
            misspelt::gather(&world.fleet, &play.source, node, expression, (&mut uses, &mut fresh), out);
        }
    }
    // Variables, and the variables that these use.
    let mut followed: BTreeSet<String> = BTreeSet::new();
    while let Some(path) = fresh.pop() {
        let mut parts = path.split('.');
        let (Some("vars"), Some(name)) = (parts.next(), parts.next()) else { continue };
        if !followed.insert(name.to_owned()) {
            continue;
        }
        let inventory = step.hosts.iter().flat_map(|h| &world.fleet.layers[*h]);
        let mut looked = BTreeSet::new();
        for layer in inventory.chain(&play.layers) {
            // Most hosts share theirs.
            if looked.insert(Arc::as_ptr(layer))
                && let Some(node) = layer.find(name)
            {
                misspelt::gather(&world.fleet, &layer.source, node, false, (&mut uses, &mut fresh), out);
            }
        }
    }
    let mut results = BTreeSet::new();
    for (playbook, name) in &uses.results {
        let Some(index) = world.steps.get() else { continue };
        let found = match playbook {
            // A playbook that is not in this run is a mistake only where the template does not ask for it.
            Some(playbook) => index.play(playbook, step.at().play),
            None => Some(step.at().play),
        };
        let Some(found) = found else { continue };
        let steps = &index.plays[found.position()];
        if let Some(entry) = steps.find(name) {
            let comes = |host: &HostIndex| index.absent(found, entry, step.at(), *host, "").is_none();
            if step.hosts.iter().any(comes) {
                results.insert(ResultOf { play: found, step: entry.id.clone() });
            }
            continue;
        }
        // A step that runs nowhere is not rendered, so its mistakes would not show.
        let path = match playbook {
            Some(playbook) => format!("playbooks.{playbook}.steps.{name}"),
            None => format!("steps.{name}"),
        };
        let text = &play.source.text;
        let forms =
            [path.clone(), format!("steps.{name}"), format!("steps['{name}']"), format!("steps[\"{name}\"]")];
        let at = forms.iter().find_map(|form| {
            let start = raw.head.start + text[raw.head.start..].find(form)?;
            Some(start..start + form.len())
        });
        let mut diagnostic = Diagnostic::error(
            span(&play.source, &at.unwrap_or_else(|| raw.head.clone())),
            format!("`{path}` is not defined"),
        );
        diagnostic
            .help
            .extend(elsewhere(index, name).or_else(|| suggest(name, steps.names.keys().map(String::as_str))));
        merge(out, vec![diagnostic]);
    }
    (uses.uses("facts"), results)
}

/// `until` is an expression over `result`, which exists only after the step's action.
fn until(play: &PlayScope, step: &SourceStep, out: &mut Vec<Diagnostic>) {
    let Some(node) = &step.raw.until else { return };
    let Value::String(text) = &node.value else { return };
    let at = span(&play.source, &node.span);
    let bounded = super::template::bounded(text, true, super::limits::Part::Text);
    let expression = match bounded.and_then(|()| super::template::texts().compile_expression(text)) {
        Ok(expression) => expression,
        Err(error) => {
            let message = format!("the expression cannot be read: {}", super::template::message(&error));
            return out.push(Diagnostic::error(at, message));
        }
    };
    let foreign = expression.undeclared_variables(false).into_iter().filter(|v| v != "result").min();
    if let Some(name) = foreign {
        out.push(
            Diagnostic::error(at, format!("`until` knows only `result`, not `{name}`"))
                .help("for example `until = \"result.code == 0\"`, or `'ready' in result.stdout`"),
        );
    }
}

/// The mistakes of one step, each with the hosts on which it came up.
#[derive(Default)]
struct Found {
    mistakes: Vec<(Diagnostic, Hosts)>,
    /// Where in `mistakes` each is.
    index: HashMap<Identity, usize>,
    hosts: usize,
}

/// Hosts with one mistake: how many, and the names of the first.
#[derive(Default)]
struct Hosts {
    count: usize,
    first: Vec<String>,
}

impl Found {
    fn take(&mut self, host: &Host, attempt: &Attempt) {
        self.hosts += 1;
        for diagnostic in &attempt.diagnostics {
            let at = *self.index.entry(diagnostic.identity()).or_insert(self.mistakes.len());
            if at == self.mistakes.len() {
                self.mistakes.push((diagnostic.clone(), Hosts::default()));
            }
            let hosts = &mut self.mistakes[at].1;
            hosts.count += 1;
            if hosts.first.len() < 3 {
                hosts.first.push(host.name.to_string());
            }
        }
    }

    fn report(self, out: &mut Vec<Diagnostic>) {
        let all = self.hosts;
        let found = self.mistakes.into_iter().map(|(mut diagnostic, hosts)| {
            // What is wrong on every host is wrong in the text; no host need be named.
            let on = match hosts.count {
                n if n == all => return diagnostic,
                1 => format!("on {}", hosts.first[0]),
                n if n <= 3 => format!("on {}", hosts.first.join(", ")),
                n => format!("on {n} of {all} hosts ({}, ...)", hosts.first[..2].join(", ")),
            };
            diagnostic.label =
                if diagnostic.label.is_empty() { on } else { format!("{}, {on}", diagnostic.label) };
            diagnostic
        });
        merge(out, found.collect());
    }
}
