//! Hosts that are hardened, neglected or malicious: what their logins leave behind, and what they send.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hostwright::model::{Host, HostName, Login, Place, Privilege};
use hostwright::transport::{Connector as _, Part, Settings, System, TransportError};

use super::server::Server;
use super::{ask, below, connect, frame, part, settings, until};

/// `bash` is `/bin/sh`, as on CentOS, and a `sudo` that lets everybody through and adds to the environment what
/// `env_keep`, `env_file` and PAM may add.
const CENTOS: &str = r#"
mount --make-rprivate /
mkdir "$1/sbin" "$1/old"
mount --bind /usr/sbin "$1/old"
ln -s "$1"/old/* "$1/sbin"
cp "$1/sudo" "$1/sbin/sudo"
mount --bind "$1/sbin" /usr/sbin
mount --bind "$(readlink -f /bin/bash)" "$(readlink -f /bin/sh)"
"#;

const SUDO: &str = r#"#!/usr/bin/bash
while [ $# -gt 0 ]; do case $1 in -u) user=$2; shift 2;; -p) shift 2;; -*) shift;; *) break;; esac; done
echo() { builtin echo of a function; }; export -f echo
export TMOUT=1 LC_ALL=de_DE.UTF-8 BASH_ENV=/etc/shadow HOME=/nowhere USER="$user" LOGNAME="$user" https_proxy=http://proxy SUDO_USER=x
umask 077
trap '' PIPE TERM
exec "$@"
"#;

/// A hardened profile: its `TMOUT` is read-only and exported.
const PROFILE: &str = r#"#!/usr/bin/bash
readonly TMOUT=1; export TMOUT
export CDPATH=/usr POSIXLY_CORRECT=1 LC_ALL=de_DE.UTF-8 http_proxy=http://proxy GREP_OPTIONS=--color=always
read() { builtin return 1; }; export -f read
umask 077
ulimit -S -f 1
exec bash -c "$SSH_ORIGINAL_COMMAND"
"#;

#[tokio::test]
async fn a_hardened_profile_makes_no_difference() {
    let Some(server) = centos() else { return };
    let mut session = connect(&server.host(None, &[]), None).await.unwrap();
    let own =
        "echo ${BASH_VERSION:+1}; sleep 2.2; umask; env | grep -v '^_\\|^PWD\\|^SHLVL\\|^SSH_CONN' | sort";
    // Root logs in: to become root is no change, to become another goes through `sudo`.
    let wanted = |home: &str, user: &str, proxy: &str| {
        format!(
            "1\n0022\nHOME={home}\nHW_RUN_ID=run-1\nLANG=C\nLC_ALL=C\nLOGNAME={user}\n\
             PATH=/usr/sbin:/usr/bin:/sbin:/bin\nSHELL=/bin/sh\nUSER={user}\n{proxy}"
        )
    };
    let other = Privilege::Become("nobody".into());
    let home = std::fs::read_to_string("/etc/passwd").unwrap();
    let home = home.lines().find(|l| l.starts_with("nobody:")).unwrap().split(':').nth(5).unwrap();
    for (privilege, wanted) in [
        (Privilege::Login, wanted("/root", "root", "http_proxy=http://proxy")),
        (other.clone(), wanted(home, "nobody", "http_proxy=http://proxy\nhttps_proxy=http://proxy")),
    ] {
        let answer = ask(&mut *session, &privilege, own).await.unwrap();
        assert_eq!((answer.text().as_ref(), answer.error_text().as_ref()), (wanted.as_str(), ""));
    }
    // Both wait longer than the profile allows.
    tokio::time::sleep(Duration::from_millis(1300)).await;
    for privilege in [Privilege::Login, other] {
        let bounded = Part { timeout: Some(Duration::from_secs(30)), ..part("yes | head -n 1") };
        let answers = session.exchange(frame(privilege, vec![bounded]), &mut |_| {}).await.unwrap();
        assert_eq!((answers[0].text().as_ref(), answers[0].error_text().as_ref()), ("y", ""));
    }
    session.close().await;
}

/// Such a host; `None` where it cannot be made.
fn centos() -> Option<Server> {
    let programs = tempfile::tempdir().unwrap();
    for (name, text) in [("sudo", SUDO), ("profile", PROFILE)] {
        std::fs::write(programs.path().join(name), text).unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(programs.path().join(name), mode).unwrap();
    }
    std::fs::set_permissions(programs.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let at = programs.keep();
    let mounts = format!("cp {0}/sudo {0}/profile \"$1\"; rm -r {0}\n{CENTOS}", at.display());
    let profile = "ForceCommand exec /usr/bin/env bash FOLDER/profile\n";
    Server::start_with_mounts(&mounts, profile)
}

/// Connects to what listens on a port of loopback and does `talk` with everybody who comes.
async fn error_of_listener(talk: fn(TcpStream)) -> (String, Duration) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || talk(stream));
        }
    });
    let login = Login {
        address: "127.0.0.1".into(),
        port: Some(port),
        ssh_config: Some("/dev/null".into()),
        ssh_options: vec!["UserKnownHostsFile=/dev/null".into(), "IdentityFile=/dev/null".into()],
        ..Login::default()
    };
    let place = Place { file: "inventory.toml".into(), line: 1, column: 1 };
    let host =
        Host { name: HostName::new("h").unwrap(), login, groups: Vec::new(), vars: Arc::default(), place };
    let settings = Settings { connect_timeout: Some(Duration::from_secs(2)), ..settings(None) };
    let start = Instant::now();
    let error = System::new(settings).connect(&Arc::new(host)).await.unwrap_err();
    assert!(matches!(error, TransportError::Unreachable { lost: false, .. }), "{error:?}");
    (error.to_string(), start.elapsed())
}

/// Keeps what came open until the other side has enough.
fn hold(mut stream: &TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

#[tokio::test]
async fn a_port_that_says_nothing_is_unreachable_after_the_connect_bound() {
    let silent: fn(TcpStream) = |stream| hold(&stream);
    let half: fn(TcpStream) = |mut stream| {
        stream.write_all(b"SSH-2.0-half\r\n").unwrap();
        hold(&stream);
    };
    for (talk, wanted) in [(silent, "does not answer in time"), (half, "127.0.0.1 does not ")] {
        let (message, took) = error_of_listener(talk).await;
        assert!(message.contains(wanted), "{message}");
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
    let flood: fn(TcpStream) =
        |mut stream| while stream.write_all("x\r\n".repeat(1000).as_bytes()).is_ok() {};
    let (message, _) = error_of_listener(flood).await;
    assert!(!message.contains('\n') && message.len() < 500, "{message}");
}

/// The program itself against hosts that misbehave in turn, all of its memory measured.
/// The most memory that a process has until its end, in KiB.
async fn peak_of(child: &mut Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let high = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = high.and_then(|kib| kib.trim().split(' ').next()?.parse().ok()).unwrap_or(peak);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    peak
}

/// A command that prints a gigabyte costs no more memory than one that prints a line, but for what is kept of it.
#[tokio::test]
async fn a_gigabyte_of_output_is_read_with_bounded_memory() {
    let Some(server) = Server::start("", false) else { return };
    let _machine = crate::machine::alone();
    let folder = server.folder.path();
    let config = server.path("ssh_config").display().to_string();
    let inventory = format!(
        "[hosts.h]\naddress = \"127.0.0.1\"\nport = {}\nssh_config = {config:?}\n\
         [hosts.good]\nconnection = \"local\"\n",
        server.port
    );
    std::fs::write(folder.join("inventory.toml"), inventory).unwrap();
    let mut peaks = Vec::new();
    // In lines, as one line without an end, and as little as can be.
    for prints in ["yes 0123456789abcdef | head -c 1G", "head -c 1G /dev/zero", "echo little"] {
        let run = format!("{prints}; exit 3");
        let step = format!("[[step]]\nname = \"Big\"\ncommand = {{ run = \"{run}\", always = true }}\n");
        let other = "[[step]]\nname = \"Other\"\nhosts = \"good\"\nquery = \"echo fine\"\n";
        let silence = "silence = { \"always-runs\" = \"a test\" }\n";
        let step = step.replace("command", "hosts = \"h\"\ncommand");
        std::fs::write(
            folder.join("site.toml"),
            format!("title = \"T\"\nhosts = \"*\"\n{silence}{step}{other}"),
        )
        .unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_hostwright"))
            .args(["apply", "--yes", "site.toml"])
            .current_dir(folder)
            .env("XDG_STATE_HOME", folder.join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        peaks.push(peak_of(&mut child).await);
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let told = &text[..text.len().min(3000)];
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(text.contains("h     failed     Big") && text.contains("exit code: 3"), "{told}");
        assert!(text.len() < 64 << 10, "{} bytes are shown", text.len());
    }
    let journals = std::fs::read_dir(folder.join("state/hostwright/runs")).unwrap().flatten();
    let written: u64 = journals.map(|file| file.metadata().unwrap().len()).sum();
    let [lines, one, little] = peaks[..] else { panic!("{peaks:?}") };
    crate::figures::tell(&format!(
        "1 GB of output: {} MiB of memory, in one line {} MiB, without it {} MiB; {} MiB of journals",
        lines >> 10,
        one >> 10,
        little >> 10,
        written >> 20
    ));
    for peak in &peaks[..2] {
        assert!(*peak < peaks[2] + (100 << 10), "{peaks:?} KiB");
    }
}

#[tokio::test]
async fn what_a_host_sends_unasked_costs_little() {
    let Some(server) = Server::start("ForceCommand exec /bin/sh FOLDER/login\n", false) else { return };
    let folder = server.folder.path();
    let inventory = format!(
        "[defaults]\nssh_config = {:?}\n[hosts.bad]\naddress = \"127.0.0.1\"\nport = {}\n\
         [hosts.good]\nconnection = \"local\"\n",
        server.path("ssh_config"),
        server.port
    );
    std::fs::write(folder.join("inventory.toml"), inventory).unwrap();
    let greet = "set -- $(printf %s \"$SSH_ORIGINAL_COMMAND\" | tr ' ' '\\n' | grep -x \"'[0-9a-f]\\{32\\}'\" | tr -d \"'\"); \
                 echo \"$1 user x\"; read -r m t; say() { echo \"$m $*\"; echo \"$m $*\" >&2; }; ";
    for (login, code, wanted) in [
        ("exec sleep 60", 4, "did not come up within 8 s"),
        ("exec cat /dev/zero", 1, "prints without end"),
        ("yes >&2", 1, "prints without end"),
        ("+say b 0; exec cat /dev/zero", 1, "the host sent more than 64 KiB"),
        ("+say b 0; say 0 0; exec cat /dev/zero", 1, "the host sent more than 65 MiB"),
        ("+say b 0; printf '%s 0' \"$m\"; exec cat /dev/zero", 1, "answered out of order"),
        ("+say b 0; say 0 0; say end 0; exec cat /dev/zero", 1, ""),
        ("printf '\\033[2J\\302\\233\\342\\200\\256evil\\r\\n'; exit 3", 1, "evil"),
    ] {
        let text = login.strip_prefix('+').map_or_else(|| login.to_owned(), |rest| format!("{greet}{rest}"));
        std::fs::write(folder.join("login"), text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_hostwright"))
            .args(["run", "-i", "inventory.toml", "--connect-timeout", "8s", "--", "echo answered"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // What the host prints is passed on while it comes: somebody has to read it.
        let read = |mut from: Box<dyn std::io::Read + Send>| {
            std::thread::spawn(move || {
                let mut text = String::new();
                from.read_to_string(&mut text).unwrap();
                text
            })
        };
        let (out, err) =
            (read(Box::new(child.stdout.take().unwrap())), read(Box::new(child.stderr.take().unwrap())));
        let peak = peak_of(&mut child).await;
        let status = child.wait().unwrap();
        let (out, err) = (out.join().unwrap(), err.join().unwrap());
        assert!(out.contains("good | answered"), "{login}: {err}");
        if !wanted.is_empty() {
            assert!(err.contains(wanted) && status.code() == Some(code), "{login}: {status:?} {err}");
        }
        assert!(
            !(out + &err).contains(|c: char| c != '\n' && c.is_control() || c == '\u{202e}'),
            "{login}: {err:?}"
        );
        until("nothing is left on the host", || below(server.pid()).is_empty()).await;
        // What was asked for may be as long as it is; nothing else may be.
        let most = if wanted.contains("65 MiB") { 250 } else { 60 };
        assert!(peak > 0 && peak < most << 10, "{login}: {peak} KiB");
    }
}
