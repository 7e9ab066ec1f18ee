//! What the sessions of a run with a host stand on.

use std::sync::Arc;
use std::time::Duration;

use super::channel::Pipes;
use super::session::Launch;
use super::ssh::{Connection, Ssh};
use super::{BoxFuture, TransportError};
use crate::model::Host;

/// How long a connection that was found may take to open a session before it counts as dead: the host has gone, and nobody
/// has told us.
const PROOF: Duration = Duration::from_secs(5);

/// What the sessions of a run with a host stand on: a connection that was made for it, or one that was found. Whether a found
/// one is of use shows with the first shell on it, which is wanted anyway: the host has to confirm the session
/// (`MUX_S_SESSION_OPENED` comes after that, PROTOCOL.mux of OpenSSH), and nothing was sent to it before. So a dead one is
/// replaced without a word and without a further round trip.
#[derive(Debug, Clone)]
pub(super) struct Line {
    ssh: Ssh,
    host: Arc<Host>,
    over: Arc<tokio::sync::Mutex<Over>>,
}

#[derive(Debug)]
struct Over {
    connection: Connection,
    /// It was found, and nobody knows yet whether it is of use.
    doubtful: bool,
}

impl Line {
    pub(super) fn new(ssh: Ssh, host: Arc<Host>, connection: Connection, doubtful: bool) -> Self {
        Self { ssh, host, over: Arc::new(tokio::sync::Mutex::new(Over { connection, doubtful })) }
    }
}

impl Launch for Line {
    fn launch<'a>(&'a self, arguments: &'a [String]) -> BoxFuture<'a, Result<Pipes, TransportError>> {
        Box::pin(async move {
            let mut over = self.over.lock().await;
            if over.doubtful {
                let launch = over.connection.launch(arguments);
                match tokio::time::timeout(PROOF, launch).await {
                    Ok(Ok(pipes)) => {
                        over.doubtful = false;
                        return Ok(pipes);
                    }
                    Ok(Err(TransportError::Shell { .. })) => {}
                    Ok(Err(_)) | Err(_) => {
                        over.connection = self.ssh.replace(&self.host, &over.connection).await?;
                    }
                }
                over.doubtful = false;
            }
            let connection = over.connection.clone();
            drop(over);
            match connection.launch(arguments).await {
                // Those who use it too are as many as the host allows (`MaxSessions`).
                Err(TransportError::Shell { .. }) if connection.is_kept() => {
                    let own = self.ssh.new_connection(&self.host.login, None).await?;
                    self.over.lock().await.connection = own.clone();
                    own.launch(arguments).await
                }
                launched => launched,
            }
        })
    }

    fn close(self) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // Dropping the last one tells the master to exit and removes its directory, unless it is kept; it talks to the
            // master without async, so not on this thread.
            let _ = tokio::task::spawn_blocking(move || drop(self)).await;
        })
    }
}
