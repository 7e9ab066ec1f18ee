//! The command line: types, settings that are settled once, one file per command.

mod args;
pub mod environment;
mod exit;
mod settings;

pub use args::{Cli, Format, When};
pub use exit::Exit;
pub use settings::{Display, PasswordFrom, Reach, Surroundings, Wanted};
