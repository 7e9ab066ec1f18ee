//! What is done to a mount point: it is made, mounted, remounted, unmounted.

use std::time::Duration;

use super::mounts::{AskMount, HOLDERS, MOUNTINFO};
use crate::program;
use crate::program::{Handle, Library};
use crate::step::Action;
use crate::step::family::{ESCAPE, RUN, put};

/// Works on a mount point; see there.
static MOUNT_POINT: Library =
    Library::new("mount_point.sh", include_str!("mount_point.sh"), &[&ESCAPE, &MOUNTINFO]);

program! {
    /// Makes a directory to mount on.
    MakeMountPoint in "make_mount_point.sh" uses [put::PUT, MOUNT_POINT] { path: Word, temporary: Word, guard: Flag }
}
program! {
    /// Mounts.
    MountShare in "mount_share.sh" uses [MOUNT_POINT] {
        path: Word, source: Word, fstype: Word, options: Word, flags: Word, server: Word
    }
}
program! {
    /// Starts an automount.
    StartAutomount in "start_automount.sh" uses [RUN, MOUNT_POINT] { path: Word }
}
program! {
    /// Changes options in place.
    RemountShare in "remount_share.sh" uses [RUN, MOUNT_POINT] {
        path: Word, source: Word, fstype: Word, options: Word, bind: Flag
    }
}
program! {
    /// Unmounts.
    UnmountShare in "unmount_share.sh" uses [MOUNT_POINT, HOLDERS] { path: Word }
}

/// What asks about mount points, and works on them.
pub(super) const PROGRAMS: &[Handle] = &[
    AskMount::program,
    MakeMountPoint::program,
    MountShare::program,
    StartAutomount::program,
    RemountShare::program,
    UnmountShare::program,
];

/// Makes the mount point, if nothing is mounted there; `guard`: and lets nobody enter it.
pub(super) fn make_point(path: &str, guard: bool) -> Action {
    let program = MakeMountPoint { path, temporary: &put::temporary(path), guard };
    Action::new(format!("make the mount point {path}"), program.script())
}

/// What is to be mounted.
#[derive(Debug)]
pub(super) struct What<'a> {
    /// Where.
    pub(super) path: &'a str,
    /// What, as mount(8) takes it.
    pub(super) source: &'a str,
    /// Its type.
    pub(super) fstype: &'a str,
    /// Options for mount(8).
    pub(super) options: Vec<String>,
    /// The server of an NFS source, for hints.
    pub(super) server: &'a str,
    /// Flags of a bind mount, which it gets once it is there.
    pub(super) flags: Vec<String>,
}

/// Mounts, if nothing is mounted there.
pub(super) fn mount(what: &What<'_>) -> Action {
    let program = MountShare {
        path: what.path,
        source: what.source,
        fstype: what.fstype,
        options: &what.options.join(","),
        flags: &what.flags.join(","),
        server: what.server,
    };
    Action::new(format!("mount {}", what.path), program.script()).timeout(Duration::from_secs(90))
}

/// Starts the automount that systemd made from fstab.
pub(super) fn start_automount(path: &str) -> Action {
    Action::new(format!("start the automount of {path}"), StartAutomount { path }.script())
}

/// Changes options in place.
///
/// `bind`: only the flags of this one mount, about which neither the file system nor its server is asked; all of them
/// must be given.
pub(super) fn remount(path: &str, source: &str, fstype: &str, options: &[String], bind: bool) -> Action {
    let program = RemountShare { path, source, fstype, options: &options.join(","), bind };
    Action::new(format!("remount {path}"), program.script())
}

/// Unmounts, however often it is mounted; never lazily, for that leaves users on what seems gone.
pub(super) fn unmount(path: &str) -> Action {
    Action::new(format!("unmount {path}"), UnmountShare { path }.script())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the action with a `mount` that says `said` and ends with `code`; returns its last line before the command.
    fn attempt(said: &str, code: i32) -> (i32, String) {
        let what = What {
            path: "/mnt/not mounted",
            source: "srv:/data",
            fstype: "nfs",
            options: vec!["hard".into(), "retry=0".into()],
            server: "srv",
            flags: Vec::new(),
        };
        let dir = tempfile::tempdir().unwrap();
        let fake = dir.path().join("mount");
        let script = format!(
            "#!/bin/sh\necho \"$*\" >{}/args\necho '{said}' >&2\nexit {code}\n",
            dir.path().display()
        );
        std::fs::write(&fake, script).unwrap();
        std::fs::set_permissions(&fake, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let out = std::process::Command::new("sh")
            .env("PATH", format!("{}:/usr/bin:/bin", dir.path().display()))
            .arg("-c")
            .arg(super::mount(&what).script.render())
            .output()
            .unwrap();
        let args = std::fs::read_to_string(dir.path().join("args")).unwrap();
        assert_eq!(args, "-t nfs -o hard,retry=0 -- srv:/data /mnt/not mounted\n");
        let said = String::from_utf8(out.stderr).unwrap();
        let command = "command: mount -t nfs -o hard,retry=0 -- srv:/data /mnt/not mounted\n";
        let before = if code == 0 { said.as_str() } else { said.strip_suffix(command).unwrap() };
        (out.status.code().unwrap(), before.lines().last().unwrap_or_default().to_owned())
    }

    #[test]
    fn a_failed_mount_ends_with_a_hint() {
        for (said, hint) in [
            ("mount.nfs: access denied by server while mounting srv:/data", "does not export this path"),
            ("mount.nfs: No route to host", "a firewall on the way rejects it"),
            ("mount.nfs: Connection refused", "is nfs-server running?"),
            ("mount.nfs: Connection timed out", "srv does not answer"),
            (
                "mount.nfs: mounting srv:/data failed, reason given by server: No such file or directory",
                "srv has no such",
            ),
            ("mount.nfs: requested NFS version or transport protocol is not supported", "change vers="),
            ("mount.nfs: Stale file handle", "exportfs -r there"),
            ("mount.nfs: /mnt/x is busy or already mounted", "is mounted there already"),
            ("mount: bad option; you might need a /sbin/mount.<type> helper program", "install the tools"),
            ("mount.nfs: an incorrect mount option was specified", "not known to this host"),
            ("mount.nfs: rpc.statd is not running but is required", "NFSv3 needs"),
            ("mount.nfs: Failed to resolve server srv: Name or service not known", "use its address"),
            ("mount: only root can do that, Operation not permitted", "become = true"),
        ] {
            let (code, last) = attempt(said, 32);
            assert_eq!(code, 32);
            assert!(last.starts_with("hint: ") && last.contains(hint), "{said}: {last}");
        }
        // Killed by the bound, without a word.
        assert!(attempt("", 124).1.contains("does not answer"));
        assert_eq!(attempt("mount.nfs: something new", 32), (32, "mount.nfs: something new".into()));
        assert_eq!(attempt("", 0).0, 0);
    }
}
