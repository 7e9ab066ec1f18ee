//! Actions that come to their end by themselves: begun in a session of their own on the host, whoever goes away meanwhile.
//!
//! Such a part is another one on its way to the host: a program that begins the action, or finds that it has begun, and
//! follows it. So a frame that was lost with its connection is sent once more, as it is, and goes on where it was.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::frames::seconds;
use super::{Part, Runs};
use crate::model::Secret;
use crate::model::digest::hex;
use crate::program;
use crate::program::{Handle, Library, Value};
use crate::shell::Script;

/// Where things of runs are on a host; see there.
pub(super) static PLACES: Library = Library::new("detach/places.sh", include_str!("detach/places.sh"), &[]);

program! {
    /// Begins an action, or finds it, and follows it.
    StartAction in "detach/start_action.sh" uses [PLACES] {
        run: Word, action: Word, step: Word, about: Word, bound: Word, once: Word, since: Number, code: Hidden,
        fed: Flag, runner: Word,
    }
}
program! {
    /// Runs an action, apart from all else.
    pub RunAction in "detach/run_action.sh" { folder: Word, action: Word, bound: Word }
}
program! {
    /// Clears away what is done with.
    ForgetActions in "detach/forget_actions.sh" uses [PLACES] { run: Word, actions: List }
}
program! {
    /// Asks what runs, or has run.
    AskActions in "detach/ask_actions.sh" uses [PLACES]
}
program! {
    /// Stops the actions of a run.
    StopActions in "detach/stop_actions.sh" uses [PLACES] { run: Word }
}

/// Its programs.
pub(super) const PROGRAMS: &[Handle] = &[
    StartAction::program,
    RunAction::program,
    ForgetActions::program,
    AskActions::program,
    StopActions::program,
];

/// How a part is known that ends by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apart {
    /// Its name, which nothing else in the run has. Only what is plain in a path is kept of it.
    pub action: String,
    /// The step that it belongs to.
    pub step: String,
    /// What it does, for people.
    pub about: String,
    /// Whether it may run twice.
    pub once: Once,
    /// How long ago it was sent for the first time, if this is not the first.
    pub since: Option<Duration>,
}

/// Whether an action may run twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Once {
    /// It may.
    No,
    /// If an earlier run began it and never took its result, that one counts.
    Ever,
    /// Only within this run: what an earlier one has left is out of date, for it came before a change that this one made.
    InRun,
}

impl Once {
    fn word(self) -> &'static str {
        match self {
            Self::No => "",
            Self::Ever => "ever",
            Self::InRun => "in_run",
        }
    }
}

/// What of a name can be a part of a path, of the name of a unit and of a line.
pub(super) fn plain(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = name.chars().map(plain).take(100).collect();
    // Neither hidden nor `..`.
    if name.starts_with('.') || name.is_empty() { format!("_{name}") } else { name }
}

/// The part that goes to the host for one that is to run apart.
pub(super) fn on_its_way(part: Part, run: &str) -> Part {
    let Runs::Apart(apart) = &part.runs else { return part };
    let code = part.script.render();
    let bound = seconds(part.timeout.unwrap_or(super::Frame::NO_BOUND));
    // What is for people is one line.
    let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let script = StartAction {
        run: &plain(run),
        action: &plain(&apart.action),
        step: &format!("{} {}", line(&apart.step), digest(&code, &part)),
        about: &line(&apart.about),
        bound: &bound,
        once: apart.once.word(),
        since: apart.since.map(|since| since.as_secs()),
        code: Value::Secret(Secret::new(code)),
        fed: part.payload.is_some(),
        runner: &runner(),
    }
    .script();
    // The action keeps to its bound; what follows it has none but the frame's.
    Part { script, timeout: None, ..part }
}

/// Tells one action of a step from another, and from one that has been changed since.
fn digest(code: &str, part: &Part) -> String {
    let mut digest = Sha256::new();
    digest.update(code.as_bytes());
    digest.update([0]);
    if let Some(payload) = &part.payload {
        digest.update(&payload.0);
    }
    hex(&digest.finalize()[..16])
}

/// The program that runs an action, with arguments for its variables: it is started by another program.
fn runner() -> String {
    let program = RunAction::program();
    let variables: Vec<String> =
        (program.variables.iter().enumerate()).map(|(n, name)| format!("{name}=${}", n + 1)).collect();
    format!("{}\n{}", variables.join(" "), program.text.lean())
}

/// Clears away these actions of a run.
pub(super) fn forget(run: &str, actions: &[String]) -> Script {
    ForgetActions { run: &plain(run), actions }.script()
}

/// Stops the actions of a run on a host: of that one, or of the session's own.
pub fn stop(run: Option<&str>) -> Part {
    Part::question(StopActions { run: &run.map(plain).unwrap_or_default() }.script())
}

/// Asks what runs on a host, or has run without anybody taking note; for [`left`].
pub fn ask() -> Part {
    Part::question(AskActions.script())
}

/// An action that is on a host, by [`ask`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The run that began it.
    pub run: String,
    /// Its name there.
    pub action: String,
    /// How it is.
    pub state: State,
    /// For how long it has been there.
    pub age: Duration,
    /// What it does.
    pub about: String,
}

/// How an action is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running,
    /// It has ended with this exit code.
    Ended(i32),
    /// It was cut off: nobody knows how far it came.
    Gone,
}

/// Reads the answer to [`ask`]. Lines that nobody can understand are left out.
pub fn left(answer: &str) -> Vec<Left> {
    let read = |line: &str| {
        let mut words = line.splitn(5, ' ');
        let (run, action) = (words.next()?.to_owned(), words.next()?.to_owned());
        let state = match words.next()? {
            "running" => State::Running,
            "gone" => State::Gone,
            code => State::Ended(code.parse().ok()?),
        };
        let age = Duration::from_secs(words.next()?.parse().ok()?);
        Some(Left { run, action, state, age, about: words.next().unwrap_or_default().to_owned() })
    };
    answer.lines().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_read() {
        let read = left("r1 a-1 running 12 install nfs-utils\nr1 a-2 0 3 \nr2 b gone 9 x\nnonsense\n");
        let states: Vec<_> = read.iter().map(|l| (l.action.as_str(), l.state)).collect();
        assert_eq!(states, [("a-1", State::Running), ("a-2", State::Ended(0)), ("b", State::Gone)]);
        assert_eq!((read[0].about.as_str(), read[0].age.as_secs()), ("install nfs-utils", 12));
    }

    #[test]
    fn names_lead_nowhere() {
        assert_eq!(plain("../a b/ü"), "_.._a_b__");
        assert_eq!(plain(""), "_");
        assert_eq!(plain("20261126T120000Z-7"), "20261126T120000Z-7");
    }
}
