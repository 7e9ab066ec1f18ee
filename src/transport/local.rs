//! Runs on the controller itself, for hosts with `local = true`: the same shells and frames, without `ssh`.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::{Child, Command};

use super::channel::{End, Pipes, Process, shell_error};
use super::session::{Launch, Shells};
use super::{BoxFuture, Connector, Session, Settings, TransportError};
use crate::model::Host;

/// Connects to the controller itself.
#[derive(Debug, Clone)]
pub struct Local {
    settings: Settings,
}

impl Local {
    /// With what all connections of the run share.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

impl Connector for Local {
    fn connect<'a>(&'a self, host: &'a Arc<Host>) -> BoxFuture<'a, Result<Box<dyn Session>, TransportError>> {
        let session = Shells::new(Here { shell: "/bin/sh".into() }, self.settings.clone(), &host.name);
        Box::pin(std::future::ready(Ok(Box::new(session) as Box<dyn Session>)))
    }
}

/// The controller, and the program that runs the first script there: tests try several shells.
#[derive(Debug, Clone)]
pub(super) struct Here {
    pub(super) shell: String,
}

impl Launch for Here {
    fn launch<'a>(&'a self, arguments: &'a [String]) -> BoxFuture<'a, Result<Pipes, TransportError>> {
        Box::pin(async move {
            let cannot = |error: std::io::Error| {
                let hint = "a local host is the controller itself, which must be a Linux machine";
                shell_error(format!("cannot start {}: {error}", self.shell), Some(hint))
            };
            let mut child = Command::new(&self.shell)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                // Ctrl-C at the terminal is for us to handle, not for what we run.
                .process_group(0)
                .spawn()
                .map_err(cannot)?;
            let taken = (child.stdin.take(), child.stdout.take(), child.stderr.take());
            let (Some(stdin), Some(stdout), Some(stderr)) = taken else {
                unreachable!("all three were asked for as pipes");
            };
            Ok(Pipes {
                stdin: Box::new(stdin),
                stdout: Box::new(stdout),
                stderr: Box::new(stderr),
                process: Box::new(Running(child)),
            })
        })
    }

    fn close(self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

struct Running(Child);

impl Process for Running {
    fn ended(mut self: Box<Self>) -> BoxFuture<'static, End> {
        Box::pin(async move {
            let status = tokio::time::timeout(Duration::from_secs(2), self.0.wait()).await;
            End::Exited(status.ok().and_then(Result::ok).and_then(|status| status.code()))
        })
    }
}
