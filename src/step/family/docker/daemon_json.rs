//! `daemon.json`, merged by key: what the step does not set stays as it is written, with its numbers, order and blanks.

use std::ops::Range;

use serde_json::{Map, Value};

/// What a merge came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// The new text.
    pub text: String,
    /// What changed; nothing if the text is the old one.
    pub changed: Vec<Changed>,
}

/// A key (`log-opts.max-size`), what it was, and what it becomes.
pub type Changed = (String, Option<Value>, Option<Value>);

/// Sets each key of `wanted`, tables key by key, and takes out `remove`. `Err` says why the text is not one to change,
/// as the end of a sentence that begins with its name.
pub fn merge(bytes: &[u8], wanted: &Map<String, Value>, remove: &[String]) -> Result<Merged, String> {
    // The engine reads a file with a mark too.
    let (mark, body) = bytes.split_at(if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 });
    let text = std::str::from_utf8(body).map_err(|_| "is not UTF-8".to_owned())?;
    let blank = text.trim().is_empty();
    let mut now: Map<String, Value> = if blank {
        Map::new()
    } else {
        serde_json::from_str(text).map_err(|error| match comment(text) {
            Some(line) => format!("has a comment in line {line}, which is not JSON"),
            None => format!("is not a JSON object: {error}"),
        })?
    };
    let mut edited = if blank { "{}\n".to_owned() } else { text.to_owned() };
    let mut changed = Vec::new();
    for (path, new) in differences(&now, wanted, remove) {
        let old = put(&mut now, &path, new.clone());
        edit(&mut edited, &path, new.as_ref())?;
        changed.push((path.join("."), old, new));
    }
    if changed.is_empty() {
        text.clone_into(&mut edited);
    } else if serde_json::from_str::<Map<String, Value>>(&edited).ok().as_ref() != Some(&now) {
        // Rather all of it written anew than anything wrong in it.
        edited = format!("{:#}\n", Value::Object(now));
    }
    let mark = if mark.is_empty() { "" } else { "\u{feff}" };
    Ok(Merged { text: format!("{mark}{edited}"), changed })
}

/// The keys to set and to take out, by their paths, in order.
fn differences(
    now: &Map<String, Value>,
    wanted: &Map<String, Value>,
    remove: &[String],
) -> Vec<(Vec<String>, Option<Value>)> {
    let mut found = Vec::new();
    differ(now, wanted, &mut Vec::new(), &mut found);
    let gone = remove.iter().filter(|key| now.contains_key(*key));
    found.extend(gone.map(|key| (vec![key.clone()], None)));
    found
}

fn differ(
    now: &Map<String, Value>,
    wanted: &Map<String, Value>,
    path: &mut Vec<String>,
    found: &mut Vec<(Vec<String>, Option<Value>)>,
) {
    for (key, value) in wanted {
        path.push(key.clone());
        match (now.get(key), value) {
            (Some(Value::Object(inner)), Value::Object(wanted)) => differ(inner, wanted, path, found),
            (Some(old), _) if same(old, value) => {}
            _ => found.push((path.clone(), Some(value.clone()))),
        }
        path.pop();
    }
}

/// Whether two values are equal, numbers by what they are worth.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            x == y || (x.is_f64() != y.is_f64() && x.as_f64() == y.as_f64())
        }
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(key, x)| y.get(key).is_some_and(|y| same(x, y)))
        }
        _ => a == b,
    }
}

/// Sets or takes out a key; returns what it was.
fn put(now: &mut Map<String, Value>, path: &[String], new: Option<Value>) -> Option<Value> {
    let (key, above) = path.split_last()?;
    let mut table = now;
    for name in above {
        table = table.get_mut(name)?.as_object_mut()?;
    }
    match new {
        Some(value) => table.insert(key.clone(), value),
        None => table.shift_remove(key),
    }
}

/// An object in a text: where its braces are, and its members.
#[derive(Debug)]
struct Object {
    open: usize,
    members: Vec<Member>,
    close: usize,
}

#[derive(Debug)]
struct Member {
    name: String,
    /// From the quote before the key to the end of the value.
    whole: Range<usize>,
    value: Range<usize>,
    /// What is between key and value.
    colon: String,
}

/// Does the same to the text as [`put`] does to the value.
fn edit(text: &mut String, path: &[String], new: Option<&Value>) -> Result<(), String> {
    let Some((key, above)) = path.split_last() else { return Ok(()) };
    let lost = || "cannot be taken apart".to_owned();
    let mut object = object(text, text.find('{').ok_or_else(lost)?).ok_or_else(lost)?;
    let unit = indent(text, &object).unwrap_or_else(|| "  ".to_owned());
    for name in above {
        let at = find(&object, name)?.ok_or_else(lost)?;
        object = self::object(text, object.members[at].value.start).ok_or_else(lost)?;
    }
    match (find(&object, key)?, new) {
        (Some(at), Some(value)) => {
            let member = &object.members[at];
            let written = written(value, text, member.whole.start, &unit);
            text.replace_range(member.value.clone(), &written);
        }
        (Some(at), None) => {
            let members = &object.members;
            let range = match (at.checked_sub(1), members.get(at + 1)) {
                (Some(before), _) => members[before].whole.end..members[at].whole.end,
                (None, Some(next)) => members[at].whole.start..next.whole.start,
                (None, None) => object.open + 1..members[at].whole.end,
            };
            text.replace_range(range, "");
        }
        (None, Some(value)) => add(text, &object, key, value, &unit),
        (None, None) => {}
    }
    Ok(())
}

/// Adds a member behind the last one, in its style; or, in an empty object, on a line of its own.
fn add(text: &mut String, object: &Object, key: &str, value: &Value, unit: &str) {
    let key = Value::from(key).to_string();
    if let Some(last) = object.members.last() {
        let before = object.members.iter().rev().nth(1).map_or(object.open + 1, |m| m.whole.end);
        let lead = &text[before..last.whole.start];
        let lead = lead.split_once(',').map_or(lead, |(_, blanks)| blanks).to_owned();
        let value = written(value, text, last.whole.start, unit);
        text.insert_str(last.whole.end, &format!(",{lead}{key}{}{value}", last.colon));
        return;
    }
    let end = line_end(text);
    let outer = blanks(text, object.open);
    let value = pretty(value, &format!("{outer}{unit}"), unit, end);
    text.replace_range(
        object.open + 1..object.close,
        &format!("{end}{outer}{unit}{key}: {value}{end}{outer}"),
    );
}

/// A value as it is written for the member that begins at `at`: over several lines only if that has a line of its own.
fn written(value: &Value, text: &str, at: usize, unit: &str) -> String {
    let line = text[..at].rfind('\n').map_or(0, |n| n + 1);
    if text[line..at].trim().is_empty() && line > 0 {
        pretty(value, &text[line..at], unit, line_end(text))
    } else {
        value.to_string()
    }
}

fn pretty(value: &Value, outer: &str, unit: &str, end: &str) -> String {
    let text = format!("{value:#}");
    let mut out = String::new();
    for (n, line) in text.lines().enumerate() {
        if n > 0 {
            out.push_str(end);
            out.push_str(outer);
        }
        let body = line.trim_start_matches(' ');
        out.push_str(&unit.repeat((line.len() - body.len()) / 2));
        out.push_str(body);
    }
    out
}

/// How far the members of the outermost object stand in.
fn indent(text: &str, object: &Object) -> Option<String> {
    let first = object.members.first()?;
    let lead = &text[object.open + 1..first.whole.start];
    lead.rsplit_once('\n').map(|(_, blanks)| blanks.to_owned()).filter(|blanks| !blanks.is_empty())
}

/// The blanks that the line of `at` begins with.
fn blanks(text: &str, at: usize) -> String {
    let line = &text[text[..at].rfind('\n').map_or(0, |n| n + 1)..at];
    line[..line.len() - line.trim_start().len()].to_owned()
}

fn line_end(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

/// The member of this name. Of two, the engine takes the last; which one is meant only people know.
fn find(object: &Object, name: &str) -> Result<Option<usize>, String> {
    let mut found = object.members.iter().enumerate().filter(|(_, m)| m.name == name).map(|(n, _)| n);
    let first = found.next();
    if found.next().is_some() {
        return Err(format!("has the key `{name}` twice"));
    }
    Ok(first)
}

/// Takes apart the object whose brace is at `open`, in a text that is valid JSON.
fn object(text: &str, open: usize) -> Option<Object> {
    let bytes = text.as_bytes();
    let skip = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        at
    };
    let mut members = Vec::new();
    let mut at = skip(open + 1);
    while *bytes.get(at)? == b'"' {
        let start = at;
        at = end_of(bytes, at)?;
        let name = serde_json::from_str(&text[start..at]).ok()?;
        let key_end = at;
        at = skip(at);
        if *bytes.get(at)? != b':' {
            return None;
        }
        at = skip(at + 1);
        let value = at..end_of(bytes, at)?;
        at = skip(value.end);
        members.push(Member {
            name,
            whole: start..value.end,
            colon: text[key_end..value.start].to_owned(),
            value,
        });
        if *bytes.get(at)? == b',' {
            at = skip(at + 1);
        }
    }
    (*bytes.get(at)? == b'}').then_some(Object { open, members, close: at })
}

/// The end of the value that begins at `at`.
fn end_of(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    loop {
        match *bytes.get(at)? {
            b'"' => {
                at += 1;
                while *bytes.get(at)? != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            byte if depth == 0 => {
                debug_assert!(!byte.is_ascii_whitespace());
                let rest = bytes[at..].iter();
                let rest = rest.take_while(|b| !matches!(b, b',' | b'}' | b']') && !b.is_ascii_whitespace());
                return Some(at + rest.count());
            }
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// The line of the first comment outside of a text in quotes.
fn comment(text: &str) -> Option<usize> {
    let mut quoted = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if quoted => {
                chars.next();
            }
            '"' => quoted = !quoted,
            '#' | '/' if !quoted => return Some(text[..at].split('\n').count()),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[track_caller]
    fn check(before: &str, wanted: &str, remove: &[&str], after: &str) {
        let remove: Vec<_> = remove.iter().map(|r| (*r).to_owned()).collect();
        let merged = merge(before.as_bytes(), &map(wanted), &remove).unwrap();
        assert_eq!(merged.text, after);
        assert_eq!(merged.changed.is_empty(), before == after, "{:?}", merged.changed);
        let again = merge(after.as_bytes(), &map(wanted), &remove).unwrap();
        assert_eq!((again.text.as_str(), again.changed.len()), (after, 0), "a second time");
    }

    #[test]
    fn merges_key_by_key_and_keeps_the_rest() {
        let before = r#"{"bip":"10.9.0.1/24","log-opts":{"tag":"x","max-size":"1m"},"debug":true}"#;
        let wanted = r#"{"log-opts":{"max-size":"10m","max-file":"3"},"log-driver":"json-file"}"#;
        let merged = merge(before.as_bytes(), &map(wanted), &["debug".into(), "none".into()]).unwrap();
        let keys: Vec<_> = merged.changed.iter().map(|(k, ..)| k.as_str()).collect();
        assert_eq!(keys, ["log-opts.max-size", "log-opts.max-file", "log-driver", "debug"]);
        assert_eq!(merged.changed[0].1, Some("1m".into()));
        let after = r#"{"bip":"10.9.0.1/24","log-opts":{"tag":"x","max-size":"10m","max-file":"3"},"log-driver":"json-file"}"#;
        check(before, wanted, &["debug", "none"], after);
    }

    #[test]
    fn what_is_not_set_stays_as_it_is_written() {
        check(
            "{\n\t\"mtu\" : 1.50e3,\n\t\"x\": [1,2,\n\t\t3],  \"big\": 123456789012345678901234567890,\n\t\"e\": \"\\u00e9\\/\"\n}",
            r#"{"mtu":1400,"log-opts":{"max-file":"3"}}"#,
            &[],
            "{\n\t\"mtu\" : 1400,\n\t\"x\": [1,2,\n\t\t3],  \"big\": 123456789012345678901234567890,\n\t\"e\": \"\\u00e9\\/\",\n\t\"log-opts\": {\n\t\t\"max-file\": \"3\"\n\t}\n}",
        );
        check(
            "{\r\n    \"a\": 1\r\n}\r\n",
            r#"{"b":{"c":[1]}}"#,
            &["a"],
            "{\r\n    \"b\": {\r\n        \"c\": [\r\n            1\r\n        ]\r\n    }\r\n}\r\n",
        );
        check("\u{feff}{ \"a\": 1 }\n\n", r#"{"b":[1]}"#, &[], "\u{feff}{ \"a\": 1, \"b\": [1] }\n\n");
        check("{}", r#"{"a":true}"#, &[], "{\n  \"a\": true\n}");
        check("", r#"{"a":true}"#, &[], "{\n  \"a\": true\n}\n");
        check(" \n", r#"{"a":true}"#, &[], "{\n  \"a\": true\n}\n");
        check(
            "{\n  \"o\": {},\n  \"a\": 1\n}",
            r#"{"o":{"x":"}\"{"}}"#,
            &["a"],
            "{\n  \"o\": {\n    \"x\": \"}\\\"{\"\n  }\n}",
        );
        check("{\"a\":1,\"b\":2,\"c\":3}", "{}", &["a", "c"], "{\"b\":2}");
        check("{\"a\":1}", "{}", &["a"], "{}");
        check("{\"a\":{\"b\":1}}", r#"{"a":[2]}"#, &[], "{\"a\":[2]}");
        check("{\"k\\u0065y\": 1}", r#"{"key":2}"#, &[], "{\"k\\u0065y\": 2}");
        // What is equal is not touched.
        check(
            "{ \"a\":10.0, \"l\": [ 1,2 ] }",
            r#"{"a":10,"l":[1,2.0]}"#,
            &[],
            "{ \"a\":10.0, \"l\": [ 1,2 ] }",
        );
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for (text, why) in [
            ("{\n  // my settings\n  \"a\": 1\n}", "has a comment in line 2, which is not JSON"),
            ("# mine\n{}", "has a comment in line 1, which is not JSON"),
            ("{ \"a\": \"http://x/#\", }", "is not a JSON object: trailing comma at line 1 column 22"),
            ("[1]", "is not a JSON object: invalid type: sequence, expected a map at line 1 column 0"),
            ("{\"a\":1,\"a\":2}", "has the key `a` twice"),
            ("{\"o\":{},\"o\":{}}", "has the key `o` twice"),
        ] {
            let said = merge(text.as_bytes(), &map(r#"{"a":3,"o":{"x":1}}"#), &[]).unwrap_err();
            assert_eq!(said, why, "{text}");
        }
        assert_eq!(merge(b"{\"a\":\"\xe9\"}", &Map::new(), &[]).unwrap_err(), "is not UTF-8");
        assert_eq!(merge(b"\xff\xfe{\0}\0", &Map::new(), &[]).unwrap_err(), "is not UTF-8");
    }

    fn values() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-c{}\\[\\]\",:\\\\é]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-d\"]{1,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest::proptest! {
        #[test]
        fn any_merge_is_what_it_would_be_by_value(now in values(), wanted in values(), remove in "[a-d]", pretty in proptest::prelude::any::<bool>()) {
            let (Value::Object(now), Value::Object(wanted)) = (now, wanted) else { return Ok(()) };
            if wanted.contains_key(&remove) { return Ok(()) }
            let now = Value::Object(now);
            let text = if pretty { format!("{now:#}") } else { now.to_string() };
            let merged = merge(text.as_bytes(), &wanted, std::slice::from_ref(&remove)).unwrap();
            let read = map(&merged.text);
            let mut expected = now.as_object().unwrap().clone();
            for (path, new) in differences(now.as_object().unwrap(), &wanted, std::slice::from_ref(&remove)) {
                put(&mut expected, &path, new);
            }
            proptest::prop_assert_eq!(&read, &expected);
            proptest::prop_assert_eq!(merge(merged.text.as_bytes(), &wanted, &[remove]).unwrap().changed, []);
        }
    }
}
