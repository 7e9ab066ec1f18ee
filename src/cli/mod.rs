//! The command line, and what of the controller the rest needs.

pub mod environment;
