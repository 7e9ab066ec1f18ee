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
use hostwright::model::{Known, PlayIndex, Privilege, ResultOf, StepId, StepResult};
use hostwright::run::{Resolved, Run};

/// Files and variables in memory. Commands: `echo WORDS` prints its words, everything else fails.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) variables: BTreeMap<String, String>,
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
                    let of =
                        ResultOf { play: PlayIndex::new(play.parse().unwrap()), step: StepId::new(step) };
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
                            more.extend(i.until.as_ref().map(|u| format!("until {}", u.text())));
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
    #[test]
    fn no_change_of_the_bundled_files_makes_checking_panic((inventory, playbook) in mutated()) {
        let files = BTreeMap::from([
            ("inventory.toml".to_owned(), inventory),
            ("a.toml".to_owned(), playbook),
        ]);
        let environment: Arc<dyn Environment> = Arc::new(Memory { files, ..Memory::default() });
        let options = Options {
            inventory: "inventory.toml".into(),
            playbooks: vec!["a.toml".into()],
            missing_secrets: MissingSecrets::Warning,
            ..Options::default()
        };
        let loaded = load(&options, &environment);
        diagnostic::render(&loaded.diagnostics, diagnostic::Style { colour: true, width: 60 });
    }

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

/// The files that users start from, with some bytes gone, doubled or changed: mistakes are told, never a panic.
fn mutated() -> impl proptest::strategy::Strategy<Value = (Vec<u8>, Vec<u8>)> {
    use proptest::prelude::*;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let inventory = std::fs::read(root.join("inventory.example.toml")).unwrap();
    let mut playbooks: Vec<_> = std::fs::read_dir(root.join("playbooks"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .collect();
    playbooks.sort();
    let playbooks: Vec<Vec<u8>> = playbooks.iter().map(|p| std::fs::read(p).unwrap()).collect();
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..4),
        "[\\[\\]{}\"'=.%|#\n -]{1,6}".prop_map(String::into_bytes),
        Just(b"{{ vars.a }}".to_vec()),
        Just(b"[1:3]".to_vec()),
    ];
    let edit = (any::<prop::sample::Index>(), 0usize..40, piece, any::<bool>());
    let edits = || proptest::collection::vec(edit.clone(), 0..4);
    let mutate = |mut bytes: Vec<u8>, edits: Vec<(prop::sample::Index, usize, Vec<u8>, bool)>| {
        for (at, length, piece, repeat) in edits {
            let start = at.index(bytes.len().max(1)).min(bytes.len());
            let end = (start + length).min(bytes.len());
            let gone = bytes[start..end].to_vec();
            let put = if repeat { [&gone[..], &piece[..], &gone[..]].concat() } else { piece };
            bytes.splice(start..end, put);
        }
        bytes
    };
    (0..playbooks.len(), edits(), edits()).prop_map(move |(which, first, second)| {
        (mutate(inventory.clone(), first), mutate(playbooks[which].clone(), second))
    })
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

/// Input that is made to be too much: told as a mistake, in bounded work, on the stack that a thread has.
#[test]
fn too_much_is_a_mistake_and_no_crash() {
    let nested = |open: &str, inner: &str, close: &str| {
        format!("{}{inner}{}", open.repeat(20_000), close.repeat(20_000))
    };
    let query = |text: &str| format!("hosts = \"nfs-01\"\n[[step]]\nquery = '''{text}'''\n");
    let vars = |vars: &str, used: &str| {
        format!("hosts = \"nfs-01\"\n[vars]\n{vars}\n[[step]]\nquery = \"{used}\"\n")
    };
    let chain = |n: usize, link: &dyn Fn(usize) -> String| {
        (1..n).fold("a0 = 'xxxxxxxxxx'\n".to_owned(), |text, i| format!("{text}a{i} = {}\n", link(i - 1)))
    };
    let deep = "operators and brackets within one another";
    let too_much = "the template is too much";
    let cases = [
        ("TOML arrays", format!("hosts = {}", nested("[", "", "]")), "nest deeper than"),
        ("TOML tables", format!("hosts = {}", nested("{a=", "1", "}")), "nest deeper than"),
        ("dotted keys", format!("{}b = 1", "a.".repeat(20_000)), "nest deeper than"),
        ("headers", format!("[{}b]", "a.".repeat(20_000)), "nest deeper than"),
        ("parentheses", query(&format!("{{{{ {} }}}}", nested("(", "1", ")"))), deep),
        ("unary operators", query(&format!("{{{{ {}1 }}}}", "-".repeat(20_000))), deep),
        ("not", query(&format!("x {{{{ {}1 }}}}", "not ".repeat(20_000))), deep),
        (
            "when",
            format!("hosts = \"nfs-01\"\n[[step]]\nquery = 'a'\nwhen = '{}1'\n", "not ".repeat(20_000)),
            deep,
        ),
        (
            "until",
            format!("hosts = \"nfs-01\"\n[[step]]\ncommand = 'a'\nuntil = '{}1'\n", "not ".repeat(20_000)),
            deep,
        ),
        (
            "a pattern",
            format!("hosts = \"{}\"\n[[step]]\nquery = 'a'", "nfs[".repeat(20_000)),
            "no host or group",
        ),
        ("a text", query("{{ 'x' * 1000000000 }}"), too_much),
        ("a list", query("{{ [1] * 1000000000 }}"), "too large"),
        ("lists in lists", query("{{ [[[[1] * 1000] * 1000] * 1000] * 1000 }}"), too_much),
        ("as JSON", query("{{ ([[[1] * 1000] * 1000] * 1000) | to_json }}"), too_much),
        ("a range", query("{{ range(1000000000) }}"), "too many elements"),
        (
            "loops in loops",
            query(
                "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}x{% endfor %}{% endfor %}{% endfor %}",
            ),
            too_much,
        ),
        ("a wide indent", query("{{ 'x\ny' | indent(1000000000) }}"), too_much),
        ("JSON with a wide indent", query("{{ [1] | to_json(indent=1000000000) }}"), ""),
        ("a wide join", query("{{ range(9999) | join('x' * 1000000) }}"), too_much),
        ("a wide format", query("{{ '%1000000000d' | format(1) }}"), too_much),
        (
            "a namespace that nests",
            query(
                "{% set ns = namespace(x=[]) %}{% for a in range(9999) %}{% for b in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}{% endfor %}{{ ns.x }}",
            ),
            too_much,
        ),
        ("set that nests", query(&"{% set x = [x] %}".repeat(20_000)), "lists and tables"),
        (
            "a doubled text",
            query(&format!("{{% set a = 'xxxx' %}}{}{{{{ a }}}}", "{% set a = a ~ a %}".repeat(40))),
            too_much,
        ),
        (
            "variables that double",
            vars(&chain(32, &|i| format!("'{{{{ vars.a{i} }}}}{{{{ vars.a{i} }}}}'")), "{{ vars.a31 }}"),
            too_much,
        ),
        (
            "a long chain",
            vars(&chain(20_000, &|i| format!("'{{{{ vars.a{i} }}}}'")), "{{ vars.a19999 }}"),
            "more than 32 variables need one another in a row",
        ),
        (
            "a circle through another host",
            vars("x = 1", "{{ hosts['worker-01'].vars.round }}"),
            "more than 32 variables need one another in a row",
        ),
        (
            "values in values",
            vars(&chain(30, &|i| format!("'{{{{ [[[[[vars.a{i}]]]]] }}}}'")), "{{ vars.a29 }}"),
            "nests deeper than 64",
        ),
        ("debug", query("{{ debug() }}"), "`debug()` is not here"),
        ("include", query("{% include 'x' %}"), "unknown statement include"),
    ];
    let round = "[hosts.nfs-01]\naddress = \"10.0.0.1\"\n[hosts.worker-01]\naddress = \"10.0.0.2\"\n\
                 vars = { round = \"{{ hosts['worker-01'].vars.round }}{{ hosts['worker-01'].vars.round }}\" }\n";
    let mut failures = String::new();
    for (what, playbook, message) in cases {
        let shown = told(round, playbook.as_bytes());
        if !shown.contains(message) || shown.len() > 100_000 {
            writeln!(failures, "{what}: {message:?} is not in\n{shown:.1000}").unwrap();
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn text_in_another_encoding_is_told_and_line_ends_do_not_matter() {
    let play = "hosts = \"a\"\n[[step]]\nquery = \"x\"\n";
    let utf16 = |text: &str| -> Vec<u8> {
        [0xfe_ffu16].into_iter().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect()
    };
    let latin = [play.as_bytes(), b"# caf\xe9\n"].concat();
    for (bytes, message) in [
        (format!("\u{feff}{}", play.replace('\n', "\r\n")).into_bytes(), ""),
        (play.replace(" = ", "\t=\t").into_bytes(), ""),
        (utf16(play), "it is UTF-16\n |\n = help: save it as UTF-8"),
        (utf16(play)[2..].to_vec(), "it is UTF-16"),
        (latin, "it is not UTF-8 text, first in line 4"),
        (play.replace('\n', "\r").into_bytes(), "the lines end in CR alone"),
        (play.replace(" = ", "\u{a0}= ").into_bytes(), "an invisible character (U+00A0) stands here"),
        (vec![b'#'; 9 << 20], "it is larger than 8 MB"),
    ] {
        let shown = told("[hosts.a]\naddress = \"10.0.0.1\"\n", &bytes);
        let good = if message.is_empty() { shown.is_empty() } else { shown.contains(message) };
        assert!(good, "{message:?} is not in\n{shown}");
    }
}

fn told(inventory: &str, playbook: &[u8]) -> String {
    let files = BTreeMap::from([
        ("inventory.toml".to_owned(), inventory.as_bytes().to_vec()),
        ("a.toml".to_owned(), playbook.to_vec()),
    ]);
    let environment: Arc<dyn Environment> = Arc::new(Memory { files, ..Memory::default() });
    let options = Options {
        inventory: "inventory.toml".into(),
        playbooks: vec!["a.toml".into()],
        ..Options::default()
    };
    let loaded = load(&options, &environment);
    diagnostic::render(&loaded.diagnostics, diagnostic::Style::default())
}

/// The count is told, the first fifty are shown, and none costs more for the others: each of these would take
/// minutes if the mistakes were compared with one another, or with all names.
#[test]
fn of_many_mistakes_the_first_are_shown() {
    let many = 5_000;
    let lines = |line: &dyn Fn(usize) -> String| (0..many).map(line).collect::<String>();
    let hosts = "[hosts.a]\naddress = \"10.0.0.1\"\n";
    let play = "hosts = \"a\"\n[[step]]\nquery = 'x'\n";
    let named = "hosts = \"a\"\n[[step]]\nquery = 'x'\n[step.silence]\n";
    let cases = [
        ("malformed lines", hosts.to_owned(), lines(&|i| format!("key{i} = word\n")), many),
        ("unknown keys", hosts.to_owned(), format!("{play}{}", lines(&|i| format!("key{i} = 1\n"))), many),
        (
            "unknown keys of the playbook",
            hosts.to_owned(),
            format!("{}{play}", lines(&|i| format!("key{i} = 1\n"))),
            many,
        ),
        (
            "steps",
            hosts.to_owned(),
            format!("hosts = \"a\"\n{}", lines(&|i| format!("[[step]]\nkind{i} = 1\n"))),
            many,
        ),
        (
            "templates",
            hosts.to_owned(),
            format!(
                "hosts = \"a\"\n[[step]]\npackage = [\n{}]\n",
                lines(&|i| format!("'{{{{ vars.a{i} }}}}',\n"))
            ),
            many,
        ),
        (
            "templates in steps",
            hosts.to_owned(),
            format!(
                "hosts = \"a\"\n{}",
                lines(&|i| if i < 2000 {
                    format!("[[step]]\nquery = '{{{{ vars.a{i} }}}}'\n")
                } else {
                    String::new()
                })
            ),
            2000,
        ),
        (
            "silenced lints",
            hosts.to_owned(),
            format!("{named}{}", lines(&|i| format!("lint{i} = 'why'\n"))),
            many,
        ),
        (
            "unknown groups",
            hosts.to_owned(),
            format!("hosts = \"{}a\"\n[[step]]\nquery = 'x'", lines(&|i| format!("group{i},"))),
            101,
        ),
        (
            "unknown members",
            format!("{hosts}[groups.g]\nhosts = [{}]\n", lines(&|i| format!("\"host{i}\", "))),
            play.to_owned(),
            many,
        ),
        (
            "groups that are hosts",
            format!("{}{}", lines(&|i| format!("[hosts.h{i}]\n")), lines(&|i| format!("[groups.h{i}]\n"))),
            play.to_owned(),
            many + 1,
        ),
        (
            "hosts twice",
            format!(
                "{}{}",
                lines(&|i| format!("[hosts.\"h[{i}:{i}]\"]\naddress = \"10.0.0.[1:1]\"\n")),
                lines(&|i| format!("[hosts.h{i}]\n"))
            ),
            play.to_owned(),
            many + 1,
        ),
        (
            "one name",
            hosts.to_owned(),
            format!("hosts = \"a\"\n{}x", "[[step]]\nname = 'same'\nquery = 'x'\n".repeat(many)),
            1,
        ),
        (
            "handlers",
            hosts.to_owned(),
            format!(
                "hosts = \"a\"\n{}",
                lines(&|i| format!(
                    "[[step]]\nid = 'a{i}'\nhandler = true\nnotify = 'b{i}'\nservice = 'x'\n"
                ))
            ),
            2 * many,
        ),
    ];
    for (what, inventory, playbook, wanted) in cases {
        let shown = told(&inventory, playbook.as_bytes());
        let last = shown.lines().last().unwrap_or_default();
        let shown_errors =
            shown.lines().filter(|l| l.starts_with("error") || l.starts_with("warning")).count();
        let count: usize = last
            .split(['e', 'w'])
            .flat_map(|words| words.split(", "))
            .filter_map(|word| word.trim().split(' ').next()?.parse::<usize>().ok())
            .sum();
        assert!(shown_errors <= 50, "{what}: {shown_errors} are shown");
        assert!(count >= wanted, "{what}: {last}");
        assert!(shown.len() < 200_000, "{what}: {} bytes", shown.len());
        if wanted > 50 {
            assert!(last.contains("; the first 50 are shown, and "), "{what}: {last}");
        }
    }
}
