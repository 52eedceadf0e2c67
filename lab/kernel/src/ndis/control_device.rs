//! `NdisRegisterDeviceEx`: the driver's own device object.

use super::filter;
use super::handle::{self, Handle};
use super::register::read_header;
use crate::abi::constant::{
    NDIS_DEVICE_OBJECT_ATTRIBUTES_REVISION_1, NDIS_OBJECT_TYPE_DEVICE_OBJECT_ATTRIBUTES,
    NDIS_SIZEOF_DEVICE_OBJECT_ATTRIBUTES_REVISION_1, NDIS_STATUS_INVALID_PARAMETER,
    NDIS_STATUS_NOT_SUPPORTED,
};
use crate::abi::ndis::NDIS_DEVICE_OBJECT_ATTRIBUTES as A;
use crate::device::{self, MAJOR_FUNCTIONS, Majors, NewDevice};
use crate::driver;
use crate::nt::{SUCCESS, imports, status};
use crate::rt::Call;
use crate::rt::mem;
use crate::watch::OrFault;

imports! {
    "ndis.sys":
    NdisRegisterDeviceEx => register,
    NdisDeregisterDeviceEx => deregister,
    NdisGetDeviceReservedExtension => reserved_extension,
}

fn register(call: &Call<'_>) -> u64 {
    let (owner, attributes, object_out, handle_out) =
        (call.arg(0), call.arg(1), call.arg(2), call.arg(3));
    let expected = (
        NDIS_OBJECT_TYPE_DEVICE_OBJECT_ATTRIBUTES,
        NDIS_DEVICE_OBJECT_ATTRIBUTES_REVISION_1,
        NDIS_SIZEOF_DEVICE_OBJECT_ATTRIBUTES_REVISION_1,
    );
    let header = read_header("NDIS_DEVICE_OBJECT_ATTRIBUTES", attributes, expected).or_fault();
    let name = A::DeviceName.read(attributes).or_fault();
    if !header.is_valid() || name == 0 {
        return status(NDIS_STATUS_INVALID_PARAMETER);
    }
    let Some(filter) = filter::registered() else {
        return status(NDIS_STATUS_NOT_SUPPORTED);
    };
    let table = A::MajorFunctions.read(attributes).or_fault();
    let mut major = [0; MAJOR_FUNCTIONS];
    for (index, routine) in (0u64..).zip(&mut major) {
        *routine = mem::read(table.wrapping_add(8 * index)).or_fault();
    }
    let handle = handle::open(Handle::Device);
    let object = device::create(NewDevice {
        handle,
        driver_object: filter.driver_object,
        name: driver::read_unicode_string(name).or_fault(),
        majors: Majors::Own(Box::new(major)),
        extension_size: A::ExtensionSize.read(attributes).or_fault(),
        with_driver_handle: handle::look_up(owner) == Some(Handle::Driver),
        with_sddl: A::DefaultSDDLString.read(attributes).or_fault() != 0,
    });
    mem::write(object_out, object).or_fault();
    mem::write(handle_out, handle).or_fault();
    SUCCESS
}

fn deregister(call: &Call<'_>) -> u64 {
    if device::delete(call.arg(0)) {
        handle::close(call.arg(0));
    }
    0
}

fn reserved_extension(call: &Call<'_>) -> u64 {
    device::extension(call.arg(0))
}
