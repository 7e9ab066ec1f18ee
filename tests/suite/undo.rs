//! `undo`, on this machine.

use std::os::unix::fs::PermissionsExt as _;

use super::cli::Sandbox;
use super::machine;

/// The id of the newest run.
fn newest(sandbox: &Sandbox) -> String {
    let (_, out, _) = sandbox.run_now(&["history", "--format", "json"]);
    let first: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    first["header"]["run"].as_str().unwrap().to_owned()
}

/// A sandbox with one host, this machine, whose files lie in `etc`.
fn sandbox(playbook: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write(
        "inventory.toml",
        "[hosts.here]\nconnection = \"local\"\n[defaults.vars]\npw = { file = \"pw\" }\n",
    );
    sandbox.write("pw", "n3w-s3cret\n");
    std::fs::create_dir(sandbox.path().join("etc")).unwrap();
    sandbox.write("site.toml", &playbook.replace("ETC", &format!("{}/etc", sandbox.path().display())));
    sandbox
}

fn read(sandbox: &Sandbox, name: &str) -> Option<String> {
    std::fs::read_to_string(sandbox.path().join("etc").join(name)).ok()
}

fn apply(sandbox: &Sandbox) -> String {
    let (code, out, err) = sandbox.run_now(&["apply", "--yes", "site.toml"]);
    assert_eq!(code, 0, "{out}{err}");
    newest(sandbox)
}

const SITE: &str = r#"
hosts = "here"
[[step]]
name = "Config {{ '{{' }} x"
file = { path = "ETC/a", content = "new\n", mode = "0600" }
notify = "told"
[[step]]
line = { path = "ETC/b", line = "x=2", match = "^x=" }
[[step]]
line = { path = "ETC/b", line = "y=3", match = "^y=" }
[[step]]
link = { path = "ETC/l", target = "b" }
[[step]]
file = { path = "ETC/made", content = "made\n" }
[[step]]
file = { path = "ETC/gone", state = "absent" }
[[step]]
directory = { path = "ETC/d" }
[[step]]
file = { path = "ETC/secret", content = "{{ vars.pw }}\n" }
[[step]]
command = { run = "echo >>ETC/said", creates = "ETC/said" }
[[step]]
id = "told"
handler = true
command = { run = "echo told >>ETC/told" }
"#;

fn before(sandbox: &Sandbox) {
    let etc = sandbox.path().join("etc");
    for (name, content) in
        [("a", "old\n"), ("b", "x=1\ny=2\n"), ("gone", "was there\n"), ("secret", "0ld-s3cret\n")]
    {
        std::fs::write(etc.join(name), content).unwrap();
    }
    std::fs::set_permissions(etc.join("a"), std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("a", etc.join("l")).unwrap();
}

fn is_as_before(sandbox: &Sandbox) {
    let etc = sandbox.path().join("etc");
    assert_eq!(read(sandbox, "a").unwrap(), "old\n");
    assert_eq!(etc.join("a").metadata().unwrap().permissions().mode() & 0o7777, 0o640);
    assert_eq!(
        read(sandbox, "b").unwrap(),
        "x=1\ny=2\n",
        "of two changes in a run the state before the first"
    );
    assert_eq!(std::fs::read_link(etc.join("l")).unwrap().to_str().unwrap(), "a");
    assert_eq!(read(sandbox, "gone").unwrap(), "was there\n");
    assert_eq!(read(sandbox, "secret").unwrap(), "0ld-s3cret\n");
    for name in ["made", "d"] {
        assert!(!etc.join(name).exists(), "{name}");
    }
}

#[test]
fn a_run_is_undone_and_the_undo_too() {
    let _machine = machine::alone();
    let sandbox = sandbox(SITE);
    before(&sandbox);
    let run = apply(&sandbox);

    let (code, out, err) = sandbox.run_now(&["undo", &run, "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    is_as_before(&sandbox);
    let all = format!("{out}{err}");
    assert!(err.contains("What has no way back"), "{err}");
    assert!(err.contains(": what a command did has no way back (here)"), "{err}");
    assert!(out.contains("-new") && out.contains("+old"), "a diff is shown:\n{out}");
    assert!(!all.contains("s3cret"), "{all}");
    let undone = newest(&sandbox);
    let (_, out, _) = sandbox.run_now(&["show", &undone]);
    assert!(out.contains(&format!("undoes   {run}")), "{out}");
    assert!(sandbox.run_now(&["history"]).1.contains("undo "), "history says what it was");

    let (code, out, err) = sandbox.run_now(&["undo", &run, "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("Nothing to do"), "once is enough:\n{out}");

    let (code, out, err) = sandbox.run_now(&["undo", &undone, "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(read(&sandbox, "a").unwrap(), "new\n");
    assert_eq!(read(&sandbox, "b").unwrap(), "x=2\ny=3\n");
    assert_eq!(read(&sandbox, "gone"), None);
    assert_eq!(read(&sandbox, "secret").unwrap(), "n3w-s3cret\n");
    let (code, out, err) = sandbox.run_now(&["plan", "site.toml"]);
    assert_eq!(code, 0, "all is as the playbook describes it again:\n{out}{err}");
}

#[test]
fn what_somebody_has_changed_since_is_left_alone_and_the_rest_is_undone() {
    let _machine = machine::alone();
    let sandbox = sandbox(SITE);
    before(&sandbox);
    let run = apply(&sandbox);
    let etc = sandbox.path().join("etc");
    std::fs::write(etc.join("a"), "by hand\n").unwrap();
    std::fs::write(etc.join("d/content"), "").unwrap();
    let (code, out, err) = sandbox.run_now(&["undo", &run, "--yes"]);
    assert_eq!(code, 1, "{out}{err}");
    let all = format!("{out}{err}");
    assert!(all.contains(&format!("etc/a has been changed since run {run}")), "{all}");
    assert!(all.contains("is not empty: it holds content"), "{all}");
    assert_eq!(read(&sandbox, "a").unwrap(), "by hand\n");
    assert!(etc.join("d/content").exists());
    assert_eq!(read(&sandbox, "b").unwrap(), "x=1\ny=2\n");
    assert_eq!(read(&sandbox, "made"), None);
}

#[test]
fn a_run_that_failed_is_undone_as_far_as_it_came() {
    let _machine = machine::alone();
    let playbook = r#"
hosts = "here"
[[step]]
file = { path = "ETC/one", content = "1\n" }
[[step]]
command = { run = "exit 3", always = true }
[[step]]
file = { path = "ETC/two", content = "2\n" }
"#;
    let sandbox = sandbox(playbook);
    let (code, ..) = sandbox.run_now(&["apply", "--yes", "site.toml"]);
    assert_eq!(code, 1);
    let run = newest(&sandbox);
    let (code, out, err) = sandbox.run_now(&["undo", &run, "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(read(&sandbox, "one"), None);
}

#[test]
fn what_cannot_be_undone_says_why() {
    let _machine = machine::alone();
    let sandbox = sandbox("hosts = \"here\"\n[[step]]\nfile = { path = \"ETC/one\", content = \"1\\n\" }\n");
    assert_eq!(sandbox.run_now(&["plan", "site.toml"]).0, 2);
    let plan = newest(&sandbox);
    let (code, out, err) = sandbox.run_now(&["undo", &plan, "--yes"]);
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(err.contains("cannot be undone: it changed nothing"), "{err}");
    assert_eq!(sandbox.run_now(&["undo", "nosuch", "--yes"]).0, 3);

    let run = apply(&sandbox);
    let (code, out, err) = sandbox.run_now(&["undo", &run]);
    assert_eq!((code, out.as_str()), (3, ""), "nobody is asked: {err}");
    assert!(err.contains("--yes"), "{err}");
    // The backups are gone.
    std::fs::remove_dir_all(sandbox.host_state()).unwrap();
    let (code, out, err) = sandbox.run_now(&["undo", &run, "--yes"]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(format!("{out}{err}").contains("this host knows nothing of run"), "{out}{err}");
    assert_eq!(read(&sandbox, "one").unwrap(), "1\n");
}
