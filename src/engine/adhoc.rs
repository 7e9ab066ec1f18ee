//! Asking hosts without a playbook: a command for `run`, the facts for `facts`, the actions under way for `runs`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::events::Events;
use super::link::{Asker, Link};
use super::questions::failure_of;
use super::{Cancel, Options};
use crate::event::Body;
use crate::facts::Facts;
use crate::model::{Failure, Host, HostName, Privilege};
use crate::plan;
use crate::probe::Answer;
use crate::shell::Script;
use crate::transport::{Connector, Frame, Holder, Keep, Output, Part, TransportError, detach};

/// What each host answered, in inventory order; `Err((reached, failure))` where it did not: `reached` tells
/// a host that failed from one that could not be reached.
pub type PerHost<T> = Vec<(Arc<Host>, Answered<T>)>;

/// What one host answered.
pub type Answered<T> = Result<T, (bool, Failure)>;

/// The hosts that are locked, and by whom.
pub type Held = Vec<(Arc<Host>, Holder)>;

/// How hosts are asked.
#[derive(Debug, Clone)]
pub struct Way<'a> {
    /// Bounds.
    pub options: &'a Options,
    /// Makes the connections.
    pub connector: Arc<dyn Connector>,
    /// Ends it early.
    pub cancel: Cancel,
    /// Whom it is told what goes on.
    pub events: Option<&'a Events>,
}

/// What is told of an answer.
type Told<'a, T> = &'a (dyn Fn(&HostName, &T) -> Body + Sync);

/// Runs a script on each host, bounded by `timeout` if there is one.
pub async fn command(
    hosts: &[Arc<Host>],
    script: Script,
    privilege: Privilege,
    timeout: Option<Duration>,
    way: Way<'_>,
) -> (PerHost<Answer>, Held) {
    let timeout = timeout.unwrap_or(Frame::NO_BOUND);
    let part = Part { keep: Keep::CONTENT, stream: way.events.is_some(), ..Part::question(script) };
    let frame = Frame { privilege, parts: vec![part], timeout };
    let told = |host: &HostName, answer: &Answer| Body::Answered {
        host: host.clone(),
        code: answer.code,
        stdout: String::from_utf8_lossy(&answer.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&answer.stderr).into_owned(),
    };
    each(hosts, &frame, way, &only, &told).await
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
    way: Way<'_>,
) -> (PerHost<Vec<detach::Left>>, Held) {
    let mut parts: Vec<Part> = stop.map(|run| detach::stop(Some(run))).into_iter().collect();
    parts.push(detach::ask());
    let frame = Frame { privilege, parts, timeout: way.options.probe_timeout };
    let read = |answers: Vec<Answer>| {
        if let Some(failed) = answers.iter().find(|a| !a.ok()) {
            return Err((true, Failure::new(failed.error_text().trim().to_owned())));
        }
        Ok(detach::left(&only(answers)?.text()))
    };
    let told = |host: &HostName, left: &Vec<detach::Left>| Body::Answered {
        host: host.clone(),
        code: 0,
        stdout: left.iter().map(|left| left.about.clone() + "\n").collect(),
        stderr: String::new(),
    };
    each(hosts, &frame, way, &read, &told).await
}

/// Asks each host for its facts; `listed` makes text of them.
pub async fn facts(
    hosts: &[Arc<Host>],
    way: Way<'_>,
    listed: &(dyn Fn(&Facts) -> String + Sync),
) -> (PerHost<Facts>, Held) {
    let probe = crate::facts::probe();
    let parts = vec![Part::probe(&probe)];
    let frame = Frame { privilege: Privilege::Login, parts, timeout: way.options.probe_timeout };
    let read = |answers: Vec<Answer>| {
        only(answers)
            .and_then(|answer| crate::facts::parse(&answer).map_err(|e| (true, plan::failure_of(&e))))
    };
    let told = |host: &HostName, facts: &Facts| Body::Answered {
        host: host.clone(),
        code: 0,
        stdout: listed(facts),
        stderr: String::new(),
    };
    each(hosts, &frame, way, &read, &told).await
}

/// Sends a frame to each host, and reads the answers.
async fn each<T>(
    hosts: &[Arc<Host>],
    frame: &Frame,
    way: Way<'_>,
    read: &(dyn Fn(Vec<Answer>) -> Answered<T> + Sync),
    told: Told<'_, T>,
) -> (PerHost<T>, Held) {
    let forks = Arc::new(Semaphore::new(way.options.forks.max(1)));
    let mut tasks = JoinSet::new();
    for (n, host) in hosts.iter().enumerate() {
        let link = Link::new(Arc::clone(host), Arc::clone(&way.connector));
        let (frame, forks, cancel) = (frame.clone(), Arc::clone(&forks), way.cancel.clone());
        let events = way.events.cloned();
        tasks.spawn(async move {
            let _permit = forks.acquire_owned().await;
            let name = &link.host.name;
            if let Some(events) = &events {
                events.send(Body::HostConnecting { host: name.clone() }).await;
            }
            let mut numbers = [0; 2];
            let mut said = |heard: Output<'_>| {
                let (Some(events), Output::Line { stderr, line, .. }) = (&events, heard) else { return };
                let number = &mut numbers[usize::from(stderr)];
                let text = line.to_owned();
                events.offer(Body::Said { host: name.clone(), stderr, number: *number, line: text });
                *number += 1;
            };
            let answered = tokio::select! {
                answered = link.exchange(Asker::Own, frame, &mut said) => answered,
                () = cancel.killed() => Err(TransportError::interrupted()),
            };
            link.close().await;
            (n, answered, link.take_holder())
        });
    }
    let mut answers: Vec<Option<Answered<T>>> = hosts.iter().map(|_| None).collect();
    let mut holders: Vec<Option<Holder>> = vec![None; hosts.len()];
    while let Some(joined) = tasks.join_next().await {
        let Ok((n, answered, held)) = joined else { continue };
        holders[n] = held.map(|(_, holder)| holder);
        let answered = answered.map_err(|error| {
            let reached = !matches!(error, TransportError::Unreachable { .. });
            (reached, failure_of(&error))
        });
        let answered = answered.and_then(read);
        if let Some(events) = way.events {
            events.send(ended(&hosts[n].name, &answered, told)).await;
        }
        answers[n] = Some(answered);
    }
    let lost = || Err((true, Failure::new("the host's task ended early")));
    let held =
        hosts.iter().cloned().zip(holders).filter_map(|(host, holder)| Some((host, holder?))).collect();
    (hosts.iter().cloned().zip(answers.into_iter().map(|a| a.unwrap_or_else(lost))).collect(), held)
}

fn ended<T>(host: &HostName, answered: &Answered<T>, told: Told<'_, T>) -> Body {
    match answered {
        Ok(answer) => told(host, answer),
        Err((true, failure)) => Body::NotAnswered { host: host.clone(), failure: failure.clone() },
        Err((false, failure)) => Body::HostUnreachable { host: host.clone(), failure: failure.clone() },
    }
}
