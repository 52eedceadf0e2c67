//! A module as this crate keeps it, around the driver's `M`.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use ndis_sys::NDIS_HANDLE;
use wdk_sys::ntddk;

use super::{AttachParameters, Attached, Call, FilterModule, Outcome, around};
use crate::Status;
use crate::counter::Counter;
use crate::debug;
use crate::dpc::Deferred;
use crate::event::Event;
use crate::irql::Passive;
use crate::mem::{OutOfMemory, PoolArc, Tag};
use crate::nbl::{Direction, Held, Side};
use crate::oid::{Direct, Regular, Requests};
use crate::rundown::Rundown;
use crate::thread::Threading;
use crate::timer::Timing;
use crate::work::{Item, List, NextRun, Owner, Routine, State, WorkCounters};

/// Tag of what this crate allocates for a module.
pub(crate) const TAG: Tag = Tag::new(*b"NdFm");

/// State of a filter module, as the documentation names them.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/network/filter-module-states-and-operations>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleState {
    /// `FilterAttach` is under way.
    Attaching,
    /// Attached, with nothing on its way.
    Paused,
    /// `FilterRestart` is under way.
    Restarting,
    /// Packets pass.
    Running,
    /// `FilterPause` is under way.
    Pausing,
    /// `FilterDetach` has begun.
    Detached,
}

impl ModuleState {
    const ALL: [Self; 6] = [
        Self::Attaching,
        Self::Paused,
        Self::Restarting,
        Self::Running,
        Self::Pausing,
        Self::Detached,
    ];
}

/// A module: handle, gates, work items, timers, DPCs, threads, what it holds, and the driver's `M` in its final place.
///
/// # Invariants
///
/// 1. `module` is initialised from [`publish`](Self::publish) to [`retire`](Self::retire). It is reached only with a
///    reference of `attached`; from callbacks that NDIS makes between the return of `FilterAttach` and the call of
///    `FilterDetach`; from those two themselves; and under the lock of the driver's list while the module is on it.
///    `retire` comes after all of them.
/// 2. `attached` is open from the end of a successful attach to the beginning of detach.
/// 3. `datapath` is open from the end of a successful restart to the beginning of pause; `attached` is open as long.
/// 4. `items`, `timers`, `dpcs` and `threads` change only in attach and, after `attached` was closed, in detach. What the
///    system has allocated for each of them is there as long as it is in its list.
/// 5. `following` belongs to the driver's list, and is touched under its lock only.
/// 6. `handle` is valid from `FilterAttach` to the return of `FilterDetach`.
/// 7. `has_returned` is set by callbacks that NDIS makes only after `FilterAttach` has returned.
pub(crate) struct ModuleCore<M: FilterModule> {
    handle: NDIS_HANDLE,
    parameters: AttachParameters,
    state: AtomicU8,
    pub(crate) attached: Rundown<Event>,
    /// Whether NDIS has shown that `FilterAttach` has returned.
    has_returned: AtomicBool,
    pub(crate) datapath: Rundown<Event>,
    /// Set when a work item that is watched comes to rest.
    pub(crate) quiet: Event,
    pub(crate) work: WorkCounters,
    leaked_batches: Counter,
    items: UnsafeCell<List<Item<Self>>>,
    timers: UnsafeCell<List<Timing<M>>>,
    dpcs: UnsafeCell<List<Deferred<M>>>,
    threads: UnsafeCell<List<Threading<M>>>,
    sends: Side,
    receives: Side,
    pub(crate) regular_oids: Requests,
    pub(crate) direct_oids: Requests,
    /// Whether NDIS sends packets past the module. Changes while it is paused.
    is_bypassed: AtomicBool,
    following: UnsafeCell<Option<NonNull<Self>>>,
    module: UnsafeCell<MaybeUninit<M>>,
}

// SAFETY: what can be reached from several processors is synchronised: `M` is `Send` and `Sync`, the cells by the
// invariants 1, 4 and 5, the rest by itself. The handle is NDIS's, who allows any thread.
unsafe impl<M: FilterModule> Send for ModuleCore<M> {}
// SAFETY: as above.
unsafe impl<M: FilterModule> Sync for ModuleCore<M> {}

impl<M: FilterModule> ModuleCore<M> {
    /// A module in `FilterAttach`, without its `M`.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    ///
    /// # Safety
    ///
    /// NDIS has given `handle` with `FilterAttach`.
    pub(crate) unsafe fn new(
        handle: NDIS_HANDLE,
        parameters: AttachParameters,
        irql: &mut Passive,
    ) -> Result<Self, OutOfMemory> {
        Ok(Self {
            handle,
            parameters,
            state: AtomicU8::new(ModuleState::Attaching as u8),
            attached: Rundown::closed(Event::try_new(TAG, irql)?),
            has_returned: AtomicBool::new(false),
            datapath: Rundown::closed(Event::try_new(TAG, irql)?),
            quiet: Event::try_new(TAG, irql)?,
            work: WorkCounters::new(),
            leaked_batches: Counter::new(),
            items: UnsafeCell::new(List::new(TAG)),
            timers: UnsafeCell::new(List::new(TAG)),
            dpcs: UnsafeCell::new(List::new(TAG)),
            threads: UnsafeCell::new(List::new(TAG)),
            sends: Side::try_new(irql)?,
            receives: Side::try_new(irql)?,
            regular_oids: Requests::new(),
            direct_oids: Requests::new(),
            is_bypassed: AtomicBool::new(false),
            following: UnsafeCell::new(None),
            module: UnsafeCell::new(MaybeUninit::uninit()),
        })
    }

    /// The module whose context NDIS has been given.
    ///
    /// # Safety
    ///
    /// `context` came from `PoolArc::into_raw` by way of `NdisFSetAttributes`, and the module is not detached for `'a`.
    pub(crate) const unsafe fn from_context<'a>(context: *mut c_void) -> &'a Self {
        // SAFETY: this function's contract.
        unsafe { &*context.cast::<Self>() }
    }

    /// Likewise, in a callback other than one of packets: it shows that `FilterAttach` has returned.
    ///
    /// # Safety
    ///
    /// As above, and this is such a callback.
    pub(crate) unsafe fn called_back<'a>(context: *mut c_void) -> &'a Self {
        // SAFETY: this function's contract.
        let core = unsafe { Self::from_context(context) };
        // What is not written need not leave the other processors' caches.
        if !core.has_returned.load(Ordering::Relaxed) {
            core.has_returned.store(true, Ordering::Release);
        }
        core
    }

    /// Takes a reference of `attached` for something that the module does of its own: that may come from a thread or a
    /// device request while `FilterAttach` is about to return, which NDIS does not want.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nc-ndis-filter_attach>
    ///
    /// # Errors
    ///
    /// [`Status::DEVICE_NOT_READY`] until NDIS has made a callback of the module, [`Status::REQUEST_ABORTED`] once detach has
    /// begun.
    pub(crate) fn acquire_to_speak(&self) -> Result<(), Status> {
        if !self.has_returned.load(Ordering::Acquire) {
            return Err(Status::DEVICE_NOT_READY);
        }
        if !self.attached.acquire() {
            return Err(Status::REQUEST_ABORTED);
        }
        Ok(())
    }

    pub(crate) const fn handle(&self) -> NDIS_HANDLE {
        self.handle
    }

    pub(crate) const fn parameters(&self) -> &AttachParameters {
        &self.parameters
    }

    /// [`around`](around()), for a call of the module.
    #[inline(always)]
    pub(crate) fn around<R: Outcome>(&self, call: Call, f: impl FnOnce() -> R) -> R {
        around::<M, R>(call, Some(&self.parameters), f)
    }

    pub(crate) fn state(&self) -> ModuleState {
        let state = usize::from(self.state.load(Ordering::Relaxed));
        // Every number that `set_state` writes is a place in the list.
        ModuleState::ALL
            .get(state)
            .copied()
            .unwrap_or(ModuleState::Detached)
    }

    pub(crate) fn set_state(&self, state: ModuleState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// Counts batches that a callback has leaked.
    pub(crate) fn report_leaked(&self, batches: usize) {
        if batches > 0 {
            debug::print_number(c"ndis: batches leaked by a callback", batches as u64);
            self.leaked_batches.add(batches as u64);
        }
    }

    pub(crate) fn leaked_batches(&self) -> u64 {
        self.leaked_batches.value()
    }

    /// Puts `M` in its place.
    ///
    /// # Safety
    ///
    /// Called in attach, once.
    pub(crate) unsafe fn publish(&self, module: M) {
        // SAFETY: by invariant 1 nobody reaches the place yet.
        unsafe { self.module.get().write(MaybeUninit::new(module)) };
    }

    /// Drops `M`.
    ///
    /// # Safety
    ///
    /// `publish` was called, this was not, and nothing reaches the module any more.
    pub(crate) unsafe fn retire(&self) {
        // SAFETY: this function's contract.
        let module = unsafe { &mut *self.module.get() };
        // SAFETY: initialised by invariant 1; from here on it is not.
        unsafe { module.assume_init_drop() };
    }

    /// The driver's module.
    ///
    /// # Safety
    ///
    /// One of the ways of invariant 1 leads here, for as long as the reference lives.
    pub(super) const unsafe fn module(&self) -> &M {
        // SAFETY: this function's contract: nobody writes to the place.
        let module = unsafe { &*self.module.get() };
        // SAFETY: initialised by invariant 1.
        unsafe { module.assume_init_ref() }
    }

    /// Adds the work item that `make` gives, and gives another owner of it.
    ///
    /// # Errors
    ///
    /// Those of `make`, and [`Status::RESOURCES`] when the module has as many as it can have.
    ///
    /// # Safety
    ///
    /// Called in attach, and `make` does not look at the module's items.
    pub(crate) unsafe fn add_item(
        &self,
        make: impl FnOnce() -> Result<PoolArc<Item<Self>>, Status>,
    ) -> Result<PoolArc<Item<Self>>, Status> {
        // SAFETY: by invariant 4 nobody else looks at it in attach.
        unsafe { &mut *self.items.get() }.add(make)
    }

    /// Adds the timer that `make` gives, and gives another owner of it.
    ///
    /// # Errors
    ///
    /// Those of `make`, and [`Status::RESOURCES`] when the module has as many as it can have.
    ///
    /// # Safety
    ///
    /// Called in attach, and `make` does not look at the module's timers.
    pub(crate) unsafe fn add_timer(
        &self,
        make: impl FnOnce() -> Result<PoolArc<Timing<M>>, Status>,
    ) -> Result<PoolArc<Timing<M>>, Status> {
        // SAFETY: by invariant 4 nobody else looks at it in attach.
        unsafe { &mut *self.timers.get() }.add(make)
    }

    /// Adds the DPC that `make` gives, and gives another owner of it.
    ///
    /// # Errors
    ///
    /// Those of `make`, and [`Status::RESOURCES`] when the module has as many as it can have.
    ///
    /// # Safety
    ///
    /// Called in attach, and `make` does not look at the module's DPCs.
    pub(crate) unsafe fn add_dpc(
        &self,
        make: impl FnOnce() -> Result<PoolArc<Deferred<M>>, Status>,
    ) -> Result<PoolArc<Deferred<M>>, Status> {
        // SAFETY: by invariant 4 nobody else looks at it in attach.
        unsafe { &mut *self.dpcs.get() }.add(make)
    }

    /// Adds the thread that `make` gives, and gives another owner of it.
    ///
    /// # Errors
    ///
    /// Those of `make`, and [`Status::RESOURCES`] when the module has as many as it can have.
    ///
    /// # Safety
    ///
    /// Called in attach, and `make` does not look at the module's threads.
    pub(crate) unsafe fn add_thread(
        &self,
        make: impl FnOnce() -> Result<PoolArc<Threading<M>>, Status>,
    ) -> Result<PoolArc<Threading<M>>, Status> {
        // SAFETY: by invariant 4 nobody else looks at it in attach.
        unsafe { &mut *self.threads.get() }.add(make)
    }

    /// Frees the module's work items, timers, DPCs and threads.
    ///
    /// # Safety
    ///
    /// Called once, in detach after `attached` was closed, or in an attach that fails.
    pub(crate) unsafe fn free_owned(&self, irql: &mut Passive) {
        // SAFETY: by invariant 4 nobody else looks at it any more.
        unsafe { &mut *self.threads.get() }.drain(|thread| {
            // SAFETY: it was in the list; `attached` is closed.
            unsafe { thread.join(irql) };
        });
        // SAFETY: by invariant 4 nobody else looks at it any more.
        unsafe { &mut *self.items.get() }.drain(|item| {
            // SAFETY: it was in the list; with `attached` closed it is neither queued nor does it run.
            unsafe { item.free() };
        });
        // A timer or a DPC that has just run gave its reference back before its run ended.
        flush_dpcs(irql);
        // SAFETY: as for the items.
        unsafe { &mut *self.timers.get() }.drain(|timer| {
            // SAFETY: it was in the list; with `attached` closed it is not set, and its DPCs have ended.
            unsafe { timer.free() };
        });
        // SAFETY: likewise. With `attached` closed none is queued, and none runs any more.
        unsafe { &mut *self.dpcs.get() }.drain(|_| ());
    }

    pub(crate) fn is_bypassed(&self) -> bool {
        self.is_bypassed.load(Ordering::Relaxed)
    }

    pub(crate) fn set_bypassed(&self, is_bypassed: bool) {
        self.is_bypassed.store(is_bypassed, Ordering::Relaxed);
    }

    /// What the module holds of one direction.
    pub(crate) const fn held<D: Direction>(&self) -> &Held {
        &self.side::<D>().held
    }

    /// What the module has of one direction.
    pub(crate) const fn side<D: Direction>(&self) -> &Side {
        if D::IS_SEND {
            &self.sends
        } else {
            &self.receives
        }
    }

    /// Cancels the timers.
    ///
    /// # Safety
    ///
    /// Called in pause, or in detach before `free_owned`.
    pub(crate) unsafe fn cancel_timers(&self, irql: &mut Passive) {
        // SAFETY: by invariant 4 nobody changes it meanwhile.
        for timer in unsafe { &*self.timers.get() }.iter() {
            timer.cancel(irql);
        }
    }

    /// Lets DPCs that are queued run to their end, if the module has any.
    ///
    /// # Safety
    ///
    /// Called in pause.
    pub(crate) unsafe fn flush_dpcs(&self, irql: &mut Passive) {
        // SAFETY: by invariant 4 nobody changes it in pause.
        if unsafe { &*self.dpcs.get() }.iter().next().is_some() {
            flush_dpcs(irql);
        }
    }

    /// Lets the threads begin.
    ///
    /// # Safety
    ///
    /// Called in attach, after `attached` was opened.
    pub(crate) unsafe fn begin_threads(&self, irql: &mut Passive) {
        // SAFETY: by invariant 4 nobody else changes it in attach.
        for thread in unsafe { &*self.threads.get() }.iter() {
            thread.begin(irql);
        }
    }

    /// Tells the threads to stop.
    ///
    /// # Safety
    ///
    /// Called in detach before `free_owned`.
    pub(crate) unsafe fn stop_threads(&self, irql: &mut Passive) {
        // SAFETY: by invariant 4 nobody changes it meanwhile.
        for thread in unsafe { &*self.threads.get() }.iter() {
            thread.stop(irql);
        }
    }

    /// Cancels the requests of the module's own that are below.
    pub(crate) fn cancel_own_oids(&self, irql: &mut Passive) {
        // SAFETY: by invariant 6 the handle is valid as long as anybody can call this: the module's requests are below.
        unsafe {
            self.regular_oids
                .own
                .cancel_all::<Regular>(self.handle, irql)
        };
        // SAFETY: likewise.
        unsafe { self.direct_oids.own.cancel_all::<Direct>(self.handle, irql) };
    }

    /// The states of the work items.
    ///
    /// # Safety
    ///
    /// Called in pause, which is over before the result is dropped.
    pub(crate) unsafe fn work_states(&self) -> impl Iterator<Item = &State> {
        // SAFETY: by invariant 4 nobody changes it in pause.
        let items = unsafe { &*self.items.get() };
        items.iter().map(Item::state)
    }

    /// The next module in the driver's list.
    ///
    /// # Safety
    ///
    /// The lock of the list is held.
    pub(crate) unsafe fn following(&self) -> Option<NonNull<Self>> {
        // SAFETY: by invariant 5 and this function's contract.
        unsafe { *self.following.get() }
    }

    /// Links the module to the next one in the driver's list.
    ///
    /// # Safety
    ///
    /// The lock of the list is held.
    pub(crate) unsafe fn set_following(&self, following: Option<NonNull<Self>>) {
        // SAFETY: by invariant 5 and this function's contract.
        unsafe { *self.following.get() = following };
    }
}

/// Waits until the DPCs that are queued on any processor have run to their end.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-keflushqueueddpcs>
fn flush_dpcs(_irql: &mut Passive) {
    // SAFETY: the token says PASSIVE_LEVEL.
    unsafe { ntddk::KeFlushQueuedDpcs() };
}

impl<M: FilterModule> Owner for ModuleCore<M> {
    type Routine = Routine<M>;

    fn gate(&self) -> &Rundown<Event> {
        &self.attached
    }

    fn quiet(&self) -> &Event {
        &self.quiet
    }

    fn counters(&self) -> &WorkCounters {
        &self.work
    }

    unsafe fn run(&self, routine: Routine<M>, irql: &mut Passive) -> NextRun {
        // SAFETY: this function's contract: a reference of `attached` is held.
        let attached = unsafe { Attached::new(self) };
        self.around(Call::WorkItem, || routine(&attached, irql))
    }
}

impl<M: FilterModule> fmt::Debug for ModuleCore<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModuleCore")
            .field("parameters", &self.parameters)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
