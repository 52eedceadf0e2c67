//! `RtlImage*`: the headers of an image that is mapped, as `ImageNtHeader` and its kin find them for user mode.

use super::imports;
use crate::rt::Call;
use crate::rt::mem::{self, Field};
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    RtlFindExportedRoutineByName => exported_routine,
    RtlImageDirectoryEntryToData => directory,
    RtlImageNtHeader => headers,
}

/// The file's first header: its mark, and where the next one is.
const MARK: Field<u16> = Field::at(0);
const NEXT: Field<u32> = Field::at(0x3C);
const MZ: u16 = 0x5A4D;
/// The headers: their mark, the optional header's, and its directories, of which it tells the number.
const SIGNATURE: Field<u32> = Field::at(0);
const PE: u32 = 0x4550;
const MAGIC: Field<u16> = Field::at(24);
const PE32_PLUS: u16 = 0x20B;
const DIRECTORIES: Field<u32> = Field::at(24 + 108);
const DIRECTORY: u64 = 24 + 112;
/// No header begins further in a file.
const FURTHEST: u32 = 0x1000_0000;
/// Exports: how many names there are, and the tables of routines, names and the routines' numbers.
const EXPORTS: u16 = 0;
const NAMES: Field<u32> = Field::at(24);
const ROUTINES: Field<u32> = Field::at(28);
const NAME_TABLE: Field<u32> = Field::at(32);
const NUMBERS: Field<u32> = Field::at(36);

/// Where the headers of an image for this processor are.
fn find_headers(base: u64) -> Option<u64> {
    if base == 0 || MARK.read(base).or_fault() != MZ {
        return None;
    }
    let next = NEXT.read(base).or_fault();
    let headers = base + u64::from(next);
    (next < FURTHEST && SIGNATURE.read(headers).or_fault() == PE).then_some(headers)
}

/// Where a directory is, and its bytes.
fn find_directory(base: u64, number: u16) -> Option<(u64, u32)> {
    let headers = find_headers(base)?;
    let is_known = MAGIC.read(headers).or_fault() == PE32_PLUS
        && u32::from(number) < DIRECTORIES.read(headers).or_fault();
    let entry = headers + DIRECTORY + 8 * u64::from(number);
    let address: u32 = if is_known {
        mem::read(entry).or_fault()
    } else {
        0
    };
    let size = || mem::read(entry + 4).or_fault();
    (address != 0).then(|| (base + u64::from(address), size()))
}

fn headers(call: &Call<'_>) -> u64 {
    find_headers(call.arg(0)).unwrap_or(0)
}

/// In an image that is mapped as a file the directories are elsewhere: no driver has one.
fn directory(call: &Call<'_>) -> u64 {
    let is_mapped = call.arg_u8(1) != 0;
    let found = find_directory(call.arg(0), call.arg_u16(2)).filter(|_| is_mapped);
    let (address, size) = found.unwrap_or((0, 0));
    mem::write(call.arg(3), size).or_fault();
    address
}

fn exported_routine(call: &Call<'_>) -> u64 {
    let (base, wanted) = (
        call.arg(0),
        super::format::narrow(call.arg(1), None).or_fault(),
    );
    let Some((exports, _)) = find_directory(base, EXPORTS) else {
        return 0;
    };
    let table = |field: Field<u32>| base + u64::from(field.read(exports).or_fault());
    let names = NAMES.read(exports).or_fault();
    let is_it = |index: &u64| {
        let name: u32 = mem::read(table(NAME_TABLE) + 4 * index).or_fault();
        super::format::narrow(base + u64::from(name), None).or_fault() == wanted
    };
    let Some(index) = (0..u64::from(names)).find(is_it) else {
        return 0;
    };
    let number: u16 = mem::read(table(NUMBERS) + 2 * index).or_fault();
    let routine: u32 = mem::read(table(ROUTINES) + 4 * u64::from(number)).or_fault();
    base + u64::from(routine)
}
