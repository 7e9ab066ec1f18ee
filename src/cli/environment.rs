//! The controller as configuration sees it: its files, its environment, its commands.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::config::Environment;

/// What a step sends is held in memory, for each host once.
const LARGEST: u64 = 256 << 20;

/// The machine this runs on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Controller;

impl Environment for Controller {
    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|e| words(&e))
    }

    fn read_plain(&self, path: &Path) -> Result<Vec<u8>, String> {
        // A pipe that nobody writes to would not even open.
        let kind = std::fs::metadata(path).map_err(|e| words(&e))?;
        if !kind.is_file() && !kind.is_dir() {
            return Err("it is a pipe, a socket or a device".into());
        }
        let file = std::fs::File::open(path).map_err(|e| words(&e))?;
        let mut bytes = Vec::new();
        // What the kernel makes up as it is read (`/proc`) has no size beforehand.
        file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|e| words(&e))?;
        if bytes.len() as u64 > LARGEST {
            return Err(format!("it is larger than {} MiB, which is too much to send", LARGEST >> 20));
        }
        Ok(bytes)
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

    /// Standard input is empty; standard error goes to the user's terminal, for a command may ask there.
    fn output(&self, command: &[String], folder: &Path) -> Result<Vec<u8>, String> {
        let (program, arguments) = command.split_first().ok_or("no command is given")?;
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let output = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|e| words(&e))?;
        match output.status.code() {
            Some(0) => Ok(output.stdout),
            Some(code) => Err(format!("exit code {code}")),
            None => Err("ended by a signal".into()),
        }
    }
}

/// An I/O error without the number that the operating system gives it.
fn words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        std::io::ErrorKind::IsADirectory => "it is a folder".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_a_command_in_its_folder_and_says_why_one_failed() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "x").unwrap();
        assert_eq!(Controller.output(&words("cat a"), folder.path()), Ok(b"x".to_vec()));
        assert_eq!(Controller.output(&words("false"), Path::new("")), Err("exit code 1".into()));
        assert_eq!(Controller.output(&words("no-such-program"), Path::new("")), Err("no such file".into()));
        assert_eq!(Controller.read(folder.path()), Err("it is a folder".into()));
        assert_eq!(Controller.read_plain(folder.path()), Err("it is a folder".into()));
        assert_eq!(Controller.read_plain(&folder.path().join("a")), Ok(b"x".to_vec()));
        let device = Err("it is a pipe, a socket or a device".into());
        assert_eq!(Controller.read_plain(Path::new("/dev/zero")), device);
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(Controller.read_plain(&pipe), device);
        std::fs::remove_file(pipe).unwrap();
        let large = std::fs::File::create(folder.path().join("large")).unwrap();
        large.set_len(LARGEST + 1).unwrap();
        let why = Controller.read_plain(&folder.path().join("large")).unwrap_err();
        assert!(why.contains("larger than 256 MiB"), "{why}");
        std::fs::remove_file(folder.path().join("large")).unwrap();
        assert_eq!(Controller.list(folder.path()), Ok(Some(vec!["a".into()])));
        assert_eq!(Controller.list(&folder.path().join("a")), Ok(None));
    }
}
