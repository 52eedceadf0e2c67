//! Characteristics that NDIS does not take, pairs of handlers with one missing, and what is not undone.

use core::mem::zeroed;
use core::ptr::null_mut;

use super::oid;
use crate::abi::{
    DRIVER_OBJECT, NDIS_FILTER_ATTACH_PARAMETERS, NDIS_FILTER_DRIVER_CHARACTERISTICS,
    NDIS_FILTER_PARTIAL_CHARACTERISTICS, NDIS_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1,
    NDIS_HANDLE, NDIS_OBJECT_HEADER, NDIS_OBJECT_TYPE_FILTER_PARTIAL_CHARACTERISTICS,
    NDIS_OID_REQUEST, NDIS_PORT_NUMBER, NDIS_RECEIVE_FLAGS_RESOURCES,
    NDIS_SIZEOF_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1, NDIS_STATUS, NDIS_STATUS_FAILURE,
    NDIS_STATUS_SUCCESS, NET_BUFFER_LIST, NTSTATUS, NdisFIndicateReceiveNetBufferLists,
    NdisFRegisterFilterDriver, NdisFSendNetBufferLists, NdisSetOptionalHandlers,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_SUCCESS,
};
use crate::module::Module;
use crate::play::{NOTHING, Play, stay};
use crate::{datapath, driver, text};

/// A play that registers in a way of its own.
const fn loads(name: &'static str, load: fn(*mut DRIVER_OBJECT) -> NTSTATUS) -> Play {
    Play {
        name,
        load: Some(load),
        ..NOTHING
    }
}

pub(crate) const PLAYS: &[Play] = &[
    loads("reg-bad-header", with_bad_header),
    loads("reg-without-pause", without_pause),
    loads("reg-name-no-guid", with_plain_name),
    loads("reg-oid-unpaired", with_unpaired_oid),
    loads("reg-direct-oid-unpaired", with_unpaired_direct_oid),
    loads("reg-receive-without-status", without_status),
    Play {
        name: "reg-in-unload",
        unloaded: Some(register_again),
        ..NOTHING
    },
    Play {
        name: "reg-entry-fails-registered",
        early_attach: Some(refuse),
        registered: Some(fail_registered),
        ..NOTHING
    },
    Play {
        name: "reg-version-too-high",
        characteristics: Some(ask_for_latest),
        ..NOTHING
    },
    Play {
        name: "reg-sends-without-complete",
        characteristics: Some(without_send_complete),
        send: Some(send),
        ..NOTHING
    },
    Play {
        name: "reg-indicates-without-return",
        characteristics: Some(without_return),
        receive: Some(indicate),
        ..NOTHING
    },
    Play {
        name: "reg-no-datapath",
        characteristics: Some(without_datapath),
        ..NOTHING
    },
    Play {
        name: "reg-only-send-complete",
        characteristics: Some(without_senders),
        ..NOTHING
    },
    Play {
        name: "options-driver-handle",
        module_options: Some(change_of_driver),
        ..NOTHING
    },
    Play {
        name: "options-unpaired",
        characteristics: Some(without_datapath),
        module_options: Some(add_receive),
        ..NOTHING
    },
    Play {
        name: "options-changed",
        module_options: Some(drop_all),
        ..NOTHING
    },
];

// legal: none near reg-characteristics-header, reg-mandatory-handlers, reg-unique-name-is-netcfg-guid
// legal: none near reg-in-driver-entry, reg-pair-send-call-needs-complete, reg-pair-indicate-needs-return
// legal: none near reg-pair-receive-needs-status, reg-version-not-above-runtime
// legal: oid-forwarded near reg-pair-oid
// legal: oid-direct near reg-pair-direct-oid
// legal: reg-no-datapath near reg-pair-receive-needs-status, reg-pair-send-call-needs-complete
// legal: reg-only-send-complete near reg-pair-send-call-needs-complete
// legal: options-changed near setmodule-handle-kind, setmodule-pairing-after-change
// declined: entry-fails near reg-fail-undo, unload-deregister

#[inline(never)]
fn with_bad_header(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    let (mut it, mut handle) = (driver::characteristics(), null_mut());
    it.Header.Size = 64;
    // SAFETY: none: this is the fault.
    unsafe { NdisFRegisterFilterDriver(driver, driver.cast(), &raw mut it, &raw mut handle) }; // caught: reg-bad-header by reg-characteristics-header
    stay();
    STATUS_INSUFFICIENT_RESOURCES
}

#[inline(never)]
fn without_pause(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    let (mut it, mut handle) = (driver::characteristics(), null_mut());
    it.PauseHandler = None;
    // SAFETY: none: this is the fault.
    unsafe { NdisFRegisterFilterDriver(driver, driver.cast(), &raw mut it, &raw mut handle) }; // caught: reg-without-pause by reg-mandatory-handlers
    stay();
    STATUS_INSUFFICIENT_RESOURCES
}

static PLAIN: [u16; 6] = text::wide(b"faulty");

#[inline(never)]
fn with_plain_name(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    let (mut it, mut handle) = (driver::characteristics(), null_mut());
    it.UniqueName = text::string(&PLAIN);
    // SAFETY: none: this is the fault.
    unsafe { NdisFRegisterFilterDriver(driver, driver.cast(), &raw mut it, &raw mut handle) }; // caught: reg-name-no-guid by reg-unique-name-is-netcfg-guid
    stay();
    STATUS_INSUFFICIENT_RESOURCES
}

extern "system" fn answer(context: NDIS_HANDLE, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    oid::answer(Module::of(context), request)
}

#[inline(never)]
fn with_unpaired_oid(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    let (mut it, mut handle) = (driver::characteristics(), null_mut());
    it.OidRequestHandler = Some(answer);
    // SAFETY: none: this is the fault.
    unsafe { NdisFRegisterFilterDriver(driver, driver.cast(), &raw mut it, &raw mut handle) }; // caught: reg-oid-unpaired by reg-pair-oid
    stay();
    STATUS_INSUFFICIENT_RESOURCES
}

#[inline(never)]
fn with_unpaired_direct_oid(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    let (mut it, mut handle) = (driver::characteristics(), null_mut());
    it.DirectOidRequestHandler = Some(answer);
    // SAFETY: none: this is the fault.
    unsafe { NdisFRegisterFilterDriver(driver, driver.cast(), &raw mut it, &raw mut handle) }; // caught: reg-direct-oid-unpaired by reg-pair-direct-oid
    stay();
    STATUS_INSUFFICIENT_RESOURCES
}

#[inline(never)]
fn without_status(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    let (mut it, mut handle) = (driver::characteristics(), null_mut());
    it.StatusHandler = None;
    // SAFETY: none: this is the fault.
    unsafe { NdisFRegisterFilterDriver(driver, driver.cast(), &raw mut it, &raw mut handle) }; // caught: reg-receive-without-status by reg-pair-receive-needs-status
    stay();
    STATUS_INSUFFICIENT_RESOURCES
}

/// Registers once more, when the driver is on its way out.
#[inline(never)]
fn register_again() {
    let (mut it, mut handle) = (driver::characteristics(), null_mut());
    let driver = driver::object();
    // SAFETY: none: this is the fault.
    unsafe { NdisFRegisterFilterDriver(driver, driver.cast(), &raw mut it, &raw mut handle) }; // warned: reg-in-unload by reg-in-driver-entry
    driver::deregister();
}

/// Attaches nowhere, so that there is nothing else to be left behind.
fn refuse(_: NDIS_HANDLE, _: *mut NDIS_FILTER_ATTACH_PARAMETERS) -> NDIS_STATUS {
    NDIS_STATUS_FAILURE
}

/// Fails with the registration left behind: `DriverEntry` is reported.
fn fail_registered(_: NDIS_HANDLE) -> NTSTATUS {
    STATUS_INSUFFICIENT_RESOURCES
}

// declined: reg-version-too-high by reg-version-not-above-runtime with --ndis 6.85

/// Registers for one version, whatever the system has.
fn ask_for_latest(it: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    it.MinorNdisVersion = 89;
}

fn without_send_complete(it: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    it.SendNetBufferListsCompleteHandler = None;
}

#[inline(never)]
fn send(
    module: &'static Module,
    lists: *mut NET_BUFFER_LIST,
    port: NDIS_PORT_NUMBER,
    flags: u32,
) -> *mut NET_BUFFER_LIST {
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferLists(module.handle, lists, port, flags) }; // caught: reg-sends-without-complete by reg-pair-send-call-needs-complete
    null_mut()
}

fn without_return(it: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    it.ReturnNetBufferListsHandler = None;
}

#[inline(never)]
fn indicate(
    module: &'static Module,
    lists: *mut NET_BUFFER_LIST,
    port: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (*mut NET_BUFFER_LIST, u32) {
    if flags & NDIS_RECEIVE_FLAGS_RESOURCES != 0 {
        return (lists, count);
    }
    // SAFETY: none: this is the fault.
    unsafe { NdisFIndicateReceiveNetBufferLists(module.handle, lists, port, count, flags) }; // caught: reg-indicates-without-return by reg-pair-indicate-needs-return with @large
    (null_mut(), 0)
}

/// All packets and indications pass by.
fn without_datapath(it: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    it.SendNetBufferListsHandler = None;
    it.SendNetBufferListsCompleteHandler = None;
    it.ReceiveNetBufferListsHandler = None;
    it.ReturnNetBufferListsHandler = None;
    it.StatusHandler = None;
}

/// What the filter sends itself could be completed to it; what others send passes by.
fn without_senders(it: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    it.SendNetBufferListsHandler = None;
}

fn partial() -> NDIS_FILTER_PARTIAL_CHARACTERISTICS {
    // SAFETY: plain data and nullable handlers: all zeroes is a value.
    let empty: NDIS_FILTER_PARTIAL_CHARACTERISTICS = unsafe { zeroed() };
    NDIS_FILTER_PARTIAL_CHARACTERISTICS {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_FILTER_PARTIAL_CHARACTERISTICS,
            Revision: NDIS_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1,
            Size: NDIS_SIZEOF_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1,
        },
        ..empty
    }
}

/// Means the module, and names the driver.
#[inline(never)]
fn change_of_driver(_: &'static Module) -> NDIS_STATUS {
    let mut it = partial();
    // SAFETY: none: this is the fault.
    unsafe { NdisSetOptionalHandlers(driver::handle(), (&raw mut it).cast()) }; // caught: options-driver-handle by setmodule-handle-kind
    NDIS_STATUS_SUCCESS
}

/// Wants to receive, and no status.
#[inline(never)]
fn add_receive(module: &'static Module) -> NDIS_STATUS {
    let mut it = partial();
    it.ReceiveNetBufferListsHandler = Some(datapath::receive);
    it.ReturnNetBufferListsHandler = Some(datapath::returned);
    // SAFETY: none: this is the fault.
    unsafe { NdisSetOptionalHandlers(module.handle, (&raw mut it).cast()) }; // caught: options-unpaired by setmodule-pairing-after-change
    NDIS_STATUS_SUCCESS
}

/// Takes all of the datapath's handlers away.
fn drop_all(module: &'static Module) -> NDIS_STATUS {
    let mut it = partial();
    // SAFETY: the module's own handle in its options callback; the structure is valid for the call.
    let status = unsafe { NdisSetOptionalHandlers(module.handle, (&raw mut it).cast()) };
    if status == STATUS_SUCCESS {
        NDIS_STATUS_SUCCESS
    } else {
        status
    }
}
