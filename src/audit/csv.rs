//! A report as a table for spreadsheets: a line for each step on each host.

use super::{Comparison, Report};
use crate::harmless;

const HEAD: [&str; 13] = [
    "host", "playbook", "step", "name", "kind", "file", "line", "verdict", "reason", "since", "run",
    "started", "user",
];

pub(super) fn render(report: &Report) -> String {
    let compared = report.compared.as_ref().map(Comparison::index);
    let made = &report.made;
    let started = made.started.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    let mut out = HEAD.join(",") + "\r\n";
    for (h, host) in report.hosts.iter().enumerate() {
        for (s, step) in report.steps.iter().enumerate() {
            let Some(verdict) = report.verdict(h, s) else { continue };
            let since = compared.as_ref().map_or("", |index| index.word(&host.name, step));
            let line = step.place.line.to_string();
            let cells = [
                host.name.as_str(),
                &step.playbook,
                step.id.as_str(),
                &step.name,
                &step.kind,
                &step.place.file,
                &line,
                verdict.mark.word(),
                &verdict.reason,
                since,
                &made.run,
                &started,
                &made.user,
            ];
            out += &cells.map(cell).join(",");
            out += "\r\n";
        }
    }
    out
}

/// One cell (RFC 4180). What a spreadsheet would take for a formula begins with a quote, which it does not show.
fn cell(text: &str) -> String {
    let text = harmless::line(text);
    // Full-width signs are taken for the others.
    let formula = text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    let text = if formula { format!("'{text}") } else { text.into_owned() };
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_no_formula_and_one_cell() {
        for (text, wanted) in [
            ("plain", "plain"),
            ("a, b", "\"a, b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=HYPERLINK(\"http://x\")", "\"'=HYPERLINK(\"\"http://x\"\")\""),
            ("-1+1", "'-1+1"),
            ("@x", "'@x"),
        ] {
            assert_eq!(cell(text), wanted);
        }
    }
}
