//! UDP.

use crate::error::{Layer, ParseError, Problem};
use crate::reader::Reader;

/// A UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Bytes of payload on the wire, in this packet.
    pub payload_length: u32,
}

impl Udp {
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        const LENGTH: u32 = 8;
        let header = reader.take::<8>(Layer::Udp)?;
        match u32::from(u16::from_be_bytes([header[4], header[5]])) {
            // 0 stands for a jumbogram, or for a sender that lets the adapter segment.
            0 => {}
            length if length < LENGTH => {
                return Err(ParseError {
                    layer: Layer::Udp,
                    problem: Problem::BadLength,
                    needed: LENGTH,
                    had: length,
                });
            }
            // In a first fragment the length is that of the whole datagram: the limit then changes nothing.
            length => reader.limit(length.saturating_sub(LENGTH)),
        }
        Ok(Self {
            source_port: u16::from_be_bytes([header[0], header[1]]),
            destination_port: u16::from_be_bytes([header[2], header[3]]),
            payload_length: reader.on_wire(),
        })
    }
}
