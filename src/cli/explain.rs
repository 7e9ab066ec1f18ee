//! `explain`: the manual. The document of a topic, a kind of step or a lint, what the manual says of a word, or the list
//! of all.

use std::fmt::Write as _;

use super::args::Format;
use super::exit::Exit;
use super::output;
use super::settings::Display;
use crate::config::{self, LINTS, Silenced, lint};
use crate::diagnostic::nearest;
use crate::manual::{self, TOPICS};
use crate::program::{Handle, Text};
use crate::report::{Look, markdown, table};
use crate::step::{self, KINDS};
use crate::{engine, facts, transport};

/// One line of the list.
struct Entry {
    group: &'static str,
    name: &'static str,
    phrase: String,
}

pub(super) fn explain(topic: Option<&str>, script: bool, display: &Display) -> Exit {
    let json = display.format == Format::Json;
    let Some(name) = topic else {
        let entries = entries();
        let text = if json {
            let line = |e: &Entry| {
                serde_json::json!({"group": e.group, "name": e.name, "says": e.phrase}).to_string()
            };
            entries.iter().map(|e| line(e) + "\n").collect()
        } else {
            list(&entries, display.out)
        };
        output::data(&text);
        return Exit::Done;
    };
    let texts = if script { scripts_of(name) } else { text_named(name).map(|text| vec![text]) };
    if let Some(texts) = texts {
        output::data(&scripts(name, &texts, json));
        return Exit::Done;
    }
    if script {
        let what = format!("`{name}` is no kind of step: only those run something on hosts");
        let help = match nearest(name, KINDS.iter().map(|k| k.name)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`hostwright explain` lists the kinds".into(),
        };
        return output::complain(&what, &help);
    }
    let Some(doc) = document(name) else {
        let what = format!("the manual has no topic, kind of step, lint or word `{name}`");
        return output::complain(&what, &near(name));
    };
    // On a pipe the document goes out as it is written, Markdown.
    let text = match display.out.width {
        _ if json => serde_json::json!({"name": name, "document": doc}).to_string() + "\n",
        Some(_) => markdown(&doc, display.out),
        None => doc,
    };
    output::data(&text);
    Exit::Done
}

/// The files that run on hosts for the kind of step with this name.
fn scripts_of(name: &str) -> Option<Vec<&'static Text>> {
    step::kind(name).map(|kind| texts_of(kind.programs.iter().copied().flatten()))
}

/// The files of these programs: each program behind the libraries that it uses.
fn texts_of<'a>(programs: impl IntoIterator<Item = &'a Handle>) -> Vec<&'static Text> {
    let mut texts: Vec<&'static Text> = Vec::new();
    for handle in programs {
        for text in handle().texts() {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
    }
    texts
}

/// The file with this name, of a kind, or of what the engine and the transport run beside.
fn text_named(name: &str) -> Option<&'static Text> {
    let kinds = KINDS.iter().flat_map(|kind| kind.programs.iter().copied().flatten());
    let transport = transport::PROGRAMS.iter().copied().flatten().copied().flatten();
    let all = texts_of(kinds.chain(facts::PROGRAMS).chain(engine::PROGRAMS).chain(transport));
    all.into_iter().find(|text| text.name() == name)
}

/// The files one after the other.
fn scripts(name: &str, texts: &[&'static Text], json: bool) -> String {
    if json {
        let files: Vec<_> =
            texts.iter().map(|t| serde_json::json!({"name": t.name(), "text": t.source()})).collect();
        return serde_json::json!({"name": name, "files": files}).to_string() + "\n";
    }
    if texts.is_empty() {
        return "Nothing of its own runs on hosts for this kind.\n".into();
    }
    let file = |text: &&Text| format!("# ==== {} ====\n{}", text.name(), text.source());
    texts.iter().map(file).collect::<Vec<_>>().join("\n")
}

/// What the manual says of `name`, Markdown.
fn document(name: &str) -> Option<String> {
    if let Some(topic) = manual::topic(name) {
        return Some(topic.doc());
    }
    if let Some(kind) = step::kind(name) {
        return Some(kind.doc.to_owned());
    }
    if let Some(lint) = lint(name) {
        return Some(of_lint(lint));
    }
    let found = manual::find(name);
    if found.is_empty() {
        return None;
    }
    let mut doc = format!("# {name}\n");
    for found in found {
        let part =
            if found.part.starts_with(found.name) { String::new() } else { format!(", {}", found.part) };
        let _ = write!(doc, "\nIn `hostwright explain {}`{part}:\n\n{}", found.name, found.table);
    }
    Some(doc)
}

fn of_lint(entry: &config::Entry) -> String {
    let lint = entry.lint;
    let silence = format!("silence = {{ \"{}\" = \"why it is right here\" }}", lint.name);
    let silenced = match entry.silenced() {
        Silenced::Nowhere => "It cannot be silenced.".to_owned(),
        Silenced::Inventory => {
            format!("Silenced in the inventory, in `[defaults]`, at a host or at a group: `{silence}`.")
        }
        Silenced::Playbook => format!("Silenced at the top of the playbook: `{silence}`."),
        Silenced::Step => format!("Silenced on the step, or at the top of its playbook: `{silence}`."),
    };
    format!("# {}\n\n{}\n\n{silenced}\n", lint.name, lint.doc.trim())
}

/// What to say of a name that is not there.
fn near(name: &str) -> String {
    let words = manual::names();
    let topics = TOPICS.iter().map(|t| t.name);
    let names = topics.chain(KINDS.iter().map(|k| k.name)).chain(LINTS.iter().map(|l| l.lint.name));
    match nearest(name, names.chain(words.iter().map(String::as_str))) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`hostwright explain` lists all".into(),
    }
}

/// All topics, kinds by family, and lints.
fn entries() -> Vec<Entry> {
    let mut out: Vec<Entry> = (TOPICS.iter())
        .map(|t| Entry { group: "The language", name: t.name, phrase: manual::phrase(&t.doc()).to_owned() })
        .collect();
    let kind = |k: &step::KindInfo| Entry {
        group: k.family,
        name: k.name,
        phrase: manual::phrase(k.doc).to_owned(),
    };
    out.extend(KINDS.iter().map(kind));
    out.extend(LINTS.iter().map(|l| Entry {
        group: "Lints",
        name: l.lint.name,
        phrase: sentence(l.lint.doc),
    }));
    out
}

/// The list for people.
fn list(entries: &[Entry], look: Look) -> String {
    let width = entries.iter().map(|e| e.name.len()).max().unwrap_or(0);
    let mut out = Vec::new();
    for group in entries.chunk_by(|a, b| a.group == b.group) {
        let rows: Vec<_> =
            group.iter().map(|e| vec![format!("{:width$}", e.name), e.phrase.clone()]).collect();
        out.extend(table(&[group[0].group, ""], &rows, look));
        out.push(String::new());
    }
    out.push(
        "`hostwright explain NAME` shows all of it, with examples. NAME may also be any word of the language: \
         a key (`register`), a fact, a filter, a word of Ansible's."
            .into(),
    );
    out.join("\n") + "\n"
}

/// The first sentence.
fn sentence(doc: &str) -> String {
    doc.split(". ").next().unwrap_or_default().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_listed_once_with_a_phrase_that_stands_alone() {
        let entries = entries();
        let text = list(&entries, Look::PLAIN);
        let groups: Vec<_> =
            entries.chunk_by(|a, b| a.group == b.group).map(|group| group[0].group).collect();
        let distinct: std::collections::BTreeSet<_> = groups.iter().collect();
        assert_eq!(
            groups.len(),
            distinct.len(),
            "kinds of a family stand together in the manifest: {groups:?}"
        );
        let names = TOPICS.iter().map(|t| t.name).chain(KINDS.iter().map(|k| k.name));
        for name in names.chain(LINTS.iter().map(|l| l.lint.name)) {
            let lines: Vec<_> = text.lines().filter(|l| l.starts_with(&format!("{name} "))).collect();
            assert_eq!(lines.len(), 1, "{name}: {lines:?}");
            assert!(lines[0].split_whitespace().count() > 3, "{name}: no phrase");
        }
        for Entry { name, phrase, .. } in entries.iter().filter(|e| e.group != "Lints") {
            let alone = phrase.len() <= 54 && phrase.starts_with(|c: char| c.is_lowercase() || c == 'A');
            assert!(alone && !phrase.ends_with('.'), "{name}: {phrase:?}");
        }
    }

    #[test]
    fn programs_are_shown_with_their_libraries() {
        let texts = scripts_of("hostname").unwrap();
        let names: Vec<_> = texts.iter().map(|text| text.name()).collect();
        assert!(!names.contains(&"make_link.sh"), "it makes no link: {names:?}");
        for ours in ["note_pending.sh", "start_action.sh", "take_lock.sh"] {
            assert_eq!(text_named(ours).unwrap().name(), ours);
        }
        let text = scripts("hostname", &texts, false);
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("no {part:?}"));
        assert!(
            at("==== way.sh") < at("==== put.sh") && at("==== put.sh") < at("==== write_file.sh"),
            "{text}"
        );
        assert_eq!(text.matches("==== put.sh").count(), 1);
        assert!(text.contains("#   name  the name\n"), "comments are for people");
        assert_eq!(text_named("put.sh").unwrap().name(), "put.sh");
        assert_eq!((scripts_of("teapot"), text_named("teapot.sh")), (None, None));
        let json: serde_json::Value = serde_json::from_str(&scripts("hostname", &texts, true)).unwrap();
        assert_eq!(json["files"].as_array().unwrap().len(), texts.len());
    }

    #[test]
    fn a_word_is_looked_up_and_a_misspelt_one_leads_on() {
        let doc = document("register").unwrap();
        assert!(doc.contains("In `hostwright explain step`") && doc.contains("| `register` |"), "{doc}");
        assert!(document("with_items").unwrap().contains("each"));
        assert!(document("os.family").unwrap().contains("explain facts"));
        assert!(document("always-runs").unwrap().contains("Silenced on the step"));
        assert_eq!(document("teapot"), None);
        assert_eq!(near("regster"), "did you mean `register`?");
        assert_eq!(near("playbok"), "did you mean `playbook`?");
        assert_eq!(near("nfs_exports"), "did you mean `nfs_export`?");
    }
}
