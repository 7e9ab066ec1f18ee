//! All Docker kinds on three hosts: the engine, what lies on each node, what belongs to the swarm, and what goes
//! wrong with it.

use std::time::{Duration, Instant};

use crate::Book;
use crate::arguments;
use crate::lab::{Ran, inside, lab, on, same, temporary, until, with_inventory};

const NODES: [&str; 2] = ["144", "145"];
const SECRET: &str = "open-sesame";
const BASE: [&str; 4] = [
    "playbooks/10-nfs-server.toml",
    "playbooks/20-nfs-clients.toml",
    "playbooks/30-docker.toml",
    "playbooks/40-swarm.toml",
];

const INVENTORY: &str = r#"
[defaults]
user = "root"

[defaults.vars]
docker_repository = "none"
docker_daemon = { log-driver = "json-file", log-opts = { max-size = "5m" } }
app_secret = { file = "SECRET" }

[hosts.nfs-01]
address = "192.168.158.143"

[hosts.manager-01]
address = "192.168.158.144"

[hosts.worker-01]
address = "192.168.158.145"

[groups.nfs_server]
hosts = ["nfs-01"]

[groups.nfs_clients]
hosts = ["manager-01", "worker-01"]

[groups.managers]
hosts = ["manager-01"]

[groups.workers]
hosts = ["worker-01"]

[groups.swarm]
children = ["managers", "workers"]
"#;

/// One of each. The share gives root no rights, so that Docker cannot copy what the image has into the volume.
const KINDS: &str = r#"
title = "One of each"
hosts = "swarm"
become = true

[vars]
answer = "1"
command = "date >>/data/proof; exec sleep 100000"
label = "a"
subnet = "10.77.0.0/24"
path = "/mnt/nfs_file/redis"
greeting = "hello"
box_port = "6379"

[[step]]
name = "Image"
docker_image = "redis:7.0.15"

[[step]]
name = "Bridge"
docker_network = { name = "local-net", subnet = "{{ vars.subnet }}", labels = { by = "test" } }

[[step]]
name = "Shared"
docker_volume = { name = "shared", nfs = { server = "nfs-01", path = "{{ vars.path }}" } }

[[step]]
name = "Overlay"
hosts = "managers"
docker_network = { name = "backend", driver = "overlay", attachable = true }

[[step]]
name = "Local"
hosts = "managers"
docker_volume = "plain"

[[step]]
name = "Settings"
hosts = "managers"
docker_config = { name = "app-conf", content = "answer {{ vars.answer }}\n", keep = 0 }

[[step]]
name = "Password"
hosts = "managers"
docker_secret = { name = "app-secret", content = "{{ vars.app_secret }}", keep = 0 }

[[step]]
name = "App"
hosts = "managers"
[step.docker_service]
name = "app"
image = "redis:7.0.15"
args = ["sh", "-c", "{{ vars.command }}"]
user = "999:999"
init = true
labels = { by = "{{ vars.label }}" }
networks = ["backend"]
mounts = [{ source = "shared", target = "/data", no_copy = true }, { source = "plain", target = "/plain" }]
configs = [{ name = "app-conf", target = "/etc/app.conf" }]
secrets = [{ name = "app-secret", uid = "999", gid = "999", mode = "0400" }]
stop_grace_period = "2s"
restart = { delay = "1s" }
update = { failure_action = "rollback" }

[[step]]
name = "Everywhere"
hosts = "managers"
[step.docker_service]
name = "everywhere"
image = "redis:7.0.15"
mode = "global"
ports = [{ target = 6379, published = 7001, mode = "host" }]
args = ["redis-server", "--protected-mode", "no", "--save", ""]
stop_grace_period = "2s"

[[step]]
name = "Stack"
hosts = "managers"
[step.docker_stack]
name = "web"
content = """
version: "3.8"
services:
  one:
    image: redis:7.0.15
    stop_grace_period: 2s
    deploy:
      restart_policy: { delay: 30s }
"""

[[step]]
name = "Box"
hosts = "workers"
[step.docker_container]
name = "box"
image = "redis:7.0.15"
args = ["redis-server", "--protected-mode", "no", "--save", "", "--port", "{{ vars.box_port }}"]
env = { GREETING = "{{ vars.greeting }}" }
volumes = ["box-data:/data"]
ports = ["7002:6379"]
network = "local-net"
restart = "always"
stop_grace_period = "2s"
start_timeout = "20s"
"#;

const GONE: &str = r#"
title = "None of them"
hosts = "swarm"
become = true

[[step]]
name = "Services"
hosts = "managers"
each = ["app", "everywhere"]
docker_service = { name = "{{ item }}", state = "absent" }

[[step]]
name = "Stack"
hosts = "managers"
docker_stack = { name = "web", state = "absent" }

[[step]]
name = "Box"
hosts = "workers"
docker_container = { name = "box", state = "absent" }

[[step]]
name = "Overlay"
hosts = "managers"
docker_network = { name = "backend", driver = "overlay", state = "absent" }

[[step]]
name = "Bridge"
docker_network = { name = "local-net", state = "absent" }

[[step]]
name = "Shared"
docker_volume = { name = "shared", state = "absent" }

[[step]]
name = "Local"
hosts = "managers"
docker_volume = { name = "plain", state = "absent", purge = true }

[[step]]
name = "Settings"
hosts = "managers"
docker_config = { name = "app-conf", state = "absent" }

[[step]]
name = "Password"
hosts = "managers"
docker_secret = { name = "app-secret", state = "absent" }
"#;

/// Services that cannot come up, each for another reason.
const HOPELESS: &str = r#"
title = "Hopeless"
hosts = "managers"
become = true

[[step]]
name = "No image"
on_failure = "continue"
docker_service = { name = "no-image", image = "redis:nosuch", restart = { delay = "1s" }, converge_timeout = "90s" }

[[step]]
name = "No path"
on_failure = "continue"
[step.docker_service]
name = "no-path"
image = "redis:7.0.15"
mounts = [{ type = "bind", source = "/nowhere", target = "/data" }]
restart = { delay = "1s" }
converge_timeout = "90s"

[[step]]
name = "No node"
on_failure = "continue"
docker_service = { name = "no-node", image = "redis:7.0.15", constraints = ["node.labels.gpu == yes"], converge_timeout = "90s" }

[[step]]
name = "Crash"
on_failure = "continue"
[step.docker_service]
name = "crash"
image = "redis:7.0.15"
args = ["sh", "-c", "echo cannot go on; exit 3"]
restart = { delay = "1s" }
converge_timeout = "90s"

[[step]]
name = "Slow"
on_failure = "continue"
[step.docker_service]
name = "slow"
image = "redis:7.0.15"
healthcheck = { test = "false", interval = "1h", start_period = "1h" }
converge_timeout = "8s"
"#;

/// What is said of each.
const REASONS: [&str; 8] = [
    "No such image: redis:nosuch",
    "bind source path does not exist: /nowhere",
    "no suitable node (scheduling constraints not satisfied on 2 nodes)",
    "task: non-zero exit (3)",
    "the last lines of its log:",
    "cannot go on",
    "0 of 1 tasks run after 8 s",
    "task on centos-01",
];

pub fn chapter(book: &mut Book) {
    let secret = temporary(SECRET);
    let inventory = temporary(&INVENTORY.replace("SECRET", secret.path().to_str().unwrap()));
    let [kinds, gone, hopeless] = [KINDS, GONE, HOPELESS].map(temporary);
    let path = |file: &tempfile::NamedTempFile| file.path().to_str().unwrap().to_owned();
    let (file, kinds, gone, hopeless) = (path(&inventory), path(&kinds), path(&gone), path(&hopeless));
    let run = |args: &[&str]| with_inventory(&file, args).never_says(SECRET);
    let json = |args: &[&str]| run(&[args, &["--format", "json"]].concat());
    let plan = |more: &[&str]| json(&[&["plan", kinds.as_str()], more].concat());
    let apply = |more: &[&str]| json(&[&["apply", "--yes", kinds.as_str()], more].concat());

    book.check("three fresh hosts of one name", || {
        lab(&["up", "3", "--same-hostname"]);
    });
    let all = [&BASE[..], &[kinds.as_str()]].concat();
    book.check("one of each kind from nothing, by one apply, as its plan said", || {
        arguments::watch(&["144"], SECRET);
        let plan = json(&[&["plan"], &all[..]].concat()).exits(2);
        same(&plan, &json(&[&["apply", "--yes"], &all[..]].concat()).exits(0));
        arguments::unseen(&["144"], SECRET);
    });
    book.check("a second run changes nothing and asks each host once", || {
        let again = json(&[&["apply", "--yes"], &all[..]].concat()).exits(0);
        assert_eq!(again.changed(), [""; 0]);
        let exchanges = again.events().last().unwrap()["exchanges"].as_object().unwrap().clone();
        assert!(exchanges.len() == 3 && exchanges.values().all(|n| n == 1), "{exchanges:?}");
    });
    book.check(
        "data of the volume is on the share; a global service answers on its nodes' own ports",
        || {
            assert_ne!(on("143", "cat /mnt/nfs_file/redis/proof"), "");
            for node in NODES {
                assert!(pings(node, 7001), "{node}");
            }
            assert!(pings("145", 7002), "the container");
            assert_eq!(app("cat /etc/app.conf; cat /run/secrets/app-secret"), format!("answer 1\n{SECRET}"));
        },
    );
    book.check("the plan says what restarts and what is an outage", || {
        let text = |var: &str| run(&["plan", kinds.as_str(), "--var", var]).exits(2);
        text("label=b").says("restarts nothing: label by").never_says("an outage");
        text("command=exec sleep 5").says("replaces its task (an outage").says("sleep 5");
    });
    book.check(
        "a new config and a new secret are used by the service in the same apply; old ones go",
        || {
            std::fs::write(secret.path(), format!("{SECRET}-2")).unwrap();
            let before = plan(&["--var", "answer=2"]).exits(2);
            assert_eq!(
                before.to_change(),
                ["app", "password", "settings"].map(|s| format!("manager-01 {s}"))
            );
            same(&before, &apply(&["--var", "answer=2"]).exits(0));
            assert_eq!(
                app("cat /etc/app.conf; cat /run/secrets/app-secret"),
                format!("answer 2\n{SECRET}-2")
            );
            // The version before was in use when this one was made: the next one takes it away.
            std::fs::write(secret.path(), SECRET).unwrap();
            apply(&[]).exits(0);
            assert_eq!(app("cat /etc/app.conf; cat /run/secrets/app-secret"), format!("answer 1\n{SECRET}"));
            plan(&[]).exits(0);
            for family in ["config", "secret"] {
                let names =
                    on("144", &format!("docker {family} ls --filter name=app- --format '{{{{.Name}}}}'"));
                assert!(names.lines().count() <= 2, "{names}");
            }
        },
    );
    book.check("what cannot come up fails within its time and says why", || {
        let start = Instant::now();
        let ran = run(&["apply", "--yes", &hopeless]).exits(1);
        // Their deadlines together are six minutes; only the last one waits for its own.
        assert!(start.elapsed() < Duration::from_mins(5), "{:?}", start.elapsed());
        REASONS.into_iter().fold(ran, Ran::says).says("5 steps on 1 host");
        on("144", "docker service rm no-image no-path no-node crash slow >/dev/null");
    });
    book.check("an update that is rolled back is a failure, and the next plan finds it", || {
        let bad = "command=echo bad idea; exit 7";
        apply(&["--var", bad]).exits(1).says("rolled back").says("non-zero exit (7)").says("bad idea");
        assert!(
            on("144", "docker service inspect app -f '{{.UpdateStatus.State}}'").starts_with("rollback_")
        );
        assert_eq!(plan(&["--var", bad]).exits(2).to_change(), ["manager-01 app"]);
        // The engine has to start the old one again, which takes its time on a busy machine.
        until("it runs as before", || {
            on("144", "docker service ls --filter name=app --format '{{.Replicas}}'").starts_with("1/1")
        });
        plan(&[]).exits(0);
    });
    book.check("what somebody else changed in between is not overwritten", || {
        on("144", MEDDLE);
        let ran = apply(&["--var", "label=c"]);
        on("144", "rm /root/meddle; sleep 2");
        ran.exits(1).says("somebody changed the service after it was looked at");
        apply(&["--var", "label=c"]).exits(0);
        assert_eq!(on("144", "docker service inspect app -f '{{.Spec.Labels.by}}'"), "c");
        apply(&[]).exits(0);
    });
    book.check("what cannot be changed in place is told, and made anew only where that is asked for", || {
        plan(&["--var", "path=/mnt/nfs_file/other"])
            .exits(1)
            .says("volume shared differs, and cannot be changed in place: option device");
        plan(&["--var", "subnet=10.78.0.0/24"]).exits(1).says("network local-net differs");
        let again = temporary(
            "title = \"Anew\"\nhosts = \"managers\"\nbecome = true\n[[step]]\nname = \"Bridge\"\ndocker_network = \
             { name = \"local-net\", subnet = \"10.78.0.0/24\", recreate = true }\n",
        );
        let again = path(&again);
        json(&["apply", "--yes", &again]).exits(1).says("disrupt");
        json(&["apply", "--yes", "--allow-disruptive", &again]).exits(0);
        assert_eq!(
            on("144", "docker network inspect local-net -f '{{(index .IPAM.Config 0).Subnet}}'"),
            "10.78.0.0/24"
        );
        on("144", "docker network rm local-net >/dev/null");
        apply(&[]).exits(0);
    });
    book.check("a stack that was changed by hand or does not run is found and mended", || {
        on("144", "docker service update --detach --quiet --env-add BY=hand web_one >/dev/null");
        let ran = plan(&[]).exits(2).says("changed since they were deployed");
        assert_eq!(ran.to_change(), ["manager-01 stack"]);
        apply(&[]).exits(0);
        assert!(!on("144", "docker service inspect web_one -f '{{json .Spec}}'").contains("BY=hand"));
        for node in NODES {
            on(node, "docker ps -q --filter name=web_one | xargs -r docker stop >/dev/null");
        }
        plan(&[]).exits(2).says("web_one 0/1");
        apply(&[]).exits(0);
        plan(&[]).exits(0);
    });
    book.check("a container is made anew when it differs, and its volume is kept", || {
        on("145", "docker exec box sh -c 'echo kept >/data/mark'");
        apply(&["--var", "greeting=bye"]).exits(1).says("disrupt");
        apply(&["--var", "greeting=bye", "--allow-disruptive"]).exits(0);
        assert_eq!(on("145", "docker exec box sh -c 'cat /data/mark; echo $GREETING'"), "kept\nbye");
        apply(&["--var", "greeting=bye", "--var", "box_port=no-port", "--allow-disruptive"])
            .exits(1)
            .says("the old container runs again");
        assert_eq!(on("145", "docker exec box sh -c 'cat /data/mark; echo $GREETING'"), "kept\nbye");
        plan(&["--var", "greeting=bye"]).exits(0);
        assert!(!on("145", "docker ps -a --format '{{.Names}}'").contains("hostwright"));
    });
    book.check(
        "daemon.json: other keys stay, and what would end the engine is refused or undone",
        daemon(&json, &path),
    );
    book.check("all of it goes by one apply, as its plan said; data elsewhere stays", || {
        let plan = json(&["plan", &gone]).exits(2);
        same(&plan, &json(&["apply", "--yes", &gone]).exits(0));
        assert_eq!(json(&["apply", "--yes", &gone]).exits(0).changed(), [""; 0]);
        assert_eq!(on("144", "docker service ls -q; docker config ls -q; docker secret ls -q"), "");
        assert_ne!(on("143", "cat /mnt/nfs_file/redis/proof"), "");
    });
}

/// The engine's settings, on the worker.
fn daemon<'a>(
    json: &'a impl Fn(&[&str]) -> Ran,
    path: &'a impl Fn(&tempfile::NamedTempFile) -> String,
) -> impl FnOnce() + 'a {
    let set = |keys: &str| {
        temporary(&format!(
            "title = \"Engine\"\nhosts = \"workers\"\nbecome = true\n[[step]]\nname = \"Engine\"\n\
             docker_engine = {{ repository = \"none\", daemon = {{ {keys} }} }}\n"
        ))
    };
    move || {
        const FILE: &str = "/etc/docker/daemon.json";
        let apply = |keys: &str| json(&["apply", "--yes", "--allow-disruptive", &path(&set(keys))]);
        let foreign =
            r#"{"log-driver":"json-file","log-opts":{"max-size":"5m","max-file":"2"},"shutdown-timeout":20}"#;
        on("145", &format!("echo '{foreign}' >{FILE}"));
        apply("log-opts = { max-size = \"7m\" }").exits(0);
        assert_eq!(
            on("145", &format!("tr -d ' \\n' <{FILE}")),
            foreign.replace("5m", "7m"),
            "other keys, and their order"
        );
        let runs = || on("145", "docker info -f '{{.Swarm.LocalNodeState}}'");
        apply("live-restore = true").exits(1).says("does not get on with a swarm");
        let started = on("145", "cat /run/docker.pid");
        on("145", &format!("cp {FILE} /root/good; echo '{{' >{FILE}"));
        apply("log-opts = { max-size = \"8m\" }").exits(1).says("is not a JSON object");
        on("145", &format!("cp /root/good {FILE}"));
        assert_eq!(on("145", "cat /run/docker.pid"), started, "it was not restarted");
        apply("no-such-key = true").exits(1).says("no-such-key");
        assert_eq!((on("145", &format!("cmp {FILE} /root/good")), runs()), (String::new(), "active".into()));
        on("145", &format!("rm {FILE}"));
        apply("no-such-key = true").exits(1).says("daemon.json is as it was before");
        assert_eq!(
            (on("145", &format!("ls -A {FILE} 2>&1 | grep -c No")), runs()),
            ("1".into(), "active".into())
        );
        // An engine that was stopped, and one that was killed.
        on("145", "systemctl stop docker.socket docker.service");
        apply("log-opts = { max-size = \"7m\" }").exits(0).says("\"changed\"");
        on("145", "systemctl kill -s KILL docker.service; sleep 1");
        apply("log-opts = { max-size = \"7m\" }").exits(0);
        assert_eq!(runs(), "active");
    }
}

/// Changes a label of the service again and again.
const MEDDLE: &str = r"touch /root/meddle; nohup sh -c 'n=0; while [ -e /root/meddle ]; do n=$((n + 1))
    docker service update --detach --quiet --label-add n=$n app; done' >/dev/null 2>&1 </dev/null &";

/// Runs a command in the container of the service, wherever that is.
fn app(command: &str) -> String {
    for node in NODES {
        let id = on(node, "docker ps -q --filter name=app. --filter status=running");
        if !id.is_empty() {
            return on(node, &format!("docker exec {id} sh -c '{command}'"));
        }
    }
    panic!("no node runs it");
}

/// Whether Redis answers on a port of a node.
fn pings(node: &str, port: u16) -> bool {
    let ask = format!(
        "exec 3<>/dev/tcp/192.168.158.{node}/{port}; printf 'PING\\r\\n' >&3; read -r l <&3; echo \"$l\""
    );
    inside(&["timeout", "10", "bash", "-c", &ask]).1.starts_with("+PONG")
}
