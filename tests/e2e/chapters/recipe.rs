//! The whole recipe: from four fresh hosts with equal names to a Redis that keeps its data when its node dies,
//! and back again.

use crate::Book;
use crate::lab::{inside, lab, on, same, temporary, with_inventory};

const NODES: [&str; 3] = ["144", "145", "146"];
const PASSWORD: &str = "correct-horse-battery";

pub fn chapter(book: &mut Book) {
    let inventory = temporary(&format!(
        "{}\n[defaults.vars]\ndocker_repository = \"none\"\nredis_password = {{ command = [\"echo\", \"{PASSWORD}\"] }}\n\
         portainer_password = {{ command = [\"echo\", \"staple-{PASSWORD}\"] }}\n",
        std::fs::read_to_string("tests/lab/inventory.toml").unwrap()
    ));
    let file = inventory.path().to_str().unwrap().to_owned();
    let run = |args: &[&str]| with_inventory(&file, args).never_says(PASSWORD);
    let json = |args: &[&str]| run(&[args, &["--format", "json"]].concat());

    book.check("four fresh hosts of one name", || {
        lab(&["up", "--same-hostname"]);
    });
    book.check("the whole recipe by one apply, as its plan said", || {
        let plan = json(&["plan", "playbooks"]).exits(2);
        let apply = json(&["apply", "--yes", "playbooks"]).exits(0);
        same(&plan, &apply);
    });
    book.check("a second run changes nothing", || {
        let again = json(&["apply", "--yes", "playbooks"]).exits(0);
        assert_eq!(again.changed(), [""; 0]);
    });
    book.check("SET on one node, GET on all", || {
        assert_eq!(redis("144", &["SET", "seed", "kept"]), "OK");
        for node in NODES {
            assert_eq!(redis(node, &["GET", "seed"]), "kept", "through {node}");
        }
    });
    book.check("a field of the service changed by hand is found and mended", || {
        on("144", "docker service update --detach --quiet --replicas 0 redis >/dev/null");
        let plan = json(&["plan", "playbooks/50-redis.toml"]).exits(2);
        assert!(plan.to_change().iter().any(|s| s.contains("redis-runs")), "{:?}", plan.to_change());
        json(&["apply", "--yes", "playbooks/50-redis.toml"]).exits(0);
        assert_eq!(eventually("144"), "kept");
    });
    book.check("the data survives a stopped container", || {
        let node = runs_on();
        on(&node, "docker stop $(docker ps -q --filter name=redis) >/dev/null");
        assert_eq!(eventually("144"), "kept");
    });
    book.check("the data survives the power loss of the node that runs it", || {
        let node = runs_on();
        if node == "144" {
            // The only manager: nothing would be rescheduled without it.
            on(
                "144",
                "docker node update --availability drain $(docker info -f '{{.Swarm.NodeID}}') >/dev/null",
            );
            for _ in 0..120 {
                if runs_on() != "144" {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
        }
        let node = runs_on();
        assert_ne!(node, "144", "the manager was drained");
        lab(&["kill", &node]);
        assert_eq!(eventually("144"), "kept");
        lab(&["boot", &node]);
        on(
            "144",
            "docker node update --availability active $(docker info -f '{{.Swarm.NodeID}}') >/dev/null",
        );
        json(&["apply", "--yes", "playbooks"]).exits(0);
    });
    book.check("teardown, the services first; the data is kept", || {
        // A share that containers use is not unmounted, and a plan cannot know yet that they will be gone.
        json(&["apply", "--yes", "--allow-disruptive", "playbooks/ops/teardown/10-services.toml"]).exits(0);
        json(&["apply", "--yes", "--allow-disruptive", "playbooks/ops/teardown"]).exits(0);
        for node in NODES {
            assert_eq!(on(node, "docker info -f '{{.Swarm.LocalNodeState}}'"), "inactive", "{node}");
            assert_eq!(on(node, "grep -c nfs_file /proc/self/mountinfo || :"), "0", "{node}");
        }
        assert_ne!(on("143", "ls -A /mnt/nfs_file/redis"), "");
    });
    book.check("the whole again on the torn-down hosts, with the old data", || {
        let plan = json(&["plan", "playbooks"]).exits(2);
        let apply = json(&["apply", "--yes", "playbooks"]).exits(0);
        same(&plan, &apply);
        assert_eq!(eventually("144"), "kept");
    });
}

/// The host that runs Redis.
fn runs_on() -> String {
    let has = |node: &&&str| !on(node, "docker ps -q --filter name=redis --filter status=running").is_empty();
    for _ in 0..60 {
        if let Some(node) = NODES.iter().find(has) {
            return (*node).to_owned();
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    panic!("no node runs it");
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
    for _ in 0..180 {
        if let Ok(value) = try_redis(node, &["GET", "seed"])
            && !value.starts_with('-')
        {
            return value;
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    panic!("{node}: never read back")
}
