//! The page of a report: what is in its text, and how it behaves in a browser.
//!
//! Pictures of it are left in `pages` below the folder of test files in `target`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use hostwright::audit::{Comparison, Format, HostLine, Mark, Report, Standing, StepLine, Time, Verdict};
use hostwright::event::Mode;
use hostwright::journal::Header;
use hostwright::model::{Failure, Place, StepId};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::cli::Sandbox;
use crate::report::stream::{change, content, first_apply, host, text};

const HOSTILE: &str = "</script><script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\"><!--\u{202e}\x1b[31m";

fn header(mode: Mode, hosts: usize) -> Header {
    let fields = json!({
        "journal": 1, "hostwright": "0.1.0", "run": "2026-01-02T03-04-05-abcd", "mode": mode,
        "started": "2026-01-02T03:04:05+01:00[Europe/Berlin]", "user": "anna", "controller": "desk",
        "folder": "/home/anna/fleet", "arguments": ["audit", "playbooks", "--report", "page.html"],
        "hosts": (1..=hosts).map(|n| format!("node-{n}")).collect::<Vec<_>>(), "playbooks": ["base", "swarm"],
        "files": { "inventory.toml": "0".repeat(64), "playbooks/base.toml": "1".repeat(64) },
        "revision": { "commit": "3f2b9c0d3f2b9c0d3f2b9c0d3f2b9c0d3f2b9c0d", "dirty": true },
    });
    serde_json::from_value(fields).unwrap()
}

fn verdict(mark: Mark, reason: String) -> Verdict {
    Verdict { mark, reason, change: None, failure: None, predicted: Vec::new() }
}

/// A report in which some steps drift on some hosts, each in its own way, and some hosts are gone.
fn made_up(hosts: usize, steps: usize) -> Report {
    let step = |n: usize| StepLine {
        playbook: if n < steps / 2 { "base" } else { "swarm" }.into(),
        id: StepId::new(&format!("step-{n}")),
        name: format!("Step {n} keeps what it is to keep"),
        kind: "file".into(),
        place: Place {
            file: "playbooks/base.toml".into(),
            line: u32::try_from(n).unwrap() * 7 + 3,
            column: 1,
        },
    };
    let mut verdicts = vec![verdict(Mark::Conforms, "as described".into())];
    let (mut cells, mut lines, mut times, mut counts) = (Vec::new(), Vec::new(), Vec::new(), BTreeMap::new());
    for h in 0..hosts {
        let gone = h % 41 == 3;
        let why = if gone { format!("10.0.0.{h} does not answer") } else { String::new() };
        let standing = if gone { Standing::Unreachable } else { Standing::Asked };
        lines.push(HostLine { name: host(&format!("node-{}", h + 1)), standing, why });
        let mut row = Vec::new();
        for s in 0..steps {
            let found = match (h * 31 + s * 17) % 97 {
                _ if gone => Some(verdict(Mark::Unreachable, "its host was not reached".into())),
                _ if s % 19 == 7 && h % 2 == 0 => Some(verdict(Mark::Skipped, "`when` is false".into())),
                n @ 0..=3 => {
                    let old = format!("a = 1\nhost = {h}\n{}", format!("same {n}\n").repeat(20));
                    let new = old.replace("a = 1", &format!("a = {s}"));
                    let fields =
                        [("mode", text("0644"), text("0600")), ("content", content(&old), content(&new))];
                    let change = change("write the file", &fields);
                    Some(Verdict { change: Some(change), ..verdict(Mark::Drift, "other content".into()) })
                }
                5 => {
                    let failure = Failure::new("may not read /etc/shadow").hint("run it with sudo");
                    let reason = failure.message.clone();
                    Some(Verdict { failure: Some(failure), ..verdict(Mark::Unseen, reason) })
                }
                _ => None,
            };
            let n = found.map_or(0, |found| {
                verdicts
                    .iter()
                    .rposition(|known| *known == found)
                    .filter(|_| found.change.is_none())
                    .unwrap_or_else(|| {
                        verdicts.push(found);
                        verdicts.len() - 1
                    })
            });
            *counts.entry(verdicts[n].mark).or_default() += 1;
            row.push(Some(n));
        }
        cells.push(row);
        let turn = |s: usize| Time {
            step: s,
            began_ms: (s * 437 + h * 13) as u64,
            took_ms: 400 + (s * h) as u64 % 37,
            waited_ms: if s % 10 == 3 { 210 } else { 0 },
            waited_for: if s % 10 == 3 { vec!["init of node-1".into()] } else { Vec::new() },
        };
        times.push(if gone { Vec::new() } else { (0..steps).map(turn).collect() });
    }
    let (steps, hosts) = ((0..steps).map(step).collect(), lines);
    let made = header(Mode::Apply, hosts.len());
    let mut report = Report { report: 1, made, hosts, steps, verdicts, cells, times, counts, compared: None };
    let mut old = report.clone();
    old.cells.iter_mut().flatten().step_by(53).for_each(|cell| *cell = Some(0));
    report.compared = Some(Comparison::new(&report, &old));
    report
}

/// Every text in it is [`HOSTILE`], as far as its form allows.
fn hostile() -> Report {
    let mut report = made_up(3, 4);
    report.made.user = HOSTILE.into();
    report.made.arguments = vec![HOSTILE.into()];
    report.hosts[1] =
        HostLine { standing: Standing::Unreachable, why: HOSTILE.into(), ..report.hosts[1].clone() };
    report.steps.iter_mut().for_each(|step| HOSTILE.clone_into(&mut step.name));
    report.steps[0].place.file = HOSTILE.into();
    let fields = [(HOSTILE, text(HOSTILE), text(HOSTILE)), ("content", content(HOSTILE), content("x\n"))];
    let failure = Failure {
        causes: vec![HOSTILE.into()],
        command: Some(HOSTILE.into()),
        output: HOSTILE.into(),
        ..Failure::new(HOSTILE).hint(HOSTILE)
    };
    report.verdicts.push(Verdict {
        mark: Mark::Failed,
        reason: HOSTILE.into(),
        change: Some(change(HOSTILE, &fields)),
        failure: Some(failure),
        predicted: vec![HOSTILE.into()],
    });
    report.cells[0][0] = Some(report.verdicts.len() - 1);
    report
}

fn folder() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pages");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn page(name: &str, report: &Report) -> PathBuf {
    let file = folder().join(format!("{name}.html"));
    report.write(&file).unwrap();
    file
}

/// What stands between two marks of a page.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    page.split_once(from).unwrap().1.split_once(to).unwrap().0
}

/// What a page holds.
pub(crate) fn unpacked(page: &str) -> Value {
    let data = between(page, "id=\"data\">", "</script>");
    let bytes = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
    serde_json::from_reader(flate2::read::ZlibDecoder::new(&bytes[..])).unwrap()
}

#[test]
fn a_page_holds_no_text_of_others_as_markup_and_names_nothing_to_load() {
    let page = hostile().render(Format::Html);
    for part in
        ["owned", "onerror", "<img", "<!--", "http:", "https:", "@import", "url(", "src=", "innerHTML"]
    {
        assert!(!page.contains(part), "{part}");
    }
    assert_eq!((page.matches("<script").count(), page.matches("</script").count()), (2, 2));
    let plain = made_up(3, 4).render(Format::Html);
    let cut = |page: &str| page.replace(between(page, "id=\"data\">", "</script>"), "");
    assert_eq!(cut(&page), cut(&plain), "all that comes from hosts is in the data");
    let data = unpacked(&page);
    assert_eq!(data["made"]["user"], HOSTILE, "the data is all there");
    assert_eq!(data["verdicts"].as_array().unwrap().last().unwrap()["failure"]["output"], HOSTILE);
}

#[test]
fn a_page_of_many_hosts_and_steps_is_small() {
    let page = made_up(500, 100).render(Format::Html);
    eprintln!("a page of 500 hosts and 100 steps has {} bytes", page.len());
    assert!(page.len() < 1_000_000, "{}", page.len());
    let data = unpacked(&page);
    assert_eq!(data["cells"].as_array().unwrap().len(), 500);
}

#[test]
fn an_apply_tells_when_its_steps_had_their_turns_and_a_plan_does_not() {
    let stream = first_apply();
    let report = Report::new(header(Mode::Apply, 4), &stream.events);
    assert_eq!(report.times.len(), report.hosts.len());
    let turns: usize = report.times.iter().map(Vec::len).sum();
    assert!(turns > 3, "{:?}", report.times);
    let again: Report = serde_json::from_str(&report.render(Format::Json)).unwrap();
    assert_eq!(again, report);
    let plan = Report::new(header(Mode::Plan, 4), &crate::report::stream::first_plan(Mode::Plan).events);
    assert!(plan.times.is_empty() && !plan.render(Format::Json).contains("\"times\""));
}

#[test]
fn a_wait_for_another_host_is_told_with_its_step() {
    let lines = [
        json!({ "at_ms": 0, "event": "run_started", "version": 1, "mode": "apply", "hosts": ["a", "b"],
            "plays": [{ "name": "site", "title": "Site", "hosts": ["a", "b"], "steps": 2 }] }),
        json!({ "at_ms": 1, "event": "planned", "play": 0, "step": "join", "host": "b", "name": "Join", "kind": "file",
            "place": { "file": "site.toml", "line": 5, "column": 1 },
            "forecast": { "forecast": "change", "predicted": [{ "play": 0, "step": "init", "host": "a" }],
                "change": { "summary": "join", "fields": [], "actions": [] } } }),
        json!({ "at_ms": 10, "event": "step_started", "play": 0, "step": "init", "host": "a", "name": "Init" }),
        json!({ "at_ms": 900, "event": "step_finished", "play": 0, "step": "init", "host": "a", "name": "Init", "kind": "file",
            "place": { "file": "site.toml", "line": 1, "column": 1 }, "outcome": "changed", "took_ms": 890 }),
        json!({ "at_ms": 910, "event": "step_started", "play": 0, "step": "join", "host": "b", "name": "Join" }),
        json!({ "at_ms": 1000, "event": "step_finished", "play": 0, "step": "join", "host": "b", "name": "Join", "kind": "file",
            "place": { "file": "site.toml", "line": 5, "column": 1 }, "outcome": "changed", "took_ms": 980,
            "waited": { "ms": 890, "steps": [{ "play": 0, "step": "init", "host": "a" }] } }),
    ];
    let events: Vec<_> = lines.into_iter().map(|line| serde_json::from_value(line).unwrap()).collect();
    let report = Report::new(header(Mode::Apply, 2), &events);
    let time = &report.times[1][0];
    assert_eq!((time.began_ms, time.took_ms, time.waited_ms), (20, 980, 890));
    assert_eq!(time.waited_for, ["init of a"]);
    assert_eq!((report.times[0][0].began_ms, report.times[0][0].waited_ms), (10, 0));
}

#[test]
fn an_apply_on_record_has_its_page() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&["apply", "site.toml", "--yes", "--limit", "here"]).0, 0);
    let (code, _, err) = sandbox.run(&["show", "last", "--report", "apply.html"]);
    assert_eq!(code, 0, "{err}");
    let data = unpacked(&std::fs::read_to_string(sandbox.path().join("apply.html")).unwrap());
    let turns = data["times"][0].as_array().unwrap();
    assert_eq!(turns.iter().map(|turn| turn["step"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1]);
    let began = |n: usize| turns[n]["began_ms"].as_u64().unwrap();
    assert!(began(1) >= began(0), "{turns:?}");
    let verdict = usize::try_from(data["cells"][0][1].as_u64().unwrap()).unwrap();
    assert_eq!(data["verdicts"][verdict]["mark"], "changed");
}

/// What must never have happened.
fn quiet(browser: &Browser) {
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
    let other: Vec<_> =
        browser.requests.iter().filter(|url| !url.starts_with("file://") && *url != "about:blank").collect();
    assert!(other.is_empty(), "{other:?}");
    assert!(browser.requests.iter().any(|url| url.starts_with("file://")), "requests are seen at all");
}

#[test]
fn a_page_is_used_by_keys_alone_and_its_address_leads_back() {
    let file = page("40", &made_up(40, 30));
    let Some(mut browser) = Browser::start() else { return };
    browser.look(1200, 800, false);
    browser.open(&file, "");
    browser.until("document.title == 'base, swarm, apply of 2026-01-02 03:04:05 CET'");
    browser.until("document.querySelector('h1').innerText.endsWith('of 40 hosts as described')");
    assert_eq!(
        browser.eval("document.querySelectorAll('main, [role=search], nav, [role=status]').length"),
        json!(4)
    );

    browser.press("/");
    browser.until("document.activeElement.id == 'q'");
    browser.type_in("step-1");
    browser.until("document.querySelector('#main').dataset.view == 'matrix'");
    browser.until("location.hash.includes('q=step-1')");
    browser.until("document.querySelector('#grid').getAttribute('aria-rowcount') == 12");
    browser.press("Escape");
    browser.until("document.activeElement.id != 'q'");

    // Into the matrix, and along its cells.
    browser.eval("document.querySelector('#grid [tabindex=\"0\"]').focus()");
    for key in ["ArrowDown", "ArrowRight", "ArrowRight"] {
        browser.press(key);
    }
    browser.until("document.activeElement.dataset.row == 1 && document.activeElement.dataset.column == 2");
    browser.until("document.activeElement.getAttribute('aria-label').endsWith('Step 10 keeps what it is to keep on node-3')");
    assert_eq!(browser.eval("document.querySelectorAll('#grid [tabindex=\"0\"]').length"), json!(1));
    browser.press("End");
    browser.until("document.activeElement.dataset.column == 39");
    browser.press("Enter");
    browser.until("document.querySelector('#main').dataset.view == 'cell'");
    browser.until("document.querySelector('h1').innerText == 'Step 10 keeps what it is to keep on node-40'");
    browser.until("document.querySelector('dl').innerText.includes('playbooks/base.toml:73')");
    browser.press("Escape");
    browser.until("document.querySelector('#main').dataset.view == 'matrix' && document.querySelector('#q').value == 'step-1'");
    browser.eval("history.back()");
    browser.until("document.querySelector('#main').dataset.view == 'overview' && document.querySelector('#q').value == ''");

    // A link leads to what was seen.
    browser.open(&file, "#view=matrix&mark=drift&host=node-2&book=swarm");
    browser.until("document.querySelector('#mark').value == 'drift' && document.querySelector('#host').value == 'node-2'");
    let report = made_up(40, 30);
    let meant = |h: usize| report.hosts[h].name.as_str().contains("node-2");
    let drifts = |h: usize, s: usize| report.verdict(h, s).is_some_and(|v| v.mark == Mark::Drift);
    let wanted = (0..40).filter(|&h| meant(h)).flat_map(|h| (15..30).map(move |s| (h, s)));
    let wanted = wanted.filter(|&(h, s)| drifts(h, s)).count();
    assert!(wanted > 3);
    browser.until(&format!("document.querySelector('#status').innerText.startsWith('{wanted} verdicts: ')"));
    browser.until(&format!("document.querySelectorAll('.at-cell.drift:not(.off)').length == {wanted}"));
    assert_eq!(browser.eval("document.querySelector('.at-cell.drift').innerText"), json!("~"));
    browser.open(&file, "#view=matrix&q=nothing+is+called+so");
    browser.until("document.querySelector('#main').innerText.includes('Nothing is left')");

    // A host's and a step's page.
    browser.open(&file, "#view=host&at=node-2");
    browser.until("document.querySelectorAll('tbody tr').length == 30 && document.querySelectorAll('.own .bar').length == 30");
    browser.until("document.querySelector('#main').innerText.includes('waited 210 ms for init of node-1')");
    browser.open(&file, "#view=host&at=node-4");
    browser.until("document.querySelector('#main').innerText.includes('10.0.0.3 does not answer')");
    let drifting =
        report.cells[0].iter().position(|v| report.verdicts[v.unwrap()].mark == Mark::Drift).unwrap();
    browser.open(
        &file,
        &format!("#view=cell&at=node-1&step={}/step-{drifting}", report.steps[drifting].playbook),
    );
    browser.until("document.querySelector('pre.diff .minus').innerText == '-a = 1'");
    browser.until("document.querySelector('#main').innerText.includes('mode: 0644 → 0600')");
    browser.open(&file, "#view=time");
    browser.until("document.querySelector('.bar i') && document.querySelector('.bar').getAttribute('aria-label').includes('400 ms')");
    browser.until("document.querySelector('#main').innerText.includes('Steps that took longest')");

    // On paper nothing is closed.
    browser.open(&file, "#view=findings");
    browser.until("document.querySelectorAll('details.box:not([open])').length > 20");
    browser.tell("Page.printToPDF", &json!({}));
    browser.until("document.querySelectorAll('details.box:not([open])').length == 0");
    browser.until("[...document.querySelectorAll('details.box')].every((box) => box.childElementCount > 1)");
    browser.open(&file, "#view=step&step=no/such");
    browser.until("document.querySelector('h1').innerText == 'Not in this report'");
    quiet(&browser);
}

#[test]
fn hostile_text_is_shown_and_does_nothing() {
    let file = page("hostile", &hostile());
    let Some(mut browser) = Browser::start() else { return };
    for view in [
        "#view=overview",
        "#view=matrix",
        "#view=findings",
        "#view=time",
        "#view=host&at=node-1",
        "#view=cell&at=node-1&step=base/step-0",
        "#view=step&step=base/step-0",
    ] {
        browser.open(&file, view);
        browser.until("document.querySelector('#main').childElementCount > 0");
        browser.eval("document.querySelectorAll('details').forEach((box) => box.open = true)");
        browser.eval("new Promise((go) => setTimeout(go, 50))");
        browser.until("!document.title.includes('owned') && document.scripts.length == 2 && !document.querySelector('img')");
        browser.until("!document.querySelector('#main').innerText.includes('\\u202e')");
    }
    browser.until("document.querySelector('#main').innerText.includes('</script><script>')");
    browser.until("document.querySelector('#main').innerText.includes('<!--\\\\u{202e}')");
    quiet(&browser);
}

#[test]
fn a_page_of_many_hosts_draws_what_is_seen() {
    let file = page("500", &made_up(500, 100));
    let Some(mut browser) = Browser::start() else { return };
    browser.look(1400, 900, false);
    browser.open(&file, "#view=matrix");
    browser.until("document.querySelectorAll('.at-cell').length > 500");
    assert_eq!(browser.eval("document.querySelector('#grid').getAttribute('aria-colcount')"), json!("501"));
    browser.until("document.querySelectorAll('.at-cell').length < 5000");
    browser.eval("document.querySelector('#grid').scrollTo(1e9, 1e9)");
    browser.until("document.querySelector('[data-row=\"99\"][data-column=\"499\"]')");
    let opened = browser.eval("+document.documentElement.dataset.ready");
    let tries = "[...'abcdefghijklmnop'].map((c) => { const q = document.querySelector('#q'); const began = performance.now(); \
                 q.value = 'step-' + c.charCodeAt(0) % 10; q.dispatchEvent(new Event('input')); document.body.offsetHeight; \
                 return Math.round(performance.now() - began); })";
    let took = browser.eval(tries);
    eprintln!("a page of 500 hosts and 100 steps opens in {opened} ms and filters in {took} ms");
    quiet(&browser);
}

/// For people to look at.
#[test]
fn a_page_has_its_picture_taken() {
    let Some(mut browser) = Browser::start() else { return };
    for hosts in [1, 40, 500] {
        let file = page(&format!("picture-{hosts}"), &made_up(hosts, if hosts == 1 { 12 } else { 100 }));
        for (width, size) in [(1400, "wide"), (420, "narrow")] {
            for (dark, tone) in [(false, "light"), (true, "dark")] {
                browser.look(width, 900, dark);
                for (view, hash) in [
                    ("overview", ""),
                    ("matrix", "#view=matrix"),
                    ("time", "#view=time"),
                    ("host", "#view=host&at=node-1"),
                    ("findings", "#view=findings"),
                    ("step", "#view=step&step=base/step-0"),
                ] {
                    browser.open(&file, hash);
                    browser.until("document.querySelector('#main').childElementCount > 0");
                    let overflow = browser.eval("document.documentElement.scrollWidth - innerWidth");
                    assert!(
                        overflow.as_i64().unwrap() <= 0,
                        "{view} of {hosts} hosts, {size}: {overflow} pixels too wide"
                    );
                    browser.picture(&folder().join(format!("{hosts}-{view}-{size}-{tone}.png")));
                }
            }
        }
    }
    quiet(&browser);
}
