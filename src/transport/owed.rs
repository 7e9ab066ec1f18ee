//! What is still to be cleared away on hosts: the actions whose results have come. It outlives the connections of a run,
//! for what stays there would be taken for the result of the same action in a later run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::HostName;

/// By the user of the shell: `None` for the one who logged in.
type Actions = BTreeMap<Option<String>, Vec<String>>;

/// Of all hosts of a run.
#[derive(Debug, Clone, Default)]
pub struct Owed(Arc<Mutex<BTreeMap<HostName, OwedThere>>>);

impl Owed {
    /// Whether there is something on a host.
    pub(super) fn owes(&self, host: &HostName) -> bool {
        locked(&self.0).get(host).is_some_and(|there| !locked(&there.0).is_empty())
    }

    /// Of one host.
    pub(super) fn on(&self, host: &HostName) -> OwedThere {
        locked(&self.0).entry(host.clone()).or_default().clone()
    }
}

/// Of one host. All sessions with it share this.
#[derive(Debug, Clone, Default)]
pub(super) struct OwedThere(Arc<Mutex<Actions>>);

impl OwedThere {
    /// For whom there is something.
    pub(super) fn users(&self) -> Vec<Option<String>> {
        locked(&self.0).keys().cloned().collect()
    }

    /// The actions of a user.
    pub(super) fn of(&self, user: Option<&String>) -> Vec<String> {
        locked(&self.0).get(&user.cloned()).cloned().unwrap_or_default()
    }

    /// The results of these have come.
    pub(super) fn add(&self, user: Option<&String>, actions: impl Iterator<Item = String>) {
        let mut actions = actions.peekable();
        if actions.peek().is_some() {
            locked(&self.0).entry(user.cloned()).or_default().extend(actions);
        }
    }

    /// These are cleared away.
    pub(super) fn paid(&self, user: Option<&String>, actions: &[String]) {
        let mut all = locked(&self.0);
        if let Some(owed) = all.get_mut(&user.cloned()) {
            owed.retain(|action| !actions.contains(action));
            if owed.is_empty() {
                all.remove(&user.cloned());
            }
        }
    }
}

/// Nothing that panics holds one.
fn locked<T>(cell: &Mutex<T>) -> MutexGuard<'_, T> {
    cell.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> HostName {
        HostName::new(name).unwrap()
    }

    #[test]
    fn it_is_there_until_it_is_paid_and_all_sessions_see_it() {
        let owed = Owed::default();
        let (one, other) = (owed.on(&host("web-01")), owed.on(&host("web-01")));
        let root = Some("root".to_owned());
        one.add(root.as_ref(), ["a", "b"].map(str::to_owned).into_iter());
        one.add(None, std::iter::empty());
        assert_eq!(
            (other.users(), other.of(root.as_ref())),
            (vec![root.clone()], vec!["a".to_owned(), "b".to_owned()])
        );
        other.paid(root.as_ref(), &["a".to_owned()]);
        assert_eq!(one.of(root.as_ref()), ["b"]);
        assert!(owed.owes(&host("web-01")));
        other.paid(root.as_ref(), &["b".to_owned()]);
        assert!(!owed.owes(&host("web-01")));
        assert!(!owed.owes(&host("web-02")));
    }
}
