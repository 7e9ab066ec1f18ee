//! `authorized_key`: who may log in as a user with a key.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;

use super::family::accounts;
use super::family::attributes::Attributes;
use super::family::existence::Existence;
use super::family::path::{self, CONTENT_LIMIT, Depth, Found, Query};
use super::family::put::{self, Put};
use super::family::ssh_folder::{self, Place, SshFile, Wish};
use super::family::ssh_key::PublicKey;
use super::family::text::{Lines, Spot};
use super::{Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::value::one_or_many;
use crate::model::{FileContent, FileKind, FileState, Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program::Programs;

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs =
    &[ssh_folder::ASKS, path::PROGRAMS, put::CONTENT, put::ATTRIBUTES, put::DIRECTORIES];

/// Keys with which one may log in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizedKey {
    user: String,
    #[serde(deserialize_with = "one_or_many")]
    key: Vec<String>,
    #[serde(default, deserialize_with = "some_options")]
    options: Option<Vec<String>>,
    #[serde(default)]
    exclusive: bool,
    path: Option<String>,
    #[serde(default)]
    state: Existence,
    #[serde(default)]
    allow_remote: bool,
    #[serde(skip)]
    keys: Vec<PublicKey>,
    /// A secret went into it.
    #[serde(skip)]
    holds_secret: bool,
}

fn some_options<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    one_or_many(deserializer).map(Some)
}

impl Validate for AuthorizedKey {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        self.holds_secret = (context.holds_secret)();
        let mut invalid: Vec<_> = accounts::check_name("user", &self.user, "user").into_iter().collect();
        if let Some(path) = &mut self.path {
            invalid.extend(path::normalise(path, "path"));
        }
        if self.key.is_empty() {
            invalid.push(Invalid::new("key", "no key is given"));
        }
        for (n, text) in self.key.iter().enumerate() {
            let at = if self.key.len() == 1 { "key".to_owned() } else { format!("key[{n}]") };
            match PublicKey::read(text) {
                Err(why) => {
                    let wrong = Invalid::new(at, format!("the key {why}"));
                    invalid.push(if why.starts_with("does not begin") {
                        wrong.help(
                            "a key is one line, \"ssh-ed25519 AAAA... anna@laptop\"; what restricts it goes into `options`",
                        )
                    } else {
                        wrong
                    });
                }
                Ok(key) if self.keys.iter().any(|k| k.is(&key)) => {
                    invalid.push(Invalid::new(at, format!("the key {} is given twice", key.name())));
                }
                Ok(key) => self.keys.push(key),
            }
        }
        for (n, option) in self.options.iter().flatten().enumerate() {
            if let Err(why) = split_options(option) {
                invalid.push(
                    Invalid::new(format!("options[{n}]"), format!("{option:?} {why}"))
                        .help("for example `options = ['from=\"10.0.0.0/8\"', \"no-pty\"]`, as in sshd(8)"),
                );
            }
        }
        if self.state == Existence::Absent {
            for (key, set) in [("options", self.options.is_some()), ("exclusive", self.exclusive)] {
                if set {
                    invalid
                        .push(Invalid::new(key, format!("`{key}` has no meaning with `state = \"absent\"`")));
                }
            }
        }
        invalid
    }
}

impl Step for AuthorizedKey {
    fn probes(&self) -> Vec<Probe> {
        match &self.path {
            Some(path) => vec![self.query(path).probe()],
            None => vec![self.file().probe()],
        }
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        if let Some(path) = &self.path {
            return self.elsewhere(path, readings);
        }
        let file = self.file();
        let here = match file.read(readings)? {
            Place::NoUser if self.state == Existence::Absent => {
                return Ok(Verdict::satisfied("there is no such user"));
            }
            Place::NoUser => return Ok(file.later(self.summary())),
            Place::At(here) => here,
        };
        let after: Arc<[u8]> = self.edit(&here.text).into();
        if self.state == Existence::Absent {
            return Ok(self.rewrite(&here.path, &here.file, &here.text, &after));
        }
        let wish = Wish { content: &after, mode: "0600", strict: true, secret: self.holds_secret };
        let verdict = file.put(self.summary(), &here, wish, readings)?;
        Ok(match verdict {
            None => self.holds(),
            Some(Verdict::Drift(change)) => Verdict::Drift(self.warned(change)),
            Some(other) => other,
        })
    }

    fn inverse(&self, change: &Change) -> Inverse {
        ssh_folder::inverse(change)
    }

    fn provides(&self) -> Vec<Resource> {
        match (&self.path, self.state) {
            (Some(path), Existence::Present) => vec![Resource::here(Kind::Path, path)],
            _ => Vec::new(),
        }
    }

    fn needs(&self) -> Vec<Resource> {
        match &self.path {
            Some(path) => self.query(path).needs(),
            None => self.file().needs(),
        }
    }
}

impl AuthorizedKey {
    fn file(&self) -> SshFile<'_> {
        SshFile { user: &self.user, name: "authorized_keys", allow_remote: self.allow_remote }
    }

    fn query<'a>(&self, path: &'a str) -> Query<'a> {
        Query { allow_remote: self.allow_remote, ..Query::new(path, Depth::Content(CONTENT_LIMIT)) }
    }

    /// Which key it is, or how many they are.
    fn which(&self) -> String {
        match self.keys.as_slice() {
            [key] => format!("the key {}", key.name()),
            keys => format!("{} keys", keys.len()),
        }
    }

    fn summary(&self) -> String {
        let (which, user) = (self.which(), &self.user);
        match (self.state, self.exclusive) {
            (Existence::Absent, _) => format!("no longer let {which} log in as {user}"),
            (_, true) => format!("let {which} and no other log in as {user}"),
            (_, false) => format!("let {which} log in as {user}"),
        }
    }

    fn holds(&self) -> Verdict {
        let only = if self.exclusive { ", no other" } else { "" };
        Verdict::satisfied(format!("{}{only}", self.which()))
    }

    fn warned(&self, change: Change) -> Change {
        if self.exclusive {
            change.note("see that the key with which you log in yourself is among them")
        } else {
            change
        }
    }

    /// In a file that is not in his home: it is whoever's it is, and sshd reads it with the rights of the user.
    fn elsewhere(&self, path: &str, readings: &Readings) -> Result<Verdict, CheckError> {
        let found = self.query(path).read(readings)?;
        if found.vague {
            return Ok(Verdict::Unknown {
                until: Resource::here(Kind::Path, path),
                then: Some(Change::new(self.summary()).field("content", Value::Unknown, Value::AfterApply)),
                otherwise: format!("what will be in {path} is not known"),
            });
        }
        let before = ssh_folder::content(path, &found)?;
        let after: Arc<[u8]> = self.edit(&before).into();
        Ok(self.rewrite(path, &found, &before, &after))
    }

    /// The file with another content, and otherwise as it is.
    fn rewrite(&self, path: &str, found: &Found, before: &Arc<[u8]>, after: &Arc<[u8]>) -> Verdict {
        if before == after {
            return if self.state == Existence::Absent {
                Verdict::satisfied("no such key")
            } else {
                self.holds()
            };
        }
        let fresh = found.file.kind == FileKind::Absent;
        let mut state = if fresh { FileState::fresh(FileKind::File) } else { found.file.clone() };
        let attributes = Attributes::default();
        let put = Put {
            mode: Some(state.mode),
            secret: self.holds_secret,
            made_from: Some(&found.file),
            ..Put::new(path, after, &attributes)
        };
        state.content = FileContent::Bytes(Arc::clone(after));
        let shown = if fresh { Value::Absent } else { put::show_bytes(before) };
        let change = Change::new(self.summary())
            .field("content", shown, put::show_bytes(after))
            .action(put.action(format!("write {path}")))
            .expect(Resource::here(Kind::Path, path), State::File(state));
        found.drift(path, self.warned(change), false)
    }

    /// What the file has to be.
    fn edit(&self, text: &[u8]) -> Vec<u8> {
        let options = self.options.as_ref().map(|o| o.join(",")).unwrap_or_default();
        let authority = is_authority(&options);
        let wanted: Vec<String> = self
            .keys
            .iter()
            .map(|key| if options.is_empty() { key.to_string() } else { format!("{options} {key}") })
            .collect();
        let mut lines = Lines::new(text);
        let old: Vec<Option<Entry>> = lines.texts().map(Entry::read).collect();
        let mut there = vec![false; self.keys.len()];
        let mut keep = Vec::new();
        let mut new: Vec<(usize, usize)> = Vec::new();
        for (n, entry) in old.iter().enumerate() {
            let Some(Entry { options: has, key }) = entry else {
                // A line of which nobody knows what it lets in does not stay among the only ones.
                keep.push(!self.exclusive || is_comment(lines.texts().nth(n).unwrap_or_default()));
                continue;
            };
            let known = key.as_ref().and_then(|key| self.keys.iter().position(|k| k.is(key)));
            let Some(which) = known else {
                keep.push(!self.exclusive);
                continue;
            };
            if self.state == Existence::Absent {
                keep.push(false);
            } else if self.options.is_none() {
                // One that vouches for others lets nobody in by itself.
                let is = !is_authority(has);
                there[which] |= is;
                keep.push(is || !self.exclusive);
            } else if is_authority(has) != authority {
                keep.push(!self.exclusive);
            } else {
                // sshd goes on to the next line with the key if the first does not let in: each of them counts.
                if !there[which] && !same_options(has, &options) {
                    new.push((n, which));
                }
                keep.push(!there[which]);
                there[which] = true;
            }
        }
        for (n, which) in new {
            lines.replace(n, wanted[which].as_bytes());
        }
        let mut keep = keep.into_iter();
        let kept: Vec<bool> = lines.texts().map(|_| keep.next().unwrap_or(true)).collect();
        for n in (0..kept.len()).rev().filter(|n| !kept[*n]) {
            lines.remove(n, n);
        }
        if self.state == Existence::Present {
            for (line, _) in wanted.iter().zip(there).filter(|(_, there)| !there) {
                let end = lines.len();
                lines.insert(Spot::Behind(end), [line.as_bytes()]);
            }
        }
        lines.bytes()
    }
}

/// A line that is more than a comment.
#[derive(Debug, PartialEq, Eq)]
struct Entry<'a> {
    /// What stands before the key.
    options: &'a str,
    /// The key, if it can be read.
    key: Option<PublicKey>,
}

impl<'a> Entry<'a> {
    /// Reads a line as sshd does (sshd(8), `AUTHORIZED_KEYS FILE FORMAT`); `None` for a comment and for what is no text.
    fn read(line: &'a [u8]) -> Option<Self> {
        if is_comment(line) {
            return None;
        }
        let line = std::str::from_utf8(line).ok()?.trim_matches([' ', '\t']);
        if let Ok(key) = PublicKey::read(line) {
            return Some(Self { options: "", key: Some(key) });
        }
        let mut quoted = false;
        let mut escaped = false;
        let end = line.find(|c: char| {
            let here = !quoted && matches!(c, ' ' | '\t');
            quoted ^= c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            here
        })?;
        let (options, rest) = line.split_at(end);
        Some(Self { options, key: PublicKey::read(rest).ok() })
    }
}

fn is_comment(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    line.is_empty() || line.starts_with(b"#")
}

/// The options in a text: at commas outside of quotes.
fn split_options(text: &str) -> Result<Vec<&str>, &'static str> {
    let mut options = Vec::new();
    let (mut from, mut quoted, mut escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            '\n' | '\r' | '\0' => return Err("has a line break in it"),
            '"' if !escaped => quoted = !quoted,
            ' ' | '\t' if !quoted => return Err("has a blank outside of quotes"),
            ',' if !quoted => {
                options.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    options.push(&text[from..]);
    if quoted {
        return Err("has a quote that does not end");
    }
    if options.contains(&"") {
        return Err("has an option without a name");
    }
    Ok(options)
}

/// Whether these are the same, in whatever order.
fn same_options(one: &str, other: &str) -> bool {
    let set = |text| -> BTreeSet<&str> { split_options(text).unwrap_or_default().into_iter().collect() };
    one == other || (!one.is_empty() && !other.is_empty() && set(one) == set(other))
}

/// Whether a key with these options vouches for other keys.
fn is_authority(options: &str) -> bool {
    split_options(options).unwrap_or_default().iter().any(|o| o.eq_ignore_ascii_case("cert-authority"))
}
