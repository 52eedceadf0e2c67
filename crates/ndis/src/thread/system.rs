//! The thread around its bell.

use core::ffi::c_void;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use wdk_sys::{OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES, SYNCHRONIZE, ntddk};

use super::bell::{Bell, Next};
use crate::event::Event;
use crate::filter::{Attached, Call, FilterModule, ModuleCore};
use crate::irql::{Caller, Passive};
use crate::mem::{PoolArc, Tag};
use crate::{Status, thunk};

/// Tag of a thread's storage.
const TAG: Tag = Tag::new(*b"NdTh");

/// What a thread runs, once, at `PASSIVE_LEVEL`, from the end of attach on. Detach waits until it has returned: it does so
/// soon after [`Calls`] have said [`Next::Stop`].
pub type Routine<M> = fn(&Attached<'_, M>, &Calls<'_>, &mut Passive);

/// A system thread of a module.
///
/// The handle is a name for it, and a way to wake it: the thread begins when the module is attached, is told to stop when
/// detach begins, and is waited for to its very end there, whatever becomes of the handle. Pause neither stops it nor waits for
/// it: what it does with packets it does in [`Attached::while_running`].
///
/// ```no_run
/// use ndis::filter::{Attached, FilterModule};
/// use ndis::irql::Passive;
/// use ndis::thread::{Calls, Next};
///
/// /// In `attach`: `attaching.thread(watch, irql)`.
/// fn watch<M: FilterModule>(module: &Attached<'_, M>, calls: &Calls<'_>, irql: &mut Passive) {
///     loop {
///         match calls.wait_for(1000, irql) {
///             Next::Called => { /* somebody wants something */ }
///             Next::Elapsed => { /* a second has passed */ }
///             Next::Stop => return,
///         }
///         let _ = module.while_running(irql, |_running, _irql| { /* packets */ });
///     }
/// }
/// ```
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-pscreatesystemthread>
///
/// # Invariants
///
/// Those of `Threading`.
pub struct SystemThread<M: FilterModule>(PoolArc<Threading<M>>);

/// The thread itself.
///
/// # Invariants
///
/// 1. `handle` is that of the thread, from its creation to the end of `join`. The thread lives until then, or has ended; it
///    touches this value only while it lives.
/// 2. If `has_module` is set, `M` is published, and a reference of the module's `attached` rundown is held for the thread
///    until its routine has returned.
/// 3. The module's list of threads owns it until `join` was called.
pub(crate) struct Threading<M: FilterModule> {
    core: PoolArc<ModuleCore<M>>,
    routine: Routine<M>,
    handle: AtomicPtr<c_void>,
    bell: Bell<Event>,
    /// Set when the thread may go on: with the module, or to its end.
    go: Event,
    has_module: AtomicBool,
}

// SAFETY: the handle is the kernel's, and any thread may use it; the rest synchronises itself.
unsafe impl<M: FilterModule> Send for Threading<M> {}
// SAFETY: as above.
unsafe impl<M: FilterModule> Sync for Threading<M> {}

impl<M: FilterModule> SystemThread<M> {
    /// Creates a thread for the module that is being attached.
    pub(crate) fn create(
        core: &PoolArc<ModuleCore<M>>,
        routine: Routine<M>,
        irql: &mut Passive,
    ) -> Result<Self, Status> {
        // SAFETY: this is attach: the token comes from there, and `make` does not look at the threads.
        unsafe { core.add_thread(|| Threading::create(core, routine, irql)) }.map(Self)
    }

    /// Wakes the thread: [`Calls`] says [`Next::Called`], now or when it is asked.
    ///
    /// Calls are not counted: several before the thread looks are one.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndissetevent>
    pub fn call(&self, _irql: &mut impl Caller) {
        self.0.bell.call();
    }
}

impl<M: FilterModule> Threading<M> {
    fn create(
        core: &PoolArc<ModuleCore<M>>,
        routine: Routine<M>,
        irql: &mut Passive,
    ) -> Result<PoolArc<Self>, Status> {
        let threading = Self {
            core: core.clone(),
            routine,
            handle: AtomicPtr::new(core::ptr::null_mut()),
            bell: Bell::new(Event::try_new(TAG, irql)?),
            go: Event::try_new(TAG, irql)?,
            has_module: AtomicBool::new(false),
        };
        let threading = PoolArc::try_new(TAG, threading)?;
        let context = core::ptr::from_ref::<Self>(&threading).cast_mut();
        let mut attributes = OBJECT_ATTRIBUTES {
            Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
            RootDirectory: core::ptr::null_mut(),
            ObjectName: core::ptr::null_mut(),
            // Attach runs in whatever process: the handle must not be that one's.
            Attributes: OBJ_KERNEL_HANDLE,
            SecurityDescriptor: core::ptr::null_mut(),
            SecurityQualityOfService: core::ptr::null_mut(),
        };
        let mut handle = core::ptr::null_mut();
        // SAFETY: the pointers are valid for the length of the call; what the context points to stays until `join`, which
        // waits for the thread. The token says PASSIVE_LEVEL.
        let status = unsafe {
            ntddk::PsCreateSystemThread(
                &raw mut handle,
                SYNCHRONIZE,
                &raw mut attributes,
                core::ptr::null_mut(),
                core::ptr::null_mut(),
                Some(thunk::run_thread::<M>),
                context.cast::<c_void>(),
            )
        };
        Status::from_raw(status).ok()?;
        // INVARIANT: just created.
        threading.handle.store(handle, Ordering::Release);
        Ok(threading)
    }

    /// Lets the routine begin: the module is attached.
    pub(crate) fn begin(&self, irql: &mut Passive) {
        if self.core.attached.acquire() {
            // INVARIANT: the reference goes to the thread, which sees this when the event is set.
            self.has_module.store(true, Ordering::Release);
            self.go.set(irql);
        }
    }

    /// Runs the routine; called by the thunk.
    ///
    /// # Safety
    ///
    /// `threading` is the context of the thread that calls it, once.
    pub(crate) unsafe fn run(threading: NonNull<Self>, irql: &mut Passive) {
        // SAFETY: by invariants 1 and 3 it stays while the thread lives.
        let this = unsafe { threading.as_ref() };
        this.go.wait(irql);
        if !this.has_module.load(Ordering::Acquire) {
            return;
        }
        // SAFETY: by invariant 2 a reference of `attached` is held.
        let attached = unsafe { Attached::new(&this.core) };
        let calls = Calls {
            bell: &this.bell,
            _lent: PhantomData,
        };
        this.core.around(Call::Thread, || {
            (this.routine)(&attached, &calls, irql);
        });
        // Detach may go on to `join`, which waits for the rest of this thread.
        this.core.attached.release();
    }

    /// Tells the thread to stop.
    pub(crate) fn stop(&self, _irql: &mut Passive) {
        self.bell.stop();
    }

    /// Waits until the thread has left the driver's code for good, and closes its handle.
    ///
    /// By the handle: a reference to the thread's object could be refused, and then nobody could wait for the thread any more.
    ///
    /// # Safety
    ///
    /// Called once, when the module's `attached` rundown is closed for good (or was never opened).
    pub(crate) unsafe fn join(&self, irql: &mut Passive) {
        self.stop(irql);
        // For a thread whose module was never there.
        self.go.set(irql);
        let handle = self.handle.load(Ordering::Acquire);
        // SAFETY: by invariant 1 it is the thread's, with the right to wait. The token says PASSIVE_LEVEL. Null waits for ever.
        let _ = unsafe { ntddk::ZwWaitForSingleObject(handle, 0, core::ptr::null_mut()) };
        // SAFETY: by invariant 1 it is open.
        let _ = unsafe { ntddk::ZwClose(handle) };
    }
}

/// What the compiler names when [`Calls`] are to go to another thread.
struct OfThisThread;

/// What a thread is told, lent to its [`Routine`].
pub struct Calls<'a> {
    bell: &'a Bell<Event>,
    /// The thunk lends it to one thread.
    _lent: PhantomData<*mut OfThisThread>,
}

impl Calls<'_> {
    /// Waits until the thread is called, or has to stop.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    #[must_use = "a thread that does not stop when it is told keeps its module for ever"]
    pub fn wait(&self, irql: &mut Passive) -> Next {
        self.bell.wait(irql, |event, irql| {
            event.wait(irql);
            true
        })
    }

    /// As [`wait`](Self::wait), for about `limit_ms` milliseconds (1 at least): then it says [`Next::Elapsed`].
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    #[must_use = "a thread that does not stop when it is told keeps its module for ever"]
    pub fn wait_for(&self, limit_ms: u32, irql: &mut Passive) -> Next {
        self.bell
            .wait(irql, |event, irql| event.wait_for(limit_ms, irql))
    }

    /// Whether the thread has to stop.
    ///
    /// # IRQL
    ///
    /// Any.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.bell.is_stopping()
    }
}

impl fmt::Debug for Calls<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls")
            .field("is_stopping", &self.is_stopping())
            .finish_non_exhaustive()
    }
}

impl<M: FilterModule> fmt::Debug for SystemThread<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemThread").finish_non_exhaustive()
    }
}
