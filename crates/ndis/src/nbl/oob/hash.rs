//! The hash of receive side scaling.

use ndis_sys::{
    NDIS_HASH_FUNCTION_MASK, NDIS_HASH_IPV4, NDIS_HASH_IPV6, NDIS_HASH_IPV6_EX, NDIS_HASH_TCP_IPV4,
    NDIS_HASH_TCP_IPV6, NDIS_HASH_TCP_IPV6_EX, NDIS_HASH_TYPE_MASK, NDIS_HASH_UDP_IPV4,
    NDIS_HASH_UDP_IPV6, NDIS_HASH_UDP_IPV6_EX, NdisHashFunctionToeplitz,
};

use super::low;

/// The hash over the addresses, and maybe the ports, of a packet (receive side scaling). Packets of one connection have the
/// same.
///
/// NDIS 6.0; hashes over UDP ports 6.80.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/nblhash/nf-nblhash-net_buffer_list_get_hash_value>,
/// <https://learn.microsoft.com/windows-hardware/drivers/network/rss-hashing-types>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash {
    /// The value.
    pub value: u32,
    /// How it was computed.
    pub function: HashFunction,
    /// What it was computed over.
    pub over: HashType,
}

/// A function of receive side scaling.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/network/rss-hashing-functions>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashFunction {
    /// `NdisHashFunctionToeplitz`.
    Toeplitz,
    /// One that has no name.
    Other(u8),
}

/// Fields that a hash is computed over.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/network/rss-hashing-types>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashType {
    /// IPv4 addresses.
    Ipv4,
    /// IPv4 addresses and TCP ports.
    TcpIpv4,
    /// IPv4 addresses and UDP ports.
    UdpIpv4,
    /// IPv6 addresses.
    Ipv6,
    /// IPv6 addresses, where extension headers have them those.
    Ipv6Extended,
    /// IPv6 addresses and TCP ports.
    TcpIpv6,
    /// Those of [`Ipv6Extended`](Self::Ipv6Extended) and TCP ports.
    TcpIpv6Extended,
    /// IPv6 addresses and UDP ports.
    UdpIpv6,
    /// Those of [`Ipv6Extended`](Self::Ipv6Extended) and UDP ports.
    UdpIpv6Extended,
    /// Several of these bits, or others.
    Other(u32),
}

impl Hash {
    /// `None` when there is no hash: no function, or nothing that it would be over.
    pub(super) const fn of(value: u64, info: u64) -> Option<Self> {
        let info = low(info);
        let function = info & NDIS_HASH_FUNCTION_MASK;
        let over = match info & NDIS_HASH_TYPE_MASK {
            0 => return None,
            NDIS_HASH_IPV4 => HashType::Ipv4,
            NDIS_HASH_TCP_IPV4 => HashType::TcpIpv4,
            NDIS_HASH_UDP_IPV4 => HashType::UdpIpv4,
            NDIS_HASH_IPV6 => HashType::Ipv6,
            NDIS_HASH_IPV6_EX => HashType::Ipv6Extended,
            NDIS_HASH_TCP_IPV6 => HashType::TcpIpv6,
            NDIS_HASH_TCP_IPV6_EX => HashType::TcpIpv6Extended,
            NDIS_HASH_UDP_IPV6 => HashType::UdpIpv6,
            NDIS_HASH_UDP_IPV6_EX => HashType::UdpIpv6Extended,
            other => HashType::Other(other),
        };
        let function = if function == NdisHashFunctionToeplitz {
            HashFunction::Toeplitz
        } else if function != 0 {
            HashFunction::Other(function as u8)
        } else {
            return None;
        };
        Some(Self {
            value: low(value),
            function,
            over,
        })
    }
}

/// Tests, which run when the crate is compiled for a target that has the layouts.
const _: () = {
    assert!(matches!(
        Hash::of(0xFFFF_FFFF_51CC_C178, 0x0000_0201),
        Some(Hash {
            value: 0x51CC_C178,
            function: HashFunction::Toeplitz,
            over: HashType::TcpIpv4,
        })
    ));
    assert!(matches!(
        Hash::of(0, 0x0000_8001),
        Some(Hash {
            value: 0,
            over: HashType::UdpIpv6,
            ..
        })
    ));
    assert!(matches!(
        Hash::of(1, 0xFF00_0308),
        Some(Hash {
            function: HashFunction::Other(8),
            over: HashType::Other(0x300),
            ..
        })
    ));
    // No type, no function.
    assert!(Hash::of(1, 1).is_none());
    assert!(Hash::of(1, 0x100).is_none());
};
