//! The DPC around its queue.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use wdk_sys::{KDPC, ntddk};

use super::queue;
use crate::filter::{Attached, Call, FilterModule, ModuleCore};
use crate::irql::{AtMostDispatch, Caller, Passive};
use crate::mem::{PoolArc, Tag};
use crate::work::{NotAttached, Queued};
use crate::{Status, thunk};

/// Tag of a DPC's storage.
const TAG: Tag = Tag::new(*b"NdDp");

/// What a DPC runs, at `DISPATCH_LEVEL`. Two runs may overlap, on two processors, when the DPC is queued while it runs.
///
/// The token is that of a callback which knows its level: it calls NDIS, and cannot wait.
pub type Routine<M> = fn(&Attached<'_, M>, &mut AtMostDispatch);

/// A DPC of a module: its routine runs once each time that it is queued, on the processor that queued it.
///
/// The handle is a name for it, and no more: the DPC is made in attach, flushed in pause, and goes in detach when it has run,
/// whatever becomes of the handle.
///
/// ```no_run
/// use ndis::dpc::Dpc;
/// use ndis::filter::{Attached, FilterModule};
/// use ndis::irql::{AtMostDispatch, Caller};
///
/// /// In `attach`: `attaching.dpc(settle, irql)`.
/// fn settle<M: FilterModule>(module: &Attached<'_, M>, irql: &mut AtMostDispatch) {
///     let _ = module.while_running(irql, |_running, _irql| { /* what callbacks have left */ });
/// }
///
/// fn leave<M: FilterModule>(dpc: &Dpc<M>, irql: &mut impl Caller) {
///     // Refused only when the module is detaching, and then nobody wants it.
///     let _ = dpc.queue(irql);
/// }
/// ```
///
/// <https://learn.microsoft.com/windows-hardware/drivers/kernel/introduction-to-dpcs>
///
/// # Invariants
///
/// Those of `Deferred`.
pub struct Dpc<M: FilterModule>(PoolArc<Deferred<M>>);

/// The DPC itself.
///
/// # Invariants
///
/// 1. `raw` is initialised, and stays in its place in pool: NT links it into a queue.
/// 2. From its queueing to the end of the run that follows, or to its removal, one reference of the module's `attached`
///    rundown is held. So it is never queued without the module.
/// 3. The module's list of DPCs owns it until the rundown was closed and the queued DPCs of the system have ended.
pub(crate) struct Deferred<M: FilterModule> {
    core: PoolArc<ModuleCore<M>>,
    raw: UnsafeCell<MaybeUninit<KDPC>>,
    routine: Routine<M>,
}

// SAFETY: NT lets any thread queue a DPC; the rest synchronises itself.
unsafe impl<M: FilterModule> Send for Deferred<M> {}
// SAFETY: as above.
unsafe impl<M: FilterModule> Sync for Deferred<M> {}

impl<M: FilterModule> Dpc<M> {
    /// Makes a DPC for the module that is being attached.
    pub(crate) fn allocate(
        core: &PoolArc<ModuleCore<M>>,
        routine: Routine<M>,
        _irql: &mut Passive,
    ) -> Result<Self, Status> {
        let make = || {
            let deferred = Deferred {
                core: core.clone(),
                raw: UnsafeCell::new(MaybeUninit::uninit()),
                routine,
            };
            let deferred = PoolArc::try_new(TAG, deferred)?;
            let context = core::ptr::from_ref::<Deferred<M>>(&deferred).cast_mut();
            // INVARIANT: it is in its place; nobody has it yet.
            // SAFETY: the memory is nonpaged, large enough, and nobody uses it yet.
            unsafe {
                ntddk::KeInitializeDpc(
                    deferred.raw(),
                    Some(thunk::run_dpc::<M>),
                    context.cast::<c_void>(),
                );
            };
            Ok(deferred)
        };
        // SAFETY: this is attach: the token comes from there, and `make` does not look at the DPCs.
        unsafe { core.add_dpc(make) }.map(Self)
    }

    /// Wishes for a run that begins after this call, on this processor. It never allocates.
    ///
    /// A wish while the DPC is queued is taken care of by the run that follows; one while it runs makes another run follow.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held. (NT would allow any.)
    ///
    /// # Errors
    ///
    /// [`NotAttached`] before attach has returned, and once detach has begun.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-keinsertqueuedpc>
    pub fn queue(&self, _irql: &mut impl Caller) -> Result<Queued, NotAttached> {
        let deferred = &*self.0;
        queue::queue(&deferred.core.attached, || {
            // SAFETY: by invariant 1 it is initialised; `queue` holds a reference for the run.
            unsafe {
                ntddk::KeInsertQueueDpc(
                    deferred.raw(),
                    core::ptr::null_mut(),
                    core::ptr::null_mut(),
                ) != 0
            }
        })
    }

    /// Takes the wish back if its run has not begun, and says whether it has done so.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held. (NT would allow any.)
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-keremovequeuedpc>
    pub fn cancel(&self, _irql: &mut impl Caller) -> bool {
        let deferred = &*self.0;
        queue::cancel(&deferred.core.attached, || {
            // SAFETY: by invariant 1 it is initialised.
            unsafe { ntddk::KeRemoveQueueDpc(deferred.raw()) != 0 }
        })
    }
}

impl<M: FilterModule> Deferred<M> {
    fn raw(&self) -> *mut KDPC {
        self.raw.get().cast()
    }

    /// Runs the routine; called by the thunk.
    ///
    /// # Safety
    ///
    /// `deferred` is the context of the queueing that led to this run, which calls it once.
    pub(crate) unsafe fn run(deferred: NonNull<Self>, irql: &mut AtMostDispatch) {
        // SAFETY: by invariants 2 and 3 the DPC stays until the reference is given back.
        let this = unsafe { deferred.as_ref() };
        // SAFETY: by invariant 2 a reference of `attached` is held.
        let attached = unsafe { Attached::new(&this.core) };
        this.core.around(Call::Dpc, || {
            (this.routine)(&attached, irql);
        });
        // The last touch: detach may let the DPC go from here on.
        this.core.attached.release();
    }
}

impl<M: FilterModule> fmt::Debug for Dpc<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dpc").finish_non_exhaustive()
    }
}
