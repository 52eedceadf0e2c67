//! Timers of the ExAllocateTimer family, deleted wrongly or not at all.

use core::ffi::c_void;
use core::ptr::null_mut;

use crate::abi::{
    DISPATCH_LEVEL, ExAllocateTimer, ExCancelTimer, ExDeleteTimer, ExSetTimer, KeLowerIrql,
    KfRaiseIrql, NdisMSleep,
};
use crate::module::Module;
use crate::play::{Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("ex-timer-left", leave),
    Play::in_attach("ex-timer-deleted-raised", delete_raised),
    Play::in_attach("ex-timer-waited-alone", wait_alone),
    Play::in_attach("ex-timer-set-deleted", set_deleted),
    Play::in_attach("ex-timer-deleted-twice", delete_twice),
    Play::in_attach("ex-timer-whole", use_whole),
];

/// A second, in units of 100 ns, from now.
const SECOND: i64 = -10_000_000;
/// A millisecond.
const MILLISECOND: i64 = -10_000;

extern "system" fn expired(_: *mut c_void, _: *mut c_void) {}

fn allocate() -> *mut c_void {
    let routine = expired as *const () as *mut c_void;
    // SAFETY: the routine takes what such a timer's does, and stays loaded.
    unsafe { ExAllocateTimer(routine, null_mut(), 0) }
}

fn set(timer: *mut c_void, due: i64) {
    // SAFETY: a timer that was allocated and not deleted.
    unsafe { ExSetTimer(timer, due, 0, null_mut()) };
}

#[inline(never)]
fn leave(_: &'static Module) {
    let routine = expired as *const () as *mut c_void;
    // SAFETY: as in `allocate`; that it is never deleted is the fault.
    let timer = unsafe { ExAllocateTimer(routine, null_mut(), 0) }; // caught: ex-timer-left by detach-frees-everything
    core::hint::black_box(timer);
}

/// Deletion may wait, and must not at this level.
#[inline(never)]
fn delete_raised(_: &'static Module) {
    let timer = allocate();
    // SAFETY: lowered below.
    let old = unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
    // SAFETY: none: this is the fault.
    unsafe { ExDeleteTimer(timer, 1, 1, null_mut()) }; // caught: ex-timer-deleted-raised by ex-timer-delete
    // SAFETY: the level that the raise returned.
    unsafe { KeLowerIrql(old) };
}

/// Waits for a timer to expire, rather than to be cancelled.
#[inline(never)]
fn wait_alone(_: &'static Module) {
    let timer = allocate();
    set(timer, MILLISECOND);
    // SAFETY: none: this is the fault.
    unsafe { ExDeleteTimer(timer, 0, 1, null_mut()) }; // caught: ex-timer-waited-alone by ex-timer-delete
    stay();
}

#[inline(never)]
fn set_deleted(_: &'static Module) {
    let timer = allocate();
    // SAFETY: allocated above.
    unsafe { ExDeleteTimer(timer, 1, 1, null_mut()) };
    // SAFETY: none: this is the fault.
    unsafe { ExSetTimer(timer, SECOND, 0, null_mut()) }; // caught: ex-timer-set-deleted by mem-use-after-free
    stay();
}

#[inline(never)]
fn delete_twice(_: &'static Module) {
    let timer = allocate();
    // SAFETY: allocated above.
    unsafe { ExDeleteTimer(timer, 1, 1, null_mut()) };
    // SAFETY: none: this is the fault.
    unsafe { ExDeleteTimer(timer, 1, 1, null_mut()) }; // caught: ex-timer-deleted-twice by mem-use-after-free
    stay();
}

/// Sets, cancels and deletes; and deletes one that is set, which then expires and is gone.
// legal: ex-timer-whole near ex-timer-delete, detach-frees-everything, mem-use-after-free
fn use_whole(_: &'static Module) {
    let (first, second) = (allocate(), allocate());
    if !first.is_null() {
        set(first, SECOND);
        // SAFETY: allocated above.
        unsafe { ExCancelTimer(first, null_mut()) };
        // SAFETY: as above; PASSIVE_LEVEL.
        unsafe { ExDeleteTimer(first, 1, 1, null_mut()) };
    }
    if !second.is_null() {
        set(second, MILLISECOND);
        // SAFETY: allocated above.
        unsafe { ExDeleteTimer(second, 0, 0, null_mut()) };
        // Until it expires it is there, and does nothing any more.
        // SAFETY: as above.
        unsafe { ExSetTimer(second, SECOND, 0, null_mut()) };
        // SAFETY: PASSIVE_LEVEL.
        unsafe { NdisMSleep(5_000) };
    }
}
