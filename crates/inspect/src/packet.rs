//! A whole packet.

use crate::arp::Arp;
use crate::error::ParseError;
use crate::icmp::Icmp;
use crate::ip::{Ip, ip_protocol};
use crate::link::{Link, ethertype};
use crate::reader::Reader;
use crate::tcp::Tcp;
use crate::udp::Udp;
use crate::{ipv4, ipv6};

/// Length of a VLAN tag in a frame, in bytes.
const VLAN_TAG_LENGTH: u32 = 4;

/// What the network layer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Nothing that is told apart here, or its header could not be read.
    #[default]
    Other,
    /// ARP.
    Arp(Arp),
    /// IPv4 or IPv6.
    Ip(Ip),
}

/// What the transport layer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Nothing that is told apart here, a later fragment, or a header that could not be read.
    #[default]
    Other,
    /// TCP.
    Tcp(Tcp),
    /// UDP.
    Udp(Udp),
    /// ICMP, of the IP version of the packet.
    Icmp(Icmp),
}

/// All that is known of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketFacts {
    /// Bytes of the frame on the wire: without frame check sequence, with a VLAN tag that travels beside the frame.
    pub wire_length: u32,
    /// Link layer.
    pub link: Link,
    /// Network layer.
    pub network: Network,
    /// Transport layer.
    pub transport: Transport,
    /// Where parsing stopped before it was done; the layers before it are filled in.
    pub error: Option<ParseError>,
}

/// Reads the headers of a frame.
///
/// `frame` is the front of the frame, from the destination address on; `frame_length` is the length of the whole, in
/// bytes, without a stripped tag. `stripped_tag` is the tag control information, in host byte order, of a VLAN tag that
/// travels beside the frame; `Some(0)` is a tag too.
#[must_use]
pub fn parse(frame: &[u8], frame_length: u32, stripped_tag: Option<u16>) -> PacketFacts {
    let mut facts = PacketFacts {
        wire_length: match stripped_tag {
            Some(_) => frame_length.saturating_add(VLAN_TAG_LENGTH),
            None => frame_length,
        },
        link: Link::default(),
        network: Network::default(),
        transport: Transport::default(),
        error: None,
    };
    facts.error = fill(
        &mut facts,
        &mut Reader::new(frame, frame_length),
        stripped_tag,
    )
    .err();
    facts
}

fn fill(
    facts: &mut PacketFacts,
    reader: &mut Reader<'_>,
    stripped_tag: Option<u16>,
) -> Result<(), ParseError> {
    Link::parse(&mut facts.link, reader, stripped_tag)?;
    let mut ip = match facts.link.ethertype {
        Some(ethertype::IPV4) => ipv4::parse(reader)?,
        Some(ethertype::IPV6) => ipv6::parse(reader)?,
        Some(ethertype::ARP) => {
            if let Some(arp) = Arp::parse(reader)? {
                facts.network = Network::Arp(arp);
            }
            return Ok(());
        }
        _ => return Ok(()),
    };
    let extensions = match facts.link.ethertype {
        Some(ethertype::IPV6) => ipv6::parse_extensions(&mut ip, reader),
        _ => Ok(()),
    };
    facts.network = Network::Ip(ip);
    extensions?;
    if ip.is_later_fragment() {
        return Ok(());
    }
    facts.transport = match ip.protocol {
        ip_protocol::TCP => Transport::Tcp(Tcp::parse(reader)?),
        ip_protocol::UDP => Transport::Udp(Udp::parse(reader)?),
        ip_protocol::ICMPV4 if ip.source.is_ipv4() => Transport::Icmp(Icmp::parse(reader)?),
        ip_protocol::ICMPV6 if ip.source.is_ipv6() => Transport::Icmp(Icmp::parse(reader)?),
        _ => Transport::Other,
    };
    Ok(())
}
