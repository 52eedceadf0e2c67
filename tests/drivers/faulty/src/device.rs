//! A control device, under the name that the lab's administrator opens.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::abi::{
    IRP, IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL,
    IRP_MJ_MAXIMUM_FUNCTION, IofCompleteRequest, NDIS_DEVICE_OBJECT_ATTRIBUTES,
    NDIS_DEVICE_OBJECT_ATTRIBUTES_REVISION_1, NDIS_OBJECT_HEADER,
    NDIS_OBJECT_TYPE_DEVICE_OBJECT_ATTRIBUTES, NDIS_SIZEOF_DEVICE_OBJECT_ATTRIBUTES_REVISION_1,
    NDIS_STATUS, NTSTATUS, NdisDeregisterDeviceEx, NdisRegisterDeviceEx, PDRIVER_DISPATCH,
};
use crate::{driver, text};

static NAME: [u16; 16] = text::wide(b"\\Device\\Deferlwf");
static LINK: [u16; 20] = text::wide(b"\\DosDevices\\Deferlwf");
/// For SYSTEM alone.
static SDDL: [u16; 15] = text::wide(b"D:P(A;;GA;;;SY)");

static HANDLE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// Creates the device; its requests go to `dispatch`. Called at PASSIVE_LEVEL, after registration.
pub(crate) fn create(dispatch: PDRIVER_DISPATCH) -> NDIS_STATUS {
    let mut table = [None; IRP_MJ_MAXIMUM_FUNCTION as usize + 1];
    for major in [
        IRP_MJ_CREATE,
        IRP_MJ_CLEANUP,
        IRP_MJ_CLOSE,
        IRP_MJ_DEVICE_CONTROL,
    ] {
        if let Some(slot) = table.get_mut(major as usize) {
            *slot = dispatch;
        }
    }
    let mut name = text::string(&NAME);
    let mut link = text::string(&LINK);
    let sddl = text::string(&SDDL);
    let mut attributes = NDIS_DEVICE_OBJECT_ATTRIBUTES {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_DEVICE_OBJECT_ATTRIBUTES,
            Revision: NDIS_DEVICE_OBJECT_ATTRIBUTES_REVISION_1,
            Size: NDIS_SIZEOF_DEVICE_OBJECT_ATTRIBUTES_REVISION_1,
        },
        DeviceName: &raw mut name,
        SymbolicName: &raw mut link,
        MajorFunctions: table.as_mut_ptr(),
        ExtensionSize: 0,
        DefaultSDDLString: &raw const sddl,
        DeviceClassGuid: null_mut(),
    };
    let mut object = MaybeUninit::uninit();
    let mut handle = null_mut();
    // SAFETY: PASSIVE_LEVEL; all arguments are valid for the call.
    let status = unsafe {
        NdisRegisterDeviceEx(
            driver::handle(),
            &raw mut attributes,
            object.as_mut_ptr(),
            &raw mut handle,
        )
    };
    HANDLE.store(handle, Ordering::Release);
    status
}

/// Deletes it, if there is one. Called at PASSIVE_LEVEL, before deregistration.
pub(crate) fn delete() {
    let handle = HANDLE.swap(null_mut(), Ordering::AcqRel);
    if !handle.is_null() {
        // SAFETY: registered by `create`; PASSIVE_LEVEL.
        unsafe { NdisDeregisterDeviceEx(handle) };
    }
}

/// Writes down how a request ends.
pub(crate) fn finish(irp: *mut IRP, status: NTSTATUS) {
    // SAFETY: the request that a dispatch routine was given, and has not completed.
    let block = unsafe { &mut (*irp).IoStatus };
    block.Status = status;
    block.Information = 0;
}

/// Completes a request. Called at or below DISPATCH_LEVEL, with no lock held.
pub(crate) fn complete(irp: *mut IRP, status: NTSTATUS) -> NTSTATUS {
    finish(irp, status);
    // SAFETY: the request is completed once, and not touched after.
    unsafe { IofCompleteRequest(irp, 0) };
    status
}
