//! Bytes outside of a pool block, and blocks that are gone.

use core::hint::black_box;
use core::ptr;

use super::pool::{TAG, allocate, free, uninitialized};
use crate::abi::{ExFreePoolWithTag, KeSetEvent, RtlCopyMemoryNonTemporal};
use crate::module::Module;
use crate::play::{Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("pool-underrun", underrun),
    Play::in_attach("pool-underrun-slack", underrun_slack),
    Play::in_attach("pool-read-past", read_past),
    Play::in_attach("pool-copy-past", copy_past),
    Play::in_attach("pool-freed-written", write_freed),
    Play::in_attach("pool-freed-given", give_freed),
    Play::in_attach("pool-poison-followed", follow_poison),
    Play::in_attach("pool-whole", use_whole),
];

/// A block that fills a page, so that there is a guard page on both sides.
const PAGE: usize = 4096;
/// A block that fills its alignment, so that only its end is guarded.
const SMALL: usize = 64;

/// Writes the last byte in front of a block that has a guard page there.
fn underrun(_: &'static Module) {
    let block = allocate(PAGE);
    if block.is_null() {
        return;
    }
    let before = block.wrapping_sub(1);
    // SAFETY: none: this is the fault.
    unsafe { *before = 0 }; // caught: pool-underrun by mem-overrun
    free(block);
}

/// Writes the last byte in front of a block, which shows when the block is freed.
fn underrun_slack(_: &'static Module) {
    let block = allocate(SMALL);
    if block.is_null() {
        return;
    }
    let before = block.wrapping_sub(1);
    // SAFETY: none: this is the fault.
    unsafe { *before = 0 };
    // SAFETY: a live block of this tag.
    unsafe { ExFreePoolWithTag(block.cast(), TAG) }; // caught: pool-underrun-slack by mem-overrun
    stay();
}

/// Reads the first byte behind a block.
fn read_past(_: &'static Module) {
    let block = allocate(SMALL);
    if block.is_null() {
        return;
    }
    let behind = block.wrapping_add(SMALL);
    // SAFETY: none: this is the fault.
    let byte = unsafe { *behind }; // caught: pool-read-past by mem-overrun
    black_box(byte);
    free(block);
}

/// Lets the kernel copy more than a block holds.
fn copy_past(_: &'static Module) {
    let (block, source) = (allocate(SMALL), [0_u8; SMALL + 1]);
    if block.is_null() {
        return;
    }
    let (target, from) = (block.cast(), source.as_ptr().cast());
    // SAFETY: none: this is the fault.
    unsafe { RtlCopyMemoryNonTemporal(target, from, source.len() as u64) }; // caught: pool-copy-past by mem-overrun
    free(block);
}

/// Writes to a block after freeing it.
fn write_freed(_: &'static Module) {
    let block = allocate(SMALL);
    if block.is_null() {
        return;
    }
    free(block);
    // SAFETY: none: this is the fault.
    unsafe { *block = 1 }; // caught: pool-freed-written by mem-use-after-free
}

/// Gives the kernel a block after freeing it.
fn give_freed(_: &'static Module) {
    let block = allocate(SMALL);
    if block.is_null() {
        return;
    }
    free(block);
    // SAFETY: none: this is the fault.
    let was_set = unsafe { KeSetEvent(block.cast(), 0, 0) }; // caught: pool-freed-given by mem-use-after-free
    black_box(was_set);
}

/// Follows a pointer that nobody wrote into a block that is not zeroed.
fn follow_poison(_: &'static Module) {
    let block = uninitialized(SMALL);
    if block.is_null() {
        return;
    }
    // SAFETY: the block holds an aligned pointer, whatever its value.
    let pointer = unsafe { ptr::read(block.cast::<*const u8>()) };
    // SAFETY: none: this is the fault.
    let byte = unsafe { *pointer }; // caught: pool-poison-followed by mem-use-after-free
    black_box(byte);
    free(block);
}

/// Uses every byte of blocks of all sorts, and frees them.
// legal: pool-whole near mem-overrun, mem-use-after-free, mem-double-free, mem-free-pair, mem-zero-size
// legal: pool-whole near unload-present, sdv-alloc-memory-tag, unload-pool-freed, mem-nx-pool, mem-deprecated-api, dv-must-succeed
fn use_whole(_: &'static Module) {
    for size in [1, 15, 16, 17, SMALL, PAGE - 1, PAGE, PAGE + 1] {
        let block = allocate(size);
        if block.is_null() {
            return;
        }
        for offset in 0..size {
            // SAFETY: inside the block.
            unsafe { block.wrapping_add(offset).write(1) };
        }
        free(block);
    }
}
