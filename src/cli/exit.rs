//! Exit codes: documented, and never changed in meaning.

use std::process::ExitCode;

use crate::event::Summary;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Nothing to do, or all of it done.
    Done = 0,
    /// A step failed, a plan has a step that cannot work, or a host was left out. Counts more than an unreachable host.
    Failed = 1,
    /// A plan found differences.
    Differs = 2,
    /// Bad input or usage; no host was contacted.
    Usage = 3,
    /// A host was unreachable, and nothing failed elsewhere.
    Unreachable = 4,
    /// Another run holds the lock of a host.
    Locked = 5,
    /// Interrupted by the user, who may also have answered no to the question.
    Interrupted = 130,
}

impl Exit {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Done,
        Self::Failed,
        Self::Differs,
        Self::Usage,
        Self::Unreachable,
        Self::Locked,
        Self::Interrupted,
    ];

    /// The exit of a plan or an apply that came to `summary`.
    ///
    /// Failed before unreachable before differences: what needs a person first.
    pub fn of(summary: &Summary) -> Self {
        let total = summary.total;
        if total.failed > 0 || !summary.left_out.is_empty() {
            Self::Failed
        } else if !summary.unreachable.is_empty() {
            Self::Unreachable
        } else if total.would_change + total.unknown > 0 {
            Self::Differs
        } else {
            Self::Done
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Counts;
    use crate::model::HostName;

    #[test]
    fn the_list_is_complete() {
        for (n, exit) in Exit::ALL.into_iter().enumerate() {
            // A new one does not compile without its place in the list.
            let place = match exit {
                Exit::Done => 0,
                Exit::Failed => 1,
                Exit::Differs => 2,
                Exit::Usage => 3,
                Exit::Unreachable => 4,
                Exit::Locked => 5,
                Exit::Interrupted => 6,
            };
            assert_eq!(n, place);
        }
    }

    #[test]
    fn the_worst_that_needs_a_person_counts() {
        let summary = |total, unreachable: &[&str]| Summary {
            total,
            unreachable: unreachable.iter().map(|h| HostName::new(h).unwrap()).collect(),
            ..Summary::default()
        };
        let changed = Counts { changed: 2, unchanged: 1, skipped: 1, ..Counts::default() };
        let drift = Counts { would_change: 1, ..Counts::default() };
        let unknown = Counts { unknown: 1, ..Counts::default() };
        let failed = Counts { failed: 1, would_change: 3, ..Counts::default() };
        for (summary, exit) in [
            (summary(Counts::default(), &[]), Exit::Done),
            (summary(changed, &[]), Exit::Done),
            (summary(drift, &[]), Exit::Differs),
            (summary(unknown, &[]), Exit::Differs),
            (summary(drift, &["a"]), Exit::Unreachable),
            (summary(failed, &["a"]), Exit::Failed),
            // The others were changed; who was left out was not.
            (
                Summary { left_out: vec![HostName::new("b").unwrap()], ..summary(changed, &["a"]) },
                Exit::Failed,
            ),
        ] {
            assert_eq!(Exit::of(&summary), exit, "{summary:?}");
        }
    }
}
