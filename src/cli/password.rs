//! Passwords and passphrases: typed without echo, or read from a file. Never an argument, never shown.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};

use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use zeroize::Zeroizing;

use super::settings::PasswordFrom;
use crate::model::Secret;

/// Longer passwords are a mistake (a wrong file); the room is taken at once so that no copy is left behind.
const MAX: usize = 1024;

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub(super) enum PasswordError {
    /// There is nobody to ask.
    #[error("there is no terminal to ask on: {0}")]
    NoTerminal(#[source] io::Error),
    /// The source cannot be read.
    #[error("cannot read the password from {from}: {error}")]
    Read {
        /// The file, or standard input.
        from: String,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The first line is empty.
    #[error("{0} has no password on its first line")]
    Empty(String),
    /// Ctrl-C at the prompt.
    #[error("interrupted")]
    Interrupted,
}

/// Gets the password, if one is wanted. Blocks while the user types.
pub(super) fn password(from: &PasswordFrom) -> Result<Option<Secret>, PasswordError> {
    match from {
        PasswordFrom::Nowhere => Ok(None),
        PasswordFrom::Prompt => prompt("Password for sudo: ").map(Some),
        PasswordFrom::Stdin => first_line(&mut io::stdin().lock(), "standard input").map(Some),
        PasswordFrom::File(path) => {
            let name = path.display().to_string();
            let file = File::open(path).map_err(|error| PasswordError::Read { from: name.clone(), error })?;
            first_line(&mut BufReader::with_capacity(1, file), &name).map(Some)
        }
    }
}

/// The first line, without its line break.
fn first_line(input: &mut dyn io::BufRead, from: &str) -> Result<Secret, PasswordError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX));
    input
        .take(MAX as u64)
        .read_until(b'\n', &mut bytes)
        .map_err(|error| PasswordError::Read { from: from.into(), error })?;
    while bytes.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
        bytes.pop();
    }
    secret(&bytes, from)
}

fn secret(bytes: &[u8], from: &str) -> Result<Secret, PasswordError> {
    if bytes.is_empty() {
        return Err(PasswordError::Empty(from.into()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| PasswordError::Read {
        from: from.into(),
        error: io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"),
    })?;
    Ok(Secret::new(text.to_owned()))
}

/// Puts the terminal back as it was.
struct Restore<'a>(&'a File, Termios);

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        // The terminal may have gone away: then there is nothing to put back.
        let _ = termios::tcsetattr(self.0, OptionalActions::Flush, &self.1);
    }
}

/// Asks `question` on the terminal itself, so that standard input and output may be redirected.
///
/// Signals from the keyboard are off meanwhile and Ctrl-C is read as a key, so that no way out leaves the
/// terminal without echo.
pub(super) fn prompt(question: &str) -> Result<Secret, PasswordError> {
    let mut terminal =
        File::options().read(true).write(true).open("/dev/tty").map_err(PasswordError::NoTerminal)?;
    let lost = |error: io::Error| PasswordError::Read { from: "the terminal".into(), error };
    let before = termios::tcgetattr(&terminal).map_err(|e| PasswordError::NoTerminal(e.into()))?;
    let mut raw = before.clone();
    raw.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN);
    raw.special_codes[SpecialCodeIndex::VMIN] = 1;
    raw.special_codes[SpecialCodeIndex::VTIME] = 0;
    let output = terminal.try_clone().map_err(lost)?;
    let typed = {
        termios::tcsetattr(&output, OptionalActions::Flush, &raw).map_err(|e| lost(e.into()))?;
        let _restore = Restore(&output, before);
        terminal.write_all(crate::harmless::line(question).as_bytes()).map_err(lost)?;
        let typed = keys(&mut terminal);
        // The line break that the user typed did not show either.
        terminal.write_all(b"\r\n").map_err(lost)?;
        typed?
    };
    secret(&typed, "the terminal")
}

/// Reads keys up to the end of the line, with the editing keys of a terminal.
fn keys(input: &mut dyn io::Read) -> Result<Zeroizing<Vec<u8>>, PasswordError> {
    let mut typed = Zeroizing::new(Vec::with_capacity(MAX));
    let mut key = [0];
    loop {
        match input.read(&mut key) {
            Ok(0) => return Ok(typed),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(PasswordError::Read { from: "the terminal".into(), error }),
        }
        match key[0] {
            b'\r' | b'\n' | 0x04 => return Ok(typed),
            // Ctrl-C and Ctrl-\.
            0x03 | 0x1c => return Err(PasswordError::Interrupted),
            // Backspace takes a whole character, of however many bytes.
            0x08 | 0x7f => while typed.pop().is_some_and(|b| b & 0xc0 == 0x80) {},
            // Ctrl-U.
            0x15 => typed.clear(),
            byte if typed.len() < MAX => typed.push(byte),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_counts() {
        for (text, wanted) in [
            ("pass word\nrest", Some("pass word")),
            ("p\r\n", Some("p")),
            ("p", Some("p")),
            ("\np", None),
            ("", None),
        ] {
            let read = first_line(&mut text.as_bytes(), "f");
            assert_eq!(read.as_ref().ok().map(Secret::expose), wanted, "{text:?}");
        }
        let error = first_line(&mut &b"\xff\xfe\n"[..], "f").unwrap_err();
        assert_eq!(error.to_string(), "cannot read the password from f: it is not UTF-8");
    }

    #[test]
    fn keys_edit_the_line() {
        for (typed, wanted) in [
            ("abc\rx", Some("abc")),
            ("abx\x7fc\n", Some("abc")),
            ("aé\x7fb\n", Some("ab")),
            ("\x7f\x7fa\n", Some("a")),
            ("wrong\x15right\n", Some("right")),
            ("abc", Some("abc")),
            ("ab\x03", None),
        ] {
            let keys = keys(&mut typed.as_bytes()).ok().map(|k| String::from_utf8(k.to_vec()).unwrap());
            assert_eq!(keys.as_deref(), wanted, "{typed:?}");
        }
    }
}
