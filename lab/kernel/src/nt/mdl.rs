//! MDLs: which bytes of memory a packet is made of.

use crate::abi::constant::{MDL_MAPPED_TO_SYSTEM_VA, MDL_SOURCE_IS_NONPAGED_POOL};
use crate::abi::nt::MDL;
use crate::rt::mem::BadAddress;

const PAGE: u64 = 4096;

/// Where the bytes of an MDL begin.
pub(crate) fn address(mdl: u64) -> Result<u64, BadAddress> {
    Ok(MDL::StartVa
        .read(mdl)?
        .wrapping_add(MDL::ByteOffset.read(mdl)?.into()))
}

/// Bytes of an MDL with its page numbers, for a buffer.
pub(crate) fn size(buffer: u64, length: u64) -> usize {
    let pages = (buffer % PAGE + length).div_ceil(PAGE).max(1);
    MDL::SIZE + usize::try_from(pages * 8).unwrap_or(0)
}

/// Fills in an MDL that describes a buffer.
pub(crate) fn initialize(mdl: u64, buffer: u64, length: u32, flags: u32) -> Result<(), BadAddress> {
    let size = size(buffer, length.into());
    MDL::Next.write(mdl, 0)?;
    MDL::Size.write(mdl, i16::try_from(size).unwrap_or(i16::MAX))?;
    MDL::MdlFlags.write(mdl, ((flags & 0xFFFF) as u16).cast_signed())?;
    MDL::Process.write(mdl, 0)?;
    let is_mapped = flags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL) != 0;
    MDL::MappedSystemVa.write(mdl, if is_mapped { buffer } else { 0 })?;
    MDL::StartVa.write(mdl, buffer & !(PAGE - 1))?;
    MDL::ByteCount.write(mdl, length)?;
    MDL::ByteOffset.write(mdl, (buffer % PAGE) as u32)
}
