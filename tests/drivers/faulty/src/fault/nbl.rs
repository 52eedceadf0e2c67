//! Net buffer lists lost, or given back too often.

use core::ptr::null_mut;

use crate::abi::{
    NDIS_STATUS_SUCCESS, NET_BUFFER_LIST, NdisFReturnNetBufferLists,
    NdisFSendNetBufferListsComplete,
};
use crate::datapath::{complete_flags, return_flags};
use crate::module::Module;

/// Drops the first list of the chain; returns the others.
pub(crate) fn leak(lists: *mut NET_BUFFER_LIST, count: u32) -> (*mut NET_BUFFER_LIST, u32) {
    // SAFETY: the filter owns the chain that it was given.
    let rest = unsafe { (*lists).Next };
    // SAFETY: as above.
    unsafe { (*lists).Next = null_mut() };
    (rest, count.wrapping_sub(1))
}

/// Completes the chain, and its first list once more.
pub(crate) fn complete_twice(module: &Module, lists: *mut NET_BUFFER_LIST, flags: u32) {
    let flags = complete_flags(flags);
    // SAFETY: the filter owns the list.
    unsafe { (*lists).Status = NDIS_STATUS_SUCCESS };
    // SAFETY: the lists that this send brought.
    unsafe { NdisFSendNetBufferListsComplete(module.handle, lists, flags) };
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferListsComplete(module.handle, lists, flags) }; // caught: nbl-completed-twice
}

/// Returns the chain twice.
pub(crate) fn return_twice(module: &Module, lists: *mut NET_BUFFER_LIST, flags: u32) {
    let flags = return_flags(flags);
    // SAFETY: the lists that this indication brought.
    unsafe { NdisFReturnNetBufferLists(module.handle, lists, flags) };
    // SAFETY: none: this is the fault.
    unsafe { NdisFReturnNetBufferLists(module.handle, lists, flags) }; // caught: nbl-returned-twice
}
