//! Users and groups: what `user` and `group` share.

use serde::de::{Deserialize, Deserializer, Visitor};

use crate::model::{Kind, Resource, State};
use crate::probe::Readings;
use crate::program::Library;
use crate::step::Invalid;

/// Asks the name service for an account; see there.
pub(in crate::step) static ENTRIES: Library =
    Library::new("accounts/entries.sh", include_str!("accounts/entries.sh"), &[]);

/// Checks a name as useradd(8) and groupadd(8) take it.
pub fn check_name(key: &str, name: &str, what: &str) -> Option<Invalid> {
    let first = name.chars().next();
    let good = first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        // One at the end is a machine's in a Windows domain.
        && name.strip_suffix('$').unwrap_or(name).chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && name.len() <= 32;
    (!good).then(|| Invalid::new(key, format!("{name:?} is not the name of a {what}")))
}

/// Whether an earlier step of the plan makes (or removes) it; `None` where none does.
pub fn planned(readings: &Readings, kind: Kind, name: &str) -> Option<bool> {
    readings.expected(&Resource::here(kind, name)).map(|state| *state != State::Absent)
}

/// Checks a number: the last two of 32 bits, and the last of 16, mean "none" to the kernel (credentials(7)).
pub fn check_number(key: &str, number: u32) -> Option<Invalid> {
    matches!(number, 65_535 | 4_294_967_294..)
        .then(|| Invalid::new(key, format!("{number} is a number that nobody can have")))
}

/// A group, by its name or its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupName(pub String);

impl GroupName {
    /// As the tools take it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks it as [`check_name`] does.
    pub fn check(&self, key: &str) -> Option<Invalid> {
        match self.0.parse() {
            Ok(number) => check_number(key, number),
            Err(_) => check_name(key, &self.0, "group"),
        }
    }
}

impl<'de> Deserialize<'de> for GroupName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrNumber;
        impl Visitor<'_> for NameOrNumber {
            type Value = GroupName;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a group, or its number")
            }
            fn visit_str<E>(self, text: &str) -> Result<GroupName, E> {
                Ok(GroupName(text.to_owned()))
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<GroupName, E> {
                let number = u32::try_from(number);
                number
                    .map(|n| GroupName(n.to_string()))
                    .map_err(|_| E::custom("a number from 0 to 4294967293"))
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<GroupName, E> {
                let number = u32::try_from(number);
                number
                    .map(|n| GroupName(n.to_string()))
                    .map_err(|_| E::custom("a number from 0 to 4294967293"))
            }
        }
        deserializer.deserialize_any(NameOrNumber)
    }
}
