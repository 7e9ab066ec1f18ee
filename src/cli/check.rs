//! `check`: inventory and playbooks, without a host.

use super::args::Check;
use super::exit::Exit;
use super::settings::{self, Display};
use super::{common, output};
use crate::config::{MissingSecrets, Options};

pub(super) fn check(args: &Check, display: &Display) -> Exit {
    // A check also runs where no secret is.
    let wanted = Options {
        missing_secrets: MissingSecrets::Warning,
        ..settings::of_playbooks(&args.inventory, &args.selection)
    };
    let (run, _) = match common::load(&wanted, display) {
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
