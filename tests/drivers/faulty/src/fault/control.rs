//! A device of the driver's: made, answered for, and given back as it should be.

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::abi::{
    DEVICE_OBJECT, IO_STACK_LOCATION, IO_STACK_LOCATION_Parameters_DeviceIoControl, IRP,
    IofCompleteRequest, NDIS_DEVICE_OBJECT_ATTRIBUTES, NDIS_DEVICE_OBJECT_ATTRIBUTES_REVISION_1,
    NDIS_HANDLE, NDIS_OBJECT_HEADER, NDIS_OBJECT_TYPE_DEVICE_OBJECT_ATTRIBUTES,
    NDIS_SIZEOF_DEVICE_OBJECT_ATTRIBUTES_REVISION_1, NDIS_STATUS_SUCCESS, NTSTATUS,
    NdisAllocateIoWorkItem, NdisDeregisterDeviceEx, NdisQueueIoWorkItem, NdisRegisterDeviceEx,
    PDRIVER_DISPATCH, SL_PENDING_RETURNED, STATUS_INVALID_DEVICE_REQUEST, STATUS_PENDING,
    STATUS_SUCCESS, STATUS_UNSUCCESSFUL, UNICODE_STRING,
};
use crate::play::{NOTHING, Play};
use crate::{driver, text};

/// `IRP_MJ_CREATE`, `IRP_MJ_CLOSE`, `IRP_MJ_CLEANUP` and `IRP_MJ_DEVICE_CONTROL`.
const CREATE: usize = 0;
const CLOSE: usize = 2;
const CLEANUP: usize = 0x12;
const DEVICE_CONTROL: usize = 0x0E;

/// A dispatch table.
pub(crate) type Table = [PDRIVER_DISPATCH; 28];

static NAME: [u16; 14] = text::wide(b"\\Device\\Faulty");
static SYMBOLIC: [u16; 18] = text::wide(b"\\DosDevices\\Faulty");
static SDDL: [u16; 31] = text::wide(b"D:P(A;;GA;;;SY)(A;;GA;;;BA)(D;;");
static NAMES: [Shared; 3] = [
    Shared(text::string(&NAME)),
    Shared(text::string(&SYMBOLIC)),
    Shared(text::string(&SDDL)),
];

/// A string over a static that nobody writes.
struct Shared(UNICODE_STRING);

// SAFETY: the string and its units are read only.
unsafe impl Sync for Shared {}

static DEVICE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// Keeps the device's handle.
pub(crate) fn keep(device: NDIS_HANDLE) {
    DEVICE.store(device, Ordering::Release);
}

/// The device's handle.
pub(crate) fn kept() -> NDIS_HANDLE {
    DEVICE.load(Ordering::Acquire)
}

/// What answers requests.
pub(crate) type Dispatch = unsafe extern "system" fn(*mut DEVICE_OBJECT, *mut IRP) -> NTSTATUS;

/// A table in which `control` answers `IRP_MJ_DEVICE_CONTROL`.
pub(crate) fn table(control: Dispatch) -> Table {
    let mut table: Table = [None; 28];
    for (index, routine) in table.iter_mut().enumerate() {
        *routine = match index {
            CREATE | CLOSE | CLEANUP => Some(dispatch),
            DEVICE_CONTROL => Some(control),
            _ => None,
        };
    }
    table
}

/// What to register with.
pub(crate) fn attributes(table: &mut Table) -> NDIS_DEVICE_OBJECT_ATTRIBUTES {
    let [name, symbolic, sddl] = &NAMES;
    NDIS_DEVICE_OBJECT_ATTRIBUTES {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_DEVICE_OBJECT_ATTRIBUTES,
            Revision: NDIS_DEVICE_OBJECT_ATTRIBUTES_REVISION_1,
            Size: NDIS_SIZEOF_DEVICE_OBJECT_ATTRIBUTES_REVISION_1,
        },
        DeviceName: (&raw const name.0).cast_mut(),
        SymbolicName: (&raw const symbolic.0).cast_mut(),
        MajorFunctions: table.as_mut_ptr(),
        ExtensionSize: 0,
        DefaultSDDLString: &raw const sddl.0,
        DeviceClassGuid: null_mut(),
    }
}

/// Makes the device, with `control` for `IRP_MJ_DEVICE_CONTROL`.
pub(crate) fn create(driver: NDIS_HANDLE, control: Dispatch) -> NTSTATUS {
    let mut table = table(control);
    let (mut it, mut object, mut handle) = (attributes(&mut table), null_mut(), null_mut());
    // SAFETY: PASSIVE_LEVEL; all pointers are valid for the call.
    let made =
        unsafe { NdisRegisterDeviceEx(driver, &raw mut it, &raw mut object, &raw mut handle) };
    if made != NDIS_STATUS_SUCCESS {
        driver::deregister();
        return made;
    }
    keep(handle);
    STATUS_SUCCESS
}

/// Makes a device that knows no request.
pub(crate) fn create_plain(driver: NDIS_HANDLE) -> NTSTATUS {
    create(driver, ignore)
}

/// Gives the device back; the frame deregisters the driver then.
pub(crate) fn remove() -> bool {
    // SAFETY: registered in DriverEntry, given back once; PASSIVE_LEVEL.
    unsafe { NdisDeregisterDeviceEx(kept()) };
    true
}

/// A play with a device, made by `create`.
pub(crate) const fn play(name: &'static str, create: fn(NDIS_HANDLE) -> NTSTATUS) -> Play {
    Play {
        name,
        registered: Some(create),
        unload: Some(remove),
        ..NOTHING
    }
}

/// The part of a request that is for this driver.
fn location(irp: *mut IRP) -> *mut IO_STACK_LOCATION {
    // SAFETY: the request is this driver's; the current location is in use.
    let tail = unsafe { &(*irp).Tail };
    // SAFETY: as above.
    unsafe { tail.Overlay.CurrentStackLocation }
}

/// What a control request asks for. The major function of `irp` is `IRP_MJ_DEVICE_CONTROL`.
pub(crate) fn parameters(irp: *mut IRP) -> IO_STACK_LOCATION_Parameters_DeviceIoControl {
    // SAFETY: the request is this driver's; the current location is in use.
    let parameters = unsafe { &(*location(irp)).Parameters };
    // SAFETY: what the major function has of the union.
    unsafe { parameters.DeviceIoControl }
}

/// The transfer method of a control request.
pub(crate) fn method(irp: *mut IRP) -> u32 {
    parameters(irp).IoControlCode & 3
}

/// Sets what a request ends with.
pub(crate) fn set(irp: *mut IRP, status: NTSTATUS, information: u64) {
    // SAFETY: the request is this driver's.
    let block = unsafe { &mut (*irp).IoStatus };
    block.Information = information;
    block.Status = status;
}

/// Completes a request with a status and no output.
pub(crate) fn finish(irp: *mut IRP, status: NTSTATUS) -> NTSTATUS {
    set(irp, status, 0);
    // SAFETY: the request is this driver's until here.
    unsafe { IofCompleteRequest(irp, 0) };
    status
}

/// What `IoMarkIrpPending` does.
pub(crate) fn mark(irp: *mut IRP) {
    // SAFETY: the request is this driver's, and not completed; the current location is in use.
    unsafe { (*location(irp)).Control |= SL_PENDING_RETURNED as u8 };
}

/// Leaves a request to a work item, which its routine frees, or ends it where there is none to have.
pub(crate) fn defer(
    irp: *mut IRP,
    routine: unsafe extern "system" fn(*mut c_void, NDIS_HANDLE),
) -> NTSTATUS {
    // SAFETY: the driver's handle lives until unload.
    let item = unsafe { NdisAllocateIoWorkItem(driver::handle()) };
    if item.is_null() {
        return finish(irp, STATUS_UNSUCCESSFUL);
    }
    mark(irp);
    // SAFETY: the item waits for no run, and is freed by its own.
    unsafe { NdisQueueIoWorkItem(item, Some(routine), irp.cast()) };
    STATUS_PENDING
}

/// Lets everybody open and close.
pub(crate) extern "system" fn dispatch(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    finish(irp, STATUS_SUCCESS)
}

/// Knows no request.
pub(crate) extern "system" fn ignore(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    finish(irp, STATUS_INVALID_DEVICE_REQUEST)
}
