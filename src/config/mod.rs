//! From text to a run: inventory, playbooks, templates, secrets.
//!
//! Nothing here touches the controller but through [`Environment`]. Every mistake is a
//! [`Diagnostic`](crate::diagnostic::Diagnostic) with its place, and all of them are found before any host is
//! contacted, as far as they can be found without it.

mod address;
mod alike;
mod ansible;
mod becomes;
mod braces;
pub mod document;
mod environment;
mod finding;
mod fleet;
mod groups;
mod hints;
mod inventory;
mod layer;
mod limits;
mod lint;
mod load;
mod masks;
mod misspelt;
mod offline;
mod options;
mod pattern;
mod playbook;
mod range;
mod resolve;
mod results;
mod scope;
mod secret;
mod select;
mod table;
mod template;

pub(crate) use ansible::{At, WORDS};
pub use environment::{Environment, too_large};
pub use finding::Lint;
pub use lint::{Entry, LINTS, Silenced, lint};
pub use load::{Loaded, load, load_inventory};
pub use options::{MissingSecrets, Options};
pub use secret::AGE_IDENTITY;

/// The words of the language, to which the tests hold the manual.
#[cfg(test)]
pub(crate) mod words {
    pub(crate) use super::fleet::HOST_NAMES;
    pub(crate) use super::inventory::{DEFAULTS_KEYS, GROUP_KEYS, HOST_KEYS, TOP};
    pub(crate) use super::playbook::{PLAYBOOK_KEYS, STEP_KEYS};
    pub(crate) use super::scope::NAMES;
    pub(crate) use super::secret::KEYS as SECRET_KEYS;
    pub(crate) use super::template::{FILTERS, vocabulary};
}
