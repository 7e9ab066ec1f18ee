//! Real sshds on loopback, one for each host, with keys and ports of their own; nothing of the machine's ssh is used.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::steps;

/// The hosts; their sshds and files go with it, also when the benchmark panics.
pub struct Fleet {
    folder: tempfile::TempDir,
    hosts: Vec<Server>,
}

struct Server {
    port: u16,
    process: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Runs the sshd in its arguments until standard input ends: also when the benchmark is killed.
const KEEPER: &str = r#""$@" </dev/null & read -r _; kill "$!"; wait"#;

impl Fleet {
    /// Starts so many.
    pub fn start(count: usize) -> Self {
        // Short: sockets lie below it, and their paths are bounded.
        let folder = tempfile::Builder::new().prefix("hw-bench.").tempdir_in("/tmp").unwrap();
        assert!(Path::new("/usr/sbin/sshd").exists(), "there is no /usr/sbin/sshd (package openssh-server)");
        // Where sshd gives up its rights; the system's service would make it.
        fs::create_dir_all("/run/sshd").unwrap();
        let at = folder.path();
        key(&at.join("user"));
        fs::copy(at.join("user.pub"), at.join("authorized_keys")).unwrap();
        fs::write(
            at.join("sshd_config"),
            format!(
                "AuthorizedKeysFile {}/authorized_keys\nStrictModes no\nUsePAM no\nPidFile none\nUseDNS no\n\
                 PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n\
                 MaxStartups 200\nMaxSessions 50\nPrintMotd no\n",
                at.display()
            ),
        )
        .unwrap();
        fs::write(at.join("blob"), steps::blob()).unwrap();
        fs::write(at.join("playbook.toml"), steps::playbook()).unwrap();
        let mut fleet = Self { folder, hosts: Vec::with_capacity(count) };
        let mut known = String::new();
        for n in 0..count {
            known += &fleet.add(n);
        }
        fs::write(fleet.path("known_hosts"), known).unwrap();
        for (name, more) in [("ssh_config", ""), ("ssh_config.fast", "KexAlgorithms curve25519-sha256\n")] {
            let at = fleet.folder.path().display();
            let common = format!(
                "GlobalKnownHostsFile /dev/null\nUserKnownHostsFile {at}/known_hosts\nIdentityFile {at}/user\n\
                 IdentitiesOnly yes\nIdentityAgent none\nBatchMode yes\nUser root\n{more}"
            );
            fs::write(fleet.path(name), common).unwrap();
        }
        for size in 1..=count {
            let hosts = (0..size).map(|n| fleet.entry(n)).collect::<String>();
            fs::write(fleet.path(&format!("inventory-{size}.toml")), hosts).unwrap();
        }
        fleet
    }

    /// Starts the sshd of host `n` and returns its line of `known_hosts`.
    fn add(&mut self, n: usize) -> String {
        let base = self.base(n);
        fs::create_dir(&base).unwrap();
        let host_key = self.path(&format!("key{n}"));
        key(&host_key);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("sh")
            .args(["-c", KEEPER, "sshd", "/usr/sbin/sshd", "-D"])
            .arg("-E")
            .arg(self.path(&format!("log{n}")))
            .arg("-f")
            .arg(self.path("sshd_config"))
            .arg("-h")
            .arg(&host_key)
            .args(["-o", &format!("ListenAddress=127.0.0.1:{port}")])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        self.hosts.push(Server { port, process });
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = fs::read_to_string(self.path(&format!("log{n}"))).unwrap_or_default();
            assert!(start.elapsed() < Duration::from_secs(10), "sshd does not start: {log}");
            std::thread::sleep(Duration::from_millis(10));
        }
        let public = fs::read_to_string(host_key.with_extension("pub")).unwrap();
        fs::write(self.path(&format!("by-hand-{n}.sh")), steps::by_hand(base.to_str().unwrap())).unwrap();
        format!("[127.0.0.1]:{port} {public}")
    }

    fn entry(&self, n: usize) -> String {
        format!(
            "[hosts.host-{n}]\naddress = \"127.0.0.1\"\nport = {}\nvars = {{ base = \"{}\" }}\n\n",
            self.hosts[n].port,
            self.base(n).display()
        )
    }

    /// A file of the benchmark.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder that host `n` is about.
    pub fn base(&self, n: usize) -> PathBuf {
        self.path(&format!("host{n}"))
    }

    /// The port of host `n`.
    pub fn port(&self, n: usize) -> u16 {
        self.hosts[n].port
    }
}

fn key(path: &Path) {
    let status = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status();
    assert!(status.expect("start ssh-keygen (package openssh-client)").success());
}
