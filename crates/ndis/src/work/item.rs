//! The work item around its state.

use core::ffi::c_void;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use super::cycle::{self, NotAttached, Queued, Tried};
use super::family::Family;
use super::list::Full;
use super::state::State;
use crate::Status;
use crate::counter::Counter;
use crate::event::Event;
use crate::filter::{Attached, FilterModule, ModuleCore};
use crate::irql::{Caller, Passive};
use crate::mem::{PoolArc, Tag};
use crate::rundown::Rundown;
use crate::{driver, time};

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
    /// To run again: its time was spent before its work was. A run that begins after pause or detach has, is the last one
    /// that is granted: what has to be done by then it does at once.
    Again,
}

/// Whom work items belong to: a module, or a device.
pub(crate) trait Owner: Sized + Send + Sync + 'static {
    /// What the items run.
    type Routine: Copy + Send + Sync + 'static;

    /// Closed before the items are freed.
    fn gate(&self) -> &Rundown<Event>;

    /// Set when an item that is watched comes to rest.
    fn quiet(&self) -> &Event;

    fn counters(&self) -> &WorkCounters;

    /// Runs the routine.
    ///
    /// # Safety
    ///
    /// A reference of the gate is held until this returns.
    unsafe fn run(&self, routine: Self::Routine, irql: &mut Passive) -> NextRun;
}

/// An NDIS work item of a module.
///
/// The handle is a name for it, and no more: the item is allocated in attach and freed in detach, whatever becomes of
/// the handle. Devices have theirs of both families: [`device::NdisWorkItem`](crate::device::NdisWorkItem) and
/// [`device::IoWorkItem`](crate::device::IoWorkItem).
///
/// # Invariants
///
/// Those of `Item`.
pub struct WorkItem<M: FilterModule>(PoolArc<Item<ModuleCore<M>>>);

/// The work item itself, of either family.
///
/// # Invariants
///
/// 1. `family` is allocated until `free` was called; nobody queues it after that.
/// 2. From `QUEUED` to the return of the routine that leads to `IDLE`, one reference of the owner's gate is held for the
///    item. So it is never queued without the owner, and never freed while queued: `free` comes after the rundown.
/// 3. The owner's list of items owns the item until `free` was called.
pub(crate) struct Item<O: Owner> {
    owner: PoolArc<O>,
    family: Family,
    routine: O::Routine,
    state: State,
    /// When the item was queued; written by who moves the state to `QUEUED`, read by the run that follows.
    queued_at_ns: AtomicU64,
    /// How long the item was queued before its last run.
    waited_ns: AtomicU64,
}

// SAFETY: the system lets any thread use what it has allocated; the rest synchronises itself.
unsafe impl<O: Owner> Send for Item<O> {}
// SAFETY: as above.
unsafe impl<O: Owner> Sync for Item<O> {}

impl<M: FilterModule> WorkItem<M> {
    /// Allocates a work item for the module that is being attached.
    pub(crate) fn allocate(
        core: &PoolArc<ModuleCore<M>>,
        routine: Routine<M>,
        irql: &mut Passive,
    ) -> Result<Self, Status> {
        let make = || {
            // SAFETY: the handle of the filter driver: it was published before any module could attach, and is valid until
            // all have detached.
            let family = unsafe { Family::allocate_ndis(driver::filter_driver_handle(), irql) }?;
            Item::try_new(core, family, routine)
        };
        // SAFETY: this is attach: the token comes from there, and `make` does not look at the items.
        unsafe { core.add_item(make) }.map(Self)
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
    pub fn queue(&self, irql: &mut impl Caller) -> Result<Queued, NotAttached> {
        self.0.queue(irql)
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

impl<O: Owner> Item<O> {
    /// Makes an item of what was allocated for it.
    ///
    /// # Errors
    ///
    /// [`Status::RESOURCES`], and it was freed.
    pub(crate) fn try_new(
        owner: &PoolArc<O>,
        family: Family,
        routine: O::Routine,
    ) -> Result<PoolArc<Self>, Status> {
        let counters = owner.counters();
        counters.allocated.add(1);
        let item = Self {
            owner: owner.clone(),
            family,
            routine,
            state: State::idle(),
            queued_at_ns: AtomicU64::new(0),
            waited_ns: AtomicU64::new(0),
        };
        PoolArc::try_keep(TAG, item).map_err(|item| {
            // SAFETY: nobody has it.
            unsafe { item.free() };
            Status::RESOURCES
        })
    }

    /// Wishes for a run that begins after this call.
    pub(crate) fn queue(&self, _irql: &mut impl Caller) -> Result<Queued, NotAttached> {
        // SAFETY: `wish` calls it when it has moved the state to `QUEUED`, and a reference is held for the item.
        let enqueue = || unsafe { self.enqueue() };
        let queued = cycle::wish(&self.state, self.owner.gate(), enqueue);
        self.count(queued)
    }

    /// Wishes for a run if a thread of the system is idle.
    pub(crate) fn try_queue(&self, _irql: &mut impl Caller) -> Result<Tried, NotAttached> {
        let offer = || {
            self.queued_at_ns.store(time::now_ns(), Ordering::Relaxed);
            // SAFETY: by invariant 1 it is allocated; the state was `IDLE`, so it is in no queue; what the context points
            // to stays until the reference is given back, which the run does.
            let is_taken = unsafe { self.family.offer::<O>(self.context()) };
            // Before the run only as far as anybody can tell: counters order nothing.
            self.owner.counters().queued.add(u64::from(is_taken));
            is_taken
        };
        // SAFETY: `try_wish` calls it when it has moved the state to `QUEUED`, and a reference is held for the item.
        let enqueue = || unsafe { self.enqueue() };
        let owner = &*self.owner;
        match cycle::try_wish(&self.state, owner.gate(), owner.quiet(), offer, enqueue)? {
            Tried::Queued(queued) => self.count(Ok(queued)).map(Tried::Queued),
            Tried::NotQueued => Ok(Tried::NotQueued),
        }
    }

    fn count(&self, queued: Result<Queued, NotAttached>) -> Result<Queued, NotAttached> {
        if queued == Ok(Queued::Coalesced) {
            self.owner.counters().coalesced.add(1);
        }
        queued
    }

    /// Gives the item to the system's queue.
    ///
    /// # Safety
    ///
    /// The caller has moved the state to `QUEUED`, and a reference of the gate is held for the item.
    unsafe fn enqueue(&self) {
        self.queued_at_ns.store(time::now_ns(), Ordering::Relaxed);
        self.owner.counters().queued.add(1);
        // SAFETY: by invariant 1 it is allocated; the state was not `QUEUED` before, so the item is not in the queue; what
        // the context points to stays until the reference is given back, which the run does.
        unsafe { self.family.enqueue::<O>(self.context()) };
    }

    /// What the system gives to the thunk, for `run`.
    const fn context(&self) -> *mut c_void {
        core::ptr::from_ref(self).cast_mut().cast()
    }

    /// Runs the routine; called by the thunk.
    ///
    /// # Safety
    ///
    /// `item` is the context of the queueing that led to this run, which calls it once.
    pub(crate) unsafe fn run(item: NonNull<Self>, irql: &mut Passive) {
        // SAFETY: by invariants 2 and 3 the item stays until the reference is given back.
        let this = unsafe { item.as_ref() };
        let owner = &*this.owner;
        let routine = || {
            let queued_at_ns = this.queued_at_ns.load(Ordering::Relaxed);
            let waited_ns = time::now_ns().saturating_sub(queued_at_ns);
            this.waited_ns.store(waited_ns, Ordering::Relaxed);
            let counters = owner.counters();
            counters.runs.add(1);
            counters.wait_ns.add(waited_ns);
            counters.max_wait_ns.raise_to(waited_ns);
            // SAFETY: by invariant 2 a reference of the gate is held.
            unsafe { owner.run(this.routine, irql) == NextRun::Again }
        };
        let enqueue = || {
            owner.counters().requeued.add(1);
            // SAFETY: `run` calls it when it has moved the state to `QUEUED`; the reference stays with the item. The system
            // took the item from its queue before it called the routine.
            unsafe { this.enqueue() };
        };
        // The item may be gone when this returns.
        cycle::run(&this.state, owner.gate(), owner.quiet(), routine, enqueue);
    }

    /// Frees what the system has allocated.
    ///
    /// # Safety
    ///
    /// Called once, when the owner's gate is closed for good (or was never opened).
    pub(crate) unsafe fn free(&self) {
        // SAFETY: by invariant 1 it is allocated; by invariant 2 it is not queued.
        unsafe { self.family.free() };
        self.owner.counters().freed.add(1);
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

/// What the work items of a module, or of the device, did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkItemCounts {
    /// Allocated or initialised.
    pub allocated: u64,
    /// Given to the system's queue.
    pub queued: u64,
    /// Wishes that another run took care of.
    pub coalesced: u64,
    /// Runs of a routine.
    pub runs: u64,
    /// Among `queued`: by the run itself, because it wanted to or was wished for meanwhile.
    pub requeued: u64,
    /// Freed.
    pub freed: u64,
    /// Nanoseconds between queueing and running, over all runs.
    pub wait_ns: u64,
    /// The longest of them.
    pub max_wait_ns: u64,
}

/// [`WorkItemCounts`] in the making.
#[derive(Debug, Default)]
pub(crate) struct WorkCounters {
    allocated: Counter,
    queued: Counter,
    coalesced: Counter,
    runs: Counter,
    requeued: Counter,
    freed: Counter,
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
