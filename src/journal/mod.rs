//! The record that every run leaves on the controller: a line that says who began what, when and from where, the event
//! stream with the wall clock, and a line that says how it ended.
//!
//! A journal is a file of JSON lines below the user's state directory, which nobody else can read. Its writer holds a lock
//! on it as long as it lives, so that a run that still goes on, one that has ended and one whose controller was killed can be
//! told apart. `explain events` tells of the lines.

mod header;
mod store;
mod writer;

pub use header::{Header, Revision, VERSION};
pub use store::{Ended, Entry, JournalError, Keep, Line, Recorded, State, Store};
pub use writer::Writer;
