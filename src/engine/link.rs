//! The one session with a host, made when first used and made again after it broke.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use crate::model::Host;
use crate::probe::Answer;
use crate::transport::{Connector, Frame, Output, Session, TransportError};

/// A host and the session with it. Tasks of other hosts ask it questions over the same session.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) host: Arc<Host>,
    connector: Arc<dyn Connector>,
    session: Mutex<Open>,
    changes: AtomicU64,
}

#[derive(Debug, Default)]
struct Open {
    session: Option<Box<dyn Session>>,
    /// Exchanges over sessions that are closed by now.
    earlier: u64,
}

impl Link {
    pub(super) fn new(host: Arc<Host>, connector: Arc<dyn Connector>) -> Self {
        Self { host, connector, session: Mutex::default(), changes: AtomicU64::new(0) }
    }

    /// Connects, unless a session is open.
    pub(super) async fn connect(&self) -> Result<(), TransportError> {
        let mut open = self.session.lock().await;
        if open.session.is_none() {
            open.session = Some(self.connector.connect(&self.host).await?);
        }
        Ok(())
    }

    /// Exchanges a frame, connecting first where needed. A session that broke is dropped.
    pub(super) async fn exchange(
        &self,
        frame: Frame,
        output: &mut (dyn FnMut(Output<'_>) + Send),
    ) -> Result<Vec<Answer>, TransportError> {
        let mut open = self.session.lock().await;
        // Taken out while it is in use: if this future is dropped, the session goes with it.
        let mut session = match open.session.take() {
            Some(session) => session,
            None => self.connector.connect(&self.host).await?,
        };
        let result = session.exchange(frame, output).await;
        if matches!(result, Err(TransportError::Unreachable { .. })) {
            open.earlier += session.exchanges();
            session.close().await;
        } else {
            open.session = Some(session);
        }
        result
    }

    /// Closes the session, if one is open.
    pub(super) async fn close(&self) {
        let mut open = self.session.lock().await;
        if let Some(session) = open.session.take() {
            open.earlier += session.exchanges();
            session.close().await;
        }
    }

    pub(super) async fn exchanges(&self) -> u64 {
        let open = self.session.lock().await;
        open.earlier + open.session.as_ref().map_or(0, |s| s.exchanges())
    }

    /// Counts a change on this host, so that others who asked it know that they must ask again.
    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// The number of changes so far.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }
}
