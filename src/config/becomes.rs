//! `become`: as whom steps act.

use std::sync::Arc;

use super::address::Wrong;
use super::table::{Table, describe, mismatch};
use crate::diagnostic::{Diagnostic, Source};
use crate::model::value::{Node, Value};

/// As whom a step acts on its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Becomes {
    /// The user who logged in.
    Login,
    /// This one.
    User(Arc<str>),
}

/// `become = true`, `become = "postgres"`.
pub(super) fn becomes(source: &Arc<Source>, table: &mut Table<'_, '_>) -> Option<Becomes> {
    let (_, node) = table.take("become")?;
    match becomes_of(node) {
        Ok(becomes) => Some(becomes),
        Err(wrong) => {
            table.out().push(mistake(source, node, wrong));
            None
        }
    }
}

/// The mistake of a `become` that cannot be one.
pub(super) fn mistake(source: &Arc<Source>, node: &Node, wrong: Wrong) -> Diagnostic {
    let mut diagnostic = mismatch(source, node, BECOME);
    diagnostic.message = wrong.message;
    diagnostic.help.extend(wrong.help);
    diagnostic
}

/// What `become` may be.
const BECOME: &str = "`true`, `false` or the name of a user";

/// What a value of `become` means.
pub(super) fn becomes_of(node: &Node) -> Result<Becomes, Wrong> {
    match &node.value {
        Value::Boolean(true) => Ok(Becomes::User("root".into())),
        Value::Boolean(false) => Ok(Becomes::Login),
        Value::String(user) => match wrong_user(user) {
            None => Ok(Becomes::User(user.as_str().into())),
            Some(wrong) => Err(wrong),
        },
        Value::Integer(0 | 1) => Err(Wrong {
            message: "a number says neither yes nor no".into(),
            help: Some("write `true` or `false`".into()),
        }),
        _ => Err(Wrong { message: format!("expected {BECOME}, found {}", describe(node)), help: None }),
    }
}

/// What is wrong with the name of a user, if it cannot be one or was not meant to be one.
pub(super) fn wrong_user(user: &str) -> Option<Wrong> {
    let wrong = |message: String, help: &str| Some(Wrong { message, help: Some(help.into()) });
    match user.to_ascii_lowercase().as_str() {
        "" => return Some(Wrong { message: "the user's name is empty".into(), help: None }),
        "true" | "yes" | "on" | "y" | "1" => {
            return wrong(
                format!("{user:?} in quotes is the name of a user"),
                "write `true`, without quotes",
            );
        }
        "false" | "no" | "off" | "n" | "0" => {
            return wrong(
                format!("{user:?} in quotes is the name of a user"),
                "write `false`, without quotes",
            );
        }
        _ => {}
    }
    if user.contains("{{") {
        return wrong(format!("{user:?} is not the name of a user"), "templates are not rendered here");
    }
    let good = !user.starts_with('-')
        && user
            .chars()
            .all(|c| !c.is_whitespace() && !c.is_control() && !"'\"`$:/,;|&<>(){}[]*?!#%\\".contains(c));
    if good || user.ends_with('$') && wrong_user(user.trim_end_matches('$')).is_none() {
        return None;
    }
    wrong(
        format!("{user:?} is not the name of a user"),
        "names of users have letters, digits, `-`, `_` and `.`",
    )
}
