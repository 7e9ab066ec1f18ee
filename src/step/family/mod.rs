//! What several kinds share. A module here is no kind of its own.

pub mod attributes;
pub mod config_file;
pub mod exports;
pub mod edit;
pub mod firewalld;
pub mod fstab;
pub mod mounts;
pub mod guards;
pub mod path;
pub mod systemd;
pub mod put;
