//! The command line: types, settings that are settled once, one file per command.

mod adhoc;
mod apply;
mod args;
mod backend;
mod check;
mod common;
mod exit;
mod explain;
mod hosts;
mod interrupt;
mod output;
mod password;
mod plan;
mod real;
mod settings;
mod start;

pub use args::{Cli, Format, When};
pub use backend::{Backend, Loaded};
pub use exit::Exit;
pub use real::Real;
pub use settings::{Display, PasswordFrom, Reach, Surroundings, Wanted};
pub use start::start;
