//! Timers, of NDIS and of the kernel, and DPCs.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::hint::spin_loop;
use core::mem::zeroed;
use core::ptr::{self, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use crate::abi::*;
use crate::driver;
use crate::level::{KERNEL_MODE, from_now_us, lower, other_processor, processor, raise};
use crate::module::Module;
use crate::play::{NOTHING, Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("timer-freed-set", free_set),
    Play::in_attach("timer-freed-twice", free_twice),
    Play::in_attach("timer-memory-freed-set", free_memory_of_set),
    Play::in_attach("timer-periodic-cancelled", cancel_periodic_at_dispatch),
    Play::in_attach("timer-context-freed", free_context),
    Play {
        name: "timer-at-detach",
        attach: Some(keep_timer),
        detach: Some(leave_set),
        ..NOTHING
    },
    Play {
        name: "timer-at-unload",
        registered: Some(allocate_for_driver),
        unload: Some(leave_driver_set),
        ..NOTHING
    },
    Play {
        name: "timer-kernel-at-unload",
        unload: Some(leave_kernel_set),
        ..NOTHING
    },
    Play {
        name: "dpc-at-detach",
        attach: Some(initialize_static),
        detach: Some(leave_running),
        ..NOTHING
    },
    Play {
        name: "dpc-at-unload",
        unload: Some(leave_running_at_unload),
        ..NOTHING
    },
    Play::in_attach("dpc-memory-freed-queued", free_memory_of_queued),
    Play {
        name: "timer-legal",
        attach: Some(begin_ticking),
        pause: Some(wait_for_ticks),
        detach: Some(stop_ticking),
        ..NOTHING
    },
    Play {
        name: "timer-kernel-legal",
        attach: Some(kernel_timers),
        detach: Some(free_kernel_timers),
        ..NOTHING
    },
    Play::in_attach("dpc-legal", dpcs),
];

/// Pool tag of the blocks here, `FltT`.
const TAG: u32 = u32::from_le_bytes(*b"FltT");

/// Longer than a run may wait for anything by chance, in microseconds.
const LONG_US: u32 = 60_000_000;

/// Looks at a flag that a routine gives up after, so that a play ends even if nobody looks back.
const PATIENCE: u32 = 2_000;

/// Runs of the timer that sets itself again.
const TICKS: u32 = 8;

type Function = extern "system" fn(*mut c_void, *mut c_void, *mut c_void, *mut c_void);

/// The routine of a DPC: the object, its context, and two more arguments.
pub(crate) type Routine = extern "system" fn(*mut KDPC, *mut c_void, *mut c_void, *mut c_void);

/// An NDIS timer object for this function.
pub(crate) fn allocate(function: Function, context: *mut c_void) -> NDIS_HANDLE {
    let mut characteristics = NDIS_TIMER_CHARACTERISTICS {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS,
            Revision: 1,
            Size: size_of::<NDIS_TIMER_CHARACTERISTICS>() as u16,
        },
        AllocationTag: TAG,
        TimerFunction: Some(function),
        FunctionContext: context,
    };
    let mut timer = null_mut();
    // SAFETY: callable up to DISPATCH_LEVEL; both arguments are valid for the call.
    unsafe { NdisAllocateTimerObject(driver::handle(), &raw mut characteristics, &raw mut timer) };
    timer
}

/// A timer function that does nothing.
pub(crate) extern "system" fn nothing(
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
) {
}

extern "system" fn idle(_: *mut KDPC, _: *mut c_void, _: *mut c_void, _: *mut c_void) {}

fn block() -> *mut c_void {
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, size_of::<Shared>() as u64, TAG) }
}

/// What a routine and who waits for it share, in one block or in the image.
#[repr(C)]
struct Shared {
    dpc: UnsafeCell<KDPC>,
    timer: UnsafeCell<KTIMER>,
    event: UnsafeCell<KEVENT>,
    started: AtomicU32,
    released: AtomicU32,
    ended: AtomicU32,
}

// SAFETY: the kernel's objects are given to the kernel only, which may share them; the rest is atomic.
unsafe impl Sync for Shared {}

impl Shared {
    fn in_block<'a>() -> Option<&'a Self> {
        // SAFETY: NULL, or zeroed memory of the right size, which is a value of atomics and plain data.
        unsafe { block().cast::<Self>().as_ref() }
    }

    fn memory(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    fn free(&self) {
        // SAFETY: the block of `in_block`, which nobody uses any more.
        unsafe { ExFreePoolWithTag(self.memory(), TAG) };
    }

    fn initialize_dpc(&self, routine: Routine) {
        // SAFETY: callable at any IRQL; the object is not queued.
        unsafe { KeInitializeDpc(self.dpc.get().cast(), Some(routine), self.memory()) };
    }

    fn initialize_timer(&self) {
        // SAFETY: callable up to DISPATCH_LEVEL; the timer is not set.
        unsafe { KeInitializeTimer(self.timer.get()) };
    }

    fn target(&self, processor: u8) {
        // SAFETY: callable at any IRQL; the object is initialised.
        unsafe { KeSetTargetProcessorDpc(self.dpc.get().cast(), processor as CCHAR) };
    }

    fn queue(&self) -> bool {
        // SAFETY: callable at any IRQL; the object is initialised and stays.
        unsafe { KeInsertQueueDpc(self.dpc.get().cast(), null_mut(), null_mut()) != 0 }
    }

    /// Lets the other processor go on until the routine has begun there.
    fn wait_for_start(&self) {
        while self.started.load(Ordering::Acquire) == 0 {
            spin_loop();
        }
    }
}

/// Runs until it is released, or patience ends.
extern "system" fn spin(_: *mut KDPC, context: *mut c_void, _: *mut c_void, _: *mut c_void) {
    // SAFETY: the block or static that the DPC was initialised with.
    let shared = unsafe { &*context.cast::<Shared>() };
    shared.started.store(1, Ordering::Release);
    for _ in 0..PATIENCE {
        if shared.released.load(Ordering::Acquire) != 0 {
            break;
        }
        spin_loop();
    }
}

/// Objects in the image, which outlive every module.
static IN_IMAGE: Shared = Shared {
    // SAFETY: plain data: all zeroes is a value.
    dpc: UnsafeCell::new(unsafe { zeroed() }),
    // SAFETY: plain data: all zeroes is a value.
    timer: UnsafeCell::new(unsafe { zeroed() }),
    // SAFETY: plain data: all zeroes is a value.
    event: UnsafeCell::new(unsafe { zeroed() }),
    started: AtomicU32::new(0),
    released: AtomicU32::new(0),
    ended: AtomicU32::new(0),
};

/// Queues a DPC in the image with this routine, on the other processor.
pub(crate) fn queue_once(routine: Routine) {
    IN_IMAGE.initialize_dpc(routine);
    IN_IMAGE.target(other_processor());
    IN_IMAGE.queue();
}

/// Runs a DPC with this routine on the other processor, and waits for it.
pub(crate) fn run_once(routine: Routine) {
    let Some(shared) = Shared::in_block() else {
        return;
    };
    shared.initialize_dpc(routine);
    shared.target(other_processor());
    shared.queue();
    // SAFETY: PASSIVE_LEVEL: the routine has returned when this returns.
    unsafe { KeFlushQueuedDpcs() };
    shared.free();
}

/// Frees a timer that is set.
#[inline(never)]
fn free_set(_: &'static Module) {
    let timer = allocate(nothing, null_mut());
    // SAFETY: allocated above.
    unsafe { NdisSetTimerObject(timer, from_now_us(LONG_US), 0, null_mut()) };
    // SAFETY: none: this is the fault.
    unsafe { NdisFreeTimerObject(timer) }; // caught: timer-freed-set by timer-free-idle
    stay();
}

/// Frees a timer twice.
#[inline(never)]
fn free_twice(_: &'static Module) {
    let timer = allocate(nothing, null_mut());
    // SAFETY: allocated above, and never set.
    unsafe { NdisFreeTimerObject(timer) };
    // SAFETY: none: this is the fault.
    unsafe { NdisFreeTimerObject(timer) }; // caught: timer-freed-twice by timer-free-idle
    stay();
}

/// Frees the memory of a kernel timer that is set.
#[inline(never)]
fn free_memory_of_set(_: &'static Module) {
    let Some(shared) = Shared::in_block() else {
        return;
    };
    shared.initialize_timer();
    // SAFETY: initialised above.
    unsafe { KeSetTimer(shared.timer.get(), from_now_us(LONG_US), null_mut()) };
    // SAFETY: none: this is the fault.
    unsafe { ExFreePoolWithTag(shared.memory(), TAG) }; // caught: timer-memory-freed-set by timer-free-idle
    stay();
}

/// Cancels a periodic timer at DISPATCH_LEVEL.
#[inline(never)]
fn cancel_periodic_at_dispatch(_: &'static Module) {
    let timer = allocate(nothing, null_mut());
    // SAFETY: allocated above.
    unsafe { NdisSetTimerObject(timer, from_now_us(LONG_US), 1_000, null_mut()) };
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { NdisCancelTimerObject(timer) }; // caught: timer-periodic-cancelled by timer-periodic-cancel-passive
    lower(old);
}

/// Frees what the routine of a timer uses, on the other processor, without waiting for it.
#[inline(never)]
fn free_context(_: &'static Module) {
    let Some(shared) = Shared::in_block() else {
        return;
    };
    shared.initialize_dpc(spin);
    shared.initialize_timer();
    let old = raise(DISPATCH_LEVEL);
    shared.target(other_processor());
    // SAFETY: both objects are initialised.
    unsafe { KeSetTimer(shared.timer.get(), from_now_us(1), shared.dpc.get()) };
    shared.wait_for_start();
    // SAFETY: initialised above; it has expired, so the cancel comes too late.
    unsafe { KeCancelTimer(shared.timer.get()) };
    // SAFETY: none: this is the fault.
    unsafe { ExFreePoolWithTag(shared.memory(), TAG) }; // caught: timer-context-freed by timer-oneshot-sync
    lower(old);
}

/// Allocates a timer, and sets it as late as possible.
#[inline(never)]
fn keep_timer(module: &'static Module) {
    let timer = allocate(nothing, null_mut());
    module.kept.store(timer, Ordering::Release);
    // SAFETY: allocated above.
    unsafe { NdisSetTimerObject(timer, from_now_us(LONG_US), 0, null_mut()) }; // caught: timer-at-detach by detach-no-timer
    stay();
}

fn leave_set(_: &'static Module) -> bool {
    true
}

/// A timer of the driver's, not of a module's.
static DRIVERS: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

fn allocate_for_driver(_: NDIS_HANDLE) -> NTSTATUS {
    DRIVERS.store(allocate(nothing, null_mut()), Ordering::Release);
    STATUS_SUCCESS
}

/// Sets a timer as the last thing before the driver is gone.
#[inline(never)]
fn leave_driver_set() -> bool {
    let timer = DRIVERS.load(Ordering::Acquire);
    // SAFETY: allocated at load.
    unsafe { NdisSetTimerObject(timer, from_now_us(LONG_US), 0, null_mut()) }; // caught: timer-at-unload by timer-alternate
    true
}

/// The same with a kernel timer, which lies in the image that goes.
#[inline(never)]
fn leave_kernel_set() -> bool {
    IN_IMAGE.initialize_timer();
    // SAFETY: initialised above.
    unsafe { KeSetTimer(IN_IMAGE.timer.get(), from_now_us(LONG_US), null_mut()) }; // caught: timer-kernel-at-unload by dv-unload-scan
    true
}

fn initialize_static(_: &'static Module) {
    IN_IMAGE.initialize_dpc(spin);
}

/// Returns from detach while a routine of the module's runs on the other processor.
#[inline(never)]
fn leave_running(_: &'static Module) -> bool {
    let old = raise(DISPATCH_LEVEL);
    IN_IMAGE.target(other_processor());
    // SAFETY: initialised in attach.
    unsafe { KeInsertQueueDpc(IN_IMAGE.dpc.get().cast(), null_mut(), null_mut()) }; // caught: dpc-at-detach by detach-no-timer
    IN_IMAGE.wait_for_start();
    lower(old);
    true
}

/// Returns from the unload routine while a routine of the driver's runs on the other processor.
#[inline(never)]
fn leave_running_at_unload() -> bool {
    IN_IMAGE.initialize_dpc(spin);
    let old = raise(DISPATCH_LEVEL);
    IN_IMAGE.target(other_processor());
    // SAFETY: initialised above.
    unsafe { KeInsertQueueDpc(IN_IMAGE.dpc.get().cast(), null_mut(), null_mut()) }; // caught: dpc-at-unload by unload-nothing-pending
    IN_IMAGE.wait_for_start();
    lower(old);
    true
}

/// Frees the memory of a DPC that is queued: it cannot run before this processor is below
/// DISPATCH_LEVEL again.
#[inline(never)]
fn free_memory_of_queued(_: &'static Module) {
    let Some(shared) = Shared::in_block() else {
        return;
    };
    shared.initialize_dpc(idle);
    let old = raise(DISPATCH_LEVEL);
    shared.target(processor());
    shared.queue();
    // SAFETY: none: this is the fault.
    unsafe { ExFreePoolWithTag(shared.memory(), TAG) }; // caught: dpc-memory-freed-queued by timer-free-idle
    lower(old);
}

// legal: timer-legal near timer-free-idle, timer-periodic-cancel-passive, timer-alternate, detach-no-timer
// legal: timer-legal near timer-irql, timer-callback-dispatch

/// A timer that sets itself again from its function, and a periodic one.
fn begin_ticking(module: &'static Module) {
    let timer = allocate(tick, module.context());
    module.kept.store(timer, Ordering::Release);
    module.busy.fetch_add(1, Ordering::AcqRel);
    let periodic = allocate(nothing, null_mut());
    // SAFETY: allocated above.
    unsafe { NdisSetTimerObject(periodic, from_now_us(10), 1, null_mut()) };
    // SAFETY: allocated above.
    unsafe { NdisSetCoalescableTimerObject(timer, from_now_us(50), 0, null_mut(), 1) };
    // SAFETY: PASSIVE_LEVEL.
    unsafe { NdisMSleep(5_000) };
    // SAFETY: allocated above, at PASSIVE_LEVEL.
    unsafe { NdisCancelTimerObject(periodic) };
    // SAFETY: PASSIVE_LEVEL: what has expired has run when this returns.
    unsafe { KeFlushQueuedDpcs() };
    // SAFETY: cancelled, and its function does not run.
    unsafe { NdisFreeTimerObject(periodic) };
}

extern "system" fn tick(_: *mut c_void, context: *mut c_void, _: *mut c_void, _: *mut c_void) {
    let module = Module::of(context);
    if module.progress.fetch_add(1, Ordering::AcqRel) == TICKS {
        module.busy.fetch_sub(1, Ordering::AcqRel);
        return;
    }
    let timer = module.kept.load(Ordering::Acquire);
    // SAFETY: the timer whose function this is.
    unsafe { NdisSetTimerObject(timer, from_now_us(20), 0, null_mut()) };
}

fn wait_for_ticks(module: &'static Module) -> NDIS_STATUS {
    Module::drain(&module.busy);
    NDIS_STATUS_SUCCESS
}

/// Cancels at DISPATCH_LEVEL, which is allowed for a timer that runs once; waits for its function.
fn stop_ticking(module: &'static Module) -> bool {
    let timer = module.kept.load(Ordering::Acquire);
    // SAFETY: allocated in attach.
    unsafe { NdisSetTimerObject(timer, from_now_us(LONG_US), 0, null_mut()) };
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: allocated in attach.
    unsafe { NdisCancelTimerObject(timer) };
    lower(old);
    // SAFETY: PASSIVE_LEVEL.
    unsafe { KeFlushQueuedDpcs() };
    // SAFETY: not set, and its function does not run.
    unsafe { NdisFreeTimerObject(timer) };
    true
}

// legal: timer-kernel-legal near timer-oneshot-sync, timer-free-idle, detach-no-timer, dv-unload-scan

/// Kernel timers: one that is waited for, one whose DPC sets it again, one with a tolerance.
fn kernel_timers(module: &'static Module) {
    let Some(shared) = Shared::in_block() else {
        return;
    };
    module.kept.store(shared.memory(), Ordering::Release);
    shared.initialize_timer();
    // SAFETY: initialised above.
    unsafe { KeSetTimer(shared.timer.get(), from_now_us(30), null_mut()) };
    // SAFETY: PASSIVE_LEVEL; the timer is set.
    unsafe {
        KeWaitForSingleObject(
            shared.timer.get().cast(),
            Executive,
            KERNEL_MODE,
            0,
            null_mut(),
        )
    };
    shared.initialize_dpc(again);
    // SAFETY: initialised above.
    unsafe { KeSetCoalescableTimer(shared.timer.get(), from_now_us(20), 0, 1, shared.dpc.get()) };
}

/// Sets its timer again, for a while.
extern "system" fn again(_: *mut KDPC, context: *mut c_void, _: *mut c_void, _: *mut c_void) {
    // SAFETY: the block that the DPC was initialised with; it goes when its timer has been cancelled.
    let shared = unsafe { &*context.cast::<Shared>() };
    if shared.started.fetch_add(1, Ordering::AcqRel) < TICKS {
        // SAFETY: initialised in attach.
        unsafe { KeSetTimer(shared.timer.get(), from_now_us(40), shared.dpc.get()) };
    } else {
        shared.ended.store(1, Ordering::Release);
    }
}

/// Waits for the last run, cancels what has expired, and frees when nothing can come any more.
fn free_kernel_timers(module: &'static Module) -> bool {
    let memory = module.kept.load(Ordering::Acquire);
    // SAFETY: NULL, or the block of attach.
    if let Some(shared) = unsafe { memory.cast::<Shared>().as_ref() } {
        while shared.ended.load(Ordering::Acquire) == 0 {
            // SAFETY: PASSIVE_LEVEL.
            unsafe { NdisMSleep(100) };
        }
        // SAFETY: initialised in attach.
        unsafe { KeCancelTimer(shared.timer.get()) };
        // SAFETY: PASSIVE_LEVEL: its DPC has run when this returns.
        unsafe { KeFlushQueuedDpcs() };
        shared.free();
    }
    true
}

// legal: dpc-legal near unload-nothing-pending, timer-oneshot-sync, detach-no-timer, timer-free-idle, dpc-time

/// DPCs of all kinds: for another processor, important, threaded, removed, flushed.
fn dpcs(_: &'static Module) {
    let Some(shared) = Shared::in_block() else {
        return;
    };
    // SAFETY: callable at any IRQL; the object is not signalled.
    unsafe { KeInitializeEvent(shared.event.get().cast(), NotificationEvent, 0) };
    shared.initialize_dpc(signal);
    shared.target(other_processor());
    // SAFETY: initialised above.
    unsafe { KeSetImportanceDpc(shared.dpc.get().cast(), HighImportance) };
    shared.queue();
    // SAFETY: PASSIVE_LEVEL; the routine sets the event.
    unsafe {
        KeWaitForSingleObject(
            shared.event.get().cast(),
            Executive,
            KERNEL_MODE,
            0,
            null_mut(),
        )
    };
    // SAFETY: PASSIVE_LEVEL: the routine has returned when this returns.
    unsafe { KeFlushQueuedDpcs() };
    // SAFETY: callable at any IRQL; the object is not queued.
    unsafe { KeInitializeThreadedDpc(shared.dpc.get().cast(), Some(signal), shared.memory()) };
    let old = raise(DISPATCH_LEVEL);
    shared.target(processor());
    shared.queue();
    // SAFETY: queued above, unless its thread has begun on the other processor.
    unsafe { KeRemoveQueueDpc(shared.dpc.get().cast()) };
    lower(old);
    // SAFETY: PASSIVE_LEVEL.
    unsafe { KeFlushQueuedDpcs() };
    shared.free();
}

extern "system" fn signal(_: *mut KDPC, context: *mut c_void, _: *mut c_void, _: *mut c_void) {
    // SAFETY: the block that the DPC was initialised with.
    let shared = unsafe { &*context.cast::<Shared>() };
    // SAFETY: callable up to DISPATCH_LEVEL without a wait behind it.
    unsafe { KeSetEvent(shared.event.get().cast(), 0, 0) };
}
