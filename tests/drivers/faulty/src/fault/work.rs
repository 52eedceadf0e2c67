//! Work items misused.

use core::ffi::c_void;
use core::hint::black_box;
use core::ptr::null_mut;
use core::sync::atomic::Ordering;

use crate::abi::{
    NDIS_HANDLE, NdisAllocateIoWorkItem, NdisFreeIoWorkItem, NdisMSleep, NdisQueueIoWorkItem,
};
use crate::driver;
use crate::module::Module;
use crate::play::{NOTHING, Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_traffic("work-queued-twice", queue_twice),
    Play::in_traffic("work-freed-while-queued", free_while_queued),
    Play::in_traffic("work-overlap", overlap),
    Play {
        name: "work-at-detach",
        detach: Some(queue_at_detach),
        ..NOTHING
    },
    Play {
        name: "work-at-unload",
        unload: Some(queue_at_unload),
        ..NOTHING
    },
    Play::in_attach("work-leak", leak),
];

/// Longer than anything that could wait for the run by chance, in microseconds.
const LONG_US: u32 = 50_000;

/// Long enough for a second worker to begin, in microseconds.
const SHORT_US: u32 = 100;

/// Runs of the overlapping item per module.
const OVERLAPS: u32 = 16;

/// One ended run in the progress of the overlapping item.
const ENDED: u32 = 0x1_0000;

fn allocate() -> NDIS_HANDLE {
    // SAFETY: the driver's handle lives until unload.
    unsafe { NdisAllocateIoWorkItem(driver::handle()) }
}

extern "system" fn sleep(_context: *mut c_void, _item: NDIS_HANDLE) {
    // SAFETY: work items run at PASSIVE_LEVEL.
    unsafe { NdisMSleep(LONG_US) };
}

extern "system" fn nothing(_context: *mut c_void, _item: NDIS_HANDLE) {}

/// Begins a fault that uses one item at a time.
fn begin(module: &Module) -> Option<NDIS_HANDLE> {
    module
        .progress
        .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire)
        .ok()?;
    Some(allocate()).filter(|item| !item.is_null())
}

/// Queues a fresh item twice in a row.
fn queue_twice(module: &'static Module) {
    let Some(item) = begin(module) else { return };
    module.busy.fetch_add(2, Ordering::AcqRel);
    // SAFETY: the item waits for no run.
    unsafe { NdisQueueIoWorkItem(item, Some(free_second), module.context()) };
    // SAFETY: none: this is the fault, unless the first run has begun.
    unsafe { NdisQueueIoWorkItem(item, Some(free_second), module.context()) }; // caught: work-queued-twice by wi-queue-while-queued
    stay();
}

/// Frees the item in its second run.
extern "system" fn free_second(context: *mut c_void, item: NDIS_HANDLE) {
    let module = Module::of(context);
    if module.progress.fetch_add(1, Ordering::AcqRel) == 2 {
        // SAFETY: both runs have begun, so none waits.
        unsafe { NdisFreeIoWorkItem(item) };
        module.progress.store(0, Ordering::Release);
    }
    module.busy.fetch_sub(1, Ordering::AcqRel);
}

/// Queues a fresh item and frees it at once.
fn free_while_queued(module: &'static Module) {
    let item = allocate();
    if item.is_null() {
        return;
    }
    // SAFETY: the item waits for no run.
    unsafe { NdisQueueIoWorkItem(item, Some(nothing), module.context()) };
    // SAFETY: none: this is the fault, unless the run has begun.
    unsafe { NdisFreeIoWorkItem(item) }; // caught: work-freed-while-queued by wi-free-while-queued
    stay();
}

/// Queues the module's item as the last thing before detach returns.
fn queue_at_detach(module: &'static Module) -> bool {
    // SAFETY: the item waits for no run; that detach does not wait for this one is the fault.
    unsafe { NdisQueueIoWorkItem(module.work_item, Some(sleep), module.context()) }; // caught: work-at-detach by detach-no-workitem
    // Keeps detach on the stack of the call that it ends with.
    black_box(module);
    // The run that is left behind still uses the module.
    false
}

/// Queues an item as the last thing before the driver is deregistered and gone.
fn queue_at_unload() -> bool {
    let item = allocate();
    if item.is_null() {
        return true;
    }
    // SAFETY: the item waits for no run; that unload does not wait for this one is the fault.
    unsafe { NdisQueueIoWorkItem(item, Some(sleep), null_mut()) }; // caught: work-at-unload by wi-complete-before-unload
    true
}

/// Forgets an item.
#[inline(never)]
fn leak(_: &'static Module) {
    // SAFETY: the driver's handle lives until unload.
    unsafe { NdisAllocateIoWorkItem(driver::handle()) }; // caught: work-leak by wi-freed-before-unload
    stay();
}

// legal: work-overlap

/// Starts an item that queues itself again as the first thing it does, so that its runs overlap:
/// once per module. No rule forbids it.
fn overlap(module: &'static Module) {
    let Some(item) = begin(module) else { return };
    module.busy.fetch_add(OVERLAPS, Ordering::AcqRel);
    // SAFETY: the item waits for no run.
    unsafe { NdisQueueIoWorkItem(item, Some(requeue), module.context()) };
}

/// Queues itself first and works afterwards.
extern "system" fn requeue(context: *mut c_void, item: NDIS_HANDLE) {
    let module = Module::of(context);
    let run = module.progress.fetch_add(1, Ordering::AcqRel) % ENDED;
    if run < OVERLAPS {
        // SAFETY: the item was taken from the queue before this run.
        unsafe { NdisQueueIoWorkItem(item, Some(requeue), context) };
    }
    // SAFETY: work items run at PASSIVE_LEVEL.
    unsafe { NdisMSleep(SHORT_US) };
    // The low half counts runs begun, the high half runs ended.
    if module.progress.fetch_add(ENDED, Ordering::AcqRel) / ENDED == OVERLAPS - 1 {
        // SAFETY: this run is the last one.
        unsafe { NdisFreeIoWorkItem(item) };
    }
    module.busy.fetch_sub(1, Ordering::AcqRel);
}
