//! Folders read as lists, and what is said of the volume.

use super::{Outcome, allocated, attributes_of, end, file_of, full, store, with_open};
use crate::abi::constant::{
    STATUS_BUFFER_OVERFLOW, STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_INFO_CLASS,
    STATUS_INVALID_PARAMETER,
};
use crate::driver;
use crate::nt::ansi::wide;
use crate::nt::{expression, ke};
use crate::rt::Call;
use crate::rt::mem;
use crate::watch::OrFault;
use store::Facts;

// <https://learn.microsoft.com/openspecs/windows_protocols/ms-erref/596a1078-e883-4972-9bbc-49e60bebca55>
const STATUS_NO_SUCH_FILE: i32 = 0xC000_000F_u32.cast_signed();
const STATUS_NO_MORE_FILES: i32 = 0x8000_0006_u32.cast_signed();

/// What is left of a list that somebody reads.
#[derive(Clone, Debug, Default)]
pub(super) struct Listing {
    pattern: String,
    next: usize,
}

/// Where the members of an entry are; the first word is the distance to the next one.
struct Layout {
    has_facts: bool,
    name_length: usize,
    name: usize,
}

impl Layout {
    /// `FileDirectoryInformation`, `FileFullDirectoryInformation`, `FileBothDirectoryInformation` and
    /// `FileNamesInformation`.
    fn of_class(class: u32) -> Option<Self> {
        let layout = |has_facts, name_length, name| Self {
            has_facts,
            name_length,
            name,
        };
        Some(match class {
            1 => layout(true, 60, 64),
            2 => layout(true, 60, 68),
            3 => layout(true, 60, 94),
            12 => layout(false, 8, 12),
            _ => return None,
        })
    }

    fn entry(&self, name: &str, facts: Facts) -> Vec<u8> {
        let text = wide(name);
        let mut entry = vec![0; self.name];
        let mut put = |at: usize, bytes: &[u8]| entry[at..at + bytes.len()].copy_from_slice(bytes);
        if self.has_facts {
            let times = [
                facts.created_ns,
                facts.read_ns,
                facts.written_ns,
                facts.written_ns,
            ];
            for (at, ns) in (8..).step_by(8).zip(times) {
                put(at, &ke::system_time_at(ns).to_le_bytes());
            }
            put(40, &facts.length.to_le_bytes());
            put(48, &allocated(facts.length).to_le_bytes());
            put(56, &attributes_of(facts).to_le_bytes());
        }
        put(self.name_length, &(text.len() as u32).to_le_bytes());
        entry.extend(text);
        entry
    }
}

/// What a folder has that a pattern means, itself and the one above it first.
fn listed(name: &store::FileName, own: Facts, pattern: &str) -> Vec<(String, Facts)> {
    let mut all = Vec::new();
    if name
        .parent()
        .is_some_and(|parent| parent.as_str() != "\\??")
    {
        all.extend([(".".to_owned(), own), ("..".to_owned(), own)]);
    }
    all.extend(store::children(name));
    let units = |text: &str| text.to_uppercase().encode_utf16().collect::<Vec<_>>();
    let pattern = units(pattern);
    all.retain(|(name, _)| pattern.is_empty() || expression::matches(&pattern, &units(name)));
    all
}

/// `ZwQueryDirectoryFile`.
pub(super) fn query(call: &Call<'_>) -> u64 {
    let (block, out, length) = (call.arg(4), call.arg(5), call.arg_u32(6));
    let (is_single, pattern, restarts) = (call.arg_u8(8) != 0, call.arg(9), call.arg_u8(10) != 0);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let query = || {
        let (file, open) = file_of(call.arg(0))?;
        let layout = Layout::of_class(call.arg_u32(7)).ok_or(STATUS_INVALID_INFO_CLASS)?;
        let own = store::with(&open.name, store::Node::facts).filter(|own| own.is_folder);
        let own = own.ok_or(STATUS_INVALID_PARAMETER)?;
        if length < layout.name {
            return Err(STATUS_INFO_LENGTH_MISMATCH);
        }
        let is_first = open.listing.is_none();
        let mut listing = match open.listing.clone() {
            Some(known) if !restarts => known,
            known => Listing {
                // The first call says which are meant.
                pattern: match known {
                    Some(known) => known.pattern,
                    None if pattern == 0 => String::new(),
                    None => driver::read_unicode_string(pattern).or_fault(),
                },
                next: 0,
            },
        };
        let all = listed(&open.name, own, &listing.pattern);
        let mut bytes: Vec<u8> = Vec::new();
        let mut last = 0;
        let mut outcome = Ok(());
        for (name, facts) in all.iter().skip(listing.next) {
            let entry = layout.entry(name, *facts);
            let at = bytes.len().next_multiple_of(8);
            if at + entry.len() > length {
                if bytes.is_empty() {
                    bytes.extend(&entry[..length]);
                    outcome = Err(STATUS_BUFFER_OVERFLOW);
                }
                break;
            }
            if !bytes.is_empty() {
                let distance = ((at - last) as u32).to_le_bytes();
                bytes[last..last + 4].copy_from_slice(&distance);
            }
            bytes.resize(at, 0);
            bytes.extend(entry);
            last = at;
            listing.next += 1;
            if is_single {
                break;
            }
        }
        let is_over = listing.next >= all.len() && bytes.is_empty();
        with_open(file, |open| open.listing = Some(listing))?;
        if is_over {
            return Err(if is_first {
                STATUS_NO_SUCH_FILE
            } else {
                STATUS_NO_MORE_FILES
            });
        }
        mem::write_bytes(out, &bytes).or_fault();
        outcome.map(|()| bytes.len() as u64)
    };
    let result = end(block, query());
    super::signal(call.arg(1));
    result
}

/// Of the one volume: its size in clusters of eight sectors, and how many are free.
const CLUSTERS: i64 = 16 << 20;
const FREE: i64 = 8 << 20;
const SECTORS: u32 = 8;
const SECTOR: u32 = 512;

/// What `ZwQueryVolumeInformationFile` says of the volume.
fn volume(class: u32) -> Option<Vec<u8>> {
    /// `FILE_DEVICE_DISK`, `FILE_DEVICE_IS_MOUNTED`; names that tell case and keep it, in Unicode.
    const DEVICE: [u32; 2] = [7, 0x20];
    const ATTRIBUTES: u32 = 1 | 2 | 4;
    const LONGEST_NAME: u32 = 255;
    const SERIAL: u32 = 0xDEFE_417F;
    let words =
        |words: &[i64]| -> Vec<u8> { words.iter().flat_map(|it| it.to_le_bytes()).collect() };
    let halves =
        |halves: &[u32]| -> Vec<u8> { halves.iter().flat_map(|it| it.to_le_bytes()).collect() };
    let named = |fixed: Vec<u8>, name: &str| [fixed, wide(name)].concat();
    Some(match class {
        // `FileFsVolumeInformation`: when it was made, a number, a label of no length, and that it has objects.
        1 => [
            words(&[ke::system_time_at(0)]),
            halves(&[SERIAL, 0]),
            vec![1, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat(),
        // `FileFsSizeInformation`
        3 => [words(&[CLUSTERS, FREE]), halves(&[SECTORS, SECTOR])].concat(),
        // `FileFsDeviceInformation`
        4 => halves(&DEVICE),
        // `FileFsAttributeInformation`
        5 => named(halves(&[ATTRIBUTES, LONGEST_NAME, 8]), "NTFS"),
        // `FileFsFullSizeInformation`
        7 => [words(&[CLUSTERS, FREE, FREE]), halves(&[SECTORS, SECTOR])].concat(),
        _ => return None,
    })
}

/// `ZwQueryVolumeInformationFile`.
pub(super) fn query_volume(call: &Call<'_>) -> u64 {
    let (block, out, length) = (call.arg(1), call.arg(2), call.arg_u32(3));
    let query = || -> Outcome<u64> {
        file_of(call.arg(0))?;
        let bytes = volume(call.arg_u32(4)).ok_or(STATUS_INVALID_INFO_CLASS)?;
        full(length, bytes.len())?;
        mem::write_bytes(out, &bytes).or_fault();
        Ok(bytes.len() as u64)
    };
    end(block, query())
}

#[cfg(test)]
mod tests {
    use super::{Layout, volume};

    #[test]
    fn structures_have_their_sizes() {
        let sizes = [1, 3, 4, 5, 7].map(|class| volume(class).map(|bytes| bytes.len()));
        assert_eq!(sizes, [Some(24), Some(24), Some(8), Some(20), Some(32)]);
        assert!(volume(2).is_none());
        assert!(Layout::of_class(4).is_none());
    }
}
