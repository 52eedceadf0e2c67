//! Attach, restart, pause and detach that return what they should not, or complete what is not pending.

use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::Ordering;

use crate::abi::{
    NDIS_FILTER_ATTACH_PARAMETERS, NDIS_FILTER_DRIVER_CHARACTERISTICS,
    NDIS_FILTER_PAUSE_PARAMETERS, NDIS_FILTER_RESTART_PARAMETERS, NDIS_HANDLE,
    NDIS_RESTART_ATTRIBUTES, NDIS_STATUS, NDIS_STATUS_FAILURE, NDIS_STATUS_NOT_RECOGNIZED,
    NDIS_STATUS_PENDING, NDIS_STATUS_SUCCESS, NdisAllocateMemoryWithTagPriority,
    NdisFPauseComplete, NdisFRestartComplete, NdisFRestartFilter, NdisFreeMemory, NdisMSleep,
};
use crate::driver;
use crate::module::{self, Module};
use crate::play::{NOTHING, Play, stay};

const fn handlers(
    name: &'static str,
    characteristics: fn(&mut NDIS_FILTER_DRIVER_CHARACTERISTICS),
) -> Play {
    Play {
        name,
        characteristics: Some(characteristics),
        ..NOTHING
    }
}

pub(crate) const PLAYS: &[Play] = &[
    handlers("attach-without-attributes", |it| {
        it.AttachHandler = Some(attach_without_attributes)
    }),
    handlers("attach-pends", |it| it.AttachHandler = Some(attach_pending)),
    handlers("pause-fails", |it| it.PauseHandler = Some(pause_failing)),
    handlers("pause-not-recognized", |it| {
        it.PauseHandler = Some(pause_unknown)
    }),
    handlers("pause-never-completed", |it| {
        it.PauseHandler = Some(pause_for_ever)
    }),
    handlers("pause-sleeps", |it| it.PauseHandler = Some(pause_sleeping)),
    handlers("pause-completed-and-returned", |it| {
        it.PauseHandler = Some(pause_both_ways)
    }),
    Play {
        name: "pause-completed-twice",
        pause: Some(complete_pause_twice),
        ..NOTHING
    },
    Play {
        name: "pause-completed-late",
        work: Some(complete_no_pause),
        ..NOTHING
    },
    Play {
        name: "pause-pended",
        pause: Some(pend_pause),
        work: Some(complete_pended_pause),
        ..NOTHING
    },
    handlers("restart-not-recognized", |it| {
        it.RestartHandler = Some(restart_unknown)
    }),
    handlers("restart-never-completed", |it| {
        it.RestartHandler = Some(restart_for_ever)
    }),
    handlers("restart-completed-and-returned", |it| {
        it.RestartHandler = Some(restart_both_ways)
    }),
    Play {
        name: "restart-completed-twice",
        restart: Some(complete_restart_twice),
        ..NOTHING
    },
    Play {
        name: "restart-pended",
        restart: Some(pend_restart),
        work: Some(complete_pended_restart),
        ..NOTHING
    },
    Play {
        name: "restart-fails",
        restart: Some(fail_restart),
        ..NOTHING
    },
    Play {
        name: "restart-attributes-added",
        characteristics: Some(|it| it.RestartHandler = Some(add_to_nothing)),
        traffic: Some(ask_for_restart),
        ..NOTHING
    },
    Play {
        name: "restart-attributes-spoilt",
        characteristics: Some(|it| it.RestartHandler = Some(spoil_unknown)),
        ..NOTHING
    },
    Play {
        name: "restart-attributes-failed",
        characteristics: Some(|it| it.RestartHandler = Some(change_and_fail)),
        ..NOTHING
    },
    Play {
        name: "restart-attributes-changed",
        restart: Some(change_known),
        traffic: Some(ask_for_restart),
        ..super::oid::FORWARD
    },
    Play {
        name: "restart-attributes-first",
        restart: Some(change_first),
        traffic: Some(ask_for_restart),
        ..super::oid::FORWARD
    },
    handlers("restart-attributes-unanswered", |it| {
        it.RestartHandler = Some(change_unanswered)
    }),
    Play {
        name: "restart-attributes-static",
        characteristics: Some(|it| it.RestartHandler = Some(link_static)),
        ..super::oid::FORWARD
    },
    Play {
        name: "restart-attributes-replaced",
        restart: Some(replace_known),
        traffic: Some(ask_for_restart),
        ..super::oid::FORWARD
    },
    handlers("detach-sleeps", |it| {
        it.DetachHandler = Some(detach_sleeping)
    }),
];

// legal: none near attach-must-set-attributes, pause-complete-once, restart-complete-once, pause-return-values
// legal: none near sdv-miniportpause-return, restart-return-values, detach-time, dpc-time
// legal: attach-refused near attach-return-code, attach-must-set-attributes
// legal: pause-pended near pause-complete-once, pause-within-10s, pause-return-values, sdv-miniportpause-return
// legal: restart-pended near restart-complete-once, restart-return-values
// legal: restart-fails near restart-return-values, restart-attributes-on-failure
// legal: restart-attributes-changed near restart-attributes-unknown-oid, restart-attributes-null
// legal: restart-attributes-changed near restart-attributes-need-oid
// legal: restart-attributes-first near restart-attributes-unknown-oid
// legal: restart-attributes-replaced near restart-attributes-memory

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn attach_without_attributes( // caught: attach-without-attributes by attach-must-set-attributes
    _: NDIS_HANDLE,
    _: NDIS_HANDLE,
    _: *mut NDIS_FILTER_ATTACH_PARAMETERS,
) -> NDIS_STATUS {
    stay();
    NDIS_STATUS_SUCCESS
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn attach_pending( // caught: attach-pends by attach-return-code
    _: NDIS_HANDLE,
    _: NDIS_HANDLE,
    _: *mut NDIS_FILTER_ATTACH_PARAMETERS,
) -> NDIS_STATUS {
    stay();
    NDIS_STATUS_PENDING
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn pause_failing( // caught: pause-fails by pause-return-values
    context: NDIS_HANDLE,
    parameters: *mut NDIS_FILTER_PAUSE_PARAMETERS,
) -> NDIS_STATUS {
    module::pause(context, parameters);
    stay();
    NDIS_STATUS_FAILURE
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn pause_unknown( // caught: pause-not-recognized by sdv-miniportpause-return
    context: NDIS_HANDLE,
    parameters: *mut NDIS_FILTER_PAUSE_PARAMETERS,
) -> NDIS_STATUS {
    module::pause(context, parameters);
    stay();
    NDIS_STATUS_NOT_RECOGNIZED
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn pause_for_ever( // caught: pause-never-completed by pause-within-10s
    context: NDIS_HANDLE,
    parameters: *mut NDIS_FILTER_PAUSE_PARAMETERS,
) -> NDIS_STATUS {
    module::pause(context, parameters);
    stay();
    NDIS_STATUS_PENDING
}

extern "system" fn pause_sleeping(
    context: NDIS_HANDLE,
    parameters: *mut NDIS_FILTER_PAUSE_PARAMETERS,
) -> NDIS_STATUS {
    // SAFETY: PASSIVE_LEVEL.
    unsafe { NdisMSleep(12_000_000) }; // caught: pause-sleeps by pause-within-10s
    module::pause(context, parameters)
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn pause_both_ways( // caught: pause-completed-and-returned by pause-complete-once
    context: NDIS_HANDLE,
    parameters: *mut NDIS_FILTER_PAUSE_PARAMETERS,
) -> NDIS_STATUS {
    module::pause(context, parameters);
    // SAFETY: none: this is the fault, with the status that follows.
    unsafe { NdisFPauseComplete(Module::of(context).handle) };
    NDIS_STATUS_SUCCESS
}

#[inline(never)]
fn complete_pause_twice(module: &'static Module) -> NDIS_STATUS {
    // SAFETY: the pause is under way, and pending when this returns.
    unsafe { NdisFPauseComplete(module.handle) };
    // SAFETY: none: this is the fault.
    unsafe { NdisFPauseComplete(module.handle) }; // caught: pause-completed-twice by pause-complete-once
    NDIS_STATUS_PENDING
}

/// Nobody has paused.
#[inline(never)]
fn complete_no_pause(module: &'static Module) {
    // SAFETY: none: this is the fault.
    unsafe { NdisFPauseComplete(module.handle) }; // caught: pause-completed-late by pause-complete-once
    stay();
}

fn pend_pause(module: &'static Module) -> NDIS_STATUS {
    module.keep(module.context());
    module.defer();
    NDIS_STATUS_PENDING
}

fn complete_pended_pause(module: &'static Module) {
    if !module.take().is_null() {
        // SAFETY: the pause is under way, and completed once.
        unsafe { NdisFPauseComplete(module.handle) };
    }
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn restart_unknown( // caught: restart-not-recognized by restart-return-values
    context: NDIS_HANDLE,
    parameters: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    module::restart(context, parameters);
    stay();
    NDIS_STATUS_NOT_RECOGNIZED
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn restart_for_ever( // caught: restart-never-completed by restart-complete-once
    context: NDIS_HANDLE,
    parameters: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    module::restart(context, parameters);
    stay();
    NDIS_STATUS_PENDING
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn restart_both_ways( // caught: restart-completed-and-returned by restart-complete-once
    context: NDIS_HANDLE,
    parameters: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    module::restart(context, parameters);
    // SAFETY: none: this is the fault, with the status that follows.
    unsafe { NdisFRestartComplete(Module::of(context).handle, NDIS_STATUS_SUCCESS) };
    NDIS_STATUS_SUCCESS
}

#[inline(never)]
fn complete_restart_twice(
    module: &'static Module,
    _: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    // SAFETY: the restart is under way, and pending when this returns.
    unsafe { NdisFRestartComplete(module.handle, NDIS_STATUS_SUCCESS) };
    // SAFETY: none: this is the fault.
    unsafe { NdisFRestartComplete(module.handle, NDIS_STATUS_SUCCESS) }; // caught: restart-completed-twice by restart-complete-once
    NDIS_STATUS_PENDING
}

fn pend_restart(module: &'static Module, _: *mut NDIS_FILTER_RESTART_PARAMETERS) -> NDIS_STATUS {
    module.keep(module.context());
    module.defer();
    NDIS_STATUS_PENDING
}

fn complete_pended_restart(module: &'static Module) {
    if !module.take().is_null() {
        // SAFETY: the restart is under way, and completed once.
        unsafe { NdisFRestartComplete(module.handle, NDIS_STATUS_SUCCESS) };
    }
}

fn fail_restart(_: &'static Module, _: *mut NDIS_FILTER_RESTART_PARAMETERS) -> NDIS_STATUS {
    NDIS_STATUS_FAILURE
}

/// Asks for another restart, which may have what this one has not.
fn ask_again(context: NDIS_HANDLE) {
    // SAFETY: the module is attached; callable up to DISPATCH_LEVEL.
    unsafe { NdisFRestartFilter(Module::of(context).handle) };
}

/// Asks for some more restarts, so that there is one with attributes and one without.
fn ask_for_restart(module: &'static Module) {
    if module.progress.fetch_add(1, Ordering::AcqRel) < 12 {
        // SAFETY: the module runs; callable up to DISPATCH_LEVEL.
        unsafe { NdisFRestartFilter(module.handle) };
    }
}

/// `OID_GEN_MINIPORT_RESTART_ATTRIBUTES`.
const GENERAL: u32 = 0x0001_021D;

/// The first attribute of a restart with this OID, or without it.
fn find(
    parameters: *mut NDIS_FILTER_RESTART_PARAMETERS,
    is_wanted: impl Fn(u32) -> bool,
) -> *mut NDIS_RESTART_ATTRIBUTES {
    // SAFETY: NDIS passes valid parameters.
    let mut at = unsafe { (*parameters).RestartAttributes };
    // SAFETY: an entry of the list.
    while !at.is_null() && !is_wanted(unsafe { (*at).Oid }) {
        // SAFETY: as above.
        at = unsafe { (*at).Next };
    }
    at
}

/// Changes a byte of an entry's data.
fn spoil(entry: *mut NDIS_RESTART_ATTRIBUTES, offset: usize) {
    if !entry.is_null() {
        // SAFETY: an entry of the list.
        let data = unsafe { &raw mut (*entry).Data }.cast::<u8>();
        let at = data.wrapping_add(offset);
        // SAFETY: within its data.
        let byte = unsafe { &mut *at };
        *byte = !*byte;
    }
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn add_to_nothing( // caught: restart-attributes-added by restart-attributes-null with @large
    context: NDIS_HANDLE,
    parameters: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    stay();
    if find(parameters, |_| true).is_null() {
        add(parameters);
    } else {
        ask_again(context);
    }
    module::restart(context, parameters)
}

/// Adds an empty entry, which NDIS frees.
fn add(parameters: *mut NDIS_FILTER_RESTART_PARAMETERS) {
    /// Pool tag of the entry, `FltR`.
    const TAG: u32 = u32::from_le_bytes(*b"FltR");
    let size = size_of::<NDIS_RESTART_ATTRIBUTES>() as u32;
    // SAFETY: PASSIVE_LEVEL; the driver's handle lives until unload.
    let entry = unsafe { NdisAllocateMemoryWithTagPriority(driver::handle(), size, TAG, 0) }
        .cast::<NDIS_RESTART_ATTRIBUTES>();
    if entry.is_null() {
        return;
    }
    let empty = NDIS_RESTART_ATTRIBUTES {
        Next: null_mut(),
        Oid: 0xFF00_0001,
        DataLength: 0,
        Data: [0],
    };
    // SAFETY: fresh memory of that size.
    unsafe { core::ptr::write(entry, empty) };
    // SAFETY: NDIS passes valid parameters; that the list was empty makes this the fault.
    unsafe { (*parameters).RestartAttributes = entry };
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn spoil_unknown( // caught: restart-attributes-spoilt by restart-attributes-unknown-oid
    context: NDIS_HANDLE,
    parameters: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    stay();
    let unknown = find(parameters, |oid| oid != GENERAL);
    if unknown.is_null() {
        ask_again(context);
    }
    spoil(unknown, 0);
    module::restart(context, parameters)
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn change_and_fail( // warned: restart-attributes-failed by restart-attributes-on-failure
    context: NDIS_HANDLE,
    parameters: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    stay();
    let general = find(parameters, |oid| oid == GENERAL);
    if general.is_null() {
        ask_again(context);
        return module::restart(context, parameters);
    }
    spoil(general, 4);
    NDIS_STATUS_FAILURE
}

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn change_unanswered( // warned: restart-attributes-unanswered by restart-attributes-need-oid
    context: NDIS_HANDLE,
    parameters: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    stay();
    let general = find(parameters, |oid| oid == GENERAL);
    if general.is_null() {
        ask_again(context);
    }
    spoil(general, 4);
    module::restart(context, parameters)
}

/// An entry that is no pool block.
struct Static(UnsafeCell<NDIS_RESTART_ATTRIBUTES>);

// SAFETY: one restart at a time writes it.
unsafe impl Sync for Static {}

static ENTRY: Static = Static(UnsafeCell::new(NDIS_RESTART_ATTRIBUTES {
    Next: null_mut(),
    Oid: 0xFF00_0001,
    DataLength: 0,
    Data: [0],
}));

#[rustfmt::skip] // The mark stays on this line.
extern "system" fn link_static( // caught: restart-attributes-static by restart-attributes-memory
    context: NDIS_HANDLE,
    parameters: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    stay();
    let general = find(parameters, |oid| oid == GENERAL);
    if general.is_null() {
        ask_again(context);
        return module::restart(context, parameters);
    }
    let entry = ENTRY.0.get();
    // SAFETY: an entry of the list.
    let rest = unsafe { (*general).Next };
    // SAFETY: this driver's own.
    unsafe { (*entry).Next = rest };
    // SAFETY: as above; that NDIS cannot free what is linked here is the fault.
    unsafe { (*general).Next = entry };
    module::restart(context, parameters)
}

/// Puts an entry of its own in place of the known one, with the same data.
fn replace_known(
    _: &'static Module,
    parameters: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    /// Pool tag of the entry, `FltR`.
    const TAG: u32 = u32::from_le_bytes(*b"FltR");
    let old = find(parameters, |oid| oid == GENERAL);
    if old.is_null() {
        return NDIS_STATUS_SUCCESS;
    }
    // SAFETY: an entry of the list.
    let bytes =
        core::mem::offset_of!(NDIS_RESTART_ATTRIBUTES, Data) as u32 + unsafe { (*old).DataLength };
    // SAFETY: PASSIVE_LEVEL; the driver's handle lives until unload.
    let new = unsafe { NdisAllocateMemoryWithTagPriority(driver::handle(), bytes, TAG, 0) }
        .cast::<NDIS_RESTART_ATTRIBUTES>();
    if new.is_null() {
        return NDIS_STATUS_SUCCESS;
    }
    // SAFETY: both have the bytes.
    unsafe { core::ptr::copy_nonoverlapping(old.cast::<u8>(), new.cast::<u8>(), bytes as usize) };
    // SAFETY: NDIS passes valid parameters.
    let mut link = unsafe { &raw mut (*parameters).RestartAttributes };
    // SAFETY: the list has the old entry.
    while unsafe { *link } != old {
        // SAFETY: as above.
        let at = unsafe { *link };
        // SAFETY: as above.
        link = unsafe { &raw mut (*at).Next };
    }
    // SAFETY: as above.
    unsafe { *link = new };
    // SAFETY: the old entry is in no list any more.
    unsafe { NdisFreeMemory(old.cast(), 0, 0) };
    NDIS_STATUS_SUCCESS
}

/// Reports another MTU, as a filter may that also answers OIDs.
fn change_known(
    _: &'static Module,
    parameters: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    spoil(find(parameters, |oid| oid == GENERAL), 4);
    NDIS_STATUS_SUCCESS
}

/// As [`change_known`], of the first entry, as Microsoft's sample does.
fn change_first(
    _: &'static Module,
    parameters: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    spoil(find(parameters, |_| true), 4);
    NDIS_STATUS_SUCCESS
}

extern "system" fn detach_sleeping(context: NDIS_HANDLE) {
    for _ in 0..2 {
        // SAFETY: PASSIVE_LEVEL.
        unsafe { NdisMSleep(16_000_000) }; // caught: detach-sleeps by detach-time
    }
    module::detach(context);
}
