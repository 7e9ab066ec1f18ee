//! A report as Markdown, for a wiki or a ticket.

use std::fmt::Write as _;

use super::files::{diff, value};
use super::matrix::{Details, details};
use super::{Mark, Report, Standing};
use crate::harmless;
use crate::model::HostName;
use crate::report::host_list;

/// Hosts in a list before "and N more".
const NAMES: usize = 12;

pub(super) fn render(report: &Report) -> String {
    let made = &report.made;
    let mut out = format!("# {}\n\n", text(&made.playbooks.join(", ")));
    let revision = made.revision.as_ref().map_or_else(
        || "none".to_owned(),
        |revision| {
            format!(
                "{}{}",
                revision.commit,
                if revision.dirty { ", with changes that are not committed" } else { "" }
            )
        },
    );
    for (word, what) in [
        ("When", made.started.strftime("%Y-%m-%d %H:%M:%S %Z").to_string()),
        ("Who", format!("{} on {}, in {}", made.user, made.controller, made.folder)),
        ("Command", format!("hostwright {}", made.arguments.join(" "))),
        ("Version", made.hostwright.clone()),
        ("Run", made.run.clone()),
        ("Git revision", revision),
    ] {
        let _ = writeln!(out, "- {word}: {}", text(&what));
    }
    let _ = writeln!(out, "- Hosts: {}, all as described on {}\n", report.hosts.len(), report.conforming());
    out += "| verdict | steps |\n|---|---:|\n";
    for mark in Mark::ALL.into_iter().filter(|&mark| report.count(mark) > 0) {
        let _ = writeln!(out, "| {} | {} |", mark.word(), report.count(mark));
    }
    if let Some(compared) = &report.compared {
        out += "\n## Since then\n\n";
        let lines = compared.lines();
        let _ = writeln!(out, "{}\n", text(&lines[0]));
        for line in &lines[1..] {
            let _ = writeln!(out, "- {}", text(line.trim()));
        }
    }
    let missing: Vec<_> = report.hosts.iter().filter(|host| host.standing != Standing::Asked).collect();
    if !missing.is_empty() {
        out += "\n## Hosts that were not asked\n\n";
        for host in missing {
            let _ = writeln!(out, "- {}: {}", text(host.name.as_str()), text(&host.why));
        }
    }
    for (title, marks) in [
        ("Not as described", &[Mark::Drift, Mark::Failed][..]),
        ("Not seen", &[Mark::Unseen]),
        ("Predicted", &[Mark::Predicted]),
        ("Changed", &[Mark::Changed]),
    ] {
        section(&mut out, report, title, marks);
    }
    out += "\n## Files\n\n| file | SHA-256 |\n|---|---|\n";
    for (file, digest) in &made.files {
        let _ = writeln!(out, "| {} | {} |", text(file), text(digest));
    }
    out
}

fn section(out: &mut String, report: &Report, title: &str, marks: &[Mark]) {
    let found = details(report, marks);
    if found.is_empty() {
        return;
    }
    let _ = write!(out, "\n## {title}\n");
    for Details { step, verdict, hosts } in found {
        let step = &report.steps[step];
        let names: Vec<&HostName> = hosts.iter().map(|&h| &report.hosts[h].name).collect();
        let _ = writeln!(out, "\n### {} on {}\n", text(&step.name), text(&host_list(&names, NAMES)));
        let _ = writeln!(
            out,
            "{}, {}:{}: {}",
            text(&step.kind),
            text(&step.place.file),
            step.place.line,
            text(&verdict.reason)
        );
        for field in verdict.change.iter().flat_map(|change| &change.fields) {
            if let Some(diff) = diff(field) {
                let _ = writeln!(out, "- {}:\n\n{}", text(&field.name), fenced(&diff));
                continue;
            }
            let [before, after] = [&field.before, &field.after].map(|v| text(&value(v)));
            let _ = writeln!(out, "- {}: {before} → {after}", text(&field.name));
        }
        if let Some(hint) = verdict.failure.as_ref().and_then(|failure| failure.hint.as_ref()) {
            let _ = writeln!(out, "- to do: {}", text(hint));
        }
    }
}

/// A block of code that nothing in it can end.
fn fenced(code: &str) -> String {
    // What is left out of it may have stood between two halves of a fence.
    let code = harmless::text(code);
    let mut fence = "```".to_owned();
    while code.contains(&fence) {
        fence.push('`');
    }
    format!("{fence}diff\n{}\n{fence}", code.trim_end())
}

/// Text in which nothing is markup, on one line.
fn text(text: &str) -> String {
    let line = harmless::line(text);
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_in_a_block_of_code_ends_it() {
        for code in ["``\u{1b}[0m`\n<img src=x onerror=1>", "````", "a"] {
            let block = super::fenced(code);
            let fence = block.split("diff").next().unwrap();
            assert!(fence.len() >= 3 && block.matches(fence).count() == 2, "{block}");
        }
    }

    #[test]
    fn text_of_hosts_is_no_markup() {
        let hostile = "a|b `x` <script>\n# title [x](y) ![i](j) *b*";
        let wanted = "a\\|b \\`x\\` &lt;script&gt;^J\\# title \\[x\\](y) \\!\\[i\\](j) \\*b\\*";
        assert_eq!(super::text(hostile), wanted);
    }
}
