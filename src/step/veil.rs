//! What people see of a step that secrets went into.
//!
//! Such a step is rendered twice: with the secrets, for the host, and with masks in their place, for people. Both
//! are asked for their verdict on the same answers. What is done comes from the first and what is shown from the
//! second, so that no filter, quoting or cut can show a part of a secret.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::{Action, Change, Checked, Field, Instance, Step, Value, Verdict};
use crate::model::{MASK, Redactor, Secret};
use crate::probe::{Answer, Answers, CheckError, Readings};
use crate::shell::Script;

/// What is shown in place of a line that may hold an old secret, and of a value that a new one went into.
const HIDDEN: &str = "(secret)";

/// So much of a secret in a row may not be shown.
const RUN: usize = 4;

/// A shorter start of a line says nothing of what follows it.
const TELLING: usize = 3;

/// The masked form of a step.
#[derive(Clone)]
pub struct Veil {
    twin: Option<Arc<dyn Step>>,
    values: Vec<Secret>,
    redactor: Redactor,
    /// Every run of four letters in a value, and the values that are shorter.
    runs: HashSet<Vec<char>>,
}

impl fmt::Debug for Veil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Veil({} values)", self.values.len())
    }
}

/// Case does not hide a secret.
fn letters(text: &str) -> Vec<char> {
    text.chars().flat_map(char::to_lowercase).collect()
}

impl Instance {
    /// The verdict on the answers of its host; where secrets are in the step, with what may be shown of it.
    pub fn check(&self, answers: &Answers) -> Checked<Verdict> {
        let readings = answers.seen_with(&self.privilege);
        let verdict = self.step.check(&readings);
        let said = match &self.veil {
            Some(veil) => veil.verdict(&*self.step, &readings, verdict),
            None => verdict,
        };
        Checked { said, used: readings.into_used() }
    }

    /// As [`Step::on_notify`]; where secrets are in the step, with what may be shown of it.
    pub fn on_notify(&self, answers: &Answers) -> Checked<Option<Change>> {
        let readings = answers.seen_with(&self.privilege);
        let change = self.step.on_notify(&readings);
        let said = match &self.veil {
            None => change,
            Some(veil) => {
                let mut views = veil.views(&*self.step, &readings);
                let seen = views
                    .find_map(|(twin, view)| twin.on_notify(&view.seen_with(&self.privilege)).ok().flatten());
                match change {
                    Ok(change) => Ok(change.map(|change| veil.change(change, seen.as_ref()))),
                    Err(error) => Err(veil.error(error, None)),
                }
            }
        };
        Checked { said, used: readings.into_used() }
    }
}

impl Veil {
    /// A veil over a step: the step rendered with masks, if that can be read, and what secrets became in its texts.
    pub fn new(twin: Option<Arc<dyn Step>>, values: Vec<Secret>) -> Self {
        let redactor = Redactor::default();
        let mut runs = HashSet::new();
        for value in &values {
            redactor.add_derived(value);
            let letters = letters(value.expose());
            runs.extend(letters.windows(RUN.min(letters.len()).max(1)).map(<[char]>::to_vec));
        }
        Self { twin, values, redactor, runs }
    }

    /// The text as it is where it has nothing of a secret in it, not even a cut or quoted part; else the twin's.
    fn text(&self, text: &str, twin: Option<&String>) -> String {
        let letters = letters(text);
        let has_part = (1..=RUN).any(|n| letters.windows(n).any(|run| self.runs.contains(run)));
        match twin {
            _ if !has_part => text.to_owned(),
            Some(twin) => twin.clone(),
            None => self.cover(text),
        }
    }

    /// Whether nothing of a secret is in a text.
    pub(super) fn is_clear(&self, text: &str) -> bool {
        self.text(text, None) == text
    }

    /// Text without what secrets became in it, however short that is.
    fn cover(&self, text: &str) -> String {
        let mut text = self.redactor.redact(text);
        for value in &self.values {
            if !value.expose().is_empty() && text.contains(value.expose()) {
                text = text.replace(value.expose(), MASK);
            }
        }
        text
    }

    /// The answers as the twin may be told them: first with known secrets masked in them, so that it finds on the host
    /// what it would put there, then as they are, for kinds that count bytes.
    fn views<'a>(
        &'a self,
        step: &dyn Step,
        readings: &'a Readings<'_>,
    ) -> impl Iterator<Item = (&'a dyn Step, Answers)> {
        let asked = step.probes();
        let twin = self.twin.as_deref();
        let mask = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(text) => self.redactor.redact(text).into_bytes(),
            Err(_) => bytes.to_vec(),
        };
        let masked = move |answer: &Answer| Answer {
            stdout: mask(&answer.stdout),
            stderr: mask(&answer.stderr),
            ..answer.clone()
        };
        [true, false].into_iter().filter_map(move |mask| {
            let twin = twin?;
            let answer = |answer: &Answer| if mask { masked(answer) } else { answer.clone() };
            Some((twin, readings.mirrored(&asked, &twin.probes(), answer)?))
        })
    }

    fn verdict(
        &self,
        step: &dyn Step,
        readings: &Readings,
        verdict: Result<Verdict, CheckError>,
    ) -> Result<Verdict, CheckError> {
        let alike = |a: &Result<Verdict, CheckError>, b: &Result<Verdict, CheckError>| match (a, b) {
            (Ok(a), Ok(b)) => std::mem::discriminant(a) == std::mem::discriminant(b),
            (Err(a), Err(b)) => std::mem::discriminant(a) == std::mem::discriminant(b),
            _ => false,
        };
        let seen =
            (self.views(step, readings).map(|(twin, view)| twin.check(&view.seen_with(readings.own()))))
                .find(|v| alike(v, &verdict));
        match (verdict, seen) {
            (Ok(Verdict::Drift(change)), Some(Ok(Verdict::Drift(seen)))) => {
                Ok(Verdict::Drift(self.change(change, Some(&seen))))
            }
            (Ok(Verdict::Drift(change)), _) => Ok(Verdict::Drift(self.change(change, None))),
            (Ok(Verdict::Satisfied { reason, shows, result }), seen) => {
                let twin = match &seen {
                    Some(Ok(Verdict::Satisfied { reason, .. })) => Some(reason),
                    _ => None,
                };
                Ok(Verdict::Satisfied { reason: self.text(&reason, twin), shows, result })
            }
            (Ok(Verdict::Unknown { until, then, otherwise }), seen) => {
                let (seen, words) = match seen {
                    Some(Ok(Verdict::Unknown { then, otherwise, .. })) => (then, Some(otherwise)),
                    _ => (None, None),
                };
                let words = self.text(&otherwise, words.as_ref());
                let then = then.map(|change| self.change(change, seen.as_ref()));
                Ok(Verdict::Unknown { until, then, otherwise: words })
            }
            (Err(error), seen) => Err(self.error(error, seen.and_then(Result::err))),
        }
    }

    fn error(&self, error: CheckError, seen: Option<CheckError>) -> CheckError {
        if let Some(seen) = seen {
            return seen;
        }
        match error {
            CheckError::Refused { message, hint } => {
                CheckError::Refused { message: self.cover(&message), hint: hint.map(|h| self.cover(&h)) }
            }
            CheckError::Unreadable { question, why, answer } => CheckError::Unreadable {
                question: self.cover(&question),
                why: self.cover(&why),
                answer: self.cover(&answer),
            },
            CheckError::NotAsked(question) => CheckError::NotAsked(self.cover(&question)),
        }
    }

    /// Adds to a change what may be shown of it.
    fn change(&self, change: Change, seen: Option<&Change>) -> Change {
        let actions = change.actions.iter().enumerate().map(|(n, action)| match seen {
            Some(seen) if seen.actions.len() == change.actions.len() => {
                Action { payload: None, borrowed: Vec::new(), ..seen.actions[n].clone() }
            }
            _ => Action::new(action.label.clone(), Script::new().raw(HIDDEN)),
        });
        let actions = actions.zip(&change.actions).map(|(shown, action)| Action {
            label: self.text(&action.label, Some(&shown.label).filter(|label| **label != action.label)),
            ..shown
        });
        let twins: Option<&[String]> =
            seen.map(|seen| &*seen.notes).filter(|n| n.len() == change.notes.len());
        let note = |(n, note): (usize, &String)| self.text(note, twins.map(|twins| &twins[n]));
        let notes = change.notes.iter().enumerate().map(note).collect();
        let disrupts = (change.disrupts.as_ref())
            .map(|why| self.text(why, seen.and_then(|seen| seen.disrupts.as_ref())));
        let shown = Change {
            summary: self.text(&change.summary, seen.map(|seen| &seen.summary)),
            fields: change.fields.iter().map(|field| self.field(field, seen)).collect(),
            actions: actions.collect(),
            disrupts,
            notes,
            expects: Vec::new(),
            passive: change.passive,
            always: change.always,
            shown: None,
        };
        Change { shown: Some(Box::new(shown)), ..change }
    }

    fn field(&self, field: &Field, seen: Option<&Change>) -> Field {
        let name = self.cover(&field.name);
        let twin = seen.and_then(|seen| seen.fields.iter().find(|twin| twin.name == field.name));
        let (before, after) = match (&field.before, &field.after, twin) {
            (_, after, Some(twin)) if *after == twin.after => (twin.before.clone(), twin.after.clone()),
            (Value::Content(old), Value::Content(_), Some(Field { after: Value::Content(new), .. })) => {
                let old = without_old_secrets(&self.redactor.redact(old), new);
                (Value::Content(old), Value::Content(new.clone()))
            }
            (Value::Absent, Value::Content(_), Some(Field { after: new @ Value::Content(_), .. })) => {
                (Value::Absent, new.clone())
            }
            (Value::Absent, ..) => (Value::Absent, Value::Masked),
            (_, Value::Absent, _) => (Value::Masked, Value::Absent),
            _ => (Value::Masked, Value::Masked),
        };
        Field { name, before, after }
    }
}

/// The old text without the lines that `new` replaces by ones with a mask in them, and without those that begin as
/// such a line does: they may hold the secret of before.
fn without_old_secrets(old: &str, new: &str) -> String {
    let old_lines: Vec<&str> = old.split_inclusive('\n').collect();
    let new_lines: Vec<&str> = new.split_inclusive('\n').collect();
    let starts: Vec<&str> = new_lines
        .iter()
        .filter_map(|line| line.split_once(MASK))
        .map(|(start, _)| start.trim())
        .filter(|start| start.chars().filter(|c| c.is_alphanumeric()).count() >= TELLING)
        .collect();
    let mut kept = String::with_capacity(old.len());
    for op in similar::capture_diff_slices(similar::Algorithm::Myers, &old_lines, &new_lines) {
        let (removed, added) = (op.old_range(), op.new_range());
        let equal = matches!(op, similar::DiffOp::Equal { .. });
        let masked = |line: &&str| line.contains(MASK);
        let untold =
            |line: &&str| masked(line) && !starts.iter().any(|start| line.trim_start().starts_with(start));
        // One for one, a line is replaced by the one at its place, unless it cannot be told what was where.
        let in_pairs = removed.len() == added.len() && !new_lines[added.clone()].iter().any(untold);
        for (n, line) in old_lines[removed].iter().enumerate() {
            let secret = if in_pairs {
                masked(&new_lines[added.start + n])
            } else {
                new_lines[added.clone()].iter().any(masked)
            };
            if equal {
                kept.push_str(line);
            } else if secret || starts.iter().any(|start| line.trim_start().starts_with(start)) {
                kept.push_str(HIDDEN);
                kept.push('\n');
            } else {
                kept.push_str(line);
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_line_goes_where_the_new_one_has_a_secret() {
        let old = "port 1\npassword = old\nmode a\nend\n";
        let cases = [
            // Replaced in place.
            ("port 1\npassword = ********\nmode a\nend\n", "port 1\n(secret)\nmode a\nend\n"),
            // Moved away from its place.
            ("port 1\nmode b\nmore\nend\npassword = ********\n", "port 1\n(secret)\nmode a\nend\n"),
            // Nothing secret in the line that goes.
            ("port 2\npassword = ********\nmode a\nend\n", "port 1\n(secret)\nmode a\nend\n"),
            ("port 1\npassword = old\nmode b\nend\ntoken ********\n", old),
            // Nothing tells what the new lines stand for.
            ("port 1\n********\nmode b\nend\n", "port 1\n(secret)\n(secret)\nend\n"),
        ];
        for (new, wanted) in cases {
            assert_eq!(without_old_secrets(old, new), wanted, "{new}");
        }
    }
}
