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
use crate::transport::{Connector, Frame, Holder, Keep, Part, TransportError, detach};

/// What each host answered, in inventory order; `Err((reached, failure))` where it did not: `reached` tells
/// a host that failed from one that could not be reached.
pub type PerHost<T> = Vec<(Arc<Host>, Answered<T>)>;

/// What one host answered.
pub type Answered<T> = Result<T, (bool, Failure)>;

/// The hosts that are locked, and by whom.
pub type Held = Vec<(Arc<Host>, Holder)>;

/// Runs a script on each host, bounded by `timeout` if there is one.
pub async fn command(
    hosts: &[Arc<Host>],
    script: Script,
    privilege: Privilege,
    timeout: Option<Duration>,
    options: &Options,
    connector: Arc<dyn Connector>,
    cancel: Cancel,
) -> (PerHost<Answer>, Held) {
    let timeout = timeout.unwrap_or(Frame::NO_BOUND);
    let part = Part { keep: Keep::CONTENT, ..Part::question(script) };
    let frame = Frame { privilege, parts: vec![part], timeout };
    let (answers, held) = each(hosts, &frame, options, connector, cancel).await;
    (answers.into_iter().map(|(host, answer)| (host, answer.and_then(only))).collect(), held)
}

/// The answer to a frame of one part.
fn only(mut answers: Vec<Answer>) -> Answered<Answer> {
    answers.pop().ok_or_else(|| (true, Failure::new("the host answered nothing")))
}

/// Asks each host which actions go on there, or have ended without anybody taking note; those of the run `stop` are
/// stopped before.
pub async fn runs(
    hosts: &[Arc<Host>],
    stop: Option<&str>,
    privilege: Privilege,
    options: &Options,
    connector: Arc<dyn Connector>,
    cancel: Cancel,
) -> (PerHost<Vec<detach::Left>>, Held) {
    let mut parts: Vec<Part> = stop.map(|run| detach::stop(Some(run))).into_iter().collect();
    parts.push(detach::ask());
    let frame = Frame { privilege, parts, timeout: options.probe_timeout };
    let (answers, held) = each(hosts, &frame, options, connector, cancel).await;
    let read = |answers: Vec<Answer>| {
        if let Some(failed) = answers.iter().find(|a| !a.ok()) {
            return Err((true, Failure::new(failed.error_text().trim().to_owned())));
        }
        Ok(detach::left(&only(answers)?.text()))
    };
    (answers.into_iter().map(|(host, answer)| (host, answer.and_then(read))).collect(), held)
}

/// Sends a frame to each host.
async fn each(
    hosts: &[Arc<Host>],
    frame: &Frame,
    options: &Options,
    connector: Arc<dyn Connector>,
    cancel: Cancel,
) -> (PerHost<Vec<Answer>>, Held) {
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
            (n, answered, link.take_holder())
        });
    }
    let mut answers: Vec<Option<Answered<Vec<Answer>>>> = vec![None; hosts.len()];
    let mut holders: Vec<Option<Holder>> = vec![None; hosts.len()];
    while let Some(joined) = tasks.join_next().await {
        let Ok((n, answered, held)) = joined else { continue };
        holders[n] = held.map(|(_, holder)| holder);
        answers[n] = Some(answered.map_err(|error| {
            let reached = !matches!(error, TransportError::Unreachable { .. });
            (reached, failure_of(&error))
        }));
    }
    let lost = || Err((true, Failure::new("the host's task ended early")));
    let held =
        hosts.iter().cloned().zip(holders).filter_map(|(host, holder)| Some((host, holder?))).collect();
    (hosts.iter().cloned().zip(answers.into_iter().map(|a| a.unwrap_or_else(lost))).collect(), held)
}

/// Asks each host for its facts.
pub async fn facts(
    hosts: &[Arc<Host>],
    options: &Options,
    connector: Arc<dyn Connector>,
    cancel: Cancel,
) -> (PerHost<crate::facts::Facts>, Held) {
    let probe = crate::facts::probe();
    let parts = vec![Part::probe(&probe)];
    let frame = Frame { privilege: Privilege::Login, parts, timeout: options.probe_timeout };
    let (answers, held) = each(hosts, &frame, options, connector, cancel).await;
    let read = |answer: Answer| crate::facts::parse(&answer).map_err(|e| (true, plan::failure_of(&e)));
    let read = |answers: Vec<Answer>| only(answers).and_then(read);
    (answers.into_iter().map(|(host, answer)| (host, answer.and_then(read))).collect(), held)
}
