//! Arguments that no call may have.

use core::ffi::c_void;
use core::hint::black_box;
use core::ptr::null_mut;

use super::pool::{TAG, allocate, free};
use crate::abi::{
    DISPATCH_LEVEL, DRIVER_OBJECT, KeLowerIrql, KeStallExecutionProcessor, KfRaiseIrql,
    LARGE_INTEGER, NDIS_OBJECT_HEADER, NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS, NDIS_OID_REQUEST,
    NDIS_PORT_NUMBER, NDIS_SEND_FLAGS_DISPATCH_LEVEL, NDIS_STATUS, NDIS_STATUS_PENDING,
    NDIS_TIMER_CHARACTERISTICS, NET_BUFFER_LIST, NTSTATUS, NdisAllocateTimerObject,
    NdisCancelTimerObject, NdisFIndicateReceiveNetBufferLists, NdisFOidRequestComplete,
    NdisFSendNetBufferLists, NdisFreeTimerObject, NdisMSleep, NdisSetTimerObject,
    RtlCopyMemoryNonTemporal, STATUS_SUCCESS,
};
use crate::driver;
use crate::module::Module;
use crate::play::{NOTHING, Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "sleep-longest",
        load: Some(sleep_longest),
        ..NOTHING
    },
    Play::in_attach("stall-long", stall),
    Play::in_attach("stall-longest", stall_longest),
    Play::in_attach("copy-overlapping", copy_overlapping),
    Play::in_attach("copy-adjacent", copy_adjacent),
    Play::in_attach("timer-period-negative", period),
    Play::in_attach("timer-period-longest", period_longest),
    Play {
        name: "flags-switch-sent",
        send: Some(send_switch),
        ..NOTHING
    },
    Play {
        name: "flags-switch-received",
        receive: Some(receive_switch),
        ..NOTHING
    },
    Play {
        name: "flags-more-lists",
        receive: Some(receive_more),
        ..NOTHING
    },
    Play {
        name: "flags-undefined-sent",
        send: Some(send_undefined),
        ..NOTHING
    },
    Play {
        name: "flags-dispatch-missing",
        send: Some(send_unflagged),
        ..NOTHING
    },
    Play {
        name: "oid-completed-pending",
        oid: Some(complete_pending),
        ..super::oid::FORWARD
    },
    Play {
        name: "flags-plain",
        send: Some(send_plain),
        receive: Some(receive_plain),
        ..NOTHING
    },
];

/// Sleeps as long as `NdisMSleep` can.
// legal: sleep-longest near sleep-limits
fn sleep_longest(_: *mut DRIVER_OBJECT) -> NTSTATUS {
    // SAFETY: PASSIVE_LEVEL.
    unsafe { NdisMSleep(30_000_000) };
    STATUS_SUCCESS
}

/// Stalls a processor for longer than anybody should.
#[inline(never)]
fn stall(_: &'static Module) {
    // SAFETY: none: this is the fault.
    unsafe { KeStallExecutionProcessor(51) }; // warned: stall-long by stall-limit
    stay();
}

/// Stalls a processor as long as one may.
// legal: stall-longest near stall-limit
fn stall_longest(_: &'static Module) {
    // SAFETY: callable at any level.
    unsafe { KeStallExecutionProcessor(50) };
}

/// Copies within a block, forwards, with the function for blocks that are apart.
#[inline(never)]
fn copy_overlapping(_: &'static Module) {
    let block = allocate(64);
    let (target, source) = (block.wrapping_add(8).cast(), block.cast_const().cast());
    // SAFETY: none: this is the fault.
    unsafe { RtlCopyMemoryNonTemporal(target, source, 16) }; // caught: copy-overlapping by dv-memcpy-overlap
    free(block);
}

/// Copies within a block what does not overlap.
// legal: copy-adjacent near dv-memcpy-overlap
fn copy_adjacent(_: &'static Module) {
    let block = allocate(64);
    if block.is_null() {
        return;
    }
    let source = block.cast_const().cast();
    // SAFETY: both ranges lie in the block and are apart.
    unsafe { RtlCopyMemoryNonTemporal(block.wrapping_add(16).cast(), source, 16) };
    free(block);
}

extern "system" fn expired(_: *mut c_void, _: *mut c_void, _: *mut c_void, _: *mut c_void) {}

fn timer() -> *mut c_void {
    let mut characteristics = NDIS_TIMER_CHARACTERISTICS {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS,
            Revision: 1,
            Size: size_of::<NDIS_TIMER_CHARACTERISTICS>() as u16,
        },
        AllocationTag: TAG,
        TimerFunction: Some(expired),
        FunctionContext: null_mut(),
    };
    let mut timer = null_mut();
    // SAFETY: both arguments are valid for the call.
    unsafe { NdisAllocateTimerObject(driver::handle(), &raw mut characteristics, &raw mut timer) };
    timer
}

/// A due time in one hour, relative.
const HOUR: LARGE_INTEGER = LARGE_INTEGER {
    LowPart: (-36_000_000_000_i64 & 0xFFFF_FFFF) as u32,
    HighPart: (-36_000_000_000_i64 >> 32) as i32,
};

fn end(timer: *mut c_void) {
    // SAFETY: allocated by `timer`, not due for an hour.
    unsafe { NdisCancelTimerObject(timer) };
    // SAFETY: as above, and cancelled.
    unsafe { NdisFreeTimerObject(timer) };
}

/// Sets a timer with a period that is negative.
#[inline(never)]
fn period(_: &'static Module) {
    let timer = timer();
    if timer.is_null() {
        return;
    }
    #[rustfmt::skip]
    // SAFETY: none: this is the fault.
    let was_set = unsafe { NdisSetTimerObject(timer, HOUR, i32::MIN, null_mut()) }; // warned: timer-period-negative by timer-period-range
    black_box(was_set);
    end(timer);
}

/// Sets a timer with the longest period.
// legal: timer-period-longest near timer-period-range
fn period_longest(_: &'static Module) {
    let timer = timer();
    if timer.is_null() {
        return;
    }
    // SAFETY: allocated above.
    unsafe { NdisSetTimerObject(timer, HOUR, i32::MAX, null_mut()) };
    end(timer);
}

/// A flag that only extensible switches have.
const SWITCH: u32 = 0x4000;
const SEND_SWITCH: u32 = 0x20;
/// A flag that no header names.
const SEND_UNDEFINED: u32 = 0x8000;
/// `NDIS_RECEIVE_FLAGS_MORE_NBLS`.
const MORE: u32 = 0x2000;

/// Sends with a flag of switches.
fn send_switch(
    module: &'static Module,
    lists: *mut NET_BUFFER_LIST,
    port: NDIS_PORT_NUMBER,
    flags: u32,
) -> *mut NET_BUFFER_LIST {
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferLists(module.handle, lists, port, flags | SEND_SWITCH) }; // caught: flags-switch-sent by flags-switch-only
    null_mut()
}

/// Sends with a flag that means nothing.
fn send_undefined(
    module: &'static Module,
    lists: *mut NET_BUFFER_LIST,
    port: NDIS_PORT_NUMBER,
    flags: u32,
) -> *mut NET_BUFFER_LIST {
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferLists(module.handle, lists, port, flags | SEND_UNDEFINED) }; // warned: flags-undefined-sent by flags-undefined-bits
    null_mut()
}

/// Indicates with a flag of switches.
fn receive_switch(
    module: &'static Module,
    lists: *mut NET_BUFFER_LIST,
    port: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (*mut NET_BUFFER_LIST, u32) {
    let (handle, flags) = (module.handle, flags | SWITCH);
    // SAFETY: none: this is the fault.
    unsafe { NdisFIndicateReceiveNetBufferLists(handle, lists, port, count, flags) }; // caught: flags-switch-received by flags-switch-only
    (null_mut(), 0)
}

/// Indicates with the flag that is for NDIS alone.
fn receive_more(
    module: &'static Module,
    lists: *mut NET_BUFFER_LIST,
    port: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (*mut NET_BUFFER_LIST, u32) {
    let (handle, flags) = (module.handle, flags | MORE);
    // SAFETY: none: this is the fault.
    unsafe { NdisFIndicateReceiveNetBufferLists(handle, lists, port, count, flags) }; // warned: flags-more-lists by flags-more-nbls-reserved
    (null_mut(), 0)
}

/// Sends at DISPATCH_LEVEL without saying so.
fn send_unflagged(
    module: &'static Module,
    lists: *mut NET_BUFFER_LIST,
    port: NDIS_PORT_NUMBER,
    flags: u32,
) -> *mut NET_BUFFER_LIST {
    let (handle, flags) = (module.handle, flags & !NDIS_SEND_FLAGS_DISPATCH_LEVEL);
    // SAFETY: lowered below.
    let old = unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferLists(handle, lists, port, flags) }; // warned: flags-dispatch-missing by flags-dispatch-used
    // SAFETY: the level that the raise returned.
    unsafe { KeLowerIrql(old) };
    null_mut()
}

/// Sends on with the flags that it was given, and at DISPATCH_LEVEL with the one that says so.
// legal: flags-plain near flags-switch-only, flags-undefined-bits, flags-dispatch-used, flags-more-nbls-reserved
fn send_plain(
    module: &'static Module,
    lists: *mut NET_BUFFER_LIST,
    port: NDIS_PORT_NUMBER,
    flags: u32,
) -> *mut NET_BUFFER_LIST {
    let (handle, flags) = (module.handle, flags | NDIS_SEND_FLAGS_DISPATCH_LEVEL);
    // SAFETY: lowered below.
    let old = unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
    // SAFETY: the lists are the driver's to send on.
    unsafe { NdisFSendNetBufferLists(handle, lists, port, flags) };
    // SAFETY: the level that the raise returned.
    unsafe { KeLowerIrql(old) };
    null_mut()
}

/// Indicates on with the flags that it was given.
fn receive_plain(
    module: &'static Module,
    lists: *mut NET_BUFFER_LIST,
    port: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (*mut NET_BUFFER_LIST, u32) {
    // SAFETY: the lists are the driver's to indicate on.
    unsafe { NdisFIndicateReceiveNetBufferLists(module.handle, lists, port, count, flags) };
    (null_mut(), 0)
}

/// Completes a request with what says that it is not complete.
fn complete_pending(module: &'static Module, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    let handle = module.handle;
    // SAFETY: none: this is the fault.
    unsafe { NdisFOidRequestComplete(handle, request, NDIS_STATUS_PENDING) }; // caught: oid-completed-pending by oid-complete-status
    NDIS_STATUS_PENDING
}
