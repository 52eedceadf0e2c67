//! Locks for threads that may wait: executive resources and push locks.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::shared_lock::Mode;
use super::{SUCCESS, imports, region};
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
    ExTryAcquirePushLockExclusiveEx => try_push_exclusive,
    ExTryAcquirePushLockSharedEx => try_push_shared,
    ExAcquireSharedStarveExclusive => acquire_shared,
    ExAcquireSharedWaitForExclusive => acquire_shared,
    ExConvertExclusiveToSharedLite => convert_to_shared,
    ExIsResourceAcquiredExclusiveLite => is_exclusive,
    ExIsResourceAcquiredSharedLite => shared_count,
    ExReinitializeResourceLite => initialize_resource,
    ExReleaseResourceForThreadLite => release_for_thread,
    ExEnterCriticalRegionAndAcquireResourceExclusive => enter_exclusive,
    ExEnterCriticalRegionAndAcquireResourceShared => enter_shared,
    ExReleaseResourceAndLeaveCriticalRegion => release_and_leave,
    ExGetExclusiveWaiterCount => exclusive_waiters,
    ExGetSharedWaiterCount => shared_waiters,
}

per_image! {
    /// Who holds each lock, once per acquisition. The memory of the lock itself says nothing.
    static HOLDERS: RefCell<BTreeMap<u64, Vec<(ThreadId, Mode)>>> = const { RefCell::new(BTreeMap::new()) };
    /// Who waits for each resource.
    static WAITERS: RefCell<Vec<(u64, ThreadId, Mode)>> = const { RefCell::new(Vec::new()) };
}

/// Forgets all locks: a run begins.
pub(super) fn reset() {
    HOLDERS.take();
    WAITERS.take();
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
    give_of(lock, sched::current());
}

/// Gives up one acquisition of a thread.
fn give_of(lock: u64, me: ThreadId) {
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
    if !waits {
        return take(resource, mode, me, true).into();
    }
    take_waiting(resource, mode, me);
    1
}

/// Takes a resource, and is known to wait for it meanwhile if it has to.
fn take_waiting(resource: u64, mode: Mode, me: ThreadId) {
    if take(resource, mode, me, true) {
        return;
    }
    WAITERS.with_borrow_mut(|waiters| waiters.push((resource, me, mode)));
    sched::wait(&mut || take(resource, mode, me, true));
    WAITERS.with_borrow_mut(|waiters| waiters.retain(|(_, waiter, _)| *waiter != me));
}

/// How often a thread holds a resource.
fn held_by(resource: u64, thread: ThreadId, is: impl Fn(Mode) -> bool) -> u64 {
    mem::read::<u64>(resource).or_fault();
    HOLDERS.with_borrow(|holders| {
        let held = holders.get(&resource).into_iter().flatten();
        held.filter(|(holder, mode)| *holder == thread && is(*mode))
            .count() as u64
    })
}

fn is_exclusive(call: &Call<'_>) -> u64 {
    let count = held_by(call.arg(0), sched::current(), |mode| {
        mode == Mode::Exclusive
    });
    u64::from(count != 0)
}

/// Exclusive access counts as shared.
fn shared_count(call: &Call<'_>) -> u64 {
    held_by(call.arg(0), sched::current(), |_| true)
}

/// All that the running thread holds is shared from now on.
fn convert_to_shared(call: &Call<'_>) -> u64 {
    mem::read::<u64>(call.arg(0)).or_fault();
    let me = sched::current();
    HOLDERS.with_borrow_mut(|holders| {
        for (holder, mode) in holders.get_mut(&call.arg(0)).into_iter().flatten() {
            if *holder == me {
                *mode = Mode::Shared;
            }
        }
    });
    0
}

/// The identifier of a thread is the address of its object.
fn release_for_thread(call: &Call<'_>) -> u64 {
    mem::read::<u64>(call.arg(0)).or_fault();
    if let Some(thread) = sched::thread_of_object(call.arg(1)) {
        give_of(call.arg(0), thread);
    }
    0
}

fn enter(call: &Call<'_>, mode: Mode) -> u64 {
    let (resource, me) = (call.arg(0), sched::current());
    mem::read::<u64>(resource).or_fault();
    region::enter();
    take_waiting(resource, mode, me);
    // A structure of the system's, which is nobody's business.
    sched::thread_object(me)
}

fn enter_exclusive(call: &Call<'_>) -> u64 {
    enter(call, Mode::Exclusive)
}

fn enter_shared(call: &Call<'_>) -> u64 {
    enter(call, Mode::Shared)
}

fn release_and_leave(call: &Call<'_>) -> u64 {
    release_resource(call);
    region::leave()
}

fn waiters(resource: u64, mode: Mode) -> u64 {
    mem::read::<u64>(resource).or_fault();
    WAITERS.with_borrow(|waiters| {
        let of = |waiter: &&(u64, ThreadId, Mode)| waiter.0 == resource && waiter.2 == mode;
        waiters.iter().filter(of).count() as u64
    })
}

fn exclusive_waiters(call: &Call<'_>) -> u64 {
    waiters(call.arg(0), Mode::Exclusive)
}

fn shared_waiters(call: &Call<'_>) -> u64 {
    waiters(call.arg(0), Mode::Shared)
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

fn try_push(call: &Call<'_>, mode: Mode) -> u64 {
    mem::read::<u64>(call.arg(0)).or_fault();
    take(call.arg(0), mode, sched::current(), false).into()
}

fn try_push_exclusive(call: &Call<'_>) -> u64 {
    try_push(call, Mode::Exclusive)
}

fn try_push_shared(call: &Call<'_>) -> u64 {
    try_push(call, Mode::Shared)
}

fn release_push_lock(call: &Call<'_>) -> u64 {
    mem::read::<u64>(call.arg(0)).or_fault();
    give(call.arg(0));
    0
}
