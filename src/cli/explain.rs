//! `explain`: the document of a kind of step, or the list of all kinds.

use super::exit::Exit;
use super::output;
use super::settings::Display;
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
    ("Commands and checks", &["command", "script", "wait", "reboot", "assert", "fetch"]),
    ("Operations", &["failover_drill"]),
];

pub(super) fn explain(topic: Option<&str>, display: &Display) -> Exit {
    let Some(topic) = topic else {
        output::data(&list(KINDS, display.out));
        return Exit::Done;
    };
    let Some(kind) = step::kind(topic) else {
        let what = format!("there is no kind of step `{topic}`");
        let names: Vec<&str> = KINDS.iter().map(|k| k.name).collect();
        let hint = match nearest(topic, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`hostwright explain` lists all kinds".into(),
        };
        return output::complain(&what, &hint);
    };
    // On a pipe the document goes out as it is written, Markdown.
    let text =
        if display.out.width.is_some() { markdown(kind.doc, display.out) } else { kind.doc.to_owned() };
    output::data(&text);
    Exit::Done
}

/// All kinds by family, with the first sentence of each one's document.
fn list(kinds: &[KindInfo], look: Look) -> String {
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
    out.push(
        "`hostwright explain KIND` shows a kind's keys, what it checks and changes, and an example.".into(),
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
        let text = list(KINDS, Look::PLAIN);
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
