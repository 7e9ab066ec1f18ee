//! What configuration may ask of the controller. The real one is in `cli`; tests use one in memory.

use std::path::Path;

/// The controller as seen by the configuration: files, environment variables, commands.
///
/// Errors are a few words that read well after "cannot read FILE: ".
pub trait Environment: std::fmt::Debug + Send + Sync {
    /// Reads a file.
    fn read(&self, path: &Path) -> Result<Vec<u8>, String>;
    /// Reads a file that a step sends: no pipe, which might never end, no device, and none that is too large.
    fn read_plain(&self, path: &Path) -> Result<Vec<u8>, String> {
        self.read(path)
    }
    /// The names in a folder, in any order; `None` if `path` is no folder.
    fn list(&self, path: &Path) -> Result<Option<Vec<String>>, String>;
    /// The value of an environment variable, if it is set and is text.
    fn variable(&self, name: &str) -> Option<String>;
    /// Runs a command in `folder` and returns its standard output, or why it failed.
    fn output(&self, command: &[String], folder: &Path) -> Result<Vec<u8>, String>;
}
