//! What stands beside the frames of an NBL: its out-of-band data.
//!
//! Lists that are passed on keep all of it; [`copy`] is what lists of a module's own get in their place.

mod checksum;
mod hash;
mod segment;

pub use checksum::{ReceiveChecksum, SendChecksum, Verdict};
pub use hash::{Hash, HashFunction, HashType};
pub use segment::{CoalescedTcp, CoalescedUdp, LargeSend, Segmentation, UdpSegmentation};

use ndis_sys::{
    Ieee8021QNetBufferListInfo, NDIS_NBL_FLAGS_CAPTURE_TIMESTAMP_ON_TRANSMIT,
    NDIS_NBL_FLAGS_IS_IPV4, NDIS_NBL_FLAGS_IS_IPV6, NDIS_NBL_FLAGS_IS_LOOPBACK_PACKET,
    NDIS_NBL_FLAGS_IS_TCP, NDIS_NBL_FLAGS_IS_UDP, NDIS_NET_BUFFER_LIST_8021Q_INFO_TagHeader,
    NDIS_NET_BUFFER_LIST_INFO, NdisCopyReceiveNetBufferListInfo, NdisCopySendNetBufferListInfo,
    NetBufferListHashInfo, NetBufferListHashValue, NetBufferListInfoReserved3,
    RscTcpTimestampDelta, TcpIpChecksumNetBufferListInfo, TcpLargeSendNetBufferListInfo,
    TcpRecvSegCoalesceInfo, TcpSendOffloadsSupplementalNetBufferListInfo,
    UdpRecvSegCoalesceOffloadInfo, UdpSegmentationOffloadInfo,
};

use super::raw::{self, NblPointer};
use super::{Direction, Nbl, Rx, Tx};
use crate::version;

/// The minor version that NDIS coalesces UDP from on (URO).
const UDP_COALESCING: u8 = 89;

/// The slot of timestamps, which `NdisGetNblTimestampInfo` reads.
const TIMESTAMP: NDIS_NET_BUFFER_LIST_INFO = NetBufferListInfoReserved3;

/// Which IP a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// An IEEE 802.1Q tag.
///
/// NDIS 6.0.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/nbl8021q/ns-nbl8021q-ndis_net_buffer_list_8021q_info>
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

    /// `None` when the three parts are zero. A slot that holds other bits only is no tag.
    const fn of(slot: u64) -> Option<Self> {
        let tag = NDIS_NET_BUFFER_LIST_8021Q_INFO_TagHeader { bits_0: low(slot) };
        // The three parts have 3, 1 and 12 bits.
        let control = (tag.UserPriority() << 13) | (tag.CanonicalFormatId() << 12) | tag.VlanId();
        if control == 0 {
            return None;
        }
        Some(Self((control & 0xFFFF) as u16))
    }
}

/// The lower half of a slot, where the layouts of 32 bits are.
const fn low(slot: u64) -> u32 {
    (slot & 0xFFFF_FFFF) as u32
}

/// What stands beside every list.
impl<D: Direction> Nbl<'_, D> {
    /// The VLAN tag that stands beside the frames, not in them: taken out by the adapter, or to be put in by it.
    #[must_use]
    pub fn vlan_tag(&self) -> Option<VlanTag> {
        VlanTag::of(self.slot(Ieee8021QNetBufferListInfo))
    }

    /// The hash of receive side scaling: of a received list the adapter's, of a send one that the sender may have left.
    #[must_use]
    pub fn hash(&self) -> Option<Hash> {
        Hash::of(
            self.slot(NetBufferListHashValue),
            self.slot(NetBufferListHashInfo),
        )
    }

    /// Whether each packet stands for several segments, and what the stack says about them.
    #[must_use]
    pub fn segmentation(&self) -> Segmentation {
        if D::IS_SEND {
            let tcp = LargeSend::of(self.slot(TcpLargeSendNetBufferListInfo))
                .map(LargeSend::maximum_segment_size);
            let udp = UdpSegmentation::of(self.slot(UdpSegmentationOffloadInfo))
                .map(|udp| udp.maximum_segment_size);
            tcp.max(udp)
                .map_or(Segmentation::One, |maximum_segment_size| {
                    Segmentation::Large {
                        maximum_segment_size,
                    }
                })
        } else {
            let tcp =
                CoalescedTcp::of(self.slot(TcpRecvSegCoalesceInfo), 0).map(|tcp| tcp.segments);
            let udp = self.udp_slot().and_then(CoalescedUdp::of);
            match tcp.max(udp.map(|udp| udp.segments)) {
                None | Some(1) => Segmentation::One,
                Some(segments) => Segmentation::Coalesced(segments),
            }
        }
    }

    /// Whether who has sent the list reads the adapter's answer beside it when it comes back.
    pub(super) fn is_answered(&self) -> bool {
        // SAFETY: by the invariant the NBL may be read.
        let flags = unsafe { raw::flags(self.pointer()) };
        D::IS_SEND
            && (flags & NDIS_NBL_FLAGS_CAPTURE_TIMESTAMP_ON_TRANSMIT != 0
                || self.slot(TcpLargeSendNetBufferListInfo) != 0)
    }

    fn slot(&self, slot: NDIS_NET_BUFFER_LIST_INFO) -> u64 {
        // SAFETY: by the invariant the NBL may be read.
        unsafe { raw::info(self.pointer(), slot) }.addr() as u64
    }

    /// The slot of coalesced UDP, which belongs to somebody else before NDIS knows such packets.
    fn udp_slot(&self) -> Option<u64> {
        (version::registered_minor() >= UDP_COALESCING)
            .then(|| self.slot(UdpRecvSegCoalesceOffloadInfo))
    }
}

/// What stands beside a list to send.
impl Nbl<'_, Tx> {
    /// The checksums that the adapter is to compute.
    #[must_use]
    pub fn checksum(&self) -> Option<SendChecksum> {
        SendChecksum::of(self.slot(TcpIpChecksumNetBufferListInfo))
    }

    /// Whether, and how, the adapter is to cut the packet into segments of TCP.
    #[must_use]
    pub fn large_send(&self) -> Option<LargeSend> {
        LargeSend::of(self.slot(TcpLargeSendNetBufferListInfo))
    }

    /// Whether, and how, the adapter is to cut the packet into datagrams of UDP.
    #[must_use]
    pub fn udp_segmentation(&self) -> Option<UdpSegmentation> {
        UdpSegmentation::of(self.slot(UdpSegmentationOffloadInfo))
    }

    /// Whether the sender wants to know when the packet left: the adapter leaves the time beside the list that comes back.
    ///
    /// NDIS 6.82.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/network/attaching-timestamps-to-packets>
    #[must_use]
    pub fn wants_timestamp(&self) -> bool {
        // SAFETY: by the invariant the NBL may be read.
        let flags = unsafe { raw::flags(self.pointer()) };
        flags & NDIS_NBL_FLAGS_CAPTURE_TIMESTAMP_ON_TRANSMIT != 0
    }
}

/// What stands beside a received list.
impl Nbl<'_, Rx> {
    /// What the adapter has found of the checksums.
    #[must_use]
    pub fn checksum(&self) -> ReceiveChecksum {
        ReceiveChecksum::of(self.slot(TcpIpChecksumNetBufferListInfo))
    }

    /// The segments of TCP that the adapter has joined into the packet.
    #[must_use]
    pub fn coalesced_tcp(&self) -> Option<CoalescedTcp> {
        CoalescedTcp::of(
            self.slot(TcpRecvSegCoalesceInfo),
            self.slot(RscTcpTimestampDelta),
        )
    }

    /// The datagrams of UDP that the adapter has joined into the packet. `None` too when the driver is registered below
    /// NDIS 6.89.
    #[must_use]
    pub fn coalesced_udp(&self) -> Option<CoalescedUdp> {
        self.udp_slot().and_then(CoalescedUdp::of)
    }

    /// When the packet came, as the adapter's clock counts it, or the system's when the adapter stamps in software
    /// (`OID_TIMESTAMP_CAPABILITY`, `OID_TIMESTAMP_CURRENT_CONFIG`). `None`: it was not stamped.
    ///
    /// NDIS 6.82.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/nbltimestamp/ns-nbltimestamp-net_buffer_list_timestamp>
    #[must_use]
    pub fn timestamp(&self) -> Option<u64> {
        Some(self.slot(TIMESTAMP)).filter(|&time| time != 0)
    }
}

/// What an NBL's flags say about its packets, rather than about its memory.
const PACKET_FLAGS: u32 = NDIS_NBL_FLAGS_IS_IPV4
    | NDIS_NBL_FLAGS_IS_IPV6
    | NDIS_NBL_FLAGS_IS_TCP
    | NDIS_NBL_FLAGS_IS_UDP
    | NDIS_NBL_FLAGS_IS_LOOPBACK_PACKET;

/// The slots of packets of this direction that the functions of NDIS leave out, as far as their pages say: segments,
/// timestamps, and the hash of a send, by which adapters keep the packets of a connection in one queue.
fn left_out<D: Direction>() -> &'static [NDIS_NET_BUFFER_LIST_INFO] {
    if D::IS_SEND {
        &[
            UdpSegmentationOffloadInfo,
            TcpSendOffloadsSupplementalNetBufferListInfo,
            NetBufferListHashValue,
            NetBufferListHashInfo,
        ]
    } else if version::registered_minor() < UDP_COALESCING {
        &[TcpRecvSegCoalesceInfo, RscTcpTimestampDelta, TIMESTAMP]
    } else {
        &[
            TcpRecvSegCoalesceInfo,
            RscTcpTimestampDelta,
            TIMESTAMP,
            UdpRecvSegCoalesceOffloadInfo,
        ]
    }
}

/// Puts beside a list of the module's own what stands beside another one of the same packets.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/nblapi/nf-nblapi-ndiscopysendnetbufferlistinfo>,
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/nblapi/nf-nblapi-ndiscopyreceivenetbufferlistinfo>
///
/// # Safety
///
/// The caller owns `to`, which is from a pool of its own, and may read `from`, which goes in direction `D`.
pub(super) unsafe fn copy<D: Direction>(from: NblPointer, to: NblPointer) {
    if D::IS_SEND {
        // SAFETY: this function's contract.
        unsafe { NdisCopySendNetBufferListInfo(to.as_ptr(), from.as_ptr()) };
    } else {
        // SAFETY: this function's contract.
        unsafe { NdisCopyReceiveNetBufferListInfo(to.as_ptr(), from.as_ptr()) };
    }
    for &slot in left_out::<D>() {
        // SAFETY: this function's contract.
        let value = unsafe { raw::info(from, slot) };
        // SAFETY: this function's contract.
        unsafe { raw::set_info(to, slot, value) };
    }
    // SAFETY: this function's contract.
    let said = unsafe { raw::flags(from) } & PACKET_FLAGS;
    // SAFETY: this function's contract.
    let other = unsafe { raw::flags(to) } & !PACKET_FLAGS;
    // SAFETY: this function's contract.
    unsafe { raw::set_flags(to, said | other) };
}

/// Leaves in a parent what the adapter has left in its clone: when it left, and what became of segments.
///
/// # Safety
///
/// The caller owns the clone. The parent is its module's, and clones alone write to its slots.
pub(super) unsafe fn copy_answer(clone: NblPointer, parent: NblPointer) {
    // SAFETY: this function's contract.
    let flags = unsafe { raw::flags(clone) };
    if flags & NDIS_NBL_FLAGS_CAPTURE_TIMESTAMP_ON_TRANSMIT != 0 {
        // SAFETY: this function's contract.
        let time = unsafe { raw::info(clone, TIMESTAMP) };
        // SAFETY: this function's contract.
        unsafe { raw::share_info(parent, TIMESTAMP, time) };
    }
    // SAFETY: this function's contract.
    let large = unsafe { raw::info(clone, TcpLargeSendNetBufferListInfo) };
    if !large.is_null() {
        // SAFETY: this function's contract.
        unsafe { raw::share_info(parent, TcpLargeSendNetBufferListInfo, large) };
    }
}

/// Tests, which run when the crate is compiled for a target that has the layouts.
const _: () = {
    // UserPriority 5, CanonicalFormatId 1, VlanId 0x123; then WMMInfo, which is no part of the tag.
    assert!(matches!(
        VlanTag::of(5 | 1 << 3 | 0x123 << 4 | 0xF << 16),
        Some(VlanTag(0xB123))
    ));
    assert!(matches!(VlanTag::of(0xFFF << 4), Some(VlanTag(0xFFF))));
    assert!(VlanTag::of(!0 << 16).is_none());
};
