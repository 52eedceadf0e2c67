//! Requests that are finished twice, never, too late, or with the wrong results.

use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, Ordering};

use super::oid::{self, FORWARD};
use crate::abi::{
    KeGetCurrentIrql, NDIS_FILTER_DRIVER_CHARACTERISTICS, NDIS_HANDLE, NDIS_OID_REQUEST,
    NDIS_STATUS, NDIS_STATUS_FAILURE, NDIS_STATUS_INVALID_LENGTH, NDIS_STATUS_NOT_SUPPORTED,
    NDIS_STATUS_PENDING, NDIS_STATUS_SUCCESS, NdisFDirectOidRequestComplete,
    NdisFOidRequestComplete, NdisMSleep, NdisRequestQueryInformation, NdisRequestSetInformation,
    OID_GEN_STATISTICS,
};
use crate::module::Module;
use crate::play::{NOTHING, Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "oid-completed-twice",
        oid: Some(complete_twice),
        cancel_oid: Some(ignore),
        ..FORWARD
    },
    Play {
        name: "oid-completed-twice-in-work",
        oid: Some(pend),
        cancel_oid: Some(ignore),
        work: Some(complete_twice_in_work),
        ..FORWARD
    },
    Play {
        name: "oid-direct-completed-twice",
        direct_oid: Some(complete_direct_twice),
        direct_oid_complete: Some(oid::complete_direct),
        cancel_direct_oid: Some(ignore),
        ..NOTHING
    },
    Play {
        name: "oid-never-completed",
        characteristics: Some(never_complete),
        cancel_oid: Some(ignore),
        ..FORWARD
    },
    Play {
        name: "oid-handler-stays",
        characteristics: Some(never_return),
        ..FORWARD
    },
    Play {
        name: "oid-cancel-ignored",
        oid: Some(pend),
        cancel_oid: Some(ignore),
        work: Some(complete_late),
        ..FORWARD
    },
    Play {
        name: "oid-pended-without-cancel",
        characteristics: Some(pend_without_cancel),
        work: Some(complete_soon),
        ..FORWARD
    },
    Play {
        name: "oid-completed-late",
        characteristics: Some(pend_for_long),
        work: Some(complete_after_all),
        ..FORWARD
    },
    Play {
        name: "oid-too-many-bytes",
        oid: Some(write_too_many),
        ..FORWARD
    },
    Play {
        name: "oid-room-raised",
        oid: Some(raise_room),
        ..FORWARD
    },
    Play {
        name: "oid-length-not-told",
        characteristics: Some(refuse_length),
        ..FORWARD
    },
    Play {
        name: "oid-written-past-buffer",
        oid: Some(write_past),
        ..FORWARD
    },
    Play {
        name: "oid-power-refused",
        characteristics: Some(refuse_all),
        ..FORWARD
    },
    Play {
        name: "oid-unknown-refused",
        characteristics: Some(refuse_unknown),
        ..FORWARD
    },
    Play {
        name: "oid-kept-while-paused",
        characteristics: Some(keep_while_paused),
        ..FORWARD
    },
    Play {
        name: "oid-revision-not-told",
        characteristics: Some(hide_revision),
        ..FORWARD
    },
    Play {
        name: "oid-reserved-used",
        characteristics: Some(use_reserved),
        ..FORWARD
    },
];

fn ignore(_: &'static Module, _: *mut c_void) {}

#[inline(never)]
fn complete_twice(module: &'static Module, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    let status = oid::answer(module, request);
    // SAFETY: the request is this filter's until here.
    unsafe { NdisFOidRequestComplete(module.handle, request, status) };
    // SAFETY: none: this is the fault.
    unsafe { NdisFOidRequestComplete(module.handle, request, status) }; // caught: oid-completed-twice by oid-complete-once
    NDIS_STATUS_PENDING
}

#[inline(never)]
fn complete_direct_twice(module: &'static Module, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    // SAFETY: the request is this filter's until here.
    unsafe { NdisFDirectOidRequestComplete(module.handle, request, NDIS_STATUS_SUCCESS) };
    // SAFETY: none: this is the fault.
    unsafe { NdisFDirectOidRequestComplete(module.handle, request, NDIS_STATUS_SUCCESS) }; // caught: oid-direct-completed-twice by oid-double-complete-dv
    NDIS_STATUS_PENDING
}

fn pend(module: &'static Module, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    module.keep(request.cast());
    module.defer();
    NDIS_STATUS_PENDING
}

#[inline(never)]
fn complete_twice_in_work(module: &'static Module) {
    let request = module.take().cast::<NDIS_OID_REQUEST>();
    if request.is_null() {
        return;
    }
    let status = oid::answer(module, request);
    // SAFETY: the request is this filter's until here.
    unsafe { NdisFOidRequestComplete(module.handle, request, status) };
    // SAFETY: none: this is the fault.
    unsafe { NdisFOidRequestComplete(module.handle, request, status) }; // caught: oid-completed-twice-in-work by oid-double-complete-workitem
    stay();
}

/// The handlers here are registered themselves: what is reported after they returned names them.
fn never_complete(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.OidRequestHandler = Some(keep_for_ever);
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn keep_for_ever( // caught: oid-never-completed by oid-timed
    _: NDIS_HANDLE,
    _: *mut NDIS_OID_REQUEST,
) -> NDIS_STATUS {
    stay();
    NDIS_STATUS_PENDING
}

fn pend_for_long(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.OidRequestHandler = Some(pend_and_wait);
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn pend_and_wait( // caught: oid-completed-late by oid-timed
    context: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
) -> NDIS_STATUS {
    stay();
    pend(Module::of(context), request)
}

/// Completes a request when nobody waits for it any more.
fn complete_after_all(module: &'static Module) {
    /// Longer than any request may take, in microseconds.
    const LATE_US: u32 = 20_000_000;
    if let Some((request, status)) = answer_after(module, LATE_US) {
        // SAFETY: the request is pending here; that it took so long is the fault.
        unsafe { NdisFOidRequestComplete(module.handle, request, status) };
    }
}

/// The request that waits for the work item, with its answer, when so many microseconds have passed.
fn answer_after(
    module: &'static Module,
    wait_us: u32,
) -> Option<(*mut NDIS_OID_REQUEST, NDIS_STATUS)> {
    let request = module.take().cast::<NDIS_OID_REQUEST>();
    if request.is_null() {
        return None;
    }
    // SAFETY: work items run at PASSIVE_LEVEL.
    unsafe { NdisMSleep(wait_us) };
    Some((request, oid::answer(module, request)))
}

fn never_return(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.OidRequestHandler = Some(sleep_long);
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn sleep_long( // caught: oid-handler-stays by oid-one-at-a-time
    context: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
) -> NDIS_STATUS {
    /// In microseconds; 30 of them are longer than any request may take.
    const NAP_US: u32 = 500_000;
    // SAFETY: callable at any IRQL.
    if unsafe { KeGetCurrentIrql() } == 0 {
        for _ in 0..30 {
            // SAFETY: PASSIVE_LEVEL.
            unsafe { NdisMSleep(NAP_US) };
        }
    }
    oid::answer(Module::of(context), request)
}

/// Takes its time with every request, cancelled or not.
#[inline(never)]
fn complete_late(module: &'static Module) {
    /// Longer than a cancelled request may stay, in microseconds.
    const LATE_US: u32 = 1_500_000;
    if let Some((request, status)) = answer_after(module, LATE_US) {
        // SAFETY: the request is pending here; that its cancellation was ignored is the fault.
        unsafe { NdisFOidRequestComplete(module.handle, request, status) }; // caught: oid-cancel-ignored by oid-cancel-local
        stay();
    }
}

fn pend_without_cancel(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.OidRequestHandler = Some(keep);
    characteristics.CancelOidRequestHandler = None;
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn keep( // warned: oid-pended-without-cancel by reg-queue-oids-needs-cancel
    context: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
) -> NDIS_STATUS {
    stay();
    pend(Module::of(context), request)
}

/// What the rule warns of is that nobody could cancel this.
fn complete_soon(module: &'static Module) {
    let request = module.take().cast::<NDIS_OID_REQUEST>();
    if !request.is_null() {
        let status = oid::answer(module, request);
        // SAFETY: the request is pending here.
        unsafe { NdisFOidRequestComplete(module.handle, request, status) };
    }
}

/// Says that it wrote more than there is room for.
#[inline(never)]
fn write_too_many(module: &'static Module, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    // SAFETY: given to this filter.
    let data = unsafe { &mut (*request).DATA };
    // SAFETY: plain data, whichever member is in use.
    let query = unsafe { &mut data.QUERY_INFORMATION };
    // SAFETY: given to this filter.
    if unsafe { (*request).RequestType } != NdisRequestQueryInformation {
        return oid::forward(module, request);
    }
    query.BytesWritten = query.InformationBufferLength.wrapping_add(1);
    // SAFETY: none: this is the fault.
    unsafe { NdisFOidRequestComplete(module.handle, request, NDIS_STATUS_SUCCESS) }; // caught: oid-too-many-bytes by oid-bytes-in-bounds
    NDIS_STATUS_PENDING
}

/// Says of a method that it had more room than it has, and has written as much.
#[inline(never)]
fn raise_room(module: &'static Module, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    if !oid::raise_room(request) {
        return oid::forward(module, request);
    }
    // SAFETY: none: this is the fault.
    unsafe { NdisFOidRequestComplete(module.handle, request, NDIS_STATUS_SUCCESS) }; // caught: oid-room-raised by oid-bytes-in-bounds
    NDIS_STATUS_PENDING
}

fn refuse_unknown(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.OidRequestHandler = Some(know_little);
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn know_little( // warned: oid-unknown-refused by oid-pass-unknown
    context: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
) -> NDIS_STATUS {
    stay();
    // SAFETY: given to this filter.
    let data = unsafe { &(*request).DATA };
    // SAFETY: each kind of request has its identifier at this place.
    if unsafe { data.QUERY_INFORMATION.Oid } == OID_GEN_STATISTICS {
        return NDIS_STATUS_NOT_SUPPORTED;
    }
    oid::forward(Module::of(context), request)
}

fn keep_while_paused(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.OidRequestHandler = Some(wait_for_restart);
}

/// Thinks that nothing is asked of a paused module before its restart.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn wait_for_restart( // caught: oid-kept-while-paused by pause-oids-continue
    context: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
) -> NDIS_STATUS {
    stay();
    static HAS_RUN: AtomicBool = AtomicBool::new(false);
    let module = Module::of(context);
    if module.is_open() {
        HAS_RUN.store(true, Ordering::Release);
    } else if HAS_RUN.load(Ordering::Acquire) {
        return NDIS_STATUS_PENDING;
    }
    oid::forward(module, request)
}

fn refuse_length(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.OidRequestHandler = Some(too_short);
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn too_short( // caught: oid-length-not-told by oid-query-buffer-length
    _: NDIS_HANDLE,
    _: *mut NDIS_OID_REQUEST,
) -> NDIS_STATUS {
    stay();
    NDIS_STATUS_INVALID_LENGTH
}

/// Writes as much as it likes.
#[inline(never)]
fn write_past(module: &'static Module, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    // SAFETY: given to this filter.
    let data = unsafe { &mut (*request).DATA };
    // SAFETY: plain data, whichever member is in use.
    let query = unsafe { &mut data.QUERY_INFORMATION };
    // SAFETY: given to this filter.
    let is_query = unsafe { (*request).RequestType } == NdisRequestQueryInformation;
    if !is_query || query.InformationBufferLength < 4 || query.InformationBufferLength % 16 != 0 {
        return oid::forward(module, request);
    }
    let buffer = query.InformationBuffer.cast::<u8>();
    let past = buffer.wrapping_add(query.InformationBufferLength as usize);
    // SAFETY: none: this is the fault.
    unsafe { *past = 0 }; // caught: oid-written-past-buffer by oid-query-buffer-length
    NDIS_STATUS_SUCCESS
}

fn refuse_all(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.OidRequestHandler = Some(refuse);
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn refuse( // caught: oid-power-refused by oid-must-succeed-list
    _: NDIS_HANDLE,
    _: *mut NDIS_OID_REQUEST,
) -> NDIS_STATUS {
    stay();
    NDIS_STATUS_FAILURE
}

fn hide_revision(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.OidRequestHandler = Some(without_revision);
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn without_revision( // warned: oid-revision-not-told by oid-supported-revision
    context: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
) -> NDIS_STATUS {
    stay();
    let status = oid::answer(Module::of(context), request);
    // SAFETY: given to this filter.
    if unsafe { (*request).RequestType } == NdisRequestSetInformation {
        // SAFETY: given to this filter.
        unsafe { (*request).SupportedRevision = 0 };
    }
    status
}

fn use_reserved(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.OidRequestHandler = Some(scribble);
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn scribble( // caught: oid-reserved-used by oid-reserved-areas
    context: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
) -> NDIS_STATUS {
    stay();
    // SAFETY: none: this is the fault.
    let byte = unsafe { &raw mut (*request).NdisReserved }.cast::<u8>();
    // SAFETY: as above.
    let byte = unsafe { &mut *byte };
    *byte = !*byte;
    oid::answer(Module::of(context), request)
}
