//! Sequenced lists, which headers pop and push with these functions.

use super::imports;
use crate::abi::nt::{SLIST_ENTRY, SLIST_HEADER as H};
use crate::rt::Call;
use crate::rt::mem::{self, BadAddress};
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    ExQueryDepthSList => query_depth,
    ExpInterlockedFlushSList => flush,
    ExpInterlockedPopEntrySList => pop,
    ExpInterlockedPushEntrySList => push,
    InitializeSListHead => initialize,
}

/// Bits of the first word that count entries; those above count changes.
const DEPTH: u64 = 0xFFFF;
const SEQUENCE: u64 = DEPTH + 1;
/// Bits of the second word that are not part of the first entry's address.
const RESERVED: u64 = 0xF;

/// The first entry and the number of entries.
fn head(list: u64) -> Result<(u64, u64), BadAddress> {
    let first = H::Region.read(list)? & !RESERVED;
    Ok((first, H::Alignment.read(list)? & DEPTH))
}

fn set_head(list: u64, first: u64, depth: u64) -> Result<(), BadAddress> {
    let sequence = (H::Alignment.read(list)? & !DEPTH).wrapping_add(SEQUENCE);
    H::Alignment.write(list, sequence | depth & DEPTH)?;
    H::Region.write(list, first)
}

/// Makes an empty list.
pub(super) fn initialize_at(list: u64) -> Result<(), BadAddress> {
    mem::fill(list, H::SIZE, 0)
}

fn initialize(call: &Call<'_>) -> u64 {
    initialize_at(call.arg(0)).or_fault();
    0
}

fn query_depth(call: &Call<'_>) -> u64 {
    head(call.arg(0)).or_fault().1
}

fn push(call: &Call<'_>) -> u64 {
    let (list, entry) = (call.arg(0), call.arg(1));
    let (first, depth) = head(list).or_fault();
    SLIST_ENTRY::Next.write(entry, first).or_fault();
    set_head(list, entry, depth + 1).or_fault();
    first
}

fn pop(call: &Call<'_>) -> u64 {
    let list = call.arg(0);
    let (first, depth) = head(list).or_fault();
    if first != 0 {
        let next = SLIST_ENTRY::Next.read(first).or_fault();
        set_head(list, next, depth.saturating_sub(1)).or_fault();
    }
    first
}

fn flush(call: &Call<'_>) -> u64 {
    let list = call.arg(0);
    let (first, _) = head(list).or_fault();
    set_head(list, 0, 0).or_fault();
    first
}
