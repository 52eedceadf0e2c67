//! Send and receive, passed through.

use crate::abi::{
    NDIS_HANDLE, NDIS_PORT_NUMBER, NDIS_RECEIVE_FLAGS_DISPATCH_LEVEL, NDIS_RECEIVE_FLAGS_RESOURCES,
    NDIS_RETURN_FLAGS_DISPATCH_LEVEL, NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL,
    NDIS_SEND_FLAGS_DISPATCH_LEVEL, NDIS_STATUS_PAUSED, NET_BUFFER_LIST,
    NdisFIndicateReceiveNetBufferLists, NdisFReturnNetBufferLists, NdisFSendNetBufferLists,
    NdisFSendNetBufferListsComplete,
};
use crate::module::Module;

/// The lists of a chain.
pub(crate) fn chain(first: *mut NET_BUFFER_LIST) -> impl Iterator<Item = *mut NET_BUFFER_LIST> {
    core::iter::successors(Some(first).filter(|list| !list.is_null()), |list| {
        // SAFETY: the filter owns the lists of the chain that it was given.
        let next = unsafe { (**list).Next };
        Some(next).filter(|list| !list.is_null())
    })
}

/// The completion flags of a send that came with `send_flags`.
pub(crate) const fn complete_flags(send_flags: u32) -> u32 {
    if send_flags & NDIS_SEND_FLAGS_DISPATCH_LEVEL == 0 {
        0
    } else {
        NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL
    }
}

/// The return flags of an indication that came with `receive_flags`.
pub(crate) const fn return_flags(receive_flags: u32) -> u32 {
    if receive_flags & NDIS_RECEIVE_FLAGS_DISPATCH_LEVEL == 0 {
        0
    } else {
        NDIS_RETURN_FLAGS_DISPATCH_LEVEL
    }
}

pub(crate) extern "system" fn send(
    context: NDIS_HANDLE,
    lists: *mut NET_BUFFER_LIST,
    port: NDIS_PORT_NUMBER,
    flags: u32,
) {
    let module = Module::of(context);
    if !module.enter() {
        for list in chain(lists) {
            // SAFETY: the filter owns the list until it completes it.
            unsafe { (*list).Status = NDIS_STATUS_PAUSED };
        }
        // SAFETY: the lists that this send brought, completed once.
        unsafe { NdisFSendNetBufferListsComplete(module.handle, lists, complete_flags(flags)) };
        return;
    }
    if let Some(traffic) = module.play.traffic {
        traffic(module);
    }
    let lists = match module.play.send {
        Some(send) => send(module, lists, port, flags),
        None => lists,
    };
    if !lists.is_null() {
        module.defer();
        // SAFETY: the module runs; the lists are passed on once.
        unsafe { NdisFSendNetBufferLists(module.handle, lists, port, flags) };
    }
    module.leave();
}

pub(crate) extern "system" fn send_complete(
    context: NDIS_HANDLE,
    lists: *mut NET_BUFFER_LIST,
    flags: u32,
) {
    let module = Module::of(context);
    let lists = match module.play.send_complete {
        Some(complete) => complete(module, lists, flags),
        None => lists,
    };
    if !lists.is_null() {
        // SAFETY: lists that came through `send`, each completed once.
        unsafe { NdisFSendNetBufferListsComplete(module.handle, lists, flags) };
    }
}

pub(crate) extern "system" fn receive(
    context: NDIS_HANDLE,
    lists: *mut NET_BUFFER_LIST,
    port: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) {
    let module = Module::of(context);
    if !module.enter() {
        if flags & NDIS_RECEIVE_FLAGS_RESOURCES == 0 {
            // SAFETY: the lists that this indication brought, returned once.
            unsafe { NdisFReturnNetBufferLists(module.handle, lists, return_flags(flags)) };
        }
        return;
    }
    if let Some(traffic) = module.play.traffic {
        traffic(module);
    }
    let (lists, count) = match module.play.receive {
        Some(receive) => receive(module, lists, port, count, flags),
        None => (lists, count),
    };
    if !lists.is_null() {
        module.defer();
        // SAFETY: the module runs; the lists are passed on once, with the flags they came with.
        unsafe {
            NdisFIndicateReceiveNetBufferLists(module.handle, lists, port, count, flags);
        }
    }
    module.leave();
}

pub(crate) extern "system" fn returned(
    context: NDIS_HANDLE,
    lists: *mut NET_BUFFER_LIST,
    flags: u32,
) {
    let module = Module::of(context);
    let lists = match module.play.returned {
        Some(returned) => returned(module, lists, flags),
        None => lists,
    };
    if !lists.is_null() {
        // SAFETY: lists that came through `receive`, each returned once.
        unsafe { NdisFReturnNetBufferLists(module.handle, lists, flags) };
    }
}
