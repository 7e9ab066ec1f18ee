//! A fleet of toy hosts: each holds keys with values, and a step wants one of them to have one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hostwright::engine::{Cancel, Engine, Options};
use hostwright::event::{Body, Event, Forecast, Mode, Outcome, Summary};
use hostwright::model::{
    Host, HostIndex, HostName, Hosts, Kind, Known, Login, OnFailure, Place, PlayIndex, Privilege, Redactor,
    Resource, ResultOf, Scope, State, StepId,
};
use hostwright::probe::{Answer, CheckError, Probe, Readings};
use hostwright::run::{Batch, Play, ResolveError, Resolved, Run, StepSource};
use hostwright::sh;
use hostwright::step::{Action, Borrowed, Change, Instance, Inverse, Origin, Reader, Step, Verdict};
use hostwright::transport::scripted::{Ask, Behaviour, Double, Faults, Reply, Scripted};

/// Wants `key` to have `value`. The commands are the toy host's own: `get`, `set`.
#[derive(Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each says one thing of a step, and laws mix them at will")]
pub struct Toy {
    pub key: &'static str,
    pub value: &'static str,
    /// The key must be there before this one can be looked at.
    pub comes_with: Option<&'static str>,
    /// Ask that other host, whose `key` must be set first.
    pub after: Option<(&'static str, &'static str)>,
    /// A change interrupts users.
    pub disrupts: bool,
    pub opaque: bool,
    /// It says all that it looks at, opaque or not.
    pub says: bool,
    /// The host itself can tell whether it was set.
    pub tells: bool,
    /// Setting it sets another key as well, which this step says it provides.
    pub also: Option<&'static str>,
    /// The other host is told of it after it was set here, and asked too.
    pub registers: Option<&'static str>,
    /// What it is told is made by this of what was printed.
    pub reader: Option<Reader>,
    /// A key that cannot be seen before this one is set.
    pub hides: Option<&'static str>,
    /// Something of the fleet that setting this will spoil.
    pub spoils: Option<&'static str>,
    /// It cannot be set once that is spoilt.
    pub refuses: Option<&'static str>,
}

fn get(key: &str) -> Probe {
    Probe::new(sh!("get {}", key))
}

impl Toy {
    fn change(&self, before: &str) -> Change {
        let mut change = Change::new(format!("set {} to {}", self.key, self.value))
            .field(self.key, before, self.value)
            .action(Action::new(format!("set {}", self.key), sh!("set {} {}", self.key, self.value)))
            .expect(Resource::here(Kind::Path, self.key), State::Value(self.value.into()));
        if let Some(other) = self.registers {
            let from = self.reader.map_or(Origin::Printed, Origin::Read);
            let value = Borrowed { what: "value", from, secret: false };
            let enter = Action::new(format!("enter {}", self.key), sh!("enter {}", self.key)).borrow(value);
            let tell = Action::new("tell it", sh!("tell {}", self.key));
            change = change.action(tell).action(enter.on(HostName::new(other).unwrap()));
        }
        if let Some(also) = self.also {
            change = change.action(Action::new("set the other one", sh!("set {} {}", also, self.value)));
        }
        if let Some(hidden) = self.hides {
            change = change.expect(Resource::here(Kind::Path, hidden), State::Hidden);
        }
        if let Some(spoilt) = self.spoils {
            change = change.expect(Resource::fleet(Kind::Path, spoilt), State::Value("spoilt".into()));
        }
        for action in &mut change.actions {
            action.tells = self.tells;
        }
        change.disrupts = self.disrupts.then(|| "stops everything".into());
        change
    }
}

impl Step for Toy {
    fn probes(&self) -> Vec<Probe> {
        let mut probes = vec![get(self.key)];
        probes.extend(self.comes_with.map(get));
        probes.extend(self.registers.map(|host| get(self.key).on(HostName::new(host).unwrap())));
        probes.extend(self.after.map(|(host, key)| get(key).on(HostName::new(host).unwrap())));
        probes
    }

    fn inverse(&self, _: &Change) -> Inverse {
        Inverse::none(format!("{} stays {}", self.key, self.value))
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let answer = readings.of(&get(self.key))?;
        if answer.code == 3 {
            return Err(CheckError::unreadable(&get(self.key), answer, "expected a value"));
        }
        if let Some(key) = self.refuses
            && readings.expected(&Resource::fleet(Kind::Path, key)).is_some()
        {
            return Err(CheckError::refused(format!("{key} is spoilt"), None));
        }
        if let Some(key) = self.comes_with
            && readings.of(&get(key))?.text().is_empty()
        {
            return Ok(Verdict::Unknown {
                until: Resource::here(Kind::Path, key),
                then: Some(self.change("")),
                otherwise: format!("{key} is not there"),
            });
        }
        if let Some((host, key)) = self.after
            && readings.of(&get(key).on(HostName::new(host).unwrap()))?.text().is_empty()
        {
            return Ok(Verdict::Unknown {
                until: Resource::on(host, Kind::Path, key),
                then: Some(self.change("")),
                otherwise: format!("{key} is not there on {host}"),
            });
        }
        let expected = readings.expected(&Resource::here(Kind::Path, self.key));
        let now = match expected {
            Some(State::Value(value)) => value.clone(),
            _ => answer.text().into_owned(),
        };
        let entered = match self.registers {
            Some(host) if expected.is_none() => {
                let probe = get(self.key).on(HostName::new(host).unwrap());
                let answer = readings.of(&probe)?;
                if answer.code == 3 {
                    return Err(CheckError::unreadable(&probe, answer, "expected a value"));
                }
                answer.text() == self.value
            }
            _ => true,
        };
        if now == self.value && entered {
            return Ok(Verdict::satisfied(format!("is {now}")));
        }
        Ok(Verdict::Drift(self.change(&now)))
    }

    fn provides(&self) -> Vec<Resource> {
        [Some(self.key), self.also].into_iter().flatten().map(|k| Resource::here(Kind::Path, k)).collect()
    }

    fn needs(&self) -> Vec<Resource> {
        let near = self.comes_with.map(|k| Resource::here(Kind::Path, k));
        let far = self.after.map(|(h, k)| Resource {
            scope: Scope::On(h.into()),
            kind: Kind::Path,
            name: k.into(),
        });
        near.into_iter().chain(far).collect()
    }

    fn opaque(&self) -> bool {
        self.opaque
    }

    fn looks_anywhere(&self) -> bool {
        self.opaque && !self.says
    }

    fn on_notify(&self, readings: &Readings) -> Result<Option<Change>, CheckError> {
        let before = readings.of(&get(self.key))?.text().into_owned();
        Ok(Some(self.change(&before)))
    }
}

/// A step as written: the toy and its common keys.
#[derive(Debug, Clone)]
pub struct Written {
    pub id: StepId,
    pub kind: &'static str,
    pub toy: Toy,
    pub handler: bool,
    pub notify: Vec<StepId>,
    pub on_failure: OnFailure,
    pub retries: u32,
    /// The pause before each.
    pub retry_delay: Duration,
    pub hosts: Option<Vec<&'static str>>,
    pub results: Vec<ResultOf>,
    pub facts: bool,
    pub needs: Vec<Resource>,
    pub provides: Vec<Resource>,
    pub place: Place,
}

pub fn step(id: &str, toy: Toy) -> Written {
    Written {
        id: StepId::new(id),
        kind: "toy",
        toy,
        handler: false,
        notify: Vec::new(),
        on_failure: OnFailure::Stop,
        retries: 0,
        retry_delay: Duration::from_millis(1),
        hosts: None,
        results: Vec::new(),
        facts: false,
        needs: Vec::new(),
        provides: Vec::new(),
        place: Place { file: "toy.toml".into(), line: 1, column: 1 },
    }
}

/// A step that wants `key` to have `value`.
pub fn want(key: &'static str, value: &'static str) -> Written {
    step(key, Toy { key, value, ..Toy::default() })
}

impl StepSource for Written {
    fn id(&self) -> &StepId {
        &self.id
    }
    fn name(&self) -> &str {
        self.id.as_str()
    }
    fn kind(&self) -> &'static str {
        self.kind
    }
    fn place(&self) -> &Place {
        &self.place
    }
    fn is_handler(&self) -> bool {
        self.handler
    }
    fn selects(&self, host: &HostName) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| hosts.contains(&host.as_str()))
    }
    fn needs_facts(&self) -> bool {
        self.facts
    }
    fn needs_results(&self) -> &[ResultOf] {
        &self.results
    }
    fn resolve(&self, _: &Host, known: &Known) -> Result<Resolved, ResolveError> {
        if self.results.iter().any(|id| !known.results.get(id).is_some_and(|r| r.changed))
            && !self.results.is_empty()
        {
            return Ok(Resolved::Skipped("nothing changed before".into()));
        }
        Ok(Resolved::Steps(vec![Arc::new(Instance {
            id: self.id.clone(),
            name: self.id.to_string(),
            kind: self.kind,
            place: self.place.clone(),
            step: Arc::new(self.toy.clone()),
            veil: None,
            privilege: Privilege::root(),
            timeout: None,
            retries: self.retries,
            retry_delay: self.retry_delay,
            until: None,
            notify: self.notify.clone(),
            handler: self.handler,
            on_failure: self.on_failure,
            disruptive: false,
            provides: self.provides.clone(),
            needs: self.needs.clone(),
        })]))
    }
}

/// What the toy hosts hold; shared with the test, which looks and meddles.
#[derive(Debug, Clone, Default)]
pub struct World(pub Arc<Mutex<BTreeMap<String, Toys>>>);

/// One toy host.
#[derive(Debug, Clone, Default)]
pub struct Toys {
    pub keys: BTreeMap<String, String>,
    /// Setting these fails so many times.
    pub fails: BTreeMap<String, u32>,
    /// Setting these does nothing.
    pub sticky: Vec<String>,
    /// The connection breaks off right after setting these, once.
    pub loses: Vec<String>,
    /// What these are cannot be understood.
    pub broken: Vec<String>,
    /// Setting these takes a minute.
    pub slow: Vec<String>,
    /// What it answers when it is asked for its facts, instead of a few of them.
    pub facts: Option<String>,
}

impl World {
    pub fn with<T>(&self, host: &str, f: impl FnOnce(&mut Toys) -> T) -> T {
        f(self.0.lock().unwrap().entry(host.to_owned()).or_default())
    }
}

struct Living {
    name: String,
    world: World,
}

impl Behaviour for Living {
    fn ask(&mut self, ask: Ask<'_>) -> Option<Reply> {
        let words: Vec<&str> = ask.script.split(' ').collect();
        self.world.with(&self.name, |host| match words.as_slice() {
            ["get", key] if host.broken.iter().any(|k| k == key) => Some(Answer::new(3, "").into()),
            ["get", key] => Some(Answer::new(0, host.keys.get(*key).map_or("", String::as_str)).into()),
            ["set", key, value] => {
                if let Some(left) = host.fails.get_mut(*key)
                    && *left > 0
                {
                    *left -= 1;
                    let mut answer = Answer::new(1, "");
                    answer.stderr = format!("cannot set {key}\nhint: oil it\n").into();
                    return Some(answer.into());
                }
                if !host.sticky.iter().any(|k| k == key) {
                    host.keys.insert((*key).into(), (*value).into());
                }
                if let Some(n) = host.loses.iter().position(|k| k == key) {
                    host.loses.remove(n);
                    return Some(Reply::Lose);
                }
                let done = Answer::new(0, "");
                let slow = host.slow.iter().any(|k| k == key);
                Some(if slow { Reply::After(Duration::from_mins(1), done) } else { done.into() })
            }
            ["tell", key] => Some(Answer::new(0, &format!("its value:\n{}\n", host.keys[*key])).into()),
            ["enter", key] => {
                let value = String::from_utf8(ask.payload().unwrap().to_vec()).unwrap();
                host.keys.insert((*key).into(), value.trim().into());
                Some(Answer::new(0, "").into())
            }
            // Notes on handlers: kept as keys `due NAME`.
            _ if ask.script.contains("hostwright/pending") => {
                let quoted = ask.script.split(['\'', '=', ' ', '\n']).find(|w| w.contains('@'));
                let due: Vec<String> =
                    host.keys.keys().filter_map(|k| k.strip_prefix("due ")).map(str::to_owned).collect();
                match quoted {
                    None => return Some(Answer::new(0, &due.join("\n")).into()),
                    Some(name) if ask.script.contains("mkdir") => {
                        host.keys.insert(format!("due {name}"), String::new());
                    }
                    Some(name) => {
                        host.keys.remove(&format!("due {name}"));
                    }
                }
                Some(Answer::new(0, "").into())
            }
            _ if ask.script.contains("os.id=") => {
                let facts = host.facts.as_deref().unwrap_or("user=root\ntime=1\n");
                Some(Answer::new(0, facts).into())
            }
            _ => None,
        })
    }
}

/// A fleet and what is to be done with it.
pub struct Fleet {
    pub world: World,
    pub connector: Scripted,
    pub hosts: Vec<Arc<Host>>,
    pub plays: Vec<Play>,
    pub options: Options,
    /// Only these hosts are in the run; the others are in the inventory alone.
    pub limit: Option<Vec<String>>,
    /// Ctrl-C comes when such an event does.
    pub interrupt: Option<fn(&Body) -> bool>,
}

pub fn host(name: &str) -> Arc<Host> {
    Arc::new(Host {
        name: HostName::new(name).unwrap(),
        login: Login { address: name.into(), ..Login::default() },
        groups: Vec::new(),
        vars: Arc::default(),
        place: Place { file: "inventory.toml".into(), line: 1, column: 1 },
    })
}

impl Fleet {
    /// Hosts with these names, and faults for some.
    pub fn new(names: &[&str], faults: Vec<(&'static str, Faults)>) -> Self {
        let world = World::default();
        let seen = world.clone();
        let connector = Scripted::new(move |host| {
            let name = host.name.to_string();
            let fault = faults.iter().find(|(n, _)| *n == name).map(|(_, f)| f.clone()).unwrap_or_default();
            Double::new(Living { name, world: seen.clone() }).faults(fault)
        });
        let hosts = names.iter().map(|n| host(n)).collect();
        Self {
            world,
            connector,
            hosts,
            plays: Vec::new(),
            options: Options::default(),
            limit: None,
            interrupt: None,
        }
    }

    /// Adds a playbook for all hosts.
    pub fn play(mut self, name: &str, steps: Vec<Written>) -> Self {
        self.plays.push(Play {
            name: name.into(),
            title: name.into(),
            file: "toy.toml".into(),
            hosts: (0..self.hosts.len()).map(HostIndex::new).collect(),
            barrier: true,
            serial: Vec::new(),
            max_failures: None,
            all_or_nothing: false,
            steps: steps.into_iter().map(|s| Arc::new(s) as Arc<dyn StepSource>).collect(),
        });
        self
    }

    /// Lets the hosts begin the last playbook as soon as they are done with the one before.
    pub fn free(mut self) -> Self {
        self.plays.last_mut().unwrap().barrier = false;
        self
    }

    /// Makes the last playbook go host by host.
    pub fn serial(mut self, batch: usize, max_failures: Option<usize>) -> Self {
        let play = self.plays.last_mut().unwrap();
        play.serial = vec![Batch::Hosts(batch)];
        play.max_failures = max_failures.map(Batch::Hosts);
        self
    }

    pub async fn plan(&self) -> Seen {
        self.go(Mode::Plan).await
    }

    pub async fn apply(&self) -> Seen {
        self.go(Mode::Apply).await
    }

    async fn go(&self, mode: Mode) -> Seen {
        let taken =
            |h: &Arc<Host>| self.limit.as_ref().is_none_or(|l| l.iter().any(|n| *n == h.name.as_str()));
        let hosts: Vec<_> = self.hosts.iter().filter(|h| taken(h)).cloned().collect();
        let mut plays = self.plays.clone();
        for play in &mut plays {
            let names: Vec<_> = play.hosts.iter().map(|&n| self.hosts[n].name.clone()).collect();
            play.hosts =
                (0..hosts.len()).filter(|&n| names.contains(&hosts[n].name)).map(HostIndex::new).collect();
        }
        let run = Run { hosts, inventory: Arc::new(Hosts::new(self.hosts.clone())), plays };
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<Event>(64);
        let (trigger, cancel) = Cancel::new();
        let interrupt = self.interrupt;
        let collect = tokio::spawn(async move {
            let mut events = Vec::new();
            while let Some(event) = receiver.recv().await {
                if interrupt.is_some_and(|when| when(&event.body)) {
                    trigger.interrupt();
                }
                events.push(event);
            }
            events
        });
        let connector = Arc::new(self.connector.clone());
        let mut engine =
            Engine::new(run, mode, self.options.clone(), connector, Redactor::default(), sender, cancel)
                .await;
        engine.gather().await;
        engine.plan().await;
        let gathered = engine.exchanges().await;
        if mode == Mode::Apply {
            engine.apply().await;
        }
        let exchanges = engine.exchanges().await;
        let summary = engine.finish().await;
        Seen { events: collect.await.unwrap(), gathered, exchanges, summary }
    }
}

/// What came of a run.
pub struct Seen {
    pub events: Vec<Event>,
    /// Exchanges with each host until the plan was there.
    pub gathered: Vec<u64>,
    /// And in all.
    pub exchanges: Vec<u64>,
    pub summary: Summary,
}

impl Seen {
    /// `host step: what`, for each line of the plan.
    pub fn planned(&self) -> Vec<String> {
        self.lines(|body| match body {
            Body::Planned(entry) => {
                let what = match &entry.forecast {
                    Forecast::Change { predicted, .. } if predicted.is_empty() => "change".to_owned(),
                    Forecast::Change { predicted, .. } => {
                        let by: Vec<_> = predicted.iter().map(|p| format!("{} {}", p.host, p.step)).collect();
                        format!("change after {}", by.join(", "))
                    }
                    Forecast::Unchanged { .. } => "unchanged".into(),
                    Forecast::Skipped { .. } => "skipped".into(),
                    Forecast::Unknown { until } => format!("unknown until {until}"),
                    Forecast::Error { failure } => format!("error: {}", failure.message),
                    Forecast::Unreachable => "unreachable".into(),
                    Forecast::LeftOut => "left out".into(),
                };
                Some(format!("{} {}: {what}", entry.at.host, entry.at.step))
            }
            _ => None,
        })
    }

    /// `host step: outcome`, in the order in which they ended; without the steps of hosts that are left out.
    pub fn ended(&self) -> Vec<String> {
        self.lines(|body| match body {
            Body::StepFinished(f) if f.outcome != Outcome::LeftOut => {
                let what = match (f.outcome, &f.failure) {
                    (Outcome::Failed, Some(failure)) => format!("failed: {}", failure.message),
                    (outcome, _) => format!("{outcome:?}").to_lowercase(),
                };
                Some(format!("{} {}: {what}", f.at.host, f.at.step))
            }
            _ => None,
        })
    }

    /// The playbooks that began, in order.
    pub fn begun(&self) -> Vec<usize> {
        let begun = |e: &Event| match e.body {
            Body::PlayStarted { play } => Some(play),
            _ => None,
        };
        self.events.iter().filter_map(begun).map(PlayIndex::position).collect()
    }

    /// `host: why, why`, for each host that is left out.
    pub fn left_out(&self) -> Vec<String> {
        self.lines(|body| match body {
            Body::HostLeftOut { host, reasons, .. } => Some(format!("{host}: {}", reasons.join(", "))),
            _ => None,
        })
    }

    /// The warnings, in order.
    pub fn warnings(&self) -> Vec<String> {
        self.lines(|body| match body {
            Body::Warning { message, .. } => Some(message.clone()),
            _ => None,
        })
    }

    fn lines(&self, line: impl Fn(&Body) -> Option<String>) -> Vec<String> {
        self.events.iter().filter_map(|e| line(&e.body)).collect()
    }
}
