//! Steps that share a frame: what it saves, and that nothing else differs.

use hostwright::event::{Body, Outcome};
use hostwright::model::{HostName, Kind, OnFailure, Resource, StepId};
use hostwright::transport::scripted::Faults;
use proptest::prelude::*;

use super::toy::{Fleet, Seen, Toy, Written, step};

/// Wants `key` to have `value`, and the host can tell.
fn tells(key: &'static str, value: &'static str) -> Written {
    step(key, Toy { key, value, tells: true, ..Toy::default() })
}

fn log(fleet: &Fleet, host: &str) -> Vec<String> {
    fleet.connector.log(&HostName::new(host).unwrap()).scripts
}

#[tokio::test]
async fn steps_that_do_not_touch_each_other_share_a_frame() {
    let fleet = Fleet::new(&["a"], vec![]).play("p", vec![tells("x", "1"), tells("y", "1"), tells("z", "1")]);
    fleet.world.with("a", |h| h.keys.insert("y".into(), "1".into()));
    let seen = fleet.apply().await;
    assert_eq!(seen.ended(), ["a x: changed", "a y: unchanged", "a z: changed"]);
    assert_eq!(seen.exchanges, [2]);
    assert_eq!(log(&fleet, "a")[3..], ["set x 1", "set z 1", "get x", "get z"]);
    let started = |body: &Body| matches!(body, Body::StepStarted { .. });
    assert_eq!(seen.events.iter().filter(|e| started(&e.body)).count(), 2, "each that acts is told of once");
}

#[tokio::test]
async fn what_a_later_step_changes_again_is_verified_before() {
    let again = step("again", Toy { key: "x", value: "2", tells: true, ..Toy::default() });
    let fleet = Fleet::new(&["a"], vec![]).play("p", vec![tells("x", "1"), tells("y", "1"), again]);
    let seen = fleet.apply().await;
    assert_eq!(seen.ended(), ["a x: changed", "a y: changed", "a again: changed"]);
    assert_eq!(log(&fleet, "a")[2..], ["set x 1", "set y 1", "get x", "set x 2", "get y", "get x"]);
    assert_eq!(seen.exchanges, [2]);
}

#[tokio::test]
async fn one_that_may_do_anything_has_a_frame_of_its_own_and_is_asked_again_only_where_it_looks() {
    let anything = Toy { key: "w", value: "1", opaque: true, says: true, ..Toy::default() };
    let steps = vec![tells("x", "1"), step("w", anything.clone()), tells("y", "1"), tells("z", "1")];
    let fleet = Fleet::new(&["a"], vec![]).play("p", steps);
    let seen = fleet.apply().await;
    assert_eq!(seen.ended(), ["a x: changed", "a w: changed", "a y: changed", "a z: changed"]);
    assert_eq!(log(&fleet, "a")[4..8], ["set x 1", "get x", "get w", "set w 1"]);
    assert_eq!(seen.exchanges, [4]);

    // What it looks at nobody knows: it looks again, where one that says it need not.
    for (says, asked) in [(true, 2), (false, 3)] {
        let there = Toy { says, ..anything.clone() };
        let fleet = Fleet::new(&["a"], vec![]).play("p", vec![tells("x", "1"), step("w", there)]);
        fleet.world.with("a", |h| h.keys.insert("w".into(), "1".into()));
        fleet.apply().await;
        assert_eq!(log(&fleet, "a").iter().filter(|s| *s == "get w").count(), asked - 1, "says: {says}");
    }
}

#[tokio::test]
async fn nothing_is_done_behind_an_action_that_fails() {
    let mut soft = tells("y", "1");
    soft.on_failure = OnFailure::Continue;
    let fleet = Fleet::new(&["a"], vec![]).play("p", vec![tells("x", "1"), soft, tells("z", "1")]);
    fleet.world.with("a", |h| h.fails.insert("y".into(), 1));
    let seen = fleet.apply().await;
    assert_eq!(seen.ended(), ["a x: changed", "a y: failed: `set y` failed", "a z: changed"]);
    assert_eq!(log(&fleet, "a")[3..6], ["set x 1", "set y 1", "get x"], "then what had come is verified");

    let fleet = Fleet::new(&["a"], vec![]).play("p", vec![tells("x", "1"), tells("y", "1"), tells("z", "1")]);
    fleet.world.with("a", |h| h.fails.insert("y".into(), 1));
    let seen = fleet.apply().await;
    assert_eq!(seen.ended(), ["a x: changed", "a y: failed: `set y` failed", "a z: notreached"]);
    assert!(fleet.world.with("a", |h| !h.keys.contains_key("z")));
}

#[tokio::test]
async fn what_does_not_hold_is_told_though_the_host_did_not_notice() {
    let fleet = Fleet::new(&["a"], vec![]).play("p", vec![tells("x", "1"), tells("y", "1")]);
    fleet.world.with("a", |h| h.sticky.push("x".into()));
    let ended = fleet.apply().await.ended();
    assert!(ended[0].starts_with("a x: failed: did not hold"), "{ended:?}");
    assert_eq!(ended[1], "a y: changed", "it is told what was done");
}

#[tokio::test]
async fn who_is_waited_for_does_not_wait_for_others() {
    let mut export = tells("export", "1");
    export.hosts = Some(vec!["a"]);
    let mut more = tells("more", "1");
    more.hosts = Some(vec!["a"]);
    let mut mount =
        step("mount", Toy { key: "m", value: "1", after: Some(("a", "export")), ..Toy::default() });
    mount.hosts = Some(vec!["b"]);
    let fleet = Fleet::new(&["a", "b"], vec![]).play("p", vec![export, more, mount]);
    let seen = fleet.apply().await;
    assert_eq!(seen.exchanges[0], 5, "asked, set, set, asked for `b`, and once more when it is there");
}

#[tokio::test]
async fn handlers_that_several_steps_notify_are_noted_once_and_run_once() {
    let notifying = |key| {
        let mut step = tells(key, "1");
        step.notify = vec![StepId::new("restart")];
        step
    };
    let mut restart = step("restart", Toy { key: "r", value: "1", ..Toy::default() });
    restart.handler = true;
    let steps = vec![notifying("x"), notifying("y"), restart];
    let fleet = Fleet::new(&["a"], vec![]).play("p", steps.clone());
    let seen = fleet.apply().await;
    assert_eq!(seen.ended(), ["a x: changed", "a y: changed", "a restart: changed"]);
    assert_eq!(log(&fleet, "a").iter().filter(|s| s.starts_with("note_pending")).count(), 1);

    // The first fails: nothing is due.
    let fleet = Fleet::new(&["a"], vec![]).play("p", steps);
    fleet.world.with("a", |h| h.fails.insert("x".into(), 1));
    let seen = fleet.apply().await;
    assert_eq!(seen.ended(), ["a x: failed: `set x` failed", "a y: notreached", "a restart: skipped"]);
    assert!(fleet.world.with("a", |h| h.keys.keys().all(|k| !k.starts_with("due "))));
}

const HOSTS: [&str; 3] = ["a", "b", "c"];
const KEYS: [&str; 4] = ["u", "v", "w", "x"];

/// A step of the laws.
#[derive(Debug, Clone)]
struct Any {
    hosts: Vec<usize>,
    key: usize,
    value: bool,
    form: u8,
    notifies: bool,
    on_failure: u8,
}

fn any_step() -> impl Strategy<Value = Any> {
    let hosts = proptest::sample::subsequence((0..HOSTS.len()).collect::<Vec<_>>(), 1..=HOSTS.len());
    (hosts, 0..KEYS.len(), any::<bool>(), 0..16_u8, proptest::bool::weighted(0.2), 0..12_u8).prop_map(
        |(hosts, key, value, form, notifies, on_failure)| Any {
            hosts,
            key,
            value,
            form,
            notifies,
            on_failure,
        },
    )
}

fn written(n: usize, any: &Any, tells: bool) -> Written {
    let leak = |text: String| -> &'static str { &*text.leak() };
    let (key, value) = (KEYS[any.key], if any.value { "1" } else { "2" });
    let own = leak(format!("own{n}"));
    let plain = Toy { key, value, tells, ..Toy::default() };
    let toy = match any.form {
        0 => Toy { key: own, comes_with: Some(key), ..plain },
        1 => Toy { key: own, also: Some(key), ..plain },
        2 => Toy { key: own, opaque: true, ..plain },
        3 => Toy { key: own, after: Some((HOSTS[any.key % HOSTS.len()], key)), ..plain },
        4 => Toy { key: own, hides: Some(key), ..plain },
        // It takes long, or its exit code does not tell.
        5 => Toy { tells: false, ..plain },
        8 => Toy { key: own, opaque: true, says: true, ..plain },
        6 | 7 => Toy { key: own, ..plain },
        _ => plain,
    };
    let after = toy.after.map(|(host, _)| host);
    let mut step = step(leak(format!("s{n}")), toy);
    step.hosts = Some(any.hosts.iter().map(|h| HOSTS[*h]).filter(|h| Some(*h) != after).collect());
    if any.form == 7 {
        step.needs.push(Resource::here(Kind::Path, key));
    }
    if any.notifies {
        step.notify = vec![StepId::new("handler")];
    }
    step.on_failure = match any.on_failure {
        0 => OnFailure::Continue,
        _ => OnFailure::Stop,
    };
    step.retries = u32::from(any.on_failure == 1);
    step
}

/// What goes wrong.
#[derive(Debug, Clone)]
struct Trouble {
    host: usize,
    step: usize,
    loses: bool,
}

fn fleet(steps: &[Any], there: &[(usize, usize)], troubles: &[Trouble], tells: bool) -> Fleet {
    let mut handler = step("handler", Toy { key: "handled", value: "1", ..Toy::default() });
    handler.handler = true;
    let half = steps.len() / 2;
    let all: Vec<_> = steps.iter().enumerate().map(|(n, any)| written(n, any, tells)).collect();
    let keys: Vec<_> = all.iter().map(|written| written.toy.key).collect();
    let play = |steps: &[Written]| steps.iter().cloned().chain([handler.clone()]).collect::<Vec<_>>();
    let fleet = Fleet::new(&HOSTS, HOSTS.iter().map(|h| (*h, Faults::default())).collect())
        .play("p", play(&all[..half]))
        .play("q", play(&all[half..]));
    for &(host, key) in there {
        fleet.world.with(HOSTS[host], |h| h.keys.insert(KEYS[key].into(), "1".into()));
    }
    for Trouble { host, step, loses } in troubles {
        let Some(key) = keys.get(*step) else { continue };
        fleet.world.with(HOSTS[*host], |h| {
            if *loses {
                h.loses.push((*key).into());
            } else {
                h.fails.insert((*key).into(), 1);
            }
        });
    }
    fleet
}

/// How the steps of a host ended, in their order.
fn of(seen: &Seen, host: &str) -> Vec<String> {
    seen.ended().into_iter().filter(|line| line.starts_with(&format!("{host} "))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_but_the_number_of_exchanges_differs(
        steps in proptest::collection::vec(any_step(), 2..12),
        there in proptest::collection::vec((0..HOSTS.len(), 0..KEYS.len()), 0..5),
        troubles in proptest::collection::vec((0..HOSTS.len(), 0..14_usize, any::<bool>()), 0..3),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let troubles: Vec<_> =
                troubles.into_iter().map(|(host, step, loses)| Trouble { host, step, loses }).collect();
            let one_by_one = fleet(&steps, &there, &troubles, false);
            let together = fleet(&steps, &there, &troubles, true);
            let (one, all) = (one_by_one.apply().await, together.apply().await);
            assert_eq!(one.planned(), all.planned());
            for host in HOSTS {
                assert_eq!(of(&one, host), of(&all, host));
                assert_eq!(
                    one_by_one.world.with(host, |h| h.keys.clone()),
                    together.world.with(host, |h| h.keys.clone()),
                    "{host}"
                );
            }
            if troubles.is_empty() {
                for (one, all) in one.exchanges.iter().zip(&all.exchanges) {
                    // What a frame carries is at times no longer what the next one would have asked along: that is one more.
                    assert!(*all <= *one + 1, "{all} exchanges instead of {one}");
                }
            }
            // Each step that did something was told of before it ended, and once.
            let acted = |o: Outcome| matches!(o, Outcome::Changed | Outcome::Failed);
            for event in &all.events {
                let Body::StepFinished(finished) = &event.body else { continue };
                let begun = all.events.iter().filter(
                    |e| matches!(&e.body, Body::StepStarted { at, .. } if *at == finished.at),
                );
                let begun = begun.count();
                assert!(begun == 1 || begun == 0 && !acted(finished.outcome), "{begun} times: {:?}", finished.at);
            }
            let again = together.apply().await;
            if troubles.is_empty() {
                let one = one_by_one.apply().await;
                for host in HOSTS {
                    assert_eq!(of(&one, host), of(&again, host));
                }
            }
        });
    }
}
