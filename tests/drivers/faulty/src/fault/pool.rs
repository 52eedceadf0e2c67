//! Pool memory misused.

use core::hint::black_box;

use crate::abi::{
    ExAllocatePool2, ExFreePoolWithTag, POOL_FLAG_NON_PAGED, POOL_FLAG_PAGED,
    POOL_FLAG_UNINITIALIZED,
};
use crate::module::Module;
use crate::play::{Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("pool-overrun", overrun),
    Play::in_attach("pool-overrun-slack", overrun_slack),
    Play::in_attach("pool-use-after-free", use_after_free),
    Play::in_attach("pool-leak", leak),
    Play::in_attach("pool-double-free", double_free),
];

/// Pool tag of the blocks of plays, `Flt!`.
pub(super) const TAG: u32 = u32::from_le_bytes(*b"Flt!");

/// A size that ends where its alignment does.
const FULL: usize = 64;

/// A size that leaves slack behind the block.
const SLACK: usize = 61;

/// Zeroed nonpaged pool, or NULL.
pub(super) fn allocate(size: usize) -> *mut u8 {
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, size as u64, TAG).cast() }
}

/// The same with rubbish in it.
pub(super) fn uninitialized(size: usize) -> *mut u8 {
    let flags = POOL_FLAG_NON_PAGED | POOL_FLAG_UNINITIALIZED;
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    unsafe { ExAllocatePool2(flags, size as u64, TAG).cast() }
}

/// Zeroed paged pool, or NULL. Called at PASSIVE_LEVEL.
pub(super) fn paged(size: usize) -> *mut u8 {
    // SAFETY: PASSIVE_LEVEL.
    unsafe { ExAllocatePool2(POOL_FLAG_PAGED, size as u64, TAG).cast() }
}

/// Frees a block that is live.
pub(super) fn free(block: *mut u8) {
    // SAFETY: a live block of this tag.
    unsafe { ExFreePoolWithTag(block.cast(), TAG) };
}

/// Writes the first byte behind a block that has a guard page there.
fn overrun(_: &'static Module) {
    let block = allocate(FULL);
    if block.is_null() {
        return;
    }
    let behind = block.wrapping_add(FULL);
    // SAFETY: none: this is the fault.
    unsafe { *behind = 0 }; // caught: pool-overrun by mem-overrun
    free(block);
}

/// Writes the first byte of a block's slack, which shows when the block is freed.
fn overrun_slack(_: &'static Module) {
    let block = allocate(SLACK);
    if block.is_null() {
        return;
    }
    let behind = block.wrapping_add(SLACK);
    // SAFETY: none: this is the fault.
    unsafe { *behind = 0 };
    // SAFETY: a live block of this tag.
    unsafe { ExFreePoolWithTag(block.cast(), TAG) }; // caught: pool-overrun-slack by mem-overrun
    // Keeps the optimiser from merging this call with the one of `free`.
    black_box(behind);
}

/// Reads from the block after freeing it.
fn use_after_free(_: &'static Module) {
    let block = allocate(FULL);
    if block.is_null() {
        return;
    }
    free(block);
    // SAFETY: none: this is the fault.
    let byte = unsafe { *block }; // caught: pool-use-after-free by mem-use-after-free
    black_box(byte);
}

/// Forgets the block.
#[inline(never)]
fn leak(_: &'static Module) {
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, FULL as u64, TAG) }; // caught: pool-leak by unload-pool-freed
    stay();
}

/// Frees the block twice.
fn double_free(_: &'static Module) {
    let block = allocate(FULL);
    if block.is_null() {
        return;
    }
    free(block);
    // SAFETY: none: this is the fault.
    unsafe { ExFreePoolWithTag(block.cast(), TAG) }; // caught: pool-double-free by mem-double-free
    stay();
}
