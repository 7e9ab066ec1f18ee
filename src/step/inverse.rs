//! The way back from a change, as steps.

use serde::{Deserialize, Serialize};
use toml::Value as Toml;

use super::family::put;
use super::{Change, Instance, Value};

/// What makes of a changed host what it was, and what of the change stays.
///
/// It is kept in the journal, and `undo` makes a playbook of it. Its steps are checked like any others: what is as it was
/// already is left alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inverse {
    /// Steps in their order, each as it stands in a playbook (`package = { names = ["x"], state = "absent" }`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
    /// What has no way back, and why: lower-case fragments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stays: Vec<String>,
}

impl Inverse {
    /// Nothing is there that would have to go.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// There is no way back, and why.
    pub fn none(why: impl Into<String>) -> Self {
        Self::default().stays(why)
    }

    /// A step.
    pub fn of(kind: &str, keys: impl IntoIterator<Item = (&'static str, Toml)>) -> Self {
        Self::default().step(kind, keys)
    }

    /// What a step has made goes: a step of that kind with this name (`name`, `path`) and `state = "absent"`.
    pub fn removal(kind: &str, key: &'static str, name: &str) -> Self {
        Self::of(kind, [(key, name.into()), ("state", "absent".into())])
    }

    /// The files that the change's actions put or remove, as they were before the run: each has a backup on the host.
    pub fn files(change: &Change) -> Self {
        let mut inverse = Self::default();
        for action in &change.actions {
            let Some(put) = put::Placed::by(&action.script) else { continue };
            inverse = match (&action.host, put.kept) {
                (Some(host), _) => inverse.stays(format!("{} on {host} stays as it is", put.path)),
                (None, false) => inverse.stays(format!("what {} was before was not kept", put.path)),
                (None, true) => inverse.step(
                    "restore",
                    [("path", put.path.into())]
                        .into_iter()
                        .chain(put.follow.then(|| ("follow", true.into())))
                        .chain(put.in_place.then(|| ("in_place", true.into()))),
                ),
            };
        }
        inverse
    }

    /// Adds a step behind the others.
    #[must_use]
    pub fn step(mut self, kind: &str, keys: impl IntoIterator<Item = (&'static str, Toml)>) -> Self {
        let table: toml::Table =
            keys.into_iter().map(|(key, value)| (key.to_owned(), literal(value))).collect();
        self.steps.push(format!("{kind} = {}", Toml::Table(table)));
        self
    }

    /// Adds what has no way back.
    #[must_use]
    pub fn stays(mut self, why: impl Into<String>) -> Self {
        self.stays.push(why.into());
        self
    }

    /// Adds all of another one behind.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.steps.extend(other.steps);
        self.stays.extend(other.stays);
        self
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.stays.is_empty()
    }
}

/// The value so that a playbook has it as it is: what begins a template in its texts is itself given by one.
fn literal(value: Toml) -> Toml {
    match value {
        Toml::String(text) => {
            let mut out = String::with_capacity(text.len());
            let mut rest = text.chars().peekable();
            while let Some(c) = rest.next() {
                match rest.peek() {
                    Some('{' | '%' | '#') if c == '{' => out.push_str("{{ '{' }}"),
                    _ => out.push(c),
                }
            }
            Toml::String(out)
        }
        Toml::Array(list) => Toml::Array(list.into_iter().map(literal).collect()),
        Toml::Table(table) => Toml::Table(table.into_iter().map(|(k, v)| (k, literal(v))).collect()),
        other => other,
    }
}

impl Change {
    /// What a field was before, if the change has it and it is known.
    pub fn before(&self, field: &str) -> Option<&str> {
        match &self.fields.iter().find(|f| f.name == field)?.before {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether a field was not there before.
    pub fn was_absent(&self, field: &str) -> bool {
        self.fields.iter().any(|f| f.name == field && f.before == Value::Absent)
    }
}

impl Instance {
    /// The way back from a change of it. Nothing in it is made from a secret: where one would be, there is none.
    pub fn inverse(&self, change: &Change) -> Inverse {
        let inverse = self.step.inverse(change);
        let Some(veil) = &self.veil else { return inverse };
        let Inverse { steps, stays } = inverse;
        let (told, hidden): (Vec<String>, Vec<String>) =
            steps.into_iter().partition(|step| veil.is_clear(step));
        let stays = stays.into_iter().filter(|why| veil.is_clear(why)).collect();
        let inverse = Inverse { steps: told, stays };
        if hidden.is_empty() {
            inverse
        } else {
            inverse.stays("a secret would have to be written down for it")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_template_is_given_by_one() {
        let step = Inverse::of("user", [("name", "a".into()), ("comment", "{{ x }} {% y {# z { } {".into())]);
        assert_eq!(
            step.steps,
            ["user = { name = \"a\", comment = \"{{ '{' }}{ x }} {{ '{' }}% y {{ '{' }}# z { } {\" }"]
        );
    }
}
