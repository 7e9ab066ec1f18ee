//! A shell on a host with what has to be kept about it: whether it holds the lock, and what actions have left there whose
//! results have been taken. Both travel with the next frame.

use super::channel::Channel;
use super::lock::{self, Holder};
use super::{Frame, Output, Part, Runs, Settings, TransportError, detach};
use crate::probe::Answer;

/// A running shell.
pub(super) struct Shell {
    channel: Channel,
    /// It has taken the lock, or looked at it.
    locked: bool,
    /// What it saw there.
    held: Option<Holder>,
    /// The actions whose results have come.
    taken: Vec<String>,
}

impl Shell {
    pub(super) fn new(channel: Channel) -> Self {
        Self { channel, locked: false, held: None, taken: Vec::new() }
    }

    pub(super) fn login_user(&self) -> Option<&str> {
        self.channel.login_user()
    }

    /// Who holds the lock of the host, if this one was to look.
    pub(super) fn held(&self) -> Option<&Holder> {
        self.held.as_ref()
    }

    /// Sends `frame` and reads the answers. After an error the shell must not be used again.
    pub(super) async fn exchange(
        &mut self,
        frame: Frame,
        settings: &Settings,
        output: &mut (dyn FnMut(Output<'_>) + Send),
    ) -> Result<Vec<Answer>, TransportError> {
        let Frame { privilege, parts, timeout } = frame;
        let apart: Vec<Option<String>> = parts.iter().map(name).collect();
        let mut before = Vec::new();
        let lock = if self.locked { None } else { lock::part(&settings.locking, &settings.run_id) };
        let locks = lock.is_some();
        before.extend(lock);
        if !self.taken.is_empty() {
            before.push(Part::question(detach::forget(&settings.run_id, &self.taken)));
        }
        let more = before.len();
        let parts = parts.into_iter().map(|part| detach::on_its_way(part, &settings.run_id));
        let frame = Frame { privilege, parts: before.into_iter().chain(parts).collect(), timeout };
        let mut shifted = |line: Output<'_>| {
            if let Some(part) = line.part.checked_sub(more) {
                output(Output { part, ..line });
            }
        };
        let answers = self.channel.exchange(&frame, &mut shifted).await;
        let mut answers = answers.map_err(|error| without(more, error))?;
        if locks && let Some(answer) = answers.first() {
            self.held = lock::read(&settings.locking, answer)?;
        }
        self.locked = true;
        answers.drain(..more.min(answers.len()));
        self.taken = apart.into_iter().take(answers.len()).flatten().collect();
        Ok(answers)
    }

    /// Ends it, and clears away what is done with.
    pub(super) async fn close(self, settings: &Settings) {
        let last = (!self.taken.is_empty()).then(|| detach::forget(&settings.run_id, &self.taken));
        self.channel.close(last.as_ref()).await;
    }
}

/// The name of a part that runs apart.
fn name(part: &Part) -> Option<String> {
    match &part.runs {
        Runs::Apart(apart) => Some(detach::plain(&apart.action)),
        Runs::Within | Runs::Locking => None,
    }
}

/// The same error, said of a frame without its first parts.
fn without(more: usize, error: TransportError) -> TransportError {
    let rest = |mut answers: Vec<Answer>| answers.split_off(more.min(answers.len()));
    match error {
        TransportError::TimedOut { after, part, answers } => TransportError::TimedOut {
            after,
            part: part.map(|n| n.saturating_sub(more)),
            answers: rest(answers),
        },
        TransportError::TooMuch { message, part, answers } => {
            TransportError::TooMuch { message, part: part.saturating_sub(more), answers: rest(answers) }
        }
        other => other,
    }
}
