//! Where objects lie that the kernel links into its lists, and when their memory goes.

use core::ffi::c_void;
use core::hint::black_box;
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU32, Ordering};

use super::pool::{TAG, allocate, free, paged};
use crate::abi::{
    ExAllocateFromLookasideListEx, ExDeleteLookasideListEx, ExFreePoolWithTag,
    ExFreeToLookasideListEx, ExInitializeLookasideListEx, ExQueueWorkItem, IoInitializeWorkItem,
    IoQueueWorkItemEx, IoSizeofWorkItem, IoUninitializeWorkItem, KEVENT, KeInitializeEvent,
    KeInitializeSpinLock, KeWaitForSingleObject, LARGE_INTEGER, LOOKASIDE_LIST_EX, NdisMSleep,
    NonPagedPoolNx, WORK_QUEUE_ITEM,
};
use crate::driver;
use crate::module::Module;
use crate::play::{Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("lock-paged", lock_paged),
    Play::in_attach("event-stack-user", wait_as_user),
    Play::in_attach("storage-resident", use_resident),
    Play::in_attach("work-item-paged", item_paged),
    Play::in_attach("work-item-not-ended", item_not_ended),
    Play::in_attach("work-item-freed-queued", item_freed_queued),
    Play::in_attach("work-item-context-freed", item_context_freed),
    Play::in_attach("work-item-whole", item_whole),
    Play::in_attach("work-item-critical", item_critical),
    Play::in_attach("work-item-plain", item_plain),
    Play::in_attach("work-item-ndis5", item_ndis5),
    Play::in_attach("lookaside-freed", lookaside_freed),
    Play::in_attach("lookaside-twice", lookaside_twice),
    Play::in_attach("lookaside-left", lookaside_left),
    Play::in_attach("lookaside-entry-twice", lookaside_entry_twice),
    Play::in_attach("lookaside-whole", lookaside_whole),
];

/// Room for any object here.
const SIZE: usize = 256;
/// `DelayedWorkQueue`.
const DELAYED: i32 = 1;
/// `UserMode` and `KernelMode`.
const USER: i8 = 1;
const KERNEL: i8 = 0;

/// Initialises a spin lock in paged pool.
#[inline(never)]
fn lock_paged(_: &'static Module) {
    let block = paged(SIZE);
    // SAFETY: none: this is the fault.
    unsafe { KeInitializeSpinLock(block.cast()) }; // caught: lock-paged by lock-init
    stay();
}

/// Looks at an event on the stack as if a user waited, whose stack may be swapped out.
#[inline(never)]
fn wait_as_user(_: &'static Module) {
    let mut event = MaybeUninit::<KEVENT>::uninit();
    let event = event.as_mut_ptr().cast();
    let mut now = LARGE_INTEGER {
        LowPart: 0,
        HighPart: 0,
    };
    // SAFETY: the event outlives its use.
    unsafe { KeInitializeEvent(event, 0, 0) };
    // SAFETY: none: this is the fault.
    let status = unsafe { KeWaitForSingleObject(event, 0, USER, 0, &raw mut now) }; // caught: event-stack-user by event-stack-usermode
    black_box(status);
}

/// Uses objects in nonpaged pool, and an event on the stack for the kernel.
// legal: storage-resident near mem-sync-objects-resident, lock-init, event-stack-usermode
fn use_resident(_: &'static Module) {
    let block = allocate(SIZE);
    if block.is_null() {
        return;
    }
    let mut now = LARGE_INTEGER {
        LowPart: 0,
        HighPart: 0,
    };
    let mut on_stack = MaybeUninit::<KEVENT>::uninit();
    for event in [block.cast(), on_stack.as_mut_ptr().cast()] {
        // SAFETY: the event outlives its use.
        unsafe { KeInitializeEvent(event, 0, 0) };
        // SAFETY: initialised above; the timeout is valid for the call.
        unsafe { KeWaitForSingleObject(event, 0, KERNEL, 0, &raw mut now) };
    }
    // SAFETY: inside the block.
    unsafe { KeInitializeSpinLock(block.wrapping_add(64).cast()) };
    free(block);
}

/// Counts in its context, if there is one, that a run has begun.
extern "system" fn run(_: *mut c_void, context: *mut c_void, _: *mut c_void) {
    // SAFETY: what queued the item waits for the count before it ends the context.
    if let Some(runs) = unsafe { context.cast::<AtomicU32>().as_ref() } {
        runs.fetch_add(1, Ordering::AcqRel);
    }
}

/// A count as a context.
fn counter(runs: &AtomicU32) -> *mut c_void {
    core::ptr::from_ref(runs).cast_mut().cast()
}

fn initialize(item: *mut u8) {
    // SAFETY: the driver's object; the storage is large enough, in nonpaged pool.
    unsafe { IoInitializeWorkItem(driver::object().cast(), item.cast()) };
}

fn queue(item: *mut u8, context: *mut u8) {
    // SAFETY: initialised, and not queued.
    unsafe { IoQueueWorkItemEx(item.cast(), Some(run), DELAYED, context.cast()) };
}

fn wait_for_run(runs: &AtomicU32) {
    while runs.load(Ordering::Acquire) == 0 {
        // SAFETY: PASSIVE_LEVEL.
        unsafe { NdisMSleep(1_000) };
    }
}

/// Initialises a work item in paged pool.
#[inline(never)]
fn item_paged(_: &'static Module) {
    let item = paged(SIZE);
    // SAFETY: none: this is the fault.
    unsafe { IoInitializeWorkItem(driver::object().cast(), item.cast()) }; // caught: work-item-paged by wi-initialize-storage
    stay();
}

/// Frees a work item that was not uninitialised.
#[inline(never)]
fn item_not_ended(_: &'static Module) {
    let item = allocate(SIZE);
    initialize(item);
    // SAFETY: none: this is the fault.
    unsafe { ExFreePoolWithTag(item.cast(), TAG) }; // caught: work-item-not-ended by wi-uninitialize-before-free
    stay();
}

/// Frees a work item that is queued.
#[inline(never)]
fn item_freed_queued(_: &'static Module) {
    let item = allocate(SIZE);
    initialize(item);
    // SAFETY: initialised, and not queued.
    unsafe { IoQueueWorkItemEx(item.cast(), Some(run), DELAYED, null_mut()) }; // caught: work-item-freed-queued by wi-memory-freed-active
    // SAFETY: none: this is the fault, unless the run has begun.
    unsafe { ExFreePoolWithTag(item.cast(), TAG) };
    stay();
}

/// Frees the context of a work item that is queued.
#[inline(never)]
fn item_context_freed(_: &'static Module) {
    let (item, context) = (allocate(SIZE), allocate(SIZE));
    initialize(item);
    // SAFETY: initialised, and not queued.
    unsafe { IoQueueWorkItemEx(item.cast(), Some(run), DELAYED, context.cast()) }; // caught: work-item-context-freed by wi-context-outlives
    // SAFETY: none: this is the fault, unless the run has begun.
    unsafe { ExFreePoolWithTag(context.cast(), TAG) };
    stay();
}

/// Initialises, queues, waits, uninitialises and frees.
// legal: work-item-whole near wi-initialize-storage, wi-uninitialize-before-free, wi-memory-freed-active
// legal: work-item-whole near ndis5-workitem-obsolete, wi-context-outlives, wi-queue-type, exqueue-not-for-devices
fn item_whole(_: &'static Module) {
    // SAFETY: callable at any level.
    let bytes = unsafe { IoSizeofWorkItem() };
    let (item, context) = (allocate(bytes as usize), allocate(SIZE));
    if item.is_null() || context.is_null() {
        return;
    }
    initialize(item);
    // SAFETY: the block has room for it.
    unsafe { context.cast::<AtomicU32>().write(AtomicU32::new(0)) };
    queue(item, context);
    // SAFETY: written above, and not freed before the run has begun.
    wait_for_run(unsafe { &*context.cast() });
    // SAFETY: no run waits.
    unsafe { IoUninitializeWorkItem(item.cast()) };
    free(item);
    free(context);
}

/// Queues a work item where only the system's own belong.
#[inline(never)]
fn item_critical(_: &'static Module) {
    const CRITICAL: i32 = 0;
    let item = allocate(SIZE);
    if item.is_null() {
        return;
    }
    initialize(item);
    let runs = AtomicU32::new(0);
    // SAFETY: none: this is the fault.
    unsafe { IoQueueWorkItemEx(item.cast(), Some(run), CRITICAL, counter(&runs)) }; // warned: work-item-critical by wi-queue-type
    wait_for_run(&runs);
    // SAFETY: no run waits.
    unsafe { IoUninitializeWorkItem(item.cast()) };
    free(item);
}

/// Counts in its parameter that a run has begun.
extern "system" fn run_plain(parameter: *mut c_void) {
    run(null_mut(), parameter, null_mut());
}

/// Queues an item that does not keep the driver loaded.
#[inline(never)]
fn item_plain(_: &'static Module) {
    let item = allocate(size_of::<WORK_QUEUE_ITEM>()).cast::<WORK_QUEUE_ITEM>();
    if item.is_null() {
        return;
    }
    // SAFETY: a live block of that size.
    unsafe { (*item).WorkerRoutine = run_plain as *mut c_void };
    let runs = AtomicU32::new(0);
    // SAFETY: as above.
    unsafe { (*item).Parameter = counter(&runs) };
    // SAFETY: none: this is the fault.
    unsafe { ExQueueWorkItem(item, DELAYED) }; // warned: work-item-plain by exqueue-not-for-devices
    wait_for_run(&runs);
    free(item.cast());
}

// No header of NDIS 6 has it, and ndis.sys does.
#[link(name = "ndis")]
unsafe extern "system" {
    fn NdisScheduleWorkItem(item: *mut c_void) -> i32;
}

/// Schedules a work item of NDIS 5.
#[inline(never)]
fn item_ndis5(_: &'static Module) {
    let item = allocate(SIZE);
    // SAFETY: none: this is the fault.
    let status = unsafe { NdisScheduleWorkItem(item.cast()) }; // caught: work-item-ndis5 by ndis5-workitem-obsolete
    black_box(status);
}

fn initialize_list(list: *mut u8) {
    // SAFETY: the storage is large enough, in nonpaged pool.
    unsafe {
        ExInitializeLookasideListEx(
            list.cast(),
            null_mut(),
            null_mut(),
            NonPagedPoolNx,
            0,
            64,
            TAG,
            0,
        )
    };
}

/// Frees the block with a list that was not deleted.
#[inline(never)]
fn lookaside_freed(_: &'static Module) {
    let list = allocate(size_of::<LOOKASIDE_LIST_EX>());
    initialize_list(list);
    // SAFETY: none: this is the fault.
    unsafe { ExFreePoolWithTag(list.cast(), TAG) }; // caught: lookaside-freed by lookaside-delete
    stay();
}

/// Initialises a list twice.
#[inline(never)]
fn lookaside_twice(_: &'static Module) {
    let list = allocate(size_of::<LOOKASIDE_LIST_EX>());
    initialize_list(list);
    #[rustfmt::skip]
    // SAFETY: none: this is the fault.
    let status = unsafe { ExInitializeLookasideListEx(list.cast(), null_mut(), null_mut(), NonPagedPoolNx, 0, 64, TAG, 0) }; // caught: lookaside-twice by lookaside-delete
    black_box(status);
}

/// A list outside of pool.
static LIST: List = List(core::cell::UnsafeCell::new(MaybeUninit::zeroed()));

#[repr(align(64))]
struct List(core::cell::UnsafeCell<MaybeUninit<LOOKASIDE_LIST_EX>>);

// SAFETY: only the kernel touches what is inside.
unsafe impl Sync for List {}

/// Forgets a list.
#[inline(never)]
fn lookaside_left(_: &'static Module) {
    let list = LIST.0.get().cast();
    #[rustfmt::skip]
    // SAFETY: zeroed storage; that the list is never deleted is the fault.
    let status = unsafe { ExInitializeLookasideListEx(list, null_mut(), null_mut(), NonPagedPoolNx, 0, 64, TAG, 0) }; // caught: lookaside-left by lookaside-delete
    black_box(status);
}

/// Frees an entry twice.
#[inline(never)]
fn lookaside_entry_twice(_: &'static Module) {
    let list = allocate(size_of::<LOOKASIDE_LIST_EX>()).cast::<LOOKASIDE_LIST_EX>();
    initialize_list(list.cast());
    // SAFETY: initialised above.
    let entry = unsafe { ExAllocateFromLookasideListEx(list) };
    // SAFETY: allocated above.
    unsafe { ExFreeToLookasideListEx(list, entry) };
    // SAFETY: none: this is the fault.
    unsafe { ExFreeToLookasideListEx(list, entry) }; // caught: lookaside-entry-twice by mem-double-free
    stay();
}

extern "system" fn make(_: i32, bytes: u64, _: u32, _: *mut LOOKASIDE_LIST_EX) -> *mut c_void {
    allocate(bytes as usize).cast()
}

extern "system" fn unmake(entry: *mut c_void, _: *mut LOOKASIDE_LIST_EX) {
    free(entry.cast());
}

/// Uses lists with routines of the kernel's and of its own.
// legal: lookaside-whole near lookaside-delete, mem-double-free, unload-pool-freed
fn lookaside_whole(_: &'static Module) {
    let block = allocate(size_of::<LOOKASIDE_LIST_EX>());
    if block.is_null() {
        return;
    }
    let list = block.cast();
    let own: [*mut c_void; 2] = [make as *mut c_void, unmake as *mut c_void];
    for [make, unmake] in [[null_mut(); 2], own] {
        // SAFETY: the storage is large enough, in nonpaged pool; no list is there.
        unsafe { ExInitializeLookasideListEx(list, make, unmake, NonPagedPoolNx, 0, 64, TAG, 0) };
        for _ in 0..4 {
            // SAFETY: initialised above.
            let entry = unsafe { ExAllocateFromLookasideListEx(list) };
            if !entry.is_null() {
                // SAFETY: allocated above.
                unsafe { ExFreeToLookasideListEx(list, entry) };
            }
        }
        // SAFETY: initialised above; all entries are back.
        unsafe { ExDeleteLookasideListEx(list) };
    }
    free(block);
}
