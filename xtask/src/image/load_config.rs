//! The load configuration: where the loader finds the security cookie.

use anyhow::Result;
use object::{LittleEndian as LE, pe};

use super::Image;

/// What the cookie holds before the loader has put a random value there: the loader looks for it.
const DEFAULT_COOKIE: u64 = 0x0000_2B99_2DDF_A232;

/// Offset of the cookie's address in the 64-bit directory.
const COOKIE_FIELD: usize = 88;

pub(super) fn check(image: &Image<'_>) -> Result<Vec<String>> {
    let directory = image
        .file
        .data_directory(pe::IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG);
    let Some(directory) = directory.filter(|directory| directory.virtual_address.get(LE) != 0)
    else {
        return Ok(vec!["there is no load configuration".to_owned()]);
    };
    let data = image
        .data_at(directory.virtual_address.get(LE))
        .unwrap_or_default();
    let size = data.get(..4).map_or(0, |bytes| {
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    });
    let pointer = read_u64(data, COOKIE_FIELD)
        .filter(|pointer| *pointer != 0 && size as usize > COOKIE_FIELD);
    let Some(pointer) = pointer else {
        return Ok(vec!["it names no security cookie".to_owned()]);
    };
    let Some(address) = image.offset_of(pointer) else {
        return Ok(vec![format!(
            "the security cookie is outside the image, at {pointer:#x}"
        )]);
    };
    let section = image.file.section_table().section_containing(address);
    let is_writable = section
        .is_some_and(|section| section.characteristics.get(LE).0 & pe::IMAGE_SCN_MEM_WRITE.0 != 0);
    if !is_writable {
        return Ok(vec![
            "the security cookie is not in a writable section".to_owned(),
        ]);
    }
    Ok(
        match image.data_at(address).and_then(|data| read_u64(data, 0)) {
            Some(DEFAULT_COOKIE) => Vec::new(),
            _ => vec![format!(
                "the security cookie does not hold {DEFAULT_COOKIE:#x}, which the loader replaces"
            )],
        },
    )
}

fn read_u64(data: &[u8], offset: usize) -> Option<u64> {
    let bytes = data.get(offset..offset.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}
