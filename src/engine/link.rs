//! The sessions with the hosts, made when first used and made again after they broke.

use std::ops::Index;
use std::sync::{Arc, Mutex as Cell, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;

use super::events::Events;
use crate::model::{Host, HostIndex, HostName, Hosts};
use crate::probe::Answer;
use crate::run::Run;
use crate::transport::{Connector, Frame, Holder, Output, Session, TransportError};

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
    /// For how long it is tried again, and whom that is told.
    survives: OnceLock<(Duration, Events)>,
    /// How often it was away.
    away: Cell<Away>,
    /// Who holds its lock: who refused it to us, or whom we saw. The first is said by `true`.
    holder: Cell<Option<(bool, Holder)>>,
}

/// How often a host was away, and for how long altogether.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Away {
    pub(super) times: u32,
    pub(super) time: Duration,
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

    fn held(&self) -> Option<Holder> {
        self.session.as_ref().and_then(|s| s.held()).cloned()
    }

    fn exchanges(&self) -> u64 {
        self.earlier + self.session.as_ref().map_or(0, |s| s.exchanges())
    }
}

/// What is in it: nothing that panics holds one.
fn cell<T>(cell: &Cell<T>) -> std::sync::MutexGuard<'_, T> {
    cell.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    pub(super) fn new(host: Arc<Host>, connector: Arc<dyn Connector>) -> Self {
        Self {
            host,
            connector,
            own: Mutex::default(),
            guests: Mutex::default(),
            fork: Cell::default(),
            survives: OnceLock::new(),
            away: Cell::default(),
            holder: Cell::default(),
        }
    }

    /// Connects, unless a session is open.
    pub(super) async fn connect(&self) -> Result<(), TransportError> {
        let mut own = self.own.lock().await;
        let session = self.opened(&mut own).await?;
        own.session = Some(session);
        Ok(())
    }

    /// From now on exchanges go on over a new connection when one is lost, for a host that is back within `bound`.
    pub(super) fn survive(&self, bound: Duration, events: Events) {
        // It is said once.
        let _ = self.survives.set((bound, events));
    }

    /// Exchanges a frame, connecting first where needed, and again if [`Self::survive`] says so.
    pub(super) async fn exchange(
        &self,
        asker: Asker,
        frame: Frame,
        output: &mut (dyn FnMut(Output<'_>) + Send),
    ) -> Result<Vec<Answer>, TransportError> {
        match self.survives.get() {
            Some((bound, events)) => self.exchange_on_and_on(asker, frame, *bound, events, output).await,
            None => self.exchange_once(asker, frame, output).await,
        }
    }

    /// Exchanges a frame, connecting first where needed. A session that broke is dropped.
    pub(super) async fn exchange_once(
        &self,
        asker: Asker,
        frame: Frame,
        output: &mut (dyn FnMut(Output<'_>) + Send),
    ) -> Result<Vec<Answer>, TransportError> {
        let (result, held) = match asker {
            Asker::Own => {
                let mut own = self.own.lock().await;
                let session = self.opened(&mut own).await?;
                let result = own.exchange(session, frame, output).await;
                if own.session.is_none() {
                    self.offer(None);
                }
                (result, own.held())
            }
            Asker::Guest => {
                let mut guests = self.guests.lock().await;
                let session = self.forked(&mut guests).await?;
                let result = guests.exchange(session, frame, output).await;
                (result, guests.held())
            }
        };
        let seen = match &result {
            Err(TransportError::Locked(holder)) => Some((true, (**holder).clone())),
            _ => held.map(|holder| (false, holder)),
        };
        if seen.is_some() {
            *cell(&self.holder) = seen;
        }
        result
    }

    /// Connects as one or the other, unless a session is open.
    pub(super) async fn connect_as(&self, asker: Asker) -> Result<(), TransportError> {
        match asker {
            Asker::Own => self.connect().await,
            Asker::Guest => {
                let mut guests = self.guests.lock().await;
                let session = self.forked(&mut guests).await?;
                guests.session = Some(session);
                Ok(())
            }
        }
    }

    /// Lets go of a connection that a guest has found broken; the host's own task finds out by itself.
    pub(super) async fn drop_broken(&self, asker: Asker) {
        if asker == Asker::Guest
            && let Ok(mut own) = self.own.try_lock()
        {
            own.close().await;
            self.offer(None);
        }
    }

    /// Counts that the host was away.
    pub(super) fn came_back(&self, after: Duration) {
        let mut away = cell(&self.away);
        away.times += 1;
        away.time += after;
    }

    /// How often the host was away so far.
    pub(super) fn away(&self) -> Away {
        *cell(&self.away)
    }

    /// Whether its lock was refused to us.
    pub(super) fn is_refused(&self) -> bool {
        matches!(*cell(&self.holder), Some((true, _)))
    }

    /// Who holds the lock of the host, as far as it has been seen since this was asked, and whether it was refused to us.
    pub(super) fn take_holder(&self) -> Option<(bool, Holder)> {
        cell(&self.holder).take()
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
        let offered = cell(&self.fork).take();
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
        *cell(&self.fork) = fork;
    }

    /// Closes the sessions that are open. A guest that is still asking will find out by itself.
    pub(super) async fn close(&self) {
        self.offer(None);
        if let Ok(mut guests) = self.guests.try_lock() {
            guests.close().await;
        }
        self.own.lock().await.close().await;
    }

    /// Closes the sessions at the end of a run, and leaves nothing on a host that `is_there`.
    pub(super) async fn finish(&self, is_there: bool) {
        self.close().await;
        if is_there
            && self.connector.owes(&self.host)
            && let Ok(mut session) = self.connector.connect(&self.host).await
        {
            session.settle().await;
            session.close().await;
        }
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
