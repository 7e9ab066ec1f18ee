//! Putting new text into a configuration file of the host so that a reader sees the old or the new one.

use std::sync::Arc;

use super::attributes::Attributes;
use super::put::{self, Backup, Put, Remove};
use crate::step::Action;

/// Replaces the file at `path` with `content`, atomically; folders that are missing are made.
///
/// Owner, mode and SELinux context are kept; a new file is `0644 root`. The old one stays in
/// the folder of the run, where nothing reads it.
pub fn replace(path: &str, content: impl AsRef<[u8]>) -> Action {
    let content = Arc::from(content.as_ref());
    let attributes = Attributes::default();
    // A link is replaced by the file: what it points to belongs to somebody else.
    let put = Put { force: true, make_folders: true, ..Put::new(path, &content, &attributes) };
    put.action(format!("write {path}"))
}

/// Removes the file at `path`; it stays in the folder of the run.
pub fn remove(path: &str) -> Action {
    Action::new(format!("remove {path}"), put::remove(path, Remove::File(Backup::Run)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs an action with `sh` as a transport would: the payload comes on descriptor 3.
    fn run(action: &Action, dir: &std::path::Path) {
        let payload = dir.join("payload");
        std::fs::write(&payload, action.payload.as_ref().map_or(&b""[..], |p| &p.0)).unwrap();
        let script = format!("exec 3<{}; {}", payload.display(), action.script.render());
        let state = dir.join("state");
        let script = script.replace("/var/lib/hostwright", &format!("{}/hostwright", state.display()));
        let status = std::process::Command::new("sh")
            .env("HW_RUN_ID", "r1")
            .env("XDG_STATE_HOME", &state)
            .arg("-c")
            .arg(script)
            .status()
            .unwrap();
        assert!(status.success());
        std::fs::remove_file(payload).unwrap();
    }

    #[test]
    fn keeps_mode_and_the_first_old_text() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("sub/fs tab");
        let path = at.to_str().unwrap();
        run(&replace(path, "one\n"), dir.path());
        assert_eq!(at.metadata().unwrap().permissions().mode() & 0o7777, 0o644);
        std::fs::set_permissions(&at, std::fs::Permissions::from_mode(0o600)).unwrap();
        run(&replace(path, "two\n"), dir.path());
        run(&replace(path, "two\n"), dir.path());
        assert_eq!(at.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(std::fs::read_to_string(&at).unwrap(), "two\n");
        let backup = dir.path().join("state/hostwright/backups/r1").join(&put::temporary(path)[4..]);
        assert_eq!(std::fs::read_to_string(&backup).unwrap(), "one\n");

        run(&remove(path), dir.path());
        run(&remove(path), dir.path());
        assert!(!at.exists());
        assert_eq!(std::fs::read_to_string(&backup).unwrap(), "one\n", "the state before the run");
        assert_eq!(std::fs::read_dir(dir.path().join("sub")).unwrap().count(), 0, "no rest stays");
    }
}
