//! Mode, owner and group: what is wanted, what differs, and how it is set.

use crate::model::{FileKind, FileState};
use crate::step::family::path::{octal, parse_mode};
use crate::step::family::put;
use crate::step::{Action, Change, Field, Invalid, Inverse, Value};

/// Mode, owner and group that are wanted; `None` leaves as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Name or number.
    pub owner: Option<String>,
    /// Name or number.
    pub group: Option<String>,
}

impl Attributes {
    /// Reads them from what the user wrote, which [`Attributes::validate`] has seen.
    pub fn new(mode: Option<&str>, owner: Option<&str>, group: Option<&str>) -> Self {
        Self {
            mode: mode.and_then(parse_mode),
            owner: owner.map(str::to_owned),
            group: group.map(str::to_owned),
        }
    }

    /// Returns the mistakes in what the user wrote.
    pub fn validate(mode: Option<&str>, owner: Option<&str>, group: Option<&str>) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        if let Some(mode) = mode.filter(|m| parse_mode(m).is_none()) {
            invalid.push(
                Invalid::new("mode", format!("{mode:?} is not a mode")).help("write it in octal: \"0755\""),
            );
        }
        for (key, value) in [("owner", owner), ("group", group)] {
            let Some(value) = value else { continue };
            if value.is_empty() || value.contains([':', '|', '/', ' ', '\n', '\t']) {
                let message = format!(
                    "{value:?} is not a name or number of a {}",
                    if key == "owner" { "user" } else { key }
                );
                let invalid_name = Invalid::new(key, message);
                invalid.push(if value.contains(':') {
                    invalid_name.help("write owner and group apart: `owner = \"a\", group = \"b\"`")
                } else {
                    invalid_name
                });
            }
        }
        invalid
    }

    /// Returns the fields that differ from `file`, which is changed to what they will be. `fresh`: it is only
    /// about to be made, so all of them are named.
    pub fn difference(&self, file: &mut FileState, fresh: bool) -> Vec<Field> {
        let mut fields = Vec::new();
        let before = |text: String| if fresh { Value::Absent } else { Value::Text(text) };
        if let Some(mode) = self.mode
            && (fresh || file.mode != mode)
        {
            let field =
                Field { name: "mode".into(), before: before(octal(file.mode)), after: octal(mode).into() };
            fields.push(field);
            file.mode = mode;
        }
        for (name, wanted, actual, id) in [
            ("owner", &self.owner, &mut file.owner, &mut file.uid),
            ("group", &self.group, &mut file.group, &mut file.gid),
        ] {
            let Some(wanted) = wanted else { continue };
            let number = wanted.parse::<u32>().ok();
            if !fresh && (actual == wanted || (number.is_some() && number == *id)) {
                continue;
            }
            fields.push(Field {
                name: name.into(),
                before: before(actual.clone()),
                after: wanted.clone().into(),
            });
            actual.clone_from(wanted);
            *id = if wanted == "root" { Some(0) } else { number };
        }
        fields
    }

    /// Returns owner and group as `chown` takes them; empty if none is wanted.
    pub fn owner_and_group(&self) -> String {
        match (&self.owner, &self.group) {
            (Some(owner), Some(group)) => format!("{owner}:{group}"),
            (Some(owner), None) => owner.clone(),
            (None, Some(group)) => format!(":{group}"),
            (None, None) => String::new(),
        }
    }

    /// Returns the mode that is to be set, five octal digits; empty for none. `keep` is the mode to give back after a
    /// change of owner when none is wanted, for that takes the setuid and setgid bits away (chown(2)).
    pub fn bits(&self, keep: Option<u32>) -> String {
        let chown = self.owner.is_some() || self.group.is_some();
        let keep = keep.filter(|mode| chown && mode & 0o6000 != 0);
        self.mode.or(keep).map(put::digits).unwrap_or_default()
    }

    /// Only those that are named in `fields`.
    #[must_use]
    pub fn only(&self, fields: &[Field]) -> Self {
        let named = |name: &str| fields.iter().any(|f| f.name == name);
        Self {
            mode: self.mode.filter(|_| named("mode")),
            owner: self.owner.clone().filter(|_| named("owner")),
            group: self.group.clone().filter(|_| named("group")),
        }
    }

    /// The action that sets those of them that `fields` name on the path itself (the target if it is a link
    /// that is followed).
    pub fn action(&self, path: &str, follow: bool, fields: &[Field], after: &FileState) -> Option<Action> {
        let set = self.only(fields);
        if set == Self::default() {
            return None;
        }
        // When only the owner differs, the bits that `chown` takes away have to come back.
        let keep = self.mode.or(Some(after.mode));
        let names: Vec<&str> =
            [("mode", set.mode.is_some()), ("owner", set.owner.is_some()), ("group", set.group.is_some())]
                .into_iter()
                .filter_map(|(name, yes)| yes.then_some(name))
                .collect();
        let label = format!("set {} of {path}", join(&names));
        let change = put::change(path, follow, after.kind == FileKind::Directory, &set, keep);
        Some(Action::new(label, change).tells())
    }
}

/// The way back of the attributes that a change names, by a step of that kind.
pub fn inverse(kind: &str, path: &str, follow: bool, change: &Change) -> Inverse {
    let keys = ["mode", "owner", "group"];
    let back: Vec<_> = keys.iter().filter_map(|key| Some((*key, change.before(key)?.into()))).collect();
    if back.is_empty() {
        return Inverse::nothing();
    }
    let follow = follow.then(|| ("follow", true.into()));
    Inverse::of(kind, [("path", path.into())].into_iter().chain(back).chain(follow))
}

/// `a`, `a and b`, `a, b and c`.
fn join(names: &[&str]) -> String {
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numeric_owner_is_the_same_as_its_name() {
        let wanted = Attributes::new(Some("4755"), Some("999"), Some("redis"));
        let mut file = FileState {
            mode: 0o4755,
            owner: "redis".into(),
            uid: Some(999),
            group: "redis".into(),
            gid: Some(1000),
            ..FileState::fresh(FileKind::File)
        };
        assert_eq!(wanted.difference(&mut file, false), []);
        file.uid = Some(998);
        assert_eq!(wanted.difference(&mut file, false).len(), 1);
        assert_eq!((&*file.owner, file.uid), ("999", Some(999)), "what a later step may expect");
        assert_eq!(wanted.difference(&mut file, false), []);
    }
}
