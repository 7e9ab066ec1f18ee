//! The names that templates find in their scope.

use std::collections::BTreeSet;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object};
use minijinja::{Error, ErrorKind, Value};

use super::Scope;
use super::results::{Playbooks, Steps};
use crate::config::becomes::Becomes;
use crate::config::fleet::HOST_NAMES;
use crate::config::results::Absent;
use crate::model::{HostIndex, Known};

fn keys(names: &[&'static str]) -> Enumerator {
    Enumerator::Values(names.iter().map(|n| Value::from(*n)).collect())
}

fn texts(names: impl IntoIterator<Item = String>) -> Enumerator {
    Enumerator::Values(names.into_iter().map(Value::from).collect())
}

/// The names in every scope, `item` only within a loop.
pub(crate) const NAMES: [&str; 8] =
    ["vars", "host", "hosts", "groups", "facts", "steps", "playbooks", "item"];

/// The scope itself.
#[derive(Debug)]
pub(super) struct Root(pub Scope);

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let scope = &self.0;
        let name = key.as_str()?;
        if !matches!(name, "vars" | "groups" | "item" | "hosts") {
            scope.look_at_host();
        }
        match name {
            "vars" => Some(Value::from_object(Vars(scope.clone()))),
            "host" => Some(scope.host_value(scope.shared.host, true)),
            "hosts" => Some(Value::from_object(Hosts(scope.clone()))),
            "groups" => Some(scope.shared.world.groups.clone()),
            "facts" if scope.shared.facts_known => Some(scope.shared.facts.clone()),
            "facts" => Some(Value::from_object(NoFacts(scope.clone()))),
            name @ ("steps" | "playbooks") if scope.at().is_none() => {
                scope.is_absent(name.to_owned(), Absent::for_all());
                None
            }
            "steps" => {
                let play = scope.at()?.play;
                Some(Value::from_object(Steps { scope: scope.clone(), play, prefix: "steps".into() }))
            }
            "playbooks" => Some(Value::from_object(Playbooks(scope.clone()))),
            "item" => scope.item.clone(),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        keys(&NAMES)
    }
}

#[derive(Debug)]
struct Vars(Scope);

impl Object for Vars {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.variable(key.as_str()?)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.0.look_at_host();
        let all: BTreeSet<String> =
            self.0.shared.layers.iter().flat_map(|l| l.vars.iter().map(|(k, _)| k.name.clone())).collect();
        texts(all)
    }
}

#[derive(Debug)]
struct Hosts(Scope);

impl Object for Hosts {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let fleet = &self.0.shared.world.fleet;
        fleet.hosts.named(key.as_str()?).map(|host| self.0.host_value(host, false))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        texts(self.0.shared.world.fleet.hosts.iter().map(|h| h.name.to_string()))
    }
}

#[derive(Debug)]
pub(super) struct HostValue {
    pub scope: Scope,
    pub host: HostIndex,
    /// It is `host`, not one of `hosts`.
    pub own: bool,
}

impl Object for HostValue {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let world = &self.scope.shared.world;
        let host = &world.fleet.hosts[self.host];
        match key.as_str()? {
            "name" => Some(host.name.as_str().into()),
            "address" => Some(host.login.address.as_str().into()),
            "port" => Some(host.login.port.map_or(Value::from(()), Value::from)),
            "user" => Some(host.login.user.as_deref().map_or(Value::from(()), Value::from)),
            "local" => Some(host.login.local.into()),
            "groups" => Some(host.groups.iter().map(|g| Value::from(&**g)).collect()),
            "become" => Some(match &world.fleet.becomes[self.host] {
                Some(Becomes::User(user)) => Value::from(&**user),
                Some(Becomes::Login) | None => Value::from(false),
            }),
            "vars" if self.own => Some(Value::from_object(Vars(self.scope.clone()))),
            // In `hosts`, every host has the variables of the inventory alone, whoever asks.
            "vars" => {
                self.scope.look_at_host();
                let pass = Arc::clone(&self.scope.shared.pass);
                let other = Scope::with_log(world, self.host, &[], &Known::default(), None, pass);
                Some(Value::from_object(Vars(other)))
            }
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        keys(&HOST_NAMES)
    }
}

/// Facts before they are asked for: whoever looks must wait.
#[derive(Debug)]
struct NoFacts(Scope);

impl Object for NoFacts {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        self.0.want_facts();
        Some(Value::from(Error::new(ErrorKind::InvalidOperation, "the facts of the host are not known yet")))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.0.want_facts();
        Enumerator::Empty
    }
}
