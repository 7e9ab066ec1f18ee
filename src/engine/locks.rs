//! The locks of hosts: all of them are taken, or none.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Engine;
use super::link::Asker;
use crate::event::Body;
use crate::model::{HostIndex, HostName, Privilege};
use crate::sh;
use crate::transport::{Frame, Holder, Part, TransportError};

/// The shells of a controller that was killed a moment ago are just ending.
const ENDING: Duration = Duration::from_secs(2);

/// A host whose lock another run has.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The host.
    pub host: HostName,
    /// Who has it.
    pub holder: Holder,
}

impl Engine {
    /// Asks all hosts everything that the plan needs, holding the lock of each of them. Where another run has one, those
    /// that were taken are let go, so that two runs never wait for each other; then it is tried again for as long as
    /// `wait`, and for as long as it takes where only an action has to end whose controller is gone.
    ///
    /// # Errors
    /// The hosts that are locked after that. Nothing was changed, and nothing is held.
    pub async fn gather_locked(&mut self, wait: Duration) -> Result<(), Vec<Refused>> {
        let deadline = Instant::now() + wait.max(ENDING);
        let mut told = Vec::new();
        self.locks = true;
        loop {
            let mut positions = self.gather_once().await;
            if positions.is_empty() {
                return Ok(());
            }
            // All or none.
            self.release().await;
            loop {
                let refused: Vec<Refused> = positions.iter().map(|(_, refused)| refused.clone()).collect();
                let orphans = refused.iter().all(|r| !r.holder.actions.is_empty());
                if !orphans && Instant::now() >= deadline {
                    return Err(refused);
                }
                for Refused { host, holder } in refused {
                    let waits = if holder.actions.is_empty() {
                        format!("locked by {holder}; waiting for it")
                    } else {
                        let actions = holder.actions.join(", ");
                        format!(
                            "locked by {holder}, whose controller is gone; waiting until this has ended: {actions}"
                        )
                    };
                    if (wait > ENDING || orphans) && !told.contains(&(host.clone(), waits.clone())) {
                        told.push((host.clone(), waits.clone()));
                        self.events.send(Body::Warning { host: Some(host), message: waits }).await;
                    }
                }
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    () = self.cancel.interrupted() => return Ok(()),
                }
                positions = self.still_locked(&positions).await;
                if positions.is_empty() {
                    break;
                }
            }
        }
    }

    /// Asks everything; returns the hosts that are locked.
    async fn gather_once(&mut self) -> Vec<(HostIndex, Refused)> {
        self.gather().await;
        self.refused()
    }

    fn refused(&self) -> Vec<(HostIndex, Refused)> {
        let refused = |(n, link): (usize, &Arc<super::link::Link>)| match link.take_holder() {
            Some((true, holder)) => {
                Some((HostIndex::new(n), Refused { host: link.host.name.clone(), holder }))
            }
            _ => None,
        };
        self.links.iter().enumerate().filter_map(refused).collect()
    }

    /// Tries those again that were locked, and holds none of them.
    async fn still_locked(&self, locked: &[(HostIndex, Refused)]) -> Vec<(HostIndex, Refused)> {
        let mut asking = JoinSet::new();
        for (n, _) in locked {
            let link = Arc::clone(&self.links[*n]);
            let bound = self.options.probe_timeout;
            let privileges = self.privileges(*n);
            asking.spawn(async move {
                for privilege in privileges {
                    let parts = vec![Part::question(sh!("true"))];
                    let frame = Frame { privilege, parts, timeout: bound };
                    if let Err(TransportError::Locked(_)) =
                        link.exchange(Asker::Own, frame, &mut |_| {}).await
                    {
                        break;
                    }
                }
                link.close().await;
            });
        }
        asking.join_all().await;
        self.refused()
    }

    /// The rights that the steps of a host have: shells of each of them lock it.
    pub(super) fn privileges(&self, host: HostIndex) -> Vec<Privilege> {
        let mut found = Vec::new();
        for instance in
            self.hosts.get(host.position()).into_iter().flat_map(|h| &h.slots).filter_map(|s| s.instance())
        {
            if !found.contains(&instance.privilege) {
                found.push(instance.privilege.clone());
            }
        }
        found
    }

    /// Lets go of all sessions, and the locks with them.
    async fn release(&self) {
        let mut closing = JoinSet::new();
        for link in self.links.iter().map(Arc::clone) {
            closing.spawn(async move { link.close().await });
        }
        closing.join_all().await;
    }

    /// Says which hosts a run holds: what is shown of them may be something else when it is done.
    pub async fn tell_locks(&self) {
        for link in self.links.iter() {
            if let Some((_, holder)) = link.take_holder() {
                let message = format!("locked by {holder}: what is told of it may change under way");
                self.events.send(Body::Warning { host: Some(link.host.name.clone()), message }).await;
            }
        }
    }
}
