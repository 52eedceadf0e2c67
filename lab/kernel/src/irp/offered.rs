//! A device of the system's that drivers can open and send to: `\Device\Null`, which swallows what is written and has
//! nothing to read.
//!
//! Half of the requests it completes at once. The others it leaves pending, and completes them a little later at
//! DISPATCH_LEVEL, unless they are cancelled before.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::{completion, restrict};
use crate::abi::constant::{
    IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_READ, IRP_MJ_WRITE, SL_PENDING_RETURNED,
    STATUS_CANCELLED, STATUS_END_OF_FILE, STATUS_INVALID_DEVICE_REQUEST, STATUS_PENDING,
    STATUS_SUCCESS,
};
use crate::abi::nt::{DEVICE_OBJECT, DRIVER_OBJECT, IO_STACK_LOCATION as L, IRP};
use crate::driver;
use crate::per_image::per_image;
use crate::rt;
use crate::rt::pool::Reach;
use crate::rt::sched;
use crate::watch::OrFault;

/// Its name.
const NAME: &str = "\\Device\\Null";

/// How long it may keep a request, in ns.
const MOST_NS: u64 = 5_000_000;

per_image! {
    /// Its object, once somebody has asked for it; 0 before.
    static DEVICE: Cell<u64> = const { Cell::new(0) };
    /// The requests that it has, and how they end.
    static PENDING: RefCell<BTreeMap<u64, (i32, u64)>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets it: a run begins.
pub(super) fn reset() {
    DEVICE.set(0);
    PENDING.take();
}

/// The device of a name, if the system has such a one.
pub(crate) fn device(name: &str) -> Option<u64> {
    if !name.eq_ignore_ascii_case(NAME) {
        return None;
    }
    if DEVICE.get() == 0 {
        DEVICE.set(make());
    }
    Some(DEVICE.get())
}

fn make() -> u64 {
    /// `IO_TYPE_DEVICE` and `IO_TYPE_DRIVER`.
    const TYPES: [i16; 2] = [3, 4];
    let object = driver::object(DEVICE_OBJECT::SIZE);
    let driver_object = driver::object(DRIVER_OBJECT::SIZE);
    let fill = || {
        DRIVER_OBJECT::Type.write(driver_object, TYPES[1])?;
        DRIVER_OBJECT::Size.write(driver_object, DRIVER_OBJECT::SIZE as i16)?;
        DRIVER_OBJECT::DeviceObject.write(driver_object, object)?;
        DEVICE_OBJECT::Type.write(object, TYPES[0])?;
        DEVICE_OBJECT::Size.write(object, DEVICE_OBJECT::SIZE as u16)?;
        DEVICE_OBJECT::ReferenceCount.write(object, 1)?;
        DEVICE_OBJECT::DriverObject.write(object, driver_object)?;
        DEVICE_OBJECT::StackSize.write(object, 1)
    };
    fill().or_fault();
    object
}

/// Whether this is it.
pub(super) fn is(device: u64) -> bool {
    device != 0 && DEVICE.get() == device
}

/// Whether it has an IRP.
pub(super) fn has(irp: u64) -> bool {
    PENDING.with_borrow(|pending| pending.contains_key(&irp))
}

/// How a request ends: its status, and how much of it was done.
fn answer(location: u64, major: u8) -> (i32, u64) {
    match u32::from(major) {
        IRP_MJ_CREATE | IRP_MJ_CLEANUP | IRP_MJ_CLOSE => (STATUS_SUCCESS, 0),
        IRP_MJ_READ => (STATUS_END_OF_FILE, 0),
        IRP_MJ_WRITE => {
            let length = L::Parameters_Write_Length.read(location).or_fault();
            (STATUS_SUCCESS, length.into())
        }
        _ => (STATUS_INVALID_DEVICE_REQUEST, 0),
    }
}

/// Takes a request; gives what its dispatch routine returns.
pub(super) fn dispatch(irp: u64, location: u64, major: u8) -> u32 {
    let (status, information) = answer(location, major);
    if !sched::chance(1, 2) {
        completion::end(irp, status, information);
        return status.cast_unsigned();
    }
    let control = L::Control.read(location).or_fault();
    L::Control
        .write(location, control | SL_PENDING_RETURNED as u8)
        .or_fault();
    IRP::CancelRoutine.write(irp, cancel_routine()).or_fault();
    PENDING.with_borrow_mut(|pending| pending.insert(irp, (status, information)));
    restrict(irp, Reach::None);
    let due_ns = sched::now() + sched::random(MOST_NS);
    sched::queue_dpc_at(due_ns, "null device", sched::processor(), move || {
        if let Some((status, information)) = take(irp) {
            completion::end(irp, status, information);
        }
    });
    STATUS_PENDING.cast_unsigned()
}

/// Takes a request that it has away from it, to end it.
fn take(irp: u64) -> Option<(i32, u64)> {
    let answer = PENDING.with_borrow_mut(|pending| pending.remove(&irp))?;
    restrict(irp, Reach::Whole);
    IRP::CancelRoutine.write(irp, 0).or_fault();
    Some(answer)
}

/// The cancel routine of its requests, of which a driver sees an address only.
fn cancel_routine() -> u64 {
    rt::import_address("ntoskrnl.exe", "IofCallDriver").unwrap_or(0)
}

/// Cancels a request that it has; tells whether it had it.
pub(crate) fn cancel(irp: u64) -> bool {
    if !has(irp) {
        return false;
    }
    restrict(irp, Reach::Whole);
    IRP::Cancel.write(irp, 1).or_fault();
    let is_taken = take(irp).is_some();
    if is_taken {
        completion::end(irp, STATUS_CANCELLED, 0);
    }
    is_taken
}
