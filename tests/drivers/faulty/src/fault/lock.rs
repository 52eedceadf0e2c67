//! Spin locks and reader-writer locks misused.

use core::mem::MaybeUninit;

use crate::abi::{
    DISPATCH_LEVEL, KeAcquireSpinLockAtDpcLevel, KeAcquireSpinLockRaiseToDpc, KeReleaseSpinLock,
    KeReleaseSpinLockFromDpcLevel, KfRaiseIrql, LOCK_STATE_EX, NdisAcquireRWLockRead,
    NdisAcquireRWLockWrite, NdisAllocateRWLock, NdisFreeRWLock, NdisGetVersion,
};
use crate::driver;
use crate::module::Module;
use crate::play::{Play, stay};

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
];

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
