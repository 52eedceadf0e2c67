//! Timers: something that happens later, at `DISPATCH_LEVEL`.
//!
//! # Example
//!
//! ```no_run
//! use ndis::Status;
//! use ndis::filter::{Attached, Attaching, FilterModule};
//! use ndis::irql::{AtMostDispatch, Caller, Passive};
//! use ndis::timer::{Routine, Timer};
//!
//! fn make<M: FilterModule>(
//!     attaching: &mut Attaching<'_, M>,
//!     irql: &mut Passive,
//! ) -> Result<Timer<M>, Status> {
//!     let routine: Routine<M> = tick;
//!     attaching.timer(routine, irql)
//! }
//!
//! fn in_ten_milliseconds<M: FilterModule>(timer: &Timer<M>, irql: &mut impl Caller) {
//!     // It is refused only when the module is detaching.
//!     let _ = timer.set(10_000_000, irql);
//! }
//!
//! /// At `DISPATCH_LEVEL`.
//! fn tick<M: FilterModule>(_this: &Attached<'_, M>, _irql: &mut AtMostDispatch) {}
//! ```

use core::fmt;
use core::ptr::NonNull;

use ndis_sys::{
    NDIS_HANDLE, NDIS_OBJECT_HEADER, NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS,
    NDIS_SIZEOF_TIMER_CHARACTERISTICS_REVISION_1, NDIS_TIMER_CHARACTERISTICS,
    NDIS_TIMER_CHARACTERISTICS_REVISION_1, NdisAllocateTimerObject, NdisCancelTimerObject,
    NdisFreeTimerObject, NdisSetTimerObject,
};
use wdk_sys::LARGE_INTEGER;

use crate::filter::{Attached, Call, FilterModule, ModuleCore};
use crate::irql::{AtMostDispatch, Caller, Passive};
use crate::mem::{PoolArc, Tag};
use crate::work::NotAttached;
use crate::{Status, order, thunk};

/// Tag of a timer's storage, ours and that of NDIS.
const TAG: [u8; 4] = *b"NdTi";

/// What a timer runs, at `DISPATCH_LEVEL`. Two runs may overlap, on two processors, when the timer is set while it runs.
pub type Routine<M> = fn(&Attached<'_, M>, &mut AtMostDispatch);

/// A timer of a module, which runs its routine once each time that it is set.
///
/// The handle is a name for it, and no more: the timer is allocated in attach, cancelled in pause and in detach, and
/// freed in detach, whatever becomes of the handle.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/network/ndis-timer-objects>
///
/// # Invariants
///
/// Those of `Timing`.
pub struct Timer<M: FilterModule>(PoolArc<Timing<M>>);

/// The timer itself.
///
/// # Invariants
///
/// 1. `handle` is a timer object of NDIS until `free` was called; nobody sets it after that.
/// 2. For each time that it was set and has neither been replaced, cancelled, nor run to its end, one reference of the
///    module's `attached` rundown is held.
/// 3. The module's list of timers owns it until `free` was called.
pub(crate) struct Timing<M: FilterModule> {
    core: PoolArc<ModuleCore<M>>,
    handle: NDIS_HANDLE,
    routine: Routine<M>,
}

// SAFETY: NDIS lets any thread use the handle; the rest synchronises itself.
unsafe impl<M: FilterModule> Send for Timing<M> {}
// SAFETY: as above.
unsafe impl<M: FilterModule> Sync for Timing<M> {}

impl<M: FilterModule> Timer<M> {
    /// Allocates a timer for the module that is being attached.
    pub(crate) fn allocate(
        core: &PoolArc<ModuleCore<M>>,
        routine: Routine<M>,
        _irql: &mut Passive,
    ) -> Result<Self, Status> {
        // SAFETY: this is attach: the token comes from there, and `make` does not look at the timers.
        unsafe { core.add_timer(|| Timing::allocate(core, routine)) }.map(Self)
    }

    /// Makes the routine run once, `after_ns` nanoseconds from now, instead of when it was set for before. The system
    /// keeps time by its clock interrupt, so it may be later by one of those (15.6 milliseconds at most).
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    ///
    /// # Errors
    ///
    /// [`NotAttached`] before attach has returned, and once detach has begun.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndissettimerobject>
    pub fn set(&self, after_ns: u64, _irql: &mut impl Caller) -> Result<(), NotAttached> {
        let timing = &*self.0;
        // Negative: from now on, in units of 100 nanoseconds.
        let due = LARGE_INTEGER {
            QuadPart: (after_ns.div_ceil(100).cast_signed()).saturating_neg(),
        };
        let context = core::ptr::from_ref(timing).cast_mut().cast();
        // INVARIANT: `set_timer` sees to the references.
        order::set_timer(
            &timing.core.attached,
            // SAFETY: by invariant 1 the timer is allocated; what the context points to stays until the reference is given
            // back.
            || unsafe { NdisSetTimerObject(timing.handle, due, 0, context) } != 0,
            || timing.disarm(),
        )
    }
}

impl<M: FilterModule> fmt::Debug for Timer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").finish_non_exhaustive()
    }
}

impl<M: FilterModule> Timing<M> {
    /// Allocates a timer with its timer object.
    fn allocate(
        core: &PoolArc<ModuleCore<M>>,
        routine: Routine<M>,
    ) -> Result<PoolArc<Self>, Status> {
        let mut characteristics = NDIS_TIMER_CHARACTERISTICS {
            Header: NDIS_OBJECT_HEADER {
                Type: NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS,
                Revision: NDIS_TIMER_CHARACTERISTICS_REVISION_1,
                Size: NDIS_SIZEOF_TIMER_CHARACTERISTICS_REVISION_1,
            },
            AllocationTag: u32::from_le_bytes(TAG),
            TimerFunction: Some(thunk::run_timer::<M>),
            FunctionContext: core::ptr::null_mut(),
        };
        let mut handle = core::ptr::null_mut();
        // SAFETY: the module is being attached, so its handle is valid; the pointers are valid for the length of the call.
        let status = unsafe {
            NdisAllocateTimerObject(core.handle(), &raw mut characteristics, &raw mut handle)
        };
        Status::from_raw(status).ok()?;
        let timing = Self {
            core: core.clone(),
            handle,
            routine,
        };
        PoolArc::try_new(Tag::new(TAG), timing).map_err(|error| {
            // SAFETY: allocated above, and nobody has it.
            unsafe { NdisFreeTimerObject(handle) };
            error.into()
        })
    }

    /// Runs the routine; called by the thunk.
    ///
    /// # Safety
    ///
    /// `timing` is the context of the setting that led to this run, which calls it once.
    pub(crate) unsafe fn run(timing: NonNull<Self>, irql: &mut AtMostDispatch) {
        // SAFETY: by invariants 2 and 3 the timer stays until the reference is given back.
        let this = unsafe { timing.as_ref() };
        // SAFETY: by invariant 2 a reference of `attached` is held.
        let attached = unsafe { Attached::new(&this.core) };
        this.core.around(Call::Timer, || {
            (this.routine)(&attached, irql);
        });
        // The last touch: detach may free the timer from here on.
        this.core.attached.release();
    }

    /// Cancels what it was set for, if that has not begun.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndiscanceltimerobject>
    pub(crate) fn cancel(&self, _irql: &mut Passive) {
        if self.disarm() {
            // INVARIANT: the setting will not run.
            self.core.attached.release();
        }
    }

    /// Cancels it, and says whether it was set: then who calls this has the setting's reference.
    fn disarm(&self) -> bool {
        // SAFETY: by invariant 1 it is allocated: it is freed when nobody has a reference, and callers have one, or are
        // detach itself or pause.
        let was_set = unsafe { NdisCancelTimerObject(self.handle) };
        was_set != 0
    }

    /// Frees the timer object.
    ///
    /// # Safety
    ///
    /// Called once, when the module's `attached` rundown is closed for good (or was never opened), and the DPCs that were
    /// queued have ended.
    pub(crate) unsafe fn free(&self) {
        // SAFETY: by invariant 1 it is allocated; by invariant 2 it is not set.
        unsafe { NdisFreeTimerObject(self.handle) };
    }
}
