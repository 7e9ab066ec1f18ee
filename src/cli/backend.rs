//! What the commands need of the rest of the program, so that tests can put something else in its place.

use std::sync::Arc;

use super::settings::Wanted;
use crate::diagnostic::Diagnostic;
use crate::model::{Redactor, Run};
use crate::transport::{self, Connector};

/// The rest of the program, as the commands see it.
pub trait Backend: Send + Sync {
    /// Reads inventory and playbooks, offline.
    fn load(&self, wanted: &Wanted) -> Loaded;
    /// Makes connections with these settings.
    fn connector(&self, settings: transport::Settings) -> Arc<dyn Connector>;
}

/// What loading came to.
#[derive(Debug)]
pub struct Loaded {
    /// The run; `None` if there is an error among the diagnostics.
    pub run: Option<Run>,
    /// All mistakes and warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// Knows every secret.
    pub redactor: Redactor,
    /// How many hosts to work on at once, if the inventory says.
    pub forks: Option<usize>,
}
