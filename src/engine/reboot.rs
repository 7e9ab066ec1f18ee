//! A host that restarts: it is there again when it tells another boot id.

use std::time::Duration;

use tokio::time::Instant;

use super::host::HostRun;
use super::link::Asker;
use super::shared::interrupted;
use super::turn::Turn;
use crate::model::{Failure, Privilege};
use crate::sh;
use crate::transport::{Frame, Part, TransportError};

/// How long to wait between two tries to reach it.
const RECONNECT_PAUSE: Duration = Duration::from_secs(2);

/// A boot that is about to end.
#[derive(Debug)]
pub(super) struct Boot {
    id: String,
    /// How long the host may take until it is there again.
    bound: Duration,
}

impl HostRun {
    /// The boot that the host is in; it may take as long as `bound` for the next one.
    pub(super) async fn boot(&mut self, privilege: &Privilege, bound: Duration) -> Result<Boot, Turn> {
        match self.boot_id(privilege).await {
            Ok(id) => Ok(Boot { id, bound }),
            Err(error) => Err(self.lost(self.own, &error)),
        }
    }

    async fn boot_id(&self, privilege: &Privilege) -> Result<String, TransportError> {
        let parts = vec![Part::question(sh!("cat /proc/sys/kernel/random/boot_id"))];
        let frame = Frame { privilege: privilege.clone(), parts, timeout: Duration::from_secs(15) };
        let answers = self.shared.links[self.own].exchange_once(Asker::Own, frame, &mut |_| {}).await?;
        Ok(answers.first().map(|a| a.text().into_owned()).unwrap_or_default())
    }

    /// Waits until the host is in another boot.
    pub(super) async fn wait_for_boot(&mut self, privilege: &Privilege, old: &Boot) -> Result<(), Turn> {
        let deadline = Instant::now() + old.bound;
        loop {
            self.shared.links[self.own].close().await;
            tokio::select! {
                () = tokio::time::sleep(RECONNECT_PAUSE) => {}
                () = self.shared.cancel.killed() => return Err(Turn::failed(interrupted())),
            }
            let asked = tokio::time::timeout_at(deadline, self.boot_id(privilege)).await;
            match asked {
                Ok(Ok(id)) if !id.is_empty() && id != old.id => return Ok(()),
                _ if Instant::now() < deadline => {}
                _ => {
                    self.unreachable = true;
                    let message = format!("did not come back within {} s of its reboot", old.bound.as_secs());
                    return Err(Turn::unreachable(
                        Failure::new(message).hint("look at its console, or raise the step's `timeout`"),
                    ));
                }
            }
        }
    }
}
