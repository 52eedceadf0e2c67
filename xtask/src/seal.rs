//! Gives an image and its PDB an identity that depends on the image alone.
//!
//! The linker takes it from the PDB, whose bytes tell in which folder they were made; so two builds of the same sources
//! would differ. Here it is the hash of the image with every field blanked that holds it: the timestamps, the PDB's GUID
//! and the checksum.

use std::{fs, ops::Range, path::Path};

use anyhow::{Context, Result};
use object::{LittleEndian as LE, pe, read::pe::PeFile64};

use crate::image::{checksum, checksum_offset};

const GUID_LENGTH: usize = 16;

/// Where an image holds its identity: file offsets.
struct Places {
    timestamps: Vec<usize>,
    /// Microsoft's linker puts a hash into the data of the entry that says that the build is reproducible.
    hash: Option<Range<usize>>,
    guid: usize,
    checksum: usize,
}

/// Seals the image and the PDB at these paths.
pub(crate) fn seal(image: &Path, pdb: &Path) -> Result<()> {
    let mut bytes = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let places =
        places(&bytes).with_context(|| format!("{}: no identity found", image.display()))?;
    let guid = seal_image(&mut bytes, &places);
    fs::write(image, &bytes).with_context(|| format!("cannot write {}", image.display()))?;

    let mut symbols = fs::read(pdb).with_context(|| format!("cannot read {}", pdb.display()))?;
    let place = pdb_guid(&symbols).with_context(|| format!("{} is no PDB", pdb.display()))?;
    symbols[place..place + GUID_LENGTH].copy_from_slice(&guid);
    fs::write(pdb, &symbols).with_context(|| format!("cannot write {}", pdb.display()))
}

fn seal_image(bytes: &mut [u8], places: &Places) -> [u8; GUID_LENGTH] {
    for place in places.timestamps.iter().chain([&places.checksum]) {
        bytes[*place..place + 4].fill(0);
    }
    bytes[places.guid..places.guid + GUID_LENGTH].fill(0);
    if let Some(range) = &places.hash {
        bytes[range.clone()].fill(0);
    }
    let hash = *blake3::hash(bytes).as_bytes();
    let mut guid = [0; GUID_LENGTH];
    guid.copy_from_slice(&hash[..GUID_LENGTH]);
    for place in &places.timestamps {
        bytes[*place..place + 4].copy_from_slice(&hash[GUID_LENGTH..GUID_LENGTH + 4]);
    }
    bytes[places.guid..places.guid + GUID_LENGTH].copy_from_slice(&guid);
    if let Some(range) = &places.hash {
        for (byte, hash) in bytes[range.clone()].iter_mut().zip(hash) {
            *byte = hash;
        }
    }
    let sum = checksum(bytes, places.checksum);
    bytes[places.checksum..places.checksum + 4].copy_from_slice(&sum.to_le_bytes());
    guid
}

fn places(bytes: &[u8]) -> Option<Places> {
    let file = PeFile64::parse(bytes).ok()?;
    let signature = file.dos_header().nt_headers_offset() as usize;
    let mut places = Places {
        timestamps: vec![signature + 8],
        hash: None,
        guid: 0,
        checksum: checksum_offset(signature),
    };
    let directory = file.data_directory(pe::IMAGE_DIRECTORY_ENTRY_DEBUG)?;
    let (start, size) = directory.file_range(&file.section_table()).ok()?;
    let entry_length = size_of::<pe::ImageDebugDirectory>();
    for index in 0..size as usize / entry_length {
        let start = start as usize + index * entry_length;
        let (entry, _) =
            object::pod::from_bytes::<pe::ImageDebugDirectory>(bytes.get(start..)?).ok()?;
        places.timestamps.push(start + 4);
        let data = entry.pointer_to_raw_data.get(LE) as usize;
        let end = data.checked_add(entry.size_of_data.get(LE) as usize)?;
        if entry.typ.get(LE) == pe::IMAGE_DEBUG_TYPE_REPRO && end > data + 4 {
            places.hash = (end <= bytes.len()).then_some(data + 4..end);
        }
        if entry.typ.get(LE) == pe::IMAGE_DEBUG_TYPE_CODEVIEW {
            (bytes.get(data..data + 4)? == b"RSDS").then_some(())?;
            places.guid = data + 4;
        }
    }
    (places.guid != 0 && places.guid + GUID_LENGTH <= bytes.len()).then_some(places)
}

/// The file offset of the GUID in a PDB: 12 bytes into stream 1 of its multi-stream file.
fn pdb_guid(bytes: &[u8]) -> Option<usize> {
    let word = |offset: usize| {
        let word = bytes.get(offset..offset.checked_add(4)?)?;
        Some(u32::from_le_bytes(word.try_into().ok()?) as usize)
    };
    bytes
        .starts_with(b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0")
        .then_some(())?;
    let block_size = word(32)?;
    let block_map = word(52)?.checked_mul(block_size)?;
    // The directory may be spread over blocks: read its words through the block map.
    let directory = |index: usize| {
        let offset = index.checked_mul(4)?;
        let block = word(block_map.checked_add(offset.checked_div(block_size)?.checked_mul(4)?)?)?;
        word(
            block
                .checked_mul(block_size)?
                .checked_add(offset % block_size)?,
        )
    };
    let streams = directory(0)?;
    let blocks_of_stream_0 = directory(1)?.div_ceil(block_size);
    let block = directory(1 + streams + blocks_of_stream_0)?;
    let place = block.checked_mul(block_size)?.checked_add(12)?;
    (place + GUID_LENGTH <= bytes.len()).then_some(place)
}
