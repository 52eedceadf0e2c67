//! Net buffer lists lost, or given back too often.

use core::ptr::null_mut;

use crate::abi::{
    NDIS_FILTER_DRIVER_CHARACTERISTICS, NDIS_HANDLE, NDIS_PORT_NUMBER,
    NDIS_RECEIVE_FLAGS_RESOURCES, NDIS_STATUS_SUCCESS, NET_BUFFER_LIST, NdisFReturnNetBufferLists,
    NdisFSendNetBufferListsComplete,
};
use crate::datapath::{self, complete_flags, return_flags};
use crate::module::Module;
use crate::play::{NOTHING, Play};

pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "nbl-leak",
        characteristics: Some(leak),
        ..NOTHING
    },
    Play {
        name: "nbl-completed-twice",
        send: Some(complete_twice),
        ..NOTHING
    },
    Play {
        name: "nbl-returned-twice",
        receive: Some(return_twice),
        ..NOTHING
    },
];

/// A list that is lost is reported with the handler that got it, so the handler is one of its own.
fn leak(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.ReceiveNetBufferListsHandler = Some(leaking_receive);
}

/// Drops the first list of each chain, and indicates the others.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn leaking_receive( // caught: nbl-leak by nbl-every-receive-settled
    context: NDIS_HANDLE,
    lists: *mut NET_BUFFER_LIST,
    port: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) {
    if flags & NDIS_RECEIVE_FLAGS_RESOURCES != 0 {
        return datapath::receive(context, lists, port, count, flags);
    }
    // SAFETY: the filter owns the chain that it was given.
    let rest = unsafe { (*lists).Next };
    // SAFETY: as above.
    unsafe { (*lists).Next = null_mut() };
    if !rest.is_null() {
        datapath::receive(context, rest, port, count.wrapping_sub(1), flags);
    }
}

/// Completes the chain twice.
fn complete_twice(
    module: &'static Module,
    lists: *mut NET_BUFFER_LIST,
    _: NDIS_PORT_NUMBER,
    flags: u32,
) -> *mut NET_BUFFER_LIST {
    let flags = complete_flags(flags);
    // SAFETY: the filter owns the list.
    unsafe { (*lists).Status = NDIS_STATUS_SUCCESS };
    // SAFETY: the lists that this send brought.
    unsafe { NdisFSendNetBufferListsComplete(module.handle, lists, flags) };
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferListsComplete(module.handle, lists, flags) }; // caught: nbl-completed-twice by nbl-complete-only-received
    null_mut()
}

/// Returns the chain twice.
fn return_twice(
    module: &'static Module,
    lists: *mut NET_BUFFER_LIST,
    _: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (*mut NET_BUFFER_LIST, u32) {
    if flags & NDIS_RECEIVE_FLAGS_RESOURCES != 0 {
        return (lists, count);
    }
    let flags = return_flags(flags);
    // SAFETY: the lists that this indication brought.
    unsafe { NdisFReturnNetBufferLists(module.handle, lists, flags) };
    // SAFETY: none: this is the fault.
    unsafe { NdisFReturnNetBufferLists(module.handle, lists, flags) }; // caught: nbl-returned-twice by nbl-return-only-received
    (null_mut(), 0)
}
