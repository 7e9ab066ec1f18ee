//! Actions that come to their end by themselves, whatever becomes of the connection and the controller.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hostwright::model::{Privilege, Secret};
use hostwright::probe::Answer;
use hostwright::sh;
use hostwright::shell::Script;
use hostwright::step::Payload;
use hostwright::transport::detach::{self, Once};
use hostwright::transport::{Apart, Connector as _, Output, Part, Runs, Session, System, TransportError};

use crate::machine;

use super::server::{Server, shared, with_users};
use super::{below, frame, running, settings, until};

/// A run that no other test has.
pub(super) async fn session(server: &Server, user: Option<&str>, run: &str) -> Box<dyn Session> {
    let settings = hostwright::transport::Settings { run_id: id(run), ..settings(None) };
    System::new(settings).connect(&server.host(user, &[])).await.unwrap()
}

/// The name of a run, of which an earlier run of these tests may have left something.
pub(super) fn id(run: &str) -> String {
    format!("{run}-{}", std::process::id())
}

/// A part of that name that runs apart.
pub(super) fn apart(action: &str, script: Script) -> Part {
    let apart = Apart {
        action: action.into(),
        step: "play step".into(),
        about: format!("do {action}"),
        once: Once::No,
        since: None,
    };
    Part {
        timeout: Some(Duration::from_mins(1)),
        stop_on_failure: true,
        stream: true,
        runs: Runs::Apart(apart),
        ..Part::question(script)
    }
}

fn code(text: &str) -> Script {
    Script::new().user_code(text)
}

async fn send(session: &mut dyn Session, parts: Vec<Part>) -> Result<Vec<Answer>, TransportError> {
    session.exchange(frame(Privilege::Login, parts), &mut |_| {}).await
}

/// Ends the connections of a server as a crash of sshd would.
pub(super) fn cut(server: &Server) {
    signal(server, rustix::process::Signal::KILL);
}

/// Sends a signal to what holds the connections of a server.
pub(super) fn signal(server: &Server, signal: rustix::process::Signal) {
    for (pid, _) in below(server.pid()).into_iter().filter(|(_, line)| line.starts_with("sshd")) {
        let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Where runs are on this machine, for who runs these tests.
fn runs() -> PathBuf {
    let uid = rustix::process::geteuid();
    let base =
        if uid.is_root() { "/run/hostwright".into() } else { format!("/tmp/hostwright-{}", uid.as_raw()) };
    Path::new(&base).join("runs")
}

#[tokio::test]
async fn what_a_cut_connection_interrupts_goes_on_and_is_taken_up_again() {
    let Some(server) = Server::start("", false) else { return };
    let _machine = machine::unlocked();
    let counted = server.path("counted");
    let script = format!(
        "echo one; echo note >&2; echo x >>{}; sleep 1.17; echo two; cat <&3; exit 7",
        counted.display()
    );
    let parts = |since| {
        let quick = Part::question(sh!("echo quick"));
        let mut act = Part { payload: Some(Payload(b"payload\n"[..].into())), ..apart("a1", code(&script)) };
        if let Runs::Apart(apart) = &mut act.runs {
            apart.since = since;
        }
        vec![quick, act, Part::question(sh!("echo never"))]
    };
    let mut first = session(&server, None, "cut-1").await;
    let seen = Mutex::new(Vec::new());
    let mut keep = |heard: Output<'_>| {
        seen.lock().unwrap().extend(heard.line().map(|line| (heard.part(), line.to_owned())));
    };
    let exchange = first.exchange(frame(Privilege::Login, parts(None)), &mut keep);
    let cutting = async {
        until("it prints", || seen.lock().unwrap().len() == 2).await;
        cut(&server);
    };
    let (got, ()) = tokio::join!(exchange, cutting);
    assert!(matches!(got, Err(TransportError::Unreachable { lost: true, .. })), "{got:?}");
    assert_eq!(running("sleep 1.17"), 1);
    let mut second = session(&server, None, "cut-1").await;
    let answers = send(&mut *second, parts(Some(Duration::from_secs(1)))).await.unwrap();
    // It failed, so nothing came after it.
    assert_eq!(answers.len(), 2);
    assert_eq!((answers[0].text().as_ref(), answers[1].code), ("quick", 7));
    assert_eq!((&*answers[1].stdout, &*answers[1].stderr), (&b"one\ntwo\npayload\n"[..], &b"note\n"[..]));
    assert_eq!(std::fs::read_to_string(counted).unwrap(), "x\n");
    assert!(runs().join(id("cut-1")).join("a1").exists());
    second.close().await;
    until("it is cleared away", || !runs().join(id("cut-1")).exists()).await;
}

/// The host does not know that nobody listens any more: the old frame must not go on beside the new one.
#[tokio::test]
async fn a_connection_that_hangs_is_left_behind() {
    let Some(server) = Server::start("", false) else { return };
    let _machine = machine::unlocked();
    let counted = server.path("counted");
    let parts = || {
        let count =
            Part { stop_on_failure: true, ..Part::question(sh!("echo x >>{}", counted.to_str().unwrap())) };
        vec![apart("a1", code("echo one; sleep 1.19; echo two")), count]
    };
    let mut first = session(&server, None, "hang-1").await;
    let mut ignore = |_: Output<'_>| {};
    tokio::select! {
        got = first.exchange(frame(Privilege::Login, parts()), &mut ignore) => panic!("{got:?}"),
        () = until("it runs", || running("sleep 1.19") == 1) => signal(&server, rustix::process::Signal::STOP),
    }
    drop(first);
    let mut second = session(&server, None, "hang-1").await;
    let answers = send(&mut *second, parts()).await.unwrap();
    assert_eq!(answers[0].text(), "one\ntwo");
    assert_eq!(answers[1].code, 0);
    second.close().await;
    assert_eq!(std::fs::read_to_string(counted).unwrap(), "x\n");
    cut(&server);
}

/// What was not sent as a whole is not begun.
#[tokio::test]
async fn half_a_payload_begins_nothing() {
    let Some(server) = Server::start("", false) else { return };
    let _machine = machine::unlocked();
    let begun = server.path("begun");
    let script = sh!("echo x >>{}; wc -c <&3", begun.to_str().unwrap());
    let payload = Payload(vec![b'x'; 30 << 20].into());
    let parts = || vec![Part { payload: Some(payload.clone()), ..apart("a1", script.clone()) }];
    let folder = runs().join(id("half-1")).join("a1");
    let arrives = || std::fs::read_dir(&folder).is_ok_and(|files| files.count() > 0);
    let mut first = session(&server, None, "half-1").await;
    let mut ignore = |_: Output<'_>| {};
    tokio::select! {
        got = first.exchange(frame(Privilege::Login, parts()), &mut ignore) => panic!("{got:?}"),
        () = async { while !arrives() { tokio::task::yield_now().await } } => cut(&server),
    }
    drop(first);
    until("the frame ends", || below(server.pid()).is_empty()).await;
    assert!(!begun.exists());
    let mut second = session(&server, None, "half-1").await;
    let answers = send(&mut *second, parts()).await.unwrap();
    assert_eq!(answers[0].text(), (30 << 20).to_string());
    assert_eq!(std::fs::read_to_string(begun).unwrap(), "x\n");
    second.close().await;
}

#[tokio::test]
async fn who_is_gone_finds_what_has_ended() {
    let Some(server) = Server::start("", false) else { return };
    let _machine = machine::unlocked();
    let counted = server.path("counted");
    let script = format!("echo done; echo x >>{}; sleep 0.37", counted.display());
    let once = |action: &str| {
        let mut part = apart(action, code(&script));
        if let Runs::Apart(apart) = &mut part.runs {
            apart.once = Once::Ever;
        }
        part
    };
    let mut first = session(&server, None, "gone-1").await;
    let parts = vec![once("a1"), apart("a2", code("echo never"))];
    let mut ignore = |_: Output<'_>| {};
    tokio::select! {
        got = first.exchange(frame(Privilege::Login, parts), &mut ignore) => panic!("{got:?}"),
        () = until("it runs", || running("sleep 0.37") == 1) => {}
    }
    drop(first);
    // It ends by itself, and nothing begins after it.
    let left = async |session: &mut dyn Session| {
        let answers = send(session, vec![detach::ask()]).await.unwrap();
        let left = detach::left(&answers[0].text());
        left.into_iter()
            .filter(|l| l.run == id("gone-1"))
            .map(|l| (l.action, l.state, l.about))
            .collect::<Vec<_>>()
    };
    let mut second = session(&server, None, "gone-2").await;
    let start = Instant::now();
    let expected = |state| vec![("a1".to_owned(), state, "do a1".to_owned())];
    while left(&mut *second).await != expected(detach::State::Ended(0)) {
        assert!(start.elapsed() < Duration::from_secs(15));
        assert_eq!(left(&mut *second).await.len(), 1);
    }
    // Another run takes its result, and does not do it again.
    let answers = send(&mut *second, vec![once("b1")]).await.unwrap();
    assert_eq!((answers[0].text().as_ref(), answers[0].code), ("done", 0));
    assert_eq!(std::fs::read_to_string(&counted).unwrap(), "x\n");
    assert!(left(&mut *second).await.is_empty());
    // What may be done again is done again.
    let answers = send(&mut *second, vec![apart("b2", code(&script))]).await.unwrap();
    assert_eq!(answers[0].text(), "done");
    assert_eq!(std::fs::read_to_string(&counted).unwrap(), "x\nx\n");
    second.close().await;
    until("all is cleared away", || {
        !runs().join(id("gone-2")).exists() && !runs().join(id("gone-1")).exists()
    })
    .await;
}

#[tokio::test]
async fn its_end_its_bound_and_its_output_are_as_ever() {
    let Some(server) = shared() else { return };
    let _machine = machine::unlocked();
    let mut session = session(&server, None, "ever").await;
    let mut seen = Vec::new();
    let script = "echo a; printf 'b'; exit 3";
    let mut keep = |heard: Output<'_>| seen.extend(heard.line().map(str::to_owned));
    let answers =
        session.exchange(frame(Privilege::Login, vec![apart("a1", code(script))]), &mut keep).await.unwrap();
    assert_eq!((answers[0].code, &*answers[0].stdout), (3, &b"a\nb"[..]));
    assert_eq!(seen, ["a", "b"]);
    let cases: &[(&str, i32, &str)] = &[
        // What is left running holds nobody up, though it has the output open.
        ("sleep 61.3 & echo left", 0, "left\n"),
        ("kill -TERM $$", 143, ""),
        ("echo $0; [ -n \"$HW_RUN_ID\" ] && pwd; cat; cat <&3", 0, "/bin/sh\n/\n"),
        ("echo \"it's\" 'a \\ b'", 0, "it's a \\ b\n"),
        ("if", 2, ""),
        ("exit 0", 0, ""),
        ("trap '' TERM; sleep 62.3", 137, ""),
    ];
    for (n, (script, expected, printed)) in cases.iter().enumerate() {
        let part = apart(&format!("c{n}"), code(script));
        let part = Part { timeout: Some(Duration::from_millis(1500)), stop_on_failure: false, ..part };
        let answers = send(&mut *session, vec![part, Part::question(sh!("echo next"))]).await.unwrap();
        let code = answers[0].code;
        // Shells differ in the code of a mistake.
        assert!(code == *expected || *expected == 2 && code != 0, "{script}: {answers:?}");
        assert_eq!(String::from_utf8_lossy(&answers[0].stdout), *printed, "{script}");
        assert_eq!(answers[1].text(), "next");
    }
    until("it was stopped", || running("sleep 62.3") == 0).await;
    session.close().await;
    until("all is cleared away", || !runs().join(id("ever")).exists()).await;
    assert_eq!(running("sleep 61.3"), 1);
    let _ = Command::new("pkill").args(["-f", "^sleep 61.3$"]).status();
}

#[tokio::test]
async fn endless_output_fills_no_disk() {
    let Some(server) = shared() else { return };
    let _machine = machine::unlocked();
    let mut session = session(&server, None, "endless").await;
    let script = code("yes 'a line of an endless stream' | head -c 100000000; echo; echo the end");
    let part = Part { keep: hostwright::transport::Keep::ACTION, ..apart("a1", script) };
    let answers = send(&mut *session, vec![part]).await.unwrap();
    assert!(answers[0].text().ends_with("the end"), "{:?}", answers[0].code);
    let kept = std::fs::metadata(runs().join(id("endless")).join("a1/stdout")).unwrap().len();
    assert!(kept < 20 << 20, "{kept}");
    session.close().await;
}

#[tokio::test]
async fn what_is_stopped_ends() {
    let Some(server) = shared() else { return };
    let _machine = machine::unlocked();
    let mut first = session(&server, None, "stopped").await;
    let mut second = first.fork();
    let mut ignore = |_: Output<'_>| {};
    let parts = vec![apart("a1", code("echo begun; sleep 63.3; echo over"))];
    let exchange = first.exchange(frame(Privilege::Login, parts), &mut ignore);
    let stopping = async {
        until("it runs", || running("sleep 63.3") == 1).await;
        send(&mut *second, vec![detach::stop(None)]).await.unwrap()
    };
    let (answers, stopped) = tokio::join!(exchange, stopping);
    assert_eq!(stopped[0].code, 0, "{stopped:?}");
    let answers = answers.unwrap();
    assert_eq!((answers[0].text().as_ref(), answers[0].code), ("begun", 143));
    assert_eq!(running("sleep 63.3"), 0);
}

/// What came of it is known, and the connection broke before that could be cleared away: a later run must not take it for the
/// result of its own.
#[tokio::test]
async fn a_cut_connection_leaves_nothing_that_is_done_with() {
    let Some(server) = Server::start("", false) else { return };
    let _machine = machine::unlocked();
    let host = server.host(None, &[]);
    for cleared_by_next_frame in [true, false] {
        let run = if cleared_by_next_frame { "owed-1" } else { "owed-2" };
        let system = System::new(hostwright::transport::Settings { run_id: id(run), ..settings(None) });
        let mut first = system.connect(&host).await.unwrap();
        send(&mut *first, vec![apart("a1", code("echo done"))]).await.unwrap();
        assert!(runs().join(id(run)).join("a1").exists());
        cut(&server);
        until("the connection has gone", || below(server.pid()).is_empty()).await;
        first.close().await;
        assert!(system.owes(&host));
        let mut second = system.connect(&host).await.unwrap();
        if cleared_by_next_frame {
            send(&mut *second, vec![Part::question(code("true"))]).await.unwrap();
        } else {
            second.settle().await;
        }
        assert!(!system.owes(&host));
        assert!(!runs().join(id(run)).exists());
        second.close().await;
    }
}

/// Neither in the process list, nor in a file that others can read.
#[tokio::test]
async fn its_secrets_show_nowhere() {
    let Some(server) = with_users() else { return };
    let _machine = machine::unlocked();
    let secret = "Very-Secret-0815";
    let mut session = session(&server, Some("root"), "secret").await;
    let script = sh!("x={}; cat <&3; sleep 2.29; echo $x", Secret::new(secret.into()));
    let part = Part { payload: Some(Payload(secret.as_bytes().into())), ..apart("a1", script) };
    let mut ignore = |_: Output<'_>| {};
    let exchange = session.exchange(frame(Privilege::Login, vec![part]), &mut ignore);
    let scan = async {
        until("it runs", || running("sleep 2.29") == 1).await;
        while running("sleep 2.29") == 1 {
            for process in std::fs::read_dir("/proc").unwrap().flatten() {
                for file in ["cmdline", "environ"] {
                    let text = std::fs::read(process.path().join(file)).unwrap_or_default();
                    assert!(!String::from_utf8_lossy(&text).contains(secret), "{:?}", process.path());
                }
            }
            let read = "cat /run/hostwright/runs/*/*/* /run/hostwright/*; ls -R /run/hostwright";
            let other = Command::new("setpriv")
                .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c", read])
                .output()
                .unwrap();
            assert!(!String::from_utf8_lossy(&other.stdout).contains(secret));
            assert!(String::from_utf8_lossy(&other.stderr).contains("Permission denied"), "{other:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (answers, ()) = tokio::join!(exchange, scan);
    assert_eq!(answers.unwrap()[0].text(), format!("{secret}{secret}"));
    session.close().await;
}

/// Who has no rights has a place of its own.
#[tokio::test]
async fn a_user_without_rights_has_runs_too() {
    let Some(server) = with_users() else { return };
    let _machine = machine::unlocked();
    let mut session = session(&server, Some("hw-nosudo"), "user-1").await;
    let part = apart("a1", code("id -un; ls -ld /tmp/hostwright-$(id -u)"));
    let answers = send(&mut *session, vec![part]).await.unwrap();
    assert!(answers[0].text().starts_with("hw-nosudo\ndrwx------ "), "{answers:?}");
    session.close().await;
}
