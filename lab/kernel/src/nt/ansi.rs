//! `Rtl*`: strings of bytes, and what turns them into UTF-16 and back. A byte is the character with its number: what
//! is ASCII is right in every code page of Windows.

use super::rtl::{self, put};
use super::{SUCCESS, imports, status};
use crate::abi::constant::{STATUS_BUFFER_OVERFLOW, STATUS_INVALID_PARAMETER, STATUS_NO_MEMORY};
use crate::abi::nt::UNICODE_STRING as U;
use crate::driver;
use crate::memory;
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::pool::Kind;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    RtlInitAnsiString => init,
    RtlInitString => init,
    RtlInitUTF8String => init,
    RtlInitAnsiStringEx => init_checked,
    RtlInitUTF8StringEx => init_checked,
    RtlInitStringEx => init_checked,
    RtlInitUnicodeStringEx => init_unicode_checked,
    RtlFreeAnsiString => rtl::free_string,
    RtlCopyString => copy,
    RtlCompareString => compare,
    RtlEqualString => equal,
    RtlPrefixString => prefix,
    RtlAnsiStringToUnicodeString => to_unicode,
    RtlUnicodeStringToAnsiString => from_unicode,
    RtlOemStringToUnicodeString => to_unicode,
    RtlUnicodeStringToOemString => from_unicode,
    RtlUpcaseUnicodeString => upcase,
    RtlDowncaseUnicodeString => downcase,
    RtlDowncaseUnicodeChar => downcase_char,
    RtlCreateUnicodeString => create,
    RtlSuffixUnicodeString => suffix,
    RtlHashUnicodeString => hash,
    RtlIntegerToUnicodeString => from_integer,
    RtlInt64ToUnicodeString => from_integer_64,
    RtlStringFromGUID => from_guid,
    RtlGUIDFromString => to_guid,
}

/// Longest string with its terminator, in bytes.
const LONGEST: u64 = 0xFFFE;

/// Bytes up to a zero unit of `unit` bytes.
fn length(source: u64, unit: u64) -> u64 {
    let mut bytes = 0;
    loop {
        let at = source.wrapping_add(bytes);
        let is_end = if unit == 1 {
            mem::read::<u8>(at).or_fault() == 0
        } else {
            mem::read::<u16>(at).or_fault() == 0
        };
        if is_end {
            return bytes;
        }
        bytes += unit;
    }
}

/// Describes `bytes` bytes at `source`, and a terminator of `unit` bytes.
fn describe(string: u64, source: u64, bytes: u64, unit: u64) {
    let length = u16::try_from(bytes).unwrap_or(0);
    let with_end = u16::try_from(bytes + unit).unwrap_or(length);
    U::Length.write(string, length).or_fault();
    let maximum = if source == 0 { 0 } else { with_end };
    U::MaximumLength.write(string, maximum).or_fault();
    U::Buffer.write(string, source).or_fault();
}

fn init(call: &Call<'_>) -> u64 {
    let (string, source) = (call.arg(0), call.arg(1));
    let bytes = if source == 0 { 0 } else { length(source, 1) };
    describe(string, source, bytes.min(LONGEST), 1);
    0
}

fn init_checked(call: &Call<'_>) -> u64 {
    checked(call.arg(0), call.arg(1), 1)
}

fn init_unicode_checked(call: &Call<'_>) -> u64 {
    checked(call.arg(0), call.arg(1), 2)
}

/// The same, which refuses what is too long.
fn checked(string: u64, source: u64, unit: u64) -> u64 {
    const STATUS_NAME_TOO_LONG: u64 = 0xC000_0106;
    let bytes = if source == 0 { 0 } else { length(source, unit) };
    if bytes + unit > LONGEST {
        return STATUS_NAME_TOO_LONG;
    }
    describe(string, source, bytes, unit);
    SUCCESS
}

/// The bytes of a counted string.
pub(super) fn bytes_of(string: u64) -> Vec<u8> {
    let length = U::Length.read(string).or_fault();
    mem::read_bytes(U::Buffer.read(string).or_fault(), length.into()).or_fault()
}

fn copy(call: &Call<'_>) -> u64 {
    let (target, source) = (call.arg(0), call.arg(1));
    let mut bytes = if source == 0 {
        Vec::new()
    } else {
        bytes_of(source)
    };
    bytes.truncate(U::MaximumLength.read(target).or_fault().into());
    let buffer = U::Buffer.read(target).or_fault();
    mem::write_bytes(buffer, &bytes).or_fault();
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    U::Length.write(target, length).or_fault();
    0
}

/// A string's bytes as comparisons see them.
fn comparable(string: u64, ignore_case: bool) -> Vec<u8> {
    let mut bytes = bytes_of(string);
    if ignore_case {
        bytes.make_ascii_uppercase();
    }
    bytes
}

fn compare(call: &Call<'_>) -> u64 {
    let ignore_case = call.arg_u8(2) != 0;
    let order = comparable(call.arg(0), ignore_case).cmp(&comparable(call.arg(1), ignore_case));
    u64::from((order as i32).cast_unsigned())
}

fn equal(call: &Call<'_>) -> u64 {
    let ignore_case = call.arg_u8(2) != 0;
    u64::from(comparable(call.arg(0), ignore_case) == comparable(call.arg(1), ignore_case))
}

fn prefix(call: &Call<'_>) -> u64 {
    let ignore_case = call.arg_u8(2) != 0;
    let (start, all) = (
        comparable(call.arg(0), ignore_case),
        comparable(call.arg(1), ignore_case),
    );
    u64::from(all.starts_with(&start))
}

/// Puts `text`, whose terminator has `unit` bytes, into a string: into a buffer of its own, or into that of the caller.
pub(super) fn store(target: u64, text: &[u8], unit: usize, allocates: bool) -> u64 {
    let with_end = text.len() + unit;
    let Ok(maximum) = u16::try_from(with_end) else {
        return status(STATUS_INVALID_PARAMETER);
    };
    if allocates {
        let size = u64::from(maximum);
        let buffer = memory::allocate(rtl::STRING_TAG, size, Kind::Paged, true);
        if buffer == 0 {
            return status(STATUS_NO_MEMORY);
        }
        U::Buffer.write(target, buffer).or_fault();
        U::MaximumLength.write(target, maximum).or_fault();
    } else if U::MaximumLength.read(target).or_fault() < maximum {
        return status(STATUS_BUFFER_OVERFLOW);
    }
    let buffer = U::Buffer.read(target).or_fault();
    mem::write_bytes(buffer, text).or_fault();
    let end = buffer.wrapping_add(text.len() as u64);
    mem::fill(end, unit, 0).or_fault();
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    U::Length.write(target, length).or_fault();
    SUCCESS
}

/// UTF-16 as bytes.
pub(super) fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn to_unicode(call: &Call<'_>) -> u64 {
    let text: String = bytes_of(call.arg(1)).into_iter().map(char::from).collect();
    store(call.arg(0), &wide(&text), 2, call.arg_u8(2) != 0)
}

fn from_unicode(call: &Call<'_>) -> u64 {
    let text = driver::read_unicode_string(call.arg(1)).or_fault();
    let byte = |character| u8::try_from(u32::from(character)).unwrap_or(b'?');
    let bytes: Vec<u8> = text.chars().map(byte).collect();
    store(call.arg(0), &bytes, 1, call.arg_u8(2) != 0)
}

fn upcase(call: &Call<'_>) -> u64 {
    change(call, rtl::upper)
}

fn downcase(call: &Call<'_>) -> u64 {
    change(call, lower)
}

/// Changes every unit of a string.
fn change(call: &Call<'_>, unit: fn(u16) -> u16) -> u64 {
    let text = driver::read_unicode_string(call.arg(1)).or_fault();
    let units = text.encode_utf16().map(unit);
    let bytes: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
    let (target, allocates) = (call.arg(0), call.arg_u8(2) != 0);
    if allocates {
        return store(target, &bytes, 2, true);
    }
    // Into a buffer of the caller's goes no terminator.
    let room = U::MaximumLength.read(target).or_fault();
    if usize::from(room) < bytes.len() {
        return status(STATUS_BUFFER_OVERFLOW);
    }
    mem::write_bytes(U::Buffer.read(target).or_fault(), &bytes).or_fault();
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    U::Length.write(target, length).or_fault();
    SUCCESS
}

/// A unit in lower case.
fn lower(unit: u16) -> u16 {
    rtl::in_case(unit, char::to_lowercase)
}

fn downcase_char(call: &Call<'_>) -> u64 {
    lower(call.arg_u16(0)).into()
}

/// Tells whether there was memory for it.
fn create(call: &Call<'_>) -> u64 {
    let source = call.arg(1);
    let bytes = usize::try_from(length(source, 2)).unwrap_or(0);
    let text = mem::read_bytes(source, bytes).or_fault();
    u64::from(store(call.arg(0), &text, 2, true) == SUCCESS)
}

fn suffix(call: &Call<'_>) -> u64 {
    let ignore_case = call.arg_u8(2) != 0;
    let end = rtl::comparable(call.arg(0), ignore_case);
    u64::from(rtl::comparable(call.arg(1), ignore_case).ends_with(&end))
}

fn hash(call: &Call<'_>) -> u64 {
    /// `HASH_STRING_ALGORITHM_X65599`, which the default is as well.
    const ALGORITHMS: [u32; 2] = [0, 1];
    const FACTOR: u32 = 65_599;
    if !ALGORITHMS.contains(&call.arg_u32(2)) || call.arg(3) == 0 {
        return status(STATUS_INVALID_PARAMETER);
    }
    let text = driver::read_unicode_string(call.arg(0)).or_fault();
    let ignore_case = call.arg_u8(1) != 0;
    let hash = text.encode_utf16().fold(0u32, |hash, unit| {
        let unit = if ignore_case { rtl::upper(unit) } else { unit };
        hash.wrapping_mul(FACTOR).wrapping_add(unit.into())
    });
    mem::write(call.arg(3), hash).or_fault();
    SUCCESS
}

fn from_integer(call: &Call<'_>) -> u64 {
    digits(call.arg_u32(0).into(), call.arg_u32(1), call.arg(2))
}

fn from_integer_64(call: &Call<'_>) -> u64 {
    digits(call.arg(0), call.arg_u32(1), call.arg(2))
}

fn digits(value: u64, radix: u32, target: u64) -> u64 {
    let text = match radix {
        2 => format!("{value:b}"),
        8 => format!("{value:o}"),
        0 | 10 => value.to_string(),
        16 => format!("{value:X}"),
        _ => return status(STATUS_INVALID_PARAMETER),
    };
    if put(target, 0, &wide(&text)) {
        SUCCESS
    } else {
        status(STATUS_BUFFER_OVERFLOW)
    }
}

/// A GUID's first three parts are numbers, the rest are bytes.
fn from_guid(call: &Call<'_>) -> u64 {
    let at = call.arg(0);
    let first = mem::read::<u32>(at).or_fault();
    let second = mem::read::<u16>(at.wrapping_add(4)).or_fault();
    let third = mem::read::<u16>(at.wrapping_add(6)).or_fault();
    let rest = mem::read_bytes(at.wrapping_add(8), 8).or_fault();
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02X}")).collect() };
    let text = format!(
        "{{{first:08X}-{second:04X}-{third:04X}-{}-{}}}",
        hex(&rest[..2]),
        hex(&rest[2..])
    );
    store(call.arg(1), &wide(&text), 2, true)
}

fn to_guid(call: &Call<'_>) -> u64 {
    let text = driver::read_unicode_string(call.arg(0)).or_fault();
    let Some(bytes) = guid_bytes(&text) else {
        return status(STATUS_INVALID_PARAMETER);
    };
    mem::write_bytes(call.arg(1), &bytes).or_fault();
    SUCCESS
}

/// The bytes of `{xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx}` in memory.
fn guid_bytes(text: &str) -> Option<Vec<u8>> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let parts: Vec<&str> = inner.split('-').collect();
    let lengths = parts.iter().map(|part| part.len());
    if !lengths.eq([8, 4, 4, 4, 12]) || !inner.is_ascii() {
        return None;
    }
    let mut bytes = u32::from_str_radix(parts[0], 16)
        .ok()?
        .to_le_bytes()
        .to_vec();
    for part in &parts[1..3] {
        bytes.extend(u16::from_str_radix(part, 16).ok()?.to_le_bytes());
    }
    for part in &parts[3..] {
        for at in (0..part.len()).step_by(2) {
            bytes.push(u8::from_str_radix(&part[at..at + 2], 16).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::guid_bytes;

    #[test]
    fn a_guid_is_read_as_windows_writes_it() {
        let bytes = guid_bytes("{5CBF81BD-5055-47CD-9055-A76B2B4E3697}").expect("a GUID");
        assert_eq!(bytes[..8], [0xBD, 0x81, 0xBF, 0x5C, 0x55, 0x50, 0xCD, 0x47]);
        assert_eq!(bytes[8..], [0x90, 0x55, 0xA7, 0x6B, 0x2B, 0x4E, 0x36, 0x97]);
        for bad in [
            "",
            "{}",
            "5CBF81BD-5055-47CD-9055-A76B2B4E3697",
            "{5CBF81BD-5055-47CD-9055-A76B2B4E36ZZ}",
        ] {
            assert_eq!(guid_bytes(bad), None, "{bad}");
        }
    }
}
