//! Lookaside lists. As with Driver Verifier, none keeps what is freed: every entry comes from special
//! pool and goes back to it, so that a use after the free shows.

use super::pool::kind_of_type;
use super::{SUCCESS, slist, status};
use crate::abi::constant::{POOL_NX_ALLOCATION, STATUS_INVALID_PARAMETER};
use crate::abi::nt::GENERAL_LOOKASIDE as L;
use crate::memory;
use crate::rt::mem::{self, BadAddress};
use crate::rt::pool::Kind;
use crate::rt::{self, Call, Import};
use crate::watch::OrFault;

/// The functions of this file: those of Windows, and two that a list's members name, as headers call
/// them there. No image can name these.
pub(crate) const IMPORTS: &[Import] = &[
    import("ExInitializeLookasideListEx", initialize_ex),
    import("ExInitializeNPagedLookasideList", initialize),
    import("ExInitializePagedLookasideList", initialize),
    import("ExAllocateFromLookasideListEx", allocate),
    import("ExAllocateFromNPagedLookasideList", allocate),
    import("ExAllocateFromPagedLookasideList", allocate),
    import("ExFreeToLookasideListEx", free),
    import("ExFreeToNPagedLookasideList", free),
    import("ExFreeToPagedLookasideList", free),
    import("ExFlushLookasideListEx", nothing),
    import("ExDeleteLookasideListEx", nothing),
    import("ExDeleteNPagedLookasideList", nothing),
    import("ExDeletePagedLookasideList", nothing),
    import(ALLOCATE, default_allocate),
    import(FREE, default_free),
];

const fn import(name: &'static str, run: fn(&Call<'_>) -> u64) -> Import {
    Import {
        module: "ntoskrnl.exe",
        name,
        run,
    }
}

pub(crate) const ALLOCATE: &str = "(lookaside list: allocate)";
const FREE: &str = "(lookaside list: free)";

/// `NonPagedPool` and `PagedPool`, the types of the two older kinds.
const NONPAGED_POOL: u32 = 0;
const PAGED_POOL: u32 = 1;

/// What a list is made with.
struct List {
    allocate: u64,
    free: u64,
    pool_type: u32,
    size: u64,
    tag: u32,
}

/// Fills in a list. Its depth is 0, so that headers that look at it keep no entry either.
fn fill(at: u64, list: &List) -> Result<(), BadAddress> {
    mem::fill(at, L::ListEntry as usize, 0)?;
    slist::initialize_at(at)?;
    let routine = |given: u64, default| match given {
        0 => rt::import_address("ntoskrnl.exe", default).unwrap_or(0),
        given => given,
    };
    L::Type.write(at, list.pool_type.cast_signed())?;
    L::Tag.write(at, list.tag)?;
    L::Size.write(at, u32::try_from(list.size).unwrap_or(u32::MAX))?;
    L::Allocate.write(at, routine(list.allocate, ALLOCATE))?;
    L::Free.write(at, routine(list.free, FREE))
}

fn initialize(call: &Call<'_>) -> u64 {
    let is_paged = call.import().name == "ExInitializePagedLookasideList";
    let list = List {
        allocate: call.arg(1),
        free: call.arg(2),
        pool_type: if is_paged {
            PAGED_POOL
        } else {
            NONPAGED_POOL | call.arg_u32(3) & POOL_NX_ALLOCATION
        },
        size: call.arg(4),
        tag: call.arg_u32(5),
    };
    fill(call.arg(0), &list).or_fault();
    0
}

fn initialize_ex(call: &Call<'_>) -> u64 {
    /// `EX_LOOKASIDE_LIST_EX_FLAGS_RAISE_ON_FAIL` and `…_FAIL_NO_RAISE`.
    const FLAGS: u32 = 3;
    let flags = call.arg_u32(4);
    if flags & !FLAGS != 0 || flags == FLAGS {
        return status(STATUS_INVALID_PARAMETER);
    }
    let list = List {
        allocate: call.arg(1),
        free: call.arg(2),
        pool_type: call.arg_u32(3),
        size: call.arg(5),
        tag: call.arg_u32(6),
    };
    fill(call.arg(0), &list).or_fault();
    SUCCESS
}

/// Calls the list's routine, the driver's own or [`default_allocate`].
fn allocate(call: &Call<'_>) -> u64 {
    let at = call.arg(0);
    let count = L::TotalAllocates.read(at).or_fault();
    L::TotalAllocates
        .write(at, count.wrapping_add(1))
        .or_fault();
    let pool_type = L::Type.read(at).or_fault().cast_unsigned();
    let (size, tag) = (L::Size.read(at).or_fault(), L::Tag.read(at).or_fault());
    match L::Allocate.read(at).or_fault() {
        routine if Some(routine) == rt::import_address("ntoskrnl.exe", ALLOCATE) => {
            memory::allocate(tag, size.into(), kind(pool_type), false)
        }
        routine => rt::call_driver(routine, &[pool_type.into(), size.into(), tag.into(), at]),
    }
}

fn free(call: &Call<'_>) -> u64 {
    let (at, entry) = (call.arg(0), call.arg(1));
    let count = L::TotalFrees.read(at).or_fault();
    L::TotalFrees.write(at, count.wrapping_add(1)).or_fault();
    match L::Free.read(at).or_fault() {
        routine if Some(routine) == rt::import_address("ntoskrnl.exe", FREE) => {
            memory::free(entry, Some(L::Tag.read(at).or_fault()));
        }
        routine => {
            rt::call_driver(routine, &[entry, at]);
        }
    }
    0
}

/// The memory that entries are made of.
fn kind(pool_type: u32) -> Kind {
    match kind_of_type(pool_type) {
        // Whether an entry of a list may hold code, no rule asks.
        Kind::NonPagedExecute => Kind::NonPaged,
        kind => kind,
    }
}

fn default_allocate(call: &Call<'_>) -> u64 {
    memory::allocate(call.arg_u32(2), call.arg(1), kind(call.arg_u32(0)), false)
}

fn default_free(call: &Call<'_>) -> u64 {
    memory::free(call.arg(0), None);
    0
}

/// Nothing is kept, so nothing goes; monitors take note of the call.
fn nothing(call: &Call<'_>) -> u64 {
    // A list that is not there faults here as it does in Windows.
    L::Tag.read(call.arg(0)).or_fault();
    0
}
