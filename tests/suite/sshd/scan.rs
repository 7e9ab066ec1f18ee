//! `hosts --scan`: keys of hosts that nobody knows yet, through jump hosts too.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use super::server::{Server, shared};
use crate::{machine, terminal};

/// A folder with an inventory, the client's configuration and known hosts.
pub(super) struct Fleet<'a> {
    pub(super) folder: tempfile::TempDir,
    server: &'a Server,
    _machine: fs::File,
}

impl<'a> Fleet<'a> {
    /// `hosts`: lines of the inventory, `PORT` in place of the server's port.
    pub(super) fn new(server: &'a Server, hosts: &str) -> Self {
        let fleet = Self { folder: tempfile::tempdir().unwrap(), server, _machine: machine::alone() };
        let config = fs::read_to_string(server.path("ssh_config")).unwrap();
        let known = fleet.path("ssh/known_hosts").display().to_string();
        let own = config.replace(&server.path("known_hosts.host").display().to_string(), &known);
        fs::write(fleet.path("ssh_config"), own).unwrap();
        fs::write(fleet.path("inventory.toml"), hosts.replace("PORT", &server.port.to_string())).unwrap();
        fleet
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn known(&self) -> String {
        fs::read_to_string(self.path("ssh/known_hosts")).unwrap_or_default()
    }

    pub(super) fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hostwright"));
        command.arg(line[0]);
        command.args(["--ssh-config".as_ref(), self.path("ssh_config").as_os_str()]).args(&line[1..]);
        command.current_dir(self.folder.path()).env_remove("HOSTWRIGHT_INVENTORY").stdin(Stdio::null());
        command.env("XDG_STATE_HOME", self.path(".state"));
        command
    }

    pub(super) fn run(&self, line: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(line).output().unwrap();
        let text =
            |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&self.server.port.to_string(), "PORT");
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    /// The fingerprint of one of the server's keys, by ssh-keygen.
    fn fingerprint(&self, key: &str) -> String {
        let public = self.server.path(&format!("{key}.pub"));
        let out = Command::new("ssh-keygen").args(["-l", "-f"]).arg(public).output().unwrap();
        String::from_utf8(out.stdout).unwrap().split(' ').nth(1).unwrap().to_owned()
    }
}

/// One machine by two names.
const TWO: &str = r#"
[defaults]
port = PORT
[hosts.one]
address = "127.0.0.1"
[hosts.two]
address = "localhost"
ssh_options = ["HostKeyAlias=second"]
[hosts.here]
connection = "local"
"#;

#[test]
fn new_keys_are_shown_at_once_and_added_when_confirmed() {
    let Some(server) = shared() else { return };
    let fleet = Fleet::new(&server, TWO);
    let print = fleet.fingerprint("host");

    let (code, out, err) = fleet.run(&["run", "one,two", "--", "true"]);
    assert_eq!((code, out.as_str()), (4, ""), "{err}");
    assert_eq!(err.matches("its host key is not known yet").count(), 2, "{err}");
    assert_eq!(err.matches("hint: ").count(), 1, "one for the fleet: {err}");
    assert!(err.contains("hosts --scan"), "{err}");

    let (code, out, err) = fleet.run(&["hosts", "--scan"]);
    assert_eq!(code, 2, "{out}{err}");
    let wanted = format!(
        "host  address            key          fingerprint\n\
         one   [127.0.0.1]:PORT  ssh-ed25519  {print}\n\
         two   second             ssh-ed25519  {print}\n"
    );
    assert_eq!(out.replace("  ", " ").replace("  ", " "), wanted.replace("  ", " ").replace("  ", " "));
    assert!(err.contains("no terminal to ask on: give --yes, or --expect FILE"), "{err}");
    assert_eq!(fleet.known(), "");

    if terminal::is_there() {
        let ask = ["hosts", "--scan", "one"];
        let (good, said) = terminal::run(&mut fleet.command(&ask), &[("Add this key to", "n")]);
        assert!(!good && fleet.known().is_empty(), "{said}");
        let (good, said) = terminal::run(&mut fleet.command(&ask), &[("Add this key to", "y")]);
        assert!(good, "{said}");
        assert!(said.contains(&print) && said.contains("1 host added."), "{said}");
        assert_eq!(fleet.known().lines().count(), 1);
    }
    let (code, _, err) = fleet.run(&["hosts", "--scan", "--yes"]);
    assert_eq!(code, 0, "{err}");
    let key = fs::read_to_string(server.path("host.pub")).unwrap();
    let key: Vec<&str> = key.split_whitespace().take(2).collect();
    let lines = format!("[127.0.0.1]:{} {}\nsecond {}\n", server.port, key.join(" "), key.join(" "));
    assert_eq!(fleet.known(), lines);
    let (code, out, err) = fleet.run(&["hosts", "--scan", "--yes"]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", "Host keys: 2 hosts known already.\n"));
    let (code, out, err) = fleet.run(&["run", "one,two", "--", "echo in"]);
    let mut lines: Vec<_> = out.lines().collect();
    lines.sort_unstable();
    assert_eq!((code, lines), (0, vec!["one | in", "two | in"]), "{err}");
}

#[test]
fn a_changed_key_is_named_and_stays() {
    let Some(server) = shared() else { return };
    let fleet = Fleet::new(&server, "[hosts.one]\naddress = \"127.0.0.1\"\nport = PORT\n");
    fs::create_dir(fleet.path("ssh")).unwrap();
    fs::copy(server.path("known_hosts.other"), fleet.path("ssh/known_hosts")).unwrap();
    let before = fleet.known();
    let (code, out, err) = fleet.run(&["hosts", "--scan", "--yes"]);
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(
        err.contains("one: wrong key: the host key of 127.0.0.1 is another one than in known_hosts"),
        "{err}"
    );
    assert_eq!(fleet.known(), before);
}

#[test]
fn keys_are_compared_with_a_list() {
    let Some(server) = shared() else { return };
    let fleet = Fleet::new(&server, TWO);
    let expect = ["hosts", "--scan", "--expect", "list"];
    fs::write(fleet.path("list"), "one SHA256\n").unwrap();
    let (code, _, err) = fleet.run(&expect);
    assert_eq!(code, 3);
    assert!(err.contains("list:1: it says no key of a host"), "{err}");

    fs::write(fleet.path("list"), format!("# by the provider\none {}\n", fleet.fingerprint("other")))
        .unwrap();
    let (code, out, err) = fleet.run(&expect);
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    let shows = format!(
        "one: wrong key: it shows {}, but list has {}",
        fleet.fingerprint("host"),
        fleet.fingerprint("other")
    );
    assert!(err.contains(&shows), "{err}");
    assert!(err.contains("two: unknown: list has no key of it"), "{err}");
    assert_eq!(fleet.known(), "");

    // A line of known_hosts, and one by the name in the inventory.
    let public = fs::read_to_string(server.path("host.pub")).unwrap();
    fs::write(fleet.path("list"), format!("second,x {public}one {}\n", fleet.fingerprint("host"))).unwrap();
    let (code, out, err) = fleet.run(&expect);
    assert_eq!((code, err.as_str()), (0, "Host keys: 2 hosts added.\n"), "{out}");
    assert_eq!(fleet.known().lines().count(), 2);
}

#[test]
fn who_is_behind_a_jump_host_comes_after_it() {
    let Some(server) = shared() else { return };
    let inner = "[hosts.inner]\naddress = \"127.0.0.1\"\nport = PORT\nssh_options = [\"HostKeyAlias=inner\", \"ProxyJump=localhost:PORT\"]\n";
    let fleet = Fleet::new(&server, inner);
    let (code, _, err) = fleet.run(&["run", "inner", "--", "true"]);
    assert_eq!(code, 4);
    assert!(err.contains("not known yet") && err.contains("hosts --scan"), "{err}");

    let (code, out, err) = fleet.run(&["hosts", "--scan"]);
    assert_eq!(code, 4, "{out}{err}");
    assert!(
        out.contains("localhost") && !out.contains("inner"),
        "nobody logs in at a host that is not confirmed: {out}"
    );
    assert!(err.contains("inner: not asked: it is behind localhost"), "{err}");

    let (code, out, err) = fleet.run(&["hosts", "--scan", "--yes", "--format", "json"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let lines: Vec<serde_json::Value> = out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!((&lines[0]["host"], &lines[0]["state"]), (&"inner".into(), &"added".into()), "{out}");
    assert_eq!(lines[1]["host"], "localhost");
    assert_eq!(lines[1]["keys"][0]["fingerprint"], fleet.fingerprint("host"));
    let (code, out, _) = fleet.run(&["run", "inner", "--", "echo in"]);
    assert_eq!((code, out.as_str()), (0, "inner | in\n"));
}

#[test]
fn names_are_hashed_where_ssh_hashes_them() {
    let Some(server) = shared() else { return };
    let fleet = Fleet::new(
        &server,
        "[hosts.one]\naddress = \"127.0.0.1\"\nport = PORT\n[hosts.gone]\naddress = \"127.0.0.1\"\nport = 1\n",
    );
    let config = fs::read_to_string(fleet.path("ssh_config")).unwrap();
    fs::write(fleet.path("ssh_config"), format!("HashKnownHosts yes\n{config}")).unwrap();
    fs::create_dir(fleet.path("ssh")).unwrap();
    fs::write(fleet.path("ssh/known_hosts"), "# without a line break at the end").unwrap();
    let (code, _, err) = fleet.run(&["hosts", "--scan", "--yes"]);
    assert_eq!(code, 4, "{err}");
    assert!(err.contains("gone: unreachable: 127.0.0.1 refuses the connection"), "{err}");
    let known = fleet.known();
    let lines: Vec<&str> = known.lines().collect();
    assert!(lines[0] == "# without a line break at the end" && lines[1].starts_with("|1|"), "{known}");
    let (code, out, err) = fleet.run(&["run", "one", "--", "echo in"]);
    assert_eq!((code, out.as_str()), (0, "one | in\n"), "{err}{known}");
}
