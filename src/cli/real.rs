//! The rest of the program as it is in earnest: files, secrets and `ssh`.

use std::sync::Arc;

use super::backend::{Backend, Loaded};
use super::settings::Wanted;
use crate::diagnostic::Diagnostic;
use crate::model::Redactor;
use crate::transport::{Connector, Settings, System};

/// Reads files and reaches hosts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Real;

impl Backend for Real {
    fn load(&self, wanted: &Wanted) -> Loaded {
        let message = format!("{} cannot be read yet", wanted.inventory.display());
        let diagnostics = vec![Diagnostic::error(None, message)];
        Loaded { run: None, diagnostics, redactor: Redactor::default(), forks: None }
    }

    fn connector(&self, settings: Settings) -> Arc<dyn Connector> {
        Arc::new(System::new(settings))
    }
}
