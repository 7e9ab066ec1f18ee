//! The command line as it is typed: what comes out, and the exit code.
//!
//! `TRYCMD=overwrite` writes the cases anew. Runs that do something do it on this machine, in a folder of their own.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::machine;

#[test]
fn cases_read_well() {
    trycmd::TestCases::new()
        .env("NO_COLOR", "1")
        .env("HOSTWRIGHT_INVENTORY", "")
        .env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"))
        .case("tests/cli/*.trycmd")
        .run();
}

/// A folder with an inventory of this machine and of one where nobody listens, and a playbook.
pub(super) struct Sandbox(tempfile::TempDir);

impl Sandbox {
    pub(super) fn new() -> Self {
        let sandbox = Self(tempfile::tempdir().unwrap());
        sandbox.write(
            "inventory.toml",
            "[hosts.here]\nconnection = \"local\"\n[hosts.gone]\naddress = \"127.0.0.1\"\nport = 1\n",
        );
        let data = sandbox.path().join("data");
        sandbox.write(
            "site.toml",
            &format!(
                "title = \"Site\"\nhosts = \"*\"\n[[step]]\nname = \"Data\"\ndirectory = {{ path = \"{}\", mode = \"0750\" }}\n\
                [[step]]\nname = \"Greeting\"\nfile = {{ path = \"{}\", content = \"hello\\nworld\\n\" }}\n",
                data.display(),
                data.join("hello").display()
            ),
        );
        sandbox
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// What this machine keeps as a host.
    pub(super) fn host_state(&self) -> std::path::PathBuf {
        self.path().join(".host")
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    pub(super) fn command(&self, line: &[&str]) -> Command {
        let mut command = machine::hostwright(&self.host_state());
        command.args(line).current_dir(self.path()).stdin(Stdio::null());
        command.env_remove("HOSTWRIGHT_INVENTORY").env("XDG_STATE_HOME", self.path().join(".state"));
        command
    }

    /// Runs it and returns exit code, standard output and standard error, the folder and times redacted.
    pub(super) fn run(&self, line: &[&str]) -> (i32, String, String) {
        let _machine = machine::alone();
        self.run_now(line)
    }

    /// The same for a test that has the machine for itself.
    pub(super) fn run_now(&self, line: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(line).output().unwrap();
        let seen = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap().replace(self.path().to_str().unwrap(), "DIR");
            let mut out = String::new();
            for (n, piece) in text.split('(').enumerate() {
                let time = piece.split_once(" s)").filter(|(t, _)| t.parse::<f64>().is_ok());
                out.push_str(if n > 0 { "(" } else { "" });
                out.push_str(&time.map_or_else(|| piece.to_owned(), |(_, rest)| format!("TIME){rest}")));
            }
            out
        };
        (status.code().unwrap(), seen(stdout), seen(stderr))
    }
}

#[test]
fn from_the_first_plan_to_nothing_to_do() {
    let sandbox = Sandbox::new();
    let here = ["--limit", "here"];
    let (code, out, err) = sandbox.run(&[&["plan", "site.toml"], &here[..]].concat());
    assert_eq!((code, err.as_str()), (2, ""));
    assert!(out.ends_with("Plan: 2 to change (1 predicted) on 1 host.\n"), "{out}");
    assert!(!sandbox.path().join("data").exists(), "a plan changes nothing");

    let (code, out, err) = sandbox.run(&[&["apply", "site.toml"], &here[..]].concat());
    assert_eq!((code, out.as_str()), (3, ""), "nobody to ask");
    assert!(err.contains("hint: give --yes"), "{err}");
    assert!(!sandbox.path().join("data").exists());

    let (code, out, err) =
        sandbox.run(&[&["apply", "site.toml", "--yes", "--verify-twice"], &here[..]].concat());
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.ends_with("\n\nNothing to do: 2 steps are as described on 1 host.\n"),
        "planned again: {out}"
    );
    assert!(out.contains("here  changed    Data"), "{out}");
    assert!(out.contains("Done: 2 changed on 1 host (TIME).\n"), "{out}");
    assert_eq!(std::fs::read_to_string(sandbox.path().join("data/hello")).unwrap(), "hello\nworld\n");

    let (code, out, err) = sandbox.run(&[&["apply", "site.toml", "--yes"], &here[..]].concat());
    let quiet =
        "Site (site): nothing to do, 2 unchanged\n\nNothing to do: 2 steps are as described on 1 host.\n";
    assert_eq!((code, out.as_str(), err.as_str()), (0, quiet, ""));
    let (code, out, err) = sandbox.run(&["apply", "site.toml", "--yes", "-q", "--limit", "here"]);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "Nothing to do: 2 steps are as described on 1 host.\n", "")
    );

    sandbox.write("data/hello", "hello\nmoon\n");
    let (code, out, _) = sandbox.run(&[&["plan", "site.toml"], &here[..]].concat());
    assert_eq!(code, 2);
    for line in ["~ content  +1 -1 lines", "-moon", "+world"] {
        assert!(out.lines().any(|l| l.trim() == line), "{line}: {out}");
    }
    let (_, out, _) = sandbox.run(&["plan", "site.toml", "--no-diff", "--limit", "here"]);
    assert!(!out.contains("-moon"), "{out}");
}

#[test]
fn a_host_that_is_gone_is_told_and_counts_less_than_a_failure() {
    let sandbox = Sandbox::new();
    let (code, out, _) = sandbox.run(&["plan", "site.toml"]);
    assert_eq!(code, 4, "{out}");
    assert!(out.contains("Unreachable: 1 host\n  gone\n"), "{out}");
    assert!(out.ends_with("Plan: 2 to change (1 predicted) on 1 host. 1 host unreachable.\n"), "{out}");

    sandbox.write("data", "a file in the way\n");
    let (code, out, err) = sandbox.run(&["apply", "site.toml", "--yes"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("  x Data  on here\n"), "{out}");
    assert!(err.contains("Nothing was changed: no host is left."), "{err}");
}

#[test]
fn check_speaks_json() {
    let sandbox = Sandbox::new();
    let lines = |line: &[&str]| {
        let (code, out, err) = sandbox.run(line);
        assert_eq!(err, "");
        let parse = |l: &str| serde_json::from_str::<serde_json::Value>(l).unwrap();
        (code, out.lines().map(parse).collect::<Vec<_>>())
    };
    let (code, good) = lines(&["check", "site.toml", "--format", "json"]);
    let end = serde_json::json!(
        { "event": "checked", "errors": 0, "warnings": 0, "playbooks": 1, "steps": 2, "hosts": 2 }
    );
    assert_eq!((code, good), (0, vec![end]));
    sandbox.write(
        "bad.toml",
        "title = \"x\"\nhosts = \"here\"\n[[step]]\nname = \"é\"\nfile = { pth = \"/x\" }\n[[step]]\ncommand = { run = \"x\", always = true }\n",
    );
    let (code, bad) = lines(&["check", "bad.toml", "--format", "json", "-q"]);
    assert_eq!(code, 3);
    let of = |n: usize, key: &str| bad[n][key].to_string();
    assert_eq!((of(0, "severity"), of(0, "message")), ("\"error\"".into(), "\"unknown key `pth`\"".into()));
    let at: Vec<_> = ["file", "line", "column", "end_line", "end_column"].map(|key| of(0, key)).into();
    assert_eq!(at, ["\"bad.toml\"", "5", "10", "5", "13"]);
    assert!(of(0, "help").contains("path"), "{bad:?}");
    let end = bad.last().unwrap();
    assert_eq!(end["event"], "checked");
    assert!(end["errors"].as_u64() > Some(0) && end.get("hosts").is_none(), "{end}");
    let lint = bad.iter().find(|l| l["severity"] == "warning").unwrap();
    assert_eq!(lint["lint"], "always-runs");
    let (code, missing) = lines(&["check", "site.toml", "--format", "json", "-i", "none.toml"]);
    assert_eq!((code, missing[0]["message"].as_str()), (3, Some("there is no inventory at none.toml")));
}

#[test]
fn a_step_without_a_name_and_each_turn_of_a_loop_are_told_apart() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path().display().to_string();
    sandbox.write(
        "names.toml",
        &format!(
            "title = \"x\"\nhosts = \"here\"\n[vars]\nname = \"a\"\nkey = {{ command = [\"echo\", \"hunter-two\"] }}\n\
            [[step]]\nfile = {{ path = \"{folder}/{{{{ vars.name }}}}\", content = \"x\" }}\n\
            [[step]]\nname = \"Folders\"\neach = [\"b\", \"c\"]\ndirectory = {{ path = \"{folder}/{{{{ item }}}}\" }}\n\
            [[step]]\neach = [\"d\", \"e\"]\ndirectory = \"{folder}/{{{{ item }}}}\"\n\
            [[step]]\ncommand = {{ run = \"echo {{{{ vars.name }}}}\", always = true }}\nsilence = {{ always-runs = \"a test\" }}\n\
            [[step]]\nfile = {{ path = \"{folder}/{{{{ vars.key | upper }}}}\", content = \"x\" }}\n"
        ),
    );
    let (_, out, _) = sandbox.run(&["plan", "names.toml"]);
    assert!(!out.to_lowercase().contains("hunter"), "{out}");
    let heads: Vec<_> = out.lines().filter_map(|l| l.strip_suffix("  on here")).collect();
    assert_eq!(
        heads,
        [
            "  + file DIR/a",
            "  + Folders [b]",
            "  + Folders [c]",
            "  + directory DIR/d",
            "  + directory DIR/e",
            "  + command echo {{ vars.name }}",
            "  + file DIR/********"
        ],
        "{out}"
    );
}

#[test]
fn what_failed_is_said_once_and_our_shell_is_not_shown() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "fails.toml",
        "title = \"x\"\nhosts = \"here\"\n[[step]]\nname = \"Report\"\n\
        command = { run = \"echo one; echo two >&2; exit 3\", always = true }\nsilence = { always-runs = \"a test\" }\n",
    );
    let (code, out, _) = sandbox.run(&["apply", "fails.toml", "--yes"]);
    let wanted = "
x (fails)
here  failed     Report  (TIME)
      `run echo one; echo two >&2; exit 3` failed
      exit code: 3
      output:
        | one
        | two
      at fails.toml:4
";
    assert_eq!(code, 1);
    assert!(out.contains(wanted), "{out}");
    let (_, out, _) = sandbox.run(&["apply", "fails.toml", "--yes", "-vv"]);
    assert!(out.contains("      program: run_command.sh run="), "{out}");
}

#[test]
fn a_step_that_cannot_be_rendered_lets_its_host_go_on_if_it_says_so() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path().display().to_string();
    let playbook = |common: &str| {
        format!(
            "title = \"x\"\nhosts = \"here\"\n[[step]]\nname = \"share\"\n{common}\
            file = {{ path = \"{folder}/share\", content = \"{{{{ 1 // (facts.cpus - facts.cpus) }}}}\" }}\n\
            [[step]]\nname = \"next\"\nfile = {{ path = \"{folder}/next\", content = \"x\" }}\n"
        )
    };
    sandbox.write("site.toml", &playbook(""));
    let (code, _, err) = sandbox.run(&["apply", "site.toml", "--yes"]);
    assert_eq!((code, err.as_str()), (1, "Nothing was changed: no host is left.\n"));
    sandbox.write("site.toml", &playbook("on_failure = \"continue\"\n"));
    let (code, out, _) = sandbox.run(&["apply", "site.toml", "--yes"]);
    assert_eq!(code, 1);
    assert!(out.contains("here  failed     share  (TIME)\n"), "{out}");
    assert!(out.contains("here  changed    next"), "{out}");
    assert!(out.ends_with("Failed: 1 step on 1 host; 1 changed on 1 host (TIME).\n"), "{out}");
}

#[test]
fn one_bad_host_stops_no_other() {
    let sandbox = Sandbox::new();
    sandbox.write("inventory.toml", "[hosts.\"node-[01:03]\"]\nconnection = \"local\"\n");
    let folder = sandbox.path().display().to_string();
    let playbook = |head: &str| {
        format!(
            "title = \"One cannot\"\nhosts = \"all\"\n{head}[[step]]\nname = \"enough\"\n\
            assert = {{ that = \"{{{{ host.name != 'node-02' }}}}\", message = \"too small\" }}\n\
            [[step]]\nname = \"a file\"\nfile = {{ path = \"{folder}/{{{{ host.name }}}}\", content = \"x\\n\" }}\n"
        )
    };
    sandbox.write("site.toml", &playbook(""));
    let there = |n: &str| sandbox.path().join(n).exists();

    let (code, out, _) = sandbox.run(&["plan", "site.toml"]);
    assert_eq!(code, 1, "an error counts more than a difference: {out}");
    assert!(out.contains("Left out: 1 host\n  node-02\n    `enough` cannot work: too small\n\n"), "{out}");
    assert!(out.ends_with("on 2 hosts, 2 unchanged. 1 host left out.\n"), "{out}");

    let (code, _, err) = sandbox.run(&["apply", "site.toml", "--yes", "--all-or-nothing"]);
    assert_eq!(code, 1);
    assert_eq!(err, "Nothing was changed: 1 host is left out, and it was to be all or nothing.\n");
    sandbox.write("all.toml", &playbook("all_or_nothing = true\n"));
    let (code, out, _) = sandbox.run(&["plan", "all.toml"]);
    assert!(
        code == 1 && out.ends_with("change nothing: 1 host is left out, and `all` is all or nothing.\n"),
        "{out}"
    );
    let (code, _, err) = sandbox.run(&["apply", "all.toml", "--yes"]);
    assert_eq!(
        (code, err.as_str()),
        (1, "Nothing was changed: 1 host is left out, and `all` is all or nothing.\n")
    );
    assert!(!there("node-01") && !there("node-02") && !there("node-03"));

    let (code, out, err) = sandbox.run(&["apply", "site.toml", "--yes"]);
    assert_eq!(code, 1, "{err}");
    assert!(there("node-01") && !there("node-02") && there("node-03"));
    assert!(out.contains("node-02  left out: `enough` cannot work: too small\n"), "{out}");
    assert!(out.ends_with("Done: 2 changed on 2 hosts, 2 unchanged (TIME). 1 host left out.\n"), "{out}");
    let (code, _, err) = sandbox.run(&["apply", "site.toml", "--yes"]);
    assert_eq!(
        (code, err.as_str()),
        (1, "Nothing was changed: there is nothing to do on the other hosts.\n")
    );
}

#[test]
fn json_lines_are_events_and_nothing_else() {
    let sandbox = Sandbox::new();
    let (code, out, err) =
        sandbox.run(&["apply", "site.toml", "--yes", "--format", "json", "--limit", "here"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let events: Vec<hostwright::event::Event> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let names: Vec<String> = out
        .lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["event"].to_string())
        .collect();
    assert_eq!(
        (names.first().unwrap().as_str(), names.last().unwrap().as_str()),
        ("\"run_started\"", "\"run_finished\"")
    );
    assert!(events.windows(2).all(|pair| pair[0].at_ms <= pair[1].at_ms), "in the order of time");
}

#[test]
fn a_command_on_hosts() {
    let sandbox = Sandbox::new();
    let (code, out, err) = sandbox.run(&["run", "here", "--", "echo a; echo b; echo c >&2; exit 3"]);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (1, "here | a\nhere | b\n", "here | c\nhere | exit code 3\n")
    );
    let (code, out, _) = sandbox.run(&["run", "here", "--", "echo", "a  b", "$HOME"]);
    assert_eq!((code, out.as_str()), (0, "here | a  b $HOME\n"));
    let (code, out, err) = sandbox.run(&["run", "--", "echo hi"]);
    assert_eq!((code, out.as_str()), (4, "here | hi\n"));
    assert!(err.starts_with("gone | "), "{err}");
    let (code, out, _) = sandbox.run(&["facts", "here", "--format", "json"]);
    let facts: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, facts["host"].as_str()), (0, Some("here")));
    assert!(facts["facts"]["os"]["id"].is_string(), "{facts}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let sandbox = Sandbox::new();
    for line in [&["explain"][..], &["hosts"], &["plan", "site.toml", "--limit", "here"], &["--help"]] {
        let mut child = sandbox.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(!err.contains("panicked"), "{line:?}: {err}");
        assert!(matches!(output.status.code(), Some(0 | 2)), "{line:?}: {:?}", output.status);
    }
}

#[test]
fn a_password_comes_from_a_file_or_standard_input_and_shows_nowhere() {
    let sandbox = Sandbox::new();
    let (code, _, err) = sandbox.run(&["run", "here", "--become-password-file", "none", "--", "true"]);
    assert_eq!(code, 3);
    assert!(err.starts_with("error: cannot read the password from none: "), "{err}");
    sandbox.write("empty", "\n");
    let (code, _, err) = sandbox.run(&["run", "here", "--become-password-file", "empty", "--", "true"]);
    assert_eq!((code, err.as_str()), (3, "error: empty has no password on its first line\n"));

    let mut child = sandbox
        .command(&["run", "here", "--become-password-file", "-", "--", "echo correct horse battery"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"correct horse battery\n").unwrap();
    let out = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(out, "here | ********\n");
}

/// Every `hostwright WORD` in messages, documents and playbooks is a command that there is.
#[test]
fn hints_name_commands_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let help = Command::new(env!("CARGO_BIN_EXE_hostwright")).arg("--help").output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|l| *l != "Commands:")
        .skip(1)
        .take_while(|l| !l.is_empty())
        .filter_map(|l| l.split_whitespace().next())
        .collect();
    assert!(commands.contains(&"check"), "{help}");
    let mut folders = vec![root.join("src"), root.join("playbooks"), root.join("tests/lab")];
    let mut files =
        vec![root.join("README.md"), root.join("ARCHITECTURE.md"), root.join("inventory.example.toml")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    let mut named = 0;
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        for line in text.lines() {
            // In code, or a line to be typed.
            let typed = line.trim_start().trim_start_matches("$ ").strip_prefix("hostwright ");
            for rest in line.split("`hostwright ").skip(1).chain(typed) {
                let word: String =
                    rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                named += usize::from(!word.is_empty());
                let known = word.is_empty() || commands.contains(&word.as_str());
                assert!(known, "{}: there is no `hostwright {word}`: {line}", file.display());
            }
        }
    }
    assert!(named > 20, "only {named} found");
}

/// What hosts say, and what inventories and playbooks hold, draws nothing on a terminal.
#[test]
fn no_foreign_text_reaches_the_terminal_as_it_is() {
    const EVIL: &str = "\\u001B[2J\\u001B]0;t\\u0007\\u009B1m\\u202Egpj\\u2066\\u007F\\rx";
    let sandbox = Sandbox::new();
    let say = r"printf 'a\tb\033[2J\033]0;t\007\302\2331m\342\200\256gpj\r\nlast\010\377\n'; printf 'e\033[31mr\033[0m\r\n' >&2";
    sandbox.write(
        "evil.toml",
        &format!(
            "title = \"T{EVIL}\"\nhosts = \"here\"\n[[step]]\nname = \"N{EVIL}\"\nfile = {{ path = \"DIR/f\", content = \"C{EVIL}\\n\" }}\n\
             [[step]]\nname = \"Says\"\ncommand = {{ run = '''{say}''', always = true }}\n\
             [[step]]\nname = \"Fails{EVIL}\"\ncommand = {{ run = '''{say}; exit 3''', creates = \"/nowhere{EVIL}\" }}\n"
        )
        .replace("DIR", sandbox.path().to_str().unwrap()),
    );
    sandbox.write(
        "odd.toml",
        &format!(
            "[hosts.odd]\naddress = \"a{EVIL}\"\nuser = \"u{EVIL}\"\n[hosts.here]\nconnection = \"local\"\n"
        ),
    );
    sandbox.write("broken.toml", "title = \"\u{202e}x\"\nhosts = \"here\" \u{9b}31m\u{2066} \u{1b}[2J\n");
    sandbox.write("wrong.toml", &format!("title = \"t\"\nhosts = \"h{EVIL}\"\n\"k{EVIL}\" = 1\n"));
    let mut all = String::new();
    for (line, code) in [
        (&["run", "here", "--", say][..], 0),
        (&["plan", "evil.toml", "-vv"], 2),
        (&["apply", "evil.toml", "--yes", "-vv", "--color", "always"], 1),
        (&["check", "evil.toml", "broken.toml", "wrong.toml"], 3),
        (&["check", "no\u{1b}[2J\u{202e}such.toml"], 3),
        (&["hosts", "-i", "odd.toml"], 3),
        (&["run", "odd", "-i", "odd.toml", "--", "true"], 3),
        (&["plan", "evil.toml", "--limit", "x\u{1b}[2J\u{202e}"], 3),
    ] {
        let (got, out, err) = sandbox.run(line);
        for json in [false, true] {
            let mut text = out.clone() + &err;
            if json {
                let line = [&["--format", "json"][..], line].concat();
                let (_, out, err) = sandbox.run(&line);
                for value in out.lines().filter(|l| l.starts_with('{')) {
                    serde_json::from_str::<serde_json::Value>(value).unwrap();
                }
                text = out + &err;
            }
            let painted = line.contains(&"always");
            for escape in text.split('\x1b').skip(1) {
                let codes = escape.strip_prefix('[').and_then(|e| e.split_once('m')).map(|(codes, _)| codes);
                let ours = codes.is_some_and(|c| c.chars().all(|c| c.is_ascii_digit() || c == ';'));
                assert!(painted && ours, "{line:?}: {escape:?}");
            }
            let left = |c: char| !matches!(c, '\n' | '\t' | '\x1b') && c.is_control();
            let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            assert!(!text.contains(|c: char| left(c) || turns(c)), "{line:?}: {text:?}");
            all.push_str(&text);
        }
        assert_eq!(got, code, "{line:?}: {out}{err}");
    }
    let (_, out, err) = sandbox.run(&["run", "here", "--", say]);
    assert_eq!(out, "here | a\tb\\u{9b}1m\\u{202e}gpj\nhere | last^H\u{fffd}\n");
    assert_eq!(err, "here | er\n");
    let (_, out, _) = sandbox.run(&["run", "here", "--format", "json", "--", say]);
    assert!(out.contains(r"a\tb\u001b[2J\u001b]0;t\u0007\u009b1m\u202egpj\r\n"), "{out}");
    assert!(all.contains("\\u{202e}gpj"), "{all}");
}

#[test]
fn a_fetched_file_lies_beside_the_playbook_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("playbooks")).unwrap();
    std::fs::write(at("there"), "it\n").unwrap();
    std::fs::write(at("inventory.toml"), "[hosts.here]\nconnection = \"local\"\n").unwrap();
    let step = format!("[[step]]\nfetch = {{ path = \"{}\", dest = \"got\" }}\n", at("there").display());
    std::fs::write(at("playbooks/get.toml"), format!("title = \"Get\"\nhosts = \"all\"\n{step}")).unwrap();
    let _machine = machine::alone();
    for says in ["1 changed", "nothing to do"] {
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_hostwright"))
            .args(["apply", "-i", "inventory.toml", "playbooks/get.toml", "--yes"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&[out.stdout.clone(), out.stderr.clone()].concat()).to_lowercase();
        assert!(out.status.success() && text.contains(says), "{out:?}");
    }
    let copy = at("playbooks/got/here").join(at("there").strip_prefix("/").unwrap());
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), "it\n");
    assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!at("got").exists());
}

#[test]
fn a_list_of_steps_asks_nobody() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "p.toml",
        "title = \"All\"\nhosts = \"*\"\ntags = [\"t\"]\n[vars]\nword = { env = \"NOT_SET\" }\n\
         [[step]]\nname = \"Say {{ vars.word }}\"\nid = \"say\"\nfile = { path = \"/nowhere\", content = \"{{ facts.os.id }}\" }\n\
         [[step]]\nhosts = \"here\"\ntags = [\"u\"]\nnotify = \"again\"\ndirectory = \"/nowhere\"\n\
         [[step]]\nid = \"again\"\nhandler = true\ncommand = { run = \"true\" }\n",
    );
    let (code, out, err) = sandbox.run_now(&["plan", "--list", "p.toml", "--quiet"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let wanted = "p: All\n\
                  \x20 id      kind              tags  hosts       name\n\
                  \x20 say     file              t     here, gone  Say {{ vars.word }}\n\
                  \x20 step-2  directory         u t   here        directory /nowhere\n\
                  \x20 again   command, handler  t     here, gone  command true\n";
    let plain = |text: &str| text.lines().map(|line| line.trim_end().to_owned() + "\n").collect::<String>();
    assert_eq!(plain(&out), wanted);
    let (_, out, _) = sandbox.run_now(&["plan", "--list", "p.toml", "--tags", "u", "--format", "json"]);
    let steps: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<_> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(ids, ["step-2", "again"]);
    assert_eq!(steps[0]["tags"], serde_json::json!(["u", "t"]));
    assert_eq!(
        std::fs::read_dir(sandbox.path().join(".state")).map_or(0, Iterator::count),
        0,
        "it is no run"
    );
}
