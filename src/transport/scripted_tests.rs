//! The double itself.

use super::*;
use crate::model::{Login, Place};
use crate::sh;
use crate::shell::Script;

fn host(name: &str) -> Arc<Host> {
    Arc::new(Host {
        name: HostName::new(name).unwrap(),
        login: Login { address: name.into(), ..Login::default() },
        groups: Vec::new(),
        vars: Arc::default(),
        place: Place { file: "inventory.toml".into(), line: 1, column: 1 },
    })
}

fn frame(scripts: &[&'static str]) -> Frame {
    let parts = scripts.iter().map(|s| Part::question(Script::new().raw(s))).collect();
    Frame { privilege: Privilege::root(), parts, timeout: Duration::from_mins(1) }
}

async fn ask(session: &mut dyn Session, scripts: &[&'static str]) -> Result<Vec<Answer>, TransportError> {
    session.exchange(frame(scripts), &mut |_| {}).await
}

#[tokio::test]
async fn an_apply_changes_later_answers_even_over_connections() {
    let present = Reply::from(Answer::new(0, "present\n"));
    let table = Table::new().on("look", Answer::new(1, "")).change(
        "make",
        Answer::new(0, ""),
        [("look".to_owned(), present)],
    );
    let (connector, host) = (Scripted::from_table(table), host("a"));
    let mut session = connector.connect(&host).await.unwrap();
    let answers = ask(&mut *session, &["look", "make", "look"]).await.unwrap();
    assert_eq!(answers, [Answer::new(1, ""), Answer::new(0, ""), Answer::new(0, "present\n")]);
    session.close().await;
    let mut session = connector.connect(&host).await.unwrap();
    assert_eq!(ask(&mut *session, &["look"]).await.unwrap(), [Answer::new(0, "present\n")]);
    let log = connector.log(&host.name);
    assert_eq!((log.connections, log.closed, log.exchanges, session.exchanges()), (2, 1, 2, 1));
    assert_eq!(log.scripts, ["look", "make", "look", "look"]);
}

#[tokio::test]
async fn an_unexpected_script_is_told_twice() {
    let connector = Scripted::from_table(Table::new());
    let mut session = connector.connect(&host("a")).await.unwrap();
    let secret = crate::model::Secret::new("hunter2".into());
    let frame = Frame { parts: vec![Part::question(sh!("login {}", secret))], ..frame(&[]) };
    let error = session.exchange(frame, &mut |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("unexpected script"), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    drop(session);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || drop(connector)));
    assert!(panicked.is_err());
}

#[tokio::test(start_paused = true)]
async fn faults_come_when_they_are_told_to() {
    let faults = Faults {
        refuse_connections: 1,
        lose_in: vec![2],
        connect_delay: Duration::from_secs(3),
        ..Faults::default()
    };
    let table = Table::new()
        .on("quick", Answer::new(0, "1\n2\n"))
        .on("slow", Reply::After(Duration::from_secs(50), Answer::new(0, "")))
        .on("hang", Reply::Hang);
    let connector = Scripted::new(move |_| Double::new(table.clone()).faults(faults.clone()));
    let host = host("a");
    let start = tokio::time::Instant::now();
    let refused = connector.connect(&host).await.unwrap_err();
    assert!(matches!(refused, TransportError::Unreachable { lost: false, .. }));
    let mut session = connector.connect(&host).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(6));
    ask(&mut *session, &["quick"]).await.unwrap();
    for _ in 0..2 {
        let lost = ask(&mut *session, &["quick"]).await.unwrap_err();
        assert!(matches!(lost, TransportError::Unreachable { lost: true, .. }));
    }
    let mut session = connector.connect(&host).await.unwrap();
    let start = tokio::time::Instant::now();
    let error = ask(&mut *session, &["quick", "slow", "hang", "quick"]).await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::from_mins(1));
    let TransportError::TimedOut { part: Some(2), answers, .. } = error else { panic!("{error:?}") };
    assert_eq!(answers.len(), 2);
    let mut streamed = frame(&["quick"]);
    streamed.parts[0].stream = true;
    let mut lines = Vec::new();
    session.exchange(streamed, &mut |heard| lines.extend(heard.line().map(str::to_owned))).await.unwrap();
    assert_eq!(lines, ["1", "2"]);
}

#[tokio::test]
async fn ten_thousand_hosts_are_cheap() {
    let start = std::time::Instant::now();
    let connector = Scripted::new(|_| Double::new(|_: Ask<'_>| Some(Answer::new(0, "fine\n").into())));
    for n in 0..10_000 {
        let mut session = connector.connect(&host(&format!("h{n}"))).await.unwrap();
        ask(&mut *session, &["look"; 20]).await.unwrap();
    }
    assert_eq!(connector.exchanges(), 10_000);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}
