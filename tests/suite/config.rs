//! Cases of configuration: `tests/config/CASE.txt` holds files in memory, options, and what loading says.
//!
//! A case is made of sections that start with a line `== NAME`: each is a file, but `options` (keys as in
//! [`Options`], and `env` for environment variables), and `result`, which comes last. A file `X.age` is encrypted,
//! for the identity in `X.key`.
//! `UPDATE_CASES=1 cargo test --test suite config` writes the results anew; read the diff before you commit it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hostwright::config::{Environment, MissingSecrets, Options, document, load, load_inventory};
use hostwright::diagnostic;
use hostwright::model::value::{Node, Value};
use hostwright::model::{Known, Privilege, Resolved, ResultOf, Run, StepId, StepResult};

/// Files and variables in memory. Commands: `echo WORDS` prints its words, everything else fails.
#[derive(Debug, Default)]
struct Memory {
    files: BTreeMap<String, Vec<u8>>,
    variables: BTreeMap<String, String>,
}

impl Environment for Memory {
    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        self.files.get(path.to_str().unwrap()).cloned().ok_or_else(|| "no such file".into())
    }
    fn list(&self, path: &Path) -> Result<Option<Vec<String>>, String> {
        let prefix = format!("{}/", path.display());
        let names: Vec<_> = self
            .files
            .keys()
            .filter_map(|f| f.strip_prefix(&prefix))
            .filter(|f| !f.contains('/'))
            .map(str::to_owned)
            .collect();
        Ok((!names.is_empty()).then_some(names))
    }
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
    fn output(&self, command: &[String], _: &Path) -> Result<Vec<u8>, String> {
        match command {
            [echo, words @ ..] if echo == "echo" => Ok(format!("{}\n", words.join(" ")).into_bytes()),
            _ => Err("exit code 1".into()),
        }
    }
}

#[test]
fn every_case_has_its_result() {
    let update = std::env::var_os("UPDATE_CASES").is_some();
    let mut paths = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config"), &mut paths);
    paths.sort();
    assert!(paths.len() >= 10, "only {} cases found", paths.len());
    let mut failures = String::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let (head, wanted) = text.split_once("== result\n").unwrap_or((&text, ""));
        let actual = run(head, &path);
        if actual.trim_end() == wanted.trim_end() {
            continue;
        }
        if update {
            std::fs::write(&path, format!("{head}== result\n{}\n", actual.trim_end())).unwrap();
        } else {
            let diff = similar::TextDiff::from_lines(wanted.trim_end(), actual.trim_end())
                .unified_diff()
                .header("wanted", "actual")
                .to_string();
            writeln!(failures, "{}\n{diff}", path.display()).unwrap();
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // `lint/` is read by the tests of the lints themselves.
        if path.extension().is_some_and(|e| e == "txt") {
            paths.push(path);
        }
    }
}

const INVENTORY: &str = r#"
[hosts.nfs-01]
address = "192.168.158.143"
[hosts.manager-01]
address = "192.168.158.144"
[hosts."worker-[01:02]"]
address = "192.168.158.[145:146]"
[groups.nfs_server]
hosts = ["nfs-01"]
[groups.managers]
hosts = ["manager-01"]
[groups.workers]
hosts = ["worker-*"]
[groups.swarm]
children = ["managers", "workers"]
"#;

fn run(head: &str, path: &Path) -> String {
    let mut memory = Memory::default();
    let mut options = Options { inventory: "inventory.toml".into(), ..Options::default() };
    let mut inventory_only = false;
    let mut known = Known::default();
    let mut default_plays = Vec::new();
    let head = format!("\n{head}");
    for section in head.split("\n== ").skip(1) {
        let section = format!("{section}\n");
        let (name, body) = section.split_once('\n').unwrap();
        if name == "options" {
            let (node, malformed) = document::parse(body);
            assert!(malformed.is_empty(), "{}: {malformed:?}", path.display());
            read_options(&node, &mut options, &mut memory, &mut inventory_only, &mut known);
            continue;
        }
        if let Some(encrypted) = name.strip_suffix(".age") {
            let (bytes, key) = age_file(body);
            memory.files.insert(name.to_owned(), bytes);
            memory.files.insert(format!("{encrypted}.key"), key);
            continue;
        }
        if Path::new(name).extension().is_some_and(|e| e == "toml")
            && name != "inventory.toml"
            && !name.contains('/')
        {
            default_plays.push(PathBuf::from(name));
        }
        memory.files.insert(name.to_owned(), body.as_bytes().to_vec());
    }
    memory.files.entry("inventory.toml".into()).or_insert_with(|| INVENTORY.as_bytes().to_vec());
    if options.playbooks.is_empty() {
        options.playbooks = default_plays;
    }
    let environment: Arc<dyn Environment> = Arc::new(memory);
    let loaded =
        if inventory_only { load_inventory(&options, &environment) } else { load(&options, &environment) };
    let mut out = diagnostic::render(&loaded.diagnostics, diagnostic::Style::default());
    if let Some(run) = &loaded.run {
        if !out.is_empty() {
            out.push('\n');
        }
        show(run, &known, inventory_only, &mut out);
    }
    let redacted = loaded.redactor.redact(&out);
    for line in &mut redacted.lines().map(str::trim_end) {
        assert!(!line.contains('\u{1b}'), "colour where none was asked for");
    }
    redacted.lines().map(|l| l.trim_end().to_owned() + "\n").collect()
}

/// The text, encrypted for an identity of its own, and that identity's file.
fn age_file(text: &str) -> (Vec<u8>, Vec<u8>) {
    use age::secrecy::ExposeSecret as _;
    let identity = age::x25519::Identity::generate();
    let encrypted = age::encrypt(&identity.to_public(), text.trim_end().as_bytes()).unwrap();
    let key = format!("# made for this test\n{}\n", identity.to_string().expose_secret());
    (encrypted, key.into_bytes())
}

fn texts(node: &Node) -> Vec<String> {
    match &node.value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        other => panic!("{other:?} is not a list of strings"),
    }
}

fn read_options(
    node: &Node,
    options: &mut Options,
    memory: &mut Memory,
    inventory_only: &mut bool,
    known: &mut Known,
) {
    let Value::Table(entries) = &node.value else { panic!("options are a table") };
    for (key, value) in entries {
        let one = || texts(value).remove(0);
        match key.name.as_str() {
            "playbooks" => options.playbooks = texts(value).into_iter().map(PathBuf::from).collect(),
            "limit" => options.limit = Some(one()),
            "tags" => options.tags = texts(value),
            "skip_tags" => options.skip_tags = texts(value),
            "step" => options.step = texts(value),
            "start_at" => options.start_at = Some(one()),
            "vars" => options.vars = texts(value),
            "ssh_config" => options.ssh_config = Some(one().into()),
            "hosts_pattern" => options.hosts_pattern = Some(one()),
            "secrets" => {
                assert_eq!(one(), "optional");
                options.missing_secrets = MissingSecrets::Warning;
            }
            "inventory_only" => *inventory_only = true,
            "facts" => known.facts = value.to_json(),
            "results" => {
                let Value::Table(results) = &value.value else { panic!("results are a table") };
                // `ID`, or `N/ID` for a step of the Nth playbook.
                for (id, result) in results {
                    let result: serde_json::Value = result.to_json();
                    let result = StepResult {
                        changed: result["changed"].as_bool().unwrap_or_default(),
                        skipped: result["skipped"].as_bool().unwrap_or_default(),
                        stdout: result["stdout"].as_str().map(str::to_owned),
                        ..StepResult::default()
                    };
                    let (play, step) = id.name.split_once('/').unwrap_or(("0", &id.name));
                    let of = ResultOf { play: play.parse().unwrap(), step: StepId::new(step) };
                    known.results.insert(of, result);
                }
            }
            "env" => {
                let Value::Table(variables) = &value.value else { panic!("env is a table") };
                for (name, value) in variables {
                    memory.variables.insert(name.name.clone(), texts(value).remove(0));
                }
            }
            other => panic!("no option {other}"),
        }
    }
}

/// The debug form of a step without what it does not say, so that a new key of a kind changes no case.
fn brief(debug: &str) -> String {
    let (name, fields) = debug.split_once(" { ").unwrap();
    let fields: Vec<_> = fields
        .trim_end_matches(" }")
        .split(", ")
        .filter(|f| ![": None", ": false", ": Present"].iter().any(|d| f.ends_with(d)))
        .collect();
    format!("{name} {{ {} }}", fields.join(", "))
}

fn show(run: &Run, known: &Known, inventory_only: bool, out: &mut String) {
    if inventory_only {
        for host in &run.hosts {
            let login = &host.login;
            write!(out, "{} {}", host.name, login.address).unwrap();
            write!(out, " port {:?} user {:?}", login.port, login.user).unwrap();
            if login.local {
                out.push_str(" local");
            }
            if let Some(config) = &login.ssh_config {
                write!(out, " -F {}", config.display()).unwrap();
            }
            for option in &login.ssh_options {
                write!(out, " -o {option}").unwrap();
            }
            writeln!(out, "\n  groups {} at {}", host.groups.join(" "), host.place).unwrap();
            for (name, value) in &*host.vars {
                writeln!(out, "  {name} = {value}").unwrap();
            }
        }
        return;
    }
    for play in &run.plays {
        let hosts: Vec<_> = play.hosts.iter().map(|h| run.hosts[*h].name.as_str()).collect();
        writeln!(out, "play {} {:?} on {}", play.name, play.title, hosts.join(" ")).unwrap();
        if !play.barrier {
            writeln!(out, "  no barrier").unwrap();
        }
        if !play.serial.is_empty() || play.max_failures.is_some() {
            writeln!(out, "  serial {:?} max_failures {:?}", play.serial, play.max_failures).unwrap();
        }
        for step in &play.steps {
            write!(out, "  {} at {}", step.id(), step.place()).unwrap();
            if step.is_handler() {
                out.push_str(", handler");
            }
            if step.needs_facts() {
                out.push_str(", needs facts");
            }
            for of in step.needs_results() {
                write!(out, ", needs the result of {}", of.step).unwrap();
            }
            out.push('\n');
            for host in play.hosts.iter().map(|h| &run.hosts[*h]) {
                if !step.selects(&host.name) {
                    continue;
                }
                match step.resolve(host, known) {
                    Ok(Resolved::Skipped(why)) => writeln!(out, "    {}: skipped, {why}", host.name).unwrap(),
                    Ok(Resolved::Steps(instances)) => {
                        for i in instances {
                            let step = brief(&format!("{:?}", i.step));
                            writeln!(out, "    {}: {} {:?} {step}", host.name, i.id, i.name).unwrap();
                            let mut more = Vec::new();
                            if let Privilege::Become(user) = &i.privilege {
                                more.push(format!("as {user}"));
                            }
                            more.extend(i.timeout.map(|t| format!("timeout {t:?}")));
                            if i.retries > 0 {
                                more.push(format!("{} retries every {:?}", i.retries, i.retry_delay));
                            }
                            more.extend(i.until.map(|u| format!("until {u}")));
                            more.extend(i.notify.iter().map(|n| format!("notifies {n}")));
                            if i.on_failure != hostwright::model::OnFailure::Stop {
                                more.push(format!("on failure {:?}", i.on_failure));
                            }
                            if i.disruptive {
                                more.push("disruptive".into());
                            }
                            more.extend(i.provides.iter().map(|r| format!("provides {r}")));
                            more.extend(i.needs.iter().map(|r| format!("needs {r}")));
                            if !more.is_empty() {
                                writeln!(out, "      {}", more.join(", ")).unwrap();
                            }
                        }
                    }
                    Err(error) => {
                        writeln!(out, "    {}: error", host.name).unwrap();
                        out.push_str(&diagnostic::render(&error.0, diagnostic::Style::default()));
                    }
                }
            }
        }
    }
}

#[test]
fn the_example_inventory_is_the_one_the_playbooks_are_written_for() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("inventory.example.toml"))
        .unwrap();
    let options = Options { inventory: "inventory.toml".into(), ..Options::default() };
    let load = |text: &str, pattern: &str| {
        let files = BTreeMap::from([("inventory.toml".to_owned(), text.as_bytes().to_vec())]);
        let environment: Arc<dyn Environment> = Arc::new(Memory { files, ..Memory::default() });
        let options = Options { hosts_pattern: Some(pattern.into()), ..options.clone() };
        let loaded = load_inventory(&options, &environment);
        let shown = diagnostic::render(&loaded.diagnostics, diagnostic::Style::default());
        assert!(loaded.diagnostics.is_empty(), "{shown}");
        let names: Vec<_> = loaded.run.unwrap().hosts.iter().map(|h| h.name.to_string()).collect();
        names.join(" ")
    };
    for (pattern, hosts) in [
        ("nfs_server", "nfs-01"),
        ("managers", "manager-01"),
        ("workers", "worker-01 worker-02"),
        ("swarm", "manager-01 worker-01 worker-02"),
        ("nfs_clients", "manager-01 worker-01 worker-02"),
    ] {
        assert_eq!(load(&text, pattern), hosts);
    }
    // What is commented out must be right as well: a user takes the `#` away and expects it to work.
    let lines = text.lines().map(|line| {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let code = bare.starts_with('[') || bare.split_once(" = ").is_some_and(|(k, _)| !k.contains(' '));
        let repeated = bare.starts_with("redis_password = ") && !bare.contains("env =");
        if code && !repeated { bare } else { "" }
    });
    let all: Vec<_> = lines.collect();
    assert_eq!(load(&all.join("\n"), "node-*,controller").split(' ').count(), 21);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]
    /// Pieces of real files in any order, and arbitrary text: mistakes are told, never a panic.
    #[test]
    fn no_text_makes_loading_or_rendering_panic(
        inventory in pieces(),
        playbook in pieces(),
        pattern in "[a-z0-9:,!&~*?\\[\\]{}% é-]{0,20}",
    ) {
        for inventory in [inventory.as_str(), INVENTORY] {
            let files = BTreeMap::from([
                ("inventory.toml".to_owned(), inventory.as_bytes().to_vec()),
                ("a.toml".to_owned(), playbook.as_bytes().to_vec()),
            ]);
            let environment: Arc<dyn Environment> = Arc::new(Memory { files, ..Memory::default() });
            let options = Options {
                inventory: "inventory.toml".into(),
                playbooks: vec!["a.toml".into()],
                limit: Some(pattern.clone()),
                vars: vec![pattern.clone(), format!("a={pattern}")],
                ..Options::default()
            };
            let loaded = load(&options, &environment);
            for colour in [false, true] {
                diagnostic::render(&loaded.diagnostics, diagnostic::Style { colour, width: 60 });
            }
        }
    }
}

fn pieces() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let piece = prop_oneof![
        Just("hosts = \"all\"\n".to_owned()),
        Just("[[step]]\n".to_owned()),
        Just("directory = \"/a{{ vars.a }}\"\n".to_owned()),
        Just("vars = { a = \"{{ vars.b }}\", b = \"{{ vars.a }}\" }\n".to_owned()),
        Just("[hosts.\"n[1:3]\"]\naddress = \"10.0.0.[1:3]\"\n".to_owned()),
        Just("[groups.g]\nchildren = [\"g\"]\n".to_owned()),
        "[a-z]{1,8} = [\"'\\[{]?[a-z0-9{}% .|é💥\\\\-]{0,12}[\"'\\]}]?\n",
        "(each|when|until|name|id|become|timeout|provides) = \"[a-z{}% ().|\\[\\]'é-]{0,16}\"\n",
        "\\PC{0,20}\n",
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}
