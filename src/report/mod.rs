//! Displays of a run: each folds the one ordered stream of events, and none decides anything.
//!
//! Messages and progress go to standard error, data (a plan, JSON lines, answers) to standard output.

mod answers;
mod bars;
mod change;
mod diff;
mod folds;
mod json;
mod log;
mod plain;
mod plan;
mod progress;
mod recap;
mod reporter;
mod style;
mod table;
mod text;

pub use answers::{Reply, Said, Streams, blocks, lines};
pub use bars::{Bars, Screen};
pub(crate) use change::{details as change_lines, failure as failure_lines};
pub use json::Json;
pub use plain::{Plain, Sink};
pub use plan::PlanText;
pub use reporter::{All, Driver, Reporter, Tally};
pub use style::{Detail, Look};
pub use table::{markdown, table};
pub(crate) use text::hosts as host_list;
