//! The mistakes in what a playbook says of a service that show without asking anybody.

use std::collections::BTreeSet;

use super::params::{
    DockerService, EndpointMode, FailureAction, ImagePolicy, Mode, Mount, MountKind, PublishMode, Refused,
    Short, octal,
};
use crate::step::Invalid;
use crate::step::family::docker::{Existence, good_name, image::Reference};

impl DockerService {
    /// All of them.
    pub(super) fn mistakes(&self) -> Vec<Invalid> {
        let mut invalid: Vec<Invalid> = good_name("name", &self.name).into_iter().collect();
        invalid.extend(self.refused());
        if self.state == Existence::Absent {
            return invalid;
        }
        match &self.image {
            None => invalid.push(Invalid::missing("image")),
            Some(image) => match Reference::parse(image) {
                None => invalid.push(
                    Invalid::new("image", format!("{image:?} is no reference of an image"))
                        .help("write it as \"redis:7.0.15\" or \"registry:5000/team/app:1.2\""),
                ),
                Some(r) if r.digest.is_some() && self.image_policy == ImagePolicy::Refresh => {
                    invalid.push(Invalid::new(
                        "image_policy",
                        "an image with a digest is always the same: there is nothing to refresh",
                    ));
                }
                Some(_) => {}
            },
        }
        self.check_mode(&mut invalid);
        self.check_mounts(&mut invalid);
        self.check_ports(&mut invalid);
        for (n, constraint) in self.constraints.iter().flatten().enumerate() {
            if !constraint.contains("==") && !constraint.contains("!=") {
                invalid.push(
                    Invalid::new(format!("constraints[{n}]"), format!("{constraint:?} is no constraint"))
                        .help("write it as \"node.labels.storage == nfs\" or with `!=`"),
                );
            }
        }
        for (n, preference) in self.preferences.iter().flatten().enumerate() {
            if !preference.starts_with("spread=node.") && !preference.starts_with("spread=engine.") {
                invalid.push(
                    Invalid::new(format!("preferences[{n}]"), format!("{preference:?} is no preference"))
                        .help("write it as \"spread=node.labels.dc\""),
                );
            }
        }
        for (key, list) in [("secrets", &self.secrets), ("configs", &self.configs)] {
            let mut targets = BTreeSet::new();
            for (n, Short(item)) in list.iter().flatten().enumerate() {
                let path = format!("{key}[{n}]");
                invalid.extend(good_name(&path, &item.name));
                if item.mode.as_deref().is_some_and(|m| octal(m).is_none()) {
                    invalid.push(Invalid::new(
                        format!("{path}.mode"),
                        "a mode in octal is wanted, such as \"0400\"",
                    ));
                }
                if !targets.insert(item.target.as_deref().unwrap_or(&item.name)) {
                    invalid.push(Invalid::new(path, "another one has the same target"));
                }
            }
        }
        if let Some(health) = &self.healthcheck
            && health.disable
            && health.test.is_some()
        {
            invalid.push(Invalid::new("healthcheck", "`disable` and `test` exclude each other"));
        }
        for (key, rollout) in [("update", &self.update), ("rollback", &self.rollback)] {
            let Some(rollout) = rollout else { continue };
            if rollout.max_failure_ratio.is_some_and(|r| !(0.0..=1.0).contains(&r)) {
                invalid
                    .push(Invalid::new(format!("{key}.max_failure_ratio"), "a number from 0 to 1 is wanted"));
            }
            if key == "rollback" && rollout.failure_action == Some(FailureAction::Rollback) {
                invalid.push(Invalid::new("rollback.failure_action", "there is no way back from a way back"));
            }
        }
        invalid
    }

    fn check_mode(&self, invalid: &mut Vec<Invalid>) {
        match self.mode {
            Mode::Global if self.replicas.is_some() => invalid.push(Invalid::new(
                "replicas",
                "a global service has one task on each node, and no `replicas`",
            )),
            Mode::Global if self.max_replicas_per_node.is_some() => invalid.push(Invalid::new(
                "max_replicas_per_node",
                "a global service has one task on each node, and no `max_replicas_per_node`",
            )),
            Mode::ReplicatedJob | Mode::GlobalJob => invalid.push(
                Invalid::new("mode", "a job runs once and ends: there is no state to be kept")
                    .help("run `docker service create --mode replicated-job` in a `command` step"),
            ),
            _ => {}
        }
        if self.endpoint_mode == Some(EndpointMode::Dnsrr)
            && self.ports.iter().flatten().any(|p| p.0.mode == PublishMode::Ingress)
        {
            invalid.push(
                Invalid::new(
                    "endpoint_mode",
                    "a port that every node forwards wants `endpoint_mode = \"vip\"`",
                )
                .help("publish it with `mode = \"host\"`, or leave `endpoint_mode` out"),
            );
        }
    }

    fn check_mounts(&self, invalid: &mut Vec<Invalid>) {
        let mut targets = BTreeSet::new();
        for (n, mount) in self.mounts.iter().flatten().enumerate() {
            let at = |key: &str| format!("mounts[{n}].{key}");
            invalid.extend(refused_of_mount(n, mount));
            if matches!(mount.kind, MountKind::Npipe | MountKind::Cluster | MountKind::Image) {
                continue;
            }
            if !mount.target.starts_with('/') {
                invalid
                    .push(Invalid::new(at("target"), format!("{:?} is not an absolute path", mount.target)));
            }
            if !targets.insert(mount.target.trim_end_matches('/')) {
                invalid.push(Invalid::new(at("target"), "another mount has the same target"));
            }
            let source = mount.source.as_deref().unwrap_or_default();
            match mount.kind {
                MountKind::Bind if !source.starts_with('/') => invalid.push(Invalid::new(
                    at("source"),
                    "a bind mount wants an absolute path of the node as `source`",
                )),
                MountKind::Volume if source.starts_with('/') => invalid.push(
                    Invalid::new(at("source"), format!("{source:?} is a path, not the name of a volume"))
                        .help("set `type = \"bind\"`"),
                ),
                MountKind::Tmpfs if !source.is_empty() => {
                    invalid.push(Invalid::new(at("source"), "memory has no `source`"));
                }
                _ => {}
            }
            let belongs = [
                ("propagation", mount.propagation.is_some(), MountKind::Bind),
                ("non_recursive", mount.non_recursive, MountKind::Bind),
                ("no_copy", mount.no_copy, MountKind::Volume),
                ("driver", mount.driver.is_some(), MountKind::Volume),
                ("driver_options", mount.driver_options.is_some(), MountKind::Volume),
                ("labels", mount.labels.is_some(), MountKind::Volume),
                ("size", mount.size.is_some(), MountKind::Tmpfs),
                ("mode", mount.mode.is_some(), MountKind::Tmpfs),
            ];
            for (key, _, kind) in belongs.into_iter().filter(|(_, set, kind)| *set && *kind != mount.kind) {
                let word = format!("{kind:?}").to_lowercase();
                invalid.push(Invalid::new(at(key), format!("`{key}` goes with `type = \"{word}\"`")));
            }
            if mount.mode.as_deref().is_some_and(|m| octal(m).is_none()) {
                invalid.push(Invalid::new(at("mode"), "a mode in octal is wanted, such as \"1777\""));
            }
        }
    }

    fn check_ports(&self, invalid: &mut Vec<Invalid>) {
        let mut published = BTreeSet::new();
        for (n, Short(port)) in self.ports.iter().flatten().enumerate() {
            if port.target == 0 || port.published == Some(0) {
                invalid.push(
                    Invalid::new(format!("ports[{n}]"), "0 is no port")
                        .help("leave `published` out to let Docker choose one"),
                );
            }
            if let Some(p) = port.published
                && !published.insert((p, port.protocol.word()))
            {
                invalid.push(Invalid::new(format!("ports[{n}]"), format!("port {p} is published twice")));
            }
        }
    }

    fn refused(&self) -> Vec<Invalid> {
        let table: [(&str, &Option<Refused>, &str, Option<&str>); 12] = [
            ("isolation", &self.isolation, "is for Windows containers", None),
            ("credential_spec", &self.credential_spec, "is for Windows containers", None),
            (
                "env_file",
                &self.env_file,
                "is read by the command line alone",
                Some("write the variables into `env`"),
            ),
            ("max_concurrent", &self.max_concurrent, "is for jobs, which end", None),
            ("memory_swap", &self.memory_swap, "is unknown to the engines that are supported", None),
            (
                "memory_swappiness",
                &self.memory_swappiness,
                "is unknown to the engines that are supported",
                None,
            ),
            ("oom_score_adj", &self.oom_score_adj, "is unknown to the engines that are supported", None),
            (
                "detach",
                &self.detach,
                "is called `wait` here",
                Some("`wait = false` does not wait for the tasks"),
            ),
            ("quiet", &self.quiet, "has no meaning here: nothing is printed", None),
            (
                "with_registry_auth",
                &self.with_registry_auth,
                "would send what some user of the host is logged in with",
                Some("give `registry_auth = { username, password }`, from a secret"),
            ),
            (
                "no_resolve_image",
                &self.no_resolve_image,
                "is one of the values of `image_policy`",
                Some("set `image_policy = \"tag\"`"),
            ),
            (
                "no_healthcheck",
                &self.no_healthcheck,
                "is a key of `healthcheck`",
                Some("set `healthcheck = { disable = true }`"),
            ),
        ];
        table
            .into_iter()
            .filter(|row| row.1.is_some())
            .map(|(key, _, why, help)| refusal(key, key, why, help))
            .collect()
    }
}

fn refusal(path: impl Into<String>, key: &str, why: &str, help: Option<&str>) -> Invalid {
    let one = Invalid::new(path, format!("`{key}` {why}"));
    match help {
        Some(help) => one.help(help),
        None => one,
    }
}

/// What `--mount` takes and a step does not.
fn refused_of_mount(n: usize, mount: &Mount) -> Vec<Invalid> {
    let kind = match mount.kind {
        MountKind::Npipe => Some("is a pipe of Windows"),
        MountKind::Cluster => Some("is a volume of a CSI plugin, which this kind does not know"),
        MountKind::Image => Some("is unknown to the engines that are supported"),
        MountKind::Volume | MountKind::Bind | MountKind::Tmpfs => None,
    };
    let word = format!("{:?}", mount.kind).to_lowercase();
    let kind = kind.map(|why| {
        refusal(
            format!("mounts[{n}].type"),
            &format!("type = \"{word}\""),
            why,
            Some("use \"volume\", \"bind\" or \"tmpfs\""),
        )
    });
    let keys: [(&str, &Option<Refused>, &str, Option<&str>); 3] = [
        (
            "subpath",
            &mount.subpath,
            "is unknown to the engines that are supported",
            Some("make a `docker_volume` of the directory, or bind it"),
        ),
        (
            "recursive",
            &mount.recursive,
            "is unknown to the engines that are supported",
            Some("`non_recursive = true` leaves out what is mounted below the source"),
        ),
        (
            "create_source",
            &mount.create_source,
            "would make a missing directory on whatever node the task comes to",
            Some("make it with a `directory` step"),
        ),
    ];
    let keys = keys.into_iter().filter(|row| row.1.is_some());
    kind.into_iter()
        .chain(keys.map(|(key, _, why, help)| refusal(format!("mounts[{n}].{key}"), key, why, help)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    /// The flags of `docker service create` (Docker 29), and the key for each: `a.b` in a table, `a[].b` in an array of
    /// tables, `!` before one that is refused. `--help` has them; `image` and `args` are no flags.
    const FLAGS: &str = "
        cap-add=cap_add cap-drop=cap_drop config=configs constraint=constraints container-label=container_labels
        credential-spec=!credential_spec detach=!detach dns=dns dns-option=dns_options dns-search=dns_search
        endpoint-mode=endpoint_mode entrypoint=entrypoint env=env env-file=!env_file
        generic-resource=reservations.generic group=groups health-cmd=healthcheck.test
        health-interval=healthcheck.interval health-retries=healthcheck.retries
        health-start-interval=healthcheck.start_interval health-start-period=healthcheck.start_period
        health-timeout=healthcheck.timeout host=hosts hostname=hostname init=init isolation=!isolation label=labels
        limit-cpu=limits.cpus limit-memory=limits.memory limit-pids=limits.pids log-driver=log.driver
        log-opt=log.options max-concurrent=!max_concurrent memory-swap=!memory_swap
        memory-swappiness=!memory_swappiness mode=mode mount=mounts name=name network=networks
        no-healthcheck=!no_healthcheck no-resolve-image=!no_resolve_image oom-score-adj=!oom_score_adj
        placement-pref=preferences publish=ports quiet=!quiet read-only=read_only replicas=replicas
        replicas-max-per-node=max_replicas_per_node reserve-cpu=reservations.cpus reserve-memory=reservations.memory
        restart-condition=restart.condition restart-delay=restart.delay restart-max-attempts=restart.max_attempts
        restart-window=restart.window rollback-delay=rollback.delay rollback-failure-action=rollback.failure_action
        rollback-max-failure-ratio=rollback.max_failure_ratio rollback-monitor=rollback.monitor
        rollback-order=rollback.order rollback-parallelism=rollback.parallelism secret=secrets
        stop-grace-period=stop_grace_period stop-signal=stop_signal sysctl=sysctls tty=tty ulimit=ulimits
        update-delay=update.delay update-failure-action=update.failure_action
        update-max-failure-ratio=update.max_failure_ratio update-monitor=update.monitor update-order=update.order
        update-parallelism=update.parallelism user=user with-registry-auth=!with_registry_auth workdir=dir";

    /// As [`FLAGS`], of `--mount`, `--publish`, `--network`, `--secret` and `--config`.
    const OPTIONS: &str = "
        mount.type=mounts[].type mount.source=mounts[].source mount.target=mounts[].target
        mount.readonly=mounts[].read_only mount.consistency=mounts[].consistency
        mount.bind-propagation=mounts[].propagation mount.bind-nonrecursive=mounts[].non_recursive
        mount.bind-recursive=!mounts[].recursive mount.bind-create-src=!mounts[].create_source
        mount.volume-driver=mounts[].driver mount.volume-label=mounts[].labels mount.volume-nocopy=mounts[].no_copy
        mount.volume-opt=mounts[].driver_options mount.volume-subpath=!mounts[].subpath
        mount.tmpfs-size=mounts[].size mount.tmpfs-mode=mounts[].mode mount.image-subpath=!mounts[].subpath
        publish.target=ports[].target publish.published=ports[].published publish.protocol=ports[].protocol
        publish.mode=ports[].mode network.name=networks[].name network.alias=networks[].aliases
        network.driver-opt=networks[].driver_options secret.source=secrets[].name secret.target=secrets[].target
        secret.uid=secrets[].uid secret.gid=secrets[].gid secret.mode=secrets[].mode config.source=configs[].name
        config.target=configs[].target config.uid=configs[].uid config.gid=configs[].gid config.mode=configs[].mode";

    /// Keys that are no flag: what the step is about, and how it goes about it.
    const OWN: [&str; 8] =
        ["image", "args", "image_policy", "registry_auth", "state", "strict", "wait", "converge_timeout"];

    /// A service in which `path` is set to `value`, and nothing else that is not needed.
    fn with(path: &str, value: Value) -> Value {
        let mut service = json!({ "name": "x", "image": "x:1" });
        if let Some((list, key)) = path.split_once("[].") {
            let mut item = match list {
                "mounts" | "ports" => {
                    json!({ "target": if list == "ports" { json!(1) } else { json!("/x") } })
                }
                _ => json!({ "name": "x" }),
            };
            item[key] = value;
            service[list] = json!([item]);
        } else if let Some((table, key)) = path.split_once('.') {
            service[table] = json!({ key: value });
        } else {
            service[path] = value;
        }
        service
    }

    /// The keys that are taken where `path` is, as the refusal of one that never is has them.
    fn taken(path: &str) -> Vec<String> {
        let other = match path.rsplit_once('.') {
            Some((front, _)) => format!("{front}.no-such-key"),
            None => "no-such-key".to_owned(),
        };
        let said = serde_json::from_value::<DockerService>(with(&other, json!(1))).unwrap_err().to_string();
        assert!(said.contains("unknown field `no-such-key`"), "{path}: {said}");
        said.split('`').skip(3).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn each_flag_of_the_command_line_has_a_key_or_is_refused_by_name() {
        let mut known: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in FLAGS.split_whitespace().chain(OPTIONS.split_whitespace()) {
            let (flag, path) = entry.split_once('=').unwrap();
            let (refused, path) = path.strip_prefix('!').map_or((false, path), |path| (true, path));
            let (front, key) = path.rsplit_once('.').unwrap_or(("", path));
            assert!(taken(path).iter().any(|k| k == key), "--{flag}: no key {path}");
            known.entry(front.to_owned()).or_default().push(key.to_owned());
            if refused {
                let service: DockerService = serde_json::from_value(with(path, json!(true))).unwrap();
                let named = format!("`{key}` ");
                let mistakes = service.mistakes();
                assert!(mistakes.iter().any(|m| m.message.starts_with(&named)), "--{flag}: {mistakes:?}");
            }
        }
        // And the other way round: no key is left over, of which this list would not know.
        known.entry(String::new()).or_default().extend(OWN.map(str::to_owned));
        for table in ["healthcheck", "limits", "reservations", "restart", "update", "rollback", "log"] {
            known.entry(String::new()).or_default().push(table.to_owned());
        }
        known.entry("healthcheck".to_owned()).or_default().push("disable".to_owned());
        for (front, keys) in &known {
            let path = if front.is_empty() { "x".to_owned() } else { format!("{front}.x") };
            for key in taken(&path) {
                assert!(keys.contains(&key), "{front} {key} belongs to no flag");
            }
        }
    }

    #[test]
    fn each_type_of_mount_and_mode_is_known_or_refused_by_name() {
        for (path, value, refused) in [
            ("mounts[].type", "volume", false),
            ("mounts[].type", "tmpfs", false),
            ("mounts[].type", "npipe", true),
            ("mounts[].type", "cluster", true),
            ("mounts[].type", "image", true),
            ("mode", "replicated", false),
            ("mode", "global", false),
            ("mode", "replicated-job", true),
            ("mode", "global-job", true),
        ] {
            let service: DockerService = serde_json::from_value(with(path, json!(value))).unwrap();
            assert_eq!(!service.mistakes().is_empty(), refused, "{value}: {:?}", service.mistakes());
        }
    }
}
