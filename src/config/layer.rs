//! One level of variables (`vars` of the defaults, a group, a host, a playbook, `--var`) as written.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::secret;
use super::table::{mismatch, span};
use crate::diagnostic::{Diagnostic, Source};
use crate::model::MASK;
use crate::model::value::{Key, Node, Value};

/// Variables of one level. Templates in them are unrendered, secrets unread.
#[derive(Debug, Default)]
pub(super) struct Layer {
    /// The text they are written in.
    pub source: Arc<Source>,
    /// The folder that relative paths in them are meant from.
    pub folder: PathBuf,
    /// The variables.
    pub vars: Vec<(Key, Node)>,
    /// Where each is among them.
    index: HashMap<String, usize>,
}

impl Layer {
    /// Takes the table `node`.
    pub(super) fn new(source: &Arc<Source>, folder: &Path, node: &Node, out: &mut Vec<Diagnostic>) -> Self {
        let mut layer = Self { source: Arc::clone(source), folder: folder.to_owned(), ..Self::default() };
        let Value::Table(entries) = &node.value else {
            out.push(mismatch(source, node, "a table"));
            return layer;
        };
        for (key, value) in entries {
            let letters = key.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !letters || key.name.starts_with(|c: char| c.is_ascii_digit()) || key.name.is_empty() {
                let message = format!("{:?} is not a name for a variable", key.name);
                out.push(
                    Diagnostic::error(span(source, &key.span), message)
                        .help("use letters, digits and `_`, and do not start with a digit"),
                );
                continue;
            }
            secret::mistakes(source, value, out);
            layer.index.insert(key.name.clone(), layer.vars.len());
            layer.vars.push((key.clone(), value.clone()));
        }
        layer
    }

    /// Whether there is no variable in it.
    pub(super) fn is_empty(&self) -> bool {
        self.vars.is_empty()
    }

    /// The variable with this name.
    pub(super) fn find(&self, name: &str) -> Option<&Node> {
        self.index.get(name).map(|at| &self.vars[*at].1)
    }

    /// Adds the variables as JSON, secrets masked and templates as written.
    pub(super) fn add_to(&self, map: &mut serde_json::Map<String, serde_json::Value>) {
        for (key, node) in &self.vars {
            map.insert(key.name.clone(), masked(node));
        }
    }
}

fn masked(node: &Node) -> serde_json::Value {
    match &node.value {
        _ if secret::source(node).is_some() => MASK.into(),
        Value::Array(items) => items.iter().map(masked).collect(),
        Value::Table(entries) => {
            serde_json::Value::Object(entries.iter().map(|(k, n)| (k.name.clone(), masked(n))).collect())
        }
        _ => node.to_json(),
    }
}
