//! A session over real shells: one for each privilege in use, started when first needed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::channel::{Channel, Opening, Pipes, seconds};
use super::owed::OwedThere;
use super::shell::Shell;
use super::{BoxFuture, Frame, Holder, Output, Part, Session, Settings, TransportError, together};
use crate::model::{HostName, Privilege};
use crate::probe::Answer;
use crate::shell::Script;

/// Something on which shells can be started: an ssh connection, or the controller itself.
pub(super) trait Launch: Clone + Send + Sync + fmt::Debug {
    /// Starts `/bin/sh` with these arguments.
    fn launch<'a>(&'a self, arguments: &'a [String]) -> BoxFuture<'a, Result<Pipes, TransportError>>;

    /// Lets go of the connection, which ends with the last clone.
    fn close(self) -> BoxFuture<'static, ()>;
}

/// The session on `L`.
pub(super) struct Shells<L> {
    launch: L,
    settings: Settings,
    /// By the user name; `None` for the one who logged in.
    open: BTreeMap<Option<String>, Shell>,
    /// Who logged in, once a shell has said so: becoming that user is no change.
    login_user: Option<String>,
    /// By the user: what `sudo` would say again. Forks share it, for a wrong password is told once and tried once.
    refused: Arc<Mutex<BTreeMap<String, TransportError>>>,
    /// Who holds the lock of the host.
    held: Option<Holder>,
    exchanges: u64,
    /// What is still to be cleared away on the host.
    owed: OwedThere,
}

impl<L: Launch> Shells<L> {
    pub(super) fn new(launch: L, settings: Settings, host: &HostName) -> Self {
        let (open, refused) = (BTreeMap::new(), Arc::default());
        let owed = settings.owed.on(host);
        Self { launch, settings, open, login_user: None, refused, held: None, exchanges: 0, owed }
    }

    fn key(&self, privilege: &Privilege) -> Option<String> {
        match privilege {
            Privilege::Login => None,
            Privilege::Become(user) if self.login_user.as_deref() == Some(user) => None,
            Privilege::Become(user) => Some(user.to_string()),
        }
    }

    fn refusals(&self) -> MutexGuard<'_, BTreeMap<String, TransportError>> {
        // A map of errors cannot be left half-changed.
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers an error that will stay.
    fn refused(&self, user: Option<&String>, error: TransportError) -> TransportError {
        if let (Some(user), TransportError::Privilege { stays: true, .. }) = (user, &error) {
            self.refusals().insert(user.clone(), error.clone());
        }
        error
    }

    async fn start(&mut self, privilege: &Privilege) -> Result<Shell, TransportError> {
        let password = match privilege {
            Privilege::Login => None,
            Privilege::Become(_) => self.settings.become_password.as_ref(),
        };
        let opening = Opening::new(privilege, password.is_some())?;
        let bound = self.settings.ready();
        let arguments = opening.arguments();
        let launched = tokio::time::timeout(bound, self.launch.launch(&arguments)).await;
        let pipes = launched.map_err(|_| TransportError::Unreachable {
            message: format!("the host lets us in, but gives no session within {}", seconds(bound)),
            hint: Some("look at sshd's log on the host; --connect-timeout waits longer".into()),
            lost: false,
        })??;
        let channel = Channel::open(pipes, opening, password, &self.settings.run_id, bound).await?;
        Ok(Shell::new(channel, self.key(privilege), self.owed.clone()))
    }
}

impl<L: Launch + 'static> Session for Shells<L> {
    fn exchange<'a>(
        &'a mut self,
        frame: Frame,
        output: &'a mut (dyn FnMut(Output<'_>) + Send),
    ) -> BoxFuture<'a, Result<Vec<Answer>, TransportError>> {
        Box::pin(async move {
            if frame.parts.is_empty() {
                return Ok(Vec::new());
            }
            // Taken out: when this future is dropped or fails, the shell goes with it, and with the shell what
            // it was running.
            let key = self.key(&frame.privilege);
            if let Some(error) = key.as_ref().and_then(|user| self.refusals().get(user).cloned()) {
                return Err(error);
            }
            let mut shell = match self.open.remove(&key) {
                Some(shell) => shell,
                None => {
                    self.start(&frame.privilege).await.map_err(|error| self.refused(key.as_ref(), error))?
                }
            };
            self.exchanges += 1;
            let (frame, merged) = together::merge(frame);
            let privilege = frame.privilege.clone();
            let answers = shell.exchange(frame, &self.settings, output).await;
            let answers = match merged {
                Some(merged) => answers.map(|a| merged.answers(a)).map_err(|e| merged.error(e)),
                None => answers,
            }
            .map_err(|error| self.refused(key.as_ref(), error))?;
            if self.login_user.is_none() {
                self.login_user = shell.login_user().map(str::to_owned);
            }
            self.held = self.held.take().or_else(|| shell.held().cloned());
            self.open.insert(self.key(&privilege), shell);
            Ok(answers)
        })
    }

    fn fork(&self) -> Box<dyn Session> {
        Box::new(Self {
            launch: self.launch.clone(),
            settings: self.settings.clone(),
            open: BTreeMap::new(),
            login_user: self.login_user.clone(),
            refused: Arc::clone(&self.refused),
            held: None,
            exchanges: 0,
            owed: self.owed.clone(),
        })
    }

    fn held(&self) -> Option<&Holder> {
        self.held.as_ref()
    }

    fn exchanges(&self) -> u64 {
        self.exchanges
    }

    fn settle(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            for user in self.owed.users() {
                let privilege =
                    user.as_deref().map_or(Privilege::Login, |user| Privilege::Become(user.into()));
                let parts = vec![Part::question(Script::new().raw(":"))];
                let frame = Frame { privilege, parts, timeout: self.settings.ready() };
                // What a shell owes goes with its first frame.
                let _ = self.exchange(frame, &mut |_| {}).await;
            }
        })
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            for shell in self.open.into_values() {
                shell.close(&self.settings).await;
            }
            self.launch.close().await;
        })
    }
}

impl<L: fmt::Debug> fmt::Debug for Shells<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("on", &self.launch)
            .field("shells", &self.open.keys())
            .field("exchanges", &self.exchanges)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::model::Secret;
    use crate::transport::local::Here;

    /// A host whose `sudo` does not like the password.
    #[derive(Debug, Clone)]
    struct Strict(Arc<AtomicUsize>);

    impl Launch for Strict {
        fn launch<'a>(&'a self, arguments: &'a [String]) -> BoxFuture<'a, Result<Pipes, TransportError>> {
            Box::pin(async move {
                self.0.fetch_add(1, Ordering::Relaxed);
                let mut arguments = arguments.to_vec();
                arguments[1] = "printf %s \"$7\" >&2; read -r x; printf %s \"$7\" >&2; read -r x".into();
                Here { shell: "/bin/sh".into() }.launch(&arguments).await
            })
        }

        fn close(self) -> BoxFuture<'static, ()> {
            Box::pin(std::future::ready(()))
        }
    }

    #[tokio::test]
    async fn a_wrong_password_is_tried_once() {
        let launched = Arc::new(AtomicUsize::new(0));
        let settings = Settings { become_password: Some(Secret::new("wrong".into())), ..Settings::default() };
        let mut own = Shells::new(Strict(Arc::clone(&launched)), settings, &HostName::new("web-01").unwrap());
        let mut guest = own.fork();
        let frame = |user: &str| Frame {
            privilege: Privilege::Become(user.into()),
            parts: vec![Part::question(Script::new().raw("true"))],
            timeout: Duration::from_secs(9),
        };
        for n in 0..4 {
            let session: &mut dyn Session = if n % 2 == 0 { &mut own } else { &mut *guest };
            let error = session.exchange(frame("root"), &mut |_| {}).await.unwrap_err();
            assert_eq!(error.to_string(), "cannot become root: sudo does not accept the password");
            assert_eq!(launched.load(Ordering::Relaxed), 1);
        }
        own.exchange(frame("other"), &mut |_| {}).await.unwrap_err();
        assert_eq!(launched.load(Ordering::Relaxed), 2);
    }
}
