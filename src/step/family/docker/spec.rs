//! Comparing an object's specification with what a playbook wants of it, key by key, and editing it.
//!
//! The engine leaves out whatever is empty or default, and writes lists in an order of its own. So each key is
//! brought into a normal form on both sides, and only the keys that a playbook mentions are compared: what is
//! changed by hand elsewhere in the object stays, and goes back to the engine as it came.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use super::json::{at, texts};
use crate::step::{Field, Value};

/// What a change of a key means for the containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// They go on.
    None,
    /// They are replaced.
    Restart,
    /// They go on where their node still fits.
    Placement,
}

/// A key that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Before and after.
    pub field: Field,
    /// What follows.
    pub effect: Effect,
}

/// How a key is brought into normal form, and shown.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// Normal form; a key that is missing is `null`, and equal to its default.
    pub normal: fn(&Json) -> Json,
    /// The normal form in a few words.
    pub show: fn(&Json) -> String,
}

/// A comparison under way.
#[derive(Debug, Clone)]
pub struct Differ {
    live: Json,
    /// The live specification with what is wanted set in it.
    pub spec: Json,
    /// What differs.
    pub changed: Vec<Changed>,
    /// Keys that nobody mentions and that are not at their defaults.
    pub unmanaged: Vec<&'static str>,
    /// Keys that nobody mentions are to be at their defaults.
    strict: bool,
}

impl Differ {
    /// Compares with `live`.
    pub fn new(live: Json, strict: bool) -> Self {
        Self { spec: live.clone(), live, changed: Vec::new(), unmanaged: Vec::new(), strict }
    }

    /// Starts from `base`, of which nothing is there yet.
    pub fn create(base: Json) -> Self {
        Self { live: Json::Null, spec: base, changed: Vec::new(), unmanaged: Vec::new(), strict: false }
    }

    /// What is at `path` now.
    pub fn live(&self, path: &str) -> &Json {
        at(&self.live, path)
    }

    /// Compares one key. `wanted` is in the API's own form.
    pub fn key(&mut self, name: &'static str, path: &str, wanted: Option<Json>, form: Form, effect: Effect) {
        let live = (form.normal)(at(&self.live, path));
        let wanted = match wanted {
            Some(wanted) => wanted,
            None if self.strict => Json::Null,
            None => {
                if live != (form.normal)(&Json::Null) {
                    self.unmanaged.push(name);
                }
                return;
            }
        };
        let target = (form.normal)(&wanted);
        // On creation everything that is mentioned shows, even where it is the default.
        if live == target && (!self.live.is_null() || wanted.is_null()) {
            return;
        }
        let before = if self.live.is_null() { Value::Absent } else { shown(&live, form.show) };
        // `strict` takes a limit away: it does not set it to 0.
        let goes = wanted.is_null() && is_empty(&target);
        let after = if goes { Value::Absent } else { shown(&target, form.show) };
        self.push(name.into(), before, after, effect);
        set(&mut self.spec, path, wanted);
    }

    /// Compares a key that is a map from text to text, entry by entry.
    pub fn map(
        &mut self,
        name: &'static str,
        wanted: Option<&BTreeMap<String, String>>,
        live: &BTreeMap<String, String>,
        effect: Effect,
    ) -> bool {
        let empty = BTreeMap::new();
        let wanted = match wanted {
            Some(wanted) => wanted,
            None if self.strict => &empty,
            None => {
                if !live.is_empty() {
                    self.unmanaged.push(name);
                }
                return false;
            }
        };
        let keys: BTreeSet<&String> = wanted.keys().chain(live.keys()).collect();
        for key in keys {
            let (before, after) = (live.get(key), wanted.get(key));
            if before != after {
                let value = |v: Option<&String>| v.map_or(Value::Absent, |v| Value::Text(v.clone()));
                self.push(format!("{name} {key}"), value(before), value(after), effect);
            }
        }
        wanted != live
    }

    /// Notes that a key differs.
    pub fn push(&mut self, name: String, before: Value, after: Value, effect: Effect) {
        self.changed.push(Changed { field: Field { name, before, after }, effect });
    }

    /// Puts `value` at `path` in the specification; `null` takes the key away.
    pub fn set(&mut self, path: &str, value: Json) {
        set(&mut self.spec, path, value);
    }
}

fn shown(value: &Json, show: fn(&Json) -> String) -> Value {
    match value {
        Json::Null => Value::Absent,
        Json::Array(items) if items.is_empty() => Value::Absent,
        Json::Object(items) if items.is_empty() => Value::Absent,
        Json::String(text) if text.is_empty() => Value::Absent,
        value => Value::Text(show(value)),
    }
}

/// Puts `new` at `path`, making the objects on the way; `null` takes what is there away.
///
/// A policy that was left out as a whole is filled with the engine's defaults first, and a key of one that is
/// taken away gets its default: a policy that is there with one key alone has zeros for the others, and no
/// parallelism means all at once.
///
/// # Panics
/// Never: what is no object on the way is made one.
pub fn set(value: &mut Json, path: &str, new: Json) {
    let (parents, key) = path.rsplit_once('/').unwrap_or(("", path));
    let policy = parents.rsplit('/').next().unwrap_or_default();
    if new.is_null() && at(value, path).is_null() {
        return;
    }
    let mut place = value;
    for parent in parents.split('/').filter(|p| !p.is_empty()) {
        if !place.is_object() {
            *place = Json::Object(Map::new());
        }
        let map = place.as_object_mut().expect("made an object above");
        let child = map.entry(parent).or_insert(Json::Null);
        if child.is_null() {
            *child = defaults(parent);
        }
        place = child;
    }
    if !place.is_object() {
        *place = Json::Object(Map::new());
    }
    let map = place.as_object_mut().expect("made an object above");
    let new = if new.is_null() { at(&defaults(policy), key).clone() } else { new };
    if new.is_null() {
        map.shift_remove(key);
    } else {
        map.insert(key.to_owned(), new);
    }
}

/// For how long a new task is watched where nobody says it, in nanoseconds (swarmkit, `api/defaults/service.go`).
pub const DEFAULT_MONITOR: u64 = 5_000_000_000;

/// swarmkit, `api/defaults/service.go`.
fn defaults(policy: &str) -> Json {
    match policy {
        "UpdateConfig" | "RollbackConfig" => json!({
            "Parallelism": 1, "FailureAction": "pause", "Monitor": DEFAULT_MONITOR,
            "MaxFailureRatio": 0, "Order": "stop-first",
        }),
        "RestartPolicy" => json!({ "Condition": "any", "Delay": 5_000_000_000_u64, "MaxAttempts": 0 }),
        _ => json!({}),
    }
}

/// Without all that is empty, zero or false, as the engine leaves it out.
pub fn pruned(value: &Json) -> Json {
    match value {
        Json::Object(map) => Json::Object(
            map.iter().map(|(k, v)| (k.clone(), pruned(v))).filter(|(_, v)| !is_empty(v)).collect(),
        ),
        Json::Array(items) => items.iter().map(pruned).collect(),
        other => other.clone(),
    }
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Bool(b) => !b,
        Json::Number(n) => n.as_f64() == Some(0.0),
        Json::String(s) => s.is_empty(),
        Json::Array(a) => a.is_empty(),
        Json::Object(o) => o.is_empty(),
    }
}

/// Text; empty where it is missing.
pub const TEXT: Form = Form { normal: |v| v.as_str().unwrap_or_default().into(), show: text };
/// A flag; off where it is missing.
pub const FLAG: Form = Form { normal: |v| v.as_bool().unwrap_or_default().into(), show: text };
/// A number; 0 where it is missing.
pub const NUMBER: Form = Form { normal: number, show: text };
/// A share, which the engine keeps in 32 bits; 0 where it is missing.
pub const RATIO: Form = Form { normal: ratio, show: text };
/// A path of the container, as the engine cleans it; empty where it is missing.
pub const PATH: Form = Form { normal: |v| clean_path(v.as_str().unwrap_or_default()).into(), show: text };
/// A signal, by its name or number, with `SIG` or without; empty where it is missing.
pub const SIGNAL: Form = Form { normal: signal, show: text };
/// Nanoseconds; 0 where they are missing.
pub const NANOS: Form = Form { normal: number, show: nanos };
/// Bytes; 0 where they are missing.
pub const BYTES: Form = Form { normal: number, show: bytes };
/// Words whose order matters.
pub const LIST: Form = Form { normal: list, show: words };
/// Words whose order does not matter.
pub const SET: Form = Form { normal: word_set, show: words };
/// A table, without what is empty in it.
pub const TABLE: Form = Form { normal: pruned_or_null, show: text };

fn pruned_or_null(value: &Json) -> Json {
    let value = pruned(value);
    if is_empty(&value) { Json::Null } else { value }
}

fn number(value: &Json) -> Json {
    // 1 and 1.0 are the same to the engine, not to JSON values.
    value
        .as_u64()
        .map_or_else(|| value.as_f64().filter(|f| *f != 0.0).map_or(json!(0), |f| json!(f)), |n| json!(n))
}

#[expect(clippy::cast_possible_truncation, reason = "that is what the engine does to it")]
fn ratio(value: &Json) -> Json {
    let short = value.as_f64().unwrap_or_default() as f32;
    json!(short.to_string().parse::<f64>().unwrap_or_default())
}

/// A path without what says nothing in it (Go's `path.Clean`, which the engine uses); text that is none as it is.
pub fn clean_path(text: &str) -> String {
    if !text.starts_with('/') {
        return text.to_owned();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// signal(7); the engine takes all these forms, and keeps the one that it was given.
fn signal(value: &Json) -> Json {
    let name = value.as_str().unwrap_or_default().to_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let names = [
        ("1", "HUP"),
        ("2", "INT"),
        ("3", "QUIT"),
        ("9", "KILL"),
        ("10", "USR1"),
        ("12", "USR2"),
        ("15", "TERM"),
    ];
    let name = names.iter().find(|(number, _)| *number == name).map_or(name, |(_, name)| name);
    if name.is_empty() { json!("") } else { json!(format!("SIG{name}")) }
}

fn list(value: &Json) -> Json {
    if value.is_array() { value.clone() } else { json!([]) }
}

fn word_set(value: &Json) -> Json {
    let words: BTreeSet<&str> = texts(value).collect();
    words.into_iter().collect()
}

/// A value in a few words.
pub fn text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        Json::Object(map) => {
            map.iter().map(|(k, v)| format!("{k} {}", text(v))).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

/// Words as a shell would read them.
fn words(value: &Json) -> String {
    let words = texts(value);
    words.map(crate::shell::quote).collect::<Vec<_>>().join(" ")
}

/// Nanoseconds in the largest unit that divides them.
pub fn nanos(value: &Json) -> String {
    let n = value.as_u64().unwrap_or_default();
    for (unit, size) in [
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1000),
    ] {
        if n >= size && n.is_multiple_of(size) {
            return format!("{}{unit}", n / size);
        }
    }
    if n == 0 { "0s".into() } else { format!("{n}ns") }
}

fn bytes(value: &Json) -> String {
    let n = value.as_u64().unwrap_or_default();
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if n >= 1 << shift && n.is_multiple_of(1 << shift) {
            return format!("{}{unit}", n >> shift);
        }
    }
    format!("{n}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_mentioned_is_compared() {
        let live = json!({"A": "x", "B": {"C": 3}});
        let mut differ = Differ::new(live.clone(), false);
        differ.key("a", "A", Some(json!("x")), TEXT, Effect::Restart);
        differ.key("c", "B/C", None, NUMBER, Effect::Restart);
        differ.key("d", "B/D", None, NUMBER, Effect::Restart);
        assert!(differ.changed.is_empty());
        assert_eq!((differ.unmanaged.clone(), &differ.spec), (vec!["c"], &live));
        differ.key("d", "B/D/E", Some(json!(1)), NUMBER, Effect::None);
        assert_eq!(differ.spec, json!({"A": "x", "B": {"C": 3, "D": {"E": 1}}}));
    }

    #[test]
    fn strict_takes_away_what_nobody_mentions() {
        let mut differ = Differ::new(json!({"B": {"C": 3, "D": 0}}), true);
        differ.key("c", "B/C", None, NUMBER, Effect::Restart);
        differ.key("d", "B/D", None, NUMBER, Effect::Restart);
        assert_eq!((differ.changed.len(), differ.spec), (1, json!({"B": {"D": 0}})));
    }

    #[test]
    fn a_policy_that_was_left_out_keeps_its_defaults() {
        let mut spec = json!({});
        set(&mut spec, "UpdateConfig/Order", json!("start-first"));
        assert_eq!(at(&spec, "UpdateConfig/Parallelism"), &json!(1));
        assert_eq!(at(&spec, "UpdateConfig/Order"), &json!("start-first"));
        set(&mut spec, "UpdateConfig/Parallelism", json!(3));
        set(&mut spec, "UpdateConfig/Parallelism", Json::Null);
        assert_eq!(
            at(&spec, "UpdateConfig/Parallelism"),
            &json!(1),
            "without the key it would be all at once"
        );
    }

    #[test]
    fn what_the_engine_keeps_in_another_form_is_the_same() {
        let same = |form: Form, a: Json, b: Json| (form.normal)(&a) == (form.normal)(&b);
        // What Go writes of a float32.
        assert!(same(RATIO, json!(1.0 / 3.0), json!(0.333_333_34)));
        assert!(same(RATIO, json!(0.1), json!(0.1)) && same(RATIO, json!(0), Json::Null));
        assert!(!same(RATIO, json!(0.3), json!(0.33)));
        assert!(
            same(PATH, json!("/data/"), json!("/data")) && same(PATH, json!("//a/./b/../c"), json!("/a/c"))
        );
        assert!(same(PATH, json!("/"), json!("//")) && !same(PATH, json!("/a"), json!("/b")));
        for text in ["term", "SIGTERM", "15", "sigterm"] {
            assert!(same(SIGNAL, json!(text), json!("SIGTERM")), "{text}");
        }
        assert!(!same(SIGNAL, json!("SIGINT"), json!("SIGTERM")) && same(SIGNAL, Json::Null, json!("")));
        assert!(same(SIGNAL, json!("RTMIN+3"), json!("SIGRTMIN+3")));
    }

    #[test]
    fn numbers_are_shown_in_their_units() {
        for (n, wanted) in [
            (0_u64, "0s"),
            (5_000_000_000, "5s"),
            (90_000_000_000, "90s"),
            (7_200_000_000_000, "2h"),
            (1_500_000, "1500us"),
        ] {
            assert_eq!(nanos(&json!(n)), wanted);
        }
        assert_eq!((bytes(&json!(512 << 20)), bytes(&json!(1000))), ("512MiB".into(), "1000B".into()));
    }
}
