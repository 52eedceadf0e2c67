//! Out-of-band data that goes from one NET_BUFFER_LIST to another.

use crate::abi::constant::{
    IPsecOffloadV1NetBufferListInfo, IPsecOffloadV2HeaderNetBufferListInfo,
    IPsecOffloadV2TunnelNetBufferListInfo, Ieee8021QNetBufferListInfo, MediaSpecificInformation,
    NDIS_NET_BUFFER_LIST_INFO, NetBufferListCancelId, NetBufferListFilteringInfo,
    NetBufferListFrameType, NetBufferListHashInfo, NetBufferListHashValue, NetBufferListProtocolId,
    TcpIpChecksumNetBufferListInfo, TcpLargeSendNetBufferListInfo, TcpReceiveNoPush,
    VirtualSubnetInfo,
};
use crate::ndis::nbl;
use crate::nt::imports;
use crate::rt::Call;
use crate::watch::OrFault;

imports! {
    "ndis.sys":
    NdisCopySendNetBufferListInfo => copy_send,
    NdisCopyReceiveNetBufferListInfo => copy_receive,
}

/// What the page of the send function lists.
const SEND: &[NDIS_NET_BUFFER_LIST_INFO] = &[
    TcpIpChecksumNetBufferListInfo,
    IPsecOffloadV1NetBufferListInfo,
    TcpLargeSendNetBufferListInfo,
    Ieee8021QNetBufferListInfo,
    MediaSpecificInformation,
    NetBufferListCancelId,
    NetBufferListProtocolId,
    IPsecOffloadV2TunnelNetBufferListInfo,
    IPsecOffloadV2HeaderNetBufferListInfo,
    VirtualSubnetInfo,
    NetBufferListFilteringInfo,
];

/// What the page of the receive function lists.
const RECEIVE: &[NDIS_NET_BUFFER_LIST_INFO] = &[
    TcpIpChecksumNetBufferListInfo,
    IPsecOffloadV1NetBufferListInfo,
    TcpReceiveNoPush,
    Ieee8021QNetBufferListInfo,
    MediaSpecificInformation,
    NetBufferListFrameType,
    NetBufferListHashValue,
    NetBufferListHashInfo,
    IPsecOffloadV2TunnelNetBufferListInfo,
    IPsecOffloadV2HeaderNetBufferListInfo,
    VirtualSubnetInfo,
    NetBufferListFilteringInfo,
];

fn copy(call: &Call<'_>, slots: &[NDIS_NET_BUFFER_LIST_INFO]) -> u64 {
    let (to, from) = (call.arg(0), call.arg(1));
    for slot in slots {
        let value = nbl::slot_value(from, *slot).or_fault();
        nbl::set_slot(to, *slot, value).or_fault();
    }
    0
}

fn copy_send(call: &Call<'_>) -> u64 {
    copy(call, SEND)
}

fn copy_receive(call: &Call<'_>) -> u64 {
    copy(call, RECEIVE)
}
