//! OID requests, regular, direct and synchronous: from above through the filter, and the filter's own downward.

mod above;
mod ask;
mod below;
mod request;

use lab_rules::Kind;
use lab_rules::event::{Header, Lent, OidAlteration, OidEvent, OidPath};

use super::register::read_header;
use super::{disturbance, handle};
use crate::abi::constant::{
    NDIS_OBJECT_TYPE_OID_REQUEST, NDIS_OID_REQUEST_REVISION_1, NDIS_OID_REQUEST_REVISION_2,
    NDIS_SIZEOF_OID_REQUEST_REVISION_1, NDIS_SIZEOF_OID_REQUEST_REVISION_2,
    NDIS_STATUS_INVALID_PARAMETER, NDIS_STATUS_PENDING, NDIS_STATUS_RESOURCES,
};
use crate::abi::ndis::{NDIS_OBJECT_HEADER, NDIS_OID_REQUEST};
use crate::driver;
use crate::nt::{SUCCESS, imports, status};
use crate::rt::mem::{self, BadAddress};
use crate::rt::{Call, pool, sched};
use crate::watch::{OrFault, emit};

pub(crate) use above::{ask_all, ask_one, ask_some, concerns_filter, set_power};

imports! {
    "ndis.sys":
    NdisFOidRequest => oid_request,
    NdisFDirectOidRequest => direct_oid_request,
    NdisFSynchronousOidRequest => synchronous_oid_request,
    NdisFOidRequestComplete => oid_request_complete,
    NdisFDirectOidRequestComplete => direct_oid_request_complete,
    NdisFCancelOidRequest => cancel_oid_request,
    NdisFCancelDirectOidRequest => cancel_oid_request,
    NdisAllocateCloneOidRequest => allocate_clone,
    NdisFreeCloneOidRequest => free_clone,
}

const PENDING: u32 = NDIS_STATUS_PENDING.cast_unsigned();
/// One in so many clones cannot be had.
const NO_CLONE: u64 = 16;

/// Forgets everything: a run begins.
pub(super) fn reset() {
    above::reset();
    below::reset();
}

/// Reads the header of a request of the driver's.
fn header(request: u64) -> Result<Header, BadAddress> {
    let revision = NDIS_OBJECT_HEADER::Revision.read(request)?;
    let (revision, size) = if revision == NDIS_OID_REQUEST_REVISION_2 {
        (revision, NDIS_SIZEOF_OID_REQUEST_REVISION_2)
    } else {
        (
            NDIS_OID_REQUEST_REVISION_1,
            NDIS_SIZEOF_OID_REQUEST_REVISION_1,
        )
    };
    let expected = (NDIS_OBJECT_TYPE_OID_REQUEST, revision, size);
    read_header("NDIS_OID_REQUEST", request, expected)
}

/// The filter sends a request down: its own, or a clone.
fn send(function: &'static str, path: OidPath, call: &Call<'_>) -> u64 {
    let Some(adapter) = handle::module(function, call.arg(0)) else {
        return status(NDIS_STATUS_INVALID_PARAMETER);
    };
    let request = call.arg(1);
    let header = header(request).or_fault();
    emit(Kind::Oid(OidEvent::Sent {
        adapter,
        path,
        request: request::read(request).or_fault(),
        header,
    }));
    if !header.is_valid() {
        return status(NDIS_STATUS_INVALID_PARAMETER);
    }
    u64::from(below::reach(adapter, path, request))
}

fn oid_request(call: &Call<'_>) -> u64 {
    send("NdisFOidRequest", OidPath::Regular, call)
}

fn direct_oid_request(call: &Call<'_>) -> u64 {
    send("NdisFDirectOidRequest", OidPath::Direct, call)
}

fn synchronous_oid_request(call: &Call<'_>) -> u64 {
    send("NdisFSynchronousOidRequest", OidPath::Synchronous, call)
}

/// The filter completes a request that it was given.
fn complete(function: &'static str, path: OidPath, call: &Call<'_>) -> u64 {
    if let Some(adapter) = handle::module(function, call.arg(0)) {
        let (request, status) = (call.arg(1), call.arg_u32(2));
        emit(Kind::Oid(OidEvent::Completed {
            adapter,
            path,
            request: request::read(request).unwrap_or_else(|_| request::gone(request)),
            status,
        }));
        above::check(adapter, request, OidAlteration::Reserved);
        if let Some(exposed) = above::exposed(request, status) {
            emit(exposed);
        }
        above::finish(request, status);
    }
    0
}

fn oid_request_complete(call: &Call<'_>) -> u64 {
    complete("NdisFOidRequestComplete", OidPath::Regular, call)
}

fn direct_oid_request_complete(call: &Call<'_>) -> u64 {
    complete("NdisFDirectOidRequestComplete", OidPath::Direct, call)
}

/// The filter cancels what it has below.
fn cancel_oid_request(call: &Call<'_>) -> u64 {
    if let Some(adapter) = handle::module(call.import().name, call.arg(0)) {
        let id = call.arg(1);
        emit(Kind::Oid(OidEvent::CancelSent { adapter, id }));
        below::cancel(adapter, id);
    }
    0
}

fn allocate_clone(call: &Call<'_>) -> u64 {
    let (source, out) = (call.arg(1), call.arg(3));
    let Some(adapter) = handle::module("NdisAllocateCloneOidRequest", call.arg(0)) else {
        return status(NDIS_STATUS_INVALID_PARAMETER);
    };
    if !header(source).or_fault().is_valid() {
        emit(Kind::Oid(OidEvent::CloneRefused { source }));
        return status(NDIS_STATUS_INVALID_PARAMETER);
    }
    let clone = if disturbance::may_refuse() && sched::chance(1, NO_CLONE) {
        0
    } else {
        let clone = driver::lend(Lent::Request, NDIS_OID_REQUEST::SIZE);
        request::copy(source, clone).or_fault();
        clone
    };
    emit(Kind::Oid(OidEvent::Cloned {
        adapter,
        source,
        clone,
    }));
    if clone == 0 {
        return status(NDIS_STATUS_RESOURCES);
    }
    mem::write(out, clone).or_fault();
    SUCCESS
}

fn free_clone(call: &Call<'_>) -> u64 {
    if let Some(adapter) = handle::module("NdisFreeCloneOidRequest", call.arg(0)) {
        let clone = call.arg(1);
        emit(Kind::Oid(OidEvent::CloneFreed { adapter, clone }));
        // One that was freed before broke a rule, which may be switched off.
        if pool::find(clone).is_some_and(|block| block.freed.is_none()) {
            driver::release(clone);
        }
    }
    0
}
