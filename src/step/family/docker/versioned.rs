//! Swarm configs and secrets. Their content cannot be changed and one in use cannot be removed, so that each content
//! gets an object of its own, `NAME-DIGEST`, and services move from one to the next.
//!
//! Three labels tell which is which: [`NAME`] is the name in the playbook, [`DIGEST`] the digest of the content,
//! [`CURRENT`] is on the one that services are to use. [`current`] finds it for the kinds that refer to one by its
//! name in the playbook.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::api::{self, API, Engine, Response};
use super::json::null_is_default;
use super::objects::{self, Used};
use super::swarm::{self, LocalState, Own};
use super::{Existence, good_name};
use crate::model::digest::{hex, sha256};
use crate::model::{Kind, Resource, Secret, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::Handle;
use crate::step::family::RUN;
use crate::step::family::put::Sources;
use crate::step::{Action, Change, Context, Invalid, Inverse, Payload, Step, Value, Verdict};

program! {
    /// Makes a config or secret.
    MakeVersion in "make_version.sh" uses [API] { what: Word, name: Word }
}
program! {
    /// Sets the labels of a config or secret.
    LabelVersion in "label_version.sh" uses [API, RUN] { what: Word, id: Word, spec: Word }
}

/// What makes configs and secrets and changes them.
pub const PROGRAMS: &[Handle] = &[MakeVersion::program, LabelVersion::program];

/// Label with the name in the playbook.
pub const NAME: &str = "hostwright.name";
/// Label with the digest of the content; see [`plain_digest`] and [`keyed_digest`].
pub const DIGEST: &str = "hostwright.digest";
/// Label, with the value `1`, of the version that services are to use.
pub const CURRENT: &str = "hostwright.current";

/// Configs or secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Swarm configs.
    Config,
    /// Swarm secrets.
    Secret,
}

impl Family {
    /// The word for one of them; also the command of `docker`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Secret => "secret",
        }
    }

    /// The path of the API.
    fn path(self) -> &'static str {
        match self {
            Self::Config => "/configs",
            Self::Secret => "/secrets",
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Config => Kind::Config,
            Self::Secret => Kind::Secret,
        }
    }

    /// As a resource, by the name in the playbook.
    pub fn resource(self, name: &str) -> Resource {
        Resource::fleet(self.kind(), name)
    }

    /// Most bytes that the swarm takes: 1000 KiB for a config, 500 KiB for a secret (swarmkit, `validateConfigSpec`
    /// and `validateSecretSpec`).
    fn limit(self) -> usize {
        match self {
            Self::Config => 1000 * 1024,
            Self::Secret => 500 * 1024,
        }
    }

    /// Asks a manager for all of them. A secret's content is not in the answer; a config's is.
    pub fn probe(self) -> Probe {
        match self {
            Self::Config => api::get(&["/configs"]),
            Self::Secret => api::get(&["/secrets"]),
        }
    }
}

/// A config or secret as a manager lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Object {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// When it was made, RFC 3339 in UTC: sorts as text.
    #[serde(default)]
    pub created_at: String,
    /// Name and labels.
    pub spec: Spec,
}

/// `Spec` of an [`Object`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// Its labels.
    #[serde(default, deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// A config's content in base64; nobody gets a secret's.
    #[serde(default)]
    pub data: Option<String>,
}

impl Object {
    /// The content for people to see.
    fn content(&self) -> Value {
        let bytes =
            self.spec.data.as_ref().and_then(|d| base64::engine::general_purpose::STANDARD.decode(d).ok());
        bytes.map_or(Value::Masked, |bytes| shown(&bytes))
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.spec.labels.get(key).map(String::as_str)
    }
}

/// All versions of `name`, the newest first.
pub fn versions<'a>(objects: &'a [Object], name: &str) -> Vec<&'a Object> {
    let mut found: Vec<_> = objects.iter().filter(|o| o.label(NAME) == Some(name)).collect();
    found.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.id.cmp(&b.id)));
    found
}

/// The version of `name` that services are to use.
pub fn current<'a>(objects: &'a [Object], name: &str) -> Option<&'a Object> {
    let versions = versions(objects, name);
    versions.iter().find(|o| o.label(CURRENT) == Some("1")).or_else(|| versions.first()).copied()
}

/// Whether the engine said that it is no manager (status 503).
pub fn is_no_manager(response: &Response) -> bool {
    response.status == 503 && response.message().contains("not a swarm manager")
}

/// The digest of a config: SHA-256, lower-case hexadecimal.
pub fn plain_digest(content: &[u8]) -> String {
    sha256(content)
}

/// Rounds of [`keyed_digest`]: some 20 ms of one core.
const ROUNDS: u32 = 20_000;

/// The digest of a secret's content: 16 bytes of PBKDF2-HMAC-SHA-256 (RFC 8018) over it, lower-case hexadecimal.
///
/// Whoever may list secrets sees it. The salt, of the swarm's id and the secret's name, keeps equal secrets from
/// showing as equal; the rounds make guessing slow. A guessable secret remains guessable.
pub fn keyed_digest(content: &[u8], cluster: &str, name: &str) -> String {
    let mut salt = format!("hostwright secret\n{cluster}\n{name}\n").into_bytes();
    salt.extend(1u32.to_be_bytes());
    let hmac = Hmac::new(content);
    let mut block = hmac.of(&salt);
    let mut sum = block;
    for _ in 1..ROUNDS {
        block = hmac.of(&block);
        sum.iter_mut().zip(&block).for_each(|(s, b)| *s ^= b);
    }
    hex(&sum[..16])
}

/// HMAC-SHA-256 (RFC 2104), with the two keyed states made once.
struct Hmac {
    inner: Sha256,
    outer: Sha256,
}

impl Hmac {
    fn new(key: &[u8]) -> Self {
        let mut padded = [0u8; 64];
        if key.len() > 64 {
            padded[..32].copy_from_slice(&Sha256::digest(key));
        } else {
            padded[..key.len()].copy_from_slice(key);
        }
        let keyed = |pad: u8| Sha256::new_with_prefix(padded.map(|b| b ^ pad));
        Self { inner: keyed(0x36), outer: keyed(0x5c) }
    }

    fn of(&self, message: &[u8]) -> [u8; 32] {
        let inner = self.inner.clone().chain_update(message).finalize();
        self.outer.clone().chain_update(inner).finalize().into()
    }
}

fn shown(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::Content(text.to_owned()),
        Err(_) => Value::Binary { sha256: plain_digest(bytes), size: bytes.len() as u64 },
    }
}

/// What a playbook says of a config or secret.
#[derive(Debug)]
pub struct Body<'a> {
    /// The name in the playbook.
    pub name: &'a str,
    /// The content itself.
    pub content: Option<&'a str>,
    /// A file of the controller.
    pub source: Option<&'a str>,
    /// A file of the controller that is rendered; not of a secret.
    pub template: Option<&'a str>,
    /// Further labels.
    pub labels: &'a BTreeMap<String, String>,
    /// How many older versions stay when a new one is made.
    pub keep: Option<usize>,
    /// Whether it is to be there.
    pub state: Existence,
}

impl Body<'_> {
    /// What is wanted, and the mistakes in it.
    pub fn read(&self, family: Family, context: &Context<'_>) -> (Wanted, Vec<Invalid>) {
        let mut wanted = Wanted {
            family,
            name: self.name.to_owned(),
            content: Content::None,
            labels: self.labels.clone(),
            keep: self.keep,
            state: self.state,
        };
        let sources = Sources { content: self.content, source: self.source, template: self.template };
        let present = self.state == Existence::Present;
        if sources.given().len() != usize::from(present) {
            let message = match family {
                _ if !present => format!("a {} that is to go has no content", family.word()),
                Family::Config => "exactly one of `content`, `source` and `template` is wanted".to_owned(),
                Family::Secret => "exactly one of `content` and `source` is wanted".to_owned(),
            };
            return (wanted, vec![Invalid::new("", message)]);
        }
        wanted.content = match (sources.read(context), family) {
            (Err(invalid), _) => return (wanted, vec![invalid]),
            (Ok(None), _) => Content::None,
            (Ok(Some(bytes)), Family::Config) => Content::Plain(bytes),
            (Ok(Some(bytes)), Family::Secret) => {
                let Ok(text) = String::from_utf8(bytes.to_vec()) else {
                    let name = self.source.unwrap_or_default();
                    return (wanted, vec![Invalid::new("source", format!("{name} is not UTF-8 text"))]);
                };
                Content::Hidden(Secret::new(text))
            }
        };
        let invalid = wanted.mistakes();
        (wanted, invalid)
    }
}

/// What is wanted of a config or secret.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Which it is.
    pub family: Family,
    /// The name in the playbook.
    pub name: String,
    /// The content; never shown for a secret.
    pub content: Content,
    /// Further labels.
    pub labels: BTreeMap<String, String>,
    /// How many older versions stay when a new one is made.
    pub keep: Option<usize>,
    /// Whether it is to be there.
    pub state: Existence,
}

/// A kind that is nothing but a [`Wanted`], which its validation has made.
pub trait Versioned: std::fmt::Debug + Send + Sync + 'static {
    /// What is wanted.
    fn wanted(&self) -> &Wanted;
}

impl<T: Versioned> Step for T {
    /// The list, and the engine itself for its part in the swarm.
    fn probes(&self) -> Vec<Probe> {
        vec![self.wanted().family.probe(), swarm::info_probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        self.wanted().check(readings)
    }

    fn inverse(&self, change: &Change) -> Inverse {
        let Wanted { family, name, .. } = self.wanted();
        let word = family.word();
        if change.was_absent("content") {
            return Inverse::removal(&format!("docker_{word}"), "name", name);
        }
        Inverse::none(format!("the {word} {name} keeps its new version: the old one is still in the swarm"))
    }

    fn provides(&self) -> Vec<Resource> {
        let wanted = self.wanted();
        match wanted.state {
            Existence::Present => vec![wanted.family.resource(&wanted.name)],
            Existence::Absent => Vec::new(),
        }
    }

    fn needs(&self) -> Vec<Resource> {
        vec![api::engine_of(None), swarm::swarm()]
    }
}

/// The content of a config or secret.
#[derive(Debug, Clone, Default)]
pub enum Content {
    /// Not given.
    #[default]
    None,
    /// Of a config.
    Plain(std::sync::Arc<[u8]>),
    /// Of a secret.
    Hidden(Secret),
}

impl Content {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Plain(bytes) => bytes,
            Self::Hidden(secret) => secret.expose().as_bytes(),
        }
    }
}

impl Wanted {
    /// The mistakes in it.
    fn mistakes(&self) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        invalid.extend(good_name("name", &self.name));
        // `NAME-DIGEST` may have 64 characters (swarmkit, `validateConfigOrSecretAnnotations`).
        if self.name.len() > 55 {
            invalid.push(Invalid::new(
                "name",
                "a name of at most 55 characters is wanted: a version is added to it",
            ));
        }
        let length = self.content.bytes().len();
        if length > self.family.limit() {
            invalid.push(Invalid::new(
                "",
                format!(
                    "{length} bytes are too much: a {} holds {}",
                    self.family.word(),
                    self.family.limit()
                ),
            ));
        }
        if self.state == Existence::Present && length == 0 {
            invalid.push(
                Invalid::new("", format!("a {} cannot be empty", self.family.word()))
                    .help("give its `content`, or its `source`, a file of the controller"),
            );
        }
        for key in self.labels.keys().filter(|k| k.starts_with("hostwright.")) {
            invalid.push(Invalid::new("labels", format!("the label {key:?} is for the versions")));
        }
        invalid
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let word = self.family.word();
        let resource = self.family.resource(&self.name);
        let expected = readings.expected(&resource);
        let cluster = match swarm::info(readings)? {
            Own::Up(info) if info.swarm.control_available => info.swarm.cluster.unwrap_or_default().id,
            Own::Up(info) if info.swarm.local_node_state == LocalState::Active => {
                return Err(CheckError::refused(
                    format!("this host is a worker: a {word} is made on a manager"),
                    "narrow the step's `hosts` to one manager".to_owned(),
                ));
            }
            _ if self.state == Existence::Absent => {
                return Ok(Verdict::satisfied(format!("no swarm, so no {word}")));
            }
            other => {
                let change = self.change(&[], None, String::new());
                if swarm::swarm_is_coming(readings) {
                    return Ok(match expected {
                        Some(State::Present | State::Value(_)) => {
                            Verdict::satisfied("made by an earlier step")
                        }
                        _ => Verdict::Drift(change),
                    });
                }
                let otherwise = match other {
                    Own::Missing(why) => why,
                    _ => "this host is in no swarm".into(),
                };
                return Ok(Verdict::Unknown { until: swarm::swarm(), then: Some(change), otherwise });
            }
        };
        let digest = match &self.content {
            Content::Hidden(secret) => keyed_digest(secret.expose().as_bytes(), &cluster, &self.name),
            content => plain_digest(content.bytes()),
        };
        let probe = self.family.probe();
        let objects: Vec<Object> = match api::read(readings, &probe)? {
            Engine::Up(responses) => responses[0].json(&probe, readings)?,
            Engine::Coming | Engine::Missing(_) => Vec::new(),
        };
        if self.state == Existence::Absent {
            return Ok(self.absent(&objects, expected == Some(&State::Absent)));
        }
        let name = self.versioned(&digest);
        match expected {
            Some(State::Value(version)) if *version == name => {
                return Ok(Verdict::satisfied("made by an earlier step"));
            }
            _ => {}
        }
        if let Some(stranger) =
            objects.iter().find(|o| o.spec.name == name && o.label(NAME) != Some(&self.name))
        {
            return Err(CheckError::refused(
                format!("there is a {word} {name} that this tool did not make (id {})", stranger.id),
                "remove it, or give yours another name".to_owned(),
            ));
        }
        let versions = versions(&objects, &self.name);
        let ours = versions.iter().find(|o| o.spec.name == name && o.label(DIGEST) == Some(&digest));
        if let Some(ours) = ours
            && current(&objects, &self.name) == Some(ours)
            && ours.label(CURRENT) == Some("1")
            && self.labels.iter().all(|(k, v)| ours.label(k) == Some(v))
        {
            return Ok(Verdict::satisfied(format!("current version {name}")));
        }
        Ok(Verdict::Drift(self.change(&versions, ours.copied(), digest)))
    }

    fn versioned(&self, digest: &str) -> String {
        format!("{}-{}", self.name, digest.get(..8).unwrap_or("(digest)"))
    }

    fn labels(&self, digest: &str) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        labels.extend([
            (NAME.to_owned(), self.name.clone()),
            (DIGEST.to_owned(), digest.to_owned()),
            (CURRENT.to_owned(), "1".to_owned()),
        ]);
        labels
    }

    /// Makes a version, or makes an older one the current one again.
    fn change(&self, versions: &[&Object], ours: Option<&Object>, digest: String) -> Change {
        let word = self.family.word();
        let old = versions.iter().find(|o| o.label(CURRENT) == Some("1") && Some(**o) != ours).copied();
        // The salt of a secret's digest is not known before its swarm is.
        let known = !digest.is_empty();
        let digest =
            if known || self.family == Family::Secret { digest } else { plain_digest(self.content.bytes()) };
        let name = self.versioned(&digest);
        let named = !digest.is_empty();
        let mut change = Change::new(match (ours, old) {
            (Some(_), _) => format!("make {name} the current version of {word} {}", self.name),
            (None, None) => format!("make {word} {}", self.name),
            (None, Some(_)) => format!("make a new version of {word} {}", self.name),
        });
        let before = old.map_or(Value::Absent, |o| o.spec.name.as_str().into());
        change =
            change.field("version", before, if named { name.as_str().into() } else { Value::AfterApply });
        if ours.is_none() {
            let after = match &self.content {
                Content::Hidden(_) => Value::Masked,
                content => shown(content.bytes()),
            };
            change = change.field("content", old.map_or(Value::Absent, Object::content), after);
        }
        let labels = self.labels(&digest);
        if let Some(ours) = ours {
            change = change.action(self.relabel(ours, &labels));
        } else {
            let body = serde_json::json!({
                "Name": name,
                "Labels": labels,
                "Data": base64::engine::general_purpose::STANDARD.encode(self.content.bytes()),
            });
            let path = format!("{}/create", self.family.path());
            change = change.action(
                Action::new(
                    format!("make {word} {}", self.name),
                    MakeVersion { what: word, name: &name }.script(),
                )
                .payload(Payload(api::request("POST", &path, &body).into_bytes().into()))
                .timeout(Duration::from_mins(2)),
            );
        }
        for other in versions.iter().filter(|o| o.label(CURRENT).is_some() && Some(**o) != ours) {
            let mut labels = other.spec.labels.clone();
            labels.remove(CURRENT);
            change = change.action(self.relabel(other, &labels));
        }
        if let Some(keep) = self.keep {
            let old = versions.iter().filter(|o| Some(**o) != ours).skip(keep);
            let ids: Vec<_> = old.map(|o| o.id.clone()).collect();
            let but = if keep == 0 { String::new() } else { format!(", but for the newest {keep}") };
            if !ids.is_empty() {
                change = change
                    .note(format!("older versions that no service uses are removed{but}"))
                    .action(objects::remove("remove older versions".to_owned(), word, &ids, Used::Stays));
            }
        }
        if old.is_some() {
            change = change.note(format!(
                "services move to it when their own step runs; {name} stays beside the old one"
            ));
        }
        let state = if named { State::Value(name) } else { State::Present };
        change.expect(self.family.resource(&self.name), state)
    }

    /// Sets the labels of a version.
    fn relabel(&self, object: &Object, labels: &BTreeMap<String, String>) -> Action {
        let what = self.family.word();
        let spec = api::ascii(&serde_json::json!({ "Name": object.spec.name, "Labels": labels }));
        let script = LabelVersion { what, id: &object.id, spec: &spec }.script();
        Action::new(format!("label {what} {}", object.spec.name), script).timeout(Duration::from_mins(2))
    }

    fn absent(&self, objects: &[Object], gone: bool) -> Verdict {
        let word = self.family.word();
        let versions = versions(objects, &self.name);
        if gone || versions.is_empty() {
            return Verdict::satisfied("not there");
        }
        let ids: Vec<_> = versions.iter().map(|o| o.id.clone()).collect();
        let names: Vec<_> = versions.iter().map(|o| o.spec.name.as_str()).collect();
        let label = format!("remove {word} {}", self.name);
        Verdict::Drift(
            Change::new(format!("remove {word} {} in all its versions", self.name))
                .field("versions", names.join(", "), Value::Absent)
                .action(objects::remove(label, word, &ids, Used::Waits))
                .expect(self.family.resource(&self.name), State::Absent),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_gives_the_values_of_rfc_4231() {
        let hmac = |key: &[u8], data: &[u8]| hex(&Hmac::new(key).of(data));
        assert_eq!(
            hmac(b"Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn a_digest_of_a_secret_tells_content_swarm_and_name_apart() {
        let all = [
            keyed_digest(b"a", "c", "n"),
            keyed_digest(b"b", "c", "n"),
            keyed_digest(b"a", "d", "n"),
            keyed_digest(b"a", "c", "m"),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), 4);
        // It names versions in swarms: the value must never change.
        assert_eq!(all[0].len(), 32);
    }
}
