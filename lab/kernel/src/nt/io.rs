//! `Io*`: work items and IRPs.

use lab_rules::event::{Lent, WorkItemOwner};

use super::imports;
use crate::abi::nt::{DEVICE_OBJECT, DRIVER_OBJECT, IRP};
use crate::rt::{Call, mem};
use crate::watch::OrFault;
use crate::worker::{self, Shape};
use crate::{device, driver};

imports! {
    "ntoskrnl.exe":
    IofCompleteRequest => complete_request,
    IoGetRequestorProcessId => requestor_process_id,
    IoAcquireCancelSpinLock => acquire_cancel_lock,
    IoReleaseCancelSpinLock => release_cancel_lock,
    IoAllocateWorkItem => allocate_work_item,
    IoFreeWorkItem => free_work_item,
    IoSizeofWorkItem => size_of_work_item,
    IoInitializeWorkItem => initialize_work_item,
    IoUninitializeWorkItem => uninitialize_work_item,
    IoQueueWorkItem => queue_work_item,
    IoQueueWorkItemEx => queue_work_item_ex,
    IoTryQueueWorkItem => try_queue_work_item,
}

fn complete_request(call: &Call<'_>) -> u64 {
    device::complete(call.arg(0));
    0
}

/// 0 of what no thread has sent; what a driver has built for its thread is the system's.
fn requestor_process_id(call: &Call<'_>) -> u64 {
    let irp = call.arg(0);
    // One that has ended is out of reach.
    let thread = IRP::Tail_Overlay_Thread.read(irp).or_fault();
    let process = device::requestor(irp).or((thread != 0).then_some(0));
    process.map_or(0, super::ps::process_id)
}

fn acquire_cancel_lock(call: &Call<'_>) -> u64 {
    let irql = super::lock::acquire(device::cancel_lock());
    mem::write(call.arg(0), irql).or_fault();
    0
}

fn release_cancel_lock(call: &Call<'_>) -> u64 {
    super::lock::release_to(device::cancel_lock(), call.arg_u8(0));
    0
}

/// What an item is allocated for: a device object or a driver object, told by its type.
fn owner(object: u64) -> WorkItemOwner {
    /// `IO_TYPE_DEVICE` and `IO_TYPE_DRIVER`.
    const DEVICE: i16 = 3;
    const DRIVER: i16 = 4;
    match DEVICE_OBJECT::Type.read(object) {
        Ok(DEVICE) => WorkItemOwner::Device,
        Ok(DRIVER) if DRIVER_OBJECT::Size.read(object).is_ok() => WorkItemOwner::Driver,
        _ => WorkItemOwner::Unknown(object),
    }
}

fn allocate_work_item(call: &Call<'_>) -> u64 {
    let object = call.arg(0);
    let Some(item) = driver::rubbish_if_any(Lent::WorkItem, worker::ITEM_SIZE) else {
        return 0;
    };
    worker::allocate(call, item, object, owner(object));
    item
}

fn free_work_item(call: &Call<'_>) -> u64 {
    if worker::free(call, call.arg(0)) {
        driver::release(call.arg(0));
    }
    0
}

fn size_of_work_item(_: &Call<'_>) -> u64 {
    u64::try_from(worker::ITEM_SIZE).unwrap_or(0)
}

fn initialize_work_item(call: &Call<'_>) -> u64 {
    let object = call.arg(0);
    worker::allocate(call, call.arg(1), object, owner(object));
    0
}

fn uninitialize_work_item(call: &Call<'_>) -> u64 {
    worker::free(call, call.arg(0));
    0
}

fn queue_work_item(call: &Call<'_>) -> u64 {
    worker::queue(call, call.arg(0), Shape::Io, call.arg(1), call.arg(3));
    0
}

fn queue_work_item_ex(call: &Call<'_>) -> u64 {
    worker::queue(call, call.arg(0), Shape::IoEx, call.arg(1), call.arg(3));
    0
}

fn try_queue_work_item(call: &Call<'_>) -> u64 {
    if !worker::has_idle_thread() {
        return 0;
    }
    worker::queue(call, call.arg(0), Shape::IoEx, call.arg(1), call.arg(3));
    1
}
