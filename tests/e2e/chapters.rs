//! The chapters, each from fresh hosts.

mod cuts;
mod docker;
mod examples;
mod nfs;
mod nightly;
mod recipe;
mod shards;
mod swarm;
mod undo;

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
    ("undo", undo::chapter),
    ("nightly", nightly::chapter),
    ("cuts", cuts::chapter),
    ("kills", cuts::kills),
];
