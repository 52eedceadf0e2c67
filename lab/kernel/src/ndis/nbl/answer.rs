//! What a miniport leaves beside a send that it completes, on its way up.

use super::{RECORDS, set_slot, slot, slot_value};
use crate::abi::constant::{
    NDIS_NBL_FLAGS_CAPTURE_TIMESTAMP_ON_TRANSMIT, NDIS_NET_BUFFER_LIST_INFO,
    NDIS_TCP_LARGE_SEND_OFFLOAD_V1_TYPE, NetBufferListInfoReserved3, TcpLargeSendNetBufferListInfo,
};
use crate::abi::ndis::{
    NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO as L, NET_BUFFER, NET_BUFFER_LIST,
};
use crate::ndis::{data_space, own};
use crate::rt::mem::{self, BadAddress};
use crate::rt::sched;

/// Where `NdisSetNblTimestampInfo` puts the time.
pub(super) const TIMESTAMP: NDIS_NET_BUFFER_LIST_INFO = NetBufferListInfoReserved3;
/// Offset of the byte of a TCP header that has its length, in units of four bytes, in the upper half.
const TCP_LENGTH: usize = 12;

/// The adapter's clock, which never says 0.
pub(super) fn time() -> u64 {
    sched::now() + 1
}

/// The miniport leaves the time of sends that want it, and what became of segments; who has sent a clone hands such an
/// answer on to its parent.
pub(super) fn take(nbls: &[u64], is_from_miniport: bool) -> Result<(), BadAddress> {
    for nbl in nbls {
        let flags = NET_BUFFER_LIST::NblFlags.read(*nbl)?;
        if flags & NDIS_NBL_FLAGS_CAPTURE_TIMESTAMP_ON_TRANSMIT != 0 {
            if is_from_miniport {
                set_slot(*nbl, TIMESTAMP, time())?;
            }
            allow(*nbl, TIMESTAMP);
        }
        let large = slot_value(*nbl, TcpLargeSendNetBufferListInfo)?;
        if large != 0 {
            if is_from_miniport {
                let answer = large_answer(*nbl, large)?;
                set_slot(*nbl, TcpLargeSendNetBufferListInfo, answer)?;
            }
            allow(*nbl, TcpLargeSendNetBufferListInfo);
        }
    }
    Ok(())
}

/// The payload that was sent, with version 1; nothing but the version with the other.
fn large_answer(nbl: u64, asked: u64) -> Result<u64, BadAddress> {
    let part = |(_, shift, width): (u64, u32, u32)| (asked >> shift) & ((1 << width) - 1);
    let kind = part(L::Transmit_Type);
    if kind != u64::from(NDIS_TCP_LARGE_SEND_OFFLOAD_V1_TYPE) {
        return Ok(kind << L::Transmit_Type.1);
    }
    let header = part(L::LsoV1Transmit_TcpHeaderOffset);
    let mut payload = 0;
    for nb in data_space::buffers(nbl)? {
        let length = u64::from(NET_BUFFER::DataLength.read(nb)?);
        let at = u32::try_from(header).unwrap_or(u32::MAX) + TCP_LENGTH as u32;
        let rest = data_space::skip(data_space::pieces(nb)?, at);
        let byte = match rest.first() {
            Some(piece) => mem::read::<u8>(piece.address)?,
            None => 0,
        };
        payload += length.saturating_sub(header + u64::from(byte >> 4) * 4);
    }
    Ok(payload & ((1 << L::LsoV1TransmitComplete_TcpPayload.2) - 1))
}

/// What is in a slot is as it should be now, and that of what it is a clone of, or a clone of a clone, may become so.
fn allow(nbl: u64, index: NDIS_NET_BUFFER_LIST_INFO) {
    RECORDS.with_borrow_mut(|records| {
        if let Some(record) = records.get_mut(&nbl) {
            record.shadow.renew(slot(nbl, index));
        }
        for parent in own::ancestors(nbl) {
            if let Some(record) = records.get_mut(&parent) {
                record.shadow.forget(slot(parent, index));
            }
        }
    });
}
