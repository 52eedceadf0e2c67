//! `Rtl*`: counted strings and the version of the system.

use super::{SUCCESS, format, imports, status};
use crate::abi::constant::{STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_PARAMETER, STATUS_NO_MEMORY};
use crate::abi::nt::{OSVERSIONINFOEXW, UNICODE_STRING as U};
use crate::rt::mem;
use crate::rt::pool::Kind;
use crate::rt::{Call, sched};
use crate::watch::OrFault;
use crate::{driver, memory};

imports! {
    "ntoskrnl.exe":
    RtlInitUnicodeString => init_unicode_string,
    RtlCopyUnicodeString => copy_unicode_string,
    RtlAppendUnicodeStringToString => append_unicode_string,
    RtlAppendUnicodeToString => append_unicode,
    RtlEqualUnicodeString => equal_unicode_string,
    RtlCompareUnicodeString => compare_unicode_string,
    RtlPrefixUnicodeString => prefix_unicode_string,
    RtlUnicodeStringToInteger => unicode_string_to_integer,
    RtlCharToInteger => char_to_integer,
    RtlUpcaseUnicodeChar => upcase_unicode_char,
    RtlFreeUnicodeString => free_string,
    RtlDuplicateUnicodeString => duplicate_unicode_string,
    RtlGetVersion => version,
    RtlRandom => random,
    RtlRandomEx => random,
}

/// Tag of strings that the run-time library allocates.
pub(super) const STRING_TAG: u32 = u32::from_le_bytes(*b"Strg");

fn init_unicode_string(call: &Call<'_>) -> u64 {
    /// The longest source, in bytes.
    const LIMIT: u64 = 0xFFFC;
    let (string, source) = (call.arg(0), call.arg(1));
    let mut bytes = 0u64;
    if source != 0 {
        while bytes < LIMIT && mem::read::<u16>(source.wrapping_add(bytes)).or_fault() != 0 {
            bytes += 2;
        }
    }
    let length = u16::try_from(bytes).unwrap_or(0);
    U::Length.write(string, length).or_fault();
    U::MaximumLength
        .write(string, if source == 0 { 0 } else { length + 2 })
        .or_fault();
    U::Buffer.write(string, source).or_fault();
    0
}

/// Puts `units` at the end of the first `kept` bytes of a string's buffer.
pub(super) fn put(string: u64, kept: u16, units: &[u8]) -> bool {
    let room = usize::from(U::MaximumLength.read(string).or_fault());
    let end = usize::from(kept) + units.len();
    if end > room {
        return false;
    }
    let buffer = U::Buffer.read(string).or_fault();
    mem::write_bytes(buffer.wrapping_add(kept.into()), units).or_fault();
    U::Length
        .write(string, u16::try_from(end).unwrap_or(u16::MAX))
        .or_fault();
    if end + 2 <= room {
        let end = u64::try_from(end).unwrap_or(0);
        mem::write(buffer.wrapping_add(end), 0u16).or_fault();
    }
    true
}

/// The bytes of a counted string.
fn units_of(string: u64) -> Vec<u8> {
    let length = U::Length.read(string).or_fault();
    mem::read_bytes(U::Buffer.read(string).or_fault(), usize::from(length & !1)).or_fault()
}

fn copy_unicode_string(call: &Call<'_>) -> u64 {
    let (target, source) = (call.arg(0), call.arg(1));
    let mut units = if source == 0 {
        Vec::new()
    } else {
        units_of(source)
    };
    units.truncate(usize::from(U::MaximumLength.read(target).or_fault() & !1));
    put(target, 0, &units);
    0
}

fn append_unicode_string(call: &Call<'_>) -> u64 {
    append(call.arg(0), &units_of(call.arg(1)))
}

fn append_unicode(call: &Call<'_>) -> u64 {
    let mut units = Vec::new();
    let mut source = call.arg(1);
    while source != 0 {
        let unit = mem::read::<u16>(source).or_fault();
        if unit == 0 {
            break;
        }
        units.extend(unit.to_le_bytes());
        source = source.wrapping_add(2);
    }
    append(call.arg(0), &units)
}

fn append(target: u64, units: &[u8]) -> u64 {
    let kept = U::Length.read(target).or_fault();
    if put(target, kept, units) {
        SUCCESS
    } else {
        status(STATUS_BUFFER_TOO_SMALL)
    }
}

/// A string as comparisons see it.
pub(super) fn comparable(string: u64, ignore_case: bool) -> String {
    let text = driver::read_unicode_string(string).or_fault();
    if ignore_case {
        text.to_uppercase()
    } else {
        text
    }
}

fn equal_unicode_string(call: &Call<'_>) -> u64 {
    let ignore_case = call.arg_u8(2) != 0;
    u64::from(comparable(call.arg(0), ignore_case) == comparable(call.arg(1), ignore_case))
}

fn compare_unicode_string(call: &Call<'_>) -> u64 {
    let ignore_case = call.arg_u8(2) != 0;
    let order = comparable(call.arg(0), ignore_case)
        .encode_utf16()
        .cmp(comparable(call.arg(1), ignore_case).encode_utf16());
    u64::from((order as i32).cast_unsigned())
}

fn prefix_unicode_string(call: &Call<'_>) -> u64 {
    let ignore_case = call.arg_u8(2) != 0;
    u64::from(
        comparable(call.arg(1), ignore_case).starts_with(&comparable(call.arg(0), ignore_case)),
    )
}

fn unicode_string_to_integer(call: &Call<'_>) -> u64 {
    to_integer(call, &driver::read_unicode_string(call.arg(0)).or_fault())
}

fn char_to_integer(call: &Call<'_>) -> u64 {
    let bytes = format::narrow(call.arg(0), None).or_fault();
    to_integer(call, &String::from_utf16_lossy(&format::by_number(&bytes)))
}

/// The number in a text, to the base that the second argument says, where the third points.
fn to_integer(call: &Call<'_>, text: &str) -> u64 {
    let text = text.trim_start();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, text) = match (call.arg_u32(1), text) {
        (0, text) if text.starts_with("0x") => (16, &text[2..]),
        (0, text) if text.starts_with("0o") => (8, &text[2..]),
        (0, text) if text.starts_with("0b") => (2, &text[2..]),
        (0, text) => (10, text),
        (radix @ (2 | 8 | 10 | 16), text) => (radix, text),
        _ => return status(STATUS_INVALID_PARAMETER),
    };
    let mut value = 0u32;
    for digit in text
        .chars()
        .map_while(|character| character.to_digit(radix))
    {
        value = value.wrapping_mul(radix).wrapping_add(digit);
    }
    mem::write(
        call.arg(2),
        if negative {
            value.wrapping_neg()
        } else {
            value
        },
    )
    .or_fault();
    SUCCESS
}

fn upcase_unicode_char(call: &Call<'_>) -> u64 {
    upper(call.arg_u16(0)).into()
}

/// A unit in upper case.
pub(super) fn upper(unit: u16) -> u16 {
    in_case(unit, char::to_uppercase)
}

/// A unit in another case; what has no single one there stays as it is.
pub(super) fn in_case<C: Iterator<Item = char>>(unit: u16, change: fn(char) -> C) -> u16 {
    let changed = char::from_u32(unit.into()).and_then(|character| {
        let mut changed = change(character);
        changed.next().filter(|_| changed.next().is_none())
    });
    changed
        .and_then(|character| u16::try_from(u32::from(character)).ok())
        .unwrap_or(unit)
}

pub(super) fn free_string(call: &Call<'_>) -> u64 {
    let string = call.arg(0);
    let buffer = U::Buffer.read(string).or_fault();
    if buffer != 0 {
        memory::free(buffer, None);
    }
    mem::fill(string, U::SIZE, 0).or_fault();
    0
}

fn duplicate_unicode_string(call: &Call<'_>) -> u64 {
    let units = units_of(call.arg(1));
    let size = u64::try_from(units.len()).unwrap_or(0) + 2;
    let buffer = memory::allocate(STRING_TAG, size, Kind::Paged, true);
    if buffer == 0 {
        return status(STATUS_NO_MEMORY);
    }
    let target = call.arg(2);
    mem::write_bytes(buffer, &units).or_fault();
    let length = u16::try_from(units.len()).unwrap_or(u16::MAX);
    U::Length.write(target, length).or_fault();
    U::MaximumLength
        .write(target, length.saturating_add(2))
        .or_fault();
    U::Buffer.write(target, buffer).or_fault();
    SUCCESS
}

fn version(call: &Call<'_>) -> u64 {
    use crate::ndis::version;
    let info = call.arg(0);
    OSVERSIONINFOEXW::dwMajorVersion.write(info, 10).or_fault();
    OSVERSIONINFOEXW::dwMinorVersion.write(info, 0).or_fault();
    OSVERSIONINFOEXW::dwBuildNumber
        .write(info, version::build_number())
        .or_fault();
    // VER_PLATFORM_WIN32_NT.
    OSVERSIONINFOEXW::dwPlatformId.write(info, 2).or_fault();
    SUCCESS
}

fn random(call: &Call<'_>) -> u64 {
    /// One above the largest result.
    const BOUND: u64 = 0x7FFF_FFFF;
    let value = sched::random(BOUND);
    mem::write(call.arg(0), u32::try_from(value).unwrap_or(0)).or_fault();
    value
}
