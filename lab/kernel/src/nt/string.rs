//! The C run time's memory and string functions that the kernel exports.

use super::imports;
use crate::rt::mem::{self, BadAddress};
use crate::rt::{Call, sched};
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    memcpy => copy,
    memmove => copy,
    RtlMoveMemory => copy,
    RtlCopyMemory => copy,
    RtlCopyMemoryNonTemporal => copy,
    memset => set,
    RtlFillMemory => fill,
    RtlZeroMemory => zero,
    memcmp => compare,
    RtlCompareMemory => compare_length,
    strlen => length,
    strnlen => length_up_to,
    wcslen => wide_length,
    strcmp => compare_text,
    strncmp => compare_text_up_to,
}

/// A length of memory; what does not fit a `usize` fails at its first byte anyway.
fn length_of(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn copy(call: &Call<'_>) -> u64 {
    let (target, source, length) = (call.arg(0), call.arg(1), length_of(call.arg(2)));
    sched::charge_copy(length);
    if length > 0 {
        mem::copy(target, source, length).or_fault();
    }
    target
}

fn set(call: &Call<'_>) -> u64 {
    let (target, byte, length) = (call.arg(0), call.arg_u8(1), length_of(call.arg(2)));
    sched::charge_copy(length);
    mem::fill(target, length, byte).or_fault();
    target
}

fn fill(call: &Call<'_>) -> u64 {
    let length = length_of(call.arg(1));
    sched::charge_copy(length);
    mem::fill(call.arg(0), length, call.arg_u8(2)).or_fault();
    0
}

fn zero(call: &Call<'_>) -> u64 {
    let length = length_of(call.arg(1));
    sched::charge_copy(length);
    mem::fill(call.arg(0), length, 0).or_fault();
    0
}

/// Where two blocks differ first, and how.
fn difference(a: u64, b: u64, length: usize) -> Result<Option<(usize, i32)>, BadAddress> {
    for offset in 0..length {
        let at = u64::try_from(offset).unwrap_or(u64::MAX);
        let (x, y) = (
            mem::read::<u8>(a.wrapping_add(at))?,
            mem::read::<u8>(b.wrapping_add(at))?,
        );
        if x != y {
            return Ok(Some((offset, i32::from(x) - i32::from(y))));
        }
    }
    Ok(None)
}

fn compare(call: &Call<'_>) -> u64 {
    let length = length_of(call.arg(2));
    sched::charge_copy(length);
    let difference = difference(call.arg(0), call.arg(1), length).or_fault();
    u64::from(difference.map_or(0, |(_, sign)| sign).cast_unsigned())
}

fn compare_length(call: &Call<'_>) -> u64 {
    let length = length_of(call.arg(2));
    sched::charge_copy(length);
    let difference = difference(call.arg(0), call.arg(1), length).or_fault();
    let equal = difference.map_or(length, |(offset, _)| offset);
    u64::try_from(equal).unwrap_or(u64::MAX)
}

/// The length of zero-terminated text, at most `limit`.
fn text_length(text: u64, limit: u64) -> u64 {
    let mut length = 0;
    while length < limit && mem::read::<u8>(text.wrapping_add(length)).or_fault() != 0 {
        length += 1;
    }
    length
}

fn length(call: &Call<'_>) -> u64 {
    text_length(call.arg(0), u64::MAX)
}

fn length_up_to(call: &Call<'_>) -> u64 {
    text_length(call.arg(0), call.arg(1))
}

fn wide_length(call: &Call<'_>) -> u64 {
    let mut length = 0u64;
    while mem::read::<u16>(call.arg(0).wrapping_add(2 * length)).or_fault() != 0 {
        length += 1;
    }
    length
}

fn compare_text(call: &Call<'_>) -> u64 {
    compare_text_limited(call.arg(0), call.arg(1), u64::MAX)
}

fn compare_text_up_to(call: &Call<'_>) -> u64 {
    compare_text_limited(call.arg(0), call.arg(1), call.arg(2))
}

fn compare_text_limited(a: u64, b: u64, limit: u64) -> u64 {
    for offset in 0..limit {
        let x = mem::read::<u8>(a.wrapping_add(offset)).or_fault();
        let y = mem::read::<u8>(b.wrapping_add(offset)).or_fault();
        if x != y {
            return u64::from((i32::from(x) - i32::from(y)).cast_unsigned());
        }
        if x == 0 {
            break;
        }
    }
    0
}
