//! One bad host stops no other: who is left out, and that all else is as if they had not been there.

use hostwright::model::{HostIndex, Kind, OnFailure, Resource, StepId};
use hostwright::transport::scripted::Faults;
use proptest::prelude::*;

use super::toy::{Fleet, Seen, Toy, Written, step, want};

fn on(mut step: Written, hosts: &[&'static str]) -> Written {
    step.hosts = Some(hosts.to_vec());
    step
}

fn broken(fleet: &Fleet, host: &str, key: &str) {
    fleet.world.with(host, |h| h.broken.push(key.into()));
}

/// The names of the hosts that are left out.
fn out(seen: &Seen) -> Vec<String> {
    seen.summary.left_out.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn assert_untouched(fleet: &Fleet, host: &str) {
    let name = &fleet.hosts.iter().find(|h| h.name.as_str() == host).unwrap().name;
    let scripts = fleet.connector.log(name).scripts;
    let asks = |s: &String| s.starts_with("get ") || s == "ask_pending.sh";
    let acts: Vec<_> = scripts.iter().filter(|s| !asks(s)).collect();
    assert!(acts.is_empty(), "{host} is left out, and was sent {acts:?}");
}

#[tokio::test]
async fn a_host_whose_plan_is_an_error_is_left_out_whole_and_all_others_are_applied() {
    let fleet = Fleet::new(&["a", "b", "c"], vec![])
        .play("p", vec![want("x", "1"), want("y", "1"), want("z", "1")])
        .play("q", vec![want("v", "1")]);
    broken(&fleet, "b", "y");
    let plan = fleet.plan().await;
    let error = "b y: error: cannot understand the host's answer: expected a value";
    let planned: Vec<_> = plan.planned().into_iter().filter(|line| line.starts_with('b')).collect();
    assert_eq!(planned, ["b x: left out", error, "b z: left out", "b v: left out"]);
    assert_eq!((plan.summary.total.failed, plan.summary.total.would_change), (1, 8));
    assert_eq!(
        plan.left_out(),
        ["b: `y` cannot work: cannot understand the host's answer: expected a value"]
    );

    let seen = fleet.apply().await;
    assert_eq!(out(&seen), ["b"]);
    assert_untouched(&fleet, "b");
    assert_eq!((seen.summary.total.changed, seen.summary.total.failed), (8, 0));
    assert!(seen.ended().iter().all(|line| !line.starts_with('b')));
}

#[tokio::test]
async fn what_all_steps_of_a_host_say_is_said_once() {
    let refused = Faults { refuse_privilege: Some("sudo: wrong password".into()), ..Faults::default() };
    let steps = vec![want("x", "1"), want("y", "1"), want("z", "1")];
    let fleet = Fleet::new(&["a", "b"], vec![("a", refused)]).play("p", steps);
    let seen = fleet.apply().await;
    assert_eq!(seen.left_out(), ["a: 3 steps cannot work: sudo: wrong password"]);
    assert_eq!(seen.summary.total.changed, 3);
}

#[tokio::test]
async fn who_needs_what_does_not_come_is_left_out_too_through_any_number_of_hosts() {
    let after =
        |id, host, key| step(id, Toy { key: id, value: "1", after: Some((host, key)), ..Toy::default() });
    let fleet = || {
        Fleet::new(&["a", "b", "c", "d"], vec![]).play(
            "p",
            vec![
                on(want("export", "1"), &["a"]),
                on(after("mount", "a", "export"), &["b"]),
                on(after("data", "b", "mount"), &["c"]),
                on(want("other", "1"), &["a", "d"]),
            ],
        )
    };
    let bad = fleet();
    broken(&bad, "a", "other");
    let seen = bad.apply().await;
    assert_eq!(
        seen.left_out()[1..],
        [
            "b: needs the path export of a, which is left out",
            "c: needs the path mount of b, which is left out"
        ]
    );
    assert_eq!(seen.ended(), ["d other: changed"]);

    // What is there already is not needed of anybody.
    let bad = fleet();
    broken(&bad, "a", "other");
    bad.world.with("a", |h| h.keys.insert("export".into(), "1".into()));
    let seen = bad.apply().await;
    assert_eq!(seen.left_out()[1], "b: has to ask a, which is left out");
    assert_eq!(out(&seen), ["a", "b", "c"]);
    let bad = fleet();
    broken(&bad, "a", "other");
    bad.world.with("a", |h| h.keys.insert("export".into(), "1".into()));
    bad.world.with("b", |h| h.keys.insert("mount".into(), "1".into()));
    let seen = bad.apply().await;
    assert_eq!(out(&seen), ["a"], "what is done needs nothing");
    let mut ended = seen.ended();
    ended.sort();
    assert_eq!(ended, ["b mount: unchanged", "c data: changed", "d other: changed"]);
}

#[tokio::test]
async fn who_acts_on_a_host_that_is_left_out_is_left_out_too() {
    let join =
        on(step("join", Toy { key: "id", value: "n7", registers: Some("m"), ..Toy::default() }), &["a"]);
    let fleet = Fleet::new(&["a", "m", "z"], vec![]).play("p", vec![want("x", "1"), join]);
    broken(&fleet, "m", "x");
    let seen = fleet.apply().await;
    assert_eq!(seen.left_out()[0], "a: has to act on m, which is left out");
    assert_untouched(&fleet, "m");
    assert_eq!(seen.ended(), ["z x: changed"]);
}

#[tokio::test]
async fn what_another_host_finds_there_meets_a_need_of_the_fleet() {
    let label = || Resource::fleet(Kind::NodeLabel, "data=true");
    let mut labels = want("label", "1");
    labels.provides.push(label());
    let mut service = on(want("service", "1"), &["m"]);
    service.needs.push(label());
    let fleet = |there: bool| {
        let fleet = Fleet::new(&["m", "w1", "w2"], vec![]).play(
            "p",
            vec![on(labels.clone(), &["w1", "w2"]), on(want("bad", "1"), &["w2"]), service.clone()],
        );
        broken(&fleet, "w2", "bad");
        if there {
            fleet.world.with("w1", |h| h.keys.insert("label".into(), "1".into()));
        }
        fleet
    };
    assert_eq!(out(&fleet(true).apply().await), ["w2"]);
    assert_eq!(out(&fleet(false).apply().await), ["w2"], "the other one brings it");
    let alone = Fleet::new(&["m", "w2"], vec![])
        .play("p", vec![on(labels.clone(), &["w2"]), on(want("bad", "1"), &["w2"]), service.clone()]);
    broken(&alone, "w2", "bad");
    let seen = alone.apply().await;
    assert_eq!(seen.left_out()[0], "m: needs the node label data=true of w2, which is left out");
}

#[tokio::test]
async fn a_step_that_lets_its_host_go_on_fails_at_its_turn() {
    let mut soft = want("x", "1");
    soft.on_failure = OnFailure::Continue;
    let fleet = Fleet::new(&["a"], vec![]).play("p", vec![soft.clone(), want("y", "1")]);
    broken(&fleet, "a", "x");
    let seen = fleet.apply().await;
    let why = "cannot understand the host's answer: expected a value";
    assert_eq!(seen.planned(), [format!("a x: error: {why}"), "a y: change".into()]);
    assert_eq!(seen.ended(), [format!("a x: failed: {why}"), "a y: changed".into()]);
    assert!(seen.summary.left_out.is_empty());

    // Who needs what it would have brought says so.
    let unit = step("unit", Toy { key: "unit", value: "on", comes_with: Some("x"), ..Toy::default() });
    let fleet = Fleet::new(&["a"], vec![]).play("p", vec![soft.clone(), unit]);
    broken(&fleet, "a", "x");
    let seen = fleet.plan().await;
    assert_eq!(seen.left_out(), ["a: `unit` cannot work: x is not there"]);
    let hint = seen.events.iter().find_map(|e| match &e.body {
        hostwright::event::Body::Planned(entry) if entry.at.step.as_str() == "unit" => {
            match &entry.forecast {
                hostwright::event::Forecast::Error { failure } => failure.hint.clone(),
                _ => None,
            }
        }
        _ => None,
    });
    assert_eq!(hint.as_deref(), Some("step `x`, which would bring path x, cannot work"));

    // It may also be what it needs of another host that does not come.
    let mut mount = on(
        step("mount", Toy { key: "mount", value: "1", after: Some(("z", "export")), ..Toy::default() }),
        &["b"],
    );
    mount.on_failure = OnFailure::Continue;
    let fleet = Fleet::new(&["b", "z"], vec![]).play(
        "p",
        vec![on(want("export", "1"), &["z"]), on(want("bad", "1"), &["z"]), mount, want("y", "1")],
    );
    broken(&fleet, "z", "bad");
    let seen = fleet.apply().await;
    assert_eq!(out(&seen), ["z"]);
    assert_eq!(seen.planned()[2], "b mount: error: needs the path export of z, which is left out");
    assert_eq!(seen.ended(), ["b mount: failed: export is not there on z", "b y: changed"]);
}

#[tokio::test]
async fn an_error_that_another_bad_host_would_have_brought_about_is_none() {
    let spoils = on(step("s", Toy { key: "s", value: "1", spoils: Some("it"), ..Toy::default() }), &["a"]);
    let refuses = on(step("y", Toy { key: "y", value: "1", refuses: Some("it"), ..Toy::default() }), &["b"]);
    let fleet = || {
        Fleet::new(&["a", "b"], vec![])
            .play("p", vec![spoils.clone(), refuses.clone(), on(want("x", "1"), &["a"])])
    };
    let well = fleet();
    let seen = well.apply().await;
    assert_eq!(seen.left_out(), ["b: `y` cannot work: it is spoilt"]);
    assert_eq!(seen.ended(), ["a s: changed", "a x: changed"]);

    let bad = fleet();
    broken(&bad, "a", "x");
    let seen = bad.apply().await;
    assert_eq!(out(&seen), ["a"]);
    assert_eq!(seen.ended(), ["b y: changed"]);
}

#[tokio::test]
async fn all_or_nothing_is_for_who_asks_for_it() {
    let fleet = || {
        let fleet = Fleet::new(&["a", "b"], vec![]).play("p", vec![want("x", "1")]);
        broken(&fleet, "b", "x");
        fleet
    };
    let nothing = |fleet: &Fleet, seen: &Seen| {
        assert!(seen.ended().is_empty(), "{:?}", seen.ended());
        for host in ["a", "b"] {
            assert_untouched(fleet, host);
        }
        seen.summary.blocked.clone().unwrap()
    };
    let mut asked = fleet();
    asked.options.all_or_nothing = true;
    let seen = asked.apply().await;
    assert_eq!(nothing(&asked, &seen), "1 host is left out, and it was to be all or nothing");

    let mut written = fleet();
    written.plays[0].all_or_nothing = true;
    let seen = written.apply().await;
    assert_eq!(nothing(&written, &seen), "1 host is left out, and `p` is all or nothing");

    let mut other = fleet();
    other.plays[0].all_or_nothing = true;
    other.plays[0].hosts = vec![HostIndex::new(0)];
    assert_eq!(other.apply().await.ended(), ["a x: changed"], "nobody of its hosts is left out");

    let mut hard = want("x", "1");
    hard.on_failure = OnFailure::StopAll;
    let fleet = Fleet::new(&["a", "b"], vec![]).play("p", vec![hard]);
    broken(&fleet, "b", "x");
    let seen = fleet.apply().await;
    assert_eq!(nothing(&fleet, &seen), "b is left out for a step whose failure stops all hosts");
}

#[tokio::test]
async fn who_is_left_out_counts_as_failed_where_failures_are_counted() {
    let fleet = |allowed| {
        let fleet = Fleet::new(&["a", "b", "c"], vec![]).play("p", vec![want("x", "1")]).serial(1, allowed);
        broken(&fleet, "b", "x");
        fleet
    };
    let seen = fleet(Some(0)).apply().await;
    assert!(seen.ended().is_empty(), "known before anything is begun");
    assert_eq!(
        seen.summary.blocked.as_deref(),
        Some("1 host is left out, and `p` allows no more than 0 of a batch to fail")
    );
    for allowed in [Some(1), None] {
        assert_eq!(fleet(allowed).apply().await.ended(), ["a x: changed", "c x: changed"], "{allowed:?}");
    }
    // One that fails besides is one too many.
    let both = Fleet::new(&["a", "b", "c"], vec![]).play("p", vec![want("x", "1")]).serial(2, Some(1));
    broken(&both, "b", "x");
    both.world.with("a", |h| h.fails.insert("x".into(), 9));
    let seen = both.apply().await;
    assert_eq!(seen.warnings(), ["stopped: 1 of 1 hosts failed in `p`, 1 left out"]);
    assert!(both.world.with("c", |h| h.keys.is_empty()));
    assert_eq!(seen.summary.total.not_reached, 1);
}

const HOSTS: [&str; 4] = ["a", "b", "c", "d"];
const KEYS: [&str; 3] = ["x", "y", "z"];

/// A step in numbers: id, hosts, what it wants, what it needs.
#[derive(Debug, Clone)]
struct Some {
    hosts: Vec<usize>,
    key: usize,
    value: bool,
    form: u8,
    other: usize,
    soft: bool,
}

fn some() -> impl Strategy<Value = Some> {
    let hosts = proptest::sample::subsequence((0..HOSTS.len()).collect::<Vec<_>>(), 1..=HOSTS.len());
    (hosts, 0..KEYS.len(), any::<bool>(), 0..10_u8, 0..HOSTS.len(), proptest::bool::weighted(0.15))
        .prop_map(|(hosts, key, value, form, other, soft)| Some { hosts, key, value, form, other, soft })
}

fn written(n: usize, some: &Some) -> Written {
    let leak = |text: String| -> &'static str { &*text.leak() };
    let (key, value) = (KEYS[some.key], if some.value { "1" } else { "2" });
    let other = HOSTS[some.other];
    let next = KEYS[(some.key + 1) % KEYS.len()];
    let own = leak(format!("own{n}"));
    let toy = match some.form {
        // Plain ones, and those that need something here, of another host, or tell another host.
        0..=2 => Toy { key, value, ..Toy::default() },
        3 => Toy { key: own, value, comes_with: Some(key), ..Toy::default() },
        4 => Toy { key: own, value, after: Some((other, key)), ..Toy::default() },
        5 => Toy { key: own, value, registers: Some(other), ..Toy::default() },
        // What one will leave the other does not put up with.
        8 => Toy { key: own, value, spoils: Some(key), ..Toy::default() },
        9 => Toy { key: own, value, refuses: Some(key), ..Toy::default() },
        _ => Toy { key: own, value, ..Toy::default() },
    };
    let mut step = step(leak(format!("s{n}")), toy);
    step.hosts = Some(
        some.hosts.iter().map(|h| HOSTS[*h]).filter(|h| !matches!(some.form, 4 | 5) || *h != other).collect(),
    );
    if some.form == 6 {
        step.needs.push(Resource::on(other, Kind::Path, next));
    }
    if some.form == 7 {
        step.needs.push(Resource::fleet(Kind::NodeLabel, key));
    }
    if some.form == 2 {
        step.provides.push(Resource::fleet(Kind::NodeLabel, next));
        step.notify.push(StepId::new("handler"));
    }
    // What has to do with another host may come about at its turn after all: nobody waits for what cannot work.
    if some.soft && some.form < 4 {
        step.on_failure = OnFailure::Continue;
    }
    step
}

fn fleet(steps: &[Some], there: &[(usize, usize)], bad: &[(usize, usize)]) -> Fleet {
    let mut handler = want("handled", "1");
    handler.id = StepId::new("handler");
    handler.handler = true;
    let all: Vec<Written> = steps.iter().enumerate().map(|(n, s)| written(n, s)).collect();
    let (first, second) = all.split_at(all.len() / 2);
    let with_handler = |steps: &[Written]| steps.iter().cloned().chain([handler.clone()]).collect();
    let fleet = Fleet::new(&HOSTS, vec![]).play("p", with_handler(first)).play("q", with_handler(second));
    for (host, key) in there {
        fleet.world.with(HOSTS[*host], |h| h.keys.insert(KEYS[*key].into(), "1".into()));
    }
    for (host, step) in bad {
        let key = all[step % all.len()].toy.key;
        broken(&fleet, HOSTS[*host], key);
    }
    fleet
}

/// How the steps of these hosts ended, without the words of failures, by host in their order.
fn ends(seen: &Seen, of: &[String]) -> Vec<String> {
    let mut ends: Vec<String> = seen
        .ended()
        .into_iter()
        .filter(|line| of.iter().any(|host| line.starts_with(&format!("{host} "))))
        .map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(": "))
        .collect();
    ends.sort_by_key(|line| line.split(' ').next().map(str::to_owned));
    ends
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_others_end_as_if_the_bad_hosts_were_not_there(
        steps in proptest::collection::vec(some(), 2..9),
        there in proptest::collection::vec((0..HOSTS.len(), 0..KEYS.len()), 0..5),
        bad in proptest::collection::vec((0..HOSTS.len(), 0..9_usize), 0..3),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let all = fleet(&steps, &there, &bad);
            let before: Vec<_> = HOSTS.iter().map(|h| all.world.with(h, |h| h.keys.clone())).collect();
            let plan = all.plan().await;
            let seen = all.apply().await;
            assert_eq!(plan.planned(), seen.planned());
            let out = out(&seen);
            let staying: Vec<String> =
                HOSTS.iter().map(|h| (*h).to_owned()).filter(|h| !out.contains(h)).collect();

            // Nobody who is left out was touched, and each has a reason: its own, or of another who is.
            for (host, before) in HOSTS.iter().zip(before) {
                if out.iter().any(|o| o == host) {
                    assert_untouched(&all, host);
                    assert_eq!(all.world.with(host, |h| h.keys.clone()), before);
                }
            }
            for event in &seen.events {
                if let hostwright::event::Body::HostLeftOut { host, needs, steps, .. } = &event.body {
                    assert!(!steps.is_empty() && steps.iter().all(|s| s.host == *host));
                    assert!(needs.iter().all(|n| out.contains(&n.to_string())));
                    let own = seen.planned().iter().any(|l| l.starts_with(&format!("{host} ")) && l.contains(": error: "));
                    assert!(own || !needs.is_empty(), "{host} is left out for nothing");
                }
            }

            // The others end as their plan says.
            let mut planned: Vec<String> = seen.planned().iter().filter(|l| !l.ends_with(": left out"))
                .filter(|l| staying.iter().any(|h| l.starts_with(&format!("{h} "))))
                .map(|line| {
                    let (at, what) = line.split_once(": ").unwrap();
                    let what = match what.split([' ', ':']).next().unwrap() {
                        "change" => "changed",
                        "error" => "failed",
                        other => other,
                    };
                    format!("{at}: {what}")
                })
                .collect();
            planned.sort_by_key(|line| line.split(' ').next().map(str::to_owned));
            assert_eq!(ends(&seen, &staying), planned);

            // And as they would without those who are left out.
            let mut without = fleet(&steps, &there, &bad);
            without.limit = Some(staying.clone());
            let other = without.apply().await;
            assert!(other.summary.left_out.is_empty(), "{:?} but {:?}", seen.left_out(), other.left_out());
            assert_eq!(ends(&seen, &staying), ends(&other, &staying));
            for host in &staying {
                let (one, two) = (all.world.with(host, |h| h.keys.clone()), without.world.with(host, |h| h.keys.clone()));
                assert_eq!(one, two, "{host}");
            }
        });
    }
}
