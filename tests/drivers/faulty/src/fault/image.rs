//! Headers of structures, and what a linker can do wrong.

use core::ffi::c_void;
use core::hint::black_box;
use core::mem::zeroed;
use core::ptr::null_mut;

use super::pool::TAG;
use crate::abi::{
    NDIS_FILTER_PARTIAL_CHARACTERISTICS, NDIS_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1,
    NDIS_OBJECT_HEADER, NDIS_OBJECT_TYPE_FILTER_PARTIAL_CHARACTERISTICS,
    NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS, NDIS_SIZEOF_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1,
    NDIS_STATUS, NDIS_STATUS_SUCCESS, NDIS_TIMER_CHARACTERISTICS, NdisAllocateTimerObject,
    NdisFreeTimerObject, NdisSetOptionalHandlers,
};
use crate::module::Module;
use crate::play::{NOTHING, Play};
use crate::{datapath, driver};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("header-wrong-type", wrong_type),
    Play::in_attach("header-short", short),
    Play::in_attach("header-right", right),
    Play {
        name: "header-partial-wrong",
        module_options: Some(partial_wrong),
        ..NOTHING
    },
    Play {
        name: "header-partial-right",
        module_options: Some(partial_right),
        ..NOTHING
    },
];

extern "system" fn expired(_: *mut c_void, _: *mut c_void, _: *mut c_void, _: *mut c_void) {}

fn characteristics(kind: u8, size: usize) -> NDIS_TIMER_CHARACTERISTICS {
    NDIS_TIMER_CHARACTERISTICS {
        Header: NDIS_OBJECT_HEADER {
            Type: kind,
            Revision: 1,
            Size: size as u16,
        },
        AllocationTag: TAG,
        TimerFunction: Some(expired),
        FunctionContext: null_mut(),
    }
}

/// Describes a timer as something else.
#[inline(never)]
fn wrong_type(_: &'static Module) {
    let mut timer = null_mut();
    let size = size_of::<NDIS_TIMER_CHARACTERISTICS>();
    let mut given = characteristics(NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS + 1, size);
    let handle = driver::handle();
    // SAFETY: none: this is the fault.
    let status = unsafe { NdisAllocateTimerObject(handle, &raw mut given, &raw mut timer) }; // caught: header-wrong-type by hdr-fill-correct
    black_box(status);
}

/// Describes a timer with the size of the header alone.
#[inline(never)]
fn short(_: &'static Module) {
    let mut timer = null_mut();
    let size = size_of::<NDIS_OBJECT_HEADER>();
    let mut given = characteristics(NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS, size);
    let handle = driver::handle();
    // SAFETY: none: this is the fault.
    let status = unsafe { NdisAllocateTimerObject(handle, &raw mut given, &raw mut timer) }; // caught: header-short by hdr-fill-correct
    black_box(status);
}

/// Describes a timer as it is.
// legal: header-right near hdr-fill-correct
fn right(_: &'static Module) {
    let mut timer = null_mut();
    let size = size_of::<NDIS_TIMER_CHARACTERISTICS>();
    let mut given = characteristics(NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS, size);
    // SAFETY: both arguments are valid for the call.
    unsafe { NdisAllocateTimerObject(driver::handle(), &raw mut given, &raw mut timer) };
    if !timer.is_null() {
        // SAFETY: allocated above, never set.
        unsafe { NdisFreeTimerObject(timer) };
    }
}

/// Handlers of the whole datapath.
fn partial() -> NDIS_FILTER_PARTIAL_CHARACTERISTICS {
    // SAFETY: plain data and nullable handlers: all zeroes is a value.
    let empty: NDIS_FILTER_PARTIAL_CHARACTERISTICS = unsafe { zeroed() };
    NDIS_FILTER_PARTIAL_CHARACTERISTICS {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_FILTER_PARTIAL_CHARACTERISTICS,
            Revision: NDIS_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1,
            Size: NDIS_SIZEOF_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1,
        },
        SendNetBufferListsHandler: Some(datapath::send),
        SendNetBufferListsCompleteHandler: Some(datapath::send_complete),
        ReceiveNetBufferListsHandler: Some(datapath::receive),
        ReturnNetBufferListsHandler: Some(datapath::returned),
        ..empty
    }
}

/// Sets handlers under a header of no revision.
fn partial_wrong(module: &'static Module) -> NDIS_STATUS {
    let mut given = partial();
    given.Header.Revision = 0;
    let handlers = (&raw mut given).cast();
    // SAFETY: none: this is the fault.
    let status = unsafe { NdisSetOptionalHandlers(module.handle, handlers) }; // caught: header-partial-wrong by setmodule-partial-header
    black_box(status);
    NDIS_STATUS_SUCCESS
}

/// Sets handlers.
// legal: header-partial-right near setmodule-partial-header, setmodule-options-context
fn partial_right(module: &'static Module) -> NDIS_STATUS {
    let mut given = partial();
    // SAFETY: in FilterSetModuleOptions; the handlers are the ones that were registered.
    unsafe { NdisSetOptionalHandlers(module.handle, (&raw mut given).cast()) };
    NDIS_STATUS_SUCCESS
}
