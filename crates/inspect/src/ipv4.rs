//! IPv4.

use core::net::{IpAddr, Ipv4Addr};

use crate::error::{Layer, ParseError, Problem};
use crate::ip::{Fragment, Ip};
use crate::reader::Reader;

const MINIMUM_LENGTH: u32 = 20;

/// Reads an IPv4 header with its options, and limits the reader to the packet.
pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Ip, ParseError> {
    let error = |problem, needed, had| ParseError {
        layer: Layer::Ipv4,
        problem,
        needed,
        had,
    };
    let available = reader.on_wire();
    let header = reader.take::<20>(Layer::Ipv4)?;
    let version = u32::from(header[0] >> 4);
    if version != 4 {
        return Err(error(Problem::BadVersion, 4, version));
    }
    let header_length = u32::from(header[0] & 0x0F) << 2;
    if header_length < MINIMUM_LENGTH {
        return Err(error(Problem::BadLength, MINIMUM_LENGTH, header_length));
    }
    // A sender that lets the adapter segment may leave the length 0: then the frame says it.
    let total_length = match u32::from(u16::from_be_bytes([header[2], header[3]])) {
        0 => available,
        length => length,
    };
    if total_length < header_length {
        return Err(error(Problem::BadLength, header_length, total_length));
    }
    reader.limit(total_length.saturating_sub(MINIMUM_LENGTH));
    reader.skip(Layer::Ipv4, header_length.saturating_sub(MINIMUM_LENGTH))?;
    let flags_and_offset = u16::from_be_bytes([header[6], header[7]]);
    let offset = u32::from(flags_and_offset & 0x1FFF) << 3;
    let more = flags_and_offset & 0x2000 != 0;
    let id = u32::from(u16::from_be_bytes([header[4], header[5]]));
    Ok(Ip {
        source: IpAddr::V4(Ipv4Addr::new(
            header[12], header[13], header[14], header[15],
        )),
        destination: IpAddr::V4(Ipv4Addr::new(
            header[16], header[17], header[18], header[19],
        )),
        protocol: header[9],
        hop_limit: header[8],
        traffic_class: header[1],
        fragment: (more || offset != 0).then_some(Fragment { id, offset, more }),
    })
}
