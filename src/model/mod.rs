//! The words everything else is said in: names, places, resources, values, hosts and runs.
//!
//! Nothing here does I/O, reads a clock or the environment, or is async.

mod host;
mod names;
mod resource;
mod run;
mod secret;
pub mod value;

pub use host::{Host, Login};
pub use names::{HostName, NameError, Place, Privilege, StepId};
pub use resource::{FileContent, FileKind, FileState, Kind, Resource, Scope, State};
pub use run::{
    Batch, Failure, Instance, Known, OnFailure, Play, ResolveError, Resolved, ResultOf, Run, StepResult,
    StepSource,
};
pub use secret::{MASK, Redactor, Secret};
