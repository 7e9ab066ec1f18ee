//! From text to a run: inventory, playbooks, templates, secrets.
//!
//! Nothing here touches the controller but through [`Environment`]. Every mistake is a
//! [`Diagnostic`](crate::diagnostic::Diagnostic) with its place, and all of them are found before any host is
//! contacted, as far as they can be found without it.

mod address;
mod ansible;
mod becomes;
mod braces;
pub mod document;
mod environment;
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
pub use lint::{LINTS, Lint, Silenced, lint};
pub use load::{Loaded, MissingSecrets, Options, load, load_inventory};
pub use secret::AGE_IDENTITY;
pub use template::until_holds;

/// The words of the language, to which the tests hold the manual.
#[cfg(test)]
pub(crate) mod words {
    pub(crate) use super::inventory::{DEFAULTS_KEYS, GROUP_KEYS, HOST_KEYS, TOP};
    pub(crate) use super::playbook::{PLAYBOOK_KEYS, STEP_KEYS};
    pub(crate) use super::resolve::RESOURCES;
    pub(crate) use super::scope::{HOST_KEYS as HOST_NAMES, NAMES};
    pub(crate) use super::secret::KEYS as SECRET_KEYS;
    pub(crate) use super::template::{FILTERS, vocabulary};
}
