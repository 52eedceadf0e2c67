//! `Mm*`: locked pages, mappings, pageable sections.

pub(crate) mod pages;
pub(super) mod reserved;

use lab_rules::Kind;
use lab_rules::event::{Fault, FaultKind, Lent, Region};

use super::{SUCCESS, imports, mdl, status};
use crate::abi::constant::{
    MDL_IO_SPACE, MDL_MAPPED_TO_SYSTEM_VA, MDL_PAGES_LOCKED, MDL_PARTIAL,
    MDL_PARTIAL_HAS_BEEN_MAPPED, MDL_SOURCE_IS_NONPAGED_POOL, MDL_WRITE_OPERATION,
    STATUS_ACCESS_VIOLATION, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER_2,
};
use crate::abi::nt::MDL;
use crate::rt::exception::{self, flag};
use crate::rt::mem::{self, BadAddress};
use crate::rt::{self, Call, paged, pool, sched, user};
use crate::watch::{OrFault, emit, tell_result};
use crate::{driver, memory};

imports! {
    "ntoskrnl.exe":
    MmMapLockedPages => map_locked_pages,
    MmMapLockedPagesSpecifyCache => map_locked_pages,
    MmUnmapLockedPages => unmap_locked_pages,
    MmBuildMdlForNonPagedPool => build_for_nonpaged_pool,
    MmProbeAndLockPages => probe_and_lock,
    MmUnlockPages => unlock,
    MmSizeOfMdl => size_of_mdl,
    MmLockPagableDataSection => lock_section,
    MmLockPagableSectionByHandle => lock_section,
    MmUnlockPagableImageSection => unlock_section,
    MmGetSystemRoutineAddress => system_routine_address,
    MmIsAddressValid => is_address_valid,
    IoAllocateMdl => allocate_mdl,
    IoBuildPartialMdl => build_partial_mdl,
    IoFreeMdl => free_mdl,
    MmCreateMdl => create_mdl,
    MmAdvanceMdl => advance,
}

/// Tag of MDLs that the driver allocates.
const MDL_TAG: u32 = u32::from_le_bytes(*b"Mdl ");

const PAGE: u64 = 4096;

/// Flags that an MDL has while its pages are locked.
const UNLOCKED: u32 = MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA | MDL_WRITE_OPERATION;

fn flags(mdl: u64) -> Result<u32, BadAddress> {
    Ok(u32::from(MDL::MdlFlags.read(mdl)?.cast_unsigned()))
}

fn set_flags(mdl: u64, flags: u32) -> Result<(), BadAddress> {
    MDL::MdlFlags.write(mdl, ((flags & 0xFFFF) as u16).cast_signed())
}

/// `UserMode`.
const USER_MODE: u8 = 1;

/// The driver does not handle what an import has raised.
fn unhandled(call: &Call<'_>, code: u32, address: u64) {
    emit(Kind::Fault(Fault {
        kind: FaultKind::Unhandled(code),
        address,
        instruction: 0,
        region: Region::Unmapped,
        in_import: Some(call.import().name),
    }));
}

/// Where the system has the pages of an MDL with these flags: the buffer itself, but for what is user mode's.
fn map_pages(address: u64, flags: u32) -> u64 {
    if user::holds(address) {
        // What a part is a part of nobody knows any more.
        user::map(address, flags & (MDL_WRITE_OPERATION | MDL_PARTIAL) != 0)
    } else {
        address
    }
}

fn map_locked_pages(call: &Call<'_>) -> u64 {
    let mdl = call.arg(0);
    // One that is gone is not refused, but told.
    mdl::address(mdl).or_fault();
    if call.arg_u8(1) == USER_MODE {
        // The lab has no room of a process's for it, which is what it says: `docs/lab-for-c-drivers.md`.
        tell_result(call, 0);
        let code = STATUS_INSUFFICIENT_RESOURCES.cast_unsigned();
        exception::raise(code, flag::NONCONTINUABLE, &[]);
        unhandled(call, code, 0);
    }
    // Another processor may do something meanwhile. Where memory is short, so are mappings.
    sched::point();
    if driver::is_short() {
        return 0;
    }
    system_address(mdl).or_fault()
}

/// Where the system has the pages of an MDL, which are mapped if they are not.
///
/// # Errors
/// Where the MDL cannot be read.
pub(crate) fn system_address(mdl: u64) -> Result<u64, BadAddress> {
    let address = mdl::address(mdl)?;
    let before = flags(mdl)?;
    let mut after = before | MDL_MAPPED_TO_SYSTEM_VA;
    if before & MDL_PARTIAL != 0 {
        after |= MDL_PARTIAL_HAS_BEEN_MAPPED;
    }
    let is_again = before & MDL_MAPPED_TO_SYSTEM_VA != 0;
    let mapped = if is_again && user::holds(address) {
        MDL::MappedSystemVa.read(mdl)?
    } else {
        map_pages(address, after)
    };
    set_flags(mdl, after)?;
    MDL::MappedSystemVa.write(mdl, mapped)?;
    Ok(mapped)
}

/// Where whoever has the data of an MDL in hand finds it: pages of user mode that are locked are mapped for that.
///
/// # Errors
/// Where the MDL cannot be read.
pub(crate) fn data_address(mdl: u64) -> Result<u64, BadAddress> {
    let address = mdl::address(mdl)?;
    if user::holds(address) && flags(mdl)? & (MDL_PAGES_LOCKED | MDL_PARTIAL) != 0 {
        system_address(mdl)
    } else {
        Ok(address)
    }
}

/// Takes the system's mapping of memory of user mode away, if there is one.
///
/// # Errors
/// Where the MDL cannot be read.
pub(crate) fn unmap(mdl: u64) -> Result<(), BadAddress> {
    let address = mdl::address(mdl)?;
    // A part has its mapping from the MDL that it is a part of.
    let flags = flags(mdl)?;
    let is_own = flags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_PARTIAL) == MDL_MAPPED_TO_SYSTEM_VA
        || flags & MDL_PARTIAL_HAS_BEEN_MAPPED != 0;
    if is_own && user::holds(address) {
        user::unmap(address);
    }
    Ok(())
}

/// Takes it away as the end of a request does, which unlocks the pages.
///
/// # Errors
/// Where the MDL cannot be read.
pub(crate) fn end(mdl: u64) -> Result<(), BadAddress> {
    unmap(mdl)?;
    set_flags(mdl, flags(mdl)? & !UNLOCKED)
}

fn unmap_locked_pages(call: &Call<'_>) -> u64 {
    let mdl = call.arg(1);
    let gone = MDL_MAPPED_TO_SYSTEM_VA | MDL_PARTIAL_HAS_BEEN_MAPPED;
    unmap(mdl).or_fault();
    set_flags(mdl, flags(mdl).or_fault() & !gone).or_fault();
    0
}

fn build_for_nonpaged_pool(call: &Call<'_>) -> u64 {
    let mdl = call.arg(0);
    let address = mdl::address(mdl).or_fault();
    set_flags(mdl, flags(mdl).or_fault() | MDL_SOURCE_IS_NONPAGED_POOL).or_fault();
    MDL::MappedSystemVa.write(mdl, address).or_fault();
    0
}

/// Raises an access violation where a byte of the buffer cannot be used.
fn probe_and_lock(call: &Call<'_>) -> u64 {
    /// `IoReadAccess`; the others write.
    const READ: u32 = 0;
    let (mdl, writes) = (call.arg(0), call.arg_u32(2) != READ);
    let address = mdl::address(mdl).or_fault();
    let length = MDL::ByteCount.read(mdl).or_fault();
    let is_user = exception::is_user(address);
    if is_user && !exception::is_caller_guarded() {
        user::refuse_unguarded(address);
    }
    user::refuse_misused(address);
    let probed = if call.arg_u8(1) == USER_MODE && !is_user {
        let write = writes;
        Err(BadAddress { address, write })
    } else if is_user {
        user::check(address, length.into(), writes)
    } else {
        probe(address, length.into(), writes)
    };
    if let Err(bad) = probed {
        if call.arg_u8(1) != USER_MODE && is_bait(bad.address) {
            // Pages of the system's are there, and are locked for what may not have them.
            return Err(bad).or_fault();
        }
        tell_result(call, status(STATUS_ACCESS_VIOLATION));
        let code = STATUS_ACCESS_VIOLATION.cast_unsigned();
        exception::raise(
            code,
            flag::NONCONTINUABLE,
            &[u64::from(writes), bad.address],
        );
        unhandled(call, code, bad.address);
    }
    let operation = if writes { MDL_WRITE_OPERATION } else { 0 };
    set_flags(mdl, flags(mdl).or_fault() | MDL_PAGES_LOCKED | operation).or_fault();
    paged::lock(address, usize::try_from(length).unwrap_or(0));
    user::note_probe(address);
    0
}

/// Whether an address is one of the system's that a request of user mode has brought for its own.
fn is_bait(address: u64) -> bool {
    !exception::is_user(address)
        && pool::find(address).is_some_and(|block| Lent::of_tag(block.tag) == Some(Lent::Bait))
}

/// Touches every page of a buffer.
///
/// # Errors
/// Where it cannot be read, or written if that is wanted.
pub(crate) fn probe(address: u64, length: u64, writes: bool) -> Result<(), BadAddress> {
    let mut at = address;
    let end = address.saturating_add(length);
    while at < end {
        let byte = mem::read::<u8>(at)?;
        if writes {
            mem::write(at, byte)?;
        }
        at = (at / PAGE + 1).saturating_mul(PAGE);
    }
    Ok(())
}

fn unlock(call: &Call<'_>) -> u64 {
    let mdl = call.arg(0);
    end(mdl).or_fault();
    paged::unlock(mdl::address(mdl).or_fault());
    0
}

fn size_of_mdl(call: &Call<'_>) -> u64 {
    u64::try_from(mdl::size(call.arg(0), call.arg(1))).unwrap_or(0)
}

/// The handle of a section is the address that it begins at, or what was given where nothing is paged.
fn lock_section(call: &Call<'_>) -> u64 {
    match paged::section(call.arg(0)) {
        Some((first, bytes)) => {
            paged::lock(first, bytes);
            first
        }
        None => call.arg(0),
    }
}

fn unlock_section(call: &Call<'_>) -> u64 {
    paged::unlock(call.arg(0));
    0
}

fn system_routine_address(call: &Call<'_>) -> u64 {
    let name = driver::read_unicode_string(call.arg(0)).or_fault();
    rt::import_address("ntoskrnl.exe", &name).unwrap_or(0)
}

fn is_address_valid(call: &Call<'_>) -> u64 {
    let address = call.arg(0);
    if exception::is_user(address) {
        return u64::from(user::check(address, 1, false).is_ok());
    }
    u64::from(mem::read::<u8>(address).is_ok())
}

fn allocate_mdl(call: &Call<'_>) -> u64 {
    allocate_mdl_with(call.arg(0), call.arg_u32(1), 0)
}

/// An MDL as `IoFreeMdl` frees it, with these flags; 0 where there is no memory.
pub(crate) fn allocate_mdl_with(address: u64, length: u32, flags: u32) -> u64 {
    let size = u64::try_from(mdl::size(address, length.into())).unwrap_or(0);
    let mdl = memory::allocate(MDL_TAG, size, pool::Kind::NonPaged, true);
    if mdl != 0 {
        mdl::initialize(mdl, address, length, flags).or_fault();
    }
    mdl
}

/// The part inherits what its source has: locked pages, nonpaged pool, a mapping.
fn build_partial_mdl(call: &Call<'_>) -> u64 {
    const INHERITED: u32 = MDL_SOURCE_IS_NONPAGED_POOL | MDL_MAPPED_TO_SYSTEM_VA | MDL_IO_SPACE;
    let (source, target, address) = (call.arg(0), call.arg(1), call.arg(2));
    let from = flags(source).or_fault();
    let start = mdl::address(source).or_fault();
    let offset = address.wrapping_sub(start);
    let length = match call.arg_u32(3) {
        // As much as the source has from there on.
        0 => MDL::ByteCount
            .read(source)
            .or_fault()
            .saturating_sub(u32::try_from(offset).unwrap_or(u32::MAX)),
        length => length,
    };
    let (next, size) = (
        MDL::Next.read(target).or_fault(),
        MDL::Size.read(target).or_fault(),
    );
    mdl::initialize(target, address, length, MDL_PARTIAL | from & INHERITED).or_fault();
    if from & MDL_MAPPED_TO_SYSTEM_VA != 0 {
        let mapped = MDL::MappedSystemVa.read(source).or_fault();
        MDL::MappedSystemVa
            .write(target, mapped.wrapping_add(offset))
            .or_fault();
    }
    MDL::Next.write(target, next).or_fault();
    MDL::Size.write(target, size).or_fault();
    0
}

/// An MDL in the memory that is given for it, or in memory of its own.
fn create_mdl(call: &Call<'_>) -> u64 {
    let (given, buffer) = (call.arg(0), call.arg(1));
    let Ok(length) = u32::try_from(call.arg(2)) else {
        return 0;
    };
    if given == 0 {
        return allocate_mdl_with(buffer, length, 0);
    }
    mdl::initialize(given, buffer, length, 0).or_fault();
    given
}

/// The beginning moves, and the end stays.
fn advance(call: &Call<'_>) -> u64 {
    let (mdl, bytes) = (call.arg(0), call.arg_u32(1));
    let length = MDL::ByteCount.read(mdl).or_fault();
    let Some(left) = length.checked_sub(bytes) else {
        return status(STATUS_INVALID_PARAMETER_2);
    };
    let move_on = || {
        let begin = mdl::address(mdl)?.wrapping_add(bytes.into());
        MDL::ByteCount.write(mdl, left)?;
        MDL::StartVa.write(mdl, begin & !(PAGE - 1))?;
        MDL::ByteOffset.write(mdl, (begin % PAGE) as u32)?;
        let mapped = MDL::MappedSystemVa.read(mdl)?;
        if flags(mdl)? & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL) != 0 {
            MDL::MappedSystemVa.write(mdl, mapped.wrapping_add(bytes.into()))?;
        }
        Ok(())
    };
    let moved: Result<(), BadAddress> = move_on();
    moved.or_fault();
    SUCCESS
}

fn free_mdl(call: &Call<'_>) -> u64 {
    memory::free(call.arg(0), Some(MDL_TAG));
    0
}
