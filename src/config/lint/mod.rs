//! Lints: what is well-formed, but will not work, or is likely not what was meant.
//!
//! Each has a name, by which `silence = { "NAME" = "reason" }` on a step turns it off, and a text for `explain`.

mod commands;
mod docker;
mod nfs;
mod steps;
mod swarm;

use std::sync::Arc;

use super::offline::{Resolved, merge};
use super::playbook::{Playbook, RawStep};
use super::table::{Silence, span, suggest};
use crate::diagnostic::{Diagnostic, Severity, Source};

/// What `explain` shows of a lint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lint {
    /// Its name.
    pub name: &'static str,
    /// How bad what it finds is.
    pub severity: Severity,
    /// What it finds, why that matters, and what to do, Markdown.
    pub doc: &'static str,
}

/// What cannot be an address. Kinds check the addresses in their own tables.
pub(super) const ADDRESS_INVALID: Lint = Lint {
    name: "address-invalid",
    severity: Severity::Error,
    doc: "The address of a host in the inventory cannot be one: `192.168.158.1434` has a digit too many. It would \
          be taken for a host name that does not exist.",
};

/// Two names of the inventory for one machine.
pub(super) const SAME_ADDRESS: Lint = Lint {
    name: "same-address",
    severity: Severity::Warning,
    doc: "Two hosts of the inventory have the same address and port: they are one machine under two names. Both \
          would be worked on at the same time and get in each other's way. Mostly one address is misspelled.",
};

/// Two groups side by side that set the same.
pub(super) const SIBLING_GROUPS: Lint = Lint {
    name: "sibling-groups",
    severity: Severity::Warning,
    doc: "Two groups of a host set the same variable or setting to different values, and neither is above the other. \
          The rule is: a child counts more than its parents; of groups that lie equally deep, the one that is \
          written later in the inventory counts, whatever the order in which a parent lists them. Whoever reads \
          the inventory will hardly think of it: set the variable for the host, or in a group that is a child of \
          both, or silence the lint in one of the groups.",
};

/// A playbook for nobody.
pub(super) const NO_HOSTS: Lint = Lint {
    name: "no-hosts",
    severity: Severity::Warning,
    doc: "The pattern of a playbook is right, but no host matches it (a group without hosts, an intersection \
          that is empty), so that the playbook does nothing.",
};

/// Every lint, by name. Those on the inventory are silenced in its defaults, at a host or a group, `no-hosts` in
/// the playbook, all others on a step or in its playbook.
pub const LINTS: &[Lint] = &[
    ADDRESS_INVALID,
    commands::ALWAYS_RUNS,
    docker::BIND_NOT_EVERYWHERE,
    docker::BIND_OF_FILE,
    steps::DUPLICATE_ID,
    nfs::EXPORT_HOST_BITS,
    nfs::EXPORT_LEAVES_OUT_CLIENT,
    nfs::EXPORT_WORLD_WRITABLE,
    docker::IMAGE_WITHOUT_TAG,
    nfs::MOUNT_WITHOUT_EXPORT,
    NO_HOSTS,
    nfs::NO_ROOT_SQUASH,
    steps::NOTIFY_WITHOUT_HANDLER,
    docker::PORT_CLASH,
    docker::REDIS_WITHOUT_PASSWORD,
    SAME_ADDRESS,
    commands::SECRET_IN_COMMAND,
    docker::SERVICE_ON_DRAINED,
    swarm::SEVERAL_SWARMS,
    SIBLING_GROUPS,
    docker::TWO_WRITERS,
    commands::UNGUARDED_COMMAND,
    steps::UNNOTIFIED_HANDLER,
];

/// The lint with this name.
pub fn lint(name: &str) -> Option<&'static Lint> {
    LINTS.iter().find(|l| l.name == name)
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

impl Lint {
    /// Where it may be silenced.
    pub fn silenced(&self) -> Silenced {
        match self.name {
            "address-invalid" => Silenced::Nowhere,
            "same-address" | "sibling-groups" => Silenced::Inventory,
            "no-hosts" => Silenced::Playbook,
            _ => Silenced::Step,
        }
    }

    /// Something this lint finds at `range`.
    pub(super) fn at(
        &self,
        source: &Arc<Source>,
        range: &std::ops::Range<usize>,
        message: impl Into<String>,
    ) -> Diagnostic {
        let mut diagnostic = Diagnostic::error(span(source, range), message).lint(self.name);
        diagnostic.severity = self.severity;
        diagnostic
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
        diagnostic.help.extend(suggest(&silenced.lint, LINTS.iter().map(|l| l.name)));
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
        steps::check(playbook, out);
        commands::check(playbook, out);
    }
}

/// Whether [`resolved`] looks at steps of this kind; others need not be kept.
pub(super) fn looks_at(kind: &str) -> bool {
    matches!(
        kind,
        "command"
            | "script"
            | "query"
            | "nfs_export"
            | "mount"
            | "file"
            | "docker_service"
            | "docker_container"
            | "docker_image"
            | "docker_config"
            | "swarm_init"
            | "swarm_join"
            | "swarm_node"
    )
}

/// Lints on the resolved run.
pub(super) fn resolved(run: &Resolved<'_>, out: &mut Vec<Diagnostic>) {
    commands::check_resolved(run, out);
    nfs::check(run, out);
    docker::check(run, out);
    swarm::check(run, out);
}
