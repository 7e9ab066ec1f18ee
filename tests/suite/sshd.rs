//! The transport against a real sshd on loopback, which the tests start themselves.

mod apart;
mod harmless;
mod hostile;
mod kept;
mod locks;
mod passwords;
mod runs;
mod scan;
mod schedules;
mod server;
mod trust;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hostwright::model::{Host, Privilege, Secret};
use hostwright::probe::Answer;
use hostwright::sh;
use hostwright::shell::Script;
use hostwright::step::Payload;
use hostwright::transport::{Connector as _, Frame, Part, Session, Settings, System, TransportError};

pub(crate) use server::skip;
use server::{PASSWORD, Server, shared, with_users};

fn settings(password: Option<&str>) -> Settings {
    Settings {
        connect_timeout: Some(Duration::from_secs(30)),
        become_password: password.map(|p| Secret::new(p.into())),
        login_password: None,
        run_id: "run-1".into(),
        ..Settings::default()
    }
}

async fn connect(host: &Arc<Host>, password: Option<&str>) -> Result<Box<dyn Session>, TransportError> {
    System::new(settings(password)).connect(host).await
}

fn part(script: &'static str) -> Part {
    Part::question(Script::new().raw(script))
}

fn frame(privilege: Privilege, parts: Vec<Part>) -> Frame {
    Frame { privilege, parts, timeout: Duration::from_mins(1) }
}

async fn ask(
    session: &mut dyn Session,
    privilege: &Privilege,
    script: &'static str,
) -> Result<Answer, TransportError> {
    let frame = frame(privilege.clone(), vec![part(script)]);
    session.exchange(frame, &mut |_| {}).await.map(|mut answers| answers.remove(0))
}

/// The error's message and hint.
fn told(error: &TransportError) -> (String, String) {
    let hint = match error {
        TransportError::Unreachable { hint, .. }
        | TransportError::Privilege { hint, .. }
        | TransportError::Shell { hint, .. } => hint.clone(),
        TransportError::TooMuch { .. } | TransportError::TimedOut { .. } | TransportError::Locked(_) => None,
    };
    (error.to_string(), hint.unwrap_or_default())
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(15), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Process ids whose command line is `command`.
fn running(command: &str) -> usize {
    let wanted = command.replace(' ', "\0") + "\0";
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|p| std::fs::read(p.path().join("cmdline")).is_ok_and(|c| c == wanted.as_bytes()))
        .count()
}

/// The processes below `ancestor`: id and command line.
fn below(ancestor: u32) -> Vec<(u32, String)> {
    let parent = |pid: u32| -> Option<u32> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|&pid| pid != ancestor)
        .filter(|&pid| std::iter::successors(Some(pid), |&p| parent(p)).any(|p| p == ancestor))
        .map(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            (pid, String::from_utf8_lossy(&line).replace('\0', " "))
        })
        .collect()
}

#[tokio::test]
async fn every_login_shell_works_with_banner_and_noise() {
    let Some(server) = with_users() else { return };
    for user in ["hw-fish", "hw-csh", "hw-zsh", "hw-noise", "hw-nosudo", "root"] {
        let mut session = connect(&server.host(Some(user), &[]), None).await.unwrap();
        for _ in 0..2 {
            let script = "id -un; pwd; echo $LC_ALL $HW_RUN_ID; printf '%s\\n' '!$x `y` \\n' >&2";
            let answer =
                ask(&mut *session, &Privilege::Login, script).await.unwrap_or_else(|e| panic!("{user}: {e}"));
            assert_eq!(answer.text(), format!("{user}\n/\nC run-1"), "{user}");
            assert_eq!(answer.stderr, b"!$x `y` \\n\n", "{user}");
        }
        assert_eq!(session.exchanges(), 2);
        session.close().await;
    }
}

#[tokio::test]
async fn a_login_that_runs_no_commands_says_so() {
    let Some(server) = with_users() else { return };
    let mut session = connect(&server.host(Some("hw-nologin"), &[]), None).await.unwrap();
    let error = ask(&mut *session, &Privilege::Login, "true").await.unwrap_err();
    assert!(matches!(error, TransportError::Shell { .. }), "{error:?}");
    let (message, hint) = told(&error);
    assert!(message.contains("This account is currently not available"), "{message}");
    assert!(hint.contains("nologin"), "{hint}");
}

#[tokio::test]
async fn why_there_is_no_connection() {
    let Some(server) = shared() else { return };
    let known = |name: &str| format!("UserKnownHostsFile={}", server.path(name).display());
    let other = server.path("other").display().to_string();
    let cases: Vec<(Vec<String>, &str, &str)> = vec![
        (vec![known("known_hosts.none")], "its host key is not known yet", "hosts --scan"),
        (vec![known("known_hosts.other")], "the host key of 127.0.0.1 is another one", "ssh-keygen -R"),
        (
            vec!["IdentityFile=none".into(), format!("IdentityFile={other}")],
            "127.0.0.1 refuses the login: ",
            "authorized_keys",
        ),
        (vec!["Port=1".into(), "HostName=127.0.0.1".into()], "refuses the connection", "sshd runs"),
        (vec!["HostName=does-not-exist.invalid".into()], "cannot be resolved", "address"),
        (vec!["NoSuchOption=1".into()], "Bad configuration option", "ssh_options"),
        (vec!["ConnectTimeout=soon".into()], "invalid time value", "ssh_options"),
    ];
    for (mut options, expected, hinted) in cases {
        let mut host = (*server.host(None, &[])).clone();
        if options[0] == "Port=1" {
            host.login.port = Some(1);
        }
        if options[0] == "IdentityFile=none" {
            options.remove(0);
            let config = std::fs::read_to_string(server.path("ssh_config")).unwrap();
            let config =
                config.lines().filter(|l| !l.starts_with("IdentityFile")).collect::<Vec<_>>().join("\n");
            std::fs::write(server.path("ssh_config.nokey"), config).unwrap();
            host.login.ssh_config = Some(server.path("ssh_config.nokey"));
        }
        host.login.ssh_options = options.clone();
        let error = connect(&Arc::new(host), None).await.unwrap_err();
        assert!(matches!(error, TransportError::Unreachable { lost: false, .. }), "{error:?}");
        let (message, hint) = told(&error);
        assert!(message.contains(expected), "{options:?}: {message}");
        assert!(hint.contains(hinted), "{options:?}: {hint}");
        assert!(!message.contains('\n'), "{message}");
    }
    let accept = [known("known_hosts.new"), "StrictHostKeyChecking=accept-new".into()];
    connect(&server.host(None, &accept), None).await.unwrap().close().await;
}

/// What `ssh` says nothing of, or only before it is refused.
#[tokio::test]
async fn why_a_key_is_of_no_use() {
    let Some(server) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let key = |name: &str| folder.path().join(name).display().to_string();
    let config = std::fs::read_to_string(server.path("ssh_config")).unwrap();
    let config: Vec<&str> = config.lines().filter(|l| !l.starts_with("IdentityFile")).collect();
    std::fs::write(key("config"), config.join("\n")).unwrap();
    for name in ["locked", "unnamed"] {
        let made = std::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "a passphrase", "-f", &key(name)])
            .status();
        assert!(made.unwrap().success());
    }
    std::fs::remove_file(key("unnamed.pub")).unwrap();
    std::fs::copy(server.path("user"), key("open")).unwrap();
    std::fs::set_permissions(key("open"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::write(key("garbage"), "no key\n").unwrap();
    std::fs::set_permissions(key("garbage"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    for (name, said, hinted) in [
        ("locked", "is locked by a passphrase, and no agent has it", "ssh-add "),
        ("unnamed", "is locked by a passphrase, and no agent has it", "ssh-add "),
        ("open", "bad permissions", "chmod 600"),
        ("garbage", "Load key", "IdentityFile"),
        ("nothing", "", "IdentityFile"),
    ] {
        let mut host = (*server.host(None, &[format!("IdentityFile={}", key(name))])).clone();
        host.login.ssh_config = Some(key("config").into());
        let (message, hint) = told(&connect(&Arc::new(host), None).await.unwrap_err());
        assert!(message.starts_with("127.0.0.1 refuses the login: ") && message.contains(said), "{message}");
        assert!(hint.contains(hinted), "{name}: {hint}");
        assert_eq!(message.contains("is locked"), said.contains("is locked"), "{message}");
    }
}

#[tokio::test]
async fn sudo_with_and_without_a_password() {
    let Some(server) = with_users() else { return };
    if !std::path::Path::new("/usr/bin/sudo").exists() {
        return skip("there is no sudo");
    }
    becomes_others(&server).await;
}

/// The default of Ubuntu since 25.10.
#[tokio::test]
async fn sudo_rs_lets_in_whom_sudo_does() {
    let Some(_users) = with_users() else { return };
    let own = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/sudo");
    if !own.exists() {
        return skip("there is no sudo-rs: `tests/setup tests` builds it");
    }
    let mounts = format!(
        "cp {} \"$1/sudo\"; chown root:root \"$1/sudo\"; chmod 4755 \"$1/sudo\"; mount --bind \"$1/sudo\" /usr/bin/sudo",
        own.display()
    );
    let Some(server) = Server::start_with_mounts(&mounts, "") else { return };
    let mut session = connect(&server.host(Some("hw-nopw"), &[]), None).await.unwrap();
    let version = ask(&mut *session, &Privilege::Login, "sudo --version").await.unwrap();
    assert!(version.text().contains("sudo-rs"), "{version:?}");
    becomes_others(&server).await;
}

async fn becomes_others(server: &Server) {
    let root = Privilege::root();
    // Who, the password we have, and what is to come: whose rights, or part of an error.
    let cases = [
        ("hw-nopw", None, Ok("root")),
        ("hw-nopw", Some("not needed"), Ok("root")),
        ("hw-pw", Some(PASSWORD), Ok("root")),
        ("hw-pw", Some("wrong"), Err("does not accept the password")),
        ("hw-pw", None, Err("sudo wants a password")),
        // sudo-rs does not ask whom it will not let in anyway.
        ("hw-nosudo", None, Err("cannot become root: sudo")),
        ("hw-nosudo", Some("any"), Err("cannot become root: ")),
    ];
    for (user, password, expected) in cases {
        let mut session = connect(&server.host(Some(user), &[]), password).await.unwrap();
        let start = Instant::now();
        let got = ask(&mut *session, &root, "id -un; echo $HOME; pwd; cat").await;
        match (got, expected) {
            (Ok(answer), Ok(who)) => assert_eq!(answer.text(), format!("{who}\n/root\n/"), "{user}"),
            (Err(error), Err(part)) => {
                assert!(matches!(error, TransportError::Privilege { hint: Some(_), .. }), "{error:?}");
                assert!(error.to_string().contains(part), "{user} {password:?}: {error}");
                assert!(!format!("{error:?}").contains(PASSWORD));
            }
            (got, _) => panic!("{user} {password:?}: {got:?}"),
        }
        // A second shell beside the first one, and after a failure.
        let answer = ask(&mut *session, &Privilege::Login, "id -un").await.unwrap();
        assert_eq!(answer.text(), user, "after {:?}", start.elapsed());
        session.close().await;
    }
    let mut session = connect(&server.host(Some("hw-nopw"), &[]), None).await.unwrap();
    let answer = ask(&mut *session, &Privilege::Become("hw-fish".into()), "id -un").await.unwrap();
    assert_eq!(answer.text(), "hw-fish");
    let error = ask(&mut *session, &Privilege::Become("hw-nobody".into()), "id -un").await.unwrap_err();
    assert!(told(&error).0.contains("knows no such user"), "{error}");
    let error = ask(&mut *session, &Privilege::Become("x; id".into()), "id -un").await.unwrap_err();
    assert!(told(&error).0.contains("no user name"), "{error}");
}

#[tokio::test]
async fn who_is_that_user_already_needs_no_sudo() {
    let Some(server) = with_users() else { return };
    // No other test logs in as this one.
    let mut session = connect(&server.host(Some("hw-alone"), &[]), None).await.unwrap();
    let itself = Privilege::Become("hw-alone".into());
    for privilege in [itself, Privilege::Login] {
        assert_eq!(ask(&mut *session, &privilege, "id -un").await.unwrap().text(), "hw-alone");
    }
    let shells = below(server.pid()).into_iter().filter(|(_, line)| {
        // The driver's last argument is who logged in.
        line.starts_with("/bin/sh ") && line.trim_end().ends_with(" hw-alone")
    });
    let shells = shells.count();
    assert_eq!(shells, 1, "{:?}", below(server.pid()));
}

#[tokio::test]
async fn five_megabytes_go_and_come() {
    let Some(server) = shared() else { return };
    let bytes: Vec<u8> = (0..5u32 << 20).map(|n| (n ^ (n >> 7) ^ (n >> 15)).to_le_bytes()[0]).collect();
    let mut session = connect(&server.host(None, &[]), None).await.unwrap();
    for timeout in [None, Some(Duration::from_secs(50))] {
        let payload = Some(Payload(bytes.clone().into()));
        let parts = vec![
            Part { payload, timeout, ..part("cat <&3") },
            part("head -c 5000000 /dev/zero; head -c 200000 /dev/zero >&2"),
        ];
        let answers = session.exchange(frame(Privilege::root(), parts), &mut |_| {}).await.unwrap();
        assert!(answers[0].stdout == bytes, "the payload came back changed");
        assert_eq!((answers[1].stdout.len(), answers[1].stderr.len()), (5_000_000, 200_000));
    }
}

#[tokio::test]
async fn a_thousand_parts_are_one_exchange() {
    let Some(server) = shared() else { return };
    let mut session = connect(&server.host(None, &[]), None).await.unwrap();
    let parts = (0..1000u32).map(|n| Part::question(sh!("echo {}; echo err >&2", n))).collect();
    let answers = session.exchange(frame(Privilege::Login, parts), &mut |_| {}).await.unwrap();
    assert_eq!(answers.len(), 1000);
    assert!(answers.iter().enumerate().all(|(n, a)| a.text() == n.to_string() && a.stderr == b"err\n"));
    assert_eq!(session.exchanges(), 1);
}

#[tokio::test]
async fn bounds_stop_what_runs_on_the_host() {
    let Some(server) = shared() else { return };
    let mut session = connect(&server.host(None, &[]), None).await.unwrap();
    let slow = Part { timeout: Some(Duration::from_millis(500)), ..part("sleep 51.25") };
    let parts = vec![part("echo first"), slow, part("echo never")];
    let error = session.exchange(frame(Privilege::Login, parts), &mut |_| {}).await.unwrap_err();
    assert!(
        matches!(error, TransportError::TimedOut { part: Some(1), ref answers, .. } if answers.len() == 1)
    );
    until("the part ends", || running("sleep 51.25") == 0).await;
    let parts = vec![part("echo first"), part("sleep 52.25 & wait")];
    let bounded = Frame { timeout: Duration::from_millis(500), ..frame(Privilege::Login, parts) };
    let error = session.exchange(bounded, &mut |_| {}).await.unwrap_err();
    assert!(
        matches!(error, TransportError::TimedOut { part: Some(1), ref answers, .. } if answers.len() == 1)
    );
    until("the frame ends", || running("sleep 52.25") == 0).await;
    // A new shell on the same connection.
    assert_eq!(ask(&mut *session, &Privilege::Login, "echo on").await.unwrap().text(), "on");
}

#[tokio::test]
async fn an_exchange_that_is_dropped_stops_on_the_host() {
    let Some(server) = with_users() else { return };
    for (user, privilege, n) in [("root", Privilege::Login, 1), ("hw-nopw", Privilege::root(), 2)] {
        let command = format!("sleep 53.{n}");
        let mut session = connect(&server.host(Some(user), &[]), None).await.unwrap();
        let script = sh!("{}; echo over", Script::new().user_code(&command));
        let mut ignore = |_: hostwright::transport::Output<'_>| {};
        tokio::select! {
            got = session.exchange(frame(privilege.clone(), vec![Part::question(script)]), &mut ignore) => {
                panic!("{got:?}")
            }
            () = until("it starts", || running(&command) == 1) => {}
        }
        until(&format!("{user}: it stops"), || running(&command) == 0).await;
        assert_eq!(ask(&mut *session, &privilege, "echo on").await.unwrap().text(), "on");
    }
}

#[tokio::test]
async fn a_broken_connection_is_told_as_lost() {
    // Its own server: all its connections are killed.
    let Some(server) = Server::start("", false) else { return };
    let kill = || {
        for (pid, _) in below(server.pid()).into_iter().filter(|(_, line)| line.starts_with("sshd:")) {
            let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    };
    for during in [true, false] {
        let mut session = connect(&server.host(None, &[]), None).await.unwrap();
        ask(&mut *session, &Privilege::Login, "true").await.unwrap();
        let exchange = async {
            if !during {
                kill();
            }
            ask(&mut *session, &Privilege::Login, "sleep 54.25; echo over").await
        };
        let watch = async {
            if during {
                until("it starts", || running("sleep 54.25") == 1).await;
                kill();
            }
        };
        let (got, ()) = tokio::join!(exchange, watch);
        let error = got.unwrap_err();
        assert!(matches!(error, TransportError::Unreachable { lost: true, .. }), "{error:?}");
        assert!(error.to_string().starts_with("lost the connection to 127.0.0.1"), "{error}");
        until("it stops", || running("sleep 54.25") == 0).await;
        // And from then on.
        let error = ask(&mut *session, &Privilege::Login, "true").await.unwrap_err();
        assert!(matches!(error, TransportError::Unreachable { lost: true, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_shell_that_was_killed_is_not_a_lost_connection() {
    let Some(server) = shared() else { return };
    let mut session = connect(&server.host(None, &[]), None).await.unwrap();
    // The grandparent is the driver: between them is `timeout`.
    let script = "read -r _ _ _ _ x </proc/$PPID/stat; while read -r k v; do \
                  case $k in PPid:) kill -9 \"$v\";; esac; done </proc/$PPID/status; sleep 1";
    let error = ask(&mut *session, &Privilege::Login, script).await.unwrap_err();
    assert!(matches!(error, TransportError::Shell { .. }), "{error:?}");
    assert_eq!(ask(&mut *session, &Privilege::Login, "echo on").await.unwrap().text(), "on");
}

#[tokio::test]
async fn no_secret_shows_in_the_process_list() {
    let Some(server) = with_users() else { return };
    let secret = "Very-Secret-4711";
    let mut session = connect(&server.host(Some("hw-pw"), &[]), Some(PASSWORD)).await.unwrap();
    let parts = vec![
        Part {
            payload: Some(Payload(secret.as_bytes().into())),
            timeout: Some(Duration::from_secs(30)),
            ..Part::question(sh!("x={}; cat <&3; sleep 3.25", Secret::new(secret.into())))
        },
        Part::question(sh!("x={}; sleep 3.25", Secret::new(secret.into()))),
    ];
    let mut ignore = |_: hostwright::transport::Output<'_>| {};
    let exchange = session.exchange(frame(Privilege::root(), parts), &mut ignore);
    let mut scans = 0;
    let scan = async {
        until("it starts", || running("sleep 3.25") > 0).await;
        while running("sleep 3.25") > 0 || scans < 20 {
            for process in std::fs::read_dir("/proc").unwrap().flatten() {
                for file in ["cmdline", "environ"] {
                    let text = std::fs::read(process.path().join(file)).unwrap_or_default();
                    let text = String::from_utf8_lossy(&text);
                    assert!(
                        !text.contains(secret) && !text.contains(PASSWORD),
                        "{:?}: {text}",
                        process.path()
                    );
                }
            }
            scans += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (answers, ()) = tokio::join!(exchange, scan);
    assert_eq!(answers.unwrap()[0].text(), secret);
    assert!(scans > 20, "{scans}");
}

#[tokio::test]
async fn nothing_is_left_after_the_end() {
    let Some(server) = Server::start("", false) else { return };
    let masters = || {
        let all = below(std::process::id());
        let port = format!(" -p {} ", server.port);
        let everywhere = std::fs::read_dir("/proc").unwrap().flatten().filter(|p| {
            let line = std::fs::read(p.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ").contains(&port)
        });
        let found: Vec<_> = everywhere.map(|p| p.path()).collect();
        (found.len(), all.len())
    };
    for orderly in [true, false] {
        let mut session = connect(&server.host(None, &[]), None).await.unwrap();
        ask(&mut *session, &Privilege::Login, "true").await.unwrap();
        // The connection's sshd (one process or two), and one idle shell.
        let idle = below(server.pid());
        assert_eq!(idle.iter().filter(|(_, line)| !line.starts_with("sshd")).count(), 1, "{idle:?}");
        assert_eq!(masters().0, 1);
        if orderly {
            session.close().await;
        } else {
            drop(session);
        }
        until("the master ends", || masters().0 == 0).await;
        until("the host's processes end", || below(server.pid()).is_empty()).await;
    }
}

#[tokio::test]
async fn a_busy_host_is_tried_again() {
    let Some(server) = Server::start("LogLevel VERBOSE\nMaxStartups 2:100:2", false) else { return };
    let host = server.host(None, &[]);
    let all: Vec<_> = (0..6)
        .map(|_| {
            let host = Arc::clone(&host);
            tokio::spawn(async move { connect(&host, None).await.map(|s| s.exchanges()) })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap().unwrap_or_else(|e| panic!("{e}\n{}", server.log())), 0);
    }
    assert!(server.log().contains("drop connection"), "nothing was dropped: {}", server.log());
}

/// Small writes on two streams are what Nagle's algorithm holds back for 40 ms, once for each part here.
#[tokio::test]
async fn nothing_waits_for_acknowledgements() {
    let Some(server) = with_users() else { return };
    let mut session = connect(&server.host(Some("hw-nosudo"), &[]), None).await.unwrap();
    let parts = vec![part("echo a; sleep 0.002; echo b >&2; sleep 0.002"); 10];
    let mut best = Duration::MAX;
    for _ in 0..10 {
        let start = Instant::now();
        session.exchange(frame(Privilege::Login, parts.clone()), &mut |_| {}).await.unwrap();
        best = best.min(start.elapsed());
    }
    assert!(best < Duration::from_millis(300), "{best:?}");
}

#[tokio::test]
async fn a_jump_host_works() {
    let Some(server) = shared() else { return };
    let config = std::fs::read_to_string(server.path("ssh_config")).unwrap();
    let jump = format!(
        "Host target\nHostName 127.0.0.1\nHostKeyAlias [127.0.0.1]:{0}\nProxyJump jump\n\
         Host jump\nHostName 127.0.0.1\nPort {0}\nHost *\n{config}",
        server.port
    );
    std::fs::write(server.path("ssh_config.jump"), jump).unwrap();
    let mut host = (*server.host(None, &[])).clone();
    host.login.address = "target".into();
    host.login.ssh_config = Some(server.path("ssh_config.jump"));
    let mut session = connect(&Arc::new(host.clone()), None).await.unwrap();
    assert_eq!(ask(&mut *session, &Privilege::Login, "echo there").await.unwrap().text(), "there");
    host.login.port = Some(1);
    let error = connect(&Arc::new(host.clone()), None).await.unwrap_err();
    assert!(error.to_string().starts_with("target refuses the connection: "), "{error}");
    // The jump host itself.
    let config = std::fs::read_to_string(server.path("ssh_config.jump")).unwrap();
    let config = config.replace("Host jump\n", "Host jump\nPort 1\n");
    std::fs::write(server.path("ssh_config.nojump"), config).unwrap();
    host.login.ssh_config = Some(server.path("ssh_config.nojump"));
    let error = connect(&Arc::new(host), None).await.unwrap_err();
    assert!(error.to_string().starts_with("the jump host jump of target refuses the connection"), "{error}");
}

#[tokio::test]
async fn the_controller_itself_is_a_host_too() {
    let host = Host {
        name: hostwright::model::HostName::new("here").unwrap(),
        login: hostwright::model::Login { local: true, ..Default::default() },
        groups: Vec::new(),
        vars: Arc::default(),
        place: hostwright::model::Place { file: "inventory.toml".into(), line: 1, column: 1 },
    };
    let mut session = connect(&Arc::new(host), None).await.unwrap();
    assert_eq!(ask(&mut *session, &Privilege::Login, "echo here; pwd").await.unwrap().text(), "here\n/");
    session.close().await;
}
