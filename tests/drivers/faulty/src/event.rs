//! Status indications, PnP events, cancelled sends and module options: what a play has hooks for.

use core::ffi::c_void;

use crate::abi::{
    NDIS_FILTER_DRIVER_CHARACTERISTICS, NDIS_HANDLE, NDIS_STATUS, NDIS_STATUS_INDICATION,
    NDIS_STATUS_SUCCESS, NET_DEVICE_PNP_EVENT, NET_PNP_EVENT_NOTIFICATION, NdisFIndicateStatus,
};
use crate::driver;
use crate::module::Module;
use crate::play::Play;

/// Registers the handlers of the hooks that a play has.
pub(crate) fn add_handlers(play: &Play, to: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    if play.module_options.is_some() {
        to.SetFilterModuleOptionsHandler = Some(module_options);
    }
    if play.cancel_send.is_some() {
        to.CancelSendNetBufferListsHandler = Some(cancel_send);
    }
    if play.net_pnp.is_some() {
        to.NetPnPEventHandler = Some(net_pnp);
    }
    if play.device_pnp.is_some() {
        to.DevicePnPEventNotifyHandler = Some(device_pnp);
    }
}

pub(crate) extern "system" fn status(
    context: NDIS_HANDLE,
    indication: *mut NDIS_STATUS_INDICATION,
) {
    let module = Module::of(context);
    let indication = match module.play.status {
        Some(status) => status(module, indication),
        None => indication,
    };
    if !indication.is_null() {
        // SAFETY: the indication that this callback was given, passed on inside it.
        unsafe { NdisFIndicateStatus(module.handle, indication) };
    }
}

extern "system" fn module_options(context: NDIS_HANDLE) -> NDIS_STATUS {
    let module = Module::of(context);
    driver::play()
        .module_options
        .map_or(NDIS_STATUS_SUCCESS, |options| options(module))
}

extern "system" fn cancel_send(context: NDIS_HANDLE, id: *mut c_void) {
    let module = Module::of(context);
    if let Some(cancel) = module.play.cancel_send {
        cancel(module, id);
    }
}

extern "system" fn net_pnp(
    context: NDIS_HANDLE,
    notification: *mut NET_PNP_EVENT_NOTIFICATION,
) -> NDIS_STATUS {
    let module = Module::of(context);
    module
        .play
        .net_pnp
        .map_or(NDIS_STATUS_SUCCESS, |event| event(module, notification))
}

extern "system" fn device_pnp(context: NDIS_HANDLE, notification: *mut NET_DEVICE_PNP_EVENT) {
    let module = Module::of(context);
    if let Some(event) = module.play.device_pnp {
        event(module, notification);
    }
}
