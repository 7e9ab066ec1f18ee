//! From text to a run: inventory, playbooks, templates, secrets.

pub mod document;
