//! Questions of a frame that are asked as one: one process on the host instead of one for each.

use super::{Frame, Part, TransportError};
use crate::probe::{Answer, Cut, Together};

/// Which parts of a frame went out as one.
pub(super) struct Merged {
    /// By part of the frame that was sent: those of the frame as it was.
    parts: Vec<Vec<usize>>,
    /// By part of the frame as it was: the items that it asks for.
    wanted: Vec<Vec<usize>>,
    cut: Cut,
}

/// Merges the questions behind the last action that can be asked together, if there are several.
pub(super) fn merge(frame: Frame) -> (Frame, Option<Merged>) {
    let after = frame.parts.iter().rposition(|part| !part.only_asks()).map_or(0, |n| n + 1);
    let joins = |n: usize, part: &Part| n >= after && part.together.is_some();
    let mut joined = frame.parts.iter().enumerate().filter(|(n, part)| joins(*n, part));
    let first = joined.next().and_then(|(_, part)| part.together.clone());
    let (Some(Together { kind, ask, cut, .. }), Some(_)) = (first, joined.next()) else {
        return (frame, None);
    };
    let mut items: Vec<String> = Vec::new();
    let mut merged = Merged { parts: Vec::new(), wanted: Vec::new(), cut };
    let mut parts: Vec<Part> = Vec::new();
    let mut place: Option<usize> = None;
    for (n, part) in frame.parts.into_iter().enumerate() {
        let wanted = match &part.together {
            Some(together) if n >= after && together.kind == kind => {
                let mut wanted = Vec::new();
                for item in &together.items {
                    wanted.push(items.iter().position(|i| i == item).unwrap_or_else(|| {
                        items.push(item.clone());
                        items.len() - 1
                    }));
                }
                wanted
            }
            _ => Vec::new(),
        };
        match place {
            Some(at) if !wanted.is_empty() => merged.parts[at].push(n),
            _ => {
                if !wanted.is_empty() {
                    place = Some(parts.len());
                }
                merged.parts.push(vec![n]);
                parts.push(part);
            }
        }
        merged.wanted.push(wanted);
    }
    if let Some(at) = place {
        parts[at].script = ask(&items);
    }
    (Frame { parts, ..frame }, Some(merged))
}

impl Merged {
    /// The answers to the parts of the frame as it was, up to the first that has none.
    pub(super) fn answers(&self, answers: Vec<Answer>) -> Vec<Answer> {
        let mut all: Vec<Option<Answer>> = vec![None; self.wanted.len()];
        for (answer, parts) in answers.into_iter().zip(&self.parts) {
            match parts.as_slice() {
                [one] => all[*one] = Some(answer),
                several => {
                    let (whole, left) = (self.cut)(&answer);
                    for &n in several {
                        all[n] = Some(self.part_of(n, &answer, &whole, left));
                    }
                }
            }
        }
        all.into_iter().map_while(|answer| answer).collect()
    }

    fn part_of(&self, n: usize, answer: &Answer, whole: &[&[u8]], left: &[u8]) -> Answer {
        if whole.is_empty() {
            // None of them: it says why.
            return answer.clone();
        }
        let items: Option<Vec<&[u8]>> = self.wanted[n].iter().map(|&item| whole.get(item).copied()).collect();
        match items {
            Some(items) => Answer { code: 0, stdout: items.concat(), stderr: Vec::new() },
            None => Answer { stdout: left.to_vec(), ..answer.clone() },
        }
    }

    /// The same error, said of the frame as it was.
    pub(super) fn error(&self, error: TransportError) -> TransportError {
        match error {
            TransportError::TimedOut { after, part, answers } => TransportError::TimedOut {
                after,
                part: part.and_then(|n| self.parts.get(n)?.first().copied()),
                answers: self.answers(answers),
            },
            TransportError::TooMuch { message, part, answers } => TransportError::TooMuch {
                message,
                part: self.parts.get(part).and_then(|parts| parts.first().copied()).unwrap_or_default(),
                answers: self.answers(answers),
            },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::Privilege;
    use crate::sh;
    use crate::shell::Script;

    /// Items are words, an answer `WORD!`.
    fn ask(words: &[String]) -> Script {
        sh!("say {}", words.to_vec())
    }

    fn cut(answer: &Answer) -> (Vec<&[u8]>, &[u8]) {
        let said = answer.stdout.as_slice();
        let end = said.iter().rposition(|b| *b == b'!').map_or(0, |n| n + 1);
        (said[..end].split_inclusive(|b| *b == b'!').collect(), &said[end..])
    }

    fn words(words: &[&str]) -> Part {
        let items: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        let script = ask(&items);
        Part { together: Some(Together { kind: "words", items, ask, cut }), ..Part::question(script) }
    }

    fn frame(parts: Vec<Part>) -> (Vec<String>, Option<Merged>) {
        let frame = Frame { privilege: Privilege::Login, parts, timeout: Duration::from_secs(1) };
        let (frame, merged) = merge(frame);
        (frame.parts.iter().map(|p| p.script.to_string()).collect(), merged)
    }

    fn said(merged: &Merged, answers: &[&str]) -> Vec<String> {
        let answers = answers.iter().map(|a| Answer::new(i32::from(a.starts_with('?')), a)).collect();
        merged.answers(answers).iter().map(|a| format!("{} {}", a.code, a.text())).collect()
    }

    #[test]
    fn questions_become_one_and_each_gets_its_own_answer() {
        let other = || Part::question(sh!("other"));
        let (scripts, merged) = frame(vec![other(), words(&["a", "b"]), other(), words(&["b", "c"])]);
        assert_eq!(scripts, ["other", "say a b c", "other"]);
        let merged = merged.unwrap();
        assert_eq!(said(&merged, &["x", "a!b!c!", "y"]), ["0 x", "0 a!b!", "0 y", "0 b!c!"]);
        // Cut off: who has all gets it, the others what is left.
        assert_eq!(said(&merged, &["x", "a!b!?", "y"]), ["0 x", "0 a!b!", "0 y", "0 ?"]);
        // Nothing at all: all are told why.
        assert_eq!(said(&merged, &["x", "? no", "y"]), ["0 x", "1 ? no", "0 y", "1 ? no"]);
        // The frame ended in the middle: up to the first question without an answer.
        assert_eq!(said(&merged, &["x", "a!b!c!"]), ["0 x", "0 a!b!"]);
        assert_eq!(said(&merged, &["x"]), ["0 x"]);
        let error = TransportError::TimedOut { after: Duration::ZERO, part: Some(2), answers: Vec::new() };
        assert!(matches!(merged.error(error), TransportError::TimedOut { part: Some(2), .. }));
    }

    #[test]
    fn what_an_action_may_change_is_not_asked_before_it() {
        let act = || Part { stop_on_failure: true, ..Part::question(sh!("act")) };
        let (scripts, merged) = frame(vec![words(&["a"]), act(), words(&["b"])]);
        assert_eq!((scripts, merged.is_none()), (vec!["say a".into(), "act".into(), "say b".into()], true));
        let (scripts, merged) = frame(vec![act(), words(&["a"]), words(&["a"])]);
        assert_eq!(scripts, ["act", "say a"]);
        assert_eq!(said(&merged.unwrap(), &["done", "a!"]), ["0 done", "0 a!", "0 a!"]);
    }
}
