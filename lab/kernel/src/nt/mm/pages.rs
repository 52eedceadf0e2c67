//! Pages of memory without an address of their own, contiguous and non-cached memory, and careful copies.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::Kind;
use lab_rules::event::{PoolEvent, PoolFreeError};

use super::{PAGE, flags, set_flags};
use crate::abi::constant::{MDL_PAGES_LOCKED, STATUS_INVALID_PARAMETER};
use crate::memory;
use crate::nt::{SUCCESS, imports, status};
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::exception::{self, USER_END};
use crate::rt::mem;
use crate::rt::{pool, user};
use crate::watch::{OrFault, emit};

imports! {
    "ntoskrnl.exe":
    MmAllocatePagesForMdl => allocate_pages,
    MmAllocatePagesForMdlEx => allocate_pages_ex,
    MmFreePagesFromMdl => free_pages,
    MmAllocateContiguousMemory => allocate_contiguous,
    MmAllocateContiguousMemorySpecifyCache => allocate_contiguous_by_range,
    MmFreeContiguousMemory => free_contiguous,
    MmAllocateNonCachedMemory => allocate_non_cached,
    MmFreeNonCachedMemory => free_non_cached,
    MmCopyMemory => copy,
}

/// The tags under which such memory is in the ledger of the pool: no other function frees it.
const PAGES_TAG: u32 = u32::from_le_bytes(*b"MmPg");
const CONTIGUOUS_TAG: u32 = u32::from_le_bytes(*b"MmCm");
const NON_CACHED_TAG: u32 = u32::from_le_bytes(*b"MmNc");

/// `STATUS_INVALID_ADDRESS`, which the table does not have.
const STATUS_INVALID_ADDRESS: i32 = 0xC000_0141_u32.cast_signed();

per_image! {
    /// The pages of each MDL that was made with them.
    static PAGES: RefCell<BTreeMap<u64, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets everything: a run begins.
pub(in crate::nt) fn reset() {
    PAGES.take();
}

/// Whether a tag is of memory that has functions of its own to free it.
pub(crate) fn is_own_tag(tag: u32) -> bool {
    matches!(tag, PAGES_TAG | CONTIGUOUS_TAG | NON_CACHED_TAG)
}

/// Where in physical memory an address of the lab's is: see `MmGetPhysicalAddress`.
fn physical(address: u64) -> u64 {
    address.wrapping_sub(USER_END)
}

/// Page-aligned memory whose place in physical memory is in a range; 0 for none.
fn allocate(tag: u32, bytes: u64, (low, high): (u64, u64), zeroed: bool) -> u64 {
    let block = memory::allocate_pages(tag, bytes, zeroed);
    let is_there = block != 0
        && physical(block) >= low
        && physical(block).saturating_add(bytes.saturating_sub(1)) <= high;
    if block != 0 && !is_there {
        memory::free(block, Some(tag));
    }
    if is_there { block } else { 0 }
}

fn allocate_pages(call: &Call<'_>) -> u64 {
    make(call, true)
}

fn allocate_pages_ex(call: &Call<'_>) -> u64 {
    /// `MM_DONT_ZERO_ALLOCATION`.
    const DONT_ZERO: u32 = 1;
    make(call, call.arg_u32(5) & DONT_ZERO == 0)
}

/// An MDL and its pages. After the first range come others, each further by what is to be skipped.
fn make(call: &Call<'_>, zeroed: bool) -> u64 {
    let (low, high, skip, bytes) = (call.arg(0), call.arg(1), call.arg(2), call.arg(3));
    let pages = bytes.checked_next_multiple_of(PAGE);
    let Some(length) = pages.and_then(|bytes| u32::try_from(bytes).ok()) else {
        return 0;
    };
    let high = if skip == 0 { high } else { u64::MAX };
    let block = allocate(PAGES_TAG, length.into(), (low, high), zeroed);
    if block == 0 {
        return 0;
    }
    let mdl = super::allocate_mdl_with(block, length, MDL_PAGES_LOCKED);
    if mdl == 0 {
        memory::free(block, Some(PAGES_TAG));
        return 0;
    }
    PAGES.with_borrow_mut(|pages| pages.insert(mdl, block));
    mdl
}

/// Frees the pages of an MDL; the MDL itself is the driver's to free.
fn free_pages(call: &Call<'_>) -> u64 {
    let mdl = call.arg(0);
    let gone = MDL_PAGES_LOCKED;
    set_flags(mdl, flags(mdl).or_fault() & !gone).or_fault();
    match PAGES.with_borrow_mut(|pages| pages.remove(&mdl)) {
        Some(block) => memory::free(block, Some(PAGES_TAG)),
        None => emit(Kind::Pool(PoolEvent::BadFree {
            address: mdl,
            error: PoolFreeError::Unknown,
        })),
    }
    0
}

fn allocate_contiguous(call: &Call<'_>) -> u64 {
    allocate(CONTIGUOUS_TAG, call.arg(0), (0, call.arg(1)), false)
}

/// A boundary that must not be crossed is kept by what does not cross any page of that size.
fn allocate_contiguous_by_range(call: &Call<'_>) -> u64 {
    let (bytes, low, high, boundary) = (call.arg(0), call.arg(1), call.arg(2), call.arg(3));
    let block = allocate(CONTIGUOUS_TAG, bytes, (low, high), false);
    let crosses = boundary != 0
        && physical(block) / boundary
            != physical(block).wrapping_add(bytes.saturating_sub(1)) / boundary;
    if block != 0 && crosses {
        memory::free(block, Some(CONTIGUOUS_TAG));
        return 0;
    }
    block
}

fn free_contiguous(call: &Call<'_>) -> u64 {
    memory::free(call.arg(0), Some(CONTIGUOUS_TAG));
    0
}

fn allocate_non_cached(call: &Call<'_>) -> u64 {
    let bytes = call.arg(0).checked_next_multiple_of(PAGE);
    bytes.map_or(0, |bytes| {
        allocate(NON_CACHED_TAG, bytes, (0, u64::MAX), false)
    })
}

/// What is freed must be as much as was allocated.
fn free_non_cached(call: &Call<'_>) -> u64 {
    let (address, bytes) = (call.arg(0), call.arg(1));
    let whole = pool::find(address)
        .filter(|block| block.tag == NON_CACHED_TAG && block.freed.is_none())
        .map(|block| block.size as u64);
    if whole.is_some_and(|whole| bytes.checked_next_multiple_of(PAGE) != Some(whole)) {
        emit(Kind::Pool(PoolEvent::BadFree {
            address,
            error: PoolFreeError::Unknown,
        }));
    } else {
        memory::free(address, Some(NON_CACHED_TAG));
    }
    0
}

/// Copies what can be read, and tells how much that is.
fn copy(call: &Call<'_>) -> u64 {
    /// `MM_COPY_MEMORY_PHYSICAL` and `MM_COPY_MEMORY_VIRTUAL`.
    const PHYSICAL: u32 = 1;
    const VIRTUAL: u32 = 2;
    let (target, source, bytes) = (call.arg(0), call.arg(1), call.arg(2));
    let (flags, done_at) = (call.arg_u32(3), call.arg(4));
    let source = match flags {
        PHYSICAL => source.wrapping_add(USER_END),
        VIRTUAL => source,
        _ => return status(STATUS_INVALID_PARAMETER),
    };
    let mut done = 0;
    while done < bytes {
        let at = source.wrapping_add(done);
        let part = (PAGE - at % PAGE).min(bytes - done);
        if !copy_part(target.wrapping_add(done), at, part) {
            break;
        }
        done += part;
    }
    mem::write(done_at, done).or_fault();
    if done == bytes {
        SUCCESS
    } else {
        status(STATUS_INVALID_ADDRESS)
    }
}

/// Copies bytes of one page; tells whether they could be read.
fn copy_part(target: u64, source: u64, bytes: u64) -> bool {
    let length = bytes as usize;
    let content = if exception::is_user(source) {
        match user::check(source, bytes, false) {
            Ok(()) => user::content(source, length),
            Err(_) => return false,
        }
    } else {
        match mem::read_bytes(source, length) {
            Ok(content) => content,
            Err(_) => return false,
        }
    };
    let written = mem::write_bytes(target, &content);
    drop(content);
    written.or_fault();
    true
}
