//! From text to a run: inventory, playbooks, templates, secrets.
//!
//! Nothing here touches the controller but through [`Environment`]. Every mistake is a
//! [`Diagnostic`](crate::diagnostic::Diagnostic) with its place, and all of them are found before any host is
//! contacted, as far as they can be found without it.

mod address;
pub mod document;
mod environment;
mod inventory;
mod layer;
mod lint;
mod load;
mod masks;
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

pub use environment::Environment;
pub use lint::{LINTS, Lint, lint};
pub use load::{Loaded, MissingSecrets, Options, load, load_inventory};
pub use secret::AGE_IDENTITY;
pub use template::until_holds;
