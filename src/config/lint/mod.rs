//! Lints: what is well-formed, but will not work, or is likely not what was meant.
//!
//! Each has a name, by which `silence = { "NAME" = "reason" }` on a step turns it off, and a text for `explain`. A new
//! one is a text and a function in one of the files here, and a line in [`LINTS`].

mod commands;
mod docker;
mod nfs;
mod steps;
mod swarm;

use std::sync::Arc;

use super::finding::{Lint, merge};
use super::groups::SIBLING_GROUPS;
use super::inventory::{ADDRESS_INVALID, SAME_ADDRESS};
use super::offline::{Checked, Resolved};
use super::playbook::{Playbook, RawStep};
use super::table::{Silence, span, suggest};
use crate::diagnostic::{Diagnostic, Severity, Source};
use crate::model::{HostIndex, HostName};

/// A playbook for nobody.
pub(super) const NO_HOSTS: Lint = Lint {
    name: "no-hosts",
    severity: Severity::Warning,
    doc: "The pattern of a playbook is right, but no host matches it (a group without hosts, an intersection \
          that is empty), so that the playbook does nothing.",
};

/// A lint, and what it looks at.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The lint.
    pub lint: &'static Lint,
    looks: Looks,
}

/// What a lint looks at, and the function that looks.
#[derive(Debug, Clone, Copy)]
enum Looks {
    /// The inventory: found while that is read.
    Inventory(Silenced),
    /// The hosts of a playbook: found while its pattern is read.
    Pattern,
    /// Each playbook as it is written.
    Playbook(fn(&Playbook, &mut Vec<Diagnostic>)),
    /// The steps of these kinds as they will be on their hosts. The function sees no others.
    Steps(&'static [&'static str], fn(&Seen<'_>, &mut Vec<Diagnostic>)),
}

const fn entry(lint: &'static Lint, looks: Looks) -> Entry {
    Entry { lint, looks }
}

use Looks::{Inventory, Pattern, Playbook as Written, Steps};

/// Every lint, by name.
pub const LINTS: &[Entry] = &[
    entry(&ADDRESS_INVALID, Inventory(Silenced::Nowhere)),
    entry(&commands::ALWAYS_RUNS, Written(commands::always_runs)),
    entry(&docker::BIND_NOT_EVERYWHERE, Steps(docker::BOUND, docker::bind_not_everywhere)),
    entry(&docker::BIND_OF_FILE, Steps(&["docker_service"], docker::bind_of_file)),
    entry(&steps::DUPLICATE_ID, Written(steps::duplicate_id)),
    entry(&nfs::EXPORT_HOST_BITS, Steps(&["nfs_export"], nfs::host_bits)),
    entry(&nfs::EXPORT_LEAVES_OUT_CLIENT, Steps(&["nfs_export", "mount"], nfs::leaves_out_client)),
    entry(&nfs::EXPORT_WORLD_WRITABLE, Steps(&["nfs_export"], nfs::world_writable)),
    entry(&docker::IMAGE_WITHOUT_TAG, Steps(docker::OF_IMAGES, docker::without_tag)),
    entry(&nfs::MOUNT_WITHOUT_EXPORT, Steps(&["nfs_export", "mount"], nfs::without_export)),
    entry(&NO_HOSTS, Pattern),
    entry(&nfs::NO_ROOT_SQUASH, Steps(&["nfs_export"], nfs::no_root_squash)),
    entry(&steps::NOTIFY_WITHOUT_HANDLER, Written(steps::notify_without_handler)),
    entry(&docker::PORT_CLASH, Steps(docker::PUBLISHING, docker::port_clash)),
    entry(&docker::REDIS_WITHOUT_PASSWORD, Steps(docker::SETTING_REDIS, docker::without_password)),
    entry(&SAME_ADDRESS, Inventory(Silenced::Inventory)),
    entry(&commands::SECRET_IN_COMMAND, Steps(&["command", "script", "query"], commands::shows_secret)),
    entry(&docker::SERVICE_ON_DRAINED, Steps(docker::PLACED, docker::on_drained)),
    entry(&swarm::SEVERAL_SWARMS, Steps(&["swarm_init"], swarm::several)),
    entry(&SIBLING_GROUPS, Inventory(Silenced::Inventory)),
    entry(&docker::TWO_WRITERS, Steps(&["docker_service"], docker::two_writers)),
    entry(&commands::UNGUARDED_COMMAND, Written(commands::unguarded)),
    entry(&steps::UNNOTIFIED_HANDLER, Written(steps::unnotified_handler)),
];

/// The lint with this name.
pub fn lint(name: &str) -> Option<&'static Entry> {
    LINTS.iter().find(|entry| entry.lint.name == name)
}

/// Where a lint may be silenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silenced {
    /// Nowhere.
    Nowhere,
    /// In the inventory: in its defaults, at a host, at a group.
    Inventory,
    /// At the top of the playbook.
    Playbook,
    /// On the step, or at the top of the playbook for all its steps.
    Step,
}

impl Silenced {
    /// In a word or two.
    pub fn word(self) -> &'static str {
        match self {
            Self::Nowhere => "nowhere",
            Self::Inventory => "inventory",
            Self::Playbook => "playbook",
            Self::Step => "step, playbook",
        }
    }
}

impl Entry {
    /// Where it may be silenced.
    pub fn silenced(&self) -> Silenced {
        match self.looks {
            Looks::Inventory(silenced) => silenced,
            Looks::Pattern => Silenced::Playbook,
            Looks::Playbook(_) | Looks::Steps(..) => Silenced::Step,
        }
    }
}

/// The steps of a run that one lint looks at.
struct Seen<'a> {
    run: &'a Resolved<'a>,
    kinds: &'static [&'static str],
}

impl<'a> Seen<'a> {
    /// All of them, in the order of the run, then of the inventory.
    fn all(&self) -> impl Iterator<Item = &'a Checked> + use<'a> {
        let kinds = self.kinds;
        self.run.instances.iter().filter(move |checked| kinds.contains(&checked.instance.kind))
    }

    /// Those of one of its kinds.
    fn of(&self, kind: &'static str) -> impl Iterator<Item = &'a Checked> + use<'a> {
        debug_assert!(self.kinds.contains(&kind), "{kind} is not what the lint says that it looks at");
        self.all().filter(move |checked| checked.instance.kind == kind)
    }

    /// The name of a host.
    fn name(&self, host: HostIndex) -> &'a HostName {
        &self.run.world.fleet.hosts[host].name
    }

    /// The text that a step is written in.
    fn source(&self, checked: &Checked) -> &'a Arc<Source> {
        &self.run.plays[checked.play.position()].1.source
    }

    /// The step as written.
    fn raw(&self, checked: &Checked) -> &'a RawStep {
        &self.run.plays[checked.play.position()].2[checked.step].raw
    }
}

/// Adds what a lint found in a step, unless the step silences it.
fn report(out: &mut Vec<Diagnostic>, step: &RawStep, found: Diagnostic) {
    // What the playbook silences was given to its steps.
    let silenced = step.silence.iter().any(|s| Some(s.lint.as_str()) == found.lint);
    if !silenced {
        merge(out, vec![found]);
    }
}

/// Reports silenced lints that there are not.
pub(super) fn known(source: &Arc<Source>, silence: &[Silence], out: &mut Vec<Diagnostic>) {
    for silenced in silence.iter().filter(|s| lint(&s.lint).is_none()) {
        let at = span(source, &silenced.span);
        let mut diagnostic = Diagnostic::error(at, format!("there is no lint `{}`", silenced.lint));
        diagnostic.help.extend(suggest(&silenced.lint, LINTS.iter().map(|entry| entry.lint.name)));
        out.push(diagnostic);
    }
}

/// Lints on playbooks as written.
pub(super) fn written(playbooks: &[Playbook], out: &mut Vec<Diagnostic>) {
    for playbook in playbooks {
        known(&playbook.source, &playbook.silence, out);
        for step in &playbook.steps {
            known(&playbook.source, &step.silence, out);
        }
        for entry in LINTS {
            if let Looks::Playbook(look) = entry.looks {
                look(playbook, out);
            }
        }
    }
}

/// Whether any lint looks at steps of this kind; others need not be kept.
pub(super) fn looks_at(kind: &str) -> bool {
    LINTS.iter().any(|entry| matches!(entry.looks, Looks::Steps(kinds, _) if kinds.contains(&kind)))
}

/// Lints on the resolved run.
pub(super) fn resolved(run: &Resolved<'_>, out: &mut Vec<Diagnostic>) {
    for entry in LINTS {
        if let Looks::Steps(kinds, look) = entry.looks {
            look(&Seen { run, kinds }, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lints_look_at_kinds_that_there_are() {
        for entry in LINTS {
            if let Looks::Steps(kinds, _) = entry.looks {
                for kind in kinds {
                    assert!(crate::step::kind(kind).is_some(), "{}: {kind}", entry.lint.name);
                }
            }
        }
    }
}
