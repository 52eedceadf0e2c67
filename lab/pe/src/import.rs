//! The import directory.

use crate::{Error, bytes::Bytes, header::Directory};

const DESCRIPTOR_BYTES: u32 = 20;
const BY_ORDINAL: u64 = 1 << 63;
/// Longest name that Microsoft's linker makes.
const NAME_LIMIT: usize = 4096;
/// More functions than ntoskrnl and ndis export; a damaged table must end somewhere.
const FUNCTION_LIMIT: u32 = 16_384;

/// A file that the image imports from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedModule {
    /// Its name in lower case: Windows does not tell `NDIS.SYS` from `ndis.sys`.
    pub name: String,
    /// The functions and variables.
    pub functions: Vec<ImportedFunction>,
}

/// A function or variable that the image imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedFunction {
    /// What it is called.
    pub name: ImportName,
    /// RVA of the 64-bit word that takes its address.
    pub slot_rva: u32,
}

/// How an import is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportName {
    /// By its export name, in its own case.
    Name(String),
    /// By number.
    Ordinal(u16),
}

impl std::fmt::Display for ImportName {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => out.write_str(name),
            Self::Ordinal(ordinal) => write!(out, "#{ordinal}"),
        }
    }
}

pub(crate) fn parse(
    image: Bytes<'_>,
    directory: Option<Directory>,
) -> Result<Vec<ImportedModule>, Error> {
    let damaged = |why| Error::damaged("import directory", why);
    let Some(directory) = directory else {
        return Ok(Vec::new());
    };
    let mut modules = Vec::new();
    let mut left = FUNCTION_LIMIT;
    let mut at = directory.rva;
    loop {
        let descriptor = image
            .part(at, DESCRIPTOR_BYTES)
            .ok_or_else(|| damaged("it reaches beyond the image"))?;
        let word = |offset| descriptor.u32(offset).unwrap_or(0);
        let (lookup, name, slots) = (word(0), word(12), word(16));
        if name == 0 || slots == 0 {
            return Ok(modules);
        }
        if modules.len() == 256 {
            return Err(damaged("it has no end"));
        }
        let name = image
            .text(name, NAME_LIMIT)
            .ok_or_else(|| damaged("a module's name is outside the image"))?
            .to_ascii_lowercase();
        let functions = functions(image, if lookup == 0 { slots } else { lookup }, slots, left)?;
        left -= functions.len() as u32;
        modules.push(ImportedModule { name, functions });
        at = at.saturating_add(DESCRIPTOR_BYTES);
    }
}

fn functions(
    image: Bytes<'_>,
    lookup: u32,
    slots: u32,
    limit: u32,
) -> Result<Vec<ImportedFunction>, Error> {
    let damaged = |why| Error::damaged("import directory", why);
    let mut functions = Vec::new();
    for offset in (0..=limit).map(|index| 8 * index) {
        let slot_rva = slots.saturating_add(offset);
        let entry = image
            .u64(lookup.saturating_add(offset))
            .filter(|_| image.u64(slot_rva).is_some())
            .ok_or_else(|| damaged("a table of functions reaches beyond the image"))?;
        if entry == 0 {
            return Ok(functions);
        }
        if functions.len() as u32 == limit {
            break;
        }
        let name = if entry & BY_ORDINAL != 0 {
            ImportName::Ordinal(entry as u16)
        } else {
            // Two bytes of hint come first.
            let name = u32::try_from(entry)
                .ok()
                .and_then(|rva| image.text(rva.checked_add(2)?, NAME_LIMIT))
                .ok_or_else(|| damaged("a function's name is outside the image"))?;
            ImportName::Name(name)
        };
        functions.push(ImportedFunction { name, slot_rva });
    }
    Err(damaged("a table of functions has no end"))
}
