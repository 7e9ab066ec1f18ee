//! How steps end: each once, whatever happens to its host, and with its handlers in order.

use std::collections::BTreeMap;
use std::time::Duration;

use hostwright::event::{Body, Entry, Event, Forecast};
use hostwright::model::{Kind, OnFailure, PlayIndex, Resource, ResultOf, StepId};
use hostwright::transport::scripted::Faults;

use super::toy::{Fleet, Seen, Toy, Written, step, want};

/// A handler that sets a key.
fn handler(key: &'static str) -> Written {
    Written { handler: true, ..want(key, "yes") }
}

/// A step that notifies a handler.
fn notifying(mut step: Written, handler: &str) -> Written {
    step.notify.push(StepId::new(handler));
    step
}

/// Every planned step has ended once, and the summary counts what the events tell.
#[track_caller]
fn assert_each_ends_once(seen: &Seen) {
    let count = |pick: fn(&Event) -> Option<String>| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        seen.events.iter().filter_map(pick).for_each(|at| *counts.entry(at).or_default() += 1);
        counts
    };
    let planned = count(|event| match &event.body {
        Body::Planned(entry) => Some(format!("{:?}", entry.at)),
        _ => None,
    });
    let ended = count(|event| match &event.body {
        Body::StepFinished(finished) => Some(format!("{:?}", finished.at)),
        _ => None,
    });
    assert_eq!(planned, ended);
    let not_reached = seen.ended().iter().filter(|line| line.ends_with(": notreached")).count();
    assert_eq!(seen.summary.total.not_reached, not_reached);
}

#[tokio::test]
async fn a_handler_that_uses_results_runs() {
    let x = ResultOf { play: PlayIndex::new(0), step: StepId::new("x") };
    let waits = |handler| Written { results: vec![x.clone()], ..handler };
    let first = notifying(notifying(want("x", "1"), "restarted"), "told");
    let steps = vec![first, waits(handler("restarted")), waits(handler("told"))];
    let fleet = Fleet::new(&["a"], vec![]).play("p", steps);
    let seen = fleet.apply().await;
    assert_eq!(seen.ended(), ["a x: changed", "a restarted: changed", "a told: changed"]);
    assert_each_ends_once(&seen);
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_ends_the_pause_between_tries_and_nothing_is_tried_again() {
    let retried = Written { retries: 5, retry_delay: Duration::from_hours(1), ..want("x", "1") };
    let mut fleet = Fleet::new(&["a"], vec![]).play("p", vec![retried, want("y", "1")]);
    fleet.world.with("a", |h| h.fails.insert("x".into(), 9));
    fleet.interrupt = Some(|body| matches!(body, Body::StepRetried { .. }));
    let start = tokio::time::Instant::now();
    let seen = fleet.apply().await;
    assert!(start.elapsed() < Duration::from_mins(1), "the pause was waited for");
    assert_eq!(seen.ended(), ["a x: failed: `set x` failed", "a y: notreached"]);
    assert_eq!(fleet.world.with("a", |h| h.fails["x"]), 8, "one try");
    assert_each_ends_once(&seen);
}

#[tokio::test]
async fn a_step_that_waits_for_another_host_does_not_begin_after_an_interrupt() {
    let mut server = want("export", "1");
    server.hosts = Some(vec!["z"]);
    let mut client =
        step("mount", Toy { key: "mount", value: "1", after: Some(("z", "export")), ..Toy::default() });
    client.hosts = Some(vec!["b"]);
    let mut fleet = Fleet::new(&["b", "z"], vec![]).play("p", vec![server, client]);
    fleet.interrupt = Some(|body| matches!(body, Body::StepStarted { .. }));
    let seen = fleet.apply().await;
    assert!(seen.ended().contains(&"b mount: notreached".to_owned()), "{:?}", seen.ended());
    assert_each_ends_once(&seen);
}

#[tokio::test]
async fn what_a_step_changed_before_it_failed_notifies_its_handlers() {
    let two = Toy { key: "x", value: "1", also: Some("half"), ..Toy::default() };
    let fleet = Fleet::new(&["a"], vec![])
        .play("p", vec![notifying(step("x", two), "restarted"), handler("restarted")]);
    fleet.world.with("a", |h| h.fails.insert("half".into(), 9));
    let seen = fleet.apply().await;
    assert_eq!(seen.ended(), ["a x: failed: `set the other one` failed", "a restarted: changed"]);
    assert!(fleet.world.with("a", |h| !h.keys.keys().any(|k| k.starts_with("due"))), "crossed out");
    // What has changed nothing notifies nobody, now or later.
    let fleet = Fleet::new(&["a"], vec![])
        .play("p", vec![notifying(want("x", "1"), "restarted"), handler("restarted")]);
    fleet.world.with("a", |h| h.fails.insert("x".into(), 9));
    let seen = fleet.apply().await;
    assert_eq!(seen.ended(), ["a x: failed: `set x` failed", "a restarted: skipped"]);
    assert!(fleet.world.with("a", |h| !h.keys.keys().any(|k| k.starts_with("due"))), "not due");
}

#[tokio::test]
async fn each_step_ends_once_whatever_happens_to_its_host() {
    let gone = Faults { refuse_connections: u64::MAX, ..Faults::default() };
    let fleet = || {
        let steps = vec![want("x", "1"), want("y", "1"), handler("h")];
        Fleet::new(&["a", "b", "gone"], vec![("gone", gone.clone())])
            .play("p", steps)
            .play("q", vec![want("z", "1")])
    };
    // A failure, and the later playbook.
    let failing = fleet();
    failing.world.with("a", |h| h.fails.insert("x".into(), 9));
    let seen = failing.apply().await;
    assert_each_ends_once(&seen);
    let ended = seen.ended();
    for line in ["a z: notreached", "gone x: unreachable", "gone z: unreachable", "b z: changed"] {
        assert!(ended.contains(&line.to_owned()), "{line}: {ended:?}");
    }
    // All are stopped.
    let mut first = want("x", "1");
    first.on_failure = OnFailure::StopAll;
    let stopped = Fleet::new(&["a", "b"], vec![])
        .play("p", vec![first])
        .serial(1, None)
        .play("q", vec![want("z", "1")]);
    stopped.world.with("a", |h| h.fails.insert("x".into(), 9));
    let seen = stopped.apply().await;
    assert_each_ends_once(&seen);
    assert!(seen.ended().contains(&"b x: notreached".to_owned()));
    // A host that is lost, for good.
    let lost = Faults { lose_in: (2..99).collect(), ..Faults::default() };
    let mut losing = Fleet::new(&["a", "b"], vec![("a", lost)])
        .play("p", vec![want("x", "1"), want("y", "1"), handler("h")])
        .play("q", vec![want("z", "1")]);
    losing.options.reconnect = Duration::ZERO;
    let seen = losing.apply().await;
    assert_each_ends_once(&seen);
    assert!(seen.ended().contains(&"a z: notreached".to_owned()), "{:?}", seen.ended());
}

#[tokio::test]
async fn who_needs_what_failed_on_another_host_does_not_try() {
    let mut server = want("export", "1");
    server.hosts = Some(vec!["z"]);
    server.on_failure = OnFailure::Continue;
    let mut client = want("mount", "1");
    client.needs = vec![Resource::on("z", Kind::Path, "export")];
    client.hosts = Some(vec!["b"]);
    let fleet = Fleet::new(&["b", "z"], vec![]).play("p", vec![server, client, want("last", "1")]);
    fleet.world.with("z", |h| h.fails.insert("export".into(), 9));
    let seen = fleet.apply().await;
    let why = "b mount: failed: needs step `export` of z, which has failed or was not reached";
    assert!(seen.ended().contains(&why.to_owned()), "{:?}", seen.ended());
    assert_eq!(
        fleet.connector.log(&fleet.hosts[0].name).scripts.iter().filter(|s| s.starts_with("set")).count(),
        0
    );
}

#[tokio::test]
async fn a_host_does_not_wait_for_one_of_a_later_batch() {
    let mut server = want("export", "1");
    server.hosts = Some(vec!["z"]);
    let mut client =
        step("mount", Toy { key: "mount", value: "1", after: Some(("z", "export")), ..Toy::default() });
    client.hosts = Some(vec!["b"]);
    let fleet =
        Fleet::new(&["b", "z"], vec![]).play("p", vec![server.clone(), client.clone()]).serial(1, None);
    let seen = fleet.apply().await;
    assert_eq!(seen.planned(), ["z export: change", "b mount: error: export is not there on z"]);
    assert_eq!(seen.ended(), ["z export: changed"]);
    assert_each_ends_once(&seen);
    // The other way round it comes in time.
    let fleet = Fleet::new(&["z", "b"], vec![]).play("p", vec![client, server]).serial(1, None);
    let seen = fleet.apply().await;
    assert_eq!(seen.planned(), ["b mount: change after z export", "z export: change"]);
    assert_eq!(seen.ended(), ["z export: changed", "b mount: changed"]);
}

/// What a host is told to do is told as it begins: never our own notes, and the next one before it prints anything.
#[tokio::test]
async fn each_action_is_told_when_it_begins_with_what_it_runs() {
    let two = Toy { key: "x", value: "1", also: Some("other"), ..Toy::default() };
    let fleet = Fleet::new(&["a"], vec![])
        .play("p", vec![notifying(step("x", two), "restarted"), handler("restarted")]);
    let seen = fleet.apply().await;
    let told: Vec<_> = (seen.events.iter())
        .filter_map(|event| match &event.body {
            Body::ActionStarted { label, program, .. } => Some(format!("{label}: {program}")),
            _ => None,
        })
        .collect();
    assert_eq!(
        told,
        ["set x: set x 1", "set the other one: set other 1", "set restarted: set restarted yes"]
    );
    let planned = seen.events.iter().find_map(|event| match &event.body {
        Body::Planned(Entry { forecast: Forecast::Change { change, .. }, .. }) => Some(&change.programs),
        _ => None,
    });
    assert_eq!(planned.unwrap()[..], ["set x 1", "set other 1"]);
}

/// What nobody can see before an engine runs may bring what another host needs: that one waits for it.
#[tokio::test(start_paused = true)]
async fn a_step_waits_for_what_a_step_that_is_not_known_yet_may_bring() {
    let only = |host, step: Written| Written { hosts: Some(vec![host]), ..step };
    let hides = |host, key| {
        let toy = Toy { key: "engine", value: "on", hides: Some(key), ..Toy::default() };
        only(host, step(if host == "a" { "starts-a" } else { "starts-b" }, toy))
    };
    let join = Toy { key: "join", value: "1", after: Some(("a", "swarm")), ..Toy::default() };
    let steps = vec![
        hides("a", "swarm"),
        hides("b", "join"),
        only("a", want("swarm", "1")),
        only("b", step("join", join)),
    ];
    let fleet = Fleet::new(&["a", "b"], vec![]).play("p", steps);
    fleet.world.with("a", |h| h.slow.push("swarm".into()));
    let seen = fleet.apply().await;
    let planned = seen.planned();
    let unknown = "a swarm: unknown until step `starts-a` has run on a";
    assert!(planned.contains(&unknown.to_owned()), "{planned:?}");
    assert!(planned.contains(&"b join: change after a swarm".to_owned()), "{planned:?}");
    assert!(seen.ended().contains(&"b join: changed".to_owned()), "{:?}", seen.ended());
    assert_each_ends_once(&seen);
}
