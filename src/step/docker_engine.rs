//! `docker_engine`: Docker installed, configured key by key, running now and at boot.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Map;

use super::family::RUN;
use super::family::attributes::Attributes;
use super::family::docker::api::{self, API};
use super::family::docker::daemon_json::{self, Merged};
use super::family::docker::install::{self, Host, Manager, RESTART_MARK};
use super::family::docker::swarm::{self, LocalState, Own};
use super::family::path::{self, CONTENT_LIMIT, Depth};
use super::family::put::{self, Backup, PUT, Put};
use super::family::systemd;
use super::family::text;
use super::{Action, Change, Context, Invalid, Inverse, Step, Validate, Value, Verdict};
use crate::model::{FileContent, FileKind, FileState, Kind, Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::program;
use crate::program::Programs;
use crate::sh;

program! {
    /// Removes packages that are in the way.
    RemoveConflicting in "docker_engine/remove_conflicting.sh" uses [RUN] { manager: Word, packages: List }
}
program! {
    /// Installs Docker.
    InstallDocker in "docker_engine/install_docker.sh" uses [RUN] {
        manager: Word, packages: List, pinned: List, version: Word
    }
}
program! {
    /// Fetches the key of the repository.
    FetchDockerKey in "docker_engine/fetch_docker_key.sh" uses [PUT, RUN] { url: Word, path: Word, temporary: Word }
}
program! {
    /// Brings the engine up.
    StartDocker in "docker_engine/start_docker.sh" uses [API, PUT, RUN] { restart: Flag, path: Word, temporary: Word }
}

/// What runs on hosts for this kind.
pub(super) const PROGRAMS: Programs = &[
    api::PROGRAMS,
    install::PROGRAMS,
    path::PROGRAMS,
    put::CONTENT,
    &[RemoveConflicting::program, InstallDocker::program, FetchDockerKey::program, StartDocker::program],
];

/// The Docker engine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DockerEngine {
    #[serde(default)]
    repository: Repository,
    #[serde(default = "base_url")]
    base_url: String,
    #[serde(default = "channel")]
    channel: String,
    #[serde(default = "yes")]
    gpgcheck: bool,
    #[serde(default = "packages")]
    packages: Vec<String>,
    version: Option<String>,
    #[serde(default)]
    remove_conflicting: bool,
    #[serde(default)]
    daemon: Map<String, serde_json::Value>,
    #[serde(default)]
    daemon_absent: Vec<String>,
    #[serde(default)]
    requires_mounts: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
enum Repository {
    /// Docker's own, or a mirror of it.
    #[default]
    #[serde(rename = "docker-ce")]
    DockerCe,
    /// Whatever the host has.
    #[serde(rename = "none")]
    None,
}

fn base_url() -> String {
    "https://download.docker.com/linux".into()
}

fn channel() -> String {
    "stable".into()
}

fn yes() -> bool {
    true
}

fn packages() -> Vec<String> {
    ["docker-ce", "docker-ce-cli", "containerd.io"].map(Into::into).into()
}

const DAEMON_JSON: &str = "/etc/docker/daemon.json";
const DROP_IN: &str = "/etc/systemd/system/docker.service.d/hostwright-mounts.conf";
const YUM_FILE: &str = "/etc/yum.repos.d/docker-ce.repo";
const APT_FILE: &str = "/etc/apt/sources.list.d/docker.list";

/// Packages that hold files or names of the wanted ones: the transaction fails while they are there.
const CONFLICTING: &[&str] = &[
    "runc",
    "podman-docker",
    "docker",
    "docker-client",
    "docker-common",
    "docker-engine",
    "docker.io",
    "containerd",
    "moby-engine",
];
/// Packages that need a conflicting one on some releases, and then go with it.
const NEIGHBOURS: &[&str] = &["podman", "buildah"];

impl Validate for DockerEngine {
    fn validate(&mut self, _: &Context<'_>) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        self.base_url.truncate(self.base_url.trim_end_matches('/').len());
        if !self.base_url.starts_with("http://") && !self.base_url.starts_with("https://") {
            invalid.push(Invalid::new("base_url", format!("{:?} is not an http address", self.base_url)));
        }
        if self.packages.is_empty() {
            invalid.push(Invalid::new("packages", "name at least one package"));
        }
        if self.daemon.contains_key("hosts") {
            invalid.push(
                Invalid::new(
                    "daemon.hosts",
                    "`hosts` clashes with `-H` in docker.service, and the engine would not start",
                )
                .help("use a drop-in of docker.service, or reach the engine over ssh"),
            );
        }
        for (n, key) in self.daemon_absent.iter().enumerate() {
            if self.daemon.contains_key(key) {
                invalid.push(Invalid::new(
                    format!("daemon_absent[{n}]"),
                    format!("{key:?} is in `daemon` as well"),
                ));
            }
        }
        for (n, path) in self.requires_mounts.iter().enumerate() {
            if !path.starts_with('/') || path.contains('\n') {
                invalid.push(Invalid::new(
                    format!("requires_mounts[{n}]"),
                    format!("{path:?} is not an absolute path"),
                ));
            }
        }
        let word = |w: &String| {
            w.is_empty() || w.contains(|c: char| !(c.is_ascii_alphanumeric() || "_.:+~-".contains(c)))
        };
        if let Some(version) = self.version.as_ref().filter(|v| word(v)) {
            invalid.push(Invalid::new("version", format!("{version:?} is not a version")));
        }
        if word(&self.channel) {
            invalid.push(Invalid::new("channel", format!("{:?} is not a channel", self.channel)));
        }
        invalid
    }
}

impl Step for DockerEngine {
    fn probes(&self) -> Vec<Probe> {
        let mut probes = vec![install::probe(&self.asked()), swarm::info_probe()];
        if self.has_daemon() {
            probes.push(path::probe(DAEMON_JSON, Depth::Content(CONTENT_LIMIT)));
        }
        if !self.requires_mounts.is_empty() {
            probes.push(path::probe(DROP_IN, Depth::Content(CONTENT_LIMIT)));
        }
        if self.repository == Repository::DockerCe {
            probes.push(path::probe(YUM_FILE, Depth::Content(CONTENT_LIMIT)));
            probes.push(path::probe(APT_FILE, Depth::Content(CONTENT_LIMIT)));
        }
        probes
    }

    fn check(&self, readings: &Readings) -> Result<Verdict, CheckError> {
        let probe = install::probe(&self.asked());
        let answer = readings.of(&probe)?;
        if let Some(first) = answer.text().lines().find_map(|l| l.strip_prefix("no systemd")) {
            return Err(systemd::none(first.trim(), "the engine is looked after by its unit there"));
        }
        if answer.ok() && answer.text().starts_with("os ") && !answer.text().contains("\nmanager ") {
            return Err(CheckError::refused(
                "this host has neither dnf, yum nor apt-get, so that the engine cannot be installed",
                "install Docker by a `script` step; the other Docker steps need only its engine".to_owned(),
            ));
        }
        let host = install::parse(answer).map_err(|why| CheckError::unreadable(&probe, answer, why))?;
        if host.enabled == "masked" {
            return Err(CheckError::refused(
                "docker.service is masked",
                "somebody did that on purpose; undo it with `systemctl unmask docker.service`".to_owned(),
            ));
        }
        let own = swarm::info(readings)?;
        let running = match &own {
            Own::Up(info) => info.containers_running,
            _ => 0,
        };
        self.refuse_live_restore(&own)?;

        let mut change = Change::new("");
        let mut words = Vec::new();
        self.install(readings, &host, running, &mut change, &mut words)?;
        let configured = self.configure(readings, &mut change, &mut words)?;
        let restart = configured || host.restart;
        let start = host.active != "active";
        let enable = !matches!(host.enabled.as_str(), "enabled" | "enabled-runtime" | "static" | "generated");
        if !self.requires_mounts.is_empty() {
            let text = install::mounts_drop_in(&self.requires_mounts);
            if let Some(write) = write_file(readings, &mut change, DROP_IN, &text)? {
                words.push("order it after its mounts".to_owned());
                change = change.action(write);
                // start_docker.sh makes systemd read it anyway.
                if !(start || enable || restart) {
                    let reload = sh!("systemctl daemon-reload");
                    change = change.action(Action::new("make systemd read it", reload));
                }
            }
        }
        if host.restart && !configured {
            change = change.field("settings", "written, but not in use", "in use");
        }
        if start {
            change = change.field("running", "false", "true");
            words.push("start it".into());
        } else if restart {
            words.push("restart it".into());
            if running > 0 && !matches!(&own, Own::Up(info) if info.live_restore_enabled) {
                change.disrupts = Some(format!(
                    "restarts the engine: the {running} containers on this host stop meanwhile"
                ));
            }
        }
        if enable {
            change = change.field("enabled", "false", "true");
            words.push("enable it".into());
        }
        if change.fields.is_empty() {
            return Ok(Verdict::satisfied(self.reason(&host, &own)));
        }
        if start || enable || restart {
            change = change.action(
                Action::new(
                    words[words.len().saturating_sub(1)..].join(""),
                    StartDocker { restart, path: DAEMON_JSON, temporary: &put::temporary(DAEMON_JSON) }
                        .script(),
                )
                .timeout(Duration::from_mins(5))
                .lasting(),
            );
            if let Some(action) = change.actions.last_mut() {
                action.label =
                    (if restart && !start { "restart Docker" } else { "enable and start Docker" }).into();
            }
        }
        change.summary = format!("Docker engine: {}", words.join(", "));
        Ok(Verdict::Drift(self.expects(change, &host)))
    }

    fn inverse(&self, _: &Change) -> Inverse {
        Inverse::none("Docker stays as it is: an engine is changed back or taken away by hand")
    }

    fn provides(&self) -> Vec<Resource> {
        let mut provides = vec![
            api::engine_of(None),
            Resource::here(Kind::Unit, "docker.service"),
            Resource::here(Kind::Command, "docker"),
        ];
        provides.extend(self.packages.iter().map(|p| Resource::here(Kind::Package, p)));
        if self.has_daemon() {
            provides.push(Resource::here(Kind::Path, DAEMON_JSON));
        }
        provides
    }

    fn needs(&self) -> Vec<Resource> {
        let mut needs: Vec<_> = self.requires_mounts.iter().map(|p| Resource::here(Kind::Mount, p)).collect();
        needs.extend(self.packages.iter().map(|p| Resource::here(Kind::Package, p)));
        needs.push(Resource::here(Kind::Unit, "docker.service"));
        needs.push(Resource::here(Kind::Path, DAEMON_JSON));
        needs
    }
}

impl DockerEngine {
    fn has_daemon(&self) -> bool {
        !self.daemon.is_empty() || !self.daemon_absent.is_empty()
    }

    /// The packages to ask for: the wanted ones, and what does not get on with them.
    fn asked(&self) -> Vec<String> {
        let others = CONFLICTING.iter().chain(NEIGHBOURS).map(|p| (*p).to_owned());
        let mut asked = self.packages.clone();
        asked.extend(others.filter(|p| !self.packages.contains(p)));
        asked
    }

    fn refuse_live_restore(&self, own: &Own) -> Result<(), CheckError> {
        let wanted = self.daemon.get("live-restore") == Some(&serde_json::Value::Bool(true));
        match own {
            Own::Up(info) if wanted && info.swarm.local_node_state != LocalState::Inactive => {
                Err(CheckError::refused(
                    "`live-restore` does not get on with a swarm, and this host is in one: the engine would not come up \
                     again",
                    "leave `live-restore` out, or take the host out of the swarm first".to_owned(),
                ))
            }
            _ => Ok(()),
        }
    }

    fn reason(&self, host: &Host, own: &Own) -> String {
        match own {
            Own::Up(info) => format!("running: Docker {}", info.server_version),
            _ => format!(
                "installed and running: {}",
                self.packages
                    .iter()
                    .filter_map(|p| Some(format!("{p} {}", host.packages.get(p)?)))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        }
    }

    fn expects(&self, change: Change, host: &Host) -> Change {
        let fresh = self.packages.iter().any(|p| !host.packages.contains_key(p));
        let engine = if self.daemon.get("live-restore") == Some(&serde_json::Value::Bool(true)) {
            State::Value(swarm::LIVE_RESTORE.into())
        } else if fresh {
            State::Present
        } else {
            State::Hidden
        };
        let missing = self.packages.iter().filter(|p| !host.packages.contains_key(*p));
        let packages: Vec<_> = missing.map(|p| (Resource::here(Kind::Package, p), State::Present)).collect();
        let mut change = change
            .expect(api::engine_of(None), engine)
            .expect(
                Resource::here(Kind::Unit, "docker.service"),
                State::Unit { active: Some(true), enabled: Some(true) },
            )
            .expect(Resource::here(Kind::Command, "docker"), State::Present);
        change.expects.extend(packages);
        change
    }

    fn install(
        &self,
        readings: &Readings,
        host: &Host,
        running: u64,
        change: &mut Change,
        words: &mut Vec<String>,
    ) -> Result<(), CheckError> {
        let wrong = |p: &&String| {
            let pinned = self.version.as_ref().filter(|_| is_engine(p));
            match host.packages.get(*p) {
                None => true,
                Some(installed) => pinned.is_some_and(|wanted| !install::meets(installed, wanted)),
            }
        };
        let wanted: Vec<&String> = self.packages.iter().filter(wrong).collect();
        if self.repository == Repository::DockerCe {
            self.add_repository(readings, host, change, words)?;
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let there = |names: &[&str]| -> Vec<String> {
            let names = names.iter().filter(|p| !self.packages.iter().any(|w| w == *p));
            names.filter(|p| host.packages.contains_key(**p)).map(|p| (*p).to_owned()).collect()
        };
        let mut conflicting = there(CONFLICTING);
        if !conflicting.is_empty() {
            if !self.remove_conflicting {
                return Err(CheckError::refused(
                    format!("{} conflicts with {}", conflicting.join(", "), self.packages.join(", ")),
                    "`remove_conflicting = true` removes it, and podman and buildah where they need it"
                        .to_owned(),
                ));
            }
            conflicting.extend(there(NEIGHBOURS));
            for name in &conflicting {
                let version = host.packages.get(name).cloned();
                *change = std::mem::take(change).field(format!("package {name}"), version, Value::Absent);
            }
            words.push(format!("remove {}", conflicting.join(", ")));
            let script = RemoveConflicting { manager: host.manager.word(), packages: &conflicting }.script();
            let action = Action::new(format!("remove {}", conflicting.join(", ")), script).lasting();
            change.actions.push(action.timeout(Duration::from_mins(10)));
        }
        for name in &wanted {
            let version = self.version.as_ref().filter(|_| is_engine(name));
            let before = host.packages.get(*name).cloned();
            if before.is_some() && running > 0 {
                change.disrupts = Some(format!(
                    "replaces the engine: the {running} containers on this host stop meanwhile"
                ));
            }
            let after = version.map_or_else(|| "installed".to_owned(), Clone::clone);
            *change = std::mem::take(change).field(format!("package {name}"), before, after);
        }
        let names: Vec<_> = wanted.iter().map(|p| p.as_str()).collect();
        words.push(format!("install {}", names.join(", ")));
        // The version is of the engine and its command line alone.
        let (pinned, packages): (Vec<String>, Vec<String>) =
            wanted.iter().map(|p| (*p).clone()).partition(|p| self.version.is_some() && is_engine(p));
        let version = self.version.as_deref().filter(|_| !pinned.is_empty()).unwrap_or_default();
        let script =
            InstallDocker { manager: host.manager.word(), packages: &packages, pinned: &pinned, version }
                .script();
        let action = Action::new(format!("install {}", names.join(", ")), script).lasting();
        change.actions.push(action.timeout(Duration::from_mins(30)));
        Ok(())
    }

    fn add_repository(
        &self,
        readings: &Readings,
        host: &Host,
        change: &mut Change,
        words: &mut Vec<String>,
    ) -> Result<(), CheckError> {
        let (base, channel) = (&self.base_url, &self.channel);
        let action = if host.manager == Manager::Apt {
            let text = install::apt_repository(&host.os, &host.codename, base, channel, self.gpgcheck);
            let write = write_file(readings, change, APT_FILE, &text)?;
            if write.is_some() && self.gpgcheck {
                let key = format!("{base}/{}/gpg", host.os);
                let path = install::APT_KEY;
                let script = FetchDockerKey { url: &key, path, temporary: &put::temporary(path) }.script();
                change.actions.push(Action::new("fetch the key of the repository", script).lasting());
            }
            write
        } else {
            let text = install::yum_repository(&host.os, base, channel, self.gpgcheck);
            write_file(readings, change, YUM_FILE, &text)?
        };
        if let Some(action) = action {
            words.push("add its repository".into());
            change.actions.push(action);
        }
        Ok(())
    }

    /// Merges daemon.json; returns whether the engine must read it anew.
    fn configure(
        &self,
        readings: &Readings,
        change: &mut Change,
        words: &mut Vec<String>,
    ) -> Result<bool, CheckError> {
        if !self.has_daemon() {
            return Ok(false);
        }
        let file = path::read(readings, DAEMON_JSON, Depth::Content(CONTENT_LIMIT))?;
        let refuse = |why: String| {
            CheckError::refused(
                format!("{DAEMON_JSON} {why}"),
                "put it right, or move it away, by hand: it is never overwritten".to_owned(),
            )
        };
        let now: &[u8] = match (&file.kind, &file.content) {
            (FileKind::Absent, _) => b"",
            (FileKind::File, FileContent::Bytes(bytes)) => bytes,
            _ => return Err(refuse("is not a small file".into())),
        };
        let Merged { text: content, changed } =
            daemon_json::merge(now, &self.daemon, &self.daemon_absent).map_err(refuse)?;
        if changed.is_empty() {
            return Ok(false);
        }
        let text = |value: Option<serde_json::Value>| value.map_or(Value::Absent, |v| v.to_string().into());
        for (key, before, after) in changed {
            *change = std::mem::take(change).field(format!("daemon.json {key}"), text(before), text(after));
        }
        words.push("set daemon.json".into());
        // Only what is good is put there, and only then the engine has to be started anew, also by a later run.
        let check = format!(
            "if dockerd --help 2>&1 | grep -q -e --validate; then dockerd --validate --config-file %s || exit 1; fi; : >{RESTART_MARK}"
        );
        let bytes = Arc::from(content.as_bytes());
        let attributes = Attributes::default();
        let put = Put {
            backup: Backup::Last,
            make_folders: true,
            validate: Some((&check, "dockerd --validate")),
            made_from: Some(&file),
            ..Put::new(DAEMON_JSON, &bytes, &attributes)
        };
        change.actions.push(put.action("merge daemon.json"));
        change.expects.push((Resource::here(Kind::Path, DAEMON_JSON), written(&file, &content)));
        Ok(true)
    }
}

fn is_engine(package: &str) -> bool {
    matches!(package, "docker-ce" | "docker-ce-cli" | "docker.io" | "docker-ce-rootless-extras")
}

fn written(before: &FileState, content: &str) -> State {
    let base =
        if before.kind == FileKind::Absent { FileState::fresh(FileKind::File) } else { before.clone() };
    State::File(FileState {
        kind: FileKind::File,
        content: FileContent::Bytes(content.as_bytes().into()),
        ..base
    })
}

/// Writes a file of our own if it differs.
fn write_file(
    readings: &Readings,
    change: &mut Change,
    path: &str,
    text: &str,
) -> Result<Option<Action>, CheckError> {
    let file = path::read(readings, path, Depth::Content(CONTENT_LIMIT))?;
    let before = match (&file.kind, &file.content) {
        (FileKind::Absent, _) => Value::Absent,
        (FileKind::File, FileContent::Bytes(bytes)) if **bytes == *text.as_bytes() => return Ok(None),
        (FileKind::File, FileContent::Bytes(bytes)) => Value::Content(text::readable(bytes).0),
        _ => {
            return Err(CheckError::refused(
                format!("{path} is not a small file"),
                "move it away by hand".to_owned(),
            ));
        }
    };
    *change = std::mem::take(change)
        .field(path, before, Value::Content(text.to_owned()))
        .expect(Resource::here(Kind::Path, path), written(&file, text));
    let bytes = Arc::from(text.as_bytes());
    let attributes = Attributes::new(Some("0644"), None, None);
    let put =
        Put { backup: Backup::No, force: true, make_folders: true, ..Put::new(path, &bytes, &attributes) };
    Ok(Some(put.action(format!("write {path}"))))
}
