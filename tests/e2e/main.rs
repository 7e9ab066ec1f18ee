//! The main job, end to end, on the lab's virtual hosts: each check needs what the one before it left.
//!
//! `cargo test --test e2e` needs root and `tests/lab/lab build`; where these are missing it says so and
//! skips, except in CI. `cargo test --test e2e -- nfs` runs only the chapters whose name has `nfs` in it.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::exit, reason = "a test program of its own")]
#![allow(unreachable_pub, missing_debug_implementations, reason = "nobody else uses a test")]

mod arguments;
mod chapters;
mod lab;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// The checks of one run and how they ended.
struct Book {
    passed: usize,
    failed: Vec<String>,
    broken: bool,
}

impl Book {
    /// Runs one check. After a failure the rest of the chapter is skipped: it builds on what is missing.
    fn check(&mut self, name: &str, check: impl FnOnce()) {
        if self.broken {
            println!("skipped  {name} (an earlier check of the chapter failed)");
            self.failed.push(name.to_owned());
            return;
        }
        let start = Instant::now();
        let ok = catch_unwind(AssertUnwindSafe(check)).is_ok();
        let took = start.elapsed().as_secs_f32();
        if ok {
            println!("ok       {name} ({took:.1} s)");
            self.passed += 1;
        } else {
            println!("FAILED   {name} ({took:.1} s)");
            self.failed.push(name.to_owned());
            self.broken = true;
        }
    }
}

fn main() {
    let filters: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    if let Err(why) = lab::available() {
        assert!(std::env::var_os("CI").is_none(), "the end-to-end run cannot be skipped in CI: {why}");
        println!("SKIPPED: {why}");
        return;
    }
    let mut book = Book { passed: 0, failed: Vec::new(), broken: false };
    for (name, chapter) in chapters::ALL {
        if filters.is_empty() || filters.iter().any(|f| name.contains(f.as_str())) {
            println!("-- {name}");
            book.broken = false;
            chapter(&mut book);
        }
    }
    for name in &book.failed {
        println!("failed: {name}");
    }
    println!("end-to-end: {} passed, {} failed", book.passed, book.failed.len());
    if !book.failed.is_empty() {
        std::process::exit(1);
    }
}
