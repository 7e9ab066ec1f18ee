//! The controller as configuration sees it: its files, its environment, its commands.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::OFlags;

use super::password::prompt;
use crate::config::{Environment, too_large};
use crate::model::Secret;

/// Bytes that a file which is sent to hosts may have: it is kept in memory as long as the run lasts.
const LARGEST: u64 = 256 << 20;

/// Bytes that a command may print.
const LONGEST: u64 = 1 << 20;

/// The machine this runs on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Controller;

impl Environment for Controller {
    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        self.read_at_most(path, LARGEST)
    }

    fn read_at_most(&self, path: &Path, most: u64) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        open(path)?.take(most + 1).read_to_end(&mut bytes).map_err(|e| words(&e))?;
        if bytes.len() as u64 > most { Err(too_large(most)) } else { Ok(bytes) }
    }

    fn list(&self, path: &Path) -> Result<Option<Vec<String>>, String> {
        if !path.is_dir() {
            return Ok(None);
        }
        let entries = std::fs::read_dir(path).map_err(|e| words(&e))?;
        let names: Result<Vec<_>, _> =
            entries.map(|e| e.map(|e| e.file_name().to_string_lossy().into_owned())).collect();
        names.map(Some).map_err(|e| words(&e))
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn passphrase(&self, key: &str) -> Result<Secret, String> {
        prompt(&passphrase_of(key)).map_err(|error| error.to_string())
    }

    /// Standard input is empty; standard error goes to the user's terminal, for a command may ask there.
    fn output(&self, command: &[String], folder: &Path) -> Result<Vec<u8>, String> {
        let (program, arguments) = command.split_first().ok_or("no command is given")?;
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|e| words(&e))?;
        let mut printed = Vec::new();
        let read = match child.stdout.take() {
            Some(stdout) => stdout.take(LONGEST + 1).read_to_end(&mut printed),
            None => Ok(0),
        };
        let endless = printed.len() as u64 > LONGEST;
        if endless {
            // It may be one that never ends. If it has ended by itself, there is nothing to stop.
            let _ = child.kill();
        }
        let status = child.wait().map_err(|e| words(&e))?;
        read.map_err(|e| words(&e))?;
        if endless {
            return Err(format!("it prints more than {} MB", LONGEST >> 20));
        }
        match status.code() {
            Some(0) => Ok(printed),
            Some(code) => Err(format!("exit code {code}")),
            None => Err("ended by a signal".into()),
        }
    }
}

/// The controller, and on it files of our own by names that no file has.
#[derive(Debug)]
pub(super) struct WithFiles(pub(super) BTreeMap<PathBuf, String>);

impl Environment for WithFiles {
    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        self.read_at_most(path, LARGEST)
    }

    fn read_at_most(&self, path: &Path, most: u64) -> Result<Vec<u8>, String> {
        let own = self.0.get(path);
        own.map_or_else(|| Controller.read_at_most(path, most), |text| Ok(text.clone().into_bytes()))
    }

    fn list(&self, path: &Path) -> Result<Option<Vec<String>>, String> {
        if self.0.contains_key(path) { Ok(None) } else { Controller.list(path) }
    }

    fn variable(&self, name: &str) -> Option<String> {
        Controller.variable(name)
    }

    fn output(&self, command: &[String], folder: &Path) -> Result<Vec<u8>, String> {
        Controller.output(command, folder)
    }

    fn passphrase(&self, key: &str) -> Result<Secret, String> {
        Controller.passphrase(key)
    }
}

/// Opens a file that has an end. A pipe would be waited for, a device read for ever.
fn open(path: &Path) -> Result<File, String> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).map_err(|e| e.to_string())?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|e| words(&e))?;
    let kind = file.metadata().map_err(|e| words(&e))?.file_type();
    match () {
        () if kind.is_file() => Ok(file),
        () if kind.is_dir() => Err("it is a folder".into()),
        () if kind.is_fifo() => Err("it is a pipe, not a file".into()),
        () if kind.is_char_device() || kind.is_block_device() => Err("it is a device, not a file".into()),
        () => Err("it is not a file".into()),
    }
}

/// The question for the passphrase of a key.
pub(super) fn passphrase_of(key: &str) -> String {
    format!("Passphrase of {key}: ")
}

/// An I/O error without the number that the operating system gives it.
pub(super) fn words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        std::io::ErrorKind::IsADirectory => "it is a folder".into(),
        _ => match error.to_string().split_once(" (os error") {
            Some((words, _)) => words.to_lowercase(),
            None => error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_only_what_has_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("zero")).unwrap();
        std::fs::write(folder.path().join("file"), vec![b'x'; 3 << 20]).unwrap();
        let read =
            |name: &str, most: u64| Controller.read_at_most(&folder.path().join(name), most).map(|b| b.len());
        assert_eq!(read("pipe", 1 << 20), Err("it is a pipe, not a file".into()));
        assert_eq!(read("zero", 1 << 20), Err("it is a device, not a file".into()));
        assert_eq!(read("file", 2 << 20), Err("it is larger than 2 MB".into()));
        assert_eq!(read("file", 3 << 20), Ok(3 << 20));
        let endless = Controller.output(&["yes".to_owned()], Path::new(""));
        assert_eq!(endless, Err("it prints more than 1 MB".into()));
    }

    #[test]
    fn runs_a_command_in_its_folder_and_says_why_one_failed() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "x").unwrap();
        assert_eq!(Controller.output(&words("cat a"), folder.path()), Ok(b"x".to_vec()));
        assert_eq!(Controller.output(&words("false"), Path::new("")), Err("exit code 1".into()));
        assert_eq!(Controller.output(&words("no-such-program"), Path::new("")), Err("no such file".into()));
        assert_eq!(Controller.read(folder.path()), Err("it is a folder".into()));
        assert_eq!(Controller.list(folder.path()), Ok(Some(vec!["a".into()])));
        assert_eq!(Controller.list(&folder.path().join("a")), Ok(None));
    }
}
