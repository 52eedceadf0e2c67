//! Memory that was lent, and is looked at when it is not any more.

use core::ffi::c_void;
use core::hint::black_box;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

use super::pool::{allocate, free};
use crate::abi::{
    NDIS_CONFIGURATION_PARAMETER, NDIS_FILTER_ATTACH_PARAMETERS, NDIS_FILTER_RESTART_PARAMETERS,
    NDIS_HANDLE, NDIS_STATUS, NDIS_STATUS_FAILURE, NDIS_STATUS_INDICATION, NDIS_STATUS_SUCCESS,
    NdisAllocateIoWorkItem, NdisCloseConfiguration, NdisFreeIoWorkItem, NdisOpenConfigurationEx,
    NdisParameterString, NdisReadConfiguration,
};
use crate::module::Module;
use crate::play::{NOTHING, Play};
use crate::{configuration, driver, text};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("gone-configuration", configuration_closed),
    Play::in_attach("gone-work-item", work_item_freed),
    Play {
        name: "gone-attach-parameters",
        early_attach: Some(keep_attach),
        restart: Some(read_attach),
        ..NOTHING
    },
    Play {
        name: "gone-restart-parameters",
        restart: Some(keep_restart),
        pause: Some(read_kept),
        ..NOTHING
    },
    Play {
        name: "gone-status",
        status: Some(keep_status),
        pause: Some(read_status),
        ..NOTHING
    },
    Play {
        name: "gone-context",
        detach: Some(free_and_read),
        ..NOTHING
    },
    Play {
        name: "gone-past-parameters",
        early_attach: Some(read_past),
        ..NOTHING
    },
    Play {
        name: "gone-copied",
        early_attach: Some(copy_attach),
        attach: Some(copy_configuration),
        restart: Some(copy_restart),
        status: Some(copy_status),
        detach: Some(read_and_free),
        ..NOTHING
    },
];

static KEYWORD: [u16; 5] = text::wide(b"Fault");

/// What a handler was lent.
static KEPT: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

fn keep<T>(lent: *mut T) {
    KEPT.store(lent.cast(), Ordering::Release);
}

fn kept<T>() -> *mut T {
    KEPT.load(Ordering::Acquire).cast()
}

/// Opens the module's configuration and reads the play's name.
fn read_configuration(module: &Module) -> (NDIS_HANDLE, *mut NDIS_CONFIGURATION_PARAMETER) {
    let mut object = configuration::object(module.handle);
    let (mut handle, mut parameter) = (null_mut(), null_mut());
    // SAFETY: PASSIVE_LEVEL; both arguments are valid for the call.
    unsafe { NdisOpenConfigurationEx(&raw mut object, &raw mut handle) };
    let (mut status, mut keyword) = (NDIS_STATUS_FAILURE, text::string(&KEYWORD));
    if !handle.is_null() {
        // SAFETY: PASSIVE_LEVEL; the configuration is open; all pointers are valid for the call.
        unsafe {
            NdisReadConfiguration(
                &raw mut status,
                &raw mut parameter,
                handle,
                &raw mut keyword,
                NdisParameterString,
            );
        }
    }
    (handle, parameter)
}

fn close(handle: NDIS_HANDLE) {
    if !handle.is_null() {
        // SAFETY: opened by `read_configuration`.
        unsafe { NdisCloseConfiguration(handle) };
    }
}

/// Looks at a value when its configuration is closed.
fn configuration_closed(module: &'static Module) {
    let (handle, parameter) = read_configuration(module);
    close(handle);
    if parameter.is_null() {
        return;
    }
    // SAFETY: none: this is the fault.
    let kind = unsafe { (*parameter).ParameterType }; // caught: gone-configuration by config-memory-lifetime
    black_box(kind);
}

/// Looks at a work item when it is freed.
fn work_item_freed(_: &'static Module) {
    // SAFETY: the driver's handle lives until unload.
    let item = unsafe { NdisAllocateIoWorkItem(driver::handle()) };
    if item.is_null() {
        return;
    }
    // SAFETY: allocated above, never queued.
    unsafe { NdisFreeIoWorkItem(item) };
    // SAFETY: none: this is the fault.
    let byte = unsafe { *item.cast::<u8>() }; // caught: gone-work-item by wi-no-use-after-free
    black_box(byte);
}

fn keep_attach(_: NDIS_HANDLE, parameters: *mut NDIS_FILTER_ATTACH_PARAMETERS) -> NDIS_STATUS {
    keep(parameters);
    NDIS_STATUS_SUCCESS
}

/// Looks at the attach parameters at restart.
fn read_attach(_: &'static Module, _: *mut NDIS_FILTER_RESTART_PARAMETERS) -> NDIS_STATUS {
    let parameters = kept::<NDIS_FILTER_ATTACH_PARAMETERS>();
    // SAFETY: none: this is the fault.
    let index = unsafe { (*parameters).IfIndex }; // caught: gone-attach-parameters by attach-params-not-retained
    black_box(index);
    NDIS_STATUS_SUCCESS
}

fn keep_restart(
    _: &'static Module,
    parameters: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    keep(parameters);
    NDIS_STATUS_SUCCESS
}

/// Looks at the restart parameters at pause.
fn read_kept(_: &'static Module) -> NDIS_STATUS {
    let parameters = kept::<NDIS_FILTER_RESTART_PARAMETERS>();
    // SAFETY: none: this is the fault.
    let kind = unsafe { (*parameters).Header.Type }; // caught: gone-restart-parameters by attach-params-not-retained
    black_box(kind);
    NDIS_STATUS_SUCCESS
}

fn keep_status(
    _: &'static Module,
    indication: *mut NDIS_STATUS_INDICATION,
) -> *mut NDIS_STATUS_INDICATION {
    keep(indication);
    indication
}

/// Looks at a status indication when its handler has returned.
fn read_status(_: &'static Module) -> NDIS_STATUS {
    let indication = kept::<NDIS_STATUS_INDICATION>();
    if indication.is_null() {
        return NDIS_STATUS_SUCCESS;
    }
    // SAFETY: none: this is the fault.
    let code = unsafe { (*indication).StatusCode }; // caught: gone-status by status-buffer-not-kept
    black_box(code);
    NDIS_STATUS_SUCCESS
}

/// Frees the module's memory in detach, and looks at it.
fn free_and_read(_: &'static Module) -> bool {
    let block = allocate(64);
    if block.is_null() {
        return true;
    }
    free(block);
    // SAFETY: none: this is the fault.
    let byte = unsafe { *block }; // caught: gone-context by detach-context-uaf
    black_box(byte);
    true
}

/// Takes the attach parameters for longer than their header says.
fn read_past(_: NDIS_HANDLE, parameters: *mut NDIS_FILTER_ATTACH_PARAMETERS) -> NDIS_STATUS {
    let later = parameters.wrapping_add(1).cast::<u64>().wrapping_add(1);
    // SAFETY: none: this is the fault.
    let member = unsafe { *later }; // caught: gone-past-parameters by hdr-check-before-read
    black_box(member);
    NDIS_STATUS_SUCCESS
}

/// Copies what is lent, while it is.
// legal: gone-copied near config-memory-lifetime, attach-params-not-retained, status-buffer-not-kept
// legal: gone-copied near wi-no-use-after-free, detach-context-uaf, hdr-check-before-read, null-check
fn copy_attach(_: NDIS_HANDLE, parameters: *mut NDIS_FILTER_ATTACH_PARAMETERS) -> NDIS_STATUS {
    // SAFETY: valid until attach returns.
    let size = usize::from(unsafe { (*parameters).Header.Size });
    if size >= size_of::<NDIS_FILTER_ATTACH_PARAMETERS>() {
        // SAFETY: valid until attach returns, and as long as that.
        black_box(unsafe { (*parameters).BaseMiniportIfIndex });
    }
    NDIS_STATUS_SUCCESS
}

fn copy_configuration(module: &'static Module) {
    let (handle, parameter) = read_configuration(module);
    if !parameter.is_null() {
        // SAFETY: valid until the configuration is closed.
        black_box(unsafe { (*parameter).ParameterType });
    }
    close(handle);
}

fn copy_restart(
    _: &'static Module,
    parameters: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    if !parameters.is_null() {
        // SAFETY: valid until the handler returns.
        black_box(unsafe { (*parameters).Header.Type });
    }
    NDIS_STATUS_SUCCESS
}

fn copy_status(
    _: &'static Module,
    indication: *mut NDIS_STATUS_INDICATION,
) -> *mut NDIS_STATUS_INDICATION {
    // SAFETY: valid until the handler returns.
    black_box(unsafe { (*indication).StatusCode });
    indication
}

fn read_and_free(_: &'static Module) -> bool {
    let block = allocate(64);
    if !block.is_null() {
        // SAFETY: inside the block.
        black_box(unsafe { *block });
        free(block);
    }
    true
}
