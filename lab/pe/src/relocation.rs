//! Base relocations.

use crate::{Error, bytes::Bytes, header::Directory};

const ABSOLUTE: u16 = 0;
const DIR64: u16 = 10;

/// RVAs of the 64-bit words to relocate.
pub(crate) fn parse(image: Bytes<'_>, directory: Option<Directory>) -> Result<Vec<u32>, Error> {
    let damaged = |why| Error::damaged("relocation directory", why);
    let Some(directory) = directory else {
        return Ok(Vec::new());
    };
    let table = image
        .part(directory.rva, directory.bytes)
        .ok_or_else(|| damaged("it reaches beyond the image"))?;
    let mut relocations = Vec::new();
    let mut at = 0;
    while at < directory.bytes {
        let (page, bytes) = table
            .u32(at)
            .zip(table.u32(at.saturating_add(4)))
            .ok_or_else(|| damaged("a block's header is cut off"))?;
        if bytes < 8 {
            return Err(damaged("a block is shorter than its header"));
        }
        let block = table
            .part(at, bytes)
            .ok_or_else(|| damaged("a block is cut off"))?;
        for entry in (8..bytes - bytes % 2)
            .step_by(2)
            .map_while(|offset| block.u16(offset))
        {
            match entry >> 12 {
                ABSOLUTE => {}
                DIR64 => {
                    let rva = page
                        .checked_add(u32::from(entry & 0xFFF))
                        .filter(|rva| image.u64(*rva).is_some())
                        .ok_or_else(|| damaged("an entry reaches beyond the image"))?;
                    relocations.push(rva);
                }
                _ => return Err(damaged("it has an entry of a kind that x64 does not have")),
            }
        }
        at = at
            .checked_add(bytes)
            .ok_or_else(|| damaged("a block is cut off"))?;
    }
    relocations.sort_unstable();
    if relocations.is_sorted_by(|a, b| a < b) {
        Ok(relocations)
    } else {
        Err(damaged("a word is relocated twice"))
    }
}
