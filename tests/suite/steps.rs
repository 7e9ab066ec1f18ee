//! Cases of step kinds: `tests/steps/KIND/CASE.toml` holds a step, the answers of a host, and the verdict.
//!
//! `UPDATE_CASES=1 cargo test --test suite steps` writes the verdicts anew; read the diff before you commit it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hostwright::config::document;
use hostwright::model::value::{Node, Value as TomlValue};
use hostwright::model::{
    FileContent, FileKind, FileState, Host, HostName, Hosts, Kind, Login, Place, Privilege, Resource, Scope,
    State,
};
use hostwright::probe::{Answer, Answers, CheckError, Probe};
use hostwright::step::{self, Change, Context, Step, Value, Verdict};

#[test]
fn every_case_has_its_verdict() {
    let update = std::env::var_os("UPDATE_CASES").is_some();
    let mut failures = String::new();
    let mut count = 0;
    for path in cases() {
        count += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let (case, malformed) = document::parse(&text);
        assert!(malformed.is_empty(), "{}: {malformed:?}", path.display());
        let before = text.clone();
        let (text, case) = if update { named(&path, text, case) } else { (text, case) };
        let actual = run(&path, &case);
        // The verdict stands last, for people to read; to TOML it belongs to the last `[[answer]]`.
        let wanted =
            text.split_once("\nverdict = '''\n").map_or("", |(_, v)| v.trim_end().trim_end_matches("'''"));
        if actual.trim() == wanted.trim() && text == before {
            continue;
        }
        if update {
            let head = text.split("\nverdict = '''").next().unwrap().trim_end();
            std::fs::write(&path, format!("{head}\n\nverdict = '''\n{}\n'''\n", actual.trim())).unwrap();
        } else {
            writeln!(failures, "{}\n{}", path.display(), similar_diff(wanted.trim(), actual.trim())).unwrap();
        }
    }
    assert!(count > 0, "no cases found");
    assert!(failures.is_empty(), "\n{failures}");
}

/// What `explain KIND --script` shows is what the actions of the kind run.
#[test]
fn a_kind_lists_the_programs_that_its_cases_run() {
    let mut missing = BTreeSet::new();
    for path in cases() {
        let kind = path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let listed: Vec<_> = (step::kind(&kind).unwrap().programs.iter().copied().flatten())
            .map(|handle| handle().text.name())
            .collect();
        let text = std::fs::read_to_string(&path).unwrap();
        let verdict = text.split_once("\nverdict = '''\n").map_or("", |(_, verdict)| verdict);
        let run = verdict.lines().filter_map(|line| line.trim().split(' ').next());
        let known = crate::programs::programs();
        for program in run.filter(|word| known.contains_key(word) && !listed.contains(word)) {
            missing.insert(format!("{kind}: {program}"));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_kind_has_cases_and_its_documents_examples_are_read() {
    for kind in step::KINDS {
        let folder = root().join(kind.name);
        let n = std::fs::read_dir(&folder).map_or(0, std::iter::Iterator::count);
        assert!(
            n >= 4,
            "{}: {n} cases; wanted: satisfied, drift, tool absent, unreadable answer",
            folder.display()
        );
        for part in ["## Keys", "## Checks", "## Changes", "## Example", "## Limits"] {
            assert!(kind.doc.contains(part), "src/step/{}.md lacks {part:?}", kind.name);
        }
        let examples: Vec<_> =
            kind.doc.split("```toml").skip(1).map(|e| e.split("```").next().unwrap()).collect();
        assert!(!examples.is_empty(), "src/step/{}.md has no example", kind.name);
        let mut asked: Vec<String> = Vec::new();
        for example in examples {
            let (node, malformed) = document::parse(example);
            assert!(malformed.is_empty(), "src/step/{}.md: {malformed:?}", kind.name);
            let Some((_, steps)) = node.entry("step") else { continue };
            let TomlValue::Array(steps) = &steps.value else { panic!("[[step]] is an array") };
            for table in steps {
                let TomlValue::Table(entries) = &table.value else { panic!("a step is a table") };
                let Some((key, value)) = entries.iter().find(|(k, _)| step::kind(&k.name).is_some()) else {
                    panic!("src/step/{}.md: a step without a kind", kind.name)
                };
                let step = parse_step(&key.name, value, Path::new("tests/steps"), role(table))
                    .unwrap_or_else(|problems| panic!("src/step/{}.md: {problems:?}", kind.name));
                for question in step.probes().iter().map(question).filter(|_| key.name == kind.name) {
                    if !asked.contains(&question) {
                        asked.push(question);
                    }
                }
            }
        }
        // What the kind asks is pinned here alone, by the examples of its document.
        let path = folder.join("asks.txt");
        let asked: String = asked.iter().flat_map(|question| [question.as_str(), "\n"]).collect();
        if std::env::var_os("UPDATE_CASES").is_some() {
            std::fs::write(&path, asked).unwrap();
        } else {
            let pinned = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(pinned == asked, "{}:\n{}", path.display(), similar_diff(&pinned, &asked));
        }
    }
}

/// `notified = true` of a case, and `handler = true` of a step.
pub(super) fn role(node: &Node) -> step::Role {
    let handler = ["notified", "handler"].iter().any(|key| node.entry(key).is_some());
    if handler { step::Role::Handler } else { step::Role::InOrder }
}

#[test]
fn kinds_that_can_be_handlers_are_those_that_the_help_names() {
    let mut refused = 0;
    for kind in step::KINDS {
        let example = kind.doc.split("```toml").nth(1).and_then(|e| e.split("```").next()).unwrap();
        let (node, _) = document::parse(example);
        let Some((_, steps)) = node.entry("step") else { continue };
        let TomlValue::Array(steps) = &steps.value else { panic!("[[step]] is an array") };
        let (_, value) = steps[0].entry(kind.name).unwrap_or_else(|| panic!("{}: first example", kind.name));
        let problems = parse_step(kind.name, value, Path::new("tests/steps"), step::Role::Handler).err();
        let never = problems.into_iter().flatten().find(|p| p.message.ends_with("kind cannot be a handler"));
        let handlers = ["service", "command", "script", "reboot", "docker_container", "docker_service"];
        assert_eq!(never.is_none(), handlers.contains(&kind.name), "{}", kind.name);
        if let Some(problem) = never {
            refused += 1;
            let help = problem.help.unwrap();
            assert!(handlers.iter().all(|h| help.contains(&format!("`{h}`"))), "{help}");
        }
    }
    assert!(refused > 20);
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/steps")
}

pub(super) fn cases() -> Vec<PathBuf> {
    let mut cases = Vec::new();
    for folder in std::fs::read_dir(root()).unwrap() {
        let folder = folder.unwrap().path();
        if folder.is_dir() {
            cases.extend(std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()));
        }
    }
    cases.retain(|p| p.extension().is_some_and(|e| e == "toml"));
    cases.sort();
    cases
}

fn string<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    match &node.entry(key)?.1.value {
        TomlValue::String(s) => Some(s),
        other => panic!("{key}: {other:?} is not a string"),
    }
}

fn integer(node: &Node, key: &str) -> Option<i64> {
    match &node.entry(key)?.1.value {
        TomlValue::Integer(i) => Some(*i),
        other => panic!("{key}: {other:?} is not an integer"),
    }
}

/// A small inventory, so that kinds that look hosts up find some.
fn inventory() -> Vec<Arc<Host>> {
    [("nfs-01", "192.168.158.143"), ("manager-01", "192.168.158.144"), ("worker-01", "192.168.158.145")]
        .into_iter()
        .map(|(name, address)| {
            Arc::new(Host {
                name: HostName::new(name).unwrap(),
                login: Login { address: address.into(), ..Login::default() },
                groups: Vec::new(),
                vars: Arc::default(),
                place: Place { file: "inventory.toml".into(), line: 1, column: 1 },
            })
        })
        .collect()
}

pub(super) fn parse_step(
    kind: &str,
    value: &Node,
    folder: &Path,
    role: step::Role,
) -> Result<Arc<dyn Step>, Vec<step::Problem>> {
    let info = step::kind(kind).unwrap_or_else(|| panic!("no kind {kind}"));
    let node = match (&value.value, info.shorthand) {
        (TomlValue::Table(_), _) | (_, None) => value.clone(),
        (_, Some(key)) => Node::wrapped(key, value.clone()),
    };
    let inventory = Hosts::new(inventory());
    let read = |path: &str| {
        std::fs::read(folder.join(path))
            .map(Arc::from)
            .or_else(|_| Ok(Arc::from(&b"content of the file\n"[..])))
    };
    let render = |_: &str, text: &str| Ok(text.to_owned());
    let context = Context {
        host: &|| inventory.last().unwrap(),
        inventory: &inventory,
        read: &read,
        locate: &|path| PathBuf::from(path),
        render: &render,
        holds_secret: &|| false,
        role,
    };
    (info.parse)(&node, &context)
}

/// The case with `of` written anew, each answer taken for that of the probe at its place.
fn named(path: &Path, text: String, case: Node) -> (String, Node) {
    let kind = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let Some((_, value)) = case.entry(kind) else { return (text, case) };
    let Ok(step) = parse_step(kind, value, path.parent().unwrap(), role(&case)) else { return (text, case) };
    let (head, verdict) = text.split_once("\nverdict = '''\n").unwrap_or((&text, ""));
    let kept = head.lines().filter(|line| !line.starts_with("of = ")).collect::<Vec<_>>().join("\n");
    let mut parts = kept.split("[[answer]]");
    let first = parts.next().unwrap().to_owned();
    let names = names(&step.probes());
    let parts: Vec<&str> = parts.collect();
    assert_eq!(
        parts.len(),
        names.len(),
        "{}: as many answers as probes:\n{}",
        path.display(),
        names.join("\n")
    );
    let text = parts.iter().zip(names).fold(first, |text, (part, name)| {
        format!("{text}[[answer]]\nof = {}{part}", toml::Value::String(name))
    });
    let text = format!("{text}\nverdict = '''\n{verdict}");
    let (case, malformed) = document::parse(&text);
    assert!(malformed.is_empty(), "{}: {malformed:?}", path.display());
    (text, case)
}

fn run(path: &Path, case: &Node) -> String {
    let kind = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let Some((_, value)) = case.entry(kind) else { panic!("{}: no key {kind}", path.display()) };
    let step = match parse_step(kind, value, path.parent().unwrap(), role(case)) {
        Ok(step) => step,
        Err(problems) => {
            return problems.into_iter().fold("invalid".to_owned(), |text, p| {
                let help = p.help.map(|h| format!("\n  help: {h}")).unwrap_or_default();
                format!("{text}\n  {}{help}", p.message)
            });
        }
    };
    let given = match case.entry("answer").map(|(_, n)| &n.value) {
        Some(TomlValue::Array(given)) => given.clone(),
        None => Vec::new(),
        other => panic!("{}: [[answer]] is {other:?}", path.display()),
    };
    let probes = step.probes();
    let again = step.probes();
    assert!(probes.iter().zip(&again).all(|(a, b)| a.script == b.script), "probes differ from call to call");
    let mut answers = Answers::default();
    for (probe, answer) in probes.iter().zip(in_order(path, &probes, &given)) {
        answers.insert(probe, &Privilege::Login, said(answer));
    }
    if let Some(TomlValue::Table(expected)) = case.entry("expected").map(|(_, n)| &n.value) {
        for (key, value) in expected.iter().filter(|(key, _)| key.name != "verdict") {
            expect(&mut answers, &key.name, value);
        }
    }
    if case.entry("notified").is_some() {
        return match step.on_notify(&answers.seen_with(&Privilege::Login)) {
            Ok(Some(change)) => {
                assert!(!change.fields.is_empty(), "{}: a change without a field", path.display());
                format!("on notify: {}{}", show_change(&change), show_inverse(path, &step.inverse(&change)))
            }
            Ok(None) => "cannot be notified".into(),
            Err(error) => show_error(&error),
        };
    }
    match step.check(&answers.seen_with(&Privilege::Login)) {
        Ok(Verdict::Satisfied { reason, shows, .. }) if shows.is_empty() => format!("satisfied: {reason}"),
        Ok(Verdict::Satisfied { reason, shows, .. }) => format!("satisfied: {reason}\n{shows}"),
        Ok(Verdict::Drift(change)) => {
            // "Did not hold" names what differs.
            assert!(
                change.always || !change.fields.is_empty(),
                "{}: a difference without a field",
                path.display()
            );
            format!("drift: {}{}", show_change(&change), show_inverse(path, &step.inverse(&change)))
        }
        Ok(Verdict::Unknown { until, then, otherwise }) => {
            let then = then.map_or_else(|| "nothing to do".into(), |c| show_change(&c));
            format!("unknown until {until}\n  otherwise: {otherwise}\nthen: {then}")
        }
        Err(error) => show_error(&error),
    }
}

/// The answers in the order of the probes, each of which has one. `of` of an answer says what it answers: the name of the
/// program without `.sh`, and as many of its variables as tell it from others; or the beginning of the command.
pub(super) fn in_order<'a>(path: &Path, probes: &[Probe], answers: &'a [Node]) -> Vec<&'a Node> {
    let asked: Vec<String> = probes.iter().map(question).collect();
    let mut of: Vec<Option<&Node>> = vec![None; probes.len()];
    for answer in answers {
        let name = string(answer, "of").unwrap_or_else(|| {
            panic!("{}: an answer without `of`; asked is\n{}", path.display(), asked.join("\n"))
        });
        let fits: Vec<usize> = (0..asked.len()).filter(|n| is_of(&asked[*n], name)).collect();
        let [n] = fits[..] else {
            let what = if fits.is_empty() { "nothing asked" } else { "several questions" };
            panic!("{}: `of = {name:?}` fits {what}; asked is\n{}", path.display(), asked.join("\n"));
        };
        assert!(of[n].replace(answer).is_none(), "{}: two answers of {name:?}", path.display());
    }
    let missing: Vec<&str> =
        asked.iter().zip(&of).filter(|(_, a)| a.is_none()).map(|(q, _)| q.as_str()).collect();
    assert!(missing.is_empty(), "{}: no answer of\n{}", path.display(), missing.join("\n"));
    of.into_iter().flatten().collect()
}

/// A probe as people see it, with the host that it asks.
fn question(probe: &Probe) -> String {
    let on = probe.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
    format!("{}{on}", probe.script)
}

fn is_of(question: &str, name: &str) -> bool {
    let words: Vec<&str> = question.split_whitespace().collect();
    let mut names = name.split_whitespace();
    let first = names.next().unwrap_or_default();
    match words.first().and_then(|word| word.strip_suffix(".sh")) {
        Some(program) => program == first && names.all(|name| words.contains(&name)),
        None => question.starts_with(name),
    }
}

/// What `of` is to be for each of the probes: as short as it can be.
fn names(probes: &[Probe]) -> Vec<String> {
    let asked: Vec<String> = probes.iter().map(question).collect();
    let alone = |name: &str| asked.iter().filter(|q| is_of(q, name)).count() == 1;
    let name = |question: &String| {
        let words: Vec<&str> = question.split_whitespace().collect();
        let Some(program) = words.first().and_then(|word| word.strip_suffix(".sh")) else {
            let line = question.lines().next().unwrap_or_default();
            let ends = line.match_indices(' ').map(|(n, _)| n).skip(1).chain([line.len(), question.len()]);
            let found = ends.map(|n| &question[..n]).find(|name| alone(name) && !name.contains('\n'));
            return found.unwrap_or(question).to_owned();
        };
        if alone(program) {
            return program.to_owned();
        }
        let with = words[1..].iter().rev().map(|word| format!("{program} {word}")).find(|name| alone(name));
        with.unwrap_or_else(|| format!("{program} {}", words[1..].join(" ")))
    };
    asked.iter().map(name).collect()
}

/// What the host said: `stdout`, `stderr` and `code`, or the responses of an HTTP API.
pub(super) fn said(answer: &Node) -> Answer {
    let stdout = match answer.entry("http").map(|(_, n)| &n.value) {
        Some(TomlValue::Array(responses)) => responses.iter().map(response).collect(),
        _ => string(answer, "stdout").unwrap_or_default().to_owned(),
    };
    Answer {
        code: i32::try_from(integer(answer, "code").unwrap_or(0)).unwrap(),
        stdout: stdout.into(),
        stderr: string(answer, "stderr").unwrap_or_default().into(),
    }
}

/// A response as the engine sends it.
fn response(response: &Node) -> String {
    let status = integer(response, "status").unwrap_or(200);
    let body = string(response, "json").unwrap_or_default();
    let server = string(response, "server").unwrap_or("Docker/20.10.24+dfsg1 (linux)");
    let words = match status {
        200 => "OK",
        404 => "Not Found",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    };
    format!(
        "HTTP/1.1 {status} {words}\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\nServer: {server}\r\n\
         Content-Length: {}\r\n\r\n{body}\n",
        body.len() + 1
    )
}

/// `[expected]` of a case: `"package nfs-utils" = "present"`, `"path /x" = "content of the file"`,
/// `"path /x" = "link TARGET"`, `"fleet swarm swarm" = "present"`, `"on manager-01 docker engine" = "present"`.
pub(super) fn expect(answers: &mut Answers, key: &str, value: &Node) {
    let (scope, key) = if let Some(rest) = key.strip_prefix("fleet ") {
        (Scope::Fleet, rest)
    } else if let Some((host, rest)) = key.strip_prefix("on ").and_then(|k| k.split_once(' ')) {
        (Scope::On(host.into()), rest)
    } else {
        (Scope::Here, key)
    };
    let (kind, name) = key.split_once(' ').unwrap_or_else(|| panic!("{key:?} is not KIND NAME"));
    let kind: Kind =
        serde_json::from_value(kind.into()).unwrap_or_else(|_| panic!("no such kind of resource: {kind}"));
    let TomlValue::String(text) = &value.value else { panic!("{key}: not a string") };
    let state = match (kind, text.as_str()) {
        (_, "present") => State::Present,
        (_, "absent") => State::Absent,
        (Kind::Path, "directory") => State::File(FileState {
            kind: FileKind::Directory,
            mode: 0o755,
            owner: "root".into(),
            group: "root".into(),
            ..FileState::absent()
        }),
        (Kind::Path, text) if text.starts_with("link ") => {
            State::File(FileState::fresh(FileKind::Link(text["link ".len()..].to_owned())))
        }
        (Kind::Path, content) => State::File(FileState {
            kind: FileKind::File,
            mode: 0o644,
            owner: "root".into(),
            group: "root".into(),
            content: FileContent::Bytes(content.as_bytes().into()),
            ..FileState::absent()
        }),
        (Kind::Unit, words) => {
            let flag = |yes: &str, no: &str| {
                words.split(' ').find_map(|w| {
                    [(yes, true), (no, false)].into_iter().find(|(x, _)| *x == w).map(|(_, b)| b)
                })
            };
            State::Unit { active: flag("active", "inactive"), enabled: flag("enabled", "disabled") }
        }
        (_, value) => State::Value(value.into()),
    };
    answers.expect(Resource { scope, kind, name: name.into() }, state);
}

fn show_error(error: &CheckError) -> String {
    match error {
        CheckError::Refused { message, hint } => {
            format!(
                "refused: {message}{}",
                hint.as_ref().map(|h| format!("\n  hint: {h}")).unwrap_or_default()
            )
        }
        CheckError::Unreadable { why, answer, .. } => {
            format!("unreadable: {why}\n  {}", answer.replace('\n', "\n  "))
        }
        CheckError::NotAsked(script) => panic!("not asked: {script}"),
    }
}

fn show_value(value: &Value) -> String {
    match value {
        Value::Absent => "(absent)".into(),
        Value::Text(text) => text.clone(),
        Value::Content(text) => format!("{text:?}"),
        Value::Binary { sha256, size } => {
            format!("(binary, {size} bytes, sha256 {})", &sha256[..8.min(sha256.len())])
        }
        Value::AfterApply => "(known after apply)".into(),
        Value::Unknown => "(not known yet)".into(),
        Value::Masked => "(secret)".into(),
    }
}

fn show_change(change: &Change) -> String {
    let mut out = change.summary.clone();
    for field in &change.fields {
        write!(out, "\n  {}: {} -> {}", field.name, show_value(&field.before), show_value(&field.after))
            .unwrap();
    }
    if let Some(disrupts) = &change.disrupts {
        write!(out, "\n  disrupts: {disrupts}").unwrap();
    }
    for note in &change.notes {
        write!(out, "\n  note: {note}").unwrap();
    }
    if change.always {
        out.push_str("\n  always runs");
    }
    for action in &change.actions {
        let payload = action.payload.as_ref().map(|p| format!(" [{} bytes]", p.0.len())).unwrap_or_default();
        let then = match &action.then {
            step::Then::Nothing => String::new(),
            other => format!(" then {other:?}"),
        };
        let host = action.host.as_ref().map(|h| format!(" on {h}")).unwrap_or_default();
        let borrowed = action.borrowed.iter().fold(String::new(), |text, b| {
            let secret = if b.secret { ", secret" } else { "" };
            match &b.from {
                step::Origin::Probe(probe) => {
                    let from = probe.host.as_ref().map_or_else(|| "own host".into(), ToString::to_string);
                    format!("{text} [{} of {from}{secret}: {}]", b.what, probe.script)
                }
                step::Origin::Printed | step::Origin::Read(_) => {
                    format!("{text} [{} as just printed{secret}]", b.what)
                }
            }
        });
        write!(
            out,
            "\n  action {}{host}{borrowed}{payload}{then}:\n    {}",
            action.label,
            action.script.to_string().trim().replace('\n', "\n    ")
        )
        .unwrap();
    }
    for (resource, state) in &change.expects {
        let state = match state {
            State::File(f) => format!("{:?} {:04o} {}:{}", f.kind, f.mode, f.owner, f.group),
            other => format!("{other:?}"),
        };
        write!(out, "\n  leaves {resource}: {state}").unwrap();
    }
    out
}

/// The way back, the steps of which a playbook can have.
fn show_inverse(path: &Path, inverse: &step::Inverse) -> String {
    let mut out = String::new();
    for text in &inverse.steps {
        // `undo` knows the run.
        let whole = text.replacen("restore = {", "restore = { run = \"r1\",", 1);
        let (node, malformed) = document::parse(&whole);
        assert!(malformed.is_empty(), "{}: {text}: {malformed:?}", path.display());
        let (kind, value) = text
            .split_once(" = ")
            .and_then(|(kind, _)| Some((kind, node.entry(kind)?.1)))
            .unwrap_or_else(|| panic!("{}: {text} is no step", path.display()));
        let role = if text.contains("state = \"re") { step::Role::Handler } else { step::Role::InOrder };
        if let Err(problems) = parse_step(kind, value, path.parent().unwrap(), role) {
            panic!("{}: {text}: {problems:?}", path.display());
        }
        // These quotes end the verdict.
        write!(out, "\n  back {}", text.replace("'''", "\"\"\"")).unwrap();
    }
    for why in &inverse.stays {
        write!(out, "\n  stays: {why}").unwrap();
    }
    out
}

fn similar_diff(wanted: &str, actual: &str) -> String {
    similar::TextDiff::from_lines(wanted, actual).unified_diff().header("wanted", "actual").to_string()
}
