//! Connections that outlive a run: who takes them over, who does not, and what becomes of dead ones.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use super::PASSWORD;
use super::runs::ended;
use super::server::{Server, skip, with_users};

/// A server, and a folder for what is kept.
struct Site<'a> {
    server: &'a Server,
    runtime: tempfile::TempDir,
    logins: usize,
}

impl Site<'_> {
    fn new(server: &Server) -> Site<'_> {
        let private = std::fs::Permissions::from_mode(0o700);
        let runtime = tempfile::Builder::new().permissions(private).tempdir().unwrap();
        let logins = server.log().matches("Accepted publickey").count();
        Site { server, runtime, logins }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.runtime.path().join(name), text).unwrap();
    }

    /// An inventory of the server with some more keys.
    fn inventory(&self, name: &str, more: &str) {
        let Server { port, .. } = self.server;
        let config = self.server.path("ssh_config").display().to_string();
        self.write(
            name,
            &format!("[hosts.h]\naddress = \"127.0.0.1\"\nport = {port}\nssh_config = {config:?}\n{more}\n"),
        );
    }

    fn start(&self, line: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_hostwright"))
            .args(line)
            .current_dir(self.runtime.path())
            .env_remove("HOSTWRIGHT_INVENTORY")
            .env_remove("HOSTWRIGHT_KEEP")
            .env("XDG_RUNTIME_DIR", self.runtime.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs a command of ours, which must succeed, and returns what it says.
    #[track_caller]
    fn run(&self, line: &[&str]) -> String {
        let (code, said) = ended(self.start(line));
        assert_eq!(code, Some(0), "{line:?}: {said}");
        said
    }

    /// How many have logged in since this was asked.
    fn logins(&mut self) -> usize {
        let now = self.server.log().matches("Accepted publickey").count();
        now - std::mem::replace(&mut self.logins, now)
    }

    /// The masters: the processes that have our folder in their arguments, but for those which go through them.
    fn masters(&self) -> Vec<u32> {
        let folder = self.runtime.path().to_str().unwrap();
        let of_folder = |process: &std::fs::DirEntry| {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            line.contains(folder) && line.contains("\0-M\0")
        };
        let processes = std::fs::read_dir("/proc").unwrap().flatten().filter(of_folder);
        processes.filter_map(|process| process.file_name().to_str()?.parse().ok()).collect()
    }
}

impl Drop for Site<'_> {
    fn drop(&mut self) {
        for pid in self.masters() {
            kill("-KILL", pid);
        }
    }
}

fn kill(signal: &str, pid: u32) {
    let _ = Command::new("kill").args([signal, &pid.to_string()]).stderr(Stdio::null()).status();
}

/// What the processes of the server that serve a login are.
fn serving(server: &Server) -> Vec<u32> {
    let mut found = Vec::new();
    let mut parents = vec![server.pid()];
    while let Some(parent) = parents.pop() {
        let list =
            std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        let children: Vec<u32> = list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        found.extend(&children);
        parents.extend(children);
    }
    found
}

const ASK: [&str; 4] = ["run", "all", "--", "true"];

#[test]
fn the_next_run_takes_a_connection_over() {
    let Some(server) = Server::start("", false) else { return };
    let mut site = Site::new(&server);
    site.inventory("inventory.toml", "");
    site.run(&ASK);
    assert_eq!(site.logins(), 1);
    site.run(&ASK);
    site.run(&["facts", "all"]);
    assert_eq!((site.logins(), site.masters().len()), (0, 1));

    // Two at the same time use it as well, and neither ends it for the other.
    let slow = site.start(&["run", "all", "--", "sleep", "1"]);
    site.run(&ASK);
    assert_eq!(ended(slow).0, Some(0));
    assert_eq!(site.logins(), 0);

    // It is for those who log in alike.
    for more in ["user = \"root\"", "ssh_options = [\"Compression=yes\"]", "keep = \"5m\""] {
        site.inventory("other.toml", more);
        site.run(&[&ASK[..2], &["-i", "other.toml"], &ASK[2..]].concat());
        assert_eq!(site.logins(), 1, "{more}");
        site.run(&[&ASK[..2], &["-i", "other.toml"], &ASK[2..]].concat());
        assert_eq!(site.logins(), 0, "{more}");
    }
    let config = std::fs::read_to_string(server.path("ssh_config")).unwrap();
    std::fs::write(server.path("ssh_config"), config + "ServerAliveInterval 20\n").unwrap();
    site.run(&ASK);
    assert_eq!(site.logins(), 1, "another configuration of ssh");

    // Whoever does not want it has one of his own, which goes.
    let masters = site.masters().len();
    for more in ["keep = 0", "keep = \"0s\""] {
        site.inventory("none.toml", more);
        site.run(&[&ASK[..2], &["-i", "none.toml"], &ASK[2..]].concat());
        assert_eq!((site.logins(), site.masters().len()), (1, masters), "{more}");
    }
    site.run(&[&ASK[..2], &["--keep", "0"], &ASK[2..]].concat());
    assert_eq!((site.logins(), site.masters().len()), (1, masters));
}

#[test]
fn what_is_kept_is_listed_and_closed() {
    let Some(server) = Server::start("", false) else { return };
    let mut site = Site::new(&server);
    site.inventory("inventory.toml", "[hosts.other]\naddress = \"127.0.0.9\"");
    assert!(site.run(&["hosts", "--connections"]).contains("No connection is kept."));
    site.run(&["run", "h", "--keep", "2m", "--", "true"]);
    let listed = site.run(&["hosts", "--connections"]);
    assert!(listed.contains(&format!("h     127.0.0.1:{}", server.port)), "{listed}");
    assert!(listed.contains("2 min 0 s"), "{listed}");
    let json = site.run(&["hosts", "--connections", "--format", "json"]);
    let line: serde_json::Value = serde_json::from_str(json.trim()).unwrap();
    assert_eq!((&line["host"], &line["keep_s"]), (&"h".into(), &120.into()));
    assert!(site.run(&["hosts", "other", "--close"]).contains("No connection was kept."));
    assert_eq!(site.masters().len(), 1);
    assert!(site.run(&["hosts", "--close"]).contains("Closed: h."));
    assert_eq!(site.masters().len(), 0);
    site.run(&["run", "h", "--", "true"]);
    assert_eq!(site.logins(), 2);
}

#[test]
fn a_dead_connection_is_replaced_without_a_word() {
    let Some(server) = Server::start("", false) else { return };
    let mut site = Site::new(&server);
    site.inventory("inventory.toml", "");
    let said = site.run(&ASK);
    let again = |site: &mut Site<'_>, what: &str| {
        assert_eq!(site.run(&ASK), said, "{what}");
        assert_eq!(site.logins(), 1, "{what}");
        assert_eq!(site.masters().len(), 1, "{what}");
    };
    site.logins();
    // The master was killed, and its socket is still there.
    kill("-KILL", site.masters()[0]);
    again(&mut site, "no master");
    // The host has ended the connection.
    for pid in serving(&server) {
        kill("-KILL", pid);
    }
    again(&mut site, "no connection");
    // The host is gone, and nobody has said so.
    let stuck = serving(&server);
    for pid in &stuck {
        kill("-STOP", *pid);
    }
    again(&mut site, "no answer");
    for pid in stuck {
        kill("-KILL", pid);
    }
    site.run(&ASK);
    assert_eq!(site.logins(), 0);
}

#[test]
fn a_folder_that_others_may_open_is_not_used() {
    let Some(server) = Server::start("", false) else { return };
    let mut site = Site::new(&server);
    site.inventory("inventory.toml", "");
    let folder = site.runtime.path().join("hostwright");
    std::fs::create_dir(&folder).unwrap();
    for mode in [0o755, 0o710] {
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
        let said = site.run(&ASK);
        assert!(said.contains("warning: connections are not kept for later runs: "), "{said}");
        assert_eq!((site.logins(), site.masters().len()), (1, 0));
    }
    assert!(folder.read_dir().unwrap().next().is_none());
}

#[test]
fn who_finds_no_room_on_a_connection_makes_one_of_its_own() {
    let Some(server) = Server::start("MaxSessions 1", false) else { return };
    let mut site = Site::new(&server);
    site.inventory("inventory.toml", "");
    let started = site.runtime.path().join("started");
    let wait = format!("touch {}; sleep 3", started.display());
    let slow = site.start(&["run", "all", "--", "sh", "-c", &wait]);
    while !started.exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    site.run(&ASK);
    assert_eq!(ended(slow).0, Some(0));
    assert_eq!(site.logins(), 2);
    site.run(&ASK);
    assert_eq!((site.logins(), site.masters().len()), (0, 1));
}

#[test]
fn passwords_are_not_kept() {
    let Some(server) = with_users() else { return };
    if !std::path::Path::new("/usr/bin/sudo").exists() {
        return skip("there is no sudo");
    }
    let mut site = Site::new(&server);
    site.inventory("inventory.toml", "user = \"hw-pw\"");
    site.write("password", PASSWORD);
    let ask = ["run", "all", "--become", "--become-password-file", "password", "--", "id", "-un"];
    assert!(site.run(&ask).contains("root"));
    let without = ["run", "all", "--become", "--", "id", "-un"];
    let (code, said) = ended(site.start(&without));
    assert!(code != Some(0) && said.contains("password"), "{said}");
    assert_eq!(site.logins(), 1);
}

#[test]
fn one_login_at_a_jump_host_is_for_all_behind_it() {
    let Some(server) = Server::start("", false) else { return };
    let mut site = Site::new(&server);
    let (port, config) = (server.port, server.path("ssh_config"));
    // As ssh knows them they have other names than their jump hosts.
    let config = {
        let text = std::fs::read_to_string(config).unwrap();
        let host = format!("HostName 127.0.0.1\nPort {port}\nHostKeyAlias [127.0.0.1]:{port}\n");
        let gate = host.replace("127.0.0.1\nPort", "localhost\nPort");
        let inner = format!("Host inner-*\n{host}Host gate-*\n{gate}Host *\n");
        site.write("ssh_config", &(inner + &text));
        site.runtime.path().join("ssh_config").display().to_string()
    };
    let via = |name: &str, jumps: &str| {
        format!(
            "[hosts.{name}]\naddress = \"inner-{name}\"\nssh_config = {config:?}\nssh_options = [\"ProxyJump={jumps}\"]\n"
        )
    };
    let hosts = [via("a", "gate-1"), via("b", "gate-1"), via("c", "gate-1"), via("d", "gate-1,root@gate-2")];
    site.write("inventory.toml", &hosts.concat());
    // The jump host, the second one, and four behind them.
    site.run(&[&ASK[..2], &["--keep", "0"], &ASK[2..]].concat());
    assert_eq!((site.logins(), site.masters().len()), (6, 0));
    site.run(&ASK);
    assert_eq!((site.logins(), site.masters().len()), (6, 6));
    site.run(&ASK);
    assert_eq!((site.logins(), site.masters().len()), (0, 6));
    // With those behind it closed, the jump host is still there.
    let listed = site.run(&["hosts", "--connections"]);
    assert_eq!(listed.lines().count(), 5, "{listed}");
    site.run(&["hosts", "--close"]);
    site.run(&ASK);
    assert_eq!(site.logins(), 4);

    // What is wrong behind it is told as ssh tells it, and the others are not concerned.
    let closed = format!(
        "[hosts.closed]\naddress = \"127.0.0.1\"\nport = 1\nssh_config = {config:?}\nssh_options = [\"ProxyJump=gate-1\"]\n"
    );
    site.write("inventory.toml", &(hosts[0].clone() + &closed));
    let (code, said) = ended(site.start(&ASK));
    assert_eq!(code, Some(4));
    assert!(said.contains("closed | ") && said.contains("Connection refused"), "{said}");
}
