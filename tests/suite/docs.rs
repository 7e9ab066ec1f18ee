//! What the documents say is so: their examples are accepted, and the bundled playbooks are clean.

use std::path::Path;
use std::process::Command;

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
