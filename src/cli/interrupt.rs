//! Ctrl-C: the first lets running actions end, the second stops them, the third is out at once. The end of the terminal
//! (SIGHUP) and SIGTERM count as one.

use std::time::Instant;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::engine::{Cancel, Level};
use crate::event::{Body, Event};

/// Listens for signals until it is dropped.
#[derive(Debug)]
pub(super) struct Interrupts {
    task: JoinHandle<()>,
    level: watch::Receiver<Level>,
    /// What the engine asks.
    pub(super) cancel: Cancel,
}

impl Interrupts {
    /// Starts to listen. Where there is a reporter, the terminal is its own: it is told through `events`.
    pub(super) fn listen(events: Option<mpsc::Sender<Event>>) -> std::io::Result<Self> {
        let (trigger, cancel) = Cancel::new();
        let (told, level) = watch::channel(Level::None);
        let mut keyboard = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let start = Instant::now();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = keyboard.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                let level = trigger.interrupt();
                if told.send_replace(level) == Level::Kill {
                    leave();
                }
                let message = match level {
                    Level::None => continue,
                    Level::Drain => {
                        "interrupted: no further step starts, running actions may end; \
                        press Ctrl-C again to stop them"
                    }
                    Level::Kill => {
                        "interrupted again: running actions are stopped; a third Ctrl-C does not wait for that"
                    }
                };
                let Some(events) = &events else {
                    super::output::message(message);
                    continue;
                };
                let at_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
                let body = Body::Warning { host: None, message: message.into() };
                // A reporter that does not keep up must not hold the second Ctrl-C back.
                let _ = events.try_send(Event { at_ms, body });
            }
        });
        Ok(Self { task, level, cancel })
    }

    /// Whether there has been an interruption.
    pub(super) fn happened(&self) -> bool {
        *self.level.borrow() > Level::None
    }

    /// Waits for one.
    pub(super) async fn wait(&self) {
        let mut level = self.level.clone();
        if level.wait_for(|l| *l > Level::None).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Ends the process, whatever is still waited for. What runs on hosts apart from us goes on to its end there, and the
/// next apply takes it up.
#[expect(clippy::exit, reason = "the user has asked three times")]
fn leave() -> ! {
    super::output::restore_terminal();
    std::process::exit(i32::from(super::exit::Exit::Interrupted as u8))
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.task.abort();
    }
}
