//! Actions that say nothing for long: that is told, so that nobody takes a slow host for one that hangs.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::events::{Events, millis};
use crate::event::{Body, StepRef};

/// After so long an action that says nothing is told of; then each time after twice as long.
const SILENCE: Duration = Duration::from_secs(30);

/// When an action was last heard of.
#[derive(Debug)]
pub(super) struct Heard(Mutex<Instant>);

impl Default for Heard {
    fn default() -> Self {
        Self(Mutex::new(Instant::now()))
    }
}

impl Heard {
    /// It was heard of now.
    pub(super) fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells each time when nothing is heard; it never ends.
    pub(super) async fn tell_silence(&self, events: &Events, at: &StepRef) -> std::convert::Infallible {
        let mut next = SILENCE;
        let mut since = self.last();
        loop {
            tokio::time::sleep_until(since + next).await;
            let last = self.last();
            if last == since {
                let for_ms = millis(last.elapsed());
                events.offer(Body::Silent { at: at.clone(), for_ms });
                next *= 2;
            } else {
                (since, next) = (last, SILENCE);
            }
        }
    }
}
