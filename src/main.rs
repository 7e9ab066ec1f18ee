//! The `hostwright` binary: wiring only.

use std::process::ExitCode;

use hostwright::cli::{Real, Surroundings, start};

fn main() -> ExitCode {
    start(std::env::args_os(), Surroundings::look(), &Real).into()
}
