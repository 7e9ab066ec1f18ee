//! What lints and other checks find, on its way to the user.

use std::ops::Range;
use std::sync::Arc;

use super::table::span;
use crate::diagnostic::{Diagnostic, Severity, Source, distinct};

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

impl Lint {
    /// Something this lint finds at `range`.
    pub(super) fn at(
        &self,
        source: &Arc<Source>,
        range: &Range<usize>,
        message: impl Into<String>,
    ) -> Diagnostic {
        let mut diagnostic = Diagnostic::error(span(source, range), message).lint(self.name);
        diagnostic.severity = self.severity;
        diagnostic
    }
}

/// Adds mistakes, of which some may be there already. They are left out at the end, and whenever there are
/// many: a look through all that is known for each would take too long.
pub(super) fn merge(out: &mut Vec<Diagnostic>, found: Vec<Diagnostic>) {
    const SWEEP: usize = 4096;
    let before = out.len();
    out.extend(found);
    if before / SWEEP != out.len() / SWEEP {
        distinct(out);
    }
}
