//! `plan --list`: the steps of playbooks with their hosts, without a word to any of them.

use serde_json::json;

use super::args::{Format, Plan};
use super::exit::Exit;
use super::settings::{self, Display};
use super::{common, output};
use crate::config::{MissingSecrets, Options};
use crate::harmless;
use crate::model::HostName;
use crate::report::{host_list, table};
use crate::run::{Play, Run, StepSource};

/// Parts of a list of hosts before "and N more".
const HOSTS: usize = 4;

/// The columns.
const HEAD: [&str; 5] = ["id", "kind", "tags", "hosts", "name"];

/// Lists what the selection chooses.
pub(super) fn list(plan: &Plan, display: &Display) -> Exit {
    let of_playbooks = settings::of_playbooks(&plan.inventory, &plan.selection);
    let wanted = Options { missing_secrets: MissingSecrets::Warning, ..of_playbooks };
    let (run, _) = match common::load(&wanted, display) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    if display.format == Format::Json {
        let lines = all(&run).map(|(play, step, hosts)| {
            let line = json!({
                "event": "listed",
                "playbook": &*play.name,
                "step": step.id(),
                "kind": step.kind(),
                "name": step.name(),
                "tags": step.tags(),
                "hosts": hosts,
                "handler": step.is_handler(),
                "place": step.place(),
            });
            harmless::json(&line) + "\n"
        });
        output::data(&lines.collect::<String>());
        return Exit::Done;
    }
    let mut lines = Vec::new();
    for play in &run.plays {
        let rows: Vec<Vec<String>> = steps(&run, play).map(|(step, hosts)| row(step, &hosts)).collect();
        let title = if *play.title == *play.name { String::new() } else { format!(": {}", play.title) };
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(format!("{}{}", play.name, harmless::line(&title)));
        lines.extend(table(&HEAD, &rows, display.out).into_iter().map(|line| format!("  {line}")));
    }
    output::data(&(lines.join("\n") + "\n"));
    Exit::Done
}

fn row(step: &dyn StepSource, hosts: &[&HostName]) -> Vec<String> {
    let kind = if step.is_handler() { format!("{}, handler", step.kind()) } else { step.kind().to_owned() };
    let tags = step.tags().join(" ");
    let name = step.name().to_owned();
    vec![step.id().to_string(), kind, tags, host_list(hosts, HOSTS), name]
}

/// The steps of a playbook that are selected somewhere, each with its hosts.
fn steps<'a>(run: &'a Run, play: &'a Play) -> impl Iterator<Item = (&'a dyn StepSource, Vec<&'a HostName>)> {
    let names = play.hosts.iter().map(|&index| &run.hosts[index].name);
    play.steps.iter().filter_map(move |step| {
        let hosts: Vec<&HostName> = names.clone().filter(|name| step.selects(name)).collect();
        (!hosts.is_empty()).then_some((&**step, hosts))
    })
}

fn all(run: &Run) -> impl Iterator<Item = (&Play, &dyn StepSource, Vec<&HostName>)> {
    run.plays.iter().flat_map(|play| steps(run, play).map(move |(step, hosts)| (play, step, hosts)))
}
