//! Saved plans: `plan --out FILE` writes one, `apply FILE` keeps to it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Parser as _;

use super::args::{self, Cli, Command};
use super::common::Ready;
use super::exit::Exit;
use super::output;
use super::recording::{self, Invocation};
use super::settings::Display;
use crate::event::{Body, Event, Mode};
use crate::journal::Header;
use crate::model::MASK;
use crate::model::digest::sha256;
use crate::report::Reporter;
use crate::saved_plan::SavedPlan;

/// A plan on its way to a file.
pub(super) struct Saving {
    file: PathBuf,
    made: Header,
    needs: Vec<String>,
    events: Arc<Mutex<Vec<Event>>>,
}

/// Keeps the lines of a plan.
struct Listener(Arc<Mutex<Vec<Event>>>);

impl Reporter for Listener {
    fn event(&mut self, event: &Event) {
        if matches!(event.body, Body::Planned(_) | Body::PlanFinished { .. }) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
        }
    }

    fn finish(self: Box<Self>) {}
}

impl Saving {
    pub(super) fn new(file: &Path, ready: &Ready, invocation: &Invocation) -> Self {
        let made = recording::header(ready, Mode::Plan, invocation);
        let needs = ready.needs.iter().map(|what| ready.redactor.redact(what)).collect();
        Self { file: file.to_owned(), made, needs, events: Arc::default() }
    }

    /// What has to see the events.
    pub(super) fn listener(&self) -> Box<dyn Reporter> {
        Box::new(Listener(Arc::clone(&self.events)))
    }

    /// Writes the file; `exit` is that of the plan.
    pub(super) fn write(self, exit: Exit, display: &Display) -> Exit {
        let events = std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner));
        let file = self.file.display();
        if self.made.arguments.iter().any(|argument| argument.contains(MASK)) {
            let hint = "give it in a variable of the environment or in a file";
            return output::complain(
                &format!("{file} was not written: a secret is on the command line"),
                hint,
            );
        }
        let Some(plan) = SavedPlan::new(self.made, self.needs, events) else {
            return output::complain(&format!("{file} was not written: the plan is not complete"), "");
        };
        if let Err(error) = plan.write(&self.file) {
            return output::complain(&format!("the plan was not saved: {error}"), "");
        }
        if !display.detail.quiet {
            let mut words = format!("Saved the plan: `hostwright apply {file}` does exactly this.");
            if !plan.needs.is_empty() {
                words = format!("{words} It will need: {}.", plan.needs.join(", "));
            }
            output::message(&words);
        }
        exit
    }
}

/// Puts what a saved plan was made of in place of the file's name, if the playbook of an apply is one.
pub(super) fn opened(
    apply: &args::Apply,
    invocation: &Invocation,
) -> Result<Option<(args::Plan, Invocation)>, Exit> {
    let playbooks = &apply.plan.selection.playbooks;
    let Some(file) = playbooks.iter().find(|path| SavedPlan::is_one(path)) else { return Ok(None) };
    let name = file.display();
    if playbooks.len() > 1 {
        let what = format!("{name} is a saved plan, which is applied alone");
        return Err(output::complain(&what, "leave the other playbooks out, or make a plan of all of them"));
    }
    if !stands_alone(&apply.plan) {
        let what = format!("{name} is a saved plan: it has its inventory, selection and connection");
        let hint =
            "give it with --yes, --lock-wait, --all-or-nothing, --verify-twice and options of output alone";
        return Err(output::complain(&what, hint));
    }
    let read = std::fs::read(file).map_err(|error| output::complain(&format!("{name}: {error}"), ""))?;
    let plan = SavedPlan::read(file).map_err(|error| output::complain(&error.to_string(), ""))?;
    let Header { arguments, folder, files, .. } = &plan.made;
    let Some(Command::Plan(made)) = Cli::recorded(arguments) else {
        let what = format!("{name}: this version of Hostwright does not know the command line of the plan");
        return Err(output::complain(&what, "make the plan anew"));
    };
    if let Err(error) = std::env::set_current_dir(folder) {
        return Err(output::complain(&format!("{folder}: {error}"), "the plan was made in that folder"));
    }
    let invocation = Invocation {
        expected: Some(files.clone()),
        saved: Some((Arc::new(plan.clone()), sha256(&read))),
        ..invocation.clone()
    };
    Ok(Some((args::Plan { diff: apply.plan.diff.clone(), ..made.plan }, invocation)))
}

/// Whether nothing is said of a plan but the file and what is shown of it.
fn stands_alone(plan: &args::Plan) -> bool {
    let said = |plan: &args::Plan| {
        let args::Plan { selection, inventory, connection, diff: _, allow_disruptive } = plan;
        let args::Selection { playbooks: _, limit, shard, tags, skip_tags, steps, start_at } = selection;
        format!(
            "{inventory:?} {connection:?} {allow_disruptive} {limit:?} {shard:?} {tags:?} {skip_tags:?} {steps:?} {start_at:?}"
        )
    };
    let alone = Cli::try_parse_from(["hostwright", "apply", "plan"]).map(|cli| cli.command);
    matches!(alone, Ok(Command::Apply(alone)) if said(&alone.plan) == said(plan))
}
