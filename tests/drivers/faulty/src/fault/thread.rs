//! What routines leave on their thread, and threads of the driver's own.

use core::ffi::c_void;
use core::mem::{MaybeUninit, zeroed};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::abi::*;
use crate::fault::work;
use crate::level::{KERNEL_MODE, from_now_us};
use crate::module::{self, Module};
use crate::play::{NOTHING, Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "thread-critical-region",
        characteristics: Some(keep_in_restart),
        ..NOTHING
    },
    Play {
        name: "thread-guarded-region",
        characteristics: Some(guard_in_restart),
        ..NOTHING
    },
    Play::in_attach("thread-work-region", queue_region),
    Play::in_attach("thread-work-impersonates", queue_impersonation),
    Play::in_attach("thread-work-silo", queue_silo),
    Play {
        name: "thread-at-unload",
        unload: Some(leave_thread),
        ..NOTHING
    },
    Play {
        name: "thread-at-detach",
        attach: Some(start_sleeper),
        ..NOTHING
    },
    Play {
        name: "thread-legal",
        attach: Some(begin),
        work: Some(there_and_back),
        detach: Some(end),
        ..NOTHING
    },
    Play::in_attach("thread-waits", waits),
    Play {
        name: "thread-rundown",
        attach: Some(begin_rundown),
        work: Some(under_protection),
        detach: Some(end_rundown),
        ..NOTHING
    },
];

/// Pool tag of the blocks here, `FltH`.
const TAG: u32 = u32::from_le_bytes(*b"FltH");

/// Longer than a run may wait for anything by chance, in microseconds.
const LONG_US: u32 = 60_000_000;

/// `THREAD_ALL_ACCESS`.
const ALL_ACCESS: u32 = 0x001F_FFFF;

/// `SecurityImpersonation`.
const IMPERSONATION: i32 = 2;

fn keep_in_restart(to: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    to.RestartHandler = Some(restart_in_region);
}

/// Returns inside a critical region.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn restart_in_region(context: NDIS_HANDLE, parameters: *mut NDIS_FILTER_RESTART_PARAMETERS) -> NDIS_STATUS { // caught: thread-critical-region by callback-apc-balanced
    let status = module::restart(context, parameters);
    // SAFETY: PASSIVE_LEVEL; that it is not left is the fault.
    unsafe { KeEnterCriticalRegion() };
    status
}

fn guard_in_restart(to: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    to.RestartHandler = Some(restart_guarded);
}

/// Returns inside a guarded region.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn restart_guarded(context: NDIS_HANDLE, parameters: *mut NDIS_FILTER_RESTART_PARAMETERS) -> NDIS_STATUS { // caught: thread-guarded-region by callback-apc-balanced
    let status = module::restart(context, parameters);
    // SAFETY: PASSIVE_LEVEL; that it is not left is the fault.
    unsafe { KeEnterGuardedRegion() };
    status
}

fn queue_region(module: &'static Module) {
    work::queue(module, work_in_region);
}

/// Returns inside a critical region.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn work_in_region(_: *mut c_void, _: NDIS_HANDLE) { // caught: thread-work-region by wi-routine-apc
    // SAFETY: PASSIVE_LEVEL; that it is not left is the fault.
    unsafe { KeEnterCriticalRegion() };
    stay();
}

fn queue_impersonation(module: &'static Module) {
    work::queue(module, work_as_another);
}

/// Returns with another identity.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn work_as_another(_: *mut c_void, _: NDIS_HANDLE) { // caught: thread-work-impersonates by wi-routine-impersonation
    impersonate();
}

/// Takes on the identity of the process's token.
fn impersonate() {
    // SAFETY: callable up to DISPATCH_LEVEL.
    let process = unsafe { IoGetCurrentProcess() };
    // SAFETY: the current process.
    let token = unsafe { PsReferencePrimaryToken(process) };
    // SAFETY: callable at any IRQL.
    let thread = unsafe { KeGetCurrentThread() };
    // SAFETY: the current thread, and a token that is referenced.
    unsafe { PsImpersonateClient(thread.cast(), token, 1, 1, IMPERSONATION) };
    // SAFETY: referenced above.
    unsafe { PsDereferencePrimaryToken(token) };
}

fn queue_silo(module: &'static Module) {
    work::queue(module, work_in_silo);
}

/// Returns attached to a silo.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn work_in_silo(_: *mut c_void, _: NDIS_HANDLE) { // caught: thread-work-silo by wi-routine-silo
    attach_to_silo();
}

/// Attaches to the host's silo; gives the one before.
fn attach_to_silo() -> *mut c_void {
    // SAFETY: it has no preconditions.
    let silo = unsafe { PsGetHostSilo() };
    // SAFETY: the host's silo is always there.
    unsafe { PsAttachSiloToCurrentThread(silo) }
}

/// Starts a thread; gives its handle.
#[rustfmt::skip] // The mark stays on its line.
fn start(routine: extern "system" fn(*mut c_void), context: *mut c_void) -> HANDLE {
    let mut handle = null_mut();
    // SAFETY: PASSIVE_LEVEL; the handle is valid for the call.
    unsafe { PsCreateSystemThread(&raw mut handle, ALL_ACCESS, null_mut(), null_mut(), null_mut(), Some(routine), context) };
    handle
}

/// Whether the thread below runs.
static SLEEPS: AtomicBool = AtomicBool::new(false);

/// Starts a thread as the last thing before the driver is gone.
#[inline(never)]
#[rustfmt::skip] // One line.
fn leave_thread() -> bool {
    let mut handle = null_mut();
    // SAFETY: PASSIVE_LEVEL; that nobody waits for the thread is the fault.
    let status = unsafe { PsCreateSystemThread(&raw mut handle, ALL_ACCESS, null_mut(), null_mut(), null_mut(), Some(sleep_on), null_mut()) };
    if status == STATUS_SUCCESS {
        // SAFETY: opened above.
        unsafe { ZwClose(handle) };
        while !SLEEPS.load(Ordering::Acquire) {
            // SAFETY: PASSIVE_LEVEL.
            unsafe { NdisMSleep(100) };
        }
    }
    true
}

#[rustfmt::skip] // The mark stays on its line.
extern "system" fn sleep(_: *mut c_void) {
    let mut interval = from_now_us(LONG_US);
    // SAFETY: PASSIVE_LEVEL.
    unsafe { KeDelayExecutionThread(KERNEL_MODE, 0, &raw mut interval) }; // caught: thread-at-detach by detach-frees-everything
}

#[rustfmt::skip] // The mark stays on its line.
extern "system" fn sleep_on(_: *mut c_void) {
    SLEEPS.store(true, Ordering::Release);
    let mut interval = from_now_us(LONG_US);
    // SAFETY: PASSIVE_LEVEL.
    unsafe { KeDelayExecutionThread(KERNEL_MODE, 0, &raw mut interval) }; // caught: thread-at-unload by unload-nothing-pending
    stay();
}

/// Starts a thread for the module, for which nobody waits.
fn start_sleeper(module: &'static Module) {
    let handle = start(sleep, module.context());
    if !handle.is_null() {
        // SAFETY: opened by `start`.
        unsafe { ZwClose(handle) };
    }
}

// legal: thread-legal near callback-apc-balanced, wi-routine-apc, wi-routine-impersonation, wi-routine-silo
// legal: thread-legal near unload-nothing-pending, wi-routine-no-terminate, detach-frees-everything

/// Goes everywhere, and comes back before it returns.
fn there_and_back(_: &'static Module) {
    // SAFETY: PASSIVE_LEVEL; left below.
    unsafe { KeEnterCriticalRegion() };
    // SAFETY: PASSIVE_LEVEL; left below.
    unsafe { KeEnterGuardedRegion() };
    // SAFETY: entered above.
    unsafe { KeLeaveGuardedRegion() };
    // SAFETY: entered above.
    unsafe { KeLeaveCriticalRegion() };
    impersonate();
    // SAFETY: PASSIVE_LEVEL.
    unsafe { PsRevertToSelf() };
    let before = attach_to_silo();
    // SAFETY: what the attach gave.
    unsafe { PsDetachSiloFromCurrentThread(before) };
}

/// What says to a thread that it shall end.
struct Stop {
    event: KEVENT,
    thread: *mut c_void,
}

/// Starts a thread that runs until detach.
fn begin(module: &'static Module) {
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, size_of::<Stop>() as u64, TAG) };
    // SAFETY: NULL, or zeroed memory of the right size.
    let Some(stop) = (unsafe { block.cast::<Stop>().as_mut() }) else {
        return;
    };
    // SAFETY: callable at any IRQL; nobody uses the event yet.
    unsafe { KeInitializeEvent((&raw mut stop.event).cast(), NotificationEvent, 0) };
    let handle = start(run_until_stopped, block);
    if handle.is_null() {
        // SAFETY: allocated above, and not given away.
        unsafe { ExFreePoolWithTag(block, TAG) };
        return;
    }
    // SAFETY: PASSIVE_LEVEL; the handle is open, and the argument valid for the call.
    unsafe {
        ObReferenceObjectByHandle(
            handle,
            ALL_ACCESS,
            null_mut(),
            KERNEL_MODE,
            &raw mut stop.thread,
            null_mut(),
        )
    };
    // SAFETY: opened by `start`.
    unsafe { ZwClose(handle) };
    module.kept.store(block, Ordering::Release);
}

extern "system" fn run_until_stopped(context: *mut c_void) {
    let stop = context.cast::<Stop>();
    // SAFETY: the block lives until this thread has ended.
    let event = unsafe { &raw mut (*stop).event };
    // SAFETY: PASSIVE_LEVEL; the event is initialised.
    unsafe { KeWaitForSingleObject(event.cast(), Executive, KERNEL_MODE, 0, null_mut()) };
    // SAFETY: PASSIVE_LEVEL, on a thread of the driver's own.
    unsafe { PsTerminateSystemThread(STATUS_SUCCESS) };
}

/// Stops the thread, and waits until it has ended.
fn end(module: &'static Module) -> bool {
    let block = module.kept.load(Ordering::Acquire);
    // SAFETY: NULL, or the block of attach.
    let Some(stop) = (unsafe { block.cast::<Stop>().as_mut() }) else {
        return true;
    };
    // SAFETY: callable up to DISPATCH_LEVEL.
    unsafe { KeSetEvent((&raw mut stop.event).cast(), 0, 0) };
    // SAFETY: PASSIVE_LEVEL; the object is referenced.
    unsafe { KeWaitForSingleObject(stop.thread, Executive, KERNEL_MODE, 0, null_mut()) };
    // SAFETY: referenced in attach.
    unsafe { ObfDereferenceObject(stop.thread) };
    // SAFETY: the thread has ended.
    unsafe { ExFreePoolWithTag(block, TAG) };
    true
}

// legal: thread-waits near event-wait-kernel, dv-fast-mutex-irql, dv-critical-region-irql

/// Waits for one and for several objects, and holds mutexes while it waits.
#[rustfmt::skip] // Calls on one line.
fn waits(_: &'static Module) {
    let mut mutex = MaybeUninit::<KMUTANT>::uninit();
    let mut semaphore = MaybeUninit::<KSEMAPHORE>::uninit();
    // SAFETY: the argument is valid.
    unsafe { KeInitializeMutex(mutex.as_mut_ptr().cast(), 0) };
    // SAFETY: the argument is valid.
    unsafe { KeInitializeSemaphore(semaphore.as_mut_ptr().cast(), 1, 2) };
    let mut objects: [*mut c_void; 2] = [mutex.as_mut_ptr().cast(), semaphore.as_mut_ptr().cast()];
    // SAFETY: PASSIVE_LEVEL; both are signalled.
    unsafe { KeWaitForMultipleObjects(2, objects.as_mut_ptr(), WaitAll, Executive, KERNEL_MODE, 0, null_mut(), null_mut()) };
    // SAFETY: PASSIVE_LEVEL; the thread that owns a mutex gets it again.
    unsafe { KeWaitForSingleObject(objects[0], Executive, KERNEL_MODE, 0, null_mut()) };
    let mut soon = from_now_us(10);
    // SAFETY: PASSIVE_LEVEL; the semaphore is spent, so this times out.
    unsafe { KeWaitForSingleObject(objects[1], Executive, KERNEL_MODE, 0, &raw mut soon) };
    // SAFETY: owned twice.
    unsafe { KeReleaseMutex(objects[0], 0) };
    // SAFETY: owned once more.
    unsafe { KeReleaseMutex(objects[0], 0) };
    // SAFETY: one was taken.
    unsafe { KeReleaseSemaphore(objects[1], 0, 1, 0) };
    guarded();
    resources();
}

/// A guarded mutex, and a fast one that a critical region covers.
fn guarded() {
    // SAFETY: plain data: all zeroes is a value.
    let mut mutex: FAST_MUTEX = unsafe { zeroed() };
    // SAFETY: PASSIVE_LEVEL.
    unsafe { KeInitializeGuardedMutex(&raw mut mutex) };
    // SAFETY: PASSIVE_LEVEL; the mutex is free.
    unsafe { KeAcquireGuardedMutex(&raw mut mutex) };
    // SAFETY: held.
    unsafe { KeReleaseGuardedMutex(&raw mut mutex) };
    // SAFETY: PASSIVE_LEVEL; left below.
    unsafe { KeEnterCriticalRegion() };
    // SAFETY: in a critical region; the mutex is free.
    unsafe { ExAcquireFastMutexUnsafe(&raw mut mutex) };
    // SAFETY: held.
    unsafe { ExReleaseFastMutexUnsafe(&raw mut mutex) };
    // SAFETY: entered above.
    unsafe { KeLeaveCriticalRegion() };
}

/// A resource and a push lock, in a critical region as they want it.
fn resources() {
    // SAFETY: plain data: all zeroes is a value.
    let mut resource: ERESOURCE = unsafe { zeroed() };
    let mut lock = 0_u64;
    // SAFETY: the argument is valid.
    unsafe { ExInitializeResourceLite(&raw mut resource) };
    // SAFETY: PASSIVE_LEVEL; left below.
    unsafe { KeEnterCriticalRegion() };
    // SAFETY: in a critical region.
    unsafe { ExAcquireResourceExclusiveLite(&raw mut resource, 1) };
    // SAFETY: in a critical region; the owner gets it again.
    unsafe { ExAcquireResourceSharedLite(&raw mut resource, 1) };
    // SAFETY: held twice.
    unsafe { ExReleaseResourceLite(&raw mut resource) };
    // SAFETY: held once more.
    unsafe { ExReleaseResourceLite(&raw mut resource) };
    // SAFETY: in a critical region; the lock is free.
    unsafe { ExAcquirePushLockExclusiveEx(&raw mut lock, 0) };
    // SAFETY: held.
    unsafe { ExReleasePushLockExclusiveEx(&raw mut lock, 0) };
    // SAFETY: entered above.
    unsafe { KeLeaveCriticalRegion() };
    // SAFETY: free, and nobody asks for it.
    unsafe { ExDeleteResourceLite(&raw mut resource) };
}

// legal: thread-rundown near detach-no-workitem, wi-complete-before-unload

/// Makes a rundown reference for each processor.
fn begin_rundown(module: &'static Module) {
    // SAFETY: PASSIVE_LEVEL.
    let rundown = unsafe { ExAllocateCacheAwareRundownProtection(NonPagedPoolNx, TAG) };
    module.kept.store(rundown.cast(), Ordering::Release);
}

/// Takes one reference, then two, unless the end has begun.
fn under_protection(module: &'static Module) {
    let rundown = module.kept.load(Ordering::Acquire).cast();
    // SAFETY: allocated in attach.
    if unsafe { ExAcquireRundownProtectionCacheAware(rundown) } == 0 {
        return;
    }
    // SAFETY: allocated in attach.
    let has_more = unsafe { ExAcquireRundownProtectionCacheAwareEx(rundown, 2) } != 0;
    if has_more {
        // SAFETY: taken above.
        unsafe { ExReleaseRundownProtectionCacheAwareEx(rundown, 2) };
    }
    // SAFETY: taken above.
    unsafe { ExReleaseRundownProtectionCacheAware(rundown) };
}

fn end_rundown(module: &'static Module) -> bool {
    let rundown = module.kept.load(Ordering::Acquire).cast();
    // SAFETY: PASSIVE_LEVEL.
    unsafe { ExWaitForRundownProtectionReleaseCacheAware(rundown) };
    // SAFETY: allocated in attach, and run down.
    unsafe { ExFreeCacheAwareRundownProtection(rundown) };
    true
}
