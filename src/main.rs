//! The `hostwright` binary: wiring only.

use std::process::ExitCode;

use hostwright::cli::{Surroundings, start};

fn main() -> ExitCode {
    start(std::env::args_os(), Surroundings::look()).into()
}
