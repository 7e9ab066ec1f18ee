//! `--ask-password`: the first login, with a password and without a key.

use std::fs;

use super::scan::Fleet;
use super::server::{PASSWORD, Server, with_users};
use crate::terminal;

/// Two hosts for the user with a password, and one behind a jump host that wants it too.
const HOSTS: &str = r#"
[defaults]
user = "hw-pw"
port = PORT
[hosts.one]
address = "127.0.0.1"
[hosts.two]
address = "localhost"
[hosts.inner]
address = "127.0.0.1"
ssh_options = ["HostKeyAlias=inner", "ProxyJump=hw-pw@localhost:PORT"]
[hosts.deep]
address = "127.0.0.1"
ssh_options = ["HostKeyAlias=inner", "ProxyJump=hw-pw@localhost:PORT"]
"#;

/// A fleet whose hosts are known and have no key of ours.
fn fleet(server: &Server) -> Fleet<'_> {
    let fleet = Fleet::new(server, HOSTS);
    let (code, _, err) = fleet.run(&["hosts", "--scan", "one,two", "--yes"]);
    assert_eq!(code, 0, "{err}");
    let key = fs::read_to_string(server.path("host.pub")).unwrap();
    let known = fleet.path("ssh/known_hosts");
    fs::write(&known, format!("{}inner {key}", fs::read_to_string(&known).unwrap())).unwrap();
    let config = fs::read_to_string(fleet.path("ssh_config")).unwrap();
    let config: Vec<&str> = config.lines().filter(|l| !l.starts_with("IdentityFile")).collect();
    let none = server.path("other").display().to_string();
    fs::write(fleet.path("ssh_config"), format!("{}\nIdentityFile {none}\n", config.join("\n"))).unwrap();
    fleet
}

/// The number of times that a password was refused, by the log of sshd.
fn refusals(server: &Server) -> usize {
    let log = server.log();
    log.matches("Failed password").count() + log.matches("PAM: Authentication failure").count()
}

/// The processes that have `text` among their arguments or in their environment.
fn processes_with(text: &str) -> Vec<String> {
    let holds = |path: std::path::PathBuf| {
        fs::read(path).is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    };
    let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    all.filter(|process| holds(process.join("cmdline")) || holds(process.join("environ")))
        .map(|process| process.display().to_string())
        .collect()
}

#[test]
fn a_password_lets_in_and_is_seen_nowhere() {
    if !terminal::is_there() {
        return;
    }
    let Some(_users) = with_users() else { return };
    let Some(server) = Server::start("PasswordAuthentication yes\n", false) else { return };
    let fleet = fleet(&server);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let mut seen = Vec::new();
        while stopped.try_recv().is_err() {
            seen.extend(processes_with(PASSWORD));
        }
        seen
    });
    let line = ["run", "*", "--ask-password", "--", "id -un"];
    let (good, said) = terminal::run(&mut fleet.command(&line), &[("Password for logging in", PASSWORD)]);
    stop.send(()).unwrap();
    assert_eq!(watch.join().unwrap(), Vec::<String>::new());
    assert!(good, "{said}{}", server.log());
    assert_eq!(said.matches("Password for logging in").count(), 1, "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
    // They come as the hosts answer.
    for line in ["one   | hw-pw\r\n", "two   | hw-pw\r\n", "inner | hw-pw\r\n", "deep  | hw-pw\r\n"] {
        assert_eq!(said.matches(line).count(), 1, "{said}");
    }
    assert_eq!(refusals(&server), 0, "{}", server.log());

    // To see the key of a host means to log in at its jump host.
    let known = fs::read_to_string(fleet.path("ssh/known_hosts")).unwrap();
    let known: Vec<&str> = known.lines().filter(|line| !line.starts_with("inner")).collect();
    fs::write(fleet.path("ssh/known_hosts"), known.join("\n")).unwrap();
    let line = ["hosts", "--scan", "inner", "--yes", "--ask-password"];
    let (good, said) = terminal::run(&mut fleet.command(&line), &[("Password for logging in", PASSWORD)]);
    assert!(good && said.contains("1 host added, 1 host known already"), "{said}");
    let (good, said) =
        terminal::run(&mut fleet.command(&["hosts", "--scan", "-k"]), &[("Password for", "wrong")]);
    assert!(!good && said.contains("hw-pw@localhost refuses the password"), "{said}");
    assert_eq!(refusals(&server), 1, "{}", server.log());
}

#[test]
fn a_wrong_password_is_tried_once() {
    if !terminal::is_there() {
        return;
    }
    let Some(_users) = with_users() else { return };
    for more in ["", "KbdInteractiveAuthentication yes\nUsePAM yes\n"] {
        let Some(server) = Server::start(&format!("PasswordAuthentication yes\n{more}"), false) else {
            return;
        };
        let fleet = fleet(&server);
        fs::write(
            fleet.path("site.toml"),
            "title = \"x\"\nhosts = \"one\"\n[[step]]\nname = \"x\"\nquery = \"true\"\n",
        )
        .unwrap();
        let line = ["plan", "site.toml", "-k", "--limit", "one"];
        let (good, said) = terminal::run(&mut fleet.command(&line), &[("Password for logging in", "wrong")]);
        assert!(!good, "{said}");
        assert!(said.contains("hw-pw@127.0.0.1 refuses the password"), "{more}{said}");
        assert!(said.contains("it was tried once"), "{said}");
        assert_eq!(refusals(&server), 1, "{more}{}", server.log());
        // Behind a jump host: it is that one that refuses, once for all that are behind it.
        let line = ["run", "inner,deep", "-k", "--", "true"];
        let (good, said) = terminal::run(&mut fleet.command(&line), &[("Password for logging in", "wrong")]);
        assert!(!good && said.contains("hw-pw@localhost refuses the password"), "{said}");
        assert_eq!(refusals(&server), 2, "{more}{}", server.log());
    }
}

#[test]
fn a_host_that_wants_keys_is_not_given_the_password() {
    if !terminal::is_there() {
        return;
    }
    let Some(_users) = with_users() else { return };
    let Some(server) = Server::start("", false) else { return };
    let fleet = fleet(&server);
    let line = ["run", "one", "-k", "--", "true"];
    let (good, said) = terminal::run(&mut fleet.command(&line), &[("Password for logging in", PASSWORD)]);
    assert!(!good && said.contains("refuses the login") && said.contains("publickey"), "{said}");
    let (code, _, err) = fleet.run(&line);
    assert_eq!(code, 3);
    assert!(err.contains("there is no terminal to ask on"), "{err}");
}

#[test]
fn a_password_that_has_expired_is_told() {
    if !terminal::is_there() {
        return;
    }
    let Some(_users) = with_users() else { return };
    for (more, expected) in [
        (
            "UsePAM yes\nKbdInteractiveAuthentication yes\n",
            "the host wants more than a password: You are required",
        ),
        ("UsePAM yes\n", "password has expired"),
        ("", "password has expired"),
    ] {
        let Some(server) = Server::start(&format!("PasswordAuthentication yes\n{more}"), false) else {
            return;
        };
        let fleet = fleet(&server);
        let inventory = fs::read_to_string(fleet.path("inventory.toml")).unwrap();
        fs::write(fleet.path("inventory.toml"), inventory.replace("user = \"hw-pw\"", "user = \"hw-old\""))
            .unwrap();
        let line = ["run", "one", "-k", "--", "true"];
        let (good, said) = terminal::run(&mut fleet.command(&line), &[("Password for logging in", PASSWORD)]);
        assert!(!good && said.contains(expected), "{more}{said}");
        assert!(said.contains("log in once with `ssh`"), "{more}{said}");
    }
}
