//! Positions, each of a type of its own, so that none is taken for another.

use std::fmt;
use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

macro_rules! index {
    ($($(#[$doc:meta])* $name:ident;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(usize);

        impl<T> Index<$name> for Vec<T> {
            type Output = T;

            fn index(&self, index: $name) -> &T {
                &self[index.0]
            }
        }

        impl<T> IndexMut<$name> for Vec<T> {
            fn index_mut(&mut self, index: $name) -> &mut T {
                &mut self[index.0]
            }
        }

        impl<T> Index<$name> for [T] {
            type Output = T;

            fn index(&self, index: $name) -> &T {
                &self[index.0]
            }
        }

        impl<T> IndexMut<$name> for [T] {
            fn index_mut(&mut self, index: $name) -> &mut T {
                &mut self[index.0]
            }
        }

        impl $name {
            /// The one at `position`, counted from 0.
            pub const fn new(position: usize) -> Self {
                Self(position)
            }

            /// The position as a number, counted from 0.
            pub const fn position(self) -> usize {
                self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    )* };
}

index! {
    /// A host, by its position in the inventory.
    HostIndex;
    /// A playbook, by its position in the run.
    PlayIndex;
    /// A step of one host, by its position among all steps of that host in the run.
    SlotIndex;
}
