//! Lines for pipes and logs of continuous integration: nothing moves, nothing is drawn over.

use std::io::Write;

use super::log::{Line, Log, Looks, Stream};
use super::progress::Progress;
use super::reporter::Reporter;
use super::style::{Detail, Look};
use crate::event::Event;
use crate::harmless;

/// How often it is told what still runs, in milliseconds.
const STILL_MS: u64 = 30_000;

/// A place that lines are written to.
pub struct Sink {
    /// Where they go.
    pub to: Box<dyn Write + Send>,
    /// What can be shown there.
    pub look: Look,
}

impl Sink {
    /// Standard output: for what came of it.
    pub fn stdout(look: Look) -> Self {
        Self { to: Box::new(std::io::stdout()), look }
    }

    /// Standard error: for what goes on meanwhile.
    pub fn stderr(look: Look) -> Self {
        Self { to: Box::new(std::io::stderr()), look }
    }

    pub(super) fn write(&mut self, line: &str) {
        let line = harmless::painted(line);
        // Nobody reads on: the run goes on all the same.
        let _ = self.to.write_all(line.as_bytes()).and_then(|()| self.to.write_all(b"\n"));
    }

    pub(super) fn flush(&mut self) {
        let _ = self.to.flush();
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").field("look", &self.look).finish_non_exhaustive()
    }
}

/// Writes a line for each thing worth keeping.
#[derive(Debug)]
pub struct Plain {
    out: Sink,
    err: Sink,
    detail: Detail,
    log: Log,
    progress: Progress,
    /// When it was last told what still runs.
    told_ms: u64,
}

impl Plain {
    /// Writes what came of steps to `out`, and what goes on meanwhile to `err`.
    pub fn new(out: Sink, err: Sink, detail: Detail) -> Self {
        let log = Log::new(Looks { out: out.look, err: err.look }, detail);
        Self { out, err, detail, log, progress: Progress::default(), told_ms: 0 }
    }

    /// The plan is not written where these lines are: what must be known of it is told here.
    #[must_use]
    pub fn plan_is_elsewhere(mut self) -> Self {
        self.log.plan_is_elsewhere();
        self
    }

    fn write(&mut self, lines: &[Line]) {
        // One after the other, so that they are in order where both go to the same place.
        for lines in lines.chunk_by(|a, b| a.to == b.to) {
            let sink = if lines[0].to == Stream::Out { &mut self.out } else { &mut self.err };
            for line in lines {
                sink.write(&line.text);
            }
            sink.flush();
        }
    }
}

impl Reporter for Plain {
    fn event(&mut self, event: &Event) {
        self.progress.take(event);
        let lines = self.log.lines(event);
        self.write(&lines);
    }

    fn tick(&mut self, at_ms: u64) {
        let mut lines = self.log.tick(at_ms);
        if at_ms.saturating_sub(self.told_ms) >= STILL_MS {
            self.told_ms = at_ms;
            if !self.detail.quiet {
                let still = self.progress.still(self.err.look, at_ms).into_iter();
                lines.extend(still.map(|text| Line { to: Stream::Err, text }));
            }
        }
        self.write(&lines);
    }

    fn finish(mut self: Box<Self>) {
        let lines = self.log.rest();
        self.write(&lines);
    }
}
