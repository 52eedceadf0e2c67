//! The header's checksum, as `CheckSumMappedFile` defines it.

use anyhow::Result;
use object::LittleEndian as LE;

use super::Image;

/// Offset of the field from the PE signature: 4 of it, 20 of the file header, 64 into the optional header.
const FIELD: usize = 4 + 20 + 64;

/// Where the checksum of an image is.
pub(crate) fn checksum_offset(signature_offset: usize) -> usize {
    signature_offset + FIELD
}

/// The checksum that the image should have: the folded sum of its 16-bit words but the field's, plus its length.
pub(crate) fn checksum(bytes: &[u8], field: usize) -> u32 {
    let mut sum = 0_u32;
    for (index, pair) in bytes.chunks(2).enumerate() {
        if index * 2 == field || index * 2 == field + 2 {
            continue;
        }
        let word = u32::from(pair[0]) | pair.get(1).map_or(0, |high| u32::from(*high) << 8);
        sum += word;
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    // No driver is 4 GiB long; the field has no more bits.
    sum.wrapping_add(bytes.len() as u32)
}

pub(super) fn check(image: &Image<'_>) -> Result<Vec<String>> {
    let found = image.optional_header().check_sum.get(LE);
    let signature = image.file.dos_header().nt_headers_offset() as usize;
    let right = checksum(image.bytes, checksum_offset(signature));
    Ok(if found == 0 {
        vec!["it is 0".to_owned()]
    } else if found != right {
        vec![format!("it is {found:#x}, the bytes give {right:#x}")]
    } else {
        Vec::new()
    })
}
