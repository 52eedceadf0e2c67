//! Frees of what cannot be freed so, and blocks that nobody frees.

use core::hint::black_box;

use super::pool::{TAG, allocate, free};
use crate::abi::{
    DRIVER_OBJECT, ExAllocatePool2, ExFreePool, ExFreePoolWithTag, NDIS_FILTER_ATTACH_PARAMETERS,
    NDIS_HANDLE, NDIS_STATUS, NDIS_STATUS_FAILURE, NTSTATUS, NdisAllocateIoWorkItem,
    NdisAllocateMemoryWithTagPriority, NdisFreeIoWorkItem, NdisFreeMemory,
    NdisFreeMemoryWithTagPriority, POOL_FLAG_NON_PAGED, STATUS_INSUFFICIENT_RESOURCES,
};
use crate::driver;
use crate::module::Module;
use crate::play::{NOTHING, Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("pool-freed-inside", free_inside),
    Play::in_attach("pool-freed-stack", free_stack),
    Play::in_attach("pool-ndis-wrong-tag", free_ndis_wrong_tag),
    Play::in_attach("pool-object-freed", free_object),
    Play::in_attach("pool-ndis", use_ndis),
    Play {
        name: "pool-left-by-attach",
        early_attach: Some(leave_and_fail),
        ..NOTHING
    },
    Play {
        name: "pool-attach-undone",
        early_attach: Some(undo_and_fail),
        ..NOTHING
    },
    Play {
        name: "pool-left-by-entry",
        load: Some(leave_and_decline),
        ..NOTHING
    },
    Play {
        name: "pool-entry-undone",
        load: Some(undo_and_decline),
        ..NOTHING
    },
];

const SIZE: usize = 64;

/// Frees an address inside a block.
#[inline(never)]
fn free_inside(_: &'static Module) {
    let block = allocate(SIZE);
    let inside = block.wrapping_add(16).cast();
    // SAFETY: none: this is the fault.
    unsafe { ExFreePoolWithTag(inside, TAG) }; // caught: pool-freed-inside by mem-double-free
    stay();
}

/// Frees a variable.
#[inline(never)]
fn free_stack(_: &'static Module) {
    let mut bytes = [0_u64; 8];
    // SAFETY: none: this is the fault.
    unsafe { ExFreePool(bytes.as_mut_ptr().cast()) }; // caught: pool-freed-stack by mem-double-free
    stay();
}

/// Memory of NDIS.
fn allocate_ndis() -> *mut core::ffi::c_void {
    // SAFETY: the driver's handle; callable up to DISPATCH_LEVEL.
    unsafe { NdisAllocateMemoryWithTagPriority(driver::handle(), SIZE as u32, TAG, 0) }
}

/// Frees memory of NDIS under another tag.
#[inline(never)]
fn free_ndis_wrong_tag(_: &'static Module) {
    let block = allocate_ndis();
    // SAFETY: none: this is the fault.
    unsafe { NdisFreeMemoryWithTagPriority(driver::handle(), block, !TAG) }; // caught: pool-ndis-wrong-tag by mem-free-pair
    stay();
}

/// Frees a work item as if it were a pool block.
#[inline(never)]
fn free_object(_: &'static Module) {
    // SAFETY: the driver's handle lives until unload.
    let item = unsafe { NdisAllocateIoWorkItem(driver::handle()) };
    // SAFETY: none: this is the fault.
    unsafe { ExFreePool(item) }; // caught: pool-object-freed by mem-free-pair
    // SAFETY: not reached.
    unsafe { NdisFreeIoWorkItem(item) };
}

/// Frees memory of NDIS in both ways that there are.
// legal: pool-ndis near mem-free-pair, mem-double-free, sdv-alloc-memory-tag
fn use_ndis(_: &'static Module) {
    let (first, second) = (allocate_ndis(), allocate_ndis());
    if !first.is_null() {
        // SAFETY: allocated with this handle and tag.
        unsafe { NdisFreeMemoryWithTagPriority(driver::handle(), first, TAG) };
    }
    if !second.is_null() {
        // SAFETY: allocated above; this function compares no tag.
        unsafe { NdisFreeMemory(second, 0, 0) };
    }
}

/// Fails to attach, with a block allocated.
fn leave_and_fail(_: NDIS_HANDLE, _: *mut NDIS_FILTER_ATTACH_PARAMETERS) -> NDIS_STATUS {
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG) }; // caught: pool-left-by-attach by attach-failure-cleans-up
    black_box(block);
    NDIS_STATUS_FAILURE
}

/// Fails to attach, with everything undone.
// legal: pool-attach-undone near attach-failure-cleans-up, wi-init-alloc-sdv
fn undo_and_fail(_: NDIS_HANDLE, _: *mut NDIS_FILTER_ATTACH_PARAMETERS) -> NDIS_STATUS {
    let block = allocate(SIZE);
    if !block.is_null() {
        free(block);
    }
    // SAFETY: the driver's handle lives until unload.
    let item = unsafe { NdisAllocateIoWorkItem(driver::handle()) };
    if !item.is_null() {
        // SAFETY: allocated above, never queued.
        unsafe { NdisFreeIoWorkItem(item) };
    }
    NDIS_STATUS_FAILURE
}

/// Fails to load, with a block allocated.
fn leave_and_decline(_: *mut DRIVER_OBJECT) -> NTSTATUS {
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG) }; // caught: pool-left-by-entry by reg-fail-undo
    black_box(block);
    STATUS_INSUFFICIENT_RESOURCES
}

/// Fails to load, with everything undone.
// declined: pool-entry-undone near reg-fail-undo
fn undo_and_decline(_: *mut DRIVER_OBJECT) -> NTSTATUS {
    let block = allocate(SIZE);
    if !block.is_null() {
        free(block);
    }
    STATUS_INSUFFICIENT_RESOURCES
}
