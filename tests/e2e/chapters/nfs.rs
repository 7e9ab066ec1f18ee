//! From four fresh hosts to an NFS server and clients that have the share mounted, now and at boot; then all
//! that goes wrong with it.

use crate::Book;
use crate::lab::{INVENTORY, hostwright, json, lab, on, same, temporary, until, with_inventory};

const SERVER: &str = "playbooks/10-nfs-server.toml";
const CLIENTS: &str = "playbooks/20-nfs-clients.toml";
const SHARE: &str = "/mnt/nfs_file";

pub fn chapter(book: &mut Book) {
    book.check("four fresh hosts", || {
        lab(&["up"]);
    });
    book.check("check finds nothing wrong in the bundled playbooks, offline", || {
        hostwright(&["check", SERVER, CLIENTS]).exits(0);
    });
    let mut plan = None;
    book.check("plan on fresh hosts shows all that is missing and changes nothing", || {
        let ran = json(&["plan", SERVER, CLIENTS]).exits(2);
        assert!(ran.planned().iter().all(|(_, f)| f == "change" || f == "skipped" || f == "unchanged"));
        assert!(
            ran.stdout.contains("\"predicted\":[{"),
            "units of packages that are not there yet are predicted"
        );
        assert_eq!(on("143", "rpm -q nfs-utils >/dev/null || echo none"), "none");
        hostwright(&["plan", SERVER, CLIENTS]).exits(2).says("predicted").says(SHARE);
        plan = Some(ran);
    });
    book.check("apply does what the plan said, step by step", || {
        let ran = json(&["apply", "--yes", SERVER, CLIENTS]).exits(0);
        same(plan.as_ref().unwrap(), &ran);
    });
    book.check("the share is mounted on every client, now and at boot", || {
        on(
            "143",
            &format!(
                "echo hello >{SHARE}/redis/proof && chmod 644 {SHARE}/redis/proof && chmod 755 {SHARE}/redis"
            ),
        );
        for client in ["144", "145", "146"] {
            assert!(on(client, "cat /proc/self/mounts").contains(&format!(":{SHARE} {SHARE} nfs4 ")));
            assert!(on(client, "cat /etc/fstab").contains(&format!("192.168.158.143:{SHARE} {SHARE} nfs")));
            assert_eq!(on(client, &format!("cat {SHARE}/redis/proof")), "hello");
        }
        on("143", &format!("chmod 750 {SHARE}/redis"));
    });
    book.check("plan again: nothing to do, exit 0", || {
        let ran = json(&["plan", SERVER, CLIENTS]).exits(0);
        assert_eq!(ran.to_change(), [""; 0]);
        hostwright(&["plan", SERVER, CLIENTS]).exits(0).says("Nothing to do");
        hostwright(&["apply", "--yes", SERVER, CLIENTS]).exits(0);
    });
    book.check("changed by hand: plan names exactly what, apply mends exactly that", mend);
    book.check("logins: sudo without and with a password, other login shells, chatter", logins);
    book.check("a missing sudo right and a wrong password are clear errors", refused);
    book.check("an unknown host key is a clear error", unknown_key);
    book.check("a full disk and a read-only file system leave nothing half-written", full_disk);
    book.check("a host that is off is unreachable, and the others are done", off);
    book.check("after its reboot a client has the share again", reboot);
    book.check("a dead server hangs nothing", dead_server);
}

/// A file edited, a service stopped, a share unmounted: each on another host.
fn mend() {
    on("145", &format!("umount {SHARE}"));
    on("143", "sed -i s/root_squash/no_root_squash/ /etc/exports.d/*.exports");
    on("143", "systemctl -q stop nfs-server");
    let plan = json(&["plan", SERVER, CLIENTS]).exits(2);
    let wanted = plan.to_change();
    // The third one of the server follows from the second: a stopped server does not answer.
    let names = [
        "nfs-01 nfs-server-answers",
        "nfs-01 nfs-server-runs-now-and-at-boot",
        "nfs-01 share-for-the-containers",
        "worker-01 share-is-mounted-now-and-at-boot",
    ];
    assert_eq!(wanted, names);
    let apply = json(&["apply", "--yes", SERVER, CLIENTS]).exits(0);
    assert_eq!(apply.changed(), wanted);
    json(&["plan", SERVER, CLIENTS]).exits(0);
    assert!(on("145", "cat /proc/self/mounts").contains(SHARE));
}

/// The lab's inventory with another user for all hosts.
fn as_user(user: &str) -> tempfile::NamedTempFile {
    let text = std::fs::read_to_string(INVENTORY).unwrap();
    temporary(&text.replace("user = \"root\"", &format!("user = \"{user}\"")))
}

fn logins() {
    for user in ["admin", "fishy", "cshy", "chatty"] {
        let inventory = as_user(user);
        with_inventory(inventory.path().to_str().unwrap(), &["plan", SERVER, CLIENTS])
            .exits(0)
            .says("Nothing to do");
    }
    let password = temporary("ops-secret\n");
    let inventory = as_user("ops");
    let file = password.path().to_str().unwrap();
    with_inventory(
        inventory.path().to_str().unwrap(),
        &["plan", "--become-password-file", file, SERVER, CLIENTS],
    )
    .exits(0)
    .says("Nothing to do")
    .never_says("ops-secret");
}

fn refused() {
    let password = temporary("not-the-password\n");
    let (ops, guest) = (as_user("ops"), as_user("guest"));
    let file = password.path().to_str().unwrap();
    with_inventory(ops.path().to_str().unwrap(), &["plan", "--become-password-file", file, SERVER])
        .exits(1)
        .says("password")
        .never_says("not-the-password");
    with_inventory(ops.path().to_str().unwrap(), &["plan", SERVER]).exits(1).says("--become-password-file");
    with_inventory(guest.path().to_str().unwrap(), &["plan", "--become-password-file", file, SERVER])
        .exits(1)
        .says("sudo");
}

fn unknown_key() {
    let known = temporary("");
    let text = std::fs::read_to_string(INVENTORY).unwrap();
    let options = format!(
        "user = \"root\"\nssh_options = [\"StrictHostKeyChecking=yes\", \"UserKnownHostsFile={}\"]",
        known.path().display()
    );
    let inventory = temporary(&text.replace("user = \"root\"", &options));
    with_inventory(inventory.path().to_str().unwrap(), &["plan", SERVER]).exits(4).says("host key");
}

fn full_disk() {
    on(
        "144",
        "mkdir -p /full /frozen && mount -t tmpfs -o size=64k none /full && mount -t tmpfs none /frozen && echo old >/full/file && echo old >/frozen/file && mount -o remount,ro /frozen",
    );
    let content = "x".repeat(200_000);
    let playbook = |folder: &str| {
        temporary(&format!(
            "title = \"Too much\"\nhosts = \"manager-01:worker-01\"\nbecome = true\n[[step]]\nname = \"Too large\"\n\
             hosts = \"manager-01\"\nfile = {{ path = \"{folder}/file\", content = \"{content}\" }}\n[[step]]\nname = \"Elsewhere\"\n\
             file = {{ path = \"/root/elsewhere{}\", content = \"done\\n\" }}\n",
            folder.replace('/', "-")
        ))
    };
    for (folder, why) in [("/full", "No space left"), ("/frozen", "Read-only file system")] {
        let playbook = playbook(folder);
        hostwright(&["apply", "--yes", playbook.path().to_str().unwrap()]).exits(1).says(why);
        assert_eq!(
            on("144", &format!("cat {folder}/file; ls -A {folder}")),
            "old\nfile",
            "nothing half-written"
        );
        assert_eq!(
            on("145", &format!("cat /root/elsewhere{}", folder.replace('/', "-"))),
            "done",
            "others go on"
        );
    }
    on("144", "umount /full /frozen");
}

fn off() {
    lab(&["kill", "146"]);
    on("145", &format!("umount {SHARE}"));
    let apply = json(&["apply", "--yes", SERVER, CLIENTS]).exits(4);
    assert_eq!(apply.changed().len(), 1, "{:?}", apply.changed());
    assert!(apply.stdout.contains("\"host_unreachable\""));
    assert!(on("145", "cat /proc/self/mounts").contains(SHARE));
    lab(&["boot", "146"]);
}

fn reboot() {
    // It was switched off in the check before. `nofail`: the boot does not wait for the mount.
    mounted_soon("146");
    let ran = json(&["plan", SERVER, CLIENTS]).exits(0);
    assert_eq!(ran.to_change(), [""; 0]);
    let playbook = temporary(
        "title = \"Reboot\"\nhosts = \"worker-01\"\nbecome = true\n[[step]]\nname = \"Reboot now\"\nreboot = { when = \"always\" }\n",
    );
    let before = on("145", "cat /proc/sys/kernel/random/boot_id");
    let file = playbook.path().to_str().unwrap();
    hostwright(&["apply", "--yes", file]).exits(1).says("--allow-disruptive");
    hostwright(&["apply", "--yes", "--allow-disruptive", file]).exits(0);
    assert_ne!(on("145", "cat /proc/sys/kernel/random/boot_id"), before);
    mounted_soon("145");
    json(&["plan", SERVER, CLIENTS]).exits(0);
}

fn mounted_soon(client: &str) {
    until("the share is mounted after the boot", || on(client, "cat /proc/self/mounts").contains(SHARE));
}

fn dead_server() {
    lab(&["cut", "143"]);
    let ran = hostwright(&["plan", "--limit", "nfs_clients", CLIENTS]);
    lab(&["heal", "143"]);
    ran.exits(1).says("does not answer");
    json(&["plan", SERVER, CLIENTS]).exits(0);
}
