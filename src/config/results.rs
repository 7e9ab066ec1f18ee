//! Results of steps as templates see them: `steps.ID` of the same playbook, `playbooks.NAME.steps.ID` of another.
//!
//! A result is there, or comes before the template's step has its turn, or cannot be there on this host. Then the
//! name is undefined, and whoever uses it without asking (`is defined`) is told why.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{HostIndex, PlayIndex, StepId};

/// The steps of a run by the names under which templates may ask for their results.
#[derive(Debug, Default)]
pub(super) struct StepIndex {
    /// The playbooks in the order in which they run.
    pub plays: Vec<PlaySteps>,
}

/// The steps of one playbook.
#[derive(Debug)]
pub(super) struct PlaySteps {
    /// The playbook's name.
    pub name: Arc<str>,
    /// Id or `register` name, to the step.
    pub names: BTreeMap<String, StepEntry>,
}

/// One step that templates may ask for.
#[derive(Debug, Clone)]
pub(super) struct StepEntry {
    /// Its id.
    pub id: StepId,
    /// Its place in its playbook.
    pub index: usize,
    /// Whether it runs at the end of its playbook.
    pub handler: bool,
    /// The hosts that it is written for, by position in the inventory.
    pub meant: Arc<BTreeSet<HostIndex>>,
    /// Those of them on which it runs in this run.
    pub hosts: Arc<BTreeSet<HostIndex>>,
}

/// The place in the run of the step whose template asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    /// The playbook, by its position in the run.
    pub play: PlayIndex,
    /// The step, by its position in the playbook.
    pub index: usize,
    /// Whether it is a handler.
    pub handler: bool,
}

/// Why there is nothing where a template looks, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Absent {
    /// Why, if it is more than that the name is not known.
    pub why: Option<String>,
    /// What to do.
    pub help: String,
}

const ASK: &str = "where it may be missing, ask first: `when = \"steps.ID is defined and ...\"`, or `{% if steps.ID is defined %}`";
const LATER: &str = "move that step up, or use its result further down";
const HANDLER: &str = "only handlers behind it can use its result";
const OWN: &str = "`until` knows it as `result`";

impl Absent {
    pub(super) fn new(why: impl Into<String>, help: impl Into<String>) -> Self {
        Self { why: Some(why.into()), help: help.into() }
    }

    /// In a text that is the same for all hosts.
    pub(super) fn for_all() -> Self {
        Self::new("a title is one for all hosts", "results are there in the steps alone")
    }
}

/// Where a step of this name is, for one who looks in the wrong playbook.
pub(super) fn elsewhere(index: &StepIndex, name: &str) -> Option<String> {
    let play = index.plays.iter().rfind(|p| p.find(name).is_some())?;
    Some(format!("it is a step of playbook `{0}`: write `playbooks[\"{0}\"].steps.{name}`", play.name))
}

impl PlaySteps {
    /// Finds a step by id or register name; `_` may stand for `-`.
    pub(super) fn find(&self, name: &str) -> Option<&StepEntry> {
        self.names.get(name).or_else(|| self.names.get(&name.replace('_', "-")))
    }
}

impl StepIndex {
    /// Finds a playbook by its name; `_` may stand for `-`, and the number at its front may be left out.
    ///
    /// Of several with one name it is the nearest before `before`.
    pub(super) fn play(&self, name: &str, before: PlayIndex) -> Option<PlayIndex> {
        let plain = |name: &str| name.replace('_', "-");
        let bare = |name: &str| {
            let name = plain(name);
            name.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches('-').to_owned()
        };
        let fits: [&dyn Fn(&str) -> bool; 3] =
            [&|n| n == name, &|n| plain(n) == plain(name), &|n| bare(n) == plain(name)];
        fits.into_iter().find_map(|fits| {
            let mut found = (0..self.plays.len()).filter(|n| fits(&self.plays[*n].name));
            found.clone().rfind(|n| *n < before.position()).or_else(|| found.next()).map(PlayIndex::new)
        })
    }

    /// Why there can be no result of `entry` when the step at `at` is rendered for `host`, if there cannot.
    ///
    /// It is there later, or never.
    pub(super) fn absent(
        &self,
        play: PlayIndex,
        entry: &StepEntry,
        at: Turn,
        host: HostIndex,
        host_name: &str,
    ) -> Option<Absent> {
        let of = if play == at.play {
            format!("step `{}`", entry.id)
        } else {
            format!("step `{}` of playbook `{}`", entry.id, self.plays[play.position()].name)
        };
        let later = (play, entry.handler, entry.index) >= (at.play, at.handler, at.index);
        if later && (play, entry.index) == (at.play, at.index) {
            Some(Absent::new("it is the step's own result, which is not there yet", OWN))
        } else if later && entry.handler && play == at.play {
            Some(Absent::new(format!("{of} is a handler: it runs at the end of the playbook"), HANDLER))
        } else if later {
            Some(Absent::new(format!("{of} runs later than this one"), LATER))
        } else if !entry.meant.contains(&host) {
            Some(Absent::new(format!("{of} is not for {host_name}"), ASK))
        } else if !entry.hosts.contains(&host) {
            Some(Absent::new(format!("{of} is not selected in this run"), ASK))
        } else {
            None
        }
    }
}
