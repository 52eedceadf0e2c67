//! DOS, COFF and optional header.

use crate::{Error, PAGE_BYTES, bytes::Bytes};

/// Indices of the data directories.
pub(crate) const EXPORT: usize = 0;
pub(crate) const IMPORT: usize = 1;
pub(crate) const EXCEPTION: usize = 3;
pub(crate) const RELOCATION: usize = 5;
pub(crate) const DEBUG: usize = 6;
pub(crate) const LOAD_CONFIG: usize = 10;
pub(crate) const DELAY_IMPORT: usize = 13;

const MACHINE_X64: u16 = 0x8664;
const EXECUTABLE_IMAGE: u16 = 0x0002;
const MAGIC_PE32_PLUS: u16 = 0x020B;
const MAGIC_PE32: u16 = 0x010B;
const SUBSYSTEM_NATIVE: u16 = 1;
/// Where in the optional header the checksum is.
const CHECKSUM: u32 = 64;
const DIRECTORIES: u32 = 16;
const COFF_BYTES: u32 = 24;
/// Optional header up to the data directories.
const OPTIONAL_BYTES: u32 = 112;
/// No driver is near this; a damaged header must not make the lab allocate gigabytes.
const LARGEST_IMAGE_BYTES: u32 = 256 << 20;

/// A data directory: an RVA and how many bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Directory {
    pub(crate) rva: u32,
    pub(crate) bytes: u32,
}

/// What the headers say.
#[derive(Debug)]
pub(crate) struct Headers {
    pub(crate) preferred_base: u64,
    pub(crate) entry_rva: u32,
    /// Whole pages.
    pub(crate) image_bytes: u32,
    pub(crate) headers_bytes: u32,
    /// Zero for none.
    pub(crate) checksum: u32,
    /// Where in the file the checksum is.
    pub(crate) checksum_at: u32,
    /// Where in the file the section table is.
    pub(crate) section_table: u32,
    pub(crate) section_count: u16,
    directories: Vec<Directory>,
}

impl Headers {
    /// A directory, if the image has it.
    pub(crate) fn directory(&self, index: usize) -> Option<Directory> {
        self.directories
            .get(index)
            .copied()
            .filter(|directory| directory.rva != 0 && directory.bytes != 0)
    }
}

pub(crate) fn parse(file: Bytes<'_>) -> Result<Headers, Error> {
    let cut = |what: &str, needed: u64| Error::Truncated {
        what: what.into(),
        needed,
        present: file.len() as u64,
    };
    if file.u16(0) != Some(u16::from_le_bytes(*b"MZ")) {
        return Err(Error::NotPe("it does not begin with MZ"));
    }
    let pe = file.u32(0x3C).ok_or_else(|| cut("the DOS header", 64))?;
    let signature = file
        .u32(pe)
        .ok_or_else(|| cut("the PE header", u64::from(pe) + u64::from(COFF_BYTES)))?;
    if signature != u32::from_le_bytes(*b"PE\0\0") {
        return Err(Error::NotPe("it has a DOS header, but no PE signature"));
    }
    let coff = file
        .part(pe, COFF_BYTES)
        .ok_or_else(|| cut("the PE header", u64::from(pe) + u64::from(COFF_BYTES)))?;
    check_machine(coff.u16(4).unwrap_or(0))?;
    let section_count = coff.u16(6).unwrap_or(0);
    let optional_bytes = u32::from(coff.u16(20).unwrap_or(0));
    if coff.u16(22).unwrap_or(0) & EXECUTABLE_IMAGE == 0 {
        return Err(Error::NotPe("it is an object file, not a linked image"));
    }
    let optional_at = pe.saturating_add(COFF_BYTES);
    let optional = file.part(optional_at, optional_bytes).ok_or_else(|| {
        cut(
            "the optional header",
            u64::from(optional_at) + u64::from(optional_bytes),
        )
    })?;
    match optional.u16(0) {
        Some(MAGIC_PE32_PLUS) => {}
        Some(MAGIC_PE32) => return Err(Error::Machine("32-bit Windows (PE32)".into())),
        _ => {
            return Err(Error::damaged(
                "optional header",
                "its magic number is unknown",
            ));
        }
    }
    if optional_bytes < OPTIONAL_BYTES {
        return Err(Error::damaged("optional header", "it is too short"));
    }
    let word = |offset| optional.u32(offset).unwrap_or(0);
    check_subsystem(optional.u16(68).unwrap_or(0))?;
    if word(32) != PAGE_BYTES {
        return Err(Error::Unsupported(
            "a section alignment other than one page",
        ));
    }
    let image_bytes = word(56)
        .checked_next_multiple_of(PAGE_BYTES)
        .filter(|bytes| (1..=LARGEST_IMAGE_BYTES).contains(bytes))
        .ok_or_else(|| Error::damaged("optional header", "the image's size is out of range"))?;
    let headers_bytes = word(60);
    if headers_bytes > image_bytes {
        return Err(Error::damaged(
            "optional header",
            "the headers are larger than the image",
        ));
    }
    let preferred_base = optional.u64(24).unwrap_or(0);
    if preferred_base.checked_add(u64::from(image_bytes)).is_none() {
        return Err(Error::damaged(
            "optional header",
            "the image base is out of range",
        ));
    }
    let directories = (0..word(108).min(DIRECTORIES))
        .map_while(|index| {
            let at = OPTIONAL_BYTES + 8 * index;
            Some(Directory {
                rva: optional.u32(at)?,
                bytes: optional.u32(at + 4)?,
            })
        })
        .collect();
    Ok(Headers {
        preferred_base,
        entry_rva: word(16),
        image_bytes,
        headers_bytes,
        checksum: word(CHECKSUM),
        checksum_at: optional_at.saturating_add(CHECKSUM),
        section_table: optional_at.saturating_add(optional_bytes),
        section_count,
        directories,
    })
}

fn check_machine(machine: u16) -> Result<(), Error> {
    let name = match machine {
        MACHINE_X64 => return Ok(()),
        0x014C => "32-bit x86".into(),
        0xAA64 => "ARM64".into(),
        0x01C4 => "32-bit ARM".into(),
        other => format!("machine {other:#06x}"),
    };
    Err(Error::Machine(name))
}

fn check_subsystem(subsystem: u16) -> Result<(), Error> {
    let name = match subsystem {
        SUBSYSTEM_NATIVE => return Ok(()),
        2 => "WINDOWS_GUI".into(),
        3 => "WINDOWS_CUI".into(),
        10..=13 => "EFI".into(),
        16 => "WINDOWS_BOOT_APPLICATION".into(),
        other => format!("{other}"),
    };
    Err(Error::Subsystem(name))
}
