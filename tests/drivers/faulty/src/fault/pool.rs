//! Pool memory misused.

use core::hint::black_box;

use crate::abi::{ExAllocatePool2, ExFreePoolWithTag, POOL_FLAG_NON_PAGED};

/// Pool tag of the blocks here, `Flt!`.
const TAG: u32 = u32::from_le_bytes(*b"Flt!");

/// A size that ends where its alignment does.
const FULL: usize = 64;

/// A size that leaves slack behind the block.
const SLACK: usize = 61;

fn allocate(size: usize) -> *mut u8 {
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, size as u64, TAG).cast() }
}

fn free(block: *mut u8) {
    // SAFETY: a live block of this tag.
    unsafe { ExFreePoolWithTag(block.cast(), TAG) };
}

/// Writes the first byte behind a block that has a guard page there.
pub(crate) fn overrun() {
    let block = allocate(FULL);
    if block.is_null() {
        return;
    }
    let behind = block.wrapping_add(FULL);
    // SAFETY: none: this is the fault.
    unsafe { *behind = 0 }; // caught: pool-overrun
    free(block);
}

/// Writes the first byte of a block's slack, which shows when the block is freed.
pub(crate) fn overrun_slack() {
    let block = allocate(SLACK);
    if block.is_null() {
        return;
    }
    let behind = block.wrapping_add(SLACK);
    // SAFETY: none: this is the fault.
    unsafe { *behind = 0 };
    // SAFETY: a live block of this tag.
    unsafe { ExFreePoolWithTag(block.cast(), TAG) }; // caught: pool-overrun-slack
    // Keeps the optimiser from merging this call with the one of `free`.
    black_box(behind);
}

/// Reads from the block after freeing it.
pub(crate) fn use_after_free() {
    let block = allocate(FULL);
    if block.is_null() {
        return;
    }
    free(block);
    // SAFETY: none: this is the fault.
    let byte = unsafe { *block }; // caught: pool-use-after-free
    black_box(byte);
}

/// Forgets the block.
#[inline(never)]
pub(crate) fn leak() {
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, FULL as u64, TAG) }; // caught: pool-leak
    // No tail call: the frame stays.
    black_box(0_u8);
}

/// Frees the block twice.
pub(crate) fn double_free() {
    let block = allocate(FULL);
    if block.is_null() {
        return;
    }
    free(block);
    // SAFETY: none: this is the fault.
    unsafe { ExFreePoolWithTag(block.cast(), TAG) }; // caught: pool-double-free
}
