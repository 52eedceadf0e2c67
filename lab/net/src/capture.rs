//! A capture file, of whatever format.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use pcap_parser::Linktype;

use crate::direction::{self, DirectionRule, Local};
use crate::frame::{Direction, Frame, Mac};
use crate::{pcap, pcapng};

/// What a capture file holds.
#[derive(Debug)]
pub struct Capture {
    /// The frames of its Ethernet interfaces, in the order of the file; at least one.
    pub frames: Vec<Frame>,
    /// The MAC address of the adapter that the frames pass.
    pub adapter_mac: Mac,
    /// How the direction of the frames was found.
    pub direction_rule: DirectionRule,
    /// Frames of which the file has the front only. The rest is zeros here, so that their length is right.
    pub cut_frames: usize,
    /// Packets that are not here because their interface is not Ethernet, by name of the link type.
    pub skipped: BTreeMap<String, usize>,
    /// Where the file is damaged: `frames` are those before that place.
    pub damage: Option<Damage>,
}

/// Where and how a file is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Offset of the record or block in the file, in bytes.
    pub offset: usize,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "damaged at byte {}: {}", self.offset, self.problem)
    }
}

/// Why a file gives no frames. The messages do not name the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// The file does not end within the limit.
    #[error("has more than {limit_bytes} bytes, the lab's limit")]
    TooLarge {
        /// The most bytes that are read.
        limit_bytes: u64,
    },
    /// The file has no bytes.
    #[error("is empty")]
    Empty,
    /// The file has a header but no packets.
    #[error("has no packets")]
    NoPackets,
    /// The file is something else.
    #[error("is neither pcap nor pcapng")]
    NotCapture,
    /// The file has packets, but none of an Ethernet interface.
    #[error("is not an Ethernet capture: link type {0}")]
    NotEthernet(String),
    /// The file is damaged before its first packet.
    #[error("is {0}")]
    Damaged(Damage),
}

/// A packet as a format's reader finds it.
pub(crate) struct Packet {
    /// Link type of its interface.
    pub(crate) link_type: Linktype,
    /// Nanoseconds since 1970.
    pub(crate) time_ns: i128,
    /// The bytes that were captured.
    pub(crate) data: Vec<u8>,
    /// Bytes that it had on the wire.
    pub(crate) wire_length: usize,
    /// Bytes of frame check sequence at its end.
    pub(crate) check_sequence_length: usize,
    /// Direction, if the file says it.
    pub(crate) direction: Option<Direction>,
}

/// Packets up to the end of the file or its first damage.
#[derive(Default)]
pub(crate) struct Packets {
    packets: Vec<Packet>,
    /// Link types that the file announces, with or without packets.
    pub(crate) link_types: Vec<Linktype>,
    damage: Option<Damage>,
    /// Bytes of packets that the file does not have.
    missing: usize,
}

/// The longest packet that is believed, in bytes: the limit of libpcap for Ethernet.
const MAX_PACKET_LENGTH: usize = 262_144;

/// How many bytes a file may claim that its packets had and it does not have: they take memory all the same.
const MAX_MISSING_LENGTH: usize = 64 << 20;

/// The largest file that is read, in bytes: all of it is held in memory, and a device may have no end.
const MAX_FILE_LENGTH: u64 = 1 << 30;

impl Packets {
    /// Takes what was found at `offset`: a packet, something else, or a problem. Says whether to read on.
    pub(crate) fn take(&mut self, offset: usize, found: Result<Option<Packet>, String>) -> bool {
        let problem = match found {
            Ok(None) => return true,
            Ok(Some(packet)) => {
                self.missing += packet.wire_length - packet.data.len();
                if self.missing <= MAX_MISSING_LENGTH {
                    self.packets.push(packet);
                    return true;
                }
                format!("packets lack more than {MAX_MISSING_LENGTH} bytes together")
            }
            Err(problem) => problem,
        };
        self.damage = Some(Damage { offset, problem });
        false
    }
}

impl Capture {
    /// Reads a file. `local` says which packets are sent by this machine, where the file does not say it; empty leaves
    /// it to the most frequent source address.
    ///
    /// # Errors
    ///
    /// [`CaptureError`] when there is not one frame to give. A file that is damaged after its first frame is no error:
    /// see [`Self::damage`].
    pub fn open(path: &Path, local: &[Local]) -> Result<Self, CaptureError> {
        Self::parse(&read_up_to(File::open(path)?, MAX_FILE_LENGTH)?, local)
    }

    /// Reads the bytes of a file, like [`Self::open`].
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn parse(bytes: &[u8], local: &[Local]) -> Result<Self, CaptureError> {
        let read = match bytes {
            [] => return Err(CaptureError::Empty),
            [0x0A, 0x0D, 0x0D, 0x0A, ..] => pcapng::read(bytes),
            _ => pcap::read(bytes)?,
        };
        let (packets, others): (Vec<_>, Vec<_>) = read
            .packets
            .into_iter()
            .partition(|packet| packet.link_type == Linktype::ETHERNET);
        if packets.is_empty() {
            return Err(
                match (read.damage, others.first().map(|packet| packet.link_type)) {
                    (_, Some(link_type)) => CaptureError::NotEthernet(link_type_name(link_type)),
                    (Some(damage), None) => CaptureError::Damaged(damage),
                    (None, None) => match read.link_types.first() {
                        Some(&link_type) if link_type != Linktype::ETHERNET => {
                            CaptureError::NotEthernet(link_type_name(link_type))
                        }
                        _ => CaptureError::NoPackets,
                    },
                },
            );
        }
        let mut skipped = BTreeMap::new();
        for packet in others {
            *skipped.entry(link_type_name(packet.link_type)).or_default() += 1;
        }
        let cut_frames = packets
            .iter()
            .filter(|packet| packet.data.len() < packet.wire_length)
            .count();
        let chosen = direction::choose(&packets, local);
        Ok(Self {
            frames: frames(packets, &chosen.directions),
            adapter_mac: chosen.adapter_mac,
            direction_rule: chosen.rule,
            cut_frames,
            skipped,
            damage: read.damage,
        })
    }
}

fn read_up_to(from: impl Read, limit_bytes: u64) -> Result<Vec<u8>, CaptureError> {
    let mut bytes = Vec::new();
    from.take(limit_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit_bytes {
        return Err(CaptureError::TooLarge { limit_bytes });
    }
    Ok(bytes)
}

fn frames(packets: Vec<Packet>, directions: &[Direction]) -> Vec<Frame> {
    let mut start_ns = None;
    let mut last_ns = 0;
    let frame = |(mut packet, &direction): (Packet, &Direction)| {
        let start_ns = *start_ns.get_or_insert(packet.time_ns);
        let since_ns = u64::try_from(packet.time_ns.saturating_sub(start_ns)).unwrap_or_default();
        last_ns = last_ns.max(since_ns);
        packet.data.resize(packet.wire_length, 0);
        packet.data.truncate(
            packet
                .wire_length
                .saturating_sub(packet.check_sequence_length),
        );
        Frame::new(direction, packet.data, last_ns)
    };
    packets.into_iter().zip(directions).map(frame).collect()
}

impl Packet {
    /// A packet of `data`, unless its lengths cannot be true.
    pub(crate) fn new(
        link_type: Linktype,
        time_ns: i128,
        data: &[u8],
        wire_length: u32,
    ) -> Result<Self, String> {
        let wire_length = (wire_length as usize).max(data.len());
        if wire_length > MAX_PACKET_LENGTH {
            return Err(format!("a packet of {wire_length} bytes"));
        }
        let data = data.to_vec();
        Ok(Self {
            link_type,
            time_ns,
            data,
            wire_length,
            check_sequence_length: 0,
            direction: None,
        })
    }
}

/// Name of a link type as <https://www.tcpdump.org/linktypes.html> has it, for those that are met often.
fn link_type_name(link_type: Linktype) -> String {
    let name = match link_type.0 {
        0 => "NULL",
        1 => "ETHERNET",
        9 => "PPP",
        101 => "RAW",
        105 => "IEEE802_11",
        108 => "LOOP",
        113 => "LINUX_SLL",
        127 => "IEEE802_11_RADIOTAP",
        189 => "USB_LINUX",
        195 => "IEEE802_15_4_WITHFCS",
        201 => "BLUETOOTH_HCI_H4_WITH_PHDR",
        220 => "USB_LINUX_MMAPPED",
        228 => "IPV4",
        229 => "IPV6",
        239 => "NFLOG",
        249 => "USBPCAP",
        252 => "WIRESHARK_UPPER_PDU",
        276 => "LINUX_SLL2",
        number => return number.to_string(),
    };
    format!("{name} ({})", link_type.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_refused() {
        assert_eq!(read_up_to(&[7; 100][..], 100).unwrap(), [7; 100]);
        let line = read_up_to(std::io::repeat(0), 100).unwrap_err().to_string();
        assert_eq!(line, "has more than 100 bytes, the lab's limit");
    }
}
