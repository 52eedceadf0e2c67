//! Headers of structures, and what a linker can do wrong.

use core::ffi::c_void;
use core::hint::black_box;
use core::mem::zeroed;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

use super::pool::TAG;
use crate::abi::{
    DEVICE_OBJECT, IRP, IofCompleteRequest, NDIS_DEVICE_OBJECT_ATTRIBUTES,
    NDIS_DEVICE_OBJECT_ATTRIBUTES_REVISION_1, NDIS_FILTER_PARTIAL_CHARACTERISTICS,
    NDIS_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1, NDIS_HANDLE, NDIS_OBJECT_HEADER,
    NDIS_OBJECT_TYPE_DEVICE_OBJECT_ATTRIBUTES, NDIS_OBJECT_TYPE_FILTER_PARTIAL_CHARACTERISTICS,
    NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS, NDIS_SIZEOF_DEVICE_OBJECT_ATTRIBUTES_REVISION_1,
    NDIS_SIZEOF_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1, NDIS_STATUS, NDIS_STATUS_SUCCESS,
    NDIS_TIMER_CHARACTERISTICS, NTSTATUS, NdisAllocateTimerObject, NdisDeregisterDeviceEx,
    NdisFreeTimerObject, NdisRegisterDeviceEx, NdisSetOptionalHandlers, PDRIVER_DISPATCH,
    STATUS_SUCCESS,
};
use crate::module::Module;
use crate::play::{NOTHING, Play};
use crate::{datapath, driver, text};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("header-wrong-type", wrong_type),
    Play::in_attach("header-short", short),
    Play::in_attach("header-right", right),
    Play {
        name: "header-partial-wrong",
        module_options: Some(partial_wrong),
        ..NOTHING
    },
    Play {
        name: "header-partial-right",
        module_options: Some(partial_right),
        ..NOTHING
    },
    Play {
        name: "header-device-wrong",
        registered: Some(device_wrong),
        ..NOTHING
    },
    Play {
        name: "header-device-right",
        registered: Some(device_right),
        unload: Some(end_device),
        ..NOTHING
    },
];

extern "system" fn expired(_: *mut c_void, _: *mut c_void, _: *mut c_void, _: *mut c_void) {}

fn characteristics(kind: u8, size: usize) -> NDIS_TIMER_CHARACTERISTICS {
    NDIS_TIMER_CHARACTERISTICS {
        Header: NDIS_OBJECT_HEADER {
            Type: kind,
            Revision: 1,
            Size: size as u16,
        },
        AllocationTag: TAG,
        TimerFunction: Some(expired),
        FunctionContext: null_mut(),
    }
}

/// Describes a timer as something else.
#[inline(never)]
fn wrong_type(_: &'static Module) {
    let mut timer = null_mut();
    let size = size_of::<NDIS_TIMER_CHARACTERISTICS>();
    let mut given = characteristics(NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS + 1, size);
    let handle = driver::handle();
    // SAFETY: none: this is the fault.
    let status = unsafe { NdisAllocateTimerObject(handle, &raw mut given, &raw mut timer) }; // caught: header-wrong-type by hdr-fill-correct
    black_box(status);
}

/// Describes a timer with the size of the header alone.
#[inline(never)]
fn short(_: &'static Module) {
    let mut timer = null_mut();
    let size = size_of::<NDIS_OBJECT_HEADER>();
    let mut given = characteristics(NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS, size);
    let handle = driver::handle();
    // SAFETY: none: this is the fault.
    let status = unsafe { NdisAllocateTimerObject(handle, &raw mut given, &raw mut timer) }; // caught: header-short by hdr-fill-correct
    black_box(status);
}

/// Describes a timer as it is.
// legal: header-right near hdr-fill-correct
fn right(_: &'static Module) {
    let mut timer = null_mut();
    let size = size_of::<NDIS_TIMER_CHARACTERISTICS>();
    let mut given = characteristics(NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS, size);
    // SAFETY: both arguments are valid for the call.
    unsafe { NdisAllocateTimerObject(driver::handle(), &raw mut given, &raw mut timer) };
    if !timer.is_null() {
        // SAFETY: allocated above, never set.
        unsafe { NdisFreeTimerObject(timer) };
    }
}

/// Handlers of the whole datapath.
fn partial() -> NDIS_FILTER_PARTIAL_CHARACTERISTICS {
    // SAFETY: plain data and nullable handlers: all zeroes is a value.
    let empty: NDIS_FILTER_PARTIAL_CHARACTERISTICS = unsafe { zeroed() };
    NDIS_FILTER_PARTIAL_CHARACTERISTICS {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_FILTER_PARTIAL_CHARACTERISTICS,
            Revision: NDIS_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1,
            Size: NDIS_SIZEOF_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1,
        },
        SendNetBufferListsHandler: Some(datapath::send),
        SendNetBufferListsCompleteHandler: Some(datapath::send_complete),
        ReceiveNetBufferListsHandler: Some(datapath::receive),
        ReturnNetBufferListsHandler: Some(datapath::returned),
        ..empty
    }
}

/// Sets handlers under a header of no revision.
fn partial_wrong(module: &'static Module) -> NDIS_STATUS {
    let mut given = partial();
    given.Header.Revision = 0;
    let handlers = (&raw mut given).cast();
    // SAFETY: none: this is the fault.
    let status = unsafe { NdisSetOptionalHandlers(module.handle, handlers) }; // caught: header-partial-wrong by setmodule-partial-header
    black_box(status);
    NDIS_STATUS_SUCCESS
}

/// Sets handlers.
// legal: header-partial-right near setmodule-partial-header, setmodule-options-context
fn partial_right(module: &'static Module) -> NDIS_STATUS {
    let mut given = partial();
    // SAFETY: in FilterSetModuleOptions; the handlers are the ones that were registered.
    unsafe { NdisSetOptionalHandlers(module.handle, (&raw mut given).cast()) };
    NDIS_STATUS_SUCCESS
}

static DEVICE_NAME: [u16; 14] = text::wide(b"\\Device\\Faulty");
static LINK_NAME: [u16; 18] = text::wide(b"\\DosDevices\\Faulty");
/// For the system and administrators.
static SDDL: [u16; 15] = text::wide(b"D:P(A;;GA;;;SY)");

static DEVICE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

extern "system" fn dispatch(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    // SAFETY: the system passes a live IRP.
    unsafe { (*irp).IoStatus.Information = 0 };
    // SAFETY: the IRP is completed once.
    unsafe { IofCompleteRequest(irp, 0) };
    STATUS_SUCCESS
}

/// Registers a device under a header of this size; gives the status.
#[inline(always)]
fn device(size: u16) -> (NDIS_DEVICE_OBJECT_ATTRIBUTES, [PDRIVER_DISPATCH; 28]) {
    // SAFETY: plain data and nullable pointers: all zeroes is a value.
    let empty: NDIS_DEVICE_OBJECT_ATTRIBUTES = unsafe { zeroed() };
    let attributes = NDIS_DEVICE_OBJECT_ATTRIBUTES {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_DEVICE_OBJECT_ATTRIBUTES,
            Revision: NDIS_DEVICE_OBJECT_ATTRIBUTES_REVISION_1,
            Size: size,
        },
        ..empty
    };
    let mut table: [PDRIVER_DISPATCH; 28] = [None; 28];
    // Create, close and cleanup.
    for major in [0, 2, 18] {
        table[major] = Some(dispatch);
    }
    (attributes, table)
}

/// Registers a device under the size of a header alone.
fn device_wrong(handle: NDIS_HANDLE) -> NTSTATUS {
    let (mut attributes, mut table) = device(size_of::<NDIS_OBJECT_HEADER>() as u16);
    let (mut name, mut link) = (text::string(&DEVICE_NAME), text::string(&LINK_NAME));
    let (mut object, mut device) = (null_mut(), null_mut());
    attributes.DeviceName = &raw mut name;
    attributes.SymbolicName = &raw mut link;
    attributes.MajorFunctions = table.as_mut_ptr();
    let given = &raw mut attributes;
    // SAFETY: none: this is the fault.
    let status = unsafe { NdisRegisterDeviceEx(handle, given, &raw mut object, &raw mut device) }; // caught: header-device-wrong by dev-attributes
    black_box(status);
    STATUS_SUCCESS
}

/// Registers a device.
// legal: header-device-right near dev-attributes
fn device_right(handle: NDIS_HANDLE) -> NTSTATUS {
    let (mut attributes, mut table) = device(NDIS_SIZEOF_DEVICE_OBJECT_ATTRIBUTES_REVISION_1);
    let (mut name, mut link) = (text::string(&DEVICE_NAME), text::string(&LINK_NAME));
    let (mut object, mut device) = (null_mut(), null_mut());
    let sddl = text::string(&SDDL);
    attributes.DeviceName = &raw mut name;
    attributes.SymbolicName = &raw mut link;
    attributes.MajorFunctions = table.as_mut_ptr();
    attributes.DefaultSDDLString = &raw const sddl;
    let given = &raw mut attributes;
    // SAFETY: PASSIVE_LEVEL; all pointers are valid for the call.
    unsafe { NdisRegisterDeviceEx(handle, given, &raw mut object, &raw mut device) };
    DEVICE.store(device, Ordering::Release);
    STATUS_SUCCESS
}

fn end_device() -> bool {
    let device = DEVICE.load(Ordering::Acquire);
    if !device.is_null() {
        // SAFETY: registered above; PASSIVE_LEVEL.
        unsafe { NdisDeregisterDeviceEx(device) };
    }
    true
}
