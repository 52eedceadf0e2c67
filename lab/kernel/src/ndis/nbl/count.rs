//! What becomes of packets that somebody waits for.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::Packets;

thread_local! {
    /// By the number of who waits.
    static COUNTS: RefCell<BTreeMap<u32, Packets>> = const { RefCell::new(BTreeMap::new()) };
    static LAST: Cell<u32> = const { Cell::new(0) };
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    COUNTS.take();
    LAST.set(0);
}

/// Somebody will wait for packets; gives his number.
pub(in crate::ndis) fn open() -> u32 {
    let waiter = LAST.get() + 1;
    LAST.set(waiter);
    COUNTS.with_borrow_mut(|counts| counts.insert(waiter, Packets::default()));
    waiter
}

/// Notes that so many are given to the stack.
pub(in crate::ndis) fn note_given(waiter: u32, packets: u64) {
    change(waiter, |counts| counts.given += packets);
}

/// Notes that so many are home, and whether they have been at the other side of the filter.
pub(super) fn note_home(waiter: u32, packets: u64, has_passed: bool) {
    change(waiter, |counts| {
        if has_passed {
            counts.passed += packets;
        } else {
            counts.dropped += packets;
        }
    });
}

fn change(waiter: u32, change: impl FnOnce(&mut Packets)) {
    COUNTS.with_borrow_mut(|counts| counts.get_mut(&waiter).map(change));
}

/// Whether all that are given are home.
pub(in crate::ndis) fn are_home(waiter: u32) -> bool {
    COUNTS.with_borrow(|counts| {
        let counts = counts.get(&waiter);
        counts.is_none_or(|counts| counts.passed + counts.dropped >= counts.given)
    })
}

/// Nobody waits any more; gives what became of them.
pub(in crate::ndis) fn close(waiter: u32) -> Packets {
    let counts = COUNTS.with_borrow_mut(|counts| counts.remove(&waiter));
    counts.unwrap_or_default()
}
