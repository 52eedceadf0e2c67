//! `IoCreateDevice` and symbolic links: devices that a driver makes without NDIS.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::{SUCCESS, imports, status};
use crate::abi::constant::{STATUS_OBJECT_NAME_COLLISION, STATUS_OBJECT_NAME_NOT_FOUND};
use crate::abi::nt::DEVICE_OBJECT as D;
use crate::device::{self, Majors, NewDevice};
use crate::driver;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    IoCreateDevice => create,
    IoDeleteDevice => delete,
    IoCreateSymbolicLink => create_link,
    IoDeleteSymbolicLink => delete_link,
}

per_image! {
    /// What symbolic links stand for, by their names in upper case: names of objects do not tell case.
    static LINKS: RefCell<BTreeMap<String, String>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets all links: a run begins.
pub(super) fn reset() {
    LINKS.take();
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

/// The one name of a link, in upper case: the folder of links has several.
fn canonical(name: &str) -> String {
    let upper = name.to_uppercase();
    let others = ["\\DOSDEVICES\\", "\\GLOBAL??\\"];
    match others.iter().find_map(|folder| upper.strip_prefix(folder)) {
        Some(rest) => format!("\\??\\{rest}"),
        None => upper,
    }
}

/// What a name stands for: where it is a link's, what that points to.
pub(super) fn target(name: &str) -> String {
    let linked = LINKS.with_borrow(|links| links.get(&canonical(name)).cloned());
    linked.unwrap_or_else(|| name.to_owned())
}

fn create_link(call: &Call<'_>) -> u64 {
    let name = driver::read_unicode_string(call.arg(0)).or_fault();
    // What it points to need not exist, but must be a string.
    let target = driver::read_unicode_string(call.arg(1)).or_fault();
    let is_new = LINKS.with_borrow_mut(|links| {
        let name = canonical(&name);
        let is_new = !links.contains_key(&name);
        links.entry(name).or_insert(target);
        is_new
    });
    if is_new {
        SUCCESS
    } else {
        status(STATUS_OBJECT_NAME_COLLISION)
    }
}

fn delete_link(call: &Call<'_>) -> u64 {
    let name = driver::read_unicode_string(call.arg(0)).or_fault();
    if LINKS.with_borrow_mut(|links| links.remove(&canonical(&name)).is_some()) {
        SUCCESS
    } else {
        status(STATUS_OBJECT_NAME_NOT_FOUND)
    }
}
