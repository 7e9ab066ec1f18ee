//! Questions to a host and what came back. A probe never changes anything and never blocks.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::model::{FileState, Kind, Privilege, Resource, Scope, State};
use crate::program::Library;
use crate::shell::Script;

/// A question to a host: a script that prints, and changes nothing.
///
/// Equal probes of several steps are asked once. A script that could block (a network file system, a
/// daemon) bounds itself with `timeout`; the whole exchange is bounded as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The script. `LC_ALL=C`, a fixed `PATH`, standard input is empty.
    pub script: Script,
    /// Whose rights it needs; `None` for the step's own.
    pub privilege: Option<Privilege>,
    /// The host to ask, by inventory name, if it is not the step's own.
    pub host: Option<crate::model::HostName>,
    /// What the script finds out by itself, unless it was found out before.
    pub shared: Option<Shared>,
    /// How to ask it as one with others.
    pub together: Option<Together>,
    /// What can be found out for it and others at once, before they are asked.
    pub ahead: Option<Ahead>,
}

/// Something that a library finds out for several questions at once, which each of them would find out for itself
/// otherwise: about its own thing, not about the host ([`Shared`]).
///
/// The library gets a number, the words of each question, and an empty word behind each of them. It leaves `hw_ahead_N` for
/// those that it can tell something of, counted from that number, and does not block. The question finds its own in
/// `hw_foreseen`, and has to do without where that is empty: it is asked alone, or after an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    /// What finds it out.
    pub library: &'static Library,
    /// What it has to know of this question; none of them is empty.
    pub words: Vec<String>,
}

/// Questions of one kind that can be asked as one, which costs little more than a single one of them.
#[derive(Debug, Clone)]
pub struct Together {
    /// Which kind; the functions are the same for all of it.
    pub kind: &'static str,
    /// What is asked for, item by item (paths of an HTTP API).
    pub items: Vec<String>,
    /// Returns the script that asks for these items. It must not take longer than a single question may.
    pub ask: fn(&[String]) -> Script,
    /// How to take the answer apart.
    pub cut: Cut,
}

/// Cuts what a script of [`Together`] printed into the answers to the items in their order, those that are whole, and
/// what is left.
pub type Cut = fn(&Answer) -> (Vec<&[u8]>, &[u8]);

impl PartialEq for Together {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.items) == (other.kind, &other.items)
    }
}

impl Eq for Together {}

/// Something about a host that many probes want to know: it is found out once for all that follow one another, and
/// anew after an action.
///
/// Each program that uses it has its library and so stands on its own: where a probe is asked alone, or where finding
/// out failed before, it does so by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shared {
    /// A shell variable; its name begins with `hw_`.
    pub variable: &'static str,
    /// Sets it, where it is not set. It does not block.
    pub library: &'static Library,
}

impl Probe {
    /// A question to the step's own host with the step's own rights.
    pub fn new(script: Script) -> Self {
        Self { script, privilege: None, host: None, shared: None, together: None, ahead: None }
    }

    /// Says that the script uses the library of `shared`.
    #[must_use]
    pub fn sharing(self, shared: Shared) -> Self {
        Self { shared: Some(shared), ..self }
    }

    /// Says what can be found out for it and others at once.
    #[must_use]
    pub fn ahead(self, ahead: Option<Ahead>) -> Self {
        Self { ahead, ..self }
    }

    /// Says how it is asked as one with others.
    #[must_use]
    pub fn together(self, together: Together) -> Self {
        Self { together: Some(together), ..self }
    }

    /// Asks it by itself: the answer may take its time, for which others should not have to wait.
    #[must_use]
    pub fn alone(self) -> Self {
        Self { together: None, ..self }
    }

    /// Asks another host of the inventory.
    #[must_use]
    pub fn on(mut self, host: crate::model::HostName) -> Self {
        self.host = Some(host);
        self
    }

    fn key(&self, own: &Privilege) -> Key {
        let privilege = self.privilege.clone().unwrap_or_else(|| own.clone());
        Key { host: self.host.clone(), privilege, text: self.script.key().into() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    host: Option<crate::model::HostName>,
    privilege: Privilege,
    text: Arc<str>,
}

/// What a script answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Exit code; 128 + N when signal N ended it.
    pub code: i32,
    /// Standard output, byte for byte.
    pub stdout: Vec<u8>,
    /// Standard error, byte for byte.
    pub stderr: Vec<u8>,
}

impl Answer {
    /// An answer with this code and standard output.
    pub fn new(code: i32, stdout: &str) -> Self {
        Self { code, stdout: stdout.into(), stderr: Vec::new() }
    }

    /// Whether the exit code is 0.
    pub fn ok(&self) -> bool {
        self.code == 0
    }

    /// Whether it has the code of a command that reached the bound of timeout(1): 124, or 137 when it had to be killed.
    /// Only what never ends with these codes by itself can be told by it, which a command of the user may.
    pub fn is_cut_off(&self) -> bool {
        matches!(self.code, 124 | 137)
    }

    /// Standard output as text, without blanks and line breaks at its end.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        trimmed(&self.stdout)
    }

    /// Standard error as text, without blanks and line breaks at its end.
    pub fn error_text(&self) -> std::borrow::Cow<'_, str> {
        trimmed(&self.stderr)
    }
}

fn trimmed(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    match String::from_utf8_lossy(bytes) {
        std::borrow::Cow::Borrowed(text) => text.trim_end().into(),
        std::borrow::Cow::Owned(text) => text.trim_end().to_owned().into(),
    }
}

/// An answer that cannot be understood. It never means "needs change".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The host said something that the kind cannot make sense of.
    #[error("cannot understand the answer to `{question}`: {why}")]
    Unreadable {
        /// The script that was asked, secrets masked.
        question: String,
        /// What was expected.
        why: String,
        /// The exit code and the beginning of what was printed.
        answer: String,
    },
    /// The host is in a state that this step must not or cannot change: what, and what to do.
    #[error("{message}")]
    Refused {
        /// What stands in the way.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The probe was not asked: a bug in the engine.
    #[error("`{0}` was not asked")]
    NotAsked(String),
}

/// So much of an answer that makes no sense is kept, in characters.
const ANSWER: usize = 16_000;

impl CheckError {
    /// The answer to `probe` makes no sense: `why` says what was expected.
    pub fn unreadable(probe: &Probe, answer: &Answer, why: impl Into<String>) -> Self {
        use std::fmt::Write as _;
        let mut shown = format!("exit code {}", answer.code);
        for (name, bytes) in [("stdout", &answer.stdout), ("stderr", &answer.stderr)] {
            if !bytes.is_empty() {
                let text = String::from_utf8_lossy(bytes);
                // Cut for people only when secrets have been masked in it.
                let text: String = text.trim_end().chars().take(ANSWER).collect();
                let _ = write!(shown, "\n{name}: {text}");
            }
        }
        let question: String = probe.script.to_string().chars().take(200).collect();
        Self::Unreadable { question, why: why.into(), answer: shown }
    }

    /// The step must not act in this state.
    pub fn refused(message: impl Into<String>, hint: impl Into<Option<String>>) -> Self {
        Self::Refused { message: message.into(), hint: hint.into() }
    }
}

/// What a host has answered, and what earlier steps of the same plan are expected to leave. A step reads it through
/// [`Answers::seen_with`].
#[derive(Debug, Default)]
pub struct Answers {
    answers: HashMap<Key, Arc<Answer>>,
    expected: HashMap<Resource, State>,
}

impl Answers {
    /// Records the answer to `probe` of a step with the rights `own`, in place of an older one.
    pub fn insert(&mut self, probe: &Probe, own: &Privilege, answer: Answer) {
        self.answers.insert(probe.key(own), Arc::new(answer));
    }

    /// What a step with the rights `own` sees of it.
    pub fn seen_with<'a>(&'a self, own: &'a Privilege) -> Readings<'a> {
        Readings { answers: self, own, used: RefCell::default() }
    }

    /// Says that an earlier step of the plan will leave `resource` in `state`.
    pub fn expect(&mut self, resource: Resource, state: State) {
        self.expected.insert(resource, state);
    }

    /// The state in which an earlier step of the plan will leave `resource`, if one will.
    pub fn expected(&self, resource: &Resource) -> Option<&State> {
        self.expected.get(resource)
    }

    /// Forgets all that was expected.
    pub fn forget_expected(&mut self) {
        self.expected.clear();
    }
}

/// What one step sees of the answers of its host, for one check.
#[derive(Debug)]
pub struct Readings<'a> {
    answers: &'a Answers,
    /// Whose rights are meant by a probe that leaves them to its step.
    own: &'a Privilege,
    used: RefCell<BTreeSet<Resource>>,
}

impl Readings<'_> {
    /// Whether `probe` has been answered.
    pub fn has(&self, probe: &Probe) -> bool {
        self.answers.answers.contains_key(&probe.key(self.own))
    }

    /// Returns the answer to `probe`.
    ///
    /// # Errors
    /// [`CheckError::NotAsked`] when the step did not list it in its probes.
    pub fn of(&self, probe: &Probe) -> Result<&Answer, CheckError> {
        self.answers
            .answers
            .get(&probe.key(self.own))
            .map(|a| &**a)
            .ok_or_else(|| CheckError::NotAsked(probe.script.to_string()))
    }

    /// The answers to `asked` as if `twins` had been asked with the same rights, one for one, each changed by `change`,
    /// with all that is expected. `None` if there are not as many of them.
    pub(crate) fn mirrored(
        &self,
        asked: &[Probe],
        twins: &[Probe],
        change: impl Fn(&Answer) -> Answer,
    ) -> Option<Answers> {
        if asked.len() != twins.len() {
            return None;
        }
        let answers = asked.iter().zip(twins).filter_map(|(asked, twin)| {
            let answer = self.answers.answers.get(&asked.key(self.own))?;
            Some((twin.key(self.own), Arc::new(change(answer))))
        });
        Some(Answers { answers: answers.collect(), expected: self.answers.expected.clone() })
    }

    /// The rights of the step itself.
    pub(crate) fn own(&self) -> &Privilege {
        self.own
    }

    /// Returns the state in which an earlier step of the same plan will leave `resource`, if one will.
    ///
    /// In an apply, and where no planned step touches it, this is `None` and the answers count. A verdict
    /// that used an expected state is shown as predicted.
    pub fn expected(&self, resource: &Resource) -> Option<&State> {
        let state = self.answers.expected.get(resource);
        if state.is_some() {
            self.used.borrow_mut().insert(resource.clone());
        }
        state
    }

    /// As [`Readings::expected`], for a look that a verdict does not rest on unless it goes on to use it.
    pub fn peek_expected(&self, resource: &Resource) -> Option<&State> {
        self.answers.expected.get(resource)
    }

    /// Returns what an earlier planned step will leave at `path`, if one will.
    pub fn expected_file(&self, path: &str) -> Option<&FileState> {
        match self.expected(&Resource::here(Kind::Path, path)) {
            Some(State::File(file)) => Some(file),
            _ => None,
        }
    }

    /// Returns the paths of this host on which earlier steps of the plan will leave something, sorted: for kinds that read
    /// whatever is in a folder. As with [`Readings::peek_expected`], no verdict rests on it.
    pub fn expected_paths(&self) -> Vec<&str> {
        let here = self.answers.expected.keys().filter(|r| r.kind == Kind::Path && r.scope == Scope::Here);
        let mut paths: Vec<&str> = here.map(|r| &*r.name).collect();
        paths.sort_unstable();
        paths
    }

    /// The expected states that were used: on them a verdict rests.
    pub fn into_used(self) -> BTreeSet<Resource> {
        self.used.into_inner()
    }
}
