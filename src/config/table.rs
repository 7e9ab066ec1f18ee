//! Reading tables by hand: every key taken by name, every mistake kept with its place.

use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, MANY, Source, Span, listed, nearest};
use crate::model::value::{Key, Node, Quotes, Value};

/// The range of `range` in `source`, in the form that diagnostics take.
#[expect(clippy::unnecessary_wraps, reason = "some diagnostics have no place")]
pub(super) fn span(source: &Arc<Source>, range: &Range<usize>) -> Option<Span> {
    Some(Span { source: Arc::clone(source), range: range.clone() })
}

/// "did you mean", or the names that are known.
pub(super) fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(name, known.iter().copied()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if known.is_empty() => None,
        None => Some(format!("known here: {}", listed(known))),
    }
}

/// As [`suggest`], but not where so much is wrong already that nobody would read it.
pub(super) fn suggest_beside<'a>(
    told: &[Diagnostic],
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    if told.len() > MANY { None } else { suggest(name, known) }
}

/// What a value is, for "found ...".
pub(super) fn describe(node: &Node) -> String {
    match &node.value {
        Value::String(_) => "a string".into(),
        Value::Integer(i) => format!("the number {i}"),
        Value::Float(f) => format!("the number {f}"),
        Value::Boolean(b) => format!("`{b}`"),
        Value::Datetime(_) => "a date".into(),
        Value::Array(_) => "an array".into(),
        Value::Table(_) => "a table".into(),
    }
}

/// A mistake: another type of value was expected at `node`.
pub(super) fn mismatch(source: &Arc<Source>, node: &Node, expected: &str) -> Diagnostic {
    let message = format!("expected {expected}, found {}", describe(node));
    Diagnostic::error(span(source, &node.span), message).label(format!("expected {expected}"))
}

/// How to write what was meant: with quotes or without.
pub(super) fn quotes(source: &Source, at: &Range<usize>, quotes: Quotes) -> String {
    let written = source.text.get(at.clone()).unwrap_or_default();
    let bare = written.trim_matches(['"', '\'']);
    if super::template::is_template(written) {
        return match quotes {
            Quotes::Wanted => "the template gives no text: add `| string` in it".into(),
            Quotes::Unwanted => {
                "the template gives a text: use a value of the right type, or add `| int` or `| bool`, \
                                 and write nothing beside the braces"
                    .into()
            }
        };
    }
    match quotes {
        // TOML knows 0o644, people and hosts know 0644.
        Quotes::Wanted => format!("write it in quotes: \"{}\"", bare.replacen("0o", "0", 1)),
        Quotes::Unwanted => match bare.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" | "1" => "write `true`, without quotes".into(),
            "false" | "no" | "off" | "n" | "0" => "write `false`, without quotes".into(),
            _ => format!("write it without quotes: {bare}"),
        },
    }
}

/// A lint that is silenced, with a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Silence {
    /// Its name.
    pub lint: String,
    /// Where that stands.
    pub span: Range<usize>,
}

/// Takes `silence = { "LINT" = "reason" }`.
pub(super) fn silence(source: &Arc<Source>, table: &mut Table<'_, '_>) -> Vec<Silence> {
    let mut silence = Vec::new();
    for (key, reason) in table.named("silence") {
        match &reason.value {
            Value::String(text) if !text.trim().is_empty() => {
                silence.push(Silence { lint: key.name.clone(), span: key.span.clone() });
            }
            _ => table.out().push(
                Diagnostic::error(
                    span(source, &reason.span),
                    format!("`{}` is silenced without a reason", key.name),
                )
                .label("expected the reason, as text")
                .help(format!("write `silence = {{ \"{}\" = \"why it is right here\" }}`", key.name)),
            ),
        }
    }
    silence
}

/// A table whose entries are taken one by one; what is left at the end is unknown.
pub(super) struct Table<'a, 'o> {
    source: &'o Arc<Source>,
    entries: &'a [(Key, Node)],
    asked: Vec<&'static str>,
    out: &'o mut Vec<Diagnostic>,
}

impl<'a, 'o> Table<'a, 'o> {
    /// Starts on `node`; a mistake if it is no table.
    pub(super) fn new(source: &'o Arc<Source>, node: &'a Node, out: &'o mut Vec<Diagnostic>) -> Option<Self> {
        if let Value::Table(entries) = &node.value {
            return Some(Self { source, entries, asked: Vec::new(), out });
        }
        out.push(mismatch(source, node, "a table"));
        None
    }

    /// Takes an entry.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'a (Key, Node)> {
        self.asked.push(key);
        self.entries.iter().find(|(k, _)| k.name == key)
    }

    /// Takes an entry that must be a string.
    pub(super) fn text(&mut self, key: &'static str) -> Option<(&'a str, &'a Node)> {
        let (_, node) = self.take(key)?;
        if let Value::String(text) = &node.value {
            return Some((text, node));
        }
        let mut mistake = mismatch(self.source, node, "a string");
        if matches!(node.value, Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_))
        {
            mistake.help.push(quotes(self.source, &node.span, Quotes::Wanted));
        }
        self.out.push(mistake);
        None
    }

    /// Takes an entry that must be `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let (_, node) = self.take(key)?;
        if let Value::Boolean(flag) = node.value {
            return Some(flag);
        }
        let mut mistake = mismatch(self.source, node, "`true` or `false`");
        if let Value::String(_) = node.value {
            mistake.help.push(quotes(self.source, &node.span, Quotes::Unwanted));
        }
        self.out.push(mistake);
        None
    }

    /// Takes an entry that must be a number from `min` to `max`.
    pub(super) fn number(&mut self, key: &'static str, min: i64, max: i64) -> Option<i64> {
        let (_, node) = self.take(key)?;
        match node.value {
            Value::Integer(n) if (min..=max).contains(&n) => return Some(n),
            _ => {
                let mut mistake = mismatch(self.source, node, &format!("a number from {min} to {max}"));
                if matches!(&node.value, Value::String(text) if text.parse::<i64>().is_ok()) {
                    mistake.help.push(quotes(self.source, &node.span, Quotes::Unwanted));
                }
                self.out.push(mistake);
            }
        }
        None
    }

    /// Takes an entry that must be a string or an array of strings.
    pub(super) fn texts(&mut self, key: &'static str) -> Vec<(&'a str, &'a Node)> {
        let Some((_, node)) = self.take(key) else { return Vec::new() };
        let mut texts = Vec::new();
        match &node.value {
            Value::String(text) => texts.push((text.as_str(), node)),
            Value::Array(items) => {
                for item in items {
                    match &item.value {
                        Value::String(text) => texts.push((text.as_str(), item)),
                        _ => self.out.push(mismatch(self.source, item, "a string")),
                    }
                }
            }
            _ => self.out.push(mismatch(self.source, node, "a string or an array of strings")),
        }
        texts
    }

    /// Takes a table of entries with names of the user's choice.
    pub(super) fn named(&mut self, key: &'static str) -> &'a [(Key, Node)] {
        let Some((_, node)) = self.take(key) else { return &[] };
        if let Value::Table(entries) = &node.value {
            return entries;
        }
        let mut mistake = mismatch(self.source, node, "a table");
        if let Value::Array(_) = node.value {
            mistake = mistake.help(format!("write `[{key}.NAME]`, with single brackets, for each"));
        }
        self.out.push(mistake);
        &[]
    }

    /// The entries nobody asked for.
    pub(super) fn rest(&self) -> Vec<&'a (Key, Node)> {
        self.entries.iter().filter(|(k, _)| !self.asked.contains(&k.name.as_str())).collect()
    }

    /// The keys that were asked for: the known ones.
    pub(super) fn known(&self) -> &[&'static str] {
        &self.asked
    }

    /// Says that these are all the keys that are taken: the lists that hints and the manual go by must be true.
    pub(super) fn reads(&self, keys: &[&str]) {
        debug_assert!(
            keys.iter().all(|k| self.asked.contains(k)) && self.asked.iter().all(|k| keys.contains(k)),
            "{keys:?} is not what is read: {:?}",
            self.asked
        );
    }

    /// Reports what nobody asked for.
    pub(super) fn finish(self) {
        for (key, _) in self.rest() {
            let mut diagnostic =
                Diagnostic::error(span(self.source, &key.span), format!("unknown key `{}`", key.name));
            diagnostic.help.extend(suggest_beside(self.out, &key.name, self.asked.iter().copied()));
            self.out.push(diagnostic.label("not known here"));
        }
    }

    /// Where mistakes go.
    pub(super) fn out(&mut self) -> &mut Vec<Diagnostic> {
        self.out
    }
}
