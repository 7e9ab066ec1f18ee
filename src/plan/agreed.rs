//! What an apply was agreed on beforehand, by a plan that was saved, and what is not so any more.

use std::collections::BTreeMap;

use crate::event::{ChangeView, Entry, Forecast, StepRef};
use crate::model::field::{Field, Value};

/// The lines of a plan that was looked at earlier: nothing else is to be done.
#[derive(Debug, Clone, Default)]
pub struct Agreed {
    entries: BTreeMap<StepRef, Forecast>,
}

impl Agreed {
    /// A plan by its lines, as they were shown.
    pub fn new(entries: impl IntoIterator<Item = Entry>) -> Self {
        Self { entries: entries.into_iter().map(|entry| (entry.at, entry.forecast)).collect() }
    }

    /// How a step's forecast, as it is shown, is not what was agreed on; `None` where it is, or where less is to be done (a
    /// change that has come about meanwhile), or where the plan did not know.
    pub fn moved(&self, at: &StepRef, name: &str, now: &Forecast) -> Option<String> {
        let Some(then) = self.entries.get(at) else {
            return Some(format!("`{name}` was not in the plan"));
        };
        match (then, now) {
            (Forecast::Change { change: then, .. }, Forecast::Change { change: now, .. }) => {
                if same(then, now) { None } else { Some(format!("`{name}`: {}", differences(then, now))) }
            }
            (
                Forecast::Change { .. } | Forecast::Unknown { .. },
                Forecast::Unchanged { .. } | Forecast::Skipped { .. },
            )
            | (Forecast::Unknown { .. }, Forecast::Change { .. }) => None,
            (then, now) if std::mem::discriminant(then) == std::mem::discriminant(now) => None,
            (then, now) => {
                Some(format!("`{name}`: the plan was {}, and now it is {}", words(then), words(now)))
            }
        }
    }

    /// As [`Self::moved`], for a change right before it is made. Where the plan said that it rests on other steps, or did
    /// not know, what it is now is what was to be found out.
    pub fn moved_at_turn(&self, at: &StepRef, name: &str, now: &Forecast) -> Option<String> {
        let open = match self.entries.get(at) {
            Some(Forecast::Change { predicted, .. } | Forecast::Unchanged { predicted, .. }) => {
                !predicted.is_empty()
            }
            Some(Forecast::Unknown { .. }) => true,
            _ => false,
        };
        if open { None } else { self.moved(at, name, now) }
    }
}

/// Whether two changes are the same to whoever has agreed to one.
fn same(a: &ChangeView, b: &ChangeView) -> bool {
    let parts = |c: &ChangeView| {
        (c.summary.clone(), c.fields.clone(), c.actions.clone(), c.programs.clone(), c.disrupts.clone())
    };
    parts(a) == parts(b) && a.always == b.always
}

/// What is not the same in two changes, as one clause.
fn differences(then: &ChangeView, now: &ChangeView) -> String {
    if then.summary != now.summary {
        return format!("the plan was to {}, and now it is to {}", then.summary, now.summary);
    }
    let known = |fields: &[Field], name: &str| fields.iter().find(|f| f.name == name).cloned();
    for field in &now.fields {
        match known(&then.fields, &field.name) {
            Some(old) if old.before != field.before => {
                let (then, now) = both(&old.before, &field.before);
                return format!("{} was {then}, and is {now} now", field.name);
            }
            Some(old) if old.after != field.after => {
                let (then, now) = both(&old.after, &field.after);
                return format!("{} was to become {then}, and now it is to become {now}", field.name);
            }
            Some(_) => {}
            None => return format!("{} is not as it was: it is {}", field.name, value(&field.before)),
        }
    }
    if let Some(gone) = then.fields.iter().find(|field| known(&now.fields, &field.name).is_none()) {
        return format!("{} was {}, and is not any more", gone.name, value(&gone.before));
    }
    match (&then.disrupts, &now.disrupts) {
        (None, Some(whom)) => format!("it interrupts users now: {whom}"),
        (Some(_), None) => "it no longer interrupts users".to_owned(),
        _ => format!("it is to be done in another way: {}", now.actions.join(", ")),
    }
}

fn words(forecast: &Forecast) -> String {
    match forecast {
        Forecast::Unchanged { .. } => "to leave it alone".into(),
        Forecast::Change { change, .. } => format!("to {}", change.summary),
        Forecast::Unknown { until } => format!("not known until {until}"),
        Forecast::Skipped { why } => format!("to pass it over ({why})"),
        Forecast::Error { failure } => format!("an error ({})", failure.message),
        Forecast::Unreachable => "without the host, which was not reached".into(),
        Forecast::LeftOut => "to leave the host out".into(),
    }
}

/// Two values that differ: of texts the first line in which they do.
fn both(then: &Value, now: &Value) -> (String, String) {
    let (Value::Content(a), Value::Content(b)) = (then, now) else { return (value(then), value(now)) };
    let same = a.lines().zip(b.lines()).take_while(|(a, b)| a == b).count();
    let line = |text: &str| {
        let line = text.lines().nth(same).map(|line| line.chars().take(60).collect::<String>());
        line.map_or_else(|| "at its end".to_owned(), |line| format!("{line:?}"))
    };
    (format!("{} in line {}", line(a), same + 1), line(b))
}

fn value(value: &Value) -> String {
    match value {
        Value::Absent => "absent".into(),
        Value::Text(text) => format!("{text:?}"),
        Value::Content(text) => format!("a text of {} lines", text.lines().count()),
        Value::Binary { size, .. } => format!("{size} bytes"),
        Value::AfterApply | Value::Unknown => "not known".into(),
        Value::Masked => "(secret)".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Failure, HostName, PlayIndex, StepId};

    fn change(summary: &str, before: &str) -> ChangeView {
        ChangeView {
            summary: summary.into(),
            fields: vec![Field { name: "mode".into(), before: before.into(), after: "0644".into() }],
            actions: vec!["do it".into()],
            programs: Vec::new(),
            disrupts: None,
            notes: vec!["told, not agreed on".into()],
            always: false,
        }
    }

    fn to(change: ChangeView) -> Forecast {
        Forecast::Change { change, predicted: Vec::new() }
    }

    fn at() -> StepRef {
        StepRef { play: PlayIndex::new(0), step: StepId::new("x"), host: HostName::new("a").unwrap() }
    }

    fn agreed(forecast: Forecast) -> Agreed {
        Agreed { entries: BTreeMap::from([(at(), forecast)]) }
    }

    fn unchanged() -> Forecast {
        Forecast::Unchanged { reason: "it is".into(), shows: String::new(), predicted: Vec::new() }
    }

    #[test]
    fn what_is_not_as_agreed_is_told_with_both_sides() {
        let then = || to(change("set it", "0600"));
        let error = || Forecast::Error { failure: Failure::new("no such user") };
        let disrupts = ChangeView { disrupts: Some("all".into()), ..change("set it", "0600") };
        let other_way = ChangeView { actions: vec!["wipe it".into()], ..change("set it", "0600") };
        for (then, now, wanted) in [
            (then(), then(), None),
            (then(), unchanged(), None),
            (unchanged(), unchanged(), None),
            (then(), to(change("set it", "0640")), Some("`x`: mode was \"0600\", and is \"0640\" now")),
            (
                then(),
                to(change("make it", "0600")),
                Some("`x`: the plan was to set it, and now it is to make it"),
            ),
            (unchanged(), then(), Some("`x`: the plan was to leave it alone, and now it is to set it")),
            (then(), error(), Some("`x`: the plan was to set it, and now it is an error (no such user)")),
            (then(), to(disrupts), Some("`x`: it interrupts users now: all")),
            (then(), to(other_way), Some("`x`: it is to be done in another way: wipe it")),
        ] {
            assert_eq!(agreed(then).moved(&at(), "x", &now).as_deref(), wanted);
        }
        let other = StepRef { step: StepId::new("y"), ..at() };
        assert_eq!(agreed(then()).moved(&other, "y", &then()).as_deref(), Some("`y` was not in the plan"));
    }

    #[test]
    fn a_prediction_may_come_out_otherwise() {
        let by = vec![at()];
        let predicted = Forecast::Change { change: change("set it", "0600"), predicted: by };
        let now = to(change("set it", "0640"));
        assert!(agreed(predicted).moved_at_turn(&at(), "x", &now).is_none());
        assert!(agreed(to(change("set it", "0600"))).moved_at_turn(&at(), "x", &now).is_some());
        assert!(agreed(unchanged()).moved_at_turn(&at(), "x", &now).is_some());
    }
}
