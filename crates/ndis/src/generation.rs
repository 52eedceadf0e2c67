//! What a packet keeps of its clones, which come back on any processor: how many are out, and how they have ended.
//!
//! The numbers are members of the packet's `NET_BUFFER_LIST`: `ChildRefCount` and `Status`.

use crate::sync::atomic::{AtomicI32, Ordering};
use crate::sync::or_mutant;

/// One clone more is out. The packet is the caller's as long, so nobody sees it go.
pub(crate) fn add(count: &AtomicI32) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// A clone is back, and has left what it has to say; whether it is the last, which sees what all have left.
pub(crate) fn is_last(count: &AtomicI32) -> bool {
    // `Release` hands on what this clone has left in the packet; `Acquire` lets the last one see what the others did.
    let order = or_mutant!(Ordering::AcqRel, "clone-order", Ordering::Relaxed);
    count.fetch_sub(1, order) == 1
}

/// Lets the failure of a clone be the packet's. One of those may say that the packet was cancelled (`aborted`): its sender
/// has asked for that, and is told so, whatever has become of others.
pub(crate) fn fail(packet: &AtomicI32, clone: i32, aborted: i32) {
    let take_over = |status| {
        let is_told = or_mutant!(status == aborted, "clone-result", false);
        (!is_told).then_some(clone)
    };
    // Refused only where the packet says already what it is to say.
    let _ = packet.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take_over);
}
