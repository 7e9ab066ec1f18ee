//! A shell on a host with what has to be kept about it: whether it holds the lock, and for whom it clears away what actions
//! have left there whose results have been taken. Both travel with the next frame.

use super::channel::Channel;
use super::lock::{self, Holder};
use super::owed::OwedThere;
use super::{Frame, Output, Part, Runs, Settings, TransportError, detach};
use crate::probe::Answer;

/// A running shell.
pub(super) struct Shell {
    channel: Channel,
    /// It has taken the lock, or looked at it.
    locked: bool,
    /// What it saw there.
    held: Option<Holder>,
    /// Whose it is, and what is still to be cleared away there.
    user: Option<String>,
    owed: OwedThere,
}

impl Shell {
    pub(super) fn new(channel: Channel, user: Option<String>, owed: OwedThere) -> Self {
        Self { channel, locked: false, held: None, user, owed }
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
        let done = self.owed.of(self.user.as_ref());
        if !done.is_empty() {
            before.push(Part::question(detach::forget(&settings.run_id, &done)));
        }
        let more = before.len();
        let parts = parts.into_iter().map(|part| detach::on_its_way(part, &settings.run_id));
        let frame = Frame { privilege, parts: before.into_iter().chain(parts).collect(), timeout };
        let mut shifted = |heard: Output<'_>| {
            let Some(part) = heard.part().checked_sub(more) else { return };
            output(match heard {
                Output::Began { .. } => Output::Began { part },
                Output::Line { stderr, line, .. } => Output::Line { part, stderr, line },
            });
        };
        let answers = self.channel.exchange(&frame, &mut shifted).await;
        let came = answers.as_ref().map_or_else(answers_of, |answers| answers.as_slice());
        if came.len() >= more {
            self.owed.paid(self.user.as_ref(), &done);
            self.owed.add(self.user.as_ref(), apart.into_iter().take(came.len() - more).flatten());
        }
        let mut answers = answers.map_err(|error| without(more, error))?;
        if locks && let Some(answer) = answers.first() {
            self.held = lock::read(&settings.locking, answer)?;
        }
        self.locked = true;
        answers.drain(..more.min(answers.len()));
        Ok(answers)
    }

    /// Ends it, and clears away what is done with.
    pub(super) async fn close(self, settings: &Settings) {
        let done = self.owed.of(self.user.as_ref());
        let last = (!done.is_empty()).then(|| detach::forget(&settings.run_id, &done));
        if self.channel.close(last.as_ref()).await {
            self.owed.paid(self.user.as_ref(), &done);
        }
    }
}

/// The name of a part that runs apart.
fn name(part: &Part) -> Option<String> {
    match &part.runs {
        Runs::Apart(apart) => Some(detach::plain(&apart.action)),
        Runs::Within | Runs::Locking => None,
    }
}

/// The answers that came before an error.
fn answers_of(error: &TransportError) -> &[Answer] {
    match error {
        TransportError::TimedOut { answers, .. } | TransportError::TooMuch { answers, .. } => answers,
        _ => &[],
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
