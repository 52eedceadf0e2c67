//! NDIS I/O work items.

use lab_rules::event::{Lent, WorkItemOwner};

use super::handle::{self, Handle};
use crate::driver;
use crate::nt::imports;
use crate::rt::Call;
use crate::worker::{self, Shape};

imports! {
    "ndis.sys":
    NdisAllocateIoWorkItem => allocate,
    NdisQueueIoWorkItem => queue,
    NdisFreeIoWorkItem => free,
}

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
    worker::allocate(item, call.arg(0), owner);
    item
}

fn queue(call: &Call<'_>) -> u64 {
    worker::queue(call.arg(0), Shape::Ndis, call.arg(1), call.arg(2));
    0
}

fn free(call: &Call<'_>) -> u64 {
    worker::free(call.arg(0));
    driver::release(call.arg(0));
    0
}
