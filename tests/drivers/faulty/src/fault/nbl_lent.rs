//! Receives that were only lent (`NDIS_RECEIVE_FLAGS_RESOURCES`).

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::abi::{
    KeStallExecutionProcessor, MmIsAddressValid, NDIS_FILTER_DRIVER_CHARACTERISTICS, NDIS_HANDLE,
    NDIS_PORT_NUMBER, NDIS_RECEIVE_FLAGS_RESOURCES, NET_BUFFER_LIST, NdisAllocateIoWorkItem,
    NdisCopyReceiveNetBufferListInfo, NdisFIndicateReceiveNetBufferLists,
    NdisFReturnNetBufferLists, NdisFreeIoWorkItem, NdisQueueIoWorkItem,
};
use crate::datapath::{self, chain, return_flags};
use crate::driver;
use crate::module::Module;
use crate::packet::{self, Chain, Lists, next};
use crate::play::{NOTHING, Play};

pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "nbl-lent-returned",
        receive: Some(return_lent),
        ..NOTHING
    },
    Play {
        name: "nbl-lent-reversed",
        characteristics: Some(reverse),
        ..NOTHING
    },
    Play {
        name: "nbl-lent-unflagged",
        characteristics: Some(unflag),
        returned: Some(return_given),
        ..NOTHING
    },
    Play {
        name: "nbl-lent-still-out",
        characteristics: Some(leave_out),
        ..NOTHING
    },
    Play {
        name: "nbl-lent-copied",
        receive: Some(copy),
        ..packet::ORIGINATOR
    },
    Play {
        name: "nbl-lent-own-left",
        detach: Some(leave),
        receive: Some(lend_own),
        ..packet::ORIGINATOR
    },
    Play {
        name: "nbl-lent-own",
        receive: Some(lend_own_and_free),
        ..packet::ORIGINATOR
    },
];

/// Returns what it was only lent.
fn return_lent(
    module: &'static Module,
    lists: Lists,
    _: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (Lists, u32) {
    if flags & NDIS_RECEIVE_FLAGS_RESOURCES == 0 {
        return (lists, count);
    }
    // SAFETY: none: this is the fault.
    unsafe { NdisFReturnNetBufferLists(module.handle, lists, return_flags(flags)) }; // caught: nbl-lent-returned by nbl-return-not-resources with --disturb @large
    (null_mut(), 0)
}

/// What is wrong when an indication returns is reported with its handler: each play has its own.
fn reverse(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.ReceiveNetBufferListsHandler = Some(reversing);
}

/// Turns the chain round that it was lent.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn reversing( // caught: nbl-lent-reversed by rx-resources-chain-restored with --disturb @large
    context: NDIS_HANDLE,
    lists: Lists,
    port: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) {
    datapath::receive(context, lists, port, count, flags);
    if flags & NDIS_RECEIVE_FLAGS_RESOURCES != 0 && count > 1 {
        let (mut rest, mut turned) = (lists, null_mut());
        while !rest.is_null() {
            let next = next(rest);
            packet::set_next(rest, turned);
            (turned, rest) = (rest, next);
        }
    }
}

fn unflag(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.ReceiveNetBufferListsHandler = Some(unflagging);
}

/// Lists that were indicated as if they were given; no indication has more.
static UNFLAGGED: [AtomicPtr<NET_BUFFER_LIST>; 64] = [const { AtomicPtr::new(null_mut()) }; 64];

/// Indicates what it was lent as if it were given, one chain at a time.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn unflagging( // caught: nbl-lent-unflagged by rx-resources-indicate-flag with --disturb @large
    context: NDIS_HANDLE,
    lists: Lists,
    port: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) {
    let module = Module::of(context);
    if flags & NDIS_RECEIVE_FLAGS_RESOURCES == 0 || module.progress.swap(1, Ordering::AcqRel) != 0 {
        return datapath::receive(context, lists, port, count, flags);
    }
    for (slot, list) in UNFLAGGED.iter().zip(chain(lists)) {
        slot.store(list, Ordering::Release);
    }
    datapath::receive(context, lists, port, count, flags & !NDIS_RECEIVE_FLAGS_RESOURCES);
    for slot in &UNFLAGGED {
        slot.store(null_mut(), Ordering::Release);
    }
    module.progress.store(0, Ordering::Release);
}

/// Returns what was given, and not what was lent.
fn return_given(_: &'static Module, mut lists: Lists, _: u32) -> Lists {
    let mut given = Chain::new();
    while !lists.is_null() {
        let next = next(lists);
        let is_it = |slot: &AtomicPtr<NET_BUFFER_LIST>| slot.load(Ordering::Acquire) == lists;
        if !UNFLAGGED.iter().any(is_it) {
            given.push(lists);
        }
        lists = next;
    }
    given.first
}

fn leave_out(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.ReceiveNetBufferListsHandler = Some(leaving);
}

/// How far the work item is with what was lent: asked for, done; or the handler has returned.
const ASKED: u32 = 1;
const DONE: u32 = 2;
const LEFT: u32 = 3;

/// Lets a work item indicate what it was lent, and returns as soon as that is under way.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn leaving( // caught: nbl-lent-still-out by rx-resources-regain-before-return with --disturb @large
    context: NDIS_HANDLE,
    lists: Lists,
    port: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) {
    let module = Module::of(context);
    let is_free = || module.progress.compare_exchange(0, ASKED, Ordering::AcqRel, Ordering::Acquire).is_ok();
    if flags & NDIS_RECEIVE_FLAGS_RESOURCES == 0 || !is_free() {
        return datapath::receive(context, lists, port, count, flags);
    }
    module.keep(lists.cast());
    module.out.store(0, Ordering::Release);
    module.begin();
    // SAFETY: the driver's handle lives until unload.
    let item = unsafe { NdisAllocateIoWorkItem(driver::handle()) };
    // SAFETY: the item waits for no run; the context lives until `busy` is zero.
    unsafe { NdisQueueIoWorkItem(item, Some(indicate), context) };
    while module.progress.load(Ordering::Acquire) != DONE {
        if !is_here(lists) {
            module.progress.store(LEFT, Ordering::Release);
            return;
        }
        // The work item may go on: this handler looks once more.
        module.out.store(1, Ordering::Release);
    }
    module.progress.store(0, Ordering::Release);
}

/// Whether a list is in the filter's reach: it is not, while another driver has it.
fn is_here(list: Lists) -> bool {
    // SAFETY: callable up to DISPATCH_LEVEL with any address.
    unsafe { MmIsAddressValid(list.cast()) != 0 }
}

/// Waits until the handler has seen what it was lent in its reach; tells whether it is still there.
fn may_go_on(module: &Module) -> bool {
    // What the handler saw before is of no use.
    module.out.store(0, Ordering::Release);
    loop {
        if module.progress.load(Ordering::Acquire) == LEFT {
            return false;
        }
        if module.out.swap(0, Ordering::AcqRel) != 0 {
            return true;
        }
        // SAFETY: callable at any level.
        unsafe { KeStallExecutionProcessor(1) };
    }
}

/// Indicates what a handler was lent, again and again: each time the handler may see that it is under way.
extern "system" fn indicate(context: *mut c_void, item: NDIS_HANDLE) {
    // SAFETY: the item is the handler's, and runs for the only time.
    unsafe { NdisFreeIoWorkItem(item) };
    let module = Module::of(context);
    let lists: Lists = module.take().cast();
    let count = chain(lists).count() as u32;
    let (handle, flags) = (module.handle, NDIS_RECEIVE_FLAGS_RESOURCES);
    for _ in 0..64 {
        if !may_go_on(module) {
            break;
        }
        // SAFETY: lent: the handler waits until this is under way.
        unsafe { NdisFIndicateReceiveNetBufferLists(handle, lists, 0, count, flags) };
    }
    let order = Ordering::AcqRel;
    let is_there = module
        .progress
        .compare_exchange(ASKED, DONE, order, Ordering::Acquire);
    if is_there.is_err() {
        module.progress.store(0, Ordering::Release);
    }
    module.end();
}

// legal: nbl-lent-copied near rx-resources-not-kept, rx-resources-copy-to-queue, rx-resources-chain-restored with --disturb @large
// legal: nbl-lent-copied near rx-resources-regain-before-return, rx-resources-indicate-flag, nbl-return-not-resources with --disturb @large
// legal: nbl-lent-copied near lab-packet-once, lab-packets-in-order with --ordered --disturb @large
// legal: nbl-lent-copied near nbl-sourcehandle-own-receive, nbl-own-not-returned-down, clone-copy-right-direction with --disturb @large

/// Indicates copies of what it is lent, which live as long as they need; what there is no memory for is dropped.
fn copy(
    module: &'static Module,
    lists: Lists,
    port: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (Lists, u32) {
    if flags & NDIS_RECEIVE_FLAGS_RESOURCES == 0 {
        return (lists, count);
    }
    let (mut copies, mut made) = (Chain::new(), 0);
    for list in chain(lists) {
        let copy = packet::copy(module, list);
        if copy.is_null() {
            continue;
        }
        // SAFETY: both lists are the driver's at the moment.
        unsafe { NdisCopyReceiveNetBufferListInfo(copy, list) };
        copies.push(copy);
        made += 1;
    }
    if copies.first.is_null() {
        return (null_mut(), 0);
    }
    packet::count(module, made);
    let flags = flags & !NDIS_RECEIVE_FLAGS_RESOURCES;
    // SAFETY: the module runs; the copies are its own.
    unsafe { NdisFIndicateReceiveNetBufferLists(module.handle, copies.first, port, made, flags) };
    (null_mut(), 0)
}

/// Indicates a packet of its own that nobody returns, and forgets it.
fn lend_own(
    module: &'static Module,
    lists: Lists,
    _: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (Lists, u32) {
    if module.progress.swap(1, Ordering::AcqRel) == 0 {
        let own = packet::over(module, null_mut(), 0);
        let flags = flags | NDIS_RECEIVE_FLAGS_RESOURCES;
        // SAFETY: the module runs; the packet is its own.
        unsafe { NdisFIndicateReceiveNetBufferLists(module.handle, own, 0, 1, flags) }; // caught: nbl-lent-own-left by rx-resources-reclaim-inline with @large
    }
    (lists, count)
}

/// Leaves the pool as it is, with a packet.
fn leave(_: &'static Module) -> bool {
    true
}

// legal: nbl-lent-own near rx-resources-reclaim-inline, detach-no-nbl, pool-freed-after-nbls with @large

/// Indicates a packet of its own that nobody returns, and frees it.
fn lend_own_and_free(
    module: &'static Module,
    lists: Lists,
    _: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (Lists, u32) {
    let own = packet::over(module, packet::mdl(packet::FRAME), packet::FRAME);
    let lent = flags | NDIS_RECEIVE_FLAGS_RESOURCES;
    // SAFETY: the module runs; the packet is its own.
    unsafe { NdisFIndicateReceiveNetBufferLists(module.handle, own, 0, 1, lent) };
    packet::free(own);
    (lists, count)
}
