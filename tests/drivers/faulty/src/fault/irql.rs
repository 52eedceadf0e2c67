//! Imports called at the wrong IRQL, and routines that return at another.

use core::ffi::c_void;
use core::hint::black_box;
use core::mem::{MaybeUninit, zeroed};
use core::ptr::null_mut;

use crate::abi::*;
use crate::fault::{timer, work};
use crate::level::{DEVICE_LEVEL, KERNEL_MODE, from_now_us, lower, raise};
use crate::module::{self, Module};
use crate::play::{NOTHING, Play, stay};
use crate::{configuration, driver};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("irql-wait", wait_at_dispatch),
    Play::in_attach("irql-configuration", open_configuration_at_dispatch),
    Play::in_attach("irql-dpc-lock", dpc_lock_at_passive),
    Play {
        name: "irql-attributes",
        early_attach: Some(attributes_at_dispatch),
        ..NOTHING
    },
    Play::in_attach("irql-mdl", mdl_above_dispatch),
    Play::in_attach("irql-version", version_above_dispatch),
    Play::in_attach("irql-lock", lock_above_dispatch),
    Play::in_attach("irql-timer", timer_above_dispatch),
    Play {
        name: "irql-status",
        status: Some(status_above_dispatch),
        ..NOTHING
    },
    Play::in_attach("irql-work-item", work_item_above_dispatch),
    Play::in_attach("irql-wait-kernel", wait_for_object_at_dispatch),
    Play::in_attach("irql-wait-several", wait_for_objects_at_dispatch),
    Play::in_attach("irql-delay", delay_at_dispatch),
    Play::in_attach("irql-set-event", set_event_above_dispatch),
    Play::in_attach("irql-set-event-waiting", set_event_and_wait_at_dispatch),
    Play::in_attach("irql-paged-pool", paged_pool_at_dispatch),
    Play::in_attach("irql-free", free_above_dispatch),
    Play::in_attach("irql-compare", compare_at_dispatch),
    Play {
        name: "irql-restart-complete",
        restart: Some(complete_restart_at_dispatch),
        ..NOTHING
    },
    Play {
        name: "irql-register",
        load: Some(register_at_dispatch),
        ..NOTHING
    },
    Play {
        name: "irql-deregister",
        unload: Some(deregister_at_dispatch),
        ..NOTHING
    },
    Play::in_attach("irql-restart-filter", restart_filter_above_dispatch),
    Play::in_attach("irql-interface", interface_at_dispatch),
    Play::in_attach("irql-sleep", sleep_at_dispatch),
    Play::in_attach("irql-map", map_above_dispatch),
    Play::in_attach("irql-fast-mutex", fast_mutex_at_dispatch),
    Play::in_attach("irql-fast-mutex-released", fast_mutex_released_at_dispatch),
    Play::in_attach("irql-critical-region", critical_region_at_dispatch),
    Play::in_attach("irql-raised-down", raise_to_lower),
    Play::in_attach("irql-lowered-up", lower_to_raise),
    Play::in_attach("irql-timer-function", sleep_in_timer),
    Play {
        name: "irql-kept",
        characteristics: Some(keep_in_restart),
        ..NOTHING
    },
    Play::in_attach("irql-kept-by-work", keep_in_work),
];

/// Pool tag of the blocks here, `FltI`.
pub(super) const TAG: u32 = u32::from_le_bytes(*b"FltI");

/// `NormalPagePriority` with `MdlMappingNoExecute`.
const PRIORITY: u32 = 0x4000_0010;

/// `NdisWaitEvent` needs PASSIVE_LEVEL.
fn wait_at_dispatch(_: &'static Module) {
    let mut event = MaybeUninit::<NDIS_EVENT>::uninit();
    // SAFETY: callable at any IRQL; the event outlives its use.
    unsafe { NdisInitializeEvent(event.as_mut_ptr()) };
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { NdisWaitEvent(event.as_mut_ptr(), 1) }; // caught: irql-wait by event-wait-passive
    lower(old);
}

/// `NdisOpenConfigurationEx` needs PASSIVE_LEVEL.
fn open_configuration_at_dispatch(_: &'static Module) {
    let mut object = configuration::object(driver::handle());
    let mut handle = null_mut();
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { NdisOpenConfigurationEx(&raw mut object, &raw mut handle) }; // caught: irql-configuration by config-passive
    lower(old);
}

/// `KeAcquireSpinLockAtDpcLevel` needs DISPATCH_LEVEL.
fn dpc_lock_at_passive(_: &'static Module) {
    let mut lock = 0_u64;
    // SAFETY: none: this is the fault.
    unsafe { KeAcquireSpinLockAtDpcLevel(&raw mut lock) }; // caught: irql-dpc-lock by irql-dpc-lock-below
    // SAFETY: acquired above.
    unsafe { KeReleaseSpinLockFromDpcLevel(&raw mut lock) };
}

/// `NdisFSetAttributes` needs PASSIVE_LEVEL.
fn attributes_at_dispatch(
    handle: NDIS_HANDLE,
    _: *mut NDIS_FILTER_ATTACH_PARAMETERS,
) -> NDIS_STATUS {
    // SAFETY: plain data: all zeroes is a value.
    let mut attributes: NDIS_FILTER_ATTRIBUTES = unsafe { zeroed() };
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { NdisFSetAttributes(handle, handle, &raw mut attributes) }; // caught: irql-attributes by irql-filter-driver
    lower(old);
    NDIS_STATUS_SUCCESS
}

/// `NdisAllocateMdl` is callable up to DISPATCH_LEVEL.
fn mdl_above_dispatch(module: &'static Module) {
    let old = raise(DEVICE_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { NdisAllocateMdl(driver::handle(), module.context(), 8) }; // caught: irql-mdl by irql-netbuffer
    lower(old);
}

/// `NdisGetVersion` is callable up to DISPATCH_LEVEL.
fn version_above_dispatch(_: &'static Module) {
    let old = raise(DEVICE_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { NdisGetVersion() }; // caught: irql-version by irql-misc
    lower(old);
}

/// Spin locks are for DISPATCH_LEVEL and below.
fn lock_above_dispatch(_: &'static Module) {
    let mut lock = 0_u64;
    let old = raise(DEVICE_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut lock) }; // caught: irql-lock by sync-irql
    lower(old);
}

/// `NdisSetTimerObject` is callable up to DISPATCH_LEVEL.
fn timer_above_dispatch(_: &'static Module) {
    let timer = timer::allocate(timer::nothing, null_mut());
    let old = raise(DEVICE_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { NdisSetTimerObject(timer, from_now_us(1_000), 0, null_mut()) }; // caught: irql-timer by timer-irql
    lower(old);
}

/// `NdisFIndicateStatus` is callable up to DISPATCH_LEVEL.
fn status_above_dispatch(
    module: &'static Module,
    indication: *mut NDIS_STATUS_INDICATION,
) -> *mut NDIS_STATUS_INDICATION {
    let old = raise(DEVICE_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { NdisFIndicateStatus(module.handle, indication) }; // caught: irql-status by status-irql
    lower(old);
    null_mut()
}

/// `NdisAllocateIoWorkItem` is callable up to DISPATCH_LEVEL.
fn work_item_above_dispatch(_: &'static Module) {
    let old = raise(DEVICE_LEVEL);
    // SAFETY: none: this is the fault.
    let item = unsafe { NdisAllocateIoWorkItem(driver::handle()) }; // caught: irql-work-item by wi-irql
    lower(old);
    black_box(item);
}

/// A kernel event that is not set.
pub(super) fn event() -> MaybeUninit<KEVENT> {
    let mut event = MaybeUninit::<KEVENT>::uninit();
    // SAFETY: callable at any IRQL.
    unsafe { KeInitializeEvent(event.as_mut_ptr().cast(), SynchronizationEvent, 0) };
    event
}

/// A wait that may take time needs APC_LEVEL at most.
#[rustfmt::skip] // The mark stays on its line.
fn wait_for_object_at_dispatch(_: &'static Module) {
    let mut event = event();
    let mut timeout = from_now_us(1);
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { KeWaitForSingleObject(event.as_mut_ptr().cast(), Executive, KERNEL_MODE, 0, &raw mut timeout) }; // caught: irql-wait-kernel by event-wait-kernel
    lower(old);
}

/// The same for several objects.
#[rustfmt::skip] // The mark stays on its line.
fn wait_for_objects_at_dispatch(_: &'static Module) {
    let mut event = event();
    let mut objects = [event.as_mut_ptr().cast()];
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { KeWaitForMultipleObjects(1, objects.as_mut_ptr(), WaitAny, Executive, KERNEL_MODE, 0, null_mut(), null_mut()) }; // caught: irql-wait-several by event-wait-kernel
    lower(old);
}

/// Sleeping needs APC_LEVEL at most.
fn delay_at_dispatch(_: &'static Module) {
    let mut interval = from_now_us(1);
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { KeDelayExecutionThread(KERNEL_MODE, 0, &raw mut interval) }; // caught: irql-delay by event-wait-kernel
    lower(old);
}

/// `KeSetEvent` is callable up to DISPATCH_LEVEL.
fn set_event_above_dispatch(_: &'static Module) {
    let mut event = event();
    let old = raise(DEVICE_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { KeSetEvent(event.as_mut_ptr().cast(), 0, 0) }; // caught: irql-set-event by event-set-irql
    lower(old);
}

/// With `Wait` it is callable up to APC_LEVEL: a wait comes next.
fn set_event_and_wait_at_dispatch(_: &'static Module) {
    let mut event = event();
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { KeSetEvent(event.as_mut_ptr().cast(), 0, 1) }; // caught: irql-set-event-waiting by event-set-irql
    lower(old);
}

/// Paged pool is for APC_LEVEL and below.
fn paged_pool_at_dispatch(_: &'static Module) {
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: none: this is the fault.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_PAGED, 64, TAG) }; // caught: irql-paged-pool by mem-irql-alloc
    lower(old);
    black_box(block);
}

/// Pool is freed at DISPATCH_LEVEL at most.
fn free_above_dispatch(_: &'static Module) {
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG) };
    let old = raise(DEVICE_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { ExFreePoolWithTag(block, TAG) }; // caught: irql-free by mem-irql-free
    lower(old);
}

/// Functions on strings need PASSIVE_LEVEL: their tables are paged.
fn compare_at_dispatch(_: &'static Module) {
    let mut empty = UNICODE_STRING {
        Length: 0,
        MaximumLength: 0,
        Buffer: null_mut(),
    };
    let empty = &raw mut empty;
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { RtlCompareUnicodeString(empty, empty, 1) }; // caught: irql-compare by zw-irql-passive
    lower(old);
}

/// `NdisFRestartComplete` needs PASSIVE_LEVEL.
fn complete_restart_at_dispatch(
    module: &'static Module,
    _: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { NdisFRestartComplete(module.handle, NDIS_STATUS_SUCCESS) }; // caught: irql-restart-complete by restart-complete-passive
    lower(old);
    NDIS_STATUS_PENDING
}

/// Registration needs PASSIVE_LEVEL.
#[rustfmt::skip] // The mark stays on its line.
fn register_at_dispatch(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    // SAFETY: plain data and nullable handlers: all zeroes is a value.
    let mut characteristics: NDIS_FILTER_DRIVER_CHARACTERISTICS = unsafe { zeroed() };
    let mut handle = null_mut();
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { NdisFRegisterFilterDriver(driver, null_mut(), &raw mut characteristics, &raw mut handle) }; // caught: irql-register by reg-passive
    lower(old);
    STATUS_SUCCESS
}

/// Deregistration needs PASSIVE_LEVEL.
fn deregister_at_dispatch() -> bool {
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { NdisFDeregisterFilterDriver(driver::handle()) }; // caught: irql-deregister by unload-deregister-once
    lower(old);
    false
}

/// `NdisFRestartFilter` is callable up to DISPATCH_LEVEL.
fn restart_filter_above_dispatch(module: &'static Module) {
    let old = raise(DEVICE_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { NdisFRestartFilter(module.handle) }; // caught: irql-restart-filter by restart-filter-irql
    lower(old);
}

/// Interface functions need PASSIVE_LEVEL.
fn interface_at_dispatch(_: &'static Module) {
    let mut index = 0;
    let luid = NET_LUID { Value: 0 };
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { NdisIfGetInterfaceIndexFromNetLuid(luid, &raw mut index) }; // caught: irql-interface by sdv-irql-interfaces-function
    lower(old);
}

/// `NdisMSleep` needs less than DISPATCH_LEVEL.
fn sleep_at_dispatch(_: &'static Module) {
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { NdisMSleep(1) }; // caught: irql-sleep by sdv-irql-miniport-driver-function
    lower(old);
}

/// An MDL of a fresh block of nonpaged pool, and the block.
pub(super) fn described_block() -> (*mut MDL, *mut c_void) {
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG) };
    // SAFETY: the range is the block's.
    let mdl = unsafe { IoAllocateMdl(block, 64, 0, 0, null_mut()) };
    // SAFETY: an MDL of nonpaged pool.
    unsafe { MmBuildMdlForNonPagedPool(mdl) };
    (mdl, block)
}

/// Pages are mapped at DISPATCH_LEVEL at most.
fn map_above_dispatch(_: &'static Module) {
    let (mdl, _) = described_block();
    let old = raise(DEVICE_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { MmMapLockedPagesSpecifyCache(mdl, 0, MmCached, null_mut(), 0, PRIORITY) }; // caught: irql-map by mdl-map-irql
    lower(old);
}

/// A fast mutex that is free.
pub(super) fn fast_mutex() -> FAST_MUTEX {
    // SAFETY: plain data: all zeroes is a value.
    let mut mutex: FAST_MUTEX = unsafe { zeroed() };
    mutex.Count = 1;
    // SAFETY: callable at any IRQL.
    unsafe { KeInitializeEvent((&raw mut mutex.Event).cast(), SynchronizationEvent, 0) };
    mutex
}

/// Fast mutexes are acquired at APC_LEVEL at most.
fn fast_mutex_at_dispatch(_: &'static Module) {
    let mut mutex = fast_mutex();
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { ExAcquireFastMutex(&raw mut mutex) }; // caught: irql-fast-mutex by dv-fast-mutex-irql
    lower(old);
}

/// They are released at APC_LEVEL.
fn fast_mutex_released_at_dispatch(_: &'static Module) {
    let mut mutex = fast_mutex();
    // SAFETY: PASSIVE_LEVEL, and the mutex is free.
    unsafe { ExAcquireFastMutex(&raw mut mutex) };
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { ExReleaseFastMutex(&raw mut mutex) }; // caught: irql-fast-mutex-released by dv-fast-mutex-irql
    lower(old);
}

/// Critical regions are for APC_LEVEL and below.
fn critical_region_at_dispatch(_: &'static Module) {
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { KeEnterCriticalRegion() }; // caught: irql-critical-region by dv-critical-region-irql
    lower(old);
}

/// Goes down with the function that goes up.
#[inline(never)]
fn raise_to_lower(_: &'static Module) {
    raise(DISPATCH_LEVEL);
    // SAFETY: none: this is the fault.
    unsafe { KfRaiseIrql(PASSIVE_LEVEL) }; // caught: irql-raised-down by dv-raise-lower-direction
    stay();
}

/// Goes up with the function that goes down.
#[inline(never)]
fn lower_to_raise(_: &'static Module) {
    // SAFETY: none: this is the fault.
    unsafe { KeLowerIrql(DISPATCH_LEVEL) }; // caught: irql-lowered-up by dv-raise-lower-direction
    stay();
}

/// Timer functions run at DISPATCH_LEVEL.
fn sleep_in_timer(_: &'static Module) {
    let timer = timer::allocate(sleeps, null_mut());
    // SAFETY: allocated above.
    unsafe { NdisSetTimerObject(timer, from_now_us(1), 0, null_mut()) };
}

extern "system" fn sleeps(_: *mut c_void, _: *mut c_void, _: *mut c_void, _: *mut c_void) {
    // SAFETY: none: this is the fault.
    unsafe { NdisMSleep(1) }; // caught: irql-timer-function by timer-callback-dispatch
    stay();
}

fn keep_in_restart(to: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    to.RestartHandler = Some(restart_and_keep);
}

/// Returns at a higher level than it was called at.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn restart_and_keep(context: NDIS_HANDLE, parameters: *mut NDIS_FILTER_RESTART_PARAMETERS) -> NDIS_STATUS { // caught: irql-kept by callback-irql-restored
    let status = module::restart(context, parameters);
    raise(APC_LEVEL);
    status
}

/// Queues a work item whose routine returns at a higher level.
fn keep_in_work(module: &'static Module) {
    work::queue(module, work_and_keep);
}

/// Returns at a higher level than it was called at.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn work_and_keep(_: *mut c_void, _: NDIS_HANDLE) { // caught: irql-kept-by-work by wi-routine-returns-passive
    raise(APC_LEVEL);
    stay();
}
