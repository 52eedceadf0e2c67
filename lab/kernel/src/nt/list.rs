//! Lists and counters under a spin lock of the caller's, as one step.

use lab_rules::Kind;
use lab_rules::event::{Fault, FaultKind, Region};

use super::imports;
use crate::abi::constant::FAST_FAIL_CORRUPT_LIST_ENTRY;
use crate::rt::Call;
use crate::rt::mem::{self, BadAddress};
use crate::rt::sched::{self, Reason};
use crate::watch::{self, OrFault};

imports! {
    "ntoskrnl.exe":
    ExInterlockedInsertHeadList => insert_head,
    ExInterlockedInsertTailList => insert_tail,
    ExInterlockedRemoveHeadList => remove_head,
    ExInterlockedPushEntryList => push,
    ExInterlockedPopEntryList => pop,
    ExInterlockedAddLargeInteger => add_large,
    ExInterlockedAddUlong => add_small,
}

// LIST_ENTRY: the next entry, and the one before.
const NEXT: u64 = 0;
const BEFORE: u64 = 8;

fn neighbour(entry: u64, which: u64) -> Result<u64, BadAddress> {
    mem::read(entry.wrapping_add(which))
}

fn join(first: u64, second: u64) -> Result<(), BadAddress> {
    mem::write(first.wrapping_add(NEXT), second)?;
    mem::write(second.wrapping_add(BEFORE), first)
}

/// The entry behind another.
pub(super) fn next_of(entry: u64) -> u64 {
    neighbour(entry, NEXT).or_fault()
}

/// The entry before another.
pub(super) fn before(entry: u64) -> u64 {
    neighbour(entry, BEFORE).or_fault()
}

/// Makes a list that is empty.
pub(super) fn clear(list: u64) {
    join(list, list).or_fault();
}

/// Puts an entry behind another.
pub(super) fn link(place: u64, entry: u64) {
    insert(place, entry, next_of(place)).or_fault();
}

/// Takes an entry out.
pub(super) fn unlink(entry: u64) {
    join(before(entry), next_of(entry)).or_fault();
}

/// The driver has spoilt a structure so that its members lead round in a circle: the system stops.
pub(super) fn corrupt() -> ! {
    watch::emit(Kind::Fault(Fault {
        kind: FaultKind::FastFail(FAST_FAIL_CORRUPT_LIST_ENTRY),
        address: 0,
        instruction: 0,
        region: Region::Image,
        in_import: watch::current_import(),
    }));
    sched::stop(Reason::Internal("a circle broke no rule".into()))
}

/// Puts `entry` between two neighbours.
fn insert(first: u64, entry: u64, second: u64) -> Result<(), BadAddress> {
    join(first, entry)?;
    join(entry, second)
}

/// An entry that there was; the list itself is none.
fn entry_of(list: u64, entry: u64) -> u64 {
    if entry == list { 0 } else { entry }
}

fn insert_head(call: &Call<'_>) -> u64 {
    let (list, entry) = (call.arg(0), call.arg(1));
    let first = neighbour(list, NEXT).or_fault();
    insert(list, entry, first).or_fault();
    entry_of(list, first)
}

fn insert_tail(call: &Call<'_>) -> u64 {
    let (list, entry) = (call.arg(0), call.arg(1));
    let last = neighbour(list, BEFORE).or_fault();
    insert(last, entry, list).or_fault();
    entry_of(list, last)
}

fn remove_head(call: &Call<'_>) -> u64 {
    let list = call.arg(0);
    let first = neighbour(list, NEXT).or_fault();
    if first != list {
        let second = neighbour(first, NEXT).or_fault();
        join(list, second).or_fault();
    }
    entry_of(list, first)
}

fn push(call: &Call<'_>) -> u64 {
    let (list, entry) = (call.arg(0), call.arg(1));
    let first = neighbour(list, NEXT).or_fault();
    mem::write(entry, first).or_fault();
    mem::write(list, entry).or_fault();
    first
}

fn pop(call: &Call<'_>) -> u64 {
    let list = call.arg(0);
    let first = neighbour(list, NEXT).or_fault();
    if first != 0 {
        let second = neighbour(first, NEXT).or_fault();
        mem::write(list, second).or_fault();
    }
    first
}

fn add_large(call: &Call<'_>) -> u64 {
    let before = mem::read::<u64>(call.arg(0)).or_fault();
    mem::write(call.arg(0), before.wrapping_add(call.arg(1))).or_fault();
    before
}

fn add_small(call: &Call<'_>) -> u64 {
    let before = mem::read::<u32>(call.arg(0)).or_fault();
    mem::write(call.arg(0), before.wrapping_add(call.arg_u32(1))).or_fault();
    before.into()
}
