//! Results of steps in templates, on this machine: what a step said is what a later one is told, in a plan and an apply.

use super::cli::Sandbox;

/// Applies both playbooks and returns exit code and what was printed.
fn apply(sandbox: &Sandbox, playbooks: &[&str]) -> (i32, String) {
    let line = [&["apply", "--yes", "--limit", "here"], playbooks].concat();
    let (code, out, err) = sandbox.run(&line);
    (code, format!("{out}{err}"))
}

fn read(sandbox: &Sandbox, name: &str) -> String {
    std::fs::read_to_string(sandbox.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn what_a_query_answers_is_there_for_later_steps_and_playbooks() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path().display().to_string();
    sandbox.write(
        "10-ask.toml",
        &format!(
            r#"
hosts = "here"
[[step]]
name = "q"
query = "echo value; echo more >&2; exit 3"
[[step]]
name = "when it says so"
when = "'value' in steps.q.stdout and steps.q.code == 3"
file = {{ path = "{dir}/when", content = "yes\n" }}
[[step]]
name = "its text"
file = {{ path = "{dir}/text", content = "got [{{{{ steps.q.stdout | trim }}}}]\n" }}
"#
        ),
    );
    sandbox.write(
        "20-use.toml",
        &format!(
            r#"
hosts = "here"
[[step]]
name = "from the playbook before"
file = {{ path = "{dir}/later", content = "{{{{ playbooks.ask.steps.q.code }}}}\n" }}
[[step]]
name = "nothing was changed there"
when = "playbooks.ask.steps.when_it_says_so.changed"
file = {{ path = "{dir}/changed", content = "{{{{ playbooks.ask.steps.q.code }}}}\n" }}
"#
        ),
    );
    let (code, text) = apply(&sandbox, &["10-ask.toml", "20-use.toml"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(read(&sandbox, "when"), "yes\n");
    assert!(read(&sandbox, "text").starts_with("got [value"), "{}", read(&sandbox, "text"));
    assert_eq!(read(&sandbox, "later"), "3\n");
    assert_eq!(read(&sandbox, "changed"), "3\n");
    std::fs::remove_file(sandbox.path().join("changed")).unwrap();

    let (code, text) = apply(&sandbox, &["10-ask.toml", "20-use.toml"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("Nothing to do"), "{text}");
    assert!(!sandbox.path().join("changed").exists());

    // Alone, the second playbook has nobody to ask.
    let (code, text) = apply(&sandbox, &["20-use.toml"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("no playbook of this run is called `ask`"), "{text}");
}

#[test]
fn what_did_not_run_has_no_output() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path().display().to_string();
    sandbox.write(
        "guard.toml",
        &format!(
            r#"
hosts = "here"
[[step]]
id = "make"
command = {{ run = "echo id-1; touch {dir}/made", creates = "{dir}/made" }}
[[step]]
name = "uses it"
file = {{ path = "{dir}/id", content = "{{{{ steps.make.stdout }}}}\n" }}
"#
        ),
    );
    let (code, text) = apply(&sandbox, &["guard.toml"]);
    assert_eq!((code, read(&sandbox, "id").as_str()), (0, "id-1\n"), "{text}");
    let (code, text) = apply(&sandbox, &["guard.toml"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("`steps.make.stdout` is not defined: the step ran nothing on this host"), "{text}");
    assert_eq!(read(&sandbox, "id"), "id-1\n", "an empty text must not take its place");
}
