//! `Ex*`: rundown protection, plain work items, the clock's resolution.

use std::cell::Cell;

use super::pool::kind_of_type;
use super::{imports, status};
use crate::abi::constant::STATUS_NOT_IMPLEMENTED;
use crate::abi::nt::WORK_QUEUE_ITEM;
use crate::driver;
use crate::memory;
use crate::per_image::per_image;
use crate::rt::mem;
use crate::rt::{Call, processor, sched};
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
    ExSizeOfRundownProtectionCacheAware => size_of_cache_aware,
    ExInitializeRundownProtectionCacheAware => initialize_cache_aware,
    ExSetTimerResolution => set_resolution,
    ExQueryTimerResolution => query_resolution,
    ExGetFirmwareEnvironmentVariable => no_firmware,
    ExGetPreviousMode => previous_mode,
}

per_image! {
    /// The tick that the driver has asked for, in 100 ns.
    static RESOLUTION: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    RESOLUTION.set(None);
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

/// Bytes of a cache line, for each processor.
fn size_of_cache_aware(_: &Call<'_>) -> u64 {
    64 * u64::from(sched::processors())
}

fn initialize_cache_aware(call: &Call<'_>) -> u64 {
    let bytes = usize::try_from(call.arg(1)).unwrap_or(usize::MAX);
    mem::fill(call.arg(0), bytes.min(64 * 64), 0).or_fault();
    0
}

/// The finest and the coarsest tick of the clock, in 100 ns.
const FINEST: u64 = 5_000;

/// The tick that the system has now: the finest that is asked for, else the coarsest.
fn resolution() -> u64 {
    RESOLUTION.get().unwrap_or(processor::tick_100ns())
}

/// What a driver has asked for stands until it says otherwise. The timers of the lab have no tick, so that nothing
/// else changes.
fn set_resolution(call: &Call<'_>) -> u64 {
    if call.arg_u8(1) == 0 {
        RESOLUTION.set(None);
    } else {
        let wanted = u64::from(call.arg_u32(0)).max(FINEST);
        if wanted < resolution() {
            RESOLUTION.set(Some(wanted));
        }
    }
    resolution()
}

fn query_resolution(call: &Call<'_>) -> u64 {
    for (place, time) in [(0, processor::tick_100ns()), (1, FINEST), (2, resolution())] {
        mem::write(call.arg(place), time as u32).or_fault();
    }
    0
}

/// The firmware of the lab is a BIOS.
fn no_firmware(call: &Call<'_>) -> u64 {
    driver::read_unicode_string(call.arg(0)).or_fault();
    mem::read::<u32>(call.arg(3)).or_fault();
    status(STATUS_NOT_IMPLEMENTED)
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
