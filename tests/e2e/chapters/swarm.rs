//! A swarm with three managers on hosts of one name: how it is made, changed and taken down, and each odd state in
//! which a node can be.

use crate::Book;
use crate::arguments::{self, TOKEN};
use crate::lab::{Ran, lab, on, same, temporary, until, with_inventory, with_ssh_config};

const DOCKER: &str = "playbooks/30-docker.toml";
const SWARM: &str = "playbooks/40-swarm.toml";
const WORKER: &str = "146";
const ALL: [&str; 4] = ["143", "144", "145", "146"];

/// The hosts with addresses that begin with `network`.
fn inventory(network: &str) -> String {
    format!(
        "[defaults]\nuser = \"root\"\nvars = {{ docker_repository = \"none\" }}\n\
         [hosts]\nmanager-01 = {{ address = \"{network}.143\" }}\nmanager-02 = {{ address = \"{network}.144\" }}\n\
         manager-03 = {{ address = \"{network}.145\" }}\nworker-01 = {{ address = \"{network}.146\" }}\n\
         [groups]\nmanagers = {{ hosts = [\"manager-01\", \"manager-02\", \"manager-03\"] }}\n\
         workers = {{ hosts = [\"worker-01\"] }}\nswarm = {{ children = [\"managers\", \"workers\"] }}\n\
         nfs_clients = {{ hosts = [\"worker-01\"] }}\n"
    )
}

pub fn chapter(book: &mut Book) {
    let file = temporary(&inventory("192.168.158"));
    let file = file.path().to_str().unwrap();
    let json =
        |args: &[&str]| with_inventory(file, &[args, &["--format", "json"]].concat()).never_says("SWMTKN-");
    // One playbook of the steps in `text`, for the hosts that `hosts` names.
    let steps = |verb: &[&str], hosts: &str, text: &str| {
        let playbook = temporary(&format!("title = \"Steps\"\nhosts = \"{hosts}\"\n{text}"));
        json(&[verb, &[playbook.path().to_str().unwrap()]].concat())
    };
    let apply = ["apply", "--yes"];

    book.check("four fresh hosts of one name", || {
        lab(&["up", "--same-hostname"]);
    });
    book.check("a fleet that makes a bad swarm is warned of", warnings);
    book.check("three managers and a worker by one apply, as its plan said", || {
        let plan = json(&["plan", DOCKER, SWARM]).exits(2).says("then 2 managers, an even number");
        arguments::watch(&ALL, TOKEN);
        let apply = json(&["apply", "--yes", DOCKER, SWARM]).exits(0);
        same(&plan, &apply);
        assert_eq!(managers(), 3);
        for host in ALL {
            assert_eq!(on(host, "docker info -f '{{.Swarm.NodeAddr}}'"), format!("192.168.158.{host}"));
        }
        one_by_one(&apply);
    });
    book.check("no join token was in the arguments of a process", || arguments::unseen(&ALL, TOKEN));
    book.check("a second run changes nothing and asks each host once", || {
        let again = json(&["apply", "--yes", DOCKER, SWARM]).exits(0);
        assert_eq!(again.changed(), [""; 0]);
        let events = again.events();
        let exchanges = events.last().unwrap()["exchanges"].as_object().unwrap();
        assert!(exchanges.len() == 4 && exchanges.values().all(|n| n == 1), "{exchanges:?}");
    });
    book.check("labels are added, changed and removed, and a drain waits until the node runs nothing", || {
        // It takes its time to end.
        let loiter = "trap 'sleep 5; exit' TERM; while :; do sleep 1; done";
        on("143", &format!(
            "docker service create --detach --quiet --name loiters --mode global --constraint node.role==worker \
             --stop-grace-period 30s --entrypoint sh redis:7.0.15 -c \"{loiter}\" >/dev/null"
        ));
        until("the service runs", || on(WORKER, "docker ps -q").lines().count() == 1);
        let text = r#"
            [[step]]
            name = "add"
            swarm_node = { manager = "manager-02", labels = { zone = "a", disk = "ssd" } }
            [[step]]
            name = "change"
            swarm_node = { manager = "manager-01", labels = { zone = "b" }, labels_absent = ["disk"] }
            [[step]]
            name = "drain"
            disruptive = true
            swarm_node = { manager = "manager-01", availability = "drain" }"#;
        let plan = steps(&["plan"], "worker-01", text).exits(2);
        same(&plan, &steps(&apply, "worker-01", text).exits(0));
        assert_eq!(on(WORKER, "docker ps -q"), "", "nothing is left when the step has ended");
        assert_eq!(node("{{json .Spec.Labels}} {{.Spec.Availability}}"), r#"{"storage":"nfs","zone":"b"} drain"#);
        let active = "[[step]]\nswarm_node = { manager = \"manager-01\", availability = \"active\" }";
        steps(&apply, "worker-01", active).exits(0);
        assert_eq!(node("{{.Spec.Availability}}"), "active");
        on("143", "docker service rm loiters >/dev/null");
    });
    book.check("a worker is promoted and demoted, a manager leaves and comes back", || {
        let text = r#"
            [[step]]
            name = "promote"
            swarm_node = { manager = "manager-01", role = "manager" }
            [[step]]
            name = "demote"
            swarm_node = { manager = "manager-01", role = "worker" }"#;
        let plan = steps(&["plan"], "worker-01", text).exits(2).says("then 4 managers, an even number");
        same(&plan, &steps(&apply, "worker-01", text).exits(0));
        let leave =
            "[[step]]\ndisruptive = true\nswarm_node = { manager = \"manager-01\", state = \"absent\" }";
        steps(&apply, "manager-03", leave).exits(0);
        assert_eq!((managers(), nodes()), (2, 3));
        steps(&apply, "manager-03", leave).exits(0).says("in no swarm");
        json(&["apply", "--yes", SWARM]).exits(0);
        assert_eq!((managers(), nodes()), (3, 4));
    });
    book.check("with one manager off the others work, with two off the words are clear", || {
        // It has joined just now, and what it did not write yet is lost with its power: it would not come back.
        on("145", "sync");
        lab(&["kill", "145"]);
        let zone =
            "[[step]]\nname = \"zone\"\nswarm_node = { manager = \"manager-01\", labels = { zone = \"c\" } }";
        let done = steps(&apply, "swarm", zone).exits(4);
        assert_eq!(done.changed(), ["manager-01 zone", "manager-02 zone", "worker-01 zone"]);
        lab(&["kill", "144"]);
        until("the quorum is lost", || on("143", "docker info -f '{{.Swarm.Error}}'").contains("leader"));
        let plan = json(&["plan", "--connect-timeout", "5s", SWARM]).exits(1);
        let plan = plan.says("manager-01 is a manager, but its swarm has no quorum");
        let lost = plan.planned().iter().filter(|(_, forecast)| forecast == "error").count();
        assert_eq!(lost, 3, "init, join and label: {}", plan.stdout);
        lab(&["boot", "144"]);
        until("there is a leader again", || managers() >= 2);
        lab(&["boot", "145"]);
        until("all are back", || managers() == 3 && ready() == 4);
        json(&["plan", SWARM]).exits(0);
    });
    book.check("a node that is down is named, and not joined again", || {
        let rule = "OUTPUT -p tcp --dport 2377 -j DROP";
        on(WORKER, &format!("iptables -A {rule}"));
        until("the node is down", || ready() == 3);
        json(&["plan", SWARM]).exits(1).says("a member, but manager-01 sees node").says("as down");
        on(WORKER, &format!("iptables -D {rule}"));
        until("the node is back", || ready() == 4);
    });
    book.check("a node that was removed is told from one of another swarm", || {
        on(
            "143",
            &format!(
                "docker node rm --force {} >/dev/null",
                on(WORKER, "docker info -f '{{.Swarm.NodeID}}'")
            ),
        );
        json(&["plan", SWARM]).exits(1).says("removed from the swarm of manager-01, but has not left it");
        on(WORKER, "docker swarm leave --force >/dev/null");
        on(WORKER, "docker swarm init --advertise-addr 192.168.158.146 >/dev/null");
        json(&["plan", SWARM]).exits(1).says("in another swarm, that of manager 192.168.158.146:2377");
    });
    let join = |keys: &str| {
        format!("[[step]]\ndisruptive = true\nswarm_join = {{ manager = \"manager-01\"{keys} }}")
    };
    book.check("force_leave moves it over", || {
        arguments::watch(&[WORKER], TOKEN);
        steps(&apply, "worker-01", &join("")).exits(1);
        let moved = steps(&apply, "worker-01", &join(", force_leave = true")).exits(0);
        assert_eq!((moved.changed().len(), ready()), (1, 4));
        arguments::unseen(&[WORKER], TOKEN);
    });
    book.check("a join that got stuck and what it left are named, and cured", || {
        let token = on("143", "docker swarm join-token -q worker");
        on(WORKER, "docker swarm leave >/dev/null");
        until("the node is down", || ready() == 3);
        // As behind a firewall that drops: the engine goes on trying.
        on(WORKER, "iptables -A OUTPUT -p tcp --dport 2399 -j DROP");
        on(WORKER, &format!("! docker swarm join --token {token} 192.168.158.143:2399 2>/dev/null"));
        assert_eq!(on(WORKER, "docker info -f '{{.Swarm.LocalNodeState}}'"), "pending");
        json(&["plan", SWARM]).exits(2).says("a join through manager 192.168.158.143:2399 is under way");
        let force = steps(&["plan"], "worker-01", &join(", force_leave = true")).exits(2);
        drop(force.says("half joined").says("stays on the list").says("stale worker"));
        steps(&apply, "worker-01", &join(", force_leave = true, remove_stale = true")).exits(0);
        assert_eq!((ready(), nodes()), (4, 4));
        json(&["apply", "--yes", SWARM]).exits(0);
    });
    book.check("the manual's step for new join tokens works", || {
        let token = || on("143", "docker swarm join-token -q worker; docker swarm join-token -q manager");
        let old = token();
        let manual = include_str!("../../../src/step/swarm_init.md");
        let step = manual.split("```toml\n").find(|block| block.contains("--rotate")).unwrap();
        let done = steps(&apply, "manager-01", step.split("```").next().unwrap()).exits(0);
        assert_eq!(done.changed().len(), 1);
        assert!(token().lines().all(|line| !old.contains(line)), "both are new");
        json(&["plan", SWARM]).exits(0);
    });
    book.check("teardown by one apply, as its plan said", || {
        let books = ["playbooks/ops/teardown/20-nodes.toml", "playbooks/ops/teardown/30-swarm.toml"];
        let plan = json(&[&["plan"][..], &books].concat()).exits(2);
        same(&plan, &json(&[&apply[..], &books].concat()).exits(0));
        for host in ALL {
            assert_eq!(on(host, "docker info -f '{{.Swarm.LocalNodeState}}'"), "inactive", "{host}");
        }
    });
}

/// A clone, a clock that is ahead, equal names, and addresses that only others know: each is told, once.
fn warnings() {
    let id = on("144", "cat /etc/machine-id");
    on("145", &format!("cp -p /etc/machine-id /root/machine-id && echo {id} >/etc/machine-id"));
    on("144", "date -s '+100 seconds' >/dev/null");
    // What address translation does: ssh reaches the hosts under addresses that they do not have.
    let config = std::fs::read_to_string(lab(&["ssh-config"]).trim()).unwrap();
    let config = temporary(&config.replace("centos-", "203.0.113."));
    let file = temporary(&inventory("203.0.113"));
    let [config, file] = [&config, &file].map(|f| f.path().to_str().unwrap());
    let plan = with_ssh_config(config, file, &["plan", DOCKER, SWARM]).exits(2);
    for text in [
        "manager-02 and manager-03 have the same machine id",
        "manager-01, manager-02, manager-03 and worker-01 all call themselves \"centos-01\"",
        "clocks differ: manager-02 is about ",
        " s ahead of the others;",
        "on no interface of manager-01 (203.0.113.143), manager-02 (203.0.113.144)",
    ] {
        assert_eq!(plan.stderr.matches(text).count(), 1, "{text}: {}", plan.stderr);
    }
    on("144", "date -s '-100 seconds' >/dev/null");
    on("145", "cat /root/machine-id >/etc/machine-id");
}

/// Asserts that a manager joined only when the one before it was there.
fn one_by_one(apply: &Ran) {
    let events = apply.events();
    let of = |kind: &str| {
        let mut all: Vec<u64> = events
            .iter()
            .filter(|e| e["event"] == kind && e["step"] == "other-managers-join")
            .filter(|e| e["label"].as_str().is_none_or(|l| l.starts_with("join through")))
            .filter(|e| e["outcome"].as_str().is_none_or(|o| o == "changed"))
            .map(|e| e["at_ms"].as_u64().unwrap())
            .collect();
        all.sort_unstable();
        all
    };
    let (begun, ended) = (of("action_started"), of("step_finished"));
    assert_eq!((begun.len(), ended.len()), (2, 2));
    assert!(ended[0] <= begun[1], "begun at {begun:?}, ended at {ended:?}");
}

/// How many nodes the first manager lists for which `format` gives `wanted`.
fn count(format: &str, wanted: &[&str]) -> usize {
    on("143", &format!("docker node ls --format '{format}' 2>/dev/null || :"))
        .lines()
        .filter(|line| wanted.is_empty() || wanted.contains(line))
        .count()
}

fn managers() -> usize {
    count("{{.ManagerStatus}}", &["Leader", "Reachable"])
}

fn ready() -> usize {
    count("{{.Status}}", &["Ready"])
}

fn nodes() -> usize {
    count("{{.ID}}", &[])
}

/// A field of the worker's node.
fn node(format: &str) -> String {
    let id = on(WORKER, "docker info -f '{{.Swarm.NodeID}}'");
    on("143", &format!("docker node inspect --format '{format}' {id}"))
}
