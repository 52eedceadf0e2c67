//! Packets touched when they are no longer the driver's, or read where there is nothing of them.

use core::ffi::c_void;
use core::hint::black_box;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::abi::{
    DISPATCH_LEVEL, KeGetCurrentIrql, NDIS_NBL_FLAGS_HD_SPLIT, NDIS_PORT_NUMBER,
    NDIS_RECEIVE_FLAGS_RESOURCES, NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL, NDIS_STATUS,
    NDIS_STATUS_SEND_ABORTED, NDIS_STATUS_SUCCESS, NET_BUFFER, NET_BUFFER_LIST,
    NdisFCancelSendNetBufferLists, NdisFIndicateReceiveNetBufferLists, NdisFReturnNetBufferLists,
    NdisFSendNetBufferLists, NdisFSendNetBufferListsComplete, NdisMSleep,
};
use crate::datapath::{chain, complete_flags, return_flags};
use crate::module::Module;
use crate::packet::{self, Chain, Lists, buffer, next, set_status};
use crate::play::{NOTHING, Play};

pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "nbl-touched-sent",
        send: Some(touch_sent),
        send_complete: Some(see_back),
        ..NOTHING
    },
    Play {
        name: "nbl-touched-indicated",
        receive: Some(touch_indicated),
        returned: Some(see_back),
        ..NOTHING
    },
    Play {
        name: "nbl-touched-completed",
        send: Some(touch_completed),
        ..NOTHING
    },
    Play {
        name: "nbl-touched-returned",
        receive: Some(touch_returned),
        ..NOTHING
    },
    Play {
        name: "nbl-sent-twice",
        send: Some(send_twice),
        send_complete: Some(keep_once),
        ..NOTHING
    },
    Play {
        name: "nbl-indicated-twice",
        receive: Some(indicate_twice),
        returned: Some(keep_once),
        ..NOTHING
    },
    Play {
        name: "nbl-lent-touched-later",
        receive: Some(keep_lent),
        pause: Some(touch_lent),
        ..NOTHING
    },
    Play {
        name: "nbl-lent-touched-in-work",
        receive: Some(keep_lent),
        work: Some(touch_lent_in_work),
        ..NOTHING
    },
    Play {
        name: "nbl-header-read-later",
        receive: Some(keep_split),
        pause: Some(read_header),
        ..NOTHING
    },
    Play {
        name: "nbl-read-past-mdl",
        receive: Some(read_past),
        ..NOTHING
    },
    Play {
        name: "nbl-read-before-data",
        receive: Some(read_before),
        ..NOTHING
    },
    Play {
        name: "nbl-used-freed",
        attach: Some(use_freed),
        ..packet::ORIGINATOR
    },
    Play {
        name: "nbl-held",
        send: Some(hold_send),
        receive: Some(hold_receive),
        cancel_send: Some(cancel),
        pause: Some(let_go),
        work: Some(let_go_in_time),
        ..NOTHING
    },
];

/// The list to touch, as long as it is away.
static WATCHED: AtomicPtr<NET_BUFFER_LIST> = AtomicPtr::new(null_mut());

/// Notes that the list has come back.
fn see_back(_: &'static Module, lists: Lists, _: u32) -> Lists {
    for list in chain(lists) {
        let _ = WATCHED.compare_exchange(list, null_mut(), Ordering::AcqRel, Ordering::Acquire);
    }
    lists
}

/// Whether the list is away, and nobody has touched it.
fn is_away(list: Lists) -> bool {
    WATCHED.load(Ordering::Acquire) == list
}

/// Reads a send that is on its way.
fn touch_sent(module: &'static Module, lists: Lists, port: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    WATCHED.store(lists, Ordering::Release);
    // SAFETY: the module runs; the lists are passed on once.
    unsafe { NdisFSendNetBufferLists(module.handle, lists, port, flags) };
    if is_away(lists) {
        // SAFETY: none: this is the fault.
        black_box(unsafe { (*lists).Status }); // caught: nbl-touched-sent by nbl-no-touch-after-send with @large
    }
    null_mut()
}

/// Reads a receive that is with a protocol.
fn touch_indicated(
    module: &'static Module,
    lists: Lists,
    port: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (Lists, u32) {
    if flags & NDIS_RECEIVE_FLAGS_RESOURCES != 0 {
        return (lists, count);
    }
    let buffer = buffer(lists);
    WATCHED.store(lists, Ordering::Release);
    // SAFETY: the module runs; the lists are passed on once.
    unsafe { NdisFIndicateReceiveNetBufferLists(module.handle, lists, port, count, flags) };
    if is_away(lists) {
        // SAFETY: none: this is the fault.
        black_box(unsafe { (*buffer).DataLength }); // caught: nbl-touched-indicated by nbl-no-touch-after-indicate with @large
    }
    (null_mut(), 0)
}

/// Reads a send that is with its owner.
fn touch_completed(
    module: &'static Module,
    lists: Lists,
    _: NDIS_PORT_NUMBER,
    flags: u32,
) -> Lists {
    set_status(lists, NDIS_STATUS_SUCCESS);
    // SAFETY: the lists that this send brought.
    unsafe { NdisFSendNetBufferListsComplete(module.handle, lists, complete_flags(flags)) };
    // SAFETY: none: this is the fault.
    black_box(unsafe { (*lists).Next }); // caught: nbl-touched-completed by nbl-no-touch-after-complete
    null_mut()
}

/// Reads a frame that is with the miniport.
fn touch_returned(
    module: &'static Module,
    lists: Lists,
    _: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (Lists, u32) {
    if flags & NDIS_RECEIVE_FLAGS_RESOURCES != 0 {
        return (lists, count);
    }
    let start = packet::start(buffer(lists), 1);
    // SAFETY: the lists that this indication brought.
    unsafe { NdisFReturnNetBufferLists(module.handle, lists, return_flags(flags)) };
    // SAFETY: none: this is the fault.
    black_box(unsafe { *start }); // caught: nbl-touched-returned by nbl-no-touch-after-return
    (null_mut(), 0)
}

/// How far a list is that goes out twice: not yet back, or back once.
const OUT: u32 = 1;
const BACK: u32 = 2;

/// Takes the first list off a chain, unless another is out twice.
fn first_of(module: &Module, lists: Lists) -> Option<Lists> {
    let order = Ordering::AcqRel;
    let is_free = module
        .progress
        .compare_exchange(0, OUT, order, Ordering::Acquire);
    is_free.ok()?;
    module.keep(lists.cast());
    let rest = next(lists);
    packet::set_next(lists, null_mut());
    Some(rest)
}

/// Keeps the list when it comes back for the first time: if that is before it goes out again, that is lawful.
fn keep_once(module: &'static Module, mut lists: Lists, _: u32) -> Lists {
    let mut others = Chain::new();
    while !lists.is_null() {
        let next = next(lists);
        if module.kept.load(Ordering::Acquire) != lists.cast() {
            others.push(lists);
        } else if module.progress.swap(BACK, Ordering::AcqRel) == BACK {
            module.take();
            module.progress.store(0, Ordering::Release);
            others.push(lists);
        }
        lists = next;
    }
    others.first
}

/// Sends a list once more at once.
fn send_twice(module: &'static Module, lists: Lists, port: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    let Some(rest) = first_of(module, lists) else {
        return lists;
    };
    // SAFETY: the module runs; the list is the filter's.
    unsafe { NdisFSendNetBufferLists(module.handle, lists, port, flags) };
    // SAFETY: none: this is the fault, unless the list has come back.
    unsafe { NdisFSendNetBufferLists(module.handle, lists, port, flags) }; // caught: nbl-sent-twice by nbl-no-touch-after-send with @large
    rest
}

/// Indicates a list once more at once.
fn indicate_twice(
    module: &'static Module,
    lists: Lists,
    port: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (Lists, u32) {
    if flags & NDIS_RECEIVE_FLAGS_RESOURCES != 0 {
        return (lists, count);
    }
    let Some(rest) = first_of(module, lists) else {
        return (lists, count);
    };
    // SAFETY: the module runs; the list is the filter's.
    unsafe { NdisFIndicateReceiveNetBufferLists(module.handle, lists, port, 1, flags) };
    // SAFETY: none: this is the fault, unless the list has come back.
    unsafe { NdisFIndicateReceiveNetBufferLists(module.handle, lists, port, 1, flags) }; // caught: nbl-indicated-twice by nbl-no-touch-after-indicate with @large
    (rest, count.wrapping_sub(1))
}

/// A list that was only lent.
static LENT: AtomicPtr<NET_BUFFER_LIST> = AtomicPtr::new(null_mut());

/// Keeps the address of what it is lent.
fn keep_lent(
    _: &'static Module,
    lists: Lists,
    _: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (Lists, u32) {
    if flags & NDIS_RECEIVE_FLAGS_RESOURCES != 0 {
        LENT.store(lists, Ordering::Release);
    }
    (lists, count)
}

/// Reads what it was lent, when every indication has returned.
fn touch_lent(_: &'static Module) -> NDIS_STATUS {
    let list = LENT.load(Ordering::Acquire);
    if !list.is_null() {
        // SAFETY: none: this is the fault.
        black_box(unsafe { (*list).NblFlags }); // caught: nbl-lent-touched-later by rx-resources-not-kept with --disturb @large
    }
    NDIS_STATUS_SUCCESS
}

/// Longer than any indication takes, in microseconds.
const LONG_US: u32 = 10_000;

/// Reads what it was lent from a work item.
fn touch_lent_in_work(_: &'static Module) {
    let list = LENT.swap(null_mut(), Ordering::AcqRel);
    if !list.is_null() {
        // SAFETY: work items run at PASSIVE_LEVEL.
        unsafe { NdisMSleep(LONG_US) };
        // SAFETY: none: this is the fault.
        black_box(unsafe { (*list).NblFlags }); // caught: nbl-lent-touched-in-work by rx-resources-copy-to-queue with --disturb @large
    }
}

/// A receive whose header and data are split, and its header.
static SPLIT: AtomicPtr<NET_BUFFER_LIST> = AtomicPtr::new(null_mut());
static HEADER: AtomicPtr<u8> = AtomicPtr::new(null_mut());

/// Keeps one receive with a split header; gives the others.
fn keep_split(
    _: &'static Module,
    mut lists: Lists,
    _: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (Lists, u32) {
    if flags & NDIS_RECEIVE_FLAGS_RESOURCES != 0 {
        return (lists, count);
    }
    let mut rest = Chain::new();
    let mut left = count;
    while !lists.is_null() {
        let next = next(lists);
        // SAFETY: the driver has the list.
        let is_split = unsafe { (*lists).NblFlags } & NDIS_NBL_FLAGS_HD_SPLIT != 0;
        if is_split && SPLIT.load(Ordering::Acquire).is_null() {
            HEADER.store(packet::start(buffer(lists), 14), Ordering::Release);
            SPLIT.store(lists, Ordering::Release);
            packet::set_next(lists, null_mut());
            left -= 1;
        } else {
            rest.push(lists);
        }
        lists = next;
    }
    (rest.first, left)
}

/// Reads the header of the receive that it has kept, and returns it.
fn read_header(module: &'static Module) -> NDIS_STATUS {
    let list = SPLIT.swap(null_mut(), Ordering::AcqRel);
    if !list.is_null() {
        let header = HEADER.load(Ordering::Acquire);
        // SAFETY: none: this is the fault.
        black_box(unsafe { *header }); // caught: nbl-header-read-later by hdsplit-header-lifetime with --disturb @large
        // SAFETY: kept since its indication.
        unsafe { NdisFReturnNetBufferLists(module.handle, list, 0) };
    }
    NDIS_STATUS_SUCCESS
}

/// Used bytes of a NET_BUFFER's first MDL, if there are more in others.
fn first_span(buffer: *mut NET_BUFFER) -> Option<u32> {
    // SAFETY: a NET_BUFFER of a list that the driver has.
    let buffer = unsafe { buffer.read() };
    // SAFETY: as above.
    let bytes = unsafe { (*buffer.CurrentMdl).ByteCount };
    let span = bytes.wrapping_sub(buffer.CurrentMdlOffset);
    (span < buffer.DataLength).then_some(span)
}

/// Reads a frame as if it were in one MDL.
fn read_past(
    _: &'static Module,
    lists: Lists,
    _: NDIS_PORT_NUMBER,
    count: u32,
    _: u32,
) -> (Lists, u32) {
    for list in chain(lists) {
        let buffer = buffer(list);
        if let Some(span) = first_span(buffer) {
            let past = packet::start(buffer, 1).wrapping_add(span as usize);
            // SAFETY: none: this is the fault.
            black_box(unsafe { *past }); // caught: nbl-read-past-mdl by nb-multiple-mdls with --disturb @large
        }
    }
    (lists, count)
}

/// Takes the first byte of the memory for the first byte of the frame.
fn read_before(
    _: &'static Module,
    lists: Lists,
    _: NDIS_PORT_NUMBER,
    count: u32,
    _: u32,
) -> (Lists, u32) {
    for list in chain(lists) {
        // SAFETY: a NET_BUFFER of a list that the driver has.
        let first = unsafe { (*buffer(list)).MdlChain };
        // SAFETY: as above.
        let first = unsafe { first.read() };
        let memory = first.StartVa.wrapping_byte_add(first.ByteOffset as usize);
        // SAFETY: none: this is the fault.
        black_box(unsafe { *memory.cast::<u8>() }); // caught: nbl-read-before-data by nb-current-offset with --disturb @large
    }
    (lists, count)
}

/// Reads a list of its own that it has freed.
fn use_freed(module: &'static Module) {
    packet::open(module);
    let list = packet::over(module, packet::mdl(packet::FRAME), packet::FRAME);
    packet::free(list);
    // SAFETY: none: this is the fault.
    black_box(unsafe { (*list).Next }); // caught: nbl-used-freed by mem-use-after-free
}

// legal: nbl-held near nbl-no-touch-after-send, nbl-no-touch-after-indicate, nbl-no-touch-after-complete with --disturb
// legal: nbl-held near nbl-no-touch-after-return, rx-resources-not-kept, rx-resources-copy-to-queue with --disturb
// legal: nbl-held near hdsplit-header-lifetime, nb-multiple-mdls, nb-current-offset, pause-flush-held-sends with --disturb
// legal: nbl-held near pause-flush-held-receives, cancel-send-scan, cancel-send-status, cancel-send-forward with --disturb
// legal: nbl-held near nbl-every-send-settled, nbl-every-receive-settled, reg-queue-sends-needs-cancel with --disturb
// legal: nbl-held near nbl-complete-only-received, nbl-return-only-received, nbl-return-not-resources with --disturb
// legal: nbl-held near pause-reject-sends, pause-reject-status-code, pause-receive-not-kept, hold-not-unbounded with --disturb

/// Keeps every send until the pause, or for as long as the work item sleeps, and works on it meanwhile.
fn hold_send(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, _: u32) -> Lists {
    for list in chain(lists) {
        packet::start(buffer(list), 14);
        // SAFETY: the driver has the list.
        unsafe { (*list).Scratch = null_mut() };
    }
    module.sends.push(lists);
    module.defer();
    null_mut()
}

/// Keeps every receive that it may keep, as long as sends.
fn hold_receive(
    module: &'static Module,
    lists: Lists,
    _: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (Lists, u32) {
    for list in chain(lists) {
        packet::start(buffer(list), 14);
    }
    if flags & NDIS_RECEIVE_FLAGS_RESOURCES != 0 {
        return (lists, count);
    }
    module.receives.push(lists);
    module.defer();
    (null_mut(), 0)
}

/// Aborts the held sends with this id.
pub(super) fn cancel(module: &'static Module, id: *mut c_void) {
    // When the module is about to pause, everything is given back without this.
    if module.enter() {
        abort(module, id);
        module.leave();
    }
    // SAFETY: the id that this callback was given.
    unsafe { NdisFCancelSendNetBufferLists(module.handle, id) };
}

fn abort(module: &Module, id: *mut c_void) {
    let mut held = module.sends.take();
    let (mut aborted, mut kept) = (Chain::new(), Chain::new());
    while !held.is_null() {
        let next = next(held);
        // SAFETY: the driver has the list.
        let has_id = unsafe { (*held).NetBufferListInfo }.get(5) == Some(&id);
        if has_id { &mut aborted } else { &mut kept }.push(held);
        held = next;
    }
    module.sends.push(kept.first);
    if !aborted.first.is_null() {
        set_status(aborted.first, NDIS_STATUS_SEND_ABORTED);
        // SAFETY: callable at any level; nothing else tells it here.
        let is_high = unsafe { KeGetCurrentIrql() } >= DISPATCH_LEVEL;
        let flags = u32::from(is_high) * NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL;
        // SAFETY: held since their sends.
        unsafe { NdisFSendNetBufferListsComplete(module.handle, aborted.first, flags) };
    }
}

/// Gives back, after a second, what no pause has given back meanwhile: nothing may be held for ever.
fn let_go_in_time(module: &'static Module) {
    // SAFETY: work items run at PASSIVE_LEVEL.
    unsafe { NdisMSleep(1_000_000) };
    if module.enter() {
        let_go(module);
        module.leave();
    }
}

/// Gives back everything that is held.
pub(super) fn let_go(module: &'static Module) -> NDIS_STATUS {
    let sends = module.sends.take();
    if !sends.is_null() {
        set_status(sends, crate::abi::NDIS_STATUS_PAUSED);
        // SAFETY: held since their sends.
        unsafe { NdisFSendNetBufferListsComplete(module.handle, sends, 0) };
    }
    let receives = module.receives.take();
    if !receives.is_null() {
        // SAFETY: held since their indications.
        unsafe { NdisFReturnNetBufferLists(module.handle, receives, 0) };
    }
    NDIS_STATUS_SUCCESS
}
