//! JSON lines: every event as it is, one object on a line. `explain events` tells of them.

use std::io::Write;

use super::reporter::Reporter;
use crate::event::Event;
use crate::harmless;

/// Writes events as JSON lines.
pub struct Json {
    out: Box<dyn Write + Send>,
}

impl Json {
    /// Writes to `out`: the lines are data.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out }
    }
}

impl std::fmt::Debug for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Json")
    }
}

impl Reporter for Json {
    fn event(&mut self, event: &Event) {
        let line = harmless::json(event) + "\n";
        // A reader that went away wants no more lines; the run goes on.
        let _ = self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush());
    }

    fn finish(self: Box<Self>) {}
}
