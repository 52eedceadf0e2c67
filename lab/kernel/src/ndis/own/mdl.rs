//! MDLs of nonpaged pool.

use crate::abi::constant::MDL_SOURCE_IS_NONPAGED_POOL;
use crate::memory;
use crate::ndis::handle;
use crate::nt::{imports, mdl};
use crate::rt::{Call, pool};
use crate::watch::OrFault;

imports! {
    "ndis.sys":
    NdisAllocateMdl => allocate,
    NdisFreeMdl => free,
}

/// Tag of MDLs that NDIS allocates for the driver.
const TAG: u32 = u32::from_le_bytes(*b"NDmd");

fn allocate(call: &Call<'_>) -> u64 {
    if !handle::is_driver_or_module("NdisAllocateMdl", call.arg(0)) {
        return 0;
    }
    let (address, length) = (call.arg(1), call.arg_u32(2));
    let size = u64::try_from(mdl::size(address, length.into())).unwrap_or(0);
    let block = memory::allocate(TAG, size, pool::Kind::NonPaged, true);
    if block != 0 {
        mdl::initialize(block, address, length, MDL_SOURCE_IS_NONPAGED_POOL).or_fault();
    }
    block
}

fn free(call: &Call<'_>) -> u64 {
    memory::free(call.arg(0), Some(TAG));
    0
}
