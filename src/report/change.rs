//! A change and a failure in words: the same in a plan and while it is applied.

use super::diff::Diff;
use super::style::{Detail, Look, Tone};
use super::text;
use crate::event::ChangeView;
use crate::model::Failure;
use crate::model::field::{Field, Value};

/// Field names beyond this many columns do not push the others to the right.
const NAME: usize = 24;
/// Lines shown of what a failed command printed; the end tells most.
const OUTPUT: usize = 12;

/// Whether something comes, goes or becomes other: `+`, `-`, `~`.
pub(crate) fn symbol(change: &ChangeView) -> (char, Tone) {
    let mut signs = change.fields.iter().map(|f| sign(f).0);
    match signs.next() {
        Some('+') if signs.all(|s| s == '+') => ('+', Tone::Good),
        Some('-') if signs.all(|s| s == '-') => ('-', Tone::Bad),
        _ => ('~', Tone::Change),
    }
}

fn sign(field: &Field) -> (char, Tone) {
    match (&field.before, &field.after) {
        (Value::Absent, _) => ('+', Tone::Good),
        (_, Value::Absent) => ('-', Tone::Bad),
        _ => ('~', Tone::Change),
    }
}

/// The fields of a change, with what it interrupts and what else to know.
pub(crate) fn details(change: &ChangeView, indent: usize, look: Look, detail: Detail) -> Vec<String> {
    let blank = " ".repeat(indent);
    let mut out = Vec::new();
    let names = column(&change.fields);
    for field in &change.fields {
        out.extend(one(field, &blank, names, look, detail));
    }
    if detail.verbose > 0 {
        for (n, action) in change.actions.iter().enumerate() {
            out.extend(painted(
                Tone::Dim,
                look,
                &one_line(action),
                &format!("{blank}> "),
                &format!("{blank}  "),
            ));
            if let Some(program) = change.programs.get(n).filter(|_| detail.verbose > 1) {
                let (first, rest) = (format!("{blank}  $ "), format!("{blank}    "));
                out.extend(painted(Tone::Dim, look, program, &first, &rest));
            }
        }
    }
    if let Some(whom) = &change.disrupts {
        let first = format!("{blank}! interrupts: ");
        out.extend(painted(Tone::Warn, look, whom, &first, &format!("{blank}  ")));
    }
    for note in &change.notes {
        out.extend(painted(Tone::Normal, look, note, &format!("{blank}note: "), &format!("{blank}  ")));
    }
    out
}

/// The columns of the fields' names.
fn column(fields: &[Field]) -> usize {
    fields.iter().map(|f| text::width(&text::clean(&f.name))).filter(|w| *w <= NAME).max().unwrap_or(0)
}

fn painted(tone: Tone, look: Look, words: &str, first: &str, rest: &str) -> Vec<String> {
    let words = words.lines().map(text::clean).collect::<Vec<_>>().join("\n");
    text::wrap(&words, look.width, first, rest).into_iter().map(|l| look.paint(tone, &l)).collect()
}

/// A label may have a path in it, and a path may have a line break.
fn one_line(label: &str) -> String {
    label.replace('\n', "\\n")
}

fn one(field: &Field, blank: &str, names: usize, look: Look, detail: Detail) -> Vec<String> {
    let (sign, tone) = sign(field);
    let head = format!("{blank}{sign} {}", text::pad(&text::clean(&field.name), names));
    let rest = format!("{blank}    ");
    if let Some((before, after)) = contents(field) {
        let diff = Diff::new(before, after);
        let new = if field.before == Value::Absent { " (new)" } else { "" };
        let mut out = painted(tone, look, &format!("{}{new}", diff.counts()), &format!("{head}  "), &rest);
        if detail.diff {
            out.extend(diff.render(look, &rest, detail.verbose > 0));
        }
        return out;
    }
    let (before, after) = (words(&field.before), words(&field.after));
    let secret = field.before == Value::Masked && field.after == Value::Masked;
    let parts = match sign {
        _ if secret => vec![("", "(secret, not shown)".to_owned())],
        '+' => vec![("", after)],
        '-' => vec![("", before)],
        _ => vec![("", before), ("-> ", after)],
    };
    let short = parts.iter().map(|(arrow, words)| format!("{arrow}{words}")).collect::<Vec<_>>().join(" ");
    let one_line = format!("{head}  {short}");
    let fits = look.width.is_none_or(|columns| text::width(&one_line) <= columns);
    if fits && !short.contains('\n') {
        return vec![look.paint(tone, &text::clean(&one_line))];
    }
    let mut out = vec![look.paint(tone, head.trim_end())];
    for (arrow, words) in parts {
        out.extend(painted(
            tone,
            look,
            &words,
            &format!("{rest}{arrow}"),
            &format!("{rest}{}", " ".repeat(arrow.len())),
        ));
    }
    out
}

/// The two texts, if the field is about the content of a text file.
fn contents(field: &Field) -> Option<(&str, &str)> {
    match (&field.before, &field.after) {
        (Value::Content(before), Value::Content(after)) => Some((before, after)),
        (Value::Absent, Value::Content(after)) => Some(("", after)),
        (Value::Content(before), Value::Absent) => Some((before, "")),
        _ => None,
    }
}

fn words(value: &Value) -> String {
    match value {
        Value::Absent => "(none)".into(),
        Value::Text(text) if text.is_empty() => "(empty)".into(),
        Value::Text(text) => text.clone(),
        Value::Content(text) => format!("(text, {})", text::count(text.lines().count(), "line")),
        Value::Binary { sha256, size } => {
            let sum = if sha256.is_empty() {
                String::new()
            } else {
                format!(", sha256 {}", sha256.get(..12).unwrap_or(sha256))
            };
            format!("(binary, {}{sum})", text::size(*size))
        }
        Value::AfterApply => "(known after apply)".into(),
        Value::Unknown => "(not known yet)".into(),
        Value::Masked => "(secret)".into(),
    }
}

/// Why something failed: message, causes, what still differs, exit code, the end of its output, what to do; the
/// program of ours that was sent only for those who want to know all (`-vv`).
pub(crate) fn failure(failure: &Failure, indent: usize, look: Look, detail: Detail) -> Vec<String> {
    let blank = " ".repeat(indent);
    let deeper = format!("{blank}  ");
    let mut out = painted(Tone::Bad, look, &failure.message, &blank, &deeper);
    for cause in &failure.causes {
        out.extend(painted(Tone::Normal, look, cause, &format!("{blank}because: "), &deeper));
    }
    if !failure.differs.is_empty() {
        out.push(format!("{blank}still differs, found -> wanted:"));
        let names = column(&failure.differs);
        // The differences are the reason: they are shown with `--no-diff` as well, if not at their full length.
        let detail = Detail { diff: true, ..detail };
        out.extend(failure.differs.iter().flat_map(|field| one(field, &deeper, names, look, detail)));
    }
    let program = failure.program.as_ref().filter(|_| detail.verbose > 1);
    for (what, said) in [("command", failure.command.as_ref()), ("program", program)] {
        if let Some(said) = said {
            out.extend(painted(Tone::Normal, look, said.trim_end(), &format!("{blank}{what}: "), &deeper));
        }
    }
    if let Some(code) = failure.code {
        let meaning = match code {
            126 => " (cannot be run)",
            127 => " (command not found)",
            137 => " (killed)",
            _ => "",
        };
        out.push(format!("{blank}exit code: {code}{meaning}"));
    }
    let output: Vec<_> = failure.output.lines().collect();
    if !output.is_empty() {
        out.push(format!("{blank}output:"));
        let bound = if detail.verbose > 0 { output.len() } else { OUTPUT };
        let from = output.len().saturating_sub(bound);
        let bar = format!("{blank}  | ");
        if from > 0 {
            let left_out = format!("{bar}{} ({from} lines before)", look.ellipsis());
            out.push(look.paint(Tone::Dim, &left_out));
        }
        for line in &output[from..] {
            out.extend(text::wrap(&text::last_state(line), look.width, &bar, &bar));
        }
    }
    if let Some(hint) = &failure.hint {
        out.extend(painted(Tone::Strong, look, hint, &format!("{blank}hint: "), &deeper));
    }
    out
}
