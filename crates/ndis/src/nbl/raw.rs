//! Members of NBLs, NET_BUFFERs and MDLs, and chains of NBLs.
//!
//! No reference to a whole structure is ever made: the end of a `NET_BUFFER_LIST` depends on the NDIS version, and
//! others may write to members that do not concern us.

use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use ndis_sys::{
    MaxNetBufferListInfo, NDIS_HANDLE, NDIS_NET_BUFFER_LIST_INFO, NET_BUFFER, NET_BUFFER_LIST,
};
use wdk_sys::MDL;

use crate::{Status, generation};

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

/// Leaves a slot of out-of-band data in an NBL for its owner, while others may do the same.
///
/// # Safety
///
/// The NBL is there, and nobody reads the slot until they are all done.
pub(super) unsafe fn share_info(
    nbl: NblPointer,
    slot: NDIS_NET_BUFFER_LIST_INFO,
    value: *mut c_void,
) {
    // SAFETY: this function's contract.
    let slots = unsafe { &raw mut (*nbl.as_ptr()).NetBufferListInfo };
    let place = slots.cast::<*mut c_void>().wrapping_offset(slot as isize);
    // SAFETY: every NBL has the slot, which is aligned; who else writes to it does it here.
    let place = unsafe { AtomicPtr::from_ptr(place) };
    place.store(value, Ordering::Relaxed);
}

/// How many children an NBL has.
///
/// # Safety
///
/// The NBL is the module's for `'a`, which touches the count only here.
pub(super) unsafe fn children<'a>(nbl: NblPointer) -> &'a AtomicI32 {
    // SAFETY: this function's contract.
    let count = unsafe { &raw mut (*nbl.as_ptr()).ChildRefCount };
    // SAFETY: this function's contract; the count is aligned.
    unsafe { AtomicI32::from_ptr(count) }
}

/// # Safety
///
/// The caller owns the NBL, which is from a pool of its own.
pub(super) unsafe fn parent(nbl: NblPointer) -> Option<NblPointer> {
    // SAFETY: this function's contract.
    NonNull::new(unsafe { (*nbl.as_ptr()).ParentNetBufferList })
}

/// Makes an NBL a list by itself, a child of another, and the module's.
///
/// # Safety
///
/// The caller owns the NBL, which is from a pool of its own. `source` is the handle of its module.
pub(super) unsafe fn make_child(nbl: NblPointer, parent: NblPointer, source: NDIS_HANDLE) {
    // SAFETY: this function's contract.
    unsafe { set_next(nbl, Chain::EMPTY) };
    // SAFETY: this function's contract.
    unsafe { (*nbl.as_ptr()).ParentNetBufferList = parent.as_ptr() };
    // SAFETY: this function's contract.
    unsafe { (*nbl.as_ptr()).SourceHandle = source };
    // SAFETY: this function's contract.
    unsafe { (*nbl.as_ptr()).Status = Status::SUCCESS.into_raw() };
}

/// Lets a child's result be its parent's, unless it is a success.
///
/// # Safety
///
/// The caller owns the child. The parent is its module's, and children alone touch its result.
pub(super) unsafe fn merge_status(child: NblPointer, parent: NblPointer) {
    // SAFETY: this function's contract.
    let status = unsafe { (*child.as_ptr()).Status };
    if status == Status::SUCCESS.into_raw() {
        return;
    }
    // SAFETY: this function's contract.
    let place = unsafe { &raw mut (*parent.as_ptr()).Status };
    // SAFETY: this function's contract; the place is aligned.
    let place = unsafe { AtomicI32::from_ptr(place) };
    generation::fail(place, status, Status::SEND_ABORTED.into_raw());
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
