//! The step contract, and the manifest of all kinds.
//!
//! A kind answers two pure questions: what must I ask ([`Step::probes`]), and given the answers, what
//! is the verdict ([`Step::check`])? The verdict carries the actions. A plan prints them, an apply
//! sends the same values and asks the same probes again, which must then be answered `Satisfied`.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use crate::model::{HostName, Resource, State, StepResult};
use crate::probe::{CheckError, Probe, Readings};
use crate::shell::Script;

pub mod family;
mod instance;
mod inverse;
mod kinds;
mod veil;

pub mod assert;
pub mod authorized_key;
pub mod block;
pub mod command;
pub mod cron;
pub mod debug;
pub mod directory;
pub mod docker_config;
pub mod docker_container;
pub mod docker_engine;
pub mod docker_image;
pub mod docker_network;
pub mod docker_secret;
pub mod docker_service;
pub mod docker_stack;
pub mod docker_volume;
pub mod download;
pub mod failover_drill;
pub mod fetch;
pub mod file;
pub mod firewall;
pub mod group;
pub mod hostname;
pub mod known_host;
pub mod line;
pub mod link;
pub mod mount;
pub mod nfs_export;
pub mod package;
pub mod query;
pub mod reboot;
pub mod repository;
pub mod restore;
pub mod script;
pub mod selinux_boolean;
pub mod service;
pub mod swap;
pub mod swarm_init;
pub mod swarm_join;
pub mod swarm_node;
pub mod sysctl;
pub mod systemd_unit;
pub mod timezone;
pub mod user;
pub mod wait;

pub use instance::{Checked, Condition, Instance};
pub use inverse::Inverse;
pub use kinds::{Context, Fault, Invalid, KINDS, KindInfo, Parse, Problem, ReadFile, Role, Validate, kind};
pub use veil::Veil;

pub use crate::model::field::{Field, Value};
pub use crate::shell::Payload;

/// A step of some kind with its parameters, rendered and valid.
pub trait Step: Any + fmt::Debug + Send + Sync {
    /// Returns what must be asked. Pure, and the same at every call.
    fn probes(&self) -> Vec<Probe>;

    /// Returns the verdict on the answers.
    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError>;

    /// Returns the way back from a change that [`Step::check`] or [`Step::on_notify`] has returned. It is told what was
    /// before by the fields of the change.
    fn inverse(&self, change: &Change) -> Inverse;

    /// Returns what exists once this step holds. Others may need it; what is in it is asked again after
    /// this step acted.
    fn provides(&self) -> Vec<Resource> {
        Vec::new()
    }

    /// Returns what the check or the actions rely on beyond their own host's basic tools. A planned step
    /// that provides one of these makes this step's readings stale once it has acted.
    fn needs(&self) -> Vec<Resource> {
        Vec::new()
    }

    /// Returns what no two hosts may change at the same time, although they do all else side by side
    /// (the managers of a swarm join one by one, or the quorum may be lost).
    ///
    /// From the first action of such a step to the end of its verification, the engine lets no other host
    /// act on a step that returns an equal resource. Checks go on side by side.
    fn exclusive(&self) -> Option<Resource> {
        None
    }

    /// Whether any action on the host may change the answers in ways nobody declares (the guards of a
    /// `command`): then they are asked afresh before the step's turn if anything was changed.
    fn opaque(&self) -> bool {
        false
    }

    /// Whether its verdict rests on more than it says ([`Step::provides`], [`Step::needs`]): on what a command of the user
    /// looks at. An opaque step may still be one of which all is known that it looks at.
    fn looks_anywhere(&self) -> bool {
        self.opaque()
    }

    /// Returns what to do when a change notified this step; `None` if it cannot be a handler.
    ///
    /// The step runs as a handler: after the change its probes are asked and must be `Satisfied`, as ever.
    fn on_notify(&self, readings: &Readings) -> Result<Option<Change>, CheckError> {
        let _ = readings;
        Ok(None)
    }

    /// Returns what is wrong with it at its place: most kinds cannot be handlers ([`Step::on_notify`]), and some things
    /// make sense only in one. Found offline; it must not rest on what the table's templates may turn out to be.
    fn misplaced(&self, role: Role) -> Option<Invalid> {
        (role == Role::Handler).then(|| {
            Invalid::new("", "a step of this kind cannot be a handler").help(
                "a handler restarts what has changed: `service` with `state`, `command`, `script`, `reboot`, \
                 `docker_container`, `docker_service`; all else stands in the order of the playbook, \
                 with `when` where it depends on a result",
            )
        })
    }
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is as described: `reason` says how that shows (`installed: nfs-utils 2.5.4`).
    Satisfied {
        /// A few words, lower case.
        reason: String,
        /// What the user asked to be shown, lines of text; empty for most kinds.
        shows: String,
        /// What templates see of it (`steps.ID.stdout`): for kinds that ask something on the user's behalf.
        result: Option<Box<StepResult>>,
    },
    /// It differs, and this would put it right.
    Drift(Change),
    /// It cannot be known before `until` is there (a unit before its package).
    ///
    /// In a plan this becomes "will change (predicted)" if an earlier planned step provides `until`, and
    /// an error if none does. In an apply it is an error: what was to provide it has run already.
    Unknown {
        /// What is missing.
        until: Resource,
        /// What will have to be done once it is there, or `None` if nothing will (the package starts its
        /// unit itself).
        then: Option<Change>,
        /// What to say if nobody provides it (`unit nfs-server.service not found`).
        otherwise: String,
    },
}

impl Verdict {
    /// It is as described.
    pub fn satisfied(reason: impl Into<String>) -> Self {
        Self::Satisfied { reason: reason.into(), shows: String::new(), result: None }
    }
}

/// A difference, and the actions that remove it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// What will be done, in the imperative and lower case (`enable and start nfs-server`).
    pub summary: String,
    /// Field by field: before and after.
    pub fields: Vec<Field>,
    /// What is sent to the host, in order; the first that fails ends the step.
    pub actions: Vec<Action>,
    /// Whom it interrupts and how, if it does (`unmounts /mnt/nfs_file: its users lose it`). It is refused
    /// unless the step says `disruptive = true` or the user allows it.
    pub disrupts: Option<String>,
    /// What the user should know beside the fields (`Redis becomes reachable from everywhere`).
    pub notes: Vec<String>,
    /// The states it will leave, for later steps of the same plan.
    pub expects: Vec<(Resource, State)>,
    /// It only waits for what others bring about. If that has come about by its turn, it counts as made.
    pub passive: bool,
    /// It runs at every apply (`always = true`): no difference was found, and none is asked for after.
    pub always: bool,
    /// What may be shown of it, where secrets are in it: see [`Veil`].
    pub shown: Option<Box<Change>>,
}

impl Change {
    /// The change as people may see it, and as it goes into events: nothing in it is made from a secret.
    pub fn shown(&self) -> &Self {
        self.shown.as_deref().unwrap_or(self)
    }

    /// A change that is described by `summary`.
    pub fn new(summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), ..Self::default() }
    }

    /// Adds a field.
    #[must_use]
    pub fn field(
        mut self,
        name: impl Into<String>,
        before: impl Into<Value>,
        after: impl Into<Value>,
    ) -> Self {
        self.fields.push(Field { name: name.into(), before: before.into(), after: after.into() });
        self
    }

    /// Adds an action.
    #[must_use]
    pub fn action(mut self, action: Action) -> Self {
        self.actions.push(action);
        self
    }

    /// Adds a note.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        let note = note.into();
        if let Some(shown) = &mut self.shown {
            shown.notes.push(note.clone());
        }
        self.notes.push(note);
        self
    }

    /// Adds a state that it will leave.
    #[must_use]
    pub fn expect(mut self, resource: Resource, state: State) -> Self {
        self.expects.push((resource, state));
        self
    }
}

/// Something that is done on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// What it does, in the imperative, for the running line (`install nfs-utils`).
    pub label: String,
    /// The script. It must be safe to run again after it was cut off. Exit code 0 is success.
    pub script: Script,
    /// The host it runs on, by inventory name, if it is not the step's own (a node is drained on a manager).
    /// The rights are the step's.
    pub host: Option<HostName>,
    /// Values that are read elsewhere right before it runs; they come before the payload on file
    /// descriptor 3, each as one line.
    pub borrowed: Vec<Borrowed>,
    /// Bytes that the script reads from file descriptor 3 (`cat <&3`), all of them.
    pub payload: Option<Payload>,
    /// Its bound on the host, unless the step sets `timeout`.
    pub timeout: Duration,
    /// What follows it.
    pub then: Then,
    /// What becomes of it when the connection or the controller goes.
    pub span: Span,
    /// Its exit code tells whether what it is to bring about is there: what comes next may rest on that.
    pub tells: bool,
}

/// What becomes of an action when the connection or the controller goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Span {
    /// It is cut off. It is quick, and what it does is whole or not there.
    #[default]
    Quick,
    /// Once begun it comes to its end, and its result is kept for who connects again.
    Lasting,
    /// The same, and it must not run again where an earlier run has begun it and never learnt what came of it.
    Once,
}

/// What has to happen after an action's script ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Nothing,
    /// The host goes down: wait until it can be reached again with another boot id, for so long.
    Reboot(Duration),
    /// Standard output is written to this file on the controller, atomically.
    Save(std::path::PathBuf),
}

/// Default bound of an action.
pub const ACTION_TIMEOUT: Duration = Duration::from_mins(5);

impl Action {
    /// An action with the default bound.
    pub fn new(label: impl Into<String>, script: Script) -> Self {
        Self {
            label: label.into(),
            script,
            host: None,
            borrowed: Vec::new(),
            payload: None,
            timeout: ACTION_TIMEOUT,
            then: Then::Nothing,
            span: Span::Quick,
            tells: false,
        }
    }

    /// Runs it on another host of the inventory.
    #[must_use]
    pub fn on(mut self, host: HostName) -> Self {
        self.host = Some(host);
        self
    }

    /// Gives it a value that is read elsewhere right before it runs.
    #[must_use]
    pub fn borrow(mut self, value: Borrowed) -> Self {
        self.borrowed.push(value);
        self
    }

    /// Lets it come to its end whatever becomes of the connection: it may take long, or must not be cut off.
    #[must_use]
    pub fn lasting(mut self) -> Self {
        self.span = Span::Lasting;
        self
    }

    /// The same, for what must not run twice.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.span = Span::Once;
        self
    }

    /// Says that its exit code tells whether what it is to bring about is there.
    #[must_use]
    pub fn tells(mut self) -> Self {
        self.tells = true;
        self
    }

    /// Gives it bytes to read from file descriptor 3.
    #[must_use]
    pub fn payload(mut self, payload: Payload) -> Self {
        self.payload = Some(payload);
        self
    }

    /// Sets its bound.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets what follows it.
    #[must_use]
    pub fn then(mut self, then: Then) -> Self {
        self.then = then;
        self
    }
}

/// A value that an action needs and a plan cannot or must not hold: a join token, the id of a node that
/// has only just joined.
///
/// Right before the action, at every try anew, the engine asks for it (the step's own host where the question
/// names none, wherever the action itself runs) and keeps the answer out of readings, events and journal.
/// The exit code must be 0 and standard output, without the line breaks at its end, one line that is not
/// empty; otherwise the action fails without being run: "cannot read WHAT on HOST" with the end of standard
/// error. A secret is known to the redactor before the action is sent. The script of the action gets the
/// values on file descriptor 3, in order and each with a line break (`IFS= read -r token <&3`), then the
/// bytes of its payload, if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Borrowed {
    /// What it is, for messages and plans (`worker join token`).
    pub what: &'static str,
    /// Where it comes from.
    pub from: Origin,
    /// Whether it must be kept out of sight.
    pub secret: bool,
}

/// Makes one line of what an action printed: on a host nothing reads JSON.
#[derive(Debug, Clone, Copy)]
pub struct Reader(pub fn(&str) -> String);

impl PartialEq for Reader {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::fn_addr_eq(self.0, other.0)
    }
}

impl Eq for Reader {}

/// Where a [`Borrowed`] value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The answer to a question, to this or another host.
    Probe(Probe),
    /// The last line that the action before it printed on standard output.
    Printed,
    /// What is read here from all that the action before it printed there.
    Read(Reader),
}
