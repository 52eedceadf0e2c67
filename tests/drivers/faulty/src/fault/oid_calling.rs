//! Calls and levels in the handlers of OID requests.

use core::ffi::c_void;
use core::mem::{MaybeUninit, zeroed};

use super::oid;
use crate::abi::*;
use crate::level::{DEVICE_LEVEL, KERNEL_MODE, from_now_us, lower, raise};
use crate::module::Module;
use crate::play::{NOTHING, Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("oid-in-attach", request_in_attach),
    Play::in_attach("oid-cancelled-above", cancel_above_dispatch),
    Play {
        name: "oid-event-in-handler",
        oid: Some(send_event),
        ..oid::FORWARD
    },
    Play {
        name: "oid-waits-at-dispatch",
        oid: Some(wait_at_dispatch),
        ..oid::FORWARD
    },
    Play {
        name: "oid-sync-keeps-level",
        characteristics: Some(|it| it.SynchronousOidRequestHandler = Some(keep_level)),
        ..NOTHING
    },
    Play {
        name: "oid-sync-blocks",
        sync_oid: Some(block),
        ..NOTHING
    },
    Play {
        name: "oid-careful",
        attach: Some(cancel_at_dispatch),
        oid: Some(wait_and_forward),
        sync_oid: Some(look),
        ..oid::FORWARD
    },
];

/// Sends a request before the module is attached.
#[inline(never)]
fn request_in_attach(module: &'static Module) {
    // SAFETY: plain data: all zeroes is a value.
    let mut request: NDIS_OID_REQUEST = unsafe { zeroed() };
    // SAFETY: none: this is the fault.
    unsafe { NdisFOidRequest(module.handle, &raw mut request) }; // caught: oid-in-attach by attach-no-oid
    stay();
}

/// `NdisFCancelOidRequest` is callable up to DISPATCH_LEVEL.
fn cancel_above_dispatch(module: &'static Module) {
    let old = raise(DEVICE_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { NdisFCancelOidRequest(module.handle, module.context()) }; // caught: oid-cancelled-above by oid-request-irql
    lower(old);
}

/// Sends a PnP event up while it handles a request, where the level allows it.
#[inline(never)]
fn send_event(module: &'static Module, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    // SAFETY: plain data: all zeroes is a value.
    let mut event: NET_PNP_EVENT_NOTIFICATION = unsafe { zeroed() };
    // SAFETY: callable at any IRQL.
    if unsafe { KeGetCurrentIrql() } == PASSIVE_LEVEL {
        // SAFETY: none: this is the fault.
        unsafe { NdisFNetPnPEvent(module.handle, &raw mut event) }; // caught: oid-event-in-handler by oid-no-netpnp-in-handler
    }
    oid::forward(module, request)
}

/// An event that nobody sets.
fn event() -> MaybeUninit<NDIS_EVENT> {
    let mut event = MaybeUninit::uninit();
    // SAFETY: callable up to DISPATCH_LEVEL; the event outlives its use.
    unsafe { NdisInitializeEvent(event.as_mut_ptr()) };
    event
}

/// Believes that requests come at PASSIVE_LEVEL.
#[inline(never)]
fn wait_at_dispatch(module: &'static Module, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    let mut event = event();
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { NdisWaitEvent(event.as_mut_ptr(), 1) }; // caught: oid-waits-at-dispatch by oid-handler-no-passive-assumption
    lower(old);
    oid::forward(module, request)
}

/// Returns at a higher level than it was called at.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn keep_level(_: NDIS_HANDLE, _: *mut NDIS_OID_REQUEST, _: *mut *mut c_void) -> NDIS_STATUS { // caught: oid-sync-keeps-level by sync-oid-irql-restored
    raise(DEVICE_LEVEL);
    stay();
    NDIS_STATUS_SUCCESS
}

/// Sleeps with a synchronous request, at any level.
#[inline(never)]
fn block(_: &'static Module, _: *mut NDIS_OID_REQUEST, _: *mut *mut c_void) -> NDIS_STATUS {
    let mut soon = from_now_us(1);
    // SAFETY: none: this is the fault.
    unsafe { KeDelayExecutionThread(KERNEL_MODE, 0, &raw mut soon) }; // caught: oid-sync-blocks by sync-oid-no-block
    stay();
    NDIS_STATUS_SUCCESS
}

// legal: oid-careful near attach-no-oid, oid-request-irql, oid-no-netpnp-in-handler
// legal: oid-careful near oid-handler-no-passive-assumption, sync-oid-irql-restored, sync-oid-no-block

fn cancel_at_dispatch(module: &'static Module) {
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: callable up to DISPATCH_LEVEL; nothing is pending under the id.
    unsafe { NdisFCancelOidRequest(module.handle, module.context()) };
    lower(old);
}

/// Waits only where it may.
fn wait_and_forward(module: &'static Module, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    let mut event = event();
    // SAFETY: callable at any IRQL.
    if unsafe { KeGetCurrentIrql() } == PASSIVE_LEVEL {
        // SAFETY: PASSIVE_LEVEL; the event is initialised.
        unsafe { NdisWaitEvent(event.as_mut_ptr(), 1) };
    }
    oid::forward(module, request)
}

/// Goes up and comes back, and looks at an object without waiting for it.
fn look(_: &'static Module, _: *mut NDIS_OID_REQUEST, _: *mut *mut c_void) -> NDIS_STATUS {
    let mut event = MaybeUninit::<KEVENT>::uninit();
    // SAFETY: callable at any IRQL.
    unsafe { KeInitializeEvent(event.as_mut_ptr().cast(), NotificationEvent, 0) };
    let mut now = from_now_us(0);
    let object = event.as_mut_ptr().cast();
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: a wait that only looks may be made at DISPATCH_LEVEL.
    unsafe { KeWaitForSingleObject(object, Executive, KERNEL_MODE, 0, &raw mut now) };
    lower(old);
    NDIS_STATUS_SUCCESS
}
