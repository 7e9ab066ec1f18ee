//! How the engine talks to a host: connect, then exchange frames of scripts with a shell that stays.
//!
//! `ssh` is the only place that names the `openssh` crate; `local` runs on the controller; `scripted` is
//! the double for tests. All speak the same frames.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Host, Privilege, Secret};
use crate::probe::{Ahead, Answer, Probe, Shared, Together};
use crate::shell::Payload;
use crate::shell::Script;

pub mod askpass;
mod channel;
mod decoder;
pub mod detach;
mod frames;
#[cfg(test)]
mod hostile_tests;
mod jump;
pub mod kept;
mod line;
pub mod local;
mod lock;
#[cfg(test)]
mod login_tests;
mod owed;
mod refused;
pub mod scan;
pub mod scripted;
mod session;
mod shell;
pub mod ssh;
mod sudo;
mod system;
mod together;

pub use detach::Apart;
pub use lock::{Holder, Locking};
pub use owed::Owed;
pub use system::System;

/// The programs by which sessions keep their hold on hosts.
pub const PROGRAMS: &[crate::program::Programs] = &[&[detach::PROGRAMS, lock::PROGRAMS]];

/// A future that can be boxed in a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Makes sessions with hosts.
pub trait Connector: Send + Sync + std::fmt::Debug {
    /// Connects to `host`.
    fn connect<'a>(&'a self, host: &'a Arc<Host>) -> BoxFuture<'a, Result<Box<dyn Session>, TransportError>>;

    /// Whether something is still to be cleared away on `host`, because a connection broke too early.
    fn owes(&self, _host: &Host) -> bool {
        false
    }
}

/// An open connection to one host. Shells for the privileges in use are started when first needed.
pub trait Session: Send + std::fmt::Debug {
    /// Sends `frame` and returns the answers to its parts, as many as ran: a failing part with
    /// [`Part::stop_on_failure`] is the last one answered.
    ///
    /// `output` gets lines as they come; it must not block.
    fn exchange<'a>(
        &'a mut self,
        frame: Frame,
        output: &'a mut (dyn FnMut(Output<'_>) + Send),
    ) -> BoxFuture<'a, Result<Vec<Answer>, TransportError>>;

    /// Returns another session on the same connection, with shells of its own: what runs in one keeps nobody in the
    /// other waiting. The connection ends with the last of them.
    fn fork(&self) -> Box<dyn Session>;

    /// Who holds the lock of the host, as far as it was looked at ([`Locking::Look`]).
    fn held(&self) -> Option<&Holder> {
        None
    }

    /// The number of exchanges so far, over all privileges: each is one round trip.
    fn exchanges(&self) -> u64;

    /// Clears away what earlier sessions of the run could not.
    fn settle(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Ends the session. What still runs on the host is stopped.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// Scripts that go to a host together and run one after the other, each in a subshell of its own.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Whose rights they have.
    pub privilege: Privilege,
    /// The scripts.
    pub parts: Vec<Part>,
    /// Bound of the whole frame: on the host by `timeout`, and some seconds later on the controller.
    /// [`Frame::NO_BOUND`] for none.
    pub timeout: Duration,
}

impl Frame {
    /// As long as it takes.
    pub const NO_BOUND: Duration = Duration::from_hours(100 * 365 * 24);
}

/// One script of a frame.
#[derive(Debug, Clone)]
pub struct Part {
    /// The script. Standard input is empty.
    pub script: Script,
    /// What it reads from file descriptor 3; what it leaves is thrown away.
    pub payload: Option<Payload>,
    /// Bound of this part on the host, in addition to the frame's.
    pub timeout: Option<Duration>,
    /// When it fails, the parts after it are not run.
    pub stop_on_failure: bool,
    /// Pass its output on, line by line, while it runs.
    pub stream: bool,
    /// What it wants to know that others before it may have wanted to know too.
    pub shared: Option<Shared>,
    /// How it is asked as one with others of the frame.
    pub together: Option<Together>,
    /// What can be found out for it and others of the frame at once.
    pub ahead: Option<Ahead>,
    /// What is kept of its standard output. Of standard error it is always the end.
    pub keep: Keep,
    /// Where it runs, and what ends it.
    pub runs: Runs,
}

/// Where a part runs, and what ends it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Runs {
    /// In the session: it is stopped when the connection or the controller goes.
    #[default]
    Within,
    /// On its own: once begun it comes to its end, or to its bound, whatever becomes of the session.
    Apart(Apart),
    /// In the session, which opens the lock of the host for it and keeps it open.
    Locking,
}

/// What is kept of what a part prints: a host may send without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// All of it. More than so many bytes are an error, and nothing of the frame is kept.
    All(usize),
    /// The end, about so many bytes; a line before it says how much is missing.
    End(usize),
}

impl Keep {
    /// An answer that will be read as a whole.
    pub const ANSWER: Self = Self::All(16 << 20);
    /// What an action prints, which people read.
    pub const ACTION: Self = Self::End(2 << 20);
    /// The content of a file, or what was asked for by hand.
    pub const CONTENT: Self = Self::All(65 << 20);

    /// The number of bytes.
    fn limit(self) -> usize {
        let (Self::All(limit) | Self::End(limit)) = self;
        limit
    }
}

impl Part {
    /// A question: it may fail without harm to the next ones.
    pub fn question(script: Script) -> Self {
        Self {
            script,
            payload: None,
            timeout: None,
            stop_on_failure: false,
            stream: false,
            shared: None,
            together: None,
            ahead: None,
            keep: Keep::ANSWER,
            runs: Runs::Within,
        }
    }

    /// The question of a probe.
    pub fn probe(probe: &Probe) -> Self {
        let (shared, together, ahead) = (probe.shared, probe.together.clone(), probe.ahead.clone());
        Self { shared, together, ahead, ..Self::question(probe.script.clone()) }
    }

    /// Whether it only asks, so that what was found out before still holds after it.
    fn only_asks(&self) -> bool {
        let within = self.runs == Runs::Within;
        within && self.payload.is_none() && self.timeout.is_none() && !self.stop_on_failure
    }
}

/// What is heard of a part, by its position in the frame, before its answer is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output<'a> {
    /// The one before it is over, and it begins.
    Began {
        /// Which.
        part: usize,
    },
    /// It printed a line.
    Line {
        /// Which.
        part: usize,
        /// Whether it came on standard error.
        stderr: bool,
        /// The line, lossily decoded, without its line break.
        line: &'a str,
    },
}

impl<'a> Output<'a> {
    /// The line, if it is one.
    pub fn line(&self) -> Option<&'a str> {
        match *self {
            Self::Began { .. } => None,
            Self::Line { line, .. } => Some(line),
        }
    }

    /// Of which part it is.
    pub fn part(&self) -> usize {
        match *self {
            Self::Began { part } | Self::Line { part, .. } => part,
        }
    }
}

/// Why a host could not be talked to.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TransportError {
    /// No connection came about, or it was lost: the host is unreachable, not failed.
    #[error("{message}")]
    Unreachable {
        /// What `ssh` said, shortened to what matters.
        message: String,
        /// What to do.
        hint: Option<String>,
        /// The connection was there before and broke off.
        lost: bool,
    },
    /// `sudo` does not let the user become whom the step asks for, or wants (another) password.
    #[error("{message}")]
    Privilege {
        /// What `sudo` said.
        message: String,
        /// What to do.
        hint: Option<String>,
        /// To try again is useless and harmful: each wrong password counts towards locking the account.
        stays: bool,
    },
    /// The login shell or the host's `sh` did not behave: what it printed is in the message.
    #[error("{message}")]
    Shell {
        /// What happened.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// Another run holds the lock of the host.
    #[error("locked by {0}")]
    Locked(Box<Holder>),
    /// A part printed more than [`Part::keep`] allows. The remote side was stopped.
    #[error("{message}")]
    TooMuch {
        /// What the bound is.
        message: String,
        /// The part, by its position.
        part: usize,
        /// The answers that had come before it.
        answers: Vec<Answer>,
    },
    /// The frame's bound was reached. The remote side was stopped.
    #[error("no answer within {} s{}", .after.as_secs(), .part.map(|p| format!(" (part {})", p + 1)).unwrap_or_default())]
    TimedOut {
        /// The bound.
        after: Duration,
        /// The part that was running, by its position.
        part: Option<usize>,
        /// The answers that had come before it.
        answers: Vec<Answer>,
    },
}

impl TransportError {
    /// The user did not want to wait for the answer.
    pub fn interrupted() -> Self {
        Self::Unreachable { message: "interrupted".into(), hint: None, lost: false }
    }
}

/// What all connections of a run share.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Bound of connecting and logging in, and then of the start of a shell.
    pub connect_timeout: Option<Duration>,
    /// The password for `sudo`, if one was given.
    pub become_password: Option<Secret>,
    /// The password for logging in, if one was given.
    pub login_password: Option<askpass::LoginPassword>,
    /// Where connections are kept for later runs, if they are, and for how long where the inventory says nothing else.
    pub keeping: Option<kept::Keeping>,
    /// Id of the run: scripts have it as `HW_RUN_ID`, for the names of backups and the like.
    pub run_id: String,
    /// What becomes of the locks of hosts.
    pub locking: Locking,
    /// What the run has still to clear away on hosts.
    pub owed: Owed,
}

/// Bound of logging in, and of the start of a shell, when none is given: some hosts ask a slow directory first.
const READY: Duration = Duration::from_secs(30);

impl Settings {
    /// How long a host that is there may take to log us in, and then to start a shell.
    fn ready(&self) -> Duration {
        self.connect_timeout.unwrap_or(READY)
    }
}
