//! Imports called at the highest level at which they may be called.

use core::ffi::c_void;
use core::hint::black_box;
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use core::sync::atomic::Ordering;

use super::irql::{TAG, described_block, event, fast_mutex};
use super::{timer, work};
use crate::abi::*;
use crate::level::{DEVICE_LEVEL, KERNEL_MODE, from_now_us, lower, raise};
use crate::module::Module;
use crate::play::{NOTHING, Play};
use crate::{configuration, driver};

pub(crate) const PLAYS: &[Play] = &[Play {
    name: "irql-highest",
    attach: Some(highest_levels),
    restart: Some(complete_restart_at_passive),
    detach: Some(free_timer),
    status: Some(status_at_dispatch),
    ..NOTHING
}];

// legal: irql-highest near irql-filter-driver, irql-netbuffer, irql-misc, irql-raise-lower, irql-setting-macros
// legal: irql-highest near dv-raise-lower-direction, sync-irql, timer-irql, status-irql, wi-irql
// legal: irql-highest near config-passive, event-wait-passive, event-wait-kernel, event-set-irql, mem-irql-alloc
// legal: irql-highest near mem-irql-free, zw-irql-passive, restart-complete-passive, reg-passive
// legal: irql-highest near unload-deregister-once, restart-filter-irql, sdv-irql-interfaces-function
// legal: irql-highest near sdv-irql-miniport-driver-function, dv-fast-mutex-irql
// legal: irql-highest near dv-critical-region-irql, irql-dpc-lock-below, callback-irql-restored
// legal: irql-highest near timer-callback-dispatch, wi-routine-returns-passive

/// Calls each of these functions at the highest level at which it may be called.
fn highest_levels(module: &'static Module) {
    at_passive(module);
    at_apc();
    at_dispatch();
    let timer = timer::allocate(count, module.context());
    module.kept.store(timer, Ordering::Release);
    module.busy.fetch_add(1, Ordering::AcqRel);
    // SAFETY: allocated above.
    unsafe { NdisSetTimerObject(timer, from_now_us(1), 0, null_mut()) };
    work::queue(module, work_and_return);
}

fn at_passive(module: &'static Module) {
    let mut event = MaybeUninit::<NDIS_EVENT>::uninit();
    // SAFETY: callable up to DISPATCH_LEVEL; the event outlives its use.
    unsafe { NdisInitializeEvent(event.as_mut_ptr()) };
    // SAFETY: PASSIVE_LEVEL.
    unsafe { NdisWaitEvent(event.as_mut_ptr(), 1) };
    let mut object = configuration::object(driver::handle());
    let mut handle = null_mut();
    // SAFETY: PASSIVE_LEVEL; both arguments are valid for the call.
    let status = unsafe { NdisOpenConfigurationEx(&raw mut object, &raw mut handle) };
    if status == NDIS_STATUS_SUCCESS {
        // SAFETY: opened above.
        unsafe { NdisCloseConfiguration(handle) };
    }
    let mut luid = NET_LUID { Value: 0 };
    let mut index = 0;
    // SAFETY: PASSIVE_LEVEL; the argument is valid for the call.
    unsafe { NdisIfGetNetLuidFromInterfaceIndex(1, &raw mut luid) };
    // SAFETY: PASSIVE_LEVEL; the argument is valid for the call.
    unsafe { NdisIfGetInterfaceIndexFromNetLuid(luid, &raw mut index) };
    let mut empty = UNICODE_STRING {
        Length: 0,
        MaximumLength: 0,
        Buffer: null_mut(),
    };
    let empty = &raw mut empty;
    // SAFETY: PASSIVE_LEVEL; the strings are valid for the call.
    unsafe { RtlCompareUnicodeString(empty, empty, 1) };
    // SAFETY: below DISPATCH_LEVEL.
    unsafe { NdisMSleep(1) };
    black_box(module);
}

fn at_apc() {
    let mut event = event();
    let mut objects = [event.as_mut_ptr().cast()];
    let mut mutex = fast_mutex();
    let mut soon = from_now_us(1);
    let old = raise(APC_LEVEL);
    // SAFETY: APC_LEVEL, with a timeout.
    unsafe { KeWaitForSingleObject(objects[0], Executive, KERNEL_MODE, 0, &raw mut soon) };
    // SAFETY: APC_LEVEL; nobody waits for the event, and a wait comes next.
    unsafe { KeSetEvent(objects[0], 0, 1) };
    // SAFETY: APC_LEVEL; the event is set.
    unsafe {
        KeWaitForMultipleObjects(
            1,
            objects.as_mut_ptr(),
            WaitAny,
            Executive,
            KERNEL_MODE,
            0,
            null_mut(),
            null_mut(),
        )
    };
    // SAFETY: APC_LEVEL.
    unsafe { KeDelayExecutionThread(KERNEL_MODE, 0, &raw mut soon) };
    // SAFETY: APC_LEVEL.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_PAGED, 64, TAG) };
    if !block.is_null() {
        // SAFETY: allocated above.
        unsafe { ExFreePoolWithTag(block, TAG) };
    }
    // SAFETY: APC_LEVEL, and the mutex is free.
    unsafe { ExAcquireFastMutex(&raw mut mutex) };
    // SAFETY: held, at APC_LEVEL.
    unsafe { ExReleaseFastMutex(&raw mut mutex) };
    // SAFETY: APC_LEVEL; left below.
    unsafe { KeEnterCriticalRegion() };
    // SAFETY: entered above.
    unsafe { KeLeaveCriticalRegion() };
    lower(old);
}

fn at_dispatch() {
    let mut event = event();
    let (mut outer, mut inner) = (0_u64, 0_u64);
    let mut now = from_now_us(0);
    let (mdl, block) = described_block();
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: callable up to DISPATCH_LEVEL.
    unsafe { NdisGetVersion() };
    // SAFETY: a wait that only looks may be made at DISPATCH_LEVEL.
    unsafe {
        KeWaitForSingleObject(
            event.as_mut_ptr().cast(),
            Executive,
            KERNEL_MODE,
            0,
            &raw mut now,
        )
    };
    // SAFETY: no wait comes next.
    unsafe { KeSetEvent(event.as_mut_ptr().cast(), 0, 0) };
    // SAFETY: a free lock, at DISPATCH_LEVEL.
    let same = unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut outer) };
    // SAFETY: a free lock, at DISPATCH_LEVEL.
    unsafe { KeAcquireSpinLockAtDpcLevel(&raw mut inner) };
    // SAFETY: held.
    unsafe { KeReleaseSpinLockFromDpcLevel(&raw mut inner) };
    // SAFETY: held, and the level that the acquire gave.
    unsafe { KeReleaseSpinLock(&raw mut outer, same) };
    // SAFETY: callable up to DISPATCH_LEVEL; the driver's handle lives until unload.
    let item = unsafe { NdisAllocateIoWorkItem(driver::handle()) };
    if !item.is_null() {
        // SAFETY: allocated above, and never queued.
        unsafe { NdisFreeIoWorkItem(item) };
    }
    // SAFETY: the block is nonpaged pool.
    let described = unsafe { NdisAllocateMdl(driver::handle(), block, 64) };
    if !described.is_null() {
        // SAFETY: allocated above.
        unsafe { NdisFreeMdl(described) };
    }
    // SAFETY: nobody uses the MDL any more.
    unsafe { IoFreeMdl(mdl) };
    // SAFETY: nonpaged pool may be freed at DISPATCH_LEVEL.
    unsafe { ExFreePoolWithTag(block, TAG) };
    let device = raise(DEVICE_LEVEL);
    lower(device);
    lower(old);
}

/// What a timer function may do: it runs at DISPATCH_LEVEL.
extern "system" fn count(_: *mut c_void, context: *mut c_void, _: *mut c_void, _: *mut c_void) {
    Module::of(context).busy.fetch_sub(1, Ordering::AcqRel);
}

/// Goes up and comes back.
extern "system" fn work_and_return(context: *mut c_void, item: NDIS_HANDLE) {
    let old = raise(APC_LEVEL);
    lower(old);
    work::done(context, item);
}

fn complete_restart_at_passive(
    module: &'static Module,
    _: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    // SAFETY: PASSIVE_LEVEL; this restart is left pending, and completed once.
    unsafe { NdisFRestartComplete(module.handle, NDIS_STATUS_SUCCESS) };
    NDIS_STATUS_PENDING
}

fn status_at_dispatch(
    module: &'static Module,
    indication: *mut NDIS_STATUS_INDICATION,
) -> *mut NDIS_STATUS_INDICATION {
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: the indication that the callback was given, passed on inside it.
    unsafe { NdisFIndicateStatus(module.handle, indication) };
    lower(old);
    null_mut()
}

/// The timer has fired by now: `busy` was waited for.
fn free_timer(module: &'static Module) -> bool {
    // SAFETY: allocated in attach; its function has returned.
    unsafe { NdisFreeTimerObject(module.kept.load(Ordering::Acquire)) };
    true
}
