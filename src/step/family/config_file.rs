//! Putting new text into a configuration file of the host so that a reader sees the old or the new one.

use std::sync::Arc;

use crate::sh;
use crate::step::{Action, Payload};

/// Replaces the file at `path` with `content`, atomically.
///
/// Owner, mode and SELinux context are kept; a new file is `0644 root`. The old one stays beside it as
/// `PATH.RUN.bak`: the ending keeps it out of what drop-in folders read (`*.exports`, `*.conf`).
pub fn replace(path: &str, content: impl AsRef<[u8]>) -> Action {
    // An action that was cut off and runs again must not overwrite the backup with the new text.
    let script = sh!(
        r#"set -e
f={}
new=$f.hostwright-new
bak=$f.${HW_RUN_ID:-manual}.bak
mkdir -p -- "${f%/*}"
umask 077
cat <&3 >"$new"
if [ -e "$f" ]; then
  [ -e "$bak" ] || cp -p -- "$f" "$bak"
  chown --reference="$f" -- "$new"
  chmod --reference="$f" -- "$new"
  chcon --reference="$f" -- "$new" 2>/dev/null || :
  sync -- "$new"
  mv -f -- "$new" "$f"
else
  chmod 0644 -- "$new"
  sync -- "$new"
  mv -f -- "$new" "$f"
  if command -v restorecon >/dev/null; then restorecon -- "$f" || :; fi
fi"#,
        path
    );
    Action::new(format!("write {path}"), script).payload(Payload(Arc::from(content.as_ref())))
}

/// Removes the file at `path`; it stays beside it as `PATH.RUN.bak`.
pub fn remove(path: &str) -> Action {
    let script = sh!(
        r#"f={}
if [ -e "$f" ]; then mv -f -- "$f" "$f.${HW_RUN_ID:-manual}.bak"; fi"#,
        path
    );
    Action::new(format!("remove {path}"), script)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs an action with `sh` as a transport would: the payload comes on descriptor 3.
    fn run(action: &Action, dir: &std::path::Path) {
        let payload = dir.join("payload");
        std::fs::write(&payload, action.payload.as_ref().map_or(&b""[..], |p| &p.0)).unwrap();
        let script = format!("exec 3<{}; {}", payload.display(), action.script.render());
        let status =
            std::process::Command::new("sh").env("HW_RUN_ID", "r1").arg("-c").arg(script).status().unwrap();
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
        let backup = dir.path().join("sub/fs tab.r1.bak");
        assert_eq!(std::fs::read_to_string(&backup).unwrap(), "one\n");

        run(&remove(path), dir.path());
        run(&remove(path), dir.path());
        assert!(!at.exists());
        assert_eq!(std::fs::read_to_string(&backup).unwrap(), "two\n");
        assert_eq!(std::fs::read_dir(dir.path().join("sub")).unwrap().count(), 1, "no rest stays");
    }
}
