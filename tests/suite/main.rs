//! All tests that need more than one module, in one binary so that they are linked once.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on panics")]
#![allow(unreachable_pub, missing_debug_implementations, reason = "nobody else uses a test")]

mod audits;
mod browser;
mod cli;
mod config;
mod docs;
mod edits;
mod engine;
mod figures;
mod fuzz;
mod lints;
mod machine;
mod pages;
mod processes;
mod program_runs;
mod programs;
mod real_commands;
mod real_drill;
mod real_edits;
mod real_files;
mod real_mounts;
mod real_puts;
mod real_swaps;
mod real_units;
mod records;
mod report;
mod results;
mod saved_plans;
mod secret_files;
mod secrets;
mod shards;
mod sshd;
mod steps;
mod terminal;
mod tidy;
mod undo;
