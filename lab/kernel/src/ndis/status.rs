//! Status indications: up the stack.

use std::cell::RefCell;
use std::collections::BTreeSet;

use lab_rules::Kind;
use lab_rules::event::{Callback, Lent, ModuleEvent};

use super::register::{read_header, write_header};
use super::{adapter, filter, handle, module, stack};
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
    let mut images = stack::from_top().rev();
    let image = images.find(|image| sched::on_behalf(*image, || listener(adapter).is_some()));
    if let Some(image) = image {
        sched::on_behalf(image, || tell_link_state(adapter, is_up));
    }
}

fn tell_link_state(adapter: u32, is_up: bool) {
    let Some((context, handler)) = listener(adapter) else {
        return;
    };
    let link = driver::lend(Lent::Status, L::SIZE);
    write_header(
        link,
        NDIS_OBJECT_TYPE_DEFAULT,
        NDIS_LINK_STATE_REVISION_1,
        NDIS_SIZEOF_LINK_STATE_REVISION_1,
    );
    let indication = driver::lend(Lent::Status, S::SIZE);
    write_header(indication, HEADER.0, HEADER.1, HEADER.2);
    let fill = || {
        let state = if is_up {
            MediaConnectStateConnected
        } else {
            MediaConnectStateDisconnected
        };
        L::MediaConnectState.write(link, state)?;
        L::MediaDuplexState.write(link, MediaDuplexStateFull)?;
        L::XmitLinkSpeed.write(link, 1_000_000_000)?;
        L::RcvLinkSpeed.write(link, 1_000_000_000)?;
        // The miniport's handle, which nobody below NDIS may compare with anything.
        S::SourceHandle.write(indication, link)?;
        S::StatusCode.write(indication, NDIS_STATUS_LINK_STATE)?;
        S::StatusBuffer.write(indication, link)?;
        S::StatusBufferSize.write(indication, u32::from(NDIS_SIZEOF_LINK_STATE_REVISION_1))
    };
    fill().or_fault();
    watch::note_lent(Lent::Status, link, handler);
    tell(adapter, context, handler, indication);
    driver::release(indication);
    driver::release(link);
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
    let mut images = stack::above();
    let image = images.find(|image| sched::on_behalf(*image, || listener(adapter).is_some()));
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
