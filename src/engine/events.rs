//! The sending end of the event stream: time stamps, redaction, and what may be dropped.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::event::{Body, Entry, Event, Finished, Forecast};
use crate::model::{Failure, Redactor, Secret};

/// A time as events tell it.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Sends events, with what is secret masked. Clones share the stream and the known secrets.
#[derive(Debug, Clone)]
pub struct Events {
    sender: mpsc::Sender<Event>,
    start: Instant,
    redactor: Arc<RwLock<Redactor>>,
}

impl Events {
    /// The run starts now.
    pub fn new(sender: mpsc::Sender<Event>, redactor: Redactor) -> Self {
        Self { sender, start: Instant::now(), redactor: Arc::new(RwLock::new(redactor)) }
    }

    /// Sends a state event, waiting for room. A reporter that has gone away is no reason to stop.
    ///
    /// # Panics
    /// Never: an event is made of strings and numbers.
    pub async fn send(&self, body: Body) {
        let event = self.event(body);
        let _ = self.sender.send(event).await;
    }

    /// Sends what may be lost, if there is room; whether there was.
    pub(super) fn offer(&self, body: Body) -> bool {
        self.sender.capacity() > 0 && self.sender.try_send(self.event(body)).is_ok()
    }

    /// Learns a secret that came up during the run.
    pub(super) fn learn(&self, secret: &Secret) {
        self.redactor.write().expect("nothing panics while it holds the lock").add(secret);
    }

    /// A forecast as it is shown.
    pub(super) fn shown(&self, forecast: Forecast) -> Forecast {
        let redactor = self.redactor.read().expect("nothing panics while it holds the lock");
        let mut value = serde_json::to_value(&forecast).expect("a forecast is made of strings and numbers");
        redactor.redact_json(&mut value);
        let mut forecast = serde_json::from_value(value).unwrap_or(forecast);
        if let Forecast::Change { change, .. } = &mut forecast {
            change.programs.iter_mut().for_each(shorten_program);
        }
        forecast
    }

    fn event(&self, body: Body) -> Event {
        let at_ms = millis(self.start.elapsed());
        let mut event = Event { at_ms, body };
        let redactor = self.redactor.read().expect("nothing panics while it holds the lock");
        if redactor.is_empty() {
            shorten(&mut event.body);
            return event;
        }
        let mut value = serde_json::to_value(&event).expect("an event is made of strings and numbers");
        redactor.redact_json(&mut value);
        let mut event = serde_json::from_value(value).unwrap_or_else(|_| Event {
            at_ms,
            // Only when a secret is equal to a word of the format itself.
            body: Body::Warning {
                host: None,
                message: "an event was withheld: a secret occurs in its form".into(),
            },
        });
        shorten(&mut event.body);
        event
    }
}

/// So much of what a failed command printed is told, in characters: the end of it.
const OUTPUT: usize = 4_000;

/// So much of an answer that makes no sense is told, in characters: its beginning.
const ANSWER: usize = 600;

/// So much of what was sent is told, in characters: its beginning.
const PROGRAM: usize = 1_000;

fn shorten_program(program: &mut String) {
    if let Some((end, _)) = program.char_indices().nth(PROGRAM) {
        program.replace_range(end.., " ...");
    }
}

/// Cuts what a failure tells, after secrets have been masked: half a secret would not be found.
fn shorten(body: &mut Body) {
    match body {
        Body::ActionStarted { program, .. } => shorten_program(program),
        Body::Planned(Entry { forecast: Forecast::Change { change, .. }, .. })
        | Body::StepFinished(Finished { change: Some(change), .. }) => {
            change.programs.iter_mut().for_each(shorten_program);
        }
        _ => {}
    }
    let failure = match body {
        Body::HostUnreachable { failure, .. }
        | Body::NotAnswered { failure, .. }
        | Body::StepRetried { failure, .. } => Some(failure),
        Body::Planned(entry) => match &mut entry.forecast {
            Forecast::Error { failure } => Some(failure),
            _ => None,
        },
        Body::StepFinished(finished) => finished.failure.as_mut(),
        _ => None,
    };
    let Some(Failure { code, output, program, .. }) = failure else { return };
    if let Some(program) = program {
        shorten_program(program);
    }
    if code.is_none() {
        if let Some((end, _)) = output.char_indices().nth(ANSWER) {
            output.replace_range(end.., " ...");
        }
    } else if let Some((start, _)) = output.char_indices().rev().nth(OUTPUT) {
        output.replace_range(..start, "... ");
    }
}
