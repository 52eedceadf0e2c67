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

/// The timer that indicates what is held.
static TIMER: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// Later than the pause, in microseconds.
const LATE_US: u32 = 10_000_000;

fn make_timer(module: &'static Module) {
    TIMER.store(
        timer::allocate(indicate_held, module.context()),
        Ordering::Release,
    );
}

fn set_timer(time_us: u32) {
    let timer = TIMER.load(Ordering::Acquire);
    // SAFETY: allocated in attach.
    unsafe { NdisSetTimerObject(timer, from_now_us(time_us), 0, null_mut()) };
}

/// Holds the first indication back, for the timer, and asks for a pause.
fn hold_first(
    module: &'static Module,
    lists: *mut NET_BUFFER_LIST,
    _: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (*mut NET_BUFFER_LIST, u32) {
    if flags & NDIS_RECEIVE_FLAGS_RESOURCES != 0
        || module
            .progress
            .compare_exchange(0, count, Ordering::AcqRel, Ordering::Acquire)
            .is_err()
    {
        return (lists, count);
    }
    module.kept.store(lists.cast(), Ordering::Release);
    set_timer(LATE_US);
    // SAFETY: callable up to DISPATCH_LEVEL; the module is attached.
    unsafe { NdisFRestartFilter(module.handle) };
    (null_mut(), 0)
}

/// Indicates what is held.
#[rustfmt::skip] // The mark stays on its line.
extern "system" fn indicate_held(_: *mut c_void, context: *mut c_void, _: *mut c_void, _: *mut c_void) {
    let module = Module::of(context);
    let lists: *mut NET_BUFFER_LIST = module.kept.swap(null_mut(), Ordering::AcqRel).cast();
    if !lists.is_null() {
        let count = module.progress.load(Ordering::Acquire);
        // SAFETY: the lists are the filter's, and passed on once, at DISPATCH_LEVEL.
        unsafe { NdisFIndicateReceiveNetBufferLists(module.handle, lists, 0, count, NDIS_RECEIVE_FLAGS_DISPATCH_LEVEL) }; // warned: pause-timer-indicates by pause-stop-timers
    }
    stay();
}

/// Waits until the timer has indicated what is held.
fn let_timer_indicate(module: &'static Module) -> NDIS_STATUS {
    if !module.kept.load(Ordering::Acquire).is_null() {
        set_timer(1);
    }
    while !module.kept.load(Ordering::Acquire).is_null() {
        // SAFETY: PASSIVE_LEVEL.
        unsafe { NdisMSleep(100) };
    }
    // SAFETY: PASSIVE_LEVEL: the timer's function has returned when this returns.
    unsafe { KeFlushQueuedDpcs() };
    NDIS_STATUS_SUCCESS
}

// legal: pause-timer-cancelled near pause-stop-timers

/// Cancels the timer, and returns itself what is held.
fn cancel_and_return(module: &'static Module) -> NDIS_STATUS {
    // SAFETY: allocated in attach.
    unsafe { NdisCancelTimerObject(TIMER.load(Ordering::Acquire)) };
    // SAFETY: PASSIVE_LEVEL: the timer's function has returned when this returns.
    unsafe { KeFlushQueuedDpcs() };
    let lists: *mut NET_BUFFER_LIST = module.kept.swap(null_mut(), Ordering::AcqRel).cast();
    if !lists.is_null() {
        // SAFETY: the lists are the filter's, and returned once, at PASSIVE_LEVEL.
        unsafe { NdisFReturnNetBufferLists(module.handle, lists, 0) };
    }
    NDIS_STATUS_SUCCESS
}

fn free_timer(_: &'static Module) -> bool {
    let timer = TIMER.swap(null_mut(), Ordering::AcqRel);
    // SAFETY: allocated in attach.
    unsafe { NdisCancelTimerObject(timer) };
    // SAFETY: PASSIVE_LEVEL: the timer's function has returned when this returns.
    unsafe { KeFlushQueuedDpcs() };
    // SAFETY: not set, and its function does not run.
    unsafe { NdisFreeTimerObject(timer) };
    true
}
