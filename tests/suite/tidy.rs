//! What no compiler checks: who may use whom, sizes of files, what pure parts may use, and words that do not belong here.

use std::path::{Path, PathBuf};

/// The modules from the ground up, each with those that it may use: they all stand above it, so nothing goes in a circle.
const MODULES: &[(&str, &[&str])] = &[
    // The words everything is said in.
    ("harmless", &[]),
    ("model", &["harmless"]),
    ("diagnostic", &["model"]),
    // What is sent to hosts, and what they answer.
    ("shell", &["model"]),
    ("program", &["model", "shell"]),
    ("probe", &["model", "program", "shell"]),
    ("facts", &["probe", "program", "shell"]),
    ("private_folder", &[]),
    ("transport", &["model", "private_folder", "probe", "program", "shell"]),
    // What a host is to be, and what is missing.
    ("step", &["diagnostic", "model", "probe", "program", "shell"]),
    ("run", &["diagnostic", "model", "step"]),
    ("shard", &["model", "run", "step"]),
    ("secret_file", &["model"]),
    ("config", &["diagnostic", "facts", "model", "run", "secret_file", "shard", "shell", "step"]),
    ("event", &["model", "step"]),
    ("plan", &["event", "model", "probe", "run", "step"]),
    ("preflight", &["facts", "model", "plan", "step"]),
    // Doing it, and telling of it: these two meet in events alone.
    (
        "engine",
        &[
            "diagnostic",
            "event",
            "facts",
            "model",
            "plan",
            "preflight",
            "probe",
            "program",
            "run",
            "shell",
            "step",
            "transport",
        ],
    ),
    ("report", &["event", "harmless", "model"]),
    ("journal", &["event", "harmless", "model", "report", "shard"]),
    ("whole_file", &[]),
    ("saved_plan", &["event", "journal", "whole_file"]),
    ("audit", &["event", "harmless", "journal", "model", "report", "shard", "whole_file"]),
    // What a user calls.
    ("manual", &["config", "diagnostic", "step"]),
    (
        "cli",
        &[
            "audit",
            "config",
            "diagnostic",
            "engine",
            "event",
            "facts",
            "harmless",
            "journal",
            "manual",
            "model",
            "plan",
            "private_folder",
            "probe",
            "program",
            "report",
            "run",
            "saved_plan",
            "secret_file",
            "shard",
            "shell",
            "step",
            "transport",
            "whole_file",
        ],
    ),
];

/// The modules of `config`, as [`MODULES`]: from a text to what is written in it, to what is meant by it, to a run.
const OF_CONFIG: &[(&str, &[&str])] = &[
    // Texts, and the templates in them.
    ("address", &[]),
    ("ansible", &[]),
    ("braces", &[]),
    ("document", &[]),
    ("environment", &[]),
    ("limits", &[]),
    ("masks", &[]),
    ("options", &[]),
    ("range", &[]),
    ("template", &["address", "limits"]),
    ("table", &["template"]),
    ("hints", &["document", "table"]),
    ("finding", &["table"]),
    // What stands in an inventory and in a playbook.
    ("pattern", &["range"]),
    ("becomes", &["address", "table"]),
    ("secret", &["environment", "table", "template"]),
    ("layer", &["secret", "table"]),
    ("fleet", &["becomes", "layer", "pattern", "table"]),
    ("groups", &["document", "finding", "fleet", "pattern", "table"]),
    (
        "inventory",
        &[
            "address",
            "ansible",
            "becomes",
            "environment",
            "finding",
            "fleet",
            "groups",
            "layer",
            "pattern",
            "range",
            "secret",
            "table",
        ],
    ),
    ("playbook", &["ansible", "becomes", "layer", "table"]),
    ("select", &["options", "playbook", "table"]),
    // What templates see, and what becomes of a step on a host.
    ("results", &[]),
    ("misspelt", &["document", "fleet", "table", "template"]),
    (
        "scope",
        &[
            "ansible",
            "becomes",
            "braces",
            "document",
            "environment",
            "fleet",
            "layer",
            "limits",
            "misspelt",
            "results",
            "secret",
            "table",
            "template",
        ],
    ),
    ("alike", &["becomes", "layer", "scope"]),
    (
        "resolve",
        &[
            "alike", "ansible", "becomes", "layer", "masks", "playbook", "results", "scope", "table",
            "template",
        ],
    ),
    // All of it together.
    ("offline", &["finding", "limits", "misspelt", "resolve", "results", "scope", "table", "template"]),
    (
        "lint",
        &["address", "finding", "fleet", "groups", "inventory", "offline", "pattern", "playbook", "table"],
    ),
    (
        "load",
        &[
            "alike",
            "document",
            "environment",
            "finding",
            "fleet",
            "hints",
            "inventory",
            "layer",
            "lint",
            "offline",
            "options",
            "pattern",
            "playbook",
            "resolve",
            "results",
            "scope",
            "secret",
            "select",
            "table",
            "template",
        ],
    ),
];

/// The modules of `engine`, as [`MODULES`]: what a run shares, a host's way, what it does at a step, the whole run.
const OF_ENGINE: &[(&str, &[&str])] = &[
    ("cancel", &[]),
    ("events", &[]),
    ("handlers", &[]),
    ("link", &["events"]),
    ("reconnect", &["events", "link"]),
    ("resolve", &[]),
    ("save", &[]),
    ("silence", &["events"]),
    ("turn", &[]),
    ("questions", &["link"]),
    ("changes", &["link"]),
    ("shared", &["cancel", "changes", "events", "link"]),
    ("host", &["cancel", "changes", "events", "resolve", "shared", "turn"]),
    ("meeting", &["shared"]),
    // What a host does at a step.
    ("waiting", &["host", "shared"]),
    ("asking", &["changes", "host", "link", "questions", "shared", "turn"]),
    ("borrowing", &["host", "questions", "turn"]),
    ("reboot", &["host", "link", "shared", "turn"]),
    ("bundle", &["changes", "host", "questions"]),
    ("piggyback", &["bundle", "changes", "host", "questions", "shared"]),
    ("verifying", &["changes", "host", "piggyback", "turn"]),
    ("failing", &[]),
    ("sending", &["failing", "handlers", "host", "link", "shared", "silence", "turn"]),
    (
        "acting",
        &[
            "failing",
            "handlers",
            "host",
            "link",
            "piggyback",
            "questions",
            "reboot",
            "save",
            "sending",
            "turn",
        ],
    ),
    (
        "acting_together",
        &["acting", "bundle", "failing", "host", "piggyback", "questions", "sending", "turn"],
    ),
    ("deciding", &["host", "turn"]),
    // All hosts.
    ("gather", &["handlers", "link", "questions", "resolve"]),
    ("apply", &["host", "meeting", "shared", "waiting"]),
    ("locks", &["link"]),
    ("adhoc", &["events", "link", "questions"]),
];

/// Two files of one thing: a script may hold a call of a program, and a program is rendered to a script.
const ONE_THING: (&str, &str) = ("shell", "program");

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

/// The engine and the plan have to be held in the head.
#[test]
fn no_function_of_the_engine_is_too_long() {
    let mut all = 0;
    let mut long = Vec::new();
    for (path, text) in rust_files("src/engine").into_iter().chain(rust_files("src/plan")) {
        let lines: Vec<&str> = text.lines().collect();
        for (n, line) in lines.iter().enumerate() {
            let code = line.trim_start();
            let indent = line.len() - code.len();
            let words =
                ["pub fn ", "pub(super) fn ", "pub async fn ", "pub(super) async fn ", "async fn ", "fn "];
            let Some(name) = words.iter().find_map(|w| code.strip_prefix(w)) else { continue };
            let end = format!("{}}}", " ".repeat(indent));
            let length = lines[n..].iter().position(|l| **l == end).map_or(0, |n| n + 1);
            all += 1;
            if length > 80 {
                let name = name.split(['(', '<']).next().unwrap();
                long.push(format!("{}:{}: {name} has {length} lines", path.display(), n + 1));
            }
        }
    }
    assert!(all > 100, "only {all} functions were found");
    assert!(long.is_empty(), "{long:#?}");
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
        "src/secret_file.rs",
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

/// A use of a module by another one of the same crate.
#[derive(Debug)]
struct Use {
    /// The file and the line.
    at: String,
    /// The module that uses, from the crate's root.
    of: Vec<String>,
    /// The path that is used, from the crate's root.
    path: Vec<String>,
}

/// Every `crate::...` and `super::...` in the code, but for its tests.
fn uses() -> Vec<Use> {
    let prefix = regex::Regex::new(r"\b(crate|super(?:::super)*)::").unwrap();
    let mut found = Vec::new();
    for (file, text) in rust_files("src") {
        let mut of: Vec<String> =
            file.with_extension("").iter().skip(1).map(|p| p.to_str().unwrap().to_owned()).collect();
        if of.last().is_some_and(|name| name.ends_with("tests") || name == "main" || name == "lib") {
            continue;
        }
        of.retain(|name| name != "mod");
        let code = text.split("#[cfg(test)]").next().unwrap();
        let code: Vec<&str> = code.lines().map(|line| line.split("//").next().unwrap()).collect();
        let code = code.join("\n");
        for start in prefix.captures_iter(&code) {
            let base = match &start[1] {
                "crate" => &of[..0],
                supers => &of[..of.len() - supers.matches("super").count()],
            };
            let whole = start.get(0).unwrap();
            let line = code[..whole.start()].matches('\n').count() + 1;
            for used in listed(&code[whole.end()..]) {
                let names = used.split("::").map(str::to_owned);
                let path = base.iter().cloned().chain(names).collect();
                found.push(Use { at: format!("{}:{line}", file.display()), of: of.clone(), path });
            }
        }
    }
    found
}

/// The path that a text begins with, or those in the braces that it begins with.
fn listed(text: &str) -> Vec<&str> {
    let path =
        |text: &str| text.find(|c: char| !c.is_alphanumeric() && !"_:".contains(c)).unwrap_or(text.len());
    let Some(inner) = text.strip_prefix('{') else { return vec![&text[..path(text)]] };
    let (mut depth, mut start, mut items) = (0, 0, Vec::new());
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                let item = inner[start..at].trim();
                items.push(&item[..path(item)]);
                start = at + 1;
            }
            _ => {}
        }
        if c == '}' && depth == 0 && start == at + 1 {
            break;
        }
    }
    items.retain(|item| !item.is_empty());
    items
}

/// What is against the table, of uses as pairs of modules.
fn against<'a>(
    table: &[(&str, &[&str])],
    uses: impl Iterator<Item = (&'a str, &'a str, &'a Use)>,
) -> Vec<String> {
    let mut found = Vec::new();
    for (n, (module, allowed)) in table.iter().enumerate() {
        let above = |name: &&&str| !table[..n].iter().any(|(earlier, _)| earlier == *name);
        found.extend(allowed.iter().filter(above).map(|name| format!("{module} stands above {name}")));
    }
    for (of, used, at) in uses.filter(|(of, used, _)| of != used) {
        let allowed = table.iter().find(|(module, _)| *module == of).map(|(_, allowed)| *allowed);
        if allowed.is_none_or(|allowed| !allowed.contains(&used)) {
            found.push(format!("{}: {of} may not use {used}", at.at));
        }
    }
    found
}

#[test]
fn modules_use_only_what_is_below_them() {
    let all = uses();
    let pairs = all.iter().filter_map(|found| {
        let used = match found.path.first()?.as_str() {
            // The macros of these two stand at the root.
            "sh" => "shell",
            used => used,
        };
        let of = found.of.first()?.as_str();
        ((of, used) != ONE_THING).then_some((of, used, found))
    });
    let wrong = against(MODULES, pairs);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn modules_of_config_use_only_what_is_below_them() {
    let all = uses();
    let pairs =
        all.iter().filter(|found| found.of[0] == "config" && found.path[0] == "config").filter_map(|found| {
            let (of, used) = (found.of.get(1)?.as_str(), found.path.get(1)?.as_str());
            Some((of, used, found))
        });
    let wrong = against(OF_CONFIG, pairs);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn modules_of_the_engine_use_only_what_is_below_them() {
    let all = uses();
    // What the engine itself offers is for all of them.
    let names: Vec<&str> = OF_ENGINE.iter().map(|(name, _)| *name).collect();
    let pairs = all.iter().filter(|f| f.of[0] == "engine" && f.path[0] == "engine").filter_map(|found| {
        let (of, used) = (found.of.get(1)?.as_str(), found.path.get(1)?.as_str());
        (names.contains(&used) || !used.starts_with(char::is_uppercase)).then_some((of, used, found))
    });
    let wrong = against(OF_ENGINE, pairs);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn lists_of_uses_are_read() {
    assert_eq!(listed("{a::{self, B}, c::D,\n e};"), ["a::", "c::D", "e"]);
    assert_eq!(listed("a::b(c)"), ["a::b"]);
}
