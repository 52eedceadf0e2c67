//! Spin locks.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::Kind;
use lab_rules::event::LockEvent;

use super::imports;
use crate::abi::nt::{KLOCK_QUEUE_HANDLE, KSPIN_LOCK_QUEUE};
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::sched::{self, DISPATCH_LEVEL, ThreadId};
use crate::watch::{OrFault, emit};

imports! {
    "ntoskrnl.exe":
    KeInitializeSpinLock => initialize,
    KeAcquireSpinLockRaiseToDpc => acquire_raise,
    KeReleaseSpinLock => release,
    KeAcquireSpinLockAtDpcLevel => acquire_at_dpc,
    KeReleaseSpinLockFromDpcLevel => release_from_dpc,
    KeTryToAcquireSpinLockAtDpcLevel => try_acquire,
    KeTestSpinLock => test,
    KeAcquireInStackQueuedSpinLock => acquire_queued,
    KeReleaseInStackQueuedSpinLock => release_queued,
    KeAcquireInStackQueuedSpinLockAtDpcLevel => acquire_queued_at_dpc,
    KeReleaseInStackQueuedSpinLockFromDpcLevel => release_queued_from_dpc,
    KeAcquireSpinLockForDpc => acquire_raise,
    KeReleaseSpinLockForDpc => release,
    KeAcquireInStackQueuedSpinLockForDpc => acquire_queued,
    KeReleaseInStackQueuedSpinLockForDpc => release_queued,
}

per_image! {
    /// Who holds each lock. The lock word itself says only that it is held.
    static OWNERS: RefCell<BTreeMap<u64, ThreadId>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets all locks: a run begins.
pub(crate) fn reset() {
    OWNERS.take();
}

/// Takes the lock at the level that the thread is at now (at least DISPATCH_LEVEL).
fn take(lock: u64, dpr: bool, old_irql: u8) {
    let me = sched::current();
    if OWNERS.with_borrow(|owners| owners.get(&lock) == Some(&me)) {
        emit(Kind::Lock(LockEvent::Recursive { lock, dpr }));
    }
    // Free or held: nothing else is ever in the word.
    if mem::read::<u64>(lock).is_ok_and(|word| word > 1) {
        emit(Kind::Lock(LockEvent::Uninitialized { lock }));
    }
    let mut result = Ok(());
    sched::wait(&mut || match mem::read::<u64>(lock) {
        Ok(0) => {
            result = mem::write(lock, 1u64);
            true
        }
        Ok(_) => false,
        Err(bad) => {
            result = Err(bad);
            true
        }
    });
    result.or_fault();
    OWNERS.with_borrow_mut(|owners| owners.insert(lock, me));
    emit(Kind::Lock(LockEvent::Acquired {
        lock,
        dpr,
        shared: false,
        old_irql,
        processor_ns: sched::processor_time(),
    }));
}

fn give(lock: u64, dpr: bool, restored_irql: u8) {
    emit(Kind::Lock(LockEvent::Released {
        lock,
        dpr,
        restored_irql,
        processor_ns: sched::processor_time(),
    }));
    OWNERS.with_borrow_mut(|owners| owners.remove(&lock));
    mem::write(lock, 0u64).or_fault();
}

/// Acquires a lock as `KeAcquireSpinLockRaiseToDpc` does; gives the old level.
pub(crate) fn acquire(lock: u64) -> u8 {
    let old = sched::raise(DISPATCH_LEVEL.max(sched::irql()));
    take(lock, false, old);
    old
}

/// Releases a lock as `KeReleaseSpinLock` does.
pub(crate) fn release_to(lock: u64, irql: u8) {
    give(lock, false, irql);
    if irql <= sched::irql() {
        sched::lower(irql);
    }
}

fn initialize(call: &Call<'_>) -> u64 {
    mem::write(call.arg(0), 0u64).or_fault();
    0
}

fn acquire_raise(call: &Call<'_>) -> u64 {
    acquire(call.arg(0)).into()
}

fn release(call: &Call<'_>) -> u64 {
    release_to(call.arg(0), call.arg_u8(1));
    0
}

fn acquire_at_dpc(call: &Call<'_>) -> u64 {
    take(call.arg(0), true, sched::irql());
    0
}

fn release_from_dpc(call: &Call<'_>) -> u64 {
    give(call.arg(0), true, sched::irql());
    0
}

fn try_acquire(call: &Call<'_>) -> u64 {
    let lock = call.arg(0);
    if mem::read::<u64>(lock).or_fault() != 0 {
        return 0;
    }
    take(lock, true, sched::irql());
    1
}

fn test(call: &Call<'_>) -> u64 {
    u64::from(mem::read::<u64>(call.arg(0)).or_fault() == 0)
}

/// The lock that a queue handle was used for.
fn queued_lock(handle: u64) -> u64 {
    KSPIN_LOCK_QUEUE::Lock
        .read(handle.wrapping_add(KLOCK_QUEUE_HANDLE::LockQueue))
        .or_fault()
}

fn acquire_queued(call: &Call<'_>) -> u64 {
    let (lock, handle) = (call.arg(0), call.arg(1));
    let old = acquire(lock);
    KSPIN_LOCK_QUEUE::Lock
        .write(handle.wrapping_add(KLOCK_QUEUE_HANDLE::LockQueue), lock)
        .or_fault();
    KLOCK_QUEUE_HANDLE::OldIrql.write(handle, old).or_fault();
    0
}

fn release_queued(call: &Call<'_>) -> u64 {
    let handle = call.arg(0);
    let lock = queued_lock(handle);
    release_to(lock, KLOCK_QUEUE_HANDLE::OldIrql.read(handle).or_fault());
    0
}

fn acquire_queued_at_dpc(call: &Call<'_>) -> u64 {
    let (lock, handle) = (call.arg(0), call.arg(1));
    take(lock, true, sched::irql());
    KSPIN_LOCK_QUEUE::Lock
        .write(handle.wrapping_add(KLOCK_QUEUE_HANDLE::LockQueue), lock)
        .or_fault();
    0
}

fn release_queued_from_dpc(call: &Call<'_>) -> u64 {
    let lock = queued_lock(call.arg(0));
    give(lock, true, sched::irql());
    0
}
