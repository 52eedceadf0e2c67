//! OID requests, of the three kinds: what a play has hooks for.

use core::ffi::c_void;

use crate::abi::{
    NDIS_FILTER_DRIVER_CHARACTERISTICS, NDIS_HANDLE, NDIS_OBJECT_TYPE_OID_REQUEST,
    NDIS_OID_REQUEST, NDIS_OID_REQUEST_REVISION_1, NDIS_SIZEOF_OID_REQUEST_REVISION_1,
    NDIS_SIZEOF_OID_REQUEST_REVISION_2, NDIS_STATUS, NDIS_STATUS_INVALID_PARAMETER,
    NDIS_STATUS_NOT_SUPPORTED,
};
use crate::module::Module;
use crate::play::Play;

/// Registers the handlers of the hooks that a play has.
pub(crate) fn add_handlers(play: &Play, to: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    if play.oid.is_some() {
        to.OidRequestHandler = Some(request);
    }
    if play.oid_complete.is_some() {
        to.OidRequestCompleteHandler = Some(complete);
    }
    if play.cancel_oid.is_some() {
        to.CancelOidRequestHandler = Some(cancel);
    }
    if play.direct_oid.is_some() {
        to.DirectOidRequestHandler = Some(direct);
    }
    if play.direct_oid_complete.is_some() {
        to.DirectOidRequestCompleteHandler = Some(direct_complete);
    }
    if play.cancel_direct_oid.is_some() {
        to.CancelDirectOidRequestHandler = Some(cancel_direct);
    }
    if play.sync_oid.is_some() {
        to.SynchronousOidRequestHandler = Some(synchronous);
    }
    if play.sync_oid_complete.is_some() {
        to.SynchronousOidRequestCompleteHandler = Some(synchronous_complete);
    }
}

/// Whether the header is that of a request. NDIS stops the system when it is asked to clone what has none.
fn has_header(request: *mut NDIS_OID_REQUEST) -> bool {
    // SAFETY: NDIS has given it; the header is there.
    let header = unsafe { (*request).Header };
    let least = if header.Revision == NDIS_OID_REQUEST_REVISION_1 {
        NDIS_SIZEOF_OID_REQUEST_REVISION_1
    } else {
        NDIS_SIZEOF_OID_REQUEST_REVISION_2
    };
    header.Type == NDIS_OBJECT_TYPE_OID_REQUEST && header.Size >= least
}

extern "system" fn request(context: NDIS_HANDLE, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    if !has_header(request) {
        return NDIS_STATUS_INVALID_PARAMETER;
    }
    let module = Module::of(context);
    module
        .play
        .oid
        .map_or(NDIS_STATUS_NOT_SUPPORTED, |oid| oid(module, request))
}

extern "system" fn complete(
    context: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
    status: NDIS_STATUS,
) {
    let module = Module::of(context);
    if let Some(complete) = module.play.oid_complete {
        complete(module, request, status);
    }
}

extern "system" fn cancel(context: NDIS_HANDLE, id: *mut c_void) {
    let module = Module::of(context);
    if let Some(cancel) = module.play.cancel_oid {
        cancel(module, id);
    }
}

extern "system" fn direct(context: NDIS_HANDLE, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    if !has_header(request) {
        return NDIS_STATUS_INVALID_PARAMETER;
    }
    let module = Module::of(context);
    module
        .play
        .direct_oid
        .map_or(NDIS_STATUS_NOT_SUPPORTED, |oid| oid(module, request))
}

extern "system" fn direct_complete(
    context: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
    status: NDIS_STATUS,
) {
    let module = Module::of(context);
    if let Some(complete) = module.play.direct_oid_complete {
        complete(module, request, status);
    }
}

extern "system" fn cancel_direct(context: NDIS_HANDLE, id: *mut c_void) {
    let module = Module::of(context);
    if let Some(cancel) = module.play.cancel_direct_oid {
        cancel(module, id);
    }
}

extern "system" fn synchronous(
    context: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
    call_context: *mut *mut c_void,
) -> NDIS_STATUS {
    let module = Module::of(context);
    module
        .play
        .sync_oid
        .map_or(NDIS_STATUS_NOT_SUPPORTED, |oid| {
            oid(module, request, call_context)
        })
}

extern "system" fn synchronous_complete(
    context: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
    status: *mut NDIS_STATUS,
    call_context: *mut c_void,
) {
    let module = Module::of(context);
    if let Some(complete) = module.play.sync_oid_complete {
        complete(module, request, status, call_context);
    }
}
