//! `plan`: what an apply would do; no action is sent.

use tokio::sync::mpsc;

use super::args::Planning;
use super::exit::Exit;
use super::interrupt::Interrupts;
use super::recording::{Invocation, Recording};
use super::saved::Saving;
use super::settings::{self, Display};
use super::{common, output};
use crate::engine::Engine;
use crate::event::{Mode, Summary};
use crate::report::{All, Driver};
use crate::transport::Locking;

/// Events between the engine and the display: enough that neither waits for the other at each one.
pub(super) const EVENTS: usize = 1024;

pub(super) async fn plan(
    args: &Planning,
    display: &Display,
    invocation: &Invocation,
) -> std::io::Result<Exit> {
    let Planning { plan: args, out, list: _ } = args;
    let wanted = settings::of_playbooks(&args.inventory, &args.selection);
    let ready = match common::prepare(wanted, &args.connection, Locking::Look, display) {
        Ok(ready) => ready.allow_disruptive(args.allow_disruptive),
        Err(exit) => return Ok(exit),
    };
    let (events, shown) = mpsc::channel(EVENTS);
    let interrupts = Interrupts::listen(Some(events.clone()))?;
    let reporter = output::reporter(display, Mode::Plan);
    let (recording, reporter) = Recording::begin(&ready, Mode::Plan, invocation, &events, reporter);
    let saving = out.as_ref().map(|file| Saving::new(file, &ready, invocation));
    let reporter = match &saving {
        Some(saving) => Box::new(All(vec![saving.listener(), reporter])),
        None => reporter,
    };
    let driver = Driver::start(reporter, shown);
    let summary = make(ready, Mode::Plan, events, &interrupts).await;
    let interrupted = interrupts.happened();
    drop(interrupts);
    driver.finish().await;
    let exit = if interrupted { Exit::Interrupted } else { Exit::of(&summary) };
    recording.end(exit, false);
    match saving {
        Some(saving) if !interrupted => Ok(saving.write(exit, display)),
        _ => Ok(exit),
    }
}

/// Asks all hosts and makes a plan.
pub(super) async fn make(
    ready: common::Ready,
    mode: Mode,
    events: mpsc::Sender<crate::event::Event>,
    interrupts: &Interrupts,
) -> Summary {
    let common::Ready { run, redactor, options, connector, .. } = ready;
    let cancel = interrupts.cancel.clone();
    let mut engine = Engine::new(run, mode, options, connector, redactor, events, cancel).await;
    engine.gather().await;
    engine.tell_locks().await;
    if !interrupts.happened() {
        engine.plan().await;
    }
    engine.finish().await
}
