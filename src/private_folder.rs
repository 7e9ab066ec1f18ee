//! Folders of one process that nobody else can look into. The process holds a lock in each as long as it lives, so that the
//! next one can clear away what one that was killed has left.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use tempfile::TempDir;

/// The file whose lock says that the owner lives.
const OWNER: &str = "owner";

/// Says that the owner of a folder lives, until it is dropped.
#[derive(Debug)]
pub struct Claim {
    _lock: File,
}

/// Makes a folder in `base`, the name of which begins with `prefix`.
pub fn make(base: &Path, prefix: &str) -> io::Result<(TempDir, Claim)> {
    let folder = tempfile::Builder::new()
        .prefix(prefix)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(base)?;
    // It gets its name with the lock on it: one that is found without is of nobody.
    let unnamed = folder.path().join("owner.new");
    let lock = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unnamed)?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    fs::rename(&unnamed, folder.path().join(OWNER))?;
    Ok((folder, Claim { _lock: lock }))
}

/// Removes the folders in `base` that [`make`] made for processes of this user which are gone, each after `end` has seen to
/// what is left of it. What cannot be removed stays: it is in nobody's way.
pub fn clear(base: &Path, prefix: &str, end: impl Fn(&Path)) {
    let user = rustix::process::geteuid().as_raw();
    for folder in named(base, prefix) {
        let ours = fs::symlink_metadata(&folder).is_ok_and(|m| m.is_dir() && m.uid() == user);
        if ours && let Some(_claim) = abandoned(&folder) {
            end(&folder);
            let _ = fs::remove_dir_all(&folder);
        }
    }
}

fn named(base: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(base) else { return Vec::new() };
    let is_one = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(prefix.as_bytes());
    entries.filter_map(Result::ok).filter(|e| is_one(&e.file_name())).map(|e| e.path()).collect()
}

/// The lock of a folder whose owner is gone.
fn abandoned(folder: &Path) -> Option<File> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let lock = OpenOptions::new().write(true).custom_flags(flags).open(folder.join(OWNER)).ok()?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(lock)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn what_a_process_that_is_gone_has_left_is_cleared_and_nothing_else() {
        let base = tempfile::tempdir().unwrap();
        let living = make(base.path(), "hw-x.").unwrap();
        // As if its process had been killed: the folder stays, the lock goes.
        let (gone, claim) = make(base.path(), "hw-x.").unwrap();
        let gone = gone.keep();
        drop(claim);
        let (other, claim) = make(base.path(), "hw-y.").unwrap();
        let other = other.keep();
        drop(claim);
        let half = base.path().join("hw-x.half");
        fs::create_dir(&half).unwrap();
        std::os::unix::fs::symlink(&other, base.path().join("hw-x.link")).unwrap();

        let ended = RefCell::new(Vec::new());
        clear(base.path(), "hw-x.", |folder| ended.borrow_mut().push(folder.to_owned()));
        assert_eq!(*ended.borrow(), std::slice::from_ref(&gone));
        assert!(!gone.exists());
        assert!(living.0.path().exists() && other.exists() && half.exists());
        assert_eq!(living.0.path().metadata().unwrap().permissions().mode() & 0o7777, 0o700);
    }
}
