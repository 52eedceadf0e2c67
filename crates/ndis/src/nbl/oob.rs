//! What stands beside the frames of an NBL.

use ndis_sys::{
    Ieee8021QNetBufferListInfo, NDIS_NET_BUFFER_LIST_8021Q_INFO, NDIS_NET_BUFFER_LIST_INFO,
    NDIS_RSC_NBL_INFO, NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO,
    NDIS_UDP_RSC_OFFLOAD_NET_BUFFER_LIST_INFO, NDIS_UDP_SEGMENTATION_OFFLOAD_NET_BUFFER_LIST_INFO,
    TcpLargeSendNetBufferListInfo, TcpRecvSegCoalesceInfo, UdpRecvSegCoalesceOffloadInfo,
    UdpSegmentationOffloadInfo,
};

use super::raw::{self, NblPointer};
use crate::version;

/// The minor version that NDIS coalesces UDP from on (URO).
const UDP_COALESCING: u8 = 89;

/// An IEEE 802.1Q tag.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/nblinfo/ns-nblinfo-ndis_net_buffer_list_8021q_info>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VlanTag(u16);

impl VlanTag {
    /// Bytes that the tag takes in a frame.
    pub const LENGTH: u32 = 4;

    /// The tag control information as it stands in a frame: priority (3 bits), drop eligible or canonical format
    /// indicator (1 bit), VLAN identifier (12 bits).
    #[must_use]
    pub const fn control(self) -> u16 {
        self.0
    }
}

/// Whether a packet stands for several segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segmentation {
    /// It is one segment.
    One,
    /// The adapter has joined this many received segments (RSC of TCP, URO of UDP).
    Coalesced(u16),
    /// The adapter will cut it into segments of this many payload bytes, the last one maybe shorter (LSO, USO).
    Large {
        /// Payload bytes of a segment.
        maximum_segment_size: u32,
    },
}

/// # Safety
///
/// The caller may read the NBL.
pub(super) unsafe fn vlan_tag(nbl: NblPointer) -> Option<VlanTag> {
    // SAFETY: this function's contract.
    let slot = unsafe { raw::info(nbl, Ieee8021QNetBufferListInfo) };
    if slot.is_null() {
        return None;
    }
    let info = NDIS_NET_BUFFER_LIST_8021Q_INFO { Value: slot };
    // SAFETY: every bit pattern is a tag header.
    let tag = unsafe { info.TagHeader };
    let control = (tag.UserPriority() << 13) | (tag.CanonicalFormatId() << 12) | tag.VlanId();
    // The three parts have 3, 1 and 12 bits. A slot that holds other bits only is no tag.
    u16::try_from(control)
        .ok()
        .filter(|&control| control != 0)
        .map(VlanTag)
}

/// The slots that say how many segments a received packet was joined from, which `NdisCopyReceiveNetBufferListInfo` leaves
/// out.
pub(super) fn coalescing_slots() -> &'static [NDIS_NET_BUFFER_LIST_INFO] {
    if version::registered_minor() < UDP_COALESCING {
        &[TcpRecvSegCoalesceInfo]
    } else {
        &[TcpRecvSegCoalesceInfo, UdpRecvSegCoalesceOffloadInfo]
    }
}

/// The segments that a received packet was joined from.
///
/// # Safety
///
/// The caller may read the NBL, which was received.
pub(super) unsafe fn coalesced(nbl: NblPointer) -> Segmentation {
    // SAFETY: this function's contract.
    let slot = unsafe { raw::info(nbl, TcpRecvSegCoalesceInfo) };
    let info = NDIS_RSC_NBL_INFO { Value: slot };
    // SAFETY: every bit pattern is a pair of counts.
    let tcp = unsafe { info.Info }.CoalescedSegCount;
    if tcp > 1 {
        return Segmentation::Coalesced(tcp);
    }
    if version::registered_minor() < UDP_COALESCING {
        // The slot belongs to somebody else.
        return Segmentation::One;
    }
    // SAFETY: this function's contract.
    let slot = unsafe { raw::info(nbl, UdpRecvSegCoalesceOffloadInfo) };
    let info = NDIS_UDP_RSC_OFFLOAD_NET_BUFFER_LIST_INFO { Value: slot };
    // SAFETY: every bit pattern is a count and a size.
    let udp = unsafe { info.Receive }.SegCount;
    if udp > 1 {
        Segmentation::Coalesced(udp)
    } else {
        Segmentation::One
    }
}

/// The segments that a packet is to be cut into.
///
/// # Safety
///
/// The caller may read the NBL, which is to be sent.
pub(super) unsafe fn large_send(nbl: NblPointer) -> Segmentation {
    // SAFETY: this function's contract.
    let slot = unsafe { raw::info(nbl, TcpLargeSendNetBufferListInfo) };
    let info = NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO { Value: slot };
    // SAFETY: every bit pattern is one of both versions, which have the size in the same place.
    let tcp = unsafe { info.LsoV2Transmit }.MSS();
    // SAFETY: this function's contract.
    let slot = unsafe { raw::info(nbl, UdpSegmentationOffloadInfo) };
    let info = NDIS_UDP_SEGMENTATION_OFFLOAD_NET_BUFFER_LIST_INFO { Value: slot };
    // SAFETY: every bit pattern is a size and an offset.
    let udp = unsafe { info.Transmit }.MSS();
    match tcp.max(udp) {
        0 => Segmentation::One,
        maximum_segment_size => Segmentation::Large {
            maximum_segment_size,
        },
    }
}
