//! The handlers of OID requests.
//!
//! # Safety
//!
//! As for all functions of this kind.

use core::ffi::c_void;

use ndis_sys::{
    NDIS_HANDLE, NDIS_OID_REQUEST, NDIS_STATUS, NDIS_STATUS_ALREADY_COMPLETE, NDIS_STATUS_PENDING,
};

use crate::Status;
use crate::filter::{Attached, Call, FilterModule, ModuleCore};
use crate::irql::AtMostDispatch;
use crate::oid::{self, Answered, CallContext, Course, Raw, Route, SyncOidPath};

/// `FilterOidRequest`, `FilterDirectOidRequest`.
pub(crate) unsafe extern "system" fn request<M: FilterModule, P: Route<M>>(
    context: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
) -> NDIS_STATUS {
    // SAFETY: NDIS calls it between attach and detach.
    let core = unsafe { ModuleCore::<M>::called_back(context) };
    // SAFETY: NDIS calls it at or below DISPATCH_LEVEL.
    let mut irql = unsafe { AtMostDispatch::assume(false) };
    core.around(Call::FilterOidRequest, || {
        // SAFETY: NDIS has given the request, and detaches no module that has one.
        match unsafe { oid::arrive::<M, P>(core, request, &mut irql) } {
            Some(status) => status.into_raw(),
            None => NDIS_STATUS_PENDING,
        }
    })
}

/// `FilterOidRequestComplete`, `FilterDirectOidRequestComplete`.
pub(crate) unsafe extern "system" fn request_complete<M: FilterModule, P: Route<M>>(
    context: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
    status: NDIS_STATUS,
) {
    // SAFETY: NDIS calls it between attach and detach.
    let core = unsafe { ModuleCore::<M>::called_back(context) };
    // SAFETY: NDIS calls it at or below DISPATCH_LEVEL.
    let mut irql = unsafe { AtMostDispatch::assume(false) };
    core.around(Call::FilterOidRequestComplete, || {
        // SAFETY: NDIS gives back what the module has sent, and detaches no module that has a request.
        unsafe { oid::come_back::<M, P>(core, request, Status::from_raw(status), &mut irql) };
    });
}

/// `FilterCancelOidRequest`, `FilterCancelDirectOidRequest`.
pub(crate) unsafe extern "system" fn cancel_request<M: FilterModule, P: Route<M>>(
    context: NDIS_HANDLE,
    id: *mut c_void,
) {
    // SAFETY: NDIS calls it between attach and detach.
    let core = unsafe { ModuleCore::<M>::called_back(context) };
    // SAFETY: NDIS calls it at or below DISPATCH_LEVEL.
    let mut irql = unsafe { AtMostDispatch::assume(false) };
    core.around(Call::FilterCancelOidRequest, || {
        // SAFETY: the module is attached as long as this runs.
        unsafe { oid::cancel::<M, P>(core, id, &mut irql) };
    });
}

/// `FilterSynchronousOidRequest`.
pub(crate) unsafe extern "system" fn synchronous_request<M: SyncOidPath>(
    context: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
    call_context: *mut *mut c_void,
) -> NDIS_STATUS {
    // SAFETY: NDIS calls it between attach and detach.
    let core = unsafe { ModuleCore::<M>::called_back(context) };
    // SAFETY: NDIS calls it at or below DISPATCH_LEVEL.
    let mut irql = unsafe { AtMostDispatch::assume(false) };
    core.around(Call::FilterSynchronousOidRequest, || {
        // SAFETY: NDIS lends the request to this activation.
        match unsafe { oid::arrive_synchronously(core, request, &mut irql) } {
            Course::On(context) => {
                // SAFETY: NDIS lends the place, for a value that only its completion looks at.
                unsafe { call_context.write(context.into_raw()) };
                Status::SUCCESS.into_raw()
            }
            Course::Done => NDIS_STATUS_ALREADY_COMPLETE,
            Course::Ended(status) => status.into_raw(),
        }
    })
}

/// `FilterSynchronousOidRequestComplete`.
pub(crate) unsafe extern "system" fn synchronous_request_complete<M: SyncOidPath>(
    context: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
    status: *mut NDIS_STATUS,
    call_context: *mut c_void,
) {
    // SAFETY: NDIS calls it between attach and detach.
    let core = unsafe { ModuleCore::<M>::called_back(context) };
    // SAFETY: NDIS calls it at or below DISPATCH_LEVEL.
    let mut irql = unsafe { AtMostDispatch::assume(false) };
    core.around(Call::FilterSynchronousOidRequestComplete, || {
        // SAFETY: NDIS lends the request to this activation.
        let Some(raw) = (unsafe { Raw::checked(request) }) else {
            return;
        };
        let CallContext { word, room } = CallContext::from_raw(call_context);
        // SAFETY: NDIS lends the status, to be read and written.
        let mut answer = Answered::new(raw, room, Status::from_raw(unsafe { status.read() }));
        // SAFETY: the module is attached as long as this runs.
        let attached = unsafe { Attached::new(core) };
        M::synchronous_oid_answered(&attached, word, &mut answer, &mut irql);
        // SAFETY: as above.
        unsafe { status.write(answer.status().into_raw()) };
    });
}
