//! Frames to a pcapng file.

use std::io::{self, Write};

use crate::frame::{Direction, Frame};

/// Writes frames as a pcapng file: one section, one Ethernet interface, times in nanoseconds since 1970, and the
/// direction of each frame in `epb_flags`. A tag beside a frame is put back into it.
///
/// # Errors
///
/// Whatever `to` reports.
pub fn write_pcapng(frames: &[Frame], to: &mut impl Write) -> io::Result<()> {
    const SECTION_HEADER: u32 = 0x0A0D_0D0A;
    const INTERFACE_DESCRIPTION: u32 = 1;
    const ENHANCED_PACKET: u32 = 6;
    // Byte order, version 1.0, length not known.
    let section = [
        &0x1A2B_3C4D_u32.to_le_bytes()[..],
        &[1, 0, 0, 0],
        &[0xFF; 8],
    ]
    .concat();
    write_block(to, SECTION_HEADER, &section)?;
    // Ethernet, no snapshot length; if_tsresol 10^-9.
    write_block(
        to,
        INTERFACE_DESCRIPTION,
        &[1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0],
    )?;
    for frame in frames {
        let data = match (frame.vlan, frame.data.split_at_checked(12)) {
            (Some(tci), Some((addresses, rest))) => {
                let [high, low] = tci.to_be_bytes();
                &[addresses, &[0x81, 0x00, high, low], rest].concat()
            }
            _ => &frame.data,
        };
        let flags: u8 = match frame.direction {
            Direction::Receive => 1,
            Direction::Send => 2,
        };
        let length = u32::try_from(data.len())
            .map_err(io::Error::other)?
            .to_le_bytes();
        let padding = data.len().next_multiple_of(4) - data.len();
        let (high, low) = ((frame.time_ns >> 32) as u32, frame.time_ns as u32);
        let body = [
            &[0; 4][..],
            &high.to_le_bytes(),
            &low.to_le_bytes(),
            &length,
            &length,
            data,
            &[0; 3][..padding],
            &[2, 0, 4, 0, flags, 0, 0, 0, 0, 0, 0, 0],
        ];
        write_block(to, ENHANCED_PACKET, &body.concat())?;
    }
    Ok(())
}

/// Writes a block: its length stands before and behind its body, which is a multiple of four bytes.
fn write_block(to: &mut impl Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len() + 12)
        .map_err(io::Error::other)?
        .to_le_bytes();
    to.write_all(&[&kind.to_le_bytes(), &length, body, &length].concat())
}
