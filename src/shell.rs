//! Shell scripts made from raw, quoted and secret parts.
//!
//! A script travels to the host on standard input of a shell, never as an argument, so that a secret
//! part does not show in the process list. Nothing else may build a script: text that comes from
//! the user only gets in through [`Script::arg`] or a `{}` of [`sh!`](crate::sh).

use std::fmt;
use std::sync::OnceLock;

use crate::model::{MASK, Secret};

/// A POSIX `sh` script.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Script {
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq)]
enum Part {
    Plain(String),
    Secret(Secret),
    Library(&'static Library),
}

/// Shell functions that several programs use, from a file of their own. People see its name in their place.
#[derive(Debug)]
pub struct Library {
    name: &'static str,
    text: &'static str,
    lean: OnceLock<String>,
}

impl Library {
    /// From the text of a file.
    pub const fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, text, lean: OnceLock::new() }
    }

    /// Returns it without what is for people alone. No line of a library begins with `#` but for comments.
    fn lean(&self) -> &str {
        self.lean.get_or_init(|| {
            let lines = self.text.lines().map(str::trim_start);
            lines.filter(|l| !l.is_empty() && !l.starts_with('#')).flat_map(|l| [l, "\n"]).collect()
        })
    }
}

impl PartialEq for Library {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Library {}

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

    /// Appends shell functions; the script must be at the beginning of a line.
    #[must_use]
    pub fn library(mut self, library: &'static Library) -> Self {
        self.parts.push(Part::Library(library));
        self
    }

    /// Appends another script.
    #[must_use]
    pub fn script(mut self, other: &Self) -> Self {
        for part in &other.parts {
            match part {
                Part::Plain(text) => self.push(text),
                Part::Secret(_) | Part::Library(_) => self.parts.push(part.clone()),
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

    /// The script as the host gets it, secrets included: for a transport alone.
    pub fn render(&self) -> String {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Plain(text) => text.clone(),
                Part::Secret(secret) => quote(secret.expose()),
                Part::Library(library) => library.lean().to_owned(),
            })
            .collect()
    }
}

/// The script with its secrets masked.
impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Plain(text) => f.write_str(text)?,
                Part::Secret(_) => f.write_str(MASK)?,
                Part::Library(library) => writeln!(f, "# functions of {}", library.name)?,
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
