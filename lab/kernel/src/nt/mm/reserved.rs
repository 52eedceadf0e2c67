//! Addresses that are reserved for mappings: so that one can be had when memory is short.
//!
//! In the lab a mapping is the memory itself, so that what is reserved is a promise of room and no place.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::Kind;
use lab_rules::event::{PoolEvent, PoolFreeError};

use super::{flags, map_pages, set_flags};
use crate::abi::constant::{MDL_MAPPED_TO_SYSTEM_VA, MDL_PAGES_LOCKED};
use crate::abi::nt::MDL;
use crate::memory;
use crate::nt::{imports, mdl};
use crate::per_image::per_image;
use crate::rt::Call;
use crate::watch::{OrFault, emit};

imports! {
    "ntoskrnl.exe":
    MmAllocateMappingAddress => reserve,
    MmFreeMappingAddress => free,
    MmMapLockedPagesWithReservedMapping => map,
    MmUnmapReservedMapping => unmap,
}

const PAGE: u64 = 4096;

/// What is reserved.
#[derive(Clone, Copy)]
struct Reserved {
    bytes: u64,
    tag: u32,
    /// The MDL that is mapped there.
    mapped: Option<u64>,
}

per_image! {
    static RESERVED: RefCell<BTreeMap<u64, Reserved>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets everything: a run begins.
pub(in crate::nt) fn reset() {
    RESERVED.take();
}

/// What is reserved is in the ledger of the pool, under its tag.
fn reserve(call: &Call<'_>) -> u64 {
    let (bytes, tag) = (call.arg(0), call.arg_u32(1));
    let address = memory::allocate_pages(tag, bytes, true);
    if address != 0 {
        let reserved = Reserved {
            bytes: bytes.next_multiple_of(PAGE),
            tag,
            mapped: None,
        };
        RESERVED.with_borrow_mut(|all| all.insert(address, reserved));
    }
    address
}

/// A range that is still mapped is not freed: the ledger tells of it when the driver is gone.
fn free(call: &Call<'_>) -> u64 {
    let (address, tag) = (call.arg(0), call.arg_u32(1));
    let is_mapped = look_up(address, tag).is_some_and(|reserved| reserved.mapped.is_some());
    if !is_mapped {
        RESERVED.with_borrow_mut(|all| all.remove(&address));
        memory::free(address, Some(tag));
    }
    0
}

/// What is reserved at an address under this tag.
fn look_up(address: u64, tag: u32) -> Option<Reserved> {
    let found = RESERVED.with_borrow(|all| all.get(&address).copied());
    found.filter(|reserved| reserved.tag == tag)
}

fn set_mapped(address: u64, mapped: Option<u64>) {
    RESERVED.with_borrow_mut(|all| {
        if let Some(reserved) = all.get_mut(&address) {
            reserved.mapped = mapped;
        }
    });
}

/// NULL where the parameters are wrong: another tag, too little room, pages that are not locked, a range in use.
fn map(call: &Call<'_>) -> u64 {
    let (address, tag, mdl) = (call.arg(0), call.arg_u32(1), call.arg(2));
    let buffer = mdl::address(mdl).or_fault();
    let length = u64::from(MDL::ByteCount.read(mdl).or_fault());
    let flags = flags(mdl).or_fault();
    let needed = (buffer % PAGE + length).next_multiple_of(PAGE);
    let fits = look_up(address, tag)
        .is_some_and(|reserved| reserved.mapped.is_none() && reserved.bytes >= needed);
    if !fits || flags & MDL_PAGES_LOCKED == 0 {
        return 0;
    }
    let mapped = map_pages(buffer, flags);
    set_flags(mdl, flags | MDL_MAPPED_TO_SYSTEM_VA).or_fault();
    MDL::MappedSystemVa.write(mdl, mapped).or_fault();
    set_mapped(address, Some(mdl));
    mapped
}

fn unmap(call: &Call<'_>) -> u64 {
    let (address, tag, mdl) = (call.arg(0), call.arg_u32(1), call.arg(2));
    let known = RESERVED.with_borrow(|all| all.get(&address).copied());
    if let Some(Reserved { tag: allocated, .. }) = known
        && allocated != tag
    {
        let freed = tag;
        let error = PoolFreeError::Tag { allocated, freed };
        emit(Kind::Pool(PoolEvent::BadFree { address, error }));
    }
    let is_it = look_up(address, tag).is_some_and(|reserved| reserved.mapped == Some(mdl));
    if is_it {
        super::unmap(mdl).or_fault();
        set_flags(mdl, flags(mdl).or_fault() & !MDL_MAPPED_TO_SYSTEM_VA).or_fault();
        set_mapped(address, None);
    }
    0
}
