//! Values that an action borrows: read right before it runs, and kept nowhere.

use super::host::HostRun;
use super::questions::{failure_of, privilege_of};
use super::turn::Turn;
use crate::model::{Failure, Secret};
use crate::probe::{Answer, Probe};
use crate::step::{Action, Instance, Origin, Payload};
use crate::transport::{Frame, Part};

impl HostRun {
    /// What an action gets on file descriptor 3: the values it borrows, a line each, then its payload. `before` is the
    /// answer of the action before it.
    pub(super) async fn payload(
        &self,
        instance: &Instance,
        action: &Action,
        before: &Answer,
    ) -> Result<Option<Payload>, Turn> {
        if action.borrowed.is_empty() {
            return Ok(action.payload.clone());
        }
        let mut bytes = Vec::new();
        for borrowed in &action.borrowed {
            let value = match &borrowed.from {
                Origin::Probe(probe) => self.ask_for(instance, borrowed.what, probe).await?,
                Origin::Printed => before.text().lines().last().unwrap_or_default().to_owned(),
                Origin::Read(reader) => (reader.0)(&before.text()),
            };
            if value.is_empty() {
                let message = format!("the action before did not tell the {}", borrowed.what);
                return Err(Turn::failed(Failure::new(message)));
            }
            if borrowed.secret {
                self.shared.events.learn(&Secret::new(value.clone()));
            }
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(b'\n');
        }
        bytes.extend(action.payload.iter().flat_map(|p| p.0.iter().copied()));
        Ok(Some(Payload(bytes.into())))
    }

    /// Asks for one line of text.
    async fn ask_for(&self, instance: &Instance, what: &str, probe: &Probe) -> Result<String, Turn> {
        let host = probe.host.as_ref();
        let name = host.unwrap_or(&self.host.name).clone();
        let cannot = |output: String, hint: Option<String>| {
            Turn::failed(Failure { output, hint, ..Failure::new(format!("cannot read {what} on {name}")) })
        };
        let Some(lender) = self.shared.links.target(self.own, host) else {
            return Err(cannot("it is not in the inventory".into(), None));
        };
        let privilege = privilege_of(probe, instance);
        let parts = vec![Part::question(probe.script.clone())];
        let frame = Frame { privilege, parts, timeout: self.shared.options.probe_timeout };
        let link = &self.shared.links[lender];
        let answer = match link.exchange(self.asker(lender), frame, &mut |_| {}).await {
            Ok(mut answers) => answers.pop().unwrap_or_default(),
            Err(error) => {
                let failure = failure_of(&error);
                return Err(cannot(failure.message, failure.hint));
            }
        };
        let value = answer.text().trim_end_matches(['\r', '\n']).to_owned();
        if !answer.ok() || value.is_empty() || value.contains('\n') {
            return Err(cannot(answer.error_text().into_owned(), None));
        }
        Ok(value)
    }
}
