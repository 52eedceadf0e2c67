//! Packets of the driver's own, and lists that are no lists.

use core::mem::MaybeUninit;
use core::ptr::{null_mut, without_provenance_mut};

use crate::abi::{
    NDIS_PORT_NUMBER, NDIS_RECEIVE_FLAGS_RESOURCES, NDIS_STATUS_FAILURE, NET_BUFFER_LIST,
    NdisAllocateCloneNetBufferList, NdisAllocateFragmentNetBufferList,
    NdisAllocateNetBufferAndNetBufferList, NdisAllocateReassembledNetBufferList,
    NdisCopySendNetBufferListInfo, NdisFIndicateReceiveNetBufferLists, NdisFReturnNetBufferLists,
    NdisFSendNetBufferLists, NdisFSendNetBufferListsComplete, NdisFreeCloneNetBufferList,
    NdisFreeFragmentNetBufferList, NdisFreeNetBufferList, NdisFreeNetBufferListPool,
    NdisFreeReassembledNetBufferList,
};
use crate::datapath::{chain, complete_flags, return_flags};
use crate::module::Module;
use crate::packet::{self, Chain, Lists, next, set_next, set_status};
use crate::play::{NOTHING, Play};

pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "nbl-own-sent-unmarked",
        send: Some(send_unmarked),
        ..packet::ORIGINATOR
    },
    Play {
        name: "nbl-own-indicated-unmarked",
        receive: Some(indicate_unmarked),
        ..packet::ORIGINATOR
    },
    Play {
        name: "nbl-own-completed",
        send: Some(send_own),
        send_complete: Some(complete_own),
        ..packet::ORIGINATOR
    },
    Play {
        name: "nbl-own-returned",
        receive: Some(indicate_own),
        returned: Some(return_own),
        ..packet::ORIGINATOR
    },
    Play {
        name: "nbl-foreign-freed",
        send: Some(free_foreign),
        ..NOTHING
    },
    Play {
        name: "nbl-on-stack",
        send: Some(send_stack),
        ..NOTHING
    },
    Play {
        name: "nbl-pool-freed-first",
        attach: Some(free_pool_first),
        ..NOTHING
    },
    Play {
        name: "nbl-left",
        attach: Some(leave_list),
        ..NOTHING
    },
    Play {
        name: "nbl-count-wrong",
        receive: Some(miscount),
        ..NOTHING
    },
    Play {
        name: "nbl-endless",
        receive: Some(close_circle),
        ..NOTHING
    },
    Play {
        name: "nbl-none-sent",
        send: Some(send_none),
        ..NOTHING
    },
    Play {
        name: "nbl-own-traffic",
        send: Some(send_own),
        receive: Some(indicate_own),
        ..packet::ORIGINATOR
    },
    Play {
        name: "nbl-divided",
        send: Some(divide_sends),
        receive: Some(divide_receives),
        ..NOTHING
    },
    Play {
        name: "nbl-dropped",
        send: Some(drop_sends),
        receive: Some(drop_receives),
        ..NOTHING
    },
    Play {
        name: "nbl-cloned",
        send: Some(send_clones),
        send_complete: Some(complete_parents),
        cancel_send: Some(packet::forward_cancel),
        ..packet::ORIGINATOR
    },
    Play {
        name: "nbl-fragmented",
        send: Some(take_apart),
        ..packet::ORIGINATOR
    },
];

/// Sends a packet of its own without its handle in it.
fn send_unmarked(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    let own = packet::make(module);
    // SAFETY: the driver's own list.
    unsafe { (*own).SourceHandle = null_mut() };
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferLists(module.handle, own, 0, flags) }; // caught: nbl-own-sent-unmarked by nbl-sourcehandle-own-send
    lists
}

/// Indicates a packet of its own without its handle in it.
fn indicate_unmarked(
    module: &'static Module,
    lists: Lists,
    _: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (Lists, u32) {
    let own = packet::make(module);
    // SAFETY: the driver's own list.
    unsafe { (*own).SourceHandle = without_provenance_mut(8) };
    // SAFETY: none: this is the fault.
    unsafe { NdisFIndicateReceiveNetBufferLists(module.handle, own, 0, 1, flags) }; // caught: nbl-own-indicated-unmarked by nbl-sourcehandle-own-receive
    (lists, count)
}

// legal: nbl-own-traffic near nbl-sourcehandle-own-send, nbl-sourcehandle-own-receive, nbl-own-not-completed-up
// legal: nbl-own-traffic near nbl-own-not-returned-down, nbl-free-owned-only, pool-origin, pause-wait-own-sends
// legal: nbl-own-traffic near pause-wait-own-receives, eth-rx-one-nb, eth-rx-header-split, eth-tx-mac-header
// legal: nbl-own-traffic near nb-geometry-consistent, flags-dispatch-truthful, detach-no-nbl, pool-freed-after-nbls

/// Sends a packet of its own before others.
fn send_own(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    let own = packet::make(module);
    // SAFETY: the module runs; the packet is its own.
    unsafe { NdisFSendNetBufferLists(module.handle, own, 0, flags) };
    lists
}

/// Indicates a packet of its own before others.
fn indicate_own(
    module: &'static Module,
    lists: Lists,
    _: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (Lists, u32) {
    let own = packet::make(module);
    let flags = flags & !NDIS_RECEIVE_FLAGS_RESOURCES;
    // SAFETY: the module runs; the packet is its own.
    unsafe { NdisFIndicateReceiveNetBufferLists(module.handle, own, 0, 1, flags) };
    (lists, count)
}

/// Completes all that comes back to whoever sent it.
fn complete_own(module: &'static Module, lists: Lists, flags: u32) -> Lists {
    // SAFETY: none: this is the fault, when one of the driver's own is among them.
    unsafe { NdisFSendNetBufferListsComplete(module.handle, lists, flags) }; // caught: nbl-own-completed by nbl-own-not-completed-up
    null_mut()
}

/// Returns all that comes back to whoever indicated it.
fn return_own(module: &'static Module, lists: Lists, flags: u32) -> Lists {
    // SAFETY: none: this is the fault, when one of the driver's own is among them.
    unsafe { NdisFReturnNetBufferLists(module.handle, lists, flags) }; // caught: nbl-own-returned by nbl-own-not-returned-down
    null_mut()
}

/// Frees a list of somebody else's.
fn free_foreign(_: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, _: u32) -> Lists {
    let rest = next(lists);
    // SAFETY: none: this is the fault.
    unsafe { NdisFreeNetBufferList(lists) }; // caught: nbl-foreign-freed by nbl-free-owned-only
    rest
}

/// Sends a list that lies on its stack.
fn send_stack(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    let mut list = MaybeUninit::<NET_BUFFER_LIST>::zeroed();
    // SAFETY: all zeroes is a value.
    unsafe { (*list.as_mut_ptr()).SourceHandle = module.handle };
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferLists(module.handle, list.as_mut_ptr(), 0, flags) }; // caught: nbl-on-stack by pool-origin
    lists
}

/// Frees a pool while there is a list from it.
fn free_pool_first(_: &'static Module) {
    let pool = packet::new_pool();
    // SAFETY: the pool makes NET_BUFFERs with its lists.
    unsafe { NdisAllocateNetBufferAndNetBufferList(pool, 0, 0, null_mut(), 0, 0) }; // caught: nbl-pool-freed-first by pool-freed-after-nbls
    // SAFETY: none: this is the fault.
    unsafe { NdisFreeNetBufferListPool(pool) };
}

/// Forgets a pool and a list from it.
fn leave_list(_: &'static Module) {
    let pool = packet::new_pool();
    // SAFETY: the pool makes NET_BUFFERs with its lists.
    unsafe { NdisAllocateNetBufferAndNetBufferList(pool, 0, 0, null_mut(), 0, 0) }; // caught: nbl-left by detach-no-nbl
}

/// Counts one list too many.
fn miscount(
    module: &'static Module,
    lists: Lists,
    port: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (Lists, u32) {
    let (handle, count) = (module.handle, count.wrapping_add(1));
    // SAFETY: none: this is the fault.
    unsafe { NdisFIndicateReceiveNetBufferLists(handle, lists, port, count, flags) }; // caught: nbl-count-wrong by nbl-count-matches
    (null_mut(), 0)
}

/// Links the last list to the first.
fn close_circle(
    module: &'static Module,
    lists: Lists,
    port: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (Lists, u32) {
    let last = chain(lists).last().unwrap_or(lists);
    set_next(last, lists);
    // SAFETY: none: this is the fault.
    unsafe { NdisFIndicateReceiveNetBufferLists(module.handle, lists, port, count, flags) }; // caught: nbl-endless by nbl-list-well-formed
    (null_mut(), 0)
}

/// Sends a chain of nothing.
fn send_none(module: &'static Module, lists: Lists, port: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferLists(module.handle, null_mut(), port, flags) }; // warned: nbl-none-sent by nbl-empty-list-not-passed
    lists
}

// legal: nbl-divided near nbl-count-matches, nbl-list-well-formed, nbl-empty-list-not-passed

/// Sends every list alone.
fn divide_sends(
    module: &'static Module,
    mut lists: Lists,
    port: NDIS_PORT_NUMBER,
    flags: u32,
) -> Lists {
    while !lists.is_null() {
        let next = next(lists);
        set_next(lists, null_mut());
        // SAFETY: the module runs; the list is passed on once.
        unsafe { NdisFSendNetBufferLists(module.handle, lists, port, flags) };
        lists = next;
    }
    null_mut()
}

/// Indicates every list alone, and links those together again that it was lent.
fn divide_receives(
    module: &'static Module,
    mut lists: Lists,
    port: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (Lists, u32) {
    let is_lent = flags & NDIS_RECEIVE_FLAGS_RESOURCES != 0;
    let handle = module.handle;
    for _ in 0..count {
        let next = next(lists);
        set_next(lists, null_mut());
        // SAFETY: the module runs; the list is passed on once.
        unsafe { NdisFIndicateReceiveNetBufferLists(handle, lists, port, 1, flags) };
        if is_lent {
            set_next(lists, next);
        }
        lists = next;
    }
    (null_mut(), 0)
}

// legal: nbl-dropped near nbl-complete-only-received, nbl-return-only-received, nbl-every-send-settled
// legal: nbl-dropped near nbl-every-receive-settled, nbl-no-touch-after-complete, nbl-no-touch-after-return

/// Completes the first send of every chain.
fn drop_sends(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    let rest = next(lists);
    set_next(lists, null_mut());
    set_status(lists, NDIS_STATUS_FAILURE);
    // SAFETY: a list that this send brought.
    unsafe { NdisFSendNetBufferListsComplete(module.handle, lists, complete_flags(flags)) };
    rest
}

/// Returns the first list of every chain.
fn drop_receives(
    module: &'static Module,
    lists: Lists,
    _: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (Lists, u32) {
    if flags & NDIS_RECEIVE_FLAGS_RESOURCES != 0 {
        // What is lent is dropped by not passing it on.
        return (null_mut(), 0);
    }
    let rest = next(lists);
    set_next(lists, null_mut());
    // SAFETY: a list that this indication brought.
    unsafe { NdisFReturnNetBufferLists(module.handle, lists, return_flags(flags)) };
    (rest, count.wrapping_sub(1))
}

// legal: nbl-cloned near nbl-own-not-completed-up, nbl-sourcehandle-own-send, derived-free-api-match
// legal: nbl-cloned near clone-free-flags-match, nbl-children-freed-first, nbl-parent-retained
// legal: nbl-cloned near clone-copy-right-direction, nbl-parent-not-overwritten

/// Sends a clone of each send, and keeps the send until the clone is back.
fn send_clones(
    module: &'static Module,
    mut lists: Lists,
    port: NDIS_PORT_NUMBER,
    flags: u32,
) -> Lists {
    let mut clones = Chain::new();
    while !lists.is_null() {
        let next = next(lists);
        set_next(lists, null_mut());
        // SAFETY: the driver has the list; the pools may be left out.
        let clone =
            unsafe { NdisAllocateCloneNetBufferList(lists, packet::pool(module), null_mut(), 0) };
        // SAFETY: both lists are the driver's at the moment.
        unsafe { NdisCopySendNetBufferListInfo(clone, lists) };
        // SAFETY: the clone is the driver's own.
        unsafe { (*clone).SourceHandle = module.handle };
        // SAFETY: as above.
        unsafe { (*clone).ParentNetBufferList = lists };
        clones.push(clone);
        packet::count(module, 1);
        lists = next;
    }
    // SAFETY: the module runs; the clones are its own.
    unsafe { NdisFSendNetBufferLists(module.handle, clones.first, port, flags) };
    null_mut()
}

/// Frees the clones, and completes the sends that they are of.
fn complete_parents(module: &'static Module, mut clones: Lists, flags: u32) -> Lists {
    let mut parents = Chain::new();
    let mut count = 0;
    while !clones.is_null() {
        let next = next(clones);
        // SAFETY: a clone that has come back.
        let clone = unsafe { clones.read() };
        // SAFETY: as above.
        unsafe { NdisFreeCloneNetBufferList(clones, 0) };
        parents.push(clone.ParentNetBufferList);
        set_status(clone.ParentNetBufferList, clone.Status);
        count += 1;
        clones = next;
    }
    // SAFETY: kept since their sends.
    unsafe { NdisFSendNetBufferListsComplete(module.handle, parents.first, flags) };
    // Not before: a pause waits for the sends as well.
    packet::uncount(module, count);
    null_mut()
}

// legal: nbl-fragmented near derived-free-api-match, nbl-children-freed-first

/// Takes each send into pieces, puts it together again, and forgets both.
fn take_apart(_: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, _: u32) -> Lists {
    for list in chain(lists) {
        let none = null_mut();
        // SAFETY: the driver has the list; the pools may be left out.
        let pieces =
            unsafe { NdisAllocateFragmentNetBufferList(list, none, none, 14, 32, 8, 4, 0) };
        // SAFETY: the pieces are the driver's own.
        let whole = unsafe { NdisAllocateReassembledNetBufferList(pieces, none, 8, 14, 0, 0) };
        // SAFETY: allocated above.
        unsafe { NdisFreeReassembledNetBufferList(whole, 14, 0) };
        // SAFETY: allocated above.
        unsafe { NdisFreeFragmentNetBufferList(pieces, 8, 0) };
    }
    lists
}
