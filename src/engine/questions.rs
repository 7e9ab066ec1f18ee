//! Asking probes: equal ones once, all of one privilege in one exchange.

use std::collections::HashMap;
use std::time::Duration;

use super::link::{Asker, Link};
use crate::model::{Failure, Privilege};
use crate::probe::{Answer, Probe};
use crate::step::Instance;
use crate::transport::{Frame, Part, TransportError};

/// Probes for one host and one privilege, each once, in the order in which they came up.
#[derive(Debug, Default)]
pub(super) struct Questions {
    by_privilege: Vec<(Privilege, Vec<Probe>)>,
    seen: HashMap<(Privilege, String), (usize, usize)>,
}

/// The answers to [`Questions`], in their order.
#[derive(Debug, Default)]
pub(super) struct Replies(Vec<Vec<Result<Answer, Failure>>>);

/// Where the answer to a probe will be found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket(usize, usize);

/// Whose rights a probe of an instance has.
pub(super) fn privilege_of(probe: &Probe, instance: &Instance) -> Privilege {
    probe.privilege.clone().unwrap_or_else(|| instance.privilege.clone())
}

impl Questions {
    /// Adds a probe; an equal one is asked once.
    pub(super) fn add(&mut self, probe: &Probe, privilege: Privilege) -> Ticket {
        let key = (privilege, probe.script.render());
        if let Some(&(group, n)) = self.seen.get(&key) {
            return Ticket(group, n);
        }
        let group = self.by_privilege.iter().position(|(p, _)| *p == key.0).unwrap_or_else(|| {
            self.by_privilege.push((key.0.clone(), Vec::new()));
            self.by_privilege.len() - 1
        });
        let probes = &mut self.by_privilege[group].1;
        probes.push(probe.clone());
        let ticket = Ticket(group, probes.len() - 1);
        self.seen.insert(key, (ticket.0, ticket.1));
        ticket
    }

    /// Whether anything is asked with these rights.
    pub(super) fn has(&self, privilege: &Privilege) -> bool {
        self.by_privilege.iter().any(|(p, _)| p == privilege)
    }

    /// Adds a probe that needs nobody's rights to the first exchange there is; `None` if there is none, for it
    /// is not worth one.
    pub(super) fn add_beside(&mut self, probe: &Probe) -> Option<Ticket> {
        let privilege = self.by_privilege.first()?.0.clone();
        Some(self.add(probe, privilege))
    }

    /// Asks all of them: one exchange for each privilege.
    ///
    /// A host that cannot be reached is an error; rights that `sudo` does not give, or a shell that
    /// misbehaves, are the answer to each probe that asked for them.
    pub(super) async fn ask(
        &self,
        link: &Link,
        asker: Asker,
        bound: Duration,
    ) -> Result<Replies, TransportError> {
        let mut replies = Vec::with_capacity(self.by_privilege.len());
        for (privilege, probes) in &self.by_privilege {
            replies.push(ask_group(link, asker, privilege, probes, bound).await?);
        }
        Ok(Replies(replies))
    }
}

impl Replies {
    pub(super) fn of(&self, ticket: Ticket) -> &Result<Answer, Failure> {
        &self.0[ticket.0][ticket.1]
    }
}

async fn ask_group(
    link: &Link,
    asker: Asker,
    privilege: &Privilege,
    probes: &[Probe],
    bound: Duration,
) -> Result<Vec<Result<Answer, Failure>>, TransportError> {
    let mut replies: Vec<Result<Answer, Failure>> = Vec::with_capacity(probes.len());
    while replies.len() < probes.len() {
        let rest = &probes[replies.len()..];
        let parts = rest.iter().map(Part::probe).collect();
        let frame = Frame { privilege: privilege.clone(), parts, timeout: bound };
        match link.exchange(asker, frame, &mut |_| {}).await {
            Ok(answers) if answers.len() == rest.len() => replies.extend(answers.into_iter().map(Ok)),
            Ok(answers) => {
                let message = format!("{} questions were answered by {} answers", rest.len(), answers.len());
                replies.extend(rest.iter().map(|_| Err(Failure::new(message.clone()))));
            }
            // One question hung: the ones before it are answered, it is not, and the rest are asked again.
            Err(TransportError::TimedOut { after, answers, .. }) => {
                replies.extend(answers.into_iter().take(rest.len() - 1).map(Ok));
                let question: String = probes[replies.len()].script.to_string().chars().take(200).collect();
                replies.push(Err(Failure {
                    program: Some(question),
                    ..Failure::new(format!("a question was not answered within {} s", after.as_secs()))
                        .hint("something on the host blocks: look for processes in state D and for dead network mounts")
                }));
            }
            // One answer is too long: the same.
            Err(TransportError::TooMuch { message, answers, .. }) => {
                replies.extend(answers.into_iter().take(rest.len() - 1).map(Ok));
                let question: String = probes[replies.len()].script.to_string().chars().take(200).collect();
                replies.push(Err(Failure {
                    program: Some(question),
                    ..Failure::new(message).hint(
                        "what the step looks at is too large, or something on the host prints without end",
                    )
                }));
            }
            Err(error @ TransportError::Unreachable { .. }) => return Err(error),
            Err(error) => {
                let failure = failure_of(&error);
                replies.extend(rest.iter().map(|_| Err(failure.clone())));
            }
        }
    }
    Ok(replies)
}

/// A transport's error as people see it.
pub(super) fn failure_of(error: &TransportError) -> Failure {
    let hint = match error {
        TransportError::Unreachable { hint, .. }
        | TransportError::Privilege { hint, .. }
        | TransportError::Shell { hint, .. } => hint.clone(),
        TransportError::TooMuch { .. } => Some("let it print less, or write to a file on the host".into()),
        TransportError::TimedOut { .. } => None,
        TransportError::Locked(_) => {
            Some("wait for it with --lock-wait TIME, or see `hostwright runs`".into())
        }
    };
    let denied = matches!(error, TransportError::Privilege { .. });
    Failure { hint, denied, ..Failure::from_error(error) }
}
