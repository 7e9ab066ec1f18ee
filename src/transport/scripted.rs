//! The double for tests: hosts that answer from a table or a closure, and fail as they are told to.
//!
//! A script that nobody foresaw is an error for the engine and a panic when the last copy of the connector is
//! dropped, so no test passes by accident. Nothing is started and no real time passes, so ten thousand hosts are
//! cheap; pauses are tokio's, which a test can stop.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{BoxFuture, Connector, Frame, Output, Part, Session, TransportError};
use crate::model::{Host, HostName, Privilege};
use crate::probe::Answer;

/// One script that a host is asked to run.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The script as the host gets it, secrets included.
    pub script: &'a str,
    /// Whose rights it has.
    pub privilege: &'a Privilege,
    /// The part it came in.
    pub part: &'a Part,
    /// The exchange it came in, from 1, counted over all connections with the host.
    pub exchange: u64,
}

impl Ask<'_> {
    /// What it reads from file descriptor 3.
    pub fn payload(&self) -> Option<&[u8]> {
        self.part.payload.as_ref().map(|payload| &*payload.0)
    }
}

/// What a host does with a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Answers.
    Answer(Answer),
    /// Answers after so long. When the part's or frame's bound is shorter, it is timed out as a real host would be.
    After(Duration, Answer),
    /// Never ends: it is timed out.
    Hang,
    /// The connection breaks off; nobody knows how far the script came.
    Lose,
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

/// A host that answers, with whatever state it keeps.
pub trait Behaviour: Send {
    /// Returns what the host does with the script; `None` if it did not expect it.
    fn ask(&mut self, ask: Ask<'_>) -> Option<Reply>;
}

impl<F: FnMut(Ask<'_>) -> Option<Reply> + Send> Behaviour for F {
    fn ask(&mut self, ask: Ask<'_>) -> Option<Reply> {
        self(ask)
    }
}

/// Scripts and their answers. Running one script can change what others answer from then on.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rules: HashMap<String, Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    reply: Reply,
    then: Vec<(String, Reply)>,
}

impl Table {
    /// Knows no script.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers `script` (as rendered) so.
    #[must_use]
    pub fn on(mut self, script: impl Into<String>, reply: impl Into<Reply>) -> Self {
        self.rules.insert(script.into(), Rule { reply: reply.into(), then: Vec::new() });
        self
    }

    /// Answers `script` so, and from then on other scripts as `then` says.
    #[must_use]
    pub fn change(
        mut self,
        script: impl Into<String>,
        reply: impl Into<Reply>,
        then: impl IntoIterator<Item = (String, Reply)>,
    ) -> Self {
        let rule = Rule { reply: reply.into(), then: then.into_iter().collect() };
        self.rules.insert(script.into(), rule);
        self
    }
}

impl Behaviour for Table {
    fn ask(&mut self, ask: Ask<'_>) -> Option<Reply> {
        let Rule { reply, then } = self.rules.get(ask.script)?.clone();
        for (script, reply) in then {
            match self.rules.get_mut(&script) {
                Some(rule) => rule.reply = reply,
                None => {
                    self.rules.insert(script, Rule { reply, then: Vec::new() });
                }
            }
        }
        Some(reply)
    }
}

/// What goes wrong with a host, apart from its scripts.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Connecting fails so often before it works; `u64::MAX` for always.
    pub refuse_connections: u64,
    /// The connection breaks off in these exchanges, counted from 1 over all connections, before any part ran.
    pub lose_in: Vec<u64>,
    /// Becoming another user fails with this message.
    pub refuse_privilege: Option<String>,
    /// How long connecting takes.
    pub connect_delay: Duration,
    /// How long each exchange takes beside its scripts: the round trip.
    pub round_trip: Duration,
}

/// A host of the double.
pub struct Double {
    behaviour: Box<dyn Behaviour>,
    faults: Faults,
}

impl Double {
    /// A host that behaves so, and with which nothing goes wrong.
    pub fn new(behaviour: impl Behaviour + 'static) -> Self {
        Self { behaviour: Box::new(behaviour), faults: Faults::default() }
    }

    /// Sets what goes wrong.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }
}

impl fmt::Debug for Double {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Double").field("faults", &self.faults).finish_non_exhaustive()
    }
}

/// What happened on a host of the double.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    /// Connections that came about.
    pub connections: u64,
    /// Connections that were closed in an orderly way.
    pub closed: u64,
    /// Exchanges over all connections.
    pub exchanges: u64,
    /// The scripts that ran, in order, secrets masked.
    pub scripts: Vec<String>,
    /// How often connecting was tried.
    pub tries: u64,
}

#[derive(Debug)]
struct State {
    double: Double,
    log: Log,
}

type MakeDouble = dyn Fn(&Host) -> Double + Send + Sync;

struct Shared {
    make: Box<MakeDouble>,
    hosts: Mutex<BTreeMap<HostName, Arc<Mutex<State>>>>,
    unexpected: Mutex<Vec<String>>,
}

/// The connector of the double. Copies share their hosts.
#[derive(Clone)]
pub struct Scripted(Arc<Shared>);

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

/// A panic elsewhere in a test must not hide behind a poisoned lock.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scripted {
    /// Hosts are made by `make` when they are first connected to, and keep their state over connections.
    pub fn new(make: impl Fn(&Host) -> Double + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared { make: Box::new(make), hosts: Mutex::default(), unexpected: Mutex::default() }))
    }

    /// Every host answers from its own copy of `table`.
    pub fn from_table(table: Table) -> Self {
        Self::new(move |_| Double::new(table.clone()))
    }

    /// What happened on `host`; nothing if nobody connected.
    pub fn log(&self, host: &HostName) -> Log {
        let state = lock(&self.0.hosts).get(host).cloned();
        state.map(|state| lock(&state).log.clone()).unwrap_or_default()
    }

    /// Exchanges over all hosts.
    pub fn exchanges(&self) -> u64 {
        lock(&self.0.hosts).values().map(|state| lock(state).log.exchanges).sum()
    }

    fn state(&self, host: &Host) -> Arc<Mutex<State>> {
        let mut hosts = lock(&self.0.hosts);
        if let Some(state) = hosts.get(&host.name) {
            return Arc::clone(state);
        }
        let state = Arc::new(Mutex::new(State { double: (self.0.make)(host), log: Log::default() }));
        hosts.insert(host.name.clone(), Arc::clone(&state));
        state
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let unexpected = std::mem::take(self.unexpected.get_mut().unwrap_or_else(PoisonError::into_inner));
        assert!(
            unexpected.is_empty() || std::thread::panicking(),
            "scripts that no double expected:\n{}",
            unexpected.join("\n---\n")
        );
    }
}

impl Connector for Scripted {
    fn connect<'a>(&'a self, host: &'a Arc<Host>) -> BoxFuture<'a, Result<Box<dyn Session>, TransportError>> {
        Box::pin(async move {
            let state = self.state(host);
            let (delay, refused) = {
                let mut state = lock(&state);
                state.log.tries += 1;
                let faults = &state.double.faults;
                (faults.connect_delay, state.log.tries <= faults.refuse_connections)
            };
            pause(delay).await;
            if refused {
                return Err(TransportError::Unreachable {
                    message: format!("{} refuses the connection", host.name),
                    hint: Some("it was told to".into()),
                    lost: false,
                });
            }
            lock(&state).log.connections += 1;
            let session = Connected {
                name: host.name.clone(),
                state,
                shared: Arc::clone(&self.0),
                exchanges: 0,
                lost: false,
                forked: false,
            };
            Ok(Box::new(session) as Box<dyn Session>)
        })
    }
}

/// Without a timer where there is nothing to wait for.
async fn pause(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}

struct Connected {
    name: HostName,
    state: Arc<Mutex<State>>,
    shared: Arc<Shared>,
    exchanges: u64,
    lost: bool,
    /// Not the session that was made with the connection.
    forked: bool,
}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected").field("host", &self.name).finish_non_exhaustive()
    }
}

impl Connected {
    fn lose(&mut self) -> TransportError {
        self.lost = true;
        TransportError::Unreachable {
            message: format!("lost the connection to {}", self.name),
            hint: None,
            lost: true,
        }
    }

    /// Counts an exchange; returns its number, the round trip and what stands in its way.
    fn begin(&mut self, privilege: &Privilege) -> (u64, Duration, Option<TransportError>) {
        self.exchanges += 1;
        let (number, trip, lose, refused) = {
            let mut state = lock(&self.state);
            state.log.exchanges += 1;
            let number = state.log.exchanges;
            let faults = &state.double.faults;
            let refused = match privilege {
                Privilege::Become(_) => faults.refuse_privilege.clone(),
                Privilege::Login => None,
            };
            (number, faults.round_trip, faults.lose_in.contains(&number), refused)
        };
        let error = if lose || self.lost {
            Some(self.lose())
        } else {
            refused.map(|message| TransportError::Privilege {
                message,
                hint: Some("it was told to".into()),
                stays: false,
            })
        };
        (number, trip, error)
    }

    fn ask(&self, part: &Part, privilege: &Privilege, exchange: u64) -> Option<Reply> {
        let script = part.script.render();
        let mut state = lock(&self.state);
        state.log.scripts.push(part.script.to_string());
        state.double.behaviour.ask(Ask { script: &script, privilege, part, exchange })
    }

    fn unexpected(&self, part: &Part, privilege: &Privilege) -> TransportError {
        let what = format!("{} ({privilege:?}): {}", self.name, part.script);
        lock(&self.shared.unexpected).push(what.clone());
        TransportError::Shell { message: format!("unexpected script for {what}"), hint: None }
    }
}

impl Session for Connected {
    fn exchange<'a>(
        &'a mut self,
        frame: Frame,
        output: &'a mut (dyn FnMut(Output<'_>) + Send),
    ) -> BoxFuture<'a, Result<Vec<Answer>, TransportError>> {
        Box::pin(async move {
            if frame.parts.is_empty() {
                return Ok(Vec::new());
            }
            let (number, round_trip, error) = self.begin(&frame.privilege);
            pause(round_trip).await;
            if let Some(error) = error {
                return Err(error);
            }
            let mut left = frame.timeout;
            let mut answers = Vec::with_capacity(frame.parts.len());
            for (index, part) in frame.parts.iter().enumerate() {
                if index > 0 {
                    output(Output::Began { part: index });
                }
                let bound = part.timeout.map_or(left, |own| own.min(left));
                let (takes, answer) = match self.ask(part, &frame.privilege, number) {
                    Some(Reply::Answer(answer)) => (Duration::ZERO, answer),
                    Some(Reply::After(takes, answer)) => (takes, answer),
                    Some(Reply::Hang) => (Duration::MAX, Answer::default()),
                    Some(Reply::Lose) => return Err(self.lose()),
                    None => return Err(self.unexpected(part, &frame.privilege)),
                };
                if takes > bound {
                    pause(bound).await;
                    let after = part.timeout.map_or(frame.timeout, |own| own.min(frame.timeout));
                    return Err(TransportError::TimedOut { after, part: Some(index), answers });
                }
                pause(takes).await;
                left -= takes;
                if part.stream {
                    for (stderr, bytes) in [(false, &answer.stdout), (true, &answer.stderr)] {
                        for line in String::from_utf8_lossy(bytes).lines() {
                            output(Output::Line { part: index, stderr, line });
                        }
                    }
                }
                let stop = part.stop_on_failure && !answer.ok();
                answers.push(answer);
                if stop {
                    break;
                }
            }
            Ok(answers)
        })
    }

    fn fork(&self) -> Box<dyn Session> {
        Box::new(Self {
            name: self.name.clone(),
            state: Arc::clone(&self.state),
            shared: Arc::clone(&self.shared),
            exchanges: 0,
            lost: self.lost,
            forked: true,
        })
    }

    fn exchanges(&self) -> u64 {
        self.exchanges
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        lock(&self.state).log.closed += u64::from(!self.forked);
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
#[path = "scripted_tests.rs"]
mod tests;
