//! The way back: four fresh hosts become an NFS server and its clients by one apply, and are what they were by one undo.

use crate::Book;
use crate::lab::{Ran, alone, json, lab, on};

const NFS: [&str; 2] = ["playbooks/10-nfs-server.toml", "playbooks/20-nfs-clients.toml"];

/// What a host is: its files below /etc that are not caches, packages, units, mounts and firewall. Users that a package makes
/// stay when it goes.
const STATE: &str = "cd /etc && find . -type f ! -name '*.cache' ! -name '*~' ! -name '*-' ! -name 'ld.so.*' ! -path './selinux/*' \
     ! -path './pki/*' ! -path './systemd/system/*' ! -name '*passwd' ! -name '*group' ! -name '*shadow' -exec sha256sum {} + | sort -k2; rpm -qa | sort; \
     systemctl list-unit-files --no-legend --state=enabled | sort; cut -d' ' -f2,3 /proc/mounts | grep nfs; \
     firewall-cmd --list-all 2>/dev/null || :";

/// The id of the newest apply of these playbooks.
fn newest() -> String {
    let first = alone(&["history", "--playbook", NFS[1], "--format", "json"])
        .stdout
        .lines()
        .next()
        .unwrap()
        .to_owned();
    let first: serde_json::Value = serde_json::from_str(&first).unwrap();
    first["header"]["run"].as_str().unwrap().to_owned()
}

pub fn chapter(book: &mut Book) {
    let mut before = Vec::new();
    let hosts = ["143", "144", "145", "146"];
    book.check("four fresh hosts to go and come back", || {
        lab(&["up"]);
        before = hosts.map(|host| on(host, STATE)).to_vec();
    });
    let mut run = String::new();
    book.check("an apply is undone as a whole, by a plan that says so", || {
        json(&[&["apply", "--yes"][..], &NFS].concat()).exits(0);
        run = newest();
        let undone: Ran = alone(&["undo", &run, "--yes", "--allow-disruptive", "--format", "json"]).exits(0);
        assert!(!undone.changed().is_empty());
        for (host, before) in hosts.iter().zip(&before) {
            let (before, after) = (before.lines().collect::<Vec<_>>(), on(host, STATE));
            let gone: Vec<_> = before.iter().filter(|line| !after.lines().any(|l| l == **line)).collect();
            assert!(gone.is_empty(), "{host}: not as before: {gone:#?}");
            let nfs = |line: &&str| {
                line.contains("nfs-utils") || line.contains("exports.d/") || line.contains(" nfs4")
            };
            let left: Vec<_> = after.lines().filter(|l| !before.contains(l)).filter(nfs).collect();
            assert!(left.is_empty(), "{host}: still there: {left:#?}");
        }
    });
    book.check("undone twice is undone once", || {
        assert_eq!(alone(&["undo", &run, "--yes", "--format", "json"]).exits(0).changed(), [""; 0]);
    });
    book.check("and the apply can be done again", || {
        json(&[&["apply", "--yes"][..], &NFS].concat()).exits(0);
        json(&[&["plan"][..], &NFS].concat()).exits(0);
    });
}
