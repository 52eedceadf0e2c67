//! Packets that leave in another order than they came in, or twice, or wait in too great a number.

use core::ptr::null_mut;

use crate::abi::{
    NDIS_FILTER_DRIVER_CHARACTERISTICS, NDIS_HANDLE, NDIS_PORT_NUMBER, NDIS_STATUS_SUCCESS,
    NdisFSendNetBufferLists, NdisFSendNetBufferListsComplete,
};
use crate::datapath::{self, complete_flags};
use crate::fault::nbl_touch;
use crate::module::Module;
use crate::packet::{self, Chain, Lists, next, set_next};
use crate::play::{NOTHING, Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "passage-reversed",
        send: Some(send_reversed),
        ..NOTHING
    },
    Play {
        name: "passage-overtaken",
        send: Some(send_behind),
        cancel_send: Some(nbl_touch::cancel),
        pause: Some(nbl_touch::let_go),
        ..NOTHING
    },
    Play {
        name: "passage-kept",
        characteristics: Some(keep_many),
        cancel_send: Some(nbl_touch::cancel),
        pause: Some(nbl_touch::let_go),
        ..NOTHING
    },
    Play {
        name: "passage-in-order",
        send: Some(send_in_order),
        ..NOTHING
    },
    Play {
        name: "passage-twice",
        send: Some(send_twice),
        cancel_send: Some(packet::forward_cancel),
        ..packet::ORIGINATOR
    },
    Play {
        name: "passage-copied",
        send: Some(send_copies),
        cancel_send: Some(packet::forward_cancel),
        ..packet::ORIGINATOR
    },
];

/// Sends a chain with its last list first.
fn send_reversed(
    module: &'static Module,
    lists: Lists,
    port: NDIS_PORT_NUMBER,
    flags: u32,
) -> Lists {
    let (mut reversed, mut rest) = (null_mut(), lists);
    while !rest.is_null() {
        let after = next(rest);
        set_next(rest, reversed);
        (reversed, rest) = (rest, after);
    }
    // SAFETY: the lists that this send brought; their order is the fault.
    unsafe { NdisFSendNetBufferLists(module.handle, reversed, port, flags) }; // caught: passage-reversed by lab-packets-in-order with --ordered @large
    stay();
    null_mut()
}

/// Holds the first chain until the next one has been sent.
fn send_behind(module: &'static Module, lists: Lists, port: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    let before = module.sends.take();
    if before.is_null() {
        module.sends.push(lists);
        return null_mut();
    }
    // SAFETY: the lists that this send brought.
    unsafe { NdisFSendNetBufferLists(module.handle, lists, port, flags) };
    // SAFETY: held since their send; that they come later is the fault.
    unsafe { NdisFSendNetBufferLists(module.handle, before, port, flags) }; // caught: passage-overtaken by lab-packets-in-order with --ordered @large
    stay();
    null_mut()
}

/// What waits is reported with the handler that kept it, so this play has its own.
fn keep_many(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.SendNetBufferListsHandler = Some(keeping_send);
}

/// Holds sends until the pause.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn keeping_send( // caught: passage-kept by lab-hold-limit with --hold-limit=3 @large
    context: NDIS_HANDLE,
    lists: Lists,
    port: NDIS_PORT_NUMBER,
    flags: u32,
) {
    keep_or_send(context, lists, port, flags);
    stay();
}

#[inline(never)]
fn keep_or_send(context: NDIS_HANDLE, lists: Lists, port: NDIS_PORT_NUMBER, flags: u32) {
    let module = Module::of(context);
    if module.enter() {
        module.sends.push(lists);
        module.leave();
    } else {
        datapath::send(context, lists, port, flags);
    }
}

// legal: passage-in-order near lab-packets-in-order, lab-packet-once, lab-hold-limit with --ordered --hold-limit=0 @large

/// Sends each list of a chain by itself.
fn send_in_order(
    module: &'static Module,
    lists: Lists,
    port: NDIS_PORT_NUMBER,
    flags: u32,
) -> Lists {
    let mut rest = lists;
    while !rest.is_null() {
        let after = next(rest);
        set_next(rest, null_mut());
        // SAFETY: one of the lists that this send brought.
        unsafe { NdisFSendNetBufferLists(module.handle, rest, port, flags) };
        rest = after;
    }
    null_mut()
}

/// A packet of the driver's with the frame of a list, which counts as out; null if that is not a single one of ordinary
/// length, or there is no memory for it.
fn copy_of(module: &Module, list: Lists) -> Lists {
    let buffer = packet::buffer(list);
    // SAFETY: a NET_BUFFER of a list that the driver has.
    let after = unsafe { (*buffer).Next };
    // SAFETY: as above.
    let bytes = unsafe { (*buffer).DataLength };
    if !after.is_null() || !(14..=1514).contains(&bytes) {
        return null_mut();
    }
    let copy = packet::copy(module, list);
    if !copy.is_null() {
        packet::count(module, 1);
    }
    copy
}

/// Sends a copy of each list, and the list.
fn send_twice(module: &'static Module, lists: Lists, port: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    let mut rest = lists;
    while !rest.is_null() {
        let after = next(rest);
        set_next(rest, null_mut());
        let copy = copy_of(module, rest);
        if !copy.is_null() {
            // SAFETY: the module runs; the packet is its own.
            unsafe { NdisFSendNetBufferLists(module.handle, copy, port, flags) };
        }
        // SAFETY: one of the lists that this send brought; that it has left as a copy is the fault.
        unsafe { NdisFSendNetBufferLists(module.handle, rest, port, flags) }; // caught: passage-twice by lab-packet-once with --ordered @large
        stay();
        rest = after;
    }
    null_mut()
}

// legal: passage-copied near lab-packet-once, lab-packets-in-order with --ordered @large

/// Sends a copy of each list in its place, and completes the list.
fn send_copies(module: &'static Module, lists: Lists, port: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    let (mut leaving, mut done, mut rest) = (Chain::new(), Chain::new(), lists);
    while !rest.is_null() {
        let after = next(rest);
        set_next(rest, null_mut());
        let copy = copy_of(module, rest);
        if copy.is_null() {
            leaving.push(rest);
        } else {
            leaving.push(copy);
            done.push(rest);
        }
        rest = after;
    }
    // SAFETY: the module runs; the lists are its own, or this send brought them.
    unsafe { NdisFSendNetBufferLists(module.handle, leaving.first, port, flags) };
    if !done.first.is_null() {
        packet::set_status(done.first, NDIS_STATUS_SUCCESS);
        // SAFETY: lists that this send brought.
        unsafe {
            NdisFSendNetBufferListsComplete(module.handle, done.first, complete_flags(flags))
        };
    }
    null_mut()
}
