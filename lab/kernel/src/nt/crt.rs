//! The C run time of the kernel: text, numbers, formats, sorting. Its locale is `C`: letters are those of ASCII, and a
//! byte is the character with its number.
//!
//! What a driver's own routine is called for holds nothing of the lab's meanwhile.

pub(super) mod checked;
pub(super) mod class;
pub(super) mod number;
pub(super) mod print;
pub(super) mod scan;
pub(super) mod sort;
pub(super) mod text;

use crate::rt::mem;
use crate::watch::OrFault;

/// What the functions give that check their arguments: `EINVAL`, `ERANGE`, `STRUNCATE`.
pub(super) const EINVAL: u64 = 22;
pub(super) const ERANGE: u64 = 34;
const STRUNCATE: u64 = 80;
/// As much as fits: `_TRUNCATE`.
pub(super) const TRUNCATE: u64 = u64::MAX;

/// Bytes of a character: of `char`, and of `wchar_t`.
pub(super) const NARROW: u64 = 1;
pub(super) const WIDE: u64 = 2;

/// Where the character with this number is.
pub(super) fn place<const W: u64>(text: u64, index: u64) -> u64 {
    text.wrapping_add(W.wrapping_mul(index))
}

pub(super) fn read<const W: u64>(text: u64, index: u64) -> u16 {
    let at = place::<W>(text, index);
    if W == NARROW {
        mem::read::<u8>(at).or_fault().into()
    } else {
        mem::read::<u16>(at).or_fault()
    }
}

pub(super) fn write<const W: u64>(text: u64, index: u64, unit: u16) {
    let at = place::<W>(text, index);
    if W == NARROW {
        mem::write(at, unit as u8).or_fault();
    } else {
        mem::write(at, unit).or_fault();
    }
}

/// Characters before the zero that ends a text, at most `limit`.
pub(super) fn length<const W: u64>(text: u64, limit: u64) -> u64 {
    let mut length = 0;
    while length < limit && read::<W>(text, length) != 0 {
        length += 1;
    }
    length
}

/// Copies characters forwards, one after the other.
fn copy<const W: u64>(target: u64, source: u64, count: u64) {
    for index in 0..count {
        write::<W>(target, index, read::<W>(source, index));
    }
}

/// Writes characters, and the zero that ends them.
pub(super) fn put<const W: u64>(target: u64, units: &[u16]) {
    for (index, unit) in (0..).zip(units) {
        write::<W>(target, index, *unit);
    }
    write::<W>(target, units.len() as u64, 0);
}

/// An ASCII letter in lower case.
fn lower(unit: u16) -> u16 {
    u8::try_from(unit).map_or(unit, |byte| byte.to_ascii_lowercase().into())
}

fn upper(unit: u16) -> u16 {
    u8::try_from(unit).map_or(unit, |byte| byte.to_ascii_uppercase().into())
}
