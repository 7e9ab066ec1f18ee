//! Looking a word up: the rows of all tables that begin with it.

use super::topics::TOPICS;
use crate::step::KINDS;

/// Where a word is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The topic or kind.
    pub name: &'static str,
    /// The heading of the part that the table is in.
    pub part: String,
    /// The table: its head, and the rows that begin with the word.
    pub table: String,
}

/// The rows that tell of `word`, by document: the topics first, then the kinds.
pub fn find(word: &str) -> Vec<Found> {
    let mut found = Vec::new();
    for (name, doc) in documents() {
        let (mut part, mut head) = (String::new(), Vec::new());
        for line in doc.lines() {
            if let Some(title) = line.strip_prefix('#') {
                title.trim_start_matches('#').trim().clone_into(&mut part);
            }
            if !line.starts_with('|') {
                head.clear();
            } else if head.len() < 2 {
                head.push(line);
            } else if first_names(line).any(|n| n == word) {
                match found.last_mut() {
                    Some(Found { name: of, part: at, table }) if *of == name && *at == part => {
                        *table = format!("{table}{line}\n");
                    }
                    _ => {
                        let table = format!("{}\n{line}\n", head.join("\n"));
                        found.push(Found { name, part: part.clone(), table });
                    }
                }
            }
        }
    }
    found
}

/// Every word that [`find`] finds in the topics.
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for topic in TOPICS {
        names.extend(
            rows(&topic.doc()).flat_map(|row| first_names(row).map(str::to_owned).collect::<Vec<_>>()),
        );
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn documents() -> impl Iterator<Item = (&'static str, String)> {
    let topics = TOPICS.iter().map(|t| (t.name, t.doc()));
    topics.chain(KINDS.iter().map(|k| (k.name, k.doc.to_owned())))
}

fn rows(doc: &str) -> impl Iterator<Item = &str> {
    doc.lines().filter(|line| line.starts_with('|'))
}

/// The names in backquotes in the first cell of a row.
pub(super) fn first_names(row: &str) -> impl Iterator<Item = &str> {
    let cell = row.trim_start_matches('|').split('|').next().unwrap_or_default();
    cell.split('`').skip(1).step_by(2)
}
