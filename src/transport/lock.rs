//! The lock of a host, which every run holds that may change it.
//!
//! It is `flock` on a file that the shell of a session has open, and with it each action that runs apart: the kernel lets
//! go of it with the last of them, so it is never stale. Who holds it is written down beside it.

use super::detach::{PLACES, plain};
use super::{Keep, Part, Runs, TransportError};
use crate::probe::Answer;
use crate::program;
use crate::program::{Handle, Library};

/// Looks at a lock; see there.
static HELD: Library = Library::new("lock/held.sh", include_str!("lock/held.sh"), &[]);

program! {
    /// Takes the lock.
    TakeLock in "lock/take_lock.sh" uses [PLACES, HELD] { run: Word, owner: Word }
}
program! {
    /// Asks who has it.
    AskLock in "lock/ask_lock.sh" uses [PLACES, HELD] { run: Word }
}

/// Its programs.
pub(super) const PROGRAMS: &[Handle] = &[TakeLock::program, AskLock::program];

/// Opens the lock in the shell of a session, on one line: what a frame opens is gone with it. The folder is made as
/// `places.sh` does it.
pub(super) const OPEN: &str = concat!(
    "hw_u=$(id -u); ",
    r#"if [ "$hw_u" = 0 ]; then hw_l=/run/hostwright hw_x=755; else hw_l=/tmp/hostwright-$hw_u hw_x=700; fi; "#,
    r#"mkdir -m "$hw_x" "$hw_l" 2>/dev/null; "#,
    r#"case $(ls -nd "$hw_l" 2>/dev/null) in drwx*" $hw_u "*) "#,
    r#"[ -e "$hw_l/lock" ] || true 2>/dev/null >>"$hw_l/lock"; "#,
    r#"if [ -f "$hw_l/lock" ] && [ -r "$hw_l/lock" ]; then exec 9<"$hw_l/lock"; fi;; esac; unset hw_u hw_l hw_x"#,
);

/// What is read of who holds a lock.
const OWNER: Keep = Keep::All(64 << 10);

/// What sessions do about the locks of hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Locking {
    /// They do not look.
    #[default]
    Not,
    /// They tell who holds it.
    Look,
    /// They take it, and say so of themselves: lines of a word and what it means (`user root`).
    Take(Vec<(&'static str, String)>),
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holder {
    /// The run.
    pub run: String,
    /// What it says of itself.
    pub said: Vec<(String, String)>,
    /// The actions that are all that is left of it: without a controller it is over with them.
    pub actions: Vec<String>,
}

/// `an apply of root on pc1 (run 2026…, playbooks a.toml, since 12:00)`.
impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = |word: &str| self.said.iter().find(|(w, _)| w == word).map(|(_, said)| said.as_str());
        if self.run.is_empty() {
            return f.write_str("somebody who has not said who it is");
        }
        write!(f, "an apply of {}", word("user").unwrap_or("somebody"))?;
        if let Some(from) = word("from") {
            write!(f, " on {from}")?;
        }
        let others = self.said.iter().filter(|(w, _)| w != "user" && w != "from");
        write!(f, " (run {}", self.run)?;
        for (word, said) in others {
            write!(f, ", {word} {said}")?;
        }
        f.write_str(")")
    }
}

/// The part that goes first over a new shell.
pub(super) fn part(locking: &Locking, run: &str) -> Option<Part> {
    let run = &plain(run);
    match locking {
        Locking::Not => None,
        Locking::Look => Some(Part { keep: OWNER, ..Part::question(AskLock { run }.script()) }),
        Locking::Take(said) => {
            let line = |(word, said): &(&str, String)| {
                let said: String =
                    said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect();
                format!("{word} {said}")
            };
            let owner = &said.iter().map(line).collect::<Vec<_>>().join("\n");
            let part = Part { keep: OWNER, ..Part::question(TakeLock { run, owner }.script()) };
            Some(Part { runs: Runs::Locking, stop_on_failure: true, ..part })
        }
    }
}

/// Exit codes of `take_lock.sh` when another run has the lock.
const HELD_BY_RUN: i32 = 75;
const HELD_BY_ACTIONS: i32 = 76;

/// What the answer to [`part`] means: who holds the lock, for one who only looks.
pub(super) fn read(locking: &Locking, answer: &Answer) -> Result<Option<Holder>, TransportError> {
    let holder = holder(&answer.text());
    match (locking, answer.code) {
        (Locking::Not, _) | (Locking::Take(_), 0) => Ok(None),
        (Locking::Look, _) => Ok(Some(holder).filter(|h| *h != Holder::default())),
        (Locking::Take(_), HELD_BY_RUN | HELD_BY_ACTIONS) => {
            let actions = if answer.code == HELD_BY_ACTIONS { holder.actions } else { Vec::new() };
            Err(TransportError::Locked(Box::new(Holder { actions, ..holder })))
        }
        (Locking::Take(_), code) => {
            let said = answer.error_text().trim().to_owned();
            let message = if said.is_empty() { format!("cannot lock the host (code {code})") } else { said };
            Err(TransportError::Shell { message, hint: None })
        }
    }
}

fn holder(text: &str) -> Holder {
    let mut holder = Holder::default();
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("run", run)) => run.clone_into(&mut holder.run),
            Some(("action", about)) => holder.actions.push(about.to_owned()),
            Some((word, said)) => holder.said.push((word.to_owned(), said.to_owned())),
            None => {}
        }
    }
    holder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_named() {
        let text = "run r1\nuser root\nfrom pc1\nplaybooks a.toml\naction install nfs-utils\n";
        let take = Locking::Take(Vec::new());
        let Err(TransportError::Locked(holder)) = read(&take, &Answer::new(76, text)) else { panic!() };
        assert_eq!(holder.to_string(), "an apply of root on pc1 (run r1, playbooks a.toml)");
        assert_eq!(holder.actions, ["install nfs-utils"]);
        let Err(TransportError::Locked(holder)) = read(&take, &Answer::new(75, text)) else { panic!() };
        assert!(holder.actions.is_empty());
        assert_eq!(read(&Locking::Look, &Answer::new(0, "")).unwrap(), None);
        assert!(matches!(read(&take, &Answer::new(1, "")), Err(TransportError::Shell { .. })));
    }

    #[test]
    fn it_is_opened_on_one_line() {
        assert!(!OPEN.contains(['\n', '\\']));
    }
}
