//! Requests to the device that are not completed, completed twice, or touched afterwards.

use core::ffi::c_void;

use super::control::{self, create, mark, method, play, set};
use crate::abi::{
    DEVICE_OBJECT, IRP, IofCompleteRequest, METHOD_BUFFERED, NDIS_HANDLE, NTSTATUS,
    NdisFreeIoWorkItem, STATUS_INVALID_PARAMETER, STATUS_PENDING, STATUS_SUCCESS,
    STATUS_UNSUCCESSFUL,
};
use crate::play::{Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    play("irp-completed-twice", |driver| {
        create(driver, complete_twice)
    }),
    play("irp-forgotten", |driver| create(driver, forget)),
    play("irp-pended-unmarked", |driver| {
        create(driver, pend_unmarked)
    }),
    play("irp-marked-not-pended", |driver| create(driver, mark_only)),
    play("irp-completed-and-pended", |driver| {
        create(driver, complete_and_pend)
    }),
    play("irp-other-status", |driver| create(driver, return_other)),
    play("irp-completed-as-pending", |driver| {
        create(driver, complete_as_pending)
    }),
    play("irp-cancel-routine-left", |driver| {
        create(driver, complete_cancellable)
    }),
    play("irp-too-much-output", |driver| {
        create(driver, claim_too_much)
    }),
    play("irp-input-past-end", |driver| create(driver, read_past)),
    play("irp-touched-after", |driver| create(driver, touch_after)),
    play("irp-buffer-touched-after", |driver| {
        create(driver, touch_buffer_after)
    }),
    play("irp-answered", |driver| create(driver, answer)),
    play("irp-pended", |driver| create(driver, pend)),
    play("irp-pended-for-ever", |driver| {
        create(driver, pend_for_ever)
    }),
];

// legal: irp-answered near irp-complete-once, irp-complete-or-pend, irp-status-consistent, irp-information-bounds
// legal: irp-answered near irp-input-validated, irp-no-pending-status, mem-use-after-free
// legal: irp-pended near irp-mark-pending, irp-pending-not-after-complete, irp-cancel-cleared, irp-complete-or-pend

#[inline(never)]
extern "system" fn complete_twice(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    set(irp, STATUS_UNSUCCESSFUL, 0);
    // SAFETY: the request is this driver's until here.
    unsafe { IofCompleteRequest(irp, 0) };
    // SAFETY: none: this is the fault.
    unsafe { IofCompleteRequest(irp, 0) }; // caught: irp-completed-twice by irp-complete-once
    STATUS_UNSUCCESSFUL
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn forget( // caught: irp-forgotten by irp-complete-or-pend
    _: *mut DEVICE_OBJECT,
    _: *mut IRP,
) -> NTSTATUS {
    stay();
    STATUS_SUCCESS
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn pend_unmarked( // caught: irp-pended-unmarked by irp-mark-pending
    _: *mut DEVICE_OBJECT,
    _: *mut IRP,
) -> NTSTATUS {
    stay();
    STATUS_PENDING
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn mark_only( // caught: irp-marked-not-pended by irp-mark-pending
    _: *mut DEVICE_OBJECT,
    irp: *mut IRP,
) -> NTSTATUS {
    stay();
    mark(irp);
    control::finish(irp, STATUS_UNSUCCESSFUL)
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn complete_and_pend( // caught: irp-completed-and-pended by irp-pending-not-after-complete
    _: *mut DEVICE_OBJECT,
    irp: *mut IRP,
) -> NTSTATUS {
    stay();
    control::finish(irp, STATUS_UNSUCCESSFUL);
    STATUS_PENDING
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn return_other( // caught: irp-other-status by irp-status-consistent
    _: *mut DEVICE_OBJECT,
    irp: *mut IRP,
) -> NTSTATUS {
    stay();
    control::finish(irp, STATUS_UNSUCCESSFUL);
    STATUS_SUCCESS
}

#[inline(never)]
extern "system" fn complete_as_pending(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    set(irp, STATUS_PENDING, 0);
    // SAFETY: none: this is the fault.
    unsafe { IofCompleteRequest(irp, 0) }; // caught: irp-completed-as-pending by irp-no-pending-status
    STATUS_PENDING
}

extern "system" fn cancelled(_: *mut DEVICE_OBJECT, _: *mut IRP) {}

#[inline(never)]
extern "system" fn complete_cancellable(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    set(irp, STATUS_UNSUCCESSFUL, 0);
    // SAFETY: the request is this driver's.
    unsafe { (*irp).CancelRoutine = Some(cancelled) };
    // SAFETY: none: this is the fault.
    unsafe { IofCompleteRequest(irp, 0) }; // caught: irp-cancel-routine-left by irp-cancel-cleared
    STATUS_UNSUCCESSFUL
}

/// Bytes of the request's input and output in its system buffer: none but with METHOD_BUFFERED.
pub(super) fn lengths(irp: *mut IRP) -> (u32, u32) {
    if method(irp) != METHOD_BUFFERED {
        return (0, 0);
    }
    let parameters = control::parameters(irp);
    (parameters.InputBufferLength, parameters.OutputBufferLength)
}

#[inline(never)]
extern "system" fn claim_too_much(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    set(irp, STATUS_SUCCESS, u64::from(lengths(irp).1) + 1);
    // SAFETY: none: this is the fault.
    unsafe { IofCompleteRequest(irp, 0) }; // caught: irp-too-much-output by irp-information-bounds
    STATUS_SUCCESS
}

/// The request's buffer.
pub(super) fn buffer(irp: *mut IRP) -> *mut u8 {
    // SAFETY: the request is this driver's, with METHOD_BUFFERED.
    let buffers = unsafe { &(*irp).AssociatedIrp };
    // SAFETY: as above.
    unsafe { buffers.SystemBuffer }.cast()
}

/// Expects more input than there is.
#[inline(never)]
extern "system" fn read_past(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let (input, output) = lengths(irp);
    let past = buffer(irp).wrapping_add(input.max(output) as usize);
    // SAFETY: none: this is the fault.
    let byte = unsafe { *past }; // caught: irp-input-past-end by irp-input-validated
    core::hint::black_box(byte);
    control::finish(irp, STATUS_INVALID_PARAMETER)
}

#[inline(never)]
extern "system" fn touch_after(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    control::finish(irp, STATUS_UNSUCCESSFUL);
    // SAFETY: none: this is the fault.
    let byte = unsafe { (*irp).StackCount }; // caught: irp-touched-after by mem-use-after-free
    core::hint::black_box(byte);
    STATUS_UNSUCCESSFUL
}

/// Answers when nobody reads it any more.
#[inline(never)]
extern "system" fn touch_buffer_after(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let length = lengths(irp).1;
    if length == 0 {
        return control::finish(irp, STATUS_INVALID_PARAMETER);
    }
    let first = buffer(irp);
    control::finish(irp, STATUS_SUCCESS);
    // SAFETY: none: this is the fault.
    unsafe { *first = 1 }; // caught: irp-buffer-touched-after by mem-use-after-free
    STATUS_SUCCESS
}

/// Gives the input back, as much of it as there is room for.
extern "system" fn answer(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let (input, output) = lengths(irp);
    let length = input.min(output);
    if length == 0 {
        return control::finish(irp, STATUS_INVALID_PARAMETER);
    }
    let first = buffer(irp);
    // SAFETY: the buffer has at least one byte.
    let byte = unsafe { &mut *first };
    *byte = !*byte;
    set(irp, STATUS_SUCCESS, length.into());
    // SAFETY: the request is this driver's until here.
    unsafe { IofCompleteRequest(irp, 0) };
    STATUS_SUCCESS
}

/// Completes the request later.
extern "system" fn pend(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    control::defer(irp, complete_pended)
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn pend_for_ever( // caught: irp-pended-for-ever by irp-complete-once
    _: *mut DEVICE_OBJECT,
    irp: *mut IRP,
) -> NTSTATUS {
    stay();
    mark(irp);
    STATUS_PENDING
}

extern "system" fn complete_pended(irp: *mut c_void, item: NDIS_HANDLE) {
    control::finish(irp.cast(), STATUS_SUCCESS);
    // SAFETY: the item was taken from the queue before this run.
    unsafe { NdisFreeIoWorkItem(item) };
}
