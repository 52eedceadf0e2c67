//! `Ex*`: rundown protection, plain work items.

use super::imports;
use super::pool::kind_of_type;
use crate::abi::nt::WORK_QUEUE_ITEM;
use crate::memory;
use crate::rt::mem;
use crate::rt::{Call, sched};
use crate::watch::OrFault;
use crate::worker::{self, Shape};

imports! {
    "ntoskrnl.exe":
    ExInitializeRundownProtection => initialize_rundown,
    ExReInitializeRundownProtection => initialize_rundown,
    ExAcquireRundownProtection => acquire_rundown,
    ExAcquireRundownProtectionEx => acquire_rundown_ex,
    ExReleaseRundownProtection => release_rundown,
    ExReleaseRundownProtectionEx => release_rundown_ex,
    ExWaitForRundownProtectionRelease => wait_for_rundown,
    ExRundownCompleted => complete_rundown,
    ExAllocateCacheAwareRundownProtection => allocate_cache_aware,
    ExFreeCacheAwareRundownProtection => free_cache_aware,
    ExReInitializeRundownProtectionCacheAware => initialize_rundown,
    ExAcquireRundownProtectionCacheAware => acquire_rundown,
    ExAcquireRundownProtectionCacheAwareEx => acquire_rundown_ex,
    ExReleaseRundownProtectionCacheAware => release_rundown,
    ExReleaseRundownProtectionCacheAwareEx => release_rundown_ex,
    ExWaitForRundownProtectionReleaseCacheAware => wait_for_rundown,
    ExRundownCompletedCacheAware => complete_rundown,
    ExQueueWorkItem => queue_work_item,
    ExGetPreviousMode => previous_mode,
}

/// `EX_RUNDOWN_REF` counts in steps of two; bit 0 says that the rundown has begun.
const ACTIVE: u64 = 1;
const REFERENCE: u64 = 2;

fn initialize_rundown(call: &Call<'_>) -> u64 {
    mem::write(call.arg(0), 0u64).or_fault();
    0
}

fn acquire_rundown(call: &Call<'_>) -> u64 {
    acquire_references(call.arg(0), 1)
}

fn acquire_rundown_ex(call: &Call<'_>) -> u64 {
    acquire_references(call.arg(0), call.arg_u32(1))
}

fn acquire_references(rundown: u64, references: u32) -> u64 {
    let count = mem::read::<u64>(rundown).or_fault();
    if count & ACTIVE != 0 {
        return 0;
    }
    let more = REFERENCE * u64::from(references);
    mem::write(rundown, count.wrapping_add(more)).or_fault();
    1
}

fn release_rundown(call: &Call<'_>) -> u64 {
    release_references(call.arg(0), 1)
}

fn release_rundown_ex(call: &Call<'_>) -> u64 {
    release_references(call.arg(0), call.arg_u32(1))
}

fn release_references(rundown: u64, references: u32) -> u64 {
    let count = mem::read::<u64>(rundown).or_fault();
    let less = REFERENCE * u64::from(references);
    mem::write(rundown, count.wrapping_sub(less)).or_fault();
    0
}

/// A rundown reference of the pool's: one count for all processors does what theirs do together.
fn allocate_cache_aware(call: &Call<'_>) -> u64 {
    let kind = kind_of_type(call.arg_u32(0));
    memory::allocate(call.arg_u32(1), 64, kind, true)
}

fn free_cache_aware(call: &Call<'_>) -> u64 {
    memory::free(call.arg(0), None);
    0
}

fn wait_for_rundown(call: &Call<'_>) -> u64 {
    let rundown = call.arg(0);
    let count = mem::read::<u64>(rundown).or_fault();
    mem::write(rundown, count | ACTIVE).or_fault();
    let mut result = Ok(());
    sched::wait(&mut || match mem::read::<u64>(rundown) {
        Ok(count) => count == ACTIVE,
        Err(bad) => {
            result = Err(bad);
            true
        }
    });
    result.or_fault();
    0
}

fn complete_rundown(call: &Call<'_>) -> u64 {
    mem::write(call.arg(0), ACTIVE).or_fault();
    0
}

fn queue_work_item(call: &Call<'_>) -> u64 {
    let item = call.arg(0);
    let routine = WORK_QUEUE_ITEM::WorkerRoutine.read(item).or_fault();
    let context = WORK_QUEUE_ITEM::Parameter.read(item).or_fault();
    worker::queue_unallocated(call, item, Shape::Plain, routine, context);
    0
}

fn previous_mode(_: &Call<'_>) -> u64 {
    // KernelMode: the routine runs for the system.
    0
}
