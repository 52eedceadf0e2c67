//! Pool, in all the functions that hand it out.

use super::imports;
use crate::abi::constant::{POOL_FLAG_NON_PAGED_EXECUTE, POOL_FLAG_PAGED, POOL_FLAG_UNINITIALIZED};
use crate::memory;
use crate::rt::Call;
use crate::rt::pool::Kind;

imports! {
    "ntoskrnl.exe":
    ExAllocatePool => allocate_untagged,
    ExAllocatePool2 => allocate_by_flags,
    ExAllocatePool3 => allocate_by_flags,
    ExAllocatePoolWithQuota => allocate_untagged,
    ExAllocatePoolWithQuotaTag => allocate_by_type,
    ExAllocatePoolWithTag => allocate_by_type,
    ExAllocatePoolWithTagPriority => allocate_by_type,
    ExFreePool => free,
    ExFreePool2 => free_with_tag,
    ExFreePoolWithTag => free_with_tag,
}

/// The tag of what is asked for without one.
const NO_TAG: u32 = u32::from_le_bytes(*b"None");

/// The memory that a `POOL_TYPE` names: `PagedPool` is bit 0; `NonPagedPool` has no bits,
/// `NonPagedPoolNx` bit 9.
pub(super) fn kind_of_type(pool_type: u32) -> Kind {
    const PAGED: u32 = 1;
    const NX: u32 = 0x200;
    if pool_type & PAGED != 0 {
        Kind::Paged
    } else if pool_type & NX != 0 {
        Kind::NonPaged
    } else {
        Kind::NonPagedExecute
    }
}

fn allocate_by_flags(call: &Call<'_>) -> u64 {
    let (flags, size, tag) = (call.arg(0), call.arg(1), call.arg_u32(2));
    let kind = if flags & POOL_FLAG_PAGED != 0 {
        Kind::Paged
    } else if flags & POOL_FLAG_NON_PAGED_EXECUTE != 0 {
        Kind::NonPagedExecute
    } else {
        Kind::NonPaged
    };
    memory::allocate(tag, size, kind, flags & POOL_FLAG_UNINITIALIZED == 0)
}

fn allocate_by_type(call: &Call<'_>) -> u64 {
    let kind = kind_of_type(call.arg_u32(0));
    memory::allocate(call.arg_u32(2), call.arg(1), kind, false)
}

fn allocate_untagged(call: &Call<'_>) -> u64 {
    let kind = kind_of_type(call.arg_u32(0));
    memory::allocate(NO_TAG, call.arg(1), kind, false)
}

fn free(call: &Call<'_>) -> u64 {
    memory::free(call.arg(0), None);
    0
}

fn free_with_tag(call: &Call<'_>) -> u64 {
    // Tag 0 stands for no tag.
    memory::free(call.arg(0), Some(call.arg_u32(1)).filter(|tag| *tag != 0));
    0
}
