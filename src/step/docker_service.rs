//! `docker_service`: a service of the swarm, compared key by key, changed through the engine's API, waited for.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value as Json;

use super::family::docker::api::{self, Engine};
use super::family::docker::json::{at, number_at, text_at};
use super::family::docker::spec::{DEFAULT_MONITOR, Differ, Effect, nanos};
use super::family::docker::swarm::{self, Info, LocalState};
use super::family::docker::versioned::{self, Family, Object};
use super::family::docker::{Existence, image::Reference};
use super::{Action, Change, Context, Invalid, Inverse, Role, Step, Validate, Value, Verdict};
use crate::model::{Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};

mod act;
mod mistakes;
pub(super) mod params;
mod wanted;

pub use params::DockerService;

use act::Goal;
use params::{FileRef, ImagePolicy, Mode, PublishMode, Short};
use wanted::Names;

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: crate::program::Programs = &[api::PROGRAMS, act::PROGRAMS];

/// A task as a manager lists it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Task {
    desired_state: String,
    status: TaskStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct TaskStatus {
    state: String,
    err: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Network {
    name: String,
    id: String,
}

/// The service as it is.
#[derive(Debug)]
struct Live {
    id: String,
    /// How often it was changed.
    version: u64,
    /// The specification, letter by letter as the engine gave it.
    text: String,
    spec: Json,
    /// `updating`, `paused`, `completed`, `rollback_...`; empty if it was never updated.
    update: String,
    /// Why.
    message: String,
    tasks: Vec<Task>,
}

impl Validate for DockerService {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = self.mistakes();
        if self.image_policy == ImagePolicy::Refresh && self.registry_auth.is_some() {
            invalid.push(
                Invalid::new("image_policy", "with `registry_auth` the registry is asked on changes alone")
                    .help(
                        "leave `image_policy` out and change the tag, or use a registry that answers without",
                    ),
            );
        }
        invalid
    }
}

impl Step for DockerService {
    fn probes(&self) -> Vec<Probe> {
        let mut probes = vec![self.probe()];
        if self.state == Existence::Absent {
            return probes;
        }
        if self.networks.is_some() || self.strict {
            probes.push(networks_probe());
        }
        probes.extend(self.secrets.as_ref().map(|_| Family::Secret.probe()));
        probes.extend(self.configs.as_ref().map(|_| Family::Config.probe()));
        probes.extend(self.registry_probe());
        probes
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let live = match self.ask(readings)? {
            Asked::Verdict(verdict) => return Ok(*verdict),
            Asked::Live(live) => live,
        };
        let goes = readings.expected(&self.resource()) == Some(&State::Absent);
        if self.state == Existence::Absent {
            return Ok(match live {
                Some(_) if goes => Verdict::satisfied("removed by an earlier step"),
                Some(live) => Verdict::Drift(self.removal(&live)),
                None => Verdict::satisfied("not there"),
            });
        }
        let (names, missing) = self.names(readings)?;
        let verdict = match live.filter(|_| !goes) {
            None => Verdict::Drift(self.creation(&names)),
            Some(live) => self.compare(&live, &names),
        };
        Ok(match missing {
            None => verdict,
            Some((until, otherwise)) => {
                let then = match verdict {
                    Verdict::Drift(change) => Some(change),
                    _ => None,
                };
                Verdict::Unknown { until, then, otherwise }
            }
        })
    }

    fn inverse(&self, change: &Change) -> Inverse {
        if change.was_absent("mode") {
            return Inverse::removal("docker_service", "name", &self.name);
        }
        // A restart, or a wait for what comes about by itself.
        if change.fields.iter().all(|f| matches!(f.name.as_str(), "forced updates" | "running" | "update")) {
            return Inverse::nothing();
        }
        let name = &self.name;
        Inverse::none(format!(
            "the service {name} stays as it is: `docker service rollback {name}` goes back by one update"
        ))
    }

    fn provides(&self) -> Vec<Resource> {
        if self.state == Existence::Absent {
            return vec![Resource::fleet(Kind::End, "containers")];
        }
        let ports = self.ports.iter().flatten().filter_map(|Short(p)| p.published).flat_map(|port| {
            let port = port.to_string();
            [Resource::here(Kind::Port, &port), Resource::fleet(Kind::Port, &port)]
        });
        std::iter::once(self.resource()).chain(ports).collect()
    }

    fn needs(&self) -> Vec<Resource> {
        let mut needs = vec![api::engine_of(None), swarm::swarm()];
        let refs = |list: &Option<Vec<Short<FileRef>>>, family: Family| {
            list.iter().flatten().map(|Short(f)| family.resource(&f.name)).collect::<Vec<_>>()
        };
        needs.extend(refs(&self.secrets, Family::Secret));
        needs.extend(refs(&self.configs, Family::Config));
        needs.extend(self.networks.iter().flatten().map(|Short(n)| Resource::fleet(Kind::Network, &n.name)));
        needs.extend(self.constraints.iter().flatten().filter_map(|c| {
            let (key, value) = c.split_once("==")?;
            let label = key.trim().strip_prefix("node.labels.")?;
            Some(Resource::fleet(Kind::NodeLabel, &format!("{label}={}", value.trim())))
        }));
        needs
    }

    fn on_notify(&self, readings: &Readings) -> Result<Option<Change>, CheckError> {
        if self.state == Existence::Absent {
            return Ok(None);
        }
        let Asked::Live(Some(live)) = self.ask(readings)? else { return Ok(None) };
        let path = "TaskTemplate/ForceUpdate";
        let count = number_at(&live.spec, path);
        let mut spec = live.spec.clone();
        super::family::docker::spec::set(&mut spec, path, (count + 1).into());
        Ok(Some(
            Change::new(format!("replace the tasks of {}", self.name))
                .field("forced updates", count.to_string(), (count + 1).to_string())
                .action(act::update(&self.name, &live, &spec, false, self.registry_auth.as_ref()))
                .action(act::wait(&self.name, &live.id, self.goal(&spec, true))),
        ))
    }

    fn misplaced(&self, role: Role) -> Option<Invalid> {
        (role == Role::Handler && self.state == Existence::Absent).then(|| {
            Invalid::new("state", "what is to be gone cannot be started anew: this can be no handler")
        })
    }
}

/// What a manager says of the service, or the verdict where none can be asked.
enum Asked {
    Verdict(Box<Verdict>),
    Live(Option<Live>),
}

impl From<Verdict> for Asked {
    fn from(verdict: Verdict) -> Self {
        Self::Verdict(Box::new(verdict))
    }
}

fn networks_probe() -> Probe {
    api::get(&["/networks"])
}

impl DockerService {
    fn resource(&self) -> Resource {
        Resource::fleet(Kind::Service, &self.name)
    }

    /// The host itself, the service and its tasks. The name is one that `good_name` let through.
    fn probe(&self) -> Probe {
        api::get(&[
            "/info".to_owned(),
            format!("/services/{}", self.name),
            format!("/tasks?filters=%7B%22service%22%3A%5B%22{}%22%5D%7D", self.name),
        ])
    }

    /// Whether the host is to look for the image's digest when the image changes.
    fn resolves(&self) -> bool {
        self.image_policy != ImagePolicy::Tag
            && self.image.as_deref().and_then(Reference::parse).is_some_and(|r| r.digest.is_none())
    }

    /// The image whose digest is to be looked up, with its tag.
    fn to_resolve(&self) -> Option<String> {
        self.image.as_deref().filter(|_| self.resolves()).map(wanted::tagged)
    }

    fn registry_probe(&self) -> Option<Probe> {
        let image = self.image.as_deref().filter(|_| self.image_policy == ImagePolicy::Refresh)?;
        // A registry may take its time.
        Some(api::get(&[format!("/distribution/{}/json", wanted::tagged(image))]).alone())
    }

    fn ask(&self, readings: &Readings) -> Result<Asked, CheckError> {
        let probe = self.probe();
        let absent = self.state == Existence::Absent;
        let no_swarm = "this host is in no swarm";
        let responses = match api::read(readings, &probe)? {
            Engine::Up(responses) => responses,
            Engine::Coming | Engine::Missing(_) if absent => {
                return Ok(Verdict::satisfied("no engine, so no service").into());
            }
            Engine::Coming => return Ok(self.before_swarm(readings, no_swarm.into())?.into()),
            Engine::Missing(why) => return Ok(self.before_swarm(readings, why)?.into()),
        };
        let [info, service, tasks] = responses.as_slice() else {
            return Err(CheckError::unreadable(&probe, readings.of(&probe)?, "expected three responses"));
        };
        let info: Info = info.json(&probe, readings)?;
        match info.swarm.local_node_state {
            LocalState::Active if info.swarm.control_available => {}
            LocalState::Active => {
                return Err(CheckError::refused(
                    "this host is a worker: a service is made on a manager",
                    "narrow the step's `hosts` to one manager".to_owned(),
                ));
            }
            LocalState::Inactive if absent => return Ok(Verdict::satisfied("no swarm, so no service").into()),
            LocalState::Inactive => return Ok(self.before_swarm(readings, no_swarm.into())?.into()),
            LocalState::Locked | LocalState::Pending | LocalState::Error => {
                return Err(CheckError::refused(
                    format!("this host cannot work in its swarm: {}", swarm::or_unknown(&info.swarm.error)),
                    "look at `docker info` and `journalctl -u docker`".to_owned(),
                ));
            }
        }
        if self.healthcheck.as_ref().is_some_and(|h| h.start_interval.is_some()) {
            api::since(25, "`healthcheck.start_interval`", &responses)?;
        }
        if service.status == 404 {
            return Ok(Asked::Live(None));
        }
        let whole: Json = service.json(&probe, readings)?;
        if at(&whole, "Spec/Name") != self.name.as_str() {
            // The engine takes the beginning of an id for a name.
            return Ok(Asked::Live(None));
        }
        let text = String::from_utf8_lossy(&service.body);
        let (Some(id), Some(text)) = (whole["ID"].as_str(), raw_spec(&text)) else {
            return Err(CheckError::unreadable(
                &probe,
                readings.of(&probe)?,
                "expected a service with ID and Spec",
            ));
        };
        let status = |key: &str| text_at(&whole, &format!("UpdateStatus/{key}")).to_owned();
        Ok(Asked::Live(Some(Live {
            id: id.to_owned(),
            version: number_at(&whole, "Version/Index"),
            text: text.to_owned(),
            spec: whole["Spec"].clone(),
            update: status("State"),
            message: status("Message"),
            tasks: tasks.json(&probe, readings)?,
        })))
    }

    /// The verdict where there is no swarm yet.
    fn before_swarm(&self, readings: &Readings, otherwise: String) -> Result<Verdict, CheckError> {
        if let Some(State::Present | State::Value(_)) = readings.expected(&self.resource()) {
            return Ok(Verdict::satisfied("made by an earlier step"));
        }
        let (names, missing) = self.names(readings)?;
        let change = self.creation(&names);
        Ok(match missing {
            _ if !swarm::swarm_is_coming(readings) => {
                Verdict::Unknown { until: swarm::swarm(), then: Some(change), otherwise }
            }
            Some((until, otherwise)) => Verdict::Unknown { until, then: Some(change), otherwise },
            None => Verdict::Drift(change),
        })
    }

    /// What the names stand for, and the first one that stands for nothing.
    fn names(&self, readings: &Readings) -> Result<(Names, Option<(Resource, String)>), CheckError> {
        let mut names = Names::default();
        let mut missing = None;
        if self.networks.is_some() || self.strict {
            let networks: Vec<Network> = listed(&networks_probe(), readings)?;
            for Short(wanted) in self.networks.iter().flatten() {
                let resource = Resource::fleet(Kind::Network, &wanted.name);
                let there = networks.iter().any(|n| n.name == wanted.name);
                if !there && !matches!(readings.expected(&resource), Some(State::Present | State::Value(_))) {
                    missing.get_or_insert((resource, format!("network {} is not there", wanted.name)));
                }
            }
            names.networks = networks.into_iter().map(|n| (n.id, n.name)).collect();
        }
        for (family, list, into) in [
            (Family::Secret, &self.secrets, &mut names.secrets),
            (Family::Config, &self.configs, &mut names.configs),
        ] {
            let Some(list) = list else { continue };
            let objects: Vec<Object> = listed(&family.probe(), readings)?;
            for Short(file) in list {
                let resource = family.resource(&file.name);
                let found = |o: &Object| (o.id.clone(), o.spec.name.clone());
                let entry = match readings.expected(&resource) {
                    Some(State::Value(version)) => objects
                        .iter()
                        .find(|o| o.spec.name == *version)
                        .map_or_else(|| (String::new(), version.clone()), found),
                    Some(State::Absent) => (String::new(), String::new()),
                    Some(_) => (String::new(), format!("the new {}", file.name)),
                    None => versioned::current(&objects, &file.name)
                        .or_else(|| objects.iter().find(|o| o.spec.name == file.name))
                        .map(found)
                        .unwrap_or_default(),
                };
                if entry.1.is_empty() {
                    let why = format!("{} {} is not there", family.word(), file.name);
                    missing.get_or_insert((resource, why));
                }
                let name = if entry.1.is_empty() { file.name.clone() } else { entry.1 };
                into.insert(file.name.clone(), (entry.0, name));
            }
        }
        if let Some(probe) = self.registry_probe() {
            names.digest = registry_digest(&probe, readings)?;
        }
        Ok((names, missing))
    }

    fn creation(&self, names: &Names) -> Change {
        let mut differ = Differ::create(wanted::base(&self.name, self.mode));
        let mode = if self.mode == Mode::Global { "global" } else { "replicated" };
        differ.push("mode".into(), Value::Absent, mode.into(), Effect::None);
        wanted::compare(self, names, &mut differ);
        let (resolve, auth) = (self.to_resolve(), self.registry_auth.as_ref());
        let mut change = Change::new(format!("create service {}", self.name))
            .fields(differ.changed.iter().map(|c| c.field.clone()).collect())
            .actions(resolve.as_deref().map(|image| act::look_up(image, auth)))
            .action(act::create(&self.name, &differ.spec, resolve.is_some(), auth));
        if self.wait {
            change = change.action(act::wait(&self.name, &self.name, self.goal(&differ.spec, false)));
        }
        self.port_notes(change).expect(self.resource(), State::Present)
    }

    fn port_notes(&self, change: Change) -> Change {
        let open: Vec<String> = self
            .ports
            .iter()
            .flatten()
            .filter(|Short(p)| p.published.is_some() && p.mode == PublishMode::Ingress)
            .map(|Short(p)| p.words())
            .collect();
        if open.is_empty() {
            return change;
        }
        change.note(format!(
            "{} is open on every node to all who reach the node: Docker's own rules come before firewalld's",
            open.join(", ")
        ))
    }

    fn compare(&self, live: &Live, names: &Names) -> Verdict {
        let is_global = live.spec["Mode"].get("Global").is_some();
        let is_replicated = live.spec["Mode"].get("Replicated").is_some();
        if is_global != (self.mode == Mode::Global) || !(is_global || is_replicated) {
            return Verdict::Drift(self.replacement(live, names));
        }
        let mut differ = Differ::new(live.spec.clone(), self.strict);
        wanted::compare(self, names, &mut differ);
        if differ.changed.is_empty() {
            return self.tasks(live, &differ);
        }
        let image = differ.changed.iter().any(|c| c.field.name == "image");
        let resolve = self.to_resolve().filter(|_| image);
        let auth = self.registry_auth.as_ref();
        let mut change = Change::new(format!("update service {}", self.name))
            .fields(differ.changed.iter().map(|c| c.field.clone()).collect())
            .actions(resolve.as_deref().map(|image| act::look_up(image, auth)))
            .action(act::update(&self.name, live, &differ.spec, resolve.is_some(), auth));
        if self.wait {
            change = change.action(act::wait(&self.name, &live.id, self.goal(&differ.spec, true)));
        }
        for note in effects(live, &differ) {
            change = change.note(note);
        }
        if differ.changed.iter().any(|c| c.field.name == "ports") {
            change = self.port_notes(change);
        }
        Verdict::Drift(change.expect(self.resource(), State::Present))
    }

    /// The specification is as described; are the tasks?
    fn tasks(&self, live: &Live, differ: &Differ) -> Verdict {
        let running = live.tasks.iter().filter(|t| t.runs()).count() as u64;
        let desired = live.tasks.iter().filter(|t| t.desired_state == "running").count() as u64;
        let goal = self.goal(&live.spec, false);
        let wanted = goal.replicas.unwrap_or(desired);
        let image = wanted::short_digest(live.image());
        let unmanaged = if differ.unmanaged.is_empty() {
            String::new()
        } else {
            format!("; set but not described here: {}", differ.unmanaged.join(", "))
        };
        if !self.wait {
            return Verdict::satisfied(format!("{image}{unmanaged}"));
        }
        match live.update.as_str() {
            "paused" | "rollback_paused" => {
                let auth = self.registry_auth.as_ref();
                return Verdict::Drift(
                    Change::new(format!("go on with the update of service {}", self.name))
                        .field("update", format!("{}: {}", live.update, live.message), "completed")
                        .action(act::update(&self.name, live, &live.spec, false, auth))
                        .action(act::wait(&self.name, &live.id, Goal { updated: true, ..goal })),
                );
            }
            "updating" | "rollback_started" => {
                return Verdict::Drift(
                    Change::new(format!("wait for the update of service {}", self.name))
                        .field("update", live.update.clone(), "completed")
                        .action(act::wait(&self.name, &live.id, Goal { updated: true, ..goal })),
                );
            }
            _ => {}
        }
        if running >= wanted {
            return Verdict::satisfied(format!("{image}, {running} of {wanted} running{unmanaged}"));
        }
        let mut change = Change::new(format!("wait until service {} runs", self.name))
            .field("running", format!("{running} of {wanted}"), format!("{wanted} of {wanted}"))
            .action(act::wait(&self.name, &live.id, goal))
            .note("the swarm starts its tasks by itself: this only waits for them");
        if let Some(task) = live.tasks.iter().find(|t| !t.status.err.is_empty()) {
            change = change.note(format!("a task says: {}", task.status.err));
        }
        Verdict::Drift(change)
    }

    fn goal(&self, spec: &Json, updated: bool) -> Goal {
        // A task with a health check counts as running only when it has passed the check: it has held already. The
        // engine's default is nobody's wish.
        let test = at(spec, "TaskTemplate/ContainerSpec/Healthcheck/Test").as_array();
        let checked = test.is_some_and(|words| words.first().is_some_and(|word| word != "NONE"));
        let monitor = at(spec, "UpdateConfig/Monitor").as_u64().filter(|n| *n > 0 && *n != DEFAULT_MONITOR);
        let hold = monitor.map_or(if checked { 0 } else { 5 }, |n| n.div_ceil(1_000_000_000));
        Goal {
            replicas: match self.mode {
                Mode::Global => None,
                _ => Some(at(spec, "Mode/Replicated/Replicas").as_u64().unwrap_or(1)),
            },
            hold: Duration::from_secs(hold.min(60)),
            deadline: self.converge_timeout,
            updated,
            rolls_back: at(spec, "UpdateConfig/FailureAction") == "rollback",
        }
    }

    fn removal(&self, live: &Live) -> Change {
        Change::new(format!("remove service {}", self.name))
            .field(
                "service",
                format!("{} {}", live.mode(), wanted::short_digest(live.image())),
                Value::Absent,
            )
            .action(self.remove(live))
            .expect(self.resource(), State::Absent)
    }

    fn remove(&self, live: &Live) -> Action {
        let grace = at(&live.spec, "TaskTemplate/ContainerSpec/StopGracePeriod").as_u64();
        act::remove(&self.name, &live.id, Duration::from_nanos(grace.unwrap_or(10_000_000_000)))
    }

    /// The mode cannot be changed in place.
    fn replacement(&self, live: &Live, names: &Names) -> Change {
        let mut change = self.creation(names);
        change.summary = format!("replace service {}: its mode cannot be changed in place", self.name);
        if let Some(mode) = change.fields.first_mut() {
            mode.before = Value::Text(live.mode());
        }
        change.actions.insert(0, self.remove(live));
        change.disrupts =
            Some(format!("removes service {} and makes it anew: it is down meanwhile", self.name));
        change.note("what was set by hand and is not described here is lost")
    }
}

impl Live {
    fn image(&self) -> &str {
        text_at(&self.spec, "TaskTemplate/ContainerSpec/Image")
    }

    fn mode(&self) -> String {
        self.spec["Mode"]
            .as_object()
            .and_then(|m| m.keys().next())
            .map_or_else(String::new, |m| m.to_lowercase())
    }
}

impl Task {
    fn runs(&self) -> bool {
        self.desired_state == "running" && self.status.state == "running"
    }
}

/// Which of the differences replace the tasks, and what that means.
fn effects(live: &Live, differ: &Differ) -> Vec<String> {
    let of = |effect: Effect| {
        let names: Vec<&str> =
            differ.changed.iter().filter(|c| c.effect == effect).map(|c| c.field.name.as_str()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let mut notes = Vec::new();
    if let Some(names) = of(Effect::Restart) {
        let running = live.tasks.iter().filter(|t| t.runs()).count();
        let policy = |key: &str| at(&differ.spec, &format!("UpdateConfig/{key}"));
        let at_once = match policy("Parallelism").as_u64().unwrap_or(1) {
            0 => running,
            n => usize::try_from(n).unwrap_or(usize::MAX).min(running),
        };
        let tasks = match running {
            0 => "its tasks".to_owned(),
            1 => "its task".to_owned(),
            n => format!("its {n} tasks"),
        };
        let how = if running == 0 {
            "of which none runs now".to_owned()
        } else if policy("Order") == "start-first" {
            format!("{at_once} at a time, the new one first")
        } else if at_once >= running {
            let grace = at(&differ.spec, "TaskTemplate/ContainerSpec/StopGracePeriod").as_u64();
            let grace = nanos(&grace.unwrap_or(10_000_000_000).into());
            format!("an outage: the old stops first, for up to {grace}, then the new starts")
        } else {
            format!("{at_once} at a time, the old one stops first: the others serve on")
        };
        notes.push(format!("replaces {tasks} ({how}): {names}"));
    }
    if let Some(names) = of(Effect::Placement) {
        notes.push(format!("moves only tasks whose node does not fit any more: {names}"));
    }
    if let Some(names) = of(Effect::None) {
        notes.push(format!("restarts nothing: {names}"));
    }
    notes
}

/// The list that the engine gives, or none where there is no engine or no manager.
fn listed<T: serde::de::DeserializeOwned>(probe: &Probe, readings: &Readings) -> Result<Vec<T>, CheckError> {
    match api::read(readings, probe)? {
        Engine::Up(responses) => match responses.first() {
            Some(response) if !versioned::is_no_manager(response) => response.json(probe, readings),
            _ => Ok(Vec::new()),
        },
        Engine::Coming | Engine::Missing(_) => Ok(Vec::new()),
    }
}

/// The digest of the image in its registry; `None` where there is no engine to ask it.
fn registry_digest(probe: &Probe, readings: &Readings) -> Result<Option<String>, CheckError> {
    let Engine::Up(responses) = api::read(readings, probe)? else { return Ok(None) };
    let Some(response) = responses.first() else { return Ok(None) };
    if response.status != 200 {
        return Err(CheckError::refused(
            format!("the registry does not tell the digest of the image: {}", response.message()),
            "with `image_policy = \"pinned\"` the registry is asked only when the image is set".to_owned(),
        ));
    }
    let found: Json = response.json(probe, readings)?;
    Ok(at(&found, "Descriptor/digest").as_str().map(str::to_owned))
}

/// The text of the value of `"Spec"` in the JSON of a service.
fn raw_spec(service: &str) -> Option<&str> {
    let rest = service.split_once("\"Spec\":")?.1;
    let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<serde::de::IgnoredAny>();
    stream.next()?.ok()?;
    rest.get(..stream.byte_offset())
}
