//! ICMP of IPv4 and IPv6, whose headers begin alike.

use crate::error::{Layer, ParseError};
use crate::reader::Reader;

/// The start of an ICMP message. The packet inside an error message is not looked at: it is no packet of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// Type; IPv4 and IPv6 number them differently.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// The four bytes after the checksum: identifier and sequence number of an echo.
    pub rest: [u8; 4],
}

impl Icmp {
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let [kind, code, _, _, r0, r1, r2, r3] = *reader.take::<8>(Layer::Icmp)?;
        Ok(Self {
            kind,
            code,
            rest: [r0, r1, r2, r3],
        })
    }
}
