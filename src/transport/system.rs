//! The connector of a real run: `ssh` for every host but those with `local = true`.

use std::sync::Arc;

use super::local::Local;
use super::ssh::Ssh;
use super::{BoxFuture, Connector, Owed, Session, Settings, TransportError};
use crate::model::Host;

/// Reaches hosts as the inventory says.
#[derive(Debug, Clone)]
pub struct System {
    ssh: Ssh,
    local: Local,
    owed: Owed,
}

impl System {
    /// With what all connections of the run share.
    pub fn new(settings: Settings) -> Self {
        Self { owed: settings.owed.clone(), ssh: Ssh::new(settings.clone()), local: Local::new(settings) }
    }
}

impl Connector for System {
    fn connect<'a>(&'a self, host: &'a Arc<Host>) -> BoxFuture<'a, Result<Box<dyn Session>, TransportError>> {
        if host.login.local { self.local.connect(host) } else { self.ssh.connect(host) }
    }

    fn owes(&self, host: &Host) -> bool {
        self.owed.owes(&host.name)
    }
}
