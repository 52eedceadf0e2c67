//! Synchronous requests that are delayed, pended, cloned or changed.

use core::ffi::c_void;

use super::oid;
use crate::abi::{
    KeStallExecutionProcessor, NDIS_FILTER_DRIVER_CHARACTERISTICS, NDIS_HANDLE, NDIS_OID_REQUEST,
    NDIS_STATUS, NDIS_STATUS_ALREADY_COMPLETE, NDIS_STATUS_NOT_SUPPORTED, NDIS_STATUS_PENDING,
    NDIS_STATUS_SUCCESS, NdisAllocateCloneOidRequest, NdisFSynchronousOidRequest,
};
use crate::module::Module;
use crate::play::{NOTHING, Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "oid-sync-pended",
        characteristics: Some(|it| it.SynchronousOidRequestHandler = Some(pend)),
        ..NOTHING
    },
    Play {
        name: "oid-sync-completed-pending",
        characteristics: Some(complete_pending),
        ..NOTHING
    },
    Play {
        name: "oid-sync-unknown-refused",
        characteristics: Some(|it| it.SynchronousOidRequestHandler = Some(refuse)),
        ..NOTHING
    },
    Play {
        name: "oid-sync-cloned",
        sync_oid: Some(clone),
        ..NOTHING
    },
    Play {
        name: "oid-sync-sent-again",
        sync_oid: Some(send_again),
        ..NOTHING
    },
    Play {
        name: "oid-sync-changed",
        characteristics: Some(|it| it.SynchronousOidRequestHandler = Some(change)),
        ..NOTHING
    },
    Play {
        name: "oid-sync-room-raised",
        characteristics: Some(|it| it.SynchronousOidRequestHandler = Some(raise_room)),
        ..NOTHING
    },
    Play {
        name: "oid-sync-delayed",
        characteristics: Some(|it| it.SynchronousOidRequestHandler = Some(delay)),
        ..NOTHING
    },
];

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn pend( // caught: oid-sync-pended by sync-oid-no-pending
    _: NDIS_HANDLE,
    _: *mut NDIS_OID_REQUEST,
    _: *mut *mut c_void,
) -> NDIS_STATUS {
    stay();
    NDIS_STATUS_PENDING
}

fn complete_pending(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.SynchronousOidRequestHandler = Some(let_pass);
    characteristics.SynchronousOidRequestCompleteHandler = Some(write_pending);
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn let_pass( // caught: oid-sync-completed-pending by sync-oid-no-pending
    _: NDIS_HANDLE,
    _: *mut NDIS_OID_REQUEST,
    _: *mut *mut c_void,
) -> NDIS_STATUS {
    stay();
    NDIS_STATUS_SUCCESS
}

extern "system" fn write_pending(
    _: NDIS_HANDLE,
    _: *mut NDIS_OID_REQUEST,
    status: *mut NDIS_STATUS,
    _: *mut c_void,
) {
    // SAFETY: none: this is the fault.
    unsafe { *status = NDIS_STATUS_PENDING };
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn refuse( // warned: oid-sync-unknown-refused by sync-oid-unknown-success
    _: NDIS_HANDLE,
    _: *mut NDIS_OID_REQUEST,
    _: *mut *mut c_void,
) -> NDIS_STATUS {
    stay();
    NDIS_STATUS_NOT_SUPPORTED
}

#[inline(never)]
fn clone(
    module: &'static Module,
    request: *mut NDIS_OID_REQUEST,
    context: *mut *mut c_void,
) -> NDIS_STATUS {
    // SAFETY: none: this is the fault.
    let status =
        unsafe { NdisAllocateCloneOidRequest(module.handle, request, oid::TAG, context.cast()) }; // caught: oid-sync-cloned by sync-oid-no-clone
    stay();
    status
}

#[inline(never)]
fn send_again(
    module: &'static Module,
    request: *mut NDIS_OID_REQUEST,
    _: *mut *mut c_void,
) -> NDIS_STATUS {
    // SAFETY: none: this is the fault.
    let status = unsafe { NdisFSynchronousOidRequest(module.handle, request) }; // caught: oid-sync-sent-again by sync-oid-no-clone
    stay();
    status
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn change( // caught: oid-sync-changed by sync-oid-field-access
    _: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
    _: *mut *mut c_void,
) -> NDIS_STATUS {
    stay();
    // SAFETY: none: this is the fault.
    unsafe { (*request).PortNumber ^= 1 };
    NDIS_STATUS_SUCCESS
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn raise_room( // caught: oid-sync-room-raised by oid-bytes-in-bounds
    _: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
    _: *mut *mut c_void,
) -> NDIS_STATUS {
    stay();
    if oid::raise_room(request) {
        NDIS_STATUS_ALREADY_COMPLETE
    } else {
        NDIS_STATUS_SUCCESS
    }
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn delay( // caught: oid-sync-delayed by rssv2-oid-not-delayed
    _: NDIS_HANDLE,
    _: *mut NDIS_OID_REQUEST,
    _: *mut *mut c_void,
) -> NDIS_STATUS {
    stay();
    for _ in 0..1000 {
        // SAFETY: callable at any IRQL; 40 microseconds at a time.
        unsafe { KeStallExecutionProcessor(40) };
    }
    NDIS_STATUS_SUCCESS
}
