//! A report of many hosts and steps, in which a bit of everything is found.

use std::collections::BTreeMap;

use hostwright::audit::{HostLine, Mark, Report, Standing, StepLine, Time, Verdict};
use hostwright::event::{ChangeView, Mode};
use hostwright::journal::{Header, VERSION};
use hostwright::model::field::{Field, Value};
use hostwright::model::{Failure, HostName, Place, StepId};

/// What a host might say to get into the page.
const HOSTILE: &str = "</script><script>window.hacked = 1</script><img src=x onerror=\"window.hacked = 1\"><!-- @DATA@ \u{202e}";

fn header(mode: Mode) -> Header {
    Header {
        journal: VERSION,
        hostwright: "0.1.0".into(),
        run: "20261126T020000Z-4711-ab12".into(),
        mode,
        started: "2026-11-26T02:00:00+01:00[Europe/Berlin]".parse().unwrap(),
        user: "anna".into(),
        controller: "ops-01".into(),
        folder: "/srv/fleet".into(),
        arguments: vec!["audit".into(), "playbooks".into(), HOSTILE.into()],
        hosts: Vec::new(),
        playbooks: vec!["10-base".into(), "20-web".into()],
        files: BTreeMap::from([("inventory.toml".into(), "c0ffee".repeat(10))]),
        revision: None,
        resumes: None,
        undoes: None,
        shard: None,
        saved_plan: None,
    }
}

fn verdict(mark: Mark, reason: &str) -> Verdict {
    Verdict { mark, reason: reason.into(), change: None, failure: None, predicted: Vec::new() }
}

/// A report of so many hosts and steps, in which a bit of everything is found.
pub(crate) fn report(hosts: usize, steps: usize, mode: Mode) -> Report {
    let field = |name: &str, before: Value, after: Value| Field { name: name.into(), before, after };
    let text = (0..60).fold(String::new(), |text, n| format!("{text}line {n}\n"));
    let change = ChangeView {
        summary: "change the content of /etc/app.conf".into(),
        fields: vec![
            field("content", Value::Content(text.clone()), Value::Content(text.replace("line 30", HOSTILE))),
            field("mode", "0600".into(), "0640".into()),
        ],
        actions: vec!["write /etc/app.conf".into()],
        programs: vec!["write_file.sh path=/etc/app.conf".into()],
        disrupts: None,
        notes: vec!["a note".into()],
        always: false,
    };
    let failure = Failure { output: HOSTILE.into(), ..Failure::new("sudo is not allowed") }
        .hint("ask who gives rights");
    let mut verdicts = vec![
        verdict(Mark::Conforms, "as described"),
        Verdict { change: Some(change), ..verdict(Mark::Drift, "change the content of /etc/app.conf") },
        verdict(Mark::Skipped, "its `when` is false"),
        Verdict { failure: Some(failure), ..verdict(Mark::Unseen, "sudo is not allowed") },
        verdict(Mark::Unreachable, "its host was not reached"),
        verdict(Mark::Changed, HOSTILE),
    ];
    // Hosts seldom say quite the same.
    verdicts.extend(
        (0..hosts * 4).map(|n| verdict(Mark::Conforms, &format!("{n} bytes, sha256 {:012x}", n * 7_919_777))),
    );
    let cell = |host: usize, step: usize| match (host, step) {
        _ if hosts > 3 && host == hosts - 1 => Some(4),
        (h, s) if (h * 31 + s * 17) % 97 == 5 => Some(1),
        (h, s) if (h + s) % 53 == 3 => None,
        (h, s) if (h * 7 + s) % 61 == 2 => Some(2),
        (h, 7) if h % 40 == 1 => Some(3),
        (h, 2) if mode == Mode::Apply && h % 3 == 0 => Some(5),
        (h, s) if s % 25 == 1 => Some(6 + h * 4 + s / 25),
        _ => Some(0),
    };
    let cells: Vec<Vec<Option<usize>>> =
        (0..hosts).map(|h| (0..steps).map(|s| cell(h, s)).collect()).collect();
    let mut counts = BTreeMap::new();
    for n in cells.iter().flatten().flatten() {
        *counts.entry(verdicts[*n].mark).or_default() += 1;
    }
    let time = |host: usize, step: usize| Time {
        step,
        began_ms: (step * 700 + host * 13) as u64,
        took_ms: 100 + ((host * step) % 9 * 90) as u64,
        waited_ms: if step == 3 { 80 } else { 0 },
        waited_for: if step == 3 { vec!["share of nfs-01".into()] } else { Vec::new() },
    };
    let times = if mode == Mode::Apply {
        (0..hosts).map(|h| (0..steps).map(|s| time(h, s)).collect()).collect()
    } else {
        Vec::new()
    };
    let host = |n: usize| HostLine {
        name: HostName::new(&format!("node-{:03}", n + 1)).unwrap(),
        standing: if hosts > 3 && n == hosts - 1 { Standing::Unreachable } else { Standing::Asked },
        why: if hosts > 3 && n == hosts - 1 { format!("no route to host {HOSTILE}") } else { String::new() },
    };
    let step = |n: usize| StepLine {
        playbook: if n < steps / 2 { "10-base" } else { "20-web" }.into(),
        id: StepId::new(&format!("step-{n}")),
        name: if n == 4 { HOSTILE.into() } else { format!("Configuration of service number {n}") },
        kind: "file".into(),
        place: Place {
            file: "playbooks/10-base.toml".into(),
            line: u32::try_from(n).unwrap() * 4 + 3,
            column: 1,
        },
    };
    Report {
        report: hostwright::audit::VERSION,
        made: header(mode),
        hosts: (0..hosts).map(host).collect(),
        steps: (0..steps).map(step).collect(),
        verdicts,
        cells,
        times,
        counts,
        compared: None,
    }
}
