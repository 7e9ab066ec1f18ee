//! `explain`: the document of a kind of step or of a lint, or the list of all.

use super::exit::Exit;
use super::output;
use super::settings::Display;
use crate::config::{LINTS, Lint, lint};
use crate::diagnostic::nearest;
use crate::report::{Look, markdown, table};
use crate::step::{self, KINDS, KindInfo};

/// The kinds as they are listed; what is in none is listed last.
const FAMILIES: &[(&str, &[&str])] = &[
    (
        "Base",
        &[
            "package",
            "repository",
            "service",
            "hostname",
            "directory",
            "file",
            "line",
            "block",
            "link",
            "user",
            "group",
            "sysctl",
            "selinux_boolean",
            "firewall",
            "cron",
            "timer",
        ],
    ),
    ("Storage", &["nfs_export", "mount"]),
    (
        "Docker",
        &[
            "docker_engine",
            "swarm_init",
            "swarm_join",
            "swarm_node",
            "docker_image",
            "docker_network",
            "docker_volume",
            "docker_config",
            "docker_secret",
            "docker_service",
            "docker_stack",
            "docker_container",
        ],
    ),
    ("Commands and checks", &["command", "script", "wait", "reboot", "assert", "query", "fetch"]),
    ("Operations", &["failover_drill"]),
];

pub(super) fn explain(topic: Option<&str>, display: &Display) -> Exit {
    let Some(topic) = topic else {
        output::data(&list(KINDS, LINTS, display.out));
        return Exit::Done;
    };
    let doc = match (step::kind(topic), lint(topic)) {
        (Some(kind), _) => kind.doc.to_owned(),
        (None, Some(lint)) => format!("# {}\n\n{}\n", lint.name, lint.doc.trim()),
        (None, None) => {
            let what = format!("there is no kind of step and no lint `{topic}`");
            let names = KINDS.iter().map(|k| k.name).chain(LINTS.iter().map(|l| l.name));
            let hint = match nearest(topic, names.collect::<Vec<&str>>()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`hostwright explain` lists all".into(),
            };
            return output::complain(&what, &hint);
        }
    };
    // On a pipe the document goes out as it is written, Markdown.
    output::data(&if display.out.width.is_some() { markdown(&doc, display.out) } else { doc });
    Exit::Done
}

/// All kinds by family, with the first sentence of each one's document.
fn list(kinds: &[KindInfo], lints: &[Lint], look: Look) -> String {
    let mut out = Vec::new();
    let mut left: Vec<&KindInfo> = kinds.iter().collect();
    let width = kinds.iter().map(|k| k.name.len()).max().unwrap_or(0);
    let families = FAMILIES.iter().map(|(title, names)| (*title, Some(*names))).chain([("Others", None)]);
    for (title, names) in families {
        let rows: Vec<Vec<String>> = match names {
            Some(names) => names
                .iter()
                .filter_map(|name| left.iter().position(|k| k.name == *name).map(|at| left.remove(at)))
                .map(|kind| row(kind, width))
                .collect(),
            None => left.iter().map(|kind| row(kind, width)).collect(),
        };
        if !rows.is_empty() {
            out.extend(table(&[title, ""], &rows, look));
            out.push(String::new());
        }
    }
    let rows: Vec<_> = lints.iter().map(|lint| vec![lint.name.to_owned(), sentence(lint.doc)]).collect();
    out.extend(table(&["Lints", ""], &rows, look));
    out.push(String::new());
    out.push(
        "`hostwright explain NAME` shows all of it: keys, what is checked and changed, an example.".into(),
    );
    out.join("\n") + "\n"
}

fn row(kind: &KindInfo, width: usize) -> Vec<String> {
    vec![format!("{:width$}", kind.name), sentence(kind.doc)]
}

/// The first sentence after the heading, without `Ensures that`.
fn sentence(doc: &str) -> String {
    let text: Vec<&str> = doc
        .lines()
        .skip_while(|l| l.starts_with('#') || l.trim().is_empty())
        .take_while(|l| !l.trim().is_empty())
        .map(str::trim)
        .collect();
    let text = text.join(" ");
    let first = text.split(". ").next().unwrap_or_default().trim_end_matches('.');
    first.strip_prefix("Ensures that ").unwrap_or(first).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_listed_once_with_a_sentence() {
        let text = list(KINDS, LINTS, Look::PLAIN);
        for kind in KINDS {
            let lines: Vec<_> = text.lines().filter(|l| l.starts_with(&format!("{} ", kind.name))).collect();
            assert_eq!(lines.len(), 1, "{}: {lines:?}", kind.name);
            assert!(lines[0].split_whitespace().count() > 3, "{}: no sentence", kind.name);
        }
        assert_eq!(text.lines().next().unwrap().trim(), "Base");
    }

    #[test]
    fn a_document_becomes_a_sentence() {
        let doc = "# k\n\nEnsures that a thing is\nthere, in v1.2. Or not.\n\nMore.";
        assert_eq!(sentence(doc), "a thing is there, in v1.2");
    }
}
