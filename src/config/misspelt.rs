//! Names in templates that can never be there, also in branches that are not taken: keys of `facts` and `host`, and
//! of `groups` and `hosts` where the template does not ask for them.

use std::sync::{Arc, OnceLock};

use serde_json::Value as Json;

use super::document::within;
use super::fleet::{Fleet, HOST_NAMES};
use super::table::{span, suggest};
use super::template::{self, Uses};
use crate::diagnostic::{Diagnostic, Source};
use crate::model::value::{Node, Value};

type Missing = (String, Option<String>);

/// Adds what all strings in `node` use to `uses`, what was not there also to `fresh`, and reports names that cannot
/// be there.
pub(super) fn gather(
    fleet: &Fleet,
    source: &Arc<Source>,
    node: &Node,
    expression: bool,
    (uses, fresh): (&mut Uses, &mut Vec<String>),
    out: &mut Vec<Diagnostic>,
) {
    match &node.value {
        Value::String(text) => {
            let mut own = Uses::default();
            own.add(template::texts(), text, expression);
            for path in &own.paths {
                let found = fixed(path).or_else(|| of_inventory(fleet, path, text));
                let Some((missing, help)) = found else { continue };
                let at = text.find(path.as_str()).or_else(|| text.find(&missing)).unwrap_or(0);
                let at = within(source, node, &(at..at + missing.len()));
                let mut found = Diagnostic::error(span(source, &at), format!("`{missing}` is not defined"));
                found.help.extend(help);
                out.push(found);
            }
            uses.results.extend(own.results);
            for path in own.paths {
                if uses.paths.insert(path.clone()) {
                    fresh.push(path);
                }
            }
        }
        Value::Array(items) => {
            for n in items {
                gather(fleet, source, n, expression, (uses, fresh), out);
            }
        }
        Value::Table(entries) => {
            for (_, n) in entries {
                gather(fleet, source, n, expression, (uses, fresh), out);
            }
        }
        _ => {}
    }
}

/// The first name in a template file that can never be there.
pub(super) fn first(text: &str) -> Option<Missing> {
    if !text.contains("facts.") && !text.contains("host.") {
        return None;
    }
    let mut uses = Uses::default();
    uses.add(template::texts(), text, false);
    uses.paths.iter().find_map(|path| fixed(path))
}

/// Names whose keys are the same in every run.
fn fixed(path: &str) -> Option<Missing> {
    static FACTS: OnceLock<Json> = OnceLock::new();
    let (root, rest) = path.split_once('.')?;
    match root {
        "facts" => walk(FACTS.get_or_init(crate::facts::sample), "facts", rest),
        "host" => {
            let key = rest.split('.').next().unwrap_or(rest);
            (!HOST_NAMES.contains(&key)).then(|| (format!("host.{key}"), suggest(key, HOST_NAMES)))
        }
        _ => None,
    }
}

fn walk(value: &Json, so_far: &str, rest: &str) -> Option<Missing> {
    let Json::Object(keys) = value else { return None };
    let (key, rest) = rest.split_once('.').unwrap_or((rest, ""));
    match keys.get(key) {
        Some(inner) if !rest.is_empty() => walk(inner, &format!("{so_far}.{key}"), rest),
        Some(_) => None,
        // Methods that tables have.
        None if ["items", "keys", "values", "get"].contains(&key) => None,
        None => Some((format!("{so_far}.{key}"), suggest(key, keys.keys().map(String::as_str)))),
    }
}

/// Groups and hosts of this inventory, unless the template asks whether they are there.
fn of_inventory(fleet: &Fleet, path: &str, text: &str) -> Option<Missing> {
    let (root, rest) = path.split_once('.')?;
    let key = rest.split('.').next().unwrap_or(rest);
    let asked = text.contains("default") || text.contains("defined") || text.contains(&format!("in {root}"));
    if asked || ["items", "keys", "values", "get"].contains(&key) {
        return None;
    }
    let names: Vec<&str> = match root {
        "groups" => fleet.groups.iter().map(|g| &*g.name).chain(["all"]).collect(),
        "hosts" if fleet.hosts.named(key).is_some() => return None,
        "hosts" => fleet.hosts.iter().map(|h| h.name.as_str()).collect(),
        _ => return None,
    };
    (!names.contains(&key)).then(|| (format!("{root}.{key}"), suggest(key, names.iter().copied())))
}
