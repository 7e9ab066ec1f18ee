//! How a step on a thing of one engine begins: what an earlier step has brought, and whether there is an engine at all.

use std::ops::ControlFlow;

use super::Existence;
use super::api::{self, Engine, Response};
use crate::model::{Resource, State};
use crate::probe::{CheckError, Probe, Readings};
use crate::step::{Change, Verdict};

/// A thing of one engine, and what is wanted of it.
#[derive(Debug)]
pub struct Thing<'a> {
    /// Asks for it.
    pub probe: &'a Probe,
    /// It.
    pub resource: Resource,
    /// Whether it is to be there.
    pub wanted: Existence,
    /// What it is (`image`).
    pub what: &'static str,
    /// What an earlier step did that has brought it (`pulled`).
    pub made: &'static str,
}

impl Thing<'_> {
    /// The verdict, where there is nothing to compare; otherwise what the engine says, `None` where an earlier step brings
    /// it: it will have nothing. `create` is for where there is no engine.
    pub fn open(
        &self,
        readings: &Readings,
        create: impl FnOnce() -> Change,
    ) -> Result<ControlFlow<Verdict, Option<Vec<Response>>>, CheckError> {
        let absent = self.wanted == Existence::Absent;
        let by_earlier = match readings.expected(&self.resource) {
            Some(State::Present) if !absent => Some(self.made),
            Some(State::Absent) if absent => Some("removed"),
            _ => None,
        };
        if let Some(word) = by_earlier {
            return Ok(ControlFlow::Break(Verdict::satisfied(format!("{word} by an earlier step"))));
        }
        Ok(match api::read(readings, self.probe)? {
            Engine::Up(responses) => ControlFlow::Continue(Some(responses)),
            Engine::Coming | Engine::Missing(_) if absent => {
                ControlFlow::Break(Verdict::satisfied(format!("no engine, so no {}", self.what)))
            }
            Engine::Coming => ControlFlow::Continue(None),
            Engine::Missing(why) => ControlFlow::Break(api::until_engine(None, why, Some(create()))),
        })
    }

    /// As [`Thing::open`], with the answer to the first of its questions read.
    pub fn list<T: serde::de::DeserializeOwned + Default>(
        &self,
        readings: &Readings,
        create: impl FnOnce() -> Change,
    ) -> Result<ControlFlow<Verdict, T>, CheckError> {
        Ok(match self.open(readings, create)? {
            ControlFlow::Break(verdict) => ControlFlow::Break(verdict),
            ControlFlow::Continue(None) => ControlFlow::Continue(T::default()),
            ControlFlow::Continue(Some(responses)) => {
                ControlFlow::Continue(responses[0].json(self.probe, readings)?)
            }
        })
    }
}
