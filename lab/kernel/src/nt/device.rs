//! `IoCreateDevice` and symbolic links: devices that a driver makes without NDIS.

use super::namespace::{self, Named};
use super::{SUCCESS, imports, status};
use crate::abi::constant::{
    STATUS_INSUFFICIENT_RESOURCES, STATUS_OBJECT_NAME_COLLISION, STATUS_OBJECT_NAME_NOT_FOUND,
};
use crate::abi::nt::DEVICE_OBJECT as D;
use crate::device::{self, Majors, NewDevice};
use crate::driver;
use crate::rt::Call;
use crate::rt::mem;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    IoCreateDevice => create,
    IoDeleteDevice => delete,
    IoCreateSymbolicLink => create_link,
    IoCreateUnprotectedSymbolicLink => create_link,
    IoDeleteSymbolicLink => delete_link,
}

/// The device's routines are those of the driver object, at the time of each request.
fn create(call: &Call<'_>) -> u64 {
    let (driver_object, extension_size, name) = (call.arg(0), call.arg_u32(1), call.arg(2));
    let name = if name == 0 {
        String::new()
    } else {
        driver::read_unicode_string(name).or_fault()
    };
    if !name.is_empty() && device::exists(&name) {
        return status(STATUS_OBJECT_NAME_COLLISION);
    }
    if driver::is_too_much(extension_size) {
        return status(STATUS_INSUFFICIENT_RESOURCES);
    }
    let object = device::create(NewDevice {
        handle: 0,
        driver_object,
        name,
        majors: Majors::Driver(driver_object),
        extension_size,
        with_driver_handle: true,
        // The security of its class, or its INF's: this function takes none.
        with_sddl: true,
    });
    D::DeviceType.write(object, call.arg_u32(3)).or_fault();
    D::Characteristics.write(object, call.arg_u32(4)).or_fault();
    mem::write(call.arg(6), object).or_fault();
    SUCCESS
}

fn delete(call: &Call<'_>) -> u64 {
    device::delete(call.arg(0));
    0
}

/// What a name stands for: where it is a link's, what that points to.
pub(super) fn target(name: &str) -> String {
    match namespace::find(&namespace::canonical(name)) {
        Some(Named::Link(target)) => target,
        _ => name.to_owned(),
    }
}

fn create_link(call: &Call<'_>) -> u64 {
    let name = driver::read_unicode_string(call.arg(0)).or_fault();
    // What it points to need not exist, but must be a string.
    let target = driver::read_unicode_string(call.arg(1)).or_fault();
    let name = namespace::canonical(&name);
    if namespace::find(&name).is_some() {
        return status(STATUS_OBJECT_NAME_COLLISION);
    }
    namespace::insert(&name, Named::Link(target), true);
    SUCCESS
}

fn delete_link(call: &Call<'_>) -> u64 {
    let name = driver::read_unicode_string(call.arg(0)).or_fault();
    let name = namespace::canonical(&name);
    if matches!(namespace::find(&name), Some(Named::Link(_))) && namespace::remove(&name) {
        SUCCESS
    } else {
        status(STATUS_OBJECT_NAME_NOT_FOUND)
    }
}
