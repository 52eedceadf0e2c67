//! A small table of what is not let through.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::ip::ip_protocol;
use crate::packet::{Network, PacketFacts, Transport};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass.
    Pass,
    /// It may not.
    Block,
}

/// What one rule blocks: packets of which all that it names is true. A rule that names nothing blocks all IP packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    protocol: Option<u8>,
    /// Of source or destination.
    port: Option<u16>,
    /// Of source or destination.
    prefix: Option<Prefix>,
}

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Prefix {
    address: IpAddr,
    bits: u8,
}

/// Why a text is no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRules {
    /// This rule, counted from zero, is not written as it should be.
    Rule(usize),
    /// There are more than [`BlockTable::CAPACITY`] rules.
    TooMany,
}

/// Up to [`CAPACITY`](Self::CAPACITY) rules; a packet that one of them names is blocked.
///
/// As text, rules are separated by commas. Each is a protocol (`tcp`, `udp`, `icmp`, `icmpv6`, or its number), `:` and a
/// port, `@` and a prefix, or some of them in this order:
///
/// ```
/// # use inspect::BlockTable;
/// assert!(BlockTable::parse(b"tcp:23, udp:53@10.0.0.0/8, @2001:db8::/32, icmp").is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockTable {
    rules: [Option<Rule>; Self::CAPACITY],
}

impl BlockTable {
    /// The most rules.
    pub const CAPACITY: usize = 16;

    /// Blocks nothing.
    pub const EMPTY: Self = Self {
        rules: [None; Self::CAPACITY],
    };

    /// Reads rules; a text without any gives [`EMPTY`](Self::EMPTY).
    ///
    /// # Errors
    ///
    /// [`BadRules`].
    pub fn parse(text: &[u8]) -> Result<Self, BadRules> {
        let mut table = Self::EMPTY;
        if text.trim_ascii().is_empty() {
            return Ok(table);
        }
        let mut places = table.rules.iter_mut();
        for (index, rule) in text.split(|&byte| byte == b',').enumerate() {
            let place = places.next().ok_or(BadRules::TooMany)?;
            *place = Some(Rule::parse(rule.trim_ascii()).ok_or(BadRules::Rule(index))?);
        }
        Ok(table)
    }

    /// The number of rules.
    #[must_use]
    pub fn count(&self) -> usize {
        self.rules.iter().flatten().count()
    }

    /// What becomes of a packet. One whose headers cannot be read passes, as far as its rule needs them.
    #[must_use]
    pub fn verdict(&self, facts: &PacketFacts) -> Verdict {
        if self.rules.iter().flatten().any(|rule| rule.names(facts)) {
            Verdict::Block
        } else {
            Verdict::Pass
        }
    }
}

impl Rule {
    fn parse(text: &[u8]) -> Option<Self> {
        let (front, prefix) = split_once(text, b'@');
        let (protocol, port) = split_once(front, b':');
        let protocol = match protocol {
            b"" => None,
            b"tcp" => Some(ip_protocol::TCP),
            b"udp" => Some(ip_protocol::UDP),
            b"icmp" => Some(ip_protocol::ICMPV4),
            b"icmpv6" => Some(ip_protocol::ICMPV6),
            number => Some(u8::try_from(decimal(number)?).ok()?),
        };
        let port = match port {
            Some(port) => Some(decimal(port)?),
            None => None,
        };
        let prefix = match prefix {
            Some(prefix) => Some(Prefix::parse(prefix)?),
            None => None,
        };
        let is_empty = protocol.is_none() && port.is_none() && prefix.is_none();
        (!is_empty).then_some(Self {
            protocol,
            port,
            prefix,
        })
    }

    fn names(&self, facts: &PacketFacts) -> bool {
        let Network::Ip(ip) = facts.network else {
            return false;
        };
        let ports = match facts.transport {
            Transport::Tcp(tcp) => Some((tcp.source_port, tcp.destination_port)),
            Transport::Udp(udp) => Some((udp.source_port, udp.destination_port)),
            Transport::Icmp(_) | Transport::Other => None,
        };
        self.protocol.is_none_or(|protocol| protocol == ip.protocol)
            && self.port.is_none_or(|port| {
                ports.is_some_and(|(source, destination)| port == source || port == destination)
            })
            && self
                .prefix
                .is_none_or(|prefix| prefix.contains(ip.source) || prefix.contains(ip.destination))
    }
}

impl Prefix {
    fn parse(text: &[u8]) -> Option<Self> {
        let (address, bits) = split_once(text, b'/');
        let (address, most) = match ipv4(address) {
            Some(address) => (IpAddr::V4(address), 32),
            None => (IpAddr::V6(ipv6(address)?), 128),
        };
        let bits = match bits {
            Some(bits) => u8::try_from(decimal(bits)?).ok()?,
            None => most,
        };
        (bits <= most).then_some(Self { address, bits })
    }

    fn contains(&self, address: IpAddr) -> bool {
        let differing = match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                u128::from(ours.to_bits() ^ theirs.to_bits()) << 96
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => ours.to_bits() ^ theirs.to_bits(),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
        };
        differing.leading_zeros() >= u32::from(self.bits)
    }
}

// The parsers of `core` have code that panics, which a driver must not.

/// What is before the first `separator`, and what is behind it.
fn split_once(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    let mut parts = text.splitn(2, |&byte| byte == separator);
    (parts.next().unwrap_or_default(), parts.next())
}

/// A number of up to five digits in base `RADIX`, and of nothing else.
fn number<const RADIX: u32>(text: &[u8]) -> Option<u16> {
    if text.is_empty() || text.len() > 5 {
        return None;
    }
    let value = text.iter().try_fold(0_u32, |value, &byte| {
        let digit = char::from(byte).to_digit(RADIX)?;
        value.checked_mul(RADIX)?.checked_add(digit)
    })?;
    u16::try_from(value).ok()
}

fn decimal(text: &[u8]) -> Option<u16> {
    number::<10>(text)
}

fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut bytes = [0; 4];
    let mut parts = text.split(|&byte| byte == b'.');
    for byte in &mut bytes {
        *byte = u8::try_from(decimal(parts.next()?)?).ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(bytes))
}

/// Without an IPv4 address at its end.
fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    let Some(gap) = text.windows(2).position(|pair| pair == b"::") else {
        let (address, count) = groups(text)?;
        return (count == 8).then(|| Ipv6Addr::from_bits(address));
    };
    let (front, count) = groups(text.get(..gap)?)?;
    let (back, behind) = groups(text.get(gap.checked_add(2)?..)?)?;
    let missing = 8_u32.checked_sub(count)?;
    if behind >= missing {
        return None;
    }
    // With no group in front there is nothing to shift.
    let front = front
        .checked_shl(missing.checked_mul(16)?)
        .unwrap_or_default();
    Some(Ipv6Addr::from_bits(front | back))
}

/// The bits of some groups of an IPv6 address, maybe none, and their number.
fn groups(text: &[u8]) -> Option<(u128, u32)> {
    if text.is_empty() {
        return Some((0, 0));
    }
    let mut count: u32 = 0;
    let mut bits: u128 = 0;
    for group in text.split(|&byte| byte == b':') {
        count = count.checked_add(1).filter(|&count| count <= 8)?;
        bits = bits << 16 | u128::from(number::<16>(group)?);
    }
    Some((bits, count))
}
