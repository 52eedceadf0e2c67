//! Levels and locks in the routines of a control device.

use core::sync::atomic::AtomicU64;

use super::lock;
use crate::abi::*;
use crate::device;
use crate::level::{DEVICE_LEVEL, lower, raise};
use crate::play::{NOTHING, Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "dispatch-completes-above",
        registered: Some(with_complete_above),
        unload: Some(without),
        ..NOTHING
    },
    Play {
        name: "dispatch-completes-under-lock",
        registered: Some(with_complete_under_lock),
        unload: Some(without),
        ..NOTHING
    },
    Play {
        name: "dispatch-keeps-level",
        registered: Some(with_kept_level),
        unload: Some(without),
        ..NOTHING
    },
    Play {
        name: "dispatch-keeps-lock",
        registered: Some(with_kept_lock),
        unload: Some(without),
        ..NOTHING
    },
    Play {
        name: "dispatch-legal",
        registered: Some(with_legal),
        unload: Some(without),
        ..NOTHING
    },
];

/// A lock of the device's.
static LOCK: AtomicU64 = AtomicU64::new(0);

/// The device goes first.
fn without() -> bool {
    device::delete();
    true
}

fn with_complete_above(_: NDIS_HANDLE) -> NTSTATUS {
    device::create(Some(complete_above))
}

/// Requests are completed at DISPATCH_LEVEL at most.
extern "system" fn complete_above(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    device::finish(irp, STATUS_SUCCESS);
    let old = raise(DEVICE_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { IofCompleteRequest(irp, 0) }; // caught: dispatch-completes-above by irp-complete-irql
    lower(old);
    STATUS_SUCCESS
}

fn with_complete_under_lock(_: NDIS_HANDLE) -> NTSTATUS {
    device::create(Some(complete_under_lock))
}

/// Requests are completed with no lock held.
extern "system" fn complete_under_lock(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    device::finish(irp, STATUS_SUCCESS);
    // SAFETY: a lock of the image's.
    let old = unsafe { KeAcquireSpinLockRaiseToDpc(LOCK.as_ptr()) };
    // SAFETY: none: this is the fault.
    unsafe { IofCompleteRequest(irp, 0) }; // caught: dispatch-completes-under-lock by irp-complete-no-lock
    // SAFETY: held.
    unsafe { KeReleaseSpinLock(LOCK.as_ptr(), old) };
    STATUS_SUCCESS
}

fn with_kept_level(_: NDIS_HANDLE) -> NTSTATUS {
    device::create(Some(keep_level))
}

/// Returns at a higher level than it was called at.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn keep_level(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS { // caught: dispatch-keeps-level by irp-dispatch-irql
    let status = device::complete(irp, STATUS_SUCCESS);
    raise(APC_LEVEL);
    stay();
    status
}

fn with_kept_lock(_: NDIS_HANDLE) -> NTSTATUS {
    device::create(Some(keep_lock))
}

/// Returns with a lock.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn keep_lock(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS { // caught: dispatch-keeps-lock by lock-wdm-spinlock
    let status = device::complete(irp, STATUS_SUCCESS);
    lock::keep();
    stay();
    status
}

// legal: dispatch-legal near irp-complete-irql, irp-dispatch-irql, irp-complete-no-lock, lock-wdm-spinlock

fn with_legal(_: NDIS_HANDLE) -> NTSTATUS {
    device::create(Some(complete_after_lock))
}

/// Takes a lock, releases it, and completes the request at DISPATCH_LEVEL. It has no answer to give.
extern "system" fn complete_after_lock(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: a lock of the image's, at DISPATCH_LEVEL.
    unsafe { KeAcquireSpinLockAtDpcLevel(LOCK.as_ptr()) };
    // SAFETY: held.
    unsafe { KeReleaseSpinLockFromDpcLevel(LOCK.as_ptr()) };
    let status = device::complete(irp, STATUS_INVALID_DEVICE_REQUEST);
    lower(old);
    status
}
