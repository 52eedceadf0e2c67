//! MDLs: what they describe, how they are mapped, who frees them.

use core::hint::black_box;
use core::ptr::null_mut;

use super::pool::{allocate, free, paged};
use crate::abi::{
    DISPATCH_LEVEL, IoAllocateMdl, IoFreeMdl, KeLowerIrql, KfRaiseIrql, MDL,
    MmBuildMdlForNonPagedPool, MmMapLockedPagesSpecifyCache, MmProbeAndLockPages, MmUnlockPages,
    MmUnmapLockedPages, NdisAllocateMdl, NdisFreeMdl,
};
use crate::driver;
use crate::module::Module;
use crate::play::{Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("mdl-mapped-nonpaged", map_nonpaged),
    Play::in_attach("mdl-mapped-executable", map_executable),
    Play::in_attach("mdl-mapped-or-stop", map_or_stop),
    Play::in_attach("mdl-built-paged", build_paged),
    Play::in_attach("mdl-built-stack", build_stack),
    Play::in_attach("mdl-built-locked", build_locked),
    Play::in_attach("mdl-locked-nonpaged", lock_nonpaged),
    Play::in_attach("mdl-unlocked-nonpaged", unlock_nonpaged),
    Play::in_attach("mdl-freed-locked", free_locked),
    Play::in_attach("mdl-freed-elsewhere", free_elsewhere),
    Play::in_attach("mdl-ndis-freed-elsewhere", free_ndis_elsewhere),
    Play::in_attach("mdl-left", leave),
    Play::in_attach("mdl-mapped-freed", map_freed),
    Play::in_attach("mdl-ndis-left", leave_ndis),
    Play::in_attach("mdl-ndis-paged", ndis_paged),
    Play::in_attach("mdl-ndis-too-long", ndis_too_long),
    Play::in_attach("mdl-unlocked-twice", unlock_twice),
    Play::in_attach("mdl-locked-twice", lock_twice),
    Play::in_attach("mdl-locked-again", lock_again),
    Play::in_attach("mdl-whole", use_whole),
    Play::in_attach("mdl-ndis-whole", use_ndis_whole),
];

const SIZE: usize = 256;
/// `MmCached`.
const CACHED: i32 = 1;
/// `NormalPagePriority`.
const NORMAL: u32 = 16;
/// `MdlMappingNoExecute`.
const NO_EXECUTE: u32 = 0x4000_0000;
/// `KernelMode`.
const KERNEL: i8 = 0;
/// `UserMode`.
const USER: i8 = 1;
/// `IoModifyAccess`.
const MODIFY: i32 = 2;

fn describe(block: *mut u8) -> *mut MDL {
    // SAFETY: only describes; nothing is touched.
    unsafe { IoAllocateMdl(block.cast(), SIZE as u32, 0, 0, null_mut()) }
}

fn lock(mdl: *mut MDL) {
    // SAFETY: PASSIVE_LEVEL; the MDL describes a live block that is not built.
    unsafe { MmProbeAndLockPages(mdl, KERNEL, MODIFY) };
}

fn unlock(mdl: *mut MDL) {
    // SAFETY: locked before.
    unsafe { MmUnlockPages(mdl) };
}

fn build(mdl: *mut MDL) {
    // SAFETY: the MDL describes a live block of nonpaged pool.
    unsafe { MmBuildMdlForNonPagedPool(mdl) };
}

fn release(mdl: *mut MDL, block: *mut u8) {
    // SAFETY: allocated with `describe`, neither locked nor mapped.
    unsafe { IoFreeMdl(mdl) };
    free(block);
}

#[inline(never)]
fn unlock_twice(_: &Module) {
    let block = allocate(SIZE);
    let mdl = describe(block);
    lock(mdl);
    unlock(mdl);
    // SAFETY: none: this is the fault.
    unsafe { MmUnlockPages(mdl) }; // caught: mdl-unlocked-twice by mdl-lock-pairs
    release(mdl, block);
}

#[inline(never)]
fn lock_twice(_: &Module) {
    let block = allocate(SIZE);
    let mdl = describe(block);
    lock(mdl);
    // SAFETY: none: this is the fault.
    unsafe { MmProbeAndLockPages(mdl, KERNEL, MODIFY) }; // caught: mdl-locked-twice by mdl-lock-pairs
    unlock(mdl);
    release(mdl, block);
}

// legal: mdl-locked-again near mdl-lock-pairs
fn lock_again(_: &Module) {
    stay();
    let block = allocate(SIZE);
    let mdl = describe(block);
    for _ in 0..2 {
        lock(mdl);
        unlock(mdl);
    }
    release(mdl, block);
}

/// Maps what was built for nonpaged pool, and is mapped so.
#[inline(never)]
fn map_nonpaged(_: &'static Module) {
    let mdl = describe(allocate(SIZE));
    build(mdl);
    #[rustfmt::skip]
    // SAFETY: none: this is the fault.
    let mapped = unsafe { MmMapLockedPagesSpecifyCache(mdl, KERNEL, CACHED, null_mut(), 0, NORMAL | NO_EXECUTE) }; // caught: mdl-mapped-nonpaged by mdl-build-no-lock
    black_box(mapped);
}

/// Maps for a process what is freed.
#[inline(never)]
fn map_freed(_: &'static Module) {
    let mdl = describe(allocate(SIZE));
    // SAFETY: made above, and used once more, which is the fault.
    unsafe { IoFreeMdl(mdl) };
    #[rustfmt::skip]
    // SAFETY: none: this is the fault.
    let mapped = unsafe { MmMapLockedPagesSpecifyCache(mdl, USER, CACHED, null_mut(), 0, NORMAL | NO_EXECUTE) }; // caught: mdl-mapped-freed by mem-use-after-free
    black_box(mapped);
}

/// Maps locked pages so that code could run there.
#[inline(never)]
fn map_executable(_: &'static Module) {
    let block = paged(SIZE);
    let mdl = describe(block);
    lock(mdl);
    #[rustfmt::skip]
    // SAFETY: none: this is the fault.
    let mapped = unsafe { MmMapLockedPagesSpecifyCache(mdl, KERNEL, CACHED, null_mut(), 0, NORMAL) }; // warned: mdl-mapped-executable by mdl-map-noexecute
    // SAFETY: mapped above.
    unsafe { MmUnmapLockedPages(mapped, mdl) };
    unlock(mdl);
    release(mdl, block);
}

/// Maps locked pages, and would have the system stopped if that fails.
#[inline(never)]
fn map_or_stop(_: &'static Module) {
    let mdl = describe(paged(SIZE));
    lock(mdl);
    #[rustfmt::skip]
    // SAFETY: none: this is the fault.
    let mapped = unsafe { MmMapLockedPagesSpecifyCache(mdl, KERNEL, CACHED, null_mut(), 1, NORMAL | NO_EXECUTE) }; // caught: mdl-mapped-or-stop by mdl-map-legacy
    black_box(mapped);
}

/// Builds paged pool as if it were nonpaged.
#[inline(never)]
fn build_paged(_: &'static Module) {
    let mdl = describe(paged(SIZE));
    // SAFETY: none: this is the fault.
    unsafe { MmBuildMdlForNonPagedPool(mdl) }; // caught: mdl-built-paged by mdl-build-not-pageable
    stay();
}

/// Builds a stack as if it were nonpaged pool.
#[inline(never)]
fn build_stack(_: &'static Module) {
    let mut bytes = [0_u8; SIZE];
    let mdl = describe(bytes.as_mut_ptr());
    // SAFETY: none: this is the fault.
    unsafe { MmBuildMdlForNonPagedPool(mdl) }; // caught: mdl-built-stack by mdl-build-not-pageable
    black_box(&bytes);
}

/// Builds what is locked.
#[inline(never)]
fn build_locked(_: &'static Module) {
    let mdl = describe(allocate(SIZE));
    lock(mdl);
    // SAFETY: none: this is the fault.
    unsafe { MmBuildMdlForNonPagedPool(mdl) }; // caught: mdl-built-locked by mdl-build-no-lock
    stay();
}

/// Locks what was built for nonpaged pool.
#[inline(never)]
fn lock_nonpaged(_: &'static Module) {
    let mdl = describe(allocate(SIZE));
    build(mdl);
    // SAFETY: none: this is the fault.
    unsafe { MmProbeAndLockPages(mdl, KERNEL, MODIFY) }; // caught: mdl-locked-nonpaged by mdl-build-no-lock
    stay();
}

/// Unlocks what was built for nonpaged pool.
#[inline(never)]
fn unlock_nonpaged(_: &'static Module) {
    let mdl = describe(allocate(SIZE));
    build(mdl);
    // SAFETY: none: this is the fault.
    unsafe { MmUnlockPages(mdl) }; // caught: mdl-unlocked-nonpaged by mdl-build-no-lock
    stay();
}

/// Frees an MDL with its pages locked.
#[inline(never)]
fn free_locked(_: &'static Module) {
    let mdl = describe(paged(SIZE));
    lock(mdl);
    // SAFETY: none: this is the fault.
    unsafe { IoFreeMdl(mdl) }; // caught: mdl-freed-locked by mdl-free-unlocked
    stay();
}

/// Frees an MDL of the I/O manager with NDIS.
#[inline(never)]
fn free_elsewhere(_: &'static Module) {
    let mdl = describe(allocate(SIZE));
    // SAFETY: none: this is the fault.
    unsafe { NdisFreeMdl(mdl) }; // caught: mdl-freed-elsewhere by mdl-free-allocator
    stay();
}

fn describe_with_ndis(block: *mut u8) -> *mut MDL {
    // SAFETY: the driver's handle; the range is a block's of nonpaged pool.
    unsafe { NdisAllocateMdl(driver::handle(), block.cast(), SIZE as u32) }
}

/// Frees an MDL of NDIS with the I/O manager.
#[inline(never)]
fn free_ndis_elsewhere(_: &'static Module) {
    let mdl = describe_with_ndis(allocate(SIZE));
    // SAFETY: none: this is the fault.
    unsafe { IoFreeMdl(mdl) }; // caught: mdl-ndis-freed-elsewhere by mdl-free-allocator
    stay();
}

/// Frees the first MDL of a chain alone.
#[inline(never)]
fn leave(_: &'static Module) {
    let block = allocate(SIZE);
    let first = describe(block);
    #[rustfmt::skip]
    // SAFETY: only describes; that it is never freed is the fault.
    let second = unsafe { IoAllocateMdl(block.cast(), 16, 0, 0, null_mut()) }; // caught: mdl-left by mdl-free-chain
    if first.is_null() {
        return;
    }
    // SAFETY: a live MDL.
    unsafe { (*first).Next = second };
    release(first, block);
}

/// Forgets an MDL of NDIS.
#[inline(never)]
fn leave_ndis(_: &'static Module) {
    let block = allocate(SIZE);
    #[rustfmt::skip]
    // SAFETY: the driver's handle; that it is never freed is the fault.
    let mdl = unsafe { NdisAllocateMdl(driver::handle(), block.cast(), SIZE as u32) }; // caught: mdl-ndis-left by sdv-alloc-mdl
    black_box(mdl);
    free(block);
}

/// Describes paged pool with NDIS.
#[inline(never)]
fn ndis_paged(_: &'static Module) {
    let block = paged(SIZE);
    #[rustfmt::skip]
    // SAFETY: none: this is the fault.
    let mdl = unsafe { NdisAllocateMdl(driver::handle(), block.cast(), SIZE as u32) }; // caught: mdl-ndis-paged by mdl-ndis-nonpaged-pool-only
    black_box(mdl);
}

/// Describes more than a block with NDIS.
#[inline(never)]
fn ndis_too_long(_: &'static Module) {
    let block = allocate(SIZE);
    #[rustfmt::skip]
    // SAFETY: none: this is the fault.
    let mdl = unsafe { NdisAllocateMdl(driver::handle(), block.cast(), SIZE as u32 + 1) }; // caught: mdl-ndis-too-long by mdl-ndis-nonpaged-pool-only
    black_box(mdl);
}

/// Locks, maps, uses at any level, unmaps, unlocks and frees; and builds what is nonpaged.
// legal: mdl-whole near mdl-map-locked, mdl-build-not-pageable, mdl-build-no-lock, mdl-free-unlocked
// legal: mdl-whole near mdl-free-chain, mdl-free-allocator, mdl-map-legacy, mdl-map-noexecute, mdl-map-irql
// legal: mdl-whole near mem-pageable-at-dispatch
fn use_whole(_: &'static Module) {
    let block = paged(SIZE);
    if block.is_null() {
        return;
    }
    let mdl = describe(block);
    lock(mdl);
    // SAFETY: locked above.
    let mapped = unsafe {
        MmMapLockedPagesSpecifyCache(mdl, KERNEL, CACHED, null_mut(), 0, NORMAL | NO_EXECUTE)
    };
    if !mapped.is_null() {
        // SAFETY: lowered below.
        let old = unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
        // SAFETY: the pages are locked, so the level does not matter.
        unsafe { *mapped.cast::<u8>() = 1 };
        // SAFETY: the level that the raise returned.
        unsafe { KeLowerIrql(old) };
        // SAFETY: mapped above.
        unsafe { MmUnmapLockedPages(mapped, mdl) };
    }
    unlock(mdl);
    release(mdl, block);
    let block = allocate(SIZE);
    let mdl = describe(block);
    build(mdl);
    release(mdl, block);
}

/// Describes a block of nonpaged pool, and the end of one.
// legal: mdl-ndis-whole near mdl-ndis-nonpaged-pool-only, mdl-free-allocator, sdv-alloc-mdl
fn use_ndis_whole(_: &'static Module) {
    let block = allocate(SIZE);
    let mdl = describe_with_ndis(block);
    // SAFETY: the driver's handle; the range is the end of the block.
    let end = unsafe { NdisAllocateMdl(driver::handle(), block.wrapping_add(SIZE - 1).cast(), 1) };
    for mdl in [mdl, end] {
        if !mdl.is_null() {
            // SAFETY: allocated above.
            unsafe { NdisFreeMdl(mdl) };
        }
    }
    free(block);
}
