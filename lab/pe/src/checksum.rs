//! The optional header's checksum.

use crate::{Error, bytes::Bytes, header::Headers};

const FIELD_BYTES: usize = 4;

/// Compares the checksum with the file. Zero is none: linkers write one only when they are asked to.
pub(crate) fn check(file: Bytes<'_>, headers: &Headers) -> Result<(), Error> {
    let computed = compute(file, headers.checksum_at as usize);
    match headers.checksum {
        0 => Ok(()),
        stored if stored == computed => Ok(()),
        stored => Err(Error::Checksum { stored, computed }),
    }
}

/// The sum of the file's 16-bit words, its field left out, with every carry added back, and the length.
fn compute(file: Bytes<'_>, field_at: usize) -> u32 {
    let field = field_at..field_at.saturating_add(FIELD_BYTES);
    let mut sum = 0_u64;
    for (index, byte) in file.iter().enumerate() {
        if !field.contains(&index) {
            sum += u64::from(byte) << (8 * (index % 2));
        }
    }
    while let carry @ 1.. = sum >> 16 {
        sum = (sum & 0xFFFF) + carry;
    }
    (sum as u32).wrapping_add(file.len() as u32)
}
