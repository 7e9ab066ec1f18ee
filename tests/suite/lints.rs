//! Cases of lints: `tests/config/lint/LINT.txt` holds playbooks and what is to be said of them.
//!
//! A case has sections that start with `== FILE`, the last one `== result`. `UPDATE_CASES=1 cargo test
//! --test suite lints` writes the results anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hostwright::config::{Environment, LINTS, Options, lint, load};
use hostwright::diagnostic::{self, Style};

#[derive(Debug)]
struct Files(BTreeMap<String, String>);

impl Environment for Files {
    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        let found = self.0.get(path.to_str().unwrap_or_default());
        found.map(|t| t.clone().into_bytes()).ok_or_else(|| "no such file".into())
    }
    fn list(&self, _: &Path) -> Result<Option<Vec<String>>, String> {
        Ok(None)
    }
    fn variable(&self, name: &str) -> Option<String> {
        (name == "TOKEN").then(|| "swordfish".into())
    }
    fn output(&self, _: &[String], _: &Path) -> Result<Vec<u8>, String> {
        Err("no commands here".into())
    }
}

const INVENTORY: &str = "
[hosts.nfs-01]
address = \"192.168.158.143\"
[hosts.manager-01]
address = \"192.168.158.144\"
[hosts.\"worker-[01:02]\"]
address = \"192.168.158.[145:146]\"
[groups.workers]
hosts = [\"worker-*\"]
";

fn said(head: &str) -> String {
    let mut files = BTreeMap::from([("inventory.toml".to_owned(), INVENTORY.to_owned())]);
    let mut playbooks = Vec::new();
    for section in format!("\n{head}").split("\n== ").skip(1) {
        let (name, body) = section.split_once('\n').unwrap();
        if name != "inventory.toml" {
            playbooks.push(PathBuf::from(name));
        }
        files.insert(name.to_owned(), format!("{body}\n"));
    }
    let options = Options { inventory: "inventory.toml".into(), playbooks, ..Options::default() };
    let environment: Arc<dyn Environment> = Arc::new(Files(files));
    let loaded = load(&options, &environment);
    let text = diagnostic::render(&loaded.diagnostics, Style::default());
    assert!(!text.contains("swordfish"), "{text}");
    if text.is_empty() { "nothing\n".into() } else { text }
}

#[test]
fn every_lint_has_a_case_and_says_what_it_should() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/lint");
    let update = std::env::var_os("UPDATE_CASES").is_some();
    let mut failures = String::new();
    for lint in LINTS.iter().map(|entry| entry.lint) {
        let path = folder.join(format!("{}.txt", lint.name));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (head, wanted) = text.split_once("== result\n").unwrap_or((&text, ""));
        let actual: String = said(head).lines().map(|l| l.trim_end().to_owned() + "\n").collect();
        if !actual.contains(&format!("[{}]", lint.name)) {
            failures = format!("{failures}{} was not found in\n{actual}\n", lint.name);
            continue;
        }
        if actual.trim_end() == wanted.trim_end() {
            continue;
        }
        if update {
            std::fs::write(&path, format!("{head}== result\n{}\n", actual.trim_end())).unwrap();
        } else {
            let diff = similar::TextDiff::from_lines(wanted.trim_end(), actual.trim_end());
            failures = format!("{failures}{}\n{}\n", path.display(), diff.unified_diff());
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

#[test]
fn lints_are_listed_by_name_and_explained() {
    assert!(LINTS.is_sorted_by_key(|entry| entry.lint.name));
    for entry in LINTS {
        assert!(entry.lint.doc.len() > 60);
        assert!(lint(entry.lint.name).is_some_and(|found| found.lint.name == entry.lint.name));
    }
}

#[test]
fn a_silenced_lint_says_nothing_and_a_misspelled_one_is_a_mistake() {
    let export = "hosts = \"nfs-01\"\n[[step]]\nsilence = { \"NAME\" = \"a test bed\" }\n\
                  nfs_export = { path = \"/srv\", clients = [\"*\"], options = [\"rw\"] }\n";
    let case = |name: &str| said(&format!("== a.toml\n{}", export.replace("NAME", name)));
    assert_eq!(case("export-world-writable"), "nothing\n");
    let text = case("export-world-writeable");
    assert!(text.contains("there is no lint `export-world-writeable`"), "{text}");
    assert!(text.contains("did you mean `export-world-writable`?"), "{text}");
}
