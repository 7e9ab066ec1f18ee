//! `undo`: the way back from a run, by playbooks that are made of its journal and applied like any others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::apply::How;
use super::args::{self, Cli, Command};
use super::environment::WithFiles;
use super::exit::Exit;
use super::question::may_ask;
use super::recording::Invocation;
use super::settings::{self, Display};
use super::{apply, common, output};
use crate::config::Options;
use crate::event::{Body, Event, Finished, Mode, Undo};
use crate::harmless;
use crate::journal::{Header, JournalError, Recorded, State, Store};
use crate::model::{HostName, MASK, Privilege, StepId};
use crate::report::host_list;

/// Hosts in a line before "and N more".
const NAMES: usize = 4;

/// `undo RUN`.
pub(super) async fn undo(
    args: &args::Undo,
    display: &Display,
    invocation: &Invocation,
) -> std::io::Result<Exit> {
    if !args.yes && !may_ask() {
        return Ok(apply::nobody_to_ask());
    }
    let (recorded, mut wanted, connection) = match read(args) {
        Ok(read) => read,
        Err(exit) => return Ok(exit),
    };
    let run = recorded.header.run.clone();
    let way = Way::back(&recorded);
    if !display.detail.quiet {
        output::message(&way.stays());
    }
    if way.plays.is_empty() {
        output::message(&format!("Run {run} has changed nothing that has a way back."));
        return Ok(Exit::Done);
    }
    let files = way.playbooks(&run);
    wanted.playbooks = files.iter().map(|(path, _)| path.clone()).collect();
    wanted.limit.clone_from(&args.limit);
    let environment = Arc::new(WithFiles(files.into_iter().collect()));
    let owner = common::owner(&[PathBuf::from(format!("undo {run}"))]);
    let ready = match common::prepare_from(wanted, environment, &connection, owner, display) {
        Ok(ready) => ready.allow_disruptive(args.allow_disruptive),
        Err(exit) => return Ok(exit),
    };
    let how = How { yes: args.yes, lock_wait: args.lock_wait.unwrap_or_default() };
    let invocation = Invocation { undoes: Some(run), ..invocation.clone() };
    Ok(apply::once(ready, how, display, &invocation).await?.0)
}

/// The run, and how its hosts are reached: as it has reached them, from the folder that it was called in.
fn read(args: &args::Undo) -> Result<(Recorded, Options, args::Connection), Exit> {
    let complain = |error: JournalError| output::complain(&error.to_string(), "");
    let entry = Store::of_user().and_then(|store| store.find(&args.run)).map_err(complain)?;
    let Header { run, folder, arguments, mode, .. } = &entry.header;
    let refuse =
        |why: &str, hint: &str| output::complain(&format!("run {run} cannot be undone: {why}"), hint);
    if entry.state == State::Running {
        return Err(refuse("it is still going on", "wait for its end, or interrupt it there"));
    }
    if *mode != Mode::Apply {
        return Err(refuse("it changed nothing", "only an apply can be undone; see `history`"));
    }
    if arguments.iter().any(|argument| argument.contains(MASK)) {
        return Err(refuse("a secret was on its command line", "undo it by hand: see `show`"));
    }
    std::env::set_current_dir(folder)
        .map_err(|error| refuse(&format!("{folder}: {error}"), "it was called in that folder"))?;
    let (inventory, connection) = match Cli::recorded(arguments) {
        Some(Command::Apply(apply)) => (apply.plan.inventory, apply.plan.connection),
        Some(Command::Trust(trust)) => (trust.inventory, trust.connection),
        Some(Command::Undo(earlier)) => {
            let earlier = args::Undo { limit: None, yes: true, ..earlier };
            let (_, wanted, connection) = read(&earlier)?;
            return Ok((entry.read().map_err(complain)?, wanted, connection));
        }
        _ => {
            let why = "this version of Hostwright does not know its command line";
            return Err(refuse(why, "undo it by hand: see `show`"));
        }
    };
    let target = args::Target { pattern: None, limit: None };
    let wanted = settings::of_hosts(&inventory, &target);
    Ok((entry.read().map_err(complain)?, wanted, connection))
}

/// What a run has done, the last first.
#[derive(Debug, Default)]
struct Way {
    /// By playbook, the last first.
    plays: Vec<Play>,
    /// What stays, by whom: the step and the reason, and the hosts.
    stays: BTreeMap<(String, String), Vec<HostName>>,
}

/// What a run has done by one playbook.
#[derive(Debug)]
struct Play {
    name: String,
    /// By host, in the order in which they were first changed.
    hosts: Vec<(HostName, Vec<Step>)>,
}

/// The way back from a step.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    id: StepId,
    name: String,
    undo: Undo,
}

impl Way {
    fn back(recorded: &Recorded) -> Self {
        let mut way = Self::default();
        let mut names: Vec<String> = Vec::new();
        let mut plays: BTreeMap<usize, Play> = BTreeMap::new();
        for Event { body, .. } in &recorded.events {
            match body {
                Body::RunStarted { plays, .. } => {
                    names = plays.iter().map(|play| play.name.clone()).collect();
                }
                Body::StepFinished(finished) => {
                    let position = finished.at.play.position();
                    let name = names.get(position).cloned().unwrap_or_default();
                    let play = plays.entry(position).or_insert_with(|| Play { name, hosts: Vec::new() });
                    way.take(finished, play);
                }
                _ => {}
            }
        }
        way.plays = plays.into_values().rev().filter(|play| !play.hosts.is_empty()).collect();
        way
    }

    fn take(&mut self, finished: &Finished, play: &mut Play) {
        let Finished { at, name, undo, .. } = finished;
        let undo = match undo {
            Some(undo) => (**undo).clone(),
            // A journal of an earlier version, or a step that leaves nothing behind.
            None => return,
        };
        for why in &undo.inverse.stays {
            self.stays.entry((name.clone(), why.clone())).or_default().push(at.host.clone());
        }
        let hidden = |step: &String| step.contains(MASK);
        if undo.inverse.steps.iter().any(hidden) {
            let why = "a secret would have to be known for it".to_owned();
            self.stays.entry((name.clone(), why)).or_default().push(at.host.clone());
        }
        let steps: Vec<String> = undo.inverse.steps.into_iter().filter(|step| !hidden(step)).collect();
        if steps.is_empty() {
            return;
        }
        let undo = Undo { inverse: crate::step::Inverse { steps, stays: Vec::new() }, ..undo };
        let step = Step { id: at.step.clone(), name: name.clone(), undo };
        match play.hosts.iter_mut().find(|(host, _)| *host == at.host) {
            Some((_, done)) => done.push(step),
            None => play.hosts.push((at.host.clone(), vec![step])),
        }
    }

    /// For people: what has no way back.
    fn stays(&self) -> String {
        let mut text = String::new();
        for ((name, why), hosts) in &self.stays {
            let hosts: Vec<&HostName> = hosts.iter().collect();
            let _ = writeln!(
                text,
                "  {}: {} ({})",
                harmless::line(name),
                harmless::line(why),
                host_list(&hosts, NAMES)
            );
        }
        if text.is_empty() { text } else { format!("What has no way back, and stays:\n{}", text.trim_end()) }
    }

    /// The playbooks in their order, by names that no file has.
    fn playbooks(&self, run: &str) -> Vec<(PathBuf, String)> {
        let number = |n: usize, play: &Play| {
            PathBuf::from(format!("hostwright/{run}/{}/undo-{}.toml", n + 1, play.name))
        };
        self.plays.iter().enumerate().map(|(n, play)| (number(n, play), play.playbook(run))).collect()
    }
}

impl Play {
    /// Hosts on which the same was done share their steps.
    fn playbook(&self, run: &str) -> String {
        let mut groups: Vec<(Vec<&HostName>, &Vec<Step>)> = Vec::new();
        for (host, steps) in &self.hosts {
            match groups.iter_mut().find(|(_, of)| *of == steps) {
                Some((hosts, _)) => hosts.push(host),
                None => groups.push((vec![host], steps)),
            }
        }
        let names: Vec<&HostName> = self.hosts.iter().map(|(host, _)| host).collect();
        let mut text = format!(
            "title = {}\nhosts = {}\n",
            quoted(&format!("Undo {} of run {run}", self.name)),
            quoted(&joined(&names))
        );
        let mut number = 0;
        for (hosts, steps) in groups {
            let handlers: BTreeMap<&StepId, String> = (steps.iter().enumerate())
                .filter(|(_, step)| step.undo.handler)
                .map(|(n, step)| (&step.id, format!("again-{}-{n}", number + 1)))
                .collect();
            let mut restored: Vec<&str> = Vec::new();
            for step in steps.iter().rev() {
                for inverse in &step.undo.inverse.steps {
                    // Of several changes of a path the state before the first is kept.
                    if inverse.starts_with("restore ") {
                        if restored.contains(&inverse.as_str()) {
                            continue;
                        }
                        restored.push(inverse);
                    }
                    number += 1;
                    // One restore stands for all changes of its path.
                    let same = |other: &&Step| {
                        std::ptr::eq(*other, step)
                            || restored.contains(&inverse.as_str())
                                && other.undo.inverse.steps.contains(inverse)
                    };
                    let ids = steps.iter().filter(same).flat_map(|step| &step.undo.notify);
                    let notify: BTreeSet<&String> = ids.filter_map(|id| handlers.get(id)).collect();
                    let id = handlers.get(&step.id).filter(|_| step.undo.handler);
                    text.push_str(&entry(step, inverse, (run, number), &hosts, &notify, id));
                }
            }
        }
        text
    }
}

/// A step of a playbook.
fn entry(
    step: &Step,
    inverse: &str,
    (run, number): (&str, usize),
    hosts: &[&HostName],
    notify: &BTreeSet<&String>,
    handler: Option<&String>,
) -> String {
    let plain = |text: &str| text.replace('{', "{{ '{' }}");
    let mut text = format!(
        "\n[[step]]\nname = {}\nid = {}\nhosts = {}\non_failure = \"continue\"\n",
        quoted(&plain(&step.name)),
        quoted(&handler.cloned().unwrap_or_else(|| format!("undo-{number}"))),
        quoted(&joined(hosts)),
    );
    match &step.undo.privilege {
        Privilege::Login => text.push_str("become = false\n"),
        Privilege::Become(user) => {
            let _ = writeln!(text, "become = {}", quoted(user));
        }
    }
    if handler.is_some() {
        text.push_str("handler = true\n");
    } else if !notify.is_empty() {
        let ids: Vec<String> = notify.iter().map(|id| quoted(id)).collect();
        let _ = writeln!(text, "notify = [{}]", ids.join(", "));
    }
    let line = match inverse.strip_prefix("restore = {") {
        Some(rest) => format!("restore = {{ run = {},{rest}", quoted(run)),
        None => inverse.to_owned(),
    };
    text + &line + "\n"
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn joined(hosts: &[&HostName]) -> String {
    hosts.iter().map(|host| host.as_str()).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::Inverse;

    fn step(id: &str, inverse: Inverse, notify: &[&str], handler: bool) -> Step {
        let notify = notify.iter().map(|id| StepId::new(id)).collect();
        let undo = Undo { inverse, privilege: Privilege::root(), notify, handler };
        Step { id: StepId::new(id), name: format!("Step {id}"), undo }
    }

    fn host(name: &str) -> HostName {
        HostName::new(name).unwrap()
    }

    #[test]
    fn the_last_comes_first_equal_hosts_share_steps_and_handlers_run_again() {
        let file = |path: &str| Inverse::of("restore", [("path", path.into())]);
        let restart = Inverse::of("service", [("name", "app".into()), ("state", "restarted".into())]);
        let steps = vec![
            step("one", file("/etc/a"), &["app-restarts"], false),
            step("two", Inverse::of("group", [("name", "g".into())]), &[], false),
            step("again", file("/etc/a"), &[], false),
            step("app-restarts", restart, &[], true),
        ];
        let other = vec![step("two", Inverse::of("group", [("name", "g".into())]), &[], false)];
        let hosts = vec![(host("a"), steps.clone()), (host("b"), other), (host("c"), steps)];
        let play = Play { name: "site".into(), hosts };
        let text = play.playbook("r1");
        let parsed: toml::Table = text.parse().unwrap();
        let told: Vec<String> = (parsed["step"].as_array().unwrap().iter())
            .map(|step| {
                let kind =
                    ["restore", "group", "service"].iter().find(|kind| step.get(kind).is_some()).unwrap();
                let word = |key: &str| step.get(key).map(|v| format!(" {key}={v}")).unwrap_or_default();
                format!("{kind} {}{}{}", step["hosts"], word("notify"), word("handler"))
            })
            .collect();
        assert_eq!(
            told,
            [
                "service \"a:c\" handler=true",
                // The later change of the path has no state of its own.
                "restore \"a:c\" notify=[\"again-1-3\"]",
                "group \"a:c\"",
                "group \"b\"",
            ],
            "{text}"
        );
        assert!(text.contains("restore = { run = \"r1\", path = \"/etc/a\" }"), "{text}");
        assert!(text.contains("id = \"again-1-3\""), "{text}");
    }
}
