//! A tree of TOML values that know where they were written, and its way into Rust types.
//!
//! Templates are rendered on this tree, and kinds are read from it with plain `derive(Deserialize)`; every
//! error keeps the byte range of the key or value at fault.

use std::ops::Range;

use serde::de::{self, IntoDeserializer, Visitor};

/// A value and the byte range in its file.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Byte range of the value.
    pub span: Range<usize>,
    /// The value.
    pub value: Value,
}

/// A TOML value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A string.
    String(String),
    /// An integer.
    Integer(i64),
    /// A float.
    Float(f64),
    /// A boolean.
    Boolean(bool),
    /// A date or time, as written.
    Datetime(String),
    /// An array.
    Array(Vec<Node>),
    /// A table, in the order in which it was written.
    Table(Vec<(Key, Node)>),
}

/// A key of a table and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub name: String,
    /// Byte range of the key.
    pub span: Range<usize>,
}

impl Node {
    /// A table with `node` under `key`: the short form of a step (`hostname = "nfs-01"`) made long.
    pub fn wrapped(key: &str, node: Self) -> Self {
        let span = node.span.clone();
        let key = Key { name: key.to_owned(), span: span.clone() };
        Self { span, value: Value::Table(vec![(key, node)]) }
    }

    /// The entry of a table, with its key.
    pub fn entry(&self, name: &str) -> Option<(&Key, &Self)> {
        match &self.value {
            Value::Table(entries) => entries.iter().find(|(k, _)| k.name == name).map(|(k, n)| (k, n)),
            _ => None,
        }
    }

    /// Follows a path of keys and indices (`clients[0]`, `healthcheck.test`) as far as it goes, and
    /// returns the range of the last value found.
    pub fn span_at(&self, path: &str) -> Range<usize> {
        let mut node = self;
        for part in path.split(['.', '[']).map(|p| p.trim_end_matches(']')).filter(|p| !p.is_empty()) {
            let next = match &node.value {
                Value::Array(items) => part.parse::<usize>().ok().and_then(|n| items.get(n)),
                Value::Table(_) => node.entry(part).map(|(_, n)| n),
                _ => None,
            };
            match next {
                Some(n) => node = n,
                None => break,
            }
        }
        node.span.clone()
    }

    /// The value as JSON, for template scopes. Dates become strings.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::String(s) | Value::Datetime(s) => s.as_str().into(),
            Value::Integer(i) => (*i).into(),
            Value::Float(f) => (*f).into(),
            Value::Boolean(b) => (*b).into(),
            Value::Array(items) => items.iter().map(Self::to_json).collect(),
            Value::Table(entries) => serde_json::Value::Object(
                entries.iter().map(|(k, n)| (k.name.clone(), n.to_json())).collect(),
            ),
        }
    }

    fn describe(&self) -> de::Unexpected<'_> {
        match &self.value {
            Value::String(s) => de::Unexpected::Str(s),
            Value::Integer(i) => de::Unexpected::Signed(*i),
            Value::Float(f) => de::Unexpected::Float(*f),
            Value::Boolean(b) => de::Unexpected::Bool(*b),
            Value::Datetime(_) => de::Unexpected::Other("a date"),
            Value::Array(_) => de::Unexpected::Seq,
            Value::Table(_) => de::Unexpected::Map,
        }
    }
}

/// A value does not fit the type it is read into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What is wrong, lower case.
    pub message: String,
    /// Byte range of the key or value at fault.
    pub span: Option<Range<usize>>,
    /// What could have stood there instead: the known keys or variants.
    pub expected: &'static [&'static str],
    /// What kind of mistake it is.
    pub mistake: Mistake,
}

/// A kind of mistake, as far as anything depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mistake {
    /// The value does not fit.
    Value,
    /// It would fit with quotes, or without them.
    Quotes(Quotes),
    /// No key has this name.
    UnknownKey(String),
    /// This is none of the words that may stand here.
    UnknownWord(String),
    /// A key is missing.
    MissingKey,
}

impl Mistake {
    /// The key or word that is not known.
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Self::UnknownKey(name) | Self::UnknownWord(name) => Some(name),
            _ => None,
        }
    }
}

/// What is to be done with the quotes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quotes {
    /// They are missing.
    Wanted,
    /// They are there and must not be.
    Unwanted,
}

impl Error {
    fn at(mut self, span: &Range<usize>) -> Self {
        self.span.get_or_insert_with(|| span.clone());
        self
    }

    fn plain(message: String) -> Self {
        Self { message, span: None, expected: &[], mistake: Mistake::Value }
    }
}

impl de::Error for Error {
    fn custom<T: std::fmt::Display>(msg: T) -> Self {
        Self::plain(msg.to_string())
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let mistake = Mistake::UnknownKey(field.into());
        Self { expected, mistake, ..Self::plain(format!("unknown key `{field}`")) }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let message = format!("`{variant}` is not one of {}", join(expected));
        Self { expected, mistake: Mistake::UnknownWord(variant.into()), ..Self::plain(message) }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { mistake: Mistake::MissingKey, ..Self::plain(format!("the key `{field}` is missing")) }
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::plain(format!("the key `{field}` stands here twice"))
    }

    fn invalid_type(unexp: de::Unexpected<'_>, exp: &dyn de::Expected) -> Self {
        let wanted = wanted(exp);
        let quotes = match unexp {
            de::Unexpected::Str(text)
                if matches!(wanted, Wanted::Number(_)) && text.trim().parse::<f64>().is_ok() =>
            {
                Some(Quotes::Unwanted)
            }
            de::Unexpected::Str(text) if wanted == Wanted::Flag => {
                let text = text.to_ascii_lowercase();
                ["true", "yes", "on", "y", "1", "false", "no", "off", "n", "0"]
                    .contains(&text.as_str())
                    .then_some(Quotes::Unwanted)
            }
            de::Unexpected::Signed(_) | de::Unexpected::Float(_) | de::Unexpected::Bool(_)
                if matches!(wanted, Wanted::Text(_)) =>
            {
                Some(Quotes::Wanted)
            }
            _ => None,
        };
        let mistake = quotes.map_or(Mistake::Value, Mistake::Quotes);
        Self { mistake, ..Self::plain(format!("expected {wanted}, found {}", words(&unexp))) }
    }

    fn invalid_value(unexp: de::Unexpected<'_>, exp: &dyn de::Expected) -> Self {
        Self::plain(format!("expected {}, found {}", wanted(exp), words(&unexp)))
    }
}

/// What is wanted in the place of a value, in the words of people who do not write Rust.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Flag,
    Number(String),
    Text(String),
    Other(String),
}

/// What is wanted. Serde tells it in words alone: this is the one place that reads them.
fn wanted(exp: &dyn de::Expected) -> Wanted {
    let words = exp.to_string();
    match words.as_str() {
        "a boolean" => Wanted::Flag,
        "u8" => Wanted::Number(format!("a number from 0 to {}", u8::MAX)),
        "u16" => Wanted::Number(format!("a number from 0 to {}", u16::MAX)),
        "u32" | "u64" | "usize" => Wanted::Number("a number from 0 up".into()),
        "i8" | "i16" | "i32" | "i64" | "isize" => Wanted::Number("a whole number".into()),
        "f32" | "f64" => Wanted::Number("a number".into()),
        _ if words.contains("number") => Wanted::Number(words),
        _ if words.starts_with("a string") => Wanted::Text(words),
        _ => Wanted::Other(words),
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag => f.write_str("`true` or `false`"),
            Self::Number(words) | Self::Text(words) | Self::Other(words) => f.write_str(words),
        }
    }
}

fn words(unexp: &de::Unexpected<'_>) -> String {
    match unexp {
        de::Unexpected::Seq => "an array".into(),
        de::Unexpected::Map => "a table".into(),
        de::Unexpected::Str(s) => format!("the string {s:?}"),
        de::Unexpected::Signed(i) => format!("the number {i}"),
        de::Unexpected::Unsigned(i) => format!("the number {i}"),
        de::Unexpected::Bool(b) => format!("`{b}`"),
        other => other.to_string(),
    }
}

/// `a`, `b` and `c`.
fn join(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|n| format!("`{n}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.join(""),
    }
}

impl<'de> de::Deserializer<'de> for &'de Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::String(s) | Value::Datetime(s) => visitor.visit_borrowed_str(s),
            Value::Integer(i) => visitor.visit_i64(*i),
            Value::Float(f) => visitor.visit_f64(*f),
            Value::Boolean(b) => visitor.visit_bool(*b),
            Value::Array(items) => {
                visitor.visit_seq(de::value::SeqDeserializer::<_, Error>::new(items.iter()))
            }
            Value::Table(entries) => visitor.visit_map(Entries { entries: entries.iter(), value: None }),
        }
        .map_err(|e| e.at(&self.span))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self).map_err(|e| e.at(&self.span))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.value {
            Value::String(s) => visitor.visit_enum(s.as_str().into_deserializer()),
            Value::Table(entries) if entries.len() == 1 => {
                let access = Entries { entries: entries.iter(), value: None };
                visitor.visit_enum(de::value::MapAccessDeserializer::new(access))
            }
            _ => Err(de::Error::invalid_type(self.describe(), &"a string")),
        }
        .map_err(|e: Error| e.at(&self.span))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for &'de Node {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

struct Entries<'de> {
    entries: std::slice::Iter<'de, (Key, Node)>,
    value: Option<&'de Node>,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, node)) = self.entries.next() else { return Ok(None) };
        self.value = Some(node);
        let de = de::value::BorrowedStrDeserializer::<Error>::new(&key.name);
        seed.deserialize(de).map(Some).map_err(|e| e.at(&key.span))
    }

    fn next_value_seed<S: de::DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let node = self.value.take().expect("serde asks for a value after its key");
        seed.deserialize(node).map_err(|e| e.at(&node.span))
    }
}

/// Reads a string or an array of strings (or of anything `T` is) as a list.
pub fn one_or_many<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: de::Deserializer<'de>,
    T: de::Deserialize<'de>,
{
    struct OneOrMany<T>(std::marker::PhantomData<T>);
    impl<'de, T: de::Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string or an array of strings")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            T::deserialize(text.into_deserializer()).map(|v| vec![v])
        }
        fn visit_i64<E: de::Error>(self, number: i64) -> Result<Vec<T>, E> {
            T::deserialize(number.into_deserializer()).map(|v| vec![v])
        }
        fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = seq.next_element()? {
                items.push(item);
            }
            Ok(items)
        }
    }
    deserializer.deserialize_any(OneOrMany(std::marker::PhantomData))
}

/// Reads a duration: a number of seconds, or text such as `90s`, `5m`, `1h 30m`, `250ms`.
pub fn duration<'de, D: de::Deserializer<'de>>(deserializer: D) -> Result<std::time::Duration, D::Error> {
    struct Seconds;
    impl Visitor<'_> for Seconds {
        type Value = std::time::Duration;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a duration (a number of seconds, or text such as \"90s\", \"5m\", \"1h 30m\")")
        }
        fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Self::Value, E> {
            u64::try_from(seconds)
                .map(std::time::Duration::from_secs)
                .map_err(|_| E::invalid_value(de::Unexpected::Signed(seconds), &self))
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            text.parse::<jiff::SignedDuration>()
                .ok()
                .and_then(|d| std::time::Duration::try_from(d).ok())
                .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }
    deserializer.deserialize_any(Seconds)
}

/// As [`duration`], for a key that may be left out.
pub fn optional_duration<'de, D: de::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<std::time::Duration>, D::Error> {
    duration(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by the derived Debug")]
    struct Sample {
        #[serde(deserialize_with = "one_or_many")]
        names: Vec<String>,
        #[serde(default, deserialize_with = "optional_duration")]
        after: Option<std::time::Duration>,
        state: Option<Mode>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        Present,
        Absent,
    }

    fn table(entries: Vec<(&str, Value)>) -> Node {
        let entries = entries.into_iter().enumerate().map(|(n, (k, value))| {
            let start = n * 100;
            (Key { name: k.into(), span: start..start + 5 }, Node { span: start + 10..start + 20, value })
        });
        Node { span: 0..1000, value: Value::Table(entries.collect()) }
    }

    fn text(s: &str) -> Value {
        Value::String(s.into())
    }

    #[test]
    fn reads_short_and_long_forms() {
        let s = Sample::deserialize(&table(vec![
            ("names", text("a")),
            ("after", text("1m 30s")),
            ("state", text("absent")),
        ]))
        .unwrap();
        assert_eq!(format!("{s:?}"), r#"Sample { names: ["a"], after: Some(90s), state: Some(Absent) }"#);
    }

    #[test]
    fn an_error_points_at_the_key_or_value_at_fault() {
        for (extra, at, message) in [
            (("nmaes", text("x")), 100..105, "unknown key `nmaes`"),
            (("state", text("gone")), 110..120, "`gone` is not one of `present` and `absent`"),
            (("after", text("soon")), 110..120, "found the string \"soon\""),
            (("state", Value::Integer(3)), 110..120, "expected a string, found the number 3"),
        ] {
            let error = Sample::deserialize(&table(vec![("names", text("a")), extra])).unwrap_err();
            assert!(error.message.contains(message), "{}", error.message);
            assert_eq!(error.span, Some(at), "{message}");
        }
        let error = Sample::deserialize(&table(vec![])).unwrap_err();
        assert_eq!((error.message.as_str(), error.span), ("the key `names` is missing", Some(0..1000)));
    }
}
