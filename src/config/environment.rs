//! What configuration may ask of the controller. The real one is in `cli`; tests use one in memory.

use std::path::Path;

use crate::model::Secret;

/// The controller as seen by the configuration: files, environment variables, commands.
///
/// Errors are a few words that read well after "cannot read FILE: ".
pub trait Environment: std::fmt::Debug + Send + Sync {
    /// Reads a file.
    fn read(&self, path: &Path) -> Result<Vec<u8>, String>;
    /// Reads a file that has no more than `most` bytes.
    fn read_at_most(&self, path: &Path, most: u64) -> Result<Vec<u8>, String> {
        let bytes = self.read(path)?;
        if bytes.len() as u64 > most { Err(too_large(most)) } else { Ok(bytes) }
    }
    /// The names in a folder, in any order; `None` if `path` is no folder.
    fn list(&self, path: &Path) -> Result<Option<Vec<String>>, String>;
    /// The value of an environment variable, if it is set and is text.
    fn variable(&self, name: &str) -> Option<String>;
    /// Runs a command in `folder` and returns its standard output, or why it failed.
    fn output(&self, command: &[String], folder: &Path) -> Result<Vec<u8>, String>;
    /// Asks for the passphrase of a key. The error reads well after "KEY is locked by a passphrase, and ".
    fn passphrase(&self, key: &str) -> Result<Secret, String> {
        let _ = key;
        Err("nobody can be asked for it".into())
    }
}

/// Why a file is not read.
pub fn too_large(most: u64) -> String {
    format!("it is larger than {} MB", most >> 20)
}
