//! The whole recipe: from four fresh hosts with equal names to a Redis that keeps its data when its node dies,
//! and back again.

use std::collections::HashSet;

use crate::Book;
use crate::arguments::{self, TOKEN};
use crate::lab::{
    INVENTORY, PASSWORD, Ran, hostwright, inside, lab, lab_script, on, same, start, temporary, until,
    with_inventory,
};

const NODES: [&str; 3] = ["144", "145", "146"];

pub fn chapter(book: &mut Book) {
    let run = |args: &[&str]| hostwright(args).never_says(PASSWORD);
    let json = |args: &[&str]| run(&[args, &["--format", "json"]].concat());

    book.check("four fresh hosts of one name", || {
        lab(&["up", "--same-hostname"]);
    });
    book.check("the whole recipe by one apply, as its plan said", || {
        let plan = json(&["plan", "playbooks"]).exits(2);
        arguments::watch(&NODES, TOKEN);
        let apply = json(&["apply", "--yes", "playbooks"]).exits(0);
        same(&plan, &apply);
        apply.never_says("SWMTKN-");
    });
    book.check("no join token was in the arguments of a process", || arguments::unseen(&NODES, TOKEN));
    book.check("a second run changes nothing and asks each host once", || {
        let again = json(&["apply", "--yes", "playbooks"]).exits(0);
        again.changes_nothing();
        let events = again.events();
        let exchanges = events.last().unwrap()["exchanges"].as_object().unwrap().clone();
        assert_eq!(exchanges.len(), 4);
        assert!(exchanges.values().all(|n| n == 1), "{exchanges:?}");
    });
    book.check("an audit leaves all hosts as they were, and tells that they are as described", || {
        let before = HOSTS.map(|host| on(host, STATE));
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("fleet.html");
        hostwright(&["audit", "playbooks", "--report", page.to_str().unwrap()])
            .exits(0)
            .says("4 of 4 hosts are as described");
        assert!(page.metadata().unwrap().len() > 10_000);
        for (host, before) in HOSTS.iter().zip(&before) {
            let after = on(host, STATE);
            let known: HashSet<&str> = before.lines().collect();
            let moved: Vec<_> = after.lines().filter(|line| !known.contains(line)).collect();
            assert!(moved.is_empty() && after.len() == before.len(), "{host}: {moved:#?}");
        }
    });
    book.check("SET on one node, GET on all", || {
        assert_eq!(redis("144", &["SET", "seed", "kept"]), "OK");
        for node in NODES {
            assert_eq!(redis(node, &["GET", "seed"]), "kept", "through {node}");
        }
    });
    book.check("each field of the service changed by hand is found and mended", || {
        let by_hand =
            |flags: &str| on("144", &format!("docker service update -d -q {flags} redis >/dev/null"));
        by_hand(&BY_HAND.map(|(flag, _)| flag).join(" "));
        by_hand(START_FIRST.0);
        let plan = json(&["plan", "playbooks/50-redis.toml"]).exits(2);
        let events = plan.events();
        let found = events
            .iter()
            .find(|e| e["event"] == "planned" && e["step"].as_str().is_some_and(|s| s.contains("redis-runs")))
            .unwrap()["forecast"]["change"]["fields"]
            .to_string();
        for (flag, shown) in BY_HAND.into_iter().chain([START_FIRST]) {
            assert!(found.contains(shown), "{flag}: {shown:?} is not in {found}");
        }
        json(&["apply", "--yes", "--allow-disruptive", "playbooks/50-redis.toml"]).exits(0);
        json(&["plan", "playbooks"]).exits(0);
        assert_eq!(eventually("144"), "kept");
    });
    book.check("no task of the service by hand: found and mended", || {
        on("144", "docker service update --detach --quiet --replicas 0 redis >/dev/null");
        let plan = json(&["plan", "playbooks/50-redis.toml"]).exits(2);
        assert!(plan.to_change().iter().any(|s| s.contains("redis-runs")), "{:?}", plan.to_change());
        json(&["apply", "--yes", "playbooks/50-redis.toml"]).exits(0);
        assert_eq!(eventually("144"), "kept");
    });
    book.check("an engine that was stopped: no guess at what it has, and all of it is found again", || {
        let node = if runs_on() == "145" { "146" } else { "145" };
        on(node, "systemctl stop docker.socket docker.service");
        let plan = json(&["plan", "playbooks"]).exits(2);
        let unknown: Vec<_> =
            plan.planned().into_iter().filter(|(_, f)| f == "unknown").map(|(step, _)| step).collect();
        assert!(unknown.iter().any(|step| step.contains("workers-join")), "{unknown:?}");
        let apply = json(&["apply", "--yes", "playbooks"]).exits(0);
        let changed: Vec<_> = apply.changed().into_iter().filter(|step| !unknown.contains(step)).collect();
        assert_eq!(changed, plan.to_change());
        json(&["plan", "playbooks"]).exits(0);
    });
    book.check("the state of all in one view", || {
        run(&["plan", "playbooks/ops/status.toml"])
            .exits(0)
            .says("  leader  ")
            .says("storage=nfs")
            .says("*:6379->6379/tcp")
            .says("Ready to accept connections")
            .says("portainer/portainer-ce")
            .says("threads  ")
            .says("192.168.158.143:/mnt/nfs_file  /mnt/nfs_file  nfs4  rw")
            .says("in use");
    });
    book.check("a fleet audited in eight parts, by a job of the swarm", super::shards::check);
    book.check("the failover drill: container stopped, node drained", || {
        run(&["apply", "--yes", "playbooks/ops/failover-drill.toml"])
            .exits(0)
            .says("stop: the value came back after ")
            .says("drain: the value came back after ");
        assert_eq!(eventually("145"), "kept");
        assert!(!on("144", NODES_AVAILABLE).contains("drain"), "every node is as it was");
    });
    book.check("a drill that is interrupted twice puts the node right again", || {
        let drill = start(
            INVENTORY,
            &["apply", "--yes", "playbooks/ops/failover-drill.toml", "--var", "drill_modes=drain"],
        );
        until("a node is drained", || on("144", NODES_AVAILABLE).contains("drain"));
        drill.interrupt();
        drill.interrupt();
        drill.ended().exits(130);
        until("the node is active again", || !on("144", NODES_AVAILABLE).contains("drain"));
        assert_eq!(eventually("144"), "kept");
    });
    book.check("the data survives the power loss of the node that runs it, and the node returns", || {
        // The only manager: nothing would be started elsewhere without it.
        let manager = "$(docker info -f '{{.Swarm.NodeID}}')";
        on("144", &format!("docker node update --availability drain {manager} >/dev/null"));
        until("it runs on a worker", || runs_on() != "144" && try_redis("144", &["PING"]).is_ok());
        let node = runs_on();
        let script = lab_script();
        let power = temporary(&format!(
            "{}drill_modes = [\"power\"]\ndrill_power = {{ host = \"controller\", off = \"{script} kill $ADDRESS\", \
             on = \"{script} boot $ADDRESS\" }}\n[hosts.controller]\nconnection = \"local\"\n",
            std::fs::read_to_string(INVENTORY).unwrap()
        ));
        let power = power.path().to_str().unwrap();
        with_inventory(power, &["apply", "--yes", "playbooks/ops/failover-drill.toml"])
            .exits(0)
            .says("power: the value came back after ")
            .says("manager-01: ")
            .never_says(PASSWORD);
        assert_ne!(runs_on(), node, "the tasks are not moved back");
        assert_eq!(eventually(&node), "kept");
        on("144", &format!("docker node update --availability active {manager} >/dev/null"));
        json(&["plan", "playbooks"]).exits(0);
    });
    book.check("teardown by one apply, as its plan said; the data is kept", || {
        let plan = json(&["plan", "--allow-disruptive", "playbooks/ops/teardown"]).exits(2);
        let apply = json(&["apply", "--yes", "--allow-disruptive", "playbooks/ops/teardown"]).exits(0);
        same(&plan, &apply);
        for node in NODES {
            assert_eq!(on(node, "docker info -f '{{.Swarm.LocalNodeState}}'"), "inactive", "{node}");
            assert_eq!(on(node, "grep -c nfs_file /proc/self/mountinfo || :"), "0", "{node}");
        }
        assert_ne!(on("143", "ls -A /mnt/nfs_file/redis"), "");
    });
    book.check("a worker of another swarm is refused", || {
        on("146", "docker swarm init --advertise-addr 192.168.158.146 >/dev/null");
        json(&["plan", "playbooks/40-swarm.toml"]).exits(1).says("another swarm");
        on("146", "docker swarm leave --force >/dev/null");
    });
    book.check("the whole again on the torn-down hosts, with the old data", || {
        let plan = json(&["plan", "playbooks"]).exits(2);
        let apply = json(&["apply", "--yes", "playbooks"]).exits(0);
        same(&plan, &apply);
        assert_eq!(eventually("144"), "kept");
    });
    book.check("the recipe to the letter works as well, and lint says what is wrong with it", || {
        let check = run(&["check", "playbooks/variants"]).exits(0);
        let check = ["no-root-squash", "redis-without-password", "image-without-tag", "bind-of-file"]
            .into_iter()
            .fold(check, Ran::says);
        drop(check);
        json(&["apply", "--yes", "--allow-disruptive", "playbooks/variants"]).exits(0);
        assert_eq!(eventually("145"), "kept");
        assert!(!on("144", "docker ps --format '{{.Names}}'").contains("redis"), "the manager is drained");
        assert_eq!(json(&["plan", "playbooks/variants"]).exits(0).to_change(), [""; 0]);
    });
    book.check("teardown with purge takes the data as well", || {
        let purge = ["--yes", "--allow-disruptive", "--var", "purge=nfs_server"];
        json(&[&["apply", "playbooks/ops/teardown"][..], &purge].concat()).exits(0);
        assert_eq!(on("143", "test -e /mnt/nfs_file || echo gone"), "gone");
        assert_eq!(on("144", "docker volume ls -q"), "");
    });
}

const HOSTS: [&str; 4] = ["143", "144", "145", "146"];

/// What a host is: its files with their times but that of the last access, the content of those that are kept by hand,
/// units, mounts, packet filter, and what Docker has. Not looked at: logs; what Redis writes and what the engine notes
/// down all the time; the index that rpm keeps in memory that it shares with who only reads, and what the NFS server
/// remembers of its clients.
const STATE: &str = r"find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /dev -o -path /var/log \
  -o -path /var/lib/docker -o -path /var/lib/containerd -o -path /mnt/nfs_file -o -path /var/lib/nfs/nfsdcld \
  -o -name 'rpmdb.sqlite-*' \) -prune -o -printf '%p %y %m %u %g %s %T@ %C@ %l\n' | sort
find /etc /root /usr/local -xdev -type f -exec sha256sum {} + | sort
systemctl list-units --all --no-legend --plain --no-pager | grep -v 'session-\|hostwright-\|run-r' | awk '{print $1,$2,$3,$4}' | sort
cut -d' ' -f4- /proc/self/mountinfo | sort
iptables-save 2>/dev/null | sed 's/\[[0-9:]*\]//; /^#/d'
docker ps -aq --no-trunc | sort; docker images -q --no-trunc | sort; docker volume ls -q; docker network ls -q --no-trunc | sort
docker service ls -q 2>/dev/null | xargs -r docker service inspect --format '{{.ID}} {{.Version.Index}}'
docker config ls -q 2>/dev/null; docker secret ls -q 2>/dev/null
docker node ls --format '{{.ID}} {{.Status}} {{.Availability}}' 2>/dev/null || :";

/// Prints the availability of each node.
const NODES_AVAILABLE: &str =
    "docker node ls -q | xargs docker node inspect --format '{{.Spec.Availability}}'";

/// What is changed by hand, and what the plan shows of it.
const BY_HAND: [(&str, &str); 17] = [
    ("--image redis:7.0.16", "7.0.16"),
    ("--env-add BY=hand-env", "hand-env"),
    ("--label-add by=hand-label", "hand-label"),
    ("--container-label-add by=hand-inner", "hand-inner"),
    ("--limit-memory 256M", "256"),
    ("--constraint-add node.role==worker", "node.role"),
    ("--publish-add published=6380,target=6379", "6380"),
    ("--mount-add type=tmpfs,target=/by-hand", "/by-hand"),
    ("--restart-delay 77s", "77"),
    ("--stop-grace-period 47s", "47"),
    ("--health-interval 17s", "17"),
    ("--sysctl-rm net.core.somaxconn", "somaxconn"),
    ("--user 999:1000", "999:1000"),
    ("--hostname by-hand-name", "by-hand-name"),
    ("--args 'redis-server /etc/redis/redis.conf --loglevel verbose'", "verbose"),
    ("--update-monitor 7s", "7"),
    ("--rollback-parallelism 3", "3"),
];

/// After the others, for with it two tasks would write at once.
const START_FIRST: (&str, &str) = ("--update-order start-first", "start-first");

/// The host that runs Redis.
fn runs_on() -> String {
    let has = |node: &&&str| !on(node, "docker ps -q --filter name=redis --filter status=running").is_empty();
    let mut found = None;
    until("a node runs it", || {
        found = NODES.iter().find(has);
        found.is_some()
    });
    found.unwrap().to_string()
}

/// Asks Redis through the published port of a node, from outside the hosts.
fn redis(node: &str, words: &[&str]) -> String {
    try_redis(node, words).unwrap_or_else(|why| panic!("{node}: {why}"))
}

fn try_redis(node: &str, words: &[&str]) -> Result<String, String> {
    // The hosts can only be reached from within the lab's network.
    let ask = format!(
        "exec 3<>/dev/tcp/192.168.158.{node}/6379; printf 'AUTH {PASSWORD}\\r\\n{}\\r\\n' >&3; read -r a <&3; read -r l <&3; \
         case $l in '$-1'*) l=nil ;; '$'*) read -r l <&3 ;; esac; echo \"${{l#+}}\"",
        words.join(" ")
    );
    let out = inside(&["timeout", "10", "bash", "-c", &ask]);
    let text = out.1.trim().to_owned();
    if out.0 && !text.is_empty() { Ok(text) } else { Err(format!("no answer: {text}")) }
}

/// The value of `seed` as soon as it is read back.
fn eventually(node: &str) -> String {
    let mut found = String::new();
    until(&format!("the value is read back through {node}"), || {
        found = try_redis(node, &["GET", "seed"]).unwrap_or_else(|_| "-".into());
        !found.starts_with('-')
    });
    found
}
