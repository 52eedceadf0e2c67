//! IPv6 and its extension headers.

use core::net::{IpAddr, Ipv6Addr};

use crate::error::{Layer, ParseError, Problem};
use crate::ip::{Fragment, Ip, ip_protocol};
use crate::reader::Reader;

/// Reads an IPv6 header, and limits the reader to the packet.
pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Ip, ParseError> {
    let header = reader.take::<8>(Layer::Ipv6)?;
    let source = *reader.take::<16>(Layer::Ipv6)?;
    let destination = *reader.take::<16>(Layer::Ipv6)?;
    let version = u32::from(header[0] >> 4);
    if version != 6 {
        return Err(ParseError {
            layer: Layer::Ipv6,
            problem: Problem::BadVersion,
            needed: 6,
            had: version,
        });
    }
    // 0 stands for a jumbogram, or for a sender that lets the adapter segment: then the frame says the length.
    let payload_length = u16::from_be_bytes([header[4], header[5]]);
    if payload_length != 0 {
        reader.limit(u32::from(payload_length));
    }
    Ok(Ip {
        source: IpAddr::V6(Ipv6Addr::from(source)),
        destination: IpAddr::V6(Ipv6Addr::from(destination)),
        protocol: header[6],
        hop_limit: header[7],
        traffic_class: (header[0] << 4) | (header[1] >> 4),
        fragment: None,
    })
}

/// Reads the extension headers up to the payload; `ip` keeps what was found before an error. Behind the header of a
/// later fragment there are none.
pub(crate) fn parse_extensions(ip: &mut Ip, reader: &mut Reader<'_>) -> Result<(), ParseError> {
    const LAYER: Layer = Layer::Ipv6Extension;
    // Each turn takes eight bytes at least, so the packet's length bounds the loop.
    while !ip.is_later_fragment() {
        match ip.protocol {
            ip_protocol::HOP_BY_HOP
            | ip_protocol::ROUTING
            | ip_protocol::DESTINATION_OPTIONS
            | ip_protocol::MOBILITY
            | ip_protocol::HOST_IDENTITY
            | ip_protocol::SHIM6 => {
                let header = reader.take::<8>(LAYER)?;
                // In units of eight bytes, without the first.
                reader.skip(LAYER, u32::from(header[1]) << 3)?;
                ip.protocol = header[0];
            }
            ip_protocol::AUTHENTICATION => {
                let header = reader.take::<8>(LAYER)?;
                // In units of four bytes, without the first two.
                reader.skip(LAYER, u32::from(header[1]) << 2)?;
                ip.protocol = header[0];
            }
            ip_protocol::FRAGMENT => {
                let header = reader.take::<8>(LAYER)?;
                let offset_and_flags = u16::from_be_bytes([header[2], header[3]]);
                ip.protocol = header[0];
                ip.fragment = Some(Fragment {
                    id: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
                    offset: u32::from(offset_and_flags & 0xFFF8),
                    more: offset_and_flags & 1 != 0,
                });
            }
            _ => break,
        }
    }
    Ok(())
}
