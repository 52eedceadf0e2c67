//! NDIS memory: nonpaged pool with a tag.

use super::handle;
use crate::memory;
use crate::nt::imports;
use crate::rt::Call;
use crate::rt::pool::Kind;

imports! {
    "ndis.sys":
    NdisAllocateMemoryWithTagPriority => allocate,
    NdisFreeMemoryWithTagPriority => free_with_tag,
    NdisFreeMemoryWithTag => free_with_tag_only,
    NdisFreeMemory => free,
}

fn allocate(call: &Call<'_>) -> u64 {
    if !handle::is_driver_or_module("NdisAllocateMemoryWithTagPriority", call.arg(0)) {
        return 0;
    }
    memory::allocate(
        call.arg_u32(2),
        call.arg_u32(1).into(),
        Kind::NonPaged,
        false,
    )
}

fn free_with_tag(call: &Call<'_>) -> u64 {
    handle::is_driver_or_module("NdisFreeMemoryWithTagPriority", call.arg(0));
    memory::free(call.arg(1), Some(call.arg_u32(2)));
    0
}

fn free_with_tag_only(call: &Call<'_>) -> u64 {
    memory::free(call.arg(0), Some(call.arg_u32(1)));
    0
}

fn free(call: &Call<'_>) -> u64 {
    memory::free(call.arg(0), None);
    0
}
