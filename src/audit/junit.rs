//! A report as JUnit XML, as CI systems read it: a suite for each host, a case for each step.
//! <https://github.com/testmoapp/junitxml>

use std::fmt::Write as _;

use super::{Mark, Report, Verdict};

pub(super) fn render(report: &Report) -> String {
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let count = |marks: &[Mark]| marks.iter().map(|&m| report.count(m)).sum::<usize>();
    let tests = report.cells.iter().flatten().flatten().count();
    let line = format!(
        "<testsuites name=\"{}\" tests=\"{tests}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">\n",
        attribute(&report.made.playbooks.join(", ")),
        count(&FAILURES),
        count(&ERRORS),
        count(&PASSED_OVER),
    );
    out += &line;
    let properties = properties(report);
    for (h, host) in report.hosts.iter().enumerate() {
        let marks: Vec<Mark> = report.cells[h].iter().flatten().map(|&v| report.verdicts[v].mark).collect();
        let of = |wanted: &[Mark]| marks.iter().filter(|mark| wanted.contains(mark)).count();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" timestamp=\"{}\">",
            attribute(host.name.as_str()),
            marks.len(),
            of(&FAILURES),
            of(&ERRORS),
            of(&PASSED_OVER),
            report.made.started.strftime("%Y-%m-%dT%H:%M:%S%:z"),
        );
        out += &properties;
        for (s, step) in report.steps.iter().enumerate() {
            let Some(verdict) = report.verdict(h, s) else { continue };
            let _ = write!(
                out,
                "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{}\"",
                attribute(&step.playbook),
                attribute(&step.name),
                attribute(&step.place.file),
                step.place.line
            );
            match element(verdict) {
                Some(element) => {
                    let _ = writeln!(out, ">{element}</testcase>");
                }
                None => out += "/>\n",
            }
        }
        out += "  </testsuite>\n";
    }
    out + "</testsuites>\n"
}

/// Who looked, from where, with which version, at which files; and what has become of an earlier report.
fn properties(report: &Report) -> String {
    let made = &report.made;
    let mut all = vec![
        ("run".to_owned(), made.run.clone()),
        ("user".to_owned(), made.user.clone()),
        ("controller".to_owned(), made.controller.clone()),
        ("folder".to_owned(), made.folder.clone()),
        ("hostwright".to_owned(), made.hostwright.clone()),
    ];
    if let Some(revision) = &made.revision {
        let dirty = if revision.dirty { ", with changes that are not committed" } else { "" };
        all.push(("revision".to_owned(), format!("{}{dirty}", revision.commit)));
    }
    all.extend(made.files.iter().map(|(file, sum)| (format!("sha256 of {file}"), sum.clone())));
    if let Some(compared) = &report.compared {
        all.push(("compared with".to_owned(), compared.with.clone()));
        let points =
            [("drifted", &compared.drifted), ("mended", &compared.mended), ("unseen", &compared.unseen)];
        all.extend(points.map(|(word, points)| (format!("{word} since"), points.len().to_string())));
    }
    let line = |(name, value): (String, String)| {
        format!("      <property name=\"{}\" value=\"{}\"/>\n", attribute(&name), attribute(&value))
    };
    format!("    <properties>\n{}    </properties>\n", all.into_iter().map(line).collect::<String>())
}

/// Not as described.
const FAILURES: [Mark; 2] = [Mark::Drift, Mark::Failed];

/// Nobody knows.
const ERRORS: [Mark; 2] = [Mark::Unseen, Mark::Unreachable];

const PASSED_OVER: [Mark; 4] = [Mark::Skipped, Mark::Predicted, Mark::NotReached, Mark::LeftOut];

fn element(verdict: &Verdict) -> Option<String> {
    let name = match verdict.mark {
        mark if FAILURES.contains(&mark) => "failure",
        mark if ERRORS.contains(&mark) => "error",
        mark if PASSED_OVER.contains(&mark) => "skipped",
        _ => return None,
    };
    let kind = if name == "skipped" { String::new() } else { format!(" type=\"{}\"", verdict.mark.word()) };
    let mut text = String::new();
    for field in verdict.change.iter().flat_map(|change| &change.fields) {
        if let Some(diff) = super::files::diff(field) {
            let _ = write!(text, "{}:\n{diff}", field.name);
            continue;
        }
        let _ = writeln!(
            text,
            "{}: {} -> {}",
            field.name,
            super::files::value(&field.before),
            super::files::value(&field.after)
        );
    }
    if let Some(failure) = &verdict.failure {
        let parts = [failure.command.as_deref(), Some(failure.output.as_str()), failure.hint.as_deref()];
        text.extend(
            parts.into_iter().flatten().filter(|part| !part.is_empty()).flat_map(|part| [part, "\n"]),
        );
    }
    Some(format!("<{name}{kind} message=\"{}\">{}</{name}>", attribute(&verdict.reason), escaped(&text)))
}

fn attribute(text: &str) -> String {
    escaped(text).replace('"', "&quot;").replace('\n', "&#10;").replace('\t', "&#9;")
}

/// Text without what a terminal would not show as it is, and what XML 1.0 cannot hold (section 2.2 of its
/// recommendation).
fn escaped(text: &str) -> String {
    let text = crate::harmless::text(text);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\t' | '\n' => out.push(c),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_hosts_is_neither_markup_nor_forbidden() {
        assert_eq!(attribute("a<b>&\"c\"\n\u{1b}[31m\0"), "a&lt;b&gt;&amp;&quot;c&quot;&#10;^@");
        assert_eq!(escaped("]]>\u{ffff}"), "]]&gt;\u{fffd}");
    }
}
