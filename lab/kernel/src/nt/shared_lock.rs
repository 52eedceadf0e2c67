//! Locks that many readers or one writer hold: `EX_SPIN_LOCK`, and NDIS reader-writer locks.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::Kind;
use lab_rules::event::LockEvent;

use super::imports;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::sched::{self, DISPATCH_LEVEL, ThreadId};
use crate::watch::{OrFault, emit};

imports! {
    "ntoskrnl.exe":
    ExAcquireSpinLockShared => acquire_shared,
    ExReleaseSpinLockShared => release,
    ExAcquireSpinLockExclusive => acquire_exclusive,
    ExReleaseSpinLockExclusive => release,
    ExAcquireSpinLockSharedAtDpcLevel => acquire_shared_at_dpc,
    ExReleaseSpinLockSharedFromDpcLevel => release_from_dpc,
    ExAcquireSpinLockExclusiveAtDpcLevel => acquire_exclusive_at_dpc,
    ExReleaseSpinLockExclusiveFromDpcLevel => release_from_dpc,
    ExTryAcquireSpinLockSharedAtDpcLevel => try_shared_at_dpc,
    ExTryAcquireSpinLockExclusiveAtDpcLevel => try_exclusive_at_dpc,
    ExTryConvertSharedSpinLockExclusive => try_convert,
}

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// With other readers.
    Shared,
    /// Alone.
    Exclusive,
}

per_image! {
    /// Who holds each lock, once per acquisition.
    static HOLDERS: RefCell<BTreeMap<u64, Vec<(ThreadId, Mode)>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets all locks: a run begins.
pub(super) fn reset() {
    HOLDERS.take();
}

/// Acquires at the present level, which must be at least DISPATCH_LEVEL.
pub(crate) fn take(lock: u64, mode: Mode, dpr: bool, old_irql: u8) {
    let me = sched::current();
    let is_mine = HOLDERS.with_borrow(|holders| {
        holders.get(&lock).is_some_and(|held| {
            held.iter().any(|(thread, held)| {
                *thread == me && (mode == Mode::Exclusive || *held == Mode::Exclusive)
            })
        })
    });
    if is_mine {
        emit(Kind::Lock(LockEvent::Recursive { lock, dpr }));
    }
    sched::wait(&mut || hold(lock, mode, me));
    note_acquired(lock, mode, dpr, old_irql);
}

/// Takes a lock, if others leave it free.
fn hold(lock: u64, mode: Mode, me: ThreadId) -> bool {
    HOLDERS.with_borrow_mut(|holders| {
        let held = holders.entry(lock).or_default();
        let is_free = match mode {
            Mode::Shared => held.iter().all(|(_, mode)| *mode == Mode::Shared),
            Mode::Exclusive => held.is_empty(),
        };
        if is_free {
            held.push((me, mode));
        }
        is_free
    })
}

fn note_acquired(lock: u64, mode: Mode, dpr: bool, old_irql: u8) {
    emit(Kind::Lock(LockEvent::Acquired {
        lock,
        dpr,
        shared: mode == Mode::Shared,
        old_irql,
        processor_ns: sched::processor_time(),
    }));
}

/// Gives up one acquisition.
pub(crate) fn give(lock: u64, dpr: bool, restored_irql: u8) {
    emit(Kind::Lock(LockEvent::Released {
        lock,
        dpr,
        restored_irql,
        processor_ns: sched::processor_time(),
    }));
    let me = sched::current();
    HOLDERS.with_borrow_mut(|holders| {
        if let Some(held) = holders.get_mut(&lock)
            && let Some(index) = held.iter().rposition(|(thread, _)| *thread == me)
        {
            held.remove(index);
        }
    });
}

/// Raises, acquires; gives the old level.
pub(crate) fn acquire(lock: u64, mode: Mode) -> u8 {
    let old = sched::raise(DISPATCH_LEVEL.max(sched::irql()));
    take(lock, mode, false, old);
    old
}

/// Releases and goes back to a level.
pub(crate) fn release_to(lock: u64, irql: u8) {
    give(lock, false, irql);
    if irql <= sched::irql() {
        sched::lower(irql);
    }
}

/// The lock of a call: its word must be there, though the lab keeps the state elsewhere.
fn lock_of(call: &Call<'_>) -> u64 {
    let lock = call.arg(0);
    mem::read::<u32>(lock).or_fault();
    lock
}

fn acquire_shared(call: &Call<'_>) -> u64 {
    acquire(lock_of(call), Mode::Shared).into()
}

fn acquire_exclusive(call: &Call<'_>) -> u64 {
    acquire(lock_of(call), Mode::Exclusive).into()
}

fn release(call: &Call<'_>) -> u64 {
    release_to(lock_of(call), call.arg_u8(1));
    0
}

fn acquire_shared_at_dpc(call: &Call<'_>) -> u64 {
    take(lock_of(call), Mode::Shared, true, sched::irql());
    0
}

fn acquire_exclusive_at_dpc(call: &Call<'_>) -> u64 {
    take(lock_of(call), Mode::Exclusive, true, sched::irql());
    0
}

fn try_at_dpc(call: &Call<'_>, mode: Mode) -> u64 {
    let lock = lock_of(call);
    let is_mine = hold(lock, mode, sched::current());
    if is_mine {
        note_acquired(lock, mode, true, sched::irql());
    }
    is_mine.into()
}

fn try_shared_at_dpc(call: &Call<'_>) -> u64 {
    try_at_dpc(call, Mode::Shared)
}

fn try_exclusive_at_dpc(call: &Call<'_>) -> u64 {
    try_at_dpc(call, Mode::Exclusive)
}

/// The only reader becomes the writer.
fn try_convert(call: &Call<'_>) -> u64 {
    let (lock, me) = (lock_of(call), sched::current());
    HOLDERS
        .with_borrow_mut(
            |holders| match holders.get_mut(&lock).map(Vec::as_mut_slice) {
                Some([(holder, mode)]) if *holder == me && *mode == Mode::Shared => {
                    *mode = Mode::Exclusive;
                    true
                }
                _ => false,
            },
        )
        .into()
}

fn release_from_dpc(call: &Call<'_>) -> u64 {
    give(lock_of(call), true, sched::irql());
    0
}
