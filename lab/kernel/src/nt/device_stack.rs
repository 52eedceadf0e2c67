//! Stacks of devices: attaching, detaching, and pointers to devices by name.

use super::{SUCCESS, imports, ob, status};
use crate::abi::constant::{
    STATUS_INVALID_PARAMETER, STATUS_NO_SUCH_DEVICE, STATUS_OBJECT_NAME_NOT_FOUND,
};
use crate::abi::nt::FILE_OBJECT;
use crate::device::{self, attachment};
use crate::driver;
use crate::rt::Call;
use crate::rt::mem;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    IoAttachDevice => attach_by_name,
    IoAttachDeviceToDeviceStack => attach,
    IoAttachDeviceToDeviceStackSafe => attach_safe,
    IoDetachDevice => detach,
    IoGetAttachedDeviceReference => attached_reference,
    IoGetDeviceObjectPointer => device_pointer,
    IoGetRelatedDeviceObject => related_device,
}

fn attach(call: &Call<'_>) -> u64 {
    attachment::attach(call.arg(0), call.arg(1))
}

fn attach_safe(call: &Call<'_>) -> u64 {
    let (source, target, out) = (call.arg(0), call.arg(1), call.arg(2));
    // Nothing that comes in between sees the stack without what the driver keeps for it.
    let lower = attachment::attach(source, target);
    mem::write(out, lower).or_fault();
    SUCCESS
}

fn attach_by_name(call: &Call<'_>) -> u64 {
    let name = driver::read_unicode_string(call.arg(1)).or_fault();
    match device::object(&super::device::target(&name)) {
        Some(target) => {
            let lower = attachment::attach(call.arg(0), target);
            mem::write(call.arg(2), lower).or_fault();
            SUCCESS
        }
        None => status(STATUS_OBJECT_NAME_NOT_FOUND),
    }
}

fn detach(call: &Call<'_>) -> u64 {
    attachment::detach(call.arg(0));
    0
}

fn attached_reference(call: &Call<'_>) -> u64 {
    let top = attachment::top(call.arg(0)).or_fault();
    ob::note_reference(top);
    top
}

fn related_device(call: &Call<'_>) -> u64 {
    let device = FILE_OBJECT::DeviceObject.read(call.arg(0)).or_fault();
    attachment::top(device).or_fault()
}

/// The file is the driver's, by a reference: its end is the file's.
fn device_pointer(call: &Call<'_>) -> u64 {
    let name = driver::read_unicode_string(call.arg(0)).or_fault();
    if name.is_empty() {
        return status(STATUS_INVALID_PARAMETER);
    }
    let name = super::device::target(&name);
    let Some(device) = device::object(&name) else {
        return status(STATUS_OBJECT_NAME_NOT_FOUND);
    };
    let file = match device::open_for_driver(&name) {
        Some(Ok(file)) => file,
        Some(Err(refusal)) => return refusal.into(),
        None => return status(STATUS_NO_SUCH_DEVICE),
    };
    ob::note_reference(file);
    let top = attachment::top(device).or_fault();
    mem::write(call.arg(2), file).or_fault();
    mem::write(call.arg(3), top).or_fault();
    SUCCESS
}
