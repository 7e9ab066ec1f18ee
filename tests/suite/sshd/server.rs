//! A real sshd on loopback with keys, port and users of its own; nothing of the machine's ssh set-up is used.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use hostwright::model::{Host, HostName, Login, Place};

use crate::machine;

/// The password of the users `hw-pw` and `hw-old`, whose own has expired.
pub(crate) const PASSWORD: &str = "p w'\"%#!\\x";

/// Test users: name, login shell, line in sudoers. `hw-noise` has a talkative start file.
const USERS: &[(&str, &str, &str)] = &[
    ("hw-fish", "/usr/bin/fish", ""),
    ("hw-csh", "/usr/bin/tcsh", ""),
    ("hw-zsh", "/usr/bin/zsh", ""),
    ("hw-noise", "/bin/bash", ""),
    ("hw-nologin", "/usr/sbin/nologin", ""),
    ("hw-nopw", "/usr/bin/tcsh", "hw-nopw ALL=(ALL) NOPASSWD: ALL"),
    ("hw-pw", "/usr/bin/fish", "hw-pw ALL=(ALL) ALL"),
    ("hw-nosudo", "/bin/sh", ""),
    ("hw-alone", "/bin/sh", ""),
    ("hw-old", "/bin/sh", ""),
];

const SUDOERS: &str = "/etc/sudoers.d/hostwright-test";

/// A running sshd; it and its users go when the last test has let go of it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) port: u16,
    process: Child,
    users: bool,
    _only_one: Option<fs::File>,
}

/// The sshd that most tests share, or `None` where there is none: then the reason is printed, unless `CI` is set.
pub(crate) fn shared() -> Option<Arc<Server>> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = Arc::new(Server::start("", true)?);
    *shared = Arc::downgrade(&server);
    Some(server)
}

/// The same for tests that need users of their own, which only root can make.
pub(crate) fn with_users() -> Option<Arc<Server>> {
    let server = shared()?;
    if server.users {
        return Some(server);
    }
    skip("only root can make test users");
    None
}

pub(crate) fn skip(why: &str) {
    eprintln!("SKIPPED: {why}");
    assert!(std::env::var_os("CI").is_none(), "{why}");
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}

impl Server {
    /// Starts an sshd with some more lines of configuration.
    pub(crate) fn start(configuration: &str, users: bool) -> Option<Self> {
        Self::start_in("", configuration, users)
    }

    /// Starts an sshd that sees other file systems than everybody else: `mounts` is a script that makes them, with the
    /// server's folder as `$1`. Only root can.
    pub(crate) fn start_with_mounts(mounts: &str, configuration: &str) -> Option<Self> {
        if !run("unshare", &["-m", "true"]) {
            skip("only root can have mounts of its own");
            return None;
        }
        Self::start_in(mounts, configuration, false)
    }

    fn start_in(mounts: &str, configuration: &str, users: bool) -> Option<Self> {
        let sshd = "/usr/sbin/sshd";
        if !Path::new(sshd).exists() {
            skip("there is no /usr/sbin/sshd (package openssh-server)");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("hw-sshd.").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            // Where sshd gives up its rights; the system's service would make it.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let lock = (users && is_root).then(|| {
            let file = fs::File::create(std::env::temp_dir().join("hostwright-test-users.lock")).unwrap();
            file.lock().unwrap();
            make_users();
            file
        });
        for key in ["host", "other", "user"] {
            assert!(run(
                "ssh-keygen",
                &["-q", "-t", "ed25519", "-N", "", "-f", folder.path().join(key).to_str().unwrap()]
            ));
        }
        fs::copy(folder.path().join("user.pub"), folder.path().join("authorized_keys")).unwrap();
        fs::write(folder.path().join("banner"), "*** Authorised use only! ***\n".repeat(20)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = folder.path().display();
        let configuration = configuration.replace("FOLDER", &at.to_string());
        // Of this one sshd takes the last value.
        let more = if configuration.contains("MaxStartups") { "" } else { "MaxStartups 50\n" };
        fs::write(
            folder.path().join("sshd_config"),
            format!(
                "{configuration}\nListenAddress 127.0.0.1:{port}\nHostKey {at}/host\nPidFile none\n\
                 AuthorizedKeysFile {at}/authorized_keys\nStrictModes no\nUsePAM no\nBanner {at}/banner\n\
                 PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n\
                 UseDNS no\n{more}"
            ),
        )
        .unwrap();
        let log = format!("{at}/sshd.log");
        let serve = format!("exec {sshd} -D -E {log} -f {at}/sshd_config");
        // What hosts keep as root is not for this machine.
        let private = run("unshare", &["-m", "true"]);
        let own = if private { machine::OWN_STATE } else { "" };
        let state = folder.path().join("state");
        let process = if private { Command::new("unshare") } else { Command::new("sh") }
            .args(if private { &["-m", "sh"][..] } else { &[] })
            .arg("-ec")
            .arg(format!("{own}\n{mounts}\n{serve}"))
            .args([state.as_path(), folder.path()])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { folder, port, process, users: lock.is_some(), _only_one: lock };
        server.know("host");
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(10), "sshd does not start: {}", server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(server)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("sshd.log")).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Writes `known_hosts` with one of the keys, and the client's configuration.
    fn know(&self, key: &str) {
        let public = fs::read_to_string(self.path(&format!("{key}.pub"))).unwrap();
        let line = format!("[127.0.0.1]:{} {public}", self.port);
        fs::write(self.path(&format!("known_hosts.{key}")), line).unwrap();
        fs::write(self.path("known_hosts.none"), "").unwrap();
        fs::write(
            self.path("ssh_config"),
            format!(
                "GlobalKnownHostsFile /dev/null\nUserKnownHostsFile {0}/known_hosts.host\nIdentityFile {0}/user\n\
                 IdentitiesOnly yes\nIdentityAgent none\n",
                self.folder.path().display()
            ),
        )
        .unwrap();
        if key == "host" {
            self.know("other");
        }
    }

    /// A host of the inventory that is this server.
    pub(crate) fn host(&self, user: Option<&str>, options: &[String]) -> Arc<Host> {
        Arc::new(Host {
            name: HostName::new("h").unwrap(),
            login: Login {
                address: "127.0.0.1".into(),
                port: Some(self.port),
                user: user.map(str::to_owned),
                ssh_config: Some(self.path("ssh_config")),
                ssh_options: options.to_vec(),
                keep: None,
                local: false,
            },
            groups: Vec::new(),
            vars: Arc::default(),
            place: Place { file: "inventory.toml".into(), line: 1, column: 1 },
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if self.users {
            remove_users();
        }
    }
}

fn make_users() {
    // What a killed run may have left.
    remove_users();
    let mut sudoers = String::new();
    for (name, shell, rule) in USERS {
        // `*`: no password, but not locked.
        assert!(run("useradd", &["-m", "-s", shell, "-p", "*", name]), "cannot make user {name}");
        sudoers.push_str(rule);
        sudoers.push('\n');
    }
    let noise = "echo hello from bashrc\necho and on stderr >&2\nprintf 'no line end'\n";
    fs::write("/home/hw-noise/.bashrc", noise.repeat(50)).unwrap();
    let mut chpasswd = Command::new("chpasswd").stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(
        &mut chpasswd.stdin.take().unwrap(),
        format!("hw-pw:{PASSWORD}\nhw-old:{PASSWORD}\n").as_bytes(),
    )
    .unwrap();
    assert!(chpasswd.wait().unwrap().success());
    assert!(run("chage", &["-d", "0", "hw-old"]));
    if Path::new("/etc/sudoers.d").is_dir() {
        fs::write(SUDOERS, sudoers).unwrap();
        fs::set_permissions(SUDOERS, fs::Permissions::from_mode(0o440)).unwrap();
    }
}

fn remove_users() {
    let _ = fs::remove_file(SUDOERS);
    for (name, ..) in USERS {
        run("userdel", &["-f", "-r", name]);
    }
}
