//! What can be wrong with a packet, and where.

/// The header in which parsing stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layer {
    /// Ethernet header.
    Ethernet,
    /// VLAN tag.
    Vlan,
    /// 802.2 LLC or SNAP header.
    Llc,
    /// ARP packet.
    Arp,
    /// IPv4 header.
    Ipv4,
    /// IPv6 header.
    Ipv6,
    /// IPv6 extension header.
    Ipv6Extension,
    /// TCP header.
    Tcp,
    /// UDP header.
    Udp,
    /// ICMP header, of either version.
    Icmp,
}

/// What stopped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The frame, or the length that an outer header gives, ends inside this header.
    Truncated,
    /// The header goes on in the frame but not in the bytes that were given: nothing is wrong with the packet.
    BeyondSnapshot,
    /// The header's own length field is smaller than such a header can be.
    BadLength,
    /// The header's version field is not that of the protocol that announced it.
    BadVersion,
}

/// Where and why parsing stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The header in which it stopped.
    pub layer: Layer,
    /// What stopped it.
    pub problem: Problem,
    /// Bytes that the header needs; the version for [`Problem::BadVersion`].
    pub needed: u32,
    /// What there was instead: bytes, the value of the length field in bytes, or the version.
    pub had: u32,
}

impl ParseError {
    /// Whether the packet itself is at fault, and not only the length of the snapshot.
    #[must_use]
    pub const fn is_malformed(&self) -> bool {
        !matches!(self.problem, Problem::BeyondSnapshot)
    }
}

impl core::fmt::Display for ParseError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self {
            layer, needed, had, ..
        } = self;
        match self.problem {
            Problem::Truncated => write!(
                f,
                "{layer:?}: {needed} bytes needed, {had} left in the packet"
            ),
            Problem::BeyondSnapshot => write!(
                f,
                "{layer:?}: {needed} bytes needed, {had} left in the snapshot"
            ),
            Problem::BadLength => write!(
                f,
                "{layer:?}: header length {had}, at least {needed} needed"
            ),
            Problem::BadVersion => write!(f, "{layer:?}: version {had}, not {needed}"),
        }
    }
}

impl core::error::Error for ParseError {}
