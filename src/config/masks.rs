//! What secrets became in rendered texts: found by comparing a text with the same one rendered with masks.

use crate::model::MASK;
use crate::model::value::{Node, Value};

/// Adds the parts of all strings in `real` that are not in `shown`.
pub(super) fn differences(real: &Node, shown: &Node, out: &mut Vec<String>) {
    match (&real.value, &shown.value) {
        (Value::String(real), Value::String(shown)) => fragments(real, shown, out),
        (Value::Array(real), Value::Array(shown)) if real.len() == shown.len() => {
            real.iter().zip(shown).for_each(|(real, shown)| differences(real, shown, out));
        }
        (Value::Table(real), Value::Table(shown))
            if real.len() == shown.len() && real.iter().zip(shown).all(|(r, s)| r.0 == s.0) =>
        {
            real.iter().zip(shown).for_each(|(real, shown)| differences(&real.1, &shown.1, out));
        }
        (real_value, shown) if real_value != shown => texts(real, out),
        _ => {}
    }
}

/// Adds all texts and numbers in `node`.
pub(super) fn texts(node: &Node, out: &mut Vec<String>) {
    match &node.value {
        Value::String(text) | Value::Datetime(text) => out.push(text.clone()),
        Value::Integer(number) => out.push(number.to_string()),
        Value::Float(number) => out.push(number.to_string()),
        Value::Boolean(_) => {}
        Value::Array(items) => items.iter().for_each(|item| texts(item, out)),
        Value::Table(entries) => entries.iter().for_each(|(_, node)| texts(node, out)),
    }
}

/// Adds what stands in `real` where `shown` has masks, or where they differ.
pub(super) fn fragments(real: &str, shown: &str, out: &mut Vec<String>) {
    if real == shown {
        return;
    }
    let mut found = Vec::new();
    let whole = between(real, shown, &mut found).is_none();
    if whole {
        // A filter has changed the mask itself (its length, its base64): all from the first to the last difference.
        let same = |(a, b): &(char, char)| a == b;
        let start: usize = real.chars().zip(shown.chars()).take_while(same).map(|(c, _)| c.len_utf8()).sum();
        let (rest, other) = (&real[start..], &shown[start..]);
        let end: usize =
            rest.chars().rev().zip(other.chars().rev()).take_while(same).map(|(c, _)| c.len_utf8()).sum();
        found = vec![rest[..rest.len() - end].to_owned()];
    }
    out.extend(found.into_iter().filter(|f| !f.is_empty()));
}

/// What stands in `real` between the texts that stand in `shown` between its masks.
fn between(real: &str, shown: &str, found: &mut Vec<String>) -> Option<()> {
    let mut pieces = shown.split(MASK);
    let mut rest = real.strip_prefix(pieces.next()?)?;
    let mut pieces: Vec<&str> = pieces.collect();
    let last = pieces.pop()?;
    for piece in pieces {
        let end = rest.find(piece)?;
        found.push(rest[..end].to_owned());
        rest = &rest[end + piece.len()..];
    }
    found.push(rest.strip_suffix(last)?.to_owned());
    Some(())
}

/// Whether a value is so common that hiding it everywhere would hide ordinary text.
pub(super) fn is_common(value: &str) -> bool {
    let value = value.trim();
    let number = value.bytes().all(|b| b.is_ascii_digit()) && value.len() < 6;
    number || ["true", "false", "none", "null", "yes", "no", "on", "off"].contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_filters_made_of_a_secret() {
        let cases: [(&str, &str, &[&str]); 7] = [
            ("x Hunter2\n", "x ********\n", &["Hunter2"]),
            ("a=one b=two", "a=******** b=********", &["one", "two"]),
            ("same", "same", &[]),
            ("length 7 end", "length 8 end", &["7"]),
            ("aHVudGVyMg==", "KioqKioqKio=", &["aHVudGVyMg="]),
            ("no", "yes, a ********", &["no"]),
            ("é1é", "é********é", &["1"]),
        ];
        for (real, shown, wanted) in cases {
            let mut found = Vec::new();
            fragments(real, shown, &mut found);
            assert_eq!(found, wanted, "{real}");
        }
    }
}
