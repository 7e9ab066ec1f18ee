//! `docker_container`: a plain container of one engine, replaced when it differs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::docker_service::params::{Bytes, Cpus, Health, Log, Texts, Ulimit};
use super::family::docker::api::{self, Engine};
use super::family::docker::image::Reference;
use super::family::docker::json::{at, entries, env_map, items, number_at, text_at, text_map, texts};
use super::family::docker::opening::Thing;
use super::family::docker::spec::{
    self, BYTES, Differ, Effect, FLAG, Form, LIST, NANOS, NUMBER, PATH, SET, SIGNAL, TEXT,
};
use super::family::docker::{Existence, good_name, subnet};
use super::{Action, Change, Context, Invalid, Inverse, Role, Step, Validate, Value, Verdict};
use crate::model::value::{duration, optional_duration};
use crate::model::{Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::sh;

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: crate::program::Programs = &[api::PROGRAMS, act::PROGRAMS];

mod act;

/// A container.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DockerContainer {
    name: String,
    image: Option<String>,
    #[serde(default, deserialize_with = "some_words")]
    args: Option<Vec<String>>,
    #[serde(default, deserialize_with = "some_words")]
    entrypoint: Option<Vec<String>>,
    env: Option<Texts>,
    labels: Option<Texts>,
    #[serde(default, deserialize_with = "some_words")]
    volumes: Option<Vec<String>>,
    #[serde(default, deserialize_with = "some_words")]
    ports: Option<Vec<String>>,
    restart: Option<String>,
    network: Option<String>,
    hostname: Option<String>,
    user: Option<String>,
    dir: Option<String>,
    init: Option<bool>,
    tty: Option<bool>,
    read_only: Option<bool>,
    privileged: Option<bool>,
    #[serde(default, deserialize_with = "some_words")]
    cap_add: Option<Vec<String>>,
    #[serde(default, deserialize_with = "some_words")]
    cap_drop: Option<Vec<String>>,
    #[serde(default, deserialize_with = "some_words")]
    dns: Option<Vec<String>>,
    hosts: Option<Texts>,
    sysctls: Option<Texts>,
    ulimits: Option<BTreeMap<String, Ulimit>>,
    memory: Option<Bytes>,
    cpus: Option<Cpus>,
    log: Option<Log>,
    healthcheck: Option<Health>,
    stop_signal: Option<String>,
    #[serde(default, deserialize_with = "optional_duration")]
    stop_grace_period: Option<Duration>,
    #[serde(default)]
    state: Existence,
    #[serde(default = "one_minute", deserialize_with = "duration")]
    start_timeout: Duration,
}

fn one_minute() -> Duration {
    Duration::from_mins(1)
}

fn some_words<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Vec<String>>, D::Error> {
    crate::model::value::one_or_many(d).map(Some)
}

/// Label with the names of the variables and labels that a playbook gave, for the image has some of its own.
const OWN: &str = "hostwright.own";

impl Validate for DockerContainer {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid: Vec<Invalid> = good_name("name", &self.name).into_iter().collect();
        if self.state == Existence::Absent {
            return invalid;
        }
        match &self.image {
            None => invalid.push(Invalid::missing("image")),
            Some(image) if Reference::parse(image).is_none() => {
                invalid.push(Invalid::new("image", format!("{image:?} is no reference of an image")));
            }
            Some(_) => {}
        }
        for (n, volume) in self.volumes.iter().flatten().enumerate() {
            if volume_words(volume).is_none() {
                invalid.push(Invalid::new(format!("volumes[{n}]"), format!("{volume:?} is no volume")).help(
                    "write it as \"NAME:/path\", \"/path/on/the/host:/path\" or with `:ro` at the end",
                ));
            }
        }
        for (n, port) in self.ports.iter().flatten().enumerate() {
            if port_words(port).is_none() {
                invalid.push(
                    Invalid::new(format!("ports[{n}]"), format!("{port:?} is no published port"))
                        .help("write it as \"9443:9443\", \"127.0.0.1:9000:9000\" or \"53:53/udp\""),
                );
            }
        }
        if self.stop_grace_period.is_some_and(|d| d.subsec_nanos() != 0) {
            invalid.push(Invalid::new("stop_grace_period", "the engine counts whole seconds here"));
        }
        if let Some(restart) = &self.restart
            && restart_policy(restart).is_none()
        {
            invalid.push(
                Invalid::new("restart", format!("{restart:?} is no restart policy"))
                    .help("use \"no\", \"always\", \"unless-stopped\", \"on-failure\" or \"on-failure:3\""),
            );
        }
        invalid
    }
}

impl Step for DockerContainer {
    fn probes(&self) -> Vec<Probe> {
        vec![self.probe()]
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let probe = self.probe();
        let absent = self.state == Existence::Absent;
        let thing = Thing {
            probe: &probe,
            resource: self.resource(),
            wanted: self.state,
            what: "container",
            made: "made",
        };
        let responses = match thing.open(readings, || self.creation(false))? {
            ControlFlow::Break(verdict) => return Ok(verdict),
            ControlFlow::Continue(None) => return Ok(Verdict::Drift(self.creation(false))),
            ControlFlow::Continue(Some(responses)) => responses,
        };
        if !absent && self.healthcheck.as_ref().is_some_and(|h| h.start_interval.is_some()) {
            api::since(25, "`healthcheck.start_interval`", &responses)?;
        }
        let Some(container) = responses.first() else {
            return Err(CheckError::unreadable(&probe, readings.of(&probe)?, "expected a response"));
        };
        let live: Option<Json> = match container.status {
            404 => None,
            _ => Some(container.json(&probe, readings)?),
        };
        // The engine takes the beginning of an id for a name.
        let live =
            live.filter(|l| l["Name"].as_str().is_some_and(|n| n.trim_start_matches('/') == self.name));
        if absent {
            return Ok(match live {
                None => Verdict::satisfied("not there"),
                Some(live) => Verdict::Drift(self.removal(&live)),
            });
        }
        let image: Option<Json> = match responses.get(1) {
            Some(response) if response.status == 200 => Some(response.json(&probe, readings)?),
            _ => None,
        };
        match live {
            None => Ok(Verdict::Drift(self.creation(image.is_some()))),
            Some(live) => self.compare(&live, image.as_ref()),
        }
    }

    fn inverse(&self, change: &Change) -> Inverse {
        if change.was_absent("container") || change.was_absent("state") {
            return Inverse::removal("docker_container", "name", &self.name);
        }
        if change.fields.iter().any(|field| field.after == Value::from("restarted")) {
            return Inverse::nothing();
        }
        Inverse::none(format!("what the container {} was before was not kept", self.name))
    }

    fn provides(&self) -> Vec<Resource> {
        if self.state == Existence::Absent {
            return vec![Resource::here(Kind::End, "containers")];
        }
        let ports = self
            .ports
            .iter()
            .flatten()
            .filter_map(|p| port_words(p))
            .map(|p| Resource::here(Kind::Port, &p.1));
        std::iter::once(self.resource()).chain(ports).collect()
    }

    fn needs(&self) -> Vec<Resource> {
        let mut needs = vec![api::engine_of(None)];
        needs.extend(self.image.as_deref().map(|image| Resource::here(Kind::Image, image)));
        for volume in self.volumes.iter().flatten() {
            if let Some((source, ..)) = volume_words(volume) {
                let kind = if source.starts_with('/') { Kind::Path } else { Kind::Volume };
                needs.push(Resource::here(kind, &source));
            }
        }
        needs
    }

    fn on_notify(&self, readings: &Readings) -> Result<Option<Change>, CheckError> {
        if self.state == Existence::Absent {
            return Ok(None);
        }
        let probe = self.probe();
        let live: Option<Json> = match api::read(readings, &probe)? {
            Engine::Up(responses) => {
                let there = responses.first().filter(|r| r.status == 200);
                there.map(|r| r.json(&probe, readings)).transpose()?
            }
            _ => None,
        };
        let status = live.as_ref().and_then(|l| at(l, "State/Status").as_str());
        let before = status.map_or(Value::Unknown, Value::from);
        let script = sh!("docker restart {} >/dev/null", self.name);
        Ok(Some(
            Change::new(format!("restart container {}", self.name))
                .field("state", before, "restarted")
                .action(Action::new(format!("restart {}", self.name), script).lasting())
                .action(self.wait()),
        ))
    }

    fn misplaced(&self, role: Role) -> Option<Invalid> {
        (role == Role::Handler && self.state == Existence::Absent).then(|| {
            Invalid::new("state", "what is to be gone cannot be started anew: this can be no handler")
        })
    }
}

impl DockerContainer {
    fn resource(&self) -> Resource {
        Resource::here(Kind::Container, &self.name)
    }

    fn image(&self) -> &str {
        self.image.as_deref().unwrap_or_default()
    }

    fn probe(&self) -> Probe {
        let mut paths = vec![format!("/containers/{}/json", self.name)];
        paths.extend(self.image.as_ref().map(|image| format!("/images/{image}/json")));
        api::get(&paths)
    }

    /// Compares what the playbook says with what the differ starts from: `Config`, `HostConfig` and `Mounts` of
    /// `docker inspect`.
    fn walk(&self, differ: &mut Differ) {
        let text = |value: &Option<String>| value.as_ref().map(|v| json!(v));
        let list = |value: &Option<Vec<String>>| value.as_ref().map(|v| json!(v));
        let flag = |value: Option<bool>| value.map(Json::from);
        let live_image = differ.live("Config/Image").as_str().unwrap_or_default().to_owned();
        if Reference::parse(&live_image) != Reference::parse(self.image()) {
            let before = if live_image.is_empty() { Value::Absent } else { Value::Text(live_image) };
            differ.push("image".into(), before, self.image().into(), Effect::Restart);
        }
        differ.set("Config/Image", json!(self.image()));
        let mut key = |name, path: &str, wanted: Option<Json>, form| {
            differ.key(name, path, wanted, form, Effect::Restart);
        };
        key("entrypoint", "Config/Entrypoint", list(&self.entrypoint), LIST);
        key("args", "Config/Cmd", list(&self.args), LIST);
        let volumes =
            self.volumes.as_ref().map(|v| v.iter().filter_map(|v| volume_json(v)).collect::<Json>());
        key("volumes", "Mounts", volumes, VOLUMES);
        self.walk_volume_options(differ);
        let mut key = |name, path: &str, wanted: Option<Json>, form| {
            differ.key(name, path, wanted, form, Effect::Restart);
        };
        let ports = self.ports.as_ref().map(|ports| port_bindings(ports));
        key("ports", "HostConfig/PortBindings", ports, PORTS);
        key("restart", "HostConfig/RestartPolicy", self.restart.as_deref().and_then(restart_policy), RESTART);
        key("network", "HostConfig/NetworkMode", text(&self.network), NETWORK);
        key("hostname", "Config/Hostname", text(&self.hostname), TEXT);
        key("user", "Config/User", text(&self.user), TEXT);
        key("dir", "Config/WorkingDir", text(&self.dir), PATH);
        key("tty", "Config/Tty", flag(self.tty), FLAG);
        key("init", "HostConfig/Init", flag(self.init), FLAG);
        key("read_only", "HostConfig/ReadonlyRootfs", flag(self.read_only), FLAG);
        key("privileged", "HostConfig/Privileged", flag(self.privileged), FLAG);
        key("cap_add", "HostConfig/CapAdd", list(&self.cap_add), CAPABILITIES);
        key("cap_drop", "HostConfig/CapDrop", list(&self.cap_drop), CAPABILITIES);
        key("dns", "HostConfig/Dns", list(&self.dns), LIST);
        let hosts = self
            .hosts
            .as_ref()
            .map(|h| h.0.iter().map(|(name, ip)| format!("{name}:{ip}")).collect::<Json>());
        key("hosts", "HostConfig/ExtraHosts", hosts, SET);
        let ulimits = self.ulimits.as_ref().map(|limits| {
            limits.iter().map(|(name, u)| json!({ "Name": name, "Soft": u.soft, "Hard": u.hard })).collect()
        });
        key("ulimits", "HostConfig/Ulimits", ulimits, ULIMITS);
        key("memory", "HostConfig/Memory", self.memory.map(|m| json!(m.0)), BYTES);
        key("cpus", "HostConfig/NanoCpus", self.cpus.map(|c| json!(c.0)), CPUS);
        if let Some(health) = &self.healthcheck {
            let probe =
                if health.disable { Some(json!(["NONE"])) } else { health.test.as_ref().map(|t| json!(t.0)) };
            key("healthcheck.test", "Config/Healthcheck/Test", probe, LIST);
            let ns = |d: Option<Duration>| d.map(|d| json!(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)));
            key("healthcheck.interval", "Config/Healthcheck/Interval", ns(health.interval), NANOS);
            key("healthcheck.timeout", "Config/Healthcheck/Timeout", ns(health.timeout), NANOS);
            key("healthcheck.start_period", "Config/Healthcheck/StartPeriod", ns(health.start_period), NANOS);
            let start_interval = ns(health.start_interval);
            key("healthcheck.start_interval", "Config/Healthcheck/StartInterval", start_interval, NANOS);
            key("healthcheck.retries", "Config/Healthcheck/Retries", health.retries.map(Json::from), NUMBER);
        }
        key("stop_signal", "Config/StopSignal", text(&self.stop_signal), SIGNAL);
        key(
            "stop_grace_period",
            "Config/StopTimeout",
            self.stop_grace_period.map(|d| json!(d.as_secs())),
            SECONDS,
        );
        self.walk_maps(differ);
        self.walk_log(differ);
    }

    /// What a volume's options say beside `ro`: the engine adds some by itself (`z` to volumes, `rslave` to its own
    /// folder), so that only what the playbook mentions is looked at.
    fn walk_volume_options(&self, differ: &mut Differ) {
        let live = differ.live("Mounts").clone();
        for volume in self.volumes.iter().flatten() {
            let Some((source, target, _)) = volume_words(volume) else { continue };
            let mount = items(&live).find(|m| m["Destination"] == target.as_str());
            let Some(mount) = mount.filter(|_| source.starts_with('/')) else { continue };
            let mode: Vec<&str> = text_at(mount, "Mode").split(',').collect();
            let propagation = text_at(mount, "Propagation");
            for option in volume.split(':').nth(2).unwrap_or_default().split(',') {
                let now = match option {
                    "z" | "Z" if !mode.contains(&option) => mode.join(","),
                    "shared" | "rshared" | "slave" | "rslave" | "private" | "rprivate"
                        if propagation != option =>
                    {
                        propagation.to_owned()
                    }
                    _ => continue,
                };
                let before = if now.is_empty() { Value::Absent } else { Value::Text(now) };
                differ.push(format!("volume {target}"), before, option.into(), Effect::Restart);
            }
        }
    }

    /// The driver of the log and its options. The engine fills in those of its own `log-opts`, which stay.
    fn walk_log(&self, differ: &mut Differ) {
        let Some(log) = &self.log else { return };
        let wanted = log.options.as_ref().map_or_else(BTreeMap::new, |o| o.0.clone());
        let driver = Some(json!(log.driver));
        differ.key("log", "HostConfig/LogConfig/Type", driver, TEXT, Effect::Restart);
        let own = text_map(differ.live("Config/Labels"));
        let own: BTreeSet<&str> = own.get(OWN).map(|o| o.split(' ').collect()).unwrap_or_default();
        let mut live = text_map(differ.live("HostConfig/LogConfig/Config"));
        live.retain(|k, _| wanted.contains_key(k) || own.contains(format!("o:{k}").as_str()));
        differ.map("log option", Some(&wanted), &live, Effect::Restart);
        differ.set("HostConfig/LogConfig/Config", json!(wanted));
    }

    /// Variables and labels: the image has some of its own, which stay. Those that an earlier playbook gave and this
    /// one does not are told by a label.
    fn walk_maps(&self, differ: &mut Differ) {
        let live_labels = text_map(differ.live("Config/Labels"));
        let live_env = env_map(differ.live("Config/Env"));
        let own: BTreeSet<&str> = live_labels.get(OWN).map(|o| o.split(' ').collect()).unwrap_or_default();
        let empty = BTreeMap::new();
        let mut given = Vec::new();
        for (name, letter, wanted, live) in
            [("env", 'e', self.env.as_ref(), &live_env), ("label", 'l', self.labels.as_ref(), &live_labels)]
        {
            let all = wanted.map_or(&empty, |w| &w.0);
            given.extend(all.keys().map(|k| format!("{letter}:{k}")));
            let mut relevant = live.clone();
            relevant.retain(|k, _| all.contains_key(k) || own.contains(format!("{letter}:{k}").as_str()));
            differ.map(name, wanted.map(|w| &w.0), &relevant, Effect::Restart);
        }
        let options = self.log.iter().filter_map(|l| l.options.as_ref()).flat_map(|o| o.0.keys());
        given.extend(options.map(|k| format!("o:{k}")));
        let env: Vec<String> = self.env.iter().flat_map(|e| &e.0).map(|(k, v)| format!("{k}={v}")).collect();
        differ.set("Config/Env", json!(env));
        let mut labels = self.labels.as_ref().map_or_else(BTreeMap::new, |l| l.0.clone());
        labels.insert(OWN.into(), given.join(" "));
        differ.set("Config/Labels", json!(labels));
        let simple = self.sysctls.as_ref().map(|s| &s.0);
        let live = text_map(differ.live("HostConfig/Sysctls"));
        if differ.map("sysctl", simple, &live, Effect::Restart) {
            differ.set("HostConfig/Sysctls", json!(simple));
        }
    }

    /// The body of `POST /containers/create`.
    fn body(&self) -> (Json, Vec<super::Field>) {
        let mut differ = Differ::create(json!({ "Config": {}, "HostConfig": {} }));
        self.walk(&mut differ);
        let mut body = differ.spec["Config"].clone();
        body["HostConfig"] = differ.spec["HostConfig"].clone();
        body["HostConfig"]["Binds"] = json!(self.volumes.clone().unwrap_or_default());
        let exposed: serde_json::Map<_, _> = at(&differ.spec, "HostConfig/PortBindings")
            .as_object()
            .into_iter()
            .flatten()
            .map(|(port, _)| (port.clone(), json!({})))
            .collect();
        body["ExposedPorts"] = Json::Object(exposed);
        (body, differ.changed.into_iter().map(|c| c.field).collect())
    }

    fn make(&self) -> Action {
        act::make(&self.name, &self.body().0)
    }

    fn wait(&self) -> Action {
        act::wait(&self.name, self.start_timeout)
    }

    fn notes(&self, mut change: Change) -> Change {
        if self.volumes.iter().flatten().any(|v| v.split(':').next() == Some("/var/run/docker.sock")) {
            change = change.note("with /var/run/docker.sock it has the rights of root on this host");
        }
        change
    }

    fn creation(&self, has_image: bool) -> Change {
        let (_, fields) = self.body();
        let mut change = Change::new(format!("create container {}", self.name)).fields(fields);
        if !has_image {
            change = change.action(act::pull(self.image()));
        }
        self.notes(change).action(self.make()).action(self.wait()).expect(self.resource(), State::Present)
    }

    fn compare(&self, live: &Json, image: Option<&Json>) -> Result<Verdict, CheckError> {
        let mut differ = Differ::new(live.clone(), false);
        self.walk(&mut differ);
        let mut fields: Vec<_> = differ.changed.into_iter().map(|c| c.field).collect();
        let short = |id: &Json| {
            let id = id.as_str().unwrap_or_default();
            id.strip_prefix("sha256:").unwrap_or(id).get(..12).unwrap_or(id).to_owned()
        };
        if let Some(image) = image
            && fields.iter().all(|f| f.name != "image")
            && image["Id"] != live["Image"]
        {
            fields.push(super::Field {
                name: "image content".into(),
                before: Value::Text(short(&live["Image"])),
                after: Value::Text(short(&image["Id"])),
            });
        }
        let running = at(live, "State/Running") == true && at(live, "State/Restarting") != true;
        let status = at(live, "State/Status").as_str().unwrap_or("unknown").to_owned();
        if fields.is_empty() {
            if running {
                return Ok(Verdict::satisfied(format!("{status}, {}", self.image())));
            }
            if status == "paused" {
                return Err(CheckError::refused(
                    format!("container {} is paused", self.name),
                    format!("somebody did that on purpose: `docker unpause {}`", self.name),
                ));
            }
            return Ok(Verdict::Drift(
                Change::new(format!("start container {}", self.name))
                    .field("state", status, "running")
                    .action(act::start(&self.name))
                    .action(self.wait())
                    .expect(self.resource(), State::Present),
            ));
        }
        let mut change = Change::new(format!("replace container {}", self.name)).fields(fields);
        if running {
            change.disrupts =
                Some(format!("stops container {} and starts another one in its place", self.name));
        }
        if image.is_none() {
            change = change.action(act::pull(self.image()));
        }
        change =
            change.note("named volumes and paths of the host stay; what else the container wrote is lost");
        Ok(Verdict::Drift(
            self.notes(change)
                .action(self.make())
                .action(self.wait())
                .expect(self.resource(), State::Present),
        ))
    }

    fn removal(&self, live: &Json) -> Change {
        let image = text_at(live, "Config/Image").to_owned();
        Change::new(format!("remove container {}", self.name))
            .field("container", image, Value::Absent)
            .action(act::remove(&self.name))
            .note("its named volumes stay")
            .expect(self.resource(), State::Absent)
    }
}

/// Source, target, and whether it is read-only.
fn volume_words(text: &str) -> Option<(String, String, bool)> {
    let mut words = text.split(':');
    let (source, target) = (words.next()?, words.next()?);
    let read_only = match words.next() {
        None => false,
        Some(options) => options.split(',').any(|o| o == "ro"),
    };
    let named = source.starts_with(|c: char| c.is_ascii_alphanumeric())
        && source.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    let good = (source.starts_with('/') || named) && target.starts_with('/') && words.next().is_none();
    good.then(|| (spec::clean_path(source), spec::clean_path(target), read_only))
}

/// As `Mounts` of `docker inspect` has it.
fn volume_json(text: &str) -> Option<Json> {
    let (source, target, read_only) = volume_words(text)?;
    let key = if source.starts_with('/') { "Source" } else { "Name" };
    let kind = if key == "Source" { "bind" } else { "volume" };
    Some(json!({ "Type": kind, key: source, "Destination": target, "RW": !read_only }))
}

/// Volumes without a name come from the image.
const VOLUMES: Form = Form {
    normal: |v| {
        let mut volumes: Vec<String> = items(v)
            .filter_map(|m| {
                let key = if m["Type"] == "volume" { "Name" } else { "Source" };
                let source = m[key].as_str()?;
                let anonymous = source.len() == 64 && source.chars().all(|c| c.is_ascii_hexdigit());
                let read_only = if m["RW"] == false { ":ro" } else { "" };
                (!anonymous).then(|| format!("{source}:{}{read_only}", text_at(m, "Destination")))
            })
            .collect();
        volumes.sort();
        json!(volumes)
    },
    show: spec::text,
};

/// Address, published port, target with protocol.
fn port_words(text: &str) -> Option<(String, String, String)> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    matches!(protocol, "tcp" | "udp" | "sctp").then_some(())?;
    let (front, target) = ports.rsplit_once(':')?;
    let (address, published) = match front.rsplit_once(':') {
        Some((address, published)) => (address.trim_matches(['[', ']']), published),
        None => ("", front),
    };
    (address.is_empty() || address.parse::<std::net::IpAddr>().is_ok()).then_some(())?;
    let number = |p: &str| p.parse::<u16>().ok().filter(|n| *n > 0).map(|n| n.to_string());
    Some((address.to_owned(), number(published)?, format!("{}/{protocol}", number(target)?)))
}

fn port_bindings(ports: &[String]) -> Json {
    let mut bindings: BTreeMap<String, Vec<Json>> = BTreeMap::new();
    for (address, published, target) in ports.iter().filter_map(|p| port_words(p)) {
        bindings.entry(target).or_default().push(json!({ "HostIp": address, "HostPort": published }));
    }
    json!(bindings)
}

const PORTS: Form = Form {
    normal: |v| {
        let mut ports: Vec<String> = Vec::new();
        for (target, bindings) in entries(v) {
            for binding in items(bindings) {
                let ip = match text_at(binding, "HostIp") {
                    "" | "0.0.0.0" | "::" => String::new(),
                    ip => format!("{}:", subnet::canonical(ip)),
                };
                ports.push(format!("{ip}{}:{target}", text_at(binding, "HostPort")));
            }
        }
        ports.sort();
        ports.dedup();
        json!(ports)
    },
    show: spec::text,
};

fn restart_policy(text: &str) -> Option<Json> {
    let (name, count) = match text.split_once(':') {
        Some(("on-failure", count)) => ("on-failure", count.parse().ok()?),
        Some(_) => return None,
        None => (text, 0u32),
    };
    matches!(name, "no" | "always" | "unless-stopped" | "on-failure")
        .then(|| json!({ "Name": name, "MaximumRetryCount": count }))
}

const RESTART: Form = Form {
    normal: |v| {
        let name = v["Name"].as_str().filter(|n| !n.is_empty()).unwrap_or("no");
        match number_at(v, "MaximumRetryCount") {
            0 => json!(name),
            n => json!(format!("{name}:{n}")),
        }
    },
    show: spec::text,
};

const NETWORK: Form = Form {
    normal: |v| match v.as_str().unwrap_or_default() {
        "" | "default" => json!("bridge"),
        other => json!(other),
    },
    show: spec::text,
};

const CAPABILITIES: Form = Form {
    normal: |v| {
        let bare = |c: &str| c.to_uppercase().trim_start_matches("CAP_").to_owned();
        (SET.normal)(&texts(v).map(bare).collect())
    },
    show: spec::text,
};

const ULIMITS: Form = Form {
    normal: |v| {
        let line = |u: &Json| format!("{} {}:{}", text_at(u, "Name"), u["Soft"], u["Hard"]);
        (SET.normal)(&items(v).map(line).collect())
    },
    show: spec::text,
};

const CPUS: Form = Form {
    normal: NUMBER.normal,
    show: |v| {
        let n = v.as_u64().unwrap_or_default();
        format!("{}.{:09}", n / 1_000_000_000, n % 1_000_000_000)
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned()
    },
};

const SECONDS: Form = Form { normal: |v| v.as_u64().unwrap_or(10).into(), show: |v| format!("{v}s") };
