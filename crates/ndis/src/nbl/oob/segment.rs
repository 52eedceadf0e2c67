//! Packets that stand for several segments.

use ndis_sys::{
    NDIS_RSC_NBL_INFO_Info, NDIS_TCP_LARGE_SEND_OFFLOAD_IPv6,
    NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO_LsoV1Transmit as LsoV1,
    NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO_LsoV2Transmit as LsoV2,
    NDIS_TCP_LARGE_SEND_OFFLOAD_V2_TYPE, NDIS_UDP_RSC_OFFLOAD_NET_BUFFER_LIST_INFO_Receive,
    NDIS_UDP_SEGMENTATION_OFFLOAD_IPV6,
    NDIS_UDP_SEGMENTATION_OFFLOAD_NET_BUFFER_LIST_INFO_Transmit as Uso,
};

use super::{IpVersion, low};

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

/// A send of TCP that the adapter is to cut into segments (large send offload). The list has one packet, which may be
/// longer than the adapter's frames; its TCP checksum covers the pseudo header only.
///
/// NDIS 6.0.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/nbllso/ns-nbllso-ndis_tcp_large_send_offload_net_buffer_list_info>,
/// <https://learn.microsoft.com/windows-hardware/drivers/network/offloading-the-segmentation-of-large-tcp-packets>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LargeSend {
    /// Version 1, which is for IPv4.
    V1 {
        /// Payload bytes of a segment.
        maximum_segment_size: u32,
        /// Bytes from the start of the frame to the TCP header.
        tcp_header_offset: u32,
    },
    /// Version 2. The length in an IPv4 header is 0.
    V2 {
        /// Payload bytes of a segment.
        maximum_segment_size: u32,
        /// Bytes from the start of the frame to the TCP header.
        tcp_header_offset: u32,
        /// What the packet is.
        ip_version: IpVersion,
    },
}

impl LargeSend {
    /// `None` when there is nothing to cut.
    pub(super) const fn of(slot: u64) -> Option<Self> {
        let v2 = LsoV2 { bits_0: low(slot) };
        if v2.MSS() == 0 {
            // Both versions have the size in the same place.
            return None;
        }
        if v2.Type() == NDIS_TCP_LARGE_SEND_OFFLOAD_V2_TYPE {
            return Some(Self::V2 {
                maximum_segment_size: v2.MSS(),
                tcp_header_offset: v2.TcpHeaderOffset(),
                ip_version: if v2.IPVersion() == NDIS_TCP_LARGE_SEND_OFFLOAD_IPv6 {
                    IpVersion::V6
                } else {
                    IpVersion::V4
                },
            });
        }
        let v1 = LsoV1 { bits_0: low(slot) };
        Some(Self::V1 {
            maximum_segment_size: v1.MSS(),
            tcp_header_offset: v1.TcpHeaderOffset(),
        })
    }

    /// Payload bytes of a segment.
    #[must_use]
    pub const fn maximum_segment_size(self) -> u32 {
        match self {
            Self::V1 {
                maximum_segment_size,
                ..
            }
            | Self::V2 {
                maximum_segment_size,
                ..
            } => maximum_segment_size,
        }
    }
}

/// A send of UDP that the adapter is to cut into datagrams (UDP segmentation offload). The list has one packet.
///
/// NDIS 6.83.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/nbluso/ns-nbluso-ndis_udp_segmentation_offload_net_buffer_list_info>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpSegmentation {
    /// Payload bytes of a datagram.
    pub maximum_segment_size: u32,
    /// Bytes from the start of the frame to the UDP header.
    pub udp_header_offset: u32,
    /// What the packet is.
    pub ip_version: IpVersion,
}

impl UdpSegmentation {
    /// `None` when there is nothing to cut.
    pub(super) const fn of(slot: u64) -> Option<Self> {
        let bits = Uso { bits_0: low(slot) };
        if bits.MSS() == 0 {
            return None;
        }
        Some(Self {
            maximum_segment_size: bits.MSS(),
            udp_header_offset: bits.UdpHeaderOffset(),
            ip_version: if bits.IPVersion() == NDIS_UDP_SEGMENTATION_OFFLOAD_IPV6 {
                IpVersion::V6
            } else {
                IpVersion::V4
            },
        })
    }
}

/// Segments of TCP that the adapter has joined into one received packet (receive segment coalescing).
///
/// NDIS 6.30.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/nblrsc/ns-nblrsc-ndis_rsc_nbl_info>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoalescedTcp {
    /// How many segments.
    pub segments: u16,
    /// How many duplicate acknowledgements were met with.
    pub duplicate_acks: u16,
    /// By how much the oldest and the newest TCP timestamp of the segments differ.
    pub timestamp_delta: u32,
}

impl CoalescedTcp {
    /// `None` when nothing was joined. `delta` is the slot of the timestamps.
    pub(super) const fn of(slot: u64, delta: u64) -> Option<Self> {
        let info = NDIS_RSC_NBL_INFO_Info {
            CoalescedSegCount: first(slot),
            DupAckCount: second(slot),
        };
        if info.CoalescedSegCount == 0 {
            return None;
        }
        Some(Self {
            segments: info.CoalescedSegCount,
            duplicate_acks: info.DupAckCount,
            timestamp_delta: low(delta),
        })
    }
}

/// Datagrams that the adapter has joined into one received packet (UDP receive segment coalescing offload, URO).
///
/// NDIS 6.89.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/network/udp-rsc-offload>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoalescedUdp {
    /// How many datagrams.
    pub segments: u16,
    /// Payload bytes of each, but for the last, which may be shorter.
    pub segment_size: u16,
}

impl CoalescedUdp {
    /// `None` when nothing was joined.
    pub(super) const fn of(slot: u64) -> Option<Self> {
        let info = NDIS_UDP_RSC_OFFLOAD_NET_BUFFER_LIST_INFO_Receive {
            SegCount: first(slot),
            SegSize: second(slot),
        };
        if info.SegCount == 0 {
            return None;
        }
        Some(Self {
            segments: info.SegCount,
            segment_size: info.SegSize,
        })
    }
}

/// The 16 bits at offset 0.
const fn first(slot: u64) -> u16 {
    (slot & 0xFFFF) as u16
}

/// The 16 bits at offset 2.
const fn second(slot: u64) -> u16 {
    (slot >> 16 & 0xFFFF) as u16
}

/// Tests, which run when the crate is compiled for a target that has the layouts.
const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(NDIS_RSC_NBL_INFO_Info, CoalescedSegCount) == 0);
    assert!(offset_of!(NDIS_RSC_NBL_INFO_Info, DupAckCount) == 2);
    assert!(offset_of!(NDIS_UDP_RSC_OFFLOAD_NET_BUFFER_LIST_INFO_Receive, SegCount) == 0);
    assert!(offset_of!(NDIS_UDP_RSC_OFFLOAD_NET_BUFFER_LIST_INFO_Receive, SegSize) == 2);

    // MSS 1460, the TCP header behind 54 bytes, Type 0.
    assert!(matches!(
        LargeSend::of(1460 | 54 << 20),
        Some(LargeSend::V1 {
            maximum_segment_size: 1460,
            tcp_header_offset: 54,
        })
    ));
    // Type 1; IPVersion 0 and 1.
    assert!(matches!(
        LargeSend::of(1440 | 34 << 20 | 1 << 30),
        Some(LargeSend::V2 {
            maximum_segment_size: 1440,
            tcp_header_offset: 34,
            ip_version: IpVersion::V4,
        })
    ));
    assert!(matches!(
        LargeSend::of(0xF_FFFF | 0x3FF << 20 | 1 << 30 | 1 << 31),
        Some(LargeSend::V2 {
            maximum_segment_size: 0xF_FFFF,
            tcp_header_offset: 0x3FF,
            ip_version: IpVersion::V6,
        })
    ));
    // Without a size there is nothing to cut.
    assert!(LargeSend::of(34 << 20 | 1 << 30).is_none());

    assert!(matches!(
        UdpSegmentation::of(1200 | 62 << 20 | 1 << 30 | 1 << 31),
        Some(UdpSegmentation {
            maximum_segment_size: 1200,
            udp_header_offset: 62,
            ip_version: IpVersion::V6,
        })
    ));
    assert!(matches!(
        UdpSegmentation::of(1 | 42 << 20),
        Some(UdpSegmentation {
            maximum_segment_size: 1,
            udp_header_offset: 42,
            ip_version: IpVersion::V4,
        })
    ));
    assert!(UdpSegmentation::of(42 << 20).is_none());

    assert!(matches!(
        CoalescedTcp::of(0xFFFF_0000_0003_0004, 0xFFFF_FFFF_0000_0005),
        Some(CoalescedTcp {
            segments: 4,
            duplicate_acks: 3,
            timestamp_delta: 5,
        })
    ));
    // Without segments the other counts are void.
    assert!(CoalescedTcp::of(3 << 16, 5).is_none());

    assert!(matches!(
        CoalescedUdp::of(1232 << 16 | 7),
        Some(CoalescedUdp {
            segments: 7,
            segment_size: 1232,
        })
    ));
    assert!(CoalescedUdp::of(1232 << 16).is_none());
};
