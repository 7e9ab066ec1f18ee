//! The tables of the manual have the words that the code reads: all of them, and no others.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;

use super::words::first_names;
use super::{TOPICS, find, phrase, topic};
use crate::cli::Exit;
use crate::config::words::{
    DEFAULTS_KEYS, FILTERS, GROUP_KEYS, HOST_KEYS, HOST_NAMES, NAMES, PLAYBOOK_KEYS, SECRET_KEYS, STEP_KEYS,
    TOP, vocabulary,
};
use crate::config::{At, LINTS, Silenced, WORDS};
use crate::event::{Body, Forecast, Mode, Outcome};
use crate::facts;
use crate::model::{Kind, OnFailure, StepResult};

fn doc(name: &str) -> String {
    topic(name).unwrap().doc()
}

/// The part of a topic below a heading; all of it without one.
fn part(name: &str, heading: &str) -> String {
    let doc = doc(name);
    if heading.is_empty() {
        return doc;
    }
    let (_, rest) =
        doc.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("{name}: {heading}"));
    rest.split("\n## ").next().unwrap().to_owned()
}

/// The names that the rows of the tables in a part begin with.
fn named(name: &str, heading: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut row = 0;
    for line in part(name, heading).lines() {
        row = if line.starts_with('|') { row + 1 } else { 0 };
        if row > 2 {
            let before = names.len();
            names.extend(first_names(line).map(str::to_owned));
            assert!(names.len() > before, "{name}: a row without a name of its own: {line}");
        }
    }
    names
}

#[track_caller]
fn check<T: ToString>(name: &str, heading: &str, wanted: impl IntoIterator<Item = T>) {
    let named = named(name, heading);
    let wanted: BTreeSet<String> = wanted.into_iter().map(|w| w.to_string()).collect();
    let missing: Vec<_> = wanted.difference(&named).collect();
    let invented: Vec<_> = named.difference(&wanted).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "{name}.md, {heading}: missing {missing:?}, not in the code {invented:?}"
    );
}

/// The names of the variants of an enum as they are serialised: what serde would have expected.
fn variants<T: DeserializeOwned>(unknown: serde_json::Value) -> Vec<String> {
    let Err(error) = serde_json::from_value::<T>(unknown) else { panic!("`?` is a variant") };
    let error = error.to_string();
    let (_, expected) = error.split_once("expected ").unwrap_or_else(|| panic!("{error}"));
    let names: Vec<String> = expected.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(names.len() > 1, "{error}");
    names
}

#[test]
fn keys_are_those_that_are_read() {
    check("playbook", "Keys", PLAYBOOK_KEYS);
    check("step", "Keys", STEP_KEYS);
    check("inventory", "Tables", TOP);
    check("inventory", "Keys of a host", HOST_KEYS);
    check("inventory", "Keys of a group", GROUP_KEYS);
    check("inventory", "Keys of the defaults", DEFAULTS_KEYS);
    check("secrets", "Sources", SECRET_KEYS);
}

#[test]
fn every_key_has_an_example() {
    for (name, keys) in [
        ("playbook", &PLAYBOOK_KEYS[..]),
        ("step", &STEP_KEYS),
        ("inventory", &HOST_KEYS),
        ("inventory", &GROUP_KEYS),
        ("inventory", &DEFAULTS_KEYS),
        ("secrets", &SECRET_KEYS),
    ] {
        let doc = doc(name);
        let examples: String =
            doc.split("\n```toml").skip(1).filter_map(|e| e.split("\n```").next()).collect();
        for key in keys {
            let written =
                [format!("\n{key} = "), format!("\n[{key}]"), format!("[[{key}]]"), format!(" {key} = ")];
            let below = format!(".{key}]");
            let shown = written.iter().any(|w| examples.contains(w)) || examples.contains(&below);
            assert!(shown, "{name}.md has no example of `{key}`");
        }
    }
}

#[test]
fn names_in_templates_are_those_that_are_there() {
    check("templates", "Names in scope", NAMES.iter().chain(&["result"]));
    check("templates", "What a host has", HOST_NAMES);
    let [filters, tests, functions] = vocabulary();
    assert!(
        FILTERS.iter().all(|f| filters.iter().any(|g| g == f)),
        "a filter is suggested that is not there"
    );
    check("templates", "Filters", filters);
    check("templates", "Tests", tests);
    check("templates", "Functions", functions);
    let code = StepResult {
        code: Some(0),
        stdout: Some(String::new()),
        stderr: Some(String::new()),
        ..StepResult::default()
    };
    let result = serde_json::to_value(code).unwrap();
    check("results", "Keys of a result", result.as_object().unwrap().keys());
}

#[test]
fn facts_are_those_that_are_asked_for() {
    fn collect(path: &str, value: &serde_json::Value, out: &mut Vec<String>) {
        let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match value {
            serde_json::Value::Object(map) => map.iter().for_each(|(k, v)| collect(&below(k), v, out)),
            serde_json::Value::Array(items) => {
                out.push(path.to_owned());
                for v in items {
                    collect(&format!("{path}[]"), v, out);
                }
            }
            _ => out.push(path.to_owned()),
        }
    }
    let mut names = Vec::new();
    collect("", &facts::sample(), &mut names);
    check("facts", "Facts", names);
}

#[test]
fn words_of_values_are_those_of_the_types() {
    check("step", "When it fails", variants::<OnFailure>("?".into()));
    check("step", "What it provides and needs", Kind::of_playbooks().map(Kind::name));
    // The end of containers is nothing that a playbook could say.
    let kinds: BTreeSet<_> = variants::<Kind>("?".into()).into_iter().filter(|k| k != "end").collect();
    assert_eq!(kinds, Kind::of_playbooks().map(|kind| kind.name().to_owned()).collect());
}

#[test]
fn events_are_those_that_are_sent() {
    check("events", "", variants::<Body>(serde_json::json!({"event": "?"})));
    let text = doc("events");
    let told = |names: Vec<String>, line: &str| {
        let at = text.find(line).unwrap_or_else(|| panic!("no {line}"));
        let rest = text[at..].split("\n- ").next().unwrap();
        for name in names {
            assert!(rest.contains(&format!("`{name}`")), "events.md, {line}: no {name}");
        }
    };
    told(variants::<Outcome>("?".into()), "- `outcome`");
    told(variants::<Forecast>(serde_json::json!({"forecast": "?"})), "- `forecast`");
    told(variants::<Mode>("?".into()), "| `run_started` |");
}

#[test]
fn exit_codes_are_those_of_the_program() {
    check("exit-codes", "Codes", Exit::ALL.map(|exit| exit as u8));
    let readme = include_str!("../../README.md");
    for exit in Exit::ALL {
        assert!(readme.contains(&format!("\n| {} | ", exit as u8)), "README.md: no exit code {}", exit as u8);
    }
}

#[test]
fn lints_and_words_of_ansible_are_all_there() {
    check("lints", "All lints", LINTS.iter().map(|l| l.lint.name));
    for (heading, at) in [
        ("Keys of a play", At::Play),
        ("Keys of a task", At::Task),
        ("Modules", At::Module),
        ("Variables and functions", At::Variable),
        ("Filters", At::Filter),
    ] {
        check("ansible", heading, WORDS.iter().filter(|w| w.at == at).map(|w| w.theirs));
    }
    for entry in LINTS {
        let name = entry.lint.name;
        assert_ne!((entry.silenced(), name.contains("address")), (Silenced::Step, true), "{name}");
    }
}

#[test]
fn every_document_has_its_name_and_a_phrase_and_no_mark_is_left() {
    for topic in TOPICS {
        let doc = topic.doc();
        assert!(doc.starts_with(&format!("# {}: ", topic.name)) && phrase(&doc).len() > 10, "{}", topic.name);
        assert!(!doc.contains("<!--"), "{}: a table is not made", topic.name);
        assert_eq!(doc.matches("\n```").count() % 2, 0, "{}: a block is not closed", topic.name);
    }
}

#[test]
fn what_a_document_points_to_is_there() {
    let kinds = crate::step::KINDS.iter().map(|k| (k.name, k.doc.to_owned()));
    for (name, doc) in TOPICS.iter().map(|t| (t.name, t.doc())).chain(kinds) {
        for (_, rest) in doc.match_indices("explain ").map(|(at, found)| doc.split_at(at + found.len())) {
            let word: String =
                rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_' || *c == '-').collect();
            let there = word.is_empty() || topic(&word).is_some() || crate::step::kind(&word).is_some();
            assert!(there, "{name}: `explain {word}` leads nowhere");
        }
    }
    assert!(!find("register").is_empty());
}
