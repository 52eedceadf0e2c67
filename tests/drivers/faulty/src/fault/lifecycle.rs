//! Attach, status and handles at the wrong time, and what is left when the driver goes.

use core::ffi::c_void;
use core::mem::zeroed;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::abi::{
    DRIVER_OBJECT, EtwRegister, ExAllocatePool2, GUID, NDIS_FILTER_ATTACH_PARAMETERS,
    NDIS_FILTER_ATTRIBUTES, NDIS_FILTER_ATTRIBUTES_REVISION_1, NDIS_FILTER_RESTART_PARAMETERS,
    NDIS_HANDLE, NDIS_OBJECT_HEADER, NDIS_OBJECT_TYPE_FILTER_ATTRIBUTES,
    NDIS_OBJECT_TYPE_STATUS_INDICATION, NDIS_SIZEOF_FILTER_ATTRIBUTES_REVISION_1,
    NDIS_SIZEOF_STATUS_INDICATION_REVISION_1, NDIS_STATUS, NDIS_STATUS_FAILURE,
    NDIS_STATUS_INDICATION, NDIS_STATUS_INDICATION_REVISION_1, NDIS_STATUS_LINK_STATE,
    NDIS_STATUS_SUCCESS, NTSTATUS, NdisAllocateMdl, NdisAllocateRWLock,
    NdisFDeregisterFilterDriver, NdisFIndicateReceiveNetBufferLists, NdisFIndicateStatus,
    NdisFRestartFilter, NdisFSendNetBufferLists, NdisFSetAttributes, NdisFreeRWLock,
    NdisOpenConfigurationEx, POOL_FLAG_NON_PAGED, STATUS_INSUFFICIENT_RESOURCES, STATUS_PENDING,
    STATUS_SUCCESS,
};
use crate::module::Module;
use crate::play::{NOTHING, Play, stay};
use crate::{configuration, driver};

const fn early(
    name: &'static str,
    attach: fn(NDIS_HANDLE, *mut NDIS_FILTER_ATTACH_PARAMETERS) -> NDIS_STATUS,
) -> Play {
    Play {
        name,
        early_attach: Some(attach),
        ..NOTHING
    }
}

/// A play that leaves something behind: its unload routine is one of its own, so that the report names it.
const fn leaves(
    name: &'static str,
    load: fn(*mut DRIVER_OBJECT) -> NTSTATUS,
    attach: fn(&'static Module),
) -> Play {
    Play {
        name,
        load: Some(load),
        attach: Some(attach),
        ..NOTHING
    }
}

pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "entry-fails",
        registered: Some(fail_entry),
        ..NOTHING
    },
    Play {
        name: "entry-pends",
        registered: Some(|_| STATUS_PENDING),
        ..NOTHING
    },
    early("attach-refused", refuse_attach),
    early("attach-bad-attributes", set_bad_attributes),
    early("attach-flags", set_flags),
    early("attach-sends", send_in_attach),
    early("attach-indicates", indicate_in_attach),
    early("attach-status-first", status_before_attributes),
    Play::in_attach("attach-status-early", status_in_attach),
    Play {
        name: "status-bad-header",
        restart: Some(status_with_bad_header),
        ..NOTHING
    },
    Play {
        name: "status-other-source",
        restart: Some(status_from_another),
        ..NOTHING
    },
    Play {
        name: "status-for-nobody",
        restart: Some(status_for_nobody),
        ..NOTHING
    },
    Play {
        name: "status-half-destination",
        restart: Some(status_to_half),
        ..NOTHING
    },
    Play {
        name: "status-originated",
        restart: Some(status_of_its_own),
        ..NOTHING
    },
    Play {
        name: "detach-status-after",
        attach: Some(remember),
        unload: Some(status_after_detach),
        ..NOTHING
    },
    Play {
        name: "detach-handle-after",
        attach: Some(remember),
        unload: Some(restart_after_detach),
        ..NOTHING
    },
    Play {
        name: "unload-handle-after",
        unloaded: Some(use_after_deregister),
        ..NOTHING
    },
    Play {
        name: "unload-deregisters-twice",
        unloaded: Some(deregister_again),
        ..NOTHING
    },
    Play {
        name: "unload-registered",
        load: Some(|driver| set_unload(driver, unload_nothing)),
        ..NOTHING
    },
    Play {
        name: "deregistered-in-work",
        work: Some(deregister_in_work),
        ..NOTHING
    },
    leaves(
        "unload-configuration-open",
        |driver| set_unload(driver, unload_clean),
        open_configuration,
    ),
    leaves(
        "unload-lock-left",
        |driver| set_unload(driver, unload_clean),
        allocate_lock,
    ),
    leaves(
        "unload-provider-left",
        |driver| set_unload(driver, unload_clean),
        register_provider,
    ),
    Play {
        name: "unload-clean",
        load: Some(|driver| set_unload(driver, unload_clean)),
        attach: Some(allocate_and_free),
        ..NOTHING
    },
];

// declined: entry-fails near reg-no-pending-driver-entry, unload-no-use-after-deregister
// legal: none near attach-attributes-valid, attach-no-send, attach-no-receive, detach-no-use-after
// legal: status-originated near attach-no-status, status-header, status-sourcehandle, status-destination-pair
// legal: status-originated near status-lifetime, status-after-mindicate
// legal: unload-clean near unload-deregister, config-alternate, detach-frees-everything, unload-wmi-etw
// legal: unload-clean near unload-no-use-after-deregister, unload-deregister-once, reg-no-pending-driver-entry

/// `DriverEntry` deregisters and fails.
pub(super) fn fail_entry(_: NDIS_HANDLE) -> NTSTATUS {
    driver::deregister();
    STATUS_INSUFFICIENT_RESOURCES
}

/// `FilterAttach` fails.
fn refuse_attach(_: NDIS_HANDLE, _: *mut NDIS_FILTER_ATTACH_PARAMETERS) -> NDIS_STATUS {
    NDIS_STATUS_FAILURE
}

fn attributes(size: u16, flags: u32) -> NDIS_FILTER_ATTRIBUTES {
    NDIS_FILTER_ATTRIBUTES {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_FILTER_ATTRIBUTES,
            Revision: NDIS_FILTER_ATTRIBUTES_REVISION_1,
            Size: size,
        },
        Flags: flags,
    }
}

#[inline(never)]
fn set_bad_attributes(handle: NDIS_HANDLE, _: *mut NDIS_FILTER_ATTACH_PARAMETERS) -> NDIS_STATUS {
    let mut it = attributes(4, 0);
    // SAFETY: none: this is the fault.
    unsafe { NdisFSetAttributes(handle, handle, &raw mut it) }; // caught: attach-bad-attributes by attach-attributes-valid
    NDIS_STATUS_FAILURE
}

#[inline(never)]
fn set_flags(handle: NDIS_HANDLE, _: *mut NDIS_FILTER_ATTACH_PARAMETERS) -> NDIS_STATUS {
    let mut it = attributes(NDIS_SIZEOF_FILTER_ATTRIBUTES_REVISION_1, 1);
    // SAFETY: none: this is the fault.
    unsafe { NdisFSetAttributes(handle, handle, &raw mut it) }; // caught: attach-flags by attach-attributes-valid
    NDIS_STATUS_FAILURE
}

#[inline(never)]
fn send_in_attach(handle: NDIS_HANDLE, _: *mut NDIS_FILTER_ATTACH_PARAMETERS) -> NDIS_STATUS {
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferLists(handle, null_mut(), 0, 0) }; // caught: attach-sends by attach-no-send
    NDIS_STATUS_FAILURE
}

#[inline(never)]
fn indicate_in_attach(handle: NDIS_HANDLE, _: *mut NDIS_FILTER_ATTACH_PARAMETERS) -> NDIS_STATUS {
    // SAFETY: none: this is the fault.
    unsafe { NdisFIndicateReceiveNetBufferLists(handle, null_mut(), 0, 0, 0) }; // caught: attach-indicates by attach-no-receive
    NDIS_STATUS_FAILURE
}

/// A status of a module's own.
fn status(source: NDIS_HANDLE) -> NDIS_STATUS_INDICATION {
    // SAFETY: plain data and nullable pointers: all zeroes is a value.
    let empty: NDIS_STATUS_INDICATION = unsafe { zeroed() };
    NDIS_STATUS_INDICATION {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_STATUS_INDICATION,
            Revision: NDIS_STATUS_INDICATION_REVISION_1,
            Size: NDIS_SIZEOF_STATUS_INDICATION_REVISION_1,
        },
        SourceHandle: source,
        StatusCode: NDIS_STATUS_LINK_STATE,
        ..empty
    }
}

#[inline(never)]
fn status_before_attributes(
    handle: NDIS_HANDLE,
    _: *mut NDIS_FILTER_ATTACH_PARAMETERS,
) -> NDIS_STATUS {
    let mut it = status(handle);
    // SAFETY: none: this is the fault.
    unsafe { NdisFIndicateStatus(handle, &raw mut it) }; // caught: attach-status-first by status-lifetime
    NDIS_STATUS_FAILURE
}

#[inline(never)]
fn status_in_attach(module: &'static Module) {
    let mut it = status(module.handle);
    // SAFETY: none: this is what one page forbids and another allows.
    unsafe { NdisFIndicateStatus(module.handle, &raw mut it) }; // warned: attach-status-early by attach-no-status
    stay();
}

#[inline(never)]
fn status_with_bad_header(
    module: &'static Module,
    _: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    let mut it = status(module.handle);
    it.Header.Revision = 9;
    // SAFETY: none: this is the fault.
    unsafe { NdisFIndicateStatus(module.handle, &raw mut it) }; // caught: status-bad-header by status-header
    NDIS_STATUS_SUCCESS
}

#[inline(never)]
fn status_from_another(
    module: &'static Module,
    _: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    let mut it = status(driver::handle());
    // SAFETY: none: this is the fault.
    unsafe { NdisFIndicateStatus(module.handle, &raw mut it) }; // caught: status-other-source by status-sourcehandle
    NDIS_STATUS_SUCCESS
}

#[inline(never)]
fn status_to_half(module: &'static Module, _: *mut NDIS_FILTER_RESTART_PARAMETERS) -> NDIS_STATUS {
    let mut it = status(module.handle);
    it.DestinationHandle = module.handle;
    // SAFETY: none: this is the fault.
    unsafe { NdisFIndicateStatus(module.handle, &raw mut it) }; // caught: status-half-destination by status-destination-pair
    NDIS_STATUS_SUCCESS
}

#[inline(never)]
fn status_for_nobody(
    module: &'static Module,
    _: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    let mut it = status(module.handle);
    it.DestinationHandle = module.handle;
    it.RequestId = module.handle;
    // SAFETY: none: this is the fault.
    unsafe { NdisFIndicateStatus(module.handle, &raw mut it) }; // caught: status-for-nobody by status-destination-pair
    NDIS_STATUS_SUCCESS
}

fn status_of_its_own(
    module: &'static Module,
    _: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    let mut it = status(module.handle);
    // SAFETY: the module is attached; the indication is valid for the call.
    unsafe { NdisFIndicateStatus(module.handle, &raw mut it) };
    NDIS_STATUS_SUCCESS
}

/// The handle of a module, for when the module is gone.
static GONE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

fn remember(module: &'static Module) {
    GONE.store(module.handle, Ordering::Release);
}

#[inline(never)]
fn status_after_detach() -> bool {
    let gone = GONE.load(Ordering::Acquire);
    let mut it = status(gone);
    // SAFETY: none: this is the fault.
    unsafe { NdisFIndicateStatus(gone, &raw mut it) }; // caught: detach-status-after by status-after-mindicate
    true
}

#[inline(never)]
fn restart_after_detach() -> bool {
    // SAFETY: none: this is the fault.
    unsafe { NdisFRestartFilter(GONE.load(Ordering::Acquire)) }; // caught: detach-handle-after by detach-no-use-after
    true
}

#[inline(never)]
fn use_after_deregister() {
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG) };
    // SAFETY: none: this is the fault.
    unsafe { NdisAllocateMdl(driver::handle(), block, 64) }; // caught: unload-handle-after by unload-no-use-after-deregister
    stay();
}

#[inline(never)]
fn deregister_again() {
    // SAFETY: none: this is the fault.
    unsafe { NdisFDeregisterFilterDriver(driver::handle()) }; // caught: unload-deregisters-twice by unload-deregister-once
    stay();
}

#[inline(never)]
fn deregister_in_work(_: &'static Module) {
    // SAFETY: none: this is the fault.
    unsafe { NdisFDeregisterFilterDriver(driver::handle()) }; // caught: deregistered-in-work by unload-deregister
    stay();
}

fn set_unload(
    driver: *mut DRIVER_OBJECT,
    unload: unsafe extern "system" fn(*mut DRIVER_OBJECT),
) -> NTSTATUS {
    // SAFETY: the system's object, valid while the driver is loaded.
    unsafe { (*driver).DriverUnload = Some(unload) };
    STATUS_SUCCESS
}

/// Pool tag of the blocks here, `FltL`.
const TAG: u32 = u32::from_le_bytes(*b"FltL");

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn unload_nothing( // caught: unload-registered by unload-deregister
    _: *mut DRIVER_OBJECT,
) {
    stay();
}

fn open_configuration(_: &'static Module) {
    let (mut object, mut handle) = (configuration::object(driver::handle()), null_mut());
    // SAFETY: PASSIVE_LEVEL; both arguments are valid for the call. That nobody closes it is the fault.
    unsafe { NdisOpenConfigurationEx(&raw mut object, &raw mut handle) }; // caught: unload-configuration-open by config-alternate
    stay();
}

fn allocate_lock(_: &'static Module) {
    // SAFETY: the driver's handle lives until unload. That nobody frees it is the fault.
    unsafe { NdisAllocateRWLock(driver::handle()) }; // caught: unload-lock-left by detach-frees-everything
    stay();
}

static PROVIDER: GUID = GUID {
    Data1: 0x5b6e_2f0c,
    Data2: 0x6f0e,
    Data3: 0x4d0b,
    Data4: [0x9c, 0x43, 0x0d, 0x8a, 0x5a, 0x6a, 0x7a, 0x11],
};

fn register_provider(_: &'static Module) {
    let (mut handle, provider) = (0, (&raw const PROVIDER).cast_mut().cast());
    // SAFETY: PASSIVE_LEVEL; both pointers are valid for the call. That nobody unregisters it is the fault.
    unsafe { EtwRegister(provider, None, null_mut(), &raw mut handle) }; // caught: unload-provider-left by unload-wmi-etw
    stay();
}

extern "system" fn unload_clean(_: *mut DRIVER_OBJECT) {
    driver::deregister();
}

fn allocate_and_free(_: &'static Module) {
    // SAFETY: the driver's handle lives until unload.
    let lock = unsafe { NdisAllocateRWLock(driver::handle()) };
    if !lock.is_null() {
        // SAFETY: allocated above, and free.
        unsafe { NdisFreeRWLock(lock) };
    }
}
