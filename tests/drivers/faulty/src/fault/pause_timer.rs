//! A timer that drives the flow of packets, while the module pauses.

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

use super::timer;
use crate::abi::*;
use crate::level::from_now_us;
use crate::module::Module;
use crate::play::{NOTHING, Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "pause-timer-indicates",
        attach: Some(make_timer),
        receive: Some(hold_first),
        pause: Some(let_timer_indicate),
        detach: Some(free_timer),
        ..NOTHING
    },
    Play {
        name: "pause-timer-cancelled",
        attach: Some(make_timer),
        receive: Some(hold_first),
        pause: Some(cancel_and_return),
        detach: Some(free_timer),
        ..NOTHING
    },
];

/// Pool tag of the blocks here, `FltP`.
const TAG: u32 = u32::from_le_bytes(*b"FltP");

/// What a module holds back, and the timer that indicates it.
struct Held {
    timer: NDIS_HANDLE,
    lists: AtomicPtr<NET_BUFFER_LIST>,
}

impl Held {
    /// That of a module, if there was memory for it.
    fn of(module: &Module) -> Option<&Self> {
        let block = module.kept.load(Ordering::Acquire).cast_const();
        // SAFETY: NULL, or the block of attach, which lives until detach.
        unsafe { block.cast::<Self>().as_ref() }
    }

    fn take(&self) -> *mut NET_BUFFER_LIST {
        self.lists.swap(null_mut(), Ordering::AcqRel)
    }

    fn is_empty(&self) -> bool {
        self.lists.load(Ordering::Acquire).is_null()
    }

    fn set_timer(&self, time_us: u32) {
        // SAFETY: allocated in attach, freed in detach.
        unsafe { NdisSetTimerObject(self.timer, from_now_us(time_us), 0, null_mut()) };
    }

    /// Cancels the timer, and waits for its function. Called at PASSIVE_LEVEL.
    fn stop_timer(&self) {
        // SAFETY: allocated in attach, freed in detach.
        unsafe { NdisCancelTimerObject(self.timer) };
        // SAFETY: PASSIVE_LEVEL: the timer's function has returned when this returns.
        unsafe { KeFlushQueuedDpcs() };
    }
}

/// Later than the pause, in microseconds.
const LATE_US: u32 = 10_000_000;

fn make_timer(module: &'static Module) {
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, size_of::<Held>() as u64, TAG) };
    if block.is_null() {
        return;
    }
    let held = Held {
        timer: timer::allocate(indicate_held, module.context()),
        lists: AtomicPtr::new(null_mut()),
    };
    // SAFETY: fresh memory of the right size, aligned to 16.
    unsafe { block.cast::<Held>().write(held) };
    module.kept.store(block, Ordering::Release);
}

/// Holds the first indication back, for the timer, and asks for a pause.
fn hold_first(
    module: &'static Module,
    lists: *mut NET_BUFFER_LIST,
    _: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (*mut NET_BUFFER_LIST, u32) {
    let is_lent = flags & NDIS_RECEIVE_FLAGS_RESOURCES != 0;
    let Some(held) = Held::of(module).filter(|_| !is_lent) else {
        return (lists, count);
    };
    let first = module
        .progress
        .compare_exchange(0, count, Ordering::AcqRel, Ordering::Acquire);
    if first.is_err() {
        return (lists, count);
    }
    held.lists.store(lists, Ordering::Release);
    held.set_timer(LATE_US);
    // SAFETY: callable up to DISPATCH_LEVEL; the module is attached.
    unsafe { NdisFRestartFilter(module.handle) };
    (null_mut(), 0)
}

/// Indicates what is held.
#[rustfmt::skip] // The mark stays on its line.
extern "system" fn indicate_held(_: *mut c_void, context: *mut c_void, _: *mut c_void, _: *mut c_void) {
    let module = Module::of(context);
    let lists = Held::of(module).map_or(null_mut(), Held::take);
    if !lists.is_null() {
        let count = module.progress.load(Ordering::Acquire);
        // SAFETY: the lists are the filter's, and passed on once, at DISPATCH_LEVEL.
        unsafe { NdisFIndicateReceiveNetBufferLists(module.handle, lists, 0, count, NDIS_RECEIVE_FLAGS_DISPATCH_LEVEL) }; // warned: pause-timer-indicates by pause-stop-timers with @large
    }
    stay();
}

/// Waits until the timer has indicated what is held.
fn let_timer_indicate(module: &'static Module) -> NDIS_STATUS {
    let Some(held) = Held::of(module).filter(|held| !held.is_empty()) else {
        return NDIS_STATUS_SUCCESS;
    };
    held.set_timer(1);
    while !held.is_empty() {
        // SAFETY: PASSIVE_LEVEL.
        unsafe { NdisMSleep(100) };
    }
    held.stop_timer();
    NDIS_STATUS_SUCCESS
}

// legal: pause-timer-cancelled near pause-stop-timers

/// Cancels the timer, and returns itself what is held.
fn cancel_and_return(module: &'static Module) -> NDIS_STATUS {
    let Some(held) = Held::of(module) else {
        return NDIS_STATUS_SUCCESS;
    };
    held.stop_timer();
    let lists = held.take();
    if !lists.is_null() {
        // SAFETY: the lists are the filter's, and returned once, at PASSIVE_LEVEL.
        unsafe { NdisFReturnNetBufferLists(module.handle, lists, 0) };
    }
    NDIS_STATUS_SUCCESS
}

fn free_timer(module: &'static Module) -> bool {
    if let Some(held) = Held::of(module) {
        held.stop_timer();
        // SAFETY: not set, and its function does not run.
        unsafe { NdisFreeTimerObject(held.timer) };
        // SAFETY: the block of attach, which nobody uses any more.
        unsafe { ExFreePoolWithTag(module.kept.load(Ordering::Acquire), TAG) };
    }
    true
}
