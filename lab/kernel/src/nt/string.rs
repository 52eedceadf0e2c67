//! The C run time's memory functions that the kernel exports.

use super::crt::{EINVAL, ERANGE};
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
    memchr => find,
    memcpy_s => copy_checked,
    memmove_s => move_checked,
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

/// Where a byte is first; NULL where it is not.
fn find(call: &Call<'_>) -> u64 {
    let (begin, byte) = (call.arg(0), call.arg_u8(1));
    for at in 0..call.arg(2) {
        let address = begin.wrapping_add(at);
        if mem::read::<u8>(address).or_fault() == byte {
            return address;
        }
    }
    0
}

/// What is refused leaves zeros in the target.
fn copy_checked(call: &Call<'_>) -> u64 {
    let (target, room, source, length) = (call.arg(0), call.arg(1), call.arg(2), call.arg(3));
    if length == 0 {
        return 0;
    }
    if target != 0 && (source == 0 || room < length) {
        mem::fill(target, length_of(room), 0).or_fault();
    }
    move_checked(call)
}

fn move_checked(call: &Call<'_>) -> u64 {
    let (target, room, source, length) = (call.arg(0), call.arg(1), call.arg(2), call.arg(3));
    if length == 0 {
        return 0;
    }
    if target == 0 || source == 0 {
        return EINVAL;
    }
    if room < length {
        return ERANGE;
    }
    sched::charge_copy(length_of(length));
    mem::copy(target, source, length_of(length)).or_fault();
    0
}
