//! The question before something is done, at the terminal.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use super::interrupt::Interrupts;
use super::output;

/// Whether there is somebody to ask.
pub(super) fn may_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks whether to go on. No answer is no.
pub(super) async fn confirm(question: String, interrupts: &Interrupts) -> bool {
    let ask = tokio::task::spawn_blocking(move || {
        // The lock must not be held while the user thinks: others have something to say when interrupted.
        let asked = std::io::stderr().lock().write_all(crate::harmless::painted(&question).as_bytes());
        // Without a question there is no yes.
        if asked.is_err() {
            return false;
        }
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).is_ok() && is_yes(&answer)
    });
    tokio::select! {
        answer = ask => answer.unwrap_or(false),
        () = interrupts.wait() => {
            output::message("");
            false
        }
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for (answer, yes) in [("y\n", true), ("Yes\n", true), ("\n", false), ("", false), ("yep\n", false)] {
            assert_eq!(is_yes(answer), yes, "{answer:?}");
        }
    }
}
