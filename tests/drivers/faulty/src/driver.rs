//! Load, registration and unload.

use core::ffi::c_void;
use core::mem::zeroed;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use crate::abi::{
    DRIVER_OBJECT, NDIS_FILTER_CHARACTERISTICS_REVISION_3, NDIS_FILTER_DRIVER_CHARACTERISTICS,
    NDIS_HANDLE, NDIS_OBJECT_HEADER, NDIS_OBJECT_TYPE_FILTER_DRIVER_CHARACTERISTICS,
    NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_3, NDIS_STATUS, NDIS_STATUS_SUCCESS,
    NTSTATUS, NdisFDeregisterFilterDriver, NdisFRegisterFilterDriver, NdisGetVersion,
    STATUS_INSUFFICIENT_RESOURCES, UNICODE_STRING,
};
use crate::fault::{self, Fault};
use crate::{configuration, datapath, module, text};

/// The highest NDIS 6 minor version that the declarations describe.
const MINOR: u32 = 89;

static FRIENDLY: [u16; 22] = text::wide(b"deferlwf faulty filter");
static UNIQUE: [u16; 38] = text::wide(b"{5b6e2f0c-6f0e-4d0b-9c43-0d8a5a6a7a11}");
static SERVICE: [u16; 6] = text::wide(b"faulty");

static HANDLE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static FAULT: AtomicU8 = AtomicU8::new(0);

/// The driver's NDIS handle, from `FilterSetOptions` on.
pub(crate) fn handle() -> NDIS_HANDLE {
    HANDLE.load(Ordering::Acquire)
}

/// The fault to make.
pub(crate) fn fault() -> Fault {
    Fault::from_index(FAULT.load(Ordering::Acquire))
}

#[unsafe(no_mangle)]
extern "system" fn DriverEntry(
    driver: *mut DRIVER_OBJECT,
    _registry_path: *mut UNICODE_STRING,
) -> NTSTATUS {
    // SAFETY: the system's object, valid while the driver is loaded.
    unsafe { (*driver).DriverUnload = Some(unload) };
    let mut handle = null_mut();
    let mut characteristics = characteristics();
    // SAFETY: PASSIVE_LEVEL in DriverEntry; all pointers are valid for the call.
    let status = unsafe {
        NdisFRegisterFilterDriver(
            driver,
            driver.cast(),
            &raw mut characteristics,
            &raw mut handle,
        )
    };
    if status != NDIS_STATUS_SUCCESS {
        return status;
    }
    if fault() == Fault::EntryFails {
        // SAFETY: registered above; PASSIVE_LEVEL.
        unsafe { NdisFDeregisterFilterDriver(handle) };
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    NDIS_STATUS_SUCCESS
}

extern "system" fn unload(_driver: *mut DRIVER_OBJECT) {
    fault::before_unload(fault());
    // SAFETY: registered in DriverEntry, deregistered once; PASSIVE_LEVEL.
    unsafe { NdisFDeregisterFilterDriver(handle()) };
}

/// Runs inside registration, before the first attach.
extern "system" fn set_options(handle: NDIS_HANDLE, _context: NDIS_HANDLE) -> NDIS_STATUS {
    HANDLE.store(handle, Ordering::Release);
    FAULT.store(configuration::fault(handle).index(), Ordering::Release);
    NDIS_STATUS_SUCCESS
}

fn characteristics() -> NDIS_FILTER_DRIVER_CHARACTERISTICS {
    // SAFETY: plain data and nullable handlers: all zeroes is a value.
    let empty: NDIS_FILTER_DRIVER_CHARACTERISTICS = unsafe { zeroed() };
    // SAFETY: callable at any IRQL that DriverEntry has.
    let running = unsafe { NdisGetVersion() } & 0xffff;
    NDIS_FILTER_DRIVER_CHARACTERISTICS {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_FILTER_DRIVER_CHARACTERISTICS,
            Revision: NDIS_FILTER_CHARACTERISTICS_REVISION_3,
            Size: NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_3,
        },
        MajorNdisVersion: 6,
        MinorNdisVersion: running.min(MINOR) as u8,
        MajorDriverVersion: 1,
        FriendlyName: text::string(&FRIENDLY),
        UniqueName: text::string(&UNIQUE),
        ServiceName: text::string(&SERVICE),
        SetOptionsHandler: Some(set_options),
        AttachHandler: Some(module::attach),
        DetachHandler: Some(module::detach),
        RestartHandler: Some(module::restart),
        PauseHandler: Some(module::pause),
        SendNetBufferListsHandler: Some(datapath::send),
        SendNetBufferListsCompleteHandler: Some(datapath::send_complete),
        ReceiveNetBufferListsHandler: Some(datapath::receive),
        ReturnNetBufferListsHandler: Some(datapath::returned),
        StatusHandler: Some(datapath::status),
        ..empty
    }
}
