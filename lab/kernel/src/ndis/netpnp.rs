//! Network PnP events (up the stack) and device PnP events (down).

use lab_rules::Kind;
use lab_rules::event::{Callback, Lent, NetPnpEvent, Overdue};

use super::register::write_header;
use super::{adapter, filter, handle, module, stack};
use crate::abi::constant::{
    NDIS_OBJECT_TYPE_DEFAULT, NDIS_SIZEOF_NET_DEVICE_PNP_EVENT_REVISION_1,
    NDIS_SIZEOF_NET_PNP_EVENT_NOTIFICATION_REVISION_1, NdisDevicePnPEventPowerProfileChanged,
    NetEventFilterPreDetach, NetEventPnPCapabilities, NetEventQueryPower, NetEventSetPower,
};
use crate::abi::ndis::{NET_DEVICE_PNP_EVENT as D, NET_PNP_EVENT, NET_PNP_EVENT_NOTIFICATION as N};
use crate::driver;
use crate::nt::{SUCCESS, imports};
use crate::rt::Call;
use crate::rt::mem::Field;
use crate::rt::sched::{self, Wait};
use crate::watch::{self, OrFault, emit};
use crate::{Event, EventWay};

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

/// NDIS notifies of events that concern nothing the filter holds.
pub(crate) fn notify(adapter: u32) {
    /// `NdisPowerProfileAcOnLine`.
    const ON_LINE: u32 = 1;
    from_below(adapter, NetEventPnPCapabilities, &[]);
    if let Some(image) = highest(adapter, None) {
        let profile = ON_LINE.to_le_bytes();
        sched::on_behalf(image, || {
            send_down(adapter, NdisDevicePnPEventPowerProfileChanged, &profile)
        });
    }
}

/// The filter `image` hears of an event, or the first on the event's way that has a handler for it; gives what it makes
/// of it, which of a device event is nothing. `None` if there is no such filter.
pub(crate) fn give(adapter: u32, image: Option<u8>, event: &Event) -> Option<Option<u32>> {
    let code = event.code.cast_signed();
    match event.way {
        EventWay::Up => {
            let image = lowest(adapter, image)?;
            sched::on_behalf(image, || send_up(adapter, code, &event.data)).map(Some)
        }
        EventWay::Down => {
            let image = highest(adapter, image)?;
            sched::on_behalf(image, || send_down(adapter, code, &event.data));
            Some(None)
        }
    }
}

/// The last chance to use indications before detach.
pub(super) fn filter_pre_detach(adapter: u32) {
    send_up(adapter, NetEventFilterPreDetach, &[]);
}

/// May the adapter sleep like that?
pub(super) fn query_power(adapter: u32, state: i32) {
    from_below(adapter, NetEventQueryPower, &state.to_le_bytes());
}

/// The longest time that `FilterNetPnPEvent` may take for a power state, in ns.
const POWER_LIMIT_NS: u64 = 10_000_000_000;

/// It goes to another power state: no packet comes home until the filter has returned from the event.
pub(super) fn set_power(adapter: u32, state: i32) {
    let Some(image) = lowest(adapter, None) else {
        return;
    };
    let note = |is_changing| {
        stack::each(|| {
            adapter::with_mut(adapter, |adapter| adapter.is_changing_power = is_changing);
        });
    };
    note(true);
    sched::on_behalf(image, || {
        sched::spawn(&format!("power {adapter}"), None, move || {
            wait_for_power(adapter)
        });
        send_up(adapter, NetEventSetPower, &state.to_le_bytes());
    });
    note(false);
}

fn wait_for_power(adapter: u32) {
    let has_changed = || adapter::with(adapter, |adapter| !adapter.is_changing_power);
    let until = sched::now() + POWER_LIMIT_NS;
    if sched::wait_until(until, &mut || has_changed()) == Wait::Satisfied {
        return;
    }
    let callback = Callback::FilterNetPnPEvent;
    if let Some(running) = watch::running(callback, Some(adapter)) {
        let hangs = Overdue::Callback {
            callback,
            adapter: Some(adapter),
            waited_ns: POWER_LIMIT_NS,
        };
        watch::emit_stuck(Kind::Overdue(hangs), running);
    }
}

/// The running image's module on an adapter and its `FilterNetPnPEvent`.
fn listener(adapter: u32) -> Option<(u64, u64)> {
    let (context, _) = module::path(adapter)?;
    let handler = filter::registered()?.handlers.net_pnp_event;
    (handler != 0).then_some((context, handler))
}

/// The same with its `FilterDevicePnPEventNotify`.
fn device_listener(adapter: u32) -> Option<(u64, u64)> {
    let (context, _) = module::path(adapter)?;
    let handler = filter::registered()?.handlers.device_pnp_event;
    (handler != 0).then_some((context, handler))
}

/// The filter `image` if it listens, or the lowest that does.
fn lowest(adapter: u32, image: Option<u8>) -> Option<u8> {
    let images = stack::from_top().rev();
    stack::find(image, images, || listener(adapter).is_some())
}

/// The filter `image` if it listens to device events, or the highest that does.
fn highest(adapter: u32, image: Option<u8>) -> Option<u8> {
    let images = stack::from_top();
    stack::find(image, images, || device_listener(adapter).is_some())
}

/// The lowest filter that listens hears of an event.
fn from_below(adapter: u32, event: i32, data: &[u8]) {
    if let Some(image) = lowest(adapter, None) {
        sched::on_behalf(image, || send_up(adapter, event, data));
    }
}

/// Calls the running image's `FilterNetPnPEvent`, with a buffer where the event has one, unless it is being detached;
/// gives what it makes of the event.
fn send_up(adapter: u32, event: i32, data: &[u8]) -> Option<u32> {
    if !adapter::enter_control(adapter) {
        return None;
    }
    let status = listener(adapter)
        .map(|(context, handler)| call_up(adapter, (context, handler), event, data));
    adapter::leave_control(adapter);
    status
}

fn call_up(adapter: u32, (context, handler): (u64, u64), event: i32, data: &[u8]) -> u32 {
    let notification = driver::object(N::SIZE);
    write_header(
        notification,
        NDIS_OBJECT_TYPE_DEFAULT,
        1,
        NDIS_SIZEOF_NET_PNP_EVENT_NOTIFICATION_REVISION_1,
    );
    NET_EVENT.write(notification, event).or_fault();
    let buffer = driver::lend_bytes(Lent::Other, data);
    BUFFER.write(notification, buffer).or_fault();
    BUFFER_LENGTH.write(notification, length(data)).or_fault();
    emit(Kind::NetPnp(NetPnpEvent::Given {
        adapter,
        code: event.cast_unsigned(),
    }));
    let arguments = [context, notification];
    let callback = Callback::FilterNetPnPEvent;
    let status = driver::call_status(callback, Some(adapter), handler, &arguments);
    driver::release(notification);
    driver::take_back(buffer);
    status
}

fn length(data: &[u8]) -> u32 {
    u32::try_from(data.len()).unwrap_or(u32::MAX)
}

/// Calls the running image's `FilterDevicePnPEventNotify`, unless it is being detached.
fn send_down(adapter: u32, code: i32, data: &[u8]) {
    if !adapter::enter_control(adapter) {
        return;
    }
    if let Some(listener) = device_listener(adapter) {
        call_down(adapter, listener, code, data);
    }
    adapter::leave_control(adapter);
}

fn call_down(adapter: u32, (context, handler): (u64, u64), code: i32, data: &[u8]) {
    let buffer = driver::lend_bytes(Lent::Other, data);
    let event = driver::object(D::SIZE);
    write_header(
        event,
        NDIS_OBJECT_TYPE_DEFAULT,
        1,
        NDIS_SIZEOF_NET_DEVICE_PNP_EVENT_REVISION_1,
    );
    let fill = || {
        D::DevicePnPEvent.write(event, code)?;
        D::InformationBuffer.write(event, buffer)?;
        D::InformationBufferLength.write(event, length(data))
    };
    fill().or_fault();
    let callback = Callback::FilterDevicePnPEventNotify;
    driver::call(callback, Some(adapter), handler, &[context, event]);
    driver::release(event);
    driver::take_back(buffer);
}

fn net_pnp_event(call: &Call<'_>) -> u64 {
    let notification = call.arg(1);
    let event = NET_EVENT.read(notification).or_fault();
    let code = event.cast_unsigned();
    emit(Kind::NetPnp(NetPnpEvent::Issued { code }));
    let Some(adapter) = handle::module("NdisFNetPnPEvent", call.arg(0)) else {
        return SUCCESS;
    };
    // That a module is to be detached concerns no other.
    if event == NetEventFilterPreDetach {
        return SUCCESS;
    }
    let image = stack::find(None, stack::above(), || listener(adapter).is_some());
    image.map_or(SUCCESS, |image| {
        sched::on_behalf(image, || hand_on(adapter, code, notification))
    })
}

/// The running image hears of an event that a filter below has passed on; gives what it makes of it.
fn hand_on(adapter: u32, code: u32, notification: u64) -> u64 {
    let mut status = SUCCESS;
    if !adapter::enter_control(adapter) {
        return status;
    }
    if let Some((context, handler)) = listener(adapter) {
        emit(Kind::NetPnp(NetPnpEvent::Given { adapter, code }));
        let callback = Callback::FilterNetPnPEvent;
        let arguments = [context, notification];
        status = driver::call_status(callback, Some(adapter), handler, &arguments).into();
    }
    adapter::leave_control(adapter);
    status
}

fn device_pnp_event(call: &Call<'_>) -> u64 {
    let event = call.arg(1);
    let Some(adapter) = handle::module("NdisFDevicePnPEventNotify", call.arg(0)) else {
        return 0;
    };
    let image = stack::find(None, stack::below(), || device_listener(adapter).is_some());
    if let Some(image) = image {
        sched::on_behalf(image, || hand_down(adapter, event));
    }
    0
}

/// The running image hears of a device event that a filter above has passed on.
fn hand_down(adapter: u32, event: u64) {
    if !adapter::enter_control(adapter) {
        return;
    }
    if let Some((context, handler)) = device_listener(adapter) {
        let callback = Callback::FilterDevicePnPEventNotify;
        driver::call(callback, Some(adapter), handler, &[context, event]);
    }
    adapter::leave_control(adapter);
}
