//! What a play is: the points at which it does something of its own.

use core::ffi::c_void;
use core::hint::black_box;
use core::panic::Location;

use crate::abi::{
    DRIVER_OBJECT, NDIS_FILTER_ATTACH_PARAMETERS, NDIS_FILTER_ATTRIBUTES,
    NDIS_FILTER_DRIVER_CHARACTERISTICS, NDIS_FILTER_RESTART_PARAMETERS, NDIS_HANDLE,
    NDIS_OID_REQUEST, NDIS_PORT_NUMBER, NDIS_STATUS, NDIS_STATUS_INDICATION, NET_BUFFER_LIST,
    NET_DEVICE_PNP_EVENT, NET_PNP_EVENT_NOTIFICATION, NTSTATUS,
};
use crate::module::Module;

/// Takes lists, port and flags; gives the lists that are left.
type SendHook =
    fn(&'static Module, *mut NET_BUFFER_LIST, NDIS_PORT_NUMBER, u32) -> *mut NET_BUFFER_LIST;

/// Takes lists, port, count and flags; gives the lists that are left, and their count.
type ReceiveHook = fn(
    &'static Module,
    *mut NET_BUFFER_LIST,
    NDIS_PORT_NUMBER,
    u32,
    u32,
) -> (*mut NET_BUFFER_LIST, u32);

/// A named way to behave. Where a hook is `None`, the driver does what is right and plain.
///
/// Handlers of optional paths (from `module_options` and `cancel_send` on down to `sync_oid_complete`) are
/// registered only for a play that has the hook; they do nothing but call it.
pub(crate) struct Play {
    /// What `Fault` is set to.
    pub(crate) name: &'static str,
    /// In `DriverEntry`, with the unload routine set and nothing registered yet; a failure is what
    /// `DriverEntry` returns.
    pub(crate) load: Option<fn(*mut DRIVER_OBJECT) -> NTSTATUS>,
    /// Changes what is registered.
    pub(crate) characteristics: Option<fn(&mut NDIS_FILTER_DRIVER_CHARACTERISTICS)>,
    /// `FilterSetOptions`, with the driver's handle published.
    pub(crate) options: Option<fn(NDIS_HANDLE) -> NDIS_STATUS>,
    /// In `DriverEntry` after registration: what `DriverEntry` returns.
    pub(crate) registered: Option<fn(NDIS_HANDLE) -> NTSTATUS>,
    /// First thing in `FilterAttach`; a failure is what attach returns.
    pub(crate) early_attach:
        Option<fn(NDIS_HANDLE, *mut NDIS_FILTER_ATTACH_PARAMETERS) -> NDIS_STATUS>,
    /// Changes what `NdisFSetAttributes` is given.
    pub(crate) attributes: Option<fn(&mut NDIS_FILTER_ATTRIBUTES)>,
    /// Last thing in a successful `FilterAttach`.
    pub(crate) attach: Option<fn(&'static Module)>,
    /// `FilterRestart`, with the gate open: its status. What it leaves pending it completes itself.
    pub(crate) restart:
        Option<fn(&'static Module, *mut NDIS_FILTER_RESTART_PARAMETERS) -> NDIS_STATUS>,
    /// `FilterPause`, with the gate closed and no datapath handler inside: its status. What it
    /// leaves pending it completes itself.
    pub(crate) pause: Option<fn(&'static Module) -> NDIS_STATUS>,
    /// First thing in `FilterDetach`; whether the frame frees the module.
    pub(crate) detach: Option<fn(&'static Module) -> bool>,
    /// First thing in the unload routine; whether the frame deregisters the driver.
    pub(crate) unload: Option<fn() -> bool>,
    /// Last thing in the unload routine.
    pub(crate) unloaded: Option<fn()>,
    /// A batch of packets that the gate let in, either way, before anything else is done with it.
    pub(crate) traffic: Option<fn(&'static Module)>,
    /// A send that the gate let in (lists, port, flags); gives what the frame is to send on.
    pub(crate) send: Option<SendHook>,
    /// Completed sends (lists, flags); gives what the frame is to complete.
    pub(crate) send_complete:
        Option<fn(&'static Module, *mut NET_BUFFER_LIST, u32) -> *mut NET_BUFFER_LIST>,
    /// An indication that the gate let in, low resources too (lists, port, count, flags); gives
    /// what the frame is to indicate on, and its count.
    pub(crate) receive: Option<ReceiveHook>,
    /// Returned receives (lists, flags); gives what the frame is to return.
    pub(crate) returned:
        Option<fn(&'static Module, *mut NET_BUFFER_LIST, u32) -> *mut NET_BUFFER_LIST>,
    /// A run of the module's work item, which each batch of packets asks for.
    pub(crate) work: Option<fn(&'static Module)>,
    /// `FilterStatus`; gives what the frame is to indicate on, or NULL.
    pub(crate) status:
        Option<fn(&'static Module, *mut NDIS_STATUS_INDICATION) -> *mut NDIS_STATUS_INDICATION>,
    /// `FilterSetModuleOptions`.
    pub(crate) module_options: Option<fn(&'static Module) -> NDIS_STATUS>,
    /// `FilterCancelSendNetBufferLists`.
    pub(crate) cancel_send: Option<fn(&'static Module, *mut c_void)>,
    /// `FilterNetPnPEvent`.
    pub(crate) net_pnp: Option<fn(&'static Module, *mut NET_PNP_EVENT_NOTIFICATION) -> NDIS_STATUS>,
    /// `FilterDevicePnPEventNotify`.
    pub(crate) device_pnp: Option<fn(&'static Module, *mut NET_DEVICE_PNP_EVENT)>,
    /// `FilterOidRequest`.
    pub(crate) oid: Option<fn(&'static Module, *mut NDIS_OID_REQUEST) -> NDIS_STATUS>,
    /// `FilterOidRequestComplete`.
    pub(crate) oid_complete: Option<fn(&'static Module, *mut NDIS_OID_REQUEST, NDIS_STATUS)>,
    /// `FilterCancelOidRequest`.
    pub(crate) cancel_oid: Option<fn(&'static Module, *mut c_void)>,
    /// `FilterDirectOidRequest`.
    pub(crate) direct_oid: Option<fn(&'static Module, *mut NDIS_OID_REQUEST) -> NDIS_STATUS>,
    /// `FilterDirectOidRequestComplete`.
    pub(crate) direct_oid_complete: Option<fn(&'static Module, *mut NDIS_OID_REQUEST, NDIS_STATUS)>,
    /// `FilterCancelDirectOidRequest`.
    pub(crate) cancel_direct_oid: Option<fn(&'static Module, *mut c_void)>,
    /// `FilterSynchronousOidRequest`.
    pub(crate) sync_oid:
        Option<fn(&'static Module, *mut NDIS_OID_REQUEST, *mut *mut c_void) -> NDIS_STATUS>,
    /// `FilterSynchronousOidRequestComplete`.
    pub(crate) sync_oid_complete:
        Option<fn(&'static Module, *mut NDIS_OID_REQUEST, *mut NDIS_STATUS, *mut c_void)>,
}

/// No hook at all.
pub(crate) const NOTHING: Play = Play {
    name: "none",
    load: None,
    characteristics: None,
    options: None,
    registered: None,
    early_attach: None,
    attributes: None,
    attach: None,
    restart: None,
    pause: None,
    detach: None,
    unload: None,
    unloaded: None,
    traffic: None,
    send: None,
    send_complete: None,
    receive: None,
    returned: None,
    work: None,
    status: None,
    module_options: None,
    cancel_send: None,
    net_pnp: None,
    device_pnp: None,
    oid: None,
    oid_complete: None,
    cancel_oid: None,
    direct_oid: None,
    direct_oid_complete: None,
    cancel_direct_oid: None,
    sync_oid: None,
    sync_oid_complete: None,
};

impl Play {
    /// A play that does one thing in `FilterAttach`, when that has done everything else.
    pub(crate) const fn in_attach(name: &'static str, attach: fn(&'static Module)) -> Self {
        Self {
            name,
            attach: Some(attach),
            ..NOTHING
        }
    }

    /// A play that does one thing in `DriverEntry`, before it registers; a failure is what that returns.
    pub(crate) const fn at_load(
        name: &'static str,
        load: fn(*mut DRIVER_OBJECT) -> NTSTATUS,
    ) -> Self {
        Self {
            name,
            load: Some(load),
            ..NOTHING
        }
    }

    /// A play that does one thing with each batch of packets.
    pub(crate) const fn in_traffic(name: &'static str, traffic: fn(&'static Module)) -> Self {
        Self {
            name,
            traffic: Some(traffic),
            ..NOTHING
        }
    }
}

/// Comes behind a marked call that is the last of its function: so that it is no tail call, and the function is on the
/// stack that a report shows. Comes first in a handler with a mark, which then begins on the line of its name; and no
/// two functions with it are the same code, so that none stands for another.
#[inline(always)]
#[track_caller]
pub(crate) fn stay() {
    black_box(Location::caller());
}
