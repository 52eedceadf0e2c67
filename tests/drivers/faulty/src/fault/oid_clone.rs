//! Clones lost, freed wrongly, or mistaken for their originals.

use core::ffi::c_void;
use core::ptr::null_mut;

use super::oid::{self, FORWARD};
use crate::abi::{
    NDIS_FILTER_DRIVER_CHARACTERISTICS, NDIS_HANDLE, NDIS_OID_REQUEST, NDIS_STATUS,
    NDIS_STATUS_FAILURE, NDIS_STATUS_PENDING, NDIS_STATUS_RESOURCES, NDIS_STATUS_SUCCESS,
    NdisAllocateCloneOidRequest, NdisFDirectOidRequest, NdisFOidRequest, NdisFOidRequestComplete,
    NdisFreeCloneOidRequest, POOL_FLAG_NON_PAGED,
};
use crate::module::Module;
use crate::play::{Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("oid-clone-leaked", leak),
    Play {
        name: "oid-clone-freed-twice",
        oid: Some(free_twice),
        ..FORWARD
    },
    Play {
        name: "oid-clone-freed-below",
        oid: Some(free_below),
        ..FORWARD
    },
    Play {
        name: "oid-clone-completed",
        oid_complete: Some(complete_clone),
        ..FORWARD
    },
    Play {
        name: "oid-sent-on-itself",
        oid: Some(send_itself),
        ..FORWARD
    },
    Play {
        name: "oid-clone-freed-late",
        oid_complete: Some(complete_first),
        ..FORWARD
    },
    Play {
        name: "oid-clone-kept-at-once",
        characteristics: Some(keep_clone),
        ..FORWARD
    },
    Play {
        name: "oid-clone-missing-pended",
        characteristics: Some(pend_without_clone),
        ..FORWARD
    },
    Play {
        name: "oid-finished-while-below",
        characteristics: Some(finish_while_below),
        ..FORWARD
    },
    Play {
        name: "oid-not-copied-back",
        oid_complete: Some(complete_without_results),
        ..FORWARD
    },
    Play {
        name: "oid-cancel-not-forwarded",
        characteristics: Some(forget_cancel),
        ..FORWARD
    },
    Play {
        name: "oid-clone-other-id",
        oid: Some(send_with_other_id),
        cancel_oid: Some(cancel_other_id),
        ..FORWARD
    },
    Play::in_traffic("oid-sent-without-complete", send_without_complete),
    Play::in_traffic(
        "oid-direct-sent-without-complete",
        send_direct_without_complete,
    ),
];

/// Forgets a clone of a request of its own.
#[inline(never)]
fn leak(module: &'static Module) {
    let request = oid::own(POOL_FLAG_NON_PAGED);
    let mut clone: *mut NDIS_OID_REQUEST = null_mut();
    while clone.is_null() {
        // SAFETY: a request of this filter's; the out parameter is valid for the call.
        unsafe { NdisAllocateCloneOidRequest(module.handle, request, oid::TAG, &raw mut clone) }; // caught: oid-clone-leaked by oid-clone-balanced
    }
    oid::free_own(request);
}

/// Frees a clone twice.
#[inline(never)]
fn free_twice(module: &'static Module, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    let clone = oid::clone(module, request);
    if clone.is_null() {
        return NDIS_STATUS_RESOURCES;
    }
    oid::free(module, clone);
    // SAFETY: none: this is the fault.
    unsafe { NdisFreeCloneOidRequest(module.handle, clone) }; // caught: oid-clone-freed-twice by oid-clone-balanced
    NDIS_STATUS_FAILURE
}

/// Frees a clone that it has just sent.
#[inline(never)]
fn free_below(module: &'static Module, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    let clone = oid::clone(module, request);
    if clone.is_null() {
        return NDIS_STATUS_RESOURCES;
    }
    // SAFETY: a clone that is not below.
    let status = unsafe { NdisFOidRequest(module.handle, clone) };
    if status == NDIS_STATUS_PENDING {
        // SAFETY: none: this is the fault, unless it is back already.
        unsafe { NdisFreeCloneOidRequest(module.handle, clone) }; // caught: oid-clone-freed-below by oid-clone-balanced
    } else {
        oid::copy_back(clone, request);
        oid::free(module, clone);
    }
    status
}

/// Completes the clone in place of the original.
#[inline(never)]
fn complete_clone(module: &'static Module, clone: *mut NDIS_OID_REQUEST, status: NDIS_STATUS) {
    // SAFETY: none: this is the fault.
    unsafe { NdisFOidRequestComplete(module.handle, clone, status) }; // caught: oid-clone-completed by oid-complete-same-pointer
    stay();
}

/// Sends the request that it was given.
#[inline(never)]
fn send_itself(module: &'static Module, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    // SAFETY: none: this is the fault.
    let status = unsafe { NdisFOidRequest(module.handle, request) }; // caught: oid-sent-on-itself by oid-forward-needs-clone
    stay();
    status
}

/// Completes the original, and frees the clone then.
#[inline(never)]
fn complete_first(module: &'static Module, clone: *mut NDIS_OID_REQUEST, status: NDIS_STATUS) {
    let request = oid::original(clone);
    oid::copy_back(clone, request);
    // SAFETY: none: this is the fault.
    unsafe { NdisFOidRequestComplete(module.handle, request, status) }; // caught: oid-clone-freed-late by oid-clone-freed-first
    oid::free(module, clone);
}

fn keep_clone(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.OidRequestHandler = Some(answer_and_keep_clone);
}

/// Answers at once, with its clone still there.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn answer_and_keep_clone( // caught: oid-clone-kept-at-once by oid-clone-freed-first
    context: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
) -> NDIS_STATUS {
    let module = Module::of(context);
    oid::clone(module, request);
    oid::answer(module, request)
}

fn pend_without_clone(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.OidRequestHandler = Some(pend_when_refused);
}

/// Leaves a request pending when there is no clone to be had.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn pend_when_refused( // caught: oid-clone-missing-pended by oid-clone-null
    context: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
) -> NDIS_STATUS {
    /// More clones than there are to be had in a row.
    const CLONES: u32 = 200;
    let module = Module::of(context);
    for _ in 0..CLONES {
        let clone = oid::clone(module, request);
        if clone.is_null() {
            return NDIS_STATUS_PENDING;
        }
        oid::free(module, clone);
    }
    oid::answer(module, request)
}

fn finish_while_below(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.OidRequestHandler = Some(answer_while_below);
}

/// Answers at once what it has sent on.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn answer_while_below( // caught: oid-finished-while-below by oid-both-completion-paths
    context: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
) -> NDIS_STATUS {
    let module = Module::of(context);
    match oid::forward(module, request) {
        NDIS_STATUS_PENDING => NDIS_STATUS_FAILURE,
        status => status,
    }
}

/// Completes the original as it was.
#[inline(never)]
fn complete_without_results(
    module: &'static Module,
    clone: *mut NDIS_OID_REQUEST,
    status: NDIS_STATUS,
) {
    let request = oid::original(clone);
    if status != NDIS_STATUS_SUCCESS {
        return oid::complete(module, clone, status);
    }
    oid::free(module, clone);
    // SAFETY: the request is pending here; that its results are missing is the fault.
    unsafe { NdisFOidRequestComplete(module.handle, request, status) }; // caught: oid-not-copied-back by oid-copy-back
    stay();
}

fn forget_cancel(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.CancelOidRequestHandler = Some(ignore_cancel);
}

/// Does nothing about a request that it has sent on.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn ignore_cancel( // caught: oid-cancel-not-forwarded by oid-cancel-forward
    _: NDIS_HANDLE,
    _: *mut c_void,
) {
    stay();
}

/// Sends a clone under an identifier of its own.
#[inline(never)]
fn send_with_other_id(module: &'static Module, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    let clone = oid::clone(module, request);
    if clone.is_null() {
        return NDIS_STATUS_RESOURCES;
    }
    // SAFETY: the clone is this filter's.
    let id = unsafe { &mut (*clone).RequestId };
    *id = other(*id);
    // SAFETY: a clone that is not below.
    let status = unsafe { NdisFOidRequest(module.handle, clone) }; // warned: oid-clone-other-id by oid-clone-request-id
    if status != NDIS_STATUS_PENDING {
        oid::copy_back(clone, request);
        oid::free(module, clone);
    }
    status
}

fn other(id: *mut c_void) -> *mut c_void {
    id.wrapping_byte_add(1 << 32)
}

fn cancel_other_id(module: &'static Module, id: *mut c_void) {
    oid::cancel(module, other(id));
}

/// Sends, and nobody is there for the answer.
#[inline(never)]
fn send_without_complete(module: &'static Module) {
    let request = oid::own(POOL_FLAG_NON_PAGED);
    // SAFETY: none: this is the fault.
    unsafe { NdisFOidRequest(module.handle, request) }; // caught: oid-sent-without-complete by reg-pair-oid-call-needs-complete
    stay();
}

/// The same with a direct request of its own.
#[inline(never)]
fn send_direct_without_complete(module: &'static Module) {
    let request = oid::own(POOL_FLAG_NON_PAGED);
    // SAFETY: none: this is the fault.
    unsafe { NdisFDirectOidRequest(module.handle, request) }; // caught: oid-direct-sent-without-complete by reg-pair-direct-call-needs-complete
    stay();
}
