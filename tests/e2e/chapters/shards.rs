//! The job of `explain shards`: eight tasks of a swarm audit a fleet, each its part.

use std::path::Path;
use std::process::Command;

use crate::lab::{alone, bring, lab, on, until};

/// Where the job is written down.
const MANUAL: &str = include_str!("../../../src/manual/shards.md");

/// A root file system with the program, `ssh` and a shell, as a container needs them: of this machine, for the lab has no
/// network to build an image from. Then the fleet, on the share of the swarm.
const IMAGE: &str = r#"
set -e
root=$1/root
mkdir -p "$root/usr/bin" "$root/bin" "$root/etc" "$root/root" "$root/fleet"
mkdir -m 1777 "$root/tmp"
cp "$2" "$root/usr/bin/hostwright"
cp -L /usr/bin/ssh "$root/usr/bin/"
cp -L /bin/dash "$root/bin/sh"
for program in "$2" /usr/bin/ssh /bin/dash; do ldd "$program"; done | grep -o '/[^ ]*' | sort -u | while read -r library; do
  mkdir -p "$root${library%/*}"
  cp -L "$library" "$root$library"
done
echo root:x:0:0:root:/root:/bin/sh >"$root/etc/passwd"
tar -C "$root" -czf "$1/image.tgz" .
"#;

/// Two of the four hosts are not as described.
const FLEET: &str = r#"
mkdir -p /mnt/nfs_file/fleet/playbooks && cd /mnt/nfs_file/fleet && chmod -R 777 . && rm -f shard-*
printf '[defaults]\nuser = "root"\nssh_options = ["StrictHostKeyChecking=accept-new"]\n[hosts."node-[143:146]"]\naddress = "192.168.158.[143:146]"\n' >inventory.toml
printf 'hosts = "*"\n[[step]]\nhosts = "node-14[3:4]"\ndirectory = "/srv/none"\n[[step]]\nhosts = "node-14[5:6]"\ndirectory = "/etc"\n' >playbooks/p.toml
"#;

pub fn check() {
    let folder = tempfile::tempdir().unwrap();
    let built = Command::new("sh")
        .args(["-c", IMAGE, "image"])
        .args([folder.path().as_os_str(), Path::new(env!("CARGO_BIN_EXE_hostwright")).as_os_str()])
        .status()
        .unwrap();
    assert!(built.success());
    let image = folder.path().join("image.tgz");
    for node in ["144", "145", "146"] {
        bring(node, image.to_str().unwrap(), "/root/image.tgz");
        on(node, "docker import /root/image.tgz fleet:1 >/dev/null && rm /root/image.tgz");
    }
    on("143", FLEET);
    let key = lab(&["ssh-config"]);
    let config = std::fs::read_to_string(key.trim()).unwrap();
    let key = config.lines().find_map(|line| line.trim().strip_prefix("IdentityFile ")).unwrap().to_owned();
    bring("144", &key, "/root/.ssh/id_ed25519");
    let from = MANUAL.find("```sh\ndocker secret").expect("the manual has it") + "```sh\n".len();
    let job = MANUAL[from..].split_once("```").expect("it ends").0;
    on("144", &format!("chmod 600 /root/.ssh/id_ed25519\n{job}"));
    let reports = || on("143", "ls /mnt/nfs_file/fleet/shard-*.json 2>/dev/null | wc -l");
    until("all eight shards have their report", || reports() == "8");
    until("all tasks have ended well", || {
        on("144", "docker service ps audit --filter desired-state=running -q | wc -l") == "0"
    });
    let list = on("143", "cd /mnt/nfs_file/fleet && for f in shard-*.json; do echo \"$f\"; done");
    for name in list.lines() {
        let text = on("143", &format!("cat /mnt/nfs_file/fleet/{name}"));
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let paths: Vec<String> =
        list.lines().map(|name| folder.path().join(name).display().to_string()).collect();
    let args: Vec<&str> = ["show"].into_iter().chain(paths.iter().map(String::as_str)).collect();
    alone(&args).exits(0).says("Audit: 2 of 4 hosts are as described. Steps: 2 conforms, 2 drift.");
    on(
        "144",
        "docker service rm audit >/dev/null; docker secret rm fleet-key >/dev/null; rm /root/.ssh/id_ed25519",
    );
    on("143", "rm -rf /mnt/nfs_file/fleet");
}
