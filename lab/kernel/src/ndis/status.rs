//! Status indications: up the stack.

use std::cell::RefCell;
use std::collections::BTreeSet;

use lab_rules::Kind;
use lab_rules::event::{Callback, Lent, ModuleEvent};

use super::register::{read_header, write_header};
use super::{adapter, filter, handle, module, stack};
use crate::StatusIndication;
use crate::abi::constant::{
    MediaConnectStateConnected, MediaConnectStateDisconnected, MediaDuplexStateFull,
    NDIS_LINK_STATE_REVISION_1, NDIS_OBJECT_TYPE_DEFAULT, NDIS_OBJECT_TYPE_STATUS_INDICATION,
    NDIS_SIZEOF_LINK_STATE_REVISION_1, NDIS_SIZEOF_STATUS_INDICATION_REVISION_1,
    NDIS_STATUS_INDICATION_REVISION_1, NDIS_STATUS_LINK_STATE,
};
use crate::abi::ndis::{NDIS_LINK_STATE as L, NDIS_STATUS_INDICATION as S};
use crate::driver;
use crate::nt::imports;
use crate::per_image::per_image;
use crate::rt::{Call, sched};
use crate::watch::{self, OrFault, emit};

imports! {
    "ndis.sys":
    NdisFIndicateStatus => indicate_status,
}

/// Header of `NDIS_STATUS_INDICATION`.
const HEADER: (u8, u8, u16) = (
    NDIS_OBJECT_TYPE_STATUS_INDICATION,
    NDIS_STATUS_INDICATION_REVISION_1,
    NDIS_SIZEOF_STATUS_INDICATION_REVISION_1,
);

per_image! {
    /// The indications that `FilterStatus` is called with, one per adapter at most.
    static PASSING: RefCell<BTreeSet<u64>> = const { RefCell::new(BTreeSet::new()) };
}

/// Whether the running image is told of indications on an adapter: its module's context, and its handler.
fn listener(adapter: u32) -> Option<(u64, u64)> {
    let (context, _) = module::path(adapter)?;
    let handler = filter::registered()?.handlers.status;
    (handler != 0).then_some((context, handler))
}

/// The miniport says how the link is: up, or down if `is_up` is false. The lowest filter that listens hears it.
pub(crate) fn indicate_link_state(adapter: u32, is_up: bool) {
    if let Some(image) = lowest(adapter, None) {
        sched::on_behalf(image, || tell_link_state(adapter, is_up));
    }
}

/// The miniport says something; the filter `image` hears it, or the lowest that listens. Tells whether there is one.
pub(crate) fn indicate(adapter: u32, image: Option<u8>, status: &StatusIndication) -> bool {
    let image = lowest(adapter, image);
    if let Some(image) = image {
        sched::on_behalf(image, || {
            let buffer = driver::lend_bytes(Lent::Status, &status.data);
            let length = u32::try_from(status.data.len()).unwrap_or(u32::MAX);
            tell_of(adapter, status.code, status.port, (buffer, length));
            driver::take_back(buffer);
        });
    }
    image.is_some()
}

/// The filter `image` if it listens, or the lowest that does.
fn lowest(adapter: u32, image: Option<u8>) -> Option<u8> {
    let images = stack::from_top().rev();
    stack::find(image, images, || listener(adapter).is_some())
}

fn tell_link_state(adapter: u32, is_up: bool) {
    let link = driver::lend(Lent::Status, L::SIZE);
    write_header(
        link,
        NDIS_OBJECT_TYPE_DEFAULT,
        NDIS_LINK_STATE_REVISION_1,
        NDIS_SIZEOF_LINK_STATE_REVISION_1,
    );
    let fill = || {
        let state = if is_up {
            MediaConnectStateConnected
        } else {
            MediaConnectStateDisconnected
        };
        L::MediaConnectState.write(link, state)?;
        L::MediaDuplexState.write(link, MediaDuplexStateFull)?;
        L::XmitLinkSpeed.write(link, 1_000_000_000)?;
        L::RcvLinkSpeed.write(link, 1_000_000_000)
    };
    fill().or_fault();
    let length = u32::from(NDIS_SIZEOF_LINK_STATE_REVISION_1);
    let code = NDIS_STATUS_LINK_STATE.cast_unsigned();
    tell_of(adapter, code, 0, (link, length));
    driver::release(link);
}

/// Tells the running image's filter of a status with a buffer, unless it is being detached.
fn tell_of(adapter: u32, code: u32, port: u32, (buffer, length): (u64, u32)) {
    if !adapter::enter_control(adapter) {
        return;
    }
    if let Some((context, handler)) = listener(adapter) {
        let indication = driver::lend(Lent::Status, S::SIZE);
        write_header(indication, HEADER.0, HEADER.1, HEADER.2);
        let fill = || {
            // The miniport's handle, which nobody below NDIS may compare with anything.
            S::SourceHandle.write(indication, indication)?;
            S::StatusCode.write(indication, code.cast_signed())?;
            S::PortNumber.write(indication, port)?;
            S::StatusBuffer.write(indication, buffer)?;
            S::StatusBufferSize.write(indication, length)
        };
        fill().or_fault();
        if buffer != 0 {
            watch::note_lent(Lent::Status, buffer, handler);
        }
        tell(adapter, context, handler, indication);
        driver::release(indication);
    }
    adapter::leave_control(adapter);
}

fn indicate_status(call: &Call<'_>) -> u64 {
    let (module_handle, indication) = (call.arg(0), call.arg(1));
    let Some(adapter) = handle::module("NdisFIndicateStatus", module_handle) else {
        return 0;
    };
    let header = read_header("NDIS_STATUS_INDICATION", indication, HEADER).or_fault();
    emit(Kind::Module(ModuleEvent::StatusIndicated {
        adapter,
        header,
        code: S::StatusCode.read(indication).or_fault().cast_unsigned(),
        passed_on: PASSING.with_borrow(|passing| passing.contains(&indication)),
        source_is_module: S::SourceHandle.read(indication).or_fault() == module_handle,
        destination: S::DestinationHandle.read(indication).or_fault(),
        request_id: S::RequestId.read(indication).or_fault(),
    }));
    let image = stack::find(None, stack::above(), || listener(adapter).is_some());
    if let Some(image) = image {
        sched::on_behalf(image, || hand_on(adapter, indication));
    }
    // Protocols of the lab listen to nothing.
    0
}

/// A filter below has indicated a status to the running image's.
fn hand_on(adapter: u32, indication: u64) {
    if !adapter::enter_control(adapter) {
        return;
    }
    if let Some((context, handler)) = listener(adapter) {
        tell(adapter, context, handler, indication);
    }
    adapter::leave_control(adapter);
}

/// Calls `FilterStatus` with an indication, which the filter may pass on meanwhile.
fn tell(adapter: u32, context: u64, handler: u64, indication: u64) {
    PASSING.with_borrow_mut(|passing| passing.insert(indication));
    watch::note_lent(Lent::Status, indication, handler);
    driver::call(
        Callback::FilterStatus,
        Some(adapter),
        handler,
        &[context, indication],
    );
    PASSING.with_borrow_mut(|passing| passing.remove(&indication));
}
