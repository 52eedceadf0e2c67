//! Packets that wait too long, and sends that are not cancelled as they must be.

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::Ordering;

use crate::abi::{
    NDIS_FILTER_DRIVER_CHARACTERISTICS, NDIS_HANDLE, NDIS_PORT_NUMBER,
    NDIS_RECEIVE_FLAGS_RESOURCES, NDIS_STATUS, NDIS_STATUS_PAUSED, NDIS_STATUS_SUCCESS,
    NdisFReturnNetBufferLists, NdisFSendNetBufferLists, NdisFSendNetBufferListsComplete,
    NdisMSleep,
};
use crate::datapath;
use crate::fault::nbl_touch;
use crate::module::Module;
use crate::packet::{self, Held, Lists, next, set_next, set_status};
use crate::play::{NOTHING, Play, stay};

/// A play that holds packets until its work item has waited.
const HOLDER: Play = Play {
    send: Some(keep_two),
    cancel_send: Some(packet::forward_cancel),
    ..NOTHING
};

pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "frame-send-completed-late",
        work: Some(complete_late),
        ..HOLDER
    },
    Play {
        name: "frame-sent-late",
        work: Some(send_late),
        ..HOLDER
    },
    Play {
        name: "frame-sends-stalled",
        work: Some(stall),
        ..HOLDER
    },
    Play {
        name: "frame-held-long",
        work: Some(hold_long),
        ..HOLDER
    },
    Play {
        name: "frame-held-short",
        work: Some(hold_short),
        cancel_send: Some(nbl_touch::cancel),
        pause: Some(nbl_touch::let_go),
        ..HOLDER
    },
    Play {
        name: "frame-returned-late",
        receive: Some(keep_receives),
        work: Some(return_late),
        ..NOTHING
    },
    Play {
        name: "frame-kept-without-cancel",
        characteristics: Some(keep_without_cancel),
        pause: Some(let_go),
        ..NOTHING
    },
    Play {
        name: "frame-not-cancelled",
        characteristics: Some(never_cancel),
        send: Some(keep),
        pause: Some(let_go),
        ..NOTHING
    },
    Play {
        name: "frame-cancelled-as-sent",
        send: Some(keep_last),
        cancel_send: Some(succeed),
        pause: Some(let_go),
        ..NOTHING
    },
];

const SECOND_US: u32 = 1_000_000;

/// Holds the first list of the first two chains.
fn keep_two(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, _: u32) -> Lists {
    if module.progress.fetch_add(1, Ordering::AcqRel) >= 2 {
        return lists;
    }
    let rest = next(lists);
    set_next(lists, null_mut());
    module.sends.push(lists);
    module.defer();
    rest
}

fn sleep(seconds: u32) {
    // SAFETY: work items run at PASSIVE_LEVEL.
    unsafe { NdisMSleep(seconds.wrapping_mul(SECOND_US)) };
}

/// Waits until two lists are held; gives them, if this run is the one to do so.
fn two(held: &Held) -> Option<(Lists, Lists)> {
    let first = held.first();
    if first.is_null() || next(first).is_null() {
        return None;
    }
    let first = held.take();
    if first.is_null() {
        return None;
    }
    let second = next(first);
    set_next(first, null_mut());
    Some((first, second))
}

/// Sends one list after 20 seconds.
fn send_one(module: &Module, list: Lists) {
    sleep(20);
    // SAFETY: held since its send.
    unsafe { NdisFSendNetBufferLists(module.handle, list, 0, 0) };
}

/// Sends one list, and completes the other after 40 seconds.
fn complete_late(module: &'static Module) {
    if let Some((first, second)) = two(&module.sends) {
        send_one(module, first);
        sleep(20);
        set_status(second, NDIS_STATUS_SUCCESS);
        // SAFETY: held since its send; that it took so long is the fault.
        unsafe { NdisFSendNetBufferListsComplete(module.handle, second, 0) }; // caught: frame-send-completed-late by dv-filter-timed-send with @large
        stay();
    }
}

/// Sends one list, and the other after 40 seconds.
fn send_late(module: &'static Module) {
    if let Some((first, second)) = two(&module.sends) {
        send_one(module, first);
        sleep(20);
        // SAFETY: held since its send; that it took so long is the fault.
        unsafe { NdisFSendNetBufferLists(module.handle, second, 0, 0) }; // caught: frame-sent-late by sdv-ndistimeddatasend with @large
        stay();
    }
}

/// Sends nothing for 25 seconds.
fn stall(module: &'static Module) {
    if let Some((first, second)) = two(&module.sends) {
        sleep(25);
        set_next(second, first);
        // SAFETY: held since their sends; that it took so long is the fault.
        unsafe { NdisFSendNetBufferLists(module.handle, second, 0, 0) }; // caught: frame-sends-stalled by sdv-ndistimeddatahang with @large
        stay();
    }
}

/// Sends nothing for 12 seconds.
fn hold_long(module: &'static Module) {
    if let Some((first, second)) = two(&module.sends) {
        sleep(12);
        set_next(second, first);
        // SAFETY: held since their sends; that it took so long is the fault.
        unsafe { NdisFSendNetBufferLists(module.handle, second, 0, 0) }; // warned: frame-held-long by hold-not-unbounded with @large
        stay();
    }
}

// legal: frame-held-short near hold-not-unbounded, dv-filter-timed-send, sdv-ndistimeddatasend with @large
// legal: frame-held-short near sdv-ndistimeddatahang, dv-filter-timed-receive, reg-queue-sends-needs-cancel with @large

/// Sends nothing for 1 second, unless what is held is cancelled or a pause comes.
fn hold_short(module: &'static Module) {
    sleep(1);
    if module.enter() {
        let lists = module.sends.take();
        if !lists.is_null() {
            // SAFETY: the module runs; held since their sends.
            unsafe { NdisFSendNetBufferLists(module.handle, lists, 0, 0) };
        }
        module.leave();
    }
}

/// Holds the first list of the first two chains that it may keep.
fn keep_receives(
    module: &'static Module,
    lists: Lists,
    _: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (Lists, u32) {
    if flags & NDIS_RECEIVE_FLAGS_RESOURCES != 0
        || module.progress.fetch_add(1, Ordering::AcqRel) >= 2
    {
        return (lists, count);
    }
    let rest = next(lists);
    set_next(lists, null_mut());
    module.receives.push(lists);
    module.defer();
    (rest, count.wrapping_sub(1))
}

/// Returns one list after 20 seconds, and the other after 40.
fn return_late(module: &'static Module) {
    if let Some((first, second)) = two(&module.receives) {
        sleep(20);
        // SAFETY: held since its indication.
        unsafe { NdisFReturnNetBufferLists(module.handle, first, 0) };
        sleep(20);
        // SAFETY: held since its indication; that it took so long is the fault.
        unsafe { NdisFReturnNetBufferLists(module.handle, second, 0) }; // caught: frame-returned-late by dv-filter-timed-receive with @large
        stay();
    }
}

/// What a handler kept is reported with the handler, so this play has its own.
fn keep_without_cancel(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.SendNetBufferListsHandler = Some(keeping_send);
}

/// Holds sends until the pause.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn keeping_send( // warned: frame-kept-without-cancel by reg-queue-sends-needs-cancel with --disturb
    context: NDIS_HANDLE,
    lists: Lists,
    port: NDIS_PORT_NUMBER,
    flags: u32,
) {
    send_or_keep(context, lists, port, flags);
    stay();
}

#[inline(never)]
fn send_or_keep(context: NDIS_HANDLE, lists: Lists, port: NDIS_PORT_NUMBER, flags: u32) {
    let module = Module::of(context);
    if module.enter() {
        keep(module, lists, port, flags);
        module.leave();
    } else {
        datapath::send(context, lists, port, flags);
    }
}

/// Holds sends until the pause.
fn keep(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, _: u32) -> Lists {
    module.sends.push(lists);
    null_mut()
}

/// Holds sends until the next ones come.
fn keep_last(module: &'static Module, lists: Lists, port: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    let before = module.sends.take();
    keep(module, lists, port, flags);
    before
}

/// Completes what is held.
fn let_go(module: &'static Module) -> NDIS_STATUS {
    let lists = module.sends.take();
    if !lists.is_null() {
        set_status(lists, NDIS_STATUS_PAUSED);
        // SAFETY: held since their sends.
        unsafe { NdisFSendNetBufferListsComplete(module.handle, lists, 0) };
    }
    NDIS_STATUS_SUCCESS
}

/// What a cancellation leaves is reported with its handler, so this play has its own.
fn never_cancel(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.CancelSendNetBufferListsHandler = Some(forgetful_cancel);
}

/// Passes the cancellation on, and forgets what it holds itself.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn forgetful_cancel( // caught: frame-not-cancelled by cancel-send-scan with --disturb @large
    context: NDIS_HANDLE,
    id: *mut c_void,
) {
    forward_only(context, id);
    stay();
}

#[inline(never)]
fn forward_only(context: NDIS_HANDLE, id: *mut c_void) {
    packet::forward_cancel(Module::of(context), id);
}

/// Completes what is cancelled as if it had been sent.
fn succeed(module: &'static Module, id: *mut c_void) {
    let mut held = module.sends.take();
    while !held.is_null() {
        let next = next(held);
        // SAFETY: the driver has the list.
        let has_id = unsafe { (*held).NetBufferListInfo }.get(5) == Some(&id);
        set_next(held, null_mut());
        if has_id {
            set_status(held, NDIS_STATUS_SUCCESS);
            // SAFETY: held since its send; the status is the fault.
            unsafe { NdisFSendNetBufferListsComplete(module.handle, held, 0) }; // warned: frame-cancelled-as-sent by cancel-send-status with --disturb @large
        } else {
            module.sends.push(held);
        }
        held = next;
    }
    packet::forward_cancel(module, id);
}
