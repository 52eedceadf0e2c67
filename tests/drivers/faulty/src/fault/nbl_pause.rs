//! Packets kept or originated when a module does not run, or is about not to.

use core::ffi::c_void;
use core::hint::black_box;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use super::lifecycle;
use crate::abi::{
    HANDLE, NDIS_FILTER_DRIVER_CHARACTERISTICS, NDIS_FILTER_PAUSE_PARAMETERS,
    NDIS_FILTER_RESTART_PARAMETERS, NDIS_HANDLE, NDIS_PORT_NUMBER, NDIS_RECEIVE_FLAGS_RESOURCES,
    NDIS_STATUS, NDIS_STATUS_FAILURE, NDIS_STATUS_SUCCESS, NdisFIndicateReceiveNetBufferLists,
    NdisFSendNetBufferLists, NdisFSendNetBufferListsComplete, NdisMSleep, NdisQueueIoWorkItem,
    PsCreateSystemThread, ZwClose,
};
use crate::datapath::{self, complete_flags};
use crate::module::Module;
use crate::packet::{self, Chain, Lists, set_status};
use crate::play::{NOTHING, Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "nbl-send-held-over-pause",
        characteristics: Some(keep_sends),
        ..NOTHING
    },
    Play {
        name: "nbl-send-lost",
        characteristics: Some(lose_sends),
        ..NOTHING
    },
    Play {
        name: "nbl-receive-held-over-pause",
        characteristics: Some(keep_receives),
        ..NOTHING
    },
    Play {
        name: "nbl-own-send-out-over-pause",
        characteristics: Some(pause_at_once),
        attach: Some(packet::open),
        send: Some(start_sends),
        send_complete: Some(send_again),
        ..NOTHING
    },
    Play {
        name: "nbl-own-receive-out-over-pause",
        characteristics: Some(pause_at_once),
        attach: Some(packet::open),
        receive: Some(start_receives),
        returned: Some(indicate_again),
        ..NOTHING
    },
    Play {
        name: "nbl-own-sent-in-pause",
        pause: Some(send_in_pause),
        ..packet::ORIGINATOR
    },
    Play {
        name: "nbl-own-indicated-in-pause",
        pause: Some(indicate_in_pause),
        ..packet::ORIGINATOR
    },
    Play {
        name: "nbl-own-sent-in-restart",
        restart: Some(send_in_restart),
        ..packet::ORIGINATOR
    },
    Play {
        name: "nbl-own-indicated-in-restart",
        restart: Some(indicate_in_restart),
        ..packet::ORIGINATOR
    },
    Play {
        name: "nbl-own-sent-by-work-in-pause",
        pause: Some(let_work_send),
        ..packet::ORIGINATOR
    },
    Play {
        name: "nbl-own-sent-after-failed-restart",
        restart: Some(fail_restart),
        detach: Some(let_thread_send),
        ..packet::ORIGINATOR
    },
    Play {
        name: "nbl-send-forwarded-paused",
        characteristics: Some(forward_always),
        ..NOTHING
    },
    Play {
        name: "entry-fails-forwarding",
        characteristics: Some(forward_always),
        registered: Some(lifecycle::fail_entry),
        ..NOTHING
    },
    Play {
        name: "nbl-send-refused-otherwise",
        characteristics: Some(refuse_otherwise),
        ..NOTHING
    },
    Play {
        name: "nbl-receive-kept-paused",
        characteristics: Some(keep_when_paused),
        ..NOTHING
    },
    Play {
        name: "nbl-own-around-pause",
        send: Some(send_one),
        work: Some(send_by_work),
        ..packet::ORIGINATOR
    },
];

/// What is held too long is reported with the handler that got it, so each play has its own.
fn keep_sends(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.SendNetBufferListsHandler = Some(keeping_send);
}

/// Keeps the first send for ever.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn keeping_send( // caught: nbl-send-held-over-pause by pause-flush-held-sends with --disturb
    context: NDIS_HANDLE,
    lists: Lists,
    port: NDIS_PORT_NUMBER,
    flags: u32,
) {
    keep_send(context, lists, port, flags);
    stay();
}

#[inline(never)]
fn keep_send(context: NDIS_HANDLE, lists: Lists, port: NDIS_PORT_NUMBER, flags: u32) {
    if Module::of(context).progress.swap(1, Ordering::AcqRel) != 0 {
        return datapath::send(context, lists, port, flags);
    }
    let rest = packet::next(lists);
    packet::set_next(lists, null_mut());
    if !rest.is_null() {
        datapath::send(context, rest, port, flags);
    }
}

fn lose_sends(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.SendNetBufferListsHandler = Some(losing_send);
}

/// Loses the first send.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn losing_send( // caught: nbl-send-lost by nbl-every-send-settled
    context: NDIS_HANDLE,
    lists: Lists,
    port: NDIS_PORT_NUMBER,
    flags: u32,
) {
    keep_send(context, lists, port, flags);
    // Something else than in the other play, or the linker makes one function of both.
    black_box(port);
}

fn keep_receives(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.ReceiveNetBufferListsHandler = Some(keeping_receive);
}

/// Keeps a receive for ever.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn keeping_receive( // caught: nbl-receive-held-over-pause by pause-flush-held-receives with --disturb
    context: NDIS_HANDLE,
    lists: Lists,
    port: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) {
    if flags & NDIS_RECEIVE_FLAGS_RESOURCES != 0
        || Module::of(context).progress.swap(1, Ordering::AcqRel) != 0
    {
        return datapath::receive(context, lists, port, count, flags);
    }
    let rest = packet::next(lists);
    packet::set_next(lists, null_mut());
    if !rest.is_null() {
        datapath::receive(context, rest, port, count.wrapping_sub(1), flags);
    }
}

/// Packets that are out all the time.
const CIRCLING: u32 = 16;

fn pause_at_once(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.PauseHandler = Some(paused);
}

/// Waits for nothing.
extern "system" fn paused(
    context: NDIS_HANDLE,
    _: *mut NDIS_FILTER_PAUSE_PARAMETERS,
) -> NDIS_STATUS {
    Module::of(context).close();
    NDIS_STATUS_SUCCESS
}

/// Begins with packets that are sent again whenever they come back.
fn start_sends(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    if module.progress.swap(1, Ordering::AcqRel) == 0 {
        for _ in 0..CIRCLING {
            let own = packet::make(module);
            // SAFETY: the module runs; the packet is its own.
            unsafe { NdisFSendNetBufferLists(module.handle, own, 0, flags) };
        }
    }
    lists
}

/// Lets the module's own packets out again while it is open; gives the others.
fn again(module: &Module, mut lists: Lists, go: impl Fn(Lists)) -> Lists {
    let is_open = module.enter();
    let mut others = Chain::new();
    while !lists.is_null() {
        let (own, next) = (lists, packet::next(lists));
        packet::set_next(own, null_mut());
        // No call tells it here: the first of them goes out again at once.
        // SAFETY: a list that the driver has.
        if unsafe { (*own).SourceHandle } != module.handle {
            others.push(own);
        } else if is_open {
            go(own);
        }
        lists = next;
    }
    if is_open {
        module.leave();
    }
    others.first
}

/// Sends its own packets again.
fn send_again(module: &'static Module, lists: Lists, _: u32) -> Lists {
    again(module, lists, |own| {
        // SAFETY: none: that the pause does not wait for them is the fault.
        unsafe { NdisFSendNetBufferLists(module.handle, own, 0, 0) }; // caught: nbl-own-send-out-over-pause by pause-wait-own-sends with @large
        stay();
    })
}

/// Begins with packets that are indicated again whenever they come back.
fn start_receives(
    module: &'static Module,
    lists: Lists,
    _: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (Lists, u32) {
    if module.progress.swap(1, Ordering::AcqRel) == 0 {
        let flags = flags & !NDIS_RECEIVE_FLAGS_RESOURCES;
        for _ in 0..CIRCLING {
            let own = packet::make(module);
            // SAFETY: the module runs; the packet is its own.
            unsafe { NdisFIndicateReceiveNetBufferLists(module.handle, own, 0, 1, flags) };
        }
    }
    (lists, count)
}

/// Indicates its own packets again.
fn indicate_again(module: &'static Module, lists: Lists, _: u32) -> Lists {
    again(module, lists, |own| {
        // SAFETY: none: that the pause does not wait for them is the fault.
        unsafe { NdisFIndicateReceiveNetBufferLists(module.handle, own, 0, 1, 0) }; // caught: nbl-own-receive-out-over-pause by pause-wait-own-receives
        stay();
    })
}

/// Sends a packet of its own before the pause is complete.
fn send_in_pause(module: &'static Module) -> NDIS_STATUS {
    let own = packet::make(module);
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferLists(module.handle, own, 0, 0) }; // caught: nbl-own-sent-in-pause by pause-no-new-send
    packet::wait(module)
}

/// Indicates a packet of its own before the pause is complete.
fn indicate_in_pause(module: &'static Module) -> NDIS_STATUS {
    let own = packet::make(module);
    // SAFETY: none: this is the fault.
    unsafe { NdisFIndicateReceiveNetBufferLists(module.handle, own, 0, 1, 0) }; // caught: nbl-own-indicated-in-pause by pause-no-new-receive
    packet::wait(module)
}

/// Sends a packet of its own before the restart is complete.
fn send_in_restart(module: &'static Module, _: *mut NDIS_FILTER_RESTART_PARAMETERS) -> NDIS_STATUS {
    let own = packet::make(module);
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferLists(module.handle, own, 0, 0) }; // caught: nbl-own-sent-in-restart by restart-no-own-send
    NDIS_STATUS_SUCCESS
}

/// Indicates a packet of its own before the restart is complete.
fn indicate_in_restart(
    module: &'static Module,
    _: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    let own = packet::make(module);
    // SAFETY: none: this is the fault.
    unsafe { NdisFIndicateReceiveNetBufferLists(module.handle, own, 0, 1, 0) }; // warned: nbl-own-indicated-in-restart by restart-no-own-receive
    NDIS_STATUS_SUCCESS
}

/// Lets a work item send before the pause is complete.
fn let_work_send(module: &'static Module) -> NDIS_STATUS {
    Module::drain(&module.busy);
    module.busy.fetch_add(1, Ordering::AcqRel);
    // SAFETY: the item waits for no run; the context lives until `busy` is zero.
    unsafe { NdisQueueIoWorkItem(module.work_item, Some(send_late), module.context()) };
    Module::drain(&module.busy);
    packet::wait(module)
}

/// Sends a packet of its own.
extern "system" fn send_late(context: *mut c_void, _: NDIS_HANDLE) {
    let module = Module::of(context);
    let own = packet::make(module);
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferLists(module.handle, own, 0, 0) }; // caught: nbl-own-sent-by-work-in-pause by wi-no-traffic-after-pause
    module.busy.fetch_sub(1, Ordering::AcqRel);
}

/// The module whose restart failed, and how far its thread is.
static FAILED: AtomicPtr<Module> = AtomicPtr::new(null_mut());
static THREADS: AtomicU32 = AtomicU32::new(0);

/// Fails, with a thread that sends later.
fn fail_restart(module: &'static Module, _: *mut NDIS_FILTER_RESTART_PARAMETERS) -> NDIS_STATUS {
    let mut thread: HANDLE = null_mut();
    let none = null_mut();
    THREADS.store(1, Ordering::Release);
    // SAFETY: PASSIVE_LEVEL; the context lives until the thread has ended.
    let status = unsafe {
        PsCreateSystemThread(
            &raw mut thread,
            0,
            none,
            null_mut(),
            null_mut(),
            Some(send_when_failed),
            module.context(),
        )
    };
    if status == NDIS_STATUS_SUCCESS {
        // SAFETY: the handle that was made above.
        unsafe { ZwClose(thread) };
    } else {
        THREADS.store(0, Ordering::Release);
    }
    NDIS_STATUS_FAILURE
}

/// Waits for detach and sends.
extern "system" fn send_when_failed(_: *mut c_void) {
    while FAILED.load(Ordering::Acquire).is_null() {
        // SAFETY: threads run at PASSIVE_LEVEL.
        unsafe { NdisMSleep(100) };
    }
    // SAFETY: detach waits for this thread.
    let module = unsafe { &*FAILED.load(Ordering::Acquire) };
    let own = packet::make(module);
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferLists(module.handle, own, 0, 0) }; // caught: nbl-own-sent-after-failed-restart by restart-failure-keeps-paused
    THREADS.store(0, Ordering::Release);
}

/// Lets the thread send, and waits for it.
fn let_thread_send(module: &'static Module) -> bool {
    FAILED.store(core::ptr::from_ref(module).cast_mut(), Ordering::Release);
    Module::drain(&THREADS);
    packet::close(module)
}

fn forward_always(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.SendNetBufferListsHandler = Some(forwarding_send);
}

/// Sends on at any time.
extern "system" fn forwarding_send(
    context: NDIS_HANDLE,
    lists: Lists,
    port: NDIS_PORT_NUMBER,
    flags: u32,
) {
    let module = Module::of(context);
    // SAFETY: none: this is the fault, when the module does not run.
    unsafe { NdisFSendNetBufferLists(module.handle, lists, port, flags) }; // caught: nbl-send-forwarded-paused by pause-reject-sends with --disturb
    stay();
}

fn refuse_otherwise(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.SendNetBufferListsHandler = Some(refusing_send);
}

/// Refuses as if a packet had failed.
extern "system" fn refusing_send(
    context: NDIS_HANDLE,
    lists: Lists,
    port: NDIS_PORT_NUMBER,
    flags: u32,
) {
    let module = Module::of(context);
    if module.enter() {
        module.leave();
        return datapath::send(context, lists, port, flags);
    }
    set_status(lists, NDIS_STATUS_FAILURE);
    // SAFETY: none: the status is the fault.
    unsafe { NdisFSendNetBufferListsComplete(module.handle, lists, complete_flags(flags)) }; // warned: nbl-send-refused-otherwise by pause-reject-status-code with --disturb
    stay();
}

fn keep_when_paused(characteristics: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    characteristics.ReceiveNetBufferListsHandler = Some(keeping_when_paused);
}

/// Keeps what comes when the module does not run.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn keeping_when_paused( // caught: nbl-receive-kept-paused by pause-receive-not-kept with --disturb
    context: NDIS_HANDLE,
    lists: Lists,
    port: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) {
    pass_when_open(context, lists, port, count, flags);
    stay();
}

#[inline(never)]
fn pass_when_open(
    context: NDIS_HANDLE,
    lists: Lists,
    port: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) {
    let module = Module::of(context);
    if module.enter() {
        module.leave();
        datapath::receive(context, lists, port, count, flags);
    }
}

// declined: entry-fails-forwarding near reg-fail-undo with --disturb --without pause-reject-sends
// legal: nbl-own-around-pause near pause-no-new-send, pause-no-new-receive, wi-no-traffic-after-pause with --disturb
// legal: nbl-own-around-pause near restart-no-own-send, restart-no-own-receive, restart-failure-keeps-paused with --disturb
// legal: nbl-own-around-pause near wi-dispatch-flags-clear, pause-wait-own-sends, pause-wait-own-receives with --disturb

/// Sends a packet of its own with others.
fn send_one(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    let own = packet::make(module);
    // SAFETY: the module runs; the packet is its own.
    unsafe { NdisFSendNetBufferLists(module.handle, own, 0, flags) };
    lists
}

/// Sends a packet of its own from the work item, if the module runs.
fn send_by_work(module: &'static Module) {
    if module.enter() {
        let own = packet::make(module);
        // SAFETY: the module runs; the packet is its own.
        unsafe { NdisFSendNetBufferLists(module.handle, own, 0, 0) };
        module.leave();
    }
}
