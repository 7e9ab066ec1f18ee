//! Shell scripts made from raw, quoted and secret parts.
//!
//! A script travels to the host on standard input of a shell, never as an argument, so that a secret
//! part does not show in the process list. Nothing else may build a script: text that comes from
//! the user only gets in through [`Script::arg`] or a `{}` of [`sh!`](crate::sh).

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::model::{MASK, Secret};
use crate::program::{Call, Program, Text, Value};

/// A POSIX `sh` script.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Script {
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq)]
enum Part {
    Plain(String),
    Secret(Secret),
    Call(Call),
}

impl Script {
    /// An empty script.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends shell text as it is. `'static`: it must come from our own source, not from the user.
    #[must_use]
    pub fn raw(mut self, text: &'static str) -> Self {
        self.push(text);
        self
    }

    /// Appends `value`, quoted as one word.
    #[must_use]
    pub fn arg(mut self, value: &str) -> Self {
        self.push(&quote(value));
        self
    }

    /// Appends text of the user as shell code: only for `command` and `script` steps and their guards.
    #[must_use]
    pub fn user_code(mut self, code: &str) -> Self {
        self.push(code);
        self
    }

    /// A program with a value for each of its variables. Use what [`program!`](macro@crate::program) makes.
    #[doc(hidden)]
    pub fn call(program: &'static Program, values: Vec<Value>) -> Self {
        Self { parts: vec![Part::Call(Call { program, values })] }
    }

    /// Whether it runs nothing that the user wrote: what it says last, and its exit code, are ours.
    pub fn is_ours(&self) -> bool {
        !self.parts.iter().any(|part| matches!(part, Part::Call(call) if call.program.runs_users))
    }

    /// The programs that it runs, with their values.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.parts.iter().filter_map(|part| if let Part::Call(call) = part { Some(call) } else { None })
    }

    /// Appends another script.
    #[must_use]
    pub fn script(mut self, other: &Self) -> Self {
        for part in &other.parts {
            match part {
                Part::Plain(text) => self.push(text),
                Part::Secret(_) | Part::Call(_) => self.parts.push(part.clone()),
            }
        }
        self
    }

    fn push(&mut self, text: &str) {
        if let Some(Part::Plain(last)) = self.parts.last_mut() {
            last.push_str(text);
        } else {
            self.parts.push(Part::Plain(text.to_owned()));
        }
    }

    /// Fills each `{}` of `template` with the next argument. Use [`sh!`](crate::sh).
    ///
    /// # Panics
    /// When the number of `{}` and of arguments differ, which is a bug at the call.
    #[doc(hidden)]
    pub fn fill(template: &'static str, args: &[&dyn Arg]) -> Self {
        let mut script = Self::new();
        let mut pieces = template.split("{}");
        script.push(pieces.next().unwrap_or_default());
        let mut args = args.iter();
        for piece in pieces {
            let arg = args.next().expect("sh!: fewer arguments than `{}`");
            arg.append_to(&mut script);
            script.push(piece);
        }
        assert!(args.next().is_none(), "sh!: more arguments than `{{}}`");
        script
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The script as one text, secrets included: for a transport alone.
    pub fn render(&self) -> String {
        let mut out = String::new();
        for piece in self.pieces() {
            match piece {
                Piece::Code(code) => out.push_str(&code),
                Piece::Text(text) => out.push_str(text.lean()),
            }
        }
        out
    }

    /// The script as a host gets it, secrets included; files stand for themselves, for they travel once in a frame.
    /// What is before a file ends with a line break, and so does a file.
    pub(crate) fn pieces(&self) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        for part in &self.parts {
            match part {
                Part::Plain(text) => push(&mut pieces, text),
                Part::Secret(secret) => push(&mut pieces, &quote(secret.expose())),
                Part::Call(call) => {
                    if let Some(Piece::Code(code)) = pieces.last_mut()
                        && !code.ends_with('\n')
                    {
                        code.push('\n');
                    }
                    let texts = call.program.texts();
                    let (own, libraries) = texts.split_last().expect("a program has a text");
                    let known = |piece: &Piece, text: &Text| matches!(piece, Piece::Text(t) if *t == text);
                    for text in libraries {
                        if !pieces.iter().any(|piece| known(piece, text)) {
                            pieces.push(Piece::Text(text));
                        }
                    }
                    push(&mut pieces, &call.assignments());
                    pieces.push(Piece::Text(own));
                }
            }
        }
        pieces
    }

    /// What tells it from all others: the script, but with the names of files in their place.
    pub(crate) fn key(&self) -> String {
        let mut key = String::new();
        for piece in self.pieces() {
            match piece {
                Piece::Code(code) => key.push_str(&code),
                Piece::Text(text) => {
                    key.push('\0');
                    key.push_str(text.name());
                    key.push('\n');
                }
            }
        }
        key
    }
}

/// A piece of a script on its way to a host.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Shell code, secrets included.
    Code(Zeroizing<String>),
    /// A file.
    Text(&'static Text),
}

fn push(pieces: &mut Vec<Piece>, code: &str) {
    match pieces.last_mut() {
        _ if code.is_empty() => {}
        Some(Piece::Code(last)) => last.push_str(code),
        _ => pieces.push(Piece::Code(Zeroizing::new(code.to_owned()))),
    }
}

/// The script with its secrets masked; a program as its name and its variables.
impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Plain(text) => f.write_str(text)?,
                Part::Secret(_) => f.write_str(MASK)?,
                Part::Call(call) => write!(f, "{call}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({:?})", self.to_string())
    }
}

/// Bytes on their way to a host; they never show.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(pub Arc<[u8]>);

/// A payload of so many bytes at most can be text in a script: a pipe takes it at once (64 KiB, pipe(7)), so that nobody
/// has to wait until it is read.
const INLINE: usize = 32 << 10;

impl Payload {
    /// The payload as text for a script, if it can be. No shell has NUL bytes in its text.
    pub fn inline(&self) -> Option<&str> {
        if self.0.len() > INLINE {
            return None;
        }
        std::str::from_utf8(&self.0).ok().filter(|text| !text.contains('\0'))
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// Something that can stand in for a `{}` of [`sh!`](crate::sh).
pub trait Arg {
    /// Appends itself, quoted as its type asks for.
    fn append_to(&self, script: &mut Script);
}

impl Arg for str {
    fn append_to(&self, script: &mut Script) {
        script.push(&quote(self));
    }
}
impl Arg for String {
    fn append_to(&self, script: &mut Script) {
        self.as_str().append_to(script);
    }
}
/// Each word quoted, with blanks between.
impl<T: AsRef<str>> Arg for [T] {
    fn append_to(&self, script: &mut Script) {
        for (n, word) in self.iter().enumerate() {
            if n > 0 {
                script.push(" ");
            }
            script.push(&quote(word.as_ref()));
        }
    }
}
impl<T: AsRef<str>> Arg for Vec<T> {
    fn append_to(&self, script: &mut Script) {
        self.as_slice().append_to(script);
    }
}
impl Arg for Secret {
    fn append_to(&self, script: &mut Script) {
        script.parts.push(Part::Secret(self.clone()));
    }
}
/// Spliced in as code.
impl Arg for Script {
    fn append_to(&self, script: &mut Script) {
        *script = std::mem::take(script).script(self);
    }
}
impl Arg for u64 {
    fn append_to(&self, script: &mut Script) {
        script.push(&self.to_string());
    }
}
impl Arg for u32 {
    fn append_to(&self, script: &mut Script) {
        u64::from(*self).append_to(script);
    }
}
impl<T: Arg + ?Sized> Arg for &T {
    fn append_to(&self, script: &mut Script) {
        (*self).append_to(script);
    }
}
/// `yes` or nothing, for a variable that is tested with `[ -n ]`.
impl Arg for bool {
    fn append_to(&self, script: &mut Script) {
        script.push(if *self { "yes" } else { "" });
    }
}

/// Makes a [`Script`]: each `{}` in the literal takes the next argument, text quoted
/// as one word, lists as several, a `Script` as code, a `Secret` quoted and masked in every display.
/// `${name}` and `{ ...; }` are left alone.
#[macro_export]
macro_rules! sh {
    ($template:literal $(, $arg:expr)* $(,)?) => {
        $crate::shell::Script::fill($template, &[$(&$arg as &dyn $crate::shell::Arg),*])
    };
}

/// Quotes `word` for a POSIX shell: bare where that is safe, in single quotes otherwise.
pub fn quote(word: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(bare) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_what_a_shell_would_read() {
        let unit = "it's; rm -rf /";
        let script = sh!("a={}; { echo ${a} {}; } {}", unit, vec!["x y", "-z"], 5u64);
        assert_eq!(script.render(), r"a='it'\''s; rm -rf /'; { echo ${a} 'x y' -z; } 5");
    }

    #[test]
    fn shows_no_secret() {
        let secret = Secret::new("hunter 2".into());
        let script = sh!("login {} {}", secret, sh!("-u {}", "me"));
        assert_eq!(script.to_string(), "login ******** -u me");
        assert_eq!(script.render(), "login 'hunter 2' -u me");
        assert!(!format!("{script:?}").contains("hunter"));
    }

    proptest::proptest! {
        #[test]
        fn what_is_quoted_comes_out_of_a_shell_unchanged(word in "[^\\x00]{0,40}") {
            let script = sh!("printf %s {}", word);
            let out = std::process::Command::new("sh").arg("-c").arg(script.render()).output().unwrap();
            proptest::prop_assert_eq!(String::from_utf8(out.stdout).unwrap(), word);
        }
    }
}
