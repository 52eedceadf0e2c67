//! The debug directory: which PDB belongs to the image.

use crate::{Error, bytes::Bytes, header::Directory};

const ENTRY_BYTES: u32 = 28;
const TYPE_CODEVIEW: u32 = 2;
const NAME_LIMIT: usize = 4096;

/// A CodeView record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PdbReference {
    /// Path as the linker wrote it.
    pub path: String,
    /// Identity of the link, as its bytes are in the file.
    pub guid: [u8; 16],
    /// How often the PDB was rewritten.
    pub age: u32,
}

pub(crate) fn parse(
    image: Bytes<'_>,
    directory: Option<Directory>,
) -> Result<Option<PdbReference>, Error> {
    let damaged = |why| Error::damaged("debug directory", why);
    let Some(directory) = directory else {
        return Ok(None);
    };
    let table = image
        .part(directory.rva, directory.bytes)
        .ok_or_else(|| damaged("it reaches beyond the image"))?;
    for index in 0..directory.bytes / ENTRY_BYTES {
        let word = |offset| table.u32(ENTRY_BYTES * index + offset).unwrap_or(0);
        let (kind, bytes, rva) = (word(12), word(16), word(20));
        // Data that is not mapped has no RVA; it is of no use here.
        if kind != TYPE_CODEVIEW || rva == 0 {
            continue;
        }
        let record = image
            .part(rva, bytes)
            .ok_or_else(|| damaged("its CodeView record is outside the image"))?;
        if record.u32(0) != Some(u32::from_le_bytes(*b"RSDS")) {
            continue;
        }
        let reference = || {
            Some(PdbReference {
                guid: record.slice(4, 16)?.try_into().ok()?,
                age: record.u32(20)?,
                path: record.text(24, NAME_LIMIT)?,
            })
        };
        return reference()
            .map(Some)
            .ok_or_else(|| damaged("its CodeView record is cut off"));
    }
    Ok(None)
}
