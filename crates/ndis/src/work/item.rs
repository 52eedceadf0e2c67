//! The work item around its state.

use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use ndis_sys::{NDIS_HANDLE, NdisAllocateIoWorkItem, NdisFreeIoWorkItem, NdisQueueIoWorkItem};

use super::list::Full;
use super::state::{After, State, Wish};
use crate::Status;
use crate::counter::Counter;
use crate::filter::{Attached, FilterModule, ModuleCore};
use crate::irql::{Caller, Passive};
use crate::mem::{PoolArc, Tag};
use crate::{driver, thunk, time};

/// Tag of a work item's storage.
const TAG: Tag = Tag::new(*b"NdWi");

/// What a work item runs: at `PASSIVE_LEVEL`, on a system thread, one run at a time.
///
/// Everything that was written before a wish is visible to the run that follows it.
pub type Routine<M> = fn(&Attached<'_, M>, &mut Passive) -> NextRun;

/// What a routine wants when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextRun {
    /// To run when it is wished for.
    WhenQueued,
    /// To run again: its time was spent before its work was.
    Again,
}

/// How a wish was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    /// The item was queued.
    First,
    /// A run that has not begun yet, or one that follows the present one, takes care of it.
    Coalesced,
}

/// The module is not attached yet, or not any more: nothing will run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAttached;

/// An NDIS work item of a module.
///
/// The handle is a name for it, and no more: the item is allocated in attach and freed in detach, whatever becomes of
/// the handle.
///
/// # Invariants
///
/// Those of `Item`.
pub struct WorkItem<M: FilterModule>(PoolArc<Item<M>>);

/// The work item itself.
///
/// # Invariants
///
/// 1. `handle` is a work item of NDIS, allocated with the handle of the filter driver, until `free` was called; nobody
///    queues it after that.
/// 2. From `QUEUED` to the return of the routine that leads to `IDLE`, one reference of the module's `attached` rundown
///    is held for the item. So it is never queued without the module, and never freed while queued: `free` comes after
///    the rundown.
/// 3. The module's list of items owns the item until `free` was called.
pub(crate) struct Item<M: FilterModule> {
    core: PoolArc<ModuleCore<M>>,
    handle: NDIS_HANDLE,
    routine: Routine<M>,
    state: State,
    /// When the item was queued; written by who moves the state to `QUEUED`, read by the run that follows.
    queued_at_ns: AtomicU64,
    /// How long the item was queued before its last run.
    waited_ns: AtomicU64,
}

// SAFETY: NDIS lets any thread use the handle; the rest synchronises itself.
unsafe impl<M: FilterModule> Send for Item<M> {}
// SAFETY: as above.
unsafe impl<M: FilterModule> Sync for Item<M> {}

impl<M: FilterModule> WorkItem<M> {
    /// Allocates a work item for the module that is being attached.
    pub(crate) fn allocate(
        core: &PoolArc<ModuleCore<M>>,
        routine: Routine<M>,
        _irql: &mut Passive,
    ) -> Result<Self, Status> {
        // SAFETY: this is attach: the token comes from there, and `make` does not look at the items.
        unsafe { core.add_item(|| Item::allocate(core, routine)) }.map(Self)
    }

    /// Wishes for a run that begins after this call.
    ///
    /// It never allocates, and never queues an item that is queued. A wish during a run makes one more run follow.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    ///
    /// # Errors
    ///
    /// [`NotAttached`] before attach has returned, and once detach has begun.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisqueueioworkitem>
    pub fn queue(&self, _irql: &mut impl Caller) -> Result<Queued, NotAttached> {
        let item = &*self.0;
        if !item.core.attached.acquire() {
            return Err(NotAttached);
        }
        match item.state.wish() {
            Wish::Queue => {
                // INVARIANT: the reference goes to the item, whose state this call has moved to `QUEUED`.
                // SAFETY: as said; the reference is held.
                unsafe { item.enqueue() };
                Ok(Queued::First)
            }
            Wish::Coalesced => {
                item.core.work.coalesced.add(1);
                item.core.attached.release();
                Ok(Queued::Coalesced)
            }
        }
    }
}

impl<M: FilterModule> WorkItem<M> {
    /// How long the item was queued before the run that is under way, or the last one, in nanoseconds.
    ///
    /// # IRQL
    ///
    /// Any.
    #[must_use]
    pub fn waited_ns(&self) -> u64 {
        self.0.waited_ns.load(Ordering::Relaxed)
    }
}

impl<M: FilterModule> fmt::Debug for WorkItem<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkItem").finish_non_exhaustive()
    }
}

impl<M: FilterModule> Item<M> {
    /// Allocates an item with its NDIS work item.
    fn allocate(
        core: &PoolArc<ModuleCore<M>>,
        routine: Routine<M>,
    ) -> Result<PoolArc<Self>, Status> {
        // SAFETY: the handle of the filter driver: it was published before any module could attach, and is valid until
        // all have detached.
        let handle = unsafe { NdisAllocateIoWorkItem(driver::filter_driver_handle()) };
        if handle.is_null() {
            return Err(Status::RESOURCES);
        }
        core.work.allocated.add(1);
        let item = PoolArc::try_new(
            TAG,
            Self {
                core: core.clone(),
                handle,
                routine,
                state: State::idle(),
                queued_at_ns: AtomicU64::new(0),
                waited_ns: AtomicU64::new(0),
            },
        );
        item.map_err(|error| {
            // SAFETY: allocated above, and nobody has it.
            unsafe { NdisFreeIoWorkItem(handle) };
            core.work.freed.add(1);
            error.into()
        })
    }

    /// Gives the item to the system's queue.
    ///
    /// # Safety
    ///
    /// The caller has moved the state to `QUEUED`, and a reference of `attached` is held for the item.
    unsafe fn enqueue(&self) {
        self.queued_at_ns.store(time::now_ns(), Ordering::Relaxed);
        self.core.work.queued.add(1);
        // SAFETY: by invariant 1 the handle is allocated; the state was not `QUEUED` before, so the item is not in the
        // queue; what the context points to stays until the reference is given back, which the run does.
        unsafe {
            NdisQueueIoWorkItem(
                self.handle,
                Some(thunk::run_work_item::<M>),
                core::ptr::from_ref(self).cast_mut().cast(),
            );
        }
    }

    /// Runs the routine; called by the thunk.
    ///
    /// # Safety
    ///
    /// `item` is the context of the queueing that led to this run, which calls it once.
    pub(crate) unsafe fn run(item: NonNull<Self>, irql: &mut Passive) {
        // SAFETY: by invariants 2 and 3 the item stays until the reference is given back.
        let this = unsafe { item.as_ref() };
        this.state.start();
        let waited_ns = time::now_ns().saturating_sub(this.queued_at_ns.load(Ordering::Relaxed));
        this.waited_ns.store(waited_ns, Ordering::Relaxed);
        this.core.work.runs.add(1);
        this.core.work.wait_ns.add(waited_ns);
        this.core.work.max_wait_ns.raise_to(waited_ns);
        // SAFETY: by invariant 2 a reference of `attached` is held.
        let attached = unsafe { Attached::new(&this.core) };
        let next = (this.routine)(&attached, irql);
        match this.state.finish(next == NextRun::Again) {
            After::Requeue => {
                this.core.work.requeued.add(1);
                // SAFETY: `finish` has moved the state to `QUEUED`; the reference stays with the item. The system took
                // the item from its queue before it called the routine.
                unsafe { this.enqueue() };
            }
            After::Rest { wake } => {
                if wake {
                    this.core.quiet.set(irql);
                }
                // The last touch: detach may free the item from here on.
                this.core.attached.release();
            }
        }
    }

    /// Frees the NDIS work item.
    ///
    /// # Safety
    ///
    /// Called once, when the module's `attached` rundown is closed for good (or was never opened).
    pub(crate) unsafe fn free(&self) {
        // SAFETY: by invariant 1 it is allocated; by invariant 2 it is not queued.
        unsafe { NdisFreeIoWorkItem(self.handle) };
    }

    pub(crate) const fn state(&self) -> &State {
        &self.state
    }
}

impl From<Full> for Status {
    fn from(_: Full) -> Self {
        Self::RESOURCES
    }
}

/// What the work items of a module did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkItemCounts {
    /// Allocated by `NdisAllocateIoWorkItem`.
    pub allocated: u64,
    /// Queued by `NdisQueueIoWorkItem`.
    pub queued: u64,
    /// Wishes that another run took care of.
    pub coalesced: u64,
    /// Runs of a routine.
    pub runs: u64,
    /// Among `queued`: by the run itself, because it wanted to or was wished for meanwhile.
    pub requeued: u64,
    /// Freed by `NdisFreeIoWorkItem`.
    pub freed: u64,
    /// Nanoseconds between queueing and running, over all runs.
    pub wait_ns: u64,
    /// The longest of them.
    pub max_wait_ns: u64,
}

/// [`WorkItemCounts`] in the making.
#[derive(Debug, Default)]
pub(crate) struct WorkCounters {
    pub(crate) allocated: Counter,
    queued: Counter,
    coalesced: Counter,
    runs: Counter,
    requeued: Counter,
    pub(crate) freed: Counter,
    wait_ns: Counter,
    max_wait_ns: Counter,
}

impl WorkCounters {
    pub(crate) const fn new() -> Self {
        Self {
            allocated: Counter::new(),
            queued: Counter::new(),
            coalesced: Counter::new(),
            runs: Counter::new(),
            requeued: Counter::new(),
            freed: Counter::new(),
            wait_ns: Counter::new(),
            max_wait_ns: Counter::new(),
        }
    }

    pub(crate) fn counts(&self) -> WorkItemCounts {
        WorkItemCounts {
            allocated: self.allocated.value(),
            queued: self.queued.value(),
            coalesced: self.coalesced.value(),
            runs: self.runs.value(),
            requeued: self.requeued.value(),
            freed: self.freed.value(),
            wait_ns: self.wait_ns.value(),
            max_wait_ns: self.max_wait_ns.value(),
        }
    }
}
