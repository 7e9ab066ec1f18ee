//! What every display has in common: it takes events in, in order, and decides nothing.

use std::fmt;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::event::{Body, Event, Summary};

/// Shows a run from its events.
pub trait Reporter: Send {
    /// Takes in the next event.
    fn event(&mut self, event: &Event);

    /// Time has passed: `at_ms` is milliseconds since the run started. Called some ten times a second.
    fn tick(&mut self, at_ms: u64) {
        let _ = at_ms;
    }

    /// No more events will come.
    fn finish(self: Box<Self>);
}

/// Several reporters, each getting every event, in order.
pub struct All(pub Vec<Box<dyn Reporter>>);

impl Reporter for All {
    fn event(&mut self, event: &Event) {
        self.0.iter_mut().for_each(|r| r.event(event));
    }

    fn tick(&mut self, at_ms: u64) {
        self.0.iter_mut().for_each(|r| r.tick(at_ms));
    }

    fn finish(self: Box<Self>) {
        self.0.into_iter().for_each(Reporter::finish);
    }
}

impl fmt::Debug for All {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("All").field(&self.0.len()).finish()
    }
}

/// The fold over the events, for a plan and for the apply that follows it: the apply counts anew.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// What has come so far.
    pub summary: Summary,
    planned: bool,
}

impl Tally {
    /// Takes in one event.
    pub fn take(&mut self, body: &Body) {
        match body {
            Body::PlanFinished { .. } => self.planned = true,
            Body::PlayStarted { .. } | Body::StepStarted { .. } | Body::StepFinished(_) if self.planned => {
                self.planned = false;
                self.summary.restart();
            }
            _ => {}
        }
        self.summary.fold(body);
    }
}

/// The time that a run took, without that which the user took to answer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WorkTime {
    planned_ms: Option<u64>,
    asked_ms: u64,
}

impl WorkTime {
    /// Takes in one event: between the end of the plan and the first playbook, nothing but the user is waited for.
    pub(crate) fn take(&mut self, event: &Event) {
        match event.body {
            Body::PlanFinished { .. } => self.planned_ms = Some(event.at_ms),
            Body::PlayStarted { .. } => {
                if let Some(planned_ms) = self.planned_ms.take() {
                    self.asked_ms = event.at_ms.saturating_sub(planned_ms);
                }
            }
            _ => {}
        }
    }

    /// The time worked when the run's clock shows `at_ms`.
    pub(crate) fn of(self, at_ms: u64) -> u64 {
        at_ms.saturating_sub(self.asked_ms)
    }
}

/// How often a display that moves is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// A reporter at work on a thread of its own, so that a slow terminal does not hold the run up.
#[derive(Debug)]
pub struct Driver {
    thread: JoinHandle<Summary>,
    plan_shown: Option<oneshot::Receiver<()>>,
}

impl Driver {
    /// Shows what comes out of `events` until the other end is dropped.
    ///
    /// # Panics
    /// When the system has no thread to give.
    pub fn start(reporter: Box<dyn Reporter>, events: mpsc::Receiver<Event>) -> Self {
        let (shown, plan_shown) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("report".into())
            .spawn(move || drive(reporter, events, shown))
            .expect("a process can start a thread at its start");
        Self { thread, plan_shown: Some(plan_shown) }
    }

    /// Waits until the plan has been shown (or the events have ended), so that a question may follow it.
    pub async fn plan_shown(&mut self) {
        if let Some(shown) = self.plan_shown.take() {
            // An error means that the events ended before a plan was complete: nothing to wait for.
            let _ = shown.await;
        }
    }

    /// Waits until all events have been shown and returns what they come to.
    ///
    /// # Panics
    /// When the reporter panicked: its panic goes on here.
    pub async fn finish(self) -> Summary {
        match tokio::task::spawn_blocking(move || self.thread.join()).await {
            Ok(Ok(summary)) => summary,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(error) => panic!("the reporter could not be waited for: {error}"),
        }
    }
}

fn drive(
    mut reporter: Box<dyn Reporter>,
    mut events: mpsc::Receiver<Event>,
    shown: oneshot::Sender<()>,
) -> Summary {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime with a clock alone needs nothing from the system");
    let mut shown = Some(shown);
    let mut tally = Tally::default();
    // The run's clock goes on between events.
    let mut clock = (0, Instant::now());
    runtime.block_on(async {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                event = events.recv() => {
                    let Some(event) = event else { break };
                    clock = (event.at_ms, Instant::now());
                    tally.take(&event.body);
                    reporter.event(&event);
                    if matches!(event.body, Body::PlanFinished { .. })
                        && let Some(shown) = shown.take()
                    {
                        // Nobody waits for it in a plain `plan`.
                        let _ = shown.send(());
                    }
                }
                _ = ticks.tick() => {
                    let since = u64::try_from(clock.1.elapsed().as_millis()).unwrap_or(u64::MAX);
                    reporter.tick(clock.0 + since);
                }
            }
        }
    });
    reporter.finish();
    tally.summary
}
