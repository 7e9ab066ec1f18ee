//! TOML text as a tree of values with their byte ranges.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use crate::diagnostic::Source;
use crate::model::value::{Key, Node, Value};

/// A mistake in the TOML itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Byte range in the text.
    pub span: Range<usize>,
    /// What kind of mistake it is.
    pub what: Syntax,
    /// What is wrong, in the parser's words.
    pub message: String,
}

impl Malformed {
    fn new(span: Range<usize>, message: &str) -> Self {
        Self { span, what: Syntax::of(message), message: message.to_owned() }
    }
}

/// A kind of mistake in TOML, as far as hints tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// Tables and lists nest too deep.
    TooDeep,
    /// A key or table is there twice.
    Duplicate,
    /// A key has signs that it may have in quotes alone.
    Key,
    /// A key without a value.
    NoValue,
    /// A number that begins with 0.
    LeadingZero,
    /// A backslash that begins no escape.
    Escape,
    /// A text whose quote, this one, is missing at its end.
    Unclosed(&'static str),
    /// Something behind a value that has ended.
    AfterValue,
    /// The header of a table without its bracket.
    UnclosedTable,
    /// A text without quotes, or nothing at all.
    Unquoted,
    /// Something else that is wrong with a value.
    Value,
    /// Anything else.
    Other,
}

impl Syntax {
    /// The parser tells its mistakes apart in words alone: this is the one place that reads them.
    fn of(message: &str) -> Self {
        let begins = |words: &[&str]| words.iter().any(|w| message.starts_with(w));
        match message {
            "duplicate key" => Self::Duplicate,
            "recursion limit" => Self::TooDeep,
            _ if message.contains("max recursion depth") => Self::TooDeep,
            _ if begins(&["invalid unquoted key"]) => Self::Key,
            _ if begins(&["key with no value"]) => Self::NoValue,
            _ if message.contains("leading zero") => Self::LeadingZero,
            _ if message.contains("escape") => Self::Escape,
            _ if begins(&["invalid basic string"]) => Self::Unclosed("\""),
            _ if begins(&["invalid literal string"]) => Self::Unclosed("'"),
            _ if begins(&["unexpected key or value"]) => Self::AfterValue,
            _ if begins(&["unclosed array table", "unclosed table"]) => Self::UnclosedTable,
            _ if begins(&["string values must be quoted"]) => Self::Unquoted,
            _ if begins(&["invalid", "unexpected", "extra", "missing", "leading"]) => Self::Value,
            _ => Self::Other,
        }
    }
}

/// Reads TOML text. What can be read is returned with all that could not be.
pub fn parse(text: &str) -> (Node, Vec<Malformed>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut malformed: Vec<_> =
        errors.into_iter().map(|e| Malformed::new(e.span().unwrap_or(0..0), e.message())).collect();
    let span = table.span();
    let node = Node { span, value: convert_table(table.into_inner(), &mut malformed) };
    (node, malformed)
}

/// The range in the file of `part`, a byte range of the string `node`: exact where the string is written
/// without escapes, else where the same text stands in it, else the whole string.
pub(super) fn within(source: &Source, node: &Node, part: &Range<usize>) -> Range<usize> {
    let (Value::String(text), Some(raw)) = (&node.value, source.text.get(node.span.clone())) else {
        return node.span.clone();
    };
    let open = ["\"\"\"\r\n", "\"\"\"\n", "\"\"\"", "'''\r\n", "'''\n", "'''", "\"", "'"]
        .into_iter()
        .find(|o| raw.starts_with(o))
        .map_or(0, str::len);
    let part = part.start.min(text.len())..part.end.min(text.len());
    let Some(wanted) = text.get(part.clone()) else { return node.span.clone() };
    let start = if raw[open..].starts_with(text.as_str()) {
        open + part.start
    } else {
        // Escapes before it shift it: the nearest place where it stands word for word.
        match raw.match_indices(wanted).map(|(i, _)| i).min_by_key(|i| i.abs_diff(open + part.start)) {
            Some(start) if !wanted.is_empty() => start,
            _ => return node.span.clone(),
        }
    };
    let start = node.span.start + start;
    start..(start + wanted.len()).min(node.span.end)
}

fn convert_table(table: DeTable<'_>, malformed: &mut Vec<Malformed>) -> Value {
    let mut entries: Vec<_> = table
        .into_iter()
        .map(|(key, value)| {
            let key = Key { span: key.span(), name: key.into_inner().into_owned() };
            (key, convert(value, malformed))
        })
        .collect();
    entries.sort_by_key(|(key, _)| key.span.start);
    Value::Table(entries)
}

fn convert(value: Spanned<DeValue<'_>>, malformed: &mut Vec<Malformed>) -> Node {
    let span = value.span();
    let value = match value.into_inner() {
        DeValue::String(s) => Value::String(s.into_owned()),
        DeValue::Integer(i) => integer(&i).map_or_else(
            || {
                malformed.push(Malformed::new(span.clone(), "the number is too large"));
                Value::Integer(0)
            },
            Value::Integer,
        ),
        DeValue::Float(f) => Value::Float(f.as_str().replace('_', "").parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(b) => Value::Boolean(b),
        DeValue::Datetime(d) => Value::Datetime(d.to_string()),
        DeValue::Array(items) => Value::Array(items.into_iter().map(|v| convert(v, malformed)).collect()),
        DeValue::Table(table) => convert_table(table, malformed),
    };
    Node { span, value }
}

fn integer(i: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(&i.as_str().replace('_', ""), i.radix()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_ranges_of_keys_and_values_in_every_form_of_table() {
        let text = "a = { b = 1 }\n[[step]]\nmount = { path = \"/x\" }\n[step.file]\nn = [1, 0x10]\n";
        let (node, malformed) = parse(text);
        assert_eq!(malformed, []);
        let (key, value) = node.entry("a").unwrap().1.entry("b").unwrap();
        assert_eq!((&text[key.span.clone()], &text[value.span.clone()]), ("b", "1"));
        assert_eq!(&text[node.span_at("step[0].mount.path")], "\"/x\"");
        assert_eq!(&text[node.span_at("step[0].file.n[1]")], "0x10");
    }

    #[test]
    fn reports_every_mistake_it_can_tell_apart() {
        let (_, malformed) = parse("a = \nb = 1\nc = \"x\nd = 2\n");
        assert!(malformed.len() >= 2, "{malformed:?}");
    }
}
