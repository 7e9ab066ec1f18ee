//! The examples of all documents, one after the other, as somebody does who copies them from `hostwright explain`.
//!
//! Each document's examples are one playbook, which is applied to hosts that have all the documents before it. Then a
//! second plan must have nothing to do. What an example presupposes, and where the lab is no such host, is in a table.

mod documents;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::Book;
use crate::lab::{PASSWORD, Ran, lab, on, with_inventory};
use documents::{ALL, Document};

/// The hosts that the documents name. The group is for what a document says of many hosts.
const INVENTORY: &str = r#"
[defaults]
user = "root"

[defaults.vars]
redis_password = { env = "REDIS_PASSWORD" }

[hosts.nfs-01]
address = "192.168.158.143"

[hosts.manager-01]
address = "192.168.158.144"

[hosts.worker-01]
address = "192.168.158.145"

[groups.swarm]
hosts = ["manager-01", "worker-01"]
"#;

/// The lab's own sshd has the wanted settings already, and its hosts neither swap nor time zones.
const AS_INSTALLED: &str = "set -e
sed -i 's/^PermitRootLogin .*/#&/; s/^PasswordAuthentication no/#PasswordAuthentication yes/' /etc/ssh/sshd_config
printf 'Match User guest\\n\\tX11Forwarding no\\n' >>/etc/ssh/sshd_config
echo '/dev/vdc none swap defaults 0 0' >>/etc/fstab
mkdir -p /usr/share/zoneinfo/Europe
[ -e /usr/share/zoneinfo/Europe/Berlin ] || echo TZif2 >/usr/share/zoneinfo/Europe/Berlin";

/// What a run has kept of a file that it changed.
const KEPT: &str = "set -e
path=/etc/app/limits.conf run=/var/lib/hostwright/backups/20261126T020011Z-4711-a3f0
name=$(printf %s $path | sha256sum | cut -c 1-16)
mkdir -p /etc/app; echo new >$path; mkdir -p -m 700 $run; echo old >$run/$name
printf '%s\\tfile 644\\tfile %s\\t%s\\n' $name $(sha256sum <$path | cut -c 1-64) $path >$run/manifest";

pub fn chapter(book: &mut Book) {
    book.check("every example of every document is in a list", listed);
    book.check("three fresh hosts", || {
        lab(&["up", "3"]);
    });
    book.check("the first one gets what distributions put into their files", || {
        on("143", AS_INSTALLED);
        on("143", KEPT);
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("inventory.toml"), INVENTORY).unwrap();
    std::fs::create_dir(folder.path().join("files")).unwrap();
    std::fs::write(folder.path().join("files/app.conf.j2"), "name = {{ host.name }}\n").unwrap();
    let try_these = |book: &mut Book, documents: &[&Document]| {
        for document in documents {
            let what = format!("the examples of {} work, and then there is nothing to do", document.kind);
            book.check(&what, || tried(document, folder.path()));
        }
    };
    let (stay, undo): (Vec<_>, Vec<_>) = ALL.iter().partition(|d| d.apart.is_empty());
    try_these(book, &stay);
    book.check("no document undoes what another one has done", || {
        let exists = |kind: &&str| folder.path().join(format!("{kind}.toml")).exists();
        let books: Vec<_> = stay.iter().map(|d| d.kind).filter(exists).collect();
        let again: Vec<_> = stay.iter().flat_map(|d| d.again).copied().collect();
        quiet(&run(folder.path(), &["plan"], &books), &again);
    });
    try_these(book, &undo);
}

/// One step as it is written in a document, or before one in the table.
struct Example {
    name: String,
    text: String,
}

impl Document {
    /// The examples of the document, with what is rewritten.
    fn examples(&self) -> Vec<Example> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/step/{}.md", self.kind));
        let mut text = std::fs::read_to_string(file).unwrap();
        for (old, new, _) in self.rewritten {
            assert!(text.contains(old), "{}: {old:?} is not in the document any more", self.kind);
            text = text.replace(old, new);
        }
        let blocks = text.split("```toml\n").skip(1).map(|block| block.split("```").next().unwrap());
        blocks.flat_map(steps).collect()
    }

    /// A playbook of the table's steps, and of the examples that are `chosen`.
    fn playbook(&self, chosen: impl Fn(&str) -> bool) -> Option<String> {
        let examples: Vec<_> = self.examples().into_iter().filter(|e| chosen(&e.name)).collect();
        let first: Vec<_> = steps(self.first).collect();
        let all = first.iter().chain(&examples).map(|step| {
            if step.text.contains("\nhosts = ") {
                step.text.clone()
            } else {
                step.text.replacen('\n', &format!("\nhosts = \"{}\"\n", self.hosts), 1)
            }
        });
        let head = format!("title = \"Examples of {}\"\nhosts = \"all\"\n\n", self.kind);
        (!examples.is_empty()).then(|| head + &all.collect::<String>())
    }
}

/// The steps of a text of TOML. An example that is none is refused: the list would not see it.
fn steps(text: &str) -> impl Iterator<Item = Example> {
    const START: &str = "[[step]]\n";
    let text = text.trim_start();
    assert!(text.is_empty() || text.starts_with(START), "an example that does not begin with a step: {text}");
    text.split(START).skip(1).map(|step| {
        let name = step.lines().find_map(|l| l.strip_prefix("name = \"")).expect("an example has a name");
        Example {
            name: name.trim_end_matches('"').to_owned(),
            text: format!("{START}{}\n\n", step.trim_end()),
        }
    })
}

fn names(list: &[(&str, &str)]) -> BTreeSet<String> {
    list.iter().map(|(name, _)| (*name).to_owned()).collect()
}

fn listed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/step");
    let written: BTreeSet<_> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|f| f.unwrap().file_name().to_str().unwrap().strip_suffix(".md").map(str::to_owned))
        .collect();
    let tried: BTreeSet<_> = ALL.iter().map(|d| d.kind.to_owned()).collect();
    assert_eq!(written, tried, "documents, and those in the table of this chapter");
    assert_eq!(ALL.len(), tried.len(), "a document is in the table once");
    for document in ALL {
        let examples: Vec<_> = document.examples().into_iter().map(|e| e.name).collect();
        let different: BTreeSet<_> = examples.iter().cloned().collect();
        assert_eq!(different.len(), examples.len(), "{}: two examples of one name", document.kind);
        for list in [document.again, document.apart, document.only_planned] {
            assert!(
                names(list).is_subset(&different),
                "{}: an example that is gone: {list:?}",
                document.kind
            );
        }
        let why = [document.again, document.apart, document.only_planned].concat();
        let rewritten = document.rewritten.iter().map(|(_, _, why)| *why);
        assert!(why.into_iter().map(|(_, why)| why).chain(rewritten).all(|why| why.len() > 10), "a reason");
    }
}

/// Applies the examples of a document, and plans them again.
fn tried(document: &Document, folder: &Path) {
    let (apart, planned) = (names(document.apart), names(document.only_planned));
    let write = |name: &str, text: Option<String>| {
        text.inspect(|text| std::fs::write(folder.join(format!("{name}.toml")), text).unwrap()).is_some()
    };
    if write(document.kind, document.playbook(|name| !apart.contains(name) && !planned.contains(name))) {
        applied(folder, document.kind, document.again);
    }
    let other = format!("{}-apart", document.kind);
    if write(&other, document.playbook(|name| apart.contains(name))) {
        applied(folder, &other, &[]);
    }
    let other = format!("{}-planned", document.kind);
    if write(&other, document.playbook(|name| planned.contains(name))) {
        let ran = run(folder, &["plan"], &[&other]);
        assert!([0, 2].contains(&ran.code), "{}\nstdout: {}\nstderr: {}", ran.code, ran.stdout, ran.stderr);
    }
}

fn applied(folder: &Path, playbook: &str, again: &[(&str, &str)]) {
    let apply = run(folder, &["apply", "--yes", "--allow-disruptive"], &[playbook]).exits(0);
    // An example that did not run at all would pass for one that works.
    let mut finished = apply.finished();
    if finished.is_empty() {
        // Nothing to do: then nothing is begun.
        finished = apply.planned();
    }
    for (step, _) in apply.planned() {
        let outcome = finished.iter().find(|(s, _)| *s == step).map_or("never run", |(_, o)| o.as_str());
        assert!(
            ["changed", "unchanged"].contains(&outcome),
            "{playbook}: {step}: {outcome}\n{}",
            apply.stdout
        );
    }
    quiet(&run(folder, &["plan"], &[playbook]), again);
}

/// Asserts that a plan has nothing to do but the steps that have something to do each time, and has these.
fn quiet(plan: &Ran, again: &[(&str, &str)]) {
    let wanted = names(again);
    let word = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let mut found = BTreeSet::new();
    for event in plan.events().iter().filter(|e| e["event"] == "planned" && e["handler"] == false) {
        let name = word(event, "name");
        match event["forecast"]["forecast"].as_str().unwrap() {
            "unchanged" => {}
            "change" if wanted.contains(&name) => drop(found.insert(name)),
            _ => panic!("{} on {}: {}", name, word(event, "host"), event["forecast"]),
        }
    }
    assert_eq!(found, wanted, "what has something to do at each run");
    let code = if wanted.is_empty() { 0 } else { 2 };
    assert_eq!(plan.code, code, "\nstdout: {}\nstderr: {}", plan.stdout, plan.stderr);
}

/// Runs the binary with playbooks of the folder, and with its inventory.
fn run(folder: &Path, command: &[&str], playbooks: &[&str]) -> Ran {
    let path = |name: &str| folder.join(format!("{name}.toml")).to_str().unwrap().to_owned();
    let books: Vec<_> = playbooks.iter().map(|b| path(b)).collect();
    let books = books.iter().map(String::as_str);
    let all: Vec<_> = command.iter().copied().chain(books).chain(["--format", "json"]).collect();
    with_inventory(&path("inventory"), &all).never_says(PASSWORD)
}
