//! What the engine's JSON says: it leaves out what is empty, so that nothing at a place is as good as an empty thing.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

/// The value at a path of keys with slashes between; `null` where there is none.
pub fn at<'a>(value: &'a Json, path: &str) -> &'a Json {
    path.split('/').try_fold(value, |value, key| value.get(key)).unwrap_or(&Json::Null)
}

/// The text there; empty where there is none.
pub fn text_at<'a>(value: &'a Json, path: &str) -> &'a str {
    at(value, path).as_str().unwrap_or_default()
}

/// The number there; 0 where there is none.
pub fn number_at(value: &Json, path: &str) -> u64 {
    at(value, path).as_u64().unwrap_or_default()
}

/// What is in a list.
pub fn items(list: &Json) -> impl Iterator<Item = &Json> {
    list.as_array().into_iter().flatten()
}

/// The texts in a list.
pub fn texts(list: &Json) -> impl Iterator<Item = &str> {
    items(list).filter_map(Json::as_str)
}

/// What is in a table.
pub fn entries(table: &Json) -> impl Iterator<Item = (&String, &Json)> {
    table.as_object().into_iter().flatten()
}

/// A list of `KEY=VALUE` as a map; an entry without `=` has an empty value, as it has to the engine.
pub fn env_map(list: &Json) -> BTreeMap<String, String> {
    let pairs = texts(list).map(|e| e.split_once('=').unwrap_or((e, "")));
    pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// A table of texts as a map.
pub fn text_map(table: &Json) -> BTreeMap<String, String> {
    entries(table).map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect()
}

/// Go writes an empty list or map as `null`.
pub fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
