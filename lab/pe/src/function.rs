//! The exception directory (`.pdata`): which code belongs to which function.

use crate::{Error, bytes::Bytes, header::Directory};

const ENTRY_BYTES: u32 = 12;

/// A piece of code with unwind information.
///
/// # Invariants
/// `begin_rva < end_rva`, both inside the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function {
    /// Its first byte.
    pub begin_rva: u32,
    /// The byte after its last.
    pub end_rva: u32,
    /// Where its unwind information is.
    pub unwind_rva: u32,
}

impl Function {
    /// Reads an entry, if it is one.
    pub(crate) fn read(image: Bytes<'_>, at: u32) -> Option<Self> {
        let word = |offset| image.u32(at.checked_add(offset)?);
        let function = Self {
            begin_rva: word(0)?,
            end_rva: word(4)?,
            unwind_rva: word(8)?,
        };
        let sound = function.begin_rva < function.end_rva
            && function.end_rva as usize <= image.len()
            && image.u32(function.unwind_rva).is_some();
        sound.then_some(function)
    }
}

pub(crate) fn parse(
    image: Bytes<'_>,
    directory: Option<Directory>,
) -> Result<Vec<Function>, Error> {
    let damaged = |why| Error::damaged("exception directory", why);
    let Some(directory) = directory else {
        return Ok(Vec::new());
    };
    if image.slice(directory.rva, directory.bytes).is_none() {
        return Err(damaged("it reaches beyond the image"));
    }
    let functions = (0..directory.bytes / ENTRY_BYTES)
        .map(|index| Function::read(image, directory.rva + ENTRY_BYTES * index))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| damaged("a function reaches beyond the image"))?;
    if functions.is_sorted_by(|a, b| a.end_rva <= b.begin_rva) {
        Ok(functions)
    } else {
        Err(damaged("its functions are not in order"))
    }
}
