//! Barriers that hold for several controllers: each of them has a part of the hosts.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::shared::Shared;
use crate::event::Body;

/// How often it is looked whether the others have come.
const PAUSE: Duration = Duration::from_millis(500);

/// Waiting is told of when it has gone on for so long.
const TELL: Duration = Duration::from_secs(10);

/// Where controllers tell each other how far they are.
pub trait Meeting: fmt::Debug + Send + Sync {
    /// Says that all before the barrier with this number is done here, counted from 1, and looks how far the others are.
    fn arrive(&self, barrier: usize) -> Standing;
}

/// How the others stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// All have come.
    Go,
    /// These have not.
    Waits(Vec<String>),
    /// There is nothing to wait for any more: why, a lower-case fragment.
    Stop(String),
}

/// Waits at a barrier until all have come; returns whether to go on.
pub(super) async fn wait(meeting: &dyn Meeting, barrier: usize, bound: Duration, shared: &Shared) -> bool {
    let warn = |message: String| shared.events.send(Body::Warning { host: None, message });
    let begun = Instant::now();
    let mut told = false;
    loop {
        let others = match meeting.arrive(barrier) {
            Standing::Go => return true,
            Standing::Stop(why) => {
                warn(format!("stopped at a barrier: {why}")).await;
                return false;
            }
            Standing::Waits(others) => others.join(", "),
        };
        if shared.stopped() {
            return false;
        }
        if begun.elapsed() >= bound {
            warn(format!("stopped at a barrier: after {} s it still waits for {others}", bound.as_secs()))
                .await;
            return false;
        }
        if !told && begun.elapsed() >= TELL {
            told = true;
            warn(format!(
                "waits for {others}, which the next playbook needs to be done with the ones before"
            ))
            .await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
