//! JSON lines: every event as it is, one object on a line. `explain events` tells of them.

use std::io::Write;

use super::reporter::Reporter;
use crate::event::Event;

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
        let mut line = serde_json::to_vec(event).expect("an event has string keys only");
        line.push(b'\n');
        // A reader that went away wants no more lines; the run goes on.
        let _ = self.out.write_all(&line).and_then(|()| self.out.flush());
    }

    fn finish(self: Box<Self>) {}
}
