//! Work items misused.

use core::ffi::c_void;
use core::hint::black_box;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::abi::*;
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
    Play::in_attach("work-foreign-handle", allocate_for_item),
    Play::in_attach("work-module-handle", allocate_for_module),
    Play::in_attach("work-freed-twice", free_twice),
    Play::in_attach("work-queued-freed", queue_freed),
    Play::in_attach("work-no-code", queue_data),
    Play {
        name: "work-driver-object",
        load: Some(keep_driver),
        attach: Some(queue_drivers_item),
        ..NOTHING
    },
    Play::in_traffic("work-waits-for-itself", wait_for_itself),
    Play::in_traffic("work-frees-itself", queue_fresh),
    Play {
        name: "work-wdm",
        load: Some(keep_driver),
        attach: Some(wdm_items),
        ..NOTHING
    },
];

/// Pool tag of the blocks here, `FltW`.
const TAG: u32 = u32::from_le_bytes(*b"FltW");

/// Longer than anything that could wait for the run by chance, in microseconds.
const LONG_US: u32 = 50_000;

/// Long enough for a second worker to begin, in microseconds.
const SHORT_US: u32 = 100;

/// Runs of the overlapping item per module.
const OVERLAPS: u32 = 16;

/// One ended run in the progress of the overlapping item.
const ENDED: u32 = 0x1_0000;

/// Queues a fresh item with a routine, which frees it; `busy` counts it until it has run.
pub(crate) fn queue(
    module: &'static Module,
    routine: extern "system" fn(*mut c_void, NDIS_HANDLE),
) {
    let item = allocate();
    if item.is_null() {
        return;
    }
    module.busy.fetch_add(1, Ordering::AcqRel);
    // SAFETY: the item waits for no run; the context lives until `busy` is zero.
    unsafe { NdisQueueIoWorkItem(item, Some(routine), module.context()) };
}

/// The end of such a routine.
pub(crate) extern "system" fn done(context: *mut c_void, item: NDIS_HANDLE) {
    let module = Module::of(context);
    // SAFETY: the item waits for no run, and nobody else has it.
    unsafe { NdisFreeIoWorkItem(item) };
    module.busy.fetch_sub(1, Ordering::AcqRel);
}

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

/// Allocates an item for a handle that is none of a driver's or device's.
#[inline(never)]
fn allocate_for_item(module: &'static Module) {
    // SAFETY: none: this is the fault.
    let item = unsafe { NdisAllocateIoWorkItem(module.work_item) }; // caught: work-foreign-handle by wi-alloc-handle-kind
    black_box(item);
}

/// Allocates an item for a filter module: the function's page does not name that kind of handle.
#[inline(never)]
fn allocate_for_module(module: &'static Module) {
    // SAFETY: the module is attached.
    let item = unsafe { NdisAllocateIoWorkItem(module.handle) }; // warned: work-module-handle by wi-alloc-handle-kind
    if !item.is_null() {
        // SAFETY: allocated above, and never queued.
        unsafe { NdisFreeIoWorkItem(item) };
    }
}

/// Frees an item twice.
#[inline(never)]
fn free_twice(_: &'static Module) {
    let item = allocate();
    // SAFETY: allocated above, and never queued.
    unsafe { NdisFreeIoWorkItem(item) };
    // SAFETY: none: this is the fault.
    unsafe { NdisFreeIoWorkItem(item) }; // caught: work-freed-twice by wi-free-once
    stay();
}

/// Queues an item that it has freed.
#[inline(never)]
fn queue_freed(module: &'static Module) {
    let item = allocate();
    // SAFETY: allocated above, and never queued.
    unsafe { NdisFreeIoWorkItem(item) };
    // SAFETY: none: this is the fault.
    unsafe { NdisQueueIoWorkItem(item, Some(nothing), module.context()) }; // caught: work-queued-freed by wi-no-use-after-free
    stay();
}

/// Queues an item with a routine that is no code.
#[inline(never)]
fn queue_data(module: &'static Module) {
    let data = module.context();
    // SAFETY: both are addresses; that there is no code at this one is the fault.
    let routine: NDIS_IO_WORKITEM_ROUTINE = unsafe { core::mem::transmute(data) };
    // SAFETY: none: this is the fault.
    unsafe { NdisQueueIoWorkItem(module.work_item, routine, data) }; // caught: work-no-code by wi-valid-routine
    stay();
}

/// The driver's object, for which WDM items may be allocated.
static DRIVER: AtomicPtr<DRIVER_OBJECT> = AtomicPtr::new(null_mut());

fn keep_driver(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    DRIVER.store(driver, Ordering::Release);
    STATUS_SUCCESS
}

/// Queues an item of a driver object with the function for items of device objects.
#[inline(never)]
fn queue_drivers_item(_: &'static Module) {
    // SAFETY: the driver's object lives until unload.
    let item = unsafe { IoAllocateWorkItem(DRIVER.load(Ordering::Acquire).cast()) };
    // SAFETY: none: this is the fault.
    unsafe { IoQueueWorkItem(item, Some(plain), DelayedWorkQueue, null_mut()) }; // caught: work-driver-object by wi-device-object-for-ioqueue
    stay();
}

unsafe extern "system" fn plain(_: *mut DEVICE_OBJECT, _: *mut c_void) {}

/// Queues an item whose routine waits until no routine of the module's runs.
fn wait_for_itself(module: &'static Module) {
    if module.progress.fetch_add(1, Ordering::AcqRel) == 0 {
        queue(module, drain_busy);
    }
}

/// Waits for its own end.
extern "system" fn drain_busy(context: *mut c_void, _: NDIS_HANDLE) {
    let module = Module::of(context);
    while module.busy.load(Ordering::Acquire) != 0 {
        // SAFETY: PASSIVE_LEVEL.
        unsafe { NdisMSleep(1000) }; // caught: work-waits-for-itself by wi-routine-short
    }
    module.busy.fetch_sub(1, Ordering::AcqRel);
}

// legal: work-frees-itself near wi-free-while-queued, wi-free-once, wi-no-use-after-free, wi-freed-before-unload
// legal: work-frees-itself near wi-queue-while-queued, wi-alloc-handle-kind, wi-complete-before-unload
// legal: work-frees-itself near detach-no-workitem, wi-valid-routine, wi-irql

/// With each batch, queues a fresh item that frees itself, at any level.
fn queue_fresh(module: &'static Module) {
    queue(module, done);
}

// legal: work-wdm near wi-device-object-for-ioqueue, wi-free-once, wi-routine-short

/// Items of the other family: allocated for the driver object, initialised in memory of the
/// driver's, tried.
fn wdm_items(module: &'static Module) {
    let object: *mut c_void = DRIVER.load(Ordering::Acquire).cast();
    // SAFETY: the driver's object lives until unload.
    let item = unsafe { IoAllocateWorkItem(object.cast()) };
    if !item.is_null() {
        module.busy.fetch_add(1, Ordering::AcqRel);
        // SAFETY: the item waits for no run; the context lives until `busy` is zero.
        unsafe { IoQueueWorkItemEx(item, Some(free_wdm), DelayedWorkQueue, module.context()) };
    }
    // SAFETY: callable at any IRQL.
    let size = unsafe { IoSizeofWorkItem() };
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    let storage = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, size.into(), TAG) };
    if storage.is_null() {
        return;
    }
    // SAFETY: the storage is nonpaged and of the right size.
    unsafe { IoInitializeWorkItem(object, storage) };
    module.busy.fetch_add(1, Ordering::AcqRel);
    // SAFETY: the item waits for no run; the context lives until `busy` is zero.
    let is_queued = unsafe {
        IoTryQueueWorkItem(
            storage,
            Some(uninitialize),
            DelayedWorkQueue,
            module.context(),
        )
    };
    if is_queued == 0 {
        // SAFETY: it was not queued, so its routine will not do it.
        unsafe { uninitialize(object, module.context(), storage) };
    }
}

unsafe extern "system" fn free_wdm(_: *mut c_void, context: *mut c_void, item: *mut c_void) {
    let module = Module::of(context);
    // SAFETY: the item waits for no run, and nobody else has it.
    unsafe { IoFreeWorkItem(item) };
    module.busy.fetch_sub(1, Ordering::AcqRel);
}

unsafe extern "system" fn uninitialize(_: *mut c_void, context: *mut c_void, item: *mut c_void) {
    let module = Module::of(context);
    // SAFETY: the item waits for no run.
    unsafe { IoUninitializeWorkItem(item) };
    // SAFETY: the storage of the item, which is none any more.
    unsafe { ExFreePoolWithTag(item, TAG) };
    module.busy.fetch_sub(1, Ordering::AcqRel);
}
