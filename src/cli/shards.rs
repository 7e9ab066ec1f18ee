//! `--shard` and `--shard-folder`: what is told of shards, and the folder in which they meet.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::exit::Exit;
use super::output;
use super::settings::Display;
use crate::config::Loaded;
use crate::engine::{Meeting, Standing};
use crate::model::digest::sha256;
use crate::run::Run;
use crate::shard::Shard;
use crate::whole_file;

/// Says which part of the hosts this is.
pub(super) fn tell(shard: Option<Shard>, run: &Run, loaded: &Loaded, display: &Display) {
    let Some(shard) = shard.filter(|_| !display.detail.quiet) else { return };
    output::message(&format!("Shard {shard}: {} of {} hosts.", run.hosts.len(), loaded.of_hosts));
    for tied in &loaded.tied {
        let why = tied.why.join("; ");
        output::message(&format!("  {} hosts stay together in shard {}: {why}", tied.hosts, tied.shard));
    }
}

/// A folder that all shards of a run see, each with a file of its own in it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    shard: Shard,
    /// What all of them must be about.
    digest: String,
}

/// What a shard says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    /// The digest of inventory and playbooks.
    digest: String,
    /// The barriers that it has come to.
    through: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Runs,
    Ended,
    Stopped,
}

impl Folder {
    /// Comes into the folder. What an earlier run has left there is refused.
    pub(super) fn enter(path: &Path, shard: Shard, files: &impl Serialize) -> Result<Self, Exit> {
        let text = serde_json::to_vec(files).unwrap_or_default();
        let folder = Self { path: path.to_owned(), shard, digest: sha256(&text) };
        if !path.is_dir() {
            let what = format!("{} is no folder", path.display());
            return Err(output::complain(&what, "make it, on a file system that all shards see"));
        }
        if let Ok(Some(Said { state: State::Ended, .. })) = folder.read(shard.number) {
            let what = format!("{} has shard {shard} of a run that has ended", path.display());
            return Err(output::complain(
                &what,
                "give an empty folder: each run of all shards has one of its own",
            ));
        }
        folder.write(0, State::Runs).map_err(|error| {
            let what = format!("cannot write into {}: {error}", path.display());
            output::complain(&what, "all shards have to write there")
        })?;
        Ok(folder)
    }

    /// Says how it ended here.
    pub(super) fn leave(&self, done: bool) {
        let state = if done { State::Ended } else { State::Stopped };
        if let Err(error) = self.write(usize::MAX, state) {
            output::message(&format!("warning: the other shards are not told of the end: {error}"));
        }
    }

    fn file(&self, number: usize) -> PathBuf {
        self.path.join(format!("shard-{number}-of-{}.json", self.shard.of))
    }

    fn write(&self, through: usize, state: State) -> std::io::Result<()> {
        let said = Said { digest: self.digest.clone(), through, state };
        let text = serde_json::to_vec(&said)?;
        // Shards may be other users.
        let rights = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        whole_file::write(&self.file(self.shard.number), &text, Some(rights))
    }

    fn read(&self, number: usize) -> std::io::Result<Option<Said>> {
        match std::fs::read(self.file(number)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Meeting for Folder {
    fn arrive(&self, barrier: usize) -> Standing {
        if let Err(error) = self.write(barrier, State::Runs) {
            return Standing::Stop(format!("cannot write into {}: {error}", self.path.display()));
        }
        let mut missing = Vec::new();
        for number in (1..=self.shard.of).filter(|number| *number != self.shard.number) {
            match self.read(number) {
                Err(error) => return Standing::Stop(format!("{}: {error}", self.file(number).display())),
                Ok(Some(said)) if said.digest != self.digest => {
                    let what = "has another inventory, other playbooks or other files than this one";
                    return Standing::Stop(format!("shard {number} {what}"));
                }
                Ok(Some(Said { state: State::Stopped, .. })) => {
                    return Standing::Stop(format!("shard {number} was stopped, or could not begin"));
                }
                Ok(Some(said)) if said.through >= barrier => {}
                Ok(_) => missing.push(format!("shard {number}")),
            }
        }
        if missing.is_empty() { Standing::Go } else { Standing::Waits(missing) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(folder: &Path, number: usize, files: &str) -> Folder {
        Folder::enter(folder, Shard { number, of: 3 }, &files).unwrap()
    }

    #[test]
    fn nobody_goes_on_before_all_have_come() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (enter(folder.path(), 1, "x"), enter(folder.path(), 2, "x"));
        let waits = |names: &[&str]| Standing::Waits(names.iter().map(|n| (*n).to_owned()).collect());
        assert_eq!(one.arrive(1), waits(&["shard 2", "shard 3"]));
        let three = enter(folder.path(), 3, "x");
        assert_eq!(two.arrive(1), waits(&["shard 3"]));
        three.leave(true);
        assert_eq!((one.arrive(1), two.arrive(1)), (Standing::Go, Standing::Go));
        assert_eq!(one.arrive(2), waits(&["shard 2"]), "who has ended is through all of them");
        two.leave(false);
        assert!(matches!(one.arrive(2), Standing::Stop(why) if why.starts_with("shard 2 was stopped")));
        // It is begun once more after that; the one that has ended is not.
        let two = enter(folder.path(), 2, "x");
        assert_eq!(one.arrive(2), waits(&["shard 2"]));
        assert_eq!(two.arrive(2), Standing::Go);
        assert!(Folder::enter(folder.path(), Shard { number: 3, of: 3 }, &"x").is_err());
    }

    #[test]
    fn shards_of_different_runs_do_not_meet() {
        let folder = tempfile::tempdir().unwrap();
        let (one, _) = (enter(folder.path(), 1, "x"), enter(folder.path(), 2, "y"));
        assert!(matches!(one.arrive(1), Standing::Stop(why) if why.contains("another inventory")));
        assert!(Folder::enter(&folder.path().join("none"), Shard { number: 1, of: 2 }, &"x").is_err());
    }
}
