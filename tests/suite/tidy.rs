//! What no compiler checks: sizes of files, what pure parts may use, and words that do not belong here.

use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{folder} has no Rust files");
    found
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<_> = rust_files("src")
        .into_iter()
        .chain(rust_files("tests/suite"))
        .map(|(path, text)| (text.lines().count(), path))
        .filter(|(lines, _)| *lines > 800)
        .collect();
    assert!(long.is_empty(), "split these: {long:?}");
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> = rust_files("src")
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "without a header: {silent:?}");
}

/// Parsing, resolving, checking, planning and events touch neither files nor clock, environment or network.
#[test]
fn pure_parts_are_pure() {
    let pure = ["src/model", "src/config", "src/step", "src/plan", "src/manual"];
    let files = [
        "src/diagnostic.rs",
        "src/event.rs",
        "src/facts.rs",
        "src/harmless.rs",
        "src/preflight.rs",
        "src/probe.rs",
        "src/shell.rs",
    ];
    let banned = [
        "std::fs",
        "std::env",
        "std::net::Tcp",
        "std::net::Udp",
        "ToSocketAddrs",
        "std::process",
        "Instant::now",
        "SystemTime",
        "tokio::",
        "async fn",
        "println!",
    ];
    let mut all: Vec<_> = pure.iter().flat_map(|folder| rust_files(folder)).collect();
    all.extend(files.iter().map(|f| (PathBuf::from(f), std::fs::read_to_string(root().join(f)).unwrap())));
    let mut found = Vec::new();
    all.retain(|(path, _)| !path.ends_with("tests.rs"));
    for (path, text) in all {
        // Tests of a pure part may run a shell to see that its scripts work.
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (n, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap();
            found.extend(
                banned
                    .iter()
                    .filter(|b| line.contains(**b))
                    .map(|b| format!("{}:{}: {b}", path.display(), n + 1)),
            );
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn only_one_place_names_the_ssh_crate() {
    let named: Vec<_> = rust_files("src")
        .into_iter()
        .filter(|(path, text)| *path != Path::new("src/transport/ssh.rs") && text.contains("openssh::"))
        .map(|(path, _)| path)
        .collect();
    assert!(named.is_empty(), "{named:?}");
}

#[test]
fn nothing_is_left_unfinished() {
    let marks = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[ig", "nore"),
        concat!("FIX", "ME"),
    ];
    let found: Vec<_> = rust_files("src")
        .into_iter()
        .chain(rust_files("tests/suite"))
        .filter(|(_, text)| marks.iter().any(|m| text.contains(m)))
        .map(|(path, _)| path)
        .collect();
    assert!(found.is_empty(), "{found:?}");
}
