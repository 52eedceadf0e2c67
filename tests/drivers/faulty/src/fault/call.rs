//! Calls that are wrong by themselves: a bad argument, a wrong place, an object where it must not lie.

use core::hint::black_box;
use core::mem::MaybeUninit;
use core::ptr::{null_mut, without_provenance_mut};

use crate::abi::{
    DISPATCH_LEVEL, ExAllocatePool2, ExFreePoolWithTag, IoAllocateMdl, IoInitializeWorkItem,
    KeInitializeEvent, KeLowerIrql, KfRaiseIrql, LARGE_INTEGER, MmMapLockedPagesSpecifyCache,
    NDIS_OBJECT_HEADER, NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS, NDIS_TIMER_CHARACTERISTICS,
    NdisAllocateMdl, NdisAllocateTimerObject, NdisFNetPnPEvent, NdisFreeTimerObject, NdisMSleep,
    NdisSetOptionalHandlers, NdisSetTimerObject, ObfDereferenceObject, POOL_FLAG_NON_PAGED,
    POOL_FLAG_NON_PAGED_EXECUTE, POOL_FLAG_PAGED, ZwClose,
};
use crate::driver;

/// Pool tag of the blocks here, `Flt?`.
const TAG: u32 = u32::from_le_bytes(*b"Flt?");

/// A due time in one second, relative.
const SECOND: LARGE_INTEGER = LARGE_INTEGER {
    LowPart: (-10_000_000_i32).cast_unsigned(),
    HighPart: -1,
};

/// Lowers a level that nothing has raised.
#[inline(never)]
pub(crate) fn lower() {
    // SAFETY: none: this is the fault.
    unsafe { KeLowerIrql(0) }; // caught: irql-lowered
    // No tail call: the frame stays.
    black_box(0_u8);
}

/// Lowers to another level than the one before the raise.
#[inline(never)]
pub(crate) fn lower_elsewhere() {
    // SAFETY: lowered below.
    let old = unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
    // SAFETY: none: this is the fault.
    unsafe { KeLowerIrql(old.wrapping_add(1)) }; // caught: irql-lowered-elsewhere
    // No tail call: the frame stays.
    black_box(0_u8);
}

/// Sleeps longer than `NdisMSleep` can.
#[inline(never)]
pub(crate) fn sleep() {
    // SAFETY: none: this is the fault.
    unsafe { NdisMSleep(30_000_001) }; // caught: sleep-long
    // No tail call: the frame stays.
    black_box(0_u8);
}

/// Allocates executable pool.
#[inline(never)]
pub(crate) fn executable_pool() {
    // SAFETY: none: this is the fault.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED_EXECUTE, 64, TAG) }; // caught: pool-executable
    if !block.is_null() {
        // SAFETY: allocated above.
        unsafe { ExFreePoolWithTag(block, TAG) };
    }
}

/// Allocates nothing.
#[inline(never)]
pub(crate) fn empty_pool() {
    // SAFETY: none: this is the fault.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, 0, TAG) }; // caught: pool-empty
    black_box(block);
}

/// Frees under another tag.
#[inline(never)]
pub(crate) fn wrong_tag() {
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG) };
    // SAFETY: none: this is the fault.
    unsafe { ExFreePoolWithTag(block, TAG ^ 1) }; // caught: pool-wrong-tag
    // No tail call: the frame stays.
    black_box(0_u8);
}

/// Initialises an event in paged pool.
#[inline(never)]
pub(crate) fn paged_event() {
    // SAFETY: PASSIVE_LEVEL.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_PAGED, 64, TAG) };
    // SAFETY: none: this is the fault.
    unsafe { KeInitializeEvent(block, 0, 0) }; // caught: event-paged
    // No tail call: the frame stays.
    black_box(0_u8);
}

/// Changes handlers where they cannot be changed.
#[inline(never)]
pub(crate) fn change_handlers() {
    // SAFETY: none: this is the fault.
    unsafe { NdisSetOptionalHandlers(driver::handle(), null_mut()) }; // caught: handlers-elsewhere
    // No tail call: the frame stays.
    black_box(0_u8);
}

/// Forwards a PnP event that it was not given.
#[inline(never)]
pub(crate) fn forward_event() {
    // SAFETY: none: this is the fault.
    unsafe { NdisFNetPnPEvent(driver::handle(), null_mut()) }; // caught: event-forwarded
    // No tail call: the frame stays.
    black_box(0_u8);
}

/// Describes its stack with an MDL.
#[inline(never)]
pub(crate) fn mdl_on_stack() {
    let mut bytes = [0_u8; 16];
    let address = bytes.as_mut_ptr().cast();
    // SAFETY: none: this is the fault.
    unsafe { NdisAllocateMdl(driver::handle(), address, 16) }; // caught: mdl-on-stack
    // No tail call: the frame stays.
    black_box(0_u8);
}

/// Maps an MDL whose pages are not locked.
#[inline(never)]
pub(crate) fn map_unlocked() {
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG) };
    // SAFETY: the range is the block's.
    let mdl = unsafe { IoAllocateMdl(block, 64, 0, 0, null_mut()) };
    // SAFETY: none: this is the fault.
    unsafe { MmMapLockedPagesSpecifyCache(mdl, 0, 1, null_mut(), 0, 0x4000_0010) }; // caught: mdl-mapped-unlocked
    // No tail call: the frame stays.
    black_box(0_u8);
}

/// Frees a timer that is set.
#[inline(never)]
pub(crate) fn free_timer() {
    extern "system" fn expired(
        _: *mut core::ffi::c_void,
        _: *mut core::ffi::c_void,
        _: *mut core::ffi::c_void,
        _: *mut core::ffi::c_void,
    ) {
    }
    let mut characteristics = NDIS_TIMER_CHARACTERISTICS {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS,
            Revision: 1,
            Size: size_of::<NDIS_TIMER_CHARACTERISTICS>() as u16,
        },
        AllocationTag: TAG,
        TimerFunction: Some(expired),
        FunctionContext: null_mut(),
    };
    let mut timer = null_mut();
    // SAFETY: both arguments are valid for the call.
    unsafe { NdisAllocateTimerObject(driver::handle(), &raw mut characteristics, &raw mut timer) };
    // SAFETY: allocated above.
    unsafe { NdisSetTimerObject(timer, SECOND, 0, null_mut()) };
    // SAFETY: none: this is the fault.
    unsafe { NdisFreeTimerObject(timer) }; // caught: timer-freed-set
    // No tail call: the frame stays.
    black_box(0_u8);
}

/// Initialises a work item where too few bytes are left.
#[inline(never)]
pub(crate) fn short_work_item() {
    let mut object = MaybeUninit::<[u64; 8]>::zeroed();
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, 16, TAG) };
    // SAFETY: none: this is the fault.
    unsafe { IoInitializeWorkItem(object.as_mut_ptr().cast(), block) }; // caught: work-item-short
    // No tail call: the frame stays.
    black_box(0_u8);
}

/// Closes a handle that is not open.
#[inline(never)]
pub(crate) fn close_unknown() {
    // SAFETY: none: this is the fault.
    unsafe { ZwClose(without_provenance_mut(0x1234)) }; // caught: handle-unknown
    // No tail call: the frame stays.
    black_box(0_u8);
}

/// Gives up a reference that it does not have.
#[inline(never)]
pub(crate) fn dereference() {
    let mut object = [0_u64; 8];
    // SAFETY: none: this is the fault.
    unsafe { ObfDereferenceObject(object.as_mut_ptr().cast()) }; // caught: object-dereferenced
    // No tail call: the frame stays.
    black_box(0_u8);
}
