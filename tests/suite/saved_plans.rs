//! Plans in files: `plan --out` and `apply FILE`, on hosts that are this machine, each in a folder of its own.

use std::os::unix::fs::PermissionsExt as _;

use crate::cli::Sandbox;

const SECRET: &str = "it's \"q7z-Wk\" \\n secret";

/// Two hosts, one file for each with a secret in it, and a step that rests on the one before.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let dir = sandbox.path().display();
    sandbox.write("secret", SECRET);
    sandbox.write(
        "inventory.toml",
        "[hosts.a]\nconnection = \"local\"\n[hosts.b]\nconnection = \"local\"\n\
         [defaults.vars]\npw = { file = \"secret\" }\ntoken = { env = \"SAVED_TOKEN\" }\n",
    );
    sandbox.write(
        "site.toml",
        &format!(
            "title = \"Site\"\nhosts = \"*\"\n[[step]]\nname = \"Folder\"\ndirectory = {{ path = \"{dir}/{{{{ host.name }}}}\" }}\n\
             [[step]]\nname = \"Settings\"\nfile = {{ path = \"{dir}/{{{{ host.name }}}}/app.conf\", \
             content = \"new\\n\", mode = \"0640\" }}\n\
             [[step]]\nname = \"Keys\"\nfile = {{ path = \"{dir}/{{{{ host.name }}}}/keys\", \
             content = \"{{{{ vars.pw }}}} {{{{ vars.token }}}}\\n\" }}\n"
        ),
    );
    sandbox
}

fn run(sandbox: &Sandbox, line: &[&str]) -> (i32, String) {
    let machine = crate::machine::alone();
    let ran = sandbox.command(line).env("SAVED_TOKEN", "t0k-9xQe").output().unwrap();
    drop(machine);
    let text = [&ran.stdout[..], &ran.stderr[..]].concat();
    let text = String::from_utf8(text).unwrap().replace(sandbox.path().to_str().unwrap(), "DIR");
    (ran.status.code().unwrap(), text)
}

#[test]
fn a_saved_plan_does_exactly_what_it_says_and_leaves_out_what_has_moved() {
    let sandbox = sandbox();
    let content = |host: &str| std::fs::read_to_string(sandbox.path().join(format!("{host}/app.conf")));
    // All is there but not as wanted.
    for host in ["a", "b"] {
        std::fs::create_dir(sandbox.path().join(host)).unwrap();
        sandbox.write(&format!("{host}/app.conf"), "old\n");
    }
    let (code, text) = run(&sandbox, &["plan", "site.toml", "--out", "today.plan"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("Saved the plan: `hostwright apply today.plan` does exactly this."), "{text}");
    assert!(text.contains("It will need: environment variable SAVED_TOKEN, file"), "{text}");
    assert_eq!(content("a").unwrap(), "old\n", "a plan changes nothing");
    let file = sandbox.path().join("today.plan");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let saved = std::fs::read_to_string(&file).unwrap();
    for secret in ["q7z-Wk", "t0k-9xQe"] {
        assert!(!saved.contains(secret), "{saved}");
    }

    // Somebody changes one of the hosts.
    sandbox.write("a/app.conf", "other\n");
    let (code, text) = run(&sandbox, &["apply", "today.plan", "--yes"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("`Settings`: content was \"old\" in line 1, and is \"other\" now"), "{text}");
    assert_eq!(content("a").unwrap(), "other\n", "it is not touched");
    assert_eq!(content("b").unwrap(), "new\n");
    let keys = std::fs::read_to_string(sandbox.path().join("b/keys")).unwrap();
    assert_eq!(keys, format!("{SECRET} t0k-9xQe\n"));

    // What has come about meanwhile is no difference, and what was put back is done.
    sandbox.write("a/app.conf", "old\n");
    let (code, text) = run(&sandbox, &["apply", "today.plan", "--yes"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("Done: 2 changed on 1 host"), "{text}");
    assert_eq!(content("a").unwrap(), content("b").unwrap());
    let (_, text) = run(&sandbox, &["show", "last"]);
    assert!(text.contains("plan     saved, sha256 "), "{text}");
}

#[test]
fn a_saved_plan_is_refused_where_it_is_not_of_these_files() {
    let sandbox = sandbox();
    assert_eq!(run(&sandbox, &["plan", "site.toml", "--out", "p", "--limit", "a"]).0, 2);
    for (line, why) in [
        (&["apply", "p", "site.toml", "--yes"][..], "p is a saved plan, which is applied alone"),
        (&["apply", "p", "--limit", "b", "--yes"], "it has its inventory, selection and connection"),
        (&["apply", "p", "-i", "inventory.toml", "--yes"], "it has its inventory, selection and connection"),
        (&["apply", "broken", "--yes"], "broken is not a saved plan"),
        (&["apply", "newer", "--yes"], "it is of another version of Hostwright"),
        (&["plan", "site.toml", "--out", "no/where"], "the plan was not saved: no/where: "),
    ] {
        sandbox.write("broken", "{\"saved_plan\": 1, \"entries\": [");
        sandbox.write("newer", "{\"saved_plan\": 99}");
        let (code, text) = run(&sandbox, line);
        assert!(code == 3 && text.contains(why), "{line:?}: {code}: {text}");
    }
    let playbook = std::fs::read_to_string(sandbox.path().join("site.toml")).unwrap();
    sandbox.write("site.toml", &playbook.replace("0640", "0600"));
    let (code, text) = run(&sandbox, &["apply", "p", "--yes"]);
    assert!(code == 3 && text.contains("is not as it was: site.toml"), "{text}");
    assert!(text.contains("hint: make the plan anew"), "{text}");
    assert!(!sandbox.path().join("a").exists());
    // The other host was no part of it.
    sandbox.write("site.toml", &playbook);
    assert_eq!(run(&sandbox, &["apply", "p", "--yes"]).0, 0);
    assert!(sandbox.path().join("a/app.conf").exists() && !sandbox.path().join("b").exists());
}
