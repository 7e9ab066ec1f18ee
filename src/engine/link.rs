//! The sessions with the hosts, made when first used and made again after they broke.

use std::ops::Index;
use std::sync::{Arc, Mutex as Cell, PoisonError};

use tokio::sync::Mutex;

use crate::model::{Host, HostIndex, HostName, Hosts};
use crate::probe::Answer;
use crate::run::Run;
use crate::transport::{Connector, Frame, Output, Session, TransportError};

/// A host and the connection with it. On it are two sessions: one for the host's own task, and when they ask, one for
/// the tasks of other hosts, which must not wait until a long action of its own is over.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) host: Arc<Host>,
    connector: Arc<dyn Connector>,
    own: Mutex<Open>,
    /// Locked before `own`, never after it.
    guests: Mutex<Open>,
    /// For the guests: a session on a connection that has been made since they last looked.
    fork: Cell<Option<Box<dyn Session>>>,
}

/// Whose task asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// The host's own.
    Own,
    /// That of another host.
    Guest,
}

#[derive(Debug, Default)]
struct Open {
    session: Option<Box<dyn Session>>,
    /// Exchanges over sessions that are closed by now.
    earlier: u64,
}

impl Open {
    /// Exchanges a frame over `session`, which is kept unless it broke.
    async fn exchange(
        &mut self,
        mut session: Box<dyn Session>,
        frame: Frame,
        output: &mut (dyn FnMut(Output<'_>) + Send),
    ) -> Result<Vec<Answer>, TransportError> {
        // Not in `self` while it is in use: if this future is dropped, the session goes with it.
        let result = session.exchange(frame, output).await;
        self.session = Some(session);
        if matches!(result, Err(TransportError::Unreachable { .. })) {
            self.close().await;
        }
        result
    }

    async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            self.earlier += session.exchanges();
            session.close().await;
        }
    }

    fn exchanges(&self) -> u64 {
        self.earlier + self.session.as_ref().map_or(0, |s| s.exchanges())
    }
}

impl Link {
    pub(super) fn new(host: Arc<Host>, connector: Arc<dyn Connector>) -> Self {
        Self { host, connector, own: Mutex::default(), guests: Mutex::default(), fork: Cell::default() }
    }

    /// Connects, unless a session is open.
    pub(super) async fn connect(&self) -> Result<(), TransportError> {
        let mut own = self.own.lock().await;
        let session = self.opened(&mut own).await?;
        own.session = Some(session);
        Ok(())
    }

    /// Exchanges a frame, connecting first where needed. A session that broke is dropped.
    pub(super) async fn exchange(
        &self,
        asker: Asker,
        frame: Frame,
        output: &mut (dyn FnMut(Output<'_>) + Send),
    ) -> Result<Vec<Answer>, TransportError> {
        match asker {
            Asker::Own => {
                let mut own = self.own.lock().await;
                let session = self.opened(&mut own).await?;
                let result = own.exchange(session, frame, output).await;
                if own.session.is_none() {
                    self.offer(None);
                }
                result
            }
            Asker::Guest => {
                let mut guests = self.guests.lock().await;
                let session = self.forked(&mut guests).await?;
                guests.exchange(session, frame, output).await
            }
        }
    }

    /// Takes the session out, or makes one.
    async fn opened(&self, own: &mut Open) -> Result<Box<dyn Session>, TransportError> {
        if let Some(session) = own.session.take() {
            return Ok(session);
        }
        let session = self.connector.connect(&self.host).await?;
        self.offer(Some(session.fork()));
        Ok(session)
    }

    /// Takes the guests' session out, or makes one on the connection that is there.
    async fn forked(&self, guests: &mut Open) -> Result<Box<dyn Session>, TransportError> {
        let offered = self.fork.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(newer) = offered {
            guests.close().await;
            return Ok(newer);
        }
        if let Some(session) = guests.session.take() {
            return Ok(session);
        }
        let mut own = self.own.lock().await;
        let session = self.opened(&mut own).await?;
        self.offer(None);
        let fork = session.fork();
        own.session = Some(session);
        Ok(fork)
    }

    fn offer(&self, fork: Option<Box<dyn Session>>) {
        *self.fork.lock().unwrap_or_else(PoisonError::into_inner) = fork;
    }

    /// Closes the sessions that are open. A guest that is still asking will find out by itself.
    pub(super) async fn close(&self) {
        self.offer(None);
        if let Ok(mut guests) = self.guests.try_lock() {
            guests.close().await;
        }
        self.own.lock().await.close().await;
    }

    pub(super) async fn exchanges(&self) -> u64 {
        self.guests.lock().await.exchanges() + self.own.lock().await.exchanges()
    }
}

/// The links with all hosts that a run may talk to: its own hosts first, in their order, so that a [`HostIndex`] means
/// the same here and in the run; then the others of the inventory, which steps may ask or act on.
#[derive(Debug)]
pub(super) struct Links {
    hosts: Hosts,
    links: Vec<Arc<Link>>,
}

impl Links {
    pub(super) fn new(run: &Run, connector: &Arc<dyn Connector>) -> Self {
        let own = Hosts::new(run.hosts.clone());
        let others = run.inventory.iter().filter(|host| own.named(host.name.as_str()).is_none());
        let hosts = Hosts::new(run.hosts.iter().chain(others).cloned().collect());
        let link = |host: &Arc<Host>| Arc::new(Link::new(Arc::clone(host), Arc::clone(connector)));
        Self { links: hosts.iter().map(link).collect(), hosts }
    }

    /// The host that is meant by a name or an address.
    pub(super) fn find(&self, called: &str) -> Option<HostIndex> {
        self.hosts.find(called)
    }

    /// The host that a probe asks, or an action is for: the step's `own`, if none is named. `None` if it is not in the
    /// inventory.
    pub(super) fn target(&self, own: HostIndex, named: Option<&HostName>) -> Option<HostIndex> {
        named.map_or(Some(own), |name| self.hosts.named(name.as_str()))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.links.iter()
    }
}

impl Index<HostIndex> for Links {
    type Output = Arc<Link>;

    fn index(&self, index: HostIndex) -> &Self::Output {
        &self.links[index]
    }
}
