//! `apply`: plan, ask, apply, verify.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use tokio::sync::mpsc;

use super::args::Apply;
use super::common::{self, Ready};
use super::exit::Exit;
use super::interrupt::Interrupts;
use super::settings::{self, Display};
use super::{output, plan};
use crate::engine::{Engine, Refused};
use crate::event::{Counts, Mode, Summary};
use crate::model::HostName;
use crate::report::{Driver, host_list};
use crate::transport::Holder;

/// Parts of a list of hosts in the question before "and N more".
const NAMES: usize = 4;

pub(super) async fn apply(args: &Apply, display: &Display) -> std::io::Result<Exit> {
    let plan = &args.plan;
    let may_ask = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if !args.yes && !may_ask {
        let hint = "give --yes to apply without being asked, or use `plan` to see what would change";
        return Ok(output::complain("there is no terminal to ask on before the plan is applied", hint));
    }
    let wanted = settings::of_playbooks(&plan.inventory, &plan.selection);
    let owner = common::owner(&plan.selection.playbooks);
    let ready = match common::prepare(wanted, &plan.connection, owner, display) {
        Ok(ready) => ready.allow_disruptive(plan.allow_disruptive).all_or_nothing(args.all_or_nothing),
        Err(exit) => return Ok(exit),
    };
    let again = args.verify_twice.then(|| ready.clone());
    let (exit, applied) = once(ready, args, display).await?;
    match again {
        Some(ready) if applied && exit == Exit::Done => verify(ready, display).await,
        _ => Ok(exit),
    }
}

/// Plans and applies; returns whether anything was applied.
async fn once(ready: Ready, args: &Apply, display: &Display) -> std::io::Result<(Exit, bool)> {
    let Ready { run, redactor, options, connector } = ready;
    let (events, shown) = mpsc::channel(plan::EVENTS);
    let interrupts = Interrupts::listen(Some(events.clone()))?;
    let mut driver = Driver::start(output::reporter(display, Mode::Apply), shown);
    let cancel = interrupts.cancel.clone();
    let mut engine = Engine::new(run, Mode::Apply, options, connector, redactor, events, cancel).await;
    let locked = engine.gather_locked(args.lock_wait.unwrap_or_default()).await.err().unwrap_or_default();
    let mut word = String::new();
    let mut applied = false;
    let mut declined = false;
    let mut planned = Summary::default();
    if interrupts.happened() {
        word = "Interrupted: nothing was changed.".into();
    } else if !locked.is_empty() {
        word = refused(&locked);
    } else {
        planned = engine.plan().await;
        driver.plan_shown().await;
        if let Some(why) = &planned.blocked {
            word = format!("Nothing was changed: {why}.");
        } else if engine.has_changes() {
            applied = args.yes || confirm(&planned, &interrupts).await;
            if applied {
                engine.apply().await;
            } else {
                declined = true;
                word = "Nothing was changed.".into();
            }
        } else if !planned.left_out.is_empty() {
            let others = planned.left_out.len() + planned.unreachable.len() < planned.hosts.len();
            let why = if others { "there is nothing to do on the other hosts" } else { "no host is left" };
            word = format!("Nothing was changed: {why}.");
        }
    }
    let summary = engine.finish().await;
    let interrupted = interrupts.happened();
    drop(interrupts);
    driver.finish().await;
    // Who is kept out must know by whom.
    if !word.is_empty() && (!display.detail.quiet || !locked.is_empty()) {
        output::message(&word);
    }
    let exit = match () {
        () if interrupted => Exit::Interrupted,
        () if !locked.is_empty() => Exit::Locked,
        // It is not as described, nor was it done: whoever calls this must not take it for a success.
        () if declined => Exit::Interrupted,
        () if applied => Exit::of(&summary),
        () => Exit::of(&planned),
    };
    Ok((exit, applied))
}

/// Plans again after the apply: whatever would change now does not hold.
async fn verify(ready: Ready, display: &Display) -> std::io::Result<Exit> {
    if !display.detail.quiet {
        output::message("Planning again: everything must be as described.");
    }
    let (events, shown) = mpsc::channel(plan::EVENTS);
    let interrupts = Interrupts::listen(Some(events.clone()))?;
    let driver = Driver::start(output::reporter(display, Mode::Plan), shown);
    let summary = plan::make(ready, events, &interrupts).await;
    let interrupted = interrupts.happened();
    drop(interrupts);
    driver.finish().await;
    Ok(match Exit::of(&summary) {
        _ if interrupted => Exit::Interrupted,
        Exit::Differs => {
            output::message("Failed: not everything is as described after the apply.");
            Exit::Failed
        }
        other => other,
    })
}

/// Who has the locks of which hosts.
fn refused(locked: &[Refused]) -> String {
    let mut holders: Vec<(&Holder, Vec<&HostName>)> = Vec::new();
    for Refused { host, holder } in locked {
        match holders.iter_mut().find(|(known, _)| *known == holder) {
            Some((_, hosts)) => hosts.push(host),
            None => holders.push((holder, vec![host])),
        }
    }
    let mut lines = vec!["Nothing was changed: another run holds the lock.".to_owned()];
    lines.extend(holders.iter().map(|(holder, hosts)| format!("  {}: {holder}", host_list(hosts, NAMES))));
    lines.push(
        "hint: wait for it with --lock-wait TIME; `hostwright runs --on HOST` tells what goes on there"
            .to_owned(),
    );
    lines.join("\n")
}

/// Asks whether to go on. No answer is no.
async fn confirm(planned: &Summary, interrupts: &Interrupts) -> bool {
    let question = question(planned);
    let ask = tokio::task::spawn_blocking(move || {
        // The lock must not be held while the user thinks: others have something to say when interrupted.
        let asked = std::io::stderr().lock().write_all(crate::harmless::painted(&question).as_bytes());
        // Without a question there is no yes.
        if asked.is_err() {
            return false;
        }
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).is_ok() && is_yes(&answer)
    });
    tokio::select! {
        answer = ask => answer.unwrap_or(false),
        () = interrupts.wait() => {
            output::message("");
            false
        }
    }
}

/// `Apply 12 changes to 4 hosts? [y/N] `
fn question(planned: &Summary) -> String {
    let total = planned.total;
    let hosts = planned.hosts.values().filter(|c: &&Counts| c.would_change + c.unknown > 0).count();
    let of = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let what = match (total.would_change, total.unknown) {
        (0, unknown) => format!("{} not known yet", of(unknown, "step")),
        (changes, 0) => of(changes, "change"),
        (changes, unknown) => format!("{} and {} not known yet", of(changes, "change"), of(unknown, "step")),
    };
    let mut without = Vec::new();
    if !planned.left_out.is_empty() {
        let names: Vec<_> = planned.left_out.iter().collect();
        without.push(host_list(&names, NAMES));
    }
    if !planned.unreachable.is_empty() {
        without.push(of(planned.unreachable.len(), "unreachable host"));
    }
    let without = match without.join(" and ") {
        names if names.is_empty() => names,
        names => format!(", leaving out {names}"),
    };
    format!("Apply {what} to {}{without}? [y/N] ", of(hosts, "host"))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_says_what_is_at_stake() {
        let host = |name: &str| HostName::new(name).unwrap();
        let changes = Counts { would_change: 3, ..Counts::default() };
        let mut planned = Summary { total: changes, ..Summary::default() };
        planned.hosts.insert(host("a"), changes);
        planned.hosts.insert(host("b"), Counts::default());
        assert_eq!(question(&planned), "Apply 3 changes to 1 host? [y/N] ");
        planned.total.unknown = 1;
        planned.unreachable.push(host("c"));
        assert_eq!(
            question(&planned),
            "Apply 3 changes and 1 step not known yet to 1 host, leaving out 1 unreachable host? [y/N] "
        );
        planned.total.unknown = 0;
        planned.left_out.extend([host("d"), host("e-1"), host("e-2"), host("e-3")]);
        assert_eq!(
            question(&planned),
            "Apply 3 changes to 1 host, leaving out d, e-[1:3] and 1 unreachable host? [y/N] "
        );
    }

    #[test]
    fn only_yes_is_yes() {
        for (answer, yes) in [("y\n", true), ("Yes\n", true), ("\n", false), ("", false), ("yep\n", false)] {
            assert_eq!(is_yes(answer), yes, "{answer:?}");
        }
    }
}
