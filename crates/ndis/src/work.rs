//! Work items: from `DISPATCH_LEVEL` down to a system thread at `PASSIVE_LEVEL`.
//!
//! There are two families. Those of NDIS ([`WorkItem`] of a module, [`device::NdisWorkItem`](crate::device::NdisWorkItem))
//! stand for `NdisAllocateIoWorkItem`, `NdisQueueIoWorkItem` and `NdisFreeIoWorkItem`; those of WDM
//! ([`device::IoWorkItem`](crate::device::IoWorkItem)) for `IoAllocateWorkItem`, `IoInitializeWorkItem`, and what goes with
//! them. All of them go one way, with one state machine:
//!
//! ```text
//!           wish: queue it          start               finish
//!   idle ───────────────▶ queued ───────────▶ running ───────────▶ idle
//!                           ▲ └ wish: coalesced   │ wish: coalesced
//!                           │                     ▼
//!                           └──────────────── running and wanted
//!                            finish: queue it
//! ```
//!
//! So an item is never queued while queued, runs once at a time, and no wish is lost; queueing is legal up to
//! `DISPATCH_LEVEL` and never allocates. While it is queued or runs it keeps its module or device, whose rundown comes before
//! it is freed.
//!
//! # Which queue
//!
//! The pages contradict each other: NDIS's says that its work items go to the critical queue, by `IoQueueWorkItem`; that of
//! `IoQueueWorkItem` says that drivers have to name the delayed one. Both hold for whom they are written: an item of NDIS goes
//! where NDIS puts it, and one of WDM goes to the delayed queue. A thread of the critical queue has a real-time priority, and
//! the system has few: a routine of a module works for a limited time and comes back for the rest ([`NextRun::Again`]). One of
//! the delayed queue may take longer. Neither waits for what may be long in coming, which is for a thread of its own.
//!
//! <https://learn.microsoft.com/windows-hardware/drivers/network/ndis-i-o-work-items>,
//! <https://learn.microsoft.com/windows-hardware/drivers/kernel/system-worker-threads>
//!
//! # Example
//!
//! ```no_run
//! use ndis::filter::{Attached, Attaching, FilterModule};
//! use ndis::irql::{AtMostDispatch, Passive};
//! use ndis::work::{NextRun, NotAttached, Queued, Routine, WorkItem, WorkItemCounts};
//! use ndis::Status;
//!
//! fn make<M: FilterModule>(
//!     attaching: &mut Attaching<'_, M>,
//!     irql: &mut Passive,
//! ) -> Result<WorkItem<M>, Status> {
//!     let routine: Routine<M> = run;
//!     attaching.work_item(routine, irql)
//! }
//!
//! /// In the datapath. A wish while the item is queued costs nothing.
//! fn wish<M: FilterModule>(item: &WorkItem<M>, irql: &mut AtMostDispatch) -> Option<Queued> {
//!     match item.queue(irql) {
//!         Ok(queued) => Some(queued),
//!         // The module is detaching, or not attached yet.
//!         Err(NotAttached) => None,
//!     }
//! }
//!
//! /// At `PASSIVE_LEVEL`, one run at a time.
//! fn run<M: FilterModule>(this: &Attached<'_, M>, _irql: &mut Passive) -> NextRun {
//!     let counts: WorkItemCounts = this.work_items();
//!     if counts.runs == 0 { NextRun::Again } else { NextRun::WhenQueued }
//! }
//! ```

mod cycle;
#[cfg(windows)]
mod family;
#[cfg(windows)]
mod item;
mod list;
mod state;

pub use cycle::{NotAttached, Queued, Tried};
pub use list::MAX_WORK_ITEMS;

#[cfg(windows)]
pub use item::{NextRun, Routine, WorkItem, WorkItemCounts};

#[cfg(all(test, loom))]
pub(crate) use cycle::{run, try_wish, wish};
#[cfg(windows)]
pub(crate) use family::Family;
#[cfg(windows)]
pub(crate) use item::{Item, Owner, WorkCounters};
#[cfg(windows)]
pub(crate) use list::List;
pub(crate) use state::State;
#[cfg(test)]
pub(crate) use state::{After, Wish};
