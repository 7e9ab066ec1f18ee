//! What several kinds share. A module here is no kind of its own.

pub mod docker;
pub mod path;
