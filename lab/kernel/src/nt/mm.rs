//! `Mm*` and MDLs.

use super::{imports, mdl};
use crate::abi::constant::{MDL_MAPPED_TO_SYSTEM_VA, MDL_SOURCE_IS_NONPAGED_POOL};
use crate::abi::nt::MDL;
use crate::rt::mem::{self, BadAddress};
use crate::rt::pool::Kind;
use crate::rt::{self, Call};
use crate::watch::OrFault;
use crate::{driver, memory};

imports! {
    "ntoskrnl.exe":
    MmMapLockedPagesSpecifyCache => map_locked_pages,
    MmUnmapLockedPages => unmap_locked_pages,
    MmBuildMdlForNonPagedPool => build_for_nonpaged_pool,
    MmGetSystemRoutineAddress => system_routine_address,
    MmIsAddressValid => is_address_valid,
    IoAllocateMdl => allocate_mdl,
    IoFreeMdl => free_mdl,
}

/// Tag of MDLs that the driver allocates.
const MDL_TAG: u32 = u32::from_le_bytes(*b"Mdl ");

fn flags(mdl: u64) -> Result<u32, BadAddress> {
    Ok(MDL::MdlFlags.read(mdl)?.cast_unsigned().into())
}

fn set_flags(mdl: u64, flags: u32) -> Result<(), BadAddress> {
    MDL::MdlFlags.write(mdl, ((flags & 0xFFFF) as u16).cast_signed())
}

/// The system mapping of the lab is the buffer itself: one address space.
fn map_locked_pages(call: &Call<'_>) -> u64 {
    let mdl = call.arg(0);
    let address = mdl::address(mdl).or_fault();
    set_flags(mdl, flags(mdl).or_fault() | MDL_MAPPED_TO_SYSTEM_VA).or_fault();
    MDL::MappedSystemVa.write(mdl, address).or_fault();
    address
}

fn unmap_locked_pages(call: &Call<'_>) -> u64 {
    let mdl = call.arg(1);
    set_flags(mdl, flags(mdl).or_fault() & !MDL_MAPPED_TO_SYSTEM_VA).or_fault();
    0
}

fn build_for_nonpaged_pool(call: &Call<'_>) -> u64 {
    let mdl = call.arg(0);
    let address = mdl::address(mdl).or_fault();
    set_flags(mdl, flags(mdl).or_fault() | MDL_SOURCE_IS_NONPAGED_POOL).or_fault();
    MDL::MappedSystemVa.write(mdl, address).or_fault();
    0
}

fn system_routine_address(call: &Call<'_>) -> u64 {
    let name = driver::read_unicode_string(call.arg(0)).or_fault();
    rt::import_address(&name).unwrap_or(0)
}

fn is_address_valid(call: &Call<'_>) -> u64 {
    u64::from(mem::read::<u8>(call.arg(0)).is_ok())
}

fn allocate_mdl(call: &Call<'_>) -> u64 {
    let (address, length) = (call.arg(0), call.arg_u32(1));
    let size = u64::try_from(mdl::size(address, length.into())).unwrap_or(0);
    let mdl = memory::allocate(MDL_TAG, size, Kind::NonPaged, true);
    if mdl != 0 {
        mdl::initialize(mdl, address, length, 0).or_fault();
    }
    mdl
}

fn free_mdl(call: &Call<'_>) -> u64 {
    memory::free(call.arg(0), Some(MDL_TAG));
    0
}
