//! What steps provide and need, and the state that a planned change is expected to leave behind.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Something on a host, or in the fleet, that one step makes and another one relies on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Resource {
    /// Where it is.
    pub scope: Scope,
    /// What it is.
    pub kind: Kind,
    /// Which one: a package's name, a path, `/mnt/nfs_file`. `*` in a provided resource stands for
    /// "some of this kind, it is not known which" (a package brings units, commands and users).
    pub name: Arc<str>,
}

/// Where a [`Resource`] is to be found.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// On the host that the step runs on.
    Here,
    /// On the host with this inventory name, address or host name.
    On(Arc<str>),
    /// In the fleet as a whole (a swarm, its services).
    Fleet,
}

/// One line for each kind of resource: its name in playbooks and events, and in a sentence.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident ($name:literal, $word:literal),)*) => {
        /// What a [`Resource`] is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Kind {
            $($(#[$doc])* #[serde(rename = $name)] $kind,)*
        }

        impl Kind {
            /// Every kind.
            const ALL: &[Self] = &[$(Self::$kind),*];

            /// The kind as it is called in playbooks and events.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// The kind as a word in a sentence ("unit", "NFS export").
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)*
                }
            }
        }
    };
}

kinds! {
    /// A package, by its name.
    Package ("package", "package"),
    /// A package repository, by its id.
    Repository ("repository", "repository"),
    /// A systemd unit, by its full name (`nfs-server.service`).
    Unit ("unit", "unit"),
    /// A program on the search path, by its name.
    Command ("command", "command"),
    /// A file or directory, by its absolute path.
    Path ("path", "path"),
    /// A user, by name.
    User ("user", "user"),
    /// A group, by name.
    Group ("group", "group"),
    /// A mounted file system, by its mount point.
    Mount ("mount", "mount"),
    /// A directory exported over NFS, by its path on the server.
    Export ("export", "NFS export"),
    /// A TCP port that something listens on, by its number.
    Port ("port", "port"),
    /// Something that a firewall lets in, as `ZONE/service NAME`, `ZONE/port 80/tcp`.
    Firewall ("firewall", "firewall rule"),
    /// A kernel parameter, by its dotted name.
    Sysctl ("sysctl", "kernel parameter"),
    /// The Docker engine of a host; the name is `engine`.
    Docker ("docker", "Docker"),
    /// A swarm; the name is `swarm`, its scope the fleet.
    Swarm ("swarm", "swarm"),
    /// A swarm node, by the inventory name of its host.
    Node ("node", "swarm node"),
    /// A label of swarm nodes, as `key=value`.
    NodeLabel ("node_label", "node label"),
    /// A container image, by its reference.
    Image ("image", "image"),
    /// A container network, by name.
    Network ("network", "network"),
    /// A container volume, by name.
    Volume ("volume", "volume"),
    /// A swarm config, by the name in the playbook (without its version).
    Config ("config", "config"),
    /// A swarm secret, by the name in the playbook (without its version).
    Secret ("secret", "secret"),
    /// A swarm service, by name.
    Service ("service", "service"),
    /// A plain container, by name.
    Container ("container", "container"),
    /// The end of containers, whichever they are; the name is `containers`. Who waits for it looks again then.
    End ("end", "end of"),
}

impl Kind {
    /// The kinds that a playbook may name in `provides` and `needs`.
    pub fn of_playbooks() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|kind| *kind != Self::End)
    }

    /// The kind that a playbook calls so.
    pub fn named(name: &str) -> Option<Self> {
        Self::of_playbooks().find(|kind| kind.name() == name)
    }
}

impl Resource {
    /// A resource on the step's own host.
    pub fn here(kind: Kind, name: &str) -> Self {
        Self { scope: Scope::Here, kind, name: name.into() }
    }

    /// A resource on the host with that inventory name, address or host name.
    pub fn on(host: &str, kind: Kind, name: &str) -> Self {
        Self { scope: Scope::On(host.into()), kind, name: name.into() }
    }

    /// A resource of the fleet as a whole.
    pub fn fleet(kind: Kind, name: &str) -> Self {
        Self { scope: Scope::Fleet, kind, name: name.into() }
    }

    /// Every resource of `kind` on the step's own host, none of them named.
    pub fn any(kind: Kind) -> Self {
        Self::here(kind, "*")
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Docker | Kind::Swarm => write!(f, "{}", self.kind.word())?,
            _ => write!(f, "{} {}", self.kind.word(), self.name)?,
        }
        match &self.scope {
            Scope::On(host) => write!(f, " on {host}"),
            Scope::Here | Scope::Fleet => Ok(()),
        }
    }
}

/// The state in which a planned change will leave a resource.
///
/// A later step of the same plan reads it in place of what the host answers today
/// ([`crate::probe::Readings::expected`]), so that the plan of a fresh host tells the truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It will be there, fresh.
    Present,
    /// It will be there, and with it what it had before, which nobody can see now (an engine that was stopped has its
    /// swarm, services and images). A verdict that rests on this is not known before.
    Hidden,
    /// It will be gone.
    Absent,
    /// A path, with all that is known of what will be there.
    File(FileState),
    /// A unit: will it be active, will it be enabled? `None` where that is not known.
    Unit {
        /// Active after the change.
        active: Option<bool>,
        /// Enabled after the change.
        enabled: Option<bool>,
    },
    /// Anything else with a value (a kernel parameter, a label), as text.
    Value(String),
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileState {
    /// File, directory, link, nothing.
    pub kind: FileKind,
    /// Permission bits, `0o0755`; 0 where nothing is there.
    pub mode: u32,
    /// Owner's name, or number where it has no name.
    pub owner: String,
    /// Group's name, or number where it has no name.
    pub group: String,
    /// Owner's number, where it is known: not for a name that a planned step will set.
    pub uid: Option<u32>,
    /// Group's number, where it is known.
    pub gid: Option<u32>,
    /// The bytes of a regular file, as far as they are known.
    pub content: FileContent,
}

/// What kind of thing is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    /// Nothing.
    Absent,
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link and what it points to.
    Link(String),
    /// A device, socket or pipe, in the words of `stat`.
    Other(String),
}

/// The content of a regular file, as far as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    /// Not asked for, or the path is no regular file.
    Unread,
    /// Only its SHA-256 (lower-case hexadecimal) and its size in bytes are known.
    Digest(String, u64),
    /// All of it.
    Bytes(Arc<[u8]>),
}
