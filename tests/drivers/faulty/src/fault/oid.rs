//! OID requests as they should be handled, and what the other files of this area share.

use core::ffi::c_void;
use core::mem::zeroed;
use core::ptr::{self, null_mut};

use crate::abi::{
    ExAllocatePool2, ExFreePoolWithTag, NDIS_FILTER_RESTART_PARAMETERS, NDIS_OBJECT_HEADER,
    NDIS_OBJECT_TYPE_OID_REQUEST, NDIS_OID_REQUEST, NDIS_OID_REQUEST_REVISION_1,
    NDIS_SIZEOF_OID_REQUEST_REVISION_1, NDIS_STATUS, NDIS_STATUS_PENDING,
    NDIS_STATUS_REQUEST_ABORTED, NDIS_STATUS_RESOURCES, NDIS_STATUS_SUCCESS,
    NdisAllocateCloneOidRequest, NdisFCancelDirectOidRequest, NdisFCancelOidRequest,
    NdisFDirectOidRequest, NdisFDirectOidRequestComplete, NdisFOidRequest, NdisFOidRequestComplete,
    NdisFreeCloneOidRequest, NdisRequestMethod, NdisRequestQueryInformation,
    NdisRequestSetInformation, OID_GEN_LINK_STATE, POOL_FLAG_NON_PAGED,
};
use crate::module::Module;
use crate::play::{NOTHING, Play};

/// Pool tag of requests, `FltO`.
pub(crate) const TAG: u32 = u32::from_le_bytes(*b"FltO");

pub(crate) const PLAYS: &[Play] = &[FORWARD, OWN, ANSWERED, PENDED, DIRECT, SYNCHRONOUS];

// legal: oid-forwarded near oid-clone-balanced, oid-clone-freed-first, oid-clone-null, oid-copy-back
// legal: oid-forwarded near oid-complete-same-pointer, oid-forward-needs-clone, oid-clone-request-id
// legal: oid-forwarded near oid-both-completion-paths, oid-cancel-forward, oid-must-succeed-list
// legal: oid-forwarded near oid-supported-revision, oid-bytes-in-bounds, oid-query-buffer-length
// legal: oid-forwarded near oid-reserved-areas, reg-pair-oid-call-needs-complete, oid-pass-unknown, pause-oids-continue

/// All regular requests are passed on.
pub(crate) const FORWARD: Play = Play {
    name: "oid-forwarded",
    oid: Some(forward),
    oid_complete: Some(complete),
    cancel_oid: Some(cancel),
    ..NOTHING
};

// legal: oid-own near oid-own-not-completed-up, oid-request-header, oid-request-nonpaged, oid-request-state
// legal: oid-own near attach-prefer-parameters, oid-request-not-touched-pending, oid-wait-passive, detach-no-own-oid

/// The filter asks for itself: in restart, with traffic, and in pause.
const OWN: Play = Play {
    name: "oid-own",
    oid_complete: Some(complete_own),
    restart: Some(ask_in_restart),
    traffic: Some(ask),
    pause: Some(ask_in_pause),
    ..FORWARD
};

// legal: oid-answered near oid-complete-once, oid-one-at-a-time, oid-double-complete-dv

/// The filter answers at once, without anybody below.
const ANSWERED: Play = Play {
    name: "oid-answered",
    oid: Some(answer),
    oid_complete: Some(complete),
    direct_oid: Some(answer),
    direct_oid_complete: Some(complete_direct),
    ..NOTHING
};

// legal: oid-pended near oid-complete-status, oid-timed, oid-cancel-local, reg-queue-oids-needs-cancel, oid-double-complete-workitem

/// The filter answers later, from its work item, unless the request is cancelled first.
const PENDED: Play = Play {
    name: "oid-pended",
    oid: Some(pend),
    oid_complete: Some(complete),
    cancel_oid: Some(cancel_pended),
    work: Some(answer_pended),
    ..NOTHING
};

// legal: oid-direct near reg-pair-direct-call-needs-complete

/// Direct requests are passed on.
const DIRECT: Play = Play {
    name: "oid-direct",
    direct_oid: Some(forward_direct),
    direct_oid_complete: Some(complete_direct),
    cancel_direct_oid: Some(cancel_direct),
    ..NOTHING
};

// legal: oid-synchronous near sync-oid-no-pending, sync-oid-unknown-success, sync-oid-no-clone
// legal: oid-synchronous near sync-oid-field-access, rssv2-oid-not-delayed

/// Synchronous requests are looked at on both ways.
const SYNCHRONOUS: Play = Play {
    name: "oid-synchronous",
    sync_oid: Some(look_synchronously),
    sync_oid_complete: Some(complete_synchronously),
    ..NOTHING
};

/// Allocates a clone that knows its original; NULL without one.
#[inline(always)]
pub(crate) fn clone(module: &Module, request: *mut NDIS_OID_REQUEST) -> *mut NDIS_OID_REQUEST {
    let mut clone = null_mut();
    // SAFETY: a request that this module was given; the out parameter is valid for the call.
    let status =
        unsafe { NdisAllocateCloneOidRequest(module.handle, request, TAG, &raw mut clone) };
    if status != NDIS_STATUS_SUCCESS {
        return null_mut();
    }
    set_original(clone, request);
    clone
}

fn set_original(clone: *mut NDIS_OID_REQUEST, original: *mut NDIS_OID_REQUEST) {
    // SAFETY: the clone is this filter's.
    let own = unsafe { &raw mut (*clone).SourceReserved };
    // SAFETY: 16 bytes, aligned to 8.
    unsafe { ptr::write(own.cast(), original) };
}

/// The original of a clone.
pub(crate) fn original(clone: *mut NDIS_OID_REQUEST) -> *mut NDIS_OID_REQUEST {
    // SAFETY: the clone is this filter's.
    let own = unsafe { &raw const (*clone).SourceReserved };
    // SAFETY: `set_original` wrote it.
    unsafe { ptr::read(own.cast()) }
}

/// Copies the results of a clone to its original.
pub(crate) fn copy_back(from: *mut NDIS_OID_REQUEST, to: *mut NDIS_OID_REQUEST) {
    // SAFETY: this filter's for now.
    let from = unsafe { &*from };
    // SAFETY: as above, and another request.
    let to = unsafe { &mut *to };
    to.SupportedRevision = from.SupportedRevision;
    if from.RequestType == NdisRequestSetInformation {
        // SAFETY: the type says which member is in use, and it is the same in both.
        let results = unsafe { &from.DATA.SET_INFORMATION };
        // SAFETY: as above.
        let original = unsafe { &mut to.DATA.SET_INFORMATION };
        original.BytesRead = results.BytesRead;
        original.BytesNeeded = results.BytesNeeded;
    } else if from.RequestType == NdisRequestMethod {
        // SAFETY: as above.
        let results = unsafe { &from.DATA.METHOD_INFORMATION };
        // SAFETY: as above.
        let original = unsafe { &mut to.DATA.METHOD_INFORMATION };
        original.OutputBufferLength = results.OutputBufferLength;
        original.BytesWritten = results.BytesWritten;
        original.BytesRead = results.BytesRead;
        original.BytesNeeded = results.BytesNeeded;
    } else {
        // SAFETY: as above.
        let results = unsafe { &from.DATA.QUERY_INFORMATION };
        // SAFETY: as above.
        let original = unsafe { &mut to.DATA.QUERY_INFORMATION };
        original.BytesWritten = results.BytesWritten;
        original.BytesNeeded = results.BytesNeeded;
    }
}

/// Frees a clone that is not below.
pub(crate) fn free(module: &Module, clone: *mut NDIS_OID_REQUEST) {
    // SAFETY: allocated with this module's handle, freed once.
    unsafe { NdisFreeCloneOidRequest(module.handle, clone) };
}

/// Passes a request on.
pub(crate) fn forward(module: &'static Module, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    let clone = clone(module, request);
    if clone.is_null() {
        return NDIS_STATUS_RESOURCES;
    }
    // SAFETY: a clone that is not below.
    let status = unsafe { NdisFOidRequest(module.handle, clone) };
    if status != NDIS_STATUS_PENDING {
        copy_back(clone, request);
        free(module, clone);
    }
    status
}

/// A clone is back.
pub(crate) fn complete(module: &'static Module, clone: *mut NDIS_OID_REQUEST, status: NDIS_STATUS) {
    let request = original(clone);
    copy_back(clone, request);
    free(module, clone);
    // SAFETY: the request is pending here, and nobody else completes it.
    unsafe { NdisFOidRequestComplete(module.handle, request, status) };
}

/// Clones carry the identifiers of their originals.
pub(crate) fn cancel(module: &'static Module, id: *mut c_void) {
    // SAFETY: callable up to DISPATCH_LEVEL.
    unsafe { NdisFCancelOidRequest(module.handle, id) };
}

fn forward_direct(module: &'static Module, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    let clone = clone(module, request);
    if clone.is_null() {
        return NDIS_STATUS_RESOURCES;
    }
    // SAFETY: a clone that is not below.
    let status = unsafe { NdisFDirectOidRequest(module.handle, clone) };
    if status != NDIS_STATUS_PENDING {
        copy_back(clone, request);
        free(module, clone);
    }
    status
}

/// A direct clone is back.
pub(crate) fn complete_direct(
    module: &'static Module,
    clone: *mut NDIS_OID_REQUEST,
    status: NDIS_STATUS,
) {
    let request = original(clone);
    copy_back(clone, request);
    free(module, clone);
    // SAFETY: the request is pending here, and nobody else completes it.
    unsafe { NdisFDirectOidRequestComplete(module.handle, request, status) };
}

fn cancel_direct(module: &'static Module, id: *mut c_void) {
    // SAFETY: callable up to DISPATCH_LEVEL.
    unsafe { NdisFCancelDirectOidRequest(module.handle, id) };
}

/// What a request is answered with by this filter alone.
pub(crate) fn answer(_: &'static Module, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    // SAFETY: given to this filter.
    let request = unsafe { &mut *request };
    request.SupportedRevision = 1;
    if request.RequestType == NdisRequestSetInformation {
        // SAFETY: the type says which member is in use.
        let set = unsafe { &mut request.DATA.SET_INFORMATION };
        set.BytesRead = set.InformationBufferLength;
    } else if request.RequestType == NdisRequestMethod {
        // SAFETY: as above.
        let method = unsafe { &mut request.DATA.METHOD_INFORMATION };
        method.BytesWritten = 0;
        method.BytesRead = method.InputBufferLength;
    } else {
        // SAFETY: as above.
        let query = unsafe { &mut request.DATA.QUERY_INFORMATION };
        query.BytesWritten = 0;
    }
    NDIS_STATUS_SUCCESS
}

/// Has a method say that it has written much more than there was room for; whether it is one.
pub(crate) fn raise_room(request: *mut NDIS_OID_REQUEST) -> bool {
    /// So much that there is no memory at its end.
    const MUCH: u32 = 0x4000_0000;
    // SAFETY: given to this filter.
    let request = unsafe { &mut *request };
    if request.RequestType != NdisRequestMethod {
        return false;
    }
    // SAFETY: the type says which member is in use.
    let method = unsafe { &mut request.DATA.METHOD_INFORMATION };
    let (buffer, room) = (
        method.InformationBuffer.cast::<u8>(),
        method.OutputBufferLength,
    );
    // SAFETY: so many bytes are there, for the answer.
    unsafe { ptr::write_bytes(buffer, 0, room as usize) };
    method.OutputBufferLength = MUCH;
    method.BytesWritten = MUCH;
    true
}

/// Keeps a request for the work item. There is one regular request at a time.
fn pend(module: &'static Module, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    module.keep(request.cast());
    module.defer();
    NDIS_STATUS_PENDING
}

/// Answers what is kept, unless its cancellation took it.
fn answer_pended(module: &'static Module) {
    let request = module.take().cast::<NDIS_OID_REQUEST>();
    if request.is_null() {
        return;
    }
    let status = answer(module, request);
    // SAFETY: the request is pending here, and was taken by this thread only.
    unsafe { NdisFOidRequestComplete(module.handle, request, status) };
}

fn cancel_pended(module: &'static Module, id: *mut c_void) {
    let request = module.take().cast::<NDIS_OID_REQUEST>();
    if request.is_null() {
        return;
    }
    // SAFETY: the request is pending here, and was taken by this thread only.
    let is_it = unsafe { (*request).RequestId } == id;
    if is_it {
        // SAFETY: as above.
        unsafe { NdisFOidRequestComplete(module.handle, request, NDIS_STATUS_REQUEST_ABORTED) };
    } else {
        module.keep(request.cast());
        module.defer();
    }
}

/// A request of the filter's own, for the link state; NULL without memory.
pub(crate) fn own(pool: u64) -> *mut NDIS_OID_REQUEST {
    /// A request and room for the answer.
    #[repr(C)]
    struct Own {
        request: NDIS_OID_REQUEST,
        answer: [u64; 8],
    }
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    let memory = unsafe { ExAllocatePool2(pool, size_of::<Own>() as u64, TAG) }.cast::<Own>();
    if memory.is_null() {
        return null_mut();
    }
    // SAFETY: plain data and nullable pointers: all zeroes is a value.
    let mut request: NDIS_OID_REQUEST = unsafe { zeroed() };
    request.Header = NDIS_OBJECT_HEADER {
        Type: NDIS_OBJECT_TYPE_OID_REQUEST,
        Revision: NDIS_OID_REQUEST_REVISION_1,
        Size: NDIS_SIZEOF_OID_REQUEST_REVISION_1,
    };
    request.RequestType = NdisRequestQueryInformation;
    request.RequestId = memory.cast();
    request.DATA.QUERY_INFORMATION.Oid = OID_GEN_LINK_STATE;
    // SAFETY: fresh memory of that size.
    request.DATA.QUERY_INFORMATION.InformationBuffer = unsafe { &raw mut (*memory).answer }.cast();
    request.DATA.QUERY_INFORMATION.InformationBufferLength = size_of::<[u64; 8]>() as u32;
    // SAFETY: as above.
    let at = unsafe { &raw mut (*memory).request };
    // SAFETY: as above; aligned to 16.
    unsafe { ptr::write(at, request) };
    at
}

/// Frees a request of the filter's own.
pub(crate) fn free_own(request: *mut NDIS_OID_REQUEST) {
    // SAFETY: allocated by `own`, freed once.
    unsafe { ExFreePoolWithTag(request.cast(), TAG) };
}

/// Asks for itself; the answer comes at once or through `complete_own`.
pub(crate) fn ask(module: &'static Module) {
    let request = own(POOL_FLAG_NON_PAGED);
    if request.is_null() {
        return;
    }
    module.begin();
    // SAFETY: a request of this filter's that is not below.
    let status = unsafe { NdisFOidRequest(module.handle, request) };
    if status != NDIS_STATUS_PENDING {
        free_own(request);
        module.end();
    }
}

fn ask_in_restart(module: &'static Module, _: *mut NDIS_FILTER_RESTART_PARAMETERS) -> NDIS_STATUS {
    ask(module);
    NDIS_STATUS_SUCCESS
}

fn ask_in_pause(module: &'static Module) -> NDIS_STATUS {
    ask(module);
    NDIS_STATUS_SUCCESS
}

/// A clone is back, or a request of the filter's own: that one knows no original.
pub(crate) fn complete_own(
    module: &'static Module,
    request: *mut NDIS_OID_REQUEST,
    status: NDIS_STATUS,
) {
    if original(request).is_null() {
        free_own(request);
        module.end();
    } else {
        complete(module, request, status);
    }
}

fn look_synchronously(
    _: &'static Module,
    request: *mut NDIS_OID_REQUEST,
    context: *mut *mut c_void,
) -> NDIS_STATUS {
    // SAFETY: room for a pointer of the filter's, for this request.
    unsafe { *context = request.cast() };
    NDIS_STATUS_SUCCESS
}

fn complete_synchronously(
    _: &'static Module,
    request: *mut NDIS_OID_REQUEST,
    status: *mut NDIS_STATUS,
    context: *mut c_void,
) {
    if context != request.cast() {
        // SAFETY: the status of this request, which the filter may change.
        unsafe { *status = NDIS_STATUS_RESOURCES };
    }
}
