//! Regions in which a thread gets no APCs.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::imports;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::sched::{self, APC_LEVEL, ThreadId};

imports! {
    "ntoskrnl.exe":
    KeEnterCriticalRegion => enter_critical,
    KeLeaveCriticalRegion => leave_critical,
    KeEnterGuardedRegion => enter_guarded,
    KeLeaveGuardedRegion => leave_guarded,
    KeAreApcsDisabled => apcs_disabled,
    KeAreAllApcsDisabled => all_apcs_disabled,
}

/// How often a thread has entered each kind of region without leaving it.
#[derive(Clone, Copy, Default)]
struct Regions {
    critical: i32,
    guarded: i32,
}

per_image! {
    static REGIONS: RefCell<BTreeMap<ThreadId, Regions>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets all threads: a run begins.
pub(super) fn reset() {
    REGIONS.take();
}

fn change(step: impl FnOnce(&mut Regions)) -> u64 {
    REGIONS.with_borrow_mut(|regions| step(regions.entry(sched::current()).or_default()));
    0
}

fn enter_critical(_: &Call<'_>) -> u64 {
    enter()
}

fn leave_critical(_: &Call<'_>) -> u64 {
    leave()
}

/// Enters a critical region.
pub(super) fn enter() -> u64 {
    change(|regions| regions.critical += 1)
}

/// Leaves a critical region.
pub(super) fn leave() -> u64 {
    change(|regions| regions.critical -= 1)
}

fn enter_guarded(_: &Call<'_>) -> u64 {
    guard()
}

fn leave_guarded(_: &Call<'_>) -> u64 {
    unguard()
}

/// Enters a guarded region.
pub(super) fn guard() -> u64 {
    change(|regions| regions.guarded += 1)
}

/// Leaves a guarded region.
pub(super) fn unguard() -> u64 {
    change(|regions| regions.guarded -= 1)
}

fn mine() -> Regions {
    REGIONS
        .with_borrow(|regions| regions.get(&sched::current()).copied())
        .unwrap_or_default()
}

fn apcs_disabled(_: &Call<'_>) -> u64 {
    let Regions { critical, guarded } = mine();
    u64::from(sched::irql() >= APC_LEVEL || critical != 0 || guarded != 0)
}

fn all_apcs_disabled(_: &Call<'_>) -> u64 {
    u64::from(sched::irql() >= APC_LEVEL || mine().guarded != 0)
}
