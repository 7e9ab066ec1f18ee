//! What a host prints reaches no terminal, log or report as it is: every way that text of a host may take to us.

use std::fs;

use super::scan::Fleet;
use super::server::Server;
use crate::terminal;

/// Moves the cursor, sets a title, writes to the clipboard, hides, turns around, in C0, C1 and Unicode.
const EVIL: &str = "ev\x1b[2J\x1b]0;title\x07\x1b]52;c;eA==\x1b\\\x1b[8mil\x08\x0b\r\u{9b}31m\u{85}\u{202e}txt\u{2066}\u{200b}\u{feff}\u{2028}\x7f";

/// The same as an argument of printf(1).
fn octal() -> String {
    EVIL.bytes().map(|b| format!("\\{b:03o}")).collect::<Vec<_>>().concat()
}

/// What must not come out. Our own colours may; on a terminal so may what draws lines anew, and carriage returns.
fn harm(said: &str, terminal: bool) -> Option<String> {
    let ours = regex::Regex::new(r"\x1b\[[0-9;]*m").unwrap();
    let drawing = regex::Regex::new(r"\x1b\[[0-9]*[A-DGJK]|\x1b\[\?(25|2026)[hl]").unwrap();
    let mut rest = ours.replace_all(said, "").into_owned();
    if terminal {
        rest = drawing.replace_all(&rest, "").replace('\r', "");
    }
    let hides = said.contains("\x1b[8m") || said.contains("\x1b[2J");
    let deceives = |c: char| matches!(c, '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let found =
        rest.char_indices().find(|(_, c)| (c.is_control() && !matches!(c, '\n' | '\t')) || deceives(*c));
    let around = |at: usize| rest.get(at..).unwrap_or_default().chars().take(40).collect::<String>();
    found.map(|(at, _)| format!("{:?}", around(at))).or(hides.then(|| "hides text".into()))
}

/// How the sign that turns the direction around is shown.
fn shown(format: &str) -> String {
    if format == "json" { r"\u202e".into() } else { r"\u{202e}".into() }
}

const HOSTS: &str = "[hosts.one]\naddress = \"127.0.0.1\"\nport = PORT\n";

const SITE: &str = r#"
title = "Site"
hosts = "*"
[[step]]
id = "asked"
name = "Query"
query = "printf 'TEXT\n'"
[[step]]
name = "Its answer"
file = { path = "FOLDER/answer", content = "{{ steps.asked.stdout }}\n" }
[[step]]
name = "Diff"
file = { path = "FOLDER/evil", content = "good\n" }
[[step]]
name = "Line"
line = { path = "FOLDER/other", line = "good" }
[[step]]
name = "Fact"
command = { run = "echo '{{ facts.os.name }}'; printf 'TEXT\n'; printf 'TEXT' >&2", always = true }
silence = { always-runs = "a test" }
[[step]]
name = "Fails"
command = { run = "printf 'TEXT\n'; printf 'TEXT\n' >&2; exit 3", always = true }
silence = { always-runs = "a test" }
"#;

#[test]
fn what_a_host_prints_is_harmless_wherever_it_comes_out() {
    // A host whose system is called so, and that greets so.
    let evil = octal().replace('\\', "\\\\");
    let mounts = format!(
        "printf 'ID=debian\\nVERSION_ID=12\\nPRETTY_NAME=\"{0}\"\\n' >$1/os; mount --bind $1/os /etc/os-release\n\
         printf '{0}\\nConnection refused {0}\\nroot@x: Permission denied ({0}).\\n' >$1/greeting",
        evil.replace("\\\\", "\\")
    );
    let Some(server) = Server::start_with_mounts(&mounts, "Banner FOLDER/greeting\n") else { return };
    let fleet = Fleet::new(&server, HOSTS);
    let all = std::cell::RefCell::new(Vec::new());
    let run = |name: &str, line: &[&str], wanted: i32| {
        let (code, out, err) = fleet.run(line);
        assert_eq!(code, wanted, "{name}: {out}{err}");
        assert!(!out.is_empty() || !err.is_empty(), "{name}");
        for (stream, said) in [("out", &out), ("err", &err)] {
            all.borrow_mut().extend(harm(said, false).map(|harm| format!("{name}, {stream}: {harm}")));
        }
        format!("{out}{err}")
    };

    run("scan", &["hosts", "--scan", "--yes"], 0);
    let print = format!("printf '{0}'; printf '{0}' >&2", octal());
    for format in ["plain", "json"] {
        for color in ["always", "never"] {
            let more = ["--format", format, "--color", color];
            let said = run("run", &[&["run"], &more[..], &["one", "--", &print]].concat(), 0);
            assert!(said.contains(&shown(format)), "{said}");
            let said = run("facts", &[&["facts"], &more[..], &["one"]].concat(), 0);
            assert!(said.contains(&shown(format)), "{said}");
        }
    }

    let config = fs::read_to_string(fleet.path("ssh_config")).unwrap();
    let no_key: Vec<&str> = config.lines().filter(|l| !l.starts_with("IdentityFile")).collect();
    fs::write(fleet.path("no_key"), no_key.join("\n")).unwrap();
    for line in [&["run", "one", "--", "true"][..], &["facts"], &["hosts", "--scan"]] {
        for format in ["plain", "json"] {
            let config = fleet.path("no_key").display().to_string();
            let options = ["--format", format, "--ssh-config", &config];
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hostwright"));
            command.arg(line[0]).args(options).args(&line[1..]).current_dir(fleet.folder.path());
            let output = command.output().unwrap();
            for bytes in [output.stdout, output.stderr] {
                let said = String::from_utf8(bytes).unwrap();
                all.borrow_mut()
                    .extend(harm(&said, false).map(|harm| format!("refused {line:?} {format}: {harm}")));
            }
        }
    }

    let site = SITE.replace("TEXT", &octal()).replace("FOLDER", fleet.folder.path().to_str().unwrap());
    // In a playbook a backslash in '...' of the shell stands in a TOML string.
    fs::write(fleet.path("site.toml"), site.replace('\\', "\\\\").replace("\\\\n", "\\n")).unwrap();
    let lay = || {
        for name in ["evil", "other"] {
            fs::write(fleet.path(name), format!("{EVIL}\nsecond {EVIL}\n")).unwrap();
        }
        let _ = fs::remove_file(fleet.path("answer"));
    };
    lay();
    for format in ["plain", "json"] {
        let said = run("plan", &["plan", "site.toml", "-vv", "--format", format], 2);
        assert!(said.contains(&shown(format)), "{said}");
    }
    for format in ["plain", "json"] {
        lay();
        let said = run("apply", &["apply", "site.toml", "-vv", "--diff", "--yes", "--format", format], 1);
        assert!(said.matches(&shown(format)).count() > 6, "{said}");
    }
    if terminal::is_there() {
        for term in ["dumb", "xterm"] {
            for line in [
                &["run", "one", "--", &print][..],
                &["facts", "one"],
                &["plan", "site.toml", "-vv"],
                &["apply", "site.toml", "-vv", "--diff", "--yes"],
            ] {
                lay();
                let (_, said) = terminal::run_as(term, &mut fleet.command(line), &[]);
                assert!(said.contains(&shown("plain")), "{term} {line:?}: {said}");
                all.borrow_mut()
                    .extend(harm(&said, true).map(|harm| format!("terminal {term} {:?}: {harm}", line[0])));
            }
        }
    }
    let all = all.into_inner();
    assert!(all.is_empty(), "{all:#?}");
}
