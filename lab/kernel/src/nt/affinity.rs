//! The processors that a thread may run on: affinity set by a driver, and taken back.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::Kind;

use super::imports;
use super::system::all_processors;
use crate::abi::nt::GROUP_AFFINITY as G;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::sched::{self, ThreadId};
use crate::watch::{OrFault, emit};

imports! {
    "ntoskrnl.exe":
    KeSetSystemAffinityThread => set,
    KeSetSystemAffinityThreadEx => set,
    KeRevertToUserAffinityThread => revert,
    KeRevertToUserAffinityThreadEx => revert_ex,
    KeSetSystemGroupAffinityThread => set_group,
    KeRevertToUserGroupAffinityThread => revert_group,
}

/// What a driver has set for a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Set {
    mask: u64,
    /// What the thread was bound to before.
    own: Option<u64>,
}

per_image! {
    /// The threads that have a system affinity.
    static SET: RefCell<BTreeMap<ThreadId, Set>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets all threads: a run begins.
pub(super) fn reset() {
    SET.take();
}

/// Whether a mask names processors, and none that is not there.
fn is_valid(mask: u64) -> bool {
    mask != 0 && mask & !all_processors() == 0
}

fn mine() -> Option<Set> {
    SET.with_borrow(|set| set.get(&sched::current()).copied())
}

/// Gives the running thread a system affinity, if it is one; gives that of before, or 0.
fn bind(mask: u64) -> u64 {
    let before = mine();
    let old = before.map_or(0, |before| before.mask);
    if is_valid(mask) {
        let own = before.map_or_else(sched::bound_to, |before| before.own);
        SET.with_borrow_mut(|set| set.insert(sched::current(), Set { mask, own }));
        emit(Kind::Affinity { mask });
        sched::bind(Some(mask));
    }
    old
}

/// Takes the system affinity of the running thread back, if it has one.
fn unbind() {
    if let Some(Set { own, .. }) = SET.with_borrow_mut(|set| set.remove(&sched::current())) {
        emit(Kind::Affinity { mask: 0 });
        sched::bind(own);
    }
}

/// Goes back to a system affinity of before, or to the thread's own for 0: only where one is set.
fn go_back(mask: u64) {
    match mask {
        0 => unbind(),
        mask if mine().is_some() => {
            bind(mask);
        }
        _ => {}
    }
}

fn set(call: &Call<'_>) -> u64 {
    bind(call.arg(0))
}

fn revert(_: &Call<'_>) -> u64 {
    unbind();
    0
}

fn revert_ex(call: &Call<'_>) -> u64 {
    go_back(call.arg(0));
    0
}

/// The mask of a GROUP_AFFINITY; another group than the only one has no processors.
fn mask_at(affinity: u64) -> Option<u64> {
    let group = G::Group.read(affinity).or_fault();
    let mask = G::Mask.read(affinity).or_fault();
    (group == 0).then_some(mask)
}

fn set_group(call: &Call<'_>) -> u64 {
    let (affinity, previous) = (call.arg(0), call.arg(1));
    // No processor has the group: nothing is set.
    let mask = mask_at(affinity).unwrap_or(0);
    let old = mine().map_or(0, |set| set.mask);
    if previous != 0 {
        let write = || {
            G::Mask.write(previous, old)?;
            G::Group.write(previous, 0)
        };
        write().or_fault();
    }
    bind(mask);
    0
}

fn revert_group(call: &Call<'_>) -> u64 {
    if let Some(mask) = mask_at(call.arg(0)) {
        go_back(mask);
    }
    0
}
