//! What several kinds share. A module here is no kind of its own.

pub mod attributes;
pub mod config_file;
pub mod docker;
pub mod edit;
pub mod exports;
pub mod fstab;
pub mod guards;
pub mod mounts;
pub mod packages;
pub mod path;
pub mod put;
pub mod systemd;
