//! All tests that need more than one module, in one binary so that they are linked once.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on panics")]

mod real_files;
mod steps;
mod tidy;
