//! Regular expressions of the user that say which line of a file is meant.

use std::sync::{Arc, OnceLock};

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ast::{Error as Malformed, ErrorKind as Kind};

use crate::step::Invalid;

/// How large a compiled expression may get, in bytes.
const SIZE: usize = 4 << 20;

/// An expression that tells lines apart.
///
/// In a line that is UTF-8, `.` and `\w` mean its characters. In one that is not they mean its bytes, for otherwise
/// `^name=.*$` would not find its line, and a second one would be added.
#[derive(Debug, Clone)]
pub struct Expression {
    characters: Regex,
    bytes: Arc<OnceLock<Option<Regex>>>,
}

impl Expression {
    /// Reads what the user wrote under `key`. It must not match where there is nothing: it would mean every line.
    pub fn read(key: &str, text: Option<&str>, invalid: &mut Vec<Invalid>) -> Option<Self> {
        let text = text?;
        match Self::parse(key, text) {
            Ok(expression) => Some(expression),
            Err(mistake) => {
                invalid.push(mistake);
                None
            }
        }
    }

    fn parse(key: &str, text: &str) -> Result<Self, Invalid> {
        let read = regex_syntax::ParserBuilder::new().utf8(false).build().parse(text);
        let hir = read.map_err(|error| not_one(key, text, &error))?;
        // Zero too for what only looks at a place between characters, as `\b` does.
        if hir.properties().minimum_len() == Some(0) {
            let help = if key == "match" {
                "let it hold to some character of the line that is meant: '^#?Port\\b'"
            } else {
                "let it hold to some character of the line that is meant: '^Match\\b'; the top of the \
                 file, above its first line with text, is `before = '.', otherwise = \"end\"`; its end needs neither key"
            };
            return Err(
                Invalid::new(key, format!("`{text}` matches the empty text, and so any line")).help(help)
            );
        }
        let built = RegexBuilder::new(text).size_limit(SIZE).build();
        let characters = built.map_err(|error| {
            let why = match error {
                regex::Error::CompiledTooBig(_) => {
                    format!("it is too large: compiled, it takes more than {} MB", SIZE >> 20)
                }
                other => other.to_string().lines().last().unwrap_or_default().to_owned(),
            };
            Invalid::new(key, format!("not a usable regular expression: {why}"))
                .help("a class of all letters, as `\\w`, is large, and a count as `{1000}` repeats it: `[a-z0-9_]` is small")
        })?;
        Ok(Self { characters, bytes: Arc::default() })
    }

    /// Whether it matches somewhere in `line`.
    pub fn is_match(&self, line: &[u8]) -> bool {
        if self.characters.is_match(line) {
            return true;
        }
        std::str::from_utf8(line).is_err()
            && self.bytes.get_or_init(|| self.of_bytes()).as_ref().is_some_and(|regex| regex.is_match(line))
    }

    /// `None` for an expression that makes sense for characters only.
    fn of_bytes(&self) -> Option<Regex> {
        RegexBuilder::new(self.as_str()).unicode(false).size_limit(SIZE).build().ok()
    }

    /// As the user wrote it.
    pub fn as_str(&self) -> &str {
        self.characters.as_str()
    }
}

/// Says what is wrong with an expression, and where in it.
fn not_one(key: &str, text: &str, error: &regex_syntax::Error) -> Invalid {
    let (why, start) = match error {
        regex_syntax::Error::Parse(error) => (reason(error), error.span().start),
        regex_syntax::Error::Translate(error) => (error.kind().to_string(), error.span().start),
        other => return Invalid::new(key, format!("not a regular expression: {other}")),
    };
    let from: String = text.get(start.offset..).unwrap_or_default().chars().take(20).collect();
    let at = if from.is_empty() {
        "at its end".to_owned()
    } else {
        let before = text[..start.offset].chars().count();
        format!("at its character {}, `{from}`", before + 1)
    };
    Invalid::new(key, format!("not a regular expression: {why}, {at}"))
        .help("in TOML, write it in single quotes: '^#?Port\\b'")
}

fn reason(error: &Malformed) -> String {
    match error.kind() {
        Kind::UnsupportedLookAround => "look-around is not supported".to_owned(),
        other => other.to_string(),
    }
}
