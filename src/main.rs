//! The `hostwright` binary: wiring only.

use std::process::ExitCode;

use hostwright::cli::{Surroundings, start};
use hostwright::transport::askpass;

fn main() -> ExitCode {
    if let Some(told) = askpass::help(std::env::args_os()) {
        return if told { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    start(std::env::args_os(), Surroundings::look()).into()
}
