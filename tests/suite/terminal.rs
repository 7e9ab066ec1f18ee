//! A command at a terminal, by `script(1)`.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

/// Whether there is such a program.
pub(super) fn is_there() -> bool {
    let version = Command::new("script").arg("--version").stdout(Stdio::null()).status();
    let there = version.is_ok_and(|status| status.success());
    if !there {
        super::sshd::skip("there is no script(1)");
    }
    there
}

/// Runs `command` with a terminal of its own. For each pair: when a line with the first words waits for an answer, types
/// the second. Returns whether it succeeded, and what was on the terminal.
pub(super) fn run(command: &mut Command, answers: &[(&str, &str)]) -> (bool, String) {
    run_as("dumb", command, answers)
}

/// The same with a terminal of this type.
pub(super) fn run_as(term: &str, command: &mut Command, answers: &[(&str, &str)]) -> (bool, String) {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted = words.map(|w| format!("'{}'", w.to_str().unwrap().replace('\'', "'\\''")));
    let line = quoted.collect::<Vec<_>>().join(" ");
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    script.env("SHELL", "/bin/sh").env("TERM", term);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        script.current_dir(folder);
    }
    let mut child = script.spawn().unwrap();
    let (mut said, mut byte) = (Vec::new(), [0]);
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    while output.read(&mut byte).is_ok_and(|n| n > 0) {
        said.push(byte[0]);
        if byte[0] != b' ' {
            continue;
        }
        let line = said.rsplit(|b| *b == b'\n').next().unwrap();
        let line = String::from_utf8_lossy(line);
        let answer = answers.iter().find(|(question, _)| line.contains(question));
        if let Some((_, typed)) = answer
            && (line.ends_with(": ") || line.ends_with("] "))
        {
            input.write_all(format!("{typed}\r").as_bytes()).unwrap();
        }
    }
    let good = child.wait().unwrap().success();
    (good, String::from_utf8(said).unwrap())
}
