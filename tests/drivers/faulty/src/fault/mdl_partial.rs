//! Partial MDLs, and MDLs that two threads map.

use core::ffi::c_void;
use core::hint::black_box;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU32, Ordering};

use super::pool::{allocate, free, paged};
use crate::abi::{
    HANDLE, IoAllocateMdl, IoBuildPartialMdl, IoFreeMdl, MDL, MmBuildMdlForNonPagedPool,
    MmMapLockedPagesSpecifyCache, MmProbeAndLockPages, MmUnlockPages, MmUnmapLockedPages,
    NdisMSleep, PsCreateSystemThread, ZwClose,
};
use crate::module::Module;
use crate::play::{Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("mdl-part-of-unlocked", part_of_unlocked),
    Play::in_attach("mdl-part-outside", part_outside),
    Play::in_attach("mdl-part-rebuilt", rebuild),
    Play::in_attach("mdl-part-unlocked", unlock_part),
    Play::in_attach("mdl-part-whole", use_whole),
    Play::in_attach("mdl-mapped-by-two", map_by_two),
    Play::in_attach("mdl-mapped-in-turn", map_in_turn),
];

const SIZE: u32 = 256;
const PART: u32 = 64;
/// `MmCached`, and a priority with `MdlMappingNoExecute`.
const CACHED: i32 = 1;
const PRIORITY: u32 = 16 | 0x4000_0000;
/// `KernelMode`, and `IoModifyAccess`.
const KERNEL: i8 = 0;
const MODIFY: i32 = 2;

fn describe(block: *mut u8) -> *mut MDL {
    // SAFETY: only describes; nothing is touched.
    unsafe { IoAllocateMdl(block.cast(), SIZE, 0, 0, null_mut()) }
}

fn locked(block: *mut u8) -> *mut MDL {
    let mdl = describe(block);
    // SAFETY: PASSIVE_LEVEL; the MDL describes a live block.
    unsafe { MmProbeAndLockPages(mdl, KERNEL, MODIFY) };
    mdl
}

fn map(mdl: *mut MDL) -> *mut c_void {
    // SAFETY: a partial MDL of one that is locked.
    unsafe { MmMapLockedPagesSpecifyCache(mdl, KERNEL, CACHED, null_mut(), 0, PRIORITY) }
}

fn free_mdl(mdl: *mut MDL) {
    // SAFETY: neither locked nor mapped.
    unsafe { IoFreeMdl(mdl) };
}

/// Makes a part of what is not locked.
#[inline(never)]
fn part_of_unlocked(_: &'static Module) {
    let block = paged(SIZE as usize);
    let (source, part) = (describe(block), describe(block));
    // SAFETY: none: this is the fault.
    unsafe { IoBuildPartialMdl(source, part, block.cast(), PART) }; // caught: mdl-part-of-unlocked by mdl-partial-source-locked
    stay();
}

/// Makes a part that its source does not have.
#[inline(never)]
fn part_outside(_: &'static Module) {
    let block = allocate(SIZE as usize);
    let (source, part) = (describe(block), describe(block));
    // SAFETY: nonpaged pool.
    unsafe { MmBuildMdlForNonPagedPool(source) };
    let near_end = block.wrapping_add(SIZE as usize - 8).cast();
    // SAFETY: none: this is the fault.
    unsafe { IoBuildPartialMdl(source, part, near_end, PART) }; // caught: mdl-part-outside by mdl-partial-source-locked
    stay();
}

/// Builds a part again that is mapped.
#[inline(never)]
fn rebuild(_: &'static Module) {
    let block = paged(SIZE as usize);
    let (source, part) = (locked(block), describe(block));
    // SAFETY: the source is locked and holds the part.
    unsafe { IoBuildPartialMdl(source, part, block.cast(), PART) };
    black_box(map(part));
    // SAFETY: none: this is the fault.
    unsafe { IoBuildPartialMdl(source, part, block.cast(), PART) }; // caught: mdl-part-rebuilt by mdl-partial-reuse
    stay();
}

/// Unlocks a part.
#[inline(never)]
fn unlock_part(_: &'static Module) {
    let block = paged(SIZE as usize);
    let (source, part) = (locked(block), describe(block));
    // SAFETY: the source is locked and holds the part.
    unsafe { IoBuildPartialMdl(source, part, block.cast(), PART) };
    // SAFETY: none: this is the fault.
    unsafe { MmUnlockPages(part) }; // caught: mdl-part-unlocked by mdl-partial-not-unmapped
    stay();
}

/// Makes, maps, unmaps and makes again parts of what is locked.
// legal: mdl-part-whole near mdl-partial-source-locked, mdl-partial-reuse, mdl-partial-not-unmapped
// legal: mdl-part-whole near mdl-map-locked, mdl-free-unlocked
fn use_whole(_: &'static Module) {
    let block = paged(SIZE as usize);
    if block.is_null() {
        return;
    }
    let (source, part) = (locked(block), describe(block));
    for offset in [0, 8, (SIZE - PART) as usize] {
        let address = block.wrapping_add(offset).cast();
        // SAFETY: the source is locked and holds the part, which is not mapped.
        unsafe { IoBuildPartialMdl(source, part, address, PART) };
        let mapped = map(part);
        if !mapped.is_null() {
            // SAFETY: mapped above.
            unsafe { *mapped.cast::<u8>() = 1 };
            // SAFETY: mapped above.
            unsafe { MmUnmapLockedPages(mapped, part) };
        }
    }
    free_mdl(part);
    // SAFETY: locked above.
    unsafe { MmUnlockPages(source) };
    free_mdl(source);
    free(block);
}

/// Maps of one MDL, by each of two threads.
const MAPS: u32 = 2_000;
/// Threads that have not ended.
static MAPPING: AtomicU32 = AtomicU32::new(0);

#[inline(never)]
#[rustfmt::skip]
fn map_once(mdl: *mut MDL) {
    // SAFETY: the pages are locked; that another thread maps them at the same time is the fault.
    let mapped = unsafe { MmMapLockedPagesSpecifyCache(mdl, KERNEL, CACHED, null_mut(), 0, PRIORITY) }; // caught: mdl-mapped-by-two by mdl-map-one-thread
    if !mapped.is_null() {
        // SAFETY: mapped above.
        unsafe { MmUnmapLockedPages(mapped, mdl) };
    }
}

extern "system" fn map_on(mdl: *mut c_void) {
    for _ in 0..MAPS {
        map_once(mdl.cast());
    }
    MAPPING.store(0, Ordering::Release);
}

fn start(mdl: *mut MDL) -> HANDLE {
    MAPPING.store(1, Ordering::Release);
    let mut handle = null_mut();
    // SAFETY: PASSIVE_LEVEL; the handle is valid for the call.
    unsafe {
        PsCreateSystemThread(
            &raw mut handle,
            0,
            null_mut(),
            null_mut(),
            null_mut(),
            Some(map_on),
            mdl.cast(),
        )
    };
    handle
}

fn wait(thread: HANDLE) {
    while MAPPING.load(Ordering::Acquire) != 0 {
        // SAFETY: PASSIVE_LEVEL.
        unsafe { NdisMSleep(1_000) };
    }
    // SAFETY: created by `start`.
    unsafe { ZwClose(thread) };
    // The thread's last instructions.
    // SAFETY: PASSIVE_LEVEL.
    unsafe { NdisMSleep(1_000) };
}

fn end(mdl: *mut MDL, block: *mut u8) {
    // SAFETY: locked before.
    unsafe { MmUnlockPages(mdl) };
    free_mdl(mdl);
    free(block);
}

/// Maps one MDL from two threads.
fn map_by_two(_: &'static Module) {
    let block = paged(SIZE as usize);
    let mdl = locked(block);
    let thread = start(mdl);
    for _ in 0..MAPS {
        map_once(mdl);
    }
    wait(thread);
    end(mdl, block);
}

/// Maps one MDL from one thread, and then from another.
// legal: mdl-mapped-in-turn near mdl-map-one-thread, mdl-map-locked
fn map_in_turn(_: &'static Module) {
    let block = paged(SIZE as usize);
    let mdl = locked(block);
    for _ in 0..MAPS / 100 {
        map_once(mdl);
    }
    wait(start(mdl));
    end(mdl, block);
}
