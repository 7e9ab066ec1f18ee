//! The kinds of steps by name. Tests of lints know stand-ins for kinds that are not in the manifest.

use crate::step::{self, KindInfo};

/// The kind with this name.
pub(super) fn find(name: &str) -> Option<&'static KindInfo> {
    let kind = step::kind(name);
    #[cfg(test)]
    let kind = kind.or_else(|| super::lint::tests::stand_in(name));
    kind
}

/// All kinds of the manifest.
pub(super) fn all() -> impl Iterator<Item = &'static KindInfo> {
    step::KINDS.iter()
}
