//! What a playbook says of a service.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, Visitor};

use crate::model::value::{duration, optional_duration};
use crate::step::family::docker::Existence;

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
    pub(super) isolation: Option<Refused>,
    pub(super) credential_spec: Option<Refused>,
    pub(super) env_file: Option<Refused>,
    pub(super) max_concurrent: Option<Refused>,
    pub(super) memory_swap: Option<Refused>,
    pub(super) memory_swappiness: Option<Refused>,
    pub(super) oom_score_adj: Option<Refused>,
    pub(super) detach: Option<Refused>,
    pub(super) quiet: Option<Refused>,
    pub(super) with_registry_auth: Option<Refused>,
    pub(super) no_resolve_image: Option<Refused>,
    pub(super) no_healthcheck: Option<Refused>,
}

/// A key that is known and refused.
#[derive(Debug, Clone)]
pub(in crate::step) struct Refused;

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
                // 1.0 stays 1.0.
                Ok(Text(format!("{n:?}")))
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
    // What `--mount` takes and this kind does not, each with its reason in `refused_of_mount`.
    pub(in crate::step) subpath: Option<Refused>,
    pub(in crate::step) recursive: Option<Refused>,
    pub(in crate::step) create_source: Option<Refused>,
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
    /// Refused.
    Npipe,
    /// Refused.
    Cluster,
    /// Refused.
    Image,
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
            // As Docker reads it (`units.RAMInBytes`): a fraction too, and a blank before the unit.
            let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
            let shift: u32 = match text[end..]
                .trim_start()
                .to_ascii_lowercase()
                .trim_end_matches('b')
                .trim_end_matches('i')
            {
                "" => 0,
                "k" => 10,
                "m" => 20,
                "g" => 30,
                "t" => 40,
                _ => return None,
            };
            let (whole, part) = text[..end].split_once('.').unwrap_or((&text[..end], ""));
            let digits = part.len() <= 9 && part.bytes().all(|b| b.is_ascii_digit());
            let bytes = whole.parse::<u64>().ok()?.checked_mul(1 << shift)?;
            let part: u128 = digits.then(|| format!("{part:0<9}").parse().ok())??;
            bytes.checked_add(u64::try_from((part << shift) / 1_000_000_000).ok()?)
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
    /// Engine 25 and later.
    #[serde(default, deserialize_with = "optional_duration")]
    pub(in crate::step) start_interval: Option<Duration>,
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
    // Rust would take a sign.
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    u32::from_str_radix(text, 8).ok().filter(|m| digits && *m <= 0o7777)
}
