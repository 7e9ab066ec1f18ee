//! What several kinds share. A module here is no kind of its own.

pub mod attributes;
pub mod path;
pub mod put;
