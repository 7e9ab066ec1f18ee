//! From the command line to a command, and from its end to an exit code.

use std::ffi::OsString;

use clap::Parser as _;

use super::args::{Cli, Command};
use super::exit::Exit;
use super::recording::Invocation;
use super::settings::{Display, Surroundings};
use super::{
    adhoc, apply, audit, check, explain, hosts, list, output, plan, records, runs, secret, trust, undo,
};

/// Does what the command line says.
pub fn start(line: impl IntoIterator<Item = OsString>, around: Surroundings) -> Exit {
    let line: Vec<OsString> = line.into_iter().collect();
    let arguments = line.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let invocation = Invocation { arguments, ..Invocation::default() };
    let cli = match Cli::try_parse_from(line) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are data on standard output; all else is a mistake. A closed pipe is none.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    let diff = match &cli.command {
        Command::Plan(args) => Some(&args.plan.diff),
        Command::Apply(apply) => Some(&apply.plan.diff),
        Command::Audit(audit) => Some(&audit.plan.diff),
        _ => None,
    };
    let display = Display::new(&cli.output, diff, around);
    match &cli.command {
        Command::Check(args) => check::check(args, &display),
        Command::Hosts(args) => hosts::hosts(args, &display),
        Command::Explain(args) => explain::explain(args.topic.as_deref(), args.script, &display),
        Command::History(args) => records::history(args, &display),
        Command::Show(args) => records::show(args, &display),
        Command::Resume(args) => records::resume(args, &display),
        Command::Secret(args) => secret::secret(args, &display),
        Command::Plan(args) if args.list => list::list(&args.plan, &display),
        Command::Plan(args) => wait(plan::plan(args, &display, &invocation)),
        Command::Audit(args) => wait(audit::audit(args, &display, &invocation)),
        Command::Apply(args) => wait(apply::apply(args, &display, &invocation)),
        Command::Undo(args) => wait(undo::undo(args, &display, &invocation)),
        Command::Trust(args) => wait(trust::trust(args, &display, &invocation)),
        Command::Run(args) => wait(adhoc::run(args, &display, &invocation)),
        Command::Runs(args) => wait(runs::runs(args, &display)),
        Command::Facts(args) => wait(adhoc::facts(args, &display, &invocation)),
    }
}

/// Runs a command that waits for hosts.
pub(super) fn wait(command: impl Future<Output = std::io::Result<Exit>>) -> Exit {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::complain(&format!("cannot start: {error}"), ""),
    };
    let exit = runtime.block_on(command);
    // A question that was not answered must not keep the process waiting.
    runtime.shutdown_background();
    exit.unwrap_or_else(|error| output::complain(&format!("cannot start: {error}"), ""))
}
