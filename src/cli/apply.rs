//! `apply`: plan, ask, apply, verify.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::args::Apply;
use super::common::{self, Ready};
use super::exit::Exit;
use super::interrupt::Interrupts;
use super::question::{confirm, may_ask};
use super::recording::{Invocation, Recording};
use super::settings::{self, Display};
use super::shards::Folder;
use super::{output, plan, records, saved};
use crate::engine::{Engine, Refused, barriers};
use crate::event::{Counts, Mode, Summary};
use crate::model::HostName;
use crate::plan::Agreed;
use crate::report::{Driver, host_list};
use crate::transport::Holder;

/// How long shards wait for each other when nobody says.
const SHARD_WAIT: Duration = Duration::from_hours(1);

/// Parts of a list of hosts in the question before "and N more".
const NAMES: usize = 4;

pub(super) async fn apply(args: &Apply, display: &Display, invocation: &Invocation) -> std::io::Result<Exit> {
    if !args.yes && !may_ask() {
        return Ok(nobody_to_ask());
    }
    let opened = match saved::opened(args, invocation) {
        Ok(opened) => opened,
        Err(exit) => return Ok(exit),
    };
    let (plan, invocation) = opened.as_ref().map_or((&args.plan, invocation), |(plan, how)| (plan, how));
    let wanted = settings::of_playbooks(&plan.inventory, &plan.selection);
    let owner = common::owner(&plan.selection.playbooks);
    let ready = match common::prepare(wanted, &plan.connection, owner, display) {
        Ok(ready) => ready.allow_disruptive(plan.allow_disruptive).all_or_nothing(args.all_or_nothing),
        Err(exit) => return Ok(exit),
    };
    let (ready, folder) = match meet(ready, args) {
        Ok(met) => met,
        Err(exit) => return Ok(exit),
    };
    let again = args.verify_twice.then(|| ready.clone());
    let how = How { yes: args.yes, lock_wait: args.lock_wait.unwrap_or_default() };
    let once = once(ready, how, display, invocation).await;
    if let Some(folder) = folder {
        let through =
            |&(exit, applied): &(Exit, bool)| exit == Exit::Done || applied && exit != Exit::Interrupted;
        folder.leave(once.as_ref().is_ok_and(through));
    }
    let (exit, applied) = once?;
    match again {
        Some(ready) if applied && exit == Exit::Done => verify(ready, display).await,
        _ => Ok(exit),
    }
}

/// Gets ready to wait for the other shards, where the run has barriers that they have to keep.
fn meet(mut ready: Ready, args: &Apply) -> Result<(Ready, Option<Arc<Folder>>), Exit> {
    let (Some(shard), path) = (ready.shard, &args.shard_folder) else {
        let complaint =
            || output::complain("--shard-folder is for an apply of a shard", "give --shard I/N too");
        return if args.shard_folder.is_some() { Err(complaint()) } else { Ok((ready, None)) };
    };
    match path {
        Some(path) => {
            let folder = Arc::new(Folder::enter(path, shard, &ready.files)?);
            let bound = args.shard_wait.unwrap_or(SHARD_WAIT);
            ready.options.meeting = Some((Arc::clone(&folder) as _, bound));
            Ok((ready, Some(folder)))
        }
        None if shard.of > 1 && barriers(&ready.run.plays) > 0 => {
            let what = "shards of several playbooks have to wait for each other between them";
            let hint = "give --shard-folder DIR, a folder that all of them see; or apply one playbook after the other; \
                        or say `barrier = false` in playbooks whose steps say all that they need";
            Err(output::complain(what, hint))
        }
        None => Ok((ready, None)),
    }
}

/// A plan is not applied unseen.
pub(super) fn nobody_to_ask() -> Exit {
    let hint = "give --yes to apply without being asked, or use `plan` to see what would change";
    output::complain("there is no terminal to ask on before the plan is applied", hint)
}

/// What the user has said of an apply beside what it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// He need not be asked.
    pub(super) yes: bool,
    /// How long to wait for the locks of other runs.
    pub(super) lock_wait: Duration,
}

/// Plans and applies; returns whether anything was applied.
pub(super) async fn once(
    ready: Ready,
    how: How,
    display: &Display,
    invocation: &Invocation,
) -> std::io::Result<(Exit, bool)> {
    let changes =
        invocation.expected.as_ref().map_or_else(Vec::new, |then| records::changes(then, &ready.files));
    if !changes.is_empty() {
        let what = format!("what the run was made of is not as it was: {}", changes.join(", "));
        let hint = match invocation.saved {
            Some(_) => "make the plan anew",
            None => "plan it anew, or resume with --accept-changes",
        };
        let exit = output::complain(&what, hint);
        return Ok((exit, false));
    }
    let (events, shown) = mpsc::channel(plan::EVENTS);
    let interrupts = Interrupts::listen(Some(events.clone()))?;
    let reporter = output::reporter(display, Mode::Apply);
    let (recording, reporter) = Recording::begin(&ready, Mode::Apply, invocation, &events, reporter);
    let mut driver = Driver::start(reporter, shown);
    let Ready { run, redactor, options, connector, .. } = ready;
    let cancel = interrupts.cancel.clone();
    let mut engine = Engine::new(run, Mode::Apply, options, connector, redactor, events, cancel).await;
    if let Some((saved, _)) = &invocation.saved {
        engine.keep_to(Agreed::new(saved.entries.iter().cloned()));
    }
    let locked = engine.gather_locked(how.lock_wait).await.err().unwrap_or_default();
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
            applied = how.yes || confirm(question(&planned), &interrupts).await;
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
    recording.end(exit, applied);
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
    let summary = plan::make(ready, Mode::Plan, events, &interrupts).await;
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
}
