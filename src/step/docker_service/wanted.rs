//! From a playbook's keys to the engine's `ServiceSpec` (Engine API 1.41), and the comparison with a live one.

#![expect(clippy::items_after_statements, reason = "the form of a key stands beside its only use")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::params::{
    Condition, DockerService, EndpointMode, FailureAction, FileRef, Health, Log, Mode, Mount, MountKind,
    Network, Order, Port, Protocol, PublishMode, Rollout, Short, Ulimit, octal,
};
use crate::step::Value;
use crate::step::family::docker::image::Reference;
use crate::step::family::docker::json::{at, env_map, items, number_at, text_at, text_map, texts};
use crate::step::family::docker::spec::{
    self, BYTES, Differ, Effect, FLAG, Form, LIST, NANOS, NUMBER, PATH, RATIO, SET, SIGNAL, TABLE, TEXT,
};

/// What names in a playbook stand for in the swarm.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Networks by id.
    pub(super) networks: BTreeMap<String, String>,
    /// The id and versioned name of each secret; no id where it is not there yet.
    pub(super) secrets: BTreeMap<String, (String, String)>,
    /// As `secrets`, for configs.
    pub(super) configs: BTreeMap<String, (String, String)>,
    /// The digest that the registry has for the image, where it was asked.
    pub(super) digest: Option<String>,
}

/// Put behind the image where the host is to put its digest.
pub(super) const DIGEST_MARK: &str = "@hostwright-digest";
/// Put where the host is to put the platforms of the image.
pub(super) const PLATFORMS_MARK: &str = "hostwright-platforms";

const CONTAINER: &str = "TaskTemplate/ContainerSpec";
const PLATFORMS: &str = "TaskTemplate/Placement/Platforms";

/// The specification of a service of which nothing is said.
pub(super) fn base(name: &str, mode: Mode) -> Json {
    let mode = match mode {
        Mode::Global => json!({ "Global": {} }),
        _ => json!({ "Replicated": { "Replicas": 1 } }),
    };
    json!({ "Name": name, "TaskTemplate": { "ContainerSpec": {} }, "Mode": mode, "EndpointSpec": { "Mode": "vip" } })
}

/// `image` as the registry's API wants it: with a tag.
pub(super) fn tagged(image: &str) -> String {
    match Reference::parse(image) {
        Some(r) if r.digest.is_none() && r.floats() && !image.ends_with(":latest") => {
            format!("{image}:latest")
        }
        _ => image.to_owned(),
    }
}

fn ns(duration: Option<Duration>) -> Option<Json> {
    duration.map(|d| json!(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
}

fn table(map: &BTreeMap<String, String>) -> Json {
    map.iter().map(|(k, v)| (k.clone(), Json::from(v.as_str()))).collect::<serde_json::Map<_, _>>().into()
}

/// Compares everything that the playbook says with what `differ` starts from.
pub(super) fn compare(wanted: &DockerService, names: &Names, differ: &mut Differ) {
    container(wanted, names, differ);
    health(wanted.healthcheck.as_ref(), differ);
    network(wanted, names, differ);
    resources(wanted, differ);
    policies(wanted, differ);
    placement(wanted, differ);
    let live = without_stack(at_live(differ, "Labels"));
    if differ.map("label", wanted.labels.as_ref().map(|l| &l.0), &live, Effect::None) {
        let labels = with_stack(wanted.labels.as_ref().map(|l| &l.0), differ.live("Labels"));
        differ.set("Labels", labels);
    }
    if wanted.mode != Mode::Global {
        let replicas = wanted.replicas.map(|n| json!(n));
        const REPLICAS: Form = Form { normal: |v| v.as_u64().unwrap_or(1).into(), show: spec::text };
        differ.key("replicas", "Mode/Replicated/Replicas", replicas, REPLICAS, Effect::None);
    }
}

fn at_live(differ: &Differ, path: &str) -> BTreeMap<String, String> {
    text_map(differ.live(path))
}

/// Labels that `docker stack deploy` keeps for itself belong to it.
fn without_stack(mut labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels.retain(|k, _| !k.starts_with("com.docker.stack."));
    labels
}

fn with_stack(wanted: Option<&BTreeMap<String, String>>, live: &Json) -> Json {
    let mut labels = text_map(live);
    labels.retain(|k, _| k.starts_with("com.docker.stack."));
    labels.extend(wanted.into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
    table(&labels)
}

fn container(wanted: &DockerService, names: &Names, differ: &mut Differ) {
    image(wanted, names, differ);
    let key = |differ: &mut Differ, name, path: &str, value: Option<Json>, form| {
        differ.key(name, &format!("{CONTAINER}/{path}"), value, form, Effect::Restart);
    };
    let text = |value: &Option<String>| value.as_ref().map(|v| json!(v));
    let list = |value: &Option<Vec<String>>| value.as_ref().map(|v| json!(v));
    key(differ, "entrypoint", "Command", list(&wanted.entrypoint), LIST);
    key(differ, "args", "Args", list(&wanted.args), LIST);
    let live = env_map(differ.live(&format!("{CONTAINER}/Env")));
    if differ.map("env", wanted.env.as_ref().map(|e| &e.0), &live, Effect::Restart) {
        let env: Vec<String> =
            wanted.env.iter().flat_map(|e| &e.0).map(|(k, v)| format!("{k}={v}")).collect();
        differ.set(&format!("{CONTAINER}/Env"), json!(env));
    }
    let live = without_stack(at_live(differ, &format!("{CONTAINER}/Labels")));
    if differ.map("container label", wanted.container_labels.as_ref().map(|l| &l.0), &live, Effect::Restart) {
        let labels = with_stack(
            wanted.container_labels.as_ref().map(|l| &l.0),
            differ.live(&format!("{CONTAINER}/Labels")),
        );
        differ.set(&format!("{CONTAINER}/Labels"), labels);
    }
    let mounts = wanted.mounts.as_ref().map(|mounts| mounts.iter().map(mount).collect());
    key(differ, "mounts", "Mounts", mounts, MOUNTS);
    let refs =
        |list: &Option<Vec<Short<FileRef>>>, ids: &BTreeMap<String, (String, String)>, id_key, name_key| {
            list.as_ref()
                .map(|list| list.iter().map(|Short(f)| file_ref(f, ids, id_key, name_key)).collect::<Json>())
        };
    key(differ, "secrets", "Secrets", refs(&wanted.secrets, &names.secrets, "SecretID", "SecretName"), FILES);
    key(differ, "configs", "Configs", refs(&wanted.configs, &names.configs, "ConfigID", "ConfigName"), FILES);
    key(differ, "hostname", "Hostname", text(&wanted.hostname), TEXT);
    key(differ, "user", "User", text(&wanted.user), TEXT);
    key(differ, "groups", "Groups", list(&wanted.groups), SET);
    key(differ, "dir", "Dir", text(&wanted.dir), PATH);
    const GRACE: Form = Form { normal: |v| v.as_u64().unwrap_or(10_000_000_000).into(), show: spec::nanos };
    key(differ, "stop_grace_period", "StopGracePeriod", ns(wanted.stop_grace_period), GRACE);
    key(differ, "stop_signal", "StopSignal", text(&wanted.stop_signal), SIGNAL);
    key(differ, "init", "Init", wanted.init.map(Json::from), FLAG);
    key(differ, "tty", "TTY", wanted.tty.map(Json::from), FLAG);
    key(differ, "read_only", "ReadOnly", wanted.read_only.map(Json::from), FLAG);
    key(differ, "dns", "DNSConfig/Nameservers", list(&wanted.dns), LIST);
    key(differ, "dns_search", "DNSConfig/Search", list(&wanted.dns_search), LIST);
    key(differ, "dns_options", "DNSConfig/Options", list(&wanted.dns_options), SET);
    // The engine has the lines of /etc/hosts: the address first.
    let hosts =
        wanted.hosts.as_ref().map(|h| h.0.iter().map(|(name, ip)| format!("{ip} {name}")).collect::<Json>());
    key(differ, "hosts", "Hosts", hosts, HOSTS);
    key(differ, "cap_add", "CapabilityAdd", list(&wanted.cap_add).map(|c| capabilities(&c)), CAPABILITIES);
    key(differ, "cap_drop", "CapabilityDrop", list(&wanted.cap_drop).map(|c| capabilities(&c)), CAPABILITIES);
    let live = at_live(differ, &format!("{CONTAINER}/Sysctls"));
    if differ.map("sysctl", wanted.sysctls.as_ref().map(|s| &s.0), &live, Effect::Restart) {
        differ
            .set(&format!("{CONTAINER}/Sysctls"), wanted.sysctls.as_ref().map_or(json!({}), |s| table(&s.0)));
    }
    let ulimits = wanted.ulimits.as_ref().map(|limits| {
        limits
            .iter()
            .map(|(name, Ulimit { soft, hard })| json!({ "Name": name, "Soft": soft, "Hard": hard }))
            .collect()
    });
    key(differ, "ulimits", "Ulimits", ulimits, ULIMITS);
}

/// The engine keeps `redis:7.0.15@sha256:...` once somebody looked the digest up; that is no difference to
/// `redis:7.0.15`.
fn image(wanted: &DockerService, names: &Names, differ: &mut Differ) {
    let Some(image) = &wanted.image else { return };
    let path = format!("{CONTAINER}/Image");
    let live = differ.live(&path).as_str().unwrap_or_default().to_owned();
    let parsed = Reference::parse(image);
    let resolve = wanted.resolves();
    let same = match (&parsed, Reference::parse(&live)) {
        (Some(wanted), Some(mut live)) => {
            let digest = if wanted.digest.is_none() { live.digest.take() } else { None };
            let tag = live.tag.clone().or_else(|| Some("latest".into()));
            wanted.repository == live.repository
                && wanted.digest == live.digest
                && (wanted.digest.is_some() || wanted.tag == tag)
                && (names.digest.is_none() || names.digest == digest)
        }
        _ => false,
    };
    if same {
        return;
    }
    let tagged = tagged(image);
    let digest = names.digest.as_deref().map_or_else(String::new, |d| format!("@{d}"));
    let before = if live.is_empty() { Value::Absent } else { Value::Text(short_digest(&live)) };
    differ.push(
        "image".into(),
        before,
        Value::Text(short_digest(&format!("{image}{digest}"))),
        Effect::Restart,
    );
    let mark = if resolve { DIGEST_MARK } else { "" };
    differ.set(&path, json!(format!("{tagged}{mark}")));
    if resolve {
        differ.set(PLATFORMS, json!([PLATFORMS_MARK]));
    } else {
        differ.set(PLATFORMS, Json::Null);
    }
}

/// Twelve digits of a digest tell people enough.
pub(super) fn short_digest(image: &str) -> String {
    match image.split_once("@sha256:") {
        Some((name, digest)) => format!("{name}@sha256:{}", digest.get(..12).unwrap_or(digest)),
        None => image.to_owned(),
    }
}

fn mount(mount: &Mount) -> Json {
    let kind = match mount.kind {
        MountKind::Volume => "volume",
        MountKind::Bind => "bind",
        MountKind::Tmpfs => "tmpfs",
        MountKind::Npipe => "npipe",
        MountKind::Cluster => "cluster",
        MountKind::Image => "image",
    };
    let mut out = json!({ "Type": kind, "Target": mount.target });
    spec::set(&mut out, "Source", mount.source.as_ref().map_or(Json::Null, |s| json!(s)));
    if mount.read_only {
        spec::set(&mut out, "ReadOnly", json!(true));
    }
    if let Some(propagation) = &mount.propagation {
        spec::set(&mut out, "BindOptions/Propagation", json!(propagation));
    }
    if mount.non_recursive {
        spec::set(&mut out, "BindOptions/NonRecursive", json!(true));
    }
    if mount.no_copy {
        spec::set(&mut out, "VolumeOptions/NoCopy", json!(true));
    }
    if let Some(labels) = &mount.labels {
        spec::set(&mut out, "VolumeOptions/Labels", table(&labels.0));
    }
    if mount.driver.is_some() || mount.driver_options.is_some() {
        spec::set(
            &mut out,
            "VolumeOptions/DriverConfig/Name",
            json!(mount.driver.as_deref().unwrap_or("local")),
        );
    }
    if let Some(options) = &mount.driver_options {
        spec::set(&mut out, "VolumeOptions/DriverConfig/Options", table(&options.0));
    }
    if let Some(size) = mount.size {
        spec::set(&mut out, "TmpfsOptions/SizeBytes", json!(size.0));
    }
    if let Some(mode) = mount.mode.as_deref().and_then(octal) {
        spec::set(&mut out, "TmpfsOptions/Mode", json!(mode));
    }
    if let Some(consistency) = &mount.consistency {
        spec::set(&mut out, "Consistency", json!(consistency));
    }
    out
}

/// Mounts by their targets.
const MOUNTS: Form = Form {
    normal: |v| {
        sorted(v, "Target", |mount| {
            for key in ["Source", "Target"] {
                if let Some(path) = mount.get(key).and_then(Json::as_str) {
                    mount[key] = json!(spec::clean_path(path));
                }
            }
            let default = [
                ("BindOptions/Propagation", "rprivate"),
                ("VolumeOptions/DriverConfig/Name", "local"),
                ("Consistency", "default"),
            ];
            for (path, value) in default {
                if at(mount, path) == value {
                    spec::set(mount, path, Json::Null);
                }
            }
        })
    },
    show: |v| {
        shown(v, |m| {
            let source = m["Source"].as_str().map_or_else(|| text_at(m, "Type").to_owned(), str::to_owned);
            let mut rest = m.clone();
            for key in ["Source", "Target", "Type", "ReadOnly"] {
                spec::set(&mut rest, key, Json::Null);
            }
            let read_only = if m["ReadOnly"] == true { " (read-only)" } else { "" };
            let rest = spec::text(&rest);
            let rest = if rest.is_empty() { rest } else { format!(" [{rest}]") };
            format!("{source} on {}{read_only}{rest}", text_at(m, "Target"))
        })
    },
};

fn file_ref(file: &FileRef, ids: &BTreeMap<String, (String, String)>, id_key: &str, name_key: &str) -> Json {
    let (id, name) = ids.get(&file.name).cloned().unwrap_or_default();
    let target = file.target.clone().unwrap_or_else(|| {
        // As the command line does: a secret lies in /run/secrets, a config in the root.
        if name_key == "ConfigName" { format!("/{}", file.name) } else { file.name.clone() }
    });
    let mode = file.mode.as_deref().and_then(octal).unwrap_or(0o444);
    json!({
        id_key: id,
        name_key: name,
        "File": {
            "Name": target,
            "UID": file.uid.as_deref().unwrap_or("0"),
            "GID": file.gid.as_deref().unwrap_or("0"),
            "Mode": mode,
        },
    })
}

/// Secrets and configs by their targets.
const FILES: Form = Form {
    normal: |v| sorted(v, "File/Name", |_| {}),
    show: |v| {
        shown(v, |f| {
            let text = |path: &str| text_at(f, path).to_owned();
            let name = f
                .get("SecretName")
                .or_else(|| f.get("ConfigName"))
                .and_then(Json::as_str)
                .unwrap_or_default();
            let owner = match (text("File/UID"), text("File/GID")) {
                (uid, gid) if uid == "0" && gid == "0" => String::new(),
                (uid, gid) => format!(" {uid}:{gid}"),
            };
            let mode = match at(f, "File/Mode").as_u64() {
                Some(0o444) | None => String::new(),
                Some(mode) => format!(" {mode:04o}"),
            };
            format!("{name} at {}{owner}{mode}", text("File/Name"))
        })
    },
};

/// Each item without what is empty, put right by `normal`, in the order of its `key`.
fn sorted(list: &Json, key: &str, normal: fn(&mut Json)) -> Json {
    let mut items: Vec<Json> = items(list).cloned().collect();
    for item in &mut items {
        normal(item);
        *item = spec::pruned(item);
    }
    items.sort_by_cached_key(|item| at(item, key).to_string());
    items.into()
}

fn shown(list: &Json, one: fn(&Json) -> String) -> String {
    items(list).map(one).collect::<Vec<_>>().join(", ")
}

const HOSTS: Form = Form {
    normal: |v| {
        let mut lines: Vec<String> = texts(v)
            .flat_map(|line| {
                let mut words = line.split_whitespace();
                let ip = words.next().unwrap_or_default();
                words.map(move |name| format!("{name}={ip}"))
            })
            .collect();
        lines.sort();
        json!(lines)
    },
    show: spec::text,
};

fn capabilities(list: &Json) -> Json {
    let name = |c: &str| {
        let c = c.to_uppercase();
        if c == "ALL" || c.starts_with("CAP_") { c } else { format!("CAP_{c}") }
    };
    texts(list).map(name).collect()
}

const CAPABILITIES: Form = Form { normal: |v| (SET.normal)(&capabilities(v)), show: spec::text };

const ULIMITS: Form = Form {
    normal: |v| sorted(v, "Name", |_| {}),
    show: |v| {
        shown(v, |u| {
            let n = |key: &str| u.get(key).map_or("0".into(), Json::to_string);
            format!("{} {}:{}", text_at(u, "Name"), n("Soft"), n("Hard"))
        })
    },
};

fn health(wanted: Option<&Health>, differ: &mut Differ) {
    let path = |key: &str| format!("{CONTAINER}/Healthcheck/{key}");
    let disable = wanted.is_some_and(|h| h.disable);
    let test = if disable {
        Some(json!(["NONE"]))
    } else {
        wanted.and_then(|h| h.test.as_ref()).map(|t| json!(t.0))
    };
    let get = |f: fn(&Health) -> Option<Duration>| ns(wanted.and_then(f));
    differ.key("healthcheck.test", &path("Test"), test, LIST, Effect::Restart);
    for (name, key, value) in [
        ("healthcheck.interval", "Interval", get(|h| h.interval)),
        ("healthcheck.timeout", "Timeout", get(|h| h.timeout)),
        ("healthcheck.start_period", "StartPeriod", get(|h| h.start_period)),
        ("healthcheck.start_interval", "StartInterval", get(|h| h.start_interval)),
    ] {
        differ.key(name, &path(key), value, NANOS, Effect::Restart);
    }
    let retries = wanted.and_then(|h| h.retries).map(Json::from);
    differ.key("healthcheck.retries", &path("Retries"), retries, NUMBER, Effect::Restart);
}

fn network(wanted: &DockerService, names: &Names, differ: &mut Differ) {
    let path = "TaskTemplate/Networks";
    // Before Engine 1.13 they were outside the template; the engine still reads them there.
    let live = match differ.live(path) {
        Json::Null => differ.live("Networks").clone(),
        live => live.clone(),
    };
    let by_name = |list: &Json| {
        let translated: Json = items(list)
            .map(|n| {
                let mut n = n.clone();
                if let Some(name) = n["Target"].as_str().and_then(|id| names.networks.get(id)) {
                    n["Target"] = json!(name);
                }
                n
            })
            .collect();
        sorted(&translated, "Target", |n| {
            let aliases = (SET.normal)(&n["Aliases"]);
            n["Aliases"] = aliases;
        })
    };
    let live = by_name(&live);
    let target = match &wanted.networks {
        Some(networks) => networks.iter().map(|Short(n)| network_ref(n)).collect(),
        None if wanted.strict => json!([]),
        None => {
            if live != json!([]) {
                differ.unmanaged.push("networks");
            }
            Json::Null
        }
    };
    if !target.is_null() && by_name(&target) != live {
        let show = |list: &Json| {
            let text = shown(list, |n| {
                let aliases =
                    n.get("Aliases").map(|a| format!(" (as {})", spec::text(a))).unwrap_or_default();
                format!("{}{aliases}", text_at(n, "Target"))
            });
            if text.is_empty() { Value::Absent } else { Value::Text(text) }
        };
        differ.push("networks".into(), show(&live), show(&by_name(&target)), Effect::Restart);
        differ.set(path, target);
        differ.set("Networks", Json::Null);
    }
    let mode = wanted.endpoint_mode.map(|m| match m {
        EndpointMode::Vip => json!("vip"),
        EndpointMode::Dnsrr => json!("dnsrr"),
    });
    const ENDPOINT: Form = Form { normal: |v| v.as_str().unwrap_or("vip").into(), show: spec::text };
    differ.key("endpoint_mode", "EndpointSpec/Mode", mode, ENDPOINT, Effect::Restart);
    let ports = wanted.ports.as_ref().map(|ports| ports.iter().map(|Short(p)| port(p)).collect());
    differ.key("ports", "EndpointSpec/Ports", ports, PORTS, Effect::Restart);
}

fn network_ref(network: &Network) -> Json {
    let mut out = json!({ "Target": network.name });
    if !network.aliases.is_empty() {
        out["Aliases"] = json!(network.aliases);
    }
    if let Some(options) = &network.driver_options {
        out["DriverOpts"] = table(&options.0);
    }
    out
}

fn port(port: &Port) -> Json {
    let mode = match port.mode {
        PublishMode::Ingress => "ingress",
        PublishMode::Host => "host",
    };
    let mut out = json!({ "Protocol": port.protocol.word(), "TargetPort": port.target, "PublishMode": mode });
    if let Some(published) = port.published {
        out["PublishedPort"] = json!(published);
    }
    out
}

const PORTS: Form = Form {
    normal: |v| {
        let mut ports: Vec<String> = items(v)
            .map(|p| {
                let published =
                    p["PublishedPort"].as_u64().filter(|n| *n > 0).map_or("any".into(), |n| n.to_string());
                let target = number_at(p, "TargetPort");
                let protocol = p["Protocol"].as_str().unwrap_or("tcp");
                let host = if p["PublishMode"] == "host" { " on its node" } else { "" };
                format!("{published}:{target}/{protocol}{host}")
            })
            .collect();
        ports.sort();
        json!(ports)
    },
    show: spec::text,
};

fn resources(wanted: &DockerService, differ: &mut Differ) {
    const CPUS: Form = Form {
        normal: NUMBER.normal,
        show: |v| {
            let n = v.as_u64().unwrap_or_default();
            let text = format!("{}.{:09}", n / 1_000_000_000, n % 1_000_000_000);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        },
    };
    let path = |key: &str| format!("TaskTemplate/Resources/{key}");
    let limits = wanted.limits.as_ref();
    let reserved = wanted.reservations.as_ref();
    let cpus = limits.and_then(|l| l.cpus).map(|c| json!(c.0));
    differ.key("limits.cpus", &path("Limits/NanoCPUs"), cpus, CPUS, Effect::Restart);
    let memory = limits.and_then(|l| l.memory).map(|b| json!(b.0));
    differ.key("limits.memory", &path("Limits/MemoryBytes"), memory, BYTES, Effect::Restart);
    let pids = limits.and_then(|l| l.pids).map(|p| json!(p));
    differ.key("limits.pids", &path("Limits/Pids"), pids, NUMBER, Effect::Restart);
    let cpus = reserved.and_then(|l| l.cpus).map(|c| json!(c.0));
    differ.key("reservations.cpus", &path("Reservations/NanoCPUs"), cpus, CPUS, Effect::Restart);
    let memory = reserved.and_then(|l| l.memory).map(|b| json!(b.0));
    differ.key("reservations.memory", &path("Reservations/MemoryBytes"), memory, BYTES, Effect::Restart);
    const GENERIC: Form = Form {
        normal: |v| sorted(v, "DiscreteResourceSpec/Kind", |_| {}),
        show: |v| {
            shown(v, |g| {
                let spec = g.get("DiscreteResourceSpec").or_else(|| g.get("NamedResourceSpec"));
                spec.map_or_else(String::new, |s| {
                    format!("{}={}", text_at(s, "Kind"), spec::text(&s["Value"]))
                })
            })
        },
    };
    let generic = reserved.and_then(|r| r.generic.as_ref()).map(|map| {
        map.iter().map(|(kind, n)| json!({ "DiscreteResourceSpec": { "Kind": kind, "Value": n } })).collect()
    });
    differ.key(
        "reservations.generic",
        &path("Reservations/GenericResources"),
        generic,
        GENERIC,
        Effect::Restart,
    );
}

fn policies(wanted: &DockerService, differ: &mut Differ) {
    const CONDITION: Form = Form { normal: |v| v.as_str().unwrap_or("any").into(), show: spec::text };
    const FIVE_SECONDS: Form =
        Form { normal: |v| v.as_u64().unwrap_or(5_000_000_000).into(), show: spec::nanos };
    let restart = wanted.restart.as_ref();
    let path = |key: &str| format!("TaskTemplate/RestartPolicy/{key}");
    let condition = restart.and_then(|r| r.condition).map(|c| match c {
        Condition::None => json!("none"),
        Condition::OnFailure => json!("on-failure"),
        Condition::Any => json!("any"),
    });
    differ.key("restart.condition", &path("Condition"), condition, CONDITION, Effect::Restart);
    differ.key(
        "restart.delay",
        &path("Delay"),
        ns(restart.and_then(|r| r.delay)),
        FIVE_SECONDS,
        Effect::Restart,
    );
    let attempts = restart.and_then(|r| r.max_attempts).map(Json::from);
    differ.key("restart.max_attempts", &path("MaxAttempts"), attempts, NUMBER, Effect::Restart);
    differ.key("restart.window", &path("Window"), ns(restart.and_then(|r| r.window)), NANOS, Effect::Restart);
    rollout(&UPDATE, "UpdateConfig", wanted.update.as_ref(), differ);
    rollout(&ROLLBACK, "RollbackConfig", wanted.rollback.as_ref(), differ);
    let log = wanted.log.as_ref().map(|Log { driver, options }| {
        json!({ "Name": driver, "Options": options.as_ref().map_or(json!({}), |o| table(&o.0)) })
    });
    differ.key("log", "TaskTemplate/LogDriver", log, TABLE, Effect::Restart);
}

const UPDATE: [&str; 6] = [
    "update.parallelism",
    "update.delay",
    "update.monitor",
    "update.failure_action",
    "update.max_failure_ratio",
    "update.order",
];
const ROLLBACK: [&str; 6] = [
    "rollback.parallelism",
    "rollback.delay",
    "rollback.monitor",
    "rollback.failure_action",
    "rollback.max_failure_ratio",
    "rollback.order",
];

/// Defaults: swarmkit, `api/defaults/service.go`. These do not touch the tasks.
fn rollout(names: &[&'static str; 6], key: &str, wanted: Option<&Rollout>, differ: &mut Differ) {
    const ONE: Form = Form { normal: |v| v.as_u64().unwrap_or(1).into(), show: spec::text };
    const MONITOR: Form =
        Form { normal: |v| v.as_u64().filter(|n| *n > 0).unwrap_or(5_000_000_000).into(), show: spec::nanos };
    const ACTION: Form =
        Form { normal: |v| v.as_str().filter(|s| !s.is_empty()).unwrap_or("pause").into(), show: spec::text };
    const ORDER: Form = Form {
        normal: |v| v.as_str().filter(|s| !s.is_empty()).unwrap_or("stop-first").into(),
        show: spec::text,
    };
    let [parallelism, delay, monitor, action, ratio, order] = *names;
    let path = |name: &str| format!("{key}/{name}");
    let action_word = wanted.and_then(|w| w.failure_action).map(|a| match a {
        FailureAction::Pause => json!("pause"),
        FailureAction::Continue => json!("continue"),
        FailureAction::Rollback => json!("rollback"),
    });
    let order_word = wanted.and_then(|w| w.order).map(|o| match o {
        Order::StopFirst => json!("stop-first"),
        Order::StartFirst => json!("start-first"),
    });
    let number = wanted.and_then(|w| w.parallelism).map(Json::from);
    differ.key(parallelism, &path("Parallelism"), number, ONE, Effect::None);
    differ.key(delay, &path("Delay"), ns(wanted.and_then(|w| w.delay)), NANOS, Effect::None);
    differ.key(monitor, &path("Monitor"), ns(wanted.and_then(|w| w.monitor)), MONITOR, Effect::None);
    differ.key(action, &path("FailureAction"), action_word, ACTION, Effect::None);
    let number = wanted.and_then(|w| w.max_failure_ratio).map(Json::from);
    differ.key(ratio, &path("MaxFailureRatio"), number, RATIO, Effect::None);
    differ.key(order, &path("Order"), order_word, ORDER, Effect::None);
}

fn placement(wanted: &DockerService, differ: &mut Differ) {
    const CONSTRAINTS: Form = Form {
        normal: |v| {
            let mut all: Vec<String> = texts(v).map(constraint).collect();
            all.sort();
            all.dedup();
            json!(all)
        },
        show: spec::text,
    };
    let constraints = wanted.constraints.as_ref().map(|c| c.iter().map(|c| constraint(c)).collect());
    differ.key(
        "constraints",
        "TaskTemplate/Placement/Constraints",
        constraints,
        CONSTRAINTS,
        Effect::Placement,
    );
    let preferences = wanted.preferences.as_ref().map(|list| {
        list.iter()
            .map(|p| json!({ "Spread": { "SpreadDescriptor": p.strip_prefix("spread=").unwrap_or(p) } }))
            .collect::<Json>()
    });
    const PREFERENCES: Form = Form {
        normal: |v| items(v).map(|p| at(p, "Spread/SpreadDescriptor").clone()).collect(),
        show: spec::text,
    };
    differ.key(
        "preferences",
        "TaskTemplate/Placement/Preferences",
        preferences,
        PREFERENCES,
        Effect::Placement,
    );
    let most = wanted.max_replicas_per_node.map(Json::from);
    differ.key(
        "max_replicas_per_node",
        "TaskTemplate/Placement/MaxReplicas",
        most,
        NUMBER,
        Effect::Placement,
    );
}

/// `a==b` and `a  ==  b` are the same to the scheduler.
fn constraint(text: &str) -> String {
    for operator in ["==", "!="] {
        if let Some((key, value)) = text.split_once(operator) {
            return format!("{} {operator} {}", key.trim(), value.trim());
        }
    }
    text.trim().to_owned()
}

/// Only read by the ports' own tests and lints.
impl Port {
    pub(super) fn words(&self) -> String {
        let published = self.published.map_or("any".into(), |p| p.to_string());
        format!("{published}/{}", Protocol::word(self.protocol))
    }
}
