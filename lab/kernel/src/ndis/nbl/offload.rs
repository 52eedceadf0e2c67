//! The out-of-band slots that speak of a frame's headers: tag, checksums, segments.

use lab_rules::event::NblPath;

use crate::Frame;
use crate::abi::constant::{
    Ieee8021QNetBufferListInfo, NDIS_NET_BUFFER_LIST_INFO, TcpIpChecksumNetBufferListInfo,
    TcpLargeSendNetBufferListInfo, TcpRecvSegCoalesceInfo, UdpRecvSegCoalesceOffloadInfo,
    UdpSegmentationOffloadInfo,
};
use crate::abi::ndis::{
    NDIS_NET_BUFFER_LIST_8021Q_INFO as Q, NDIS_RSC_NBL_INFO as R,
    NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO as K,
    NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO as L,
    NDIS_UDP_RSC_OFFLOAD_NET_BUFFER_LIST_INFO as U,
    NDIS_UDP_SEGMENTATION_OFFLOAD_NET_BUFFER_LIST_INFO as S,
};

/// The slots that a frame needs, with their values.
pub(super) fn slots(path: NblPath, frame: &Frame) -> Vec<(NDIS_NET_BUFFER_LIST_INFO, u64)> {
    let headers = Headers::of(&frame.data);
    let mut slots = Vec::new();
    if let Some(tci) = frame.vlan {
        let tci = u32::from(tci);
        let tag = bits(Q::TagHeader_UserPriority, tci >> 13)
            | bits(Q::TagHeader_CanonicalFormatId, tci >> 12)
            | bits(Q::TagHeader_VlanId, tci);
        slots.push((Ieee8021QNetBufferListInfo, tag));
    }
    if frame.checksum_offloaded {
        slots.push((TcpIpChecksumNetBufferListInfo, checksum(path, headers)));
    }
    if frame.segments > 1 {
        slots.push(coalesced(path, frame, headers));
    }
    slots
}

/// Bytes of a frame up to what follows its TCP or UDP header, if it has one and something follows.
pub(super) fn header_len(frame: &[u8]) -> Option<usize> {
    let headers = Headers::of(frame);
    let end = headers.payload as usize;
    let is_known = headers.is_tcp || headers.is_udp;
    (is_known && headers.payload > headers.transport && end < frame.len()).then_some(end)
}

/// A value at the place of a bit-field.
fn bits((_, shift, width): (u64, u32, u32), value: u32) -> u64 {
    u64::from(value & ((1u32 << width) - 1)) << shift
}

/// What of a frame's headers the slots speak of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Headers {
    is_ipv4: bool,
    is_ipv6: bool,
    is_tcp: bool,
    is_udp: bool,
    /// Offset of the TCP or UDP header in the frame.
    transport: u32,
    /// Offset of what follows it.
    payload: u32,
}

impl Headers {
    fn of(frame: &[u8]) -> Self {
        const TCP: u8 = 6;
        const UDP: u8 = 17;
        let at = |offset: u32| frame.get(offset as usize).copied().unwrap_or(0);
        let (protocol, transport) = match (at(12), at(13)) {
            (0x08, 0x00) => (at(23), 14 + u32::from(at(14) & 0xF) * 4),
            (0x86, 0xDD) => (at(20), 14 + 40),
            _ => return Self::default(),
        };
        let is_ipv4 = at(12) == 0x08;
        let header = match protocol {
            // The data offset, in units of four bytes.
            TCP => u32::from(at(transport + 12) >> 4) * 4,
            UDP => 8,
            _ => 0,
        };
        Self {
            is_ipv4,
            is_ipv6: !is_ipv4,
            is_tcp: protocol == TCP,
            is_udp: protocol == UDP,
            transport,
            payload: transport + header,
        }
    }
}

/// What the hardware is asked to compute (send), or has found to be right (receive).
fn checksum(path: NblPath, headers: Headers) -> u64 {
    let flag = |field, condition| bits(field, u32::from(condition));
    match path {
        NblPath::Send => {
            flag(K::Transmit_IsIPv4, headers.is_ipv4)
                | flag(K::Transmit_IsIPv6, headers.is_ipv6)
                | flag(K::Transmit_TcpChecksum, headers.is_tcp)
                | flag(K::Transmit_UdpChecksum, headers.is_udp)
                | bits(K::Transmit_TcpHeaderOffset, headers.transport)
        }
        NblPath::Receive => {
            flag(K::Receive_IpChecksumSucceeded, headers.is_ipv4)
                | flag(K::Receive_TcpChecksumSucceeded, headers.is_tcp)
                | flag(K::Receive_UdpChecksumSucceeded, headers.is_udp)
        }
    }
}

/// The slot of a frame that stands for several on the wire: LSO, USO, RSC or URO.
fn coalesced(path: NblPath, frame: &Frame, headers: Headers) -> (NDIS_NET_BUFFER_LIST_INFO, u64) {
    let length = u32::try_from(frame.data.len()).unwrap_or(u32::MAX);
    let segment = length
        .saturating_sub(headers.payload)
        .div_ceil(frame.segments.into());
    let segments = u64::from(frame.segments);
    match (path, headers.is_udp) {
        (NblPath::Send, false) => {
            let value = bits(L::LsoV2Transmit_MSS, segment)
                | bits(L::LsoV2Transmit_TcpHeaderOffset, headers.transport)
                | bits(L::LsoV2Transmit_Type, 1)
                | bits(L::LsoV2Transmit_IPVersion, u32::from(headers.is_ipv6));
            (TcpLargeSendNetBufferListInfo, value)
        }
        (NblPath::Send, true) => {
            let value = bits(S::Transmit_MSS, segment)
                | bits(S::Transmit_UdpHeaderOffset, headers.transport)
                | bits(S::Transmit_IPVersion, u32::from(headers.is_ipv6));
            (UdpSegmentationOffloadInfo, value)
        }
        (NblPath::Receive, false) => (
            TcpRecvSegCoalesceInfo,
            segments << (8 * R::Info_CoalescedSegCount.offset()),
        ),
        (NblPath::Receive, true) => {
            let size = u64::from(segment & 0xFFFF) << (8 * U::Receive_SegSize.offset());
            (
                UdpRecvSegCoalesceOffloadInfo,
                segments << (8 * U::Receive_SegCount.offset()) | size,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use lab_rules::event::NblPath;

    use super::slots;
    use crate::abi::constant::{
        Ieee8021QNetBufferListInfo, TcpIpChecksumNetBufferListInfo, TcpLargeSendNetBufferListInfo,
        TcpRecvSegCoalesceInfo, UdpRecvSegCoalesceOffloadInfo, UdpSegmentationOffloadInfo,
    };
    use crate::{Direction, Frame};

    /// An Ethernet and IPv4 header, then 20 or 8 bytes of TCP or UDP, then 1000 bytes.
    fn frame(protocol: u8) -> Frame {
        let mut data = vec![0; 14 + 20 + if protocol == 6 { 20 } else { 8 } + 1000];
        (data[12], data[14], data[23]) = (0x08, 0x45, protocol);
        if protocol == 6 {
            data[14 + 20 + 12] = 5 << 4;
        }
        let direction = Direction::Send;
        Frame {
            direction,
            data,
            vlan: None,
            time_ns: 0,
            segments: 1,
            checksum_offloaded: false,
        }
    }

    #[test]
    fn an_ordinary_frame_needs_no_slot() {
        assert_eq!(slots(NblPath::Send, &frame(6)), []);
    }

    #[test]
    fn a_tag_is_priority_format_and_identifier() {
        let tagged = Frame {
            vlan: Some(5 << 13 | 1 << 12 | 0x123),
            ..frame(6)
        };
        let expected = [(Ieee8021QNetBufferListInfo, 5 | 1 << 3 | 0x123 << 4)];
        assert_eq!(slots(NblPath::Receive, &tagged), expected);
    }

    #[test]
    fn checksums_are_asked_for_or_vouched_for() {
        let frame = Frame {
            checksum_offloaded: true,
            ..frame(6)
        };
        let asked = 1 | 1 << 2 | 34 << 16;
        assert_eq!(
            slots(NblPath::Send, &frame),
            [(TcpIpChecksumNetBufferListInfo, asked)]
        );
        let vouched = 1 << 3 | 1 << 5;
        assert_eq!(
            slots(NblPath::Receive, &frame),
            [(TcpIpChecksumNetBufferListInfo, vouched)]
        );
    }

    #[test]
    fn coalesced_frames_name_their_segments() {
        let of = |protocol| Frame {
            segments: 4,
            ..frame(protocol)
        };
        let lso = 250 | 34 << 20 | 1 << 30;
        assert_eq!(
            slots(NblPath::Send, &of(6)),
            [(TcpLargeSendNetBufferListInfo, lso)]
        );
        assert_eq!(
            slots(NblPath::Send, &of(17)),
            [(UdpSegmentationOffloadInfo, 250 | 34 << 20)]
        );
        assert_eq!(
            slots(NblPath::Receive, &of(6)),
            [(TcpRecvSegCoalesceInfo, 4)]
        );
        assert_eq!(
            slots(NblPath::Receive, &of(17)),
            [(UdpRecvSegCoalesceOffloadInfo, 4 | 250 << 16)]
        );
    }
}
