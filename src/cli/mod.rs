//! The command line: types, settings that are settled once, one file per command.

mod adhoc;
mod apply;
mod args;
mod audit;
mod check;
mod common;
mod connections;
pub mod environment;
mod exit;
mod explain;
mod hosts;
mod interrupt;
mod list;
mod output;
mod password;
mod plan;
mod question;
mod recording;
mod records;
mod runs;
mod saved;
mod scan;
mod secret;
mod settings;
mod shards;
mod start;
mod trust;
mod undo;

pub use args::{Cli, Format, When};
pub use exit::Exit;
pub use settings::{Display, PasswordFrom, Reach, Surroundings};
pub use start::start;
