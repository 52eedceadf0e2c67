//! Sends completed with something changed that belongs to their owner.

use core::ptr::null_mut;

use crate::abi::{
    MDL, NDIS_NBL_FLAGS_SEND_READ_ONLY, NDIS_PORT_NUMBER, NDIS_STATUS_SUCCESS, NET_BUFFER,
    NdisAdvanceNetBufferDataStart, NdisAllocateNetBufferListContext,
    NdisFSendNetBufferListsComplete, NdisFreeNetBufferListContext, NdisRetreatNetBufferDataStart,
};
use crate::datapath::{chain, complete_flags};
use crate::module::Module;
use crate::packet::{self, Lists, buffer, set_slot, set_status};
use crate::play::{NOTHING, Play};

pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "nbl-owner-changed",
        send: Some(owner),
        ..NOTHING
    },
    Play {
        name: "nbl-parent-changed",
        send: Some(parent),
        ..NOTHING
    },
    Play {
        name: "nbl-cancel-id-changed",
        send: Some(cancel_id),
        ..NOTHING
    },
    Play {
        name: "nbl-out-of-band-changed",
        send: Some(out_of_band),
        ..NOTHING
    },
    Play {
        name: "nbl-reserved-used",
        send: Some(reserved),
        ..NOTHING
    },
    Play {
        name: "nbl-buffers-taken",
        send: Some(buffers),
        ..NOTHING
    },
    Play {
        name: "nbl-context-left",
        send: Some(context),
        ..NOTHING
    },
    Play {
        name: "nbl-retreat-left",
        send: Some(retreat),
        ..NOTHING
    },
    Play {
        name: "nbl-length-changed",
        send: Some(length),
        ..NOTHING
    },
    Play {
        name: "nbl-chain-changed",
        send: Some(lengthen),
        ..NOTHING
    },
    Play {
        name: "nbl-mdl-changed",
        send: Some(mdl),
        ..NOTHING
    },
    Play {
        name: "nbl-frame-written",
        send: Some(write),
        ..NOTHING
    },
    Play {
        name: "nbl-restored",
        send: Some(restore),
        ..NOTHING
    },
];

const CONTEXT: u16 = 16;

/// Index of `NetBufferListCancelId` and `NetBufferListHashValue`.
const CANCEL_ID: usize = 5;
const HASH: usize = 8;

/// Writes its own handle into a list of somebody else's.
fn owner(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    set_status(lists, NDIS_STATUS_SUCCESS);
    // SAFETY: none: this is the fault.
    unsafe { (*lists).SourceHandle = module.handle };
    // SAFETY: the lists that this send brought.
    unsafe { NdisFSendNetBufferListsComplete(module.handle, lists, complete_flags(flags)) }; // caught: nbl-owner-changed by nbl-sourcehandle-foreign
    null_mut()
}

/// Makes a list the child of another.
fn parent(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    set_status(lists, NDIS_STATUS_SUCCESS);
    // SAFETY: none: this is the fault.
    unsafe { (*lists).ParentNetBufferList = lists };
    // SAFETY: the lists that this send brought.
    unsafe { NdisFSendNetBufferListsComplete(module.handle, lists, complete_flags(flags)) }; // caught: nbl-parent-changed by nbl-parent-not-overwritten
    null_mut()
}

/// Gives a list another cancel id.
fn cancel_id(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    set_status(lists, NDIS_STATUS_SUCCESS);
    set_slot(lists, CANCEL_ID, 1);
    // SAFETY: the lists that this send brought.
    unsafe { NdisFSendNetBufferListsComplete(module.handle, lists, complete_flags(flags)) }; // caught: nbl-cancel-id-changed by cancel-foreign-id-kept
    null_mut()
}

/// Changes what travels beside a list.
fn out_of_band(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    set_status(lists, NDIS_STATUS_SUCCESS);
    set_slot(lists, HASH, 1);
    // SAFETY: the lists that this send brought.
    unsafe { NdisFSendNetBufferListsComplete(module.handle, lists, complete_flags(flags)) }; // caught: nbl-out-of-band-changed by lab-nbl-oob-intact
    null_mut()
}

/// Keeps something where protocols keep theirs.
fn reserved(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    set_status(lists, NDIS_STATUS_SUCCESS);
    // SAFETY: none: this is the fault.
    unsafe { (*lists).ProtocolReserved = [module.context(); 4] };
    // SAFETY: the lists that this send brought.
    unsafe { NdisFSendNetBufferListsComplete(module.handle, lists, complete_flags(flags)) }; // caught: nbl-reserved-used by nbl-reserved-fields
    null_mut()
}

/// Takes the NET_BUFFERs out of a list.
fn buffers(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    set_status(lists, NDIS_STATUS_SUCCESS);
    // SAFETY: none: this is the fault.
    unsafe { (*lists).FirstNetBuffer = null_mut() };
    // SAFETY: the lists that this send brought.
    unsafe { NdisFSendNetBufferListsComplete(module.handle, lists, complete_flags(flags)) }; // caught: nbl-buffers-taken by nb-not-moved-between-nbls
    null_mut()
}

/// Forgets context that it has added.
fn context(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    set_status(lists, NDIS_STATUS_SUCCESS);
    // SAFETY: the driver has the list.
    unsafe { NdisAllocateNetBufferListContext(lists, CONTEXT, 0, packet::TAG) };
    // SAFETY: the lists that this send brought.
    unsafe { NdisFSendNetBufferListsComplete(module.handle, lists, complete_flags(flags)) }; // caught: nbl-context-left by nbl-context-balanced
    null_mut()
}

/// Forgets data that it has put in front.
fn retreat(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    set_status(lists, NDIS_STATUS_SUCCESS);
    // SAFETY: the driver has the list.
    unsafe { NdisRetreatNetBufferDataStart(buffer(lists), 8, 0, None) };
    // SAFETY: the lists that this send brought.
    unsafe { NdisFSendNetBufferListsComplete(module.handle, lists, complete_flags(flags)) }; // caught: nbl-retreat-left by nb-retreat-advance-balanced
    null_mut()
}

/// Makes a packet shorter.
fn length(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    set_status(lists, NDIS_STATUS_SUCCESS);
    let buffer = buffer(lists);
    // SAFETY: the buffer of a list that this send brought.
    let length = unsafe { &mut (*buffer).DataLength };
    // None of the filter's business: this is the fault.
    *length = length.wrapping_sub(1);
    // SAFETY: the lists that this send brought.
    unsafe { NdisFSendNetBufferListsComplete(module.handle, lists, complete_flags(flags)) }; // caught: nbl-length-changed by nbl-descriptor-undo
    null_mut()
}

/// The last MDL of a NET_BUFFER.
fn last(buffer: *mut NET_BUFFER) -> *mut MDL {
    // SAFETY: a NET_BUFFER of a list that the driver has.
    let mut mdl = unsafe { (*buffer).MdlChain };
    loop {
        // SAFETY: as above.
        let next = unsafe { (*mdl).Next };
        if next.is_null() {
            return mdl;
        }
        mdl = next;
    }
}

/// Adds an MDL behind those of a packet.
fn lengthen(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    set_status(lists, NDIS_STATUS_SUCCESS);
    packet::join(last(buffer(lists)), packet::mdl(packet::FRAME));
    // SAFETY: the lists that this send brought.
    unsafe { NdisFSendNetBufferListsComplete(module.handle, lists, complete_flags(flags)) }; // caught: nbl-chain-changed by nbl-nb-list-unmodified-at-handback
    null_mut()
}

/// Makes an MDL longer than its memory.
fn mdl(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    set_status(lists, NDIS_STATUS_SUCCESS);
    let mdl = last(buffer(lists));
    // SAFETY: an MDL of a list that this send brought.
    let count = unsafe { &mut (*mdl).ByteCount };
    // None of the filter's business: this is the fault.
    *count = count.wrapping_add(1);
    // SAFETY: the lists that this send brought.
    unsafe { NdisFSendNetBufferListsComplete(module.handle, lists, complete_flags(flags)) }; // caught: nbl-mdl-changed by mdl-not-modified
    null_mut()
}

/// Whether a packet is read-only, and its first MDL holds nothing else.
fn is_bare_read_only(list: Lists) -> bool {
    let buffer = buffer(list);
    // SAFETY: a list that the driver has.
    let flags = unsafe { (*list).NblFlags };
    // SAFETY: as above.
    let buffer = unsafe { buffer.read() };
    // SAFETY: as above.
    let bytes = unsafe { (*buffer.CurrentMdl).ByteCount };
    flags & NDIS_NBL_FLAGS_SEND_READ_ONLY != 0
        && buffer.DataOffset == 0
        && bytes < buffer.DataLength
}

/// Writes into a frame that is not to be written.
fn write(_: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, _: u32) -> Lists {
    if let Some(list) = chain(lists).find(|list| is_bare_read_only(*list)) {
        let start = packet::start(buffer(list), 14);
        // SAFETY: none: this is the fault.
        unsafe { *start = 0xFF }; // caught: nbl-frame-written by nbl-read-only with @large
    }
    lists
}

// legal: nbl-restored near nbl-sourcehandle-foreign, nbl-parent-not-overwritten, cancel-foreign-id-kept
// legal: nbl-restored near nbl-reserved-fields, nb-not-moved-between-nbls, nbl-context-balanced
// legal: nbl-restored near nb-retreat-advance-balanced, nbl-descriptor-undo, nbl-nb-list-unmodified-at-handback
// legal: nbl-restored near mdl-not-modified, nbl-read-only, nb-retreat-status, nbl-context-size-multiple

/// Changes much of what a send has, puts it back as it was, and passes the send on.
fn restore(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, _: u32) -> Lists {
    for list in chain(lists) {
        // SAFETY: the driver has the list.
        unsafe { (*list).Scratch = module.context() };
        // SAFETY: as above.
        let allocated =
            unsafe { NdisAllocateNetBufferListContext(list, CONTEXT, CONTEXT, packet::TAG) };
        if allocated == NDIS_STATUS_SUCCESS {
            // SAFETY: allocated above.
            unsafe { NdisFreeNetBufferListContext(list, CONTEXT) };
        }
        let buffer = buffer(list);
        // SAFETY: as above.
        if unsafe { NdisRetreatNetBufferDataStart(buffer, 100, 20, None) } == NDIS_STATUS_SUCCESS {
            // SAFETY: retreated above by as much.
            unsafe { NdisAdvanceNetBufferDataStart(buffer, 100, 1, None) };
        }
        // SAFETY: as above.
        unsafe { (*list).FirstNetBuffer = null_mut() };
        // SAFETY: as above.
        unsafe { (*list).FirstNetBuffer = buffer };
    }
    lists
}
