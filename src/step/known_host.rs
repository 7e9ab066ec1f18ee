//! `known_host`: the key by which a host is known to those who log in on it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::sync::Arc;

use serde::Deserialize;

use super::family::accounts::{self, ENTRIES};
use super::family::attributes::Attributes;
use super::family::existence::Existence;
use super::family::path::{self, ANSWER, CONTENT_LIMIT, Depth, Found, Query, REMOTE_TIMEOUT, SHARED_NETWORK};
use super::family::put::{self, Put};
use super::family::ssh_folder::{self, Place, SshFile, Wish};
use super::family::ssh_key::PublicKey;
use super::family::text::{Lines, Spot};
use super::{Change, Context, Field, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::value::one_or_many;
use crate::model::{FileContent, FileKind, FileState, Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::Programs;

program! {
    /// Asks which lines mean a host by a hash of its name.
    AskHashedHosts in "known_host/ask_hashed_hosts.sh" uses [ANSWER, ENTRIES] {
        user: Word, path: Word, names: List, remote: Number, limit: Number
    }
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs = &[
    &[AskHashedHosts::program],
    ssh_folder::ASKS,
    path::PROGRAMS,
    put::CONTENT,
    put::ATTRIBUTES,
    put::DIRECTORIES,
];

/// The file for all users of a host (ssh(1)).
const GLOBAL: &str = "/etc/ssh/ssh_known_hosts";

/// A host and its keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownHost {
    #[serde(deserialize_with = "one_or_many")]
    host: Vec<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    key: Vec<String>,
    user: Option<String>,
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

impl Validate for KnownHost {
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        self.holds_secret = (context.holds_secret)();
        let mut invalid = Vec::new();
        if let Some(user) = &self.user {
            invalid.extend(accounts::check_name("user", user, "user"));
        }
        if self.host.is_empty() {
            invalid.push(Invalid::new("host", "no host is given"));
        }
        let one = self.host.len() == 1;
        for (n, host) in self.host.iter_mut().enumerate() {
            match name(host) {
                Ok(plain) => *host = plain,
                Err(help) => {
                    let at = if one { "host".to_owned() } else { format!("host[{n}]") };
                    invalid.push(Invalid::new(at, format!("{host:?} is not the name of a host")).help(help));
                }
            }
        }
        if self.key.is_empty() && self.state == Existence::Present {
            invalid.push(
                Invalid::missing("key")
                    .help("`ssh-keyscan HOST` shows it; compare it with what the host itself has"),
            );
        }
        for (n, text) in self.key.iter().enumerate() {
            let at = if self.key.len() == 1 { "key".to_owned() } else { format!("key[{n}]") };
            match PublicKey::read(text) {
                Err(why) => invalid.push(Invalid::new(at, format!("the key {why}")).help(
                    "a key is \"ssh-ed25519 AAAA...\", as in /etc/ssh/ssh_host_ed25519_key.pub of the host, without its name",
                )),
                Ok(key) if self.keys.iter().any(|k| k.algorithm == key.algorithm) => invalid
                    .push(Invalid::new(at, format!("a host has one key of the type {}", key.algorithm))),
                Ok(key) => self.keys.push(PublicKey { comment: String::new(), ..key }),
            }
        }
        invalid
    }
}

/// A name as ssh looks it up: in lower case, and with brackets only where there is a port other than 22.
fn name(host: &str) -> Result<String, &'static str> {
    let lower = host.to_ascii_lowercase();
    let (inner, port) = match lower.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        Some((inner, port)) => match port.parse::<u16>() {
            Ok(port) if port > 0 => (inner, port),
            _ => return Err("behind `]:` stands a port, from 1 to 65535"),
        },
        None => (&*lower, 22),
    };
    if inner.contains(['*', '?', '!']) {
        return Err("patterns are left to a `line` step: which hosts they mean is not compared here");
    }
    if inner.contains(':') && inner.parse::<Ipv6Addr>().is_err() {
        return Err("with a port write \"[nfs-01]:2222\"");
    }
    let good = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if inner.is_empty() || inner.starts_with('-') || !inner.chars().all(good) {
        return Err("a name or an address, with a port as \"[nfs-01]:2222\"");
    }
    Ok(if port == 22 { inner.to_owned() } else { format!("[{inner}]:{port}") })
}

impl Step for KnownHost {
    fn probes(&self) -> Vec<Probe> {
        let content = match self.file() {
            Some(file) => file.probe(),
            None => self.query().probe(),
        };
        vec![content, self.hashed_probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let file = self.file();
        let here = match &file {
            None => None,
            Some(file) => match file.read(readings)? {
                Place::NoUser if self.state == Existence::Absent => {
                    return Ok(Verdict::satisfied("there is no such user"));
                }
                Place::NoUser => return Ok(file.later(self.summary())),
                Place::At(here) => Some(here),
            },
        };
        let (path, found, before) = if let Some(here) = &here {
            (&*here.path, here.file.clone(), Arc::clone(&here.text))
        } else {
            let found = self.query().read(readings)?;
            if found.vague {
                return Ok(self.later());
            }
            let text = ssh_folder::content(GLOBAL, &found)?;
            (GLOBAL, found, text)
        };
        let (hashed, untold) = self.hashed(readings)?;
        let edited = self.edit(path, &before, &hashed)?;
        let after: Arc<[u8]> = edited.content.into();
        if before == after {
            let more = if untold { "; hashed names cannot be read, there is no ssh-keygen" } else { "" };
            let said =
                if self.state == Existence::Absent { "not known".to_owned() } else { self.algorithms() };
            return Ok(Verdict::satisfied(format!("{said}{more}")));
        }
        let verdict = match (&file, &here) {
            (Some(file), Some(here)) if self.state == Existence::Present => {
                let wish = Wish { content: &after, mode: "0600", strict: false, secret: self.holds_secret };
                file.put(self.summary(), here, wish, readings)?.expect("its content differs")
            }
            _ => self.rewrite(path, &found, &before, &after),
        };
        Ok(match verdict {
            Verdict::Drift(mut change) => {
                change.fields.splice(0..0, edited.replaced);
                if untold {
                    change = change.note(
                        "names in the file are hashed, and without ssh-keygen it is not known whose keys those are",
                    );
                }
                Verdict::Drift(change)
            }
            other => other,
        })
    }

    fn inverse(&self, change: &Change) -> Inverse {
        ssh_folder::inverse(change)
    }

    fn provides(&self) -> Vec<Resource> {
        if self.user.is_none() && self.state == Existence::Present {
            vec![Resource::here(Kind::Path, GLOBAL)]
        } else {
            Vec::new()
        }
    }

    fn needs(&self) -> Vec<Resource> {
        let mut needs = match self.file() {
            Some(file) => file.needs(),
            None => self.query().needs(),
        };
        needs.push(Resource::here(Kind::Command, "ssh-keygen"));
        needs
    }
}

/// What the file has to be, and the keys that go.
struct Edited {
    content: Vec<u8>,
    replaced: Vec<Field>,
}

impl KnownHost {
    fn file(&self) -> Option<SshFile<'_>> {
        let user = self.user.as_deref()?;
        Some(SshFile { user, name: "known_hosts", allow_remote: self.allow_remote })
    }

    fn query(&self) -> Query<'static> {
        Query { allow_remote: self.allow_remote, ..Query::new(GLOBAL, Depth::Content(CONTENT_LIMIT)) }
    }

    fn hashed_probe(&self) -> Probe {
        let user = self.user.as_deref().unwrap_or_default();
        let path = if user.is_empty() { GLOBAL } else { "known_hosts" };
        let remote = self.allow_remote.then_some(REMOTE_TIMEOUT.as_secs());
        let limit = Some(u64::from(CONTENT_LIMIT));
        let program = AskHashedHosts { user, path, names: &self.host, remote, limit };
        Probe::new(program.script()).sharing(SHARED_NETWORK)
    }

    /// The lines that mean one of the hosts by a hash, counted from 0, and whether there are hashes that nobody can read.
    fn hashed(&self, readings: &Readings) -> Result<(BTreeMap<usize, BTreeSet<String>>, bool), CheckError> {
        let probe = self.hashed_probe();
        let answer = readings.of(&probe)?;
        let unreadable = || CheckError::unreadable(&probe, answer, "expected numbers of lines and names");
        if !answer.ok() {
            return Err(unreadable());
        }
        let mut lines: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
        let mut untold = false;
        for line in answer.text().lines() {
            if line == "untold" {
                untold = true;
                continue;
            }
            let (number, name) = line.split_once(' ').ok_or_else(unreadable)?;
            let number: usize = number.parse().map_err(|_| unreadable())?;
            let number = number.checked_sub(1).ok_or_else(unreadable)?;
            lines.entry(number).or_default().insert(name.to_owned());
        }
        Ok((lines, untold))
    }

    fn names(&self) -> String {
        self.host.join(", ")
    }

    fn algorithms(&self) -> String {
        self.keys.iter().map(|k| k.algorithm.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn summary(&self) -> String {
        match (self.state, &self.user) {
            (Existence::Present, None) => format!("know {} by its key", self.names()),
            (Existence::Present, Some(user)) => format!("let {user} know {} by its key", self.names()),
            (Existence::Absent, None) => format!("forget the key of {}", self.names()),
            (Existence::Absent, Some(user)) => format!("let {user} forget the key of {}", self.names()),
        }
    }

    fn later(&self) -> Verdict {
        Verdict::Unknown {
            until: Resource::here(Kind::Path, GLOBAL),
            then: Some(Change::new(self.summary()).field("content", Value::Unknown, Value::AfterApply)),
            otherwise: format!("what will be in {GLOBAL} is not known"),
        }
    }

    /// The file with another content, and otherwise as it is.
    fn rewrite(&self, path: &str, found: &Found, before: &Arc<[u8]>, after: &Arc<[u8]>) -> Verdict {
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
        found.drift(path, change, false)
    }

    fn edit(
        &self,
        path: &str,
        text: &[u8],
        hashed: &BTreeMap<usize, BTreeSet<String>>,
    ) -> Result<Edited, CheckError> {
        let mut lines = Lines::new(text);
        let texts: Vec<&[u8]> = lines.texts().collect();
        let mut replaced = Vec::new();
        // For each key the hosts that are known by it.
        let mut known: Vec<BTreeSet<&str>> = vec![BTreeSet::new(); self.keys.len()];
        let mut shorter: Vec<(usize, Option<String>)> = Vec::new();
        for (n, entry) in texts.iter().enumerate().filter_map(|(n, line)| Some((n, Entry::read(line)?))) {
            let by_hash = hashed.get(&n).filter(|_| entry.names.starts_with("|1|"));
            let means = |host: &str| {
                by_hash.is_some_and(|names| names.contains(host))
                    || entry.names.split(',').any(|name| name.eq_ignore_ascii_case(host))
            };
            let hosts: Vec<&str> = self.host.iter().map(String::as_str).filter(|h| means(h)).collect();
            if hosts.is_empty() {
                continue;
            }
            let same = self.keys.iter().position(|key| key.is(&entry.key));
            match entry.marker {
                None => {}
                Some("@revoked") if self.state == Existence::Present && same.is_some() => {
                    return Err(CheckError::refused(
                        format!("line {} of {path} revokes this key of {}", n + 1, hosts[0]),
                        "give the new key of the host; or take the line out by hand if it is wrong"
                            .to_owned(),
                    ));
                }
                Some(_) => continue,
            }
            let goes = match (self.state, same) {
                (Existence::Present, Some(which)) => {
                    known[which].extend(&hosts);
                    false
                }
                (Existence::Present, None) => self.keys.iter().any(|k| k.algorithm == entry.key.algorithm),
                (Existence::Absent, same) => self.keys.is_empty() || same.is_some(),
            };
            if !goes {
                continue;
            }
            let new = self.keys.iter().find(|k| k.algorithm == entry.key.algorithm);
            let after = new.filter(|_| self.state == Existence::Present).map(PublicKey::fingerprint);
            for host in &hosts {
                replaced.push(Field {
                    name: format!("{} key of {host}", entry.key.algorithm),
                    before: entry.key.fingerprint().into(),
                    after: after.clone().map_or(Value::Absent, Value::from),
                });
            }
            let stays: Vec<&str> = entry
                .names
                .split(',')
                .filter(|name| by_hash.is_none() && !hosts.iter().any(|h| name.eq_ignore_ascii_case(h)))
                .collect();
            let rest = (!stays.is_empty()).then(|| format!("{}{}", stays.join(","), entry.rest));
            shorter.push((n, rest));
        }
        for (n, rest) in &shorter {
            if let Some(rest) = rest {
                lines.replace(*n, rest.as_bytes());
            }
        }
        for (n, _) in shorter.iter().rev().filter(|(_, rest)| rest.is_none()) {
            lines.remove(*n, *n);
        }
        let added: Vec<String> = self
            .keys
            .iter()
            .zip(&known)
            .filter_map(|(key, known)| {
                let lacks: Vec<&str> =
                    self.host.iter().map(String::as_str).filter(|h| !known.contains(h)).collect();
                (!lacks.is_empty()).then(|| format!("{} {key}", lacks.join(",")))
            })
            .collect();
        if self.state == Existence::Present {
            let end = lines.len();
            lines.insert(Spot::Behind(end), added.iter().map(String::as_bytes));
        }
        Ok(Edited { content: lines.bytes(), replaced })
    }
}

/// A line of a file of known hosts (sshd(8), `SSH_KNOWN_HOSTS FILE FORMAT`).
struct Entry<'a> {
    marker: Option<&'a str>,
    /// Names, patterns or a hash, with commas between.
    names: &'a str,
    key: PublicKey,
    /// All that is behind the names.
    rest: &'a str,
}

impl<'a> Entry<'a> {
    /// Reads a line; `None` if it is a comment, or ssh would pass over it.
    fn read(line: &'a [u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?.trim_start_matches([' ', '\t']);
        let (marker, line) = match line.split_once([' ', '\t']) {
            Some((marker, line)) if marker.starts_with('@') => (Some(marker), line.trim_start()),
            _ => (None, line),
        };
        if line.starts_with('#') {
            return None;
        }
        let end = line.find([' ', '\t'])?;
        let (names, rest) = line.split_at(end);
        Some(Self { marker, names, key: PublicKey::read(rest).ok()?, rest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_ssh_looks_them_up() {
        for (text, plain) in [
            ("NFS-01.example", "nfs-01.example"),
            ("[nfs-01]:22", "nfs-01"),
            ("[nfs-01]:2222", "[nfs-01]:2222"),
            ("fd00::1", "fd00::1"),
            ("[fd00::1]:2200", "[fd00::1]:2200"),
        ] {
            assert_eq!(name(text).as_deref(), Ok(plain));
        }
        for text in
            ["", "a b", "a,b", "*.example", "nfs-01:2222", "[nfs-01]:0", "[nfs-01]:x", "|1|a|b", "-o", "[a]"]
        {
            assert!(name(text).is_err(), "{text}");
        }
    }
}
