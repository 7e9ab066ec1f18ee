//! Writing a file on the controller that came from a host.
//!
//! The folder may be one that others write to (`/tmp`, a shared one): nothing there leads elsewhere. The file is for its
//! owner alone, for nobody knows what is in it.

use std::io::{Error, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Writes `bytes` to `path`, all or nothing; folders that are missing are made.
pub(super) async fn save(path: PathBuf, bytes: Vec<u8>) -> std::io::Result<()> {
    tokio::task::spawn_blocking(move || write(&path, &bytes)).await.map_err(Error::other)?
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let name = path.file_name().ok_or_else(|| Error::other("it names no file"))?;
    let folder = folder(path.parent().unwrap_or(Path::new("")))?;
    // As long as it is not whole it has another name, one that nobody else has made.
    let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let (part, file) = loop {
        let part = format!(".hw-{}-{}.part", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        match openat(&folder, &*part, create, Mode::RUSR | Mode::WUSR) {
            Err(Errno::EXIST) => {}
            file => break (part, file?),
        }
    };
    let mut file = std::fs::File::from(file);
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| Ok(renameat(&folder, &*part, &folder, name)?));
    if written.is_err() {
        unlinkat(&folder, &*part, AtFlags::empty()).ok();
    }
    written
}

/// Opens a folder, name by name. A link on the way is followed where nobody but us and root could have put it.
fn folder(path: &Path) -> std::io::Result<OwnedFd> {
    let open = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let start = if path.is_absolute() { "/" } else { "." };
    let mut here = openat(CWD, start, open, Mode::empty())?;
    let mut ours = true;
    let mut gone = PathBuf::new();
    for part in path.components() {
        gone.push(part);
        let (Component::Normal(_) | Component::ParentDir) = part else { continue };
        let name = part.as_os_str();
        let (only_ours, sticky) = who_writes(&here)?;
        let next = match openat(&here, name, open | OFlags::NOFOLLOW, Mode::empty()) {
            Err(Errno::NOENT) => {
                match mkdirat(&here, name, Mode::RWXU | Mode::RWXG | Mode::RWXO) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                openat(&here, name, open | OFlags::NOFOLLOW, Mode::empty())?
            }
            // Linux says for a link that it is no folder; others, that there are too many.
            Err(Errno::LOOP | Errno::NOTDIR) if ours && only_ours => {
                openat(&here, name, open, Mode::empty())?
            }
            Err(Errno::LOOP | Errno::NOTDIR) => {
                return Err(Error::other(format!(
                    "{} is no folder, or a symbolic link where others may write, which is not followed",
                    gone.display()
                )));
            }
            other => other?,
        };
        // Nobody takes away what is ours in a folder with the sticky bit.
        ours &= only_ours || (sticky && is_ours(fstat(&next)?.st_uid));
        here = next;
    }
    Ok(here)
}

/// Whether only root and we may write to a folder; and if not, whether it has the sticky bit.
fn who_writes(folder: &OwnedFd) -> std::io::Result<(bool, bool)> {
    let stat = fstat(folder)?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    let group = mode.contains(Mode::WGRP) && stat.st_gid != getegid().as_raw();
    let only_ours = is_ours(stat.st_uid) && !group && !mode.contains(Mode::WOTH);
    Ok((only_ours, is_ours(stat.st_uid) && mode.contains(Mode::SVTX)))
}

fn is_ours(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn writes_for_its_owner_alone_and_follows_no_link_of_others() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir(at("real")).unwrap();
        symlink("real", at("mine")).unwrap();
        write(&at("mine/a/b/key"), b"one").unwrap();
        assert_eq!(std::fs::read(at("real/a/b/key")).unwrap(), b"one");
        assert_eq!(at("real/a/b/key").metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(at("real/a/b/key"), std::fs::Permissions::from_mode(0o644)).unwrap();
        write(&at("mine/a/b/key"), b"two").unwrap();
        assert_eq!(at("real/a/b/key").metadata().unwrap().permissions().mode() & 0o777, 0o600);

        // A link at the place of the file itself is replaced.
        std::fs::write(at("victim"), "precious").unwrap();
        symlink(at("victim"), at("real/link")).unwrap();
        write(&at("real/link"), b"three").unwrap();
        assert_eq!(std::fs::read(at("victim")).unwrap(), b"precious");
        assert_eq!(std::fs::read(at("real/link")).unwrap(), b"three");

        // Others may write: a link there could be theirs.
        std::fs::create_dir(at("shared")).unwrap();
        std::fs::set_permissions(at("shared"), std::fs::Permissions::from_mode(0o777)).unwrap();
        symlink("../real", at("shared/worker-01")).unwrap();
        let why = write(&at("shared/worker-01/etc/shadow"), b"x").unwrap_err().to_string();
        assert!(why.contains("symbolic link where others may write"), "{why}");
        assert!(!at("real/etc").exists());
        write(&at("shared/worker-02/etc/shadow"), b"x").unwrap();
        // Also further down, in what was made there.
        symlink("../../real", at("shared/worker-02/link")).unwrap();
        assert!(write(&at("shared/worker-02/link/f"), b"x").is_err());

        std::fs::create_dir(at("folder")).unwrap();
        assert!(write(&at("folder"), b"x").is_err());
        let names = |name: &str| std::fs::read_dir(at(name)).unwrap().count();
        assert_eq!((names(""), names("shared/worker-02/etc")), (5, 1), "nothing is left over");
    }
}
