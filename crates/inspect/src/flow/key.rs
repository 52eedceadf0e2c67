//! What tells one flow from another.

use core::net::IpAddr;

use crate::packet::{Network, PacketFacts, Transport};

/// What identifies a flow beside the two addresses and the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowKind {
    /// Nothing: what has no ports, later fragments, and packets whose transport header cannot be read.
    Address,
    /// The two ports, of TCP or UDP.
    Port,
}

/// One end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Its address.
    pub address: IpAddr,
    /// Its port; 0 in flows by address.
    pub port: u16,
}

/// Identity of a flow, the same for both ways.
///
/// # Invariants
///
/// `low <= high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey {
    /// What identifies the flow.
    pub kind: FlowKind,
    /// Protocol (IANA) of the IP payload.
    pub protocol: u8,
    /// The smaller end.
    pub low: Endpoint,
    /// The other end.
    pub high: Endpoint,
}

impl FlowKey {
    /// The key of the flow that a packet belongs to, and whether its `low` end sent it; `None` for what is not IP.
    #[must_use]
    pub fn of(facts: &PacketFacts) -> Option<(Self, bool)> {
        let Network::Ip(ip) = &facts.network else {
            return None;
        };
        let (kind, source_port, destination_port) = match &facts.transport {
            Transport::Tcp(tcp) => (FlowKind::Port, tcp.source_port, tcp.destination_port),
            Transport::Udp(udp) => (FlowKind::Port, udp.source_port, udp.destination_port),
            Transport::Icmp(_) | Transport::Other => (FlowKind::Address, 0, 0),
        };
        let source = Endpoint {
            address: ip.source,
            port: source_port,
        };
        let destination = Endpoint {
            address: ip.destination,
            port: destination_port,
        };
        let from_low = source <= destination;
        let (low, high) = if from_low {
            (source, destination)
        } else {
            (destination, source)
        };
        Some((
            Self {
                kind,
                protocol: ip.protocol,
                low,
                high,
            },
            from_low,
        ))
    }

    /// 32 bits that depend on all of the key and on `seed`.
    ///
    /// Multiply and rotate, then the finaliser of MurmurHash3. An attacker who does not know the seed cannot aim at one
    /// place of the table; one who does is bounded by the table's probe limit.
    pub(super) fn hash(&self, seed: u64) -> u32 {
        let mut state = seed;
        let mut mix = |word: u64| {
            state = (state.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        };
        for end in [&self.low, &self.high] {
            match end.address {
                IpAddr::V4(address) => mix(u64::from(address.to_bits())),
                IpAddr::V6(address) => {
                    let bits = address.to_bits();
                    mix((bits >> 64) as u64);
                    mix(bits as u64);
                }
            }
        }
        let kind = match self.kind {
            FlowKind::Address => 0,
            FlowKind::Port => 1,
        };
        mix(u64::from(self.low.port)
            | u64::from(self.high.port) << 16
            | u64::from(self.protocol) << 32
            | kind << 40);
        state = (state ^ (state >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
        state = (state ^ (state >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
        (state >> 32) as u32
    }
}
