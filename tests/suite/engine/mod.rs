//! The engine on a fleet of toy hosts: what is asked how often, what is done in which order, what goes wrong.

mod bundles;
mod ends;
mod left_out;
mod toy;

use hostwright::model::{OnFailure, PlayIndex, ResultOf, StepId};
use hostwright::step::{Reader, Value};
use hostwright::transport::scripted::Faults;
use toy::{Fleet, Toy, step, want};

/// The apply ends as its own plan said, for steps that the plan would change or leave alone.
#[track_caller]
fn assert_as_planned(seen: &toy::Seen) {
    let mut planned: Vec<String> = seen
        .planned()
        .into_iter()
        .map(|line| {
            let (at, what) = line.split_once(": ").unwrap();
            let what = if what.starts_with("change") { "changed" } else { what };
            format!("{at}: {what}")
        })
        .collect();
    let mut ended = seen.ended();
    planned.sort();
    ended.sort();
    assert_eq!(planned, ended);
}

#[tokio::test]
async fn nothing_to_do_costs_one_exchange_whatever_the_number_of_steps() {
    for steps in [1, 20, 300] {
        let keys: Vec<&'static str> = (0..steps).map(|n| &*format!("key{n}").leak()).collect();
        let fleet =
            Fleet::new(&["a", "b", "c"], vec![]).play("p", keys.iter().map(|k| want(k, "1")).collect());
        for host in ["a", "b", "c"] {
            fleet.world.with(host, |h| h.keys.extend(keys.iter().map(|k| ((*k).into(), "1".into()))));
        }
        let seen = fleet.apply().await;
        assert_eq!(seen.exchanges, [1, 1, 1], "{steps} steps");
        assert_eq!(seen.summary.total.unchanged, 3 * steps);
    }
}

#[tokio::test]
async fn what_is_hidden_now_is_not_known_before() {
    let starts = Toy { key: "engine", value: "on", hides: Some("swarm"), ..Toy::default() };
    let fleet =
        Fleet::new(&["a", "b"], vec![]).play("p", vec![step("starts", starts), want("swarm", "ours")]);
    // On `a` it was all there before the engine stopped, on `b` nobody knows.
    fleet.world.with("a", |h| h.keys.extend([("swarm".into(), "ours".into())]));
    let until = "unknown until step `starts` has run on";
    assert_eq!(
        fleet.plan().await.planned(),
        [
            "a starts: change".to_owned(),
            "b starts: change".to_owned(),
            format!("a swarm: {until} a"),
            format!("b swarm: {until} b")
        ]
    );
    let apply = fleet.apply().await;
    let mut ended = apply.ended();
    ended.sort();
    assert_eq!(ended, ["a starts: changed", "a swarm: unchanged", "b starts: changed", "b swarm: changed"]);
}

#[tokio::test]
async fn facts_cost_one_exchange_more_and_only_where_they_are_used() {
    let mut with_facts = want("x", "1");
    with_facts.facts = true;
    with_facts.hosts = Some(vec!["a"]);
    let fleet = Fleet::new(&["a", "b"], vec![]).play("p", vec![want("y", "1"), with_facts]);
    assert_eq!(fleet.plan().await.gathered, [2, 1]);
}

#[tokio::test]
async fn a_swarm_is_looked_at_beforehand_without_a_further_exchange() {
    let lost = Faults { refuse_connections: u64::MAX, ..Faults::default() };
    let fleet = |kind| {
        let fleet = Fleet::new(&["a", "b", "c", "mute", "lost"], vec![("lost", lost.clone())])
            .play("p", vec![toy::Written { kind, ..want("x", "1") }, want("y", "1")]);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        for (host, time) in [("a", now), ("b", now), ("c", now - 100), ("mute", 0)] {
            fleet.world.with(host, |h| {
                h.keys.extend([("x".into(), "1".into()), ("y".into(), "1".into())]);
                h.facts = Some(match time {
                    0 => "what?\n".into(),
                    _ => format!("user=root\nhostname=centos\ntime={time}\n"),
                });
            });
        }
        fleet
    };
    for kind in ["swarm_init", "swarm_join", "swarm_node"] {
        let swarm = fleet(kind);
        let plan = swarm.plan().await;
        assert_eq!(plan.gathered, [1, 1, 1, 1, 0]);
        let warnings = plan.warnings();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].starts_with("a, b and c all call themselves \"centos\""), "{warnings:?}");
        assert!(warnings[1].starts_with("clocks differ: c is about 100 s behind the others"), "{warnings:?}");
        let apply = swarm.apply().await;
        assert_eq!(apply.exchanges, [1, 1, 1, 1, 0]);
        assert_eq!(apply.warnings().len(), 2, "once in a run");
        assert_eq!(apply.summary.total.unchanged, 8, "who cannot tell its facts does not fail");
    }

    let other = fleet("toy");
    let seen = other.plan().await;
    assert!(seen.warnings().is_empty());
    assert_eq!(seen.gathered, [1, 1, 1, 1, 0]);
    assert_eq!(
        other.connector.log(&other.hosts[0].name).scripts,
        ["get x", "get y"],
        "no facts are asked for"
    );
}

#[tokio::test]
async fn each_change_costs_one_exchange() {
    let fleet = Fleet::new(&["a"], vec![]).play("p", vec![want("x", "1"), want("y", "2"), want("z", "3")]);
    let seen = fleet.apply().await;
    assert_eq!(seen.exchanges, [4], "one to ask all, one for each change with its verification");
    assert_as_planned(&seen);
    assert_eq!(fleet.apply().await.summary.total.changed, 0, "the second time there is nothing to do");
    // The next playbook's questions travel along too, unless it has a barrier to wait at.
    let fleet = || Fleet::new(&["a"], vec![]).play("p", vec![want("x", "1")]).play("q", vec![want("y", "2")]);
    assert_eq!(fleet().free().apply().await.exchanges, [3]);
    assert_eq!(fleet().apply().await.exchanges, [4]);
}

#[tokio::test]
async fn what_an_action_printed_goes_to_another_host_whose_answer_comes_along() {
    let join = |id| {
        let mut join = step(id, Toy { key: "id", value: "n7", registers: Some("m"), ..Toy::default() });
        join.hosts = Some(vec!["a"]);
        join
    };
    let fleet = Fleet::new(&["a", "m"], vec![]).play("p", vec![join("join"), join("again")]);
    let seen = fleet.apply().await;
    assert_eq!(seen.ended(), ["a join: changed", "a again: unchanged"]);
    assert_eq!(fleet.world.with("m", |h| h.keys["id"].clone()), "n7");
    assert_eq!(
        seen.exchanges,
        [3, 2],
        "`a` is asked, set and asked; `m` asked and told, with the question behind"
    );
    assert_as_planned(&seen);

    // What `m` does of its own is nothing that these rely on: they are not asked once more.
    let mut image = want("image", "1");
    image.hosts = Some(vec!["m"]);
    let fleet = Fleet::new(&["m", "a"], vec![]).play("p", vec![image, join("join"), join("again")]);
    assert_eq!(fleet.apply().await.exchanges, [3, 3]);
    // What a command does nobody knows.
    let mut command = step("x", Toy { key: "x", value: "1", opaque: true, ..Toy::default() });
    command.hosts = Some(vec!["m"]);
    let fleet = Fleet::new(&["m", "a"], vec![]).play("p", vec![command, join("join"), join("again")]);
    assert_eq!(fleet.apply().await.exchanges, [4, 4]);
}

#[tokio::test]
async fn what_an_action_printed_can_be_read_before_it_goes_on() {
    let reader = Some(Reader(|printed| printed.replace("its value:\n", "read ")));
    let toy = Toy { key: "id", value: "n7", registers: Some("m"), reader, ..Toy::default() };
    let mut join = step("join", toy);
    join.hosts = Some(vec!["a"]);
    let fleet = Fleet::new(&["a", "m"], vec![]).play("p", vec![join]);
    fleet.apply().await;
    assert_eq!(fleet.world.with("m", |h| h.keys["id"].clone()), "read n7");
}

#[tokio::test(start_paused = true)]
async fn who_asks_another_host_does_not_wait_for_the_end_of_what_it_is_doing() {
    let mut join = step("join", Toy { key: "id", value: "n7", registers: Some("m"), ..Toy::default() });
    join.hosts = Some(vec!["a"]);
    let mut image = want("image", "1");
    image.hosts = Some(vec!["m"]);
    let fleet = Fleet::new(&["m", "a"], vec![]).play("p", vec![image, join]);
    fleet.world.with("m", |h| h.slow.push("image".into()));
    let seen = fleet.apply().await;
    assert_eq!(seen.ended(), ["a join: changed", "m image: changed"]);
}

#[tokio::test]
async fn a_plan_sends_no_action() {
    let fleet = Fleet::new(&["a"], vec![]).play("p", vec![want("x", "1"), want("y", "2")]);
    let seen = fleet.plan().await;
    assert_eq!(seen.planned(), ["a x: change", "a y: change"]);
    assert!(fleet.connector.log(&fleet.hosts[0].name).scripts.iter().all(|s| s.starts_with("get ")));
    assert!(fleet.world.with("a", |h| h.keys.is_empty()));
}

#[tokio::test]
async fn what_comes_with_an_earlier_step_is_predicted_and_happens() {
    let package = want("package", "1");
    let unit = step("unit", Toy { key: "unit", value: "on", comes_with: Some("package"), ..Toy::default() });
    let fleet = Fleet::new(&["a"], vec![]).play("p", vec![package, unit.clone()]);
    let seen = fleet.apply().await;
    assert_eq!(seen.planned(), ["a package: change", "a unit: change after a package"]);
    assert_as_planned(&seen);

    let alone = Fleet::new(&["a"], vec![]).play("p", vec![unit]);
    assert_eq!(alone.plan().await.planned(), ["a unit: error: package is not there"]);
    assert!(alone.apply().await.ended().is_empty());
}

#[tokio::test]
async fn a_step_sees_what_an_earlier_one_will_leave() {
    let first = step("first", Toy { key: "x", value: "1", ..Toy::default() });
    let again = step("again", Toy { key: "x", value: "1", ..Toy::default() });
    let other = step("other", Toy { key: "x", value: "2", ..Toy::default() });
    let fleet = Fleet::new(&["a"], vec![]).play("p", vec![first, again, other]);
    let seen = fleet.apply().await;
    assert_eq!(seen.planned(), ["a first: change", "a again: unchanged", "a other: change after a first"]);
    assert_as_planned(&seen);
}

#[tokio::test]
async fn only_what_a_change_touched_is_asked_again() {
    let change = step("change", Toy { key: "x", value: "1", also: Some("z"), ..Toy::default() });
    let fleet = Fleet::new(&["a"], vec![]).play("p", vec![change, want("y", "1"), want("z", "1")]);
    fleet.world.with("a", |h| h.keys.extend([("y".into(), "1".into()), ("z".into(), "1".into())]));
    let seen = fleet.apply().await;
    let scripts = fleet.connector.log(&fleet.hosts[0].name).scripts;
    assert_eq!(scripts, ["get x", "get y", "get z", "set x 1", "set z 1", "get x", "get z"]);
    assert_eq!(seen.exchanges, [2]);
    assert_eq!(seen.ended(), ["a change: changed", "a y: unchanged", "a z: unchanged"]);
}

#[tokio::test]
async fn after_an_opaque_step_everything_is_asked_again() {
    let command = step("command", Toy { key: "x", value: "1", opaque: true, ..Toy::default() });
    let fleet = Fleet::new(&["a"], vec![]).play("p", vec![command, want("y", "1")]);
    fleet.world.with("a", |h| h.keys.extend([("y".into(), "1".into())]));
    fleet.apply().await;
    let scripts = fleet.connector.log(&fleet.hosts[0].name).scripts;
    assert_eq!(scripts, ["get x", "get y", "set x 1", "get x", "get y"]);
}

#[tokio::test]
async fn what_does_not_hold_has_failed_and_stops_the_host() {
    let fleet = Fleet::new(&["a", "b"], vec![]).play("p", vec![want("x", "1"), want("y", "1")]);
    fleet.world.with("a", |h| h.sticky.push("x".into()));
    let seen = fleet.apply().await;
    let mut ended = seen.ended();
    ended.sort();
    assert_eq!(
        ended[0],
        "a x: failed: did not hold: the actions succeeded, but the host is not as described after them"
    );
    let differs = seen.events.iter().find_map(|e| match &e.body {
        hostwright::event::Body::StepFinished(f) => f.failure.as_ref().map(|f| f.differs.clone()),
        _ => None,
    });
    let [field] = &differs.unwrap()[..] else { panic!("one field differs") };
    assert_eq!(
        (field.name.as_str(), &field.before, &field.after),
        ("x", &Value::Text(String::new()), &Value::Text("1".into())),
        "as it was found, and as it should be"
    );
    assert_eq!(ended[1..], ["a y: notreached", "b x: changed", "b y: changed"]);
}

#[tokio::test]
async fn a_failed_action_says_what_it_printed_and_what_to_do() {
    let fleet = Fleet::new(&["a"], vec![]).play("p", vec![want("x", "1")]);
    fleet.world.with("a", |h| h.fails.insert("x".into(), 9));
    let seen = fleet.apply().await;
    let failure = seen.events.iter().find_map(|e| match &e.body {
        hostwright::event::Body::StepFinished(f) => f.failure.clone(),
        _ => None,
    });
    let failure = failure.unwrap();
    assert_eq!((failure.message.as_str(), failure.code), ("`set x` failed", Some(1)));
    assert_eq!((failure.output.as_str(), failure.hint.as_deref()), ("cannot set x", Some("oil it")));
    assert_eq!(failure.program.as_deref(), Some("set x 1"));
}

#[tokio::test]
async fn a_step_is_tried_again_as_often_as_it_says() {
    let mut stubborn = want("x", "1");
    stubborn.retries = 2;
    let fleet = Fleet::new(&["a"], vec![]).play("p", vec![stubborn]);
    fleet.world.with("a", |h| h.fails.insert("x".into(), 2));
    assert_eq!(fleet.apply().await.ended(), ["a x: changed"]);
}

#[tokio::test]
async fn on_failure_lets_a_host_go_on_or_stops_all() {
    let mut soft = want("x", "1");
    soft.on_failure = OnFailure::Continue;
    let fleet = Fleet::new(&["a"], vec![]).play("p", vec![soft, want("y", "1")]);
    fleet.world.with("a", |h| h.fails.insert("x".into(), 9));
    assert_eq!(fleet.apply().await.ended()[1], "a y: changed");

    let mut hard = want("x", "1");
    hard.on_failure = OnFailure::StopAll;
    let fleet = Fleet::new(&["a", "b"], vec![]).play("p", vec![hard]).play("q", vec![want("y", "1")]);
    fleet.world.with("a", |h| h.fails.insert("x".into(), 9));
    fleet.apply().await;
    assert!(fleet.world.with("b", |h| !h.keys.contains_key("y")), "no host starts the next playbook");
}

#[tokio::test]
async fn a_host_that_failed_does_no_further_playbook_and_others_do() {
    let fleet =
        Fleet::new(&["a", "b"], vec![]).play("p", vec![want("x", "1")]).play("q", vec![want("y", "1")]);
    fleet.world.with("a", |h| h.fails.insert("x".into(), 9));
    let seen = fleet.apply().await;
    assert!(fleet.world.with("a", |h| h.keys.is_empty()));
    assert_eq!(fleet.world.with("b", |h| h.keys.len()), 2);
    assert_eq!(seen.summary.total.failed, 1);
}

#[tokio::test]
async fn an_unreachable_host_is_not_a_failed_one_and_stops_nobody() {
    let gone = Faults { refuse_connections: u64::MAX, ..Faults::default() };
    let fleet = Fleet::new(&["a", "b"], vec![("a", gone)]).play("p", vec![want("x", "1")]);
    let seen = fleet.apply().await;
    assert_eq!(seen.planned(), ["a x: unreachable", "b x: change"]);
    assert_eq!(seen.summary.unreachable.len(), 1);
    assert_eq!((seen.summary.total.failed, seen.summary.total.changed), (0, 1));
}

#[tokio::test]
async fn missing_rights_are_a_failure_of_the_steps_that_want_them() {
    let no_sudo =
        Faults { refuse_privilege: Some("guest is not in the sudoers file".into()), ..Faults::default() };
    let fleet = Fleet::new(&["a", "b"], vec![("a", no_sudo)]).play("p", vec![want("x", "1")]);
    let seen = fleet.plan().await;
    assert_eq!(seen.planned(), ["a x: error: guest is not in the sudoers file", "b x: change"]);
    assert!(seen.summary.unreachable.is_empty());
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_made_again_and_the_truth_is_asked() {
    let fleet = Fleet::new(&["a"], vec![]).play("p", vec![want("x", "1"), want("y", "1")]);
    fleet.world.with("a", |h| h.loses.push("x".into()));
    let seen = fleet.apply().await;
    assert_eq!(seen.ended(), ["a x: changed", "a y: changed"]);
    assert_eq!(fleet.connector.log(&fleet.hosts[0].name).connections, 2);
}

#[tokio::test]
async fn handlers_run_once_at_the_end_and_also_when_a_later_step_fails() {
    let handler = || {
        let mut handler = want("restarted", "yes");
        handler.handler = true;
        handler
    };
    let mut first = want("x", "1");
    first.notify.push(StepId::new("restarted"));
    let mut second = want("y", "1");
    second.notify.push(StepId::new("restarted"));
    let steps = vec![first, second, want("z", "1"), handler()];
    let fleet = Fleet::new(&["a"], vec![]).play("p", steps.clone());
    fleet.world.with("a", |h| h.fails.insert("z".into(), 9));
    let seen = fleet.apply().await;
    assert_eq!(seen.planned().last().unwrap(), "a restarted: change after a x, a y");
    assert_eq!(seen.ended().last().unwrap(), "a restarted: changed");
    assert!(fleet.world.with("a", |h| !h.keys.keys().any(|k| k.starts_with("due"))), "crossed out");

    fleet.world.with("a", |h| h.fails.clear());
    assert_eq!(fleet.apply().await.ended().last().unwrap(), "a restarted: skipped");
}

#[tokio::test]
async fn a_handler_that_an_earlier_run_left_is_due_in_the_next() {
    let mut handler = want("restarted", "yes");
    handler.handler = true;
    let mut first = want("x", "1");
    first.notify.push(StepId::new("restarted"));
    let fleet = Fleet::new(&["a"], vec![]).play("p", vec![first, handler]);
    // As if the controller had been switched off after the change.
    fleet.world.with("a", |h| {
        h.keys.insert("x".into(), "1".into());
        h.keys.insert("due p@restarted".into(), String::new());
    });
    let seen = fleet.apply().await;
    assert_eq!(seen.planned(), ["a x: unchanged", "a restarted: change"]);
    assert_eq!(seen.ended(), ["a x: unchanged", "a restarted: changed"]);
    assert_eq!(fleet.plan().await.planned()[1], "a restarted: skipped");
}

/// What `z` makes, and what `b`, which comes first, makes of it.
fn export_and_mount() -> (toy::Written, toy::Written) {
    let mut server = want("export", "1");
    server.hosts = Some(vec!["z"]);
    let mut client =
        step("mount", Toy { key: "mount", value: "1", after: Some(("z", "export")), ..Toy::default() });
    client.hosts = Some(vec!["b"]);
    (server, client)
}

#[tokio::test]
async fn a_step_waits_for_another_host_even_with_one_fork() {
    let (server, client) = export_and_mount();
    let mut fleet = Fleet::new(&["b", "z"], vec![]).play("p", vec![server, client]);
    fleet.options.forks = 1;
    let seen = fleet.apply().await;
    assert_eq!(seen.planned(), ["z export: change", "b mount: change after z export"]);
    assert_as_planned(&seen);
}

/// `a` goes on with the first playbook once `b` has done the second, which can only be without a barrier.
#[tokio::test]
async fn without_a_barrier_a_host_begins_the_next_playbook_while_others_are_busy_with_this_one() {
    let fleet = |retries| {
        let mut slow = step("x", Toy { key: "x", value: "1", after: Some(("b", "y")), ..Toy::default() });
        slow.hosts = Some(vec!["a"]);
        slow.retries = retries;
        // No plan can see that it comes: what brings it stands further down.
        slow.on_failure = OnFailure::Continue;
        Fleet::new(&["a", "b"], vec![]).play("p", vec![slow]).play("q", vec![want("y", "1")])
    };
    let seen = fleet(100_000).free().apply().await;
    assert_eq!(seen.ended(), ["b y: changed", "a x: changed", "a y: changed"]);
    assert_eq!(seen.begun(), [0, 1]);

    let seen = fleet(3).apply().await;
    assert_eq!(seen.ended(), ["a x: failed: y is not there on b", "a y: changed", "b y: changed"]);
    assert_eq!(seen.begun(), [0, 1]);
}

#[tokio::test]
async fn without_a_barrier_a_step_still_waits_for_what_it_needs_of_another_host() {
    let (server, client) = export_and_mount();
    let fleet = || {
        let plays = Fleet::new(&["b", "z"], vec![]).play("p", vec![server.clone()]);
        plays.play("q", vec![want("other", "1"), client.clone()]).free()
    };
    let seen = fleet().apply().await;
    assert!(seen.planned().contains(&"b mount: change after z export".to_owned()), "{:?}", seen.planned());
    assert_as_planned(&seen);

    // Nobody waits for a host that has failed.
    let fleet = fleet();
    fleet.world.with("z", |h| h.fails.insert("export".into(), 9));
    let ended = fleet.apply().await.ended();
    assert!(ended.contains(&"b mount: failed: export is not there on z".to_owned()), "{ended:?}");
    assert!(ended.contains(&"b other: changed".to_owned()), "{ended:?}");
}

#[tokio::test]
async fn serial_goes_host_by_host_and_stops_when_too_many_fail() {
    let fleet = Fleet::new(&["a", "b", "c"], vec![]).play("p", vec![want("x", "1")]).serial(1, Some(0));
    fleet.world.with("b", |h| h.fails.insert("x".into(), 9));
    let seen = fleet.apply().await;
    assert_eq!(seen.ended()[0], "a x: changed");
    assert!(seen.ended()[1].starts_with("b x: failed"));
    assert!(fleet.world.with("c", |h| h.keys.is_empty()), "c was not begun");
}

#[tokio::test]
async fn what_interrupts_users_is_refused_unless_allowed() {
    let outage = || step("x", Toy { key: "x", value: "1", disrupts: true, ..Toy::default() });
    let mut fleet = Fleet::new(&["a"], vec![]).play("p", vec![outage()]);
    assert_eq!(
        fleet.plan().await.planned(),
        ["a x: error: held back: to set x to 1 interrupts users: stops everything"]
    );
    assert!(fleet.apply().await.ended().is_empty());
    fleet.options.allow_disruptive = true;
    assert_eq!(fleet.apply().await.ended(), ["a x: changed"]);
}

#[tokio::test]
async fn a_step_that_uses_results_is_known_as_soon_as_they_are() {
    let mut after = want("y", "1");
    after.results.push(ResultOf { play: PlayIndex::new(0), step: StepId::new("x") });
    let fleet = Fleet::new(&["a"], vec![]).play("p", vec![want("x", "1"), after]);
    let seen = fleet.apply().await;
    assert_eq!(seen.planned(), ["a x: change", "a y: unknown until step `x` has run"]);
    assert_eq!(seen.ended(), ["a x: changed", "a y: changed"]);
    assert_eq!(fleet.plan().await.planned(), ["a x: unchanged", "a y: skipped"]);
}

#[tokio::test]
async fn plans_and_events_keep_inventory_order() {
    let names: Vec<String> = (0..30).map(|n| format!("host-{:02}", 29 - n)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let fleet = Fleet::new(&names, vec![]).play("p", vec![want("x", "1"), want("y", "1")]);
    let planned = fleet.plan().await.planned();
    let wanted: Vec<String> =
        ["x", "y"].iter().flat_map(|key| names.iter().map(move |n| format!("{n} {key}: change"))).collect();
    assert_eq!(planned, wanted);
}
