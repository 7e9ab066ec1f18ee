//! Writing a journal, on a thread of its own: a slow disk holds nobody up.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::event::{Body, Event};
use crate::harmless;
use crate::report::Reporter;

/// A line of a journal as it is written.
#[derive(Serialize)]
struct Written<'a> {
    /// Milliseconds since 1970.
    time: u64,
    #[serde(flatten)]
    event: &'a Event,
}

/// Writes the events of a run.
#[derive(Debug)]
pub struct Writer {
    lines: Option<mpsc::Sender<(String, bool)>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Writes to `file`, which has its header. `failed` is called, once, with what went wrong: the rest of the run is
    /// not recorded.
    ///
    /// # Panics
    /// When the system has no thread to give.
    pub(super) fn start(file: File, failed: impl FnOnce(&io::Error) + Send + 'static) -> Self {
        let (lines, written) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || {
                if let Err(error) = write(file, &written) {
                    failed(&error);
                    // Who sends does not wait for anybody.
                    while written.recv().is_ok() {}
                }
            })
            .expect("a process can start a thread at its start");
        Self { lines: Some(lines), thread: Some(thread) }
    }
}

/// Writes what comes until the other end is gone. What ends a step is on the disk soon after.
fn write(mut file: File, lines: &mpsc::Receiver<(String, bool)>) -> io::Result<()> {
    while let Ok((line, ends)) = lines.recv() {
        let (mut text, mut ends) = (line, ends);
        while let Ok((line, more)) = lines.try_recv() {
            text.push_str(&line);
            ends |= more;
        }
        file.write_all(text.as_bytes())?;
        if ends {
            file.sync_data()?;
        }
    }
    file.sync_all()
}

/// Whether a journal without this event would lose something that has happened on a host.
fn ends_something(body: &Body) -> bool {
    matches!(
        body,
        Body::StepFinished(_)
            | Body::PlanFinished { .. }
            | Body::RunFinished { .. }
            | Body::HostUnreachable { .. }
            | Body::ActionStarted { .. }
    )
}

impl Reporter for Writer {
    fn event(&mut self, event: &Event) {
        // The answer has all lines.
        if matches!(event.body, Body::Said { .. }) {
            return;
        }
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let line = harmless::json(&Written { time, event }) + "\n";
        if let Some(lines) = &self.lines {
            // The thread takes lines as long as there is somebody to send them.
            let _ = lines.send((line, ends_something(&event.body)));
        }
    }

    fn finish(self: Box<Self>) {}
}

impl Drop for Writer {
    /// Waits until all is written.
    fn drop(&mut self) {
        drop(self.lines.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been told on standard error; the run is over anyway.
            let _ = thread.join();
        }
    }
}
