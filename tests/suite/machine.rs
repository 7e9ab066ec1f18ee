//! This machine, as the one host of many tests: an apply locks it, so only one of them at a time.

use std::fs::File;

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
