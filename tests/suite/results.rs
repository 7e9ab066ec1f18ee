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

#[test]
fn a_step_that_failed_tells_what_it_said() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path().display().to_string();
    sandbox.write(
        "a.toml",
        &format!(
            r#"
hosts = "here"
[[step]]
id = "fails"
command = {{ run = "echo out; echo err >&2; exit 4", creates = "{dir}/never" }}
on_failure = "continue"
[[step]]
when = "steps.fails.failed"
file = {{ path = "{dir}/why", content = "{{{{ steps.fails.code }}}} {{{{ steps.fails.stdout }}}} {{{{ steps.fails.stderr }}}}\n" }}
"#
        ),
    );
    let (code, text) = apply(&sandbox, &["a.toml"]);
    assert_eq!(code, 1, "{text}");
    assert_eq!(read(&sandbox, "why"), "4 out err\n");
}

#[test]
fn until_is_asked_of_a_query_also_where_the_plan_has_its_answer() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path().display().to_string();
    let playbook = |until: &str, retries: u32| {
        format!(
            r#"
hosts = "here"
[[step]]
id = "q"
query = "echo x >>{dir}/looks; wc -l <{dir}/looks"
until = "{until}"
retries = {retries}
retry_delay = "10ms"
"#
        )
    };
    sandbox.write("never.toml", &playbook("result.stdout | int > 1000", 1));
    let (code, out, _) = sandbox.run(&["plan", "never.toml"]);
    assert!(code == 2 && out.contains("cannot be said before `result.stdout | int > 1000` is true"), "{out}");
    let (code, text) = apply(&sandbox, &["never.toml"]);
    assert!(code == 1 && text.contains("is not true yet"), "{text}");
    sandbox.write("soon.toml", &playbook("result.stdout | int > 6", 9));
    let (code, text) = apply(&sandbox, &["soon.toml"]);
    assert!(code == 0 && text.contains("tries left"), "{text}");
    // It holds already: nothing is to be done.
    let (code, out, _) = sandbox.run(&["plan", "soon.toml"]);
    assert_eq!(code, 0, "{out}");
}

#[test]
fn until_is_not_asked_of_a_step_that_has_nothing_to_do() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path().display().to_string();
    sandbox.write(
        "a.toml",
        &format!(
            r#"
hosts = "here"
[[step]]
file = {{ path = "{dir}/new", content = "{{{{ vars.text }}}}" }}
[[step]]
command = {{ run = "echo done | tee {dir}/made", creates = "{dir}/made" }}
until = "'done' in result.stdout"
"#
        ),
    );
    for text in ["--var=text=a", "--var=text=b"] {
        let (code, out, err) = sandbox.run(&["apply", "--yes", "a.toml", text]);
        assert_eq!(code, 0, "{out}{err}");
    }
}
