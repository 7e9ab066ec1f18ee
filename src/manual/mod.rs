//! The manual of the language: one document for each topic, as the kinds of steps have theirs, for `explain`.
//!
//! Its tables name the words of the language. The tests hold them to the types that read these words: none may be
//! missing, none may be there that is not read.

mod topics;
mod words;

#[cfg(test)]
mod tests;

pub use topics::{TOPICS, Topic, phrase, topic};
pub use words::{Found, find, names};
