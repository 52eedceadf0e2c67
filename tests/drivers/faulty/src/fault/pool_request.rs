//! What pool is asked for.

use core::ffi::c_void;
use core::hint::black_box;

use super::pool::TAG;
use crate::abi::{
    DISPATCH_LEVEL, ExAllocatePool, ExAllocatePool2, ExAllocatePool3, ExAllocatePoolWithTag,
    ExFreePoolWithTag, KeLowerIrql, KfRaiseIrql, NdisAllocateMemoryWithTagPriority, NonPagedPoolNx,
    POOL_FLAG_NON_PAGED, POOL_FLAG_PAGED, POOL_FLAG_UNINITIALIZED, POOL_FLAG_USE_QUOTA,
};
use crate::driver;
use crate::module::Module;
use crate::play::Play;

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("pool-untagged", untagged),
    Play::in_attach("pool-ndis-untagged", ndis_untagged),
    Play::in_attach("pool-must-succeed", must_succeed),
    Play::in_attach("pool-executable-type", executable_type),
    Play::in_attach("pool-deprecated", deprecated),
    Play::in_attach("pool-deprecated-untagged", deprecated_untagged),
    Play::in_attach("pool-quota-at-dispatch", quota_at_dispatch),
    Play::in_attach("pool-flags", flags),
];

const SIZE: u64 = 64;
/// `NonPagedPoolMustSucceed`, which no header names any more.
const MUST_SUCCEED: i32 = 2;

fn free(block: *mut c_void) {
    if !block.is_null() {
        // SAFETY: a live block; 0 stands for any tag.
        unsafe { ExFreePoolWithTag(block, 0) };
    }
}

/// Allocates without a tag.
#[inline(never)]
fn untagged(_: &'static Module) {
    // SAFETY: none: this is the fault.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, SIZE, 0) }; // warned: pool-untagged by sdv-alloc-memory-tag
    free(block);
}

/// The same of NDIS.
#[inline(never)]
fn ndis_untagged(_: &'static Module) {
    // SAFETY: none: this is the fault.
    let block = unsafe { NdisAllocateMemoryWithTagPriority(driver::handle(), SIZE as u32, 0, 0) }; // warned: pool-ndis-untagged by sdv-alloc-memory-tag
    free(block);
}

/// Allocates memory that must not fail.
#[inline(never)]
fn must_succeed(_: &'static Module) {
    // SAFETY: none: this is the fault.
    let block = unsafe { ExAllocatePoolWithTag(MUST_SUCCEED, SIZE, TAG) }; // caught: pool-must-succeed by dv-must-succeed
    free(block);
}

/// Allocates executable memory by its type.
#[inline(never)]
fn executable_type(_: &'static Module) {
    // SAFETY: none: this is the fault.
    let block = unsafe { ExAllocatePoolWithTag(0, SIZE, TAG) }; // caught: pool-executable-type by mem-nx-pool
    free(block);
}

/// Allocates with a function that has a successor.
#[inline(never)]
fn deprecated(_: &'static Module) {
    // SAFETY: none: this is the fault.
    let block = unsafe { ExAllocatePoolWithTag(NonPagedPoolNx, SIZE, TAG) }; // warned: pool-deprecated by mem-deprecated-api
    free(block);
}

/// Allocates with the oldest function.
#[inline(never)]
fn deprecated_untagged(_: &'static Module) {
    // SAFETY: none: this is the fault.
    let block = unsafe { ExAllocatePool(NonPagedPoolNx, SIZE) }; // warned: pool-deprecated-untagged by mem-deprecated-api
    free(block);
}

/// Charges a process at DISPATCH_LEVEL.
#[inline(never)]
fn quota_at_dispatch(_: &'static Module) {
    // SAFETY: lowered below.
    let old = unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
    // SAFETY: none: this is the fault.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED | POOL_FLAG_USE_QUOTA, SIZE, TAG) }; // caught: pool-quota-at-dispatch by dv-quota-dpc
    free(block);
    // SAFETY: raised above.
    unsafe { KeLowerIrql(old) };
}

/// Allocates with all flags that are legal at PASSIVE_LEVEL; what is to be zeroed is.
// legal: pool-flags near dv-quota-dpc, mem-nx-pool, mem-deprecated-api, mem-irql-alloc, mem-irql-free
fn flags(_: &'static Module) {
    let all = [
        POOL_FLAG_NON_PAGED,
        POOL_FLAG_NON_PAGED | POOL_FLAG_USE_QUOTA,
        POOL_FLAG_NON_PAGED | POOL_FLAG_UNINITIALIZED,
        POOL_FLAG_PAGED,
    ];
    for flags in all {
        // SAFETY: PASSIVE_LEVEL; the flags are legal there.
        let first = unsafe { ExAllocatePool2(flags, SIZE, TAG) };
        // SAFETY: as above, without extended parameters.
        let second = unsafe { ExAllocatePool3(flags, SIZE, TAG, core::ptr::null(), 0) };
        if !first.is_null() && flags & POOL_FLAG_UNINITIALIZED == 0 {
            // SAFETY: inside the block, which is zeroed.
            let byte = unsafe { *first.cast::<u8>() };
            assert_zero(byte);
        }
        free(first);
        free(second);
    }
}

/// Memory that is not zeroed sends its user to where nothing is.
fn assert_zero(byte: u8) {
    let target: *const u8 = core::ptr::without_provenance(usize::from(byte));
    if !target.is_null() {
        // SAFETY: none: the lab's promise is broken.
        black_box(unsafe { *target });
    }
}
