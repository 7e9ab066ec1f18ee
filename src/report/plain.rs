//! Lines for pipes and logs of continuous integration: nothing moves, nothing is drawn over.

use std::io::Write;

use super::log::Log;
use super::reporter::Reporter;
use super::style::{Detail, Look};
use crate::event::Event;
use crate::harmless;

/// Writes a line for each thing worth keeping.
pub struct Plain {
    out: Box<dyn Write + Send>,
    log: Log,
}

impl Plain {
    /// Writes to `out`, which is standard error: progress is no data.
    pub fn new(out: Box<dyn Write + Send>, look: Look, detail: Detail) -> Self {
        Self { out, log: Log::new(look, detail) }
    }

    /// The plan is not written where these lines are: what must be known of it is told here.
    #[must_use]
    pub fn plan_is_elsewhere(mut self) -> Self {
        self.log.plan_is_elsewhere();
        self
    }
}

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plain").field("log", &self.log).finish_non_exhaustive()
    }
}

impl Reporter for Plain {
    fn event(&mut self, event: &Event) {
        let lines = self.log.lines(event);
        if !lines.is_empty() {
            let text = lines.join("\n") + "\n";
            // Nobody reads on: the run goes on all the same.
            let _ = self.out.write_all(harmless::painted(&text).as_bytes()).and_then(|()| self.out.flush());
        }
    }

    fn finish(self: Box<Self>) {}
}
