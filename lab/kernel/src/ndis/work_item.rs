//! NDIS I/O work items.

use lab_rules::event::{Lent, WorkItemOwner};

use super::handle::{self, Handle};
use crate::driver;
use crate::nt::{SUCCESS, imports};
use crate::rt::Call;
use crate::rt::mem::Field;
use crate::watch::OrFault;
use crate::worker::{self, Shape};

imports! {
    "ndis.sys":
    NdisAllocateIoWorkItem => allocate,
    NdisQueueIoWorkItem => queue,
    NdisFreeIoWorkItem => free,
    NdisScheduleWorkItem => schedule,
}

/// Members of an `NDIS_WORK_ITEM` of NDIS 5, which headers of NDIS 6 do not declare.
const CONTEXT: Field<u64> = Field::at(0);
const ROUTINE: Field<u64> = Field::at(8);

fn allocate(call: &Call<'_>) -> u64 {
    let owner = match handle::look_up(call.arg(0)) {
        Some(Handle::Driver) => WorkItemOwner::Driver,
        Some(Handle::Device) => WorkItemOwner::Device,
        Some(Handle::Module(_)) => WorkItemOwner::Module,
        _ => WorkItemOwner::Unknown(call.arg(0)),
    };
    let Some(item) = driver::rubbish_if_any(Lent::WorkItem, worker::ITEM_SIZE) else {
        return 0;
    };
    worker::allocate(call, item, call.arg(0), owner);
    item
}

fn queue(call: &Call<'_>) -> u64 {
    worker::queue(call, call.arg(0), Shape::Ndis, call.arg(1), call.arg(2));
    0
}

fn free(call: &Call<'_>) -> u64 {
    if worker::free(call, call.arg(0)) {
        driver::release(call.arg(0));
    }
    0
}

/// Only drivers of NDIS 5 may call it; it is there for them.
fn schedule(call: &Call<'_>) -> u64 {
    let item = call.arg(0);
    let (routine, context) = (ROUTINE.read(item).or_fault(), CONTEXT.read(item).or_fault());
    worker::queue_unallocated(call, item, Shape::Ndis5, routine, context);
    SUCCESS
}
