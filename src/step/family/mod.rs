//! What several kinds share. A module here is no kind of its own.

pub mod accounts;
pub mod attributes;
pub mod centos_vault;
pub mod config_file;
pub mod docker;
pub mod edit;
pub mod existence;
pub mod export_options;
pub mod exports;
pub mod expression;
pub mod firewalld;
pub mod guards;
pub mod packages;
pub mod path;
pub mod put;
pub mod rich_rule;
pub mod sources;
pub mod ssh_folder;
pub mod ssh_key;
pub mod sysctl_d;
pub mod systemd;
pub mod text;

/// Runs commands of the host so that a failure names them; see there.
pub(crate) static RUN: crate::program::Library =
    crate::program::Library::new("run.sh", include_str!("run.sh"), &[]);

/// Paths as the kernel writes them; see there.
pub(crate) static ESCAPE: crate::program::Library =
    crate::program::Library::new("escape.sh", include_str!("escape.sh"), &[]);
