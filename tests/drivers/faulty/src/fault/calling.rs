//! Calls from a routine that must not make them.

use core::ffi::c_void;
use core::mem::zeroed;
use core::ptr::null_mut;
use core::sync::atomic::Ordering;

use crate::abi::*;
use crate::module::Module;
use crate::play::{NOTHING, Play, stay};
use crate::{configuration, driver, packet};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("calling-attributes-again", set_attributes_again),
    Play {
        name: "calling-forbidden-event",
        net_pnp: Some(forward_forbidden),
        ..NOTHING
    },
    Play {
        name: "calling-event-refused",
        characteristics: Some(refuse_events),
        ..NOTHING
    },
    Play {
        name: "calling-power-waits",
        characteristics: Some(wait_for_sends),
        ..packet::ORIGINATOR
    },
    Play {
        name: "calling-power-at-once",
        net_pnp: Some(send_and_return),
        ..packet::ORIGINATOR
    },
    Play {
        name: "calling-device-event",
        work: Some(notify_from_work),
        ..NOTHING
    },
    Play {
        name: "calling-status-in-detach",
        detach: Some(indicate_in_detach),
        ..NOTHING
    },
    Play {
        name: "calling-terminates-worker",
        work: Some(terminate_worker),
        ..NOTHING
    },
    Play {
        name: "calling-level-probed",
        send: Some(probe_level),
        ..NOTHING
    },
    Play {
        name: "calling-configuration-late",
        work: Some(open_configuration_from_work),
        ..NOTHING
    },
    Play {
        name: "calling-cancel-kept",
        characteristics: Some(keep_cancels),
        ..NOTHING
    },
    Play {
        name: "calling-legal",
        net_pnp: Some(forward),
        device_pnp: Some(notify),
        cancel_send: Some(pass_cancel_on),
        send: Some(trust_flags),
        work: Some(nothing_special),
        ..NOTHING
    },
];

/// `NetEventPause`: one of those that are not for filters.
const NOT_FOR_FILTERS: NET_PNP_EVENT_CODE = NetEventInhibitBindsAbove;

/// Sets the module's context a second time.
#[inline(never)]
fn set_attributes_again(module: &'static Module) {
    let mut attributes = NDIS_FILTER_ATTRIBUTES {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_FILTER_ATTRIBUTES,
            Revision: NDIS_FILTER_ATTRIBUTES_REVISION_1,
            Size: NDIS_SIZEOF_FILTER_ATTRIBUTES_REVISION_1,
        },
        Flags: 0,
    };
    // SAFETY: none: this is the fault.
    unsafe { NdisFSetAttributes(module.handle, module.context(), &raw mut attributes) }; // caught: calling-attributes-again by attach-set-attributes-context
    stay();
}

/// Passes on an event that is not for filters.
#[inline(never)]
fn forward_forbidden(
    module: &'static Module,
    notification: *mut NET_PNP_EVENT_NOTIFICATION,
) -> NDIS_STATUS {
    // SAFETY: the notification that the callback was given.
    unsafe { (*notification).NetPnPEvent.NetEvent = NOT_FOR_FILTERS };
    // SAFETY: none: this is the fault.
    let status = unsafe { NdisFNetPnPEvent(module.handle, notification) }; // caught: calling-forbidden-event by netpnp-forbidden-events
    stay();
    status
}

fn refuse_events(to: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    to.NetPnPEventHandler = Some(refuse);
}

/// Refuses each event, also those that cannot be refused.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn refuse(context: NDIS_HANDLE, notification: *mut NET_PNP_EVENT_NOTIFICATION) -> NDIS_STATUS { // warned: calling-event-refused by netpnp-return
    // SAFETY: the notification that the callback was given, passed on inside it.
    unsafe { NdisFNetPnPEvent(Module::of(context).handle, notification) };
    NDIS_STATUS_FAILURE
}

fn wait_for_sends(to: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    to.NetPnPEventHandler = Some(drain);
}

/// Waits for its sends, as if the miniport would complete them on its way to sleep.
extern "system" fn drain(
    context: NDIS_HANDLE,
    notification: *mut NET_PNP_EVENT_NOTIFICATION,
) -> NDIS_STATUS {
    let module = Module::of(context);
    let status = send_and_return(module, notification);
    if status == NDIS_STATUS_SUCCESS {
        while module.out.load(Ordering::Acquire) != 0 {
            // SAFETY: PASSIVE_LEVEL.
            unsafe { NdisMSleep(1000) }; // caught: calling-power-waits by netpnp-setpower-no-wait with --disturb
        }
    }
    status
}

/// Sends a packet of its own when the adapter goes to another power state, and passes the event on.
// legal: calling-power-at-once near netpnp-setpower-no-wait with --disturb
fn send_and_return(
    module: &'static Module,
    notification: *mut NET_PNP_EVENT_NOTIFICATION,
) -> NDIS_STATUS {
    // SAFETY: the notification that the callback was given.
    let event = unsafe { (*notification).NetPnPEvent.NetEvent };
    if event == NetEventSetPower && module.enter() {
        let own = packet::make(module);
        // SAFETY: the module runs; the packet is its own.
        unsafe { NdisFSendNetBufferLists(module.handle, own, 0, 0) };
        module.leave();
    }
    // SAFETY: the notification that the callback was given, passed on inside it.
    unsafe { NdisFNetPnPEvent(module.handle, notification) }
}

/// Passes on a device event that it was not given.
#[inline(never)]
fn notify_from_work(module: &'static Module) {
    // SAFETY: plain data: all zeroes is a value.
    let mut event: NET_DEVICE_PNP_EVENT = unsafe { zeroed() };
    // SAFETY: none: this is the fault.
    unsafe { NdisFDevicePnPEventNotify(module.handle, &raw mut event) }; // caught: calling-device-event by devpnp-forward-before-return
    stay();
}

/// Indicates a status when the way up is closed.
#[inline(never)]
fn indicate_in_detach(module: &'static Module) -> bool {
    // SAFETY: plain data: all zeroes is a value.
    let mut indication: NDIS_STATUS_INDICATION = unsafe { zeroed() };
    // SAFETY: none: this is the fault.
    unsafe { NdisFIndicateStatus(module.handle, &raw mut indication) }; // caught: calling-status-in-detach by detach-closed-paths
    true
}

/// Ends the thread that runs its work item.
#[inline(never)]
fn terminate_worker(_: &'static Module) {
    // SAFETY: none: this is the fault.
    unsafe { PsTerminateSystemThread(STATUS_SUCCESS) }; // caught: calling-terminates-worker by wi-routine-no-terminate
    stay();
}

/// Asks for the level, which the flags of the call tell.
#[inline(never)]
fn probe_level(
    _: &'static Module,
    lists: *mut NET_BUFFER_LIST,
    _: NDIS_PORT_NUMBER,
    _: u32,
) -> *mut NET_BUFFER_LIST {
    // SAFETY: callable at any IRQL.
    unsafe { KeGetCurrentIrql() }; // warned: calling-level-probed by flags-irql-no-probe
    stay();
    lists
}

/// Opens the configuration when nobody has told it to.
#[inline(never)]
fn open_configuration_from_work(_: &'static Module) {
    let mut object = configuration::object(driver::handle());
    let mut handle = null_mut();
    // SAFETY: PASSIVE_LEVEL; both arguments are valid for the call.
    let status = unsafe { NdisOpenConfigurationEx(&raw mut object, &raw mut handle) }; // warned: calling-configuration-late by config-when
    if status == NDIS_STATUS_SUCCESS {
        // SAFETY: opened above.
        unsafe { NdisCloseConfiguration(handle) };
    }
}

fn keep_cancels(to: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    to.CancelSendNetBufferListsHandler = Some(keep_cancel);
}

/// Does not tell the layer below what is cancelled.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn keep_cancel(context: NDIS_HANDLE, _: *mut c_void) { // caught: calling-cancel-kept by cancel-send-forward
    Module::of(context);
    stay();
}

// legal: calling-legal near attach-set-attributes-context, netpnp-forward-context
// legal: calling-legal near netpnp-forbidden-events, netpnp-return, devpnp-forward-before-return, detach-closed-paths
// legal: calling-legal near flags-irql-no-probe, config-when, cancel-send-forward

fn forward(module: &'static Module, notification: *mut NET_PNP_EVENT_NOTIFICATION) -> NDIS_STATUS {
    let mut object = configuration::object(driver::handle());
    let mut handle = null_mut();
    // SAFETY: PASSIVE_LEVEL; both arguments are valid for the call.
    let status = unsafe { NdisOpenConfigurationEx(&raw mut object, &raw mut handle) };
    if status == NDIS_STATUS_SUCCESS {
        // SAFETY: opened above.
        unsafe { NdisCloseConfiguration(handle) };
    }
    // SAFETY: the notification that the callback was given, passed on inside it.
    unsafe { NdisFNetPnPEvent(module.handle, notification) }
}

fn notify(module: &'static Module, event: *mut NET_DEVICE_PNP_EVENT) {
    // SAFETY: the event that the callback was given, passed on inside it.
    unsafe { NdisFDevicePnPEventNotify(module.handle, event) };
}

fn pass_cancel_on(module: &'static Module, id: *mut c_void) {
    // SAFETY: the id that the callback was given.
    unsafe { NdisFCancelSendNetBufferLists(module.handle, id) };
}

fn trust_flags(
    module: &'static Module,
    lists: *mut NET_BUFFER_LIST,
    _: NDIS_PORT_NUMBER,
    flags: u32,
) -> *mut NET_BUFFER_LIST {
    if flags & NDIS_SEND_FLAGS_DISPATCH_LEVEL == 0 {
        module.progress.fetch_add(1, Ordering::AcqRel);
    }
    lists
}

/// A work item may ask for the level.
fn nothing_special(_: &'static Module) {
    // SAFETY: callable at any IRQL.
    unsafe { KeGetCurrentIrql() };
}
