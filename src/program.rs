//! What runs on hosts: programs in files of their own, `sh` without holes, beside the code that uses them.
//!
//! A program gets its values as shell variables. Its file begins with a comment that says what it does, its variables,
//! what it prints, its exit codes and what it relies on; [`program!`](macro@crate::program) makes a type of it whose fields
//! are those variables, so that none can be forgotten. Functions that several programs use are in a [`Library`].
//!
//! A program becomes a part of a [`Script`](crate::shell::Script). Texts travel once in a frame, however many of its
//! parts use them. People see a program by its name and its values.

use std::fmt;
use std::sync::OnceLock;

use crate::model::Secret;
use crate::shell::quote;

/// The text of a file, and what of it goes to hosts.
#[derive(Debug)]
pub struct Text {
    path: &'static str,
    source: &'static str,
    lean: OnceLock<String>,
}

impl Text {
    /// The file at `path`, relative to the code that names it, and its content.
    pub const fn new(path: &'static str, source: &'static str) -> Self {
        Self { path, source, lean: OnceLock::new() }
    }

    /// The name of the file.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }

    /// The file as it is.
    pub fn source(&self) -> &'static str {
        self.source
    }

    /// What a host gets: without what is for people alone. No line begins with `#` but for comments.
    pub fn lean(&self) -> &str {
        self.lean.get_or_init(|| {
            let lines = self.source.lines().map(str::trim_start);
            lines.filter(|l| !l.is_empty() && !l.starts_with('#')).flat_map(|l| [l, "\n"]).collect()
        })
    }
}

/// No two files have one name; a test sees to it.
impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for Text {}

/// Shell functions that several programs use.
#[derive(Debug, PartialEq, Eq)]
pub struct Library {
    /// Its file.
    pub text: Text,
    /// The libraries whose functions it calls.
    pub uses: &'static [&'static Library],
}

impl Library {
    /// The functions in the file at `path`, relative to the code that names it.
    pub const fn new(path: &'static str, source: &'static str, uses: &'static [&'static Self]) -> Self {
        Self { text: Text::new(path, source), uses }
    }

    /// All files that it consists of, each after those that it uses; its own is the last.
    pub fn texts(&'static self) -> Vec<&'static Text> {
        let mut texts = Vec::new();
        collect([&self], &mut texts);
        texts
    }
}

/// Adds the files of libraries, each after those that it uses.
fn collect<'a>(libraries: impl IntoIterator<Item = &'a &'static Library>, texts: &mut Vec<&'static Text>) {
    for library in libraries {
        collect(library.uses, texts);
        if !texts.contains(&&library.text) {
            texts.push(&library.text);
        }
    }
}

/// A program for hosts.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    /// Its file.
    pub text: Text,
    /// Its variables, in the order in which people see them.
    pub variables: &'static [&'static str],
    /// The libraries whose functions it calls.
    pub uses: &'static [&'static Library],
    /// It runs what the user wrote: what is printed last, and the exit code, are not ours.
    pub runs_users: bool,
}

impl Program {
    /// All files that it consists of, each after those that it uses; its own is the last.
    pub fn texts(&'static self) -> Vec<&'static Text> {
        let mut texts = Vec::new();
        collect(self.uses, &mut texts);
        texts.push(&self.text);
        texts
    }
}

/// A value of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// As people may see it.
    Plain(String),
    /// Masked in every display.
    Secret(Secret),
}

impl Value {
    /// The right side of an assignment, for a host alone.
    pub(crate) fn quoted(&self) -> String {
        let value = match self {
            Self::Plain(text) => text,
            Self::Secret(secret) => secret.expose(),
        };
        if value.is_empty() { String::new() } else { quote(value) }
    }
}

/// A program with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What is run.
    pub program: &'static Program,
    /// One for each of its variables.
    pub values: Vec<Value>,
}

impl Call {
    /// The value of a variable, if it is no secret; empty where it has none.
    pub fn value(&self, variable: &str) -> &str {
        let n = self.program.variables.iter().position(|name| *name == variable);
        match n.and_then(|n| self.values.get(n)) {
            Some(Value::Plain(text)) => text,
            Some(Value::Secret(_)) | None => "",
        }
    }

    /// The assignments, for a host alone; they end with a line break if there are any.
    pub(crate) fn assignments(&self) -> String {
        let pairs = self.program.variables.iter().zip(&self.values);
        let line: Vec<String> = pairs.map(|(name, value)| format!("{name}={}", value.quoted())).collect();
        if line.is_empty() { String::new() } else { line.join(" ") + "\n" }
    }
}

/// The name of the program, and its variables as far as they are not empty.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program.text.name())?;
        for (name, value) in self.program.variables.iter().zip(&self.values) {
            match value {
                Value::Plain(text) if text.is_empty() => {}
                Value::Plain(text) => write!(f, " {name}={}", shown(text))?,
                Value::Secret(_) => write!(f, " {name}={}", crate::model::MASK)?,
            }
        }
        Ok(())
    }
}

/// A value for people, as they would write it: one with single quotes in it, as lists have, stands in double ones.
fn shown(text: &str) -> String {
    if !text.contains('\'') {
        return quote(text);
    }
    let escaped = text.chars().flat_map(|c| "\"\\$`".contains(c).then_some('\\').into_iter().chain([c]));
    format!("\"{}\"", escaped.collect::<String>())
}

/// What kind of value a variable takes: the types of the fields that [`program!`](macro@crate::program) makes.
pub trait Sort {
    /// What it is given as.
    type Given<'a>;

    /// The value of the variable.
    fn value(given: &Self::Given<'_>) -> Value;
}

/// Any text.
#[derive(Debug)]
pub struct Word;

impl Sort for Word {
    type Given<'a> = &'a str;

    fn value(given: &&str) -> Value {
        Value::Plain((*given).to_owned())
    }
}

/// Several texts, each quoted: `eval "set -- $variable"` makes them the arguments.
#[derive(Debug)]
pub struct List;

impl Sort for List {
    type Given<'a> = &'a [String];

    fn value(given: &&[String]) -> Value {
        Value::Plain(given.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "))
    }
}

/// `yes`, or empty.
#[derive(Debug)]
pub struct Flag;

impl Sort for Flag {
    type Given<'a> = bool;

    fn value(given: &bool) -> Value {
        Value::Plain(if *given { "yes" } else { "" }.to_owned())
    }
}

/// A whole number; empty for none.
#[derive(Debug)]
pub struct Number;

impl Sort for Number {
    type Given<'a> = Option<u64>;

    fn value(given: &Option<u64>) -> Value {
        Value::Plain(given.map(|number| number.to_string()).unwrap_or_default())
    }
}

/// Text that may be a secret.
#[derive(Debug)]
pub struct Hidden;

impl Sort for Hidden {
    type Given<'a> = Value;

    fn value(given: &Value) -> Value {
        given.clone()
    }
}

/// Returns a program: what [`program!`](macro@crate::program) makes for each, for lists of them.
pub type Handle = fn() -> &'static Program;

/// The programs of a kind of step, its own and those of its families.
pub type Programs = &'static [&'static [Handle]];

/// Makes a type of the program in a file: its fields are the variables of the program, and its `script` is what a
/// probe or an action takes. `runs users`, behind the file, is for one that runs what the user wrote: what that says last is
/// not taken for words of our own.
///
/// ```
/// # use hostwright::program;
/// program! {
///     /// Calls the host by a name.
///     SetName in "step/hostname/set_hostname.sh" { name: Word }
/// }
/// let script = SetName { name: "nfs 1" }.script();
/// assert_eq!(script.to_string(), "set_hostname.sh name='nfs 1'");
/// ```
#[macro_export]
macro_rules! program {
    ($(#[$meta:meta])* $vis:vis $type:ident in $file:literal $(runs $users:ident)?
     $(uses [$($library:path),+ $(,)?])? { $($variable:ident: $sort:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug)]
        #[allow(missing_docs, reason = "the file of the program tells of its variables")]
        $vis struct $type<'a> {
            $(pub $variable: <$crate::program::$sort as $crate::program::Sort>::Given<'a>,)+
        }

        impl $type<'_> {
            /// The program without values.
            $vis fn program() -> &'static $crate::program::Program {
                static PROGRAM: $crate::program::Program = $crate::program::Program {
                    text: $crate::program::Text::new($file, include_str!($file)),
                    variables: &[$(stringify!($variable)),+],
                    uses: &[$($(&$library),+)?],
                    runs_users: !<[&str]>::is_empty(&[$(stringify!($users))?]),
                };
                &PROGRAM
            }

            /// The program with these values.
            $vis fn script(&self) -> $crate::shell::Script {
                $crate::shell::Script::call(Self::program(), vec![
                    $(<$crate::program::$sort as $crate::program::Sort>::value(&self.$variable)),+
                ])
            }
        }
    };
    ($(#[$meta:meta])* $vis:vis $type:ident in $file:literal $(uses [$($library:path),+ $(,)?])?) => {
        $(#[$meta])*
        #[derive(Debug)]
        $vis struct $type;

        impl $type {
            /// The program.
            $vis fn program() -> &'static $crate::program::Program {
                static PROGRAM: $crate::program::Program = $crate::program::Program {
                    text: $crate::program::Text::new($file, include_str!($file)),
                    variables: &[],
                    uses: &[$($(&$library),+)?],
                    runs_users: false,
                };
                &PROGRAM
            }

            /// The program.
            $vis fn script(&self) -> $crate::shell::Script {
                $crate::shell::Script::call(Self::program(), Vec::new())
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sh;
    use crate::shell::Script;

    static INNER: Library = Library::new("inner.sh", "# Says it.\nhw_say() {\n  echo \"said $1\"\n}\n", &[]);
    static OUTER: Library =
        Library::new("outer.sh", "hw_twice() { hw_say \"$1\"; hw_say \"$1\"; }\n", &[&INNER]);
    static SAY: Program = Program {
        text: Text::new(
            "some/say.sh",
            "#!/bin/sh\n# Says all.\n\n  hw_twice \"$word\"\neval \"set -- $list\"\nhw_say \"$#$flag\"\n",
        ),
        variables: &["word", "list", "flag", "token"],
        uses: &[&OUTER, &INNER],
        runs_users: false,
    };

    fn say() -> Script {
        let list = ["it's".to_owned(), "two words".to_owned()];
        let values = vec![
            Word::value(&"a b"),
            List::value(&&list[..]),
            Flag::value(&false),
            Value::Secret(Secret::new("s3cret".into())),
        ];
        Script::call(&SAY, values)
    }

    #[test]
    fn people_see_its_name_and_what_it_is_given() {
        assert_eq!(say().to_string(), r#"say.sh word='a b' list="'it'\\''s' 'two words'" token=********"#);
    }

    #[test]
    fn each_file_is_there_once_and_before_what_uses_it() {
        let names: Vec<_> = SAY.texts().iter().map(|text| text.name()).collect();
        assert_eq!(names, ["inner.sh", "outer.sh", "say.sh"]);
        let text = sh!("true").script(&say()).script(&say()).render();
        assert_eq!(text.matches("hw_say() {").count(), 1, "{text}");
        assert!(text.starts_with("true\nhw_say() {\necho"), "{text}");
        let out = std::process::Command::new("sh").arg("-c").arg(&text).output().unwrap();
        let once = "said a b\nsaid a b\nsaid 2\n";
        assert_eq!(String::from_utf8(out.stdout).unwrap(), once.repeat(2));
    }

    #[test]
    fn another_value_is_another_question() {
        let script = |word| {
            Script::call(
                &SAY,
                vec![
                    Word::value(&word),
                    Value::Plain(String::new()),
                    Flag::value(&true),
                    Number::value(&Some(3)),
                ],
            )
        };
        assert_eq!(script("a").key(), script("a").key());
        assert_ne!(script("a").key(), script("b").key());
        assert!(script("a").key().len() < 80, "{:?}", script("a").key());
    }
}
