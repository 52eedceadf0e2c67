//! Reading what a chain of MDLs describes.

use core::ptr::NonNull;

use ndis_sys::nt::MdlMappingNoExecute;
use wdk_sys::_MEMORY_CACHING_TYPE::MmCached;
use wdk_sys::_MM_PAGE_PRIORITY::NormalPagePriority;
use wdk_sys::_MODE::KernelMode;
use wdk_sys::{MDL, MDL_MAPPED_TO_SYSTEM_VA, MDL_SOURCE_IS_NONPAGED_POOL, ntddk};

use crate::nbl::Unreadable;

/// `MdlFlags` that say that `MappedSystemVa` is a system address already.
const HAS_ADDRESS: u32 = MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL;
/// How much a new mapping is wanted, and that nobody runs code in it.
const PRIORITY: u32 = NormalPagePriority | MdlMappingNoExecute;

/// Copies the bytes from `offset` on, counted from the start of the first MDL, until `to` is full.
///
/// # Safety
///
/// The MDLs of the chain are there, describe nonpaged or locked memory, and are the caller's to map. The IRQL is at most
/// `DISPATCH_LEVEL`.
pub(crate) unsafe fn copy(
    first: Option<NonNull<MDL>>,
    offset: u64,
    to: &mut [u8],
) -> Result<(), Unreadable> {
    let mut at = first;
    let mut skip = offset;
    let mut rest = to;
    while !rest.is_empty() {
        let mdl = at.ok_or(Unreadable::Inconsistent)?;
        // SAFETY: this function's contract.
        let bytes = unsafe { (*mdl.as_ptr()).ByteCount };
        // SAFETY: this function's contract.
        at = NonNull::new(unsafe { (*mdl.as_ptr()).Next });
        // An MDL that holds nothing of what is wanted is not mapped: it may be empty, or another's header.
        let Some(there) = u64::from(bytes)
            .checked_sub(skip)
            .filter(|&there| there > 0)
        else {
            skip = skip.saturating_sub(u64::from(bytes));
            continue;
        };
        // SAFETY: this function's contract.
        let address = unsafe { map(mdl) }.ok_or(Unreadable::NotMapped)?;
        let count = rest.len().min(there as usize);
        let (piece, behind) = rest
            .split_at_mut_checked(count)
            .ok_or(Unreadable::Inconsistent)?;
        // SAFETY: `skip` is less than the `bytes` that the MDL describes.
        let from = unsafe { address.add(skip as usize) };
        // SAFETY: `count` bytes are described behind `skip`; `piece` has as many and is ours, so they do not overlap.
        unsafe { from.copy_to_nonoverlapping(NonNull::from(piece).cast(), count) };
        rest = behind;
        skip = 0;
    }
    Ok(())
}

/// The system address of what an MDL describes, as `MmGetSystemAddressForMdlSafe` finds it. `None`: no address space.
///
/// A mapping that this makes is undone by whoever made the MDL, when it unlocks or frees it.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-mmgetsystemaddressformdlsafe>
///
/// # Safety
///
/// That of [`copy`].
unsafe fn map(mdl: NonNull<MDL>) -> Option<NonNull<u8>> {
    // SAFETY: this function's contract.
    let flags = unsafe { (*mdl.as_ptr()).MdlFlags }.cast_unsigned();
    let address = if u32::from(flags) & HAS_ADDRESS != 0 {
        // SAFETY: this function's contract; the flags say that the address is valid.
        unsafe { (*mdl.as_ptr()).MappedSystemVa }
    } else {
        // SAFETY: this function's contract.
        unsafe {
            ntddk::MmMapLockedPagesSpecifyCache(
                mdl.as_ptr(),
                KernelMode as i8,
                MmCached,
                core::ptr::null_mut(),
                0,
                PRIORITY,
            )
        }
    };
    NonNull::new(address.cast())
}
