//! This machine, as the one host of many tests: an apply locks it, so only one of them at a time.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

fn open() -> File {
    let path = std::env::temp_dir().join("hostwright-test-machine.lock");
    File::options().create(true).append(true).open(path).unwrap()
}

/// Nobody else may lock the machine, or see that it is locked, until this is dropped.
pub(crate) fn alone() -> File {
    let file = open();
    file.lock().unwrap();
    file
}

/// Nobody may lock the machine until this is dropped.
pub(crate) fn unlocked() -> File {
    let file = open();
    file.lock_shared().unwrap();
    file
}

/// Lets what stands behind it see `$0` in place of the machine's own folder of Hostwright.
pub(crate) const OWN_STATE: &str =
    "mkdir -p /var/lib/hostwright \"$0\" && mount --bind \"$0\" /var/lib/hostwright";

/// Whether there can be mounts that others do not see.
static PRIVATE: LazyLock<bool> = LazyLock::new(|| {
    Command::new("unshare").args(["-m", "true"]).output().is_ok_and(|out| out.status.success())
});

/// The program, to be run on this machine: what it keeps of the machine's files as root lies in `state`.
pub(crate) fn hostwright(state: &Path) -> Command {
    let program = env!("CARGO_BIN_EXE_hostwright");
    if !*PRIVATE {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    let run = format!("{OWN_STATE} && exec \"$@\"");
    command.args(["-m", "sh", "-c", &run]).arg(state).arg(program);
    command
}
