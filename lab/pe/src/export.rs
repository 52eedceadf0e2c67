//! The export directory.

use crate::{Error, bytes::Bytes, header::Directory};

const DIRECTORY_BYTES: u32 = 40;
const NAME_LIMIT: usize = 4096;
/// A driver exports a handful; a damaged table must not make the lab allocate gigabytes.
const NAMES_LIMIT: u32 = 4096;

/// Something the image exports by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub rva: u32,
}

pub(crate) fn parse(image: Bytes<'_>, directory: Option<Directory>) -> Result<Vec<Export>, Error> {
    let damaged = |why| Error::damaged("export directory", why);
    let Some(directory) = directory else {
        return Ok(Vec::new());
    };
    let table = image
        .part(directory.rva, DIRECTORY_BYTES)
        .ok_or_else(|| damaged("it reaches beyond the image"))?;
    let word = |offset| table.u32(offset).unwrap_or(0);
    let (functions, names, ordinals) = (word(28), word(32), word(36));
    let (function_count, name_count) = (word(20), word(24));
    let beyond = || damaged("a table of it reaches beyond the image");
    if name_count > NAMES_LIMIT {
        return Err(beyond());
    }
    let element = |table: u32, index: u32, bytes: u32| index.checked_mul(bytes)?.checked_add(table);
    let mut exports = Vec::new();
    for index in 0..name_count {
        let name = element(names, index, 4)
            .and_then(|at| image.u32(at))
            .and_then(|rva| image.text(rva, NAME_LIMIT))
            .ok_or_else(beyond)?;
        let rva = element(ordinals, index, 2)
            .and_then(|at| image.u16(at))
            .map(u32::from)
            .filter(|ordinal| *ordinal < function_count)
            .and_then(|ordinal| image.u32(element(functions, ordinal, 4)?))
            .filter(|rva| image.u8(*rva).is_some())
            .ok_or_else(beyond)?;
        exports.push(Export { name, rva });
    }
    Ok(exports)
}
