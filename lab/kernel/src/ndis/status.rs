//! Status indications: up the stack.

use std::cell::RefCell;
use std::collections::BTreeSet;

use lab_rules::Kind;
use lab_rules::event::{Callback, Lent, ModuleEvent};

use super::register::{read_header, write_header};
use super::{filter, handle, module};
use crate::abi::constant::{
    MediaConnectStateConnected, MediaConnectStateDisconnected, MediaDuplexStateFull,
    NDIS_LINK_STATE_REVISION_1, NDIS_OBJECT_TYPE_DEFAULT, NDIS_OBJECT_TYPE_STATUS_INDICATION,
    NDIS_SIZEOF_LINK_STATE_REVISION_1, NDIS_SIZEOF_STATUS_INDICATION_REVISION_1,
    NDIS_STATUS_INDICATION_REVISION_1, NDIS_STATUS_LINK_STATE,
};
use crate::abi::ndis::{NDIS_LINK_STATE as L, NDIS_STATUS_INDICATION as S};
use crate::driver;
use crate::nt::imports;
use crate::rt::Call;
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

thread_local! {
    /// The indications that `FilterStatus` is called with, one per adapter at most.
    static PASSING: RefCell<BTreeSet<u64>> = const { RefCell::new(BTreeSet::new()) };
}

/// The miniport says how the link is: up, or down if `is_up` is false.
pub(crate) fn indicate_link_state(adapter: u32, is_up: bool) {
    let Some(filter) = filter::registered() else {
        return;
    };
    let Some((context, _)) = module::path(adapter) else {
        return;
    };
    if filter.handlers.status == 0 {
        return;
    }
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
    PASSING.with_borrow_mut(|passing| passing.insert(indication));
    for lent in [indication, link] {
        watch::note_lent(Lent::Status, lent, filter.handlers.status);
    }
    driver::call(
        Callback::FilterStatus,
        Some(adapter),
        filter.handlers.status,
        &[context, indication],
    );
    PASSING.with_borrow_mut(|passing| passing.remove(&indication));
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
        has_destination: S::DestinationHandle.read(indication).or_fault() != 0,
        has_request: S::RequestId.read(indication).or_fault() != 0,
    }));
    // Protocols of the lab listen to nothing.
    0
}
