//! `check`: inventory and playbooks, without a host.

use super::args::Check;
use super::backend::Backend;
use super::exit::Exit;
use super::settings::{Display, Wanted};
use super::{common, output};

pub(super) fn check(args: &Check, display: &Display, backend: &dyn Backend) -> Exit {
    let wanted = Wanted::playbooks(&args.inventory, &args.selection).offline();
    let (run, _) = match common::load(&wanted, display, backend) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    if !display.detail.quiet {
        let steps = run.plays.iter().map(|p| p.steps.len()).sum();
        let of = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        let (plays, hosts) = (of(run.plays.len(), "playbook"), of(run.hosts.len(), "host"));
        output::message(&format!("Good: {plays} with {} for {hosts}.", of(steps, "step")));
    }
    Exit::Done
}
