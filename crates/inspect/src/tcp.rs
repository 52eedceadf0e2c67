//! TCP.

use crate::error::{Layer, ParseError, Problem};
use crate::reader::Reader;

/// The flags in the low byte of a TCP header's flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlags(u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// The acknowledgement number counts.
    pub const ACK: Self = Self(0x10);

    /// Flags from the header's byte.
    #[must_use]
    pub const fn new(bits: u8) -> Self {
        Self(bits)
    }

    /// The header's byte.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of `flags` are set.
    #[must_use]
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// These flags and `flags`.
    #[must_use]
    pub const fn union(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }
}

/// A TCP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number; counts with [`TcpFlags::ACK`].
    pub acknowledgement: u32,
    /// Flags.
    pub flags: TcpFlags,
    /// Window, not scaled.
    pub window: u16,
    /// Bytes of payload on the wire, in this packet.
    pub payload_length: u32,
}

impl Tcp {
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        const MINIMUM_LENGTH: u32 = 20;
        let error = |problem, needed, had| ParseError {
            layer: Layer::Tcp,
            problem,
            needed,
            had,
        };
        let available = reader.on_wire();
        let header = reader.take::<20>(Layer::Tcp)?;
        let header_length = u32::from(header[12] >> 4) << 2;
        if header_length < MINIMUM_LENGTH {
            return Err(error(Problem::BadLength, MINIMUM_LENGTH, header_length));
        }
        // Nothing is read from the options, so it does not matter whether they are in the snapshot; they must be in the
        // packet.
        if header_length > available {
            return Err(error(Problem::Truncated, header_length, available));
        }
        Ok(Self {
            source_port: u16::from_be_bytes([header[0], header[1]]),
            destination_port: u16::from_be_bytes([header[2], header[3]]),
            sequence: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            acknowledgement: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
            flags: TcpFlags::new(header[13]),
            window: u16::from_be_bytes([header[14], header[15]]),
            payload_length: available.saturating_sub(header_length),
        })
    }
}
