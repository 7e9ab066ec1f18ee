//! `repository`: where a host gets its packages from.

/// The name of the [`Kind::Repository`](crate::model::Kind::Repository) that stands for "the archive was chosen".
pub(super) const VAULT: &str = "centos-vault";
