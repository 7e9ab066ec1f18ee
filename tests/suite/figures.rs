//! What the tests that try many ways have found, in numbers: `tests/run` prints them at its end.

use std::io::Write as _;

/// Tells a line of them.
pub(crate) fn tell(line: &str) {
    eprintln!("{line}");
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("figures");
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| writeln!(file, "{line}")).unwrap();
}
