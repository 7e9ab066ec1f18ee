//! The lock that a run holds on a host.

use std::time::{Duration, Instant};

use hostwright::model::Privilege;
use hostwright::sh;
use hostwright::shell::Script;
use hostwright::transport::{
    Connector as _, Frame, Holder, Locking, Output, Part, Session, Settings, System, TransportError,
};

use crate::machine;

use super::apart::{apart, id};
use super::server::{Server, with_users};
use super::{frame, running, settings, until};

async fn session(server: &Server, user: &str, run: &str, locking: Locking) -> Box<dyn Session> {
    let settings = Settings { run_id: id(run), locking, ..settings(None) };
    System::new(settings).connect(&server.host(Some(user), &[])).await.unwrap()
}

fn take(who: &str) -> Locking {
    Locking::Take(vec![("user", who.into()), ("from", "pc1".into()), ("playbooks", "a.toml".into())])
}

async fn ask(session: &mut dyn Session, privilege: Privilege) -> Result<String, TransportError> {
    let frame = frame(privilege, vec![Part::question(sh!("echo in"))]);
    session.exchange(frame, &mut |_| {}).await.map(|answers| answers[0].text().into_owned())
}

#[track_caller]
fn locked(got: Result<String, TransportError>) -> Holder {
    match got {
        Err(TransportError::Locked(holder)) => *holder,
        other => panic!("{other:?}"),
    }
}

/// All of it, one after the other: there is one lock on this machine.
#[tokio::test]
async fn one_run_at_a_time() {
    let Some(server) = with_users() else { return };
    let _machine = machine::alone();
    let root = Privilege::root();
    let mut first = session(&server, "root", "lock-1", take("ann")).await;
    assert_eq!(ask(&mut *first, Privilege::Login).await.unwrap(), "in");
    // The same run may come again, over another connection and through sudo.
    let mut again = session(&server, "hw-nopw", "lock-1", take("ann")).await;
    assert_eq!(ask(&mut *again, root.clone()).await.unwrap(), "in");
    // Another one not, however it logs in.
    for user in ["root", "hw-nopw"] {
        let mut second = session(&server, user, "lock-2", take("bob")).await;
        let holder = locked(ask(&mut *second, root.clone()).await);
        let expected = format!("an apply of ann on pc1 (run {}, playbooks a.toml)", id("lock-1"));
        assert_eq!(holder.to_string(), expected);
        assert!(holder.actions.is_empty());
    }
    // Nor one without rights.
    let mut user = session(&server, "hw-nosudo", "lock-3", take("eve")).await;
    assert_eq!(locked(ask(&mut *user, Privilege::Login).await).run, id("lock-1"));
    // Who only looks is told, but not of itself.
    for (run, held) in [("look", Some("lock-1")), ("lock-1", None)] {
        for user in ["root", "hw-nosudo"] {
            let mut look = session(&server, user, run, Locking::Look).await;
            assert_eq!(ask(&mut *look, Privilege::Login).await.unwrap(), "in");
            assert_eq!(look.held().map(|h| h.run.clone()), held.map(id), "{user} {run}");
        }
    }
    // What a script leaves behind does not hold it.
    let left = frame(Privilege::Login, vec![Part::question(sh!("sleep 64.3 >/dev/null 2>&1 &"))]);
    first.exchange(left, &mut |_| {}).await.unwrap();
    assert_eq!(running("sleep 64.3"), 1);
    first.close().await;
    let mut second = session(&server, "root", "lock-2", take("bob")).await;
    assert_eq!(locked(ask(&mut *second, root.clone()).await).run, id("lock-1"));
    drop(again);
    let start = Instant::now();
    while ask(&mut *second, root.clone()).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(15), "it is free when its last shell has gone");
    }
    let _ = std::process::Command::new("pkill").args(["-f", "^sleep 64.3$"]).status();

    // An action that goes on without its controller keeps it.
    let parts = vec![apart("a1", Script::new().raw("echo begun; sleep 1.41"))];
    let mut ignore = |_: Output<'_>| {};
    tokio::select! {
        got = second.exchange(frame(root.clone(), parts), &mut ignore) => panic!("{got:?}"),
        () = until("it runs", || running("sleep 1.41") == 1) => {}
    }
    drop(second);
    let mut third = session(&server, "root", "lock-4", take("ann")).await;
    let start = Instant::now();
    let holder = loop {
        let holder = locked(ask(&mut *third, root.clone()).await);
        if !holder.actions.is_empty() {
            break holder;
        }
        assert!(start.elapsed() < Duration::from_secs(15), "its shells end");
    };
    assert_eq!((holder.run, holder.actions), (id("lock-2"), vec!["do a1".to_owned()]));
    while let Err(error) = ask(&mut *third, root.clone()).await {
        assert!(start.elapsed() < Duration::from_secs(15), "{error}");
    }
    assert_eq!(running("sleep 1.41"), 0);
    third.close().await;
}

/// Twenty at once: never two at a time, and one after the other gets its turn.
#[tokio::test]
async fn many_at_once() {
    let Some(server) = Server::start("", false) else { return };
    let _machine = machine::alone();
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let log = server.path("log");
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..6 {
        let settings = Settings { run_id: id(&format!("many-{n}")), locking: take("ann"), ..settings(None) };
        let (host, log) = (server.host(None, &[]), log.clone());
        tasks.spawn(async move {
            let mut session = System::new(settings).connect(&host).await.unwrap();
            let script =
                sh!("echo in >>{}; sleep 0.1; echo out >>{}", log.to_str().unwrap(), log.to_str().unwrap());
            loop {
                let frame: Frame = frame(Privilege::Login, vec![Part::question(script.clone())]);
                match session.exchange(frame, &mut |_| {}).await {
                    Ok(_) => break session.close().await,
                    Err(TransportError::Locked(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(std::fs::read_to_string(log).unwrap(), "in\nout\n".repeat(6));
}
