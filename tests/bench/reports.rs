//! A report of 500 hosts with 100 steps: what each form costs, and what comparing two costs.
//!
//! `cargo bench --bench reports`. Fails when all forms together take more than 3 s of CPU, or a comparison with reading
//! both takes more than 0.5 s; and says each as a multiple of writing the JSON form, which does not depend on the machine.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::exit, reason = "a program of its own")]
#![allow(unreachable_pub, missing_debug_implementations, dead_code, reason = "a program of its own")]

#[path = "large_report.rs"]
mod large_report;

use std::time::{Duration, Instant};

use hostwright::audit::{Comparison, Format, Report};
use hostwright::event::Mode;

/// Runs it a few times and returns the shortest: on a busy machine the others say more of the machine.
fn timed<T>(work: impl Fn() -> T) -> (Duration, T) {
    let runs = (0..3).map(|_| {
        let start = Instant::now();
        let made = work();
        (start.elapsed(), made)
    });
    runs.min_by_key(|(took, _)| *took).unwrap()
}

fn main() {
    let report = large_report::report(500, 100, Mode::Audit);
    let forms = [
        ("json", Format::Json),
        ("html", Format::Html),
        ("xml", Format::Junit),
        ("md", Format::Markdown),
        ("csv", Format::Csv),
    ];
    let mut sum = Duration::ZERO;
    let mut unit = None;
    println!("{:>10} {:>9} {:>9} {:>7}", "form", "kB", "ms", "times");
    let mut line = |name: &str, bytes: usize, took: Duration| {
        let unit = *unit.get_or_insert(took);
        let times = took.as_secs_f64() / unit.as_secs_f64();
        println!("{name:>10} {:>9} {:>9.1} {times:>7.1}", bytes / 1000, took.as_secs_f64() * 1000.0);
    };
    for (name, format) in forms {
        let (took, text) = timed(|| report.render(format));
        line(name, text.len(), took);
        sum += took;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.json");
    report.write(&path).unwrap();
    let (compare, _) = timed(|| {
        let (old, new) = (Report::read(&path).unwrap(), Report::read(&path).unwrap());
        Comparison::new(&new, &old)
    });
    line("compare", 0, compare);
    println!("all forms {:.2} s, comparison {:.2} s", sum.as_secs_f64(), compare.as_secs_f64());
    if sum > Duration::from_secs(3) || compare > Duration::from_millis(500) {
        println!("FAILED: wanted at most 3 s and 0.5 s");
        std::process::exit(1);
    }
}
