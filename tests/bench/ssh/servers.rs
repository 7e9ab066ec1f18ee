//! Real sshds on loopback, one for each host, with keys and ports of their own; nothing of the machine's ssh is used. Each has
//! further ports behind which it is far away: what comes is passed on after a while, and no slower than it came.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::steps;

/// How far away hosts can be: the round trip in ms.
pub const AWAY: [u64; 3] = [0, 20, 100];

/// The hosts; their sshds and files go with it, also when the benchmark panics.
pub struct Fleet {
    folder: tempfile::TempDir,
    hosts: Vec<Server>,
    /// What carries the bytes of those that are far away.
    carrier: tokio::runtime::Runtime,
}

struct Server {
    /// For each of [`AWAY`].
    ports: Vec<u16>,
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
        std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700)
            .create(at.join("runtime"))
            .unwrap();
        fs::write(at.join("playbook.toml"), steps::playbook()).unwrap();
        let carrier =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut fleet = Self { folder, hosts: Vec::with_capacity(count), carrier };
        let mut known = String::new();
        for n in 0..count {
            known += &fleet.add(n);
        }
        fs::write(fleet.path("known_hosts"), known).unwrap();
        let at = fleet.path("");
        let open = "ControlMaster auto\nControlPersist 60\nControlPath ~open-%C\n"
            .replace('~', at.to_str().unwrap());
        let configs = [
            ("ssh_config", String::new()),
            ("ssh_config.fast", "KexAlgorithms curve25519-sha256\n".to_owned()),
            ("ssh_config.open", open),
        ];
        for (name, more) in configs {
            let at = fleet.folder.path().display();
            let common = format!(
                "GlobalKnownHostsFile /dev/null\nUserKnownHostsFile {at}/known_hosts\nIdentityFile {at}/user\n\
                 IdentitiesOnly yes\nIdentityAgent none\nBatchMode yes\nUser root\n{more}"
            );
            fs::write(fleet.path(name), common).unwrap();
        }
        for size in 1..=count {
            for (n, away) in AWAY.iter().enumerate() {
                let hosts = (0..size).map(|host| fleet.entry(host, n)).collect::<String>();
                fs::write(fleet.path(&format!("inventory-{size}-{away}.toml")), hosts).unwrap();
            }
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
        let far =
            |away: &u64| if *away == 0 { port } else { self.carry(port, Duration::from_millis(away / 2)) };
        let ports: Vec<u16> = AWAY.iter().map(far).collect();
        self.hosts.push(Server { ports: ports.clone(), process });
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = fs::read_to_string(self.path(&format!("log{n}"))).unwrap_or_default();
            assert!(start.elapsed() < Duration::from_secs(10), "sshd does not start: {log}");
            std::thread::sleep(Duration::from_millis(10));
        }
        let public = fs::read_to_string(host_key.with_extension("pub")).unwrap();
        for (name, mends) in [("ask", false), ("mend", true)] {
            let script = steps::by_hand(base.to_str().unwrap(), mends);
            fs::write(self.path(&format!("{name}-{n}.sh")), script).unwrap();
        }
        let lines: Vec<String> = ports.iter().map(|port| format!("[127.0.0.1]:{port} {public}")).collect();
        lines.concat()
    }

    /// A port behind which another one is, so long a way off.
    fn carry(&self, port: u16, way: Duration) -> u16 {
        let _entered = self.carrier.enter();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let far = listener.local_addr().unwrap().port();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        self.carrier.spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(host) = tokio::net::TcpStream::connect(("127.0.0.1", port)).await else { continue };
                // Each write at once, as a network card would.
                let _ = (near.set_nodelay(true), host.set_nodelay(true));
                let (near, host) = (near.into_split(), host.into_split());
                tokio::spawn(pass_on(near.0, host.1, way));
                tokio::spawn(pass_on(host.0, near.1, way));
            }
        });
        far
    }

    /// Makes the first hosts as they were before anything was done to them.
    pub fn freshen(&self, size: usize) {
        for n in 0..size {
            fs::remove_dir_all(self.base(n)).unwrap();
            fs::create_dir(self.base(n)).unwrap();
        }
    }

    fn entry(&self, n: usize, away: usize) -> String {
        format!(
            "[hosts.host-{n}]\naddress = \"127.0.0.1\"\nport = {}\nvars = {{ base = \"{}\" }}\n\n",
            self.hosts[n].ports[away],
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

    /// The port of host `n`, that far away.
    pub fn port(&self, n: usize, away: u64) -> u16 {
        self.hosts[n].ports[AWAY.iter().position(|a| *a == away).unwrap()]
    }
}

/// Passes on what comes, each piece so long after it came.
async fn pass_on(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    way: Duration,
) {
    let (sender, mut under_way) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            if sender.send((tokio::time::Instant::now() + way, bytes[..count].to_vec())).is_err() {
                break;
            }
        }
    });
    while let Some((due, bytes)) = under_way.recv().await {
        tokio::time::sleep_until(due).await;
        if to.write_all(&bytes).await.is_err() {
            break;
        }
    }
}

fn key(path: &Path) {
    let status = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status();
    assert!(status.expect("start ssh-keygen (package openssh-client)").success());
}
