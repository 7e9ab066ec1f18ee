//! What a playbook says of a service, and the mistakes that show without asking anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, Visitor};

use crate::model::value::{duration, optional_duration};
use crate::step::Invalid;
use crate::step::family::docker::{Existence, good_name, image::Reference};

/// A service of the swarm.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DockerService {
    pub(in crate::step) name: String,
    pub(in crate::step) image: Option<String>,
    #[serde(default)]
    pub(in crate::step) image_policy: ImagePolicy,
    pub(in crate::step) registry_auth: Option<RegistryAuth>,
    #[serde(default, deserialize_with = "some_words")]
    pub(in crate::step) args: Option<Vec<String>>,
    #[serde(default, deserialize_with = "some_words")]
    pub(in crate::step) entrypoint: Option<Vec<String>>,
    pub(in crate::step) env: Option<Texts>,
    pub(in crate::step) labels: Option<Texts>,
    pub(in crate::step) container_labels: Option<Texts>,
    pub(in crate::step) mounts: Option<Vec<Mount>>,
    pub(in crate::step) ports: Option<Vec<Short<Port>>>,
    pub(in crate::step) endpoint_mode: Option<EndpointMode>,
    #[serde(default, deserialize_with = "some_words")]
    pub(in crate::step) constraints: Option<Vec<String>>,
    #[serde(default, deserialize_with = "some_words")]
    pub(in crate::step) preferences: Option<Vec<String>>,
    pub(in crate::step) max_replicas_per_node: Option<u64>,
    #[serde(default)]
    pub(in crate::step) mode: Mode,
    pub(in crate::step) replicas: Option<u64>,
    pub(in crate::step) networks: Option<Vec<Short<Network>>>,
    pub(in crate::step) secrets: Option<Vec<Short<FileRef>>>,
    pub(in crate::step) configs: Option<Vec<Short<FileRef>>>,
    pub(in crate::step) limits: Option<Limits>,
    pub(in crate::step) reservations: Option<Reservations>,
    pub(in crate::step) restart: Option<Restart>,
    pub(in crate::step) update: Option<Rollout>,
    pub(in crate::step) rollback: Option<Rollout>,
    pub(in crate::step) healthcheck: Option<Health>,
    pub(in crate::step) hostname: Option<String>,
    pub(in crate::step) user: Option<String>,
    #[serde(default, deserialize_with = "some_words")]
    pub(in crate::step) groups: Option<Vec<String>>,
    pub(in crate::step) dir: Option<String>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(in crate::step) stop_grace_period: Option<Duration>,
    pub(in crate::step) stop_signal: Option<String>,
    pub(in crate::step) init: Option<bool>,
    pub(in crate::step) tty: Option<bool>,
    pub(in crate::step) read_only: Option<bool>,
    #[serde(default, deserialize_with = "some_words")]
    pub(in crate::step) dns: Option<Vec<String>>,
    #[serde(default, deserialize_with = "some_words")]
    pub(in crate::step) dns_search: Option<Vec<String>>,
    #[serde(default, deserialize_with = "some_words")]
    pub(in crate::step) dns_options: Option<Vec<String>>,
    pub(in crate::step) hosts: Option<Texts>,
    #[serde(default, deserialize_with = "some_words")]
    pub(in crate::step) cap_add: Option<Vec<String>>,
    #[serde(default, deserialize_with = "some_words")]
    pub(in crate::step) cap_drop: Option<Vec<String>>,
    pub(in crate::step) sysctls: Option<Texts>,
    pub(in crate::step) ulimits: Option<BTreeMap<String, Ulimit>>,
    pub(in crate::step) log: Option<Log>,
    #[serde(default)]
    pub(in crate::step) state: Existence,
    #[serde(default)]
    pub(in crate::step) strict: bool,
    #[serde(default = "yes")]
    pub(in crate::step) wait: bool,
    #[serde(default = "three_minutes", deserialize_with = "duration")]
    pub(in crate::step) converge_timeout: Duration,
    // What `docker service create` takes and this kind does not, each with its reason in `refused`.
    isolation: Option<Refused>,
    credential_spec: Option<Refused>,
    env_file: Option<Refused>,
    max_concurrent: Option<Refused>,
    memory_swap: Option<Refused>,
    memory_swappiness: Option<Refused>,
    oom_score_adj: Option<Refused>,
    detach: Option<Refused>,
    quiet: Option<Refused>,
    with_registry_auth: Option<Refused>,
    no_resolve_image: Option<Refused>,
    no_healthcheck: Option<Refused>,
}

/// A key that is known and refused.
#[derive(Debug, Clone)]
struct Refused;

impl<'de> Deserialize<'de> for Refused {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(d).map(|_| Self)
    }
}

fn yes() -> bool {
    true
}

fn three_minutes() -> Duration {
    Duration::from_mins(3)
}

fn some_words<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Vec<String>>, D::Error> {
    crate::model::value::one_or_many(d).map(Some)
}

/// What the image is compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::step) enum ImagePolicy {
    /// The reference as it is written; its digest is looked up when it is set, and then stays.
    #[default]
    Pinned,
    /// The digest that the registry has for it today.
    Refresh,
    /// The reference as it is written, and no registry is asked: each node finds out for itself.
    Tag,
}

/// Who asks the registry.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::step) struct RegistryAuth {
    /// User.
    pub(in crate::step) username: String,
    /// Password or token, from a secret.
    pub(in crate::step) password: String,
}

/// How tasks are counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::step) enum Mode {
    /// So many.
    #[default]
    Replicated,
    /// One on each node that fits.
    Global,
    /// Refused.
    ReplicatedJob,
    /// Refused.
    GlobalJob,
}

/// How clients in its networks find the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::step) enum EndpointMode {
    /// By one virtual address.
    Vip,
    /// By the addresses of its tasks.
    Dnsrr,
}

/// A table of texts whose values may be written as numbers or flags as well.
#[derive(Debug, Clone, Default)]
pub(in crate::step) struct Texts(pub(in crate::step) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, Text>::deserialize(d)?;
        Ok(Self(map.into_iter().map(|(k, v)| (k, v.0)).collect()))
    }
}

struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct AsText;
        impl Visitor<'_> for AsText {
            type Value = Text;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string, a number or a boolean")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Text, E> {
                Ok(Text(n.to_string()))
            }
            fn visit_f64<E: de::Error>(self, n: f64) -> Result<Text, E> {
                Ok(Text(n.to_string()))
            }
            fn visit_bool<E: de::Error>(self, b: bool) -> Result<Text, E> {
                Ok(Text(b.to_string()))
            }
        }
        d.deserialize_any(AsText)
    }
}

/// Something that has a short form, as a string.
#[derive(Debug, Clone)]
pub(in crate::step) struct Short<T>(pub(in crate::step) T);

/// How the short form is read.
pub(in crate::step) trait FromShort: Sized {
    /// What is expected, for messages.
    const FORM: &'static str;
    /// Reads it.
    fn from_short(text: &str) -> Option<Self>;
}

impl<'de, T: FromShort + Deserialize<'de>> Deserialize<'de> for Short<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: FromShort + Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = Short<T>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(T::FORM)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Short<T>, E> {
                T::from_short(text)
                    .map(Short)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Short<T>, E> {
                self.visit_str(&n.to_string())
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Short<T>, A::Error> {
                T::deserialize(de::value::MapAccessDeserializer::new(map)).map(Short)
            }
        }
        d.deserialize_any(Either(PhantomData))
    }
}

/// A mount.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::step) struct Mount {
    #[serde(rename = "type", default)]
    pub(in crate::step) kind: MountKind,
    pub(in crate::step) source: Option<String>,
    pub(in crate::step) target: String,
    #[serde(default)]
    pub(in crate::step) read_only: bool,
    pub(in crate::step) propagation: Option<String>,
    #[serde(default)]
    pub(in crate::step) non_recursive: bool,
    #[serde(default)]
    pub(in crate::step) no_copy: bool,
    pub(in crate::step) driver: Option<String>,
    pub(in crate::step) driver_options: Option<Texts>,
    pub(in crate::step) labels: Option<Texts>,
    pub(in crate::step) size: Option<Bytes>,
    pub(in crate::step) mode: Option<String>,
    pub(in crate::step) consistency: Option<String>,
}

/// What is mounted; as with `--mount`, a volume where nothing is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::step) enum MountKind {
    /// A volume of the node.
    #[default]
    Volume,
    /// A path of the node.
    Bind,
    /// Memory.
    Tmpfs,
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::step) struct Port {
    pub(in crate::step) target: u16,
    pub(in crate::step) published: Option<u16>,
    #[serde(default)]
    pub(in crate::step) protocol: Protocol,
    #[serde(default)]
    pub(in crate::step) mode: PublishMode,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::step) enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::step) enum PublishMode {
    /// Every node forwards it.
    #[default]
    Ingress,
    /// Only the nodes that run a task.
    Host,
}

impl Protocol {
    pub(in crate::step) fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl FromShort for Port {
    const FORM: &'static str = "a port as `PUBLISHED:TARGET[/PROTOCOL]` or a table with `target`";
    fn from_short(text: &str) -> Option<Self> {
        let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => return None,
        };
        let (published, target) = match ports.split_once(':') {
            Some((published, target)) => (Some(published.parse().ok()?), target),
            None => (None, ports),
        };
        Some(Self { target: target.parse().ok()?, published, protocol, mode: PublishMode::Ingress })
    }
}

/// A network that the tasks are in.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::step) struct Network {
    pub(in crate::step) name: String,
    #[serde(default)]
    pub(in crate::step) aliases: Vec<String>,
    pub(in crate::step) driver_options: Option<Texts>,
}

impl FromShort for Network {
    const FORM: &'static str = "the name of a network or a table with `name`";
    fn from_short(text: &str) -> Option<Self> {
        Some(Self { name: text.to_owned(), aliases: Vec::new(), driver_options: None })
    }
}

/// A secret or config as a file of the container.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::step) struct FileRef {
    pub(in crate::step) name: String,
    pub(in crate::step) target: Option<String>,
    pub(in crate::step) uid: Option<String>,
    pub(in crate::step) gid: Option<String>,
    pub(in crate::step) mode: Option<String>,
}

impl FromShort for FileRef {
    const FORM: &'static str = "a name or a table with `name`";
    fn from_short(text: &str) -> Option<Self> {
        Some(Self { name: text.to_owned(), target: None, uid: None, gid: None, mode: None })
    }
}

/// What a task may use at most.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::step) struct Limits {
    pub(in crate::step) cpus: Option<Cpus>,
    pub(in crate::step) memory: Option<Bytes>,
    pub(in crate::step) pids: Option<u32>,
}

/// What a node must have free for a task.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::step) struct Reservations {
    pub(in crate::step) cpus: Option<Cpus>,
    pub(in crate::step) memory: Option<Bytes>,
    pub(in crate::step) generic: Option<BTreeMap<String, u32>>,
}

/// Processors, in billionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::step) struct Cpus(pub(in crate::step) u64);

impl<'de> Deserialize<'de> for Cpus {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(d)?.0;
        let nano = |text: &str| {
            let (whole, part) = text.split_once('.').unwrap_or((text, ""));
            let digits = |s: &str| s.chars().all(|c| c.is_ascii_digit());
            (digits(part) && part.len() <= 9).then_some(())?;
            let part: u64 = format!("{part:0<9}").parse().ok()?;
            whole.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(part)
        };
        nano(&text).map(Self).ok_or_else(|| {
            de::Error::invalid_value(de::Unexpected::Str(&text), &"a number of processors such as 0.5")
        })
    }
}

/// Bytes: a number, or text such as `512M`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::step) struct Bytes(pub(in crate::step) u64);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(d)?.0;
        let read = |text: &str| {
            let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            let shift = match text[end..].to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
                "" => 0,
                "k" => 10,
                "m" => 20,
                "g" => 30,
                "t" => 40,
                _ => return None,
            };
            text[..end].parse::<u64>().ok()?.checked_mul(1 << shift)
        };
        read(&text).map(Self).ok_or_else(|| {
            de::Error::invalid_value(de::Unexpected::Str(&text), &"a size such as 512M (powers of 1024)")
        })
    }
}

/// When a task that ended is replaced.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::step) struct Restart {
    pub(in crate::step) condition: Option<Condition>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(in crate::step) delay: Option<Duration>,
    pub(in crate::step) max_attempts: Option<u64>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(in crate::step) window: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::step) enum Condition {
    None,
    OnFailure,
    Any,
}

/// How an update, or the way back from one, goes about.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::step) struct Rollout {
    pub(in crate::step) parallelism: Option<u64>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(in crate::step) delay: Option<Duration>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(in crate::step) monitor: Option<Duration>,
    pub(in crate::step) failure_action: Option<FailureAction>,
    pub(in crate::step) max_failure_ratio: Option<f64>,
    pub(in crate::step) order: Option<Order>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::step) enum FailureAction {
    Pause,
    Continue,
    Rollback,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::step) enum Order {
    StopFirst,
    StartFirst,
}

/// How the engine finds out whether a container is well.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::step) struct Health {
    /// A command for the container's shell, or the words of one.
    pub(in crate::step) test: Option<Test>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(in crate::step) interval: Option<Duration>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(in crate::step) timeout: Option<Duration>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(in crate::step) start_period: Option<Duration>,
    pub(in crate::step) retries: Option<u64>,
    #[serde(default)]
    pub(in crate::step) disable: bool,
}

/// The words of the API: `CMD-SHELL` and a line, or `CMD` and words.
#[derive(Debug, Clone)]
pub(in crate::step) struct Test(pub(in crate::step) Vec<String>);

impl<'de> Deserialize<'de> for Test {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = Test;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a command line or an array of words")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Test, E> {
                Ok(Test(vec!["CMD-SHELL".into(), text.into()]))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Test, A::Error> {
                let mut words = Vec::<String>::deserialize(de::value::SeqAccessDeserializer::new(seq))?;
                if !matches!(words.first().map(String::as_str), Some("CMD" | "CMD-SHELL" | "NONE")) {
                    words.insert(0, "CMD".into());
                }
                Ok(Test(words))
            }
        }
        d.deserialize_any(Words)
    }
}

/// A limit of `ulimit`: one number for both, or a soft and a hard one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::step) struct Ulimit {
    pub(in crate::step) soft: i64,
    pub(in crate::step) hard: i64,
}

impl<'de> Deserialize<'de> for Ulimit {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(d)?.0;
        let (soft, hard) = text.split_once(':').unwrap_or((&text, &text));
        match (soft.parse(), hard.parse()) {
            (Ok(soft), Ok(hard)) => Ok(Self { soft, hard }),
            _ => Err(de::Error::invalid_value(de::Unexpected::Str(&text), &"a number or \"SOFT:HARD\"")),
        }
    }
}

/// Where the containers' output goes.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::step) struct Log {
    pub(in crate::step) driver: String,
    pub(in crate::step) options: Option<Texts>,
}

/// A mode in octal, as number.
pub(in crate::step) fn octal(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 8).ok().filter(|m| *m <= 0o7777)
}

impl DockerService {
    pub(in crate::step) fn mistakes(&self) -> Vec<Invalid> {
        let mut invalid: Vec<Invalid> = good_name("name", &self.name).into_iter().collect();
        invalid.extend(self.refused());
        if self.state == Existence::Absent {
            return invalid;
        }
        match &self.image {
            None => invalid.push(Invalid::new("", "the key `image` is missing")),
            Some(image) => match Reference::parse(image) {
                None => invalid.push(
                    Invalid::new("image", format!("{image:?} is no reference of an image"))
                        .help("write it as \"redis:7.0.15\" or \"registry:5000/team/app:1.2\""),
                ),
                Some(r) if r.digest.is_some() && self.image_policy == ImagePolicy::Refresh => {
                    invalid.push(Invalid::new(
                        "image_policy",
                        "an image with a digest is always the same: there is nothing to refresh",
                    ));
                }
                Some(_) => {}
            },
        }
        self.check_mode(&mut invalid);
        self.check_mounts(&mut invalid);
        self.check_ports(&mut invalid);
        for (n, constraint) in self.constraints.iter().flatten().enumerate() {
            if !constraint.contains("==") && !constraint.contains("!=") {
                invalid.push(
                    Invalid::new(format!("constraints[{n}]"), format!("{constraint:?} is no constraint"))
                        .help("write it as \"node.labels.storage == nfs\" or with `!=`"),
                );
            }
        }
        for (n, preference) in self.preferences.iter().flatten().enumerate() {
            if !preference.starts_with("spread=node.") && !preference.starts_with("spread=engine.") {
                invalid.push(
                    Invalid::new(format!("preferences[{n}]"), format!("{preference:?} is no preference"))
                        .help("write it as \"spread=node.labels.dc\""),
                );
            }
        }
        for (key, list) in [("secrets", &self.secrets), ("configs", &self.configs)] {
            let mut targets = BTreeSet::new();
            for (n, Short(item)) in list.iter().flatten().enumerate() {
                let path = format!("{key}[{n}]");
                invalid.extend(good_name(&path, &item.name));
                if item.mode.as_deref().is_some_and(|m| octal(m).is_none()) {
                    invalid.push(Invalid::new(
                        format!("{path}.mode"),
                        "a mode in octal is wanted, such as \"0400\"",
                    ));
                }
                if !targets.insert(item.target.as_deref().unwrap_or(&item.name)) {
                    invalid.push(Invalid::new(path, "another one has the same target"));
                }
            }
        }
        if let Some(health) = &self.healthcheck
            && health.disable
            && health.test.is_some()
        {
            invalid.push(Invalid::new("healthcheck", "`disable` and `test` exclude each other"));
        }
        for (key, rollout) in [("update", &self.update), ("rollback", &self.rollback)] {
            let Some(rollout) = rollout else { continue };
            if rollout.max_failure_ratio.is_some_and(|r| !(0.0..=1.0).contains(&r)) {
                invalid
                    .push(Invalid::new(format!("{key}.max_failure_ratio"), "a number from 0 to 1 is wanted"));
            }
            if key == "rollback" && rollout.failure_action == Some(FailureAction::Rollback) {
                invalid.push(Invalid::new("rollback.failure_action", "there is no way back from a way back"));
            }
        }
        invalid
    }

    fn check_mode(&self, invalid: &mut Vec<Invalid>) {
        match self.mode {
            Mode::Global if self.replicas.is_some() => invalid.push(Invalid::new(
                "replicas",
                "a global service has one task on each node, and no `replicas`",
            )),
            Mode::Global if self.max_replicas_per_node.is_some() => invalid.push(Invalid::new(
                "max_replicas_per_node",
                "a global service has one task on each node, and no `max_replicas_per_node`",
            )),
            Mode::ReplicatedJob | Mode::GlobalJob => invalid.push(
                Invalid::new("mode", "a job runs once and ends: there is no state to be kept")
                    .help("run `docker service create --mode replicated-job` in a `command` step"),
            ),
            _ => {}
        }
        if self.endpoint_mode == Some(EndpointMode::Dnsrr)
            && self.ports.iter().flatten().any(|p| p.0.mode == PublishMode::Ingress)
        {
            invalid.push(
                Invalid::new(
                    "endpoint_mode",
                    "a port that every node forwards wants `endpoint_mode = \"vip\"`",
                )
                .help("publish it with `mode = \"host\"`, or leave `endpoint_mode` out"),
            );
        }
    }

    fn check_mounts(&self, invalid: &mut Vec<Invalid>) {
        let mut targets = BTreeSet::new();
        for (n, mount) in self.mounts.iter().flatten().enumerate() {
            let at = |key: &str| format!("mounts[{n}].{key}");
            if !mount.target.starts_with('/') {
                invalid
                    .push(Invalid::new(at("target"), format!("{:?} is not an absolute path", mount.target)));
            }
            if !targets.insert(mount.target.trim_end_matches('/')) {
                invalid.push(Invalid::new(at("target"), "another mount has the same target"));
            }
            let source = mount.source.as_deref().unwrap_or_default();
            match mount.kind {
                MountKind::Bind if !source.starts_with('/') => invalid.push(Invalid::new(
                    at("source"),
                    "a bind mount wants an absolute path of the node as `source`",
                )),
                MountKind::Volume if source.starts_with('/') => invalid.push(
                    Invalid::new(at("source"), format!("{source:?} is a path, not the name of a volume"))
                        .help("set `type = \"bind\"`"),
                ),
                MountKind::Tmpfs if !source.is_empty() => {
                    invalid.push(Invalid::new(at("source"), "memory has no `source`"));
                }
                _ => {}
            }
            let belongs = [
                ("propagation", mount.propagation.is_some(), MountKind::Bind),
                ("non_recursive", mount.non_recursive, MountKind::Bind),
                ("no_copy", mount.no_copy, MountKind::Volume),
                ("driver", mount.driver.is_some(), MountKind::Volume),
                ("driver_options", mount.driver_options.is_some(), MountKind::Volume),
                ("labels", mount.labels.is_some(), MountKind::Volume),
                ("size", mount.size.is_some(), MountKind::Tmpfs),
                ("mode", mount.mode.is_some(), MountKind::Tmpfs),
            ];
            for (key, _, kind) in belongs.into_iter().filter(|(_, set, kind)| *set && *kind != mount.kind) {
                let word = format!("{kind:?}").to_lowercase();
                invalid.push(Invalid::new(at(key), format!("`{key}` goes with `type = \"{word}\"`")));
            }
            if mount.mode.as_deref().is_some_and(|m| octal(m).is_none()) {
                invalid.push(Invalid::new(at("mode"), "a mode in octal is wanted, such as \"1777\""));
            }
        }
    }

    fn check_ports(&self, invalid: &mut Vec<Invalid>) {
        let mut published = BTreeSet::new();
        for (n, Short(port)) in self.ports.iter().flatten().enumerate() {
            if port.target == 0 || port.published == Some(0) {
                invalid.push(
                    Invalid::new(format!("ports[{n}]"), "0 is no port")
                        .help("leave `published` out to let Docker choose one"),
                );
            }
            if let Some(p) = port.published
                && !published.insert((p, port.protocol.word()))
            {
                invalid.push(Invalid::new(format!("ports[{n}]"), format!("port {p} is published twice")));
            }
        }
    }

    fn refused(&self) -> Vec<Invalid> {
        let table: [(&str, &Option<Refused>, &str, Option<&str>); 12] = [
            ("isolation", &self.isolation, "is for Windows containers", None),
            ("credential_spec", &self.credential_spec, "is for Windows containers", None),
            (
                "env_file",
                &self.env_file,
                "is read by the command line alone",
                Some("write the variables into `env`"),
            ),
            ("max_concurrent", &self.max_concurrent, "is for jobs, which end", None),
            ("memory_swap", &self.memory_swap, "is unknown to the engines that are supported", None),
            (
                "memory_swappiness",
                &self.memory_swappiness,
                "is unknown to the engines that are supported",
                None,
            ),
            ("oom_score_adj", &self.oom_score_adj, "is unknown to the engines that are supported", None),
            (
                "detach",
                &self.detach,
                "is called `wait` here",
                Some("`wait = false` does not wait for the tasks"),
            ),
            ("quiet", &self.quiet, "has no meaning here: nothing is printed", None),
            (
                "with_registry_auth",
                &self.with_registry_auth,
                "would send what some user of the host is logged in with",
                Some("give `registry_auth = { username, password }`, from a secret"),
            ),
            (
                "no_resolve_image",
                &self.no_resolve_image,
                "is one of the values of `image_policy`",
                Some("set `image_policy = \"tag\"`"),
            ),
            (
                "no_healthcheck",
                &self.no_healthcheck,
                "is a key of `healthcheck`",
                Some("set `healthcheck = { disable = true }`"),
            ),
        ];
        let mut invalid = Vec::new();
        for (key, value, why, help) in table {
            if value.is_some() {
                let one = Invalid::new(key, format!("`{key}` {why}"));
                invalid.push(match help {
                    Some(help) => one.help(help),
                    None => one,
                });
            }
        }
        invalid
    }
}
