//! Locks for threads that may wait: executive resources and push locks.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::shared_lock::Mode;
use super::{SUCCESS, imports};
use crate::abi::nt::ERESOURCE;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::sched::{self, ThreadId};
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    ExInitializeResourceLite => initialize_resource,
    ExDeleteResourceLite => delete_resource,
    ExAcquireResourceExclusiveLite => acquire_exclusive,
    ExAcquireResourceSharedLite => acquire_shared,
    ExReleaseResourceLite => release_resource,
    ExInitializePushLock => initialize_push_lock,
    ExAcquirePushLockExclusiveEx => acquire_push_exclusive,
    ExReleasePushLockExclusiveEx => release_push_lock,
    ExAcquirePushLockSharedEx => acquire_push_shared,
    ExReleasePushLockSharedEx => release_push_lock,
}

per_image! {
    /// Who holds each lock, once per acquisition. The memory of the lock itself says nothing.
    static HOLDERS: RefCell<BTreeMap<u64, Vec<(ThreadId, Mode)>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets all locks: a run begins.
pub(super) fn reset() {
    HOLDERS.take();
}

/// Takes a lock, if others leave it free. A thread that `may_repeat` may have it more than once.
fn take(lock: u64, mode: Mode, thread: ThreadId, may_repeat: bool) -> bool {
    HOLDERS.with_borrow_mut(|holders| {
        let held = holders.entry(lock).or_default();
        let is_mine = may_repeat
            && held
                .iter()
                .any(|(holder, mode)| *holder == thread && *mode == Mode::Exclusive);
        let is_free = match mode {
            Mode::Shared => held.iter().all(|(_, mode)| *mode == Mode::Shared),
            Mode::Exclusive => held.is_empty(),
        };
        if is_mine || is_free {
            held.push((thread, mode));
        }
        is_mine || is_free
    })
}

fn give(lock: u64) {
    let me = sched::current();
    HOLDERS.with_borrow_mut(|holders| {
        if let Some(held) = holders.get_mut(&lock)
            && let Some(index) = held.iter().rposition(|(thread, _)| *thread == me)
        {
            held.remove(index);
        }
    });
}

fn initialize_resource(call: &Call<'_>) -> u64 {
    mem::fill(call.arg(0), ERESOURCE::SIZE, 0).or_fault();
    SUCCESS
}

fn delete_resource(call: &Call<'_>) -> u64 {
    HOLDERS.with_borrow_mut(|holders| holders.remove(&call.arg(0)));
    SUCCESS
}

fn acquire_resource(call: &Call<'_>, mode: Mode) -> u64 {
    let (resource, waits) = (call.arg(0), call.arg_u8(1) != 0);
    mem::read::<u64>(resource).or_fault();
    let me = sched::current();
    if waits {
        sched::wait(&mut || take(resource, mode, me, true));
        return 1;
    }
    u64::from(take(resource, mode, me, true))
}

fn acquire_exclusive(call: &Call<'_>) -> u64 {
    acquire_resource(call, Mode::Exclusive)
}

fn acquire_shared(call: &Call<'_>) -> u64 {
    acquire_resource(call, Mode::Shared)
}

fn release_resource(call: &Call<'_>) -> u64 {
    mem::read::<u64>(call.arg(0)).or_fault();
    give(call.arg(0));
    0
}

fn initialize_push_lock(call: &Call<'_>) -> u64 {
    mem::write(call.arg(0), 0u64).or_fault();
    0
}

fn acquire_push(call: &Call<'_>, mode: Mode) -> u64 {
    let lock = call.arg(0);
    mem::read::<u64>(lock).or_fault();
    let me = sched::current();
    sched::wait(&mut || take(lock, mode, me, false));
    0
}

fn acquire_push_exclusive(call: &Call<'_>) -> u64 {
    acquire_push(call, Mode::Exclusive)
}

fn acquire_push_shared(call: &Call<'_>) -> u64 {
    acquire_push(call, Mode::Shared)
}

fn release_push_lock(call: &Call<'_>) -> u64 {
    mem::read::<u64>(call.arg(0)).or_fault();
    give(call.arg(0));
    0
}
