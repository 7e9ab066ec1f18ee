//! The journals of real runs of this machine: what `history` and `show` tell of them, and `resume`.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::cli::Sandbox;
use super::machine;

/// Waits for what will be so soon.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_mins(2), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Begins an apply that nobody listens to.
fn begin(sandbox: &Sandbox, playbook: &str) -> Child {
    sandbox
        .command(&["apply", "--yes", "--lock-wait", "5m", playbook])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn journals(sandbox: &Sandbox) -> Vec<String> {
    let folder = sandbox.path().join(".state/hostwright/runs");
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = files.map(|f| f.unwrap().path()).collect();
    files.sort();
    files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// The words of a column in the table of `history`.
fn column(sandbox: &Sandbox, line: &[&str], title: &str) -> Vec<String> {
    let (code, out, err) = sandbox.run_now(&[&["history"], line].concat());
    assert_eq!(code, 0, "{err}");
    let mut lines = out.lines();
    let Some(at) = lines.next().and_then(|head| head.find(title)) else { return Vec::new() };
    lines.map(|line| line[at..].split("  ").next().unwrap().trim().to_owned()).collect()
}

#[test]
fn what_was_done_is_on_record() {
    let _machine = machine::alone();
    let sandbox = Sandbox::new();
    let here = ["--limit", "here"];
    assert_eq!(sandbox.run_now(&["history"]), (0, String::new(), "No run is on record that fits.\n".into()));
    assert_eq!(sandbox.run_now(&[&["plan", "site.toml"], &here[..]].concat()).0, 2);
    assert_eq!(sandbox.run_now(&[&["apply", "--yes", "site.toml"], &here[..]].concat()).0, 0);
    sandbox.write("bad.toml", "hosts = \"here\"\n[[step]]\nname = \"Bad\"\ncommand = { run = \"echo why; exit 3\", always = true }\n");
    assert_eq!(sandbox.run_now(&["apply", "--yes", "bad.toml"]).0, 1);
    assert_eq!(sandbox.run_now(&["apply", "--yes", "site.toml"]).0, 4, "one host is gone");

    assert_eq!(column(&sandbox, &[], "what"), ["apply", "apply", "apply", "plan"]);
    assert_eq!(column(&sandbox, &[], "result"), ["unreachable", "failed", "ok", "ok"]);
    assert_eq!(column(&sandbox, &[], "changed"), ["0", "0", "2", "2"]);
    assert_eq!(column(&sandbox, &["--host", "gone"], "result"), ["unreachable"]);
    assert_eq!(column(&sandbox, &["--playbook", "bad.toml"], "result"), ["failed"]);
    assert_eq!(column(&sandbox, &["--state", "ok", "--since", "1h"], "what"), ["apply", "plan"]);
    assert_eq!(column(&sandbox, &["-n", "1"], "result"), ["unreachable"]);
    let (_, out, _) = sandbox.run_now(&["history", "--format", "json"]);
    let first: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!(first["header"]["arguments"], serde_json::json!(["apply", "--yes", "site.toml"]));
    assert!(first["header"]["files"]["site.toml"].is_string(), "{first}");

    // What failed comes first, and the whole after it.
    let run = column(&sandbox, &["--state", "failed"], "run").remove(0);
    let (code, out, err) = sandbox.run_now(&["show", &run]);
    assert_eq!((code, err.as_str()), (0, ""));
    let failed = out.find("What failed").unwrap();
    assert!(out[failed..].find("why").unwrap() < out[failed..].find("All of it").unwrap(), "{out}");
    assert!(out.contains("command  hostwright apply --yes bad.toml"), "{out}");
    let (_, out, _) = sandbox.run_now(&["show", &run, "--format", "json"]);
    assert!(out.lines().next().unwrap().starts_with("{\"journal\":1,"), "{out}");
    assert!(out.contains("\"event\":\"step_finished\""), "{out}");
    let (code, _, err) = sandbox.run_now(&["show", "nosuch"]);
    assert_eq!((code, err.as_str()), (3, "error: no run is called nosuch; `history` lists them\n"));
}

#[test]
fn a_run_whose_controller_was_killed_is_resumed() {
    let _machine = machine::alone();
    let sandbox = Sandbox::new();
    let dir = sandbox.path().display().to_string();
    let playbook = format!(
        "hosts = \"here\"\n[[step]]\nname = \"First\"\nfile = {{ path = \"{dir}/one\", content = \"1\" }}\n\
         [[step]]\nname = \"Slow\"\ncommand = {{ run = \"while ! test -e {dir}/go; do sleep 0.1; done; touch {dir}/two\", creates = \"{dir}/two\" }}\n\
         [[step]]\nname = \"Last\"\nfile = {{ path = \"{dir}/three\", content = \"3\" }}\n"
    );
    sandbox.write("slow.toml", &playbook);
    let mut child = begin(&sandbox, "slow.toml");
    until("the slow step is on record", || {
        journals(&sandbox)
            .iter()
            .any(|text| text.contains("\"event\":\"action_started\",\"play\":0,\"step\":\"slow\""))
    });
    assert_eq!(column(&sandbox, &[], "result"), ["running"]);
    let (code, _, err) = sandbox.run_now(&["resume"]);
    assert_eq!(code, 3);
    assert!(err.contains("it is still going on"), "{err}");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(column(&sandbox, &[], "result"), ["killed"]);
    let (_, out, _) = sandbox.run_now(&["show"]);
    assert!(out.contains("Begun, and no end of it on record:\n  here: Slow"), "{out}");

    std::fs::write(sandbox.path().join("go"), "").unwrap();
    sandbox.write("slow.toml", &playbook.replace("\"3\"", "\"4\""));
    let (code, _, err) = sandbox.run_now(&["resume"]);
    assert_eq!(code, 3);
    assert!(err.contains("slow.toml has changed"), "{err}");
    sandbox.write("slow.toml", &playbook);
    let (code, out, err) = sandbox.run_now(&["resume"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("First") || out.contains("changed"), "{out}");
    for file in ["one", "two", "three"] {
        assert!(sandbox.path().join(file).exists(), "{file}");
    }
    assert_eq!(column(&sandbox, &[], "result"), ["ok", "killed"]);
    assert!(journals(&sandbox)[1].contains("\"resumes\":\""));
    let (code, _, err) = sandbox.run_now(&["resume"]);
    assert_eq!(code, 3);
    assert!(err.contains("there is nothing to resume"), "{err}");
}

#[test]
fn the_end_of_the_terminal_lets_the_action_end_and_is_on_record() {
    let _machine = machine::alone();
    let sandbox = Sandbox::new();
    let dir = sandbox.path().display().to_string();
    sandbox.write(
        "slow.toml",
        &format!(
            "hosts = \"here\"\n[[step]]\nname = \"Slow\"\n\
             command = {{ run = \"while ! test -e {dir}/go; do sleep 0.1; done; touch {dir}/one\", creates = \"{dir}/one\" }}\n\
             [[step]]\nname = \"Next\"\nfile = {{ path = \"{dir}/two\", content = \"2\" }}\n"
        ),
    );
    let mut child = begin(&sandbox, "slow.toml");
    until("the slow step is on record", || {
        journals(&sandbox).iter().any(|text| text.contains("\"event\":\"action_started\""))
    });
    let hung_up =
        std::process::Command::new("kill").args(["-HUP", &child.id().to_string()]).status().unwrap();
    assert!(hung_up.success());
    until("the interruption is on record", || journals(&sandbox)[0].contains("interrupted: no further step"));
    std::fs::write(sandbox.path().join("go"), "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let there = |name: &str| sandbox.path().join(name).exists();
    assert!(there("one") && !there("two"), "the action has ended, and nothing has begun after it");
    assert_eq!(column(&sandbox, &[], "result"), ["interrupted"]);
    let (code, _, err) = sandbox.run_now(&["resume"]);
    assert_eq!(code, 0, "{err}");
    assert!(there("two"));
}

#[test]
fn no_secret_is_on_record() {
    let _machine = machine::alone();
    let sandbox = Sandbox::new();
    let dir = sandbox.path().display().to_string();
    let secret = "p4ss'w\"ord of $journals\\";
    sandbox.write(
        "secret.toml",
        &format!(
            "hosts = \"here\"\n[vars]\npassword = {{ env = \"RECORDED\" }}\n[[step]]\nname = \"Secret\"\n\
             file = {{ path = \"{dir}/kept\", content = \"{{{{ vars.password }}}}\" }}\n[[step]]\nname = \"Loud\"\n\
             command = {{ run = \"cat {dir}/kept; base64 {dir}/kept; exit 1\", always = true }}\n"
        ),
    );
    let line = ["apply", "--yes", "-vv", "secret.toml", "--var", &format!("other={secret}")];
    let out = sandbox.command(&line).env("RECORDED", secret).output().unwrap();
    assert_eq!(out.status.code(), Some(1), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(std::fs::read_to_string(sandbox.path().join("kept")).unwrap(), secret);
    let [journal] = &journals(&sandbox)[..] else { panic!("one journal") };
    assert!(journal.contains("\"event\":\"step_finished\""), "{journal}");
    for piece in ["ord of", "p4ss", "journals", "cDRzcyd3"] {
        assert!(!journal.contains(piece), "{piece}: {journal}");
    }
    let (code, _, err) = sandbox.run_now(&["resume", "last"]);
    assert_eq!(code, 3);
    assert!(err.contains("a secret was on its command line"), "{err}");
}

#[test]
fn a_command_and_facts_are_on_record_too() {
    let _machine = machine::alone();
    let sandbox = Sandbox::new();
    sandbox.write("pw", "s3cr3t-in-a-file\n");
    let inventory = "[hosts.here]\nconnection = \"local\"\nvars = { pw = { file = \"pw\" } }\n";
    sandbox.write("inventory.toml", inventory);
    assert_eq!(sandbox.run_now(&["run", "here", "--", "echo hello; cat pw; exit 3"]).0, 1);
    assert_eq!(sandbox.run_now(&["facts", "here"]).0, 0);
    assert_eq!(column(&sandbox, &[], "what"), ["facts", "run"]);
    assert_eq!(column(&sandbox, &[], "result"), ["ok", "failed"]);
    let (code, out, _) = sandbox.run_now(&["show", "last"]);
    assert!(code == 0 && out.contains("os.id"), "{out}");
    let run = column(&sandbox, &["--state", "failed"], "run").remove(0);
    let (_, out, _) = sandbox.run_now(&["show", &run]);
    assert!(out.contains("command  hostwright run here -- echo hello"), "{out}");
    assert!(out.contains("hello"), "{out}");
    assert!(journals(&sandbox).iter().all(|text| !text.contains("s3cr3t-in-a-file")));
}

#[test]
fn without_a_place_for_the_journal_the_run_goes_on_with_a_warning() {
    let _machine = machine::alone();
    let sandbox = Sandbox::new();
    let state = sandbox.path().join(".state");
    std::fs::write(&state, "a file").unwrap();
    let (code, out, err) = sandbox.run_now(&["plan", "site.toml", "--limit", "here"]);
    assert_eq!(code, 2);
    assert!(out.contains("Plan: 2 to change"), "{out}");
    assert!(err.contains("warning: there will be no journal of this run: "), "{err}");
}
