//! Network PnP events (up the stack) and device PnP events (down).

use lab_rules::Kind;
use lab_rules::event::{Callback, NetPnpEvent};

use super::register::write_header;
use super::{filter, handle, module};
use crate::abi::constant::{
    NDIS_OBJECT_TYPE_DEFAULT, NDIS_SIZEOF_NET_DEVICE_PNP_EVENT_REVISION_1,
    NDIS_SIZEOF_NET_PNP_EVENT_NOTIFICATION_REVISION_1, NdisDevicePnPEventPowerProfileChanged,
    NdisDeviceStateD3, NetEventFilterPreDetach, NetEventPnPCapabilities, NetEventQueryPower,
    NetEventSetPower,
};
use crate::abi::ndis::{NET_DEVICE_PNP_EVENT as D, NET_PNP_EVENT, NET_PNP_EVENT_NOTIFICATION as N};
use crate::driver;
use crate::nt::{SUCCESS, imports};
use crate::rt::Call;
use crate::rt::mem::Field;
use crate::watch::{OrFault, emit};

imports! {
    "ndis.sys":
    NdisFNetPnPEvent => net_pnp_event,
    NdisFDevicePnPEventNotify => device_pnp_event,
}

/// `NET_PNP_EVENT_NOTIFICATION.NetPnPEvent.NetEvent`.
const NET_EVENT: Field<i32> = Field::at(N::NetPnPEvent + NET_PNP_EVENT::NetEvent.offset());
/// Its `Buffer` and `BufferLength`.
const BUFFER: Field<u64> = Field::at(N::NetPnPEvent + NET_PNP_EVENT::Buffer.offset());
const BUFFER_LENGTH: Field<u32> = Field::at(N::NetPnPEvent + NET_PNP_EVENT::BufferLength.offset());

/// NDIS notifies of an event that concerns nothing the filter holds.
pub(crate) fn notify(adapter: u32) {
    send_up(adapter, NetEventPnPCapabilities, None);
    send_down(adapter);
}

/// The last chance to use indications before detach.
pub(super) fn filter_pre_detach(adapter: u32) {
    send_up(adapter, NetEventFilterPreDetach, None);
}

/// May the adapter sleep?
pub(super) fn query_power(adapter: u32) {
    send_up(adapter, NetEventQueryPower, Some(NdisDeviceStateD3));
}

/// It goes to another power state.
pub(super) fn set_power(adapter: u32, state: i32) {
    send_up(adapter, NetEventSetPower, Some(state));
}

/// Calls `FilterNetPnPEvent`, with a buffer that holds a power state where the event has one.
fn send_up(adapter: u32, event: i32, state: Option<i32>) {
    let Some(filter) = filter::registered() else {
        return;
    };
    let Some((context, _)) = module::path(adapter) else {
        return;
    };
    if filter.handlers.net_pnp_event == 0 {
        return;
    }
    let notification = driver::object(N::SIZE);
    write_header(
        notification,
        NDIS_OBJECT_TYPE_DEFAULT,
        1,
        NDIS_SIZEOF_NET_PNP_EVENT_NOTIFICATION_REVISION_1,
    );
    NET_EVENT.write(notification, event).or_fault();
    let buffer = state.map_or(0, |state| {
        let buffer = driver::object(4);
        driver::write(buffer, &state.to_le_bytes());
        BUFFER.write(notification, buffer).or_fault();
        BUFFER_LENGTH.write(notification, 4).or_fault();
        buffer
    });
    emit(Kind::NetPnp(NetPnpEvent::Given {
        adapter,
        code: event.cast_unsigned(),
    }));
    let arguments = [context, notification];
    driver::call_status(
        Callback::FilterNetPnPEvent,
        Some(adapter),
        filter.handlers.net_pnp_event,
        &arguments,
    );
    driver::release(notification);
    if buffer != 0 {
        driver::release(buffer);
    }
}

fn send_down(adapter: u32) {
    /// `NdisPowerProfileAcOnLine`.
    const ON_LINE: u32 = 1;
    let Some(filter) = filter::registered() else {
        return;
    };
    let Some((context, _)) = module::path(adapter) else {
        return;
    };
    if filter.handlers.device_pnp_event == 0 {
        return;
    }
    let profile = driver::object(4);
    driver::write(profile, &ON_LINE.to_le_bytes());
    let event = driver::object(D::SIZE);
    write_header(
        event,
        NDIS_OBJECT_TYPE_DEFAULT,
        1,
        NDIS_SIZEOF_NET_DEVICE_PNP_EVENT_REVISION_1,
    );
    let fill = || {
        D::DevicePnPEvent.write(event, NdisDevicePnPEventPowerProfileChanged)?;
        D::InformationBuffer.write(event, profile)?;
        D::InformationBufferLength.write(event, 4)
    };
    fill().or_fault();
    let callback = Callback::FilterDevicePnPEventNotify;
    driver::call(
        callback,
        Some(adapter),
        filter.handlers.device_pnp_event,
        &[context, event],
    );
    driver::release(event);
    driver::release(profile);
}

fn net_pnp_event(call: &Call<'_>) -> u64 {
    let code = NET_EVENT.read(call.arg(1)).or_fault().cast_unsigned();
    emit(Kind::NetPnp(NetPnpEvent::Issued { code }));
    handle::module("NdisFNetPnPEvent", call.arg(0));
    SUCCESS
}

fn device_pnp_event(call: &Call<'_>) -> u64 {
    handle::module("NdisFDevicePnPEventNotify", call.arg(0));
    0
}
