//! What the documents say is so: their examples are accepted, and the bundled playbooks are clean.

use std::path::Path;
use std::process::Command;

use hostwright::config::document;
use hostwright::model::value::{Key, Node, Value};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Blocks of a language in a Markdown file.
fn blocks(file: &str, language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(file)).unwrap();
    let mut blocks = Vec::new();
    let mut block: Option<Vec<&str>> = None;
    for line in text.lines() {
        match (&mut block, line.trim()) {
            (None, start) if start == format!("```{language}") => block = Some(Vec::new()),
            (Some(lines), "```") => {
                blocks.push(lines.join("\n"));
                block = None;
            }
            (Some(lines), _) => lines.push(line.strip_prefix("   ").unwrap_or(line)),
            _ => {}
        }
    }
    assert!(!blocks.is_empty(), "{file} has no block of {language}");
    blocks
}

fn check(inventory: &Path, playbooks: &[&Path]) -> (bool, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_hostwright"))
        .arg("check")
        .args(playbooks)
        .arg("-i")
        .arg(inventory)
        .current_dir(root())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("REDIS_PASSWORD", "a password")
        .env("PORTAINER_PASSWORD", "another password")
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    (out.status.success(), text)
}

#[test]
fn the_examples_of_the_readme_are_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let blocks = blocks("README.md", "toml");
    let (inventory, playbook) = (folder.path().join("inventory.toml"), folder.path().join("web.toml"));
    let web = "\n[hosts.\"web-[01:03]\"]\n\n[groups.web]\nhosts = [\"web-[01:03]\"]\n";
    let written = blocks.iter().find(|b| b.contains("[hosts.")).unwrap();
    std::fs::write(&inventory, format!("{written}{web}")).unwrap();
    std::fs::write(&playbook, blocks.iter().find(|b| b.contains("[[step]]")).unwrap()).unwrap();
    for playbooks in [
        &[playbook.as_path()][..],
        &[Path::new("playbooks/10-nfs-server.toml"), Path::new("playbooks/20-nfs-clients.toml")],
    ] {
        let (ok, text) = check(&inventory, playbooks);
        assert!(ok, "{text}");
    }
}

#[test]
fn the_bundled_playbooks_are_clean_for_the_example_inventory() {
    for playbooks in ["playbooks", "playbooks/ops", "playbooks/ops/teardown"] {
        let (ok, text) = check(Path::new("inventory.example.toml"), &[Path::new(playbooks)]);
        assert!(ok && !text.contains("warning"), "{text}");
    }
}

#[test]
fn commands_named_in_the_documents_exist() {
    let out = Command::new(env!("CARGO_BIN_EXE_hostwright")).arg("--help").output().unwrap();
    let help = String::from_utf8(out.stdout).unwrap();
    let shown = blocks("README.md", "sh").join("\n");
    for line in shown.lines().map(str::trim).filter(|l| l.starts_with("hostwright ")) {
        let command = line.split(' ').nth(1).unwrap();
        assert!(help.contains(&format!("  {command} ")), "{line}");
    }
    for line in shown.lines().map(str::trim).filter(|l| l.starts_with("tests/")) {
        assert!(root().join(line).is_file(), "{line}");
    }
}

/// The hosts and groups that the examples of the manual name.
const INVENTORY: &str = r#"
[hosts.nfs-01]
address = "192.168.158.143"
[hosts."web-[01:03]"]
address = "10.0.0.[1:3]"
[groups.web]
hosts = ["web-*"]
[groups.dc1]
hosts = ["web-01", "web-02", "nfs-01"]
"#;

#[test]
fn the_examples_of_the_manual_are_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let usual = write("inventory.toml", INVENTORY);
    let asks = write("asks.toml", "hosts = \"all\"\n[[step]]\nquery = \"true\"\n");
    let mut count = 0;
    for topic in hostwright::manual::TOPICS {
        let doc = topic.doc();
        let examples: Vec<_> = doc.split("\n```toml").skip(1).collect();
        for example in examples {
            let (kind, rest) = example.split_once('\n').unwrap();
            let text = rest.split("\n```").next().unwrap();
            let (ok, said) = match kind.trim() {
                "inventory" => check(&write("other.toml", text), &[&asks]),
                "" => check(&usual, &[&write(&format!("{}.toml", topic.name), text)]),
                other => panic!("{}.md: a block of toml {other}", topic.name),
            };
            let clean = !said.contains("warning[") && !said.contains("error");
            assert!(ok && clean, "{}.md:\n{text}\n{said}", topic.name);
            count += 1;
        }
    }
    assert!(count > 10, "{count}");
}

/// The keys at a place of all files in `tests/config` that are read without a mistake.
fn keys_that_are_used() -> Vec<(String, String)> {
    let mut used = Vec::new();
    for entry in std::fs::read_dir(root().join("tests/config")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "txt") {
            continue;
        }
        let case = std::fs::read_to_string(&path).unwrap();
        let (input, result) = case.split_once("== result\n").unwrap();
        let input = format!("\n{input}");
        for section in input.split("\n== ").skip(1) {
            let (name, text) = section.split_once('\n').unwrap_or((section, ""));
            let unread = [format!("--> {name}:"), format!(" {name}:"), format!(" {name}.")];
            if Path::new(name).extension().is_none_or(|e| e != "toml")
                || unread.iter().any(|u| result.contains(u) && result.contains("error"))
            {
                continue;
            }
            let (node, malformed) = document::parse(text);
            if malformed.is_empty() {
                collect(&node, &format!("{}: ", path.display()), name == "inventory.toml", &mut used);
            }
        }
    }
    used
}

fn entries(node: &Node) -> &[(Key, Node)] {
    if let Value::Table(entries) = &node.value { entries } else { &[] }
}

/// Adds the keys of a playbook and its steps, or of an inventory's tables.
fn collect(root: &Node, case: &str, inventory: bool, used: &mut Vec<(String, String)>) {
    let mut add =
        |node: &Node| used.extend(entries(node).iter().map(|(k, _)| (case.to_owned(), k.name.clone())));
    add(root);
    for (key, node) in entries(root) {
        match (&*key.name, &node.value) {
            ("step", Value::Array(steps)) if !inventory => steps.iter().for_each(&mut add),
            ("defaults", _) if inventory => add(node),
            ("hosts" | "groups", _) if inventory => entries(node).iter().for_each(|(_, table)| add(table)),
            _ => {}
        }
    }
}

#[test]
fn explain_tells_of_all_that_the_cases_of_the_configuration_use() {
    let used = keys_that_are_used();
    let distinct: std::collections::BTreeSet<&str> = used.iter().map(|(_, key)| key.as_str()).collect();
    assert!(distinct.len() > 25, "{distinct:?}");
    for (case, key) in &used {
        let topic = hostwright::manual::topic(key).is_some() || hostwright::step::kind(key).is_some();
        assert!(topic || !hostwright::manual::find(key).is_empty(), "{case}`{key}` is nowhere in `explain`");
    }
}
