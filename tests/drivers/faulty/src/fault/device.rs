//! Device objects made, kept and given back wrongly.

use core::ptr::null_mut;

use super::control::{attributes, dispatch, ignore, table};
use crate::abi::{
    NDIS_HANDLE, NDIS_STATUS, NDIS_STATUS_SUCCESS, NTSTATUS, NdisDeregisterDeviceEx,
    NdisRegisterDeviceEx, STATUS_SUCCESS,
};
use crate::module::Module;
use crate::play::{NOTHING, Play, stay};
use crate::{driver, fault::control};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("device-module-handle", register_with_module),
    Play {
        name: "device-bad-header",
        registered: Some(register_with_bad_header),
        ..NOTHING
    },
    control::play("device-without-sddl", register_without_sddl),
    control::play("device-with-pnp", register_with_pnp),
    Play {
        name: "device-deregistered-twice",
        registered: Some(control::create_plain),
        unload: Some(remove_twice),
        ..NOTHING
    },
    Play {
        name: "device-left",
        registered: Some(register_and_forget),
        ..NOTHING
    },
    control::play("device-legal", control::create_plain),
];

// legal: device-legal near dev-handle, dev-attributes, dev-sddl, dev-no-pnp-power, dev-deregister-once
// legal: device-legal near unload-devices-gone

#[inline(never)]
fn register_with_module(module: &'static Module) {
    let mut table = table(ignore);
    let (mut it, mut object, mut handle) = (attributes(&mut table), null_mut(), null_mut());
    // SAFETY: none: this is the fault.
    unsafe { NdisRegisterDeviceEx(module.handle, &raw mut it, &raw mut object, &raw mut handle) }; // caught: device-module-handle by dev-handle
}

#[inline(never)]
fn register_with_bad_header(driver: NDIS_HANDLE) -> NTSTATUS {
    let mut table = table(ignore);
    let (mut it, mut object, mut handle) = (attributes(&mut table), null_mut(), null_mut());
    it.Header.Size = 8;
    // SAFETY: none: this is the fault.
    unsafe { NdisRegisterDeviceEx(driver, &raw mut it, &raw mut object, &raw mut handle) }; // caught: device-bad-header by dev-attributes
    STATUS_SUCCESS
}

/// Keeps the handle for `control::remove`.
fn kept(status: NDIS_STATUS, handle: NDIS_HANDLE) -> NTSTATUS {
    if status != NDIS_STATUS_SUCCESS {
        driver::deregister();
        return status;
    }
    control::keep(handle);
    STATUS_SUCCESS
}

#[inline(never)]
fn register_without_sddl(driver: NDIS_HANDLE) -> NTSTATUS {
    let mut table = table(ignore);
    let (mut it, mut object, mut handle) = (attributes(&mut table), null_mut(), null_mut());
    it.DefaultSDDLString = null_mut();
    // SAFETY: PASSIVE_LEVEL; all pointers are valid for the call.
    let made =
        unsafe { NdisRegisterDeviceEx(driver, &raw mut it, &raw mut object, &raw mut handle) }; // warned: device-without-sddl by dev-sddl
    kept(made, handle)
}

#[inline(never)]
fn register_with_pnp(driver: NDIS_HANDLE) -> NTSTATUS {
    /// `IRP_MJ_PNP`.
    const PNP: usize = 0x1B;
    let mut table = table(ignore);
    if let Some(pnp) = table.get_mut(PNP) {
        *pnp = Some(dispatch);
    }
    let (mut it, mut object, mut handle) = (attributes(&mut table), null_mut(), null_mut());
    // SAFETY: PASSIVE_LEVEL; all pointers are valid for the call.
    let made =
        unsafe { NdisRegisterDeviceEx(driver, &raw mut it, &raw mut object, &raw mut handle) }; // warned: device-with-pnp by dev-no-pnp-power
    kept(made, handle)
}

#[inline(never)]
fn remove_twice() -> bool {
    let device = control::kept();
    // SAFETY: registered in DriverEntry; PASSIVE_LEVEL.
    unsafe { NdisDeregisterDeviceEx(device) };
    // SAFETY: none: this is the fault.
    unsafe { NdisDeregisterDeviceEx(device) }; // caught: device-deregistered-twice by dev-deregister-once
    true
}

#[inline(never)]
fn register_and_forget(driver: NDIS_HANDLE) -> NTSTATUS {
    let mut table = table(ignore);
    let (mut it, mut object, mut handle) = (attributes(&mut table), null_mut(), null_mut());
    // SAFETY: PASSIVE_LEVEL; all pointers are valid for the call. Nobody gives it back.
    unsafe { NdisRegisterDeviceEx(driver, &raw mut it, &raw mut object, &raw mut handle) }; // caught: device-left by unload-devices-gone
    stay();
    STATUS_SUCCESS
}
