//! The displays, as text that a user reads: review the snapshots as such.

pub(crate) mod stream;

use std::io::Write;
use std::sync::{Arc, Mutex};

use hostwright::event::{Body, Event, Forecast, Mode, Outcome};
use hostwright::model::{Failure, PlayIndex};
use hostwright::report::{Bars, Detail, Json, Look, Plain, PlanText, Reporter, Sink};
use indicatif::InMemoryTerm;
use stream::{Stream, first_apply, first_plan, fleet, fleet_apply, host, one_of_each};

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn show(events: &[Event], reporter: impl FnOnce(Page) -> Box<dyn Reporter>) -> String {
    let page = Page::default();
    let mut reporter = reporter(page.clone());
    for event in events {
        reporter.event(event);
    }
    reporter.finish();
    page.text()
}

fn at_width(width: usize) -> Look {
    Look { color: false, unicode: true, width: Some(width) }
}

fn plan(mut stream: Stream, look: Look, detail: Detail) -> String {
    stream.plan_finished();
    let text = show(&stream.events, |page| Box::new(PlanText::new(Box::new(page), look, detail)));
    assert_fits(&text, look);
    text
}

/// Both streams on one page.
fn plain_on(page: &Page, look: Look, detail: Detail) -> Plain {
    let sink = || Sink { to: Box::new(page.clone()), look };
    Plain::new(sink(), sink(), detail)
}

fn plain(stream: &Stream, look: Look, detail: Detail) -> String {
    let text = show(&stream.events, |page| Box::new(plain_on(&page, look, detail)));
    assert_fits(&text, look);
    text
}

#[track_caller]
fn assert_fits(text: &str, look: Look) {
    let Some(width) = look.width else { return };
    for line in text.lines() {
        let columns = unicode_width::UnicodeWidthStr::width(line);
        assert!(columns <= width, "{columns} columns in {width}: {line:?}");
        assert_eq!(line.trim_end(), line, "blanks at the end");
    }
}

const VERBOSE: Detail = Detail { diff: true, verbose: 1, quiet: false, summary: false };
const BRIEF: Detail = Detail { diff: false, verbose: 0, quiet: false, summary: false };
const QUIET: Detail = Detail { diff: true, verbose: 0, quiet: true, summary: false };

macro_rules! snapshot {
    ($name:literal, $text:expr) => {
        insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "report/snapshots", omit_expression => true }, {
            insta::assert_snapshot!($name, $text)
        })
    };
}

#[test]
fn a_plan_reads_well() {
    snapshot!("plan_80", plan(first_plan(Mode::Plan), at_width(80), Detail::default()));
    snapshot!("plan_40", plan(first_plan(Mode::Plan), at_width(40), Detail::default()));
    snapshot!("plan_verbose", plan(first_plan(Mode::Plan), Look::PLAIN, VERBOSE));
    snapshot!("plan_no_diff", plan(first_plan(Mode::Plan), at_width(200), BRIEF));
    snapshot!("plan_quiet", plan(first_plan(Mode::Plan), at_width(80), QUIET));
    snapshot!("plan_fleet", plan(fleet(Mode::Plan), at_width(80), Detail::default()));
}

#[test]
fn who_is_left_out_and_what_was_not_reached_is_told() {
    let plan_of = |mode| stream::left_out_plan(mode);
    snapshot!("left_out_plan_80", plan(plan_of(Mode::Plan), at_width(80), Detail::default()));
    snapshot!("left_out_plan_40", plan(plan_of(Mode::Plan), at_width(40), Detail::default()));
    snapshot!("left_out_quiet", plan(plan_of(Mode::Plan), at_width(80), QUIET));
    let cut = stream::interrupted();
    let at_work = until(&cut, |b| matches!(b, Body::StepFinished(_)));
    let moving = bars(&cut.events, 24, 80, at_work);
    assert!(moving.ends_with("1/4 done  1 unreachable  4 left out  1 changed  5 s"), "{moving}");
    snapshot!("interrupted_80", plain(&cut, at_width(80), BRIEF));
    snapshot!("interrupted_40", plain(&cut, at_width(40), BRIEF));
    let told = show(&cut.events, |page| Box::new(plain_on(&page, at_width(80), BRIEF).plan_is_elsewhere()));
    assert!(told.contains("nfs-01     left out   2 steps cannot work: sudo: joe may not run"), "{told}");
}

#[test]
fn hosts_that_cannot_be_reached_are_not_called_done() {
    let hosts = stream::names(&["a", "b"]);
    let mut s = Stream::new(Mode::Plan, &hosts, &[("p", "P", &hosts, 1)]);
    for h in &hosts {
        s.push(Body::HostUnreachable { host: host(h), failure: Failure::new("No route to host") });
        s.plan((0, "x", "X", "file", 1), h, Forecast::Unreachable);
    }
    let text = plan(s, Look::PLAIN, BRIEF);
    assert!(text.ends_with("\nNo plan: none of the 2 hosts can be reached.\n"), "{text}");
}

#[test]
fn steps_are_counted_once_however_many_hosts_they_are_on() {
    let hosts = stream::names(&["a", "b", "c"]);
    let mut s = Stream::new(Mode::Apply, &hosts, &[("p", "P", &hosts, 2)]);
    for step in ["x", "y"] {
        for h in &hosts {
            let there =
                Forecast::Unchanged { reason: "there".into(), shows: String::new(), predicted: vec![] };
            s.plan((0, step, "X", "file", 1), h, there);
        }
    }
    let text = plan(s, Look::PLAIN, BRIEF);
    assert!(text.ends_with("\nNothing to do: 2 steps are as described on 3 hosts.\n"), "{text}");
}

#[test]
fn plain_lines_read_well() {
    snapshot!("plain_pipe", plain(&first_apply(), Look::PLAIN, BRIEF));
    snapshot!("plain_diff_80", plain(&first_apply(), at_width(80), VERBOSE));
    snapshot!("plain_40", plain(&first_apply(), at_width(40), BRIEF));
    snapshot!("plain_quiet", plain(&first_apply(), at_width(80), QUIET));
    snapshot!("plain_fleet", plain(&fleet_apply(), at_width(80), BRIEF));
}

/// What came of steps is data; what goes on meanwhile, and what to know, is not.
#[test]
fn results_are_data_and_progress_is_not() {
    let (out, err) = (Page::default(), Page::default());
    let sink = |page: &Page| Sink { to: Box::new(page.clone()), look: Look::PLAIN };
    let mut reporter = Box::new(Plain::new(sink(&out), sink(&err), Detail { verbose: 2, ..BRIEF }));
    let stream = first_apply();
    stream.events.iter().for_each(|event| reporter.event(event));
    reporter.finish();
    let (out, err) = (out.text(), err.text());
    for (wanted, other, words) in [
        (&out, &err, "  changed    "),
        (&out, &err, "NFS server (10-nfs-server)"),
        (&out, &err, "Failed: "),
        (&err, &out, "  | Installing"),
        (&err, &out, "  > install"),
        (&err, &out, "  retry      "),
    ] {
        assert!(wanted.contains(words) && !other.contains(words), "{words}\n--- out\n{out}\n--- err\n{err}");
    }
    // With bars, what came of it goes where it is wanted, and the terminal shows what moves.
    let (screen, page) = (InMemoryTerm::new(24, 80), Page::default());
    let mut reporter = Box::new(Bars::new(screen.clone(), at_width(80), Some(sink(&page)), BRIEF));
    stream.events.iter().for_each(|event| reporter.event(event));
    assert!(!screen.contents().contains("  changed "), "{}", screen.contents());
    reporter.finish();
    assert!(page.text().contains("  changed    ") && !page.text().contains("retry"), "{}", page.text());
}

/// What `run` sends of two hosts: one line of the first is lost on its way.
fn answers() -> Vec<Event> {
    let hosts = stream::names(&["a", "web-01"]);
    let mut s = Stream::new(Mode::Run, &hosts, &[]);
    let said = |host: &str, number, line: &str| Body::Said {
        host: stream::host(host),
        stderr: false,
        number,
        line: line.into(),
    };
    s.push(said("web-01", 0, "one"));
    s.push(said("a", 0, "x"));
    s.push(said("web-01", 2, "three"));
    let stdout = "one\ntwo\nthree\n".to_owned();
    s.push(Body::Answered { host: host("web-01"), code: 3, stdout, stderr: "why\n".into() });
    s.push(Body::NotAnswered { host: host("a"), failure: Failure::new("it broke").hint("look") });
    s.run_finished();
    s.events
}

#[test]
fn answers_are_passed_on_as_they_come_and_none_is_lost() {
    let (out, err) = (Page::default(), Page::default());
    let sink = |page: &Page| Sink { to: Box::new(page.clone()), look: Look::PLAIN };
    let mut reporter = Box::new(Plain::new(sink(&out), sink(&err), BRIEF));
    let events = answers();
    events[..4].iter().for_each(|event| reporter.event(event));
    assert_eq!(out.text(), "web-01 | one\na      | x\n");
    events[4..].iter().for_each(|event| reporter.event(event));
    reporter.finish();
    assert_eq!(out.text(), "web-01 | one\na      | x\nweb-01 | two\nweb-01 | three\n");
    assert_eq!(err.text(), "web-01 | why\nweb-01 | exit code 3\na      | it broke\na      | hint: look\n");
    // On a terminal equal answers are told together, when all are there.
    let screen = InMemoryTerm::new(24, 80);
    let mut reporter = Box::new(Bars::new(screen.clone(), at_width(80), None, BRIEF));
    for event in &events {
        reporter.event(event);
    }
    reporter.finish();
    assert!(
        screen.contents().starts_with("a\n  it broke\n  hint: look\n\nweb-01\n  one\n  two\n"),
        "{}",
        screen.contents()
    );
}

/// The apply of a fleet, as far as the first end of a step: all events, how many have been told, and where.
fn to_the_first_end() -> (Stream, usize, Page, Box<Plain>) {
    let many = fleet_apply();
    let first = until(&many, |b| matches!(b, Body::StepFinished(_)));
    let page = Page::default();
    let mut reporter = Box::new(plain_on(&page, at_width(80), BRIEF));
    many.events[..first].iter().for_each(|event| reporter.event(event));
    (many, first, page, reporter)
}

#[test]
fn what_ends_alike_is_held_back_for_a_while() {
    let (many, first, page, mut reporter) = to_the_first_end();
    let at_ms = many.events[first - 1].at_ms;
    let line = "worker-01     changed    Docker Engine  (12.3 s)\n";
    reporter.tick(at_ms + 1_000);
    assert!(!page.text().contains(line), "{}", page.text());
    reporter.tick(at_ms + 16_000);
    assert!(page.text().starts_with(&format!("\nDocker Engine (30-docker)\n{line}")), "{}", page.text());
    // Whoever stops in between loses nothing.
    let more = first
        + many.events[first..]
            .iter()
            .position(|e| matches!(&e.body, Body::StepFinished(f) if f.outcome == Outcome::Changed))
            .unwrap();
    many.events[first..=more].iter().for_each(|event| reporter.event(event));
    let line = "worker-02     changed    Docker Engine  (12.3 s)\n";
    assert!(!page.text().contains(line), "{}", page.text());
    reporter.finish();
    assert!(page.text().ends_with(line), "{}", page.text());
}

#[test]
fn without_a_terminal_it_is_told_what_still_runs() {
    let (many, busy, page, mut reporter) = to_the_first_end();
    let told = |reporter: &mut Plain, at_ms| {
        let before = page.text().len();
        reporter.tick(at_ms);
        page.text().split_off(before)
    };
    let at_ms = many.events[busy - 1].at_ms;
    let still = told(&mut reporter, at_ms + 30_000);
    snapshot!("still_running", still.trim_start());
    assert_eq!(told(&mut reporter, at_ms + 59_000), "");
    assert!(told(&mut reporter, at_ms + 61_000).starts_with("still running: "));
    // Nothing runs while the user reads the plan.
    let (page, planned) = (Page::default(), until(&many, |b| matches!(b, Body::PlanFinished { .. })));
    let mut reporter = Box::new(plain_on(&page, at_width(80), BRIEF));
    many.events[..planned].iter().for_each(|event| reporter.event(event));
    reporter.tick(600_000);
    assert_eq!(page.text(), "");
}

#[test]
fn a_summary_is_a_line_for_each_step() {
    const SUMMARY: Detail = Detail { summary: true, ..BRIEF };
    snapshot!("summary_plan", plan(first_plan(Mode::Plan), at_width(80), Detail { diff: true, ..SUMMARY }));
    snapshot!("summary_plan_fleet", plan(fleet(Mode::Plan), at_width(80), SUMMARY));
    snapshot!("summary_apply", plain(&first_apply(), at_width(80), SUMMARY));
}

#[test]
fn what_a_step_is_there_to_show_is_shown() {
    let view = stream::view();
    let planned =
        |detail| show(&view.events, |page| Box::new(PlanText::new(Box::new(page), Look::PLAIN, detail)));
    snapshot!("view_plan", planned(BRIEF));
    snapshot!("view_plain", plain(&view, Look::PLAIN, BRIEF));
    let quiet = planned(QUIET) + &plain(&view, Look::PLAIN, QUIET);
    assert!(!quiet.contains("centos-01"), "{quiet}");
}

#[test]
fn colour_adds_nothing_but_colour() {
    let colored = Look { color: true, ..at_width(80) };
    for stream in [first_apply(), fleet_apply()] {
        let with = show(&stream.events, |page| Box::new(plain_on(&page, colored, VERBOSE)));
        assert!(with.contains("\x1b[31m"));
        assert_eq!(without_color(&with), plain(&stream, at_width(80), VERBOSE));
        let mut stream = stream;
        stream.plan_finished();
        let with = show(&stream.events, |page| Box::new(PlanText::new(Box::new(page), colored, VERBOSE)));
        let text =
            show(&stream.events, |page| Box::new(PlanText::new(Box::new(page), at_width(80), VERBOSE)));
        assert_eq!(without_color(&with), text);
    }
}

fn without_color(text: &str) -> String {
    let mut out = String::new();
    for (n, piece) in text.split("\x1b[").enumerate() {
        out.push_str(if n == 0 { piece } else { piece.split_once('m').unwrap().1 });
    }
    out
}

#[test]
fn what_a_host_prints_cannot_draw() {
    let mut stream = first_apply();
    for event in &mut stream.events {
        let mut json = serde_json::to_value(&*event).unwrap();
        poison(&mut json);
        *event = serde_json::from_value(json).unwrap();
    }
    let text = plain(&stream, Look::PLAIN, Detail { verbose: 2, ..VERBOSE })
        + &plan(stream, Look::PLAIN, VERBOSE)
        + &bars(&fleet_apply().events, 24, 80, 60);
    assert!(text.contains("poison"));
    assert!(!text.contains(['\x1b', '\r', '\x07']), "{text:?}");
}

/// Adds a sequence that clears the screen to every text that comes from a host or a playbook.
fn poison(value: &mut serde_json::Value) {
    const FREE: [&str; 14] = [
        "name", "message", "output", "line", "label", "summary", "reason", "why", "until", "hint", "command",
        "text", "content", "disrupts",
    ];
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                match value {
                    serde_json::Value::String(text) if FREE.contains(&key.as_str()) => {
                        text.push_str(" poison\x1b[2J\x07\r");
                    }
                    other => poison(other),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(poison),
        _ => {}
    }
}

/// What a terminal of this size shows after so many events.
fn bars(events: &[Event], rows: u16, columns: u16, count: usize) -> String {
    let screen = InMemoryTerm::new(rows, columns);
    let look = Look { color: false, unicode: true, width: None };
    let mut bars = Box::new(Bars::new(screen.clone(), look, None, BRIEF));
    for event in &events[..count.min(events.len())] {
        bars.event(event);
    }
    bars.tick(events[..count.min(events.len())].last().unwrap().at_ms + 3_700);
    let text = screen.contents();
    bars.finish();
    text
}

/// The number of events up to and with the first one that `wanted` takes.
fn until(stream: &Stream, wanted: impl Fn(&Body) -> bool) -> usize {
    stream.events.iter().position(|e| wanted(&e.body)).unwrap() + 1
}

#[test]
fn bars_read_well() {
    let first = first_apply();
    let (connecting, output, failed) = (
        until(&first, |b| matches!(b, Body::HostConnected { .. })),
        until(&first, |b| matches!(b, Body::Output { .. })),
        until(
            &first,
            |b| matches!(b, Body::StepFinished(f) if f.outcome == Outcome::Changed && f.at.play == PlayIndex::new(1)),
        ),
    );
    let many = fleet_apply();
    let all_busy = until(&many, |b| matches!(b, Body::StepFinished(_)));
    snapshot!("bars_connecting", bars(&first.events, 24, 80, connecting));
    snapshot!("bars_output_80", bars(&first.events, 24, 80, output));
    snapshot!("bars_output_40", bars(&first.events, 24, 40, output));
    snapshot!("bars_output_200", bars(&first.events, 24, 200, output));
    snapshot!("bars_some_done", bars(&first.events, 24, 80, failed));
    snapshot!("bars_end", bars(&first.events, 40, 80, usize::MAX));
    snapshot!("bars_fleet_80", bars(&many.events, 24, 80, all_busy));
    snapshot!("bars_fleet_small", bars(&many.events, 10, 40, all_busy));
}

#[test]
fn bars_never_leave_their_columns() {
    for stream in [first_apply(), fleet_apply()] {
        for columns in [20, 33, 40, 79, 80, 200] {
            // With a terminal high enough, a line that breaks shows as one line more than drawn.
            for count in 1..=stream.events.len() {
                if count % 7 != 1 {
                    continue;
                }
                let text = bars(&stream.events, 300, columns, count);
                for line in text.lines() {
                    assert!(
                        unicode_width::UnicodeWidthStr::width(line) <= columns.into(),
                        "{columns}: {line}"
                    );
                }
                let moving = text.lines().rev().take_while(|l| l.ends_with(" s")).count();
                assert!(moving <= 25, "{columns}: {text}");
            }
        }
    }
}

#[test]
fn the_moving_lines_go_before_the_plan_and_at_the_end() {
    let mut stream = first_plan(Mode::Plan);
    stream.plan_finished();
    let text = bars(&stream.events, 24, 80, usize::MAX);
    assert_eq!(text, "", "nothing is left on the terminal when the plan is printed");
}

#[test]
fn json_lines_are_documented_and_read_back() {
    let events = one_of_each();
    let text = show(&events, |page| Box::new(Json::new(Box::new(page))));
    let doc = include_str!("../../src/manual/events.md");
    for (line, event) in text.lines().zip(&events) {
        assert_eq!(&serde_json::from_str::<Event>(line).unwrap(), event);
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        for key in json.as_object().unwrap().keys() {
            assert!(doc.contains(&format!("`{key}`")), "events.md does not tell of `{key}`: {line}");
        }
        let name = json["event"].as_str().unwrap();
        assert!(doc.contains(&format!("| `{name}` |")), "events.md does not tell of {name}");
    }
    assert_eq!(text.lines().count(), events.len());
    assert!(doc.contains(&format!("version is {}", hostwright::event::VERSION)));
    snapshot!("json", text);
}

#[tokio::test]
async fn a_reporter_on_its_own_thread_tells_when_the_plan_is_shown() {
    let page = Page::default();
    let plan = PlanText::new(Box::new(page.clone()), Look::PLAIN, Detail::default());
    let (sender, events) = tokio::sync::mpsc::channel(4);
    let mut driver = hostwright::report::Driver::start(Box::new(plan), events);
    let stream = first_apply();
    let planned = until(&stream, |b| matches!(b, Body::PlanFinished { .. }));
    for event in &stream.events[..planned] {
        sender.send(event.clone()).await.unwrap();
    }
    driver.plan_shown().await;
    assert!(page.text().contains("Plan: 1 step cannot work"));
    for event in &stream.events[planned..] {
        sender.send(event.clone()).await.unwrap();
    }
    drop(sender);
    let summary = driver.finish().await;
    let Some(Event { body: Body::RunFinished { summary: last, .. }, .. }) = stream.events.last() else {
        panic!()
    };
    assert_eq!(&summary, last, "the fold counts the apply anew");
    assert!(summary.unreachable.contains(&host("worker-02")));
}
