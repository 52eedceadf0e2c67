//! pcapng: sections of either byte order, each with its own interfaces.

use pcap_parser::nom;
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{
    Block, EnhancedPacketBlock, InterfaceDescriptionBlock, Linktype, OptionCode, PcapNGOption,
    SimplePacketBlock, parse_block_be, parse_block_le,
};

use crate::capture::{Packet, Packets};
use crate::frame::Direction;

/// Option codes that pcap-parser has no name for, because codes mean something else in each kind of block.
const EPB_FLAGS: OptionCode = OptionCode(2);
const IF_FCSLEN: OptionCode = OptionCode(13);

/// Reads the packets of a file.
pub(crate) fn read(bytes: &[u8]) -> Packets {
    let mut read = Packets::default();
    let mut section = Section::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let offset = bytes.len() - rest.len();
        let parse = if section.big_endian {
            parse_block_be
        } else {
            parse_block_le
        };
        let found = match parse(rest) {
            Ok((after, block)) => {
                rest = after;
                section.take(block, &mut read.link_types)
            }
            Err(error) => Err(section.problem(rest, matches!(error, nom::Err::Incomplete(_)))),
        };
        if !read.take(offset, found) {
            break;
        }
    }
    read
}

/// What the blocks read so far say about those to come.
#[derive(Default)]
struct Section {
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// Time of the last packet, for those that have none.
    last_time_ns: i128,
}

struct Interface {
    link_type: Linktype,
    /// Bytes of a packet that are captured; 0 for all.
    snapshot_length: u32,
    /// As in option if_tsresol.
    resolution: u8,
    /// Nanoseconds to add to each time.
    offset_ns: i128,
    check_sequence_length: usize,
}

impl Section {
    /// Takes in a block, and gives the packet in it, if it is one.
    fn take(
        &mut self,
        block: Block<'_>,
        link_types: &mut Vec<Linktype>,
    ) -> Result<Option<Packet>, String> {
        match block {
            Block::SectionHeader(header) => {
                self.big_endian = header.big_endian();
                self.interfaces.clear();
                Ok(None)
            }
            Block::InterfaceDescription(description) => {
                link_types.push(description.linktype);
                self.interfaces.push(self.interface(&description));
                Ok(None)
            }
            Block::EnhancedPacket(packet) => self.enhanced(&packet).map(Some),
            Block::SimplePacket(packet) => self.simple(&packet).map(Some),
            // The predecessor of the enhanced packet block.
            Block::Unknown(block) if block.block_type == 2 => {
                Err("a packet block of the obsolete kind, which is not supported".to_owned())
            }
            _ => Ok(None),
        }
    }

    fn interface(&self, description: &InterfaceDescriptionBlock<'_>) -> Interface {
        let option = |code| value(&description.options, code);
        let resolution = option(OptionCode::IfTsresol)
            .and_then(<[u8]>::first)
            .copied();
        let offset = option(OptionCode::IfTsoffset)
            .and_then(|value| value.first_chunk())
            .copied();
        let offset_s = offset.map_or(0, |offset| match self.big_endian {
            true => i64::from_be_bytes(offset),
            false => i64::from_le_bytes(offset),
        });
        let check_sequence = option(IF_FCSLEN).and_then(<[u8]>::first).copied();
        Interface {
            link_type: description.linktype,
            snapshot_length: description.snaplen,
            resolution: resolution.unwrap_or(6),
            offset_ns: i128::from(offset_s) * 1_000_000_000,
            // The option counts bits.
            check_sequence_length: usize::from(check_sequence.unwrap_or(0) / 8),
        }
    }

    fn interface_of(&self, index: u32) -> Result<&Interface, String> {
        let described = self.interfaces.len();
        self.interfaces.get(index as usize).ok_or_else(|| {
            format!("a packet of interface {index}, where {described} are described")
        })
    }

    fn enhanced(&mut self, block: &EnhancedPacketBlock<'_>) -> Result<Packet, String> {
        let interface = self.interface_of(block.if_id)?;
        let ticks = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
        let time_ns = interface.offset_ns + nanoseconds(ticks, interface.resolution);
        let packet = Packet::new(
            interface.link_type,
            time_ns,
            block.packet_data(),
            block.origlen,
        )?;
        let flags = value(&block.options, EPB_FLAGS)
            .and_then(|value| value.first_chunk())
            .copied();
        let flags = flags.map(|flags| match self.big_endian {
            true => u32::from_be_bytes(flags),
            false => u32::from_le_bytes(flags),
        });
        let direction = match flags.unwrap_or(0) & 3 {
            1 => Some(Direction::Receive),
            2 => Some(Direction::Send),
            _ => None,
        };
        let check_sequence_length = interface.check_sequence_length;
        self.last_time_ns = time_ns;
        Ok(Packet {
            direction,
            check_sequence_length,
            ..packet
        })
    }

    fn simple(&self, block: &SimplePacketBlock<'_>) -> Result<Packet, String> {
        let interface = self.interface_of(0)?;
        let data = block.packet_data();
        let captured = match interface.snapshot_length {
            0 => data.len(),
            length => data.len().min(length as usize),
        };
        let data = data.get(..captured).unwrap_or(data);
        let packet = Packet::new(interface.link_type, self.last_time_ns, data, block.origlen)?;
        Ok(Packet {
            check_sequence_length: interface.check_sequence_length,
            ..packet
        })
    }

    /// Says what is wrong with the block at the front of `rest`.
    fn problem(&self, rest: &[u8], incomplete: bool) -> String {
        let big_endian = match rest {
            // The header of a section says its own byte order.
            [0x0A, 0x0D, 0x0D, 0x0A, _, _, _, _, order, ..] => *order == 0x1A,
            _ => self.big_endian,
        };
        let length = rest.get(4..).and_then(|rest| rest.first_chunk()).copied();
        let length = length.map(|length| match big_endian {
            true => u32::from_be_bytes(length),
            false => u32::from_le_bytes(length),
        });
        match length {
            Some(length) if incomplete && rest.len() < length as usize => {
                format!(
                    "a block of {length} bytes, {} before the end of the file",
                    rest.len()
                )
            }
            None => "the file ends within the header of a block".to_owned(),
            Some(_) => "the block contradicts itself".to_owned(),
        }
    }
}

/// The value of a block's option, without padding.
fn value<'a>(options: &'a [PcapNGOption<'_>], code: OptionCode) -> Option<&'a [u8]> {
    options
        .iter()
        .find(|option| option.code == code)
        .and_then(|option| option.as_bytes().ok())
}

/// Converts a time from units of option if_tsresol: a power of ten, or of two if the highest bit is set.
fn nanoseconds(ticks: u64, resolution: u8) -> i128 {
    let ticks = i128::from(ticks);
    let exponent = u32::from(resolution & 0x7F);
    if resolution & 0x80 != 0 {
        return (ticks * 1_000_000_000).checked_shr(exponent).unwrap_or(0);
    }
    match exponent {
        0..=9 => ticks * 10_i128.pow(9 - exponent),
        // Finer than a nanosecond; finer than an i128 can say is no time at all.
        _ => 10_i128
            .checked_pow(exponent - 9)
            .map_or(0, |divisor| ticks / divisor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolutions() {
        assert_eq!(nanoseconds(1_500_000, 6), 1_500_000_000);
        assert_eq!(nanoseconds(7, 9), 7);
        assert_eq!(nanoseconds(3, 0), 3_000_000_000);
        assert_eq!(nanoseconds(12_999, 12), 12);
        assert_eq!(nanoseconds(3, 0x80 | 1), 1_500_000_000);
        assert_eq!(nanoseconds(1 << 32, 0x80 | 32), 1_000_000_000);
        for resolution in 0..=255 {
            nanoseconds(u64::MAX, resolution);
        }
    }
}
