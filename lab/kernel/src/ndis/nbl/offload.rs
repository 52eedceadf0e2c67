//! The out-of-band slots that speak of a frame's headers: tag, checksums, segments, hash.

use lab_rules::event::NblPath;

use crate::Frame;
use crate::abi::constant::{
    Ieee8021QNetBufferListInfo, NDIS_HASH_IPV4, NDIS_HASH_IPV6, NDIS_HASH_TCP_IPV4,
    NDIS_HASH_TCP_IPV6, NDIS_HASH_UDP_IPV4, NDIS_HASH_UDP_IPV6, NDIS_NET_BUFFER_LIST_INFO,
    NDIS_TCP_LARGE_SEND_OFFLOAD_V1_TYPE, NDIS_TCP_LARGE_SEND_OFFLOAD_V2_TYPE,
    NdisHashFunctionToeplitz, NetBufferListHashInfo, NetBufferListHashValue, RscTcpTimestampDelta,
    TcpIpChecksumNetBufferListInfo, TcpLargeSendNetBufferListInfo, TcpRecvSegCoalesceInfo,
    UdpRecvSegCoalesceOffloadInfo, UdpSegmentationOffloadInfo,
};
use crate::abi::ndis::{
    NDIS_NET_BUFFER_LIST_8021Q_INFO as Q, NDIS_RSC_NBL_INFO as R,
    NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO as K,
    NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO as L,
    NDIS_UDP_RSC_OFFLOAD_NET_BUFFER_LIST_INFO as U,
    NDIS_UDP_SEGMENTATION_OFFLOAD_NET_BUFFER_LIST_INFO as S,
};

/// What the adapter does beyond what a frame needs, from bits of chance: with none of them set nothing.
#[derive(Clone, Copy, Default)]
pub(super) struct Zeal(pub(super) u32);

impl Zeal {
    /// One in so many at `at`, a power of two.
    fn is(self, at: u32, one_in: u32) -> bool {
        (self.0 >> at) & (one_in - 1) == one_in - 1
    }

    fn has_hash(self) -> bool {
        self.is(0, 2)
    }

    /// Whether the adapter has looked at the checksums of a received frame.
    fn has_verified(self) -> bool {
        self.is(1, 2)
    }

    /// Whether the checksums of a packet that was joined from several are still those of the first.
    fn leaves_checksums(self) -> bool {
        self.is(2, 2)
    }

    fn is_first_version(self) -> bool {
        self.is(3, 4)
    }

    /// Whether a received frame is stamped, or that of a send is wanted.
    pub(super) fn has_timestamp(self) -> bool {
        self.is(5, 4)
    }

    fn duplicate_acks(self) -> u32 {
        (self.0 >> 7) & 3
    }

    fn timestamp_delta(self) -> u32 {
        (self.0 >> 9) & 0xFFFF
    }
}

/// The slots that a frame needs, and what a zealous adapter adds, with their values.
pub(super) fn slots(
    path: NblPath,
    frame: &Frame,
    zeal: Zeal,
) -> Vec<(NDIS_NET_BUFFER_LIST_INFO, u64)> {
    let headers = Headers::of(&frame.data);
    let mut slots = Vec::new();
    if let Some(tci) = frame.vlan {
        let tci = u32::from(tci);
        let tag = bits(Q::TagHeader_UserPriority, tci >> 13)
            | bits(Q::TagHeader_CanonicalFormatId, tci >> 12)
            | bits(Q::TagHeader_VlanId, tci);
        slots.push((Ieee8021QNetBufferListInfo, tag));
    }
    let is_joined = path == NblPath::Receive && frame.segments > 1;
    let mut checksums = if frame.checksum_offloaded {
        checksum(path, headers)
    } else if path == NblPath::Receive && zeal.has_verified() && !is_joined {
        verified(&frame.data, headers)
    } else {
        0
    };
    if is_joined && headers.is_tcp && zeal.leaves_checksums() {
        checksums |= checksum(path, headers)
            | bits(K::Receive_TcpChecksumValueInvalid, 1)
            | bits(K::Receive_IpChecksumValueInvalid, headers.is_ipv4.into());
    }
    if checksums != 0 {
        slots.push((TcpIpChecksumNetBufferListInfo, checksums));
    }
    if frame.segments > 1 {
        slots.push(coalesced(path, frame, headers, zeal));
        if is_joined && headers.is_tcp && zeal.timestamp_delta() > 0 {
            slots.push((RscTcpTimestampDelta, zeal.timestamp_delta().into()));
        }
    }
    if let Some(over) = headers.hash_type()
        && zeal.has_hash()
    {
        // The value is as random as the bits are; it has 32 of them.
        let info = u64::from(NdisHashFunctionToeplitz | over);
        slots.push((NetBufferListHashValue, u64::from(zeal.0)));
        slots.push((NetBufferListHashInfo, info));
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
    /// One of several pieces of an IPv4 packet.
    is_fragment: bool,
}

impl Headers {
    /// What a hash is computed over.
    fn hash_type(self) -> Option<u32> {
        Some(match self {
            Self {
                is_ipv4, is_ipv6, ..
            } if !is_ipv4 && !is_ipv6 => return None,
            Self {
                is_ipv4: true,
                is_fragment: true,
                ..
            } => NDIS_HASH_IPV4,
            Self {
                is_ipv4: true,
                is_tcp: true,
                ..
            } => NDIS_HASH_TCP_IPV4,
            Self {
                is_ipv4: true,
                is_udp: true,
                ..
            } => NDIS_HASH_UDP_IPV4,
            Self { is_ipv4: true, .. } => NDIS_HASH_IPV4,
            Self { is_tcp: true, .. } => NDIS_HASH_TCP_IPV6,
            Self { is_udp: true, .. } => NDIS_HASH_UDP_IPV6,
            Self { .. } => NDIS_HASH_IPV6,
        })
    }

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
            is_fragment: is_ipv4 && (at(20) & 0x3F != 0 || at(21) != 0),
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

/// What an adapter finds that looks at the checksums of a frame.
fn verified(frame: &[u8], headers: Headers) -> u64 {
    let flag = |field, condition: bool| bits(field, u32::from(condition));
    let mut found = 0;
    let transport = headers.transport as usize;
    if headers.is_ipv4
        && let Some(header) = frame.get(14..transport)
    {
        let is_right = sum(header) == 0xFFFF;
        found |= flag(K::Receive_IpChecksumSucceeded, is_right)
            | flag(K::Receive_IpChecksumFailed, !is_right);
    }
    let Some(is_right) = is_transport_right(frame, headers) else {
        return found;
    };
    if headers.is_tcp {
        found |= flag(K::Receive_TcpChecksumSucceeded, is_right)
            | flag(K::Receive_TcpChecksumFailed, !is_right);
    } else if headers.is_udp {
        found |= flag(K::Receive_UdpChecksumSucceeded, is_right)
            | flag(K::Receive_UdpChecksumFailed, !is_right);
    }
    found
}

/// Whether the checksum of TCP or UDP is right; `None` if there is none.
fn is_transport_right(frame: &[u8], headers: Headers) -> Option<bool> {
    let length_at = |at: usize| {
        let bytes = frame.get(at..)?.first_chunk::<2>()?;
        Some(usize::from(u16::from_be_bytes(*bytes)))
    };
    let transport = headers.transport as usize;
    let (addresses, end) = if headers.is_ipv4 {
        (frame.get(26..34)?, 14 + length_at(16)?)
    } else {
        (frame.get(22..54)?, transport + length_at(18)?)
    };
    let data = frame.get(transport..end)?;
    let is_known = headers.is_tcp || headers.is_udp;
    let has_none = headers.is_udp && length_at(transport + 6)? == 0;
    if !is_known || headers.is_fragment || has_none {
        return None;
    }
    let protocol = if headers.is_tcp { 6 } else { 17 };
    let whole = u64::from(sum(addresses)) + u64::from(sum(data)) + protocol + data.len() as u64;
    Some(fold(whole) == 0xFFFF)
}

/// The sum that Internet checksums are made of.
fn sum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u64::from(*low));
    fold(bytes.chunks(2).map(word).sum())
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}

/// The slot of a frame that stands for several on the wire: LSO, USO, RSC or URO.
fn coalesced(
    path: NblPath,
    frame: &Frame,
    headers: Headers,
    zeal: Zeal,
) -> (NDIS_NET_BUFFER_LIST_INFO, u64) {
    let length = u32::try_from(frame.data.len()).unwrap_or(u32::MAX);
    let segment = length
        .saturating_sub(headers.payload)
        .div_ceil(frame.segments.into());
    let segments = u64::from(frame.segments);
    match (path, headers.is_udp) {
        (NblPath::Send, false) => {
            let value = if headers.is_ipv4 && zeal.is_first_version() {
                bits(L::LsoV1Transmit_MSS, segment)
                    | bits(L::LsoV1Transmit_TcpHeaderOffset, headers.transport)
                    | bits(L::LsoV1Transmit_Type, NDIS_TCP_LARGE_SEND_OFFLOAD_V1_TYPE)
            } else {
                bits(L::LsoV2Transmit_MSS, segment)
                    | bits(L::LsoV2Transmit_TcpHeaderOffset, headers.transport)
                    | bits(L::LsoV2Transmit_Type, NDIS_TCP_LARGE_SEND_OFFLOAD_V2_TYPE)
                    | bits(L::LsoV2Transmit_IPVersion, u32::from(headers.is_ipv6))
            };
            (TcpLargeSendNetBufferListInfo, value)
        }
        (NblPath::Send, true) => {
            let value = bits(S::Transmit_MSS, segment)
                | bits(S::Transmit_UdpHeaderOffset, headers.transport)
                | bits(S::Transmit_IPVersion, u32::from(headers.is_ipv6));
            (UdpSegmentationOffloadInfo, value)
        }
        (NblPath::Receive, false) => {
            let duplicates = u64::from(zeal.duplicate_acks());
            (
                TcpRecvSegCoalesceInfo,
                segments << (8 * R::Info_CoalescedSegCount.offset())
                    | duplicates << (8 * R::Info_DupAckCount.offset()),
            )
        }
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

    use super::{Headers, Zeal, sum, verified};
    use crate::abi::constant::{
        Ieee8021QNetBufferListInfo, NDIS_NET_BUFFER_LIST_INFO, NetBufferListHashInfo,
        NetBufferListHashValue, RscTcpTimestampDelta, TcpIpChecksumNetBufferListInfo,
        TcpLargeSendNetBufferListInfo, TcpRecvSegCoalesceInfo, UdpRecvSegCoalesceOffloadInfo,
        UdpSegmentationOffloadInfo,
    };
    use crate::{Direction, Frame};

    /// The slots of an adapter that does what it has to.
    fn slots(path: NblPath, frame: &Frame) -> Vec<(NDIS_NET_BUFFER_LIST_INFO, u64)> {
        super::slots(path, frame, Zeal::default())
    }

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

    #[test]
    fn a_zealous_adapter_tells_more() {
        let joined = Frame {
            segments: 4,
            ..frame(6)
        };
        let checksums = 1 << 3 | 1 << 5 | 1 << 7 | 1 << 8;
        assert_eq!(
            super::slots(NblPath::Receive, &joined, Zeal(u32::MAX)),
            [
                (TcpIpChecksumNetBufferListInfo, checksums),
                (TcpRecvSegCoalesceInfo, 4 | 3 << 16),
                (RscTcpTimestampDelta, 0xFFFF),
                (NetBufferListHashValue, 0xFFFF_FFFF),
                (NetBufferListHashInfo, 0x201),
            ]
        );
        let lso = 250 | 34 << 20;
        assert_eq!(
            super::slots(NblPath::Send, &joined, Zeal(3 << 3)),
            [(TcpLargeSendNetBufferListInfo, lso)]
        );
    }

    #[test]
    fn checksums_are_looked_at() {
        let mut data = frame(17).data;
        let length = (data.len() - 14) as u16;
        data[16..18].copy_from_slice(&length.to_be_bytes());
        data[38..40].copy_from_slice(&(length - 20).to_be_bytes());
        let ip = !sum(&data[14..34]);
        data[24..26].copy_from_slice(&ip.to_be_bytes());
        let found = |data: &[u8]| verified(data, Headers::of(data));
        // UDP has none.
        assert_eq!(found(&data), 1 << 5);
        let udp = !(u32::from(sum(&data[34..])) + u32::from(length - 20) + 17) as u16;
        data[40..42].copy_from_slice(&udp.to_be_bytes());
        assert_eq!(found(&data), 1 << 5 | 1 << 4);
        data[60] ^= 1;
        assert_eq!(found(&data), 1 << 5 | 1 << 1);
        data[15] ^= 1;
        assert_eq!(found(&data), 1 << 2 | 1 << 1);
    }
}
