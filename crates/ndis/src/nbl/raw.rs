//! Members of NBLs, NET_BUFFERs and MDLs, and chains of NBLs.
//!
//! No reference to a whole structure is ever made: the end of a `NET_BUFFER_LIST` depends on the NDIS version, and
//! others may write to members that do not concern us.

use core::ffi::c_void;
use core::ptr::NonNull;

use ndis_sys::{
    MaxNetBufferListInfo, NDIS_HANDLE, NDIS_NET_BUFFER_LIST_INFO, NET_BUFFER, NET_BUFFER_LIST,
};
use wdk_sys::MDL;

use crate::Status;

pub(crate) type NblPointer = NonNull<NET_BUFFER_LIST>;

/// The first of NBLs that are linked by `Next`; `None` is the empty chain.
///
/// It is a pointer like any other: who holds it and what may be done with it is for the types around it to say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    pub(super) first: Option<NblPointer>,
}

impl Chain {
    pub(crate) const EMPTY: Self = Self { first: None };

    pub(crate) const fn new(first: *mut NET_BUFFER_LIST) -> Self {
        Self {
            first: NonNull::new(first),
        }
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn as_ptr(self) -> *mut NET_BUFFER_LIST {
        self.first.map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }
}

/// # Safety
///
/// The caller may read the NBL.
pub(super) unsafe fn next(nbl: NblPointer) -> Option<NblPointer> {
    // SAFETY: this function's contract.
    NonNull::new(unsafe { (*nbl.as_ptr()).Next })
}

/// # Safety
///
/// The caller owns the NBL.
pub(super) unsafe fn set_next(nbl: NblPointer, next: Chain) {
    // SAFETY: this function's contract; the owner may link NBLs as it likes.
    unsafe { (*nbl.as_ptr()).Next = next.as_ptr() };
}

/// Sets the result of each send of a chain.
///
/// # Safety
///
/// The caller owns the chain.
pub(crate) unsafe fn set_status(chain: Chain, status: Status) {
    let mut at = chain.first;
    while let Some(nbl) = at {
        // SAFETY: this function's contract.
        unsafe { (*nbl.as_ptr()).Status = status.into_raw() };
        // SAFETY: this function's contract.
        at = unsafe { next(nbl) };
    }
}

/// # Safety
///
/// The caller may read the NBL.
pub(super) unsafe fn first_net_buffer(nbl: NblPointer) -> Option<NonNull<NET_BUFFER>> {
    // SAFETY: this function's contract.
    NonNull::new(unsafe { (*nbl.as_ptr()).FirstNetBuffer })
}

/// # Safety
///
/// The caller may read the NBL.
pub(super) unsafe fn flags(nbl: NblPointer) -> u32 {
    // SAFETY: this function's contract.
    unsafe { (*nbl.as_ptr()).NblFlags }
}

/// The word that belongs to who owns the NBL.
///
/// # Safety
///
/// The caller owns the NBL.
pub(super) unsafe fn scratch(nbl: NblPointer) -> u64 {
    // SAFETY: this function's contract.
    unsafe { (*nbl.as_ptr()).Scratch }.addr() as u64
}

/// # Safety
///
/// The caller owns the NBL.
pub(super) unsafe fn set_scratch(nbl: NblPointer, word: u64) {
    // SAFETY: this function's contract.
    unsafe { (*nbl.as_ptr()).Scratch = core::ptr::without_provenance_mut(word as usize) };
}

/// A slot of out-of-band data, below `MaxNetBufferListInfo`: NDIS has had those since 6.80.
///
/// # Safety
///
/// The caller may read the NBL.
pub(super) unsafe fn info(nbl: NblPointer, slot: NDIS_NET_BUFFER_LIST_INFO) -> *mut c_void {
    // SAFETY: this function's contract.
    let slots = unsafe { &raw const (*nbl.as_ptr()).NetBufferListInfo };
    let place = slots.cast::<*mut c_void>().wrapping_offset(slot as isize);
    // SAFETY: every NBL has the slot, and nobody writes to them while somebody else may read the NBL.
    unsafe { place.read() }
}

/// Sets a slot of out-of-band data; likewise.
///
/// # Safety
///
/// The caller owns the NBL.
pub(super) unsafe fn set_info(
    nbl: NblPointer,
    slot: NDIS_NET_BUFFER_LIST_INFO,
    value: *mut c_void,
) {
    // SAFETY: this function's contract.
    let slots = unsafe { &raw mut (*nbl.as_ptr()).NetBufferListInfo };
    let place = slots.cast::<*mut c_void>().wrapping_offset(slot as isize);
    // SAFETY: every NBL has the slot, and the owner may write to them.
    unsafe { place.write(value) };
}

/// # Safety
///
/// The caller owns the NBL, which is from a pool of its own.
pub(super) unsafe fn set_flags(nbl: NblPointer, flags: u32) {
    // SAFETY: this function's contract.
    unsafe { (*nbl.as_ptr()).NblFlags = flags };
}

/// Makes a packet of `length` bytes of an NBL, whatever it was before, and gives its memory.
///
/// # Safety
///
/// The caller owns the NBL, which is from a pool of its own, and has one `NET_BUFFER` over one MDL that describes at least
/// `length` bytes of nonpaged pool. `source` is the handle of its module.
pub(super) unsafe fn make_whole(
    nbl: NblPointer,
    length: u32,
    source: NDIS_HANDLE,
) -> Option<NonNull<[u8]>> {
    // SAFETY: this function's contract.
    unsafe { set_next(nbl, Chain::EMPTY) };
    // SAFETY: this function's contract.
    unsafe { set_flags(nbl, 0) };
    // SAFETY: this function's contract.
    unsafe { (*nbl.as_ptr()).SourceHandle = source };
    // SAFETY: this function's contract.
    unsafe { (*nbl.as_ptr()).Status = Status::SUCCESS.into_raw() };
    for slot in 0..MaxNetBufferListInfo {
        // SAFETY: this function's contract.
        unsafe { set_info(nbl, slot, core::ptr::null_mut()) };
    }
    // SAFETY: this function's contract.
    let packet = unsafe { first_net_buffer(nbl) }?.as_ptr();
    // SAFETY: this function's contract.
    let mdl = unsafe { (*packet).MdlChain };
    // SAFETY: this function's contract.
    unsafe { (*packet).CurrentMdl = mdl };
    // SAFETY: this function's contract.
    unsafe { (*packet).CurrentMdlOffset = 0 };
    // SAFETY: this function's contract.
    unsafe { (*packet).DataOffset = 0 };
    // SAFETY: this function's contract.
    unsafe { (*packet).DataLength = length };
    // SAFETY: this function's contract.
    unsafe { (*packet).ChecksumBias = 0 };
    // SAFETY: this function's contract: the MDL describes nonpaged pool, whose address it therefore has.
    let start = NonNull::new(unsafe { (*mdl).MappedSystemVa }.cast::<u8>())?;
    Some(NonNull::slice_from_raw_parts(start, length as usize))
}

/// The MDLs of a packet of one's own.
///
/// # Safety
///
/// That of [`make_whole`].
pub(super) unsafe fn mdl_chain(nbl: NblPointer) -> Option<NonNull<MDL>> {
    // SAFETY: this function's contract.
    let packet = unsafe { first_net_buffer(nbl) }?;
    // SAFETY: this function's contract.
    NonNull::new(unsafe { (*packet.as_ptr()).MdlChain })
}

/// # Safety
///
/// The caller may read the packet.
pub(super) unsafe fn next_net_buffer(packet: NonNull<NET_BUFFER>) -> Option<NonNull<NET_BUFFER>> {
    // SAFETY: this function's contract.
    NonNull::new(unsafe { (*packet.as_ptr()).Next })
}

/// # Safety
///
/// The caller may read the packet.
pub(super) unsafe fn data_length(packet: NonNull<NET_BUFFER>) -> u32 {
    // SAFETY: this function's contract.
    unsafe { (*packet.as_ptr()).DataLength }
}

/// The MDL in which the data begins, and where in it.
///
/// # Safety
///
/// The caller may read the packet.
pub(super) unsafe fn data_start(packet: NonNull<NET_BUFFER>) -> (Option<NonNull<MDL>>, u32) {
    // SAFETY: this function's contract.
    let mdl = unsafe { (*packet.as_ptr()).CurrentMdl };
    // SAFETY: this function's contract.
    let offset = unsafe { (*packet.as_ptr()).CurrentMdlOffset };
    (NonNull::new(mdl), offset)
}
