//! Twenty steps, as a playbook and as what an administrator would ask by hand.
//!
//! Both come from the same list, so that they cannot drift apart. The script is as short as it can be and still
//! know as much: an attribute is asked with `stat`, content with `sha256sum`, a line with `grep`, and what the
//! shell can do by itself it does by itself. Where something differs it is put right in the same way, and asked again.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

/// The number of steps.
pub const COUNT: usize = 20;

/// One step: its lines in the playbook, where `BASE` is the host's folder, and by hand the condition, in `$b`, and what
/// brings it about.
struct Step {
    toml: String,
    by_hand: String,
    mend: String,
}

/// The steps, each put as both.
fn steps() -> Vec<Step> {
    let mut steps = Vec::new();
    let mut add = |toml: String, by_hand: String, mend: String| steps.push(Step { toml, by_hand, mend });

    for (path, mode) in [("etc", "0755"), ("srv", "0750"), ("srv/data", "0700")] {
        add(
            format!(
                "directory = {{ path = \"BASE/{path}\", mode = \"{mode}\", owner = \"root\", group = \"root\" }}"
            ),
            format!("[ \"$(stat -c '%F %a %U %G' \"$b/{path}\")\" = 'directory {} root root' ]", &mode[1..]),
            format!("mkdir -p -m {mode} \"$b/{path}\"; chown root:root \"$b/{path}\""),
        );
    }
    let files = [
        ("etc/motd", "0644", "Authorised use only.\n".to_owned()),
        ("etc/app.conf", "0640", config()),
        ("srv/run.sh", "0755", "#!/bin/sh\nexec sleep 1\n".to_owned()),
    ];
    for (path, mode, content) in files {
        add(
            format!(
                "file = {{ path = \"BASE/{path}\", mode = \"{mode}\", owner = \"root\", content = {} }}",
                quoted(&content)
            ),
            by_hand_file(path, &mode[1..], &sha256(content.as_bytes())),
            write_by_hand(path, mode, content.as_bytes()),
        );
    }
    add(
        "file = { path = \"BASE/srv/blob\", mode = \"0644\", owner = \"root\", source = \"blob\" }"
            .to_owned(),
        by_hand_file("srv/blob", "644", &sha256(&blob())),
        write_by_hand("srv/blob", "0644", &blob()),
    );
    add(
        "file = { path = \"BASE/etc/old.conf\", state = \"absent\" }".to_owned(),
        absent("etc/old.conf"),
        "rm -f \"$b/etc/old.conf\"".to_owned(),
    );
    for (file, line, matching) in [
        ("etc/hosts", "10.0.0.1 db", None),
        ("etc/sshd_config", "PermitRootLogin no", Some("^#?PermitRootLogin\\b")),
        ("etc/sysctl.conf", "vm.swappiness = 10", Some("^vm\\.swappiness")),
    ] {
        let matching = matching.map(|m| format!(", match = '{m}'")).unwrap_or_default();
        add(
            format!("line = {{ path = \"BASE/{file}\", line = \"{line}\"{matching}, create = true }}"),
            format!("grep -qxF '{line}' \"$b/{file}\""),
            format!("echo '{line}' >>\"$b/{file}\""),
        );
    }
    add(
        "line = { path = \"BASE/etc/sysctl.conf\", match = '^net\\.', state = \"absent\" }".to_owned(),
        "! grep -q '^net\\.' \"$b/etc/sysctl.conf\"".to_owned(),
        "sed -i '/^net\\./d' \"$b/etc/sysctl.conf\"".to_owned(),
    );
    let block = "10.0.0.2 web-1\n10.0.0.3 web-2";
    add(
        format!(
            "block = {{ path = \"BASE/etc/hosts\", marker = \"# {{mark}} cluster\", content = {} }}",
            quoted(block)
        ),
        format!(
            "[ \"$(sed -n '/^# BEGIN cluster$/,/^# END cluster$/p' \"$b/etc/hosts\")\" = '# BEGIN cluster\n{block}\n# END cluster' ]"
        ),
        format!("printf '%s\\n' '# BEGIN cluster\n{block}\n# END cluster' >>\"$b/etc/hosts\""),
    );
    for (path, target) in [("current", "srv/data"), ("etc/localtime", "../usr/share/zoneinfo/UTC")] {
        add(
            format!("link = {{ path = \"BASE/{path}\", target = \"{target}\" }}"),
            format!("[ \"$(readlink \"$b/{path}\")\" = {target} ]"),
            format!("ln -sfn {target} \"$b/{path}\""),
        );
    }
    add(
        "command = { run = \"touch BASE/srv/unpacked\", creates = \"BASE/srv/unpacked\" }".to_owned(),
        "[ -e \"$b/srv/unpacked\" ]".to_owned(),
        "touch \"$b/srv/unpacked\"".to_owned(),
    );
    for word in ["one", "two"] {
        add(
            format!(
                "command = {{ run = \"echo {word} >> BASE/srv/list\", unless = \"grep -qx {word} BASE/srv/list\" }}"
            ),
            format!("grep -qx {word} \"$b/srv/list\""),
            format!("echo {word} >>\"$b/srv/list\""),
        );
    }
    let (user, group) = (entry("passwd", "daemon"), entry("group", "daemon"));
    add(
        format!(
            "user = {{ name = \"daemon\", uid = {}, home = \"{}\", shell = \"{}\" }}",
            user[2], user[5], user[6]
        ),
        format!(
            "case $(getent passwd daemon) in *:{}:*:*:{}:{}) ;; *) false ;; esac",
            user[2], user[5], user[6]
        ),
        ":".to_owned(),
    );
    add(
        format!("group = {{ name = \"daemon\", gid = {} }}", group[2]),
        format!("case $(getent group daemon) in *:{}:*) ;; *) false ;; esac", group[2]),
        ":".to_owned(),
    );
    assert_eq!(steps.len(), COUNT);
    steps
}

/// The playbook; each host's folder is its variable `base`.
pub fn playbook() -> String {
    let mut text = "title = \"Twenty steps\"\nhosts = \"*\"\n".to_owned();
    for (n, step) in steps().iter().enumerate() {
        let toml = step.toml.replace("BASE", "{{ vars.base }}");
        write!(text, "\n[[step]]\nname = \"step {n}\"\n{toml}\n").unwrap();
    }
    text
}

/// The script for the host with this folder. It prints a line `ok N` or `differs N` for each step; with `mends` it puts
/// right what differs, and the line is `ok N` or `done N` then.
pub fn by_hand(base: &str, mends: bool) -> String {
    let mut text = format!("export LC_ALL=C; b={base}; exec 2>/dev/null\n");
    for (n, Step { by_hand, mend, .. }) in steps().iter().enumerate() {
        writeln!(text, "if {by_hand}; then echo ok {n}").unwrap();
        if mends {
            writeln!(text, "else {mend}\nif {by_hand}; then echo done {n}; else echo differs {n}; fi; fi")
                .unwrap();
        } else {
            writeln!(text, "else echo differs {n}; fi").unwrap();
        }
    }
    text
}

/// Writes a file beside the path and gives it the name when all of it is there.
fn write_by_hand(path: &str, mode: &str, content: &[u8]) -> String {
    let put = format!(
        "chmod {mode} \"$b/{path}.new\"; chown root \"$b/{path}.new\"; mv \"$b/{path}.new\" \"$b/{path}\""
    );
    if let Ok(text) = std::str::from_utf8(content) {
        return format!("cat >\"$b/{path}.new\" <<'END'\n{text}END\n{put}");
    }
    let mut child = Command::new("base64").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = content.to_vec();
    let feeder = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &bytes).unwrap());
    let text = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    feeder.join().unwrap();
    format!("base64 -d >\"$b/{path}.new\" <<'END'\n{text}END\n{put}")
}

/// What the 64 KiB file holds: no text.
pub fn blob() -> Vec<u8> {
    (0..64u32 << 10).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

fn config() -> String {
    (0..40).fold(String::new(), |text, n| format!("{text}option_{n} = \"value {n}\"\n"))
}

fn by_hand_file(path: &str, mode: &str, sum: &str) -> String {
    format!(
        "[ \"$(stat -c '%F %a %U' \"$b/{path}\")\" = 'regular file {mode} root' ] && [ \"$(sha256sum <\"$b/{path}\")\" = '{sum}  -' ]"
    )
}

fn absent(path: &str) -> String {
    format!("! [ -e \"$b/{path}\" ] && ! [ -L \"$b/{path}\" ]")
}

/// The fields of this machine's own entry: the hosts are the machine itself, and its accounts stay what they are.
fn entry(database: &str, name: &str) -> Vec<String> {
    let output = Command::new("getent").args([database, name]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().split(':').map(str::to_owned).collect()
}

/// As a string of TOML.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// Taken with the tool that the script uses.
fn sha256(bytes: &[u8]) -> String {
    let mut child = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}
