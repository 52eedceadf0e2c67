//! Classic pcap: both byte orders, microseconds and nanoseconds.

use pcap_parser::nom;
use pcap_parser::pcap::{
    LegacyPcapBlock, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified,
    parse_pcap_header,
};
use pcap_parser::{Linktype, PcapError};

use crate::capture::{CaptureError, Damage, Packet, Packets};

type Parse = fn(&[u8]) -> nom::IResult<&[u8], LegacyPcapBlock<'_>, PcapError<&[u8]>>;

/// Bits of the header's last field that are the link type; above them stands how long the check sequences are.
const LINK_TYPE_MASK: i32 = 0xFFFF;
const CHECK_SEQUENCE_PRESENT: i32 = 0x0400_0000;

/// Reads the packets of a file.
pub(crate) fn read(bytes: &[u8]) -> Result<Packets, CaptureError> {
    let (mut rest, header) = match parse_pcap_header(bytes) {
        Ok(parsed) => parsed,
        Err(nom::Err::Incomplete(_)) => return Err(short_header(bytes)),
        Err(_) => return Err(CaptureError::NotCapture),
    };
    let link_type = Linktype(header.network.0 & LINK_TYPE_MASK);
    let check_sequence_length = if header.network.0 & CHECK_SEQUENCE_PRESENT != 0 {
        // In units of 16 bits.
        (header.network.0.cast_unsigned() >> 28) as usize * 2
    } else {
        0
    };
    let parse: Parse = if header.is_modified_format() {
        parse_pcap_frame_modified
    } else if header.is_bigendian() {
        parse_pcap_frame_be
    } else {
        parse_pcap_frame
    };
    let fraction_ns = if header.is_nanosecond_precision() {
        1
    } else {
        1000
    };
    let mut read = Packets::default();
    read.link_types.push(link_type);
    while !rest.is_empty() {
        let offset = bytes.len() - rest.len();
        let packet = match parse(rest) {
            Ok((after, record)) => {
                rest = after;
                let time_ns = i128::from(record.ts_sec) * 1_000_000_000
                    + i128::from(record.ts_usec) * fraction_ns;
                Packet::new(link_type, time_ns, record.data, record.origlen)
            }
            Err(nom::Err::Incomplete(_)) => {
                Err("the record goes on beyond the end of the file".to_owned())
            }
            Err(_) => Err("not a packet record".to_owned()),
        };
        let packet = packet.map(|packet| {
            Some(Packet {
                check_sequence_length,
                ..packet
            })
        });
        if !read.take(offset, packet) {
            break;
        }
    }
    Ok(read)
}

/// A file that ends before its header does: a pcap file if it begins like one.
fn short_header(bytes: &[u8]) -> CaptureError {
    // The longest header that cannot be judged yet has three bytes of the magic number.
    if bytes.len() < 4 {
        return CaptureError::NotCapture;
    }
    let problem = "the file header goes on beyond the end of the file".to_owned();
    CaptureError::Damaged(Damage { offset: 0, problem })
}
