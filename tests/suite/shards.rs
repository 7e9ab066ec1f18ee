//! Shards: hosts that need one another stay together, and what each of them has found becomes one report.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hostwright::config::{self, Environment, Options};
use hostwright::shard::{AMONG_HOSTS, Shard, Split, split};
use hostwright::step::KINDS;

use super::cli::Sandbox;
use super::config::Memory;

const INVENTORY: &str = r#"
[hosts.nfs]
address = "10.0.0.1"
[hosts."client-[1:4]"]
address = "10.0.1.[1:4]"
[hosts."web-[01:10]"]
address = "10.0.2.[1:10]"
"#;

fn load(playbooks: &[&str], shard: Option<&str>) -> config::Loaded {
    let mut files = BTreeMap::from([("inventory.toml".to_owned(), INVENTORY.as_bytes().to_vec())]);
    let mut wanted = Options { inventory: "inventory.toml".into(), ..Options::default() };
    wanted.shard = shard.map(|text| text.parse().unwrap());
    for (n, text) in playbooks.iter().enumerate() {
        files.insert(format!("p{n}.toml"), text.as_bytes().to_vec());
        wanted.playbooks.push(PathBuf::from(format!("p{n}.toml")));
    }
    let environment: Arc<dyn Environment> = Arc::new(Memory { files, variables: BTreeMap::new() });
    let loaded = config::load(&wanted, &environment);
    assert!(loaded.run.is_some(), "{:?}", loaded.diagnostics);
    loaded
}

/// How many hosts are in each shard, and what ties those that are more than an even share.
fn sizes(of: usize, playbooks: &[&str]) -> (Vec<usize>, Vec<String>) {
    let run = load(playbooks, None).run.unwrap();
    let Split { shards, tied } = split(&run, of);
    let all: BTreeSet<_> = shards.iter().flatten().collect();
    assert_eq!((all.len(), shards.iter().map(Vec::len).sum::<usize>()), (run.hosts.len(), run.hosts.len()));
    assert!(shards.iter().all(|shard| shard.is_sorted()));
    (shards.iter().map(Vec::len).collect(), tied.into_iter().flat_map(|t| t.why).collect())
}

const PLAIN: &str = "hosts = \"*\"\n[[step]]\ndirectory = { path = \"/srv/{{ host.name }}\" }\n";

#[test]
fn hosts_that_need_nobody_are_dealt_out_evenly() {
    assert_eq!(sizes(3, &[PLAIN]), (vec![5, 5, 5], vec![]));
    assert_eq!(sizes(1, &[PLAIN]).0, [15]);
    let (many, _) = sizes(20, &[PLAIN]);
    assert_eq!(many.iter().filter(|n| **n == 0).count(), 5, "{many:?}");
}

#[test]
fn hosts_that_need_one_another_stay_together() {
    let export = "hosts = \"nfs\"\n[[step]]\nid = \"share\"\nnfs_export = { path = \"/srv\", clients = [\"10.0.0.0/8\"] }\n";
    let mount = "hosts = \"client-*\"\n[[step]]\nid = \"share\"\nmount = { path = \"/srv\", source = \"nfs:/srv\", fstype = \"nfs\" }\n";
    let (shards, why) = sizes(5, &[PLAIN, export, mount]);
    assert_eq!(shards, [5, 3, 3, 2, 2]);
    assert!(why[0].starts_with("p2/share of client-1 "), "{why:?}");

    let rolling = format!("serial = 2\n{}", PLAIN.replace("\"*\"", "\"web-*\""));
    let (shards, why) = sizes(2, &[PLAIN, &rolling]);
    assert_eq!((shards, why.len()), (vec![10, 5], 1));
    assert!(why[0].contains("`p1` goes in batches"), "{why:?}");

    let swarm = "hosts = \"web-*\"\n[[step]]\nhosts = \"web-01\"\nswarm_init = { advertise_addr = \"10.0.2.1\" }\n\
                 [[step]]\nhosts = \"web-0[2:4]\"\nswarm_join = { manager = \"web-01\", role = \"worker\" }\n";
    assert_eq!(sizes(4, &[PLAIN, swarm]).0, [4, 4, 4, 3]);

    // What it needs shows only with facts: all of its hosts stay together, for a kind that may need others.
    let later = "hosts = \"web-*\"\n[[step]]\nmount = { path = \"/srv\", source = \"{{ facts.hostname }}:/srv\", fstype = \"nfs\" }\n";
    let (shards, why) = sizes(3, &[PLAIN, later]);
    assert_eq!(shards, [10, 3, 2]);
    assert!(why[0].contains("only when hosts have answered"), "{why:?}");
    let own =
        "hosts = \"web-*\"\n[[step]]\nfile = { path = \"/srv/x\", content = \"{{ facts.hostname }}\" }\n";
    assert_eq!(sizes(3, &[PLAIN, own]).0, [5, 5, 5]);
}

#[test]
fn a_shard_is_a_run_on_its_hosts_alone() {
    let web = PLAIN.replace("\"*\"", "\"web-*\"");
    let mut hosts = BTreeSet::new();
    for shard in ["1/4", "2/4", "3/4", "4/4"] {
        let loaded = load(&[PLAIN, &web], Some(shard));
        let run = loaded.run.unwrap();
        assert_eq!((loaded.of_hosts, run.plays.len()), (15, 2), "its playbooks keep their positions");
        for play in &run.plays {
            assert!(play.hosts.iter().all(|n| n.position() < run.hosts.len()));
        }
        let webs = run.plays[1].hosts.iter().map(|n| &run.hosts[*n].name);
        assert!(webs.clone().all(|name| name.as_str().starts_with("web-")));
        hosts.extend(run.hosts.iter().map(|host| host.name.to_string()));
    }
    assert_eq!(hosts.len(), 15);
    for wrong in ["0/3", "4/3", "3", "a/b", "1/0", "1/100000", "-1/3"] {
        assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
    }
}

/// Whoever adds a kind that asks other hosts, or has to do with the fleet, adds it to the list.
#[test]
fn kinds_that_have_to_do_with_other_hosts_are_known() {
    fn texts(path: &Path) -> String {
        if path.is_dir() {
            return std::fs::read_dir(path).unwrap().map(|entry| texts(&entry.unwrap().path())).collect();
        }
        if path.extension().is_some_and(|ending| ending == "rs") {
            std::fs::read_to_string(path).unwrap()
        } else {
            String::new()
        }
    }
    let signs = ["Resource::on(", "Resource::fleet(", "fn exclusive", ".on(", "versioned::", "Scope::"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/step");
    for kind in KINDS {
        let text = texts(&root.join(format!("{}.rs", kind.name))) + &texts(&root.join(kind.name));
        let further = signs.iter().any(|sign| text.contains(sign));
        assert_eq!(further, AMONG_HOSTS.contains(&kind.name), "{}", kind.name);
    }
}

/// The report that a plan of each shard leaves.
fn plans(sandbox: &Sandbox, of: usize, playbook: &str) {
    for number in 1..=of {
        let (shard, report) = (format!("{number}/{of}"), format!("{number}.json"));
        let (code, _, err) = sandbox.run_now(&["audit", "--shard", &shard, "--report", &report, playbook]);
        assert_eq!(code, 2, "{err}");
    }
}

#[test]
fn reports_of_shards_become_one() {
    let sandbox = Sandbox::new();
    sandbox.write("inventory.toml", "[hosts.\"node-[1:12]\"]\nconnection = \"local\"\n");
    sandbox.write("p.toml", "hosts = \"*\"\n[[step]]\ndirectory = \"/nowhere/x\"\n[[step]]\nhosts = \"node-2\"\nfile = { path = \"/nowhere/y\", content = \"y\" }\n");
    plans(&sandbox, 3, "p.toml");
    let (code, whole, err) =
        sandbox.run_now(&["show", "./3.json", "./1.json", "./2.json", "--report", "all.json"]);
    assert_eq!(code, 0, "{err}");
    assert!(whole.contains("12 hosts are as described"), "{whole}");
    assert!(whole.contains("Audit: 0 of 12 hosts"), "{whole}");
    // As one run tells it.
    let (_, one, _) = sandbox.run_now(&["audit", "p.toml"]);
    assert_eq!(whole, one);
    let (_, again, _) = sandbox.run_now(&["show", "./all.json"]);
    assert_eq!(again, one);

    let (code, out, err) = sandbox.run_now(&["show", "./3.json", "./1.json"]);
    assert_eq!((code, out.contains("0 of 8 hosts")), (0, true), "{out}");
    assert!(err.contains("there is nothing of shard 2/3"), "{err}");
    let (code, _, err) = sandbox.run_now(&["show", "./3.json", "./all.json"]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("are both about") || err.contains("split in different ways"), "{err}");
    sandbox.write("p.toml", "hosts = \"*\"\n[[step]]\ndirectory = \"/nowhere/z\"\n");
    plans(&sandbox, 3, "p.toml");
    std::fs::rename(sandbox.path().join("1.json"), sandbox.path().join("other.json")).unwrap();
    let journal = std::fs::read_dir(sandbox.path().join(".state/hostwright/runs")).unwrap();
    let mut journals: Vec<_> = journal.map(|file| file.unwrap().path()).collect();
    journals.sort();
    let first = journals[0].to_str().unwrap();
    let (code, _, err) = sandbox.run_now(&["show", "./other.json", first]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("files of one are others") || err.contains("both about"), "{err}");
}

#[test]
fn an_apply_of_several_playbooks_wants_a_place_to_meet() {
    let sandbox = Sandbox::new();
    sandbox.write("inventory.toml", "[hosts.\"node-[1:2]\"]\nconnection = \"local\"\n");
    let data = sandbox.path().join("data");
    sandbox.write("a.toml", &format!("hosts = \"*\"\n[[step]]\ndirectory = \"{}\"\n", data.display()));
    sandbox.write("b.toml", "hosts = \"*\"\n[[step]]\nassert = { that = [\"true\"] }\n");
    let (code, _, err) = sandbox.run_now(&["apply", "--yes", "--shard", "1/2", "a.toml", "b.toml"]);
    assert_eq!(code, 3);
    assert!(err.contains("--shard-folder DIR"), "{err}");
    assert!(!data.exists(), "nothing was changed");
    let (code, _, err) = sandbox.run_now(&["apply", "--yes", "--shard-folder", "x", "a.toml"]);
    assert_eq!(code, 3);
    assert!(err.contains("give --shard I/N too"), "{err}");
    let (code, _, err) = sandbox.run(&["apply", "--yes", "--shard", "1/2", "a.toml"]);
    assert_eq!(code, 0, "one playbook has nobody to wait for: {err}");
}
