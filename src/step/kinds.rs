//! The manifest: every kind of step, one line each, and how its table becomes a step.

use std::ops::Range;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::Step;
use crate::model::value::{self, Key, Mistake, Node, Value};
use crate::model::{Host, HostName, Hosts};
use crate::program::Programs;

/// What `explain` shows of a kind and how its table is read.
#[derive(Debug, Clone, Copy)]
pub struct KindInfo {
    /// The key in the step's table.
    pub name: &'static str,
    /// What it is listed under.
    pub family: &'static str,
    /// The key that a bare value stands for (`hostname = "nfs-01"`), if a bare value may stand there.
    pub shorthand: Option<&'static str>,
    /// Its document, Markdown.
    pub doc: &'static str,
    /// Reads the rendered table of one step of one host.
    pub parse: Parse,
    /// What runs on hosts for it.
    pub programs: Programs,
}

/// Reads the table of one step.
pub type Parse = fn(&Node, &Context<'_>) -> Result<Arc<dyn Step>, Vec<Problem>>;

/// Reads a file of the controller, or says in a few words why not.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> Result<Arc<[u8]>, String>;

/// What a kind may ask of its surroundings while it is read.
pub struct Context<'a> {
    /// The host that the step is for. What does not ask for it is the same on all hosts whose variables are.
    pub host: &'a dyn Fn() -> &'a Host,
    /// All hosts of the inventory.
    pub inventory: &'a Hosts,
    /// Reads a file of the controller, relative to the playbook.
    pub read: ReadFile<'a>,
    /// Where on the controller that is which a playbook names, relative to itself.
    pub locate: &'a dyn Fn(&str) -> std::path::PathBuf,
    /// Renders a template text with the step's scope; the name is for its errors.
    pub render: &'a dyn Fn(&str, &str) -> Result<String, String>,
    /// Whether a secret went into what was rendered for the step so far, template files included.
    pub holds_secret: &'a dyn Fn() -> bool,
    /// When it runs.
    pub role: Role,
}

/// When a step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// At its place in the playbook.
    #[default]
    InOrder,
    /// At the end, if something that changed notified it (`handler = true`).
    Handler,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("role", &self.role).finish_non_exhaustive()
    }
}

impl<'a> Context<'a> {
    /// The host that the step is for.
    pub fn host(&self) -> &'a Host {
        (self.host)()
    }

    /// The host of the inventory with this name or address.
    pub fn find_host(&self, name_or_address: &str) -> Option<&Arc<Host>> {
        self.inventory.find(name_or_address).map(|index| &self.inventory[index])
    }

    /// The names of all hosts of the inventory, for "did you mean".
    pub fn host_names(&self) -> impl Iterator<Item = &HostName> {
        self.inventory.iter().map(|h| &h.name)
    }
}

/// A mistake in a step's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Byte range in the playbook.
    pub span: Range<usize>,
    /// What is wrong, a lower-case fragment.
    pub message: String,
    /// What stands under the caret.
    pub label: String,
    /// What to do.
    pub help: Option<String>,
    /// What kind of mistake it is.
    pub fault: Fault,
}

/// A kind of mistake in a step's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The table cannot be read.
    Unread(Mistake),
    /// It can be read, but lacks a key.
    Missing,
    /// It can be read, but makes no sense.
    Senseless,
    /// The step makes no sense where it stands.
    Misplaced,
}

impl Fault {
    /// Whether it is one whatever the parts of the table will be that are not known yet.
    pub fn is_certain(&self) -> bool {
        match self {
            Self::Unread(mistake) => matches!(mistake, Mistake::UnknownKey(_) | Mistake::MissingKey),
            Self::Missing | Self::Misplaced => true,
            Self::Senseless => false,
        }
    }

    /// The key or word that is not known.
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Self::Unread(mistake) => mistake.unknown(),
            _ => None,
        }
    }
}

/// A mistake that a kind finds in its own parameters, by the path of the key (`clients[0]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Path within the step's table; empty for the table itself.
    pub path: String,
    /// What is wrong, a lower-case fragment.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// A key is missing.
    pub missing: bool,
}

impl Invalid {
    /// `message` says what is wrong with the value at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), help: None, missing: false }
    }

    /// The key `key` of the table is missing.
    pub fn missing(key: &str) -> Self {
        Self { missing: true, ..Self::new("", format!("the key `{key}` is missing")) }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// What a kind checks and completes once its table is read.
pub trait Validate {
    /// Returns all mistakes; may fill in what comes from the surroundings (a file's content).
    fn validate(&mut self, context: &Context<'_>) -> Vec<Invalid> {
        let _ = context;
        Vec::new()
    }
}

/// Mistakes in one table of which one more says nothing new.
const MOST: usize = 50;

/// Reads `node` as `T`, reporting every mistake: after each one, the entry at fault is put aside.
fn parse<T: DeserializeOwned + Validate + Step + 'static>(
    node: &Node,
    context: &Context<'_>,
) -> Result<Arc<dyn Step>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut rest = node.clone();
    let mut read = loop {
        match T::deserialize(&rest) {
            Ok(read) => break Some(read),
            Err(error) => {
                let span = error.span.clone().unwrap_or_else(|| node.span.clone());
                let put_aside = remove_entry_at(&mut rest, &span);
                // What is missing may just have been put aside.
                if problems.is_empty() || put_aside {
                    problems.push(problem(&error, span));
                }
                // Each mistake means to read it all once more.
                if !put_aside || problems.len() >= MOST {
                    break None;
                }
            }
        }
    };
    if problems.is_empty()
        && let Some(step) = read.as_mut()
    {
        let shown = |invalid: Invalid, fault| Problem {
            span: node.span_at(&invalid.path),
            message: invalid.message,
            label: String::new(),
            help: invalid.help,
            fault,
        };
        problems.extend(step.validate(context).into_iter().map(|invalid| {
            let fault = if invalid.missing { Fault::Missing } else { Fault::Senseless };
            shown(invalid, fault)
        }));
        problems.extend(step.misplaced(context.role).map(|invalid| shown(invalid, Fault::Misplaced)));
    }
    match read {
        Some(step) if problems.is_empty() => Ok(Arc::new(step)),
        _ => Err(problems),
    }
}

fn problem(error: &value::Error, span: Range<usize>) -> Problem {
    let near = error.mistake.unknown().and_then(|name| crate::diagnostic::nearest(name, error.expected));
    let help = match (near, error.expected) {
        (Some(near), _) => Some(format!("did you mean `{near}`?")),
        (None, []) => None,
        (None, known) => Some(format!("known here: {}", known.join(", "))),
    };
    Problem {
        span,
        message: error.message.clone(),
        label: String::new(),
        help,
        fault: Fault::Unread(error.mistake.clone()),
    }
}

/// Removes the innermost table entry whose key or value lies at `span`; returns whether there was one.
fn remove_entry_at(node: &mut Node, span: &Range<usize>) -> bool {
    let inside = |outer: &Range<usize>| outer.start <= span.start && span.end <= outer.end;
    match &mut node.value {
        Value::Table(entries) => {
            let at = |(k, n): &(Key, Node)| inside(&k.span) || inside(&n.span);
            let Some(index) = entries.iter().position(at) else { return false };
            if !remove_entry_at(&mut entries[index].1, span) {
                entries.remove(index);
            }
            true
        }
        Value::Array(items) => items.iter_mut().any(|item| remove_entry_at(item, span)),
        _ => false,
    }
}

/// One line for each kind, under its family: its module, its type, and the key that a bare value stands for.
macro_rules! kinds {
    ($($family:literal { $($name:ident => $type:ident $(($shorthand:literal))?,)* })*) => {
        /// Every kind, in the order of the manifest; those of a family stand together.
        pub const KINDS: &[KindInfo] = &[$($(KindInfo {
            name: stringify!($name),
            family: $family,
            shorthand: kinds!(@shorthand $($shorthand)?),
            doc: include_str!(concat!(stringify!($name), ".md")),
            parse: parse::<super::$name::$type>,
            programs: super::$name::PROGRAMS,
        },)*)*];
    };
    (@shorthand) => { None };
    (@shorthand $shorthand:literal) => { Some($shorthand) };
}

kinds! {
    "Base" {
        package => Package ("names"),
        repository => Repository,
        service => Service ("name"),
        systemd_unit => SystemdUnit,
        hostname => Hostname ("name"),
        timezone => Timezone ("name"),
        directory => Directory ("path"),
        file => File,
        download => Download,
        line => Line,
        block => Block,
        link => Link,
        restore => Restore,
        user => User ("name"),
        group => Group ("name"),
        authorized_key => AuthorizedKey,
        known_host => KnownHost,
        sysctl => Sysctl,
        selinux_boolean => SelinuxBoolean,
        firewall => Firewall,
        cron => Cron,
    }
    "Storage" {
        nfs_export => NfsExport,
        mount => Mount,
        swap => Swap,
    }
    "Docker" {
        docker_engine => DockerEngine,
        swarm_init => SwarmInit,
        swarm_join => SwarmJoin,
        swarm_node => SwarmNode,
        docker_image => DockerImage ("name"),
        docker_network => DockerNetwork ("name"),
        docker_volume => DockerVolume ("name"),
        docker_config => DockerConfig,
        docker_secret => DockerSecret,
        docker_service => DockerService,
        docker_stack => DockerStack,
        docker_container => DockerContainer,
    }
    "Commands and checks" {
        command => Command ("run"),
        script => Script ("source"),
        wait => Wait,
        reboot => Reboot ("when"),
        assert => Assert ("that"),
        query => Query ("run"),
        debug => Debug ("text"),
        fetch => Fetch,
    }
    "Operations" {
        failover_drill => FailoverDrill,
    }
}

/// The kind with this name.
pub fn kind(name: &str) -> Option<&'static KindInfo> {
    KINDS.iter().find(|k| k.name == name)
}
