//! The `hostwright` binary: wiring only.

fn main() {}
