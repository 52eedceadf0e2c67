//! Checksums that the adapter computes, or has verified.

use ndis_sys::{
    NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO_Receive as Receive,
    NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO_Transmit as Transmit,
};

use super::{IpVersion, low};

/// The checksums of a send that the adapter is to compute: those in the frames are not final.
///
/// NDIS 6.0. For received packets there is [`ReceiveChecksum`], which has other bits in the same place.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/nblchecksum/ns-nblchecksum-ndis_tcp_ip_checksum_net_buffer_list_info>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendChecksum {
    /// What the packets are.
    pub ip_version: IpVersion,
    /// Whether the checksum of the IPv4 header is to be computed.
    pub ip_header: bool,
    /// Whether that of TCP is.
    pub tcp: bool,
    /// Whether that of UDP is.
    pub udp: bool,
    /// Bytes from the start of the frame to the TCP header. For UDP it need not be right.
    pub tcp_header_offset: u32,
}

impl SendChecksum {
    /// What a slot asks for; `None` when it names no version of IP, which makes the rest of it void.
    pub(super) const fn of(slot: u64) -> Option<Self> {
        let bits = Transmit { bits_0: low(slot) };
        let ip_version = match (bits.IsIPv4(), bits.IsIPv6()) {
            (0, 0) => return None,
            (0, _) => IpVersion::V6,
            _ => IpVersion::V4,
        };
        Some(Self {
            ip_version,
            ip_header: bits.IpHeaderChecksum() != 0,
            tcp: bits.TcpChecksum() != 0,
            udp: bits.UdpChecksum() != 0,
            tcp_header_offset: bits.TcpHeaderOffset(),
        })
    }
}

/// What the adapter has found of a received packet's checksums.
///
/// NDIS 6.0; the `value_invalid` members 6.30. For sends there is [`SendChecksum`].
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/nblchecksum/ns-nblchecksum-ndis_tcp_ip_checksum_net_buffer_list_info>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveChecksum {
    /// Of the IPv4 header.
    pub ip: Verdict,
    /// Of TCP.
    pub tcp: Verdict,
    /// Of UDP.
    pub udp: Verdict,
    /// Whether the checksum that stands in the IPv4 header does not belong to the packet, because it was joined from
    /// several: it must not be verified.
    pub ip_value_invalid: bool,
    /// Likewise that in the TCP header.
    pub tcp_value_invalid: bool,
}

impl ReceiveChecksum {
    pub(super) const fn of(slot: u64) -> Self {
        let bits = Receive { bits_0: low(slot) };
        Self {
            ip: Verdict::of(bits.IpChecksumFailed(), bits.IpChecksumSucceeded()),
            tcp: Verdict::of(bits.TcpChecksumFailed(), bits.TcpChecksumSucceeded()),
            udp: Verdict::of(bits.UdpChecksumFailed(), bits.UdpChecksumSucceeded()),
            ip_value_invalid: bits.IpChecksumValueInvalid() != 0,
            tcp_value_invalid: bits.TcpChecksumValueInvalid() != 0,
        }
    }
}

/// What the adapter says about one checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: who wants to know has to compute it.
    Unverified,
    /// It is right.
    Right,
    /// It is wrong.
    Wrong,
}

impl Verdict {
    const fn of(failed: u32, succeeded: u32) -> Self {
        match (failed, succeeded) {
            (0, 0) => Self::Unverified,
            (0, _) => Self::Right,
            _ => Self::Wrong,
        }
    }
}

/// Tests, which run when the crate is compiled for a target that has the layouts.
const _: () = {
    // IsIPv4, TcpChecksum, IpHeaderChecksum; the TCP header behind 34 bytes.
    let tcp = SendChecksum::of(1 | 1 << 2 | 1 << 4 | 34 << 16);
    assert!(matches!(
        tcp,
        Some(SendChecksum {
            ip_version: IpVersion::V4,
            ip_header: true,
            tcp: true,
            udp: false,
            tcp_header_offset: 34,
        })
    ));
    // IsIPv6, UdpChecksum; the greatest offset, and all reserved bits.
    let udp = SendChecksum::of(1 << 1 | 1 << 3 | 0x7FF << 5 | 0x3FF << 16 | !0 << 26);
    assert!(matches!(
        udp,
        Some(SendChecksum {
            ip_version: IpVersion::V6,
            ip_header: false,
            tcp: false,
            udp: true,
            tcp_header_offset: 0x3FF,
        })
    ));
    // Neither version: the other bits mean nothing.
    assert!(SendChecksum::of(1 << 2 | 1 << 4).is_none());

    assert!(matches!(
        ReceiveChecksum::of(0),
        ReceiveChecksum {
            ip: Verdict::Unverified,
            tcp: Verdict::Unverified,
            udp: Verdict::Unverified,
            ip_value_invalid: false,
            tcp_value_invalid: false,
        }
    ));
    // TcpChecksumSucceeded, IpChecksumSucceeded, and Loopback, which is NDIS's; both values invalid.
    assert!(matches!(
        ReceiveChecksum::of(1 << 3 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8),
        ReceiveChecksum {
            ip: Verdict::Right,
            tcp: Verdict::Right,
            udp: Verdict::Unverified,
            ip_value_invalid: true,
            tcp_value_invalid: true,
        }
    ));
    // TcpChecksumFailed and -Succeeded at once, UdpChecksumFailed, IpChecksumFailed.
    assert!(matches!(
        ReceiveChecksum::of(1 | 1 << 1 | 1 << 2 | 1 << 3),
        ReceiveChecksum {
            ip: Verdict::Wrong,
            tcp: Verdict::Wrong,
            udp: Verdict::Wrong,
            ip_value_invalid: false,
            tcp_value_invalid: false,
        }
    ));
    assert!(matches!(ReceiveChecksum::of(1 << 4).udp, Verdict::Right));
};
