//! The chapters, each from fresh hosts.

mod docker;
mod examples;
mod nfs;
mod recipe;
mod swarm;

use crate::Book;

/// What a chapter does.
type Chapter = fn(&mut Book);

/// All chapters by name, in their order.
pub const ALL: &[(&str, Chapter)] = &[
    ("nfs", nfs::chapter),
    ("docker", docker::chapter),
    ("swarm", swarm::chapter),
    ("recipe", recipe::chapter),
    ("examples", examples::chapter),
];
