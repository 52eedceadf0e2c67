//! What could not be had, used all the same.

use core::ffi::c_void;
use core::hint::black_box;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, Ordering};

use super::pool::{allocate, free};
use crate::abi::{
    IoAllocateMdl, IoFreeMdl, MmMapLockedPagesSpecifyCache, MmProbeAndLockPages, MmUnlockPages,
    NDIS_FILTER_ATTACH_PARAMETERS, NDIS_HANDLE, NDIS_STATUS, NDIS_STATUS_SUCCESS, NTSTATUS,
    NdisAllocateIoWorkItem, NdisFreeIoWorkItem, NdisMSleep, STATUS_SUCCESS,
};
use crate::driver;
use crate::module::Module;
use crate::play::{NOTHING, Play};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("null-pool", use_pool),
    Play::in_attach("null-work-item", use_item),
    Play::in_attach("null-mapping", use_mapping),
    Play {
        name: "null-capabilities",
        registered: Some(tell),
        early_attach: Some(use_capabilities),
        ..NOTHING
    },
    Play {
        name: "null-before-registered",
        registered: Some(sleep),
        early_attach: Some(use_global),
        ..NOTHING
    },
    Play::in_attach("null-looked-at", look),
];

/// More than there is.
const TOO_MUCH: usize = 64 << 30;

/// Takes a block that could not be had.
fn use_pool(_: &'static Module) {
    let block = allocate(TOO_MUCH);
    // SAFETY: none: this is the fault.
    unsafe { *block = 1 }; // caught: null-pool by mem-null-check
    free(block);
}

/// The most blocks of pool that `Empty` holds.
const BLOCKS: usize = 24;

/// All of pool, for as long as it lives.
pub(super) struct Empty([*mut u8; BLOCKS]);

impl Empty {
    /// Takes all of pool, in ever smaller blocks.
    pub(super) fn take() -> Self {
        let (mut blocks, mut size) = ([null_mut::<u8>(); BLOCKS], 1_usize << 30);
        for block in &mut blocks {
            while size >= 4096 && block.is_null() {
                *block = allocate(size);
                if block.is_null() {
                    size /= 2;
                }
            }
        }
        Self(blocks)
    }

    /// Gives it back.
    pub(super) fn end(self) {
        for block in self.0 {
            if !block.is_null() {
                free(block);
            }
        }
    }
}

/// Takes a work item that could not be had.
fn use_item(_: &'static Module) {
    let empty = Empty::take();
    // SAFETY: the driver's handle lives until unload.
    let item = unsafe { NdisAllocateIoWorkItem(driver::handle()) };
    // SAFETY: none: this is the fault.
    let byte = unsafe { *item.cast::<u8>() }; // caught: null-work-item by wi-alloc-null
    black_box(byte);
    empty.end();
}

/// `MmCached`, and a priority with `MdlMappingNoExecute`.
const CACHED: i32 = 1;
const PRIORITY: u32 = 16 | 0x4000_0000;

/// Maps locked pages.
fn map(block: *mut u8, body: impl FnOnce(*mut c_void)) {
    // SAFETY: only describes; nothing is touched.
    let mdl = unsafe { IoAllocateMdl(block.cast(), 64, 0, 0, null_mut()) };
    if mdl.is_null() {
        return;
    }
    // SAFETY: PASSIVE_LEVEL; the MDL describes a live block.
    unsafe { MmProbeAndLockPages(mdl, 0, 2) };
    let empty = Empty::take();
    // SAFETY: locked above.
    body(unsafe { MmMapLockedPagesSpecifyCache(mdl, 0, CACHED, null_mut(), 0, PRIORITY) });
    empty.end();
    // SAFETY: locked above.
    unsafe { MmUnlockPages(mdl) };
    // SAFETY: neither locked nor mapped.
    unsafe { IoFreeMdl(mdl) };
}

/// Takes a mapping that could not be had.
fn use_mapping(_: &'static Module) {
    let block = super::pool::paged(64);
    map(block, |mapped| {
        // SAFETY: none: this is the fault.
        unsafe { *mapped.cast::<u8>() = 1 }; // caught: null-mapping by mdl-map-null
    });
    free(block);
}

/// `DriverEntry` has all but returned.
static REGISTERED: AtomicBool = AtomicBool::new(false);

fn tell(_: NDIS_HANDLE) -> NTSTATUS {
    REGISTERED.store(true, Ordering::Release);
    STATUS_SUCCESS
}

/// Takes capabilities that an adapter does not have.
fn use_capabilities(_: NDIS_HANDLE, parameters: *mut NDIS_FILTER_ATTACH_PARAMETERS) -> NDIS_STATUS {
    while !REGISTERED.load(Ordering::Acquire) {
        // SAFETY: PASSIVE_LEVEL.
        unsafe { NdisMSleep(10_000) };
    }
    // SAFETY: PASSIVE_LEVEL.
    unsafe { NdisMSleep(10_000) };
    // SAFETY: valid until attach returns.
    let capabilities = unsafe { (*parameters).HDSplitCurrentConfig };
    // SAFETY: none: this is the fault.
    let kind = unsafe { *capabilities.cast::<u8>() }; // caught: null-capabilities by attach-null-capabilities
    black_box(kind);
    NDIS_STATUS_SUCCESS
}

/// Stays in `DriverEntry` after the registration, whose handle is not looked at yet.
fn sleep(_: NDIS_HANDLE) -> NTSTATUS {
    // SAFETY: PASSIVE_LEVEL.
    unsafe { NdisMSleep(1_000_000) };
    STATUS_SUCCESS
}

/// Takes what `DriverEntry` would set after the registration.
fn use_global(_: NDIS_HANDLE, _: *mut NDIS_FILTER_ATTACH_PARAMETERS) -> NDIS_STATUS {
    let global: *const u32 = black_box(null_mut::<u32>());
    // SAFETY: none: this is the fault.
    let setting = unsafe { *global }; // caught: null-before-registered by reg-ready-before-register
    black_box(setting);
    NDIS_STATUS_SUCCESS
}

/// Looks at what could not be had.
// legal: null-looked-at near mem-null-check, wi-alloc-null, mdl-map-null, null-check
// legal: null-looked-at near attach-null-capabilities, reg-ready-before-register
fn look(_: &'static Module) {
    let block = allocate(TOO_MUCH);
    if !block.is_null() {
        free(block);
    }
    let block = super::pool::paged(64);
    // While the mapping is made there is no pool for a work item either.
    map(block, |mapped| {
        // SAFETY: the driver's handle lives until unload.
        let item = unsafe { NdisAllocateIoWorkItem(driver::handle()) };
        if !item.is_null() {
            // SAFETY: allocated above, never queued.
            unsafe { NdisFreeIoWorkItem(item) };
        }
        if !mapped.is_null() {
            black_box(mapped);
        }
    });
    free(block);
}
