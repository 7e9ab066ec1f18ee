//! No secret is shown: awkward secrets through every way into a step, and every way of showing it.

use std::fmt::Write as _;
use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::cli::Sandbox;

/// Secrets in awkward forms. In each stands a core that is nowhere else: where that is seen, the secret is.
fn secrets() -> Vec<(String, String)> {
    let forms: [fn(&str) -> String; 28] = [
        |c| c.to_owned(),
        |c| format!("it's{c}'"),
        |c| format!("say \"{c}\" twice"),
        |c| format!("{c}-first\n{c}-second\nend\n"),
        |c| format!("{c}\tafter a tab"),
        |c| c.repeat(1000),
        |c| format!("$(echo {c}) `{c}` $HOME \\{c}\\"),
        |c| format!("{{\"key\": \"{c}\", \"n\": 1}}"),
        |c| format!("p%{c}&x=<y>/+?"),
        |c| format!("pässwörd{c}✓"),
        |c| format!("{c}{c}"),
        |c| format!("{{{{ {c} }}}}"),
        |c| format!("-n {c}"),
        |c| format!("{c}\r\n"),
        |c| format!("#{c};*?[a]!"),
        |c| format!("{c}=="),
        |c| format!("{}{c}", "A".repeat(40)),
        |c| format!("\u{202e}{c}\u{2066}"),
        |c| format!("\x1b[31m{c}\x1b[0m"),
        |c| format!("\"{c}\"\\"),
        |c| format!("{c} # no comment"),
        |c| format!("a: {c}\n- {c}\n"),
        |c| format!("%s{c}%%n"),
        |c| format!("{c}\\n{c}"),
        |c| format!("${{{c}}}"),
        |c| format!("  {c}  "),
        |c| format!("^{c}$|.*"),
        |c| format!("<{c}&amp;>"),
    ];
    let mut secrets: Vec<_> = (forms.into_iter().zip(('a'..='z').chain('A'..='Z')))
        .map(|(form, letter)| {
            let core = format!("q{letter}zwk7Vx");
            (core.clone(), form(&core))
        })
        .collect();
    // One that begins with another one, and a short one.
    let longer = (String::from("q8zwk9Vy"), format!("{}q8zwk9Vy", secrets[0].1));
    secrets.extend([longer, ("q~7".into(), "q~7".into())]);
    secrets
}

/// The ways of a secret into a step, `V` for its variable, `N` for its number, `DIR` for a folder.
const WAYS: &str = r##"
[[step]]
name = "named {{ vars.V }}"
file = { path = "DIR/plain-N", content = "x {{ vars.V }} y\n", mode = "0600" }
[[step]]
name = "filters"
file = { path = "DIR/filters-N", content = "{{ vars.V | upper }} {{ vars.V | title }} {{ vars.V | replace('q', 'q-') }}\n{{ vars.V | indent(4) }}\n{{ vars.V | b64encode }} {{ vars.V | quote }} {{ vars.V | reverse }} {{ vars.V | to_json }}\n" }
[[step]]
name = "template file"
file = { path = "DIR/template-N", template = "template-N" }
[[step]]
name = "rotated"
file = { path = "DIR/rotated-N", content = "port 1\npassword = {{ vars.V }}\nend\n" }
[[step]]
name = "word of a command"
command = { run = ["true", "{{ vars.V }}", "--x={{ vars.V | lower }}"], always = true }
silence = { "secret-in-command" = "this test", "always-runs" = "this test" }
[[step]]
name = "printed and failed"
command = { run = "cat; echo; cat >&2 <DIR/plain-N; exit 3", stdin = "{{ vars.V }}", always = true }
on_failure = "continue"
[[step]]
name = "in the environment, printed"
command = { run = 'echo "got $S"; printf "%s" "$S" | base64', env = { S = "{{ vars.V }}" }, always = true }
[[step]]
name = "script"
script = { source = "script-N", args = ["{{ vars.V }}"], env = { S = "{{ vars.V }}" }, always = true }
[[step]]
name = "guard"
command = { run = "true", unless = "test -n {{ vars.V | quote }} && false", env = { S = "{{ vars.V }}" } }
on_failure = "continue"
[[step]]
name = "line"
line = { path = "DIR/lines-N", line = "token {{ vars.V | replace('\n', ' ') | replace('\r', '') }}", match = '^token', create = true }
on_failure = "continue"
[[step]]
name = "block"
block = { path = "DIR/lines-N", marker = "# {mark} N", content = "{{ vars.V | indent(2) }}\n" }
[[step]]
name = "query"
query = "printf '%s\n' {{ vars.V | quote }}"
[[step]]
name = "condition {{ item }}"
each = ["{{ vars.V }}", "other"]
when = "item != vars.V or vars.V | length > 3"
file = { path = "DIR/each-N-{{ item | length }}", content = "{{ item }}\n" }
"##;

/// Steps that cannot work, and say so.
const MISTAKES: &str = r#"
[[step]]
name = "message"
assert = { that = "{{ vars.V == '' }}", message = "not empty: {{ vars.V }}" }
[[step]]
name = "no such user"
file = { path = "DIR/owner", content = "x\n", owner = "{{ vars.V | replace('\n', '') | replace('\r', '') }}" }
"#;

/// Steps that cannot be read.
const MISFITS: &str = r#"
[[step]]
name = "does not fit"
wait = { port = "{{ vars.V }}" }
[[step]]
name = "no such mode"
file = { path = "DIR/mode", content = "x\n", mode = "{{ vars.V }}" }
[[step]]
name = "not base64"
file = { path = "DIR/b64", content = "{{ vars.V | b64decode }}" }
[[step]]
name = "no number"
file = { path = "DIR/int", content = "{{ vars.V | int + 1 }}" }
[[step]]
name = "no address"
file = { path = "DIR/net", content = "{{ vars.V | network(24) }}" }
[[step]]
name = "everything"
file = { path = "DIR/debug", content = "{{ debug() }}" }
"#;

fn sandbox(rotated: bool) -> (Sandbox, Vec<(String, String)>) {
    let sandbox = Sandbox::new();
    let secrets = secrets();
    let dir = sandbox.path().join("out");
    std::fs::create_dir(&dir).unwrap();
    let mut inventory = "[hosts.here]\nconnection = \"local\"\n[defaults.vars]\n".to_owned();
    let head = "title = \"Secrets\"\nhosts = \"here\"\n";
    let mut playbooks = [WAYS, MISTAKES, MISFITS].map(|ways| (head.to_owned(), ways));
    for (n, (core, value)) in secrets.iter().enumerate() {
        sandbox.write(&format!("secret-{n}"), value);
        writeln!(inventory, "s{n} = {{ file = \"secret-{n}\" }}").unwrap();
        sandbox.write(
            &format!("template-{n}"),
            &format!("<{{{{ vars.s{n} | upper }}}}>\n{{{{ vars.s{n} }}}}\n"),
        );
        sandbox.write(&format!("script-{n}"), "printf '%s\\n' \"$1\" \"$S\"\n");
        if rotated {
            sandbox.write(&format!("out/rotated-{n}"), &format!("port 1\npassword = old{core}\nend\n"));
        }
        for (playbook, ways) in &mut playbooks {
            let ways = ways.replace("vars.V", &format!("vars.s{n}")).replace("-N", &format!("-{n}"));
            playbook
                .push_str(&ways.replace("} N\"", &format!("}} {n}\"")).replace("DIR", dir.to_str().unwrap()));
        }
    }
    sandbox.write("inventory.toml", &inventory);
    for (name, (playbook, _)) in ["secrets.toml", "mistakes.toml", "misfits.toml"].iter().zip(&playbooks) {
        sandbox.write(name, playbook);
    }
    (sandbox, secrets)
}

/// Says which secrets can be seen in what was printed.
fn seen(secrets: &[(String, String)], printed: &Output) -> Vec<String> {
    seen_in(secrets, &[&printed.stdout[..], &printed.stderr[..]].concat())
}

/// The same for any bytes.
fn seen_in(secrets: &[(String, String)], bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    // A terminal's width must not hide anything.
    let flat: String = text.split_whitespace().collect::<String>().to_lowercase();
    let mut found = Vec::new();
    for (n, (core, value)) in secrets.iter().enumerate() {
        if core.len() < 6 {
            // In other forms so few letters may stand anywhere.
            let line = text.lines().find(|line| line.to_lowercase().contains(&core.to_lowercase()));
            found.extend(line.map(|line| format!("secret {n}, {core:?}: {line:?}")));
            continue;
        }
        let reversed: String = core.chars().rev().collect();
        let hex = core.bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        let mut forms = vec![
            core.to_lowercase(),
            reversed.to_lowercase(),
            format!("q-{}", &core[1..]).to_lowercase(),
            hex,
        ];
        // Of a secret in base64 every alignment, without the ends that depend on the neighbours.
        for shift in 0..3 {
            let whole = STANDARD_NO_PAD.encode([&[0; 2][..shift.min(2)], core.as_bytes()].concat());
            let middle = &whole[(shift * 8).div_ceil(6)..(shift + core.len()) * 8 / 6];
            if text.contains(middle) {
                found.push(format!("secret {n} in base64"));
            }
        }
        // Of a short one the digest is as good.
        let value = value.trim_end_matches(['\n', '\r']);
        for content in
            [value.to_owned(), format!("x {value} y\n"), format!("port 1\npassword = {value}\nend\n")]
        {
            let digest = hostwright::model::digest::sha256(content.as_bytes());
            forms.push(digest[..8].to_owned());
        }
        // Also a part of it: what was cut in the middle.
        forms.push(core[..6].to_lowercase());
        for form in forms.iter().filter(|form| flat.contains(&***form)) {
            let at = text.to_lowercase().find(&**form).unwrap_or(0);
            let line = text.to_lowercase()[..at].lines().count().max(1);
            found.push(format!("secret {n} as {form:?}: {:?}", text.lines().nth(line - 1)));
        }
    }
    found
}

#[test]
fn no_command_shows_a_secret() {
    for rotated in [true, false] {
        let (sandbox, secrets) = sandbox(rotated);
        let lines: [&[&str]; 11] = [
            &["plan", "misfits.toml"],
            &["plan", "-vv", "mistakes.toml"],
            &["check", "secrets.toml"],
            &["plan", "secrets.toml"],
            &["plan", "-vv", "secrets.toml"],
            &["plan", "--format", "json", "secrets.toml", "--out", "saved"],
            &["apply", "--yes", "-vv", "secrets.toml"],
            &["apply", "--yes", "--format", "json", "secrets.toml"],
            &["plan", "-vv", "secrets.toml"],
            &["run", "*", "--", "cat secret-*; base64 <secret-0; printenv"],
            &["hosts", "--format", "json"],
        ];
        for line in lines {
            let machine = crate::machine::alone();
            let printed = sandbox.command(line).output().unwrap();
            drop(machine);
            let found = seen(&secrets, &printed);
            let text = String::from_utf8_lossy(&printed.stdout);
            assert!(
                found.is_empty(),
                "rotated: {rotated}, {line:?}: {found:#?}\n{}",
                &text[..text.len().min(3000)]
            );
        }
        // What was written down of all that, and what is told of it later.
        let mut written = 0;
        for file in std::fs::read_dir(sandbox.path().join(".state/hostwright/runs")).unwrap() {
            let found = seen_in(&secrets, &std::fs::read(file.unwrap().path()).unwrap());
            assert!(found.is_empty(), "rotated: {rotated}, in a journal: {found:#?}");
            written += 1;
        }
        assert!(written > 5, "{written} journals");
        let found = seen_in(&secrets, &std::fs::read(sandbox.path().join("saved")).unwrap());
        assert!(found.is_empty(), "rotated: {rotated}, in the saved plan: {found:#?}");
        for line in [&["history"][..], &["show", "last", "-vv"], &["show", "last", "--format", "json"]] {
            let found = seen(&secrets, &sandbox.command(line).output().unwrap());
            assert!(found.is_empty(), "rotated: {rotated}, {line:?}: {found:#?}");
        }
        let printed = sandbox.command(&["plan", "-q", "secrets.toml"]).output().unwrap();
        let text =
            String::from_utf8_lossy(&printed.stdout).into_owned() + &String::from_utf8_lossy(&printed.stderr);
        assert_eq!(printed.status.code(), Some(2), "{text}");
        // The secrets did arrive, or nothing was tested.
        for (n, (core, value)) in secrets.iter().enumerate() {
            let value =
                value.strip_suffix('\n').map_or(value.as_str(), |v| v.strip_suffix('\r').unwrap_or(v));
            let read = |name: &str| {
                std::fs::read_to_string(sandbox.path().join(format!("out/{name}-{n}")))
                    .unwrap_or_else(|e| panic!("{name}-{n}: {e}"))
            };
            assert_eq!(read("plain"), format!("x {value} y\n"));
            assert_eq!(read("rotated"), format!("port 1\npassword = {value}\nend\n"));
            assert!(
                read("filters").contains(&core.to_uppercase())
                    && read("template").contains(core)
                    && read("lines").contains(core)
            );
        }
    }
}

/// While secrets go to a host, none is among the arguments of a process.
#[test]
fn no_process_has_a_secret_among_its_arguments() {
    const QUIET: [&str; 7] = ["named", "filters", "template file", "rotated", "script", "line", "block"];
    let (sandbox, secrets) = sandbox(true);
    // The others hand it over as an argument themselves, as the user wrote it.
    let playbook = std::fs::read_to_string(sandbox.path().join("secrets.toml")).unwrap();
    let mut steps = playbook.split("[[step]]");
    let head = steps.next().unwrap().to_owned();
    let kept: Vec<_> = (steps.map(|step| step.replace(r#"args = ["{{"#, r#"# args = ["{{"#)))
        .filter(|step| QUIET.iter().any(|name| step.contains(&format!("name = \"{name}"))))
        .filter(|step| !step.contains("script = {"))
        .collect();
    sandbox.write("quiet.toml", &format!("{head}[[step]]{}", kept.join("[[step]]")));
    let _machine = crate::machine::alone();
    let mut apply = sandbox.command(&["apply", "--yes", "-q", "quiet.toml"]).spawn().unwrap();
    let own = std::process::id().to_string();
    let mut looked = 0;
    while apply.try_wait().unwrap().is_none() {
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            if process.file_name().to_str() == Some(&own) {
                continue;
            }
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let found: Vec<_> = secrets.iter().filter(|(core, _)| core.len() > 6).collect();
            let text = String::from_utf8_lossy(&line);
            let found = found.iter().find(|(core, _)| text.contains(&**core));
            assert!(found.is_none(), "{text:?}");
            looked += usize::from(!line.is_empty());
        }
    }
    assert!(apply.wait().unwrap().success());
    assert!(looked > 100, "{looked} processes seen");
    crate::figures::tell(&format!(
        "{} secrets, {looked} command lines looked at: none in them",
        secrets.len()
    ));
}

#[test]
fn what_is_shown_is_still_of_use() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path().display().to_string();
    sandbox.write("pw", "n3w-s3cret\n");
    sandbox.write(
        "inventory.toml",
        "[hosts.here]\nconnection = \"local\"\n[defaults.vars]\npw = { file = \"pw\" }\n",
    );
    sandbox.write("app.conf", "port 1\npassword = 0ld-s3cret\nworkers 2\n");
    let playbook = format!(
        "hosts = \"here\"\n[[step]]\nname = \"Configuration\"\nfile = {{ path = \"{dir}/app.conf\", content = \"port 1\\npassword = {{{{ vars.pw }}}}\\nworkers 4\\n\" }}\n"
    );
    sandbox.write("site.toml", &playbook);
    let (code, out, err) = sandbox.run(&["plan", "site.toml"]);
    assert_eq!((code, err.as_str()), (2, ""));
    assert!(
        out.contains(
            "-(secret)\n          -workers 2\n          +password = ********\n          +workers 4\n"
        ),
        "{out}"
    );

    // The same secret, another line: only that line differs.
    sandbox.write("app.conf", "port 1\npassword = n3w-s3cret\nworkers 2\n");
    let (_, out, _) = sandbox.run(&["plan", "site.toml"]);
    assert!(out.contains(" password = ********\n          -workers 2\n          +workers 4\n"), "{out}");
}

#[test]
fn a_backup_of_a_file_with_a_secret_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    let dir = sandbox.path().display().to_string();
    sandbox.write("pw", "n3w-s3cret\n");
    sandbox.write(
        "inventory.toml",
        "[hosts.here]\nconnection = \"local\"\n[defaults.vars]\npw = { file = \"pw\" }\n",
    );
    std::fs::create_dir(sandbox.path().join("etc")).unwrap();
    let files = ["file", "line", "block", "open"];
    for name in files {
        let path = sandbox.path().join("etc").join(name);
        std::fs::write(&path, "password = 0ld-s3cret\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    let playbook = r##"
hosts = "here"
[[step]]
file = { path = "DIR/file", content = "password = {{ vars.pw }}\n" }
[[step]]
line = { path = "DIR/line", line = "password = {{ vars.pw }}", match = "^password" }
[[step]]
block = { path = "DIR/block", marker = "# {mark}", content = "password = {{ vars.pw }}\n" }
[[step]]
file = { path = "DIR/open", content = "no secret\n" }
"##;
    sandbox.write("site.toml", &playbook.replace("DIR", &format!("{dir}/etc")));
    let (code, out, err) = sandbox.run(&["apply", "--yes", "site.toml"]);
    assert_eq!(code, 0, "{out}{err}");
    let mut backups = Vec::new();
    let runs = sandbox.host_state().join("backups");
    let folder = std::fs::read_dir(&runs).unwrap().next().unwrap().unwrap().path();
    let manifest = std::fs::read_to_string(folder.join("manifest")).unwrap();
    for line in manifest.lines() {
        let (name, path) = (line.split('\t').next().unwrap(), line.rsplit('/').next().unwrap());
        let mode = folder.join(name).metadata().unwrap().permissions().mode() & 0o7777;
        backups.push((path.to_owned(), mode));
    }
    backups.sort();
    let wanted = [("block", 0o600), ("file", 0o600), ("line", 0o600), ("open", 0o644)];
    assert_eq!(backups, wanted.map(|(name, mode)| (name.to_owned(), mode)));
}
