//! The command line as it is typed: what comes out, and the exit code.
//!
//! `TRYCMD=overwrite` writes the cases anew. Runs that do something do it on this machine, in a folder of their own.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

#[test]
fn cases_read_well() {
    trycmd::TestCases::new()
        .env("NO_COLOR", "1")
        .env("HOSTWRIGHT_INVENTORY", "")
        .case("tests/cli/*.trycmd")
        .run();
}

/// A folder with an inventory of this machine and of one where nobody listens, and a playbook.
struct Sandbox(tempfile::TempDir);

impl Sandbox {
    fn new() -> Self {
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

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hostwright"));
        command.args(line).current_dir(self.path()).env_remove("HOSTWRIGHT_INVENTORY").stdin(Stdio::null());
        command
    }

    /// Runs it and returns exit code, standard output and standard error, the folder and times redacted.
    fn run(&self, line: &[&str]) -> (i32, String, String) {
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
    assert!(err.contains("here  changed    Data"), "{err}");
    assert!(err.contains("Done: 2 changed on 1 host (TIME).\n"), "{err}");
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
    assert!(err.contains("Nothing was changed: the plan has steps that cannot work."), "{err}");
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
