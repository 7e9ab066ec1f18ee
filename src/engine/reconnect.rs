//! Lost connections: made again, and what was under way on them taken up where it was.
//!
//! A frame that was lost is sent once more as it is: an action that had begun apart from its session is found, and followed;
//! all others may be run again after they were cut off, and a question may be asked twice.

use std::time::Duration;

use tokio::time::Instant;

use super::events::{Events, millis};
use super::link::{Asker, Link};
use crate::event::Body;
use crate::probe::Answer;
use crate::transport::{Frame, Output, Runs, TransportError};

/// The first pause before a host is tried again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// How many lines of each part have been passed on, or are still to be left out; those of standard error apart.
type Lines = Vec<[usize; 2]>;

impl Link {
    /// Exchanges a frame over as many connections as it takes. A host that has been away for longer than `bound` is lost.
    pub(super) async fn exchange_on_and_on(
        &self,
        asker: Asker,
        frame: Frame,
        bound: Duration,
        events: &Events,
        output: &mut (dyn FnMut(Output<'_>) + Send),
    ) -> Result<Vec<Answer>, TransportError> {
        let begun = Instant::now();
        let mut passed: Lines = vec![[0; 2]; frame.parts.len()];
        let mut known = passed.clone();
        let mut lost: Option<(Instant, TransportError)> = None;
        let mut pause = PAUSES.0;
        loop {
            let mut count = |heard: Output<'_>| {
                let Output::Line { part, stderr, .. } = heard else { return output(heard) };
                let stream = usize::from(stderr);
                if let Some(left) = known.get_mut(part).map(|p| &mut p[stream])
                    && *left > 0
                {
                    *left -= 1;
                    return;
                }
                if let Some(passed) = passed.get_mut(part) {
                    passed[stream] += 1;
                }
                output(heard);
            };
            let again = again(&frame, lost.as_ref().map(|_| begun.elapsed()));
            let back = async {
                // That it answers at all shows with the connection.
                if let Some((since, _)) = &lost {
                    self.connect_as(asker).await?;
                    self.came_back(since.elapsed());
                    let away_ms = millis(since.elapsed());
                    events.send(Body::HostBack { host: self.host.name.clone(), away_ms }).await;
                }
                Ok(())
            };
            let connected: Result<(), TransportError> = back.await;
            let answered = match connected {
                Ok(()) => {
                    if lost.take().is_some() {
                        pause = PAUSES.0;
                    }
                    self.exchange_once(asker, again, &mut count).await
                }
                Err(error) => Err(error),
            };
            let error = match answered {
                Err(error @ TransportError::Unreachable { .. }) => error,
                other => return other,
            };
            match (&lost, &error) {
                // It was never there.
                (None, TransportError::Unreachable { lost: false, .. }) => return Err(error),
                (None, _) => {
                    let (host, message) = (self.host.name.clone(), error.to_string());
                    events.send(Body::HostLost { host, message }).await;
                    known.clone_from(&passed);
                    self.drop_broken(asker).await;
                    if bound.is_zero() {
                        return Err(error);
                    }
                    lost = Some((Instant::now(), error));
                }
                (Some((since, first)), _) if since.elapsed() >= bound => return Err(first.clone()),
                (Some(_), _) => self.drop_broken(asker).await,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

/// The frame, for the first time, or so long after that.
fn again(frame: &Frame, after: Option<Duration>) -> Frame {
    let mut frame = frame.clone();
    for part in &mut frame.parts {
        if let Runs::Apart(apart) = &mut part.runs {
            apart.since = after;
        }
    }
    frame
}
