//! What is told of an action that failed: in the words of the host, with the command that failed and what to do.

use std::time::Duration;

use crate::event::{Body, StepRef};
use crate::model::{Failure, SlotIndex};
use crate::probe::Answer;
use crate::shell::Script;

/// What a part of a frame is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// A note of our own.
    Note,
    /// It makes a change.
    Act,
    /// It asks.
    Ask,
}

/// What people are told of a part of a frame.
#[derive(Debug)]
pub(super) struct Told {
    /// Whose it is.
    pub(super) slot: SlotIndex,
    pub(super) work: Work,
    pub(super) label: String,
    /// What it runs, as it may be shown.
    pub(super) program: String,
    /// It runs nothing that the user wrote.
    pub(super) ours: bool,
}

impl Told {
    pub(super) fn action(slot: SlotIndex, label: &str, script: &Script) -> Self {
        let (program, ours) = (script.to_string(), script.is_ours());
        Self { slot, work: Work::Act, label: label.to_owned(), program, ours }
    }

    pub(super) fn question(slot: SlotIndex) -> Self {
        Self {
            slot,
            work: Work::Ask,
            label: "the verification".to_owned(),
            program: String::new(),
            ours: true,
        }
    }

    /// Tells that it begins.
    pub(super) fn begins(&self, at: &StepRef) -> Body {
        Body::ActionStarted { at: at.clone(), label: self.label.clone(), program: self.program.clone() }
    }
}

/// How much of what a failed action printed is kept.
const OUTPUT_LINES: usize = 20;

/// What a program of ours may end with, on standard error: what to do, and the command of the host that failed.
const WORDS: [&str; 2] = ["hint: ", "command: "];

/// Whether a line is one of these.
pub(super) fn is_word(line: &str) -> bool {
    WORDS.iter().any(|word| line.starts_with(word))
}

/// Takes the last lines off that are words of a program of ours, and returns the hint and the command among them.
fn take_words(lines: &mut Vec<String>) -> (Option<String>, Option<String>) {
    let [mut hint, mut command] = [None, None];
    while let Some(line) = lines.pop_if(|line| is_word(line)) {
        let [hints, commands] = WORDS.map(|word| line.strip_prefix(word).map(str::to_owned));
        hint = hint.or(hints);
        command = command.or(commands);
    }
    (hint, command)
}

/// The failure of an action; `bound` is its own, if it may have been stopped at it.
pub(super) fn action_failure(told: &Told, answer: &Answer, bound: Option<Duration>) -> Failure {
    let Told { label, program, ours, .. } = told;
    // A command of the user may end with any code by itself.
    if answer.is_cut_off()
        && let Some(bound) = bound
    {
        return Failure {
            program: Some(program.clone()),
            code: Some(answer.code),
            output: last_lines(&said(answer)),
            ..did_not_end(label, bound)
        };
    }
    let mut lines = said(answer);
    let (hint, command) = if *ours { take_words(&mut lines) } else { (None, None) };
    let message = match answer.code {
        _ if *ours && answer.is_cut_off() => format!("`{label}` did not end in time and was stopped"),
        127 => format!("`{label}` failed: a program it needs is not there"),
        // The code is told beside it.
        _ => format!("`{label}` failed"),
    };
    Failure {
        command,
        program: Some(program.clone()),
        code: Some(answer.code),
        output: last_lines(&lines),
        hint,
        ..Failure::new(message)
    }
    .denied_if_said()
}

/// The failure of what was stopped at its bound.
pub(super) fn did_not_end(what: &str, bound: Duration) -> Failure {
    Failure::new(format!("`{what}` did not end within {} s and was stopped", bound.as_secs()))
        .hint("raise the step's `timeout`, or see on the host what it waits for")
}

/// The lines that an action printed, in the words of the host: what our own shell puts before them is left out.
fn said(answer: &Answer) -> Vec<String> {
    let lines = [&answer.stdout, &answer.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let lines = lines.iter().flat_map(|text| text.lines()).map(|line| without_shell(line).to_owned());
    lines.filter(|line| !line.trim().is_empty()).collect()
}

/// A message of the shell without the place in our script: `/bin/sh: 11: printf: I/O error` of dash, `/bin/sh: line 11: ...`
/// of bash, with `eval: ` before or behind the number.
fn without_shell(line: &str) -> &str {
    let Some(rest) = line.strip_prefix("/bin/sh: ") else { return line };
    let rest = rest.strip_prefix("eval: ").unwrap_or(rest);
    let rest = rest.strip_prefix("line ").unwrap_or(rest);
    let behind = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    match behind.strip_prefix(": ").filter(|_| behind.len() < rest.len()) {
        Some(message) => message.strip_prefix("eval: ").unwrap_or(message),
        None => line,
    }
}

fn last_lines(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(OUTPUT_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(ours: bool) -> Told {
        let program = "start_unit.sh unit=nfs-server".into();
        let slot = SlotIndex::default();
        Told { slot, work: Work::Act, label: "start nfs-server".into(), program, ours }
    }

    fn answer(code: i32, said: &str) -> Answer {
        Answer { code, stdout: Vec::new(), stderr: said.into() }
    }

    #[test]
    fn a_failure_names_the_command_of_the_host_that_failed() {
        let said = "Job failed.\ncommand: not the last line\nhint: nor this\nthe end\nhint: see the journal\ncommand: systemctl start nfs-server\n";
        let failure = action_failure(&told(true), &answer(1, said), None);
        assert_eq!(failure.command.as_deref(), Some("systemctl start nfs-server"));
        assert_eq!(failure.program.as_deref(), Some("start_unit.sh unit=nfs-server"));
        assert_eq!(failure.output, "Job failed.\ncommand: not the last line\nhint: nor this\nthe end");
        assert_eq!(failure.hint.as_deref(), Some("see the journal"));
    }

    #[test]
    fn what_the_users_own_command_prints_is_not_taken_for_our_words() {
        let failure = action_failure(&told(false), &answer(1, "hint: rm -rf /\ncommand: true\n"), None);
        assert_eq!((failure.hint, failure.command), (None, None));
        assert_eq!(failure.output, "hint: rm -rf /\ncommand: true");
    }

    #[test]
    fn the_code_of_a_bound_is_none_when_a_command_ends_with_it_by_itself() {
        let bound = Duration::from_mins(10);
        for code in [124, 137] {
            let own = action_failure(&told(false), &answer(code, ""), None);
            assert_eq!(own.message, "`start nfs-server` failed");
            let stopped = action_failure(&told(false), &answer(code, "half\n"), Some(bound));
            assert_eq!(stopped.message, "`start nfs-server` did not end within 600 s and was stopped");
            assert_eq!(stopped.output, "half");
            assert!(stopped.hint.is_some());
        }
    }

    #[test]
    fn our_own_shell_does_not_show() {
        for (line, wanted) in [
            ("/bin/sh: 11: printf: printf: I/O error", "printf: printf: I/O error"),
            (
                "/bin/sh: line 3: cd: /nowhere: No such file or directory",
                "cd: /nowhere: No such file or directory",
            ),
            ("/bin/sh: 34: eval: foo: not found", "foo: not found"),
            ("/bin/sh: eval: line 35: syntax error", "syntax error"),
            ("/bin/sh: 0: Illegal option -q", "Illegal option -q"),
            ("/bin/sh: foo: not found", "/bin/sh: foo: not found"),
            ("sh: 1: foo: not found", "sh: 1: foo: not found"),
        ] {
            assert_eq!(without_shell(line), wanted);
        }
    }
}
