//! What a routine owes for what it made.

use core::ffi::c_void;
use core::hint::black_box;
use core::ptr::{null_mut, without_provenance_mut};
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use super::pool::{TAG, allocate, free};
use crate::abi::{
    DRIVER_OBJECT, ExAllocatePool2, ExFreePoolWithTag, HANDLE, NDIS_FILTER_ATTACH_PARAMETERS,
    NDIS_HANDLE, NDIS_STATUS, NDIS_STATUS_FAILURE, NDIS_STATUS_SUCCESS, NTSTATUS,
    NdisAllocateGenericObject, NdisAllocateIoWorkItem, NdisCloseConfiguration,
    NdisFreeGenericObject, NdisFreeIoWorkItem, NdisMSleep, NdisOpenConfigurationEx,
    NdisParameterString, NdisReadConfiguration, ObReferenceObjectByHandle,
    ObReferenceObjectByPointer, ObfDereferenceObject, ObfReferenceObject, POOL_FLAG_NON_PAGED,
    PsCreateSystemThread, ZwClose,
};
use crate::module::Module;
use crate::play::{NOTHING, Play, stay};
use crate::{configuration, driver, text};

pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "work-item-left-by-attach",
        early_attach: Some(leave_item_and_fail),
        ..NOTHING
    },
    Play::in_attach("work-item-flood", flood),
    Play::in_attach("work-item-many", many),
    Play {
        name: "options-left",
        options: Some(leave_and_fail),
        ..NOTHING
    },
    Play {
        name: "options-undone",
        options: Some(undo_and_fail),
        ..NOTHING
    },
    Play {
        name: "module-options-left",
        module_options: Some(make_for_module),
        ..NOTHING
    },
    Play {
        name: "module-options-undone",
        module_options: Some(make),
        detach: Some(unmake),
        ..NOTHING
    },
    Play {
        name: "pause-frees-attach",
        attach: Some(make_in_attach),
        pause: Some(free_in_pause),
        ..NOTHING
    },
    Play {
        name: "pause-frees-own",
        pause: Some(make_and_free_in_pause),
        ..NOTHING
    },
    Play::in_attach("configuration-shared", share_configuration),
    Play::in_attach("configuration-each", each_configuration),
    Play::in_attach("handle-closed-twice", close_twice),
    Play::in_attach("object-referenced", reference),
    Play::in_attach("generic-object-left", leave_generic),
    Play::in_attach("generic-object-whole", use_generic),
    Play {
        name: "unload-absent",
        load: Some(remove_unload),
        ..NOTHING
    },
];

/// What one routine leaves for another.
static MADE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// Fails to attach, with a work item allocated.
fn leave_item_and_fail(_: NDIS_HANDLE, _: *mut NDIS_FILTER_ATTACH_PARAMETERS) -> NDIS_STATUS {
    // SAFETY: the driver's handle; that the item is never freed is the fault.
    let item = unsafe { NdisAllocateIoWorkItem(driver::handle()) }; // caught: work-item-left-by-attach by wi-init-alloc-sdv
    black_box(item);
    NDIS_STATUS_FAILURE
}

/// More work items than anybody needs.
const FLOOD: usize = 1024;

/// Allocates work items as if there was one for each packet.
#[inline(never)]
fn flood(_: &'static Module) {
    let items = allocate(FLOOD * size_of::<NDIS_HANDLE>()).cast::<NDIS_HANDLE>();
    if items.is_null() {
        return;
    }
    for index in 0..FLOOD {
        // SAFETY: none: this is the fault.
        let item = unsafe { NdisAllocateIoWorkItem(driver::handle()) }; // warned: work-item-flood by wi-no-flood
        // SAFETY: inside the block.
        unsafe { items.wrapping_add(index).write(item) };
    }
    end(items, FLOOD);
}

/// Frees work items, and the block that they are listed in.
fn end(items: *mut NDIS_HANDLE, count: usize) {
    for index in 0..count {
        // SAFETY: inside the block.
        let item = unsafe { items.wrapping_add(index).read() };
        if !item.is_null() {
            // SAFETY: allocated, never queued.
            unsafe { NdisFreeIoWorkItem(item) };
        }
    }
    free(items.cast());
}

/// Allocates many work items, and frees them.
// legal: work-item-many near wi-no-flood, wi-freed-before-unload
fn many(_: &'static Module) {
    const MANY: usize = 100;
    let items = allocate(MANY * size_of::<NDIS_HANDLE>()).cast::<NDIS_HANDLE>();
    if items.is_null() {
        return;
    }
    for index in 0..MANY {
        // SAFETY: the driver's handle lives until unload.
        let item = unsafe { NdisAllocateIoWorkItem(driver::handle()) };
        // SAFETY: inside the block.
        unsafe { items.wrapping_add(index).write(item) };
    }
    end(items, MANY);
}

/// Fails `FilterSetOptions`, with a block allocated.
fn leave_and_fail(_: NDIS_HANDLE) -> NDIS_STATUS {
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, 96, TAG) }; // caught: options-left by reg-setoptions-undo
    black_box(block);
    NDIS_STATUS_FAILURE
}

/// Fails `FilterSetOptions`, with everything undone.
// declined: options-undone near reg-setoptions-undo, reg-fail-undo
fn undo_and_fail(_: NDIS_HANDLE) -> NDIS_STATUS {
    let block = allocate(64);
    if !block.is_null() {
        free(block);
    }
    NDIS_STATUS_FAILURE
}

/// Allocates for the module what detach does not free.
fn make_for_module(_: &'static Module) -> NDIS_STATUS {
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, 112, TAG) }; // caught: module-options-left by setmodule-undo-at-detach
    black_box(block);
    NDIS_STATUS_SUCCESS
}

/// Allocates for the module what detach frees.
// legal: module-options-undone near setmodule-undo-at-detach
fn make(_: &'static Module) -> NDIS_STATUS {
    // Each restart calls this.
    if MADE.load(Ordering::Acquire).is_null() {
        MADE.store(allocate(64).cast(), Ordering::Release);
    }
    NDIS_STATUS_SUCCESS
}

fn unmake(_: &'static Module) -> bool {
    let block = MADE.swap(null_mut(), Ordering::AcqRel);
    if !block.is_null() {
        free(block.cast());
    }
    true
}

fn make_in_attach(_: &'static Module) {
    MADE.store(allocate(64).cast(), Ordering::Release);
}

/// Frees in pause what restart would need again.
fn free_in_pause(_: &'static Module) -> NDIS_STATUS {
    let block = MADE.swap(null_mut(), Ordering::AcqRel);
    if !block.is_null() {
        // SAFETY: allocated in attach.
        unsafe { ExFreePoolWithTag(block, TAG) }; // warned: pause-frees-attach by pause-keep-attach-resources
    }
    NDIS_STATUS_SUCCESS
}

/// Frees in pause what it made there.
// legal: pause-frees-own near pause-keep-attach-resources
fn make_and_free_in_pause(_: &'static Module) -> NDIS_STATUS {
    let block = allocate(64);
    if !block.is_null() {
        free(block);
    }
    NDIS_STATUS_SUCCESS
}

static KEYWORD: [u16; 5] = text::wide(b"Fault");
/// Reads of a configuration, by each of two threads.
const READS: u32 = 1_000;
/// Threads that have not ended.
static READING: AtomicU32 = AtomicU32::new(0);

fn open(module: &Module) -> NDIS_HANDLE {
    let (mut object, mut handle) = (configuration::object(module.handle), null_mut());
    // SAFETY: PASSIVE_LEVEL; both arguments are valid for the call.
    unsafe { NdisOpenConfigurationEx(&raw mut object, &raw mut handle) };
    handle
}

fn close(handle: NDIS_HANDLE) {
    // SAFETY: opened by `open`.
    unsafe { NdisCloseConfiguration(handle) };
}

#[inline(never)]
#[rustfmt::skip]
fn read(handle: NDIS_HANDLE) {
    let (mut status, mut parameter, mut keyword) = (0, null_mut(), text::string(&KEYWORD));
    // SAFETY: PASSIVE_LEVEL; all pointers are valid for the call; that others use the handle too is the fault.
    unsafe { NdisReadConfiguration(&raw mut status, &raw mut parameter, handle, &raw mut keyword, NdisParameterString) }; // caught: configuration-shared by config-serialized
    stay();
}

fn start(routine: extern "system" fn(*mut c_void), context: *mut c_void) -> HANDLE {
    let mut handle = null_mut();
    // SAFETY: PASSIVE_LEVEL; the handle is valid for the call.
    unsafe {
        PsCreateSystemThread(
            &raw mut handle,
            0,
            null_mut(),
            null_mut(),
            null_mut(),
            Some(routine),
            context,
        )
    };
    handle
}

extern "system" fn read_on(configuration: *mut c_void) {
    for _ in 0..READS {
        read(configuration);
    }
    READING.fetch_sub(1, Ordering::AcqRel);
}

/// Reads one configuration from two threads.
fn share_configuration(module: &'static Module) {
    let handle = open(module);
    if handle.is_null() {
        return;
    }
    READING.store(1, Ordering::Release);
    let thread = start(read_on, handle);
    for _ in 0..READS {
        read(handle);
    }
    wait(thread);
    close(handle);
}

/// Waits for the thread and closes its handle.
fn wait(thread: HANDLE) {
    while READING.load(Ordering::Acquire) != 0 {
        // SAFETY: PASSIVE_LEVEL.
        unsafe { NdisMSleep(1_000) };
    }
    // SAFETY: created by `start`.
    unsafe { ZwClose(thread) };
    // The thread's last instructions.
    // SAFETY: PASSIVE_LEVEL.
    unsafe { NdisMSleep(1_000) };
}

/// Reads two configurations in turn.
// legal: configuration-each near config-serialized
fn each_configuration(module: &'static Module) {
    let (first, second) = (open(module), open(module));
    if first.is_null() || second.is_null() {
        return;
    }
    for _ in 0..READS {
        read(first);
        read(second);
    }
    close(first);
    close(second);
}

extern "system" fn nothing(_: *mut c_void) {
    READING.store(0, Ordering::Release);
}

/// Closes a handle twice.
#[inline(never)]
fn close_twice(_: &'static Module) {
    READING.store(1, Ordering::Release);
    let thread = start(nothing, null_mut());
    wait(thread);
    // SAFETY: none: this is the fault.
    unsafe { ZwClose(thread) }; // caught: handle-closed-twice by kernel-handle-valid
    stay();
}

/// Takes references in all ways, and gives each up once.
// legal: object-referenced near object-refcount, kernel-handle-valid
fn reference(_: &'static Module) {
    READING.store(1, Ordering::Release);
    let thread = start(nothing, null_mut());
    let mut object = null_mut();
    // SAFETY: PASSIVE_LEVEL; the handle is open.
    let status =
        unsafe { ObReferenceObjectByHandle(thread, 0, null_mut(), 0, &raw mut object, null_mut()) };
    if status == 0 {
        // SAFETY: a reference is held.
        unsafe { ObfReferenceObject(object) };
        // SAFETY: as above.
        let again = unsafe { ObReferenceObjectByPointer(object, 0, null_mut(), 0) };
        for _ in 0..2 + u32::from(again == 0) {
            // SAFETY: taken above.
            unsafe { ObfDereferenceObject(object) };
        }
    }
    let none: HANDLE = without_provenance_mut(0xFFFF_FFFF_0000_0004);
    // SAFETY: a handle that is not open is refused.
    unsafe { ObReferenceObjectByHandle(none, 0, null_mut(), 0, &raw mut object, null_mut()) };
    wait(thread);
}

/// Forgets a generic object.
#[inline(never)]
fn leave_generic(_: &'static Module) {
    // SAFETY: the driver's object; that it is never freed is the fault.
    let object = unsafe { NdisAllocateGenericObject(driver::object(), TAG, 32) }; // caught: generic-object-left by mem-generic-object
    black_box(object);
}

/// Makes and frees a generic object.
// legal: generic-object-whole near mem-generic-object
fn use_generic(_: &'static Module) {
    // SAFETY: the driver's object; callable up to DISPATCH_LEVEL.
    let object = unsafe { NdisAllocateGenericObject(driver::object(), TAG, 32) };
    if !object.is_null() {
        // SAFETY: allocated above.
        unsafe { NdisFreeGenericObject(object) };
    }
}

/// Takes the unload routine away.
fn remove_unload(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    // SAFETY: the system's object, valid while the driver is loaded; that it cannot be unloaded is the fault.
    unsafe { (*driver).DriverUnload = None };
    NDIS_STATUS_SUCCESS
}
