//! Who is left out of an apply, and why: hosts with a step that cannot work, and those that need what these would
//! have brought.
//!
//! A host is left out whole. Half of what is described for it may be worse than nothing of it, and what it would have
//! brought to others does not come.

use std::collections::{BTreeMap, BTreeSet};

use super::providers::Walked;
use super::{HostSteps, Options, Plan};
use crate::event::StepRef;
use crate::model::{HostIndex, HostName, Kind, OnFailure, Resource, Scope};
use crate::run::Play;

/// Reasons that are told of one host; further ones are mostly what follows from them.
const REASONS: usize = 3;

/// Why a host is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Why, each a lower-case fragment, in the order of the run.
    pub reasons: Vec<String>,
    /// Its steps that say so.
    pub steps: Vec<StepRef>,
    /// The hosts that are left out as well, and would have brought what it needs.
    pub needs: Vec<HostName>,
    /// One of the steps stops all hosts when it fails.
    stops_all: bool,
}

impl LeftOut {
    /// A host that is not as it was when it was agreed what to do there: how, by step.
    pub fn moved(moved: Vec<(StepRef, String)>) -> Self {
        let more = moved.len().saturating_sub(REASONS);
        let steps = moved.iter().map(|(at, _)| at.clone()).collect();
        let mut reasons: Vec<_> = moved.into_iter().take(REASONS).map(|(_, how)| how).collect();
        if more > 0 {
            reasons.push(format!("{more} more"));
        }
        Self { reasons, steps, ..Self::default() }
    }
}

/// A step for which its host has to be left out.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) host: HostIndex,
    pub(super) at: StepRef,
    /// The step's name.
    pub(super) name: String,
    pub(super) on_failure: OnFailure,
    pub(super) cause: Cause,
    /// The hosts whose planned changes it rests on: it is none if these are left out.
    pub(super) rests_on: BTreeSet<HostIndex>,
}

/// What is wrong with a step.
#[derive(Debug, Clone)]
pub(super) enum Cause {
    /// It cannot work: why.
    Cannot(String),
    /// It needs something of a host that is left out.
    Needs(Need),
}

/// Something that a host which is left out would have brought or told.
#[derive(Debug, Clone)]
pub(super) struct Need {
    /// `needs the NFS export /srv of nfs-01`.
    words: String,
    of: HostName,
}

impl Need {
    /// A resource that a step of `by` would have brought.
    pub(super) fn resource(resource: &Resource, by: &Walked) -> Self {
        let host = &by.at.host;
        let what = match resource.kind {
            Kind::Docker => "Docker engine".to_owned(),
            _ => Resource { scope: Scope::Here, ..resource.clone() }.to_string(),
        };
        Self { words: format!("needs the {what} of {host}"), of: host.clone() }
    }

    /// An answer.
    pub(super) fn answer(of: &HostName) -> Self {
        Self { words: format!("has to ask {of}"), of: of.clone() }
    }

    /// A value that an action borrows.
    pub(super) fn value(what: &str, of: &HostName) -> Self {
        Self { words: format!("needs the {what} of {of}"), of: of.clone() }
    }

    /// An action there.
    pub(super) fn action(on: &HostName) -> Self {
        Self { words: format!("has to act on {on}"), of: on.clone() }
    }

    /// `needs the NFS export /srv of nfs-01, which is left out`.
    pub(super) fn words(&self) -> String {
        format!("{}, which is left out", self.words)
    }
}

/// Leaves out, of the hosts with troubles, those that are in trouble whatever becomes of the others; returns them.
///
/// A trouble that rests on the planned change of another host which is in trouble itself may be gone when that one is
/// left out: it has to be looked at again then.
pub(super) fn choose(
    troubles: &[Trouble],
    left_out: &mut BTreeMap<HostIndex, LeftOut>,
) -> BTreeSet<HostIndex> {
    let pending: BTreeSet<HostIndex> = troubles.iter().map(|t| t.host).collect();
    let certain = |t: &&Trouble| !t.rests_on.iter().any(|on| *on != t.host && pending.contains(on));
    let mut chosen: BTreeMap<HostIndex, Vec<&Trouble>> = BTreeMap::new();
    for trouble in troubles.iter().filter(certain) {
        chosen.entry(trouble.host).or_default().push(trouble);
    }
    if chosen.is_empty() {
        // They rest on one another: the first in the order of the run is the one to begin with.
        chosen.extend(troubles.first().map(|trouble| (trouble.host, vec![trouble])));
    }
    for (host, troubles) in &chosen {
        let mut out = LeftOut { reasons: reasons(troubles), ..LeftOut::default() };
        for trouble in troubles {
            out.steps.push(trouble.at.clone());
            out.stops_all |= trouble.on_failure == OnFailure::StopAll;
            if let Cause::Needs(need) = &trouble.cause
                && !out.needs.contains(&need.of)
            {
                out.needs.push(need.of.clone());
            }
        }
        left_out.insert(*host, out);
    }
    chosen.into_keys().collect()
}

/// The reasons in words, each once: what many steps say (`sudo` wants another password) is no more than one.
fn reasons(troubles: &[&Trouble]) -> Vec<String> {
    let mut said: Vec<(String, &str, BTreeSet<&StepRef>)> = Vec::new();
    for trouble in troubles {
        let why = match &trouble.cause {
            Cause::Cannot(message) => message.clone(),
            Cause::Needs(need) => need.words(),
        };
        match said.iter_mut().find(|(words, ..)| *words == why) {
            Some((.., steps)) => {
                steps.insert(&trouble.at);
            }
            None => said.push((why, &trouble.name, BTreeSet::from([&trouble.at]))),
        }
    }
    let more = said.len().saturating_sub(REASONS);
    let needs = |words: &str| {
        troubles.iter().any(|t| matches!(&t.cause, Cause::Needs(need) if need.words() == words))
    };
    let mut words: Vec<String> = said
        .into_iter()
        .take(REASONS)
        .map(|(why, name, steps)| match steps.len() {
            _ if needs(&why) => why,
            1 => format!("`{name}` cannot work: {why}"),
            n => format!("{n} steps cannot work: {why}"),
        })
        .collect();
    if more > 0 {
        words.push(format!("{more} more"));
    }
    words
}

/// Why nothing at all is to be applied, if the hosts that are left out forbid it: a step stops all, `all` was asked for by
/// the user or by a playbook of theirs, or more of them than `max_failures` allows are in one batch.
pub fn blocked(plan: &Plan, hosts: &[HostSteps], plays: &[Play], options: Options) -> Option<String> {
    if plan.left_out.is_empty() {
        return None;
    }
    for (n, out) in &plan.left_out {
        if out.stops_all {
            let host = &hosts[*n].host.name;
            return Some(format!("{host} is left out for a step whose failure stops all hosts"));
        }
    }
    let count = plan.left_out.len();
    let left_out =
        if count == 1 { "1 host is left out".to_owned() } else { format!("{count} hosts are left out") };
    if options.all_or_nothing {
        return Some(format!("{left_out}, and it was to be all or nothing"));
    }
    plays.iter().find_map(|play| {
        let of = |hosts: &[HostIndex]| hosts.iter().filter(|n| plan.left_out.contains_key(n)).count();
        if play.all_or_nothing && of(&play.hosts) > 0 {
            return Some(format!("{left_out}, and `{}` is all or nothing", play.name));
        }
        let allowed = play.allowed_failures()?;
        let most = play.batches().into_iter().map(of).max().unwrap_or(0);
        (most > allowed).then(|| {
            format!("{left_out}, and `{}` allows no more than {allowed} of a batch to fail", play.name)
        })
    })
}
