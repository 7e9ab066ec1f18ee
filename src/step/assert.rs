//! `assert`: conditions without which nothing is to be done.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};

use super::family::guards::{self, Guards};
use super::{Change, Context, Invalid, Inverse, Step, Validate, Verdict};
use crate::model::value::one_or_many;
use crate::probe::{CheckError, Probe, Readings};
use crate::program::Programs;

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs = &[guards::PROGRAMS];

/// Conditions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assert {
    #[serde(default)]
    that: Conditions,
    #[serde(default, deserialize_with = "one_or_many")]
    command: Vec<String>,
    message: Option<String>,
}

/// Each as it came out of its template.
#[derive(Debug, Clone, Default)]
struct Conditions(Vec<bool>);

#[derive(Debug)]
struct Condition(bool);

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TrueOrFalse;
        impl Visitor<'_> for TrueOrFalse {
            type Value = Condition;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`true` or `false`, or a template that gives one of them")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Condition, E> {
                Ok(Condition(value))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Condition, E> {
                match text.trim() {
                    "true" | "True" => Ok(Condition(true)),
                    "false" | "False" => Ok(Condition(false)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(TrueOrFalse)
    }
}

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Conditions;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`true` or `false`, or an array of them")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Conditions, E> {
                Ok(Conditions(vec![value]))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Conditions, E> {
                let text = serde::de::value::StrDeserializer::<E>::new(text);
                Condition::deserialize(text).map(|c| Conditions(vec![c.0]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Conditions, A::Error> {
                let mut all = Vec::new();
                while let Some(condition) = seq.next_element::<Condition>()? {
                    all.push(condition.0);
                }
                if all.is_empty() {
                    return Err(A::Error::custom("there is no condition in it"));
                }
                Ok(Conditions(all))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

impl Validate for Assert {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        if self.that.0.is_empty() && self.command.is_empty() {
            return vec![Invalid::new("", "nothing is asserted: give `that` or `command`")];
        }
        let empty = self.command.iter().position(|c| c.trim().is_empty());
        empty.map(|n| Invalid::new(format!("command[{n}]"), "the command is empty")).into_iter().collect()
    }
}

impl Step for Assert {
    fn probes(&self) -> Vec<Probe> {
        self.command.iter().filter_map(|c| guard(c).probe()).collect()
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let failed = |what: String| match &self.message {
            Some(message) => CheckError::refused(message.clone(), format!("{what} does not hold")),
            None => CheckError::refused(format!("{what} does not hold"), None),
        };
        let all = self.that.0.len();
        if let Some(n) = self.that.0.iter().position(|c| !c) {
            let which = if all == 1 { "`that`".to_owned() } else { format!("condition {} of `that`", n + 1) };
            return Err(failed(which));
        }
        for command in &self.command {
            match guard(command).check(readings, Change::default())? {
                // `unless` succeeds.
                Verdict::Satisfied { .. } => {}
                Verdict::Drift(_) => return Err(failed(format!("`{command}`"))),
                Verdict::Unknown { otherwise, .. } => {
                    let why = otherwise.replace("`unless` cannot be asked: ", "");
                    return Err(failed(format!("`{command}` ({why})")));
                }
            }
        }
        Ok(Verdict::satisfied(match all + self.command.len() {
            1 => "holds".to_owned(),
            n => format!("all {n} conditions hold"),
        }))
    }

    fn inverse(&self, _: &Change) -> Inverse {
        Inverse::nothing()
    }

    fn opaque(&self) -> bool {
        !self.command.is_empty()
    }
}

/// The guard that is fulfilled when `command` succeeds.
fn guard(command: &str) -> Guards {
    Guards { unless: Some(command.to_owned()), ..Guards::default() }
}
