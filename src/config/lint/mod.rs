//! Lints: what works, or would, but is likely not what was meant.

use super::offline::Resolved;
use super::playbook::Playbook;
use crate::diagnostic::Diagnostic;

/// Lints on playbooks as written.
pub(super) fn written(playbooks: &[Playbook], out: &mut Vec<Diagnostic>) {
    let _ = (playbooks, out);
}

/// Lints on the resolved run.
pub(super) fn resolved(run: &Resolved<'_>, out: &mut Vec<Diagnostic>) {
    let _ = (run, out);
}
