//! The words everything else is said in: names, places, resources, values, hosts and outcomes.
//!
//! Nothing here does I/O, reads a clock or the environment, or is async.

pub mod digest;
pub mod field;
mod host;
mod hosts;
mod index;
mod names;
mod outcome;
mod resource;
mod secret;
pub mod value;

pub use host::{Host, Login};
pub use hosts::Hosts;
pub use index::{HostIndex, PlayIndex, SlotIndex};
pub use names::{HostName, NameError, Place, Privilege, StepId};
pub use outcome::{Failure, Known, OnFailure, ResultOf, StepResult};
pub use resource::{FileContent, FileKind, FileState, Kind, Resource, Scope, State};
pub use secret::{MASK, Redactor, Secret};
