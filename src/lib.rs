//! Hostwright brings a fleet of Linux hosts to a described state over plain `ssh`.
//!
//! The library is there for the binary and its tests; its interface may change with every version.
//! `ARCHITECTURE.md` is the map.

pub mod audit;
pub mod cli;
pub mod config;
pub mod diagnostic;
pub mod engine;
pub mod event;
pub mod facts;
mod harmless;
pub mod journal;
pub mod manual;
pub mod model;
pub mod plan;
pub mod preflight;
pub mod private_folder;
pub mod probe;
pub mod program;
pub mod report;
pub mod run;
pub mod saved_plan;
mod secret_file;
pub mod shard;
pub mod shell;
pub mod step;
pub mod transport;
pub mod whole_file;
