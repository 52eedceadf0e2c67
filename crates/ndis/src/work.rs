//! Work items: from `DISPATCH_LEVEL` down to a system thread at `PASSIVE_LEVEL`.
//!
//! An NDIS work item runs on the critical worker queue, at a real-time priority, and the system has few such threads:
//! a routine works for a limited time and comes back for the rest, and never waits.
//!
//! <https://learn.microsoft.com/windows-hardware/drivers/network/ndis-i-o-work-items>

#[cfg(windows)]
mod item;
mod list;
mod state;

pub use list::MAX_WORK_ITEMS;

#[cfg(windows)]
pub use item::{NextRun, NotAttached, Queued, Routine, WorkItem, WorkItemCounts};

#[cfg(windows)]
pub(crate) use item::{Item, WorkCounters};
#[cfg(windows)]
pub(crate) use list::List;
pub(crate) use state::State;
#[cfg(test)]
pub(crate) use state::{After, Wish};
