//! Cables that are pulled out and controllers that are killed, in the middle of what must not be cut.

use std::time::Duration;

use serde_json::Value;

use crate::Book;
use crate::lab::{INVENTORY, json, lab, on, start, temporary, until};

const ALL: [&str; 4] = ["143", "144", "145", "146"];

/// So often the controller is killed on its way through the recipe.
const KILLS: usize = 10;

/// What must not be done twice, and takes a while; nothing shows that it was done.
const ONCE: &str = r#"
title = "Once"
hosts = "all"
become = true

[[step]]
name = "Counts"
command = { run = "sleep 5; echo done >>/root/counted", always = true }
silence = { "always-runs" = "that is what is looked at" }
"#;

/// An apply behind one that was cut off. What that has begun ends first, and behind a long cut both ends try again
/// seldom, so that a host may learn late that a run has ended.
const APPLY: [&str; 4] = ["apply", "--yes", "--lock-wait", "5m"];

pub fn chapter(book: &mut Book) {
    book.check("four fresh hosts", || {
        lab(&["up", "--same-hostname"]);
    });
    book.check("the link down for a minute, and for a moment, while packages are installed", || {
        let nfs = ["playbooks/10-nfs-server.toml", "playbooks/20-nfs-clients.toml"];
        cut(&nfs, "145", 60, |e| installs(e, "worker-01"));
        cut(&["playbooks/30-docker.toml"], "146", 5, |e| installs(e, "worker-02"));
    });
    book.check("the same while workers join", || {
        let swarm = ["playbooks/40-swarm.toml"];
        cut(&swarm, "145", 5, |e| begins(e, "worker-01", "join through"));
        on("146", "docker swarm leave");
        on("144", "until docker node ls | grep -q Down; do sleep 1; done; docker node ls | awk '/Down/ { print $1 }' | xargs docker node rm");
        cut(&swarm, "146", 60, |e| begins(e, "worker-02", "join through"));
    });
    book.check("the same while an image is pulled", || {
        let redis = ["playbooks/50-redis.toml"];
        cut(&redis, "146", 60, |e| begins(e, "worker-02", "pull redis"));
        let idle =
            if on("145", "docker ps -q").is_empty() { ("145", "worker-01") } else { ("146", "worker-02") };
        on(idle.0, "docker image rm redis:7.0.15");
        cut(&redis, idle.0, 5, |e| begins(e, idle.1, "pull redis"));
        nothing_left();
    });
    book.check("a login whose processes are killed takes no action along", sessions_are_killed);
}

/// Each login is in a scope of its own, as `pam_systemd` makes it (see its manual), and with the controller gone all in it
/// are killed while an action runs: so does logind at the end of a login with `KillUserProcesses=yes` (logind.conf(5)).
fn sessions_are_killed() {
    let login = r#"cat >/root/login <<'E'
#!/bin/sh
exec systemd-run -q --scope --slice=user.slice --unit="session-$$" /bin/sh -c "${SSH_ORIGINAL_COMMAND:-sh}"
E
chmod 755 /root/login && echo 'ForceCommand /root/login' >>/etc/ssh/sshd_config && systemctl restart sshd"#;
    on("146", login);
    let playbook = temporary(&ONCE.replace("\"all\"", "\"worker-02\"").replace("sleep 5", "sleep 8"));
    let path = playbook.path().to_str().unwrap();
    // By a connection of its own: one that is open already knows nothing of the new configuration of sshd.
    let mut run = start(INVENTORY, &["apply", "--yes", path, "--keep", "0", "--format", "json"]);
    assert!(run.reaches(|e| e["event"] == "action_started"));
    std::thread::sleep(Duration::from_secs(2));
    let logins = on("146", "systemctl list-units --no-legend --plain 'session-*.scope' | wc -l");
    assert!(logins.trim().parse::<u32>().unwrap() > 1, "no login but this one is in a scope");
    run.kill();
    on("146", "systemd-run -q --unit=killer sh -c 'sleep 1; systemctl kill -s KILL \"session-*.scope\"'");
    std::thread::sleep(Duration::from_secs(2));
    json(&[&APPLY[..], &[path]].concat()).exits(0);
    assert_eq!(on("146", "cat /root/counted"), "done");
    on("146", "sed -i '/^ForceCommand/d' /etc/ssh/sshd_config; systemctl restart sshd");
}

/// The controller is killed.
pub fn kills(book: &mut Book) {
    book.check("four fresh hosts of one name", || {
        lab(&["up", "--same-hostname"]);
    });
    book.check(
        "the controller killed at ten points of the recipe, and the next apply goes on each time",
        || {
            let mut killed = 0;
            for n in 0..KILLS {
                let mut run = start(INVENTORY, &[&APPLY[..], &["playbooks", "--format", "json"]].concat());
                // Each time after a few more actions than the run before has left.
                let actions = std::cell::Cell::new(0);
                let reached = run.reaches(|e| {
                    actions.set(actions.get() + usize::from(e["event"] == "action_started"));
                    actions.get() > 2 + n % 4
                });
                if reached {
                    run.kill();
                    killed += 1;
                } else {
                    run.ended().exits(0);
                    break;
                }
            }
            assert!(killed == KILLS, "the recipe was done after {killed} kills");
            let last = json(&[&APPLY[..], &["playbooks"]].concat()).exits(0);
            println!("  {killed} kills, then {} changes", last.changed().len());
            json(&["plan", "playbooks"]).exits(0);
            nothing_left();
        },
    );
    book.check(
        "what must not run twice runs once, though the controller is killed in the middle of it",
        || {
            let playbook = temporary(ONCE);
            let path = playbook.path().to_str().unwrap();
            let mut run = start(INVENTORY, &["apply", "--yes", path, "--format", "json"]);
            let begun = std::cell::Cell::new(0);
            assert!(run.reaches(|e| {
                begun.set(begun.get() + usize::from(e["event"] == "action_started"));
                begun.get() == ALL.len()
            }));
            // Told when it is sent: now it has begun.
            std::thread::sleep(Duration::from_secs(2));
            run.kill();
            json(&[&APPLY[..], &[path]].concat()).exits(0);
            for host in ALL {
                assert_eq!(on(host, "cat /root/counted"), "done", "{host}");
            }
            nothing_left();
        },
    );
}

/// Whether an event says that an action whose label begins so begins on a host.
fn begins(event: &Value, host: &str, label: &str) -> bool {
    event["event"] == "action_started"
        && event["host"] == host
        && event["label"].as_str().is_some_and(|l| l.starts_with(label))
}

/// Whether an event says that packages are unpacked on a host: before that they are fetched, and a package manager whose
/// mirror is gone gives up.
fn installs(event: &Value, host: &str) -> bool {
    event["event"] == "output"
        && event["host"] == host
        && event["line"].as_str().is_some_and(|l| l.starts_with("Running transaction"))
}

/// Applies playbooks, with the cable of a host out for so many seconds when an event comes. It goes on as if nothing had
/// happened, and nothing is left to do.
fn cut(playbooks: &[&str], host: &str, seconds: u64, when: impl Fn(&Value) -> bool) {
    let mut run = start(INVENTORY, &[&["apply", "--yes", "--format", "json"], playbooks].concat());
    assert!(run.reaches(when), "what was to be cut did not begin: {}", run.ended().stdout);
    lab(&["cut", host]);
    std::thread::sleep(Duration::from_secs(seconds));
    lab(&["heal", host]);
    let ran = run.ended();
    let events = ran.events();
    let away = events.iter().filter(|e| e["event"] == "host_back").count();
    // What a host does needs the network as well: then its command says so, and the next apply goes on.
    let failed: Vec<_> = events.iter().filter(|e| e["outcome"] == "failed").collect();
    println!("  {host} cut for {seconds} s: lost and back {away} times, {} steps failed", failed.len());
    if let Some(first) = failed.first() {
        println!("  {}", first["failure"]["output"]);
        assert!(failed.iter().all(|e| e["failure"]["code"].is_number()), "{failed:#?}");
        ran.exits(1);
        json(&[&APPLY[..], playbooks].concat()).exits(0);
    } else {
        ran.exits(0);
    }
    json(&[&["plan"], playbooks].concat()).exits(0);
}

/// No lock is held, no action is under way or has left anything.
fn nothing_left() {
    for host in ALL {
        until("nothing runs any more", || {
            on(host, "ls -A /run/hostwright/runs 2>/dev/null; systemctl list-units --plain --no-legend 'hostwright*'")
                .is_empty()
        });
        on(host, "flock -n /run/hostwright/lock true");
    }
}
