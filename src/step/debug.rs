//! `debug`: shows a text or values, and changes nothing.

use serde::Deserialize;

use super::{Change, Context, Invalid, Inverse, Step, Validate, Verdict};
use crate::model::value::one_or_many;
use crate::probe::{CheckError, Probe, Readings};
use crate::program::Programs;

/// What runs on hosts for this kind: nothing.
pub(super) const PROGRAMS: Programs = &[];

/// Something to be shown.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debug {
    #[serde(default, deserialize_with = "one_or_many")]
    text: Vec<String>,
    #[serde(default)]
    values: toml::Table,
}

impl Validate for Debug {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        if self.text.is_empty() && self.values.is_empty() {
            return vec![Invalid::new("", "nothing is shown: give `text` or `values`").help(
                "`debug = \"it is {{ facts.arch }}\"`, or `values = { kernel = \"{{ facts.kernel }}\" }`",
            )];
        }
        Vec::new()
    }
}

impl Step for Debug {
    fn probes(&self) -> Vec<Probe> {
        Vec::new()
    }

    fn check(&self, _: &Readings) -> Result<Verdict, CheckError> {
        let texts = self.text.iter().map(|text| text.trim_end().to_owned());
        let values = self.values.iter().map(|(name, value)| match value {
            // As it is, and not as one would write it in a playbook.
            toml::Value::String(text) => format!("{name}: {text}"),
            other => format!("{name}: {other}"),
        });
        let shows: Vec<String> = texts.chain(values).collect();
        Ok(Verdict::Satisfied { reason: "shown".into(), shows: shows.join("\n"), result: None })
    }

    fn inverse(&self, _: &Change) -> Inverse {
        Inverse::nothing()
    }
}
