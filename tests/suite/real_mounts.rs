//! `mount` on a real kernel: plans and applies of this machine in a mount namespace of their own, with an `/etc`, `/run`,
//! `/var/lib` and `/srv` that are thrown away. It needs root; without, it says so and passes, except in CI.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A process that ends with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A mount namespace lives as long as a process is in it; with it go its mounts, and the loop devices of mount(8).
struct Namespace {
    holder: Running,
    folder: tempfile::TempDir,
}

const SETUP: &str = r#"
set -e
keep=$(mktemp -d)
cp -a /etc/alternatives /etc/passwd /etc/group /etc/nsswitch.conf /etc/hosts "$keep" 2>/dev/null || :
mount -t tmpfs none /etc
cp -a "$keep"/. /etc
rm -r "$keep"
for d in /run /var/lib /srv /mnt; do mount -t tmpfs none "$d"; done
mkdir -p /srv/home
: >/etc/fstab
echo ready
exec sleep 600
"#;

impl Namespace {
    /// `None`, with a word, where it cannot be made.
    fn new(what: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("inventory.toml"), "[hosts.here]\nconnection = \"local\"\n")
            .unwrap();
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", SETUP])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stdout.take().unwrap()), &mut line)
            .unwrap();
        if line == "ready\n" {
            return Some(Self { holder: Running(holder), folder });
        }
        let out = holder.wait_with_output().unwrap();
        let why = String::from_utf8_lossy(&out.stderr).trim().to_owned();
        assert!(std::env::var_os("CI").is_none(), "{what} needs a mount namespace: {why}");
        skipped(what, &why);
        None
    }

    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.0.id())).arg("--");
        command
    }

    /// Runs a script; it must succeed. Returns what it printed.
    fn run(&self, script: &str) -> String {
        let out = self.enter().args(["sh", "-ec", script]).output().unwrap();
        assert!(out.status.success(), "{script}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    fn playbook(&self, step: &str) -> PathBuf {
        let path = self.folder.path().join("play.toml");
        std::fs::write(&path, format!("title = \"t\"\nhosts = \"here\"\n[[step]]\nname = \"m\"\n{step}\n"))
            .unwrap();
        path
    }

    /// Runs `hostwright ARGS PLAYBOOK`; returns the exit code and all that it said.
    fn hostwright(&self, args: &[&str], step: &str) -> (i32, String) {
        let _machine = crate::machine::alone();
        let out = self
            .enter()
            .arg(env!("CARGO_BIN_EXE_hostwright"))
            .args(args)
            .arg("-i")
            .arg(self.folder.path().join("inventory.toml"))
            .arg(self.playbook(step))
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/srv/home")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = [out.stdout, out.stderr].concat();
        (out.status.code().unwrap(), String::from_utf8_lossy(&said).into_owned())
    }

    fn plan(&self, step: &str) -> (i32, String) {
        self.hostwright(&["plan", "-v", "--allow-disruptive"], step)
    }

    /// Applies the step, which must come true and stay so; returns what was said of the change.
    fn apply(&self, step: &str) -> String {
        let (code, said) = self.hostwright(&["apply", "--yes", "-v", "--allow-disruptive"], step);
        assert_eq!(code, 0, "{step}\n{said}");
        let (code, again) = self.plan(step);
        assert_eq!(code, 0, "a second plan of {step}\n{again}");
        said
    }

    /// The lines of mountinfo for a path, without what comes before the root.
    fn mounts(&self, path: &str) -> Vec<String> {
        let all = self.run("cat /proc/self/mountinfo");
        all.lines().filter(|l| l.split(' ').nth(4) == Some(path)).map(str::to_owned).collect()
    }
}

/// A word on the terminal, past the capture of the test runner, which hides what passes.
fn skipped(what: &str, why: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "skipped: {what}: {why}");
}

/// A loop device and mkfs; with a word if they are not here.
fn has_loop(ns: &Namespace, what: &str) -> bool {
    let there = ns.enter().args(["sh", "-c", "command -v mkfs.ext4 losetup && losetup -f"]).output().unwrap();
    if !there.status.success() {
        skipped(what, "no loop device or no mkfs.ext4");
    }
    there.status.success()
}

#[test]
fn a_mount_point_behind_a_link_is_refused_with_where_it_leads() {
    let Some(ns) = Namespace::new("links") else { return };
    ns.run("mkdir -p '/srv/real x/y'; ln -s '/srv/real x' /srv/link; ln -s ../srv/link/y /mnt/two; ln -s loop /srv/loop");
    let step = |path: &str| {
        format!(r#"mount = {{ path = "{path}", source = "tmpfs", fstype = "tmpfs", options = ["size=1m"] }}"#)
    };
    for (path, says) in [
        ("/srv/link/sub", "/srv/link is a symbolic link to /srv/real x: write /srv/real x/sub"),
        ("/srv/link", "/srv/link is a symbolic link to /srv/real x: write /srv/real x"),
        ("/mnt/two/z", "/mnt/two is a symbolic link to ../srv/link/y: write /srv/real x/y/z"),
        ("/srv/loop/z", "/srv/loop is a symbolic link to loop"),
    ] {
        let (code, said) = ns.hostwright(&["apply", "--yes"], &step(path));
        assert!(code == 1 && said.contains(says), "{path}: {code}\n{said}");
    }
    assert!(!ns.run("cat /proc/self/mountinfo").contains("size=1024k"), "nothing was mounted");
    ns.apply(&step("/srv/real x/sub"));
    ns.apply(&step("/srv//real x/./sub/"));
    assert_eq!(ns.mounts(r"/srv/real\040x/sub").len(), 1);
    // fstab has it under the link: the line is the same one.
    ns.run(r"printf '# x\ntmpfs\t/srv/link/sub/\ttmpfs\tsize=1m\t0 0\t# mine' >/etc/fstab");
    ns.apply(&step("/srv/real x/sub"));
    assert_eq!(ns.run("cat /etc/fstab"), "# x\ntmpfs\t/srv/real\\040x/sub\ttmpfs\tsize=1m\t0 0\t# mine");
}

#[test]
fn options_of_tmpfs_are_compared_by_value_and_changed_in_place() {
    let Some(ns) = Namespace::new("tmpfs") else { return };
    let step = |options: &str| {
        format!(r#"mount = {{ path = "/srv/t", source = "tmpfs", fstype = "tmpfs", options = [{options}] }}"#)
    };
    ns.apply(&step(r#""size=1m", "mode=0750", "nr_inodes=10k", "uid=nobody", "nosuid", "nofail""#));
    ns.run("echo x >/srv/t/kept");
    let said = ns.apply(&step(
        r#""size=2048k", "mode=750", "nr_inodes=20480", "uid=65534", "nodev", "noatime", "ro""#,
    ));
    assert!(
        said.contains(
            "size=1024k,nr_inodes=10240,dev,relatime,rw -> size=2048k,nr_inodes=20480,nodev,noatime,ro"
        ),
        "{said}"
    );
    ns.apply(&step(r#""size=10%", "mode=750", "uid=nobody", "user", "exec""#));
    assert_eq!(ns.run("cat /srv/t/kept"), "x\n", "it was never unmounted");
    let flags = ns.mounts("/srv/t").remove(0);
    assert!(flags.contains("nosuid") && flags.contains("nodev") && !flags.contains("noexec"), "{flags}");
    // What is in it would be lost, so it is held back.
    let (code, said) = ns.hostwright(&["apply", "--yes"], &step(r#""mode=0700""#));
    assert!(code != 0 && said.contains("what is in it is lost"), "{code} {said}");
    let (_, said) = ns.plan(&step(r#""size=1m", "mode=750", "uid=nobody", "nofail", "x-a.b""#));
    assert!(said.contains("cannot be seen on a mounted file system: nofail, x-a.b"), "{said}");
}

#[test]
fn flags_of_ext4_are_seen_and_remounted() {
    let Some(ns) = Namespace::new("ext4") else { return };
    if !has_loop(&ns, "ext4") {
        return;
    }
    ns.run("truncate -s 16M /srv/img; mkfs.ext4 -q /srv/img; mkdir /srv/e4; mount -o loop,noatime /srv/img /srv/e4");
    let device = ns.mounts("/srv/e4").remove(0).split(' ').nth(8).unwrap().to_owned();
    let step = |source: &str, options: &str| {
        format!(
            r#"mount = {{ path = "/srv/e4", source = "{source}", fstype = "ext4", options = [{options}] }}"#
        )
    };
    let (code, said) = ns.plan(&step(&device, r#""noatime", "discard", "commit=60", "errors=remount-ro""#));
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("nodiscard,commit=5,errors=continue -> discard,commit=60,errors=remount-ro"),
        "{said}"
    );
    ns.apply(&step(&device, r#""noatime", "discard", "commit=60", "errors=remount-ro""#));
    ns.apply(&step(
        &device,
        r#""nodiscard", "barrier=0", "commit=0", "errors=continue", "data=ordered", "bh""#,
    ));
    // A default of the superblock shows nowhere in mountinfo, and holds all the same.
    ns.run("umount /srv/e4; tune2fs -e remount-ro -o discard /srv/img >/dev/null; mount -o loop /srv/img /srv/e4");
    assert!(!ns.mounts("/srv/e4")[0].contains("discard"));
    // The source is the file behind the loop device, by a link too.
    ns.run("ln -s img /srv/image");
    for source in ["/srv/img", "/srv/image"] {
        ns.apply(&step(source, r#""discard", "errors=remount-ro""#));
    }
    let (code, said) = ns.plan(&step("/srv/other", ""));
    assert!(code == 2 && said.contains("unmount /srv/e4 and mount it anew"), "{said}");
    ns.run("umount /srv/e4");
}

#[test]
fn bind_mounts_have_flags_of_their_own_and_sources_behind_links() {
    let Some(ns) = Namespace::new("bind") else { return };
    ns.run("mkdir -p '/srv/da ta/in' /srv/x; ln -s '/srv/da ta' /srv/link");
    let step = |source: &str, options: &str| {
        format!(
            r#"mount = {{ path = "/srv/b", source = "{source}", fstype = "bind", options = [{options}] }}"#
        )
    };
    ns.apply(&step("/srv/link/in", r#""ro", "nosuid""#));
    assert!(ns.mounts("/srv/b")[0].contains("/da\\040ta/in /srv/b ro,nosuid"), "{:?}", ns.mounts("/srv/b"));
    let said = ns.apply(&step("/srv/link/in", r#""rw", "nodev""#));
    assert!(said.contains("ro,dev -> rw,nodev"), "{said}");
    assert!(ns.mounts("/srv/b")[0].contains(" rw,nosuid,nodev"), "others stay: {:?}", ns.mounts("/srv/b"));
    // The directory is replaced by one of the same name: another one.
    ns.run("mv '/srv/da ta/in' /srv/gone; mkdir '/srv/da ta/in'; rmdir /srv/gone");
    let (code, said) = ns.plan(&step("/srv/link/in", r#""rw""#));
    assert!(code == 2 && said.contains("a directory that was removed"), "{code} {said}");
}

#[test]
fn what_is_mounted_over_is_not_mounted() {
    let Some(ns) = Namespace::new("stacks") else { return };
    let step = r#"mount = { path = "/srv/o/in", source = "tmpfs", fstype = "tmpfs", options = ["size=1m"], boot = false }"#;
    ns.run("mkdir -p /srv/o/in; mount -t tmpfs -o size=1m hidden /srv/o/in; mount -t tmpfs over /srv/o");
    assert_eq!(ns.plan(step).0, 2, "the mount of that path lies below another");
    ns.apply(step);
    // Of two at one path, the upper one counts.
    ns.run("mount -t tmpfs -o size=2m tmpfs /srv/o/in");
    let (code, said) = ns.plan(step);
    assert!(code == 2 && said.contains("size=2048k"), "{said}");
    ns.apply(&step.replace("/srv/o/in", "/srv/o").replace("state", "").replace("size=1m", "nodev"));
    let gone = r#"mount = { path = "/srv/o/in", state = "absent" }"#;
    let (code, said) = ns.hostwright(&["apply", "--yes", "--allow-disruptive"], gone);
    assert_eq!(code, 0, "{said}");
    assert_eq!(ns.mounts("/srv/o/in").len(), 1, "the hidden one is nobody's business");
}

/// Another user owns the folder of the mount point, and swaps a link to a victim into its place all the time.
#[test]
fn root_is_led_nowhere() {
    let Some(ns) = Namespace::new("swapped mount points") else { return };
    ns.run(
        "mkdir -p /srv/home/joe/a /srv/victim/m/n; chmod 0700 /srv/victim /srv/victim/m /srv/victim/m/n
        chown -R nobody /srv/home/joe; mount -t tmpfs -o size=3m victim /srv/victim/m/n; touch /srv/victim/m/n/here",
    );
    // Where root has made a folder meanwhile, that one is swapped from then on.
    let attack = r"
        n=0
        while :; do
            n=$((n + 1))
            mv -T a b$n && { ln -s /srv/victim a; rm a; mv -T b$n a; }
            mv -T a/m a/x$n && { ln -s /srv/victim/m a/m; rm a/m; mv -T a/x$n a/m; }
        done";
    let attacker = ns
        .enter()
        .args([
            "setpriv",
            "--reuid=65534",
            "--clear-groups",
            "--regid=65534",
            "sh",
            "-c",
            &format!("cd /srv/home/joe; {attack}"),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let attacker = Running(attacker);
    let step = |guard: &str| {
        format!(
            r#"mount = {{ path = "/srv/home/joe/a/m/n", source = "tmpfs", fstype = "tmpfs", options = ["size=1m"], guard = {guard}, boot = false }}"#
        )
    };
    let gone = r#"mount = { path = "/srv/home/joe/a/m/n", state = "absent" }"#;
    let (mut moved, mut done) = (0, 0);
    for n in 0..30 {
        let step = if n % 3 == 2 { gone.to_owned() } else { step(if n % 3 == 0 { "true" } else { "false" }) };
        let (code, said) = ns.hostwright(&["apply", "--yes", "--allow-disruptive"], &step);
        done += usize::from(code == 0);
        moved += usize::from(said.contains("has changed under way") || said.contains("is a symbolic link"));
        assert!(!said.contains("may still be mounted"), "{said}");
        let victim =
            ns.run("stat -c '%a %U' /srv/victim /srv/victim/m | tr '\\n' ' '; ls -A /srv/victim/m/n");
        assert_eq!(victim, "700 root 700 root here\n", "after {step}\n{said}");
    }
    drop(attacker);
    assert!(moved > 0, "it was never swapped in time, {done} applies were done: this proves nothing");
    let mounts = ns.run("cat /proc/self/mountinfo");
    let victims: Vec<&str> = mounts.lines().filter(|l| l.contains("/srv/victim")).collect();
    assert_eq!(victims.len(), 1, "{victims:?}");
}
