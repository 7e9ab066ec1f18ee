//! Files that are there whole or not at all.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes a file in place of what may be at `path`, with these rights, or for its owner alone.
pub fn write(path: &Path, content: &[u8], rights: Option<Permissions>) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let half = path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half)?;
    let written = fill(file, content, rights).and_then(|()| std::fs::rename(&half, path));
    if written.is_err() {
        // What is half there is of no use to anybody.
        let _ = std::fs::remove_file(&half);
    }
    written
}

/// Whether [`write()`] could write a file at `path`.
pub fn can_write(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let half = path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half)?;
    std::fs::remove_file(half)
}

fn fill(mut file: File, content: &[u8], rights: Option<Permissions>) -> io::Result<()> {
    if let Some(rights) = rights {
        file.set_permissions(rights)?;
    }
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_of_one_that_cannot_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let mode = || path.metadata().unwrap().permissions().mode() & 0o777;
        write(&path, b"one", None).unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), mode()), (b"one".to_vec(), 0o600));
        write(&path, b"two", Some(Permissions::from_mode(0o640))).unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), mode()), (b"two".to_vec(), 0o640));
        std::fs::create_dir(folder.path().join("d")).unwrap();
        assert!(write(&folder.path().join("d"), b"x", None).is_err());
        assert!(can_write(&path).is_ok() && can_write(&folder.path().join("d")).is_err());
        assert!(can_write(&folder.path().join("no/f")).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no half file");
    }
}
