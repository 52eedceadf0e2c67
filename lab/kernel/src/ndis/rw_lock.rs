//! NDIS reader-writer locks.

use super::handle::{self, Handle};
use crate::abi::constant::NDIS_RWL_AT_DISPATCH_LEVEL;
use crate::abi::ndis::LOCK_STATE_EX;
use crate::nt::imports;
use crate::nt::shared_lock::{self, Mode};
use crate::rt::Call;
use crate::rt::sched;
use crate::watch::OrFault;

imports! {
    "ndis.sys":
    NdisAllocateRWLock => allocate,
    NdisFreeRWLock => free,
    NdisAcquireRWLockRead => acquire_read,
    NdisAcquireRWLockWrite => acquire_write,
    NdisReleaseRWLock => release,
}

fn allocate(call: &Call<'_>) -> u64 {
    // A NULL handle is allowed in DriverEntry.
    if call.arg(0) != 0 && !handle::is_driver_or_module("NdisAllocateRWLock", call.arg(0)) {
        return 0;
    }
    handle::open(Handle::RwLock)
}

fn free(call: &Call<'_>) -> u64 {
    handle::close(call.arg(0));
    0
}

fn acquire_read(call: &Call<'_>) -> u64 {
    acquire(call, Mode::Shared)
}

fn acquire_write(call: &Call<'_>) -> u64 {
    acquire(call, Mode::Exclusive)
}

/// `LOCK_STATE_EX` remembers the level to go back to, and whether there is one.
fn acquire(call: &Call<'_>, mode: Mode) -> u64 {
    let (lock, state, flags) = (call.arg(0), call.arg(1), call.arg_u8(2));
    let is_at_dispatch = u32::from(flags) & NDIS_RWL_AT_DISPATCH_LEVEL != 0;
    let old_irql = if is_at_dispatch {
        shared_lock::take(lock, mode, true, sched::irql());
        sched::irql()
    } else {
        shared_lock::acquire(lock, mode)
    };
    LOCK_STATE_EX::OldIrql.write(state, old_irql).or_fault();
    LOCK_STATE_EX::Flags
        .write(state, u8::from(is_at_dispatch))
        .or_fault();
    0
}

fn release(call: &Call<'_>) -> u64 {
    let (lock, state) = (call.arg(0), call.arg(1));
    let old_irql = LOCK_STATE_EX::OldIrql.read(state).or_fault();
    if LOCK_STATE_EX::Flags.read(state).or_fault() != 0 {
        shared_lock::give(lock, true, old_irql);
    } else {
        shared_lock::release_to(lock, old_irql);
    }
    0
}
