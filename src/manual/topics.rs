//! The topics, and the tables that are made from the lists in the code.

use std::fmt::Write as _;

use crate::config::{At, LINTS, WORDS};
use crate::diagnostic::Severity;

/// A topic of the manual.
#[derive(Debug, Clone, Copy)]
pub struct Topic {
    /// Its name.
    pub name: &'static str,
    /// Its document, Markdown, with marks where tables are made.
    written: &'static str,
}

/// One line for each topic.
macro_rules! topics {
    ($($name:literal,)*) => {
        /// Every topic, in the order in which a newcomer reads them.
        pub const TOPICS: &[Topic] =
            &[$(Topic { name: $name, written: include_str!(concat!($name, ".md")) }),*];
    };
}

topics! {
    "playbook",
    "step",
    "inventory",
    "patterns",
    "templates",
    "facts",
    "results",
    "secrets",
    "lints",
    "runs",
    "shards",
    "events",
    "reports",
    "exit-codes",
    "ansible",
}

/// The topic with this name.
pub fn topic(name: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|t| t.name == name)
}

/// What stands behind the name in the heading of a document: `# package: install, upgrade or remove packages`.
pub fn phrase(doc: &str) -> &str {
    let heading = doc.lines().next().unwrap_or_default();
    heading.split_once(": ").map_or("", |(_, phrase)| phrase.trim())
}

impl Topic {
    /// Its document, Markdown.
    pub fn doc(&self) -> String {
        let mut doc = String::with_capacity(self.written.len());
        for line in self.written.lines() {
            if let Some(table) = line.strip_prefix("<!-- table: ").and_then(|l| l.strip_suffix(" -->")) {
                doc.push_str(&made(table));
            } else {
                doc.push_str(line);
                doc.push('\n');
            }
        }
        doc
    }
}

/// A table that is made from a list in the code.
fn made(table: &str) -> String {
    match table {
        "lints" => lints(),
        "play" => ansible(At::Play),
        "task" => ansible(At::Task),
        "module" => ansible(At::Module),
        "variable" => ansible(At::Variable),
        "filter" => ansible(At::Filter),
        _ => String::new(),
    }
}

/// Ansible's words that are written at one place.
fn ansible(at: At) -> String {
    let mut table = String::from("| Ansible | Here |\n|---|---|\n");
    for word in WORDS.iter().filter(|w| w.at == at) {
        let _ = writeln!(table, "| `{}` | {} |", word.theirs, word.ours.replace('|', "\\|"));
    }
    table
}

/// All lints with what they find.
fn lints() -> String {
    let mut table = String::from("| Lint | Is | Finds |\n|---|---|---|\n");
    for entry in LINTS {
        let lint = entry.lint;
        let severity = if lint.severity == Severity::Error { "error" } else { "warning" };
        let doc = lint.doc.replace('|', "\\|");
        let silenced = entry.silenced().word();
        let _ = writeln!(table, "| `{}` | {severity} | {doc} Silenced: {silenced}. |", lint.name);
    }
    table
}
