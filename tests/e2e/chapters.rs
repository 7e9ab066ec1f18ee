//! The chapters, each from fresh hosts.

mod nfs;

use crate::Book;

/// All chapters by name, in their order.
pub const ALL: &[(&str, fn(&mut Book))] = &[("nfs", nfs::chapter)];
