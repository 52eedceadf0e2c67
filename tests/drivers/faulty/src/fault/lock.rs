//! Spin locks and reader-writer locks misused.

use core::hint::black_box;
use core::mem::MaybeUninit;

use crate::abi::{
    DISPATCH_LEVEL, KeAcquireSpinLockAtDpcLevel, KeAcquireSpinLockRaiseToDpc, KeReleaseSpinLock,
    KeReleaseSpinLockFromDpcLevel, KfRaiseIrql, LOCK_STATE_EX, NdisAcquireRWLockRead,
    NdisAcquireRWLockWrite, NdisAllocateRWLock, NdisFreeRWLock, NdisGetVersion,
};
use crate::driver;

/// Acquires a lock that it holds.
#[inline(never)]
pub(crate) fn twice() {
    let mut lock = 0_u64;
    // SAFETY: a free lock.
    unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut lock) };
    // SAFETY: none: this is the fault.
    unsafe { KeAcquireSpinLockAtDpcLevel(&raw mut lock) }; // caught: lock-twice-at-dispatch
    // No tail call: the frame stays.
    black_box(0_u8);
}

/// Acquires a lock that it holds, with the variant that raises.
#[inline(never)]
pub(crate) fn twice_raising() {
    let mut lock = 0_u64;
    // SAFETY: a free lock.
    unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut lock) };
    // SAFETY: none: this is the fault.
    unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut lock) }; // caught: lock-twice
    // No tail call: the frame stays.
    black_box(0_u8);
}

/// Releases a lock that nobody holds.
#[inline(never)]
pub(crate) fn release_free() {
    let mut lock = 0_u64;
    // SAFETY: the release is to lower it.
    let old = unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
    // SAFETY: none: this is the fault.
    unsafe { KeReleaseSpinLock(&raw mut lock, old) }; // caught: lock-released-free
    // No tail call: the frame stays.
    black_box(0_u8);
}

/// Releases a lock to another level than the one before.
#[inline(never)]
pub(crate) fn release_elsewhere() {
    let mut lock = 0_u64;
    // SAFETY: a free lock.
    unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut lock) };
    // SAFETY: none: this is the fault.
    unsafe { KeReleaseSpinLock(&raw mut lock, DISPATCH_LEVEL) }; // caught: lock-released-elsewhere
    // No tail call: the frame stays.
    black_box(0_u8);
}

/// Takes two locks in one order, and then in the other.
#[inline(never)]
pub(crate) fn invert() {
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
    unsafe { KeAcquireSpinLockAtDpcLevel(&raw mut one) }; // caught: lock-inverted
    // SAFETY: held.
    unsafe { KeReleaseSpinLockFromDpcLevel(&raw mut one) };
    // SAFETY: held.
    unsafe { KeReleaseSpinLock(&raw mut other, old) };
}

/// Releases the outer of two locks first.
#[inline(never)]
pub(crate) fn outer_first() {
    let (mut outer, mut inner) = (0_u64, 0_u64);
    // SAFETY: a free lock.
    let old = unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut outer) };
    // SAFETY: a free lock.
    let dispatch = unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut inner) };
    // SAFETY: none: this is the fault.
    unsafe { KeReleaseSpinLock(&raw mut outer, old) }; // caught: lock-outer-first
    // SAFETY: held.
    unsafe { KeReleaseSpinLock(&raw mut inner, dispatch) };
}

/// Acquires what was never initialised.
#[inline(never)]
pub(crate) fn uninitialized() {
    let mut lock = 0x5A5A_5A5A_u64;
    // SAFETY: none: this is the fault.
    unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut lock) }; // caught: lock-uninitialized
    // No tail call: the frame stays.
    black_box(0_u8);
}

/// Calls NDIS with a lock held.
#[inline(never)]
pub(crate) fn ndis_under() {
    let mut lock = 0_u64;
    // SAFETY: a free lock.
    let old = unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut lock) };
    // SAFETY: none: this is the fault.
    unsafe { NdisGetVersion() }; // caught: lock-ndis-under
    // SAFETY: held.
    unsafe { KeReleaseSpinLock(&raw mut lock, old) };
}

/// Asks for writing what it reads.
#[inline(never)]
pub(crate) fn promote() {
    let mut states = [MaybeUninit::<LOCK_STATE_EX>::uninit(); 2];
    // SAFETY: the driver's handle lives until unload.
    let lock = unsafe { NdisAllocateRWLock(driver::handle()) };
    // SAFETY: a free lock.
    unsafe { NdisAcquireRWLockRead(lock, states[0].as_mut_ptr(), 0) };
    // SAFETY: none: this is the fault.
    unsafe { NdisAcquireRWLockWrite(lock, states[1].as_mut_ptr(), 0) }; // caught: lock-promoted
    // No tail call: the frame stays.
    black_box(0_u8);
}

/// Frees a lock that it reads.
#[inline(never)]
pub(crate) fn free_held() {
    let mut state = MaybeUninit::<LOCK_STATE_EX>::uninit();
    // SAFETY: the driver's handle lives until unload.
    let lock = unsafe { NdisAllocateRWLock(driver::handle()) };
    // SAFETY: a free lock.
    unsafe { NdisAcquireRWLockRead(lock, state.as_mut_ptr(), 0) };
    // SAFETY: none: this is the fault.
    unsafe { NdisFreeRWLock(lock) }; // caught: lock-freed-held
    // No tail call: the frame stays.
    black_box(0_u8);
}
