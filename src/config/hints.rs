//! The sentence that leads on: what is behind the mistakes of the first hour with TOML.
//!
//! Files of another format altogether are one mistake; within TOML, each mistake is looked at where it stands.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use super::document::{Malformed, Syntax};
use super::table::span;
use crate::diagnostic::{Diagnostic, Source};

/// Turns what is malformed in a file into mistakes with hints. `what` is the kind of file, for the hints.
pub(super) fn malformed(source: &Arc<Source>, what: &str, found: Vec<Malformed>) -> Vec<Diagnostic> {
    if found.is_empty() {
        return Vec::new();
    }
    if let Some(foreign) = foreign(source, what) {
        return vec![foreign];
    }
    let mut out: Vec<Diagnostic> = Vec::new();
    let mut lines = HashSet::new();
    // The lines of a text whose quote is missing are no keys.
    let mut open_text = false;
    for mistake in found {
        // What the parser says further of a line that it did not understand leads nowhere.
        let line = line_start(&source.text, mistake.span.start);
        let follows = matches!(mistake.what, Syntax::Key | Syntax::NoValue);
        if !lines.insert(line) || (open_text && follows) {
            continue;
        }
        open_text = matches!(mistake.what, Syntax::Unclosed(_));
        out.push(one(source, what, mistake));
    }
    out
}

/// The words for text that cannot be read at all.
pub(super) fn not_utf8(bytes: &[u8]) -> (String, Option<&'static str>) {
    let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    if utf16 || bytes.iter().take(100).filter(|b| **b == 0).count() > 10 {
        return (
            "it is UTF-16".into(),
            Some("save it as UTF-8, for example with `iconv -f UTF-16 -t UTF-8`"),
        );
    }
    let at = match std::str::from_utf8(bytes) {
        Err(e) => e.valid_up_to(),
        Ok(_) => return ("it is not text: it has NUL bytes".into(), None),
    };
    let line = bytes[..at].split(|b| *b == b'\n').count();
    (format!("it is not UTF-8 text, first in line {line}"), Some("save it as UTF-8"))
}

/// A file in another format than TOML.
fn foreign(source: &Arc<Source>, what: &str) -> Option<Diagnostic> {
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    let shift = source.text.len() - text.len();
    let lines = || {
        text.split_inclusive(['\n', '\r'])
            .scan(shift, |at, line| {
                let start = *at;
                *at += line.len();
                Some((start, line.trim()))
            })
            .filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', ';']))
            .take(50)
    };
    let (start, first) = lines().next()?;
    let inventory = what == "inventory";
    let toml = if inventory {
        "write `[hosts.NAME]` with `address = \"...\"` for each host, and `[groups.NAME]` with `hosts = [...]`"
    } else {
        "write `hosts = \"GROUP\"` at the top, then a `[[step]]` for each task: `package = \"nfs-utils\"`"
    };
    let said = |at: usize, len: usize, format: &str| {
        let message = format!("this is {format}, and the {what} is TOML");
        Some(Diagnostic::error(span(source, &(at..at + len)), message).help(toml))
    };
    let yaml_key = |line: &str| {
        line.split_once(':').is_some_and(|(key, rest)| {
            !key.contains(['=', '"', '[', '{', ' ']) && (rest.is_empty() || rest.starts_with(' '))
        })
    };
    let item = first.strip_prefix("- ").unwrap_or(first);
    if first == "---" || first.starts_with("%YAML") || (item != first && yaml_key(item)) {
        return said(start, first.len(), "YAML");
    }
    // One `key: value` may be a slip, several in a row are YAML.
    let colons = lines().take(3).filter(|(_, l)| yaml_key(l.strip_prefix("- ").unwrap_or(l))).count();
    if yaml_key(first) && colons == lines().take(3).count() && colons > 1 {
        return said(start, first.len(), "YAML");
    }
    let json_list = first == "[" && lines().nth(1).is_some_and(|(_, l)| l.starts_with(['{', '"', ']']));
    if first.starts_with('{') || first.starts_with("[{") || json_list {
        return said(start, 1, "JSON");
    }
    if first.starts_with('<') {
        return said(start, first.len(), "XML");
    }
    // `[web]`, then `host1 ansible_host=10.0.0.1`, or a name alone.
    let mut header = false;
    for (at, line) in lines() {
        let section = line.starts_with('[') && line.ends_with(']');
        let words: Vec<&str> = line.split_whitespace().collect();
        let settings = words.len() > 1
            && !words[0].contains('=')
            && words[1..].iter().all(|w| w.split_once('=').is_some_and(|(k, _)| !k.is_empty()));
        let bare = words.len() == 1 && header && !line.contains(['=', '"', '\'', '{', '}', ',', '[', ']']);
        let colon = section && (line.ends_with(":children]") || line.ends_with(":vars]"));
        if inventory && (settings || bare || colon) {
            return said(at, line.len(), "an INI inventory of Ansible");
        }
        header = section || (header && !line.contains('='));
    }
    None
}

/// One mistake, with what may be behind it.
fn one(source: &Arc<Source>, what: &str, mistake: Malformed) -> Diagnostic {
    let text = &source.text;
    let at = mistake.span.start.min(text.len());
    let spot = Spot::new(text, at);
    let said = |range: Range<usize>, message: &str| Diagnostic::error(span(source, &range), message);
    let quoted = || format!("write it in quotes: {}\"{}\"", spot.assignment(), spot.token());
    if mistake.what == Syntax::TooDeep {
        return said(mistake.span, "tables and lists nest deeper than 80");
    }
    if mistake.what == Syntax::Duplicate {
        return duplicate(source, mistake.span);
    }
    if let Some((i, c)) = spot.line.char_indices().find(|(_, c)| invisible(*c)) {
        let from = spot.start + i;
        let message = format!("an invisible character (U+{:04X}) stands here", u32::from(c));
        return said(from..from + c.len_utf8(), &message).help("delete it and write a plain blank");
    }
    if !text.contains('\n') && text.contains('\r') {
        return said(mistake.span, "the lines end in CR alone").help("save the file with line ends of Unix");
    }
    let token = spot.token();
    let value = spot.value();
    if value.starts_with("{{") || value.starts_with("{%") {
        let template = value.split_inclusive("}}").next().unwrap_or(value);
        let quote = if template.contains('"') { '\'' } else { '"' };
        return said(spot.value_range(), "a template is text")
            .label("without quotes")
            .help(format!("write it in quotes: {}{quote}{template}{quote}", spot.assignment_before_value()));
    }
    if let Some(i) =
        spot.line.find(['\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}', '\u{ab}', '\u{bb}'])
        && !spot.line[..i].contains(['"', '\'', '#'])
    {
        let from = spot.start + i;
        let len = spot.line[i..].chars().next().map_or(1, char::len_utf8);
        return said(from..from + len, "this is a typographic quote")
            .help("write plain quotes: \"text\" or 'text'");
    }
    let (mistaken, message) = (mistake.what, mistake.message.as_str());
    let trimmed = spot.line.trim();
    if trimmed.starts_with("//") || trimmed.starts_with(';') || trimmed.starts_with("--") {
        return said(mistake.span, message).help("a comment begins with `#`");
    }
    // `key: value`, `key => value`, `- item`.
    if matches!(mistaken, Syntax::Key | Syntax::NoValue) {
        let bare = trimmed.trim_start_matches("- ");
        for sign in [":", "=>"] {
            if let Some((key, rest)) = bare.split_once(sign)
                && !key.is_empty()
                && !key.contains(['=', '"', '\'', '[', ' '])
            {
                let rest = rest.trim();
                let value = match rest {
                    "" => "...".to_owned(),
                    _ if is_toml_value(rest) => rest.to_owned(),
                    _ => format!("{rest:?}"),
                };
                return said(
                    mistake.span,
                    &format!("a key and its value have `=` between them, not `{sign}`"),
                )
                .help(format!("write `{key} = {value}`"));
            }
        }
        if trimmed.starts_with("- ") {
            return said(mistake.span, message).help("a list is written `[\"a\", \"b\"]`");
        }
    }
    if mistaken == Syntax::LeadingZero {
        let label = "a number cannot begin with 0";
        return said(spot.token_range(), label).help(quoted());
    }
    if mistaken == Syntax::Escape {
        return said(mistake.span, "a backslash in \"...\" begins an escape such as \\n").help(
            "write the text in single quotes, in which a backslash is a backslash, or double it: \\\\",
        );
    }
    if let Syntax::Unclosed(quote) = mistaken {
        let triple = quote.repeat(3);
        return said(mistake.span, "the text has no quote at its end on this line").help(format!(
            "close it with {quote}; text over several lines stands between {triple} and {triple}"
        ));
    }
    if mistaken == Syntax::AfterValue {
        return after_value(&spot, said(mistake.span, "the value has ended before this"));
    }
    if mistaken == Syntax::UnclosedTable {
        let help = if trimmed.starts_with("[[") {
            "close it with two brackets: `[[step]]`".to_owned()
        } else {
            "close it with `]`; a name with other signs than letters, digits, `-` and `_` stands in quotes"
                .to_owned()
        };
        return said(mistake.span, message).help(help);
    }
    if token.is_empty() && value.is_empty() && mistaken == Syntax::Unquoted {
        return said(mistake.span, "there is no value after the `=`")
            .help("text stands in quotes; leave the key out if it is to have no value");
    }
    // In a list it has no key before it.
    let of_value = match mistaken {
        Syntax::Unquoted => true,
        Syntax::Value | Syntax::Key => !spot.key().is_empty(),
        _ => false,
    };
    if of_value && !token.is_empty() {
        return bare_value(&spot, what, said(spot.token_range(), "text stands in quotes"));
    }
    said(mistake.span, message)
}

/// A word without quotes where a value is wanted.
fn bare_value(spot: &Spot<'_>, what: &str, found: Diagnostic) -> Diagnostic {
    let token = spot.token();
    let assignment = spot.assignment();
    match token {
        "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            Diagnostic { message: format!("`{token}` is not a value of TOML"), ..found }
                .help(format!("write {assignment}true"))
        }
        "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            Diagnostic { message: format!("`{token}` is not a value of TOML"), ..found }
                .help(format!("write {assignment}false"))
        }
        "null" | "None" | "none" | "nil" | "~" | "undefined" => {
            Diagnostic { message: "TOML has no such value".into(), ..found }.help("leave the key out")
        }
        _ if token.starts_with('!') => Diagnostic { message: "TOML has no tags".into(), ..found }
            .help("a secret is read by { env = \"NAME\" }, { file = \"...\" } or { age = \"FILE.age\" }"),
        _ => {
            let address = token.contains(['.', ':'])
                && token
                    .bytes()
                    .all(|b| b.is_ascii_hexdigit() || matches!(b, b'.' | b':' | b'/' | b'[' | b']'));
            let found = if address && (what == "inventory" || token.matches('.').count() == 3) {
                Diagnostic { message: "an address is text".into(), ..found }
            } else {
                found
            };
            found.help(format!("write it in quotes: {assignment}\"{token}\""))
        }
    }
}

/// Something stands behind a value that has ended.
fn after_value(spot: &Spot<'_>, found: Diagnostic) -> Diagnostic {
    let (before, rest) = spot.line.split_at(spot.at - spot.start);
    let rest = rest.trim_start();
    if rest.starts_with(',') {
        return found.help("no comma stands at the end of a line outside of { } and [ ]");
    }
    let word =
        rest.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '.')).unwrap_or(rest.len());
    if word > 0 && rest[word..].trim_start().starts_with('=') {
        return found.help("each key stands on a line of its own, or all of them between { } with commas");
    }
    match before.trim_end().chars().last() {
        Some('"') => found.label("behind the closing quote").help(
            "a quote within text: write the text in single quotes, '... \"...\" ...', or put a backslash before it: \\\"",
        ),
        Some('\'') => found.label("behind the closing quote").help(
            "a single quote within text: write the text in double quotes, \"it's\", or between ''' and '''",
        ),
        _ => found.help("text stands in quotes"),
    }
}

fn duplicate(source: &Arc<Source>, at: Range<usize>) -> Diagnostic {
    let name = source.text.get(at.clone()).unwrap_or_default();
    let line = Spot::new(&source.text, at.start.min(source.text.len()));
    let header = line.line.trim_start().starts_with('[') && !line.line.trim_start().starts_with("[[");
    let message = if header {
        format!("the table `{name}` is there twice")
    } else {
        format!("`{name}` is there twice")
    };
    let found = Diagnostic::error(span(source, &at), message).label("again");
    match name {
        "step" if header => found.help("each step begins with double brackets: `[[step]]`"),
        _ if header => found.help("put the keys of both into one table"),
        _ => found.help("take one of the two away; a new step begins with `[[step]]`"),
    }
}

fn is_toml_value(text: &str) -> bool {
    text.starts_with(['"', '\'', '[', '{'])
        || matches!(text, "true" | "false")
        || text.parse::<i64>().is_ok_and(|_| !text.starts_with('0') || text == "0")
}

fn invisible(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{2060}'..='\u{2064}' | '\u{3000}')
}

fn line_start(text: &str, at: usize) -> usize {
    let at = floor(text, at);
    text[..at].rfind('\n').map_or(0, |i| i + 1)
}

fn floor(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A place in a line, with the key and the value around it.
struct Spot<'a> {
    line: &'a str,
    /// Where the line starts.
    start: usize,
    at: usize,
}

/// What ends a value without quotes.
const ENDS: [char; 6] = [',', '}', '#', '\r', '\n', '='];

impl<'a> Spot<'a> {
    fn new(text: &'a str, at: usize) -> Self {
        let at = floor(text, at);
        let start = line_start(text, at);
        let end = text[at..].find('\n').map_or(text.len(), |i| at + i);
        Self { line: &text[start..end], start, at }
    }

    /// The range, within the line, of the word without quotes at this place.
    fn word(&self) -> Range<usize> {
        let at = self.at - self.start;
        let start = self.line[..at]
            .rfind(|c: char| ENDS.contains(&c) || matches!(c, '[' | '{' | '"' | '\'') || c.is_whitespace())
            .map_or(0, |i| i + self.line[i..].chars().next().map_or(1, char::len_utf8));
        let mut end = self.line[at..].find(ENDS).map_or(self.line.len(), |i| at + i);
        // A list ends it as well, but not the address `[fd00::1]`.
        if !self.line[start..end].starts_with('[') {
            end = self.line[start..end].find(']').map_or(end, |i| start + i);
        }
        let trimmed = self.line[start..end].trim_end();
        start..start + trimmed.len()
    }

    fn token(&self) -> &'a str {
        let word = &self.line[self.word()];
        if word.contains(['"', '\'']) { "" } else { word }
    }

    fn token_range(&self) -> Range<usize> {
        let word = self.word();
        self.start + word.start..self.start + word.end
    }

    /// The key before the word, if an `=` stands between.
    fn key(&self) -> &'a str {
        let before = self.line[..self.word().start].trim_end();
        let Some(before) = before.strip_suffix('=') else { return "" };
        let before = before.trim_end();
        let start = before.rfind(|c: char| ENDS.contains(&c) || c == '{' || c.is_whitespace());
        start.map_or(before, |i| &before[i + 1..])
    }

    /// `KEY = `, or nothing within a list.
    fn assignment(&self) -> String {
        match self.key() {
            "" => String::new(),
            key => format!("{key} = "),
        }
    }

    /// As [`Self::assignment`], for the whole value.
    fn assignment_before_value(&self) -> String {
        let before = &self.line[..self.value_range().start - self.start];
        let key = before.trim_end().trim_end_matches('=').trim_end();
        let start = key.rfind(|c: char| ENDS.contains(&c) || c == '{' || c.is_whitespace());
        format!("{} = ", start.map_or(key, |i| &key[i + 1..]))
    }

    fn value_range(&self) -> Range<usize> {
        let value = self.value();
        let start = value.as_ptr() as usize - self.line.as_ptr() as usize + self.start;
        start..start + value.len()
    }

    /// What stands on the line behind the `=` nearest before this place.
    fn value(&self) -> &'a str {
        let at = self.at - self.start;
        let from = self.line[..at].rfind('=').map_or(self.line.len(), |i| i + 1);
        self.line[from..].trim()
    }
}
