//! Spin locks and reader-writer locks, misused and used.

use core::ffi::c_void;
use core::hint::{black_box, spin_loop};
use core::mem::{MaybeUninit, zeroed};
use core::sync::atomic::AtomicU64;

use crate::abi::*;
use crate::driver;
use crate::fault::{timer, work};
use crate::level::{KERNEL_MODE, from_now_us, lower, raise};
use crate::module::{self, Module};
use crate::play::{NOTHING, Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("lock-twice", twice_raising),
    Play::in_attach("lock-twice-at-dispatch", twice),
    Play::in_attach("lock-released-free", release_free),
    Play::in_attach("lock-released-elsewhere", release_elsewhere),
    Play::in_attach("lock-inverted", invert),
    Play::in_attach("lock-outer-first", outer_first),
    Play::in_attach("lock-uninitialized", uninitialized),
    Play::in_attach("lock-ndis-under", ndis_under),
    Play::in_attach("lock-promoted", promote),
    Play::in_attach("lock-freed-held", free_held),
    Play {
        name: "lock-kept",
        characteristics: Some(keep_in_restart),
        ..NOTHING
    },
    Play {
        name: "lock-kept-at-dispatch",
        characteristics: Some(keep_in_restart_at_dispatch),
        ..NOTHING
    },
    Play::in_attach("lock-kept-by-dpc", keep_in_dpc),
    Play::in_attach("lock-kept-by-work", keep_in_work),
    Play::in_attach("lock-mixed", mix_variants),
    Play::in_attach("lock-held-long", hold_long),
    Play::in_attach("lock-waited-under", wait_under),
    Play::in_attach("lock-cancelled-under", cancel_under),
    Play::in_attach("lock-queued-twice", queued_twice),
    Play::in_attach("lock-shared-promoted", promote_shared),
    Play::in_attach("lock-released-by-another", release_anothers),
    Play::in_attach("lock-other-state", release_with_another_state),
    Play::in_attach("lock-legal", every_lock),
    Play::in_attach("lock-order-of-new-locks", order_of_new_locks),
];

/// Pool tag of the blocks here, `FltL`.
const TAG: u32 = u32::from_le_bytes(*b"FltL");

/// Turns of a loop in which the other processor gets its turn for certain.
const PATIENCE: u32 = 2_000;

/// As long as a lock may be held, less what the calls around take, in microseconds.
const AS_LONG_AS_ALLOWED_US: u32 = 24;

/// Acquires a lock that it holds.
#[inline(never)]
fn twice(_: &'static Module) {
    let mut lock = 0_u64;
    // SAFETY: a free lock.
    unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut lock) };
    // SAFETY: none: this is the fault.
    unsafe { KeAcquireSpinLockAtDpcLevel(&raw mut lock) }; // caught: lock-twice-at-dispatch by lock-dpr
    stay();
}

/// Acquires a lock that it holds, with the variant that raises.
#[inline(never)]
fn twice_raising(_: &'static Module) {
    let mut lock = 0_u64;
    // SAFETY: a free lock.
    unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut lock) };
    // SAFETY: none: this is the fault.
    unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut lock) }; // caught: lock-twice by lock-recursive
    stay();
}

/// Releases a lock that nobody holds.
#[inline(never)]
fn release_free(_: &'static Module) {
    let mut lock = 0_u64;
    // SAFETY: the release is to lower it.
    let old = unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
    // SAFETY: none: this is the fault.
    unsafe { KeReleaseSpinLock(&raw mut lock, old) }; // caught: lock-released-free by lock-release-held
    stay();
}

/// Releases a lock to another level than the one before.
#[inline(never)]
fn release_elsewhere(_: &'static Module) {
    let mut lock = 0_u64;
    // SAFETY: a free lock.
    unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut lock) };
    // SAFETY: none: this is the fault.
    unsafe { KeReleaseSpinLock(&raw mut lock, DISPATCH_LEVEL) }; // caught: lock-released-elsewhere by lock-old-irql
    stay();
}

/// Takes two locks in one order, and then in the other.
#[inline(never)]
fn invert(_: &'static Module) {
    let (mut one, mut other) = (0_u64, 0_u64);
    // SAFETY: a free lock.
    let old = unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut one) };
    // SAFETY: a free lock, at DISPATCH_LEVEL.
    unsafe { KeAcquireSpinLockAtDpcLevel(&raw mut other) };
    // SAFETY: held.
    unsafe { KeReleaseSpinLockFromDpcLevel(&raw mut other) };
    // SAFETY: held.
    unsafe { KeReleaseSpinLock(&raw mut one, old) };
    // SAFETY: a free lock.
    let old = unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut other) };
    // SAFETY: none: this is the fault.
    unsafe { KeAcquireSpinLockAtDpcLevel(&raw mut one) }; // caught: lock-inverted by lock-order
    // SAFETY: held.
    unsafe { KeReleaseSpinLockFromDpcLevel(&raw mut one) };
    // SAFETY: held.
    unsafe { KeReleaseSpinLock(&raw mut other, old) };
}

/// Releases the outer of two locks first.
#[inline(never)]
fn outer_first(_: &'static Module) {
    let (mut outer, mut inner) = (0_u64, 0_u64);
    // SAFETY: a free lock.
    let old = unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut outer) };
    // SAFETY: a free lock.
    let dispatch = unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut inner) };
    // SAFETY: none: this is the fault.
    unsafe { KeReleaseSpinLock(&raw mut outer, old) }; // caught: lock-outer-first by lock-lifo
    // SAFETY: held.
    unsafe { KeReleaseSpinLock(&raw mut inner, dispatch) };
}

/// Acquires what was never initialised.
#[inline(never)]
fn uninitialized(_: &'static Module) {
    let mut lock = 0x5A5A_5A5A_u64;
    // SAFETY: none: this is the fault.
    unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut lock) }; // caught: lock-uninitialized by lock-init
    stay();
}

/// Calls NDIS with a lock held.
#[inline(never)]
fn ndis_under(_: &'static Module) {
    let mut lock = 0_u64;
    // SAFETY: a free lock.
    let old = unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut lock) };
    // SAFETY: none: this is the fault.
    unsafe { NdisGetVersion() }; // caught: lock-ndis-under by lock-not-held-into-ndis
    // SAFETY: held.
    unsafe { KeReleaseSpinLock(&raw mut lock, old) };
}

/// Asks for writing what it reads.
#[inline(never)]
fn promote(_: &'static Module) {
    let mut states = [MaybeUninit::<LOCK_STATE_EX>::uninit(); 2];
    // SAFETY: the driver's handle lives until unload.
    let lock = unsafe { NdisAllocateRWLock(driver::handle()) };
    // SAFETY: a free lock.
    unsafe { NdisAcquireRWLockRead(lock, states[0].as_mut_ptr(), 0) };
    // SAFETY: none: this is the fault.
    unsafe { NdisAcquireRWLockWrite(lock, states[1].as_mut_ptr(), 0) }; // caught: lock-promoted by rwlock-no-promotion
    stay();
}

/// Frees a lock that it reads.
#[inline(never)]
fn free_held(_: &'static Module) {
    let mut state = MaybeUninit::<LOCK_STATE_EX>::uninit();
    // SAFETY: the driver's handle lives until unload.
    let lock = unsafe { NdisAllocateRWLock(driver::handle()) };
    // SAFETY: a free lock.
    unsafe { NdisAcquireRWLockRead(lock, state.as_mut_ptr(), 0) };
    // SAFETY: none: this is the fault.
    unsafe { NdisFreeRWLock(lock) }; // caught: lock-freed-held by rwlock-free-released
    stay();
}

/// A lock of the image's, which outlives who takes it.
static KEPT: AtomicU64 = AtomicU64::new(0);

fn keep_in_restart(to: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    to.RestartHandler = Some(restart_and_keep);
}

/// Returns with a lock.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn restart_and_keep(context: NDIS_HANDLE, parameters: *mut NDIS_FILTER_RESTART_PARAMETERS) -> NDIS_STATUS { // caught: lock-kept by lock-acquire-unlocked
    let status = module::restart(context, parameters);
    // SAFETY: a free lock; that it is not released is the fault.
    unsafe { KeAcquireSpinLockRaiseToDpc(KEPT.as_ptr()) };
    status
}

fn keep_in_restart_at_dispatch(to: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    to.RestartHandler = Some(restart_and_keep_at_dispatch);
}

/// Returns at its own level, with a lock that it took at DISPATCH_LEVEL.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn restart_and_keep_at_dispatch(context: NDIS_HANDLE, parameters: *mut NDIS_FILTER_RESTART_PARAMETERS) -> NDIS_STATUS { // caught: lock-kept-at-dispatch by lock-dpr-release
    let status = module::restart(context, parameters);
    keep();
    status
}

/// Leaves a lock acquired, and the level as it was.
pub(super) fn keep() {
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: a free lock, at DISPATCH_LEVEL; that it is not released is the fault.
    unsafe { KeAcquireSpinLockAtDpcLevel(KEPT.as_ptr()) };
    lower(old);
}

/// Queues a DPC that returns with a lock.
fn keep_in_dpc(_: &'static Module) {
    timer::queue_once(dpc_and_keep);
}

/// Returns with a lock.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn dpc_and_keep(_: *mut KDPC, _: *mut c_void, _: *mut c_void, _: *mut c_void) { // caught: lock-kept-by-dpc by lock-balanced
    // SAFETY: a free lock, at DISPATCH_LEVEL; that it is not released is the fault.
    unsafe { KeAcquireSpinLockAtDpcLevel(KEPT.as_ptr()) };
    stay();
}

/// Queues a work item that returns with a lock.
fn keep_in_work(module: &'static Module) {
    work::queue(module, work_and_keep);
}

/// Returns with a lock.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn work_and_keep(_: *mut c_void, _: NDIS_HANDLE) { // caught: lock-kept-by-work by wi-routine-no-lock
    keep();
}

/// Acquires with the variant that raises, and releases with the one that does not lower.
#[inline(never)]
fn mix_variants(_: &'static Module) {
    let mut lock = 0_u64;
    // SAFETY: a free lock.
    let old = unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut lock) };
    // SAFETY: none: this is the fault.
    unsafe { KeReleaseSpinLockFromDpcLevel(&raw mut lock) }; // caught: lock-mixed by lock-variant-match
    lower(old);
}

/// Holds a lock for longer than a lock may be held.
#[inline(never)]
fn hold_long(_: &'static Module) {
    let mut lock = 0_u64;
    // SAFETY: a free lock.
    let old = unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut lock) };
    // SAFETY: callable at any IRQL.
    unsafe { KeStallExecutionProcessor(AS_LONG_AS_ALLOWED_US * 2) };
    // SAFETY: held.
    unsafe { KeReleaseSpinLock(&raw mut lock, old) }; // warned: lock-held-long by lock-hold-time
    stay();
}

/// Waits with a lock held.
#[inline(never)]
fn wait_under(_: &'static Module) {
    let mut lock = 0_u64;
    let mut soon = from_now_us(1);
    // SAFETY: a free lock.
    let old = unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut lock) };
    // SAFETY: none: this is the fault.
    unsafe { KeDelayExecutionThread(KERNEL_MODE, 0, &raw mut soon) }; // caught: lock-waited-under by event-wait-kernel
    // SAFETY: held.
    unsafe { KeReleaseSpinLock(&raw mut lock, old) };
}

/// Calls into other drivers with a reader's lock held.
#[inline(never)]
fn cancel_under(module: &'static Module) {
    let mut lock = 0_i32;
    // SAFETY: a free lock.
    let old = unsafe { ExAcquireSpinLockShared(&raw mut lock) };
    // SAFETY: none: this is the fault.
    unsafe { NdisFCancelSendNetBufferLists(module.handle, module.context()) }; // caught: lock-cancelled-under by lock-not-held-into-ndis
    // SAFETY: held.
    unsafe { ExReleaseSpinLockShared(&raw mut lock, old) };
}

/// A handle of a queued spin lock.
fn queue_handle() -> KLOCK_QUEUE_HANDLE {
    // SAFETY: plain data: all zeroes is a value.
    unsafe { zeroed() }
}

/// Acquires a queued spin lock that it holds.
#[inline(never)]
fn queued_twice(_: &'static Module) {
    let mut lock = 0_u64;
    let mut first = queue_handle();
    let mut second = queue_handle();
    // SAFETY: a free lock.
    unsafe { KeAcquireInStackQueuedSpinLock(&raw mut lock, &raw mut first) };
    // SAFETY: none: this is the fault.
    unsafe { KeAcquireInStackQueuedSpinLock(&raw mut lock, &raw mut second) }; // caught: lock-queued-twice by lock-recursive
    stay();
}

/// Asks for a lock alone that it shares.
#[inline(never)]
fn promote_shared(_: &'static Module) {
    let mut lock = 0_i32;
    // SAFETY: a free lock.
    unsafe { ExAcquireSpinLockShared(&raw mut lock) };
    // SAFETY: none: this is the fault.
    unsafe { ExAcquireSpinLockExclusive(&raw mut lock) }; // caught: lock-shared-promoted by lock-recursive
    stay();
}

/// Has a DPC on the other processor release a lock that it holds.
fn release_anothers(_: &'static Module) {
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: a free lock, at DISPATCH_LEVEL.
    unsafe { KeAcquireSpinLockAtDpcLevel(KEPT.as_ptr()) };
    timer::queue_once(release_kept);
    for _ in 0..PATIENCE {
        spin_loop();
    }
    // SAFETY: held.
    unsafe { KeReleaseSpinLockFromDpcLevel(KEPT.as_ptr()) };
    lower(old);
}

extern "system" fn release_kept(_: *mut KDPC, _: *mut c_void, _: *mut c_void, _: *mut c_void) {
    // SAFETY: none: this is the fault.
    unsafe { KeReleaseSpinLockFromDpcLevel(KEPT.as_ptr()) }; // caught: lock-released-by-another by lock-release-held
    stay();
}

/// Releases a reader-writer lock with another state than it acquired it with.
#[inline(never)]
fn release_with_another_state(_: &'static Module) {
    let mut states = [MaybeUninit::<LOCK_STATE_EX>::zeroed(); 2];
    // SAFETY: the driver's handle lives until unload.
    let lock = unsafe { NdisAllocateRWLock(driver::handle()) };
    // SAFETY: a free lock.
    unsafe { NdisAcquireRWLockRead(lock, states[0].as_mut_ptr(), 0) };
    // SAFETY: none: this is the fault.
    unsafe { NdisReleaseRWLock(lock, states[1].as_mut_ptr()) }; // caught: lock-other-state by rwlock-same-cpu
    stay();
}

// legal: lock-legal near lock-balanced, lock-acquire-unlocked, lock-dpr, lock-dpr-release, lock-init, lock-lifo
// legal: lock-legal near lock-hold-time, lock-recursive, lock-release-held, lock-variant-match, lock-old-irql
// legal: lock-legal near lock-not-held-into-ndis, wi-routine-no-lock, rwlock-no-promotion, rwlock-same-cpu
// legal: lock-legal near rwlock-free-released, event-wait-kernel

/// Uses each kind of lock as it may be used.
fn every_lock(module: &'static Module) {
    nested();
    without_order();
    shared();
    readers_and_writer();
    timer::run_once(in_dpc);
    // SAFETY: nothing is pending under the id, and no lock is held any more.
    unsafe { NdisFCancelSendNetBufferLists(module.handle, module.context()) };
    work::queue(module, in_work);
}

/// Two locks, the inner one released first; held for as long as is allowed.
fn nested() {
    let (mut outer, mut inner) = (0_u64, 0_u64);
    // SAFETY: the argument is valid.
    unsafe { KeInitializeSpinLock(&raw mut outer) };
    // SAFETY: a free lock.
    let old = unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut outer) };
    // SAFETY: a free lock.
    let dispatch = unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut inner) };
    // SAFETY: callable at any IRQL.
    unsafe { KeStallExecutionProcessor(AS_LONG_AS_ALLOWED_US) };
    // SAFETY: held.
    unsafe { KeReleaseSpinLock(&raw mut inner, dispatch) };
    // SAFETY: held.
    unsafe { KeReleaseSpinLock(&raw mut outer, old) };
}

/// A lock that is only tried, and so refused while it is held; one whose place in the queue is on
/// the stack.
fn without_order() {
    let mut lock = 0_u64;
    let mut handle = queue_handle();
    let old = raise(DISPATCH_LEVEL);
    // SAFETY: at DISPATCH_LEVEL.
    if unsafe { KeTryToAcquireSpinLockAtDpcLevel(&raw mut lock) } != 0 {
        // SAFETY: at DISPATCH_LEVEL.
        let is_refused = unsafe { KeTryToAcquireSpinLockAtDpcLevel(&raw mut lock) } == 0;
        black_box(is_refused);
        // SAFETY: held.
        unsafe { KeReleaseSpinLockFromDpcLevel(&raw mut lock) };
    }
    lower(old);
    // SAFETY: a free lock.
    unsafe { KeAcquireInStackQueuedSpinLock(&raw mut lock, &raw mut handle) };
    // SAFETY: held with this handle.
    unsafe { KeReleaseInStackQueuedSpinLock(&raw mut handle) };
}

/// A lock that is shared twice, and then held alone.
fn shared() {
    let mut lock = 0_i32;
    // SAFETY: a free lock.
    let old = unsafe { ExAcquireSpinLockShared(&raw mut lock) };
    // SAFETY: at DISPATCH_LEVEL; readers may be many.
    unsafe { ExAcquireSpinLockSharedAtDpcLevel(&raw mut lock) };
    // SAFETY: held.
    unsafe { ExReleaseSpinLockSharedFromDpcLevel(&raw mut lock) };
    // SAFETY: held.
    unsafe { ExReleaseSpinLockShared(&raw mut lock, old) };
    // SAFETY: a free lock.
    let old = unsafe { ExAcquireSpinLockExclusive(&raw mut lock) };
    // SAFETY: held.
    unsafe { ExReleaseSpinLockExclusive(&raw mut lock, old) };
}

/// A reader-writer lock, read and written in turn, and freed when it is free.
fn readers_and_writer() {
    let mut state = MaybeUninit::<LOCK_STATE_EX>::zeroed();
    // SAFETY: the driver's handle lives until unload.
    let lock = unsafe { NdisAllocateRWLock(driver::handle()) };
    if lock.is_null() {
        return;
    }
    // SAFETY: a free lock.
    unsafe { NdisAcquireRWLockRead(lock, state.as_mut_ptr(), 0) };
    // SAFETY: held with this state.
    unsafe { NdisReleaseRWLock(lock, state.as_mut_ptr()) };
    // SAFETY: a free lock.
    unsafe { NdisAcquireRWLockWrite(lock, state.as_mut_ptr(), 0) };
    // SAFETY: held with this state.
    unsafe { NdisReleaseRWLock(lock, state.as_mut_ptr()) };
    // SAFETY: free, and nobody asks for it.
    unsafe { NdisFreeRWLock(lock) };
}

extern "system" fn in_dpc(_: *mut KDPC, _: *mut c_void, _: *mut c_void, _: *mut c_void) {
    // SAFETY: at DISPATCH_LEVEL.
    unsafe { KeAcquireSpinLockAtDpcLevel(KEPT.as_ptr()) };
    // SAFETY: held.
    unsafe { KeReleaseSpinLockFromDpcLevel(KEPT.as_ptr()) };
}

extern "system" fn in_work(context: *mut c_void, item: NDIS_HANDLE) {
    // SAFETY: a lock of the image's.
    let old = unsafe { KeAcquireSpinLockRaiseToDpc(KEPT.as_ptr()) };
    // SAFETY: held.
    unsafe { KeReleaseSpinLock(KEPT.as_ptr(), old) };
    work::done(context, item);
}

// legal: lock-order-of-new-locks near lock-order

/// Takes two locks in one order, frees both, and takes two new ones in the other.
fn order_of_new_locks(_: &'static Module) {
    for is_turned in [false, true] {
        // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
        let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG) };
        if block.is_null() {
            return;
        }
        let one: *mut u64 = block.cast();
        let other = one.wrapping_add(1);
        let (outer, inner) = if is_turned {
            (other, one)
        } else {
            (one, other)
        };
        // SAFETY: a free lock.
        let old = unsafe { KeAcquireSpinLockRaiseToDpc(outer) };
        // SAFETY: a free lock, at DISPATCH_LEVEL.
        unsafe { KeAcquireSpinLockAtDpcLevel(inner) };
        // SAFETY: held.
        unsafe { KeReleaseSpinLockFromDpcLevel(inner) };
        // SAFETY: held.
        unsafe { KeReleaseSpinLock(outer, old) };
        // SAFETY: nobody uses the locks any more.
        unsafe { ExFreePoolWithTag(block, TAG) };
    }
}
