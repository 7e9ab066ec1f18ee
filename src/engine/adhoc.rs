//! Commands without a playbook: one script on each host, and facts.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::link::{Asker, Link};
use super::questions::failure_of;
use super::{Cancel, Options};
use crate::model::{Failure, Host, Privilege};
use crate::plan;
use crate::probe::Answer;
use crate::shell::Script;
use crate::transport::{Connector, Frame, Keep, Part, TransportError};

/// What each host answered, in inventory order; `Err((reached, failure))` where it did not: `reached` tells
/// a host that failed from one that could not be reached.
pub type PerHost<T> = Vec<(Arc<Host>, Result<T, (bool, Failure)>)>;

/// Runs a script on each host, bounded by `timeout` if there is one.
pub async fn command(
    hosts: &[Arc<Host>],
    script: Script,
    privilege: Privilege,
    timeout: Option<Duration>,
    options: &Options,
    connector: Arc<dyn Connector>,
    cancel: Cancel,
) -> PerHost<Answer> {
    let timeout = timeout.unwrap_or(Frame::NO_BOUND);
    let part = Part { keep: Keep::CONTENT, ..Part::question(script) };
    each(hosts, &Frame { privilege, parts: vec![part], timeout }, options, connector, cancel).await
}

/// Sends a frame of one part to each host.
async fn each(
    hosts: &[Arc<Host>],
    frame: &Frame,
    options: &Options,
    connector: Arc<dyn Connector>,
    cancel: Cancel,
) -> PerHost<Answer> {
    let forks = Arc::new(Semaphore::new(options.forks.max(1)));
    let mut tasks = JoinSet::new();
    for (n, host) in hosts.iter().enumerate() {
        let link = Link::new(Arc::clone(host), Arc::clone(&connector));
        let (frame, forks, cancel) = (frame.clone(), Arc::clone(&forks), cancel.clone());
        tasks.spawn(async move {
            let _permit = forks.acquire_owned().await;
            let mut ignore = |_: crate::transport::Output<'_>| {};
            let answered = tokio::select! {
                answered = link.exchange(Asker::Own, frame, &mut ignore) => answered,
                () = cancel.killed() => Err(TransportError::Unreachable {
                    message: "interrupted".into(), hint: None, lost: true,
                }),
            };
            link.close().await;
            (n, answered)
        });
    }
    let mut answers: Vec<Option<Result<Answer, (bool, Failure)>>> = vec![None; hosts.len()];
    while let Some(joined) = tasks.join_next().await {
        let Ok((n, answered)) = joined else { continue };
        answers[n] = Some(match answered {
            Ok(mut parts) => parts.pop().ok_or_else(|| (true, Failure::new("the host answered nothing"))),
            Err(error) => {
                let reached = !matches!(error, TransportError::Unreachable { .. });
                Err((reached, failure_of(&error)))
            }
        });
    }
    let lost = || Err((true, Failure::new("the host's task ended early")));
    hosts.iter().cloned().zip(answers.into_iter().map(|a| a.unwrap_or_else(lost))).collect()
}

/// Asks each host for its facts.
pub async fn facts(
    hosts: &[Arc<Host>],
    options: &Options,
    connector: Arc<dyn Connector>,
    cancel: Cancel,
) -> PerHost<crate::facts::Facts> {
    let probe = crate::facts::probe();
    let parts = vec![Part::probe(&probe)];
    let frame = Frame { privilege: Privilege::Login, parts, timeout: options.probe_timeout };
    let answers = each(hosts, &frame, options, connector, cancel).await;
    let read = |answer: Answer| crate::facts::parse(&answer).map_err(|e| (true, plan::failure_of(&e)));
    answers.into_iter().map(|(host, answer)| (host, answer.and_then(read))).collect()
}
