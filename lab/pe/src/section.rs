//! The section table, and the image as it lies in memory.

use crate::{Error, PAGE_BYTES, bytes::Bytes, header::Headers};

const HEADER_BYTES: u32 = 40;
const CONTAINS_CODE: u32 = 0x0000_0020;
const DISCARDABLE: u32 = 0x0200_0000;
const NOT_PAGED: u32 = 0x0800_0000;
const EXECUTE: u32 = 0x2000_0000;
const READ: u32 = 0x4000_0000;
const WRITE: u32 = 0x8000_0000;

/// What the image may do with a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protection {
    /// Read it.
    pub read: bool,
    /// Write it.
    pub write: bool,
    /// Run it.
    pub execute: bool,
}

/// A section.
///
/// # Invariants
/// `rva` is page-aligned, `bytes` is at least 1, and its pages are inside the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name, at most 8 bytes.
    pub name: String,
    /// Where it begins.
    pub rva: u32,
    /// Its bytes in memory.
    pub bytes: u32,
    /// What the image may do with it. A section that holds code counts as readable and executable
    /// even where its flags forget it: lld's `/SECTION:INIT,D` replaces the flags.
    pub protection: Protection,
    /// Whether Windows frees it after `DriverEntry`.
    pub discardable: bool,
    /// Whether Windows may page it out: its name begins with `PAGE` and it is not marked otherwise.
    pub pageable: bool,
    file_offset: u32,
    file_bytes: u32,
}

impl Section {
    /// Whether `rva` is in it.
    #[must_use]
    pub fn contains(&self, rva: u32) -> bool {
        rva.checked_sub(self.rva)
            .is_some_and(|offset| offset < self.bytes)
    }
}

pub(crate) fn parse(file: Bytes<'_>, headers: &Headers) -> Result<Vec<Section>, Error> {
    let mut sections: Vec<Section> = Vec::new();
    let mut end = headers.headers_bytes;
    for index in 0..u32::from(headers.section_count) {
        let at = headers.section_table.saturating_add(HEADER_BYTES * index);
        let entry = file
            .part(at, HEADER_BYTES)
            .ok_or_else(|| Error::Truncated {
                what: "the section table".into(),
                needed: u64::from(at) + u64::from(HEADER_BYTES),
                present: file.len() as u64,
            })?;
        let section = section(entry);
        let what = || format!("section {}", section.name.escape_debug());
        if section.bytes == 0 {
            return Err(Error::damaged(what(), "it is empty"));
        }
        if !section.rva.is_multiple_of(PAGE_BYTES) || section.rva < end {
            return Err(Error::damaged(what(), "it overlaps what is before it"));
        }
        end = section
            .rva
            .checked_add(section.bytes)
            .and_then(|end| end.checked_next_multiple_of(PAGE_BYTES))
            .filter(|end| *end <= headers.image_bytes)
            .ok_or_else(|| Error::damaged(what(), "it reaches beyond the image"))?;
        sections.push(section);
    }
    if sections.is_empty() {
        return Err(Error::damaged("section table", "it is empty"));
    }
    Ok(sections)
}

fn section(entry: Bytes<'_>) -> Section {
    let word = |offset| entry.u32(offset).unwrap_or(0);
    let name = entry.slice(0, 8).unwrap_or_default();
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = String::from_utf8_lossy(name).into_owned();
    let flags = word(36);
    let code = flags & CONTAINS_CODE != 0;
    let file_bytes = word(16);
    Section {
        rva: word(12),
        bytes: if word(8) == 0 { file_bytes } else { word(8) },
        protection: Protection {
            read: code || flags & READ != 0,
            write: flags & WRITE != 0,
            execute: code || flags & EXECUTE != 0,
        },
        discardable: flags & DISCARDABLE != 0,
        pageable: name.starts_with("PAGE") && flags & NOT_PAGED == 0,
        file_offset: word(20),
        file_bytes,
        name,
    }
}

/// The image as it lies in memory at its preferred base.
pub(crate) fn map(
    file: Bytes<'_>,
    headers: &Headers,
    sections: &[Section],
) -> Result<Vec<u8>, Error> {
    let mut mapped = vec![0; headers.image_bytes as usize];
    // All of a section's data must be in the file, also what memory has no room for: padding to the file's alignment.
    let mut put = |what: &dyn Fn() -> String, rva: u32, offset: u32, file_bytes: u32, room: u32| {
        let source = file
            .slice(offset, file_bytes)
            .ok_or_else(|| Error::Truncated {
                what: what(),
                needed: u64::from(offset) + u64::from(file_bytes),
                present: file.len() as u64,
            })?;
        let source = source.get(..room as usize).unwrap_or(source);
        let target = mapped
            .get_mut(rva as usize..rva as usize + source.len())
            .ok_or_else(|| Error::damaged(what(), "it reaches beyond the image"))?;
        target.copy_from_slice(source);
        Ok(())
    };
    let headers_bytes = headers.headers_bytes;
    put(&|| "the headers".into(), 0, 0, headers_bytes, headers_bytes)?;
    for section in sections {
        put(
            &|| format!("section {}", section.name.escape_debug()),
            section.rva,
            section.file_offset,
            section.file_bytes,
            section.bytes,
        )?;
    }
    Ok(mapped)
}
