//! Jump hosts: one connection with a jump host carries those of all hosts behind it.
//!
//! `ssh` makes a connection of its own with the jump host for each host (`ProxyJump` of `ssh_config(5)`), which costs a
//! handshake each, and more than its sshd may like at once (`MaxStartups`). Here the jump host has a control master as every
//! other host has, and those behind it are reached by a `ProxyCommand` through that.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::ssh::{Connection, Ssh};
use super::{BoxFuture, TransportError, scan};
use crate::model::{Host, HostName, Login, Place};

/// A jump host that is being reached, or was; those who need it at the same time wait for one connection.
type Reached = Arc<OnceCell<Result<Connection, TransportError>>>;

/// The jump hosts of a run.
#[derive(Debug, Default)]
pub(super) struct Jumps(Vec<(Login, Reached)>);

impl Ssh {
    /// The connection with the last host on the way to this one, if it is behind jump hosts.
    pub(super) async fn jump(&self, login: &Login) -> Result<Option<Connection>, TransportError> {
        // A password is typed for one host after the other: `ssh` asks for it on its way.
        if self.has_password() || !self.may_jump(login) {
            return Ok(None);
        }
        let Some(jump) = scan::way(login).await.jumps.pop() else { return Ok(None) };
        let jump = Login { keep: login.keep, ..jump };
        loop {
            let reached = self.reached(&jump);
            let connection = reached.get_or_init(|| self.reach(&jump)).await.clone();
            let stands = match &connection {
                Ok(connection) => connection.stands().await,
                Err(_) => false,
            };
            if !stands {
                // Whoever comes next tries it anew.
                self.forget(&jump, &reached);
            }
            match connection {
                Ok(connection) if stands => return Ok(Some(connection)),
                Ok(_) => {}
                Err(error) => return Err(behind(&jump, login, error)),
            }
        }
    }

    /// Boxed, for the way to it may lead over further ones.
    fn reach<'a>(&'a self, jump: &'a Login) -> BoxFuture<'a, Result<Connection, TransportError>> {
        Box::pin(async move {
            let Ok(name) = HostName::new(&jump.address).or_else(|_| HostName::new("jump-host")) else {
                unreachable!("it is a name");
            };
            let place = Place { file: "inventory.toml".into(), line: 1, column: 1 };
            let host = Host { name, login: jump.clone(), groups: Vec::new(), vars: Arc::default(), place };
            self.connection(&host).await.map(|(connection, _)| connection)
        })
    }

    fn reached(&self, jump: &Login) -> Reached {
        let mut jumps = self.jumps();
        if let Some((_, reached)) = jumps.0.iter().find(|(login, _)| login == jump) {
            return Arc::clone(reached);
        }
        let reached = Reached::default();
        jumps.0.push((jump.clone(), Arc::clone(&reached)));
        reached
    }

    fn forget(&self, jump: &Login, gone: &Reached) {
        self.jumps().0.retain(|(login, reached)| login != jump || !Arc::ptr_eq(reached, gone));
    }
}

/// The failure of a jump host, as one of the host behind it.
fn behind(jump: &Login, login: &Login, error: TransportError) -> TransportError {
    let TransportError::Unreachable { message, hint, lost } = error else { return error };
    let (jump, host) = (&jump.address, &login.address);
    let message = match message.strip_prefix("its host key ") {
        Some(rest) => format!("the host key of its jump host {jump} {rest}"),
        None => message.replacen(&**jump, &format!("the jump host {jump} of {host}"), 1),
    };
    TransportError::Unreachable { message, hint, lost }
}
