//! Requests of the filter's own, sent wrongly.

use core::mem::MaybeUninit;

use super::oid::{self, FORWARD};
use crate::abi::{
    DISPATCH_LEVEL, ExFreePoolWithTag, KeLowerIrql, KfRaiseIrql, NDIS_EVENT, NDIS_OID_REQUEST,
    NDIS_STATUS, NDIS_STATUS_PENDING, NdisFOidRequest, NdisFOidRequestComplete,
    NdisInitializeEvent, NdisMSleep, NdisWaitEvent, OID_802_3_CURRENT_ADDRESS, POOL_FLAG_NON_PAGED,
    POOL_FLAG_PAGED,
};
use crate::module::Module;
use crate::play::{Play, stay};

/// What all of these have beside their fault.
const ASK: Play = Play {
    oid_complete: Some(oid::complete_own),
    ..FORWARD
};

pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "oid-own-completed-up",
        oid_complete: Some(complete_own_up),
        traffic: Some(oid::ask),
        ..FORWARD
    },
    Play {
        name: "oid-own-bad-header",
        traffic: Some(send_bad_header),
        ..ASK
    },
    Play {
        name: "oid-own-paged",
        work: Some(send_paged),
        ..ASK
    },
    Play {
        name: "oid-own-changed-below",
        traffic: Some(change_below),
        ..ASK
    },
    Play {
        name: "oid-own-freed-below",
        traffic: Some(free_below),
        ..ASK
    },
    Play {
        name: "oid-own-while-attaching",
        attach: Some(defer_and_stay),
        work: Some(send_while_attaching),
        ..ASK
    },
    Play {
        name: "oid-own-waited-at-dispatch",
        work: Some(wait_at_dispatch),
        ..ASK
    },
    Play {
        name: "oid-own-address",
        oid_complete: Some(oid::complete_own),
        traffic: Some(ask_for_address),
        ..FORWARD
    },
    Play {
        name: "oid-own-at-detach",
        oid_complete: Some(free_answer),
        detach: Some(defer_at_detach),
        work: Some(send_many),
        ..FORWARD
    },
];

/// Completes upward what nobody above has asked for.
#[inline(never)]
fn complete_own_up(module: &'static Module, request: *mut NDIS_OID_REQUEST, status: NDIS_STATUS) {
    if !oid::original(request).is_null() {
        return oid::complete(module, request, status);
    }
    // SAFETY: none: this is the fault.
    unsafe { NdisFOidRequestComplete(module.handle, request, status) }; // caught: oid-own-completed-up by oid-own-not-completed-up
    stay();
}

/// Asks for what its attach parameters have told.
#[inline(never)]
fn ask_for_address(module: &'static Module) {
    let request = oid::own(POOL_FLAG_NON_PAGED);
    if request.is_null() {
        return;
    }
    // SAFETY: this filter's.
    let data = unsafe { &mut (*request).DATA };
    data.QUERY_INFORMATION.Oid = OID_802_3_CURRENT_ADDRESS;
    module.begin();
    // SAFETY: a request of this filter's that is not below.
    let status = unsafe { NdisFOidRequest(module.handle, request) }; // warned: oid-own-address by attach-prefer-parameters
    if status != NDIS_STATUS_PENDING {
        oid::free_own(request);
        module.end();
    }
}

#[inline(never)]
fn send_bad_header(module: &'static Module) {
    let request = oid::own(POOL_FLAG_NON_PAGED);
    // SAFETY: this filter's.
    unsafe { (*request).Header.Size = 16 };
    // SAFETY: none: this is the fault.
    unsafe { NdisFOidRequest(module.handle, request) }; // caught: oid-own-bad-header by oid-request-header
    stay();
}

#[inline(never)]
fn send_paged(module: &'static Module) {
    let request = oid::own(POOL_FLAG_PAGED);
    // SAFETY: none: this is the fault.
    unsafe { NdisFOidRequest(module.handle, request) }; // caught: oid-own-paged by oid-request-nonpaged
    stay();
}

/// Changes a request that is below.
#[inline(never)]
fn change_below(module: &'static Module) {
    let request = oid::own(POOL_FLAG_NON_PAGED);
    module.begin();
    // SAFETY: a request of this filter's that is not below.
    let status = unsafe { NdisFOidRequest(module.handle, request) }; // caught: oid-own-changed-below by oid-request-not-touched-pending
    if status == NDIS_STATUS_PENDING {
        // SAFETY: none: this is the fault, unless it is back already.
        unsafe { (*request).Timeout = 7 };
    } else {
        oid::free_own(request);
        module.end();
    }
}

/// Frees a request that is below.
#[inline(never)]
fn free_below(module: &'static Module) {
    let request = oid::own(POOL_FLAG_NON_PAGED);
    module.begin();
    // SAFETY: a request of this filter's that is not below.
    let status = unsafe { NdisFOidRequest(module.handle, request) };
    if status == NDIS_STATUS_PENDING {
        // Keeps the optimiser from merging this call with the one of `free_own`.
        stay();
        // SAFETY: none: this is the fault.
        unsafe { ExFreePoolWithTag(request.cast(), oid::TAG) }; // caught: oid-own-freed-below by oid-request-not-touched-pending
        stay();
    } else {
        oid::free_own(request);
        module.end();
    }
}

/// Lets the work item run while attach does.
fn defer_and_stay(module: &'static Module) {
    module.defer();
    // SAFETY: PASSIVE_LEVEL.
    unsafe { NdisMSleep(20_000) };
}

#[inline(never)]
fn send_while_attaching(module: &'static Module) {
    let request = oid::own(POOL_FLAG_NON_PAGED);
    // SAFETY: none: this is the fault.
    unsafe { NdisFOidRequest(module.handle, request) }; // caught: oid-own-while-attaching by oid-request-state
    stay();
}

/// Waits for its request where it cannot.
#[inline(never)]
fn wait_at_dispatch(module: &'static Module) {
    let mut event = MaybeUninit::<NDIS_EVENT>::uninit();
    // SAFETY: callable at any IRQL; the event outlives its use.
    unsafe { NdisInitializeEvent(event.as_mut_ptr()) };
    // SAFETY: lowered below.
    let old = unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
    // Until one is pending.
    for _ in 0..64 {
        let request = oid::own(POOL_FLAG_NON_PAGED);
        module.begin();
        // SAFETY: a request of this filter's that is not below.
        let status = unsafe { NdisFOidRequest(module.handle, request) };
        if status == NDIS_STATUS_PENDING {
            // SAFETY: none: this is the fault.
            unsafe { NdisWaitEvent(event.as_mut_ptr(), 1) }; // caught: oid-own-waited-at-dispatch by oid-wait-passive
            break;
        }
        oid::free_own(request);
        module.end();
    }
    // SAFETY: the level that the raise returned.
    unsafe { KeLowerIrql(old) };
}

/// Detach waits for the work item, and not for what that has sent.
fn defer_at_detach(module: &'static Module) -> bool {
    module.keep(module.context());
    module.defer();
    module.drain_work();
    false
}

fn free_answer(module: &'static Module, request: *mut NDIS_OID_REQUEST, status: NDIS_STATUS) {
    if oid::original(request).is_null() {
        oid::free_own(request);
    } else {
        oid::complete(module, request, status);
    }
}

#[inline(never)]
fn send_many(module: &'static Module) {
    if module.take().is_null() {
        return;
    }
    for _ in 0..256 {
        let request = oid::own(POOL_FLAG_NON_PAGED);
        // SAFETY: a request of this filter's; that detach does not wait for it is the fault.
        let status = unsafe { NdisFOidRequest(module.handle, request) }; // caught: oid-own-at-detach by detach-no-own-oid
        if status != NDIS_STATUS_PENDING {
            oid::free_own(request);
        }
    }
}
