//! Calls that are wrong by themselves: a bad argument, a wrong place, an object where it must not lie.

use core::hint::black_box;
use core::mem::MaybeUninit;
use core::ptr::{null_mut, without_provenance_mut};

use crate::abi::{
    DISPATCH_LEVEL, ExAllocatePool2, ExFreePoolWithTag, IoAllocateMdl, IoInitializeWorkItem,
    KeInitializeEvent, KeLowerIrql, KfRaiseIrql, MmMapLockedPagesSpecifyCache, NdisAllocateMdl,
    NdisFNetPnPEvent, NdisMSleep, NdisSetOptionalHandlers, ObfDereferenceObject,
    POOL_FLAG_NON_PAGED, POOL_FLAG_NON_PAGED_EXECUTE, POOL_FLAG_PAGED, ZwClose,
};
use crate::driver;
use crate::module::Module;
use crate::play::{Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("irql-lowered", lower),
    Play::in_attach("irql-lowered-elsewhere", lower_elsewhere),
    Play::in_attach("sleep-long", sleep),
    Play::in_attach("pool-executable", executable_pool),
    Play::in_attach("pool-empty", empty_pool),
    Play::in_attach("pool-wrong-tag", wrong_tag),
    Play::in_attach("event-paged", paged_event),
    Play::in_attach("handlers-elsewhere", change_handlers),
    Play::in_attach("event-forwarded", forward_event),
    Play::in_attach("mdl-on-stack", mdl_on_stack),
    Play::in_attach("mdl-mapped-unlocked", map_unlocked),
    Play::in_attach("work-item-short", short_work_item),
    Play::in_attach("handle-unknown", close_unknown),
    Play::in_attach("object-dereferenced", dereference),
];

/// Pool tag of the blocks here, `Flt?`.
const TAG: u32 = u32::from_le_bytes(*b"Flt?");

/// Lowers a level that nothing has raised.
#[inline(never)]
fn lower(_: &'static Module) {
    // SAFETY: none: this is the fault.
    unsafe { KeLowerIrql(0) }; // caught: irql-lowered by irql-raise-lower
    stay();
}

/// Lowers to another level than the one before the raise.
#[inline(never)]
fn lower_elsewhere(_: &'static Module) {
    // SAFETY: lowered below.
    let old = unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
    // SAFETY: none: this is the fault.
    unsafe { KeLowerIrql(old.wrapping_add(1)) }; // caught: irql-lowered-elsewhere by irql-setting-macros
    stay();
}

/// Sleeps longer than `NdisMSleep` can.
#[inline(never)]
fn sleep(_: &'static Module) {
    // SAFETY: none: this is the fault.
    unsafe { NdisMSleep(30_000_001) }; // caught: sleep-long by sleep-limits
    stay();
}

/// Allocates executable pool.
#[inline(never)]
fn executable_pool(_: &'static Module) {
    // SAFETY: none: this is the fault.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED_EXECUTE, 64, TAG) }; // caught: pool-executable by mem-nx-pool
    if !block.is_null() {
        // SAFETY: allocated above.
        unsafe { ExFreePoolWithTag(block, TAG) };
    }
}

/// Allocates nothing.
#[inline(never)]
fn empty_pool(_: &'static Module) {
    // SAFETY: none: this is the fault.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, 0, TAG) }; // caught: pool-empty by mem-zero-size
    black_box(block);
}

/// Frees under another tag.
#[inline(never)]
fn wrong_tag(_: &'static Module) {
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG) };
    // SAFETY: none: this is the fault.
    unsafe { ExFreePoolWithTag(block, TAG ^ 1) }; // caught: pool-wrong-tag by mem-free-pair
    stay();
}

/// Initialises an event in paged pool.
#[inline(never)]
fn paged_event(_: &'static Module) {
    // SAFETY: PASSIVE_LEVEL.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_PAGED, 64, TAG) };
    // SAFETY: none: this is the fault.
    unsafe { KeInitializeEvent(block, 0, 0) }; // caught: event-paged by mem-sync-objects-resident
    stay();
}

/// Changes handlers where they cannot be changed.
#[inline(never)]
fn change_handlers(_: &'static Module) {
    // SAFETY: none: this is the fault.
    unsafe { NdisSetOptionalHandlers(driver::handle(), null_mut()) }; // caught: handlers-elsewhere by setmodule-options-context
    stay();
}

/// Forwards a PnP event that it was not given.
#[inline(never)]
fn forward_event(_: &'static Module) {
    // SAFETY: none: this is the fault.
    unsafe { NdisFNetPnPEvent(driver::handle(), null_mut()) }; // caught: event-forwarded by netpnp-forward-context
    stay();
}

/// Describes its stack with an MDL.
#[inline(never)]
fn mdl_on_stack(_: &'static Module) {
    let mut bytes = [0_u8; 16];
    let address = bytes.as_mut_ptr().cast();
    // SAFETY: none: this is the fault.
    unsafe { NdisAllocateMdl(driver::handle(), address, 16) }; // caught: mdl-on-stack by mdl-ndis-nonpaged-pool-only
    stay();
}

/// Maps an MDL whose pages are not locked.
#[inline(never)]
fn map_unlocked(_: &'static Module) {
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG) };
    // SAFETY: the range is the block's.
    let mdl = unsafe { IoAllocateMdl(block, 64, 0, 0, null_mut()) };
    // SAFETY: none: this is the fault.
    unsafe { MmMapLockedPagesSpecifyCache(mdl, 0, 1, null_mut(), 0, 0x4000_0010) }; // caught: mdl-mapped-unlocked by mdl-map-locked
    stay();
}

/// Initialises a work item where too few bytes are left.
#[inline(never)]
fn short_work_item(_: &'static Module) {
    let mut object = MaybeUninit::<[u64; 8]>::zeroed();
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, 16, TAG) };
    // SAFETY: none: this is the fault.
    unsafe { IoInitializeWorkItem(object.as_mut_ptr().cast(), block) }; // caught: work-item-short by wi-initialize-storage
    stay();
}

/// Closes a handle that is not open.
#[inline(never)]
fn close_unknown(_: &'static Module) {
    // SAFETY: none: this is the fault.
    unsafe { ZwClose(without_provenance_mut(0x1234)) }; // caught: handle-unknown by kernel-handle-valid
    stay();
}

/// Gives up a reference that it does not have.
#[inline(never)]
fn dereference(_: &'static Module) {
    let mut object = [0_u64; 8];
    // SAFETY: none: this is the fault.
    unsafe { ObfDereferenceObject(object.as_mut_ptr().cast()) }; // caught: object-dereferenced by object-refcount
    stay();
}
