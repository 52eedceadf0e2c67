//! Packets that do not look as packets must, and flags that do not say what is.

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::Ordering;

use crate::abi::{
    NDIS_OBJECT_HEADER, NDIS_OBJECT_TYPE_DEFAULT, NDIS_PORT_NUMBER, NDIS_SEND_FLAGS_DISPATCH_LEVEL,
    NDIS_SIZEOF_NET_BUFFER_POOL_PARAMETERS_REVISION_1, NET_BUFFER_POOL_PARAMETERS,
    NET_BUFFER_POOL_PARAMETERS_REVISION_1, NdisAllocateNetBuffer, NdisAllocateNetBufferPool,
    NdisFIndicateReceiveNetBufferLists, NdisFSendNetBufferLists, NdisFreeNetBuffer,
    NdisFreeNetBufferPool,
};
use crate::driver;
use crate::module::Module;
use crate::packet::{self, FRAME, Lists, TAG, buffer, set_slot};
use crate::play::{NOTHING, Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "frame-longer-than-chain",
        send: Some(too_long),
        ..NOTHING
    },
    Play {
        name: "frame-two-received",
        receive: Some(indicate_two),
        ..packet::ORIGINATOR
    },
    Play {
        name: "frame-split-received",
        receive: Some(indicate_split),
        ..packet::ORIGINATOR
    },
    Play {
        name: "frame-split-sent",
        send: Some(send_split),
        ..packet::ORIGINATOR
    },
    Play {
        name: "frame-mixed-sent",
        send: Some(send_mixed),
        ..packet::ORIGINATOR
    },
    Play {
        name: "frame-large-sends",
        send: Some(send_large),
        ..packet::ORIGINATOR
    },
    Play {
        name: "frame-flag-at-passive",
        send: Some(claim_dispatch),
        ..NOTHING
    },
    Play {
        name: "frame-flag-in-work",
        work: Some(claim_dispatch_in_work),
        ..packet::ORIGINATOR
    },
    Play {
        name: "frame-several-sent",
        send: Some(send_several),
        send_complete: Some(take_apart),
        ..packet::ORIGINATOR
    },
];

/// Index of `TcpLargeSendNetBufferListInfo`.
const LARGE_SEND: usize = 2;

/// Claims more bytes than there are.
fn too_long(module: &'static Module, lists: Lists, port: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    // SAFETY: none: this is the fault.
    unsafe { (*buffer(lists)).DataLength = 0x10000 };
    // SAFETY: none: so is this.
    unsafe { NdisFSendNetBufferLists(module.handle, lists, port, flags) }; // caught: frame-longer-than-chain by nb-geometry-consistent
    null_mut()
}

/// A pool of NET_BUFFERs.
fn buffer_pool() -> *mut c_void {
    let parameters = NET_BUFFER_POOL_PARAMETERS {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_DEFAULT,
            Revision: NET_BUFFER_POOL_PARAMETERS_REVISION_1,
            Size: NDIS_SIZEOF_NET_BUFFER_POOL_PARAMETERS_REVISION_1,
        },
        PoolTag: TAG,
        DataSize: 0,
        Flags: 0,
    };
    // SAFETY: the driver's handle lives until unload; the parameters are valid for the call.
    unsafe { NdisAllocateNetBufferPool(driver::handle(), &raw const parameters) }
}

/// A list of the module's with a second NET_BUFFER, whose frame has a source of its own when `mixed`.
fn two(module: &Module, pool: *mut c_void, mixed: bool) -> Lists {
    let list = packet::over(module, packet::mdl(FRAME), FRAME);
    // SAFETY: the pool is open; the MDL has the bytes.
    let second = unsafe { NdisAllocateNetBuffer(pool, packet::mdl(FRAME), 0, u64::from(FRAME)) };
    if mixed {
        // SAFETY: the driver's own frame.
        unsafe { packet::start(second, 14).wrapping_add(11).write(9) };
    }
    // SAFETY: the driver's own list.
    unsafe { (*buffer(list)).Next = second };
    list
}

/// Indicates two frames in one list.
fn indicate_two(
    module: &'static Module,
    lists: Lists,
    _: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (Lists, u32) {
    let own = two(module, buffer_pool(), false);
    // SAFETY: none: this is the fault.
    unsafe { NdisFIndicateReceiveNetBufferLists(module.handle, own, 0, 1, flags) }; // caught: frame-two-received by eth-rx-one-nb
    (lists, count)
}

/// A list of the module's whose frame is cut in its header.
fn cut(module: &Module) -> Lists {
    let chain = packet::join(packet::mdl(10), packet::mdl(FRAME));
    packet::over(module, chain, FRAME)
}

/// Indicates a frame whose header is in two MDLs.
fn indicate_split(
    module: &'static Module,
    lists: Lists,
    _: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (Lists, u32) {
    let own = cut(module);
    // SAFETY: none: this is the fault.
    unsafe { NdisFIndicateReceiveNetBufferLists(module.handle, own, 0, 1, flags) }; // caught: frame-split-received by eth-rx-header-split
    (lists, count)
}

/// Sends a frame whose header is in two MDLs.
fn send_split(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    let own = cut(module);
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferLists(module.handle, own, 0, flags) }; // caught: frame-split-sent by eth-tx-mac-header
    lists
}

/// Sends frames of two sources in one list.
fn send_mixed(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    let own = two(module, buffer_pool(), true);
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferLists(module.handle, own, 0, flags) }; // caught: frame-mixed-sent by eth-tx-homogeneous
    lists
}

/// Asks for the segmentation of two frames in one list.
fn send_large(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    let own = two(module, buffer_pool(), false);
    set_slot(own, LARGE_SEND, 1460);
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferLists(module.handle, own, 0, flags) }; // caught: frame-large-sends by lso-single-nb
    lists
}

/// Claims to be at DISPATCH_LEVEL when it is not.
fn claim_dispatch(
    module: &'static Module,
    lists: Lists,
    port: NDIS_PORT_NUMBER,
    flags: u32,
) -> Lists {
    if flags & NDIS_SEND_FLAGS_DISPATCH_LEVEL != 0 {
        return lists;
    }
    let flags = flags | NDIS_SEND_FLAGS_DISPATCH_LEVEL;
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferLists(module.handle, lists, port, flags) }; // caught: frame-flag-at-passive by flags-dispatch-truthful with @large
    null_mut()
}

/// Claims to be at DISPATCH_LEVEL in a work item.
fn claim_dispatch_in_work(module: &'static Module) {
    let own = packet::make(module);
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferLists(module.handle, own, 0, NDIS_SEND_FLAGS_DISPATCH_LEVEL) }; // caught: frame-flag-in-work by wi-dispatch-flags-clear
    stay();
}

// legal: frame-several-sent near eth-tx-homogeneous, lso-single-nb, eth-rx-one-nb, sdv-alloc-netbuffer
// legal: frame-several-sent near pool-alloc-kind, nbl-free-preallocated-once, nb-geometry-consistent

/// Sends two frames of its own in one list, once; keeps the second one's pool.
fn send_several(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    if module.progress.swap(1, Ordering::AcqRel) == 0 {
        let pool = buffer_pool();
        let own = two(module, pool, false);
        module.keep(pool);
        packet::count(module, 1);
        // SAFETY: the module runs; the packet is its own.
        unsafe { NdisFSendNetBufferLists(module.handle, own, 0, flags) };
    }
    lists
}

/// Takes the list apart that has two frames, and frees all of it.
fn take_apart(module: &'static Module, lists: Lists, flags: u32) -> Lists {
    let (own, others) = packet::part(module, lists);
    if !own.is_null() {
        let first = buffer(own);
        // SAFETY: the driver's own list, which has come back with both NET_BUFFERs.
        let second = unsafe { (*first).Next };
        // SAFETY: as above.
        unsafe { (*first).Next = null_mut() };
        // SAFETY: the driver's own NET_BUFFER, in no list.
        packet::free_mdl(unsafe { (*second).MdlChain });
        // SAFETY: as above.
        unsafe { NdisFreeNetBuffer(second) };
        // SAFETY: every NET_BUFFER from it is freed.
        unsafe { NdisFreeNetBufferPool(module.take()) };
        packet::reclaim(module, own, flags);
    }
    others
}
