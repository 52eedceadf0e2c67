//! What the unload routine frees while modules are attached, and what is left after it.

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

use super::pool::{allocate, free};
use crate::abi::{
    DRIVER_OBJECT, KeAcquireSpinLockRaiseToDpc, KeInitializeSpinLock, KeReleaseSpinLock, NTSTATUS,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_SUCCESS,
};
use crate::driver;
use crate::module::Module;
use crate::packet;
use crate::play::{NOTHING, Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "unload-lock-freed-first",
        unload: Some(free_lock),
        ..LOCKED
    },
    Play {
        name: "unload-lock-freed-last",
        unloaded: Some(free_lock_last),
        ..LOCKED
    },
    Play {
        name: "unload-pool-left",
        load: Some(unload_with_pool),
        attach: Some(make_pool),
        ..NOTHING
    },
];

/// A play whose modules detach under a lock of the driver's.
const LOCKED: Play = Play {
    load: Some(make_lock),
    detach: Some(take_lock),
    ..NOTHING
};

/// The lock that `FilterDetach` takes.
static LOCK: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

fn make_lock(_: *mut DRIVER_OBJECT) -> NTSTATUS {
    let lock = allocate(size_of::<u64>());
    if lock.is_null() {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    // SAFETY: a live block of that size.
    unsafe { KeInitializeSpinLock(lock.cast()) };
    LOCK.store(lock.cast(), Ordering::Release);
    STATUS_SUCCESS
}

/// Detaches under the lock.
#[inline(never)]
fn take_lock(_: &'static Module) -> bool {
    let lock = LOCK.load(Ordering::Acquire).cast();
    // SAFETY: initialised in DriverEntry; one of the plays has freed it: that is the fault.
    let level = unsafe { KeAcquireSpinLockRaiseToDpc(lock) }; // caught: unload-lock-freed-first by unload-locks-outlive-detach with --stop in-unload
    // SAFETY: acquired above.
    unsafe { KeReleaseSpinLock(lock, level) };
    true
}

// legal: unload-lock-freed-last near unload-locks-outlive-detach with --stop in-unload

/// Frees the lock before the modules are detached.
fn free_lock() -> bool {
    free_lock_last();
    true
}

fn free_lock_last() {
    free(LOCK.load(Ordering::Acquire).cast());
}

fn make_pool(_: &'static Module) {
    packet::new_pool();
}

fn unload_with_pool(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    // SAFETY: the system's object, valid while the driver is loaded.
    unsafe { (*driver).DriverUnload = Some(unload_and_leave_pool) };
    STATUS_SUCCESS
}

extern "system" fn unload_and_leave_pool(_: *mut DRIVER_OBJECT) {
    stay();
    driver::deregister();
}
